/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_block.c: 2 MiB by one descriptor (vm/fault_block.c, armv8/block.c): made, split and taken away while others use it. On
 * most machines the four pages in use lie in one block, on some each is the first of one.
 */
#include "scenario_vm.h"
#include "vm/fault_private.h"

#define PAGES 4u

static uint32_t parameter;

/* made: the block is there from the start, of page 0's or of all windows that the program uses. */
static void prepare(uint32_t variant, uint32_t cpus, bool made)
{
	parameter = world_parameter(variant);
	world_open_blocks(variant, cpus);
	op_map(0, 0, world_anon(PAGES));
	if (made) {
		op_store(0, 1, 0);
		op_store(0, 2, 0);
	}
	world_leave();
	world_at_hand();
	if (made) /* else a read would bring the zero page, and no block */
		world_warm();
}

static void program(unsigned space)
{
	world_enter(space);
	op_store(space, 1, 0);
	op_load(space, 2, MODEL_BOTH);
	op_store(space, 2, 1);
	op_load(space, 1, 0);
	world_leave();
}

/*
 * Making a block takes much longer than what others do to it, so they would mostly be over by then: who changes it waits, by choice, until its
 * table is there, until its PTEs are, or until it is there itself.
 */
enum moment { AT_ONCE, TABLE, PTES, BLOCK_THERE, MOMENTS };

static bool come(enum moment m)
{
	struct pmap *pm = &world.space[0]->pmap;
	bool is;

	switch (m) {
	case TABLE:
		epoch_enter(&world.v.vm->epoch);
		is = pmap_has_leaf(pm, vaddr(world_address(1)));
		epoch_leave(&world.v.vm->epoch);
		return is;
	case PTES:
		return pmap_extract(pm, vaddr(world_address(1))).state == PMAP_VALID;
	case BLOCK_THERE:
		return pmap_extract(pm, vaddr(world_address(1))).block;
	default:
		return true;
	}
}

static void wait_for_moment(void)
{
	enum moment m = (enum moment)explore_choose(CHOOSE_SCENARIO, MOMENTS);

	while (!come(m))
		cpu_relax();
}

/* --- changes of one of its pages, or of all --- */

static bool wait;

static void change_setup(uint32_t variant)
{
	prepare(variant, 2, true);
	wait = false;
}

static void make_change_setup(uint32_t variant)
{
	prepare(variant, 2, false);
	wait = true;
}

static void change_run(uint32_t cpu)
{
	bool all = parameter & 1;

	if (cpu == 1) {
		program(0);
		return;
	}
	if (wait)
		wait_for_moment();
	world_enter(0);
	op_change((enum world_change)(parameter / 2), 0, all ? 0 : 1, all ? PAGES : 1);
	op_load(0, 2, 0);
	op_store(0, 1, 1);
	world_leave();
	op_poll();
}

/* --- two programs make it, or split it, a third thing happens --- */

enum third { FORK, MOVE, DISCARD, THIRDS };

static void three_setup(uint32_t variant) { prepare(variant, 3, world_parameter(variant) % 2); }

static void three_run(uint32_t cpu)
{
	if (cpu == 0) {
		program(0);
	} else if (cpu == 1) {
		world_enter(0);
		op_load(0, 1, 0);
		op_store(0, 2, 0);
		op_load(0, 1, MODEL_BOTH);
		world_leave();
	} else if (parameter / 2 == FORK) {
		op_fork(0, 1);
		program(1);
	} else {
		world_enter(0);
		if (parameter / 2 == MOVE)
			op_move(0, 2, 1, 5);
		else
			op_discard(0, 0, PAGES);
		op_load(0, 2, 0);
		world_leave();
	}
	op_poll();
}

/* --- after a fork: limited, shared, and the child goes --- */

static void forked_setup(uint32_t variant)
{
	prepare(variant, 3, true);
	op_fork(0, 1);
}

