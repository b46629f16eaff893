/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_cache.c: a zone's objects on each CPU, and their way from CPU to CPU.
 *
 * Purpose. An object in ten instructions that write no line of another CPU; a magazine of objects in a few
 * dozen that write none either, as long as a CPU's allocations and frees balance; and where they do not,
 * two read-modify-writes a bundle of magazines and no lock that all take.
 *
 * Structure. A magazine is a stack of object pointers. What a CPU frees beyond its loaded magazine it keeps
 * in a depot of its own; what is more than a few bundles of magazines (cache_own) lies on its shelf, where other CPUs may take it, a
 * bundle at a time; when the shelf is full, the depot fills; and what it does not hold is unloaded to the slabs.
 *
 *	fast path      loaded magazine   [o o o . . .]                 gate
 *	                  ^        v                         low  top    high
 *	own depot      full -> full      empty -> empty                c->lock, never contended but by visitors
 *	                  ^        v
 *	shelf          [m-m-m][m-m-m][e-e][ ]... <- other CPUs take    compare-and-swap on one slot
 *	                  ^        v
 *	slabs (zone_slab.c)                                            zone's lock, once a magazine
 *
 * A CPU that takes a bundle from a shelf leaves empty magazines in the place, as many if it has them, which the shelf's CPU
 * picks up when it puts the next bundle there: between a CPU that allocates and one that frees, magazines circulate and
 * nothing else is touched.
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
 * most a 32nd of the share and DEPOT_BYTES, at least one, and as many empty ones; the shelf has no more in all its slots, of
 * which there are at most SHELF_SLOTS, in bundles of at most BUNDLE_MAX, a power of two. That is much on purpose: what lies
 * there was in use on this CPU once, a batch of that size comes without a lock next time, and whoever is short of memory drains it.
 * With 64 MiB and 64 CPUs: 8 objects of 64 bytes a magazine, and none for zones above 256.
 *
 * Invariants (caches_check, zone_cache_look.c).
 *	1. An object is out, in one magazine, or free in its slab.
 *	2. Magazines on `full` hold `rounds` objects, the deepest at least one; those on `empty` none; depth counts what follows. Bundles
 *	   on a shelf are `bundle` full magazines, since none has the deepest, or so many or fewer empty ones; depth says nothing there.
 *	3. loaded->round <= top <= loaded->round + rounds; top is NULL if and only if nothing is loaded; then `empty` is empty too.
 *	4. low and high are the loaded magazine's ends, or both closed.
 *
 * Locking. c->lock (RANK_ZONE_CACHE); inside it the slabs' locks (RANK_ZONE); frames come and go inside it too. No CPU
 * holds two caches' locks, and none takes one in the gate.
 *
 * Memory order. An object passes from who freed it to who allocates it by program order, by the gate, by c->lock, by a slot
 * (release to acquire), or by the slabs' lock.
 *
 * Failure. NULL, counted by the caller, only after all shelves, the slabs, of each CPU the depot, the shelf again and what is
 * loaded, and the slabs again were looked at. What is freed meanwhile may be missed, or what a third CPU carries from a shelf
 * or the slabs to its own cache when that has been looked at.
 * No magazine to be had: the object goes to its slab at once.
 *
 * Sources: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001). The gate: gate.c.
 */
#include "vm/zone_shelf.h"

#define BUNDLE_MAX 8u
#define DEPOT_BYTES (UINT64_C(16) << 20)
_Static_assert(_Alignof(struct magazine) > SHELF_EMPTY, "there is a bit for it");

/* What zone_here made here of. */
static struct zone *zone_of_here(struct zone *here) { return (struct zone *)(void *)((char *)here - cpu_offset()); }

/* --- open and closed --- */

static bool must_stay_closed(const struct zone *z)
{
	/* relaxed, both: whoever changes them settles every cache afterwards, under its lock */
	return frames_may_fail(z->slabs.frames) || atomic_load_relaxed(&z->waiters) || !z->zones->may_open;
}

