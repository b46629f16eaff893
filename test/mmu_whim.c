/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/mmu_whim.c: what the simulated hardware is free to do, done as the test
 * wants it: walkers that see stores late, speculation, evictions, spurious
 * faults, late invalidations. One thread plays all vCPUs (host_become).
 */
#include "tables.h"

#define VA UINT64_C(0x7f0000400000)
#define ASID 3u

static struct host_fault fault;

/* The harness: what it answers, what it was asked and told. */
static unsigned answer[HOST_WHIMS], asked[HOST_WHIMS], choices[HOST_WHIMS];
static struct {
	uint32_t cpu;
	const void *p;
	uint64_t value;
	unsigned count;
} walked;
static struct {
	const void *bytes;
	size_t n;
	bool write;
	unsigned count;
} accessed;
static unsigned barriers;
static enum host_offence last_offence;

static unsigned choose(void *context, enum host_whim whim, unsigned n)
{
	(void)context;
	asked[whim]++;
	choices[whim] = n;
	return answer[whim] < n ? answer[whim] : 0;
}

static void on_walk(void *context, uint32_t cpu, const void *p, uint64_t value)
{
	(void)context;
	walked.cpu = cpu;
	walked.p = p;
	walked.value = value;
	walked.count++;
}

static void on_access(void *context, const void *bytes, size_t n, bool write)
{
	(void)context;
	accessed.bytes = bytes;
	accessed.n = n;
	accessed.write = write;
	accessed.count++;
}

static void on_barrier(void *context)
{
	(void)context;
	barriers++;
}

/* The order that the kernel would have made: everything up to this stamp is before. */
static uint64_t clock_now, known;

static uint64_t on_stamp(void *context)
{
	(void)context;
	return ++clock_now;
}

static bool on_before(void *context, uint32_t by, uint64_t stamp)
{
	(void)context;
	(void)by;
	return stamp <= known;
}

static uint64_t on_now(void *context) { return *(uint64_t *)context; }

static void report(void *context, enum host_offence what, const char *text)
{
	(void)context;
	(void)text;
	last_offence = what;
}

static uint64_t the_time;

struct scene {
	struct test_machine t;
	paddr_t root;
};

static void be(struct scene *s, uint32_t cpu) { host_become(s->t.m, cpu); }

/* Two vCPUs with the same root loaded. */
static void scene_open(struct scene *s, struct host_config c)
{
	c.ncpus = 2;
	c.ram = 16 << 20;
	c.seed = TEST_SEED;
	c.late_stores = true;
	c.ops = (struct host_ops){.choose = choose,
				  .walked = on_walk,
				  .user_access = on_access,
				  .barrier = on_barrier,
				  .stamp = on_stamp,
				  .before = on_before,
				  .now = on_now,
				  .report = report,
				  .context = &the_time};
	memset(answer, 0, sizeof answer);
	memset(asked, 0, sizeof asked);
	walked.count = accessed.count = barriers = 0;
	known = 0;
	test_machine_init(&s->t, &c);
	s->root = test_frame(&s->t);
	for (uint32_t cpu = 2; cpu-- > 0;) {
		be(s, cpu);
		mmu_load_user(s->root, ASID);
	}
}

static void scene_close(struct scene *s)
{
	be(s, 0);
	test_machine_destroy(&s->t);
}

static enum host_fault_kind load(uint64_t va)
{
	uint64_t v;

	return host_user_load64(vaddr(va), &v, &fault) ? fault.kind : HOST_FAULT_NONE;
}

static enum host_fault_kind store(uint64_t va)
{
	return host_user_store64(vaddr(va), 1, &fault) ? fault.kind : HOST_FAULT_NONE;
}

