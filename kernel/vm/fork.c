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
 *   protect   limit the parent's tables to reading, flush
 *   revive    the parent's entries
 *   return    the child may run
 *
 * A fault that found its entry live before it was killed does not find it so afterwards: revived it is another life (entry.h).
 * Then faults find shared paths. In between, they find dead entries, and wait for the range lock. Reviving comes after the
 * flush, so that the copy is of one moment: otherwise a thread could write a new page, for the
 * parent only, and then an old one through its TLB, for the child as well.
 *
 * Late faults. fork takes no lock of a leaf, of tables or of amaps: it would cost what is resident. So a fault that has seen its
 * entry live under these locks may fill its slot and store its PTE at any time later, also when fork has returned.
 *   The PTE: the limit is over it, whenever it is stored (armv8/limit.c). The program's store comes after the fault, meets the
 *   limit, and faults again.
 *   The slot: the fault found the path exclusive, so its leaf node is in the tree that the child gets, and what it puts there is the
 *   child's too: zeros where there was nothing, a copy of what was there, and nobody has written to it. The child looks
 *   at the slot under the node's lock, after the fault; had it been there before, the fault would have found its entry
 *   dead, which was before the share (amap.c, 2). It is as if the fault had come before fork.
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
	struct amap *amap = NULL;
	struct vm_entry *n;
	enum error err;

	if (e->inherit == INHERIT_NONE || e->inherit == INHERIT_NONE_ZERO)
		return OK;
	if (!e->shared && e->inherit == INHERIT_COPY)
		amap = child_amap(vm, e->amap);
	else if (!e->shared)
		amap = amap_new(vm); /* INHERIT_ZERO */
	if (!e->shared && !amap)
		return ERR_NOMEM;
	err = map_edit_add(&f->child_edit, e, e->range, amap, &n);
	if (amap)
		amap_release(amap); /* the new entry has its own reference */
	if (err == OK)
		n->wired = false; /* locks are not inherited */
	return err;
}

static enum error prepare(struct forking *f)
{
	enum error err = OK;

	for (const struct vm_entry *e = f->edit.old; e && err == OK; e = e->edit_next)
		err = prepare_child(f, e);
	return err;
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

/* Windows of 1 GiB, each by one descriptor: two or three for most processes, whatever is resident. */
static void write_protect(struct forking *f)
{
	uint64_t done = 0; /* entries ascend */

	for (const struct vm_entry *e = f->edit.old; e; e = e->edit_next) {
		uint64_t start = e->range.start.va, end = round_up(e->range.end.va, PMAP_LIMIT_SPAN);

		if (e->shared || e->inherit != INHERIT_COPY || !(e->max & PROT_W) || end <= done)
			continue;
		pmap_limit_writes(&f->parent->pmap, vrange(start > done ? start : done, end), &f->edit.gather);
		done = end;
	}
}

enum error vm_map_fork(struct vm_map *parent, struct vm_map **out)
{
	struct forking f;
	enum error e = vm_map_create(parent->vm, &f.child);

	if (e != OK)
		return e;
	f.parent = parent;
	mutex_lock(&parent->brk_lock);
	f.child->brk_start = parent->brk_start;
	f.child->brk_end = parent->brk_end;
	f.child->stack_limit = parent->stack_limit;
	atomic_store_relaxed(&f.child->grow_low, atomic_load_relaxed(&parent->grow_low)); /* a limit */
	map_lock_all(parent, &f.hold);
	map_edit_begin(&f.edit, parent, parent->bounds, true);
	map_edit_begin(&f.child_edit, f.child, f.child->bounds, true);
	e = prepare(&f);
	if (e != OK) {
		settle_amaps(&f, false);
		map_edit_abort(&f.child_edit);
		map_unlock_all(parent, &f.hold);
		mutex_unlock(&parent->brk_lock);
		vm_map_release(f.child);
		return e;
	}
	map_fill(&f.child_edit);
	for (struct vm_entry *o = f.edit.old; o; o = o->edit_next)
		entry_kill(o);
	settle_amaps(&f, true);
	write_protect(&f);
	map_flush(parent->vm, &f.edit.gather);
	for (struct vm_entry *o = f.edit.old; o; o = o->edit_next)
		entry_revive(o);
	f.edit.old = NULL; /* nothing to retire */
	map_edit_finish(&f.edit);
	map_unlock_all(parent, &f.hold);
	mutex_unlock(&parent->brk_lock);
	counter_add(&parent->vm->counters, COUNTER_forks, 1);
	*out = f.child;
	return OK;
}
