/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault_block.h: a first write that makes 2 MiB at once. Theory: fault_block.c. */
#ifndef VM_FAULT_BLOCK_H
#define VM_FAULT_BLOCK_H

#include "vm/amap.h"
#include "vm/entry.h"
#include "vm/map.h"

/* Of a fault: a block of frames with all that it takes to have it in an amap. */
struct fault_block {
	struct amap_node *node[AMAP_BLOCK_NODES];
	pfn_t frame;      /* the first; each is its anon's */
	uint32_t nodes;   /* how many of them are there: all, or none; or, if it is refused, what has to be dropped */
	bool missing;     /* out: fault_block needs it */
	bool refused;     /* no second try: pages one by one */
};

/*
 * Whether a first write at va shall bring a block, as far as map and entry say: the policy, an entry of private memory without contents of its own, which
 * covers all of the block, may be written and not executed, and is no stack.
 */
static inline bool fault_block_wanted(const struct vm_map *m, const struct vm_entry *e, uint64_t va)
{
	uint64_t start = round_down(va, BLOCK_SIZE);

	if (LIKELY(!(m->huge >> e->huge & 1)))
		return false;
	return e->amap && !e->object && !e->grows_down && (e->prot & (PROT_W | PROT_X)) == PROT_W && e->range.start.va <= start &&
	       start + BLOCK_SIZE <= e->range.end.va;
}

/* Whether nothing is there yet, at a glance. Inside an epoch section. */
static inline bool fault_block_room(struct vm_map *m, const struct vm_entry *e, uint64_t va)
{
	return amap_block_room(e->amap, va) && pmap_block_room(&m->pmap, vaddr(va));
}

struct fault;

/*
 * Steps 2 to 6 of fault.c for the block around f->va, where fault_block_wanted. Inside the turn's epoch section. => OK: it is there; ERR_EXISTS: not here, there is
 * something already; ERR_STOCK: with f->block.missing, or what pmap_leaf_lock and amap_own_path lack; ERR_STALE, ERR_BUSY: take another turn.
 */
enum error fault_block(struct fault *f) MUST_CHECK;

/* Makes the block, of zeros; without memory for it it is refused, and what is there to be dropped. Outside any section, may search for memory. */
void fault_block_make(struct vm *vm, uint64_t va, struct fault_block *b);
/* Gives back what has not been used. */
void fault_block_put(struct fault_block *b);
static inline void fault_block_drop(struct fault_block *b)
{
	if (UNLIKELY(b->nodes > 0))
		fault_block_put(b);
}
/* Pages one by one from now on: what has been made goes back. => whether there was something. */
bool fault_block_refuse(struct fault_block *b);

#endif
