/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/amap_private.h: what amap.c, amap_trim.c and fault_quick.c share. Theory: amap.c. */
#ifndef VM_AMAP_PRIVATE_H
#define VM_AMAP_PRIVATE_H

#include "base/bits.h"
#include "vm/amap.h"

static inline uint64_t node_span(const struct amap_node *n) { return UINT64_C(1) << (n->shift + AMAP_FANOUT_SHIFT); }
static inline bool node_covers(const struct amap_node *n, uint64_t va) { return (va - n->base) >> n->shift < AMAP_FANOUT; }
static inline unsigned slot_of(const struct amap_node *n, uint64_t va) { return (va >> n->shift) & (AMAP_FANOUT - 1); }

/* acquire: pairs with the release store that published what is in the slot */
static inline void *slot_get(const struct amap_node *n, unsigned i) { return atomic_load_acquire(&n->slot[i]); }
/* release: pairs with slot_get; what p leads to is complete. Locks: struct amap_node */
static inline void slot_put(struct amap_node *n, unsigned i, void *p)
{
	n->used = p ? n->used | BIT(i) : n->used & ~BIT(i);
	atomic_store_release(&n->slot[i], p);
}
_Static_assert(AMAP_FANOUT == 64, "a bit each in used");

/*
 * amap_find, but NULL also when others lead there, too. As long as amap_shape is what it was before, the amap leads
 * there still and alone: for who looks again under the leaf's lock.
 */
static inline struct amap_node *amap_find_own(const struct amap *a, uint64_t va)
{
	struct amap_node *n = atomic_load_acquire(&a->root); /* as in amap_find */

	if (!n || !node_covers(n, va))
		return NULL;
	while (n && LIKELY(ref_count(&n->refs) == 1)) {
		if (n->shift == PAGE_SHIFT)
			return n;
		n = slot_get(n, slot_of(n, va));
	}
	return NULL;
}

static inline uint32_t amap_shape(const struct amap *a)
{
	return atomic_load_acquire(&a->shape); /* pairs with amap_reshaped_locked: who sees its count sees the change */
}

/* A node at reference 1 with empty slots, level and base not set; NULL: no memory. */
struct amap_node *amap_node_alloc(struct vm *vm);
/* Drops a reference; the last one drops everything below. */
void amap_node_put(struct amap_node *n);

/* A node from the stock, for level and the window around va; NULL: the stock is empty. */
struct amap_node *amap_stock_take(struct amap_stock *s, uint32_t level, uint64_t va);

/* The tree has changed: who has found his way before looks again. */
static inline void amap_reshaped_locked(struct amap *a)
{
	/* release: after the change; pairs with amap_shape. relaxed: written under the lock */
	atomic_store_release(&a->shape, atomic_load_relaxed(&a->shape) + 1);
}

/* Leads the amap's root, or slot i of parent, to n. Both: a's lock is held. */
void amap_relink_locked(struct amap *a, struct amap_node *parent, unsigned i, struct amap_node *n);
/* Fills to, unpublished, with from's slots, one more reference each, and leads the amap to it in place of from. */
void amap_replace_locked(struct amap *a, struct amap_node *parent, unsigned i, struct amap_node *from,
			 struct amap_node *to);

#endif