static void stores_are_late_until_a_barrier(void **state)
{
	struct scene s;
	struct pte *p;
	paddr_t f;

	(void)state;
	scene_open(&s, (struct host_config){0});
	f = test_frame(&s.t);
	p = table_slot(&s.t, s.root, VA, 3);
	mmu_pte_store(p, f.pa | D_DATA | D_PAGE);
	be(&s, 1);
	answer[HOST_WHIM_WALKER] = 1; /* the older one */
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_int_equal(choices[HOST_WHIM_WALKER], 2);
	mmu_dsb_ish(); /* not the storer's, and it has read nothing */
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	answer[HOST_WHIM_WALKER] = 0;
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	mmu_tlbi_local_all();
	answer[HOST_WHIM_WALKER] = 1;
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION); /* it need not see again what it has seen */
	be(&s, 0);
	mmu_dsb_ishst();
	be(&s, 1);
	asked[HOST_WHIM_WALKER] = 0;
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	assert_int_equal(asked[HOST_WHIM_WALKER], 0);
	/* taken away without a barrier: an invalidation alone does not help */
	be(&s, 0);
	mmu_pte_store(p, 0);
	mmu_tlbi_page(ASID, vaddr(VA), true);
	be(&s, 1);
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	be(&s, 0);
	mmu_dsb_ish();
	mmu_tlbi_page(ASID, vaddr(VA), true);
	mmu_dsb_ish();
	be(&s, 1);
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_int_equal(host_offences(s.t.m, HOST_OFFENCES), 0);
	scene_close(&s);
}

static void a_reader_pushes_what_it_read(void **state)
{
	struct scene s;
	struct pte *p;
	paddr_t f, g;

	(void)state;
	scene_open(&s, (struct host_config){0});
	f = test_frame(&s.t);
	g = test_frame(&s.t);
	p = table_slot(&s.t, s.root, VA, 3);
	mmu_pte_store(p, f.pa | D_DATA | D_RO | D_PAGE);
	(void)mmu_pte_swap(p, f.pa | D_DATA | D_PAGE);
	(void)mmu_pte_or(p, D_RO);
	be(&s, 1);
	answer[HOST_WHIM_WALKER] = 3; /* the oldest of 0, read-only, writable, read-only */
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_int_equal(choices[HOST_WHIM_WALKER], 4);
	assert_true(mmu_pte_load(p) & D_RO);
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION); /* read, but no barrier */
	mmu_dsb_ish();
	asked[HOST_WHIM_WALKER] = 0;
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	assert_int_equal(asked[HOST_WHIM_WALKER], 0);
	/* a compare-and-swap that fails is a read */
	be(&s, 0);
	mmu_pte_store(p, 0);
	mmu_dsb_ish();
	mmu_tlbi_page(ASID, vaddr(VA), true);
	mmu_dsb_ish();
	mmu_pte_store(p, g.pa | D_DATA | D_PAGE);
	be(&s, 1);
	answer[HOST_WHIM_WALKER] = 1;
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_false(mmu_pte_cas(p, &(uint64_t){0}, 1));
	mmu_dsb_ishst();
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	/* a frame that is cleared as a whole holds what it holds */
	mmu_tlbi_local_all();
	be(&s, 0);
	mmu_pte_store(p, 0);
	machine_zero_frame(virt_to_phys((void *)((uintptr_t)p & ~(uintptr_t)PAGE_MASK)));
	mmu_tlbi_local_all();
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_int_equal(host_offences(s.t.m, HOST_OFFENCES), 0);
	scene_close(&s);
}

/* A lock that another vCPU has released tells of its stores: a DSB after that covers them. */
static void a_barrier_covers_what_is_before_it(void **state)
{
	struct scene s;
	struct pte *p;

	(void)state;
	scene_open(&s, (struct host_config){0});
	p = table_slot(&s.t, s.root, VA, 3);
	mmu_pte_store(p, test_frame(&s.t).pa | D_DATA | D_RO | D_PAGE);
	known = clock_now;
	(void)mmu_pte_and(p, ~D_RO);
	be(&s, 1);
	mmu_dsb_ish();
	answer[HOST_WHIM_WALKER] = 9; /* out of range: the newest */
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	assert_int_equal(choices[HOST_WHIM_WALKER], 2); /* the empty one is gone, the second store is still late */
	mmu_tlbi_local_all();
	known = clock_now;
	mmu_dsb_ish();
	asked[HOST_WHIM_WALKER] = 0;
	assert_int_equal(store(VA), HOST_FAULT_NONE);
	assert_int_equal(asked[HOST_WHIM_WALKER], 0);
	scene_close(&s);
}

