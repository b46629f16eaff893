/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/vm.h: the state of one memory subsystem, from frames to address spaces.
 * Every module of kernel/vm takes a pointer to it; one process may hold many.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "hal/machine.h"
#include "hal/pmap.h"
#include "sync/epoch.h"
#include "vm/counters.h"
#include "vm/frame.h"
#include "vm/kmalloc.h"
#include "vm/kmem.h"
#include "vm/zone.h"

/* Unless the command line says otherwise. */
#define FAULT_AROUND 32u
#define FAULT_AHEAD 16u

struct vm_map;
struct vm_entry;

/* o: which entry this CPU found last, of which map, and in which epoch its section was: map_find */
struct map_found {
	const struct vm_map *map;
	struct vm_entry *entry;
	uint64_t epoch;
} ALIGNED(CACHE_LINE);

/* Whether private memory is mapped by blocks of 2 MiB: nowhere; where a program asks for it; wherever it does not refuse. */
#define VM_HUGE_NEVER 0u /* bit n: where an entry's enum huge is n */
#define VM_HUGE_MADVISE 2u
#define VM_HUGE_ALWAYS 3u

struct vm {
	struct frames frames;
	struct epoch epoch;
	struct zones zones;
	struct kmalloc kmalloc;
	struct kmem kmem;
	struct counters counters;
	struct pmap_system *pmaps;
	pfn_t zero_page;            /* read by whoever touches private memory first by reading */
	/* set by the modules' own init */
	struct zone *anon_zone, *amap_zone, *node_zone, *object_zone, *object_node_zone;
	struct zone *entry_zone, *map_zone;
	uint64_t fault_around;      /* pages that a read maps at most, itself included (fault.c) */
	uint64_t fault_ahead;       /* pages that a write makes at most, besides its own (fault_ahead.c) */
	uint32_t huge;              /* VM_HUGE_* */
	bool map_quick;             /* calls that change one entry take a short way (map_quick.c) */
	struct map_found found[CPU_MAX];
	uint64_t map_secret;        /* what the heights of entries are drawn with */
};

#endif
