/* SPDX-License-Identifier: BSD-2-Clause */
/* test/kmem.c: kernel memory mapped page by page: content, guards, pages by fault, submaps, pools; the MMU judges. */
#include "vm/kmem.h"

#include <stdlib.h>

#include "test_memory.h"
#include "test_vm.h"

#define MIB (UINT64_C(1) << 20)

static struct test_vm v;
static struct kmem *km;
static uint64_t tables_before;
static struct kmem_map *map;

static int setup_with(bool range_tlbi)
{
	const struct host_config c = {.ncpus = 4,
				      .ram = 24 * MIB,
				      .junk = true,
				      .seed = TEST_SEED,
				      .range_tlbi = range_tlbi,
				      .break_check = 1};

	test_vm_init(&v, &c);
	km = &v.vm->kmem;
	tables_before = atomic_load_relaxed(&km->pages.tables);
	map = &km->map;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(false);
}

/* Everything is back but the tables that were linked, which are accounted for. */
static int teardown(void **state)
{
	struct kmem_stats s;

	(void)state;
	host_returned(); /* what was freed must be out of all TLBs */
	kmem_check(km);
	kmem_drain(km);
	kmem_stats(km, &s);
	CHECK(s.pages == 0 && s.pooled == 0 && s.kva.used == 0 && s.kva.cached == 0);
	v.owned[FRAME_TABLE] += s.tables - tables_before;
	v.owned[FRAME_FREE] -= s.tables - tables_before;
	test_vm_destroy(&v);
	return 0;
}

static uint64_t load(uint64_t va)
{
	struct host_fault f;
	uint64_t value = 0;

	assert_int_equal(host_kernel_load64(vaddr(va), &value, &f), OK);
	return value;
}

static void store(uint64_t va, uint64_t value)
{
	struct host_fault f;

	assert_int_equal(host_kernel_store64(vaddr(va), value, &f), OK);
}

static void assert_faults(uint64_t va)
{
	struct host_fault f = {.kind = HOST_FAULT_NONE};
	uint64_t value;

	assert_int_equal(host_kernel_load64(vaddr(va), &value, &f), ERR_FAULT);
	assert_int_equal(f.kind, HOST_FAULT_TRANSLATION);
	assert_int_equal(host_kernel_store64(vaddr(va), 1, &f), ERR_FAULT);
}

/* As the kernel's trap handler does. */
static void store_by_fault(uint64_t va, uint64_t value)
{
	struct host_fault f;

	while (host_kernel_store64(vaddr(va), value, &f) != OK)
		assert_int_equal(kmem_fault(km, vaddr(f.va)), OK);
}

static uint64_t get(uint64_t size)
{
	vaddr_t va;

	assert_int_equal(kmem_alloc(map, size, "test", &va), OK);
	return va.va;
}

static void put(uint64_t va, uint64_t size) { kmem_free(map, vaddr(va), size); }

/* --- memory --- */

static void memory_is_zeroed_and_its_own(void **state)
{
	static const uint64_t size[] = {1, PAGE_SIZE, 3 * PAGE_SIZE + 5, 16 * PAGE_SIZE, 70 * PAGE_SIZE, 3 * MIB};
	uint64_t va[ARRAY_SIZE(size)];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++) {
		va[i] = get(size[i]);
		for (uint64_t at = 0; at < size[i]; at += PAGE_SIZE) {
			assert_int_equal(load(va[i] + at), 0);
			store(va[i] + at, va[i] + at);
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++)
		for (uint64_t at = 0; at < size[i]; at += PAGE_SIZE) {
			assert_int_equal(load(va[i] + at), va[i] + at);
			/* the direct map shows the same bytes */
			assert_int_equal(*(uint64_t *)frame_bytes(kmem_frame(km, vaddr(va[i] + at))), va[i] + at);
		}
	kmem_check(km);
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++)
		put(va[i], size[i]);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 0);
}

/* Frames of one range lie anywhere: no run of them is needed. */
static void memory_comes_in_pieces(void **state)
{
	static pfn_t single[8192];
	unsigned n = 0;
	uint64_t va;

	(void)state;
	while (n < ARRAY_SIZE(single) && frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &single[n]) == OK)
		n++;
	for (unsigned i = 0; i < n; i++)
		if (single[i].fn % 2)
			frame_free(&v.vm->frames, single[i], 0);
	va = get(MIB);
	for (uint64_t at = 0; at < MIB; at += PAGE_SIZE)
		store(va + at, at);
	for (uint64_t at = 0; at < MIB; at += PAGE_SIZE)
		assert_int_equal(load(va + at), at);
	put(va, MIB);
	for (unsigned i = 0; i < n; i++)
		if (single[i].fn % 2 == 0)
			frame_free(&v.vm->frames, single[i], 0);
}

