/* SPDX-License-Identifier: BSD-2-Clause */
/* test/frame.c: frames from boot to exhaustion and back, on one CPU and on many. */
#include <stdlib.h>

#include "test_memory.h"
#include "vm/frame_cache.h"

#define MIB (UINT64_C(1) << 20)

static pfn_t alloc(struct test_memory *m, unsigned order, enum frame_owner owner)
{
	pfn_t n;

	CHECK(frame_alloc(&m->frames, order, 0, owner, &n) == OK);
	return n;
}

/* --- boot --- */

static void set_range(struct machine_info *mi, bool bank, uint64_t start, uint64_t end)
{
	if (bank) {
		mi->bank[mi->banks].start = paddr(start);
		mi->bank[mi->banks++].end = paddr(end);
	} else {
		mi->reserve[mi->reserved].start = paddr(start);
		mi->reserve[mi->reserved++].end = paddr(end);
	}
}

/* Two banks, a hole, ragged reserved ranges that overlap: nothing is handed out that should not be. */
static void boot_respects_holes_and_reserved(void **state)
{
	uint64_t base = HOST_RAM_START;
	struct host_config config = {
		.ncpus = 2,
		.junk = true,
		.banks = 2,
		.bank = {{base + 3 * PAGE_SIZE, 8 * MIB}, {base + 12 * MIB, 5 * MIB + 7 * PAGE_SIZE}},
	};
	struct test_memory *m = aligned_alloc(CACHE_LINE, round_up(sizeof *m, CACHE_LINE));
	struct machine_info mi = {.ncpus = 2};
	struct frame_audit a;
	uint64_t total = 0;
	pfn_t n;

	(void)state;
	memset(m, 0, sizeof *m);
	test_machine_init(&m->t, &config);
	/* out of order and adjacent, as a device tree may have it; ends of a bank inside a frame */
	set_range(&mi, true, base + 12 * MIB, base + 17 * MIB + 7 * PAGE_SIZE);
	set_range(&mi, true, base + 4 * MIB, base + 8 * MIB + 3 * PAGE_SIZE - 100);
	set_range(&mi, true, base + 3 * PAGE_SIZE, base + 4 * MIB);
	set_range(&mi, false, base + 2 * MIB + 1, base + 2 * MIB + 2);                  /* one frame */
	set_range(&mi, false, base + MIB, base + MIB + 10 * PAGE_SIZE);                 /* ten */
	set_range(&mi, false, base + MIB + 5 * PAGE_SIZE, base + MIB + 12 * PAGE_SIZE); /* two more */
	set_range(&mi, false, base + 9 * MIB, base + 10 * MIB);                         /* in the hole */
	set_range(&mi, false, base, base + 4 * PAGE_SIZE);                              /* one at the very start */
	assert_int_equal(frames_init(&m->frames, &mi, 2, NULL), OK);

	assert_true(frame_audit(&m->frames, &a));
	assert_int_equal(a.ram, (8 * MIB + 5 * MIB + 7 * PAGE_SIZE) / PAGE_SIZE - 1);
	assert_int_equal(a.owned[FRAME_RESERVED] + a.owned[FRAME_FREE], a.ram);
	/* 1 + 12 + 1 frames were reserved; what boot took for itself is 64 bytes a page, and the core's tables */
	assert_in_range(a.owned[FRAME_RESERVED] - 14, m->frames.count / 64, m->frames.count / 64 + 2);
	assert_int_equal(frames_available(&m->frames), a.owned[FRAME_FREE]);
	while (frame_alloc(&m->frames, 0, FRAME_ZERO, FRAME_ANON, &n) == OK) {
		uint64_t pa = pfn_to_paddr(n).pa;

		assert_true(frame_is_ram(&m->frames, n));
		assert_true((pa >= base + 4 * PAGE_SIZE && pa < base + 8 * MIB + 2 * PAGE_SIZE) ||
			    (pa >= base + 12 * MIB && pa < base + 17 * MIB + 7 * PAGE_SIZE));
		assert_int_not_equal(pa, base + 2 * MIB);
		assert_false(pa >= base + MIB && pa < base + MIB + 12 * PAGE_SIZE);
		total++;
	}
	assert_int_equal(total, a.owned[FRAME_FREE]);
	assert_true(frame_audit(&m->frames, &a)); /* zeroing them did not hit the pages */
	assert_int_equal(a.owned[FRAME_ANON], total);
	frames_release(&m->frames, paddr(base + MIB), paddr(base + MIB + 12 * PAGE_SIZE));
	assert_int_equal(frames_available(&m->frames), 12);
	EXPECT_PANIC("not reserved", frames_release(&m->frames, paddr(base + MIB), paddr(base + MIB + PAGE_SIZE)));
	memory_abandon(m);
}

