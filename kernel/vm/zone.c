/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone.c: objects of one type, through per-CPU magazines.
 *
 * Purpose. An object for a fault in a dozen instructions that write no line of
 * another CPU.
 *
 * Structure. A magazine is a stack of object pointers. Each CPU has two; whole
 * magazines are exchanged with the zone's depot; what no magazine holds is in the
 * slabs.
 *
 *	zone_alloc/free -> cache[cpu]:  loaded    previous     own CPU, in its gate
 *	                                   ^   swap   ^
 *	                                   | whole magazines
 *	                 zone:  depot  full -> full    empty    zone's lock
 *	                                   | objects
 *	                        slabs (zone_slab.c)             zone's lock
 *	                                   | blocks of frames
 *	                        frames
 *
 * With two magazines a CPU that allocates and frees in turn around a boundary
 * goes to the depot once in `rounds` operations at worst.
 *
 * Size of the caches. A CPU's share is RAM / CPUs. Two magazines of one zone hold
 * at most a 1024th of the share, and MAGAZINE_MAX objects each; where that is less
 * than one object, the zone has no magazines. The depot keeps as many full magazines as there are CPUs.
 * With 64 MiB and 64 CPUs: 8 objects of 64 bytes a magazine, and none for zones above 512.
 *
 * Invariants (zone_check, slabs_check_locked).
 *	1. An object is out, in one magazine, or free in its slab.
 *	2. Magazines on `full` hold rounds objects, those on `empty` none.
 *	3. full_count = length of `full` <= depot_max.
 *
 * Locking. Gate of the CPU's cache (RANK_ZONE_CACHE), inside it the zone's lock
 * (RANK_ZONE), which covers depot and slab lists; frames come and go inside the
 * gate, outside the lock. Magazines themselves are objects of slabs without a
 * cache. The list of zones: RANK_ZONES, outside all these.
 *
 * Memory order. An object passes from who freed it to who allocates it by the
 * same gate, by magazine under the lock, or by slab under the lock. `failures`
 * is a relaxed statistic.
 *
 * Failure. NULL, counted, only after the magazines of all CPUs were looked at. No
 * magazine to be had: the object goes to its slab at once.
 *
 * Source: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001).
 */
#include "vm/zone.h"

#define SLABS_KEPT 1 /* empty slabs that a zone keeps in normal running */

static void swap_magazines(struct zone_cache *c)
{
	struct magazine *m = c->loaded;

	c->loaded = c->previous;
	c->previous = m;
}

/* --- slabs, one object at a time --- */

static NOINLINE void *from_slabs(struct slabs *s)
{
	void *object;

	do {
		spin_lock(&s->lock, RANK_ZONE);
		object = slabs_get_locked(s);
		spin_unlock(&s->lock);
		/* again when it grew: others may take all objects of the new slab first, and are then better off */
	} while (!object && slabs_grow(s));
	return object;
}

static NOINLINE void to_slabs(struct slabs *s, void *object)
{
	bool shrink;

	spin_lock(&s->lock, RANK_ZONE);
	slabs_put_locked(s, object);
	shrink = s->empties > SLABS_KEPT;
	spin_unlock(&s->lock);
	if (shrink)
		slabs_shrink(s, SLABS_KEPT);
}

static struct magazine *magazine_make(struct zones *zs)
{
	struct magazine *m = from_slabs(&zs->magazines);

	if (m) {
		m->next = NULL;
		m->count = 0;
	}
	return m;
}

/* The objects of a magazine go back to their slabs. => empty */
static void unload_locked(struct zone *z, struct magazine *m)
{
	while (m->count > 0)
		slabs_put_locked(&z->slabs, m->round[--m->count]);
}

static struct magazine *depot_pop_locked(struct magazine **list)
{
	struct magazine *m = *list;

	if (m)
		*list = m->next;
	return m;
}

static void depot_push_locked(struct magazine **list, struct magazine *m)
{
	m->next = *list;
	*list = m;
}

/* --- allocation --- */

