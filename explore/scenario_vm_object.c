/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_vm_object.c: one object, mapped shared and private, read, written and cut. */
#include "scenario_vm.h"

static uint32_t parameter;

/*
 * Space 0: pages 0 to 2 show the object shared, 4 to 6 private. resident: pages 0 and 1 are there already, with something
 * in them. Space 1, when there are two: the object shared.
 */
static void file(uint32_t variant, uint32_t cpus, bool resident, bool two)
{
	parameter = world_parameter(variant);
	world_open(variant, cpus, WORLD_STRADDLE);
	world_object(3);
	if (resident) {
		op_write(0, 0);
		op_write(1, 0);
	}
	op_map(0, 0, world_file(3, 0, true));
	op_map(0, 4, world_file(3, 0, false));
	if (two)
		op_fork(0, 1);
	world_leave();
	world_warm();
}

/* --- two faults on one page of the object --- */

static void faults_setup(uint32_t variant) { file(variant, 2, world_parameter(variant) & 1, world_parameter(variant) & 2); }

static void faults_run(uint32_t cpu)
{
	unsigned space = parameter & 2 ? cpu : 0;

	world_enter(space);
	op_store(space, 1, cpu);
	op_load(space, 1, MODEL_BOTH);
	world_leave();
}

/* A private copy is made while the shared page is written. */
static void private_run(uint32_t cpu)
{
	unsigned space = parameter & 2 ? cpu : 0;

	world_enter(space);
	if (cpu == 0) {
		op_store(space, 1, 0);
		op_load(space, 1, 0);
	} else {
		op_store(space, 5, 1);
		op_load(space, 5, MODEL_BOTH);
	}
	world_leave();
}

/* --- read and write beside mappings --- */

static void calls_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_write(1, 0);
		op_read(1, 1);
	} else {
		op_store(0, 1, 1);
		op_load(0, 1, MODEL_BOTH);
	}
	world_leave();
}

/* --- a cut --- */

static void resize_setup(uint32_t variant) { file(variant, 2, true, world_parameter(variant) & 2); }

/* parameter bit 0: the page is a private mapping's; bit 1: the program is in another space; bit 2: it grows again. */
static void resize_run(uint32_t cpu)
{
	unsigned space = parameter & 2 ? 1 : 0, page = parameter & 1 ? 5 : 1;

	if (cpu == 0) {
		op_resize(1);
		op_read(1, 0);
		if (parameter & 4)
			op_resize(3);
		return;
	}
	world_enter(space);
	op_store(space, page, 1);
	op_load(space, page, MODEL_BOTH);
	op_load(space, page - 1, 0);
	world_leave();
}

static void resize_three_setup(uint32_t variant) { file(variant, 3, true, true); }

static void resize_three_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_resize(1);
		op_resize(3);
		op_write(1, 0);
		return;
	}
	world_enter(cpu - 1);
	op_store(cpu - 1, 1, cpu - 1);
	op_load(cpu - 1, 5, 0);
	op_load(cpu - 1, 1, MODEL_BOTH);
	world_leave();
	op_poll();
}

/* --- the mapping goes, the object stays --- */

static void unmap_run(uint32_t cpu)
{
	world_enter(0);
	if (cpu == 0) {
		op_unmap(0, 0, 2);
		op_map(0, 0, world_file(2, 1, parameter & 2));
		op_load(0, 0, 0);
	} else {
		op_store(0, 1, 1);
		op_load(0, 1, MODEL_BOTH);
	}
	world_leave();
}

/* --- the object goes with its last mapping --- */

static void last_setup(uint32_t variant)
{
	parameter = world_parameter(variant);
	world_open(variant, 2, WORLD_STRADDLE);
	world_object(3);
	op_write(0, 0);
	op_write(1, 0);
	op_map(0, 0, world_file(3, 0, parameter & 1));
	object_release(world.object);
	world.object = NULL;
	world_leave();
	world_warm();
}

/* parameter bit 0: it was mapped shared; bit 1: what comes in its place is written. */
static void last_run(uint32_t cpu)
{
	struct model_range anon = world_anon(3);

	world_enter(0);
	if (cpu == 1) {
		op_store(0, 1, 1);
		op_load(0, 2, MODEL_BOTH);
	} else if (parameter & 2) {
		anon.replace = 1;
		op_map(0, 0, anon);
		op_store(0, 0, 0);
	} else {
		op_unmap(0, 0, 3);
	}
	world_leave();
}

/* The object is cut while a mapping of it is changed. */
static void resize_change_setup(uint32_t variant) { file(variant, 2, true, false); }

static void resize_change_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_resize(1);
		return;
	}
	world_enter(0);
	op_change((enum world_change)parameter, 0, 1, 1);
	op_load(0, 1, 0);
	op_load(0, 0, 0);
	world_leave();
}

/* A page is unmapped, then the object is cut: whoever still finds the mapping finds the page (SIGSEGV, never SIGBUS). */
static void unmap_cut_setup(uint32_t variant) { file(variant, 2, world_parameter(variant) & 1, false); }

static void unmap_cut_run(uint32_t cpu)
{
	if (cpu == 0) {
		op_unmap(0, 1, 1);
		op_resize(1);
		return;
	}
	world_enter(0);
	op_load(0, 1, 0);
	op_store(0, 1, 1);
	world_leave();
}

const struct scenario scenario_vm_object[] = {
	WORLD_SCENARIO("file-fault", "two touch one page of an object, in one space or two", 2, 4, false, faults, faults),
	WORLD_SCENARIO("file-private", "a private copy is made while the object's page is written", 2, 4, false, faults, private),
	WORLD_SCENARIO("file-calls", "read and write of an object beside a mapping", 2, 2, false, faults, calls),
	WORLD_SCENARIO("file-resize", "an object is cut while a page of it is used", 2, 8, false, resize, resize),
	WORLD_SCENARIO("file-resize-two", "an object is cut and grows while two spaces use it", 3, 1, false, resize_three,
		       resize_three),
	WORLD_SCENARIO("file-unmap", "another part of an object is mapped while a page is used", 2, 4, false, faults, unmap),
	WORLD_SCENARIO("file-last", "an object goes with its last mapping while a page of it is used", 2, 4, false, last, last),
	WORLD_SCENARIO("file-unmap-cut", "a page is unmapped, then cut, while it is used", 2, 2, false, unmap_cut, unmap_cut),
	WORLD_SCENARIO("file-resize-change", "an object is cut while its mapping is changed", 2, WORLD_CHANGES, false,
		       resize_change, resize_change),
};
const unsigned scenario_vm_object_count = sizeof scenario_vm_object / sizeof scenario_vm_object[0];
