/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone.h: typed memory: objects of one size, from slabs of frames, through
 * per-CPU magazines. Theory: zone.c (magazines, depot), zone_slab.c (slabs).
 *
 * Context of everything but create and destroy: thread or boot, never an
 * interrupt handler; spinlocks below RANK_ZONE_CACHE may be held, epoch sections
 * too. Nothing waits; allocation fails when there are no frames.
 */
#ifndef VM_ZONE_H
#define VM_ZONE_H

#include "base/list.h"
#include "vm/frame.h"
#include "vm/zone_slab.h"

/*
 * Objects may be read by epoch readers after zone_free, or are recycled in
 * place: the memory keeps its type. It is never junk-filled, and a slab goes back
 * to the frames only after a grace period. Needs no dtor (asserted).
 */
#define ZONE_TYPE_STABLE 1u
/* No magazines: for what is allocated rarely, or is large. */
#define ZONE_NO_CACHE 2u

#define ZONE_SIZE_MAX 32768u
#define MAGAZINE_MAX 30u

/*
 * Runs once for each object when its slab is made, not at every allocation; what
 * it sets must be so again at zone_free. Cannot fail, allocates nothing, takes
 * no lock. dtor: the reverse, when the slab goes back to the frames.
 */
typedef slab_object_fn zone_object_fn;

/* Objects on their way round. Whole magazines move between CPUs and depot. */
struct magazine {
	struct magazine *next;     /* z: in the depot */
	uint64_t count;            /* of whoever holds the magazine */
	void *round[MAGAZINE_MAX]; /* likewise; zone.rounds of them are used */
};
_Static_assert(sizeof(struct magazine) == 256, "no waste in its zone");

/* g: inside the gate */
struct zone_cache {
	struct gate gate;          /* RANK_ZONE_CACHE */
	struct magazine *loaded;   /* g: or NULL */
	struct magazine *previous; /* g: full, empty or NULL */
} ALIGNED(CACHE_LINE);

/*
 * z: guarded by slabs.lock; else fixed after zone_create. What all CPUs read
 * all the time shares no line with what is written under the lock.
 */
struct zone {
	struct zones *zones;
	unsigned flags;
	uint32_t rounds;           /* objects in a full magazine; 0: no magazines */
	uint32_t depot_max;        /* full magazines that the depot keeps */
	struct list link;          /* zones.lock */
	struct slabs slabs;        /* its lock is the zone's lock, RANK_ZONE */
	struct magazine *full;     /* z: the depot */
	struct magazine *empty;    /* z */
	uint32_t full_count;       /* z */
	ATOMIC(uint64_t) failures; /* allocations that found nothing: relaxed add */
	struct zone_cache cache[]; /* one a CPU */
};

/* All zones of one machine. */
struct zones {
	struct frames *frames;
	uint32_t ncpus;
	struct spinlock lock;     /* RANK_ZONES */
	struct list all;          /* guarded by lock: zone.link */
	struct slabs magazines;   /* where magazines come from */
	struct slabs descriptors; /* where zones come from */
};

/* Boot, after frames_init. */
void zones_init(struct zones *zs, struct frames *f);

/*
 * size: 1 .. ZONE_SIZE_MAX bytes; align: power of two up to PAGE_SIZE, 0 for 8
 * (16 from 16 bytes on). name must outlive the zone. NULL: no memory.
 */
struct zone *zone_create(struct zones *zs, const char *name, size_t size, size_t align, zone_object_fn *ctor,
			 zone_object_fn *dtor, unsigned flags);

/* No object may be in use (panics and names the zone otherwise), and no CPU may be using the zone. */
void zone_destroy(struct zone *z);

/* An object, constructed if there is a ctor, otherwise with any content; NULL when there is no memory. */
void *zone_alloc(struct zone *z);

/* Gives an object back. Checked builds panic on a double free, another zone's object, a write past its end. */
void zone_free(struct zone *z, void *object);

/*
 * Gives back to the frames what this zone / all zones keep beyond what is in
 * use: magazines of all CPUs, depot, empty slabs. At any time, while others go
 * on. Slabs of type-stable zones arrive after a grace period. Returns slabs let go.
 */
uint64_t zone_reclaim(struct zone *z);
uint64_t zones_drain(struct zones *zs);

struct zone_stats {
	const char *name;
	size_t size;       /* bytes of an object */
	uint64_t in_use;   /* objects out */
	uint64_t cached;   /* objects in magazines */
	uint64_t slabs;    /* slabs held */
	uint64_t frames;   /* frames of those */
	uint64_t failures; /* zone_alloc that returned NULL */
};
/* A snapshot; visits every CPU's cache, so not for hot paths. */
void zone_stats(struct zone *z, struct zone_stats *s);

/* Calls fn for each zone under the list's lock (fn may call zone_stats, not create or destroy). */
void zones_for_each(struct zones *zs, void (*fn)(struct zone *z, void *arg), void *arg);

/* The zone of an address inside a slab of these zones, or NULL. */
struct zone *zone_of(struct zones *zs, const void *object);

/* Panics unless slabs, lists and counts of the zone agree. At a quiet point. */
void zone_check(struct zone *z);

#endif