/* As loaded says, or closed. The caller has the rounds to itself. */
static void settle_locked(struct zone *z, struct zone_cache *c)
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
static struct zone_cache *leave_and_lock(struct zone *here)
{
	struct zone_cache *c = &here->cache[0];

	/* release: as in cache_take, though nothing was done */
	atomic_store_release(&c->inside, 0u);
	cache_rank_drop(c);
	spin_lock(&c->lock, RANK_ZONE_CACHE);
	return c;
}

/* --- magazines --- */

static void set_top(struct zone_cache *c, void **top) { atomic_store_relaxed(&c->top, top); } /* as cache_top */

static void load(struct zone_cache *c, struct magazine *m, uint32_t count)
{
	c->loaded = m;
	set_top(c, m ? m->round + count : NULL);
	/* relaxed: a statistic, written under the lock */
	atomic_bump(&c->exchanges, 1u);
}

/*
 * Of an open cache, in the place of what is loaded. What keeps caches closed is not asked: whoever changes that settles this
 * cache afterwards, under its lock, as if the CPU had not left the fast path meanwhile.
 */
static void reload_open(const struct zone *z, struct zone_cache *c, struct magazine *m, uint32_t count)
{
	load(c, m, count);
	/* release, both: as in settle_locked */
	atomic_store_release(&c->low, m->round);
	atomic_store_release(&c->high, m->round + z->rounds);
}

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
	if (magazine_depth(c->empty) < z->keep)
		magazine_push(&c->empty, m);
	else
		magazine_dispose(z, m);
}

/* --- taking --- */

static void *take_loaded(struct zone_cache *c)
{
	void **top = cache_top(c) - 1;

	set_top(c, top);
	return *top;
}

/* Loads a magazine of a shelf and keeps what came with it, the depot having none; false: no shelf has one either. */
static NOINLINE bool load_bundle(struct zone *z, struct zone_cache *c)
{
	struct magazine *m = shelf_take(z, c);

	if (!m)
		return false;
	magazine_join(&c->full, m->next);
	load(c, m, m->count);
	return true;
}

/* Loads another magazine with objects; false: neither depot nor shelves have one. */
static bool load_full(struct zone *z, struct zone_cache *c)
{
	struct magazine *m = magazine_pop(&c->full);

	if (!m)
		return load_bundle(z, c);
	if (c->loaded)
		keep_empty(z, c, c->loaded);
	load(c, m, m->count);
	return true;
}

