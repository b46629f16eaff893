/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_kmem.c: kernel addresses among CPUs that take, give back, search and wait; and what is mapped there.
 *
 * Arenas are small, so that the usual path is the rare one. Pages of an arena are marked by plain stores: a range in
 * two hands is a data race. What is mapped is reached through the adversarial MMU.
 */
#include "hooks.h"
#include "test_memory.h"
#include "test_vm.h"
#include "vm/kmem.h"

#define BASE MMU_KERNEL_START

/* --- arenas --- */

static struct test_memory *m;
static struct host_machine *arena_machine(void) { return m->t.m; }
static struct kmalloc k;
static struct kva arena;
static uint64_t mark[64];
static uint32_t how;

static void arena_open(uint64_t pages, unsigned flags)
{
	struct zone *segments;

	m = memory_open(EXPLORE_CPUS, 2 << 20);
	CHECK(kmalloc_init(&k, &m->zones) == OK);
	segments = kva_segment_zone(&m->zones);
	memory_empty(m);
	CHECK(segments && frame_audit(&m->frames, &m->before));
	CHECK(kva_init(&arena, "scenario", vaddr(BASE), pages << PAGE_SHIFT, flags, segments, &k) == OK);
}

static void arena_judge(void)
{
	kva_check(&arena);
	CHECK(atomic_load_relaxed(&arena.hungry) == 0);
	kva_drain(&arena);
	CHECK(arena.count == 1);
	kva_fini(&arena);
	memory_check(m);
}

/* The range is ours alone. */
static void use_range(uint32_t cpu, vaddr_t va, uint64_t pages)
{
	uint64_t *at = &mark[(va.va - BASE) >> PAGE_SHIFT];

	for (uint64_t i = 0; i < pages; i++)
		at[i] = cpu + 1;
	cpu_point();
	for (uint64_t i = 0; i < pages; i++)
		CHECK(at[i] == cpu + 1);
}

/* As many ranges as CPUs, or one more, or with drains: nobody may fail. Two in one cache would starve another CPU. */
enum { KVA_ENOUGH, KVA_TIGHT, KVA_DRAINED, KVA_PIECES, KVA_HOWS };

static void take_setup(uint32_t variant)
{
	how = variant;
	arena_open(how == KVA_ENOUGH ? 12 : how == KVA_PIECES ? 5 : 4, 0);
}

static void take_run(uint32_t cpu)
{
	uint64_t pages = how == KVA_PIECES ? 2 + cpu : 2; /* 2 and 3 of 5: the pieces must come together again */

	for (unsigned i = 0; i < 2; i++) {
		vaddr_t va;

		if (how == KVA_PIECES && cpu == 1 && i == 1)
			pages = 1;
		if (how == KVA_DRAINED && cpu == 1 && i == 0)
			(void)kva_drain(&arena);
		if (how == KVA_PIECES) {
			/* Room is what nobody holds, but perhaps in two pieces: waiting is allowed, failing is not. */
			CHECK(kva_alloc(&arena, pages, 1, KVA_WAIT, &va) == OK);
		} else if (kva_alloc(&arena, pages, 1, 0, &va) != OK) {
			explore_fail("no room for CPU %u, and the others hold one range each at most", cpu);
		}
		use_range(cpu, va, pages);
		kva_free(&arena, va, pages);
	}
}

/* Room for one large range. Two wait for each other, a third comes with a small one that a cache would hide. */
static void wait_setup(uint32_t variant)
{
	how = variant;
	arena_open(4, how ? KVA_NO_CACHE : 0);
}

static void wait_run(uint32_t cpu)
{
	uint64_t pages = cpu == 2 ? 1 : 4 - cpu;

	for (unsigned i = 0; i < 2; i++) {
		vaddr_t va;

		if (kva_alloc(&arena, pages, 1, cpu == 2 ? 0 : KVA_WAIT, &va) != OK) {
			CHECK(cpu == 2);
			continue;
		}
		use_range(cpu, va, pages);
		kva_free(&arena, va, pages);
	}
}

/* --- mappings --- */

static struct test_vm v;
static struct host_machine *vm_machine(void) { return v.t.m; }
static struct kmem *km;
static uint64_t tables_before;
static struct kmem_map *map;
static uint32_t variant_of;
static ATOMIC(uint64_t) handed[2];
static vaddr_t kept;
static struct kmem_pool pool;