/* Ranges that begin in the middle of a table and end a little behind another's start. */
static void all_tables_of_a_range_are_there(void **state)
{
	uint64_t first = get(PAGE_SIZE);

	(void)state;
	for (uint64_t pages = 4 * 512 - 8; pages < 4 * 512 + 4; pages++) {
		vaddr_t va;

		assert_int_equal(kmem_alloc_pageable(map, pages * PAGE_SIZE, "pageable", &va), OK);
		store_by_fault(va.va + (pages - 1) * PAGE_SIZE, pages);
		kmem_free(map, va, pages * PAGE_SIZE);
	}
	put(first, PAGE_SIZE);
}

static void what_is_freed_is_gone_at_once(void **state)
{
	(void)state;
	for (unsigned pages = 1; pages <= 130; pages += 43) {
		uint64_t va = get(pages * PAGE_SIZE);

		for (uint64_t at = 0; at < pages; at++)
			store(va + at * PAGE_SIZE, at);
		put(va, pages * PAGE_SIZE);
		host_returned();
		for (uint64_t at = 0; at < pages; at++)
			assert_faults(va + at * PAGE_SIZE);
	}
}

static void what_is_freed_is_gone_by_range_too(void **state)
{
	teardown(state);
	setup_with(true);
	what_is_freed_is_gone_at_once(state);
}

/* Another frame at the same address: the old one must have left every TLB. */
static void look_at_both(uint32_t cpu, void *arg)
{
	const vaddr_t *va = arg;
	struct host_fault f;
	uint64_t value;

	CHECK(host_kernel_load64(*va, &value, &f) == OK && value == va->va);
	if (cpu > 0)
		CHECK(host_kernel_load64(vaddr(va->va + PAGE_SIZE), &value, &f) == OK && value == ~va->va);
}

static void an_address_is_used_again(void **state)
{
	uint64_t first = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint64_t va = get(2 * PAGE_SIZE);
		vaddr_t at = vaddr(va);

		store(va, va);
		store(va + PAGE_SIZE, ~va);
		run_on_cpus(v.t.m, 4, look_at_both, &at);
		put(va, 2 * PAGE_SIZE);
		first = first ? first : va;
		assert_int_equal(va, first); /* else nothing is shown */
	}
}

/* --- guards --- */

static void guards_stand_on_both_sides(void **state)
{
	uint64_t va = get(2 * PAGE_SIZE), next = get(2 * PAGE_SIZE);
	vaddr_t stack;

	(void)state;
	assert_faults(va - 8);
	assert_faults(va + 2 * PAGE_SIZE);
	assert_faults(next - 8);
	assert_faults(next + 2 * PAGE_SIZE);
	assert_int_equal(kmem_malloc(map, 4 * PAGE_SIZE, 4 * PAGE_SIZE, KMEM_NOWAIT, "stack", &stack), OK);
	assert_int_equal(stack.va % (4 * PAGE_SIZE), 0);
	for (uint64_t at = 8; at <= 4 * PAGE_SIZE; at += 512)
		assert_faults(stack.va - at);
	store(stack.va, 1);
	store(stack.va + 4 * PAGE_SIZE - 8, 1);
	assert_int_equal(kmem_fault(km, vaddr(stack.va - 8)), ERR_FAULT);
	kmem_free(map, stack, 4 * PAGE_SIZE);
	put(va, 2 * PAGE_SIZE);
	put(next, 2 * PAGE_SIZE);
}

static void assert_place(uint64_t va, const char *what, const char *owner, uint64_t start, uint64_t size)
{
	struct kmem_place p;

	kmem_describe(km, vaddr(va), &p);
	assert_string_equal(p.what, what);
	assert_string_equal(p.owner, owner);
	if (size) {
		assert_int_equal(p.range.start.va, start);
		assert_int_equal(vrange_size(p.range), size);
	}
}

