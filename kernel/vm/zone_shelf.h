/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_shelf.h: bundles of magazines on a CPU's shelf, where any CPU may take them. A slot is one word: it is emptied and filled
 * by compare-and-swap, and nobody follows what he read before it is his. For zone_cache.c, which has the theory, and
 * zone_cache_look.c. Context: c or own is the CPU's own cache, locked.
 */
#ifndef VM_ZONE_SHELF_H
#define VM_ZONE_SHELF_H

#include "vm/magazine.h"
#include "vm/zone_cache.h"

/* Added to a bundle's address on a shelf: it holds nothing. */
#define SHELF_EMPTY UINT64_C(1)
static inline bool shelf_laden(uintptr_t word) { return word && !(word & SHELF_EMPTY); }

static inline struct magazine *magazine_in(uintptr_t word) { return (struct magazine *)(word & ~SHELF_EMPTY); }

/* Empty magazines, what is loaded among them, to be left on a shelf; NULL: there are none. */
static inline struct magazine *spares(const struct zone *z, struct zone_cache *c)
{
	if (c->loaded) {
		c->loaded->count = 0;
		magazine_push(&c->empty, c->loaded);
		c->loaded = NULL;
	}
	return magazine_cut(&c->empty, z->bundle);
}

/* A bundle with objects from any shelf, our own first, for spares; NULL: none has one. Nothing in c is worth loading. */
static inline struct magazine *shelf_take(struct zone *z, struct zone_cache *own)
{
	size_t span = z->zones->ncpus * CPU_STRIDE, at = cpu_offset();
	struct magazine *spare = NULL;

	for (uint32_t n = z->zones->ncpus; n > 0; n--) {
		struct zone_cache *c = (struct zone_cache *)(void *)((char *)z->cache + at);

		for (uint32_t i = 0; i < z->shelf; i++) {
			uintptr_t left, word = atomic_load_relaxed(&c->shelf[i]); /* a glance */

			if (!shelf_laden(word))
				continue;
			spare = spare ? spare : spares(z, own);
			left = spare ? (uintptr_t)spare | SHELF_EMPTY : 0;
			/* acq_rel: pairs with shelf_put's both ways, for the magazines that come and those that go */
			if (atomic_cas_acq_rel(&c->shelf[i], &word, left))
				return magazine_in(word);
		}
		at = at + CPU_STRIDE == span ? 0 : at + CPU_STRIDE;
	}
	magazine_join(&own->empty, spare);
	return NULL;
}

/* A bundle with objects onto our own shelf; false: it is full. *empty: what lay there, empty ones or NULL. */
static inline bool shelf_put(struct zone *z, struct zone_cache *c, struct magazine *bundle, struct magazine **empty)
{
	for (uint32_t i = 0; i < z->shelf; i++) {
		uintptr_t word = atomic_load_relaxed(&c->shelf[i]); /* a glance */

		/* acq_rel: as in shelf_take */
		if (!shelf_laden(word) && atomic_cas_acq_rel(&c->shelf[i], &word, (uintptr_t)bundle)) {
			*empty = magazine_in(word);
			return true;
		}
	}
	return false;
}

/* What lies in a slot of a shelf, magazines with objects or without, is the caller's. */
static inline struct magazine *clear_slot(struct zone_cache *c, uint32_t i)
{
	/* acquire: pairs with the release sides of shelf_put and shelf_take */
	return magazine_in(atomic_swap_acquire(&c->shelf[i], (uintptr_t)0));
}

#endif
