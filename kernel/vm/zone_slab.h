/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_slab.h: slabs: runs of frames cut into objects of one size. The
 * inner half of a zone; used by zone_cache.c and zone.c alone. Theory: zone_slab.c.
 *
 * Locks: _locked functions want slabs.lock held, the others not.
 * Context: as vm/zone.h.
 */
#ifndef VM_ZONE_SLAB_H
#define VM_ZONE_SLAB_H

#include "vm/frame.h"

#define SLAB_NONE UINT32_MAX
#define SLAB_ORDER_MAX 5u
#define SLAB_FRAMES_MAX (1u << SLAB_ORDER_MAX)

/* Behind each object of checked builds: zone_guard.h. */
#define SLAB_GUARD_SIZE (STRATA_CHECKED ? 16u : 0u)

/* Runs once for each object when its slab is made / when the slab goes back to the frames. */
typedef void slab_object_fn(void *object);

/* How slabs are cut. */
struct slab_shape {
	uint32_t size;    /* bytes the caller asked for */
	uint32_t stride;  /* bytes from one object to the next, guard included */
	uint32_t objects; /* a slab */
	uint32_t groups;  /* of 64 objects, each with a word at the slab's end; 0: the page's word does */
	uint32_t frames;  /* a slab */
	uint32_t order;   /* of the block that they are cut from */
};

/* The slabs of one zone. l: guarded by lock; x: any CPU, relaxed; else fixed after slabs_init */
struct slabs {
	struct frames *frames;
	const char *name; /* the zone's, for messages */
	struct slab_shape shape;
	slab_object_fn *ctor, *dtor;
	bool by_epoch; /* slabs go back to the frames after a grace period */
	bool junk;     /* checked builds overwrite freed objects */
	uint32_t keep; /* empty slabs that are kept in normal running */

	struct spinlock lock ALIGNED(CACHE_LINE); /* RANK_ZONE */
	uint32_t partial, full, empty; /* l: lists of slabs by fill: frame index of the first, or SLAB_NONE */
	uint64_t count;                /* l: slabs on the three lists */
	uint64_t empties;              /* l: of those, on the empty list */
	uint64_t free;                 /* l: free objects in all of them */
	ATOMIC(uint64_t) limit;        /* x: objects that may be out of the slabs; SLABS_UNLIMITED */
} ALIGNED(CACHE_LINE);

#define SLABS_UNLIMITED UINT64_MAX

/*
 * size: bytes; align: power of two up to PAGE_SIZE.
 * ERR_INVAL: the size does not fit the largest slab.
 */
enum error slab_shape_init(struct slab_shape *s, size_t size, size_t align) MUST_CHECK;

/* frames, name, shape, functions and keep are filled in already; the rest becomes empty and unlimited. */
void slabs_init(struct slabs *s);

/* One more empty slab; false when there are no frames, or when the limit is reached: more would be of no use. */
bool slabs_grow(struct slabs *s);

/* Gives empty slabs beyond the first keep back to the frames. Returns how many. */
uint64_t slabs_shrink(struct slabs *s, uint64_t keep);

/* Up to n free objects, fewer when every slab is full or the limit is reached. Partial slabs first. Returns how many. */
uint32_t slabs_get_locked(struct slabs *s, void **objects, uint32_t n);

/* n objects that slabs_get_locked gave out come back. */
void slabs_put_locked(struct slabs *s, void **objects, uint32_t n);

/* The same with the lock taken, slabs made while there are none, and those given back that are too many. */
uint32_t slabs_get(struct slabs *s, void **objects, uint32_t n);
void slabs_put(struct slabs *s, void **objects, uint32_t n);

/* Objects that are out of the slabs. */
static inline uint64_t slabs_out_locked(const struct slabs *s) { return s->count * s->shape.objects - s->free; }

/* Whose slab an address lies in, or NULL. Any address. */
struct slabs *slabs_of(struct frames *f, const void *object);

/* The slab's start of an object of these slabs, and the object's number. */
char *slab_start(const struct slabs *s, const void *object, uint32_t *number);

/* Panics unless the lists and the slabs on them agree. */
void slabs_check_locked(struct slabs *s);

#endif
