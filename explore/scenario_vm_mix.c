/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_mix.c: three to six random operations on each CPU. All begin in space 0; a CPU that forks goes on in
 * its child or comes back, and may end it. Pages 0 to 5 straddle a leaf node and a window; 6 and 7 are where moves go.
 */
#include "scenario_vm.h"

enum {
	PARAMETER_PLAIN,   /* private anonymous memory */
	PARAMETER_FILE,    /* pages 3 to 5 show an object, shared; page 2 private */
	PARAMETER_CHILD,   /* all is shared with a child that does nothing */
	PARAMETER_NOMEM,   /* allocations fail */
	PARAMETERS
};

#define PAGES 6u

static uint32_t parameter;

/* By that CPU alone. */
static struct {
	unsigned space;    /* where its program is */
	bool forked;       /* its child is there, or was */
} at[EXPLORE_CPUS];

static unsigned pick(unsigned n) { return explore_choose(CHOOSE_SCENARIO, n); }

static void setup(uint32_t variant, uint32_t cpus)
{
	parameter = world_parameter(variant);
	memset(at, 0, sizeof at);
	world_open_ahead(variant, cpus, WORLD_STRADDLE);
	if (parameter == PARAMETER_FILE) {
		world_object(3);
		op_map(0, 0, world_anon(2));
		op_map(0, 2, world_file(1, 0, false));
		op_map(0, 3, world_file(3, 0, true));
	} else {
		op_map(0, 0, world_anon(PAGES));
	}
	for (unsigned i = 0; i < PAGES; i += 2)
		op_store(0, i, 0);
	if (parameter == PARAMETER_CHILD)
		op_fork(0, MODEL_SPACES - 1);
	world_leave();
	world_warm();
	if (parameter == PARAMETER_NOMEM)
		world_fail_allocations();
}

static void two_setup(uint32_t variant) { setup(variant, 2); }
static void three_setup(uint32_t variant) { setup(variant, 3); }
static void four_setup(uint32_t variant) { setup(variant, 4); }

/* Children of CPUs 0 to 2 are spaces 1 to 3, unless that one is taken from the start. */
static bool may_fork(uint32_t cpu)
{
	return !at[cpu].forked && cpu + 1 < MODEL_SPACES - (parameter == PARAMETER_CHILD);
}

static void fork_or_return(uint32_t cpu)
{
	unsigned child = cpu + 1;

	if (at[cpu].space == child) {
		world_enter(0);
		at[cpu].space = 0;
		if (pick(2))
			op_exit(child);
		return;
	}
	if (!may_fork(cpu) || op_fork(0, child) != OK)
		return;
	at[cpu].forked = true;
	if (pick(3)) {
		world_enter(child);
		at[cpu].space = child;
	}
}

/* A page of the object's, mapped where such pages are; or anonymous memory. */
static struct model_range random_mapping(unsigned page, unsigned count)
{
	struct model_range how = world_anon(count);

	if (parameter == PARAMETER_FILE && page >= 2 && page + count <= PAGES) {
		how = world_file(count, page == 2 ? 0 : page - 3, page > 2);
		if (page == 2)
			how.count = 1;
	}
	how.replace = (uint8_t)pick(2);
	if (!pick(4))
		how.prot = PROT_R;
	return how;
}

static void change_map(unsigned space)
{
	static const unsigned rights[] = { RW, PROT_R, PROT_NONE_ };
	unsigned page = pick(PAGES), count = 1 + pick(PAGES - page);

	switch (pick(8)) {
	case 0:
	case 1:
		op_unmap(space, page, count);
		break;
	case 2:
	case 3:
		op_map(space, page, random_mapping(page, count));
		break;
	case 4:
		op_protect(space, page, count, rights[pick(3)]);
		break;
	case 5:
		op_discard(space, page, count);
		break;
	case 6:
		op_move(space, page, 1, page < 6 ? 6 + pick(2) : 0);
		break;
	default:
		op_wire(space, page, count, pick(2));
	}
}

static void object(uint32_t cpu)
{
	if (parameter != PARAMETER_FILE)
		return;
	if (cpu == 0 && pick(2))
		op_resize(pick(4));
	else if (pick(2))
		op_read(pick(3), pick(2));
	else if (cpu == 0) /* who makes it shorter makes it longer: the others write where it always is */
		op_resize(3);
}

static void operation(uint32_t cpu)
{
	unsigned space = at[cpu].space;

	switch (pick(12)) {
	case 0:
		fork_or_return(cpu);
		break;
	case 1:
		object(cpu);
		break;
	case 2:
		op_poll();
		break;
	case 3:
	case 4:
	case 5:
		change_map(space);
		break;
	case 6:
	case 7:
	case 8:
		op_load(space, pick(PAGES), pick(MODEL_WORDS));
		break;
	default:
		op_store(space, pick(PAGES), pick(MODEL_WORDS));
	}
}

static void mix_run(uint32_t cpu)
{
	unsigned n = 3 + pick(4);

	world_enter(0);
	while (n-- > 0)
		operation(cpu);
	world_leave();
}

const struct scenario scenario_vm_mix[] = {
	WORLD_SCENARIO("mix-two", "random operations on two CPUs", 2, PARAMETERS, false, two, mix),
	WORLD_SCENARIO("mix-three", "random operations on three CPUs", 3, PARAMETERS, false, three, mix),
	WORLD_SCENARIO("mix-four", "random operations on four CPUs", 4, PARAMETERS, false, four, mix),
};
const unsigned scenario_vm_mix_count = sizeof scenario_vm_mix / sizeof scenario_vm_mix[0];
