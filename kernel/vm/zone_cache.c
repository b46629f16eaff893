/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_cache.c: a zone's objects on each CPU, and their way from CPU to CPU.
 *
 * Purpose. An object in ten instructions that write no line of another CPU; a magazine of objects in a few
 * dozen that write none either, as long as a CPU's allocations and frees balance; and where they do not,
 * two read-modify-writes a magazine and no lock that all take.
 *
 * Structure. A magazine is a stack of object pointers. What a CPU frees beyond its loaded magazine it keeps
 * in a depot of its own; what is more than that depot holds lies on its shelf, where other CPUs may take it; and
 * what the shelf does not hold is unloaded to the slabs.
 *
 *	fast path      loaded magazine   [o o o . . .]                 gate
 *	                  ^        v                         low  top    high
 *	own depot      full -> full      empty -> empty                c->lock, never contended but by visitors
 *	                  ^        v
 *	shelf          [m][m][e][ ]...      <- other CPUs take here    compare-and-swap on one slot
 *	                  ^        v
 *	slabs (zone_slab.c)                                            zone's lock, once a magazine
 *
 * A CPU that takes a magazine from a shelf leaves its empty one in the place, which the shelf's CPU picks up when it
 * puts the next one there: between a CPU that allocates and one that frees, magazines circulate and nothing else
 * is touched.
 *
 * Gate. The fast path is a gate's owner side (gate.h) in which "am I alone" and "is there anything" are one comparison:
 *
 *	take: inside = 1, low, top;   top <= low: slow      give: inside = 1, high, top;   top >= high: slow
 *
 * Whoever closes the cache makes low the highest address and high the lowest. To close, under c->lock: store low and high,
 * cpu_barrier_all, wait for inside == 0; then top and the rounds are the visitor's until low and high are stored again.
 * top is loaded after low or high, hence in the gate. The slow path is not in the gate (inside is 0 again) but under c->lock,
 * which visitors hold from before they close until after they open; so it needs no barrier.
 * The rare conditions ride on the same comparison and cost the fast path nothing: failures that are to be injected, threads
 * that wait for an object, a machine without cpu_barrier_all keep caches closed (settle_locked), and everybody
 * goes the slow way, under the lock.
 *
 * Shelf. A slot is emptied and filled by compare-and-swap of the whole word, and nobody follows the pointer that he
 * read before it is his: whether the word was away and back meanwhile makes no difference (no ABA). Any number of CPUs at a time.
 *
 * Size of the caches. A CPU's share is RAM / CPUs. A magazine holds at most a 2048th of the share, and MAGAZINE_MAX
 * objects; where that is less than two objects, the zone has no magazines. A depot keeps full magazines for at
 * most a 32nd of the share and DEPOT_BYTES, at least one, and as many empty ones; the shelf has as many slots, at most
 * SHELF_SLOTS. That is much on purpose: what lies there was in use on this CPU once, a batch of that size comes without a lock next
 * time, and whoever is short of memory drains it.
 * With 64 MiB and 64 CPUs: 8 objects of 64 bytes a magazine, and none for zones above 256.
 *
 * Invariants (caches_check).
 *	1. An object is out, in one magazine, or free in its slab.
 *	2. Magazines on `full` hold 1 to rounds objects, those on `empty` none; depth counts what follows.
 *	3. loaded->round <= top <= loaded->round + rounds; top is NULL if and only if nothing is loaded.
 *	4. low and high are the loaded magazine's ends, or both closed.
 *
 * Locking. c->lock (RANK_ZONE_CACHE); inside it the slabs' locks (RANK_ZONE); frames come and go inside it too. No CPU
 * holds two caches' locks, and none takes one in the gate.
 *
 * Memory order. An object passes from who freed it to who allocates it by program order, by the gate, by c->lock, by a slot
 * (release to acquire), or by the slabs' lock.
 *
 * Failure. NULL, counted by the caller, only after all shelves, the slabs and the caches of all CPUs were looked at, in this order:
 * objects move from shelves and slabs to caches, under a cache's lock. What is freed meanwhile, or drained to the slabs, may be missed.
 * No magazine to be had: the object goes to its slab at once.
 *
 * Sources: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001). The gate: gate.c.
 */
#include "vm/zone_cache.h"

