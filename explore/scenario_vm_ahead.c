/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_ahead.c: a first write that makes the pages behind it (vm/fault_ahead.c), and what others do to those at the same
 * time. Pages 0 and 1 are mapped and the others are not: so a write to page 2 makes pages 3 and 4 as well.
 */
#include "scenario_vm.h"

#define PAGES 5u

/* What page 4 is: untouched; private, but not mapped at the moment. */
enum before { UNTOUCHED, FILLED, BEFORES };
static uint32_t parameter;

/* Kinds of machine where pages are neighbours: stride 1. */
static const uint8_t machines[] = { 0, 1, 2, 6 };
#define MACHINES 4

static void prepare(uint32_t variant, uint32_t cpus, enum before what)
{
	world_open_ahead(machines[variant % MACHINES], cpus, WORLD_TOGETHER);
	op_map(0, 0, world_anon(PAGES));
	op_store(0, 0, 0);
	if (what == FILLED) {
		op_store(0, 4, 0);
		op_protect(0, 0, PAGES, PROT_NONE_);
		op_protect(0, 0, PAGES, RW);
		op_load(0, 0, 0);
	}
	op_store(0, 1, 0); /* page 2 comes along, once frames and anons are at hand */
	op_discard(0, 2, 2);
	world_leave();
}

/* Page 2, and then what has been made behind it. */
static void go_on(void)
{
	world_enter(0);
	op_store(0, 2, 0);
	op_load(0, 3, MODEL_BOTH);
	op_store(0, 4, 1);
	world_leave();
}

/* --- a change of the pages behind --- */

enum change { UNMAP, UNMAP_ALL, DISCARD, DISCARD_ALL, READ_ONLY, NO_ACCESS, REPLACE, MOVE_AWAY, WRITE, READ, CHANGES };

static void change(enum change what)
{
	switch (what) {
	case UNMAP:
		op_unmap(0, 3, 1);
		break;
	case UNMAP_ALL:
		op_unmap(0, 0, PAGES);
		break;
	case DISCARD:
		op_discard(0, 3, 2);
		break;
	case DISCARD_ALL:
		op_discard(0, 0, PAGES);
		break;
	case READ_ONLY:
		op_protect(0, 3, 1, PROT_R);
		break;
	case NO_ACCESS:
		op_protect(0, 3, 2, PROT_NONE_);
		break;
	case REPLACE:
		op_change(CHANGE_REPLACE, 0, 3, 1);
		break;
	case MOVE_AWAY:
		op_move(0, 3, 2, 6);
		break;
	case READ:
		op_load(0, 3, 0);
		break;
	default:
		op_store(0, 3, 0);
	}
}

static void change_setup(uint32_t variant)
{
	uint32_t n = variant / MACHINES;

	parameter = n / BEFORES;
	prepare(variant, 2, (enum before)(n % BEFORES));
}

static void change_run(uint32_t cpu)
{
	if (cpu == 0) {
		go_on();
		return;
	}
	world_enter(0);
	change((enum change)parameter);
	op_load(0, 3, MODEL_BOTH);
	op_store(0, 3, 1);
	world_leave();
	op_poll();
}

/* A second thread goes on from page to page as well. */
static void three_setup(uint32_t variant)
{
	uint32_t n = variant / MACHINES;

	parameter = n / BEFORES;
	prepare(variant, 3, (enum before)(n % BEFORES));
}

static void three_run(uint32_t cpu)
{
	if (cpu < 2) {
		change_run(cpu);
		return;
	}
	world_enter(0);
	op_store(0, 2, 1);
	op_store(0, 3, 0);
	world_leave();
}

/* --- a fork: what is made ahead is the parent's, or both have it --- */

static void fork_setup(uint32_t variant) { prepare(variant, 2, (enum before)(variant / MACHINES)); }

static void fork_run(uint32_t cpu)
{
	if (cpu == 0) {
		go_on();
		return;
	}
	op_fork(0, 1);
	world_enter(1);
	op_store(1, 3, 0);
	op_load(1, 4, 1);
	op_load(1, 2, 0);
	world_leave();
}

/* One machine: few enough for every schedule up to the bound. */
static void small_setup(uint32_t variant)
{
	parameter = variant == 0 ? DISCARD : variant == 1 ? READ : WRITE;
	prepare(0, 2, UNTOUCHED);
}

#define AHEAD(name, what, cpus, parameters, word) \
	{ name, what, cpus, MACHINES * (parameters), false, word##_setup, world_machine, word##_run, world_judge }

const struct scenario scenario_vm_ahead[] = {
	{ "small-ahead", "pages are discarded, read or written while a write makes them ahead", 2, SCENARIO_FAULTS | 3, true, small_setup,
	  world_machine, change_run, world_judge },
	AHEAD("ahead-change", "pages are changed while a write makes them ahead", 2, CHANGES * BEFORES, change),
	AHEAD("ahead-change-three", "the same, and another thread writes them", 3, CHANGES * BEFORES, three),
	AHEAD("ahead-fork", "a fork while a write makes pages ahead", 2, BEFORES, fork),
};
const unsigned scenario_vm_ahead_count = sizeof scenario_vm_ahead / sizeof scenario_vm_ahead[0];