/* Half a magazine, at least one object, from slabs that exist. */
static void load_locked(struct zone *z, struct magazine *m)
{
	while (m->count <= z->rounds / 2) {
		void *object = slabs_get_locked(&z->slabs);

		if (!object)
			return;
		m->round[m->count++] = object;
	}
}

/* In the gate; loaded has nothing. An object, or NULL when there are no frames. */
static NOINLINE void *alloc_slow(struct zone *z, struct zone_cache *c)
{
	if (c->previous && c->previous->count) {
		swap_magazines(c);
		return c->loaded->round[--c->loaded->count];
	}
	if (!c->loaded)
		c->loaded = magazine_make(z->zones); /* or not: then one object at a time */
	do {
		struct magazine *full;
		void *object = NULL;

		spin_lock(&z->slabs.lock, RANK_ZONE);
		full = depot_pop_locked(&z->full);
		if (full) {
			z->full_count--;
			if (c->previous)
				depot_push_locked(&z->empty, c->previous);
			c->previous = c->loaded;
			c->loaded = full;
		} else if (c->loaded) {
			load_locked(z, c->loaded);
		} else {
			object = slabs_get_locked(&z->slabs);
		}
		spin_unlock(&z->slabs.lock);
		if (object)
			return object;
		if (c->loaded && c->loaded->count)
			return c->loaded->round[--c->loaded->count];
	} while (slabs_grow(&z->slabs)); /* as in from_slabs */
	return NULL;
}

/* No frames: an object that some CPU keeps in a magazine. Outside our own gate. */
static NOINLINE void *alloc_from_others(struct zone *z)
{
	void *object = NULL;

	for (uint32_t i = 1; i <= z->zones->ncpus && !object; i++) {
		struct zone_cache *c = &z->cache[(cpu_id() + i) % z->zones->ncpus];

		gate_visit(&c->gate, RANK_ZONE_CACHE);
		if (c->loaded && c->loaded->count)
			object = c->loaded->round[--c->loaded->count];
		else if (c->previous && c->previous->count)
			object = c->previous->round[--c->previous->count];
		gate_visit_end(&c->gate);
	}
	return object;
}

static void *alloc_cached(struct zone *z)
{
	struct zone_cache *c = &z->cache[cpu_id()];
	void *object;

	ASSERT_CHECKED(cpu_id() < z->zones->ncpus);
	gate_enter(&c->gate, RANK_ZONE_CACHE);
	if (LIKELY(c->loaded && c->loaded->count))
		object = c->loaded->round[--c->loaded->count];
	else
		object = alloc_slow(z, c);
	gate_leave(&c->gate);
	if (UNLIKELY(!object))
		object = alloc_from_others(z);
	return object;
}

void *zone_alloc(struct zone *z)
{
	const struct frames *f = z->slabs.frames;
	void *object = NULL;

	if (LIKELY(!frames_may_fail(f)) || !frames_must_fail(f))
		object = LIKELY(z->rounds) ? alloc_cached(z) : from_slabs(&z->slabs);
	if (UNLIKELY(!object)) {
		atomic_add_relaxed(&z->failures, UINT64_C(1)); /* a statistic */
		return NULL;
	}
	if (STRATA_CHECKED)
		slab_object_out(&z->slabs, object);
	return object;
}

/* --- freeing --- */

