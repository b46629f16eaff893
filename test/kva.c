/* SPDX-License-Identifier: BSD-2-Clause */
/* test/kva.c: arenas of kernel addresses: segments, caches, alignment, waiting; against a plain map of pages. */
#include <stdlib.h>

#include "base/bits.h"
#include "test_memory.h"
#include "vm/kva.h"

#define BASE UINT64_C(0xffffd00000000000)
#define PAGES 512u

static struct test_memory *m;
static struct kmalloc k;
static struct zone *segments;
static struct kva a;
static uint8_t taken[PAGES]; /* who has the page, 0: nobody */

static void open_arena(uint64_t pages, unsigned flags)
{
	assert_int_equal(kva_init(&a, "test", vaddr(BASE), pages << PAGE_SHIFT, flags, segments, &k), OK);
}

static int setup(void **state)
{
	(void)state;
	m = memory_open(4, 16 << 20);
	assert_int_equal(kmalloc_init(&k, &m->zones), OK);
	segments = kva_segment_zone(&m->zones);
	memset(taken, 0, sizeof taken);
	memory_empty(m);
	return !frame_audit(&m->frames, &m->before);
}

static int teardown(void **state)
{
	(void)state;
	kva_check(&a);
	kva_fini(&a);
	zone_check(segments);
	memory_close(m);
	return 0;
}

static uint64_t get(uint64_t pages, uint64_t align, unsigned flags)
{
	vaddr_t va;

	assert_int_equal(kva_alloc(&a, pages, align, flags, &va), OK);
	assert_int_equal(va.va % (align << PAGE_SHIFT), 0);
	assert_true(va.va >= BASE && va.va + (pages << PAGE_SHIFT) <= BASE + (a.pages << PAGE_SHIFT));
	return va.va;
}

static void put(uint64_t va, uint64_t pages) { kva_free(&a, vaddr(va), pages); }

/* Frees all that is in use, by the arena's own list. It has no caches. */
static void put_all(void)
{
	struct list *it = a.order.next;

	while (it != &a.order) {
		struct kva_segment *s = CONTAINER_OF(it, struct kva_segment, order);

		it = it->next;
		if (!s->used)
			continue;
		put(s->page << PAGE_SHIFT, s->pages);
		it = a.order.next;
	}
	assert_int_equal(a.count, 1);
}

static void mark(uint64_t va, uint64_t pages, uint8_t from, uint8_t to)
{
	for (uint64_t i = 0; i < pages; i++) {
		uint8_t *t = &taken[((va - BASE) >> PAGE_SHIFT) + i];

		assert_int_equal(*t, from);
		*t = to;
	}
}

/* --- segments --- */

static void a_whole_arena_in_one_piece(void **state)
{
	vaddr_t va;

	(void)state;
	open_arena(PAGES, 0);
	assert_int_equal(get(PAGES, 1, 0), BASE);
	assert_int_equal(kva_alloc(&a, 1, 1, 0, &va), ERR_NOSPACE);
	assert_int_equal(a.count, 1);
	put(BASE, PAGES);
	assert_int_equal(kva_alloc(&a, PAGES + 1, 1, 0, &va), ERR_NOSPACE);
	assert_int_equal(kva_alloc(&a, PAGES + 1, 1, KVA_WAIT, &va), ERR_NOSPACE); /* it would wait for ever */
	assert_int_equal(atomic_load_relaxed(&a.failures), 3);
}

static void what_is_freed_merges_with_both_neighbours(void **state)
{
	static const unsigned order[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	(void)state;
	open_arena(60, KVA_NO_CACHE);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		uint64_t va[3];

		for (unsigned n = 0; n < 3; n++)
			va[n] = get(20, 1, 0);
		for (unsigned n = 0; n < 3; n++) {
			put(va[order[i][n]], 20);
			kva_check(&a);
		}
		assert_int_equal(a.count, 1);
		put(get(60, 1, 0), 60);
	}
}

