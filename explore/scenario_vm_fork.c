/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_vm_fork.c: fork against accesses, changes and forks; ends of spaces against those that share with them. */
#include "scenario_vm.h"
#include "vm/amap.h"

static uint32_t parameter;

/* Space 0 with four pages: 0 and 2 written, 1 and 3 not. */
static void family(uint32_t variant, uint32_t cpus, uint64_t base)
{
	parameter = world_parameter(variant);
	world_open(variant, cpus, base);
	op_map(0, 0, world_anon(4));
	op_store(0, 0, 0);
	op_store(0, 2, 1);
}

static void ready(void)
{
	world_leave();
	world_warm();
}

/* --- fork is one moment --- */

static void write_setup(uint32_t variant)
{
	family(variant, 2, world_parameter(variant) ? WORLD_STRADDLE : WORLD_TOGETHER);
	ready();
}

/* Who sees the later write in the child sees the earlier one. */
static void write_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		return;
	}
	world_enter(0);
	op_store(0, 1, 0);
	op_store(0, 0, 0);
	op_store(0, 0, 1);
	world_leave();
}

static void write_three_setup(uint32_t variant)
{
	family(variant, 3, world_parameter(variant) ? WORLD_STRADDLE : WORLD_TOGETHER);
	ready();
}

static void write_three_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		world_enter(1);
		op_load(1, 0, 1);
		op_store(1, 0, 0);
		op_load(1, 1, 0);
		world_leave();
		return;
	}
	world_enter(0);
	if (cpu == 1) {
		op_store(0, 1, 0);
		op_store(0, 0, 1);
	} else {
		op_store(0, 0, 0);
		op_load(0, 0, 1);
	}
	world_leave();
}

/* The child runs at once, the parent goes on writing. */
static void use_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		world_enter(1);
		op_store(1, 0, 0);
		op_load(1, 0, MODEL_BOTH);
	} else {
		world_enter(0);
		op_store(0, 0, 1);
		op_load(0, 0, MODEL_BOTH);
	}
	world_leave();
}

/* --- fork against a change --- */

static void change_setup(uint32_t variant)
{
	family(variant, 2, WORLD_STRADDLE);
	ready();
}

static void change_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		return;
	}
	world_enter(0);
	if (parameter == WORLD_CHANGES)
		op_move(0, 2, 1, 6);
	else
		op_change((enum world_change)parameter, 0, 1, 2);
	op_store(0, 2, 0);
	op_load(0, 0, 0);
	world_leave();
}

/* --- what the child does not get --- */

static void inherit_setup(uint32_t variant)
{
	family(variant, 2, WORLD_STRADDLE);
	op_inherit(0, 0, 1, INHERIT_NONE);
	op_inherit(0, 2, 1, INHERIT_ZERO);
	ready();
}

static void inherit_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		world_enter(1);
		op_store(1, 2, 0);
		op_load(1, 2, 1);
	} else {
		world_enter(0);
		op_store(0, 2, 0);
		op_store(0, 0, 0);
		op_load(0, 0, MODEL_BOTH);
	}
	world_leave();
}

/* --- a fork while the limit of the last one stands, and is lifted --- */

static void again_setup(uint32_t variant)
{
	family(variant, 3, world_parameter(variant) ? WORLD_STRADDLE : WORLD_TOGETHER);
	op_fork(0, 1);
	ready();
}

static void again_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 2);
		world_enter(2);
		op_load(2, 0, MODEL_BOTH);
		op_store(2, 2, 0);
		world_leave();
		return;
	}
	world_enter(0);
	op_store(0, 2 * cpu - 2, cpu - 1);
	op_store(0, 1, cpu - 1);
	world_leave();
}

/* --- a fault that is late, and a child that moves what the fault changes --- */

/* The parent's path is its own, but page 0 is space 2's as well. */
static void move_setup(uint32_t variant)
{
	family(variant, 3, world_parameter(variant) ? WORLD_STRADDLE : WORLD_TOGETHER);
	op_fork(0, 2);
	op_store(0, 2, 0);
	ready();
}

