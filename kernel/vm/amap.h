/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/amap.h: the private pages of map entries: a tree of anons that address
 * spaces share until one of them writes. Theory and protocol: amap.c.
 */
#ifndef VM_AMAP_H
#define VM_AMAP_H

#include "base/error.h"
#include "base/types.h"
#include "vm/anon.h"

#define AMAP_FANOUT_SHIFT 6
#define AMAP_FANOUT (1u << AMAP_FANOUT_SHIFT)
#define AMAP_LEVELS 6 /* 64^6 pages of 4 KiB: all of a 48-bit space */

/* n: guarded by lock in leaf nodes, by the amap's lock above them; readers without a lock check again under it */
struct amap_node {
	struct refcount refs;          /* nodes and amaps that lead here */
	struct spinlock lock;          /* RANK_NODE: a leaf's slots */
	uint16_t level;                /* constant; 0: slots hold anons */
	uint16_t shift;                /* constant: of an address, to its slot's index; log2 of what a slot spans */
	uint64_t base;                 /* constant; first address, aligned to the node's span */
	uint64_t used;                 /* n: bit i: slot i is not NULL; not for readers without a lock */
	ATOMIC(void *) slot[AMAP_FANOUT]; /* n: struct amap_node * or struct anon *; release stores, acquire loads */
	struct vm *vm;
	uint64_t dead;                 /* of a leaf that waits for its grace period: bit i: so does slot i's anon */
	struct epoch_item retire;
};

/* a: guarded by lock */
struct amap {
	struct vm *vm;
	struct refcount refs;          /* entries of one map that use it */
	struct spinlock lock;          /* RANK_AMAP: root and the shape of exclusive nodes above the leaves */
	ATOMIC(struct amap_node *) root; /* a: seq_cst, acquire by readers; NULL: nothing written yet */
	ATOMIC(uint32_t) zeros;        /* set once: the zero page has been mapped for it; seq_cst, see amap_untouched */
	ATOMIC(uint32_t) shape;        /* a: one more after every change of root, ways down or who shares them; release, acquire */
	ATOMIC(uint32_t) untrimmed;    /* set once: holds anons that no entry covers; never merged with others */
	struct amap *forked;           /* only while fork holds the whole map: the child's copy */
	struct epoch_item retire;
};

/* Nodes prepared by the caller, so that no structural step can fail half-way. */
#define AMAP_STOCK_MAX (4 * AMAP_LEVELS)
struct amap_stock {
	struct amap_node *node[AMAP_STOCK_MAX];
	uint32_t count;
	uint32_t missing; /* out, with amap_own_path's ERR_STOCK: how many it takes, or some of them */
};
/* Fills up to n nodes. ERR_NOMEM: some may be there. */
enum error amap_stock_fill(struct vm *vm, struct amap_stock *s, uint32_t n) MUST_CHECK;
void amap_stock_empty(struct vm *vm, struct amap_stock *s);

/* An empty amap with one reference, or NULL. */
struct amap *amap_new(struct vm *vm);
void amap_reference(struct amap *a);
/*
 * True when nothing was ever mapped for it, but perhaps for entries that have an object besides. For who has killed the only entry that
 * uses it: a fault sets root or zeros, seq_cst, before its seq_cst look whether the entry lives; so one of the two sees the other.
 */
static inline bool amap_untouched(const struct amap *a) { return !atomic_load_seq_cst(&a->root) && !atomic_load_seq_cst(&a->zeros); }
/* Before the zero page is mapped for it. */
static inline void amap_note_zeros(struct amap *a)
{
	if (!atomic_load_acquire(&a->zeros)) /* acquire: who finds it set looks at its entry after who set it could have */
		atomic_store_seq_cst(&a->zeros, 1u);
}
/* The last reference drops the whole tree: its pages are unmapped and flushed already. No spinlock held. */
void amap_release(struct amap *a);
/* The same where no fault of its map is under way and none comes any more: the amap itself goes at once. */
void amap_end(struct amap *a);

/*
 * The leaf node for va and whether this amap alone leads to it (every node on
 * the path at reference 1). NULL: none. Inside an epoch section.
 */
struct amap_node *amap_find(const struct amap *a, uint64_t va, bool *exclusive);

static inline unsigned amap_index(uint64_t va) { return (va >> PAGE_SHIFT) & (AMAP_FANOUT - 1); }

/* The anon at va in a leaf, or NULL. Epoch section or leaf lock. */
static inline struct anon *amap_slot(const struct amap_node *leaf, uint64_t va)
{
	return atomic_load_acquire(&leaf->slot[amap_index(va)]); /* pairs with the release store that published it */
}
/* Sets it; references are the caller's business. Leaf lock held. */
void amap_slot_set_locked(struct amap_node *leaf, uint64_t va, struct anon *anon);

