/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_vm_range.c: changes of ranges against each other, same, overlapping or side by side. */
#include "scenario_vm.h"

/* Pages of the two changes; the entry before has six, so that it is clipped on both sides. */
static const struct {
	uint8_t page, count;
} spans[][2] = {
	{ { 1, 4 }, { 1, 4 } }, /* the same */
	{ { 1, 3 }, { 2, 3 } }, /* overlapping */
	{ { 1, 2 }, { 3, 2 } }, /* side by side */
	{ { 0, 6 }, { 2, 1 } }, /* one within the other */
};
#define SPANS (sizeof spans / sizeof spans[0])

static enum world_change change[2];
static uint32_t span;

/* pages 0, 2, 4 written; 5 read. map leaves a hole for changes that need one. */
static void prepare(uint32_t variant, uint32_t cpus, enum world_change one, enum world_change two, uint32_t which)
{
	change[0] = one;
	change[1] = two;
	span = which;
	world_open(variant, cpus, WORLD_STRADDLE);
	op_map(0, 0, world_anon(6));
	for (unsigned i = 0; i < 6; i += 2)
		op_store(0, i, 0);
	op_load(0, 5, 0);
	if (one == CHANGE_MAP)
		op_unmap(0, spans[span][0].page, spans[span][0].count);
	world_leave();
	world_warm();
}

static void change_of(uint32_t cpu) { op_change(change[cpu], 0, spans[span][cpu].page, spans[span][cpu].count); }

static void pair_run(uint32_t cpu)
{
	world_enter(0);
	change_of(cpu);
	op_load(0, spans[span][cpu].page, 0);
	op_store(0, 2, cpu);
	world_leave();
}

/* A third thread uses two of the pages meanwhile. */
static void triple_run(uint32_t cpu)
{
	if (cpu < 2) {
		world_enter(0);
		change_of(cpu);
		world_leave();
		op_poll();
		return;
	}
	world_enter(0);
	op_store(0, 2, 1);
	op_load(0, 3, 0);
	op_store(0, 4, 1);
	op_load(0, 2, MODEL_BOTH);
	world_leave();
}

#define PAIR(word, one, two) \
	static void word##_setup(uint32_t variant) \
	{ \
		prepare(variant, 2, one, two, world_parameter(variant)); \
	}
PAIR(unmaps, CHANGE_UNMAP, CHANGE_UNMAP)
PAIR(protect_unmap, CHANGE_READ_ONLY, CHANGE_UNMAP)
PAIR(maps, CHANGE_MAP, CHANGE_MAP)
PAIR(replaces, CHANGE_REPLACE, CHANGE_REPLACE)
PAIR(discards, CHANGE_DISCARD, CHANGE_DISCARD)
PAIR(discard_unmap, CHANGE_DISCARD, CHANGE_UNMAP)
PAIR(protects, CHANGE_READ_ONLY, CHANGE_NO_ACCESS)
PAIR(wire_unmap, CHANGE_WIRE, CHANGE_UNMAP)

static void triple_setup(uint32_t variant)
{
	uint32_t n = world_parameter(variant);

	prepare(variant, 3, (enum world_change)(n / SPANS % WORLD_CHANGES), (enum world_change)(n / SPANS / WORLD_CHANGES),
		n % SPANS);
}

/* --- moves --- */

static void moves_setup(uint32_t variant)
{
	world_open(variant, 2, WORLD_STRADDLE);
	op_map(0, 0, world_anon(2));
	op_store(0, 0, 0);
	op_store(0, 1, 1);
	op_map(0, 4, world_anon(1));
	op_store(0, 4, 0);
	world_leave();
	world_warm();
	span = world_parameter(variant);
}

/* Two pages are moved over a third; what stands against it: another move, an unmap, accesses to either place. */
static void moves_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_move(0, 0, 2, 4);
		op_load(0, 5, 1);
	} else if (span == 0) {
		op_move(0, 4, 1, 2);
		op_store(0, 2, 1);
	} else if (span == 1) {
		op_unmap(0, 4, 2);
		op_store(0, 1, 0);
	} else if (span == 2) {
		op_store(0, 0, 1);
		op_load(0, 0, 0);
		op_load(0, 4, MODEL_BOTH);
	} else {
		op_store(0, 4, 1);
		op_load(0, 5, MODEL_BOTH);
		op_load(0, 1, 1);
	}
	world_leave();
}

/* Two entries become one while two others wait who each want to cut one of them. */
static void merge_setup(uint32_t variant)
{
	world_open(variant, 3, WORLD_STRADDLE);
	op_map(0, 0, world_anon(4));
	op_store(0, 0, 0);
	op_store(0, 3, 0);
	op_protect(0, 2, 2, PROT_R);
	world_leave();
	world_warm();
}