static void alignment_leaves_what_is_before_it(void **state)
{
	uint64_t one, aligned, before;

	(void)state;
	open_arena(PAGES, KVA_NO_CACHE);
	one = get(1, 1, 0);
	assert_int_equal(one, BASE);
	aligned = get(64, 64, 0);
	assert_int_equal(aligned, BASE + 64 * PAGE_SIZE);
	kva_check(&a);
	before = get(63, 1, KVA_BEST_FIT); /* exactly the gap */
	assert_int_equal(before, BASE + PAGE_SIZE);
	put(aligned, 64);
	put(one, 1);
	put(before, 63);
	assert_int_equal(a.count, 1);
}

/* Free: 9 pages and 12 pages and the rest. */
static void best_fit_takes_the_smallest_instant_fit_the_surest(void **state)
{
	uint64_t va[5];

	(void)state;
	open_arena(PAGES, KVA_NO_CACHE);
	va[0] = get(12, 1, 0);
	va[1] = get(1, 1, 0);
	va[2] = get(9, 1, 0);
	va[3] = get(1, 1, 0);
	put(va[0], 12);
	put(va[2], 9);
	assert_int_equal(get(9, 1, KVA_BEST_FIT), va[2]);
	put(va[2], 9);
	va[4] = get(10, 1, 0); /* 9, freed last, is too small, and so may be what is on its list: from the rest */
	assert_true(va[4] > va[3]);
	put(va[4], 10);
	assert_true(get(8, 1, 0) < va[3]); /* 8 .. 15 will do whichever it is */
	put_all();
}

/* Free, in one list: 9 pages and 12 pages, freed last; in another: 8 and, behind an alignment, 20. */
static void best_fit_looks_at_all_that_may_fit(void **state)
{
	uint64_t va[8];

	(void)state;
	open_arena(128, KVA_NO_CACHE);
	for (unsigned i = 0; i < 8; i++) {
		static const uint8_t pages[8] = {9, 1, 12, 1, 8, 1, 20, 76};

		va[i] = get(pages[i], 1, 0);
	}
	put(va[0], 9);
	put(va[2], 12);
	assert_int_equal(get(9, 1, KVA_BEST_FIT), va[0]);
	assert_int_equal(get(12, 1, KVA_BEST_FIT), va[2]);
	put(va[4], 8);
	put(va[6], 20);
	assert_int_equal(get(9, 1, KVA_BEST_FIT), va[6]); /* nothing on the list of 8 .. 15 will do */
	put_all();
}

/* What fits is not what was freed last, and no other list has anything. */
static void the_last_room_is_searched_for(void **state)
{
	uint64_t va[4];

	(void)state;
	open_arena(14, KVA_NO_CACHE);
	va[0] = get(7, 1, 0);
	va[1] = get(1, 1, 0);
	va[2] = get(5, 1, 0);
	va[3] = get(1, 1, 0);
	put(va[0], 7);
	put(va[2], 5);
	assert_int_equal(get(7, 1, 0), va[0]);
	put_all();
}

static void an_address_is_found(void **state)
{
	struct vrange r;
	uint64_t va;
	bool used;

	(void)state;
	open_arena(PAGES, KVA_NO_CACHE);
	va = get(3, 1, 0);
	assert_true(kva_find(&a, vaddr(va + 3 * PAGE_SIZE - 1), &r, &used));
	assert_true(used && r.start.va == va && r.end.va == va + 3 * PAGE_SIZE);
	assert_true(kva_find(&a, vaddr(va + 3 * PAGE_SIZE), &r, &used));
	assert_true(!used && r.start.va == va + 3 * PAGE_SIZE && r.end.va == BASE + PAGES * PAGE_SIZE);
	assert_false(kva_find(&a, vaddr(BASE - 1), &r, &used));
	assert_false(kva_find(&a, vaddr(BASE + PAGES * PAGE_SIZE), &r, &used));
	put(va, 3);
}