static void hardware_updates_the_newest(void **state)
{
	struct scene s;
	struct pte *p;
	paddr_t f;

	(void)state;
	scene_open(&s, (struct host_config){.hw_access = true, .hw_dirty = true});
	f = test_frame(&s.t);
	p = table_slot(&s.t, s.root, VA, 3);
	mmu_pte_store(p, (f.pa | D_DATA | D_RO | D_DBM | D_PAGE) & ~D_AF);
	mmu_dsb_ish();
	mmu_pte_store(p, 0);
	answer[HOST_WHIM_WALKER] = 1; /* the old one wants its access flag */
	assert_int_equal(load(VA), HOST_FAULT_TRANSLATION);
	assert_int_equal(mmu_pte_load(p), 0);
	mmu_dsb_ish();
	/* what it updates leaves no older value */
	mmu_pte_store(p, (f.pa | D_DATA | D_RO | D_DBM | D_PAGE) & ~D_AF);
	answer[HOST_WHIM_WALKER] = 0;
	assert_int_equal(store(VA), HOST_FAULT_NONE);
	assert_int_equal(mmu_pte_load(p), f.pa | D_DATA | D_DBM | D_PAGE);
	mmu_tlbi_local_all();
	answer[HOST_WHIM_WALKER] = 1;
	asked[HOST_WHIM_WALKER] = 0;
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	assert_int_equal(asked[HOST_WHIM_WALKER], 0);
	scene_close(&s);
}

static void invalidations_arrive_as_wanted(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, (struct host_config){.tlbi = HOST_TLBI_LATE});
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	for (unsigned late = 0; late <= 1; late++) {
		be(&s, 1);
		assert_int_equal(load(VA), HOST_FAULT_NONE);
		be(&s, 0);
		answer[HOST_WHIM_TLBI] = late;
		mmu_tlbi_page(ASID, vaddr(VA), true);
		assert_int_equal(host_tlb_holds(s.t.m, 1, ASID, vaddr(VA)), late);
		mmu_dsb_ish();
		assert_false(host_tlb_holds(s.t.m, 1, ASID, vaddr(VA)));
	}
	scene_close(&s);
}

static void any_vcpu_speculates(void **state)
{
	struct scene s;
	struct pte *p;
	bool leaf = false, table = false;

	(void)state;
	scene_open(&s, (struct host_config){0});
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	p = table_slot(&s.t, s.root, VA, 3);
	assert_int_equal(load(VA), HOST_FAULT_NONE); /* CPU 0's; CPU 1 has never been there */
	assert_false(host_walk_holds(s.t.m, 1, ASID, vaddr(VA), 2));
	for (unsigned a = 1; a <= 2; a++) {
		be(&s, 1);
		mmu_tlbi_local_all();
		be(&s, 0);
		answer[HOST_WHIM_PREFETCH] = a;
		mmu_pte_store(p, mmu_pte_load(p));
		assert_true(choices[HOST_WHIM_PREFETCH] >= 3);
		answer[HOST_WHIM_PREFETCH] = 0;
		assert_true(host_walk_holds(s.t.m, 1, ASID, vaddr(VA), 2));
		if (host_tlb_holds(s.t.m, 1, ASID, vaddr(VA)))
			leaf = true;
		else
			table = true;
	}
	assert_true(leaf && table);
	/* the last moment to fetch the old way is before the store; never what is invalid, never without a root */
	be(&s, 1);
	mmu_tlbi_local_all();
	be(&s, 0);
	answer[HOST_WHIM_PREFETCH] = 1;
	mmu_pte_store(p, 0);
	answer[HOST_WHIM_PREFETCH] = 0;
	assert_true(host_tlb_holds(s.t.m, 1, ASID, vaddr(VA)));
	mmu_dsb_ish();
	answer[HOST_WHIM_PREFETCH] = 1;
	mmu_tlbi_asid(ASID);
	mmu_dsb_ish();
	mmu_dsb_ish();
	assert_false(host_tlb_holds(s.t.m, 1, ASID, vaddr(VA)));
	be(&s, 1);
	mmu_clear_user();
	be(&s, 0);
	mmu_tlbi_asid(ASID);
	mmu_dsb_ish();
	assert_false(host_walk_holds(s.t.m, 1, ASID, vaddr(VA), 2));
	scene_close(&s);
}