static void an_address_is_named(void **state)
{
	uint64_t va = get(3 * PAGE_SIZE);
	vaddr_t pageable, stack;

	(void)state;
	assert_int_equal(kmem_alloc_pageable(map, 40 * PAGE_SIZE, "pageable", &pageable), OK);
	assert_int_equal(kmem_malloc(map, PAGE_SIZE, 8 * PAGE_SIZE, 0, "stack", &stack), OK);
	assert_place(va - 1, "guard page below the memory", "test", va, 3 * PAGE_SIZE);
	assert_place(va + 2 * PAGE_SIZE + 7, "page of the memory", "test", va, 3 * PAGE_SIZE);
	assert_place(stack.va - 8 * PAGE_SIZE, "guard page below the memory", "stack", stack.va, PAGE_SIZE);
	assert_place(pageable.va + 5000, "page, not there yet, of the memory", "pageable", pageable.va, 40 * PAGE_SIZE);
	assert_place(0xffff800000000000, "no address of the kernel map", "", 0, 0);
	assert_place(MMU_KERNEL_START + MMU_KERNEL_SIZE - 8, "memory that nobody has", "", 0, 0);
	put(va, 3 * PAGE_SIZE);
	assert_place(va, "part of a submap, or freed", "", 0, 0);
	kmem_free(map, pageable, 40 * PAGE_SIZE);
	kmem_free(map, stack, PAGE_SIZE);
}

static void wrong_frees_are_named(void **state)
{
	uint64_t va = get(2 * PAGE_SIZE);

	(void)state;
	EXPECT_PANIC("1 pages at", put(va, PAGE_SIZE));
	EXPECT_PANIC("there are 2 of test", put(va, 3 * PAGE_SIZE));
	EXPECT_PANIC("are not what map kernel gave", put(va + PAGE_SIZE, 2 * PAGE_SIZE));
	EXPECT_PANIC("are not what map kernel gave", put(va + 8, 2 * PAGE_SIZE));
	EXPECT_PANIC("are not what map kernel gave", put(va + PAGE_SIZE, (KMAP_MARK_PAGES + UINT64_C(1)) * PAGE_SIZE)); /* no mark holds it */
	put(va, 2 * PAGE_SIZE);
	EXPECT_PANIC("of nobody", put(va, 2 * PAGE_SIZE));
}

/* --- pages by fault --- */

static void pageable_memory_comes_by_fault(void **state)
{
	vaddr_t va;

	(void)state;
	assert_int_equal(kmem_alloc_pageable(map, 100 * PAGE_SIZE, "pageable", &va), OK);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 0);
	for (uint64_t i = 0; i < 100; i += 3)
		store_by_fault(va.va + i * PAGE_SIZE + 16, i);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 34);
	for (uint64_t i = 0; i < 100; i += 3) {
		assert_int_equal(load(va.va + i * PAGE_SIZE), 0);
		assert_int_equal(load(va.va + i * PAGE_SIZE + 16), i);
		assert_int_equal(kmem_fault(km, vaddr(va.va + i * PAGE_SIZE)), OK); /* there already */
	}
	assert_faults(va.va + PAGE_SIZE);
	assert_int_equal(kmem_fault(km, vaddr(va.va - 1)), ERR_FAULT);
	kmem_check(km);
	assert_int_equal(kmem_fault_in(map, va, 100 * PAGE_SIZE), OK);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 100);
	assert_int_equal(load(va.va + 99 * PAGE_SIZE), 0);
	kmem_free(map, va, 100 * PAGE_SIZE);
	/* two bytes that lie in two pages */
	assert_int_equal(kmem_alloc_pageable(map, 2 * PAGE_SIZE, "pageable", &va), OK);
	assert_int_equal(kmem_fault_in(map, vaddr(va.va + PAGE_SIZE - 1), 2), OK);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 2);
	kmem_free(map, va, 2 * PAGE_SIZE);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 0);
	assert_int_equal(kmem_fault(km, va), ERR_FAULT);
	/* never touched: nothing to flush */
	assert_int_equal(kmem_alloc_pageable(map, 100 * PAGE_SIZE, "pageable", &va), OK);
	kmem_free(map, va, 100 * PAGE_SIZE);
}