/* The last room is found although no list promises it. */
static void nothing_fails_while_there_is_room(void **state)
{
	uint64_t va[PAGES / 8];
	unsigned n = 0;
	vaddr_t out;

	(void)state;
	open_arena(PAGES - 1, KVA_NO_CACHE);
	while (kva_alloc(&a, 7, 1, 0, &out) == OK)
		n++; /* 73 of 7 */
	assert_int_equal(n, (PAGES - 1) / 7);
	put_all();
	n = 0;
	while (n < ARRAY_SIZE(va) && kva_alloc(&a, 5, 4, 0, &out) == OK) /* 5 of every 8, and the last 7 */
		va[n++] = out.va;
	assert_int_equal(n, 64);
	while (n > 0)
		put(va[--n], 5);
	assert_int_equal(a.count, 1);
}

static void random_ranges(unsigned flags, unsigned rounds)
{
	struct {
		uint64_t va, pages;
	} held[64] = {{0, 0}};
	uint64_t state = TEST_SEED;

	open_arena(PAGES, flags);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned slot = (state = state * UINT64_C(6364136223846793005) + 1442695040888963407) >> 33 & 63;
		uint64_t pages = 1 + (state >> 40) % (i % 8 ? 16 : 60), align = UINT64_C(1) << (state >> 50) % 5;
		unsigned how = state >> 56 & 1 ? KVA_BEST_FIT : 0;
		vaddr_t va;

		if (held[slot].pages) {
			mark(held[slot].va, held[slot].pages, (uint8_t)(slot + 1), 0);
			put(held[slot].va, held[slot].pages);
			held[slot].pages = 0;
		} else if (kva_alloc(&a, pages, align, how, &va) == OK) {
			assert_int_equal(va.va % (align << PAGE_SHIFT), 0);
			mark(va.va, pages, 0, (uint8_t)(slot + 1));
			held[slot].va = va.va;
			held[slot].pages = pages;
		}
		if (i % 64 == 0) {
			become_cpu(m, (uint32_t)(i / 64 % 4));
			kva_check(&a);
		}
	}
	for (unsigned slot = 0; slot < 64; slot++)
		if (held[slot].pages)
			put(held[slot].va, held[slot].pages);
	kva_drain(&a);
	assert_int_equal(a.count, 1);
	become_cpu(m, 0);
}

static void random_without_caches(void **state)
{
	(void)state;
	random_ranges(KVA_NO_CACHE, 8000);
}

static void random_with_caches(void **state)
{
	(void)state;
	random_ranges(0, 8000);
}

/* --- caches --- */

static void a_cache_serves_its_cpu(void **state)
{
	struct kva_stats s;
	uint64_t va, allocs;

	(void)state;
	open_arena(PAGES, 0);
	va = get(8, 4, 0);
	allocs = a.allocs;
	assert_int_equal(allocs, KVA_BATCH);
	put(va, 8);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(get(8, 8, 0), va);
		put(va, 8);
	}
	assert_int_equal(a.allocs, allocs);
	kva_stats(&a, &s);
	assert_int_equal(s.cached, 8 * KVA_BATCH);
	assert_int_equal(s.used, 0);
	assert_int_equal(s.hits, 100);
	assert_int_equal(s.pages, PAGES);
	kva_check(&a);
	assert_int_equal(kva_drain(&a), 8 * KVA_BATCH);
	assert_int_equal(a.count, 1);
}

/* Larger sizes, and who wants the best fit, go to the arena. */
static void not_all_comes_from_caches(void **state)
{
	uint64_t va, allocs;

	(void)state;
	open_arena(PAGES, 0);
	va = get(KVA_QUANTA + 1, 1, 0);
	assert_int_equal(a.allocs, 1);
	put(va, KVA_QUANTA + 1);
	put(get(4, 1, 0), 4);
	allocs = a.allocs;
	put(get(4, 1, KVA_BEST_FIT), 4);
	assert_int_equal(a.allocs, allocs + 1);
	put(get(4, 1, 0), 4);
	assert_int_equal(a.allocs, allocs + 1);
}

