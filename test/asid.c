/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/asid.c: ASIDs of 4 bits, so that generations pass quickly.
 *
 * All pmaps map the same address, each to a frame that carries the pmap's
 * number: whoever runs under a wrong ASID, or over entries of an older
 * generation, reads another number; the simulator sees freed frames and shared
 * ASIDs besides.
 */
#include <pthread.h>
#include <stdlib.h>

#include "pmap_machine.h"

#define VA UINT64_C(0x200000)
#define PMAPS 40u
#define ROUNDS 1500u

static struct host_config four_bits = {
	.ncpus = 4, .ram = 16 << 20, .junk = true, .seed = TEST_SEED, .asid_bits = 4, .break_check = 1,
};

struct world {
	struct pmap_machine m;
	struct pmap p[PMAPS];
	pfn_t frame[PMAPS];          /* under lock */
	pthread_mutex_t lock[PMAPS]; /* stands for the range lock: one mutator per pmap */
	ATOMIC(uint64_t) reads;
};

static void map_tagged(struct world *w, unsigned i)
{
	w->frame[i] = pm_alloc(&w->m);
	*(uint64_t *)pm_bytes(w->frame[i]) = i;
	CHECK(pm_enter(&w->m, &w->p[i], VA, w->frame[i], PROT_R, 0) == OK);
}

static void begin(struct world *w, const struct host_config *config)
{
	pm_init(&w->m, config);
	for (unsigned i = 0; i < PMAPS; i++) {
		pmap_init(w->m.ps, &w->p[i], pm_alloc_table(&w->m));
		CHECK(!pthread_mutex_init(&w->lock[i], NULL));
		map_tagged(w, i);
	}
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < PMAPS; i++) {
		pm_exit(&w->m, &w->p[i]);
		pm_free(&w->m, w->frame[i]);
		pthread_mutex_destroy(&w->lock[i]);
	}
	pm_destroy(&w->m);
}

static uint64_t generation(struct world *w) { return atomic_load_relaxed(&w->m.ps->asids.generation) >> ASID_BITS_MAX; }
static uint64_t number(struct world *w, unsigned i) { return atomic_load_relaxed(&w->p[i].asid) & ASID_MASK; }

static void switch_cpu(struct world *w, uint32_t cpu)
{
	host_detach();
	host_attach(w->m.t.m, cpu);
}

/* What CPU reads at VA right now; PMAPS: a fault. */
static uint64_t tag_here(void)
{
	struct host_fault fault;
	uint64_t v;

	return host_user_load64(vaddr(VA), &v, &fault) == OK ? v : PMAPS;
}

static void test_numbers(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t first;

	(void)state;
	begin(w, &four_bits);
	first = generation(w);
	for (unsigned i = 0; i < 15; i++) {
		assert_int_equal(number(w, i), 0);
		pmap_activate(&w->p[i]);
		assert_int_equal(tag_here(), i);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(number(w, i), number(w, j));
		assert_in_range(number(w, i), 1, 15);
	}
	assert_int_equal(generation(w), first);
	pmap_activate(&w->p[15]); /* the sixteenth: a new generation */
	assert_int_equal(generation(w), first + 1);
	assert_int_equal(tag_here(), 15);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < PMAPS; i++) {
			pmap_activate(&w->p[i]);
			assert_int_equal(tag_here(), i);
		}
	assert_in_range(generation(w), first + 4 * PMAPS / 15, first + 4 * PMAPS / 13 + 2);
	end(w);
	free(w);
}

static void test_activation_is_cheap(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t active;

	(void)state;
	begin(w, &four_bits);
	pmap_activate(&w->p[0]);
	pmap_activate(&w->p[1]);
	/* with a current number no lock is taken: this would be a lock taken twice */
	spin_lock(&w->m.ps->asids.lock, RANK_ASID);
	pmap_activate(&w->p[0]);
	pmap_activate(&w->p[0]);
	pmap_deactivate(w->m.ps);
	assert_int_equal(tag_here(), PMAPS);
	pmap_deactivate(w->m.ps);
	pmap_activate(&w->p[1]);
	assert_int_equal(tag_here(), 1);
	active = atomic_load_relaxed(&w->m.ps->asids.cpu[0].active);
	assert_int_equal(active, atomic_load_relaxed(&w->p[1].asid));
	spin_unlock(&w->m.ps->asids.lock);
	end(w);
	free(w);
}