#define SHELF_EMPTY UINT64_C(1) /* added to a magazine's address on a shelf: it holds nothing */
#define DEPOT_BYTES (UINT64_C(16) << 20)
_Static_assert(_Alignof(struct magazine) > SHELF_EMPTY, "there is a bit for it");

static struct zone_cache *own(struct zone *z)
{
	ASSERT_CHECKED(cpu_id() < z->zones->ncpus);
	return &zone_here(z)->cache[0];
}

/* What zone_here made here of. */
static struct zone *zone_of_here(struct zone *here) { return (struct zone *)(void *)((char *)here - cpu_offset()); }

/* --- open and closed --- */

static bool must_stay_closed(const struct zone *z)
{
	/* relaxed, both: whoever changes them settles every cache afterwards, under its lock */
	return frames_may_fail(z->slabs.frames) || atomic_load_relaxed(&z->waiters) || !z->zones->may_open;
}

/* As loaded says, or closed. The caller has the rounds to itself. */
static void settle_locked(const struct zone *z, struct zone_cache *c)
{
	bool open = c->loaded && !must_stay_closed(z);

	/* release, both: pair with the loads in cache_take and cache_give, for what a visitor left in the magazine */
	atomic_store_release(&c->low, open ? c->loaded->round : CACHE_CLOSED_LOW);
	atomic_store_release(&c->high, open ? c->loaded->round + z->rounds : CACHE_CLOSED_HIGH);
}

/* The fast path is over and stays out until settle_locked. Costs a barrier of all CPUs. */
static void close_locked(struct zone_cache *c)
{
	/* seq_cst, both: as the announcement in gate_visit */
	atomic_store_seq_cst(&c->low, CACHE_CLOSED_LOW);
	atomic_store_seq_cst(&c->high, CACHE_CLOSED_HIGH);
	cpu_barrier_all();
	/* seq_cst: as in gate_visit; its acquire side pairs with the release of inside */
	while (atomic_load_seq_cst(&c->inside))
		cpu_relax();
}

/* Its own CPU leaves the fast path for the slow one. */
static struct zone_cache *leave_and_lock(struct zone *z)
{
	struct zone_cache *c = own(z);

	/* release: as in cache_take, though nothing was done */
	atomic_store_release(&c->inside, 0u);
	cache_rank_drop(c);
	spin_lock(&c->lock, RANK_ZONE_CACHE);
	return c;
}

/* --- magazines --- */

/* In the gate or under the lock with the cache closed; relaxed: written by whom we keep out. */
static void **top_of(const struct zone_cache *c) { return atomic_load_relaxed(&c->top); }
static void set_top(struct zone_cache *c, void **top) { atomic_store_relaxed(&c->top, top); }

static void load(struct zone_cache *c, struct magazine *m, uint32_t count)
{
	c->loaded = m;
	set_top(c, m ? m->round + count : NULL);
	/* relaxed: a statistic, written under the lock */
	atomic_bump(&c->exchanges, 1u);
}

/* The loaded magazine's objects: of c's own CPU, or closed; otherwise a glance. */
static uint32_t loaded_count(const struct zone_cache *c)
{
	return c->loaded ? (uint32_t)(top_of(c) - c->loaded->round) : 0;
}

static void push(struct magazine **list, struct magazine *m)
{
	m->next = *list;
	m->depth = m->next ? m->next->depth + 1 : 1;
	*list = m;
}

static struct magazine *pop(struct magazine **list)
{
	struct magazine *m = *list;

	if (m)
		*list = m->next;
	return m;
}

static uint32_t depth(const struct magazine *list) { return list ? list->depth : 0; }

static struct magazine *magazine_make(struct zone *z)
{
	void *m = NULL;

	return slabs_get(z->magazines, &m, 1) ? m : NULL;
}

static void magazine_dispose(struct zone *z, struct magazine *m)
{
	void *object = m;

	slabs_put(z->magazines, &object, 1);
}

/* An empty magazine is left over: into the depot, or to where it came from. */
static void keep_empty(struct zone *z, struct zone_cache *c, struct magazine *m)
{
	m->count = 0; /* while it was loaded nobody kept count */
	if (depth(c->empty) < z->keep)
		push(&c->empty, m);
	else
		magazine_dispose(z, m);
}