/* From the slabs, as many as a magazine holds if there is one to be had. */
static void *load_from_slabs(struct zone *z, struct zone_cache *c)
{
	void *object = NULL;
	uint32_t n;

	if (!c->loaded) {
		struct magazine *m = magazine_pop(&c->empty);

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
	if (cache_loaded(c) || load_full(z, c))
		return take_loaded(c);
	return load_from_slabs(z, c);
}

/* Magazines' objects go to the slabs, and they where they came from. */
static void unload(struct zone *z, struct magazine *list)
{
	for (struct magazine *m; (m = magazine_pop(&list));) {
		if (m->count)
			slabs_put(&z->slabs, m->round, m->count);
		magazine_dispose(z, m);
	}
}

/* A bundle with objects off another CPU's shelf, or NULL. Its lock held. */
static struct magazine *off_shelf(struct zone *z, struct zone_cache *c)
{
	for (uint32_t i = 0; i < z->shelf; i++) {
		struct magazine *m;

		if (!shelf_laden(atomic_load_relaxed(&c->shelf[i]))) /* a glance */
			continue;
		m = clear_slot(c, i);
		if (m && m->count)
			return m;
		unload(z, m); /* somebody took it meanwhile, and left empty ones, or nothing */
	}
	return NULL;
}

/* Of the magazine that lies deepest in a depot that is not empty, which alone may be less than full (invariant 2). */
static void *take_deepest(struct zone *z, struct zone_cache *c)
{
	struct magazine **link = &c->full, *m;
	void *object;

	while ((*link)->next)
		link = &(*link)->next;
	m = *link;
	object = m->round[--m->count];
	if (m->count)
		return object;
	*link = NULL;
	for (struct magazine *above = c->full; above; above = above->next)
		above->depth--;
	if (c->loaded)
		keep_empty(z, c, m);
	else
		magazine_dispose(z, m); /* invariant 3 */
	return object;
}

/*
 * One that another CPU keeps, or NULL. Holds no lock. The shelf again, since objects come there from the depot, under this
 * lock; what lies there comes back to the depot. Nothing but the one object leaves that CPU: whoever waits looks there too.
 */
static void *take_from(struct zone *z, struct zone_cache *c)
{
	void *object = NULL;

	spin_lock(&c->lock, RANK_ZONE_CACHE);
	if (!c->full)
		magazine_join(&c->full, off_shelf(z, c));
	if (c->full) {
		object = take_deepest(z, c);
	} else if (c->loaded) {
		close_locked(c);
		if (cache_loaded(c))
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
	struct zone_cache *c = &zone_here(z)->cache[0];
	void *object = NULL;

	if (z->rounds == 0)
		return slabs_get(&z->slabs, &object, 1) ? object : NULL;
	spin_lock(&c->lock, RANK_ZONE_CACHE);
	return take_or_search(z, c);
}

static NOINLINE void *take_rarely(struct zone *z, struct zone_cache *c)
{
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

/* Most often the cache is open, what is loaded is at its end, and the depot has the next magazine: here, and below. */
NOINLINE void *cache_take_slow(struct zone *here)
{
	struct zone *z = zone_of_here(here);
	struct zone_cache *c = leave_and_lock(here);
	struct magazine *m = c->full, *spent = c->loaded;
	void *object;

	if (UNLIKELY(!m || cache_top(c) != atomic_load_relaxed(&c->low) || magazine_depth(c->empty) >= z->keep))
		return take_rarely(z, c);
	c->full = m->next;
	spent->count = 0;
	magazine_push(&c->empty, spent);
	object = m->round[m->count - 1]; /* while the lock keeps visitors from the magazine */
	reload_open(z, c, m, m->count - 1);
	spin_unlock(&c->lock);
	return object;
}

/* load_from_slabs, but no slab is made for it. */
static void load_near(struct zone *z, struct zone_cache *c)
{
	if (!c->loaded) /* a shelf wanted it in vain */
		load(c, magazine_pop(&c->empty), 0);
	if (!c->loaded)
		return;
	spin_lock(&z->slabs.lock, RANK_ZONE);
	load(c, c->loaded, slabs_get_locked(&z->slabs, c->loaded->round, z->rounds));
	spin_unlock(&z->slabs.lock);
}

void *cache_take_near(struct zone *z)
{
	struct zone_cache *c = &zone_here(z)->cache[0];
	void *object = NULL;

	spin_lock(&c->lock, RANK_ZONE_CACHE);
	if (!cache_loaded(c) && !load_full(z, c))
		load_near(z, c);
	if (cache_loaded(c))
		object = take_loaded(c);
	settle_locked(z, c);
	spin_unlock(&c->lock);
	if (STRATA_CHECKED && object)
		guard_out(&z->slabs, object, __builtin_return_address(0));
	return object;
}

/* --- giving --- */

/* From the depot to the shelf, or, if there is no room and the depot is too full, to the slabs. => empty magazines, or NULL. */
static NOINLINE struct magazine *share(struct zone *z, struct zone_cache *c)
{
	struct magazine *bundle = magazine_cut(&c->full, z->bundle), *m = NULL;

	if (shelf_put(z, c, bundle, &m))
		return m;
	magazine_join(&c->full, bundle);
	if (magazine_depth(c->full) > z->keep) {
		m = magazine_pop(&c->full);
		slabs_put(&z->slabs, m->round, m->count);
		m->next = NULL;
	}
	return m;
}

/* A depot of so many: what its own CPU's are comes first; then the shelf, when there is one bundle more. */
static bool may_share(const struct zone *z, uint32_t n)
{
	return n > z->keep || (n > cache_own(z) && (n & (z->bundle - 1)) == 0);
}

/* loaded is full or missing: makes room; false: there is no magazine to be had. */
static bool load_empty(struct zone *z, struct zone_cache *c)
{
	struct magazine *came = NULL, *empty;

	if (c->loaded) {
		c->loaded->count = z->rounds;
		magazine_push(&c->full, c->loaded);
		if (may_share(z, magazine_depth(c->full)))
			came = share(z, c);
	}
	empty = came ? magazine_pop(&came) : magazine_pop(&c->empty);
	if (!empty)
		empty = magazine_make(z);
	load(c, empty, 0);
	for (struct magazine *m; (m = magazine_pop(&came));)
		keep_empty(z, c, m);
	return empty != NULL;
}

static void give_locked(struct zone *z, struct zone_cache *c, void *object)
{
	void **top;

	if ((!c->loaded || cache_loaded(c) == z->rounds) && !load_empty(z, c)) {
		slabs_put(&z->slabs, &object, 1);
		return;
	}
	top = cache_top(c);
	*top = object;
	set_top(c, top + 1);
}

static NOINLINE void give_rarely(struct zone *z, struct zone_cache *c, void *object)
{
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

NOINLINE void cache_give_slow(struct zone *here, void *object)
{
	struct zone *z = zone_of_here(here);
	struct zone_cache *c = leave_and_lock(here);
	struct magazine *m = c->empty, *laden = c->loaded;

	if (UNLIKELY(!m || cache_top(c) != atomic_load_relaxed(&c->high) || may_share(z, magazine_depth(c->full) + 1))) {
		give_rarely(z, c, object);
		return;
	}
	c->empty = m->next;
	laden->count = z->rounds;
	magazine_push(&c->full, laden);
	m->round[0] = object;
	reload_open(z, c, m, 1);
	spin_unlock(&c->lock);
}

/* --- all caches of a zone --- */

static void each_locked(struct zone *z, void (*fn)(struct zone *z, struct zone_cache *c))
{
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		spin_lock(&z->cache[i].lock, RANK_ZONE_CACHE);
		fn(z, &z->cache[i]);
		spin_unlock(&z->cache[i].lock);
	}
}

static void close_one(struct zone *z, struct zone_cache *c) { (void)z, close_locked(c); }
void caches_settle(struct zone *z) { each_locked(z, settle_locked); }
void caches_close(struct zone *z) { each_locked(z, close_one); }

static void drain_locked(struct zone *z, struct zone_cache *c)
{
	if (c->loaded) {
		close_locked(c);
		c->loaded->count = cache_loaded(c);
		c->loaded->next = NULL;
		unload(z, c->loaded);
		load(c, NULL, 0);
		settle_locked(z, c);
	}
	unload(z, c->full);
	unload(z, c->empty);
	c->full = c->empty = NULL;
	for (uint32_t i = 0; i < z->shelf; i++)
		unload(z, clear_slot(c, i));
}

void caches_drain(struct zone *z)
{
	if (z->rounds)
		each_locked(z, drain_locked);
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
	z->bundle = BUNDLE_MAX;
	while (z->bundle > 1 && z->bundle * SHELF_SLOTS > keep)
		z->bundle /= 2;
	z->shelf = (uint32_t)(keep < SHELF_SLOTS ? keep : SHELF_SLOTS);
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		spin_init(&z->cache[i].lock);
		settle_locked(z, &z->cache[i]); /* zeroed: nothing is loaded */
	}
}
