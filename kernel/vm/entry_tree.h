/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/entry_tree.h: the ordered tree of a map's entries. Persistent: readers see one version whole. Theory: entry_tree.c. */
#ifndef VM_ENTRY_TREE_H
#define VM_ENTRY_TREE_H

#include "base/error.h"
#include "vm/entry.h"

struct tree_node;

struct entry_tree {
	struct vm *vm ALIGNED(CACHE_LINE); /* with root, what faults read: nothing else in their line */
	ATOMIC(struct tree_node *) root; /* published version: seq_cst store under lock, seq_cst load by readers */
	struct spinlock lock ALIGNED(CACHE_LINE); /* RANK_TREE: one new version at a time */
	ATOMIC(uint64_t) changes;        /* versions and swaps so far: release after each, by who makes it; see entry_tree_changes */
	ATOMIC(uint64_t) entries;        /* under lock; relaxed readers want a figure, not the truth */
};

void entry_tree_init(struct entry_tree *t, struct vm *vm);

/*
 * How often the tree has changed. The same number before a look (acquire: what was published before is seen) and after a
 * range lock was taken: nobody who held an overlapping range meanwhile has changed what was seen.
 */
static inline uint64_t entry_tree_changes(const struct entry_tree *t) { return atomic_load_acquire(&t->changes); }

bool entry_tree_is_empty(const struct entry_tree *t); /* the published version */

/* The first entry that ends after va, or NULL. Inside an epoch section. */
struct vm_entry *entry_tree_find(const struct entry_tree *t, uint64_t va);

/* The last entry that starts before va, or NULL. Inside an epoch section. */
struct vm_entry *entry_tree_before(const struct entry_tree *t, uint64_t va);

/* Highest address at which size bytes are free within bounds, growth room respected; false when none. Epoch section. Takes
 * the tree's lock. */
bool entry_tree_gap(struct entry_tree *t, struct vrange bounds, uint64_t size, uint64_t *addr);

/*
 * A new version in the making. With lock: the tree's lock is held from begin to
 * commit or abort (spinlock rules). Without: the caller's range lock keeps all
 * other mutators of the tree out.
 */
struct tree_txn {
	struct entry_tree *tree;
	struct tree_node *root;      /* the version in the making */
	struct tree_node *made;      /* nodes of this transaction, by link */
	struct tree_node *replaced;  /* published nodes that it does without, by link */
	int64_t entries;             /* change of their number */
	bool locked, failed;
};

void entry_tree_begin(struct tree_txn *x, struct entry_tree *t, bool lock);
/* Takes out all entries that start in [start, end). */
void entry_tree_cut(struct tree_txn *x, uint64_t start, uint64_t end);
/* Puts an entry in; its range is free by now. */
void entry_tree_put(struct tree_txn *x, struct vm_entry *e);
/*
 * Into an empty tree, all at once: what from holds, with other entries of the same ranges: e and those that follow it by
 * edit_next, in order. from's range lock over everything.
 */
void entry_tree_copy(struct tree_txn *x, const struct entry_tree *from, struct vm_entry *e);
/* e in the place of the entry that starts at the same address and is in this version. */
void entry_tree_change(struct tree_txn *x, struct vm_entry *e);
/* OK, or ERR_NOMEM when some step had no memory: only abort is possible then. */
enum error entry_tree_ready(const struct tree_txn *x) MUST_CHECK;
/* Publishes. Cannot fail. Old nodes go by epoch. */
void entry_tree_commit(struct tree_txn *x);
void entry_tree_abort(struct tree_txn *x);

/*
 * A change without a transaction: publishes e in the place of the entry that starts at the same address and is in the tree.
 * The rest of e's range is free, or the replaced entry's. Range lock over both, so that it stays so; takes the tree's lock.
 * The replaced entry is the caller's: dead, then gone by epoch. Cannot fail.
 */
void entry_tree_swap(struct entry_tree *t, struct vm_entry *e);

/* Frees all nodes, and gives each entry, in order, to its caller. Nobody else knows the tree any more: no reader is left. */
void entry_tree_destroy(struct entry_tree *t, void (*each)(struct vm *vm, struct vm_entry *e));

/* Panics unless order, priorities and gaps are right. Quiet point. */
void entry_tree_check(const struct entry_tree *t);

enum error entry_tree_module_init(struct vm *vm) MUST_CHECK;

#endif