static void merge_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0)
		op_protect(0, 2, 2, PROT_R | PROT_W);
	else
		op_unmap(0, cpu == 1 ? 0 : 3, 1);
	op_load(0, 1, 0);
	world_leave();
}

/*
 * Changes that look around before they lock, and what they saw changes meanwhile: one entry in place of another, or several.
 * No page is there, so no table is, and what runs is C11 alone; no barrier stands between the changes. So nothing but what
 * lock_extent acquires tells one CPU what the other has done. Who misses that replaces an entry that is gone, whatever the
 * protections are in the end, and loses another, or two.
 */
#define UNMAP 0x80
#define EITHER 0x81
static const struct look {
	struct { uint8_t page, count, prot; } step[2][3]; /* count 0: none */
	uint8_t end[6];                                   /* each page's protection, UNMAP, or EITHER */
	bool later;                                       /* CPU 1 begins when CPU 0 is through, as a relaxed word says */
} looks[] = {
	{ { { { 2, 2, PROT_NONE_ }, { 2, 2, PROT_R }, { 2, 2, PROT_NONE_ } }, { { 2, 2, RW }, { 2, 2, PROT_R }, { 2, 2, RW } } },
	  { RW, RW, EITHER, EITHER, RW, RW }, false }, /* the entry itself */
	{ { { { 4, 2, PROT_NONE_ }, { 4, 2, PROT_R }, { 4, 2, PROT_NONE_ } },
	    { { 0, 4, PROT_R }, { 0, 4, RW }, { 0, 4, PROT_R } } },
	  { PROT_R, PROT_R, PROT_R, PROT_R, PROT_NONE_, PROT_NONE_ }, false }, /* the one behind several */
	{ { { { 1, 1, UNMAP }, { 4, 1, UNMAP } }, { { 2, 2, RW }, { 2, 2, PROT_R }, { 2, 2, RW } } },
	  { RW, UNMAP, RW, RW, UNMAP, RW }, false }, /* those before and after, cut */
	{ { { { 5, 1, PROT_NONE_ }, { 5, 1, PROT_R }, { 5, 1, PROT_NONE_ } }, { { 1, 2, UNMAP }, { 3, 2, UNMAP } } },
	  { RW, UNMAP, UNMAP, UNMAP, UNMAP, PROT_NONE_ }, false }, /* the last of several, of which a piece stays */
	{ { { { 2, 2, PROT_NONE_ } }, { { 2, 2, RW } } }, { RW, RW, RW, RW, RW, RW }, true },
	{ { { { 4, 2, PROT_NONE_ } }, { { 0, 4, PROT_R } } },
	  { PROT_R, PROT_R, PROT_R, PROT_R, PROT_NONE_, PROT_NONE_ }, true },
	{ { { { 4, 2, PROT_R } }, { { 1, 5, PROT_R } } }, { RW, PROT_R, PROT_R, PROT_R, PROT_R, PROT_R }, true },
};
static ATOMIC(uint32_t) through;

static void look_setup(uint32_t variant)
{
	explore_portable(true);
	span = world_parameter(variant);
	world_open(variant, 2, WORLD_TOGETHER);
	op_map(0, 0, world_anon(6));
	op_protect(0, 2, 2, PROT_R);
	world_leave();
	atomic_store_relaxed(&through, 0u); /* nobody runs yet */
}

static void look_run(uint32_t cpu)
{
	while (cpu == 1 && looks[span].later && !atomic_load_relaxed(&through)) /* relaxed: orders nothing, as is the point */
		cpu_relax();
	for (unsigned i = 0; i < 3 && looks[span].step[cpu][i].count; i++) {
		uint64_t page = looks[span].step[cpu][i].page, prot = looks[span].step[cpu][i].prot;
		struct vrange r = vrange(world_address((unsigned)page),
					 world_address((unsigned)page + looks[span].step[cpu][i].count));

		CHECK((prot == UNMAP ? vm_map_remove(world.space[0], r)
				     : vm_map_protect(world.space[0], r, (enum prot)prot)) == OK);
	}
	if (cpu == 0)
		atomic_store_relaxed(&through, 1u); /* relaxed: as above */
}

/* Entries and nodes that were lost, or went twice, are found by test_vm_destroy. */
static void look_judge(void)
{
	vm_map_check(world.space[0]);
	for (unsigned i = 0; i < 6; i++) {
		struct vm_entry_info info;
		bool there = vm_map_lookup(world.space[0], world_address(i), &info) && info.range.start.va <= world_address(i);
		uint8_t due = looks[span].end[i];

		CHECK(there == (due != UNMAP) && (!there || due == EITHER || info.prot == (enum prot)due));
	}
	vm_map_release(world.space[0]);
	test_vm_destroy(&world.v);
}

