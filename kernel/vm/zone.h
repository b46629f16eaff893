/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone.h: typed memory: objects of one size, from slabs of frames, through
 * per-CPU magazines. Theory: zone_cache.c (magazines, depots), zone_slab.c (slabs).
 *
 * Context of everything but create, destroy and zone_alloc_wait: thread or boot, never an
 * interrupt handler; spinlocks below RANK_ZONE_CACHE may be held, epoch sections
 * too. Nothing waits; allocation fails when there are no frames.
 */
#ifndef VM_ZONE_H
#define VM_ZONE_H

#include "base/list.h"
#include "sync/waitq.h"
#include "vm/frame.h"
#include "vm/magazine.h"
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
#define ZONE_UNLIMITED SLABS_UNLIMITED
#define SHELF_SLOTS 8u

/*
 * Runs once for each object when its slab is made, not at every allocation; what
 * it sets must be so again at zone_free. Cannot fail, allocates nothing, takes
 * no lock. dtor: the reverse, when the slab goes back to the frames.
 */
typedef slab_object_fn zone_object_fn;

/*
 * One CPU's part of a zone.
 *   o: written by its own CPU alone, read by visitors
 *   g: inside the gate (zone_cache.c): its own CPU, or a visitor who has closed it
 *   l: under lock, which its own CPU takes off its fast path, and visitors
 *   x: any CPU, atomically
 * The first line is its own CPU's; the second is where CPUs pass magazines to each other.
 */
struct zone_cache {
	ATOMIC(uint32_t) inside;    /* o: 1: on the fast path */
	ATOMIC(uint32_t) exchanges; /* l, x: magazines that it has changed; a statistic */
	ATOMIC(void **) low;        /* l: the loaded magazine's first round; CACHE_CLOSED_LOW: closed, or none is loaded */
	ATOMIC(void **) high;       /* l: behind its last; CACHE_CLOSED_HIGH likewise */
	ATOMIC(void **) top;        /* g, x: where the next object is put; NULL: no magazine is loaded */
	struct magazine *loaded;    /* l: or NULL */
	struct magazine *full;      /* l: the CPU's own depot: magazines with objects */
	struct magazine *empty;     /* l: and without */
	struct spinlock lock;       /* RANK_ZONE_CACHE */
	ATOMIC(uintptr_t) shelf[SHELF_SLOTS] ALIGNED(CACHE_LINE); /* x: bundle, + SHELF_EMPTY if it holds nothing; 0 */
} ALIGNED(CPU_STRIDE);
_Static_assert(sizeof(struct zone_cache) == CPU_STRIDE, "found by cpu_offset");
_Static_assert(__builtin_offsetof(struct zone_cache, shelf) == CACHE_LINE, "what others write shares no line with the fast path");

/*
 * Fixed after zone_create but for what is said. What all CPUs read
 * all the time shares no line with what is written.
 */
struct zone {
	struct slabs slabs;         /* first: page_slab.home is the zone, too. Its lock is RANK_ZONE */
	struct zones *zones;
	struct slabs *magazines;    /* where its own come from */
	unsigned flags;
	uint32_t rounds;            /* objects in a full magazine; 0: no magazines */
	uint32_t keep;              /* magazines that a CPU's own depot keeps of a kind */
	uint32_t shelf;             /* slots of its shelf that are used */
	uint32_t bundle;            /* magazines that go to or from a slot at once */
	ATOMIC(uint32_t) waiters;   /* x: threads in zone_alloc_wait; caches stay closed for them */
	struct list link;           /* zones.lock */
	void (*give_foreign)(struct zone *z, void *object); /* what frees objects that no slab has: kmalloc's blocks; or NULL */
	struct waitq wait;          /* for an object of this zone, or for frames */
	ATOMIC(uint64_t) failures;  /* x: allocations that found nothing: relaxed add */
	struct zone_cache cache[];  /* one a CPU */
};
_Static_assert(__builtin_offsetof(struct zone, cache) % CPU_STRIDE == 0, "lines are not shared");
_Static_assert(__builtin_offsetof(struct zone, slabs) == 0, "no arithmetic from page to zone");