/* 64 bytes a frame of a gap that is larger than the bank behind it can pay: the bank is left out. */
static void far_bank_is_left_out(void **state)
{
	struct host_config config = {
		.ncpus = 1,
		.banks = 2,
		.bank = {{HOST_RAM_START, 8 * MIB}, {HOST_RAM_START + 2048 * MIB, 4 * MIB}},
	};
	struct frames *f = aligned_alloc(CACHE_LINE, sizeof *f);
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &config);
	assert_int_equal(frames_init(f, machine_info(), 1, NULL), OK);
	assert_int_equal(f->ram, 8 * MIB / PAGE_SIZE);
	test_machine_destroy(&t);
	free(f);
}

static void boot_without_memory(void **state)
{
	struct frames *f = aligned_alloc(CACHE_LINE, sizeof *f);
	struct machine_info mi = {.ncpus = 1};
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	assert_int_equal(frames_init(f, &mi, 1, NULL), ERR_INVAL);
	set_range(&mi, true, HOST_RAM_START + 1, HOST_RAM_START + PAGE_SIZE); /* no whole frame */
	assert_int_equal(frames_init(f, &mi, 1, NULL), ERR_INVAL);
	mi.banks = 0;
	set_range(&mi, true, HOST_RAM_START, HOST_RAM_START + MIB);
	set_range(&mi, false, HOST_RAM_START, HOST_RAM_START + MIB - PAGE_SIZE);
	assert_int_equal(frames_init(f, &mi, 1, NULL), ERR_NOMEM);
	test_machine_destroy(&t);
	free(f);
}

/* With little RAM a CPU, the caches are small: 64 MiB and 64 CPUs must boot and run. */
static void caches_scale_down(void **state)
{
	struct test_memory *m = memory_open(64, 64 * MIB);

	(void)state;
	assert_int_equal(m->frames.cache_max, 4);
	assert_int_equal(m->frames.blocks_max, 0);
	for (uint32_t i = 0; i < 64; i++) { /* fill every cache */
		pfn_t n[8];

		become_cpu(m, i);
		for (unsigned k = 0; k < 8; k++)
			n[k] = alloc(m, 0, FRAME_ANON);
		for (unsigned k = 0; k < 8; k++)
			frame_free(&m->frames, n[k], 0);
	}
	assert_true(frame_core_free(&m->frames.core) + 64 * 4 >= m->before.owned[FRAME_FREE]);
	memory_close(m);
}

/* --- one CPU --- */

static void all_frames_once(void **state)
{
	struct test_memory *m = memory_open(2, 16 * MIB);
	uint64_t free = frames_available(&m->frames), count = 0;
	struct frame_list all;
	struct frame_audit a;
	pfn_t n;

	(void)state;
	frame_list_init(&all);
	assert_int_equal(free, m->before.owned[FRAME_FREE]);
	assert_false(frames_low(&m->frames));
	while (n = frame_get(&m->frames, FRAME_OBJECT), !pfn_is_none(n)) {
		struct vm_page *p = frame_page(&m->frames, n);

		assert_int_equal(frame_of(&m->frames, p).fn, n.fn);
		assert_ptr_equal(frame_bytes(n), phys_to_virt(pfn_to_paddr(n)));
		assert_int_equal(page_owner(p), FRAME_OBJECT);
		assert_false(frame_is_free(&m->frames, n));
		frame_list_push(&m->frames, &all, n);
		count++;
	}
	assert_int_equal(count, free);
	assert_int_equal(frames_available(&m->frames), 0);
	assert_true(frames_low(&m->frames));
	assert_true(frame_audit(&m->frames, &a));
	assert_int_equal(a.owned[FRAME_OBJECT], free);
	assert_int_equal(all.count, free);
	frame_list_free(&m->frames, &all);
	assert_int_equal(frames_available(&m->frames), free);
	memory_close(m);
}

