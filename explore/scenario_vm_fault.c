/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_vm_fault.c: programs' accesses against each other, and against one change of the same page. */
#include "scenario_vm.h"

/*
 * What is there before: of page 1; page 0 and 2 are its neighbours in the same entry. For the short way, NEIGHBOUR: page 0 is
 * written, so that node and table are there; OWN_COPIED: after the fork, so that the node is ours.
 */
enum before { UNTOUCHED, NEIGHBOUR, READ_ONCE, WRITTEN, COPIED, OWN_COPIED, SHARED_FILE, PRIVATE_FILE, BEFORES };

static enum before before;
static uint32_t parameter;

static void prepare(uint32_t variant, enum before what, uint32_t cpus, uint64_t base)
{
	before = what;
	world_open(variant, cpus, base);
	if (what == SHARED_FILE || what == PRIVATE_FILE) {
		world_object(3);
		op_write(1, 0);
		op_map(0, 0, world_file(3, 0, what == SHARED_FILE));
	} else {
		op_map(0, 0, world_anon(3));
	}
	if (what == READ_ONCE)
		op_load(0, 1, 0);
	if (what == WRITTEN || what == COPIED || what == OWN_COPIED)
		op_store(0, 1, 0);
	if (what == COPIED || what == OWN_COPIED)
		op_fork(0, 1);
	if (what == NEIGHBOUR || what == OWN_COPIED)
		op_store(0, 0, 0);
	if (what == OWN_COPIED)
		op_load(0, 1, 0);
	world_leave();
}

/* --- two faults --- */

static void faults_setup(uint32_t variant)
{
	parameter = world_parameter(variant) / BEFORES;
	prepare(variant, (enum before)(world_parameter(variant) % BEFORES), 2, WORLD_TOGETHER);
	world_warm();
}

/* parameter 0: both write; 1: one reads first. */
static void faults_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 1 && parameter == 1)
		op_load(0, 1, MODEL_BOTH);
	op_store(0, 1, cpu);
	op_load(0, 1, MODEL_BOTH);
	world_leave();
}

static void three_faults_setup(uint32_t variant)
{
	prepare(variant, (enum before)(world_parameter(variant) % BEFORES), 3, WORLD_TOGETHER);
	world_warm();
}

/* Two threads write, a third reads the page over and over. */
static void three_faults_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu < 2) {
		op_store(0, 1, cpu);
	} else {
		op_load(0, 1, MODEL_BOTH);
		op_load(0, 1, MODEL_BOTH);
	}
	world_leave();
}

/* Both make the way to a leaf that the space shares with its child, for one page or for two. */
static void own_setup(uint32_t variant)
{
	parameter = world_parameter(variant);
	prepare(variant, COPIED, 2, WORLD_TOGETHER);
	world_at_hand();
	world_warm();
}

static void own_run(uint32_t cpu)
{
	world_enter(0);
	op_store(0, parameter ? cpu : 1, cpu);
	op_load(0, 1, MODEL_BOTH);
	world_leave();
}

/* --- a fault and a change --- */

enum change { UNMAP_PAGE, UNMAP_ALL, DISCARD_PAGE, DISCARD_ALL, READ_ONLY, NO_ACCESS, REPLACE, MOVE_AWAY, CHANGES };
static enum change change;

static void do_change(void)
{
	static const struct {
		enum world_change change;
		uint8_t page, count;
	} changes[CHANGES] = {
		[UNMAP_PAGE] = { CHANGE_UNMAP, 1, 1 },      [UNMAP_ALL] = { CHANGE_UNMAP, 0, 3 },
		[DISCARD_PAGE] = { CHANGE_DISCARD, 1, 1 },  [DISCARD_ALL] = { CHANGE_DISCARD, 0, 3 },
		[READ_ONLY] = { CHANGE_READ_ONLY, 1, 1 },   [NO_ACCESS] = { CHANGE_NO_ACCESS, 0, 3 },
		[REPLACE] = { CHANGE_REPLACE, 1, 1 },
	};

	if (change == MOVE_AWAY)
		op_move(0, 1, 1, 5);
	else
		op_change(changes[change].change, 0, changes[change].page, changes[change].count);
}

static void change_setup(uint32_t variant, enum change what)
{
	uint32_t n = world_parameter(variant);

	change = what;
	parameter = n / BEFORES; /* 1: there is another page in the same table, which stays */
	prepare(variant, (enum before)(n % BEFORES), 2, WORLD_TOGETHER);
	if (parameter == 1) {
		world_enter(0);
		op_map(0, 6, world_anon(1));
		op_store(0, 6, 0);
		world_leave();
	}
	world_warm();
}

static void change_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_store(0, 1, 1);
		op_load(0, 1, MODEL_BOTH);
	} else {
		do_change();
		op_load(0, 1, 0);
	}
	world_leave();
}