static void touch_all(uint32_t cpu, void *arg)
{
	const vaddr_t *va = arg;

	jitter(20);
	for (uint64_t i = 0; i < 64; i++) {
		struct host_fault f;

		while (host_kernel_store64(vaddr(va->va + i * PAGE_SIZE + cpu * 8), i + cpu, &f) != OK)
			CHECK(kmem_fault(km, vaddr(f.va)) == OK);
	}
	jitter(0);
}

static void cpus_fault_on_the_same_pages(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		vaddr_t va;

		assert_int_equal(kmem_alloc_pageable(map, 64 * PAGE_SIZE, "pageable", &va), OK);
		run_on_cpus(v.t.m, 4, touch_all, &va);
		for (uint64_t i = 0; i < 64; i++)
			for (uint64_t cpu = 0; cpu < 4; cpu++)
				assert_int_equal(load(va.va + i * PAGE_SIZE + cpu * 8), i + cpu);
		kmem_check(km);
		kmem_free(map, va, 64 * PAGE_SIZE);
	}
}

/* --- submaps --- */

static void a_submap_has_room_of_its_own(void **state)
{
	struct kmem_map *sub;
	vaddr_t va, one, two;

	(void)state;
	assert_int_equal(kmem_suballoc(map, 20 * PAGE_SIZE, "small", &sub), OK);
	assert_int_equal(kmem_alloc(sub, 20 * PAGE_SIZE, "test", &va), ERR_INVAL); /* a guard page belongs to it */
	assert_int_equal(kmem_alloc(sub, 19 * PAGE_SIZE, "test", &va), OK);
	store(va.va, 1);
	assert_int_equal(kmem_alloc(sub, PAGE_SIZE, "test", &one), ERR_NOSPACE);
	kmem_free(sub, va, 19 * PAGE_SIZE);
	assert_int_equal(kmem_alloc_wait(sub, 9 * PAGE_SIZE, "test", &one), OK);
	assert_int_equal(kmem_alloc_wait(sub, 9 * PAGE_SIZE, "test", &two), OK);
	store_by_fault(one.va, 5);
	EXPECT_PANIC("arena small goes while 20 pages are in use", kmem_subfree(sub));
	kmem_free_wakeup(sub, one, 9 * PAGE_SIZE);
	kmem_free_wakeup(sub, two, 9 * PAGE_SIZE);
	kmem_subfree(sub);
	assert_int_equal(kmem_suballoc(map, 0, "none", &sub), ERR_INVAL);
	assert_int_equal(kmem_suballoc(map, MMU_KERNEL_SIZE + 1, "huge", &sub), ERR_INVAL);
	assert_int_equal(kmem_alloc(map, 0, "none", &va), ERR_INVAL);
	assert_int_equal(kmem_alloc(map, MMU_KERNEL_SIZE, "huge", &va), ERR_INVAL);
	assert_int_equal(kmem_alloc_pageable(map, UINT64_MAX, "huge", &va), ERR_INVAL);
	assert_int_equal(kmem_malloc(map, PAGE_SIZE, 2 * MMU_KERNEL_SIZE, 0, "huge", &va), ERR_INVAL);
}

/* What can fail on the way to a submap fails in turn. teardown sees that nothing is left of it. */
static bool fail_some(void *arg)
{
	uint64_t *turns = arg;

	return *turns > 0 && --*turns == 0;
}

static void a_submap_needs_memory(void **state)
{
	unsigned failures = 0;
	struct kmem_map *sub;

	(void)state;
	for (uint64_t n = 1; n <= 24; n++) {
		uint64_t turns = n;
		enum error e;

		frames_fail_by(&v.vm->frames, fail_some, &turns);
		e = kmem_suballoc(map, 20 * PAGE_SIZE, "small", &sub);
		frames_fail_by(&v.vm->frames, NULL, NULL);
		assert_true(e == OK || e == ERR_NOMEM);
		if (e == OK)
			kmem_subfree(sub); /* what failed was a magazine, which nobody misses, or came later */
		else
			failures++;
	}
	assert_true(failures > 3); /* the map, its range, its table, its tag */
}

static unsigned zones_of(struct test_memory *m)
{
	unsigned n = 0;

	LIST_FOR(it, &m->zones.all)
		n++;
	return n;
}

