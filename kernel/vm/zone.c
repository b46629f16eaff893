/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone.c: zones: what their users call. Objects come from per-CPU magazines (zone_cache.c), those from slabs (zone_slab.c).
 *
 * Waiting. zone_alloc_wait counts itself in z->waiters, then has every cache closed: from then on who frees an object goes the
 * slow way, under the cache's lock or the slabs', sees the count and wakes. An object that was freed before is
 * found by the attempt that follows, since it looks into all caches, under the same locks. So no wake-up is lost. Frames
 * come back without a look at the count: who gives them back says so through the queue's lock (zone_wake), on which the waiter
 * was before his attempt.
 *
 * Limit. It is kept where objects leave the slabs: what is in magazines counts as out, and is searched before an
 * allocation fails. So exactly as many can be had as the limit says.
 *
 * Locking. zones.lock (RANK_ZONES) guards the list of zones, outside all others.
 *
 * Failure. NULL, counted. zone_create undoes nothing: it fails first.
 */
#include "vm/zone.h"

#include "vm/zone_cache.h"
#include "vm/zone_guard.h"

#define SLABS_KEPT_MAX 64u
#define CALLER __builtin_return_address(0)

/* --- objects --- */

void *zone_alloc_by(struct zone *z, const void *caller)
{
	void *object = cache_take(z);

	if (STRATA_CHECKED && object)
		guard_out(&z->slabs, object, caller);
	return object;
}

void zone_free_by(struct zone *z, void *object, const void *caller)
{
	if (STRATA_CHECKED)
		guard_back(&z->slabs, object, caller);
	cache_give(z, object);
}

void *zone_alloc(struct zone *z)
{
#if STRATA_CHECKED
	return zone_alloc_by(z, CALLER);
#else
	return cache_take(z);
#endif
}

void zone_free(struct zone *z, void *object)
{
#if STRATA_CHECKED
	zone_free_by(z, object, CALLER);
#else
	cache_give(z, object);
#endif
}

/* --- waiting --- */

/* On the queue; counted in z->waiters. An object, or NULL after a wake-up. */
static void *wait_once(struct zone *z)
{
	struct waiter w;
	void *object;

	wait_prepare(&z->wait, &w);
	caches_close(z); /* and they stay so, since we are counted */
	object = cache_take_any(z);
	if (object)
		wait_cancel(&z->wait, &w);
	else
		ASSERT(wait_block(&z->wait, &w, false) == OK); /* not interruptible */
	return object;
}

void *zone_alloc_wait(struct zone *z)
{
	void *object = cache_take_any(z);

	rank_assert_may_wait();
	if (!object) {
		/* acq_rel, and the locks that are taken next: pair with the load in give_rarely */
		atomic_add_acq_rel(&z->waiters, 1u);
		while (!object)
			object = wait_once(z);
		atomic_sub_acq_rel(&z->waiters, 1u);
		caches_settle(z);
	}
	if (STRATA_CHECKED)
		guard_out(&z->slabs, object, CALLER);
	return object;
}

void zone_wake(struct zone *z) { (void)waitq_wake_all(&z->wait); }

void zones_wake(struct zones *zs)
{
	spin_lock(&zs->lock, RANK_ZONES);
	LIST_FOR(it, &zs->all)
		zone_wake(CONTAINER_OF(it, struct zone, link));
	spin_unlock(&zs->lock);
}

/* --- giving back --- */

uint64_t zone_reclaim(struct zone *z)
{
	uint64_t n;

	caches_drain(z);
	n = slabs_shrink(&z->slabs, 0);
	zone_wake(z);
	return n;
}

uint64_t zones_drain(struct zones *zs)
{
	uint64_t n = 0;

	spin_lock(&zs->lock, RANK_ZONES);
	LIST_FOR(it, &zs->all)
		n += zone_reclaim(CONTAINER_OF(it, struct zone, link));
	spin_unlock(&zs->lock);
	n += slabs_shrink(&zs->magazines, 0) + slabs_shrink(&zs->small_magazines, 0) + slabs_shrink(&zs->descriptors, 0);
	zones_wake(zs);
	return n;
}

void zone_set_limit(struct zone *z, uint64_t objects)
{
	/* relaxed: whoever takes the slabs' lock later sees it in time; who waits is told by the queue's lock */
	atomic_store_relaxed(&z->slabs.limit, objects);
	zone_wake(z);
}

/* --- zones --- */

static void inner_init(struct slabs *s, struct frames *f, const char *name, size_t size, size_t align)
{
	__builtin_memset(s, 0, sizeof *s);
	s->frames = f;
	s->name = name;
	s->junk = true;
	s->keep = 1;
	ASSERT(slab_shape_init(&s->shape, size, align) == OK); /* sizes are fixed at compile time */
	slabs_init(s);
}

/* frames_fail_by was called: fast paths, which do not look, are closed or opened again. */
static void failures_told(void *arg)
{
	struct zones *zs = arg;

	spin_lock(&zs->lock, RANK_ZONES);
	LIST_FOR(it, &zs->all)
		caches_settle(CONTAINER_OF(it, struct zone, link));
	spin_unlock(&zs->lock);
}

