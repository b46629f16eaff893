/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_slab.h: slabs: blocks of frames cut into objects of one size. The
 * inner half of a zone; used by zone.c alone. Theory: zone_slab.c.
 *
 * Locks: _locked functions want slabs.lock held, the others not.
 * Context: as vm/zone.h.
 */
#ifndef VM_ZONE_SLAB_H
#define VM_ZONE_SLAB_H

#include "vm/frame.h"

#define SLAB_NONE UINT32_MAX
#define SLAB_ORDER_MAX 5u

/* Runs once for each object when its slab is made / when the slab goes back to the frames. */
typedef void slab_object_fn(void *object);

/* How slabs are cut. */
struct slab_shape {
	uint32_t size;    /* bytes the caller asked for */
	uint32_t stride;  /* bytes from one object to the next, guard word included */
	uint32_t objects; /* a slab */
	uint32_t groups;  /* of 64 objects, each with a word at the slab's end; 0: the page's word does */
	uint32_t order;   /* of the block of frames */
};

/* The slabs of one zone. l: guarded by lock; else fixed after slabs_init */
struct slabs {
	struct frames *frames;
	const char *name; /* the zone's, for messages */
	struct slab_shape shape;
	slab_object_fn *ctor, *dtor;
	bool by_epoch; /* slabs go back to the frames after a grace period */
	bool junk;     /* checked builds overwrite freed objects */

	struct spinlock lock ALIGNED(CACHE_LINE); /* RANK_ZONE */
	uint32_t partial, full, empty; /* l: lists of slabs by fill: frame index of the first, or SLAB_NONE */
	uint64_t count;                /* l: slabs on the three lists */
	uint64_t empties;              /* l: of those, on the empty list */
	uint64_t free;                 /* l: free objects in all of them */
} ALIGNED(CACHE_LINE);

/*
 * size: bytes; align: power of two up to PAGE_SIZE.
 * ERR_INVAL: the size does not fit the largest slab.
 */
enum error slab_shape_init(struct slab_shape *s, size_t size, size_t align) MUST_CHECK;

/* frames, name, shape and functions are filled in already; the rest becomes empty. */
void slabs_init(struct slabs *s);

/* One more empty slab; false when there are no frames. */
bool slabs_grow(struct slabs *s);

/* Gives empty slabs beyond the first keep back to the frames. Returns how many. */
uint64_t slabs_shrink(struct slabs *s, uint64_t keep);

/* A free object, or NULL when every slab is full. Partial slabs first. */
void *slabs_get_locked(struct slabs *s);

/* An object that slabs_get_locked gave out comes back. */
void slabs_put_locked(struct slabs *s, void *object);

/*
 * Checked builds only: an object goes to / comes from the zone's user. Panics when the object is none of these
 * slabs', is free already, or was written past its end. The object is the caller's; no lock.
 */
void slab_object_out(struct slabs *s, void *object);
void slab_object_back(struct slabs *s, void *object);

/* Whose slab an address lies in, or NULL. */
struct slabs *slabs_of(struct frames *f, const void *object);

/* Panics unless the lists and the slabs on them agree. */
void slabs_check_locked(struct slabs *s);

#endif