/* --- shelves --- */

static struct magazine *magazine_in(uintptr_t word) { return (struct magazine *)(word & ~SHELF_EMPTY); }
static bool is_laden(uintptr_t word) { return word && !(word & SHELF_EMPTY); }

/* A magazine with objects from any shelf, our own first, or NULL. *spare: an empty one to leave there; NULL then. */
static struct magazine *shelf_take(struct zone *z, struct magazine **spare)
{
	size_t span = z->zones->ncpus * CPU_STRIDE, at = cpu_offset();

	for (uint32_t n = z->zones->ncpus; n > 0; n--) {
		struct zone_cache *c = (struct zone_cache *)(void *)((char *)z->cache + at);

		for (uint32_t i = 0; i < z->shelf; i++) {
			uintptr_t left = *spare ? (uintptr_t)*spare | SHELF_EMPTY : 0,
				  word = atomic_load_relaxed(&c->shelf[i]); /* a glance */

			/* acq_rel: pairs with shelf_put's both ways, for the magazine that comes and the one that goes */
			if (is_laden(word) && atomic_cas_acq_rel(&c->shelf[i], &word, left)) {
				if (left)
					*spare = NULL;
				return magazine_in(word);
			}
		}
		at = at + CPU_STRIDE == span ? 0 : at + CPU_STRIDE;
	}
	return NULL;
}

/* A magazine with objects onto our own shelf; false: it is full. *empty: what lay there, an empty one or NULL. */
static bool shelf_put(struct zone *z, struct zone_cache *c, struct magazine *m, struct magazine **empty)
{
	for (uint32_t i = 0; i < z->shelf; i++) {
		uintptr_t word = atomic_load_relaxed(&c->shelf[i]); /* a glance */

		/* acq_rel: as in shelf_take */
		if (!is_laden(word) && atomic_cas_acq_rel(&c->shelf[i], &word, (uintptr_t)m)) {
			*empty = magazine_in(word);
			return true;
		}
	}
	return false;
}

/* --- taking --- */

static void *take_loaded(struct zone_cache *c)
{
	void **top = top_of(c) - 1;

	set_top(c, top);
	return *top;
}

/* Loads another magazine with objects; false: neither depot nor shelves have one. */
static bool load_full(struct zone *z, struct zone_cache *c)
{
	struct magazine *spare = c->loaded, *m = pop(&c->full);

	if (!m)
		m = shelf_take(z, &spare);
	if (!m)
		return false;
	if (spare)
		keep_empty(z, c, spare);
	load(c, m, m->count);
	return true;
}

/* From the slabs, as many as a magazine holds if there is one to be had. */
static void *load_from_slabs(struct zone *z, struct zone_cache *c)
{
	void *object = NULL;
	uint32_t n;

	if (!c->loaded) {
		struct magazine *m = pop(&c->empty);

		m = m ? m : magazine_make(z);
		if (!m)
			return slabs_get(&z->slabs, &object, 1) ? object : NULL;
		load(c, m, 0);
	}
	n = slabs_get(&z->slabs, c->loaded->round, z->rounds);
	load(c, c->loaded, n);
	return n ? take_loaded(c) : NULL;
}

static void *take_locked(struct zone *z, struct zone_cache *c)
{
	if (loaded_count(c) || load_full(z, c))
		return take_loaded(c);
	return load_from_slabs(z, c);
}

/* One that another CPU keeps, or NULL. Holds no lock. */
static void *take_from(struct zone *z, struct zone_cache *c)
{
	void *object = NULL;

	spin_lock(&c->lock, RANK_ZONE_CACHE);
	if (c->full) {
		object = c->full->round[--c->full->count];
		if (c->full->count == 0)
			keep_empty(z, c, pop(&c->full));
	} else if (c->loaded) {
		close_locked(c);
		if (loaded_count(c))
			object = take_loaded(c);
		settle_locked(z, c);
	}
	spin_unlock(&c->lock);
	return object;
}

static NOINLINE void *take_from_others(struct zone *z)
{
	void *object = NULL;

	for (uint32_t i = 1; i < z->zones->ncpus && !object; i++)
		object = take_from(z, &z->cache[(cpu_id() + i) % z->zones->ncpus]);
	/* what was drained while we went round is there now */
	if (!object && !slabs_get(&z->slabs, &object, 1))
		return NULL;
	return object;
}

