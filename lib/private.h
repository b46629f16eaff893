/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/private.h: a machine of the library, and who may use it. */
#ifndef LIB_PRIVATE_H
#define LIB_PRIVATE_H

#include "strata.h"
#include "sync/epoch.h"
#include "vm/frame_cache.h"
#include "vm/kmalloc.h"
#include "vm/zone.h"

/* Fixed after strata_create, but for what has locks of its own, and attached of the CPUs. */
struct strata_machine {
	struct kmalloc kmalloc;
	struct zones zones;
	struct strata_config config;
	uintptr_t start; /* of the memory; 2 MiB aligned */
	size_t bytes;
	size_t mapped; /* of all: the memory, then this struct */
	void *map;
	struct frames frames ALIGNED(CACHE_LINE);
	struct epoch epoch;
	struct library_cpu cpu[STRATA_CPUS_MAX];
};
_Static_assert(STRATA_CPUS_MAX == CPU_MAX, "the header promises it");
_Static_assert(STRATA_FRAME_SIZE == PAGE_SIZE && STRATA_ORDER_2M == CHUNK_ORDER, "likewise");
_Static_assert(STRATA_ORDER_MAX == FRAME_ORDER_MAX && STRATA_OBJECT_MAX == ZONE_SIZE_MAX, "likewise");
_Static_assert((int)STRATA_OK == OK && (int)STRATA_NOMEM == ERR_NOMEM && (int)STRATA_INVAL == ERR_INVAL,
	       "what the kernel's functions return goes out as it is");

/* The calling thread is a CPU of m. False for NULL too. */
static inline bool attached_to(const struct strata_machine *m) { return LIKELY(library_self.machine == m); }

/* Why a call with machine m was refused whose other arguments, or these if m is fine, made no sense. */
static inline enum strata_error refusal(const struct strata_machine *m)
{
	return m && !attached_to(m) ? STRATA_UNATTACHED : STRATA_INVAL;
}

/* A zone is the kernel's zone under another name. */
static inline struct zone *zone_inside(struct strata_zone *z) { return (struct zone *)z; }
static inline struct strata_zone *zone_outside(struct zone *z) { return (struct strata_zone *)z; }

/* The calling thread is a CPU of the machine of z. */
static inline bool attached_to_zone(struct strata_zone *z)
{
	return LIKELY(z != NULL) && LIKELY(library_self.zones == zone_inside(z)->zones);
}

/* An address inside the machine's memory. */
static inline bool in_memory(const struct strata_machine *m, const void *p)
{
	return LIKELY((uintptr_t)p - m->start < m->bytes);
}

#endif
