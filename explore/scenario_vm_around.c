/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_around.c: a read that maps the pages behind it (vm/fault_around.c), and what others do to those at
 * the same time. Page 0 is mapped and pages 1 to 3 are not: so a read of page 1 goes on from page to page.
 */
#include "scenario_vm.h"

#define PAGES 4u

/* Whose the pages are: private memory of one space; of a space and its child, which reads; an object's. */
enum before { OWN, CHILD, SHARED_FILE, PRIVATE_FILE, BEFORES };
static enum before before;
static uint32_t parameter;
static unsigned reader; /* the space */
static bool alone;      /* it reads page 2, which maps nothing along, and no other before */
static uint32_t reading; /* the CPU, where a scenario says so: what is kept for reverse maps is CPU 0's */

/* Kinds of machine where pages are neighbours: stride 1. */
static const uint8_t machines[] = { 0, 1, 2, 6 };
#define MACHINES 4

static void prepare(uint32_t machine, uint32_t cpus, enum before what)
{
	before = what;
	reader = what == CHILD;
	alone = false;
	reading = 0;
	world_open(machine, cpus, WORLD_TOGETHER);
	if (what == SHARED_FILE || what == PRIVATE_FILE) {
		world_object(PAGES);
		for (unsigned i = 0; i < PAGES; i++)
			op_write(i, 0);
		op_map(0, 0, world_file(PAGES, 0, what == SHARED_FILE));
	} else {
		op_map(0, 0, world_anon(PAGES));
		for (unsigned i = 0; i < PAGES; i++)
			op_store(0, i, 0);
	}
	if (what == OWN) {
		op_protect(0, 0, PAGES, PROT_NONE_);
		op_protect(0, 0, PAGES, RW);
	} else if (what == CHILD) {
		op_fork(0, 1);
	}
	world_enter(reader);
	op_load(reader, 0, 0);
	world_leave();
}

static void open_variant(uint32_t variant, uint32_t cpus, enum before what)
{
	prepare(machines[variant % MACHINES], cpus, what);
}

/* Page 1, and then what has been mapped behind it. */
static void go_on(bool write)
{
	world_enter(reader);
	if (!alone)
		op_load(reader, 1, 0);
	op_load(reader, 2, MODEL_BOTH);
	if (write)
		op_store(reader, 2, 1);
	if (!alone)
		op_load(reader, 3, 0);
	world_leave();
}

/* --- a change of the pages behind --- */

enum change { UNMAP, UNMAP_ALL, DISCARD, READ_ONLY, NO_ACCESS, REPLACE, MOVE_AWAY, WRITE, CHANGES };

static void change(unsigned space, enum change what)
{
	switch (what) {
	case UNMAP:
		op_unmap(space, 2, 1);
		break;
	case UNMAP_ALL:
		op_unmap(space, 0, PAGES);
		break;
	case DISCARD:
		op_discard(space, 2, 2);
		break;
	case READ_ONLY:
		op_protect(space, 2, 1, PROT_R);
		break;
	case NO_ACCESS:
		op_protect(space, 2, 2, PROT_NONE_);
		break;
	case REPLACE:
		op_change(CHANGE_REPLACE, space, 2, 1);
		break;
	case MOVE_AWAY:
		op_move(space, 2, 2, 6);
		break;
	default:
		op_store(space, 2, 0);
	}
}

static void change_setup(uint32_t variant)
{
	uint32_t n = variant / MACHINES;

	open_variant(variant, 2, (enum before)(n % BEFORES));
	parameter = n / BEFORES;
}

static void change_run(uint32_t cpu)
{
	if (cpu == 0) {
		go_on(parameter & 1);
		return;
	}
	world_enter(reader);
	change(reader, (enum change)(parameter / 2));
	op_load(reader, 2, MODEL_BOTH);
	world_leave();
	op_poll();
}

/* A second thread writes meanwhile. */
static void three_setup(uint32_t variant)
{
	uint32_t n = variant / MACHINES;

	open_variant(variant, 3, (enum before)(n % BEFORES));
	parameter = 2 * (n / BEFORES);
}

static void three_run(uint32_t cpu)
{
	if (cpu < 2) {
		change_run(cpu);
		return;
	}
	world_enter(reader);
	op_store(reader, 3, 0);
	op_store(reader, 2, 1);
	world_leave();
}

/* --- a fork: what was the reader's own is not any more --- */

static void fork_setup(uint32_t variant)
{
	open_variant(variant, 2, (enum before)(variant / MACHINES));
}

static void fork_run(uint32_t cpu)
{
	if (cpu == 0) {
		go_on(true);
		return;
	}
	op_fork(reader, 2);
	world_enter(2);
	op_store(2, 2, 0);
	op_load(2, 3, 1);
	world_leave();
}