static void move_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		op_move(1, 0, 2, 5);
		world_enter(1);
		op_load(1, 5, MODEL_BOTH);
		op_store(1, 6, 1);
	} else if (cpu == 1) {
		world_enter(0);
		op_store(0, 0, 1);
		op_store(0, 1, 0);
	} else {
		op_exit(2);
		op_poll();
	}
	world_leave();
}

/* And one that reads it: where nodes are neighbours in one table, by the short way, once it has the table. */
static void late_read_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		world_enter(1);
		op_load(1, 1, 0);
		op_load(1, 0, MODEL_BOTH);
		world_leave();
	} else {
		move_run(cpu);
	}
}

/* --- two forks --- */

static void both_run(uint32_t cpu)
{
	op_fork(0, 1 + cpu);
	world_enter(1 + cpu);
	op_store(1 + cpu, 0, cpu);
	op_load(1 + cpu, 0, MODEL_BOTH);
	world_leave();
}

static void both_three_run(uint32_t cpu)
{
	if (cpu < 2) {
		both_run(cpu);
		return;
	}
	world_enter(0);
	op_store(0, 1, 0);
	op_store(0, 0, 0);
	op_load(0, 2, 1);
	world_leave();
}

/* --- sharing, and ends --- */

/*
 * Space 0, its child 1, that one's child 2, all with page 0 in common. Parameter: what the child did of its own before,
 * so that paths are shared at other levels: nothing, another page in the same leaf, one in another leaf.
 */
static void sharers_setup(uint32_t variant, uint32_t cpus)
{
	family(variant, cpus, WORLD_STRADDLE);
	op_map(0, 4, world_anon(2));
	op_store(0, 4, 0);
	op_fork(0, 1);
	if (parameter > 0) {
		world_enter(1);
		op_store(1, parameter == 1 ? 1 : 4, 0);
	}
	op_fork(1, 2);
	ready();
}

static void sharers_two_setup(uint32_t variant) { sharers_setup(variant, 2); }
static void sharers_three_setup(uint32_t variant) { sharers_setup(variant, 3); }

static void use_own(unsigned space, unsigned page, unsigned word)
{
	world_enter(space);
	op_store(space, page, word);
	op_load(space, page, MODEL_BOTH);
	world_leave();
	op_poll();
}

/* Two of three sharers write the page. */
static void share_run(uint32_t cpu) { use_own(cpu, 0, cpu); }
/* All of them do. */
static void share_three_run(uint32_t cpu) { use_own(cpu, 0, cpu % MODEL_WORDS); }

/* One writes, the other goes away. */
static void exit_child_run(uint32_t cpu)
{
	if (cpu == 1) {
		op_exit(1);
		op_poll();
		return;
	}
	use_own(0, 0, 0);
	use_own(0, 4, 1);
}

static void exit_parent_run(uint32_t cpu)
{
	if (cpu == 1) {
		op_exit(0);
		op_poll();
		return;
	}
	use_own(1, 0, 0);
	use_own(1, 4, 1);
}

/* Two write, and what stands between them goes away. */
static void exit_middle_run(uint32_t cpu)
{
	if (cpu == 1) {
		op_exit(1);
		op_poll();
		return;
	}
	use_own(cpu, 0, 0);
	use_own(cpu, 2, 0);
}

/* Two threads of one space write two pages of a leaf while the other sharers go away. */
static void exit_threads_run(uint32_t cpu)
{
	if (cpu == 2) {
		op_exit(2);
		op_exit(1);
		op_poll();
		return;
	}
	use_own(0, cpu * 2, 0);
	use_own(0, 4, cpu);
}

/*
 * A leaf of which the child is the only other owner; all above it is the parent's own, since it has written page 4. The
 * child goes away, and then the same thread uses another page of the leaf, while the first still copies it.
 */
static void last_sharer_setup(uint32_t variant)
{
	family(variant, 2, WORLD_STRADDLE);
	op_map(0, 4, world_anon(2));
	op_store(0, 4, 0);
	op_fork(0, 1);
	op_store(0, 4, 1);
	ready();
}