static void entries_go_and_accesses_fault(void **state)
{
	struct host_stats before, after;
	struct scene s;

	(void)state;
	scene_open(&s, (struct host_config){0});
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	for (unsigned evict = 0; evict <= 2; evict++) {
		answer[HOST_WHIM_EVICT] = 0;
		mmu_tlbi_local_all();
		assert_int_equal(load(VA), HOST_FAULT_NONE);
		answer[HOST_WHIM_EVICT] = evict;
		before = host_stats(s.t.m);
		assert_int_equal(load(VA), HOST_FAULT_NONE);
		after = host_stats(s.t.m);
		assert_int_equal(choices[HOST_WHIM_EVICT], 3); /* nothing, the table, the page */
		assert_int_equal(after.misses - before.misses, evict == 2);
	}
	answer[HOST_WHIM_EVICT] = 0;
	answer[HOST_WHIM_SPURIOUS] = 1;
	assert_int_equal(load(VA), HOST_FAULT_PERMISSION);
	assert_int_equal(store(VA), HOST_FAULT_PERMISSION);
	answer[HOST_WHIM_SPURIOUS] = 0;
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	asked[HOST_WHIM_SPURIOUS] = 0;
	assert_int_equal(load(VA + PAGE_SIZE), HOST_FAULT_TRANSLATION);
	assert_int_equal(asked[HOST_WHIM_SPURIOUS], 0); /* what faults anyway */
	scene_close(&s);
}

static void the_harness_is_told(void **state)
{
	struct scene s;
	struct pte *p;
	paddr_t f;
	char bytes[3 * 8];

	(void)state;
	scene_open(&s, (struct host_config){0});
	f = test_frame(&s.t);
	table_map(&s.t, s.root, VA, f, D_DATA);
	p = table_slot(&s.t, s.root, VA, 3);
	be(&s, 1);
	walked.count = accessed.count = barriers = 0;
	assert_int_equal(load(VA + 16), HOST_FAULT_NONE);
	assert_int_equal(walked.count, 4);
	assert_int_equal(walked.cpu, 1);
	assert_ptr_equal(walked.p, p);
	assert_int_equal(walked.value, f.pa | D_DATA | D_PAGE);
	assert_int_equal(accessed.count, 1);
	assert_ptr_equal(accessed.bytes, (char *)phys_to_virt(f) + 16);
	assert_int_equal(accessed.n, 8);
	assert_false(accessed.write);
	assert_int_equal(host_user_write(vaddr(VA), memset(bytes, 1, sizeof bytes), sizeof bytes, &fault), OK);
	assert_int_equal(walked.count, 4); /* out of the TLB */
	assert_int_equal(accessed.count, 2);
	assert_int_equal(accessed.n, sizeof bytes);
	assert_true(accessed.write);
	mmu_dsb_ishst();
	mmu_dsb_ish();
	assert_int_equal(barriers, 2);
	the_time = 12345;
	assert_int_equal(machine_now(), 12345);
	scene_close(&s);
}

static void asks_nobody_without_a_harness(void **state)
{
	static const struct host_config plain = {
		.ncpus = 2, .ram = 16 << 20, .seed = TEST_SEED, .late_stores = true, .prefetch = UINT32_MAX};
	struct test_machine t;
	unsigned old = 0, new = 0;
	paddr_t root;
	struct pte *p;

	(void)state;
	memset(asked, 0, sizeof asked);
	test_machine_init(&t, &plain);
	root = test_frame(&t);
	mmu_load_user(root, ASID);
	p = table_slot(&t, root, VA, 3);
	mmu_pte_store(p, test_frame(&t).pa | D_DATA | D_PAGE);
	for (unsigned i = 0; i < 64; i++) {
		if (load(VA) == HOST_FAULT_NONE)
			new ++;
		else
			old++;
		mmu_tlbi_local_all();
	}
	assert_true(old > 8 && new > 8); /* the seed decides */
	mmu_dsb_ish();
	assert_int_equal(load(VA), HOST_FAULT_NONE);
	for (unsigned i = 0; i < HOST_WHIMS; i++)
		assert_int_equal(asked[i], 0);
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_are_late_until_a_barrier),    cmocka_unit_test(a_reader_pushes_what_it_read),
		cmocka_unit_test(a_barrier_covers_what_is_before_it), cmocka_unit_test(hardware_updates_the_newest),
		cmocka_unit_test(invalidations_arrive_as_wanted),     cmocka_unit_test(any_vcpu_speculates),
		cmocka_unit_test(entries_go_and_accesses_fault),      cmocka_unit_test(the_harness_is_told),
		cmocka_unit_test(asks_nobody_without_a_harness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