/*
 * Makes the path to va exist and be exclusive: links missing nodes, copies
 * shared ones. Inside an epoch section, no spinlock of RANK_AMAP or above held.
 * => ERR_STOCK: needs more nodes; what was done stays and is right. ERR_STALE: the amap is on its way out.
 */
enum error amap_own_path(struct amap *a, uint64_t va, struct amap_stock *stock) MUST_CHECK;

/*
 * The same with nodes out of the CPU's own cache, in bounded work, without a search for memory; interrupts may be masked.
 * => false: ask amap_own_path; what was done stays and is right.
 */
bool amap_own_path_near(struct amap *a, uint64_t va) MUST_CHECK;

/*
 * Blocks: the leaf nodes of 2 MiB at once, all slots filled. They are made unpublished, one by one, and dropped by
 * amap_node_put if they come to nothing. amap_block_room: none is there yet, at a glance; inside an epoch section.
 */
#define AMAP_BLOCK_NODES (unsigned)(BLOCK_SIZE / PAGE_SIZE / AMAP_FANOUT)
bool amap_block_room(const struct amap *a, uint64_t va);
/* An empty leaf node for va. NULL: no memory. */
struct amap_node *amap_block_node(struct vm *vm, uint64_t va);
void amap_block_node_fill(struct amap_node *n, unsigned i, struct anon *anon);
/* A way down that others do not share; and nodes that led there before, to be dropped without the lock: each may be the last. */
struct amap_way {
	struct amap_node *bottom;
	struct amap_node *old[AMAP_LEVELS];
	uint32_t olds;
};
/*
 * Makes the way to the node above the block's exist and be exclusive, as amap_own_path. Context likewise. => OK: the amap's lock is held, no
 * node of the block is there, and none comes, until amap_block_end. ERR_EXISTS: one is there; ERR_STOCK, ERR_STALE as amap_own_path; nothing is held then.
 */
enum error amap_block_begin(struct amap *a, uint64_t va, struct amap_stock *stock, struct amap_way *w) MUST_CHECK;
/* Puts the nodes in place; they are the amap's then. Between the two, with the leaf table's lock held, too: who takes that finds PTEs and slots, or none. */
void amap_block_put_locked(struct amap *a, uint64_t va, struct amap_node *const *node, struct amap_way *w);
void amap_block_end(struct amap *a, struct amap_way *w);

/*
 * Takes all anons in [start, end) out into a detached tree: *trash, to be
 * dropped by amap_trash_drop after the flush. Range lock held, outside any
 * epoch section. => ERR_NOMEM: nothing changed.
 */
struct amap_trash {
	struct amap_node *node[2 * AMAP_LEVELS + 1];
	uint32_t count;
};
enum error amap_trim(struct amap *a, uint64_t start, uint64_t end, struct amap_trash *trash) MUST_CHECK;

/* Nodes set aside, as many as it takes, for several trims of which all or none shall happen. NULL: none. */
struct amap_reserve {
	struct amap_node *first; /* linked by slot 0 */
};
/* Sets aside what a trim of that range takes now. Context as amap_trim. => ERR_NOMEM: some may have been set aside. */
enum error amap_reserve_trim(struct amap *a, uint64_t start, uint64_t end, struct amap_reserve *r) MUST_CHECK;
/*
 * amap_trim with these nodes; those that are left over stay, or come, in the reserve. => ERR_NOMEM only if faults have
 * made the tree larger in between; nothing changed then, but the reserve may be gone.
 */
enum error amap_trim_reserved(struct amap *a, uint64_t start, uint64_t end, struct amap_reserve *r,
			      struct amap_trash *trash) MUST_CHECK;
void amap_reserve_drop(struct vm *vm, struct amap_reserve *r);
void amap_trash_drop(struct vm *vm, struct amap_trash *trash);

/*
 * Copies the anons of [start, end) in from to [start + delta, ...) in to, by
 * reference. Range lock on both held, nobody faults on either. => ERR_NOMEM: to
 * may hold some, drop it.
 */
enum error amap_copy_range(struct amap *to, struct amap *from, uint64_t start, uint64_t end, int64_t delta) MUST_CHECK;

/* fork: child, still empty, shares all of parent's tree from now on. Takes parent's lock. */
void amap_share(struct amap *child, struct amap *parent);

/* First address >= va and < end that has an anon, or end. Epoch section or quiet. */
uint64_t amap_next(const struct amap *a, uint64_t va, uint64_t end);

/* Panics unless levels, bases and references are sane. Quiet point. Returns anons seen. */
uint64_t amap_check(const struct amap *a);

enum error amap_module_init(struct vm *vm) MUST_CHECK;

#endif