static void last_sharer_run(uint32_t cpu)
{
	if (cpu == 1)
		op_exit(1);
	world_enter(0);
	if (parameter == 1 && cpu == 0)
		op_discard(0, 0, 1);
	else
		op_store(0, cpu, 0);
	op_load(0, 2, 1);
	world_leave();
}

/*
 * The same leaf with three CPUs. A thread of the parent copies it for page 0, the child ends, and another thread writes page 1
 * as soon as all nodes above that are the parent's own: by the copy, or by the child's end while the copy is being made.
 */
static void leaf_copied_setup(uint32_t variant)
{
	(void)variant;
	family(WORLD_SMALL, 3, WORLD_TOGETHER);
	op_fork(0, 1);
	ready();
}

static bool path_is_own(unsigned page)
{
	struct vm_entry *e;
	bool own = false;

	epoch_enter(&world.v.vm->epoch);
	e = entry_list_find(&world.space[0]->main.list, world_address(page));
	(void)amap_find(e->amap, world_address(page), &own);
	epoch_leave(&world.v.vm->epoch);
	return own;
}

static void leaf_copied_run(uint32_t cpu)
{
	if (cpu == 1) {
		op_exit(1);
		return;
	}
	world_enter(0);
	/* so that some copies begin before the child lets go of the leaf, and end after it */
	for (unsigned n = cpu == 0 ? 24 * explore_choose(CHOOSE_SCENARIO, 24) : 0; n > 0; n--)
		cpu_point();
	while (cpu == 2 && !path_is_own(1))
		cpu_relax();
	op_store(0, cpu == 0 ? 0 : 1, 0);
	world_leave();
}

/*
 * One leaf, the root, that a child has in common. It ends, a thread of the parent copies the leaf, and another forks again: the
 * second child may get the leaf or its copy, but no leaf that everyone else has left.
 */
static void root_copied_setup(uint32_t variant)
{
	(void)variant;
	family(WORLD_SMALL, 3, WORLD_TOGETHER);
	op_fork(0, 1);
	ready();
}

static void root_copied_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 2);
	} else if (cpu == 1) {
		op_exit(1);
	} else {
		world_enter(0);
		op_store(0, 0, 0);
		world_leave();
	}
}

/* --- one window, protected by its table when it forks: what one page is granted the others are not --- */

#define KIND_ONE_WINDOW 3u /* eight slots of 64 pages are a window */

static void window_setup(uint32_t variant)
{
	parameter = variant;
	world_open(KIND_ONE_WINDOW, 2, WORLD_TOGETHER);
	CHECK(world.stride * MODEL_PAGES * PAGE_SIZE == BLOCK_SIZE);
	op_map(0, 0, world_anon(MODEL_PAGES - 1));
	op_map(0, MODEL_PAGES - 1, world_anon(1)); /* one entry */
	op_store(0, 0, 0);
	op_store(0, 2, 1);
	op_store(0, 5, 0);
	if (parameter == 1)
		op_fork(0, 1);
	ready();
}

static void window_run(uint32_t cpu)
{
	if (cpu == 1) {
		if (parameter == 0)
			op_fork(0, 1);
		world_enter(1);
		op_load(1, 2, 1);
		op_store(1, 5, 1);
	} else {
		world_enter(0);
		op_store(0, 0, 1);
		op_store(0, 2, 0);
		op_store(0, 5, 0);
	}
	world_leave();
}

/* --- the same pages as a file's, shared --- */

static void file_setup(uint32_t variant)
{
	parameter = world_parameter(variant);
	world_open(variant, 2, WORLD_STRADDLE);
	world_object(4);
	op_write(0, 0);
	op_write(2, 0);
	op_map(0, 0, world_file(2, 0, true));
	op_map(0, 2, world_file(2, 2, parameter == 0));
	op_store(0, 1, 0);
	op_store(0, 3, 0);
	ready();
}