/* More than it keeps goes back to the arena, a batch at a time. */
static void a_cache_is_bounded(void **state)
{
	uint64_t va[4 * KVA_KEEP];
	struct kva_stats s;

	(void)state;
	open_arena(PAGES, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++)
		va[i] = get(2, 1, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++)
		put(va[i], 2);
	kva_stats(&a, &s);
	assert_true(s.cached <= 2 * KVA_KEEP && s.cached >= 2 * (KVA_KEEP - KVA_BATCH));
}

/* What lies in another CPU's cache is found by who needs it, in whatever pieces it lies there. */
static void others_caches_are_searched(void **state)
{
	uint64_t va[PAGES / 8];
	unsigned n = 0;
	vaddr_t out;

	(void)state;
	open_arena(64, 0);
	become_cpu(m, 1);
	while (n < 8)
		va[n++] = get(8, 8, 0);
	while (n > 0)
		put(va[--n], 8);
	become_cpu(m, 0);
	assert_int_equal(kva_alloc(&a, 64, 1, 0, &out), OK);
	assert_int_equal(out.va, BASE);
	assert_int_equal(atomic_load_relaxed(&a.hungry), 0);
	put(out.va, 64);
}

/* After a panic that was caught: nobody holds anything any more. */
static void forget_locks(void)
{
	spin_init(&a.lock);
	gate_init(&a.cache[0].gate);
}

static void wrong_frees_are_named(void **state)
{
	uint64_t va;

	(void)state;
	open_arena(PAGES, 0);
	va = get(3, 1, 0);
	EXPECT_PANIC("are not what arena test gave", put(va + PAGE_SIZE, 3));
	forget_locks();
	EXPECT_PANIC("are not what arena test gave", put(va, 20));
	forget_locks();
	put(va, 3);
	EXPECT_PANIC("are freed twice", put(va, 3));
	forget_locks();
	(void)get(3, 1, 0);
	EXPECT_PANIC("page - a->page < a->pages", put(BASE + PAGES * PAGE_SIZE, 1));
	EXPECT_PANIC("va.va & PAGE_MASK", put(va + 8, 3));
	EXPECT_PANIC("arena test goes while 3 pages are in use", kva_fini(&a));
	put(va, 3);
}

/* --- memory --- */

static bool fail_now(void *arg)
{
	(void)arg;
	return true;
}

static void without_tags_nothing_changes(void **state)
{
	vaddr_t va;

	(void)state;
	open_arena(PAGES, KVA_NO_CACHE);
	frames_fail_by(&m->frames, fail_now, NULL);
	assert_int_equal(kva_alloc(&a, 20, 1, 0, &va), ERR_NOMEM);
	assert_int_equal(kva_alloc(&a, 20, 1, KVA_WAIT, &va), ERR_NOMEM);
	frames_fail_by(&m->frames, NULL, NULL);
	assert_int_equal(a.count, 1);
	assert_int_equal(atomic_load_relaxed(&a.hungry), 0);
}

/* What a cache has is no reason to succeed when allocations are to fail. */
static void caches_hide_no_failure(void **state)
{
	vaddr_t va;

	(void)state;
	open_arena(PAGES, 0);
	put(get(2, 1, 0), 2);
	frames_fail_by(&m->frames, fail_now, NULL);
	assert_int_equal(kva_alloc(&a, 2, 1, 0, &va), ERR_NOMEM);
	frames_fail_by(&m->frames, NULL, NULL);
}

/* The table, the caches, the tag: each fails in turn, and the others are given back. */
static void an_arena_needs_memory(void **state)
{
	enum error e;
	uint64_t one_in = 0;

	(void)state;
	do {
		memory_fail(m, ++one_in);
		e = kva_init(&a, "test", vaddr(BASE), PAGES << PAGE_SHIFT, 0, segments, &k);
		memory_fail(m, 0);
		assert_true(e == OK || e == ERR_NOMEM);
	} while (e != OK);
	assert_true(one_in > 3);
}

/* --- several CPUs --- */

#define ROUNDS 3000u