static void kmem_open(uint32_t variant)
{
	struct host_config c = {.ncpus = EXPLORE_CPUS,
				.ram = UINT64_C(3) << 20,
				.junk = true,
				.seed = 1,
				.range_tlbi = variant & 1,
				.late_stores = explore_modelled(),
				.ops = hooks};

	variant_of = variant;
	test_vm_init(&v, &c);
	km = &v.vm->kmem;
	tables_before = atomic_load_relaxed(&km->pages.tables);
	map = &km->map;
}

static void kmem_judge(void)
{
	struct kmem_stats s;

	host_returned();
	kmem_check(km);
	kmem_drain(km);
	kmem_stats(km, &s);
	CHECK(s.pages == 0 && s.pooled == 0 && s.kva.used == 0 && s.kva.cached == 0);
	v.owned[FRAME_TABLE] += s.tables - tables_before;
	v.owned[FRAME_FREE] -= s.tables - tables_before;
	test_vm_destroy(&v);
}

static void store(vaddr_t va, uint64_t value)
{
	struct host_fault f;

	if (host_kernel_store64(va, value, &f) != OK)
		explore_fail("a fault at %lx, which is mapped", (unsigned long)va.va);
}

static uint64_t load(vaddr_t va)
{
	struct host_fault f;
	uint64_t value;

	if (host_kernel_load64(va, &value, &f) != OK)
		explore_fail("a fault at %lx, which is mapped", (unsigned long)va.va);
	return value;
}

static vaddr_t get(void)
{
	vaddr_t va;

	CHECK(kmem_alloc(map, 2 * PAGE_SIZE, "scenario", &va) == OK);
	return va;
}

static void hand_over(unsigned i, vaddr_t va) { atomic_store_release(&handed[i], va.va); /* pairs with take_over */ }

static vaddr_t take_over(unsigned i)
{
	uint64_t va;

	while (!(va = atomic_load_acquire(&handed[i]))) /* pairs with hand_over */
		cpu_relax();
	return vaddr(va);
}

static void pass_setup(uint32_t variant) { kmem_open(variant); }

/* A range goes from CPU 0 to CPU 1, is freed there, and comes back at the same address with other frames. */
static void pass_run(uint32_t cpu)
{
	if (cpu == 0) {
		vaddr_t va = get();

		store(va, 1);
		hand_over(0, va);
		va = take_over(1);
		CHECK(load(va) == 2);
		CHECK(load(vaddr(va.va + PAGE_SIZE)) == 0);
		kmem_free(map, va, 2 * PAGE_SIZE);
		host_returned();
	} else {
		vaddr_t va = take_over(0), again;
		pfn_t old[2];

		CHECK(load(va) == 1);
		kmem_free(map, va, 2 * PAGE_SIZE);
		host_returned();
		for (unsigned i = 0; i < 2; i++)
			CHECK(frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &old[i]) == OK);
		again = get();
		CHECK(again.va == va.va);
		store(again, 2);
		hand_over(1, again);
		for (unsigned i = 0; i < 2; i++)
			frame_free(&v.vm->frames, old[i], 0);
	}
}

/* Two CPUs need the same table of the window, which is not there: all addresses of those that are have gone. */
static void link_setup(uint32_t variant)
{
	const uint64_t block = BLOCK_SIZE / PAGE_SIZE;

	kmem_open(variant);
	/* but for the root and the one below it */
	CHECK(kva_alloc(&map->kva, (tables_before - 2) * block, block, KVA_BEST_FIT, &kept) == OK);
}

static void link_run(uint32_t cpu)
{
	vaddr_t va = get();

	store(va, cpu);
	store(vaddr(va.va + PAGE_SIZE), cpu);
	CHECK(load(va) == cpu && load(vaddr(va.va + PAGE_SIZE)) == cpu);
	kmem_free(map, va, 2 * PAGE_SIZE);
	host_returned();
}

static void link_judge(void)
{
	CHECK(atomic_load_relaxed(&km->pages.tables) == tables_before + 1);
	kva_free(&map->kva, kept, (tables_before - 2) * (BLOCK_SIZE / PAGE_SIZE));
	kmem_judge();
}

/* All frames are taken but those of a range that every CPU has used; it is freed, and another takes them at once. */
static pfn_t taken[1024];
static unsigned takens;