static void forked_run(uint32_t cpu)
{
	if (cpu == 0) {
		program(0);
	} else if (cpu == 1 && parameter) {
		op_exit(1);
	} else if (cpu == 1) {
		program(1);
	} else {
		world_enter(0);
		op_store(0, 2, 0);
		op_protect(0, 1, 1, PROT_R);
		op_load(0, 1, 0);
		world_leave();
	}
	op_poll();
}

/* --- all of it moves, or ends with the heap, while it is made --- */

static void heap_setup(uint32_t variant)
{
	parameter = world_parameter(variant);
	world_open_blocks(variant, 2);
	world.space[0]->brk_start = world.space[0]->brk_end = world_address(0);
	op_break(0, 0, PAGES);
	world_leave();
	world_at_hand();
}

static void heap_run(uint32_t cpu)
{
	if (cpu == 0)
		wait_for_moment();
	world_enter(0);
	if (cpu == 1) {
		op_store(0, 1, 0);
	} else if (parameter == 0) {
		op_break(0, PAGES, 1);
		op_break(0, 1, PAGES);
		op_load(0, 3, 0);
	} else {
		op_store(0, 3, 0);
		op_move(0, 0, PAGES, PAGES);
		op_load(0, 7, 0);
	}
	world_leave();
	op_poll();
}

/* --- the moment at which it comes, with all that it takes made before: few steps --- */

enum against { FORK_IT = 2 * WORLD_CHANGES, WRITE_IT, AGAINSTS, CUT_IT };

static struct fault fault;

static void install_prepare(uint32_t variant, uint32_t against)
{
	struct vm *vm;

	parameter = against;
	world_open_blocks(variant, 2);
	vm = world.v.vm;
	if (against == CUT_IT) {
		world.space[0]->brk_start = world.space[0]->brk_end = world_address(0);
		op_break(0, 0, PAGES);
	} else {
		op_map(0, 0, world_anon(PAGES));
	}
	if (world.stride == 512) { /* tables above and the shadow are there; else they come, too */
		op_store(0, 3, 0);
		op_discard(0, 3, 1);
	}
	world_leave();
	world_at_hand();
	memset(&fault, 0, sizeof fault);
	fault.vm = vm;
	fault.map = world.space[0];
	fault.va = world_address(1);
	fault.access = PROT_W;
	for (; fault.tables.tables < PMAP_STOCK_TABLES; fault.tables.tables++)
		CHECK(frame_alloc(&vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &fault.tables.table[fault.tables.tables]) == OK);
	CHECK(amap_stock_fill(vm, &fault.nodes, AMAP_LEVELS) == OK);
	fault_block_make(vm, fault.va, &fault.block);
	CHECK(fault.block.nodes);
}

static void install_setup(uint32_t variant) { install_prepare(variant, world_parameter(variant)); }
static void install_cut_setup(uint32_t variant) { install_prepare(variant, CUT_IT); }

/* A turn of a fault, as vm_fault_slow takes it. */
static enum error install_turn(void)
{
	enum error e = ERR_STALE;

	epoch_enter(&fault.vm->epoch);
	fault.entry = map_find_anew(fault.map, fault.va);
	if (fault.entry && fault_block_wanted(fault.map, fault.entry, fault.va)) {
		fault.life = entry_life(fault.entry);
		if (!(fault.life & 1))
			e = fault_block(&fault);
	}
	epoch_leave(&fault.vm->epoch);
	return e;
}