/* What runs when a generation ends keeps its number, for as many generations as it goes on running. */
static void test_running_keeps_its_number(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t n, first;

	(void)state;
	begin(w, &four_bits);
	switch_cpu(w, 1);
	pmap_activate(&w->p[0]);
	n = number(w, 0);
	assert_int_equal(tag_here(), 0);
	switch_cpu(w, 0);
	first = generation(w);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 1; i < PMAPS; i++) {
			pmap_activate(&w->p[i]);
			assert_int_equal(tag_here(), i);
			assert_int_not_equal(number(w, i), n);
		}
		switch_cpu(w, 1);
		assert_int_equal(tag_here(), 0);
		switch_cpu(w, 0);
		if (round == 1) { /* it comes to a second CPU, under the same number */
			pmap_activate(&w->p[0]);
			assert_int_equal(number(w, 0), n);
			assert_int_equal(tag_here(), 0);
		}
	}
	assert_true(generation(w) > first + 3);
	/* a flush still finds it there, whatever generation pm->asid is of */
	pm_remove(&w->m, &w->p[0], VA, VA + PAGE_SIZE, true);
	pm_free(&w->m, w->frame[0]);
	switch_cpu(w, 1);
	assert_int_equal(tag_here(), PMAPS);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	map_tagged(w, 0);
	end(w);
	free(w);
}

/* Numbers enough for the next generation, or the one after: everybody but p[0] and p[1] runs here once. */
static void run_all_others(struct world *w)
{
	for (unsigned i = 2; i < PMAPS; i++) {
		pmap_activate(&w->p[i]);
		CHECK(tag_here() == i);
	}
}

/* The same on two CPUs: each of them holds the number for the other, whoever comes by first. */
static void test_two_running_keep_one_number(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t n;

	(void)state;
	begin(w, &four_bits);
	for (uint32_t cpu = 1; cpu <= 2; cpu++) {
		switch_cpu(w, cpu);
		pmap_activate(&w->p[0]);
	}
	n = number(w, 0);
	for (unsigned round = 0; round < 3; round++) {
		switch_cpu(w, 0);
		run_all_others(w);
		switch_cpu(w, 1);
		pmap_activate(&w->p[0]);
		assert_int_equal(number(w, 0), n);
		assert_int_equal(tag_here(), 0);
		pmap_deactivate(w->m.ps);
	}
	switch_cpu(w, 2);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	end(w);
	free(w);
}

/*
 * CPU 0 goes from p[0] to p[1], or to nothing. At its n-th point without a lock it is stopped, and CPU 1 runs everything
 * else, so that generations pass. Then CPU 0 goes on; what it has loaded must be its own.
 */
static struct {
	struct world *w;
	unsigned at, count;
	bool stopped, leave;
	uint64_t known;        /* p[1]'s number when CPU 0 ran it */
	unsigned heir;         /* who has that number now; 0: not given to anybody */
	ATOMIC(uint32_t) turn; /* 0: CPU 0's; 1: CPU 1's, CPU 0 waits; 2: CPU 0 has switched; 3: over */
} slow;

static void stop_in_switch(void)
{
	host_point = NULL;
	if (cpu_debug()->held_count == 0 && ++slow.count == slow.at) {
		uint64_t tag;

		slow.stopped = true;
		atomic_store_release(&slow.turn, 1u);
		while (atomic_load_acquire(&slow.turn) == 1)
			sched_yield();
		tag = tag_here(); /* as a walk that nobody asked for */
		CHECK(tag == 0 || tag == 1 || tag == PMAPS);
	}
	host_point = stop_in_switch;
}