static void file_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_fork(0, 1);
		world_enter(1);
		op_store(1, 0, 0);
		op_store(1, 3, 1);
		op_load(1, 2, 0);
	} else {
		world_enter(0);
		op_store(0, 0, 1);
		op_store(0, 3, 0);
		op_load(0, 3, MODEL_BOTH);
	}
	world_leave();
}

/* One machine with warm TLBs: few enough for every schedule up to the bound. */
static void small_write_setup(uint32_t variant)
{
	(void)variant;
	write_setup(WORLD_SMALL);
}

static void small_last_setup(uint32_t variant)
{
	last_sharer_setup(WORLD_SMALL + WORLD_MACHINES * variant);
}

const struct scenario scenario_vm_fork[] = {
	{ "small-fork-write", "the parent writes during fork", 2, SCENARIO_FAULTS | 1, true, small_write_setup, world_machine, write_run, world_judge },
	{ "small-exit-write", "the last other owner of a leaf ends while it is copied", 2, SCENARIO_FAULTS | 2, true, small_last_setup, world_machine,
	  last_sharer_run, world_judge },
	WORLD_SCENARIO("fork-write", "the parent writes during fork: the child is of one moment", 2, 2, false, write, write),
	WORLD_SCENARIO("fork-write-read", "two threads of the parent during fork, and the child runs", 3, 2, false, write_three,
		       write_three),
	WORLD_SCENARIO("fork-use", "the child runs at once while the parent writes", 2, 2, false, write, use),
	WORLD_SCENARIO("fork-change", "pages are changed during fork", 2, WORLD_CHANGES + 1, false, change, change),
	WORLD_SCENARIO("fork-inherit", "pages the child does not get, or gets empty", 2, 1, false, inherit, inherit),
	WORLD_SCENARIO("fork-again", "a fork where the limit of the last one is being lifted by two threads", 3, 2, false, again, again),
	WORLD_SCENARIO("fork-move", "a child moves a page that a late fault of the parent copies", 3, 2, false, move, move),
	WORLD_SCENARIO("fork-read-late", "a child reads a page that a late fault of the parent copies", 3, 2, false, move, late_read),
	WORLD_SCENARIO("fork-fork", "two forks of one space at once", 2, 2, false, write, both),
	WORLD_SCENARIO("fork-fork-write", "two forks and a writer", 3, 2, false, write_three, both_three),
	WORLD_SCENARIO("fork-file", "fork of shared and private mappings of an object", 2, 2, false, file, file),
	WORLD_SCENARIO("share-write", "two of three sharers write one page", 2, 3, false, sharers_two, share),
	WORLD_SCENARIO("share-write-all", "three sharers write one page", 3, 3, false, sharers_three, share_three),
	WORLD_SCENARIO("exit-child", "a child ends while its parent writes what they share", 2, 3, false, sharers_two, exit_child),
	WORLD_SCENARIO("exit-parent", "a parent ends while its child writes what they share", 2, 3, false, sharers_two, exit_parent),
	WORLD_SCENARIO("exit-write", "the last other owner of a leaf ends while it is copied, and the leaf is written", 2, 2, false,
		       last_sharer, last_sharer),
	{ "exit-write-leaf", "the same, and the thread that writes waits for its moment", 3, 1, false, leaf_copied_setup,
	  world_machine, leaf_copied_run, world_judge },
	{ "fork-exit-write", "a fork while the only sharer of the root ends and a writer copies it", 3, 1, false,
	  root_copied_setup, world_machine, root_copied_run, world_judge },
	{ "fork-window", "a window write-protected by its table is written page by page, at or after the fork", 2, 2, false,
	  window_setup, world_machine, window_run, world_judge },
	WORLD_SCENARIO("exit-middle", "a space ends while its parent and its child write", 3, 3, false, sharers_three, exit_middle),
	WORLD_SCENARIO("exit-threads", "two children end while two threads of the parent write", 3, 3, false, sharers_three,
		       exit_threads),
};
const unsigned scenario_vm_fork_count = sizeof scenario_vm_fork / sizeof scenario_vm_fork[0];