/* Every order: aligned, apart from all others, zeroed when asked, page as promised. */
static void blocks_of_every_order(void **state)
{
	struct test_memory *m = memory_open(1, 32 * MIB);

	(void)state;
	for (unsigned order = 0; order <= 12; order++) {
		pfn_t n, other;
		struct vm_page *p;
		const uint64_t *bytes;

		assert_int_equal(frame_alloc(&m->frames, order, FRAME_ZERO, FRAME_WIRED, &n), OK);
		other = alloc(m, 0, FRAME_TABLE);
		p = frame_page(&m->frames, n);
		assert_int_equal(n.fn & ((UINT64_C(1) << order) - 1), 0);
		assert_false(other.fn >= n.fn && other.fn < n.fn + (UINT64_C(1) << order));
		assert_int_equal(page_order(p), order);
		assert_int_equal(atomic_load_relaxed(&p->pmap.flags), 0);
		bytes = frame_bytes(n);
		for (uint64_t i = 0; i < (PAGE_SIZE << order) / 8; i++)
			if (bytes[i])
				fail_msg("order %u: not zero at word %lu", order, (unsigned long)i);
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++) {
			assert_null(p[i].pmap.rmap_pmap);
			assert_false(frame_is_free(&m->frames, pfn(n.fn + i)));
			atomic_store_relaxed(&p[i].pmap.flags, (uint16_t)PMAP_PAGE_MODIFIED); /* for who comes next */
		}
		assert_int_equal(atomic_load_relaxed(&p->wired), 0);
		memset(frame_bytes(n), 0x77, PAGE_SIZE << order);
		frame_free(&m->frames, n, order);
		frame_free(&m->frames, other, 0);
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
			assert_true(frame_is_free(&m->frames, pfn(n.fn + i)));
	}
	memory_close(m);
}

/* Blocks come back last in, first out; more than the cache holds go to the core. */
static void blocks_are_cached(void **state)
{
	struct test_memory *m = memory_open(2, 128 * MIB);
	struct frame_audit a;
	pfn_t n[4];

	(void)state;
	assert_int_equal(m->frames.blocks_max, 2);
	for (unsigned i = 0; i < 4; i++)
		n[i] = alloc(m, CHUNK_ORDER, FRAME_ANON);
	for (unsigned i = 0; i < 4; i++)
		frame_free(&m->frames, n[i], CHUNK_ORDER);
	assert_true(frame_audit(&m->frames, &a));
	assert_int_equal(a.owned[FRAME_CACHED], 2 * CHUNK_FRAMES);
	assert_int_equal(frames_available(&m->frames), m->before.owned[FRAME_FREE]);
	assert_true(frame_is_free(&m->frames, pfn(n[1].fn + 5)));
	assert_int_equal(alloc(m, CHUNK_ORDER, FRAME_ANON).fn, n[1].fn);
	assert_int_equal(alloc(m, CHUNK_ORDER, FRAME_ANON).fn, n[0].fn);
	frame_free(&m->frames, n[0], CHUNK_ORDER);
	become_cpu(m, 1);
	for (unsigned count = 0;; count++) { /* those in CPU 0's cache are reached too */
		pfn_t f;

		if (frame_alloc(&m->frames, CHUNK_ORDER, 0, FRAME_WIRED, &f) != OK) {
			assert_in_range(count, 60, 64);
			break;
		}
	}
	assert_true(frame_audit(&m->frames, &a));
	assert_int_equal(a.owned[FRAME_CACHED], 0);
	memory_abandon(m);
}