/* In the gate; loaded is full or missing. */
static NOINLINE void free_slow(struct zone *z, struct zone_cache *c, void *object)
{
	struct magazine *empty;
	bool shrink;

	if (c->previous && c->previous->count < z->rounds) {
		swap_magazines(c);
		c->loaded->round[c->loaded->count++] = object;
		return;
	}
	spin_lock(&z->slabs.lock, RANK_ZONE);
	empty = depot_pop_locked(&z->empty);
	if (!empty && !(c->previous && z->full_count >= z->depot_max)) {
		spin_unlock(&z->slabs.lock);
		empty = magazine_make(z->zones);
		spin_lock(&z->slabs.lock, RANK_ZONE);
	}
	/* Here previous is full or missing, and empty may still be missing. */
	if (c->previous && (!empty || z->full_count >= z->depot_max)) {
		unload_locked(z, c->previous);
		if (empty)
			depot_push_locked(&z->empty, empty);
		empty = c->previous;
		c->previous = NULL;
	}
	if (c->previous) {
		depot_push_locked(&z->full, c->previous);
		z->full_count++;
	}
	if (empty) {
		c->previous = c->loaded;
		c->loaded = empty;
		empty->round[empty->count++] = object;
	} else {
		slabs_put_locked(&z->slabs, object);
	}
	shrink = z->slabs.empties > SLABS_KEPT;
	spin_unlock(&z->slabs.lock);
	if (shrink)
		slabs_shrink(&z->slabs, SLABS_KEPT);
}

void zone_free(struct zone *z, void *object)
{
	struct zone_cache *c;

	if (STRATA_CHECKED)
		slab_object_back(&z->slabs, object);
	if (UNLIKELY(z->rounds == 0)) {
		to_slabs(&z->slabs, object);
		return;
	}
	c = &z->cache[cpu_id()];
	ASSERT_CHECKED(cpu_id() < z->zones->ncpus);
	gate_enter(&c->gate, RANK_ZONE_CACHE);
	if (LIKELY(c->loaded && c->loaded->count < z->rounds))
		c->loaded->round[c->loaded->count++] = object;
	else
		free_slow(z, c, object);
	gate_leave(&c->gate);
}

/* --- giving back --- */

/* Unloads a list of magazines, and gives them back too. */
static void dispose(struct zone *z, struct magazine *m)
{
	while (m) {
		struct magazine *next = m->next;

		spin_lock(&z->slabs.lock, RANK_ZONE);
		unload_locked(z, m);
		spin_unlock(&z->slabs.lock);
		to_slabs(&z->zones->magazines, m);
		m = next;
	}
}

uint64_t zone_reclaim(struct zone *z)
{
	struct magazine *full, *empty;

	for (uint32_t i = 0; z->rounds && i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];
		struct magazine *loaded, *previous;

		gate_visit(&c->gate, RANK_ZONE_CACHE);
		loaded = c->loaded;
		previous = c->previous;
		c->loaded = c->previous = NULL;
		gate_visit_end(&c->gate);
		if (loaded)
			loaded->next = NULL;
		if (previous)
			previous->next = NULL;
		dispose(z, loaded);
		dispose(z, previous);
	}
	spin_lock(&z->slabs.lock, RANK_ZONE);
	full = z->full;
	empty = z->empty;
	z->full = z->empty = NULL;
	z->full_count = 0;
	spin_unlock(&z->slabs.lock);
	dispose(z, full);
	dispose(z, empty);
	return slabs_shrink(&z->slabs, 0);
}

uint64_t zones_drain(struct zones *zs)
{
	uint64_t n = 0;

	spin_lock(&zs->lock, RANK_ZONES);
	LIST_FOR(it, &zs->all)
		n += zone_reclaim(CONTAINER_OF(it, struct zone, link));
	spin_unlock(&zs->lock);
	return n + slabs_shrink(&zs->magazines, 0) + slabs_shrink(&zs->descriptors, 0);
}

/* --- zones --- */

static void inner_init(struct slabs *s, struct frames *f, const char *name, size_t size)
{
	__builtin_memset(s, 0, sizeof *s);
	s->frames = f;
	s->name = name;
	s->junk = true;
	ASSERT(slab_shape_init(&s->shape, size, CACHE_LINE) == OK); /* sizes are fixed at compile time */
	slabs_init(s);
}

void zones_init(struct zones *zs, struct frames *f)
{
	zs->frames = f;
	zs->ncpus = f->ncpus;
	spin_init(&zs->lock);
	list_init(&zs->all);
	inner_init(&zs->magazines, f, "magazine", sizeof(struct magazine));
	inner_init(&zs->descriptors, f, "zone", sizeof(struct zone) + zs->ncpus * sizeof(struct zone_cache));
}