/* Two programs' threads and the change: one of them writes, one only reads. */
static void change_three_setup(uint32_t variant)
{
	uint32_t n = world_parameter(variant);

	change = (enum change)(n / BEFORES);
	prepare(variant, (enum before)(n % BEFORES), 3, WORLD_TOGETHER);
	world_warm();
}

static void change_three_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_store(0, 1, 1);
		op_store(0, 2, 0);
	} else if (cpu == 1) {
		op_load(0, 1, 1);
		op_load(0, 1, MODEL_BOTH);
	} else {
		do_change();
		if (change == MOVE_AWAY)
			op_store(0, 5, 0);
		op_poll();
	}
	world_leave();
}

/* --- the same where there is no leaf table yet, so that the two meet at no lock --- */

static void first_setup(uint32_t variant)
{
	change = variant ? NO_ACCESS : UNMAP_ALL;
	prepare(0, UNTOUCHED, 2, WORLD_TOGETHER);
}

/* A read, since that asks once whether the entry is live. */
static void first_run(uint32_t cpu)
{
	if (cpu == 1) {
		do_change();
		return;
	}
	world_enter(0);
	op_load(0, 1, 0);
	world_leave();
}

#define CHANGE(word, what) \
	static void word##_setup(uint32_t variant) { change_setup(variant, what); }
CHANGE(unmap, UNMAP_PAGE)
CHANGE(unmap_all, UNMAP_ALL)
CHANGE(discard, DISCARD_PAGE)
CHANGE(protect, READ_ONLY)
CHANGE(no_access, NO_ACCESS)
CHANGE(replace, REPLACE)
CHANGE(move, MOVE_AWAY)

/* One machine with warm TLBs, one parameter: few enough for every schedule up to the bound. */
static void small_unmap_setup(uint32_t variant)
{
	(void)variant;
	unmap_setup(WORLD_SMALL + WORLD_MACHINES * WRITTEN);
}

static void small_discard_setup(uint32_t variant)
{
	(void)variant;
	discard_setup(WORLD_SMALL + WORLD_MACHINES * COPIED);
}

static void small_faults_setup(uint32_t variant)
{
	(void)variant;
	faults_setup(WORLD_SMALL + WORLD_MACHINES * UNTOUCHED);
}

static void small_quick_setup(uint32_t variant)
{
	discard_setup(WORLD_SMALL + WORLD_MACHINES * (variant ? OWN_COPIED : NEIGHBOUR));
}

const struct scenario scenario_vm_fault[] = {
	{ "small-fault-fault", "two threads touch one page first", 2, SCENARIO_FAULTS | 1, true, small_faults_setup, world_machine, faults_run,
	  world_judge },
	{ "small-fault-unmap", "a page is unmapped while it is written", 2, SCENARIO_FAULTS | 1, true, small_unmap_setup, world_machine, change_run,
	  world_judge },
	{ "small-fault-discard", "a copied page is discarded while it is written", 2, SCENARIO_FAULTS | 1, true, small_discard_setup, world_machine,
	  change_run, world_judge },
	{ "small-quick-discard", "a page is discarded while the short way fills or copies it", 2, SCENARIO_FAULTS | 2, true, small_quick_setup,
	  world_machine, change_run, world_judge },
	WORLD_SCENARIO("fault-fault", "two threads touch one page: first touch, zero page, copy-on-write, object", 2, 2 * BEFORES, false,
		 faults, faults),
	WORLD_SCENARIO("fault-fault-read", "two threads write a page, a third reads it", 3, BEFORES, false, three_faults, three_faults),
	WORLD_SCENARIO("fault-own", "two threads write in a leaf that a child shares", 2, 2, false, own, own),
	WORLD_SCENARIO("fault-unmap", "a page is unmapped while it is written", 2, 2 * BEFORES, false, unmap, change),
	WORLD_SCENARIO("fault-unmap-all", "all that a table maps is unmapped while a page is written", 2, 2 * BEFORES, false, unmap_all,
		 change),
	WORLD_SCENARIO("fault-discard", "a page is discarded while it is written", 2, 2 * BEFORES, false, discard, change),
	WORLD_SCENARIO("fault-protect", "a page becomes read-only while it is written", 2, 2 * BEFORES, false, protect, change),
	WORLD_SCENARIO("fault-no-access", "pages lose all rights while one is written", 2, 2 * BEFORES, false, no_access, change),
	WORLD_SCENARIO("fault-replace", "a page is mapped over while it is written", 2, 2 * BEFORES, false, replace, change),
	WORLD_SCENARIO("fault-move", "a page is moved away while it is written", 2, 2 * BEFORES, false, move, change),
	{ "fault-first", "the first fault in a window, whose table is not there, and a change", 2, SCENARIO_FAULTS | 2, true, first_setup, world_machine,
	  first_run, world_judge },
	WORLD_SCENARIO("fault-change", "two threads use a page that a third changes", 3, CHANGES * BEFORES, false, change_three,
		 change_three),
};
const unsigned scenario_vm_fault_count = sizeof scenario_vm_fault / sizeof scenario_vm_fault[0];