/* All zones of one machine. */
struct zones {
	struct frames *frames;
	uint32_t ncpus;
	bool may_open;            /* caches may: the machine has a barrier of all CPUs */
	struct spinlock lock;     /* RANK_ZONES */
	struct list all;          /* guarded by lock: zone.link */
	struct slabs magazines, small_magazines; /* where magazines come from */
	struct slabs descriptors; /* where zones come from */
};

/* Boot, after frames_init, on a CPU of the machine. */
void zones_init(struct zones *zs, struct frames *f);

/*
 * size: 1 .. ZONE_SIZE_MAX bytes; align: power of two up to PAGE_SIZE, 0 for 8
 * (16 from 16 bytes on). name must outlive the zone. NULL: no memory.
 */
struct zone *zone_create(struct zones *zs, const char *name, size_t size, size_t align, zone_object_fn *ctor,
			 zone_object_fn *dtor, unsigned flags);

/* No object may be in use (panics and names the zone otherwise), and no CPU may be using the zone. */
void zone_destroy(struct zone *z);

/*
 * At most so many objects are out at a time, those in magazines counted in; ZONE_UNLIMITED. An
 * allocation beyond fails and is counted, but not before the magazines of all CPUs were searched. A limit below what is out takes
 * effect as objects come back.
 */
void zone_set_limit(struct zone *z, uint64_t objects);

/* An object, constructed if there is a ctor, otherwise with any content; NULL when there is no memory. */
void *zone_alloc(struct zone *z);

/*
 * The same, but waits where zone_alloc would return NULL: until an object of this zone is freed, or somebody
 * gives memory back (zone_reclaim, zones_drain) or says zones_wake. It is the caller's to know that this will come. Thread
 * context, no spinlock held, outside any epoch section (asserted). Injected failures do not reach it.
 */
void *zone_alloc_wait(struct zone *z);

/* Frames came back, or a limit was raised: who waits looks again. Any context but interrupts; locks as for zone_free. */
void zone_wake(struct zone *z);
void zones_wake(struct zones *zs);

/* Gives an object back. Checked builds panic on a double free, another zone's object, a write past its end. */
void zone_free(struct zone *z, void *object);

/* The same for whoever frees on behalf of another: who that is, for messages of checked builds. */
void zone_free_by(struct zone *z, void *object, const void *caller);
void *zone_alloc_by(struct zone *z, const void *caller);

/*
 * Gives back to the frames what this zone / all zones keep beyond what is in
 * use: magazines of all CPUs, depots, empty slabs. At any time, while others go
 * on. Slabs of type-stable zones arrive after a grace period. Returns slabs let go.
 */
uint64_t zone_reclaim(struct zone *z);
uint64_t zones_drain(struct zones *zs);

struct zone_stats {
	const char *name;
	size_t size;        /* bytes of an object */
	uint64_t in_use;    /* objects out */
	uint64_t cached;    /* objects in magazines */
	uint64_t capacity;  /* objects in slabs, in use, cached or free */
	uint64_t limit;     /* of objects; ZONE_UNLIMITED */
	uint64_t slabs;     /* slabs held */
	uint64_t frames;    /* frames of those */
	uint64_t waste;     /* bytes of those frames in which no object lies: alignment, guards, bits, tails */
	uint64_t exchanges; /* magazines that CPUs have changed: the operations off the fast path; wraps at 2^32 a CPU */
	uint64_t failures;  /* zone_alloc that returned NULL */
};
/* A snapshot; takes every CPU's lock, so not for hot paths. */
void zone_stats(struct zone *z, struct zone_stats *s);

/* Calls fn for each zone under the list's lock (fn may call zone_stats, not create or destroy). */
void zones_for_each(struct zones *zs, void (*fn)(struct zone *z, void *arg), void *arg);

/* The zone of an address inside a slab of these zones, or NULL. */
struct zone *zone_of(struct zones *zs, const void *object);

/* Panics unless slabs, lists, magazines and counts of the zone agree. At a quiet point. */
void zone_check(struct zone *z);

#endif