/* --- the other owner writes the page, and ends --- */

static void sharer_setup(uint32_t variant)
{
	open_variant(variant, 2, CHILD);
	parameter = variant / MACHINES;
}

static void sharer_run(uint32_t cpu)
{
	if (cpu == reading) {
		go_on(parameter & 1);
		return;
	}
	if (parameter < 4) {
		world_enter(0);
		op_store(0, 2, 0);
		op_store(0, 3, 1);
		world_leave();
	}
	if (parameter >= 2)
		op_exit(0);
	op_poll();
}

/* --- the object is cut --- */

static void cut_setup(uint32_t variant)
{
	parameter = variant / MACHINES;
	open_variant(variant, 2, parameter & 1 ? PRIVATE_FILE : SHARED_FILE);
}

static void cut_run(uint32_t cpu)
{
	if (cpu == 0) {
		go_on(parameter & 2);
		return;
	}
	op_resize(parameter & 4 ? 1 : 2);
	if (parameter & 8) {
		op_resize(PAGES);
		op_write(2, 0);
	}
	op_poll();
}

/* --- the same of one page, by the short way (vm/fault_read.c) --- */

#define ALONE(word, setup) \
	static void word##_setup(uint32_t variant) \
	{ \
		setup(variant); \
		alone = true; \
	}
ALONE(read_change, change_setup)
ALONE(read_three, three_setup)
ALONE(read_fork, fork_setup)

static void read_sharer_setup(uint32_t variant)
{
	sharer_setup(variant);
	alone = true;
	reading = parameter / 6;
	parameter %= 6;
}

ALONE(read_cut, cut_setup)

/* One machine: few enough for every schedule up to the bound. */
static void small_discard_setup(uint32_t variant)
{
	prepare(0, 2, variant ? PRIVATE_FILE : OWN);
	parameter = 2 * DISCARD;
}

static void small_cut_setup(uint32_t variant)
{
	prepare(0, 2, variant ? PRIVATE_FILE : SHARED_FILE);
	parameter = 0;
}

static void small_read_setup(uint32_t variant)
{
	static const enum change changes[] = { DISCARD, UNMAP, WRITE };

	prepare(0, 2, variant & 1 ? CHILD : OWN);
	parameter = 2 * changes[variant / 2];
	alone = true;
}

ALONE(small_read_cut, small_cut_setup)

#define AROUND(name, what, cpus, parameters, word) \
	{ name, what, cpus, MACHINES * (parameters), false, word##_setup, world_machine, word##_run, world_judge }

#define READ(name, what, cpus, parameters, word, run) \
	{ name, what, cpus, SCENARIO_FAULTS | (MACHINES * (parameters)), false, word##_setup, world_machine, run##_run, world_judge }

const struct scenario scenario_vm_around[] = {
	{ "small-read-change", "a page is discarded, unmapped, copied while it is read", 2, SCENARIO_FAULTS | 6, true, small_read_setup,
	  world_machine, change_run, world_judge },
	{ "small-read-cut", "an object is cut while its page is read", 2, SCENARIO_FAULTS | 2, true, small_read_cut_setup, world_machine,
	  cut_run, world_judge },
	READ("read-change", "a page is changed while it is read", 2, 2 * CHANGES *BEFORES, read_change, change),
	READ("read-change-three", "the same with a writer", 3, CHANGES *BEFORES, read_three, three),
	READ("read-fork", "what is read is shared by a fork", 2, BEFORES, read_fork, fork),
	READ("read-sharer", "the other owner writes what is read, and ends", 2, 12, read_sharer, sharer),
	READ("read-cut", "an object is cut while a page of it is read", 2, 16, read_cut, cut),
	{ "small-around-discard", "pages are discarded while a read maps them along", 2, SCENARIO_FAULTS | 2, true, small_discard_setup, world_machine,
	  change_run, world_judge },
	{ "small-around-cut", "an object is cut while a read maps its pages along", 2, SCENARIO_FAULTS | 2, true, small_cut_setup, world_machine, cut_run,
	  world_judge },
	AROUND("around-change", "pages are changed while a read maps them along", 2, 2 * CHANGES * BEFORES, change),
	AROUND("around-change-three", "the same, and another thread writes them", 3, CHANGES * BEFORES, three),
	AROUND("around-fork", "a fork while a read maps pages along", 2, BEFORES, fork),
	AROUND("around-sharer", "pages are mapped along while their other owner writes them, or ends", 2, 6, sharer),
	AROUND("around-cut", "an object is cut, and grows, while a read maps its pages along", 2, 16, cut),
};
const unsigned scenario_vm_around_count = sizeof scenario_vm_around / sizeof scenario_vm_around[0];
