/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_one.c: changes of one entry whole, which take the short way (vm/map_quick.c), against each other, against those
 * that do not, and against faults; and the end of the heap.
 */
#include "scenario_vm.h"

/* Pages 0 to 4 are an entry each: writable, not, writable ... */
enum { LOSE, LOSE_BESIDE, LIKE_BESIDE, TAKE_OUT, TAKE_BESIDE, MAP_OVER, TAKE_ALL, FORK, CHANGES_OF_ONE };
static uint32_t which[2];

static void ones_setup(uint32_t variant)
{
	uint32_t n = world_parameter(variant);

	which[0] = n % CHANGES_OF_ONE;
	which[1] = n / CHANGES_OF_ONE;
	world_open(variant, 3, WORLD_STRADDLE);
	for (unsigned i = 0; i < 5; i++) {
		struct model_range how = world_anon(1);

		how.prot = i % 2 ? PROT_R : RW;
		op_map(0, i, how);
		if (i % 2 == 0)
			op_store(0, i, 0);
	}
	world_leave();
	world_warm();
}

static void change(uint32_t what, unsigned child)
{
	struct model_range over = world_anon(1);

	over.replace = true;
	switch (what) {
	case LOSE:
		op_protect(0, 2, 1, PROT_NONE_);
		break;
	case LOSE_BESIDE:
		op_protect(0, 1, 1, PROT_NONE_);
		break;
	case LIKE_BESIDE: /* three become one */
		op_protect(0, 2, 1, PROT_R);
		break;
	case TAKE_OUT:
		op_unmap(0, 2, 1);
		break;
	case TAKE_BESIDE:
		op_unmap(0, 3, 1);
		break;
	case MAP_OVER:
		op_map(0, 2, over);
		break;
	case TAKE_ALL:
		op_unmap(0, 0, 5);
		break;
	default:
		op_fork(0, child);
	}
}

static void ones_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu < 2) {
		change(which[cpu], 1 + cpu);
		op_load(0, 2, 0);
	} else {
		op_store(0, 2, 1);
		op_load(0, 1, 0);
		op_load(0, 2, MODEL_BOTH);
	}
	world_leave();
	op_poll();
}

/* --- what nobody has touched goes without a look at the tables --- */

static void untouched_setup(uint32_t variant)
{
	struct model_range beside = world_anon(1);

	which[0] = world_parameter(variant);
	world_open(variant, 2, WORLD_TOGETHER);
	op_map(0, 0, world_anon(1));
	if (which[0] % 2) { /* so that the table is there */
		beside.prot = PROT_R;
		op_map(0, 1, beside);
		op_load(0, 1, 0);
	}
	world_leave();
	world_warm();
}

static void untouched_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_unmap(0, 0, 1);
		op_load(0, 0, 0);
	} else if (which[0] / 2) {
		op_load(0, 0, 0);
		op_load(0, 0, 1);
	} else {
		op_store(0, 0, 1);
		op_load(0, 0, 1);
	}
	world_leave();
	op_poll();
}

/* --- the end of the heap --- */

static void heap_setup(uint32_t variant)
{
	struct vm_map *m;

	world_open(variant, 2, WORLD_STRADDLE);
	m = world.space[0];
	m->brk_start = m->brk_end = world_address(0);
	op_break(0, 0, 4);
	op_store(0, 0, 0);
	if (world_parameter(variant) % 2) /* else the pages that go have not been touched */
		op_store(0, 3, 0);
	world_leave();
	world_warm();
}

/* Down and up again, while its pages are used: what was there is gone. */
static void heap_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_break(0, 4, 2);
		op_break(0, 2, 4);
		op_load(0, 3, 0);
	} else {
		op_store(0, 3, 1);
		op_store(0, 2, 0);
		op_load(0, 3, MODEL_BOTH);
	}
	world_leave();
	op_poll();
}

/* While its pages are changed. */
static enum world_change heap_change;

static void heap_change_setup(uint32_t variant)
{
	heap_change = (enum world_change)(world_parameter(variant) / 2);
	heap_setup(variant);
}

static void heap_change_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_break(0, 4, 3);
		op_load(0, 2, 0);
		op_break(0, 3, 4);
	} else {
		op_change(heap_change, 0, 1, 2);
		op_store(0, 3, 1);
	}
	world_leave();
	op_poll();
}

const struct scenario scenario_vm_one[] = {
	WORLD_SCENARIO("one-one", "two changes of whole entries, and a program", 3, CHANGES_OF_ONE *CHANGES_OF_ONE, false, ones, ones),
	WORLD_SCENARIO("untouched", "an untouched mapping goes while it is touched first", 2, 4, false, untouched, untouched),
	WORLD_SCENARIO("heap-fault", "the heap becomes shorter and longer while it is used", 2, 2, false, heap, heap),
	WORLD_SCENARIO("heap-change", "the heap becomes shorter and longer while it is changed", 2, 2 * WORLD_CHANGES, false, heap_change,
		       heap_change),
};
const unsigned scenario_vm_one_count = sizeof scenario_vm_one / sizeof scenario_vm_one[0];