static void split_makes_single_frames(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	pfn_t n = alloc(m, CHUNK_ORDER, FRAME_ANON);
	struct frame_audit a;

	(void)state;
	atomic_store_relaxed(&frame_page(&m->frames, n)->pmap.flags, (uint16_t)PMAP_PAGE_MODIFIED);
	frame_split(&m->frames, n, CHUNK_ORDER);
	assert_true(frame_audit(&m->frames, &a));
	assert_int_equal(a.owned[FRAME_ANON], CHUNK_FRAMES);
	for (uint64_t i = 0; i < CHUNK_FRAMES; i++) {
		struct vm_page *p = frame_page(&m->frames, pfn(n.fn + i));

		assert_int_equal(page_order(p), 0);
		assert_int_equal(atomic_load_relaxed(&p->pmap.flags), PMAP_PAGE_MODIFIED);
		frame_free(&m->frames, pfn(n.fn + i), 0);
	}
	memory_close(m);
}

/* A frame that a reader may still walk keeps its owner until the reader is gone. */
static void free_by_epoch_waits(void **state)
{
	struct test_memory *m = memory_open(2, 16 * MIB);
	struct frame_list l;
	pfn_t table, block, alone;

	(void)state;
	frame_list_init(&l);
	table = alloc(m, 0, FRAME_TABLE);
	block = alloc(m, 3, FRAME_TABLE);
	alone = alloc(m, 0, FRAME_ZONE);
	become_cpu(m, 1);
	epoch_enter(&m->epoch);
	become_cpu(m, 0);
	frame_list_push(&m->frames, &l, table);
	frame_list_push(&m->frames, &l, block);
	frame_list_free_by_epoch(&m->frames, &l);
	frame_free_by_epoch(&m->frames, alone);
	for (unsigned i = 0; i < 10; i++)
		epoch_poll(&m->epoch);
	assert_int_equal(page_owner(frame_page(&m->frames, table)), FRAME_TABLE);
	assert_int_equal(page_owner(frame_page(&m->frames, block)), FRAME_TABLE);
	assert_int_equal(page_owner(frame_page(&m->frames, alone)), FRAME_ZONE);
	become_cpu(m, 1);
	epoch_leave(&m->epoch);
	become_cpu(m, 0);
	for (unsigned i = 0; i < 4; i++)
		epoch_poll(&m->epoch);
	assert_true(frame_is_free(&m->frames, table));
	assert_true(frame_is_free(&m->frames, block));
	assert_true(frame_is_free(&m->frames, alone));
	memory_close(m);
}

static void misuse_panics(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	pfn_t n = alloc(m, 2, FRAME_WIRED), single = alloc(m, 0, FRAME_ANON);
	pfn_t meta = frame_of_bytes(m->frames.pages);

	(void)state;
	EXPECT_PANIC("allocated with 2", frame_free(&m->frames, n, 1));
	EXPECT_PANIC("lies inside a block", frame_free(&m->frames, pfn(n.fn + 1), 0));
	EXPECT_PANIC("reserved and was freed", frame_free(&m->frames, meta, 0));
	atomic_store_relaxed(&frame_page(&m->frames, single)->wired, (uint16_t)1);
	EXPECT_PANIC("wire it", frame_free(&m->frames, single, 0));
	atomic_store_relaxed(&frame_page(&m->frames, single)->wired, (uint16_t)0);
	frame_page(&m->frames, single)->pmap.rmap_pmap = (struct pmap *)m;
	EXPECT_PANIC("while it is mapped", frame_free(&m->frames, single, 0));
	frame_page(&m->frames, single)->pmap.rmap_pmap = NULL;
	frame_free(&m->frames, single, 0);
	EXPECT_PANIC("free and was freed again", frame_free(&m->frames, single, 0));
	frame_free(&m->frames, n, 2);
	EXPECT_PANIC("free and was freed again", frame_free(&m->frames, n, 2));
	memory_close(m);
}

