/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap.c: address translation: tables, TLBs, ASIDs, reverse maps.
 *
 * Purpose. The pmap under a layer as thin as can be (test/support/pmap_world.h), so that
 * runs are short and nothing but the pmap's own protocols keeps them right.
 *
 * Structure. A plan (scenario_pmap.h) names what is prepared on each CPU before the run and what
 * each CPU then does, a list of steps: scenario_pmap_page.c on pages of a space,
 * scenario_pmap_space.c on spaces and frames that come and go, scenario_pmap_asid.c on ASIDs.
 * Here is what all plans need: setup builds a world, a machine's kind
 * by variant, and prepares; judge checks sums, structures and frames.
 * A vCPU keeps the address space loaded that it used last: what it does in the kernel, others
 * may see through its TLB, and speculation goes on there.
 *
 * What is checked. While it runs: the simulated MMU's judgement (stale rights when a step
 * has returned, freed and foreign frames and tables, break before make, shared ASIDs),
 * tags in frames, refusals after an unmap or protect. In the end: every write is found in the frame that
 * counts, modified is reported, pmap_check, all frames are back.
 *
 * Steps that share a window are serialized as the layer above does it, by the window's
 * range lock; faults take no lock but the node's.
 */
#include "scenario_pmap.h"

#include "hooks.h"

#define SEED 20260101u

struct world plan_world;
struct cpu plan_cpu[EXPLORE_CPUS];
const struct plan *plan;

/* --- the machine --- */

struct host_machine *plan_machine(void) { return plan_world.m.t.m; }

static const struct kind {
	uint8_t asid_bits;
	bool access, dirty, range;
	const char *command_line;
} kinds[PLAN_KINDS] = {
	{8, false, false, false, "tlb-scope=local"},
	{4, true, true, true, "tlb-scope=broadcast"},
	{16, false, false, true, "tlb-scope=local tlb=page"},
	{4, true, false, false, "tlb-scope=broadcast"},
};

/* --- setup, run, judge --- */

void plan_setup(const struct plan *p, uint32_t variant)
{
	const struct kind *k = &kinds[p->asids ? 1 + 2 * (variant % 2) : variant % PLAN_KINDS];
	struct host_config config = {
		.ncpus = p->cpus,
		.ram = UINT64_C(2) << 20,
		.junk = true,
		.seed = SEED,
		.tlb_entries = 64,
		.asid_bits = k->asid_bits,
		.hw_access = k->access,
		.hw_dirty = k->dirty,
		.range_tlbi = k->range,
		.late_stores = explore_modelled(),
		.ops = hooks,
		.command_line = p->local || (p->asids && variant >= 2) ? "tlb-scope=local" : k->command_line,
	};

	plan = p;
	world_begin(&plan_world, &config);
	if (p->begin)
		p->begin();
	for (uint32_t i = 0; i < p->cpus; i++) {
		host_become(plan_machine(), i);
		cpu_begin(&plan_cpu[i], &plan_world, SEED + i + variant);
		if (p->prepare)
			p->prepare(&plan_cpu[i]);
		pm_poll(&plan_world.m);
		pm_fill(&plan_world.m, &plan_cpu[i].stock);
		if (pfn_is_none(plan_cpu[i].spare))
			plan_cpu[i].spare = pm_alloc(&plan_world.m);
		host_returned();
	}
	host_become(plan_machine(), 0);
}

void plan_run(uint32_t cpu)
{
	for (unsigned i = 0; i < PLAN_STEPS && plan->part[cpu][i]; i++) {
		plan->part[cpu][i](&plan_cpu[cpu]);
		host_returned();
	}
}

void plan_judge(void)
{
	for (uint32_t i = 0; i < plan->cpus; i++) {
		host_become(plan_machine(), i);
		cpu_end(&plan_cpu[i]);
	}
	host_become(plan_machine(), 0);
	if (plan->end)
		plan->end();
	world_end(&plan_world);
}