static void switch_slowly(uint32_t cpu, void *arg)
{
	struct world *w = slow.w;

	(void)arg;
	if (cpu == 1) {
		while (atomic_load_acquire(&slow.turn) == 0)
			cpu_relax();
		if (atomic_load_acquire(&slow.turn) == 1) {
			run_all_others(w);
			for (unsigned i = 2; slow.leave && !slow.heir && i < PMAPS; i++) {
				pmap_activate(&w->p[i]);
				CHECK(tag_here() == i);
				if (number(w, i) == slow.known)
					slow.heir = i;
			}
			atomic_store_release(&slow.turn, 0u);
		}
		while (atomic_load_acquire(&slow.turn) != 2)
			cpu_relax();
		run_all_others(w);
		pmap_deactivate(w->m.ps);
		pm_remove(&w->m, &w->p[1], VA, VA + PAGE_SIZE, true);
		pm_free(&w->m, w->frame[1]);
		atomic_store_release(&slow.turn, 3u);
		return;
	}
	host_point = stop_in_switch;
	if (slow.leave)
		pmap_deactivate(w->m.ps);
	else
		pmap_activate(&w->p[1]);
	host_point = NULL;
	CHECK(tag_here() == (slow.leave ? PMAPS : 1));
	if (slow.leave && slow.heir) { /* it owes a flush: its TLB knows the number as p[1]'s */
		pmap_activate(&w->p[slow.heir]);
		CHECK(tag_here() == slow.heir);
		pmap_deactivate(w->m.ps);
	}
	atomic_store_release(&slow.turn, 2u);
	while (atomic_load_acquire(&slow.turn) != 3)
		cpu_relax();
	CHECK(tag_here() == PMAPS); /* the flush found it */
}

/* False: the switch has fewer points. */
static bool switch_stopped_at(struct world *w, unsigned n, bool outdated)
{
	slow.at = n;
	slow.count = 0;
	slow.stopped = false;
	slow.heir = 0;
	atomic_store_relaxed(&slow.turn, 0u);
	pmap_activate(&w->p[1]);
	assert_int_equal(tag_here(), 1);
	slow.known = number(w, 1);
	pmap_activate(&w->p[0]);
	assert_int_equal(tag_here(), 0);
	if (outdated) {
		switch_cpu(w, 1);
		run_all_others(w);
		pmap_deactivate(w->m.ps);
		switch_cpu(w, 0);
	}
	run_on_cpus(w->m.t.m, 2, switch_slowly, NULL);
	map_tagged(w, 1);
	pmap_deactivate(w->m.ps);
	return slow.stopped;
}

static void test_switch_against_rollover(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);

	(void)state;
	begin(w, &four_bits);
	slow.w = w;
	for (unsigned leave = 0; leave < 2; leave++)
		for (unsigned outdated = 0; outdated < 2; outdated++) {
			unsigned n = 1;

			slow.leave = leave;
			while (switch_stopped_at(w, n, outdated))
				n++;
			assert_true(n > 2);
		}
	end(w);
	free(w);
}

/* A CPU that slept through a generation flushes before it runs anything. */
static void test_pending_flush(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t first;

	(void)state;
	begin(w, &four_bits);
	switch_cpu(w, 1);
	for (unsigned i = 0; i < 8; i++) { /* its TLB knows numbers 1..8 */
		pmap_activate(&w->p[i]);
		assert_int_equal(tag_here(), i);
	}
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	first = generation(w);
	for (unsigned i = PMAPS; i-- > 8;)
		pmap_activate(&w->p[i]);
	assert_true(generation(w) > first);
	for (unsigned i = 8; i < PMAPS; i++) {
		switch_cpu(w, 1);
		pmap_activate(&w->p[i]);
		assert_int_equal(tag_here(), i);
		switch_cpu(w, 0);
	}
	switch_cpu(w, 1);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	end(w);
	free(w);
}

static void test_too_few_numbers(void **state)
{
	struct pmap_asids *as = pm_zalloc(sizeof *as);
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	EXPECT_PANIC("ncpus", asid_init(as, 4, 15));
	asid_init(as, 4, 14);
	asid_init(as, 16, 128);
	test_machine_destroy(&t);
	free(as);
}

