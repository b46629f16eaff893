/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_nomem.c: operations without memory, while others go on. An operation that ends in ERR_NOMEM has
 * changed nothing (model.c says where its contract allows less); afterwards, in judge, everything works again.
 */
#include "scenario_vm.h"

static uint32_t parameter;

/* Pages 0 and 2 written, 1 and 3 not; a child shares them; pages 4 and 5 show an object, shared. */
static void family(uint32_t variant)
{
	parameter = world_parameter(variant);
	world_open(variant, 2, WORLD_STRADDLE);
	world_object(2);
	op_map(0, 0, world_anon(4));
	op_store(0, 0, 0);
	op_store(0, 2, 1);
	op_fork(0, 1);
	op_map(0, 4, world_file(2, 0, true));
	world_leave();
	world_warm();
}

/* One allocation in a while fails. */
static void injected_setup(uint32_t variant)
{
	family(variant);
	world_fail_allocations();
}

/* There are that many frames, and no more. */
static void exhausted_setup(uint32_t variant)
{
	static const uint8_t left[] = { 1, 3, 6, 12, 20 };

	family(variant);
	world_leave_frames(left[parameter % sizeof left]);
}

/* First touch, copy, and an object's page; the other one copies too. */
static void faults_run(uint32_t cpu)
{
	world_enter(cpu);
	op_store(cpu, 1, 0);
	op_store(cpu, 0, 1);
	if (cpu == 0)
		op_store(0, 4, 0);
	op_store(cpu, 0, 0);
	world_leave();
}

static void fork_run(uint32_t cpu)
{
	if (cpu == 0) {
		if (op_fork(0, 2) == OK) {
			world_enter(2);
			op_store(2, 0, 0);
			op_load(2, 0, 1);
			world_leave();
		}
		return;
	}
	world_enter(0);
	op_store(0, 1, 0);
	op_store(0, 0, 0);
	op_store(0, 4, 0);
	world_leave();
}

static void change_setup(uint32_t variant)
{
	family(variant);
	world_fail_allocations();
}

/* A change, and once more: without memory it has not happened. */
static void change_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 1) {
		op_store(0, 0, 1);
		op_store(0, 1, 1);
		op_load(0, 2, MODEL_BOTH);
	} else if (parameter == WORLD_CHANGES) {
		op_move(0, 2, 1, 6);
		op_move(0, 1, 1, 7);
	} else {
		op_change((enum world_change)parameter, 0, 1, 2);
		op_change((enum world_change)parameter, 0, 1, 1);
		op_unmap(0, 2, 1);
	}
	world_leave();
}

static void object_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_write(0, 0);
		op_resize(1);
		op_read(0, 1);
		op_resize(2);
		op_write(1, 1);
		return;
	}
	world_enter(0);
	op_store(0, 4, 1);
	op_load(0, 5, 0);
	op_store(0, 5, 0);
	world_leave();
}

/*
 * Pages 0 and 1, and 4 and 5, are two entries with one amap, of which page 4 is all that is there. It is unmapped, while page 0 is
 * touched: the tree has a new root when page 4 is to be taken out of it, and for that there may be no memory. What is
 * mapped there later must not show it.
 */
static void trim_setup(uint32_t variant)
{
	world_open(variant, 2, WORLD_STRADDLE);
	op_map(0, 0, world_anon(6));
	op_store(0, 4, 0);
	op_unmap(0, 2, 2);
	world_leave();
	world_warm();
	world_fail_allocations();
}

static void trim_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 1) {
		op_store(0, 0, 0);
	} else if (op_unmap(0, 4, 1) == OK) {
		op_map(0, 2, world_anon(3)); /* one entry with pages 0 and 1, if that may be */
		op_load(0, 4, 0);
	}
	world_leave();
}

const struct scenario scenario_vm_nomem[] = {
	WORLD_SCENARIO("nomem-fault", "allocations fail under faults of parent and child", 2, 1, false, injected, faults),
	WORLD_SCENARIO("nomem-fork", "allocations fail under fork and a writer", 2, 1, false, injected, fork),
	WORLD_SCENARIO("nomem-change", "allocations fail under changes of the map", 2, WORLD_CHANGES + 1, false, change, change),
	WORLD_SCENARIO("nomem-trim", "private pages cannot be taken out of a tree that has grown", 2, 1, false, trim, trim),
	WORLD_SCENARIO("nomem-object", "allocations fail under reads, writes and faults of an object", 2, 1, false, injected, object),
	WORLD_SCENARIO("exhausted-fault", "there are few frames, parent and child write", 2, 5, false, exhausted, faults),
	WORLD_SCENARIO("exhausted-fork", "there are few frames, fork and a writer", 2, 5, false, exhausted, fork),
};
const unsigned scenario_vm_nomem_count = sizeof scenario_vm_nomem / sizeof scenario_vm_nomem[0];
