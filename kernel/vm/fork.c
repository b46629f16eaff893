/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fork.c: a copy of an address space, by entries.
 *
 * Purpose. fork(2) whose cost is that of the entries, not of the pages.
 *
 * Structure. Every private entry's amap is shared by one reference to its root;
 * amaps that several entries of the parent use become one amap of the child.
 * Order, with the whole parent locked (DESIGN 5.4):
 *
 *   prepare   child's map, entries and amaps
 *   kill      the parent's entries
 *   share     amap roots: from here on no path is exclusive
 *   protect   take write rights from the parent's PTEs, flush
 *   revive    the parent's entries
 *   return    the child may run
 *
 * A fault under way when an entry that the child gets is killed has seen it live under a leaf
 * lock that protect has yet to take, or installs nothing before it is revived. One that finds it live after that finds shared
 * paths with it (the stores that revive come after the share): what it found before, alone on its
 * path or alone with an anon, it looks up again with the entry, and starts over. In between, faults find dead
 * entries, and wait for the range lock. Reviving comes after the flush, so that
 * the copy is of one moment: otherwise a thread could write a new page, for the
 * parent only, and then an old one through its TLB, for the child as well.
 *
 * Invariant. When the flush is over no TLB or PTE of the parent lets anyone
 * write a frame that the child's amaps lead to.
 *
 * Failure. Memory is needed in prepare only.
 */
#include "base/assert.h"
#include "vm/amap.h"
#include "vm/map_edit.h"

struct forking {
	struct vm_map *parent, *child;
	struct map_edit edit;        /* of the parent: its entries, as old, which stay */
	struct map_edit child_edit;
	struct range_hold hold;      /* the child's own range lock needs none: nobody knows it */
	bool less;                   /* the child does not get all entries */
};

/* The child's amap for a, the same for all entries that share a. NULL: no memory. */
static struct amap *child_amap(struct vm *vm, struct amap *a)
{
	if (a->forked) {
		amap_reference(a->forked);
		return a->forked;
	}
	a->forked = amap_new(vm);
	return a->forked;
}

/* What becomes of e in the child. */
static enum error prepare_child(struct forking *f, const struct vm_entry *e)
{
	struct vm *vm = f->parent->vm;
	struct vm_entry *n;
	struct amap *amap;
	enum error err;

	if (e->inherit == INHERIT_NONE || e->inherit == INHERIT_NONE_ZERO) {
		f->less = true;
		return OK;
	}
	err = map_edit_add(&f->child_edit, e, e->range, &n);
	if (err != OK)
		return err;
	n->wired = false; /* locks are not inherited */
	if (e->shared)
		return OK;
	amap = e->inherit == INHERIT_COPY ? child_amap(vm, e->amap) : amap_new(vm); /* or INHERIT_ZERO */
	if (!amap)
		return ERR_NOMEM;
	amap_release(n->amap); /* the parent's: it has come along */
	n->amap = amap;
	return OK;
}

/* Nobody knows the child yet. Mostly its tree is the parent's with other entries. */
static enum error publish_child(struct forking *f)
{
	struct tree_txn x;
	enum error e;

	if (f->less)
		return map_edit_publish(&f->child_edit);
	entry_tree_begin(&x, &f->child->tree, false);
	entry_tree_copy(&x, &f->parent->tree, f->child_edit.new);
	e = entry_tree_ready(&x);
	if (e != OK) {
		entry_tree_abort(&x);
		return e;
	}
	entry_tree_commit(&x);
	atomic_store_relaxed(&f->child->size, atomic_load_relaxed(&f->parent->size)); /* a figure */
	return OK;
}

static enum error prepare(struct forking *f)
{
	enum error err = OK;

	for (const struct vm_entry *e = f->edit.old; e && err == OK; e = e->edit_next)
		err = prepare_child(f, e);
	return err == OK ? publish_child(f) : err;
}

/* forked is a note for the duration of one fork. share: links the child's amaps to the parent's trees. */
static void settle_amaps(struct forking *f, bool share)
{
	/* Entries that stay behind leave anons in the child's tree that none of its entries covers. */
	for (struct vm_entry *e = f->edit.old; e; e = e->edit_next)
		if (e->amap && e->amap->forked &&
		    (e->inherit != INHERIT_COPY || atomic_load_relaxed(&e->amap->untrimmed))) /* range lock held */
			atomic_store_relaxed(&e->amap->forked->untrimmed, 1u); /* not published yet */
	for (struct vm_entry *e = f->edit.old; e; e = e->edit_next) {
		if (!e->amap || !e->amap->forked)
			continue;
		if (share)
			amap_share(e->amap->forked, e->amap);
		e->amap->forked = NULL;
	}
}

/*
 * Whole windows of leaf tables, by one descriptor each, and not page by page: what else lies in them may be written
 * again after a fault that finds nothing to do but that.
 */
static void write_protect(struct forking *f)
{
	uint64_t done = 0; /* entries ascend */

	for (const struct vm_entry *e = f->edit.old; e; e = e->edit_next) {
		uint64_t start = round_down(e->range.start.va, BLOCK_SIZE), end = round_up(e->range.end.va, BLOCK_SIZE);

		if (e->shared || e->inherit != INHERIT_COPY || !(e->max & PROT_W) || end <= done)
			continue;
		pmap_protect(&f->parent->pmap, vrange(start > done ? start : done, end), PROT_R | PROT_X, &f->edit.gather);
		done = end;
	}
}

enum error vm_map_fork(struct vm_map *parent, struct vm_map **out)
{
	struct forking f = { .parent = parent };
	enum error e = vm_map_create(parent->vm, &f.child);

	if (e != OK)
		return e;
	mutex_lock(&parent->brk_lock);
	f.child->brk_start = parent->brk_start;
	f.child->brk_end = parent->brk_end;
	f.child->stack_limit = parent->stack_limit;
	atomic_store_relaxed(&f.child->grow_low, atomic_load_relaxed(&parent->grow_low)); /* a limit */
	range_lock_take(&parent->ranges, &f.hold, RANGE_ALL);
	map_edit_begin(&f.edit, parent, parent->bounds, true);
	map_edit_begin(&f.child_edit, f.child, f.child->bounds, true);
	e = prepare(&f);
	if (e != OK) {
		settle_amaps(&f, false);
		map_edit_abort(&f.child_edit);
		range_lock_drop(&parent->ranges, &f.hold);
		mutex_unlock(&parent->brk_lock);
		vm_map_release(f.child);
		return e;
	}
	for (struct vm_entry *o = f.edit.old; o; o = o->edit_next)
		entry_kill(o);
	settle_amaps(&f, true);
	write_protect(&f);
	map_flush(parent->vm, &f.edit.gather);
	for (struct vm_entry *o = f.edit.old; o; o = o->edit_next)
		entry_revive(o);
	f.edit.old = NULL; /* nothing to retire */
	map_edit_finish(&f.edit);
	range_lock_drop(&parent->ranges, &f.hold);
	mutex_unlock(&parent->brk_lock);
	counter_add(&parent->vm->counters, COUNTER_forks, 1);
	*out = f.child;
	return OK;
}
