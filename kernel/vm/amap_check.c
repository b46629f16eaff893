/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/amap_check.c: the invariants of amap.c, at a quiet point: nobody else uses the tree. */
#include "base/assert.h"
#include "vm/amap_private.h"

static uint64_t check_below(const struct amap_node *n)
{
	uint64_t anons = 0;

	ASSERT(ref_count(&n->refs) > 0 && n->level < AMAP_LEVELS);
	ASSERT((n->base & (node_span(n) - 1)) == 0);
	for (unsigned k = 0; k < AMAP_FANOUT; k++)
		ASSERT(!slot_get(n, k) == !(n->used & BIT(k)));
	for (unsigned k = 0; k < AMAP_FANOUT; k++) {
		void *p = slot_get(n, k);

		if (p && n->level > 0) {
			struct amap_node *c = p;

			ASSERT(c->level == n->level - 1 && c->base == n->base + k * node_span(c));
			anons += check_below(c);
		} else if (p) {
			ASSERT(ref_count(&((struct anon *)p)->refs) > 0 && !pfn_is_none(anon_frame(p)));
			anons++;
		}
	}
	return anons;
}

uint64_t amap_check(const struct amap *a)
{
	const struct amap_node *root = atomic_load_acquire(&a->root); /* quiet point */

	return root ? check_below(root) : 0;
}
