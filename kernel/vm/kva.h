/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kva.h: an arena of addresses, handed out in pages. Theory: kva.c (caches,
 * waiting), kva_arena.c (segments).
 *
 * An arena knows numbers only: what is mapped at them is its user's business
 * (vm/kmem.h). Small ranges go through a cache of each CPU.
 *
 * Context: thread or boot, never an interrupt handler; spinlocks below
 * RANK_KVA_CACHE may be held, epoch sections too. Nothing waits but KVA_WAIT.
 */
#ifndef VM_KVA_H
#define VM_KVA_H

#include "base/list.h"
#include "sync/waitq.h"
#include "vm/gate.h"
#include "vm/kmalloc.h"

#define KVA_QUANTA 16u /* ranges of 1 .. 16 pages may have caches */
/* Ranges of one size that a CPU keeps. */
#if STRATA_CHECKED
#define KVA_KEEP 4u
#else
#define KVA_KEEP 16u
#endif
#define KVA_BATCH (KVA_KEEP / 2) /* that many go to or from the arena at once */
#define KVA_LISTS 36u            /* free segments of 2^n to 2^(n+1)-1 pages */

#define KVA_NO_CACHE 1u /* kva_init: no caches: for small arenas, which must not be left in pieces */

#define KVA_WAIT 1u     /* kva_alloc: waits for room; thread context, nothing held */
#define KVA_BEST_FIT 2u /* kva_alloc: the smallest segment that fits, at the price of a search */

/* A piece of an arena, free or handed out, and the boundary tag of its neighbours. Guard: the arena's lock. */
struct kva_segment {
	uint64_t page, pages;      /* page: address / PAGE_SIZE */
	struct list order;         /* the arena's segments, by address */
	struct list link;          /* free: on its list; in use: in its bucket */
	bool used;
};

/* g: inside the gate; ranges by page number within the arena */
struct kva_cache {
	struct gate gate;                          /* RANK_KVA_CACHE */
	ATOMIC(uint64_t) hits;                     /* g to write; a statistic */
	uint32_t count[KVA_QUANTA];                /* g: by pages - 1 */
	uint32_t range[KVA_QUANTA][KVA_KEEP];      /* g */
} ALIGNED(CACHE_LINE);

/* l: guarded by lock · x: atomic · else fixed after kva_init */
struct kva {
	const char *name;
	struct kmalloc *kmalloc;
	struct zone *segments;    /* where tags come from */
	uint64_t page, pages;     /* what it spans */
	uint32_t ncpus;
	struct kva_cache *cache;  /* one a CPU; NULL: no caches */
	void *cache_memory;       /* what they lie in */
	uint64_t buckets;         /* a power of two */
	struct list *bucket;      /* l: segments in use, by page */
	ATOMIC(uint32_t) hungry;  /* x: allocations that found nothing and look into caches, or wait: nothing may be cached */

	struct spinlock lock ALIGNED(CACHE_LINE); /* RANK_KVA */
	bool waited_for;          /* l: somebody waits for what is freed next */
	uint64_t nonempty;        /* l: bit n: free[n] is not empty */
	uint64_t free_pages;      /* l */
	uint64_t count;           /* l: segments */
	uint64_t allocs, frees;   /* l: ranges that went to and came from users and caches */
	ATOMIC(uint64_t) failures; /* x: relaxed, a statistic */
	ATOMIC(uint64_t) waits;    /* x: likewise */
	struct list order;        /* l: all segments */
	struct list free[KVA_LISTS]; /* l */
	struct waitq wait;
};

/* The zone that arenas take their tags from; NULL: no memory. Boot. */
struct zone *kva_segment_zone(struct zones *zs);

/*
 * An arena of [start, start + size), page aligned, not empty, below 2^32 pages.
 * name must outlive it. ERR_NOMEM: nothing is left of it. Any thread context.
 */
enum error kva_init(struct kva *a, const char *name, vaddr_t start, uint64_t size, unsigned flags, struct zone *segments,
		    struct kmalloc *k) MUST_CHECK;

/* Everything has been freed (panics and names the arena otherwise), and no CPU uses it. */
void kva_fini(struct kva *a);

/*
 * pages (at least 1), aligned to align pages (a power of two). => OK. ERR_NOMEM: no memory for tags. ERR_NOSPACE: at one
 * moment of the call no such range was free, in the arena or in any CPU's cache; with KVA_WAIT: it is larger than the
 * arena. After an error nothing has changed.
 */
enum error kva_alloc(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, vaddr_t *out) MUST_CHECK;

/* Gives back what kva_alloc gave; wakes who waits for room. Panics on a range that was not handed out like this. */
void kva_free(struct kva *a, vaddr_t va, uint64_t pages);

/* Empties all caches. At any time, while others go on. Returns pages that came back. */
uint64_t kva_drain(struct kva *a);

struct kva_stats {
	uint64_t pages;    /* of the arena */
	uint64_t used;     /* handed out */
	uint64_t cached;   /* in caches */
	uint64_t largest;  /* pages of the largest free segment, rounded down to a power of two */
	uint64_t segments;
	uint64_t hits;     /* allocations served by caches */
	uint64_t allocs;   /* ranges taken out of the arena */
	uint64_t failures, waits;
};
/* A snapshot; visits every CPU's cache. */
void kva_stats(struct kva *a, struct kva_stats *s);

/* Panics unless segments, lists, table and caches agree. At a quiet point. */
void kva_check(struct kva *a);

/* The segment that has va: => true, its range, and whether it is in use or cached. Takes no lock: for panics, when all is still. */
bool kva_find(const struct kva *a, vaddr_t va, struct vrange *r, bool *used);

#endif