/* The audit is worth something only if it notices. */
static void audit_notices(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	struct frame_audit a;
	pfn_t n = alloc(m, 1, FRAME_ANON);
	struct vm_page *p = frame_page(&m->frames, n);
	uint32_t index = (uint32_t)(p - m->frames.pages);

	(void)state;
	page_set_owner(p, FRAME_FREE);
	assert_false(frame_audit(&m->frames, &a));
	assert_int_equal(a.where.fn, n.fn);
	page_set_owner(p, FRAME_ANON);
	page_set_owner(p + 1, FRAME_ANON);
	assert_false(frame_audit(&m->frames, &a));
	page_set_owner(p + 1, FRAME_FREE);
	frame_core_put(&m->frames.core, 0, &index, 1, 0); /* the core believes that the head is free */
	assert_false(frame_audit(&m->frames, &a));
	assert_int_equal(a.where.fn, n.fn);
	memory_abandon(m);

	m = memory_open(1, 16 * MIB);
	n = alloc(m, 0, FRAME_ANON);
	page_set_owner(frame_page(&m->frames, n), FRAME_FREE); /* in no cache */
	assert_false(frame_audit(&m->frames, &a));
	memory_abandon(m);
}

/* --- other CPUs' caches --- */

static void others_caches_are_reached(void **state)
{
	struct test_memory *m = memory_open(4, 32 * MIB);
	uint64_t free = m->before.owned[FRAME_FREE], count = 0, cached = 0;
	struct frame_list all;
	pfn_t n[FRAME_CACHE_MAX], block, f;

	(void)state;
	frame_list_init(&all);
	for (uint32_t cpu = 1; cpu < 4; cpu++) {
		become_cpu(m, cpu);
		block = alloc(m, CHUNK_ORDER, FRAME_ANON);
		for (unsigned i = 0; i < m->frames.cache_max; i++)
			n[i] = alloc(m, 0, FRAME_ANON);
		for (unsigned i = 0; i < m->frames.cache_max; i++)
			frame_free(&m->frames, n[i], 0);
		frame_free(&m->frames, block, CHUNK_ORDER);
		cached += frame_stack_count(&m->frames.cache[cpu].stack[FRAME_MOVABLE]);
	}
	assert_true(cached >= 3 * m->frames.cache_max / 2);
	become_cpu(m, 0);
	while (f = frame_get(&m->frames, FRAME_ANON), !pfn_is_none(f)) {
		frame_list_push(&m->frames, &all, f);
		count++;
	}
	assert_int_equal(count, free);
	while (f = frame_list_pop(&m->frames, &all), !pfn_is_none(f))
		frame_put(&m->frames, f);
	/* and for a block, when its parts lie in caches: all but one frame of RAM is taken back in order */
	for (uint32_t cpu = 0; cpu < 4; cpu++) {
		become_cpu(m, cpu);
		f = alloc(m, 0, FRAME_ANON);
		frame_free(&m->frames, f, 0);
	}
	for (count = 0; frame_alloc(&m->frames, CHUNK_ORDER, 0, FRAME_ANON, &f) == OK; count++)
		frame_list_push(&m->frames, &all, f);
	frame_list_free(&m->frames, &all);
	memory_empty(m);
	for (; frame_alloc(&m->frames, CHUNK_ORDER, 0, FRAME_ANON, &f) == OK; count--)
		frame_list_push(&m->frames, &all, f);
	assert_int_equal(count, 0);
	frame_list_free(&m->frames, &all);
	memory_close(m);
}

/*
 * Lets other CPUs act, on this thread, at the k-th moment of CPU 0's search at
 * which it holds nothing: every interleaving with one interruption, one by one.
 */
static struct {
	struct test_memory *m;
	void (*act)(struct test_memory *m);
	unsigned countdown;
	bool acting, acted;
} interloper;
static pfn_t interloper_frame;