static void install_run(uint32_t cpu)
{
	bool all = parameter & 1;

	/* No more writes than one: each would make a block of its own, out of which most of the run would be. */
	if (cpu == 1) {
		if (install_turn() == ERR_STOCK && fault.tables.tables == 0) { /* the shadow's */
			CHECK(frame_alloc(&fault.vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &fault.tables.table[0]) == OK);
			fault.tables.tables = 1;
			(void)install_turn();
		}
		fault_block_drop(&fault.block);
		while (fault.tables.tables > 0)
			frame_put(&fault.vm->frames, fault.tables.table[--fault.tables.tables]);
		amap_stock_empty(fault.vm, &fault.nodes);
		return;
	}
	if (parameter == FORK_IT) {
		op_fork(0, 1);
		world_enter(1);
		op_load(1, 2, MODEL_BOTH);
		world_leave();
		return;
	}
	world_enter(0);
	if (parameter < 2 * WORLD_CHANGES)
		op_change((enum world_change)(parameter / 2), 0, all ? 0 : 2, all ? PAGES : 1);
	else if (parameter == WRITE_IT)
		op_store(0, 2, 1);
	if (parameter == CUT_IT) { /* what has been written through the block goes with it */
		while (!come(BLOCK_THERE))
			cpu_relax();
		op_store(0, 2, 1);
		op_break(0, PAGES, 1);
		op_break(0, 1, PAGES);
	}
	op_load(0, 2, MODEL_BOTH);
	world_leave();
	op_poll();
}

/* --- the space ends; memory lacks --- */

static void exit_setup(uint32_t variant)
{
	prepare(variant, 2, true);
	op_fork(0, 1);
	world_enter(1);
	op_store(1, 3, 0);
	world_leave();
}

static void exit_run(uint32_t cpu)
{
	if (cpu == 0)
		op_exit(1);
	else
		program(0);
	op_poll();
}

static void nomem_setup(uint32_t variant)
{
	prepare(variant, 2, false);
	wait = false;
	world_fail_allocations();
}

/* One machine. A page changes, or all. */
static void small_setup(uint32_t variant)
{
	wait = false;
	prepare(3 + WORLD_MACHINES * (variant == 0 ? 2 * CHANGE_READ_ONLY : 2 * CHANGE_UNMAP), 2, true);
}

static void small_make_setup(uint32_t variant)
{
	static const uint8_t what[] = {CHANGE_UNMAP, CHANGE_DISCARD, CHANGE_NO_ACCESS};

	prepare(3 + WORLD_MACHINES * (2u * what[variant % 3] + 1), 2, false);
}

static void small_make_run(uint32_t cpu)
{
	if (cpu == 0)
		wait_for_moment();
	world_enter(0);
	if (cpu == 1)
		op_store(0, 1, 0);
	else
		op_change((enum world_change)(parameter / 2), 0, 0, PAGES);
	world_leave();
}

#define BLOCK(name, what, cpus, parameters, setup, run) WORLD_SCENARIO(name, what, cpus, parameters, false, setup, run)

const struct scenario scenario_vm_block[] = {
	{ "small-block", "a block is split while it is used", 2, SCENARIO_FAULTS | 2, false, small_setup, world_machine, change_run, world_judge },
	{ "small-block-make", "all of it changes while it is made", 2, SCENARIO_FAULTS | 3, false, small_make_setup, world_machine, small_make_run,
	  world_judge },
	BLOCK("block-change", "a block, or one of its pages, is changed while it is used", 2, 2 * WORLD_CHANGES, change, change),
	BLOCK("block-make-change", "the same while it is made", 2, 2 * WORLD_CHANGES, make_change, change),
	BLOCK("block-three", "two programs make or use a block, a third thing happens to it", 3, 2 * THIRDS, three, three),
	BLOCK("block-forked", "a block that two spaces share is written by both, protected, left", 3, 2, forked, forked),
	BLOCK("block-install", "the moment at which a block comes, and anything else", 2, AGAINSTS, install, install),
	BLOCK("block-install-cut", "the same, and its heap is cut as soon as it is seen", 2, 1, install_cut, install),
	BLOCK("block-heap", "a heap is moved, or cut, while a block of it is made", 2, 2, heap, heap),
	BLOCK("block-exit", "a space ends that shares a block", 2, 1, exit, exit),
	BLOCK("block-nomem", "a block is made and changed while allocations fail", 2, 2 * WORLD_CHANGES, nomem, change),
};
const unsigned scenario_vm_block_count = sizeof scenario_vm_block / sizeof scenario_vm_block[0];