/* All CPUs switch among all pmaps, while their mappings come and go. */
static void churn(uint32_t cpu, void *arg)
{
	struct world *w = arg;
	uint64_t seed = TEST_SEED + cpu, reads = 0;

	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned i, what;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		i = (seed >> 33) % PMAPS;
		what = (seed >> 48) % 16;
		if (what == 0) {
			pmap_deactivate(w->m.ps);
			CHECK(tag_here() == PMAPS);
		} else if (what <= 4) {
			pthread_mutex_lock(&w->lock[i]);
			if (what == 1)
				pmap_activate(&w->p[i]);
			pm_remove(&w->m, &w->p[i], VA, VA + PAGE_SIZE, true);
			pm_free(&w->m, w->frame[i]);
			map_tagged(w, i);
			pthread_mutex_unlock(&w->lock[i]);
		} else {
			uint64_t tag;

			pmap_activate(&w->p[i]);
			for (unsigned k = 0; k < 4; k++) {
				tag = tag_here();
				CHECK(tag == i || tag == PMAPS);
				reads += tag == i;
			}
		}
		if (n % 64 == 0)
			pm_poll(&w->m);
	}
	pmap_deactivate(w->m.ps);
	atomic_add_relaxed(&w->reads, reads);
}

static void churn_with(const struct host_config *config)
{
	struct world *w = pm_zalloc(sizeof *w);

	begin(w, config);
	run_on_cpus(w->m.t.m, config->ncpus, churn, w);
	assert_true(atomic_load_relaxed(&w->reads) > ROUNDS);
	if (config->asid_bits == 4)
		assert_true(generation(w) > 20);
	pm_drain(&w->m);
	for (unsigned i = 0; i < PMAPS; i++)
		pmap_check(&w->p[i]);
	end(w);
	free(w);
}

static void test_churn(void **state)
{
	struct host_config c = four_bits;

	(void)state;
	churn_with(&c);
	c.tlbi = HOST_TLBI_LATE;
	c.range_tlbi = true;
	churn_with(&c);
	c.asid_bits = 16;
	churn_with(&c);
}

/* --- where: tlb-scope=local --- */

static uint32_t where(struct world *w, unsigned i) { return atomic_load_relaxed(&w->p[i].where); }

static const struct host_config eight_bits = {
	.ncpus = 4, .ram = 16 << 20, .junk = true, .seed = TEST_SEED, .asid_bits = 8, .command_line = "tlb-scope=local",
};

/* Removes p[i]'s page on this CPU and maps another; => how many invalidations went to all CPUs. */
static uint64_t remap(struct world *w, unsigned i)
{
	uint64_t before = host_stats(w->m.t.m).invalidations, n;

	pm_remove(&w->m, &w->p[i], VA, VA + PAGE_SIZE, true);
	n = host_stats(w->m.t.m).invalidations - before;
	pm_free(&w->m, w->frame[i]);
	map_tagged(w, i);
	return n;
}

static void test_where(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	uint64_t first, second;

	(void)state;
	begin(w, &eight_bits);
	assert_int_equal(where(w, 0), WHERE_NONE);
	assert_int_equal(remap(w, 0), 0);
	pmap_activate(&w->p[0]);
	assert_int_equal(tag_here(), 0);
	assert_int_equal(where(w, 0), 1);
	first = number(w, 0);
	assert_int_equal(remap(w, 0), 0);
	assert_int_equal(tag_here(), 0); /* the new frame's, or the simulator says so */
	pmap_activate(&w->p[1]);
	assert_int_equal(remap(w, 0), 0); /* also of what does not run */
	pmap_activate(&w->p[0]);
	assert_int_equal(number(w, 0), first);
	assert_int_equal(tag_here(), 0);
	pmap_activate(&w->p[1]);
	/* It moves: another number, and the old one is nobody's. */
	switch_cpu(w, 1);
	assert_true(remap(w, 0) > 0); /* it is not here, yet */
	pmap_activate(&w->p[0]);
	second = number(w, 0);
	assert_int_equal(where(w, 0), 2);
	assert_int_not_equal(second, first);
	assert_int_equal(tag_here(), 0);
	assert_int_equal(remap(w, 0), 0);
	/* It runs there, too: many. */
	switch_cpu(w, 0);
	pmap_activate(&w->p[0]);
	assert_int_equal(where(w, 0), WHERE_MANY);
	assert_int_equal(number(w, 0), second);
	assert_int_equal(tag_here(), 0);
	assert_true(remap(w, 0) > 0);
	switch_cpu(w, 1);
	assert_int_equal(tag_here(), 0);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	pmap_deactivate(w->m.ps);
	end(w);
	free(w);
}