/* The same at boot, until the first table is linked: tables stay. */
static void the_window_needs_memory(void **state)
{
	struct kmem *own = calloc(1, sizeof *own);
	unsigned failures = 0;

	(void)state;
	CHECK(own);
	for (uint64_t n = 1; n <= 16; n++) {
		struct test_memory *m = memory_open(1, 4 << 20);
		struct kmalloc k;
		uint64_t turns = n;
		unsigned zones;
		enum error e;

		CHECK(kmalloc_init(&k, &m->zones) == OK);
		memory_empty(m);
		CHECK(frame_audit(&m->frames, &m->before));
		zones = zones_of(m);
		frames_fail_by(&m->frames, fail_some, &turns);
		e = kmem_init(own, &k);
		frames_fail_by(&m->frames, NULL, NULL);
		if (atomic_load_relaxed(&own->pages.tables) == 0) {
			assert_int_equal(e, ERR_NOMEM);
			assert_int_equal(zones_of(m), zones);
			memory_check(m);
			failures++;
		}
		memory_abandon(m);
	}
	assert_true(failures > 4); /* the zone, the arena's table, caches and tag, the root */
	free(own);
}

static void wait_in_turn(uint32_t cpu, void *arg)
{
	struct kmem_map *sub = arg;

	jitter(10);
	for (unsigned i = 0; i < 100; i++) {
		struct host_fault f;
		uint64_t value;
		vaddr_t va;

		CHECK(kmem_alloc_wait(sub, (3 + cpu) * PAGE_SIZE, "turns", &va) == OK);
		while (host_kernel_store64(va, cpu, &f) != OK)
			CHECK(kmem_fault(km, vaddr(f.va)) == OK);
		CHECK(host_kernel_load64(va, &value, &f) == OK && value == cpu);
		kmem_free_wakeup(sub, va, (3 + cpu) * PAGE_SIZE);
	}
	jitter(0);
}

static void cpus_wait_for_room_in_a_submap(void **state)
{
	struct kmem_map *sub;

	(void)state;
	assert_int_equal(kmem_suballoc(map, 8 * PAGE_SIZE, "turns", &sub), OK);
	run_on_cpus(v.t.m, 4, wait_in_turn, sub);
	kmem_subfree(sub);
}

/* --- pools --- */

static void a_pool_keeps_what_is_mapped(void **state)
{
	struct kmem_pool p;
	struct kmem_stats s;
	vaddr_t va[KMEM_POOL_KEEP + 2], again;

	(void)state;
	assert_int_equal(kmem_pool_init(&p, map, 4 * PAGE_SIZE, 4 * PAGE_SIZE, "stack"), OK);
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++) {
		assert_int_equal(kmem_pool_get(&p, &va[i]), OK);
		store(va[i].va, i);
		assert_faults(va[i].va - 8);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++)
		kmem_pool_put(&p, va[i]);
	kmem_stats(km, &s);
	assert_int_equal(s.pooled, 4 * KMEM_POOL_KEEP);
	assert_int_equal(s.pages, 4 * KMEM_POOL_KEEP);
	kmem_check(km);
	assert_int_equal(kmem_pool_get(&p, &again), OK);
	assert_int_equal(again.va, va[KMEM_POOL_KEEP - 1].va);
	assert_int_equal(load(again.va), KMEM_POOL_KEEP - 1);
	kmem_drain(km);
	assert_int_equal(atomic_load_relaxed(&km->mapped), 4);
	kmem_pool_put(&p, again);
	kmem_pool_fini(&p);
}

#define ROUNDS 300u

/* Ranges go from CPU to CPU; CPU 3 drains. */
static ATOMIC(uint64_t) passed[8];

static void pass_ranges(uint32_t cpu, void *arg)
{
	struct kmem_pool *p = arg;

	jitter(40);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct host_fault f;
		uint64_t value;
		vaddr_t va;

		if (cpu == 3 && i % 8 == 0)
			kmem_drain(km);
		if (kmem_pool_get(p, &va) != OK)
			continue;
		CHECK(host_kernel_store64(va, va.va ^ i, &f) == OK);
		CHECK(host_kernel_load64(va, &value, &f) == OK && value == (va.va ^ i));
		va.va = atomic_swap_acq_rel(&passed[i % ARRAY_SIZE(passed)], va.va);
		if (!va.va)
			continue;
		CHECK(host_kernel_store64(va, 1, &f) == OK);
		kmem_pool_put(p, va);
	}
	jitter(0);
}

