/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap.h: what the scenarios of address translation share: a world over the pmap
 * (test/support/pmap_world.h), and plans of what each CPU does in it. Theory: scenario_pmap.c.
 */
#ifndef EXPLORE_SCENARIO_PMAP_H
#define EXPLORE_SCENARIO_PMAP_H

#include "explore.h"
#include "pmap_world.h"

#define PLAN_STEPS 4u
/* One address in spaces that are not the world's. */
#define PLAN_VA UINT64_C(0x200000)

typedef void step(struct cpu *c);
struct plan {
	void (*begin)(void); /* after the world's begin, or NULL */
	void (*end)(void);   /* before the world's end, or NULL */
	step *prepare;       /* for each CPU, before the run, or NULL */
	step *part[EXPLORE_CPUS][PLAN_STEPS];
	uint32_t cpus;
	bool asids; /* machines with fifteen ASIDs only */
	bool local; /* and address spaces that one CPU has alone are flushed there */
};

extern struct world plan_world;
extern struct cpu plan_cpu[EXPLORE_CPUS];
extern const struct plan *plan; /* that runs */

struct host_machine *plan_machine(void);
void plan_setup(const struct plan *p, uint32_t variant);
void plan_run(uint32_t cpu);
void plan_judge(void);

#define PLAN_KINDS 4u /* of machines: variants */
#define PLAN(name, ...) \
	static const struct plan name = {__VA_ARGS__}; \
	static void name##_setup(uint32_t variant) { plan_setup(&name, variant); }
#define SMALL(word, text, plan) \
	{ \
		word, text, 2, PLAN_KINDS, true, plan##_setup, plan_machine, plan_run, plan_judge \
	}
#define LARGE(word, text, n, plan) \
	{ \
		word, text, n, PLAN_KINDS, false, plan##_setup, plan_machine, plan_run, plan_judge \
	}

#endif