static void interlope(void)
{
	const struct cpu_debug *d = cpu_debug();

	if (interloper.acted || interloper.acting || !interloper.m->frames.core.searching.x)
		return;
	for (uint32_t i = 0; i < d->held_count; i++) { /* what it is about to take is still free: the word of a gate or of a lock */
		const unsigned *word = d->held_lock[i];

		if (d->held_rank[i] != RANK_FRAME_CACHE || *word)
			return;
	}
	if (interloper.countdown-- > 0)
		return;
	interloper.acting = true;
	interloper.act(interloper.m);
	become_cpu(interloper.m, 0);
	interloper.acting = false;
	interloper.acted = true;
}

/* CPU 1 needs a frame, and would fill its cache. */
static void act_alloc(struct test_memory *m)
{
	become_cpu(m, 1);
	interloper_frame = alloc(m, 0, FRAME_OBJECT);
}

/* CPU 1 frees one, then CPU 2 takes the last one of its own. */
static void act_free_and_alloc(struct test_memory *m)
{
	become_cpu(m, 1);
	frame_free(&m->frames, interloper_frame, 0);
	become_cpu(m, 2);
	interloper_frame = alloc(m, 0, FRAME_OBJECT);
}

/*
 * Frames free: n, all in CPU 2's cache. CPU 0 must get one, whenever the others
 * act. Returns how many moments there were.
 */
static unsigned search_against(void (*act)(struct test_memory *m), unsigned n)
{
	unsigned k;

	for (k = 0;; k++) {
		struct test_memory *m = memory_open(3, 16 * MIB);
		struct frame_list all;
		enum error e;
		pfn_t f;

		frame_list_init(&all);
		while (frame_alloc(&m->frames, 0, 0, FRAME_ANON, &f) == OK)
			frame_list_push(&m->frames, &all, f);
		interloper_frame = frame_list_pop(&m->frames, &all);
		become_cpu(m, 2);
		for (unsigned i = 0; i < n; i++)
			frame_free(&m->frames, frame_list_pop(&m->frames, &all), 0);
		become_cpu(m, 0);
		interloper.m = m;
		interloper.act = act;
		interloper.countdown = k;
		interloper.acting = interloper.acted = false;
		host_point = interlope;
		e = frame_alloc(&m->frames, 0, 0, FRAME_ANON, &f);
		host_point = NULL;
		if (e != OK)
			fail_msg("refused at moment %u although frames were free all the time", k);
		memory_abandon(m);
		if (!interloper.acted)
			return k;
	}
}

static void search_misses_nothing(void **state)
{
	(void)state;
	assert_true(search_against(act_alloc, 3) >= 4);
	assert_true(search_against(act_alloc, 2) >= 4);
	assert_true(search_against(act_free_and_alloc, 1) >= 3);
}

struct quota {
	struct test_memory *m;
	uint64_t frames; /* that each CPU may hold */
};

/*
 * All CPUs together may hold exactly the frames that there are. So whoever holds
 * less than its part knows that one is free at every moment of its call.
 */
static void live_on_quota(uint32_t cpu, void *arg)
{
	struct quota *q = arg;
	struct frames *f = &q->m->frames;
	pfn_t *held = calloc(q->frames, sizeof *held);
	uint64_t count = 0;
	unsigned seed = TEST_SEED + cpu;

	jitter(32);
	for (unsigned step = 0; step < 15000; step++) {
		unsigned r = (unsigned)rand_r(&seed);

		/* most of the time near the limit, all the way down now and then */
		if (count < q->frames && (r % 512 != 0)) {
			uint64_t *word;

			CHECK(frame_alloc(f, 0, 0, FRAME_ANON, &held[count]) == OK);
			word = frame_bytes(held[count]);
			word[0] = word[511] = (uint64_t)cpu << 32 | step;
			count++;
		}
		for (uint64_t drop = r % 512 == 0 ? count : r / 512 % 3; drop > 0 && count > 0; drop--) {
			uint64_t i = r % count;
			const uint64_t *word = frame_bytes(held[i]);

			CHECK(word[0] == word[511] && word[0] >> 32 == cpu);
			frame_free(f, held[i], 0);
			held[i] = held[--count];
		}
		if (r % 4096 == 1)
			frames_drain(f);
	}
	while (count > 0)
		frame_free(f, held[--count], 0);
	jitter(0);
	free(held);
}