static void reuse_setup(uint32_t variant)
{
	kmem_open(variant);
	kept = get();
	takens = 0;
	while (takens < ARRAY_SIZE(taken) && frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &taken[takens]) == OK)
		takens++;
	for (uint32_t cpu = 0; cpu < EXPLORE_CPUS; cpu++) {
		host_become(v.t.m, cpu);
		store(kept, cpu);
		store(vaddr(kept.va + PAGE_SIZE), cpu);
	}
	host_become(v.t.m, 0);
}

static void reuse_run(uint32_t cpu)
{
	if (cpu == 0) {
		kmem_free(map, kept, 2 * PAGE_SIZE);
		host_returned();
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		pfn_t f;

		if (frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &f) != OK) {
			cpu_relax();
			continue;
		}
		host_frame_freed(pfn_to_paddr(f), 0); /* does any CPU still reach it? */
		frame_free(&v.vm->frames, f, 0);
	}
}

static void reuse_judge(void)
{
	while (takens > 0)
		frame_free(&v.vm->frames, taken[--takens], 0);
	kmem_judge();
}

/* Two CPUs touch the same page of pageable memory. After kmem_fault the access works. */
static bool may_fail(void *arg)
{
	(void)arg;
	return explore_choose(CHOOSE_ALLOC, 2);
}

static void fault_setup(uint32_t variant)
{
	kmem_open(variant);
	CHECK(kmem_alloc_pageable(map, PAGE_SIZE, "scenario", &kept) == OK);
	frames_fail_by(&v.vm->frames, may_fail, NULL);
}

static void fault_run(uint32_t cpu)
{
	vaddr_t va = vaddr(kept.va + cpu * 8);
	struct host_fault f;

	if (host_kernel_store64(va, cpu + 1, &f) != OK) {
		enum error e;

		while ((e = kmem_fault(km, va)) != OK)
			CHECK(e == ERR_NOMEM);
		store(va, cpu + 1);
	}
	CHECK(load(va) == cpu + 1);
}

static void fault_judge(void)
{
	frames_fail_by(&v.vm->frames, NULL, NULL);
	for (uint64_t cpu = 0; cpu < 2; cpu++)
		CHECK(load(vaddr(kept.va + cpu * 8)) == cpu + 1);
	CHECK(atomic_load_relaxed(&km->mapped) == 1);
	kmem_free(map, kept, PAGE_SIZE);
	kmem_judge();
}

/* A pool is drained while ranges go in and out of it. */
static void pool_setup(uint32_t variant)
{
	kmem_open(variant);
	CHECK(kmem_pool_init(&pool, map, PAGE_SIZE, PAGE_SIZE, "scenario") == OK);
	CHECK(kmem_pool_get(&pool, &kept) == OK);
	store(kept, 7);
	kmem_pool_put(&pool, kept);
}

static void pool_run(uint32_t cpu)
{
	vaddr_t va;

	if (cpu == 1) {
		kmem_drain(km);
		host_returned();
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		CHECK(kmem_pool_get(&pool, &va) == OK);
		store(va, i);
		CHECK(load(va) == i);
		kmem_pool_put(&pool, va);
	}
}

static void pool_judge(void)
{
	kmem_pool_fini(&pool);
	kmem_judge();
}

const struct scenario scenario_kmem[] = {
	{"kva-take", "ranges enough, just enough, drained, in pieces", 2, KVA_HOWS, true, take_setup, arena_machine,
	 take_run, arena_judge},
	{"kva-wait", "two wait for room, a third frees what a cache would hide", 3, 2, true, wait_setup, arena_machine,
	 wait_run, arena_judge},
	{"kmem-pass", "a range is handed over, freed and mapped anew", 2, 2, true, pass_setup, vm_machine, pass_run,
	 kmem_judge},
	{"kmem-link", "two CPUs need the same missing table", 2, 2, true, link_setup, vm_machine, link_run, link_judge},
	{"kmem-reuse", "the frames of a range are freed and taken by another CPU", 2, 2, true, reuse_setup, vm_machine,
	 reuse_run, reuse_judge},
	{"kmem-fault", "two CPUs touch one pageable page", 2, 2, true, fault_setup, vm_machine, fault_run, fault_judge},
	{"kmem-pool", "a pool is drained while it is used", 2, 2, true, pool_setup, vm_machine, pool_run, pool_judge},
};
const unsigned scenario_kmem_count = ARRAY_SIZE(scenario_kmem);