static void churn(uint32_t cpu, void *arg)
{
	struct {
		uint64_t va, pages;
	} held[12] = {{0, 0}};
	uint64_t state = TEST_SEED + cpu;

	(void)arg;
	jitter(60);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned slot = (state = state * UINT64_C(6364136223846793005) + 1442695040888963407) >> 33 & 3;
		uint64_t pages = 1 + (state >> 40) % 12;
		vaddr_t va;

		if (cpu == 3 && i % 16 == 0)
			(void)kva_drain(&a);
		if (cpu == 1 && i % 16 == 0) {
			struct kva_stats s;

			kva_stats(&a, &s);
			CHECK(s.used <= s.pages && s.cached <= s.pages && s.largest <= s.pages);
		}
		if (held[slot].pages) {
			for (uint64_t p = 0; p < held[slot].pages; p++) /* plain: a range in two hands is a data race */
				taken[((held[slot].va - BASE) >> PAGE_SHIFT) + p] = 0;
			put(held[slot].va, held[slot].pages);
			held[slot].pages = 0;
		} else if (kva_alloc(&a, pages, 1, cpu == 2 ? KVA_WAIT : 0, &va) == OK) {
			held[slot].va = va.va;
			held[slot].pages = pages;
			for (uint64_t p = 0; p < pages; p++) {
				CHECK(taken[((va.va - BASE) >> PAGE_SHIFT) + p] == 0);
				taken[((va.va - BASE) >> PAGE_SHIFT) + p] = (uint8_t)(cpu + 1);
			}
		}
	}
	for (unsigned slot = 0; slot < ARRAY_SIZE(held); slot++)
		if (held[slot].pages) {
			for (uint64_t p = 0; p < held[slot].pages; p++)
				taken[((held[slot].va - BASE) >> PAGE_SHIFT) + p] = 0;
			put(held[slot].va, held[slot].pages);
		}
	jitter(0);
}

/* 4 CPUs hold up to 4 ranges of up to 12 pages: 192 at most, so that CPU 2 never waits for itself. */
static void cpus_take_and_give(void **state)
{
	(void)state;
	open_arena(200, 0);
	run_on_cpus(m->t.m, 4, churn, NULL);
	kva_check(&a);
	kva_drain(&a);
	assert_int_equal(a.count, 1);
	assert_int_equal(atomic_load_relaxed(&a.hungry), 0);
}

/* Room for one only: each waits for another. */
static void take_turns(uint32_t cpu, void *arg)
{
	uint64_t *turns = arg;

	(void)cpu;
	for (unsigned i = 0; i < 500; i++) {
		vaddr_t va;

		CHECK(kva_alloc(&a, 9 + i % 8, 1, KVA_WAIT, &va) == OK);
		++*turns; /* plain: only one has room */
		put(va.va, 9 + i % 8);
	}
}

static void cpus_wait_for_room(void **state)
{
	uint64_t turns = 0;

	(void)state;
	open_arena(17, 0);
	run_on_cpus(m->t.m, 4, take_turns, &turns);
	assert_int_equal(turns, 4 * 500);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_whole_arena_in_one_piece),
		TEST(what_is_freed_merges_with_both_neighbours),
		TEST(alignment_leaves_what_is_before_it),
		TEST(best_fit_takes_the_smallest_instant_fit_the_surest),
		TEST(best_fit_looks_at_all_that_may_fit),
		TEST(the_last_room_is_searched_for),
		TEST(an_address_is_found),
		TEST(nothing_fails_while_there_is_room),
		TEST(random_without_caches),
		TEST(random_with_caches),
		TEST(a_cache_serves_its_cpu),
		TEST(not_all_comes_from_caches),
		TEST(a_cache_is_bounded),
		TEST(others_caches_are_searched),
		TEST(wrong_frees_are_named),
		TEST(without_tags_nothing_changes),
		TEST(caches_hide_no_failure),
		TEST(an_arena_needs_memory),
		TEST(cpus_take_and_give),
		TEST(cpus_wait_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
