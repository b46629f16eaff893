/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_cache.h: a zone's per-CPU caches; for zone.c, kmalloc.c, anon.c. Theory: zone_cache.c.
 *
 * The fast paths are here, inline. Of checks those know nothing, which are the callers' (zone_alloc_by), but for the two for who has
 * to have an object at once. Context: as vm/zone.h.
 */
#ifndef VM_ZONE_CACHE_H
#define VM_ZONE_CACHE_H

#include "vm/zone.h"
#include "vm/zone_guard.h"

/* Above every round and below every round: whoever compares goes the slow way. */
#define CACHE_CLOSED_LOW ((void **)UINTPTR_MAX)
#define CACHE_CLOSED_HIGH ((void **)NULL)

/*
 * A zone as its CPU sees it: cpu_offset() behind itself, so that cache[0] is that CPU's own. Nothing else of it may be
 * touched. So a pointer is all that the fast path keeps, and what it hands on when it cannot go on; inside is still 1 then.
 */
void *cache_take_slow(struct zone *here);
void cache_give_slow(struct zone *here, void *object);

/* In the gate, for lock ranks: it counts as a lock that is held. */
static inline void cache_rank_take(const struct zone_cache *c)
{
#if STRATA_CHECKED
	rank_take(&c->inside, RANK_ZONE_CACHE, false);
#else
	(void)c;
#endif
}
static inline void cache_rank_drop(const struct zone_cache *c)
{
#if STRATA_CHECKED
	rank_drop(&c->inside);
#else
	(void)c;
#endif
}

static inline struct zone *zone_here(struct zone *z) { return (struct zone *)(void *)((char *)z + cpu_offset()); }

/* An object from this CPU's loaded magazine, or from wherever there is one; NULL, counted: there is none. */
static inline void *cache_take(struct zone *z)
{
	struct zone *here = zone_here(z);
	struct zone_cache *c = &here->cache[0];
	void **low, **top, *object;

	cache_rank_take(c);
	/* owner, both: as in gate_enter; the load pairs with settle_locked */
	atomic_store_owner(&c->inside, 1u);
	low = atomic_load_owner(&c->low);
	top = atomic_load_relaxed(&c->top); /* after the load of low: in the gate */
	if (UNLIKELY(top <= low))
		return cache_take_slow(here);
	atomic_store_relaxed(&c->top, --top); /* in the gate */
	object = *top;
	/* release: pairs with close_locked's load; the visitor sees what we left */
	atomic_store_release(&c->inside, 0u);
	cache_rank_drop(c);
	return object;
}

/*
 * zone_alloc, but only what this CPU's loaded magazine has: no lock, and interrupts may be masked. NULL, uncounted: it is empty,
 * or the cache is closed.
 */
static inline void *zone_alloc_cached(struct zone *z)
{
	struct zone_cache *c = &zone_here(z)->cache[0];
	void **low, **top, *object = NULL;

	cache_rank_take(c);
	/* owner, both: as in cache_take */
	atomic_store_owner(&c->inside, 1u);
	low = atomic_load_owner(&c->low);
	top = atomic_load_relaxed(&c->top); /* as in cache_take */
	if (LIKELY(top > low)) {
		atomic_store_relaxed(&c->top, --top); /* in the gate */
		object = *top;
	}
	/* release: as in cache_take */
	atomic_store_release(&c->inside, 0u);
	cache_rank_drop(c);
	if (STRATA_CHECKED && object)
		guard_out(&z->slabs, object, __builtin_return_address(0));
	return object;
}

/* Next: also from this CPU's own depot, shelves, or slabs that are there. Bounded work, no search; interrupts may be masked. */
void *cache_take_near(struct zone *z);

/* Into this CPU's loaded magazine, or wherever there is room. */
static inline void cache_give(struct zone *z, void *object)
{
	struct zone *here = zone_here(z);
	struct zone_cache *c = &here->cache[0];
	void **high, **top;

	cache_rank_take(c);
	/* owner, both: as in cache_take */
	atomic_store_owner(&c->inside, 1u);
	high = atomic_load_owner(&c->high);
	top = atomic_load_relaxed(&c->top); /* as in cache_take */
	if (UNLIKELY(top >= high)) {
		cache_give_slow(here, object);
		return;
	}
	*top = object;
	atomic_store_relaxed(&c->top, top + 1); /* in the gate */
	/* release: as in cache_take */
	atomic_store_release(&c->inside, 0u);
	cache_rank_drop(c);
}

/*
 * So many full magazines are a CPU's own, before it shares: half of what it may keep, up to eight bundles, which is where depots are
 * large more than comes back between two looks of the epoch, so that CPUs that free what they have allocated do not live of each other's.
 */
static inline uint32_t cache_own(const struct zone *z)
{
	uint32_t own = z->keep / 2, least = 2 * z->bundle, most = 8 * z->bundle;

	return own < least ? least : own < most ? own : most;
}

/* In the gate or under the lock with the cache closed; relaxed: written by whom we keep out. */
static inline void **cache_top(const struct zone_cache *c) { return atomic_load_relaxed(&c->top); }

/* The loaded magazine's objects: of c's own CPU, or closed; otherwise a glance. */
static inline uint32_t cache_loaded(const struct zone_cache *c)
{
	return c->loaded ? (uint32_t)(cache_top(c) - c->loaded->round) : 0;
}

/* An object without injected failures, uncounted; outside the gate. */
void *cache_take_any(struct zone *z);

/* A new zone's caches: empty, and open if they may be. */
void caches_init(struct zone *z);

/* What decides whether caches are open has changed: failures are injected or not, somebody waits. */
void caches_settle(struct zone *z);

/* Nobody is on a fast path that he entered before the caches were settled closed. */
void caches_close(struct zone *z);

/* Everything that the caches hold goes back to the slabs. */
void caches_drain(struct zone *z);

/* Objects in magazines, and magazines changed. */
uint64_t caches_count(struct zone *z, uint64_t *exchanges);

/* Panics unless the caches are sound. At a quiet point. */
void caches_check(struct zone *z);

#endif
