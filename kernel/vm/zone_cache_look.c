/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/zone_cache_look.c: what a zone's caches hold, and whether they are what zone_cache.c says that they are. */
#include "vm/zone_shelf.h"

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
		n += cache_loaded(c) + count_list(c->full);
		*exchanges += atomic_load_relaxed(&c->exchanges); /* a statistic */
		spin_unlock(&c->lock);
		/* relaxed: nobody looks into a bundle, but all are alike */
		for (uint32_t k = 0; k < z->shelf; k++)
			n += shelf_laden(atomic_load_relaxed(&c->shelf[k])) ? z->rounds * z->bundle : 0;
	}
	return n;
}

static void check_list(const struct zone *z, const struct magazine *m, uint32_t count, uint32_t deepest)
{
	for (; m; m = m->next) {
		if (m->count > count || m->count < (m->next ? count : deepest))
			panic("zone %s: a magazine of %u objects is on the wrong list", z->slabs.name, m->count);
		if (m->depth != (m->next ? m->next->depth : 0) + 1)
			panic("zone %s: a list of magazines is miscounted", z->slabs.name);
	}
}

static void check_slot(const struct zone *z, uintptr_t word)
{
	struct magazine *m = (struct magazine *)(word & ~SHELF_EMPTY);
	uint32_t n = 0, count = shelf_laden(word) ? z->rounds : 0;

	for (; m; m = m->next, n++)
		if (m->count != count)
			panic("zone %s: a magazine of %u objects is on a shelf", z->slabs.name, m->count);
	if (shelf_laden(word) ? n != z->bundle : n > z->bundle)
		panic("zone %s: %u magazines are in a bundle", z->slabs.name, n);
}

void caches_check(struct zone *z)
{
	for (uint32_t i = 0; i < z->zones->ncpus; i++) {
		struct zone_cache *c = &z->cache[i];
		void **low = atomic_load_relaxed(&c->low), **high = atomic_load_relaxed(&c->high); /* a quiet point */

		check_list(z, c->full, z->rounds, 1);
		check_list(z, c->empty, 0, 0);
		for (uint32_t k = 0; k < z->shelf; k++)
			check_slot(z, atomic_load_relaxed(&c->shelf[k])); /* a quiet point */
		if ((cache_top(c) != NULL) != (c->loaded != NULL) || cache_loaded(c) > z->rounds)
			panic("zone %s: CPU %u's magazine holds %u of %u objects", z->slabs.name, i, cache_loaded(c),
			      z->rounds);
		if (!c->loaded && c->empty)
			panic("zone %s: CPU %u has nothing loaded, but an empty magazine", z->slabs.name, i);
		if ((low == CACHE_CLOSED_LOW) != (high == CACHE_CLOSED_HIGH) ||
		    (high && (low != c->loaded->round || high != low + z->rounds)))
			panic("zone %s: CPU %u's cache is neither open nor closed", z->slabs.name, i);
		/* a search may have brought a bundle back from the shelf */
		if (magazine_depth(c->full) > (z->keep > z->bundle ? z->keep : z->bundle) || magazine_depth(c->empty) > z->keep)
			panic("zone %s: CPU %u keeps too many magazines", z->slabs.name, i);
		if (atomic_load_relaxed(&c->inside)) /* a quiet point */
			panic("zone %s: CPU %u is inside", z->slabs.name, i);
	}
}