/* A number for each move, but not for ever. */
static void test_moves(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);
	bool seen[256] = { false };
	unsigned moves = 0;

	(void)state;
	begin(w, &eight_bits);
	pmap_activate(&w->p[0]);
	for (unsigned i = 0; where(w, 0) != WHERE_MANY && i < 100; i++) {
		assert_false(seen[number(w, 0)]);
		seen[number(w, 0)] = true;
		pmap_deactivate(w->m.ps);
		switch_cpu(w, 1 - cpu_id());
		pmap_activate(&w->p[0]);
		assert_int_equal(tag_here(), 0);
		moves++;
	}
	assert_in_range(moves, 2, 16);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	pmap_deactivate(w->m.ps);
	end(w);
	free(w);
}

/* What many have is one CPU's again in another generation, unless it runs elsewhere all the time. */
static void test_where_after_a_rollover(void **state)
{
	struct world *w = pm_zalloc(sizeof *w);

	(void)state;
	four_bits.command_line = "tlb-scope=local";
	begin(w, &four_bits);
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		switch_cpu(w, cpu);
		pmap_activate(&w->p[0]);
		pmap_activate(&w->p[1]);
	}
	assert_int_equal(where(w, 1), WHERE_MANY);
	switch_cpu(w, 0);
	run_all_others(w);
	pmap_activate(&w->p[0]);
	assert_int_equal(where(w, 0), 1);
	pmap_activate(&w->p[1]);
	assert_int_equal(where(w, 1), WHERE_MANY);
	assert_int_equal(tag_here(), 1);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 1);
	assert_int_equal(tag_here(), 1);
	pmap_deactivate(w->m.ps);
	switch_cpu(w, 0);
	end(w);
	free(w);
}

static void option_is(const char *line, bool local, bool page)
{
	const struct host_config c = { .ncpus = 2, .ram = 16 << 20, .seed = TEST_SEED, .command_line = line };
	struct pmap_machine m;

	pm_init(&m, &c);
	assert_int_equal(m.ps->local, local);
	assert_int_equal(m.ps->page_by_page, page);
	pm_destroy(&m);
}

static void test_options(void **state)
{
	(void)state;
	option_is("", true, false);
	option_is("tlb-scope=broadcast", false, false);
	option_is("tlb=page tlb-scope=local", true, true);
	option_is("tlb=batch tlb-scope=everywhere", true, false);
	option_is("tlb=pages", true, false);
}

int main(void)
{
	const struct CMUnitTest where_tests[] = {
		cmocka_unit_test(test_where), cmocka_unit_test(test_moves), cmocka_unit_test(test_where_after_a_rollover),
		cmocka_unit_test(test_options),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),       cmocka_unit_test(test_activation_is_cheap),
		cmocka_unit_test(test_running_keeps_its_number), cmocka_unit_test(test_pending_flush),
		cmocka_unit_test(test_too_few_numbers), cmocka_unit_test(test_two_running_keep_one_number),
		cmocka_unit_test(test_switch_against_rollover), cmocka_unit_test(test_churn),
	};

	int failed;

	four_bits.command_line = "tlb-scope=broadcast";
	failed = cmocka_run_group_tests_name("tlb-scope=broadcast", tests, NULL, NULL);
	four_bits.command_line = "tlb-scope=local";
	failed += cmocka_run_group_tests_name("tlb-scope=local", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("where", where_tests, NULL, NULL);
}