/* See "Size of the caches" above. */
static uint32_t magazine_rounds(const struct zone *z)
{
	uint64_t share = (z->slabs.frames->ram << PAGE_SHIFT) / z->zones->ncpus,
		 n = share / 2048 / z->slabs.shape.stride;

	if (z->flags & ZONE_NO_CACHE)
		return 0;
	if (STRATA_CHECKED >= 2 && n > 3)
		n = 3; /* the paths to depot and slabs become everyday */
	return n > MAGAZINE_MAX ? MAGAZINE_MAX : (uint32_t)n;
}

struct zone *zone_create(struct zones *zs, const char *name, size_t size, size_t align, zone_object_fn *ctor,
			 zone_object_fn *dtor, unsigned flags)
{
	struct slab_shape shape;
	struct zone *z;

	ASSERT(size >= 1 && size <= ZONE_SIZE_MAX);
	ASSERT(!(flags & ZONE_TYPE_STABLE) || !dtor);
	if (align == 0)
		align = size >= 16 ? 16 : 8;
	ASSERT(slab_shape_init(&shape, size, align) == OK);
	z = from_slabs(&zs->descriptors);
	if (!z)
		return NULL;
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
	z->rounds = magazine_rounds(z);
	z->depot_max = zs->ncpus;
	for (uint32_t i = 0; i < zs->ncpus; i++)
		gate_init(&z->cache[i].gate);
	spin_lock(&zs->lock, RANK_ZONES);
	list_append(&zs->all, &z->link);
	spin_unlock(&zs->lock);
	return z;
}

void zone_destroy(struct zone *z)
{
	struct zones *zs = z->zones;

	spin_lock(&zs->lock, RANK_ZONES);
	list_remove(&z->link);
	spin_unlock(&zs->lock);
	zone_reclaim(z);
	if (z->slabs.count)
		panic("zone %s is destroyed while %lu objects are in use", z->slabs.name,
		      (unsigned long)(z->slabs.count * z->slabs.shape.objects - z->slabs.free));
	to_slabs(&zs->descriptors, z);
}

/* --- asking --- */

void zone_stats(struct zone *z, struct zone_stats *s)
{
	uint64_t out;

	__builtin_memset(s, 0, sizeof *s);
	s->name = z->slabs.name;
	s->size = z->slabs.shape.size;
	for (uint32_t i = 0; z->rounds && i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];

		gate_visit(&c->gate, RANK_ZONE_CACHE);
		s->cached += (c->loaded ? c->loaded->count : 0) + (c->previous ? c->previous->count : 0);
		gate_visit_end(&c->gate);
	}
	spin_lock(&z->slabs.lock, RANK_ZONE);
	s->cached += (uint64_t)z->full_count * z->rounds;
	s->slabs = z->slabs.count;
	out = z->slabs.count * z->slabs.shape.objects - z->slabs.free;
	spin_unlock(&z->slabs.lock);
	s->frames = s->slabs << z->slabs.shape.order;
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

	if (!s || s == &zs->magazines || s == &zs->descriptors)
		return NULL;
	return CONTAINER_OF(s, struct zone, slabs);
}

void zone_check(struct zone *z)
{
	uint32_t n = 0;

	spin_lock(&z->slabs.lock, RANK_ZONE);
	slabs_check_locked(&z->slabs);
	for (struct magazine *m = z->full; m; m = m->next, n++)
		if (m->count != z->rounds)
			panic("zone %s: a full magazine holds %lu of %u objects", z->slabs.name,
			      (unsigned long)m->count, z->rounds);
	for (struct magazine *m = z->empty; m; m = m->next)
		if (m->count)
			panic("zone %s: an empty magazine holds %lu objects", z->slabs.name, (unsigned long)m->count);
	if (n != z->full_count || n > z->depot_max)
		panic("zone %s: the depot counts %u full magazines, holds %u, may hold %u", z->slabs.name,
		      z->full_count, n, z->depot_max);
	spin_unlock(&z->slabs.lock);
}