void zones_init(struct zones *zs, struct frames *f)
{
	zs->frames = f;
	zs->ncpus = f->ncpus;
	zs->may_open = cpu_barrier_all_works();
	spin_init(&zs->lock);
	list_init(&zs->all);
	inner_init(&zs->magazines, f, "magazine", sizeof(struct magazine) + MAGAZINE_MAX * sizeof(void *), CACHE_LINE);
	inner_init(&zs->small_magazines, f, "small magazine", sizeof(struct magazine) + MAGAZINE_SMALL * sizeof(void *),
		   CACHE_LINE);
	/* An odd number of strides apart, so that a CPU's caches of many zones do not meet in a few sets of its first-level cache. */
	inner_init(&zs->descriptors, f, "zone",
		   (sizeof(struct zone) + zs->ncpus * sizeof(struct zone_cache)) | CPU_STRIDE, CPU_STRIDE);
	f->fail_told = failures_told;
	f->fail_told_arg = zs;
}

/* Empty slabs that a zone keeps in normal running: at most a 256th of a CPU's share of RAM, at least one. */
static uint32_t slabs_kept(const struct zone *z)
{
	uint64_t share = (z->slabs.frames->ram << PAGE_SHIFT) / z->zones->ncpus,
		 n = share / 256 / ((uint64_t)z->slabs.shape.frames << PAGE_SHIFT);

	return n > SLABS_KEPT_MAX ? SLABS_KEPT_MAX : n ? (uint32_t)n : 1;
}

struct zone *zone_create(struct zones *zs, const char *name, size_t size, size_t align, zone_object_fn *ctor,
			 zone_object_fn *dtor, unsigned flags)
{
	struct slab_shape shape;
	void *object = NULL;
	struct zone *z;

	ASSERT(size >= 1 && size <= ZONE_SIZE_MAX);
	ASSERT(!(flags & ZONE_TYPE_STABLE) || !dtor);
	if (align == 0)
		align = size >= 16 ? 16 : 8;
	ASSERT(slab_shape_init(&shape, size, align) == OK);
	if (!slabs_get(&zs->descriptors, &object, 1))
		return NULL;
	z = object;
	__builtin_memset(z, 0, sizeof *z + zs->ncpus * sizeof z->cache[0]);
	z->zones = zs;
	z->flags = flags;
	z->slabs.frames = zs->frames;
	z->slabs.name = name;
	z->slabs.shape = shape;
	z->slabs.ctor = ctor;
	z->slabs.dtor = dtor;
	z->slabs.by_epoch = flags & ZONE_TYPE_STABLE;
	z->slabs.junk = !ctor && !(flags & ZONE_TYPE_STABLE);
	slabs_init(&z->slabs);
	z->slabs.keep = slabs_kept(z);
	waitq_init(&z->wait);
	caches_init(z);
	spin_lock(&zs->lock, RANK_ZONES);
	list_append(&zs->all, &z->link);
	spin_unlock(&zs->lock);
	return z;
}

void zone_destroy(struct zone *z)
{
	struct zones *zs = z->zones;
	void *object = z;

	ASSERT(atomic_load_relaxed(&z->waiters) == 0); /* nobody uses it */
	spin_lock(&zs->lock, RANK_ZONES);
	list_remove(&z->link);
	spin_unlock(&zs->lock);
	zone_reclaim(z);
	if (z->slabs.count)
		panic("zone %s is destroyed while %lu objects are in use", z->slabs.name,
		      (unsigned long)slabs_out_locked(&z->slabs));
	slabs_put(&zs->descriptors, &object, 1);
}

/* --- asking --- */

void zone_stats(struct zone *z, struct zone_stats *s)
{
	const struct slab_shape *shape = &z->slabs.shape;
	uint64_t out;

	__builtin_memset(s, 0, sizeof *s);
	s->name = z->slabs.name;
	s->size = shape->size;
	s->cached = caches_count(z, &s->exchanges);
	spin_lock(&z->slabs.lock, RANK_ZONE);
	s->slabs = z->slabs.count;
	s->limit = atomic_load_relaxed(&z->slabs.limit); /* under its lock */
	out = slabs_out_locked(&z->slabs);
	spin_unlock(&z->slabs.lock);
	s->capacity = s->slabs * shape->objects;
	s->frames = s->slabs * shape->frames;
	s->waste = (s->frames << PAGE_SHIFT) - s->capacity * shape->size;
	s->in_use = out > s->cached ? out - s->cached : 0; /* caches move while we look */
	s->failures = atomic_load_relaxed(&z->failures);   /* a statistic */
}

void zones_for_each(struct zones *zs, void (*fn)(struct zone *z, void *arg), void *arg)
{
	spin_lock(&zs->lock, RANK_ZONES);
	LIST_FOR(it, &zs->all)
		fn(CONTAINER_OF(it, struct zone, link), arg);
	spin_unlock(&zs->lock);
}

struct zone *zone_of(struct zones *zs, const void *object)
{
	struct slabs *s = slabs_of(zs->frames, object);

	if (!s || s == &zs->magazines || s == &zs->small_magazines || s == &zs->descriptors)
		return NULL;
	return CONTAINER_OF(s, struct zone, slabs);
}

void zone_check(struct zone *z)
{
	spin_lock(&z->slabs.lock, RANK_ZONE);
	slabs_check_locked(&z->slabs);
	spin_unlock(&z->slabs.lock);
	caches_check(z);
}