static void *take_or_search(struct zone *z, struct zone_cache *c)
{
	void *object = take_locked(z, c);

	settle_locked(z, c);
	spin_unlock(&c->lock);
	return LIKELY(object) ? object : take_from_others(z);
}

void *cache_take_any(struct zone *z)
{
	void *object = NULL;
	struct zone_cache *c;

	if (z->rounds == 0)
		return slabs_get(&z->slabs, &object, 1) ? object : NULL;
	c = own(z);
	spin_lock(&c->lock, RANK_ZONE_CACHE);
	return take_or_search(z, c);
}

NOINLINE void *cache_take_slow(struct zone *here)
{
	struct zone *z = zone_of_here(here);
	struct zone_cache *c = leave_and_lock(z);
	const struct frames *f = z->slabs.frames;
	void *object = NULL;

	if (UNLIKELY(frames_may_fail(f))) {
		spin_unlock(&c->lock); /* who is asked may take locks */
		if (!frames_must_fail(f))
			object = cache_take_any(z);
	} else if (z->rounds == 0) {
		spin_unlock(&c->lock);
		object = cache_take_any(z);
	} else {
		object = take_or_search(z, c);
	}
	if (UNLIKELY(!object))
		atomic_add_relaxed(&z->failures, UINT64_C(1)); /* a statistic */
	return object;
}

/* --- giving --- */

/* loaded is full or missing: makes room; false: there is no magazine to be had. */
static bool load_empty(struct zone *z, struct zone_cache *c)
{
	struct magazine *m = c->loaded, *empty = NULL;

	if (m) {
		m->count = z->rounds;
		if (depth(c->full) < z->keep) {
			push(&c->full, m);
		} else if (!shelf_put(z, c, m, &empty)) {
			slabs_put(&z->slabs, m->round, m->count);
			empty = m;
		}
	}
	if (!empty)
		empty = pop(&c->empty);
	if (!empty)
		empty = magazine_make(z);
	load(c, empty, 0);
	return empty != NULL;
}

static void give_locked(struct zone *z, struct zone_cache *c, void *object)
{
	void **top;

	if ((!c->loaded || loaded_count(c) == z->rounds) && !load_empty(z, c)) {
		slabs_put(&z->slabs, &object, 1);
		return;
	}
	top = top_of(c);
	*top = object;
	set_top(c, top + 1);
}

NOINLINE void cache_give_slow(struct zone *here, void *object)
{
	struct zone *z = zone_of_here(here);
	struct zone_cache *c = leave_and_lock(z);

	if (z->rounds == 0) {
		spin_unlock(&c->lock);
		if (z->give_foreign)
			z->give_foreign(z, object);
		else
			slabs_put(&z->slabs, &object, 1);
	} else {
		give_locked(z, c, object);
		settle_locked(z, c);
		spin_unlock(&c->lock);
	}
	/* relaxed: ordered by the lock that we held and that who waits has taken since he counted himself; zone_alloc_wait */
	if (UNLIKELY(atomic_load_relaxed(&z->waiters)))
		(void)waitq_wake_all(&z->wait);
}

/* --- all caches of a zone --- */

void caches_settle(struct zone *z)
{
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];

		spin_lock(&c->lock, RANK_ZONE_CACHE);
		settle_locked(z, c);
		spin_unlock(&c->lock);
	}
}

void caches_close(struct zone *z)
{
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];

		spin_lock(&c->lock, RANK_ZONE_CACHE);
		close_locked(c);
		spin_unlock(&c->lock);
	}
}

/* A magazine's objects go to the slabs, and it goes where it came from. */
static void unload(struct zone *z, struct magazine *m, uint32_t count)
{
	if (count)
		slabs_put(&z->slabs, m->round, count);
	magazine_dispose(z, m);
}

static void drain_locked(struct zone *z, struct zone_cache *c)
{
	struct magazine *m;

	if (c->loaded) {
		close_locked(c);
		unload(z, c->loaded, loaded_count(c));
		load(c, NULL, 0);
		settle_locked(z, c);
	}
	while ((m = pop(&c->full)))
		unload(z, m, m->count);
	while ((m = pop(&c->empty)))
		unload(z, m, 0);
	for (uint32_t i = 0; i < z->shelf; i++) {
		/* acquire: pairs with the release sides of shelf_put and shelf_take */
		uintptr_t word = atomic_swap_acquire(&c->shelf[i], (uintptr_t)0);

		if (word)
			unload(z, magazine_in(word), is_laden(word) ? magazine_in(word)->count : 0);
	}
}

