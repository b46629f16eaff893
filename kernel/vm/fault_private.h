/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault_private.h: what fault.c, fault_read.c and fault_around.c share: a fault under way. Theory: fault.c. */
#ifndef VM_FAULT_PRIVATE_H
#define VM_FAULT_PRIVATE_H

#include "vm/amap.h"
#include "vm/fault.h"
#include "vm/fault_ahead.h"
#include "vm/fault_block.h"

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
	struct fault_block block;     /* prepared, or asked for */
	struct range_hold hold;
	struct range_lock *held;      /* ours, or NULL */

	struct vm_entry *entry;
	uint32_t life;                /* entry's, when it was found */
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

/* Maps what follows a page that was read. The leaf lock is held. */
void fault_around_map(struct fault *f, struct pmap_leaf *leaf, bool exclusive);

/* The same if reads go on from page to page, by the sign of fault_around.c. */
static inline void fault_around(struct fault *f, struct pmap_leaf *leaf, bool exclusive)
{
	/* Not what is executed: a frame's bytes are made fetchable when it is, and others may write them until then. */
	if (f->va & (BLOCK_SIZE - 1) && !(f->entry->prot & PROT_X) &&
	    pmap_leaf_get(leaf, vaddr(f->va - PAGE_SIZE)).state == PMAP_VALID)
		fault_around_map(f, leaf, exclusive);
}

#endif
