/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault_private.h: what fault.c and fault_around.c share: a fault under way. Theory: fault.c. */
#ifndef VM_FAULT_PRIVATE_H
#define VM_FAULT_PRIVATE_H

#include "vm/amap.h"
#include "vm/fault.h"
#include "vm/fault_ahead.h"

/* One fault, over all its turns. Fields of the second group are of one turn. */
struct fault {
	struct vm *vm;
	struct vm_map *map;
	uint64_t va;                  /* page aligned */
	enum prot access;
	struct pmap_stock tables;     /* prepared for pmap */
	struct amap_stock nodes;      /* prepared for the amap */
	struct anon *spare;           /* a new anon with its frame, not in any slot yet */
	bool spare_zero;              /* its frame is all zeros */
	struct range_hold hold;
	bool held;                    /* the range lock is ours */

	struct vm_entry *entry;
	struct amap_node *leaf;       /* NULL: the amap has none here */
	bool exclusive;
	struct anon *anon;            /* in the slot, or NULL */
	struct vm_object *wanted;     /* out: has to bring in a page; a reference is held */
	uint64_t index;
};

/* What a fault counts on; the leaf's node and table locks are held when it is looked at. */
struct found {
	const struct fault *f;
	struct anon *anon;           /* the slot must hold it; NULL: must be empty */
	const struct vm_page *page;  /* the object must hold it, unless NULL */
	uint64_t index;              /* where */
};

/* The last check. Not asked for an anon: it keeps its frame as long as its slot, and nobody takes it out before our locks. */
static inline bool fault_page_backed(void *arg)
{
	const struct found *l = arg;

	return object_page_is(l->page, l->f->entry->object, l->index);
}

/* Maps what follows a page that was read, if reads go on from page to page. Locks held, holds found: no slot changes. */
void fault_around(struct fault *f, struct pmap_leaf *leaf, bool exclusive);

#endif