static void cpus_pass_ranges(void **state)
{
	struct kmem_pool p;

	(void)state;
	assert_int_equal(kmem_pool_init(&p, map, 2 * PAGE_SIZE, PAGE_SIZE, "passed"), OK);
	run_on_cpus(v.t.m, 4, pass_ranges, &p);
	for (unsigned i = 0; i < ARRAY_SIZE(passed); i++)
		if (atomic_load_relaxed(&passed[i]))
			kmem_pool_put(&p, vaddr(atomic_swap_acq_rel(&passed[i], UINT64_C(0))));
	kmem_check(km);
	kmem_pool_fini(&p);
}

/* Pools come and go while others are drained and counted. */
static void open_and_close(uint32_t cpu, void *arg)
{
	struct kmem_pool *shared = arg;

	jitter(20);
	for (unsigned i = 0; i < 40; i++) {
		struct kmem_stats s;
		struct kmem_pool p;
		vaddr_t va;

		if (cpu == 3) {
			kmem_drain(km);
			kmem_stats(km, &s);
			CHECK(s.pooled <= 4 * 4 * KMEM_POOL_KEEP && s.kva.used <= s.kva.pages);
		} else {
			CHECK(kmem_pool_init(&p, map, PAGE_SIZE, PAGE_SIZE, "short") == OK);
			CHECK(kmem_pool_get(&p, &va) == OK);
			kmem_pool_put(&p, va);
			CHECK(kmem_pool_get(shared, &va) == OK);
			kmem_pool_put(shared, va);
			kmem_pool_fini(&p);
		}
	}
	jitter(0);
}

static void pools_come_and_go(void **state)
{
	struct kmem_pool p;

	(void)state;
	assert_int_equal(kmem_pool_init(&p, map, PAGE_SIZE, PAGE_SIZE, "shared"), OK);
	run_on_cpus(v.t.m, 4, open_and_close, &p);
	kmem_check(km);
	kmem_pool_fini(&p);
	assert_true(list_empty(&km->pools));
}

/* One pool's end is nothing to the others. Failures that are wanted are not hidden by what a pool has. */
static void pools_are_apart(void **state)
{
	struct kmem_pool p, other;
	struct kmem_stats s;
	uint64_t turns = 1;
	vaddr_t va;

	(void)state;
	assert_int_equal(kmem_pool_init(&p, map, PAGE_SIZE, PAGE_SIZE, "first"), OK);
	assert_int_equal(kmem_pool_init(&other, map, PAGE_SIZE, PAGE_SIZE, "second"), OK);
	host_become(v.t.m, 3);
	assert_int_equal(kmem_pool_get(&p, &va), OK);
	kmem_pool_put(&p, va);
	host_become(v.t.m, 0);
	assert_int_equal(kmem_pool_get(&other, &va), OK);
	kmem_pool_put(&other, va);
	frames_fail_by(&v.vm->frames, fail_some, &turns);
	assert_int_equal(kmem_pool_get(&other, &va), ERR_NOMEM);
	frames_fail_by(&v.vm->frames, NULL, NULL);
	kmem_pool_fini(&p);
	kmem_stats(km, &s);
	assert_int_equal(s.pooled, 1);
	kmem_pool_fini(&other);
}

/* --- memory runs out --- */

static void without_frames_nothing_changes(void **state)
{
	uint64_t before = atomic_load_relaxed(&km->mapped);
	vaddr_t va;

	(void)state;
	assert_int_equal(kmem_alloc(map, 24 * MIB, "too much", &va), ERR_NOMEM);
	assert_int_equal(kmem_malloc(map, 24 * MIB, PAGE_SIZE, KMEM_NOWAIT, "too much", &va), ERR_NOMEM);
	assert_int_equal(atomic_load_relaxed(&km->mapped), before);
	assert_int_equal(kmem_alloc_pageable(map, 64 * MIB, "pageable", &va), OK);
	assert_int_equal(kmem_fault_in(map, va, 64 * MIB), ERR_NOMEM);
	kmem_check(km);
	kmem_free(map, va, 64 * MIB);
}

