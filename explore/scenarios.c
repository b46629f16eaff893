/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenarios.c: the list of all scenarios. */
#include "explore.h"

#define TABLES(X) \
	X(scenario_litmus) \
	X(scenario_sync) \
	X(scenario_pmap_page) \
	X(scenario_pmap_space) \
	X(scenario_pmap_asid) \
	X(scenario_pmap_limit) \
	X(scenario_memory) \
	X(scenario_core) \
	X(scenario_frames) \
	X(scenario_zone) \
	X(scenario_search) \
	X(scenario_kmem) \
	X(scenario_amap) \
	X(scenario_live) \
	X(scenario_limit) \
	X(scenario_object) \
	X(scenario_vm_fault) \
	X(scenario_vm_around) \
	X(scenario_vm_ahead) \
	X(scenario_vm_block) \
	X(scenario_vm_fork) \
	X(scenario_vm_range) \
	X(scenario_vm_one) \
	X(scenario_vm_object) \
	X(scenario_vm_nomem) \
	X(scenario_vm_mix) \
	X(scenario_planted)

#define DECLARE(name) \
	extern const struct scenario name[]; \
	extern const unsigned name##_count;
TABLES(DECLARE)

#define ENTRY(name) { name, &name##_count },
const struct scenario_table scenario_tables[] = { TABLES(ENTRY){ NULL, NULL } };