void caches_drain(struct zone *z)
{
	for (uint32_t i = 0; z->rounds && i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];

		spin_lock(&c->lock, RANK_ZONE_CACHE);
		drain_locked(z, c);
		spin_unlock(&c->lock);
	}
}

/* Of a list of magazines with objects. */
static uint64_t count_list(const struct magazine *m)
{
	uint64_t n = 0;

	for (; m; m = m->next)
		n += m->count;
	return n;
}

uint64_t caches_count(struct zone *z, uint64_t *exchanges)
{
	uint64_t n = 0;

	*exchanges = 0;
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];

		spin_lock(&c->lock, RANK_ZONE_CACHE);
		n += loaded_count(c) + count_list(c->full);
		*exchanges += atomic_load_relaxed(&c->exchanges); /* a statistic */
		spin_unlock(&c->lock);
		/* relaxed: a magazine on a shelf is full but for those of low memory; nobody looks into it */
		for (uint32_t k = 0; k < z->shelf; k++)
			n += is_laden(atomic_load_relaxed(&c->shelf[k])) ? z->rounds : 0;
	}
	return n;
}

/* See "Size of the caches" above. */
void caches_init(struct zone *z)
{
	uint64_t share = (z->slabs.frames->ram << PAGE_SHIFT) / z->zones->ncpus, stride = z->slabs.shape.stride,
		 n = share / 2048 / stride, keep;

	if (STRATA_CHECKED >= 2 && n > 3)
		n = 3; /* the paths to depot and slabs become everyday */
	n = n > MAGAZINE_MAX ? MAGAZINE_MAX : n;
	keep = n ? (share / 32 < DEPOT_BYTES ? share / 32 : DEPOT_BYTES) / (n * stride) : 0;
	keep = keep ? keep : 1;
	z->rounds = z->flags & ZONE_NO_CACHE || n < 2 ? 0 : (uint32_t)n;
	z->magazines = n > MAGAZINE_SMALL ? &z->zones->magazines : &z->zones->small_magazines;
	z->keep = (uint32_t)keep;
	z->shelf = (uint32_t)(keep < SHELF_SLOTS ? keep : SHELF_SLOTS);
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		spin_init(&z->cache[i].lock);
		settle_locked(z, &z->cache[i]); /* zeroed: nothing is loaded */
	}
}

/* --- check --- */

static void check_list(const struct zone *z, const struct magazine *m, uint32_t least, uint32_t most)
{
	for (; m; m = m->next) {
		if (m->count < least || m->count > most)
			panic("zone %s: a magazine of %u objects is on the wrong list", z->slabs.name, m->count);
		if (m->depth != (m->next ? m->next->depth : 0) + 1)
			panic("zone %s: a list of magazines is miscounted", z->slabs.name);
	}
}

void caches_check(struct zone *z)
{
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];
		void **low = atomic_load_relaxed(&c->low), **high = atomic_load_relaxed(&c->high); /* a quiet point */

		check_list(z, c->full, 1, z->rounds);
		check_list(z, c->empty, 0, 0);
		if ((top_of(c) != NULL) != (c->loaded != NULL) || loaded_count(c) > z->rounds)
			panic("zone %s: CPU %u's magazine holds %u of %u objects", z->slabs.name, i, loaded_count(c),
			      z->rounds);
		if ((low == CACHE_CLOSED_LOW) != (high == CACHE_CLOSED_HIGH) ||
		    (high && (low != c->loaded->round || high != low + z->rounds)))
			panic("zone %s: CPU %u's cache is neither open nor closed", z->slabs.name, i);
		if (depth(c->full) > z->keep || depth(c->empty) > z->keep)
			panic("zone %s: CPU %u keeps too many magazines", z->slabs.name, i);
		if (atomic_load_relaxed(&c->inside)) /* a quiet point */
			panic("zone %s: CPU %u is inside", z->slabs.name, i);
	}
}