/* Waiting helps: what pools and epochs keep is enough. */
static void waiting_finds_what_is_kept(void **state)
{
	struct kmem_pool p;
	vaddr_t va;

	(void)state;
	assert_int_equal(kmem_pool_init(&p, map, 4 * MIB, PAGE_SIZE, "large"), OK);
	assert_int_equal(kmem_pool_get(&p, &va), OK);
	kmem_pool_put(&p, va);
	assert_int_equal(kmem_malloc(map, 21 * MIB, PAGE_SIZE, KMEM_NOWAIT, "much", &va), ERR_NOMEM);
	assert_int_equal(kmem_malloc(map, 21 * MIB, PAGE_SIZE, 0, "much", &va), OK);
	kmem_free(map, va, 21 * MIB);
	kmem_pool_fini(&p);
}

/* So is what an epoch holds back, and what zones keep. */
static void waiting_finds_what_epochs_hold(void **state)
{
	pfn_t f;
	vaddr_t va;

	(void)state;
	for (uint64_t i = 0; i < 4 * MIB / PAGE_SIZE; i++) {
		assert_int_equal(frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &f), OK);
		frame_free_by_epoch(&v.vm->frames, f);
	}
	assert_int_equal(kmem_malloc(map, 21 * MIB, PAGE_SIZE, KMEM_NOWAIT, "much", &va), ERR_NOMEM);
	assert_int_equal(kmem_malloc(map, 21 * MIB, PAGE_SIZE, 0, "much", &va), OK);
	kmem_free(map, va, 21 * MIB);
}

/* 128 KiB in magazines. */
static void waiting_finds_what_zones_keep(void **state)
{
	struct zone *z = zone_create(&v.vm->zones, "kept", 256, 0, NULL, NULL, 0);
	void *object[512];
	struct frame_list all;
	vaddr_t va;
	pfn_t f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(object); i++)
		assert_non_null(object[i] = zone_alloc(z));
	for (unsigned i = 0; i < ARRAY_SIZE(object); i++)
		zone_free(z, object[i]);
	kmem_free(map, vaddr(get(24 * PAGE_SIZE)), 24 * PAGE_SIZE); /* tables are there */
	frame_list_init(&all);
	while (f = frame_get(&v.vm->frames, FRAME_WIRED), !pfn_is_none(f))
		frame_list_push(&v.vm->frames, &all, f);
	for (unsigned i = 0; i < 8; i++)
		frame_put(&v.vm->frames, frame_list_pop(&v.vm->frames, &all));
	assert_int_equal(kmem_malloc(map, 24 * PAGE_SIZE, PAGE_SIZE, KMEM_NOWAIT, "some", &va), ERR_NOMEM);
	assert_int_equal(kmem_malloc(map, 24 * PAGE_SIZE, PAGE_SIZE, 0, "some", &va), OK);
	kmem_free(map, va, 24 * PAGE_SIZE);
	frame_list_free(&v.vm->frames, &all);
	zone_destroy(z);
}

/* Whatever lies before it. */
static void an_address_is_aligned(void **state)
{
	vaddr_t va[24];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++) {
		uint64_t align = PAGE_SIZE << i % 6;

		assert_int_equal(kmem_malloc(map, (i % 5 + 1) * PAGE_SIZE, align, 0, "aligned", &va[i]), OK);
		assert_int_equal(va[i].va % align, 0);
		for (uint64_t below = PAGE_SIZE; below <= align; below += PAGE_SIZE)
			assert_faults(va[i].va - below);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++)
		kmem_free(map, va[i], (i % 5 + 1) * PAGE_SIZE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_is_zeroed_and_its_own),
		TEST(memory_comes_in_pieces),
		TEST(all_tables_of_a_range_are_there),
		TEST(what_is_freed_is_gone_at_once),
		TEST(what_is_freed_is_gone_by_range_too),
		TEST(an_address_is_used_again),
		TEST(guards_stand_on_both_sides),
		TEST(an_address_is_named),
		TEST(wrong_frees_are_named),
		TEST(pageable_memory_comes_by_fault),
		TEST(cpus_fault_on_the_same_pages),
		TEST(a_submap_has_room_of_its_own),
		TEST(a_submap_needs_memory),
		cmocka_unit_test(the_window_needs_memory),
		TEST(cpus_wait_for_room_in_a_submap),
		TEST(a_pool_keeps_what_is_mapped),
		TEST(cpus_pass_ranges),
		TEST(pools_come_and_go),
		TEST(pools_are_apart),
		TEST(without_frames_nothing_changes),
		TEST(waiting_finds_what_is_kept),
		TEST(waiting_finds_what_epochs_hold),
		TEST(waiting_finds_what_zones_keep),
		TEST(an_address_is_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