/*
 * One maps where the kernel finds room; what it gets is its alone, and goes again. Against it: the same; entries that change in
 * place, and grow and shrink; a fork, which publishes a new tree without its lock.
 */
static ATOMIC(uint64_t) place[2];

static void frees_setup(uint32_t variant)
{
	span = world_parameter(variant);
	world_open(variant, 2, WORLD_STRADDLE);
	op_map(0, 0, world_anon(1));
	if (span > 0)
		op_map(0, 2, world_anon(2));
	world_leave();
	world_warm();
	for (unsigned i = 0; i < 2; i++)
		atomic_store_relaxed(&place[i], UINT64_C(0)); /* nobody runs yet */
}

static void take_and_give(uint32_t cpu)
{
	const struct vm_mapping what = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t at = 0, other, x = 1;

		CHECK(vm_map_enter(world.space[0], &at, 2 * PAGE_SIZE, &what, 0) == OK);
		atomic_store_seq_cst(&place[cpu], at); /* one of the two sees the other's */
		other = atomic_load_seq_cst(&place[!cpu]);
		CHECK(!other || other >= at + 2 * PAGE_SIZE || other + 2 * PAGE_SIZE <= at);
		/* What was there before is gone, and what comes there stays. */
		CHECK(test_load(world.space[0], at, &x) == OK && x == 0);
		CHECK(test_store(world.space[0], at, cpu + 7) == OK);
		CHECK(test_load(world.space[0], at, &x) == OK && x == cpu + 7);
		atomic_store_seq_cst(&place[cpu], UINT64_C(0));
		CHECK(vm_map_remove(world.space[0], vrange(at, at + 2 * PAGE_SIZE)) == OK);
	}
}

static void frees_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0 || span == 0) {
		take_and_give(cpu);
	} else if (span == 1) {
		op_protect(0, 2, 2, PROT_R);
		op_map(0, 1, world_anon(1)); /* page 0's entry grows in place */
		op_unmap(0, 3, 1);           /* and this one shrinks */
	} else {
		op_fork(0, 1);
	}
	world_leave();
}

/* Two entries with one amap, of which one page is unmapped while it is written: it leaves the amap, which goes on being used. */
static void part_setup(uint32_t variant)
{
	world_open(variant, 2, WORLD_STRADDLE);
	op_map(0, 0, world_anon(4));
	op_store(0, 0, 0);
	op_store(0, 3, 0);
	op_unmap(0, 1, 1);
	world_leave();
	world_warm();
}

static void part_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_unmap(0, 3, 1);
	} else {
		op_store(0, 3, 1);
		op_load(0, 3, 0);
	}
	world_leave();
}

const struct scenario scenario_vm_range[] = {
	WORLD_SCENARIO("unmap-unmap", "two unmap the same or overlapping pages", 2, SPANS, false, unmaps, pair),
	WORLD_SCENARIO("unmap-part", "a page is taken out of an amap that goes on being used, while it is written", 2, 1, false, part,
		       part),
	WORLD_SCENARIO("protect-unmap", "pages are protected and unmapped", 2, SPANS, false, protect_unmap, pair),
	WORLD_SCENARIO("map-map", "two map where it is free", 2, SPANS, false, maps, pair),
	WORLD_SCENARIO("map-free", "a place for a mapping, against another, changes, a fork", 2, 3, false, frees, frees),
	{ "map-look", "what a change has seen before its lock changes", 2, WORLD_MACHINES * (uint32_t)ARRAY_SIZE(looks), false,
	  look_setup, world_machine, look_run, look_judge },
	WORLD_SCENARIO("map-merge", "two entries become one, of which two others cut a page each", 3, 1, false, merge, merge),
	WORLD_SCENARIO("replace-replace", "two map over the same pages", 2, SPANS, false, replaces, pair),
	WORLD_SCENARIO("discard-discard", "two discard", 2, SPANS, false, discards, pair),
	WORLD_SCENARIO("discard-unmap", "pages are discarded and unmapped", 2, SPANS, false, discard_unmap, pair),
	WORLD_SCENARIO("protect-protect", "two protect, read-only and nothing", 2, SPANS, false, protects, pair),
	WORLD_SCENARIO("wire-unmap", "pages are wired and unmapped", 2, SPANS, false, wire_unmap, pair),
	WORLD_SCENARIO("change-change-fault", "any two changes and a program", 3, SPANS *WORLD_CHANGES *WORLD_CHANGES, false,
		       triple, triple),
	WORLD_SCENARIO("move-move", "a move against a move, an unmap, accesses", 2, 4, false, moves, moves),
};
const unsigned scenario_vm_range_count = sizeof scenario_vm_range / sizeof scenario_vm_range[0];