static void no_failure_while_one_is_free(void **state)
{
	struct test_memory *m = memory_open(4, 4 * MIB);
	struct quota q = {m, 60};
	uint64_t surplus = m->before.owned[FRAME_FREE] - 4 * q.frames;
	struct frame_list rest;

	(void)state;
	frame_list_init(&rest);
	while (surplus-- > 0)
		frame_list_push(&m->frames, &rest, alloc(m, 0, FRAME_WIRED));
	run_on_cpus(m->t.m, 4, live_on_quota, &q);
	frame_list_free(&m->frames, &rest);
	memory_close(m);
}

/* --- everything at once --- */

static void churn(uint32_t cpu, void *arg)
{
	struct test_memory *m = arg;
	struct {
		pfn_t n;
		unsigned order;
	} held[128];
	unsigned count = 0, seed = TEST_SEED + cpu;

	jitter(64);
	for (unsigned step = 0; step < 10000; step++) {
		unsigned r = (unsigned)rand_r(&seed);
		unsigned order = r % 8 ? 0 : r / 8 % 32 == 0 ? CHUNK_ORDER : r / 8 % 5;

		if (r / 256 % 2 && count < ARRAY_SIZE(held)) {
			uint32_t *word;

			if (frame_alloc(&m->frames, order, r / 512 % 8 ? 0 : FRAME_ZERO, FRAME_ANON, &held[count].n) !=
			    OK)
				continue;
			word = frame_bytes(held[count].n);
			word[0] = cpu + 1;
			word[(PAGE_SIZE << order) / 4 - 1] = cpu + 1;
			held[count++].order = order;
		} else if (count > 0) {
			unsigned i = r / 512 % count;
			const uint32_t *word = frame_bytes(held[i].n);

			CHECK(word[0] == cpu + 1 && word[(PAGE_SIZE << held[i].order) / 4 - 1] == cpu + 1);
			if (r / 512 % 16 == 0)
				frame_free_by_epoch(&m->frames, held[i].n);
			else
				frame_free(&m->frames, held[i].n, held[i].order);
			held[i] = held[--count];
		}
		if (epoch_should_poll(&m->epoch))
			epoch_poll(&m->epoch);
		if (r % 2048 == 1)
			frames_drain(&m->frames);
	}
	while (count-- > 0)
		frame_free(&m->frames, held[count].n, held[count].order);
	jitter(0);
}

static void crowd(void **state)
{
	struct test_memory *m = memory_open(4, 144 * MIB); /* enough for blocks in caches */

	(void)state;
	assert_true(m->frames.blocks_max > 0);
	run_on_cpus(m->t.m, 4, churn, m);
	memory_check(m);
	memory_fail(m, 7);
	run_on_cpus(m->t.m, 4, churn, m);
	assert_true(atomic_load_relaxed(&m->turn) > 7);
	memory_fail(m, 0);
	memory_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_respects_holes_and_reserved),
		cmocka_unit_test(far_bank_is_left_out),
		cmocka_unit_test(boot_without_memory),
		cmocka_unit_test(caches_scale_down),
		cmocka_unit_test(all_frames_once),
		cmocka_unit_test(blocks_of_every_order),
		cmocka_unit_test(blocks_are_cached),
		cmocka_unit_test(split_makes_single_frames),
		cmocka_unit_test(free_by_epoch_waits),
		cmocka_unit_test(misuse_panics),
		cmocka_unit_test(audit_notices),
		cmocka_unit_test(others_caches_are_reached),
		cmocka_unit_test(search_misses_nothing),
		cmocka_unit_test(no_failure_while_one_is_free),
		cmocka_unit_test(crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
