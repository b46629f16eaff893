/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/remap.c: mremap(2).
 *
 * Purpose. Make a mapping shorter, longer, or move it with its pages.
 *
 * A move holds the range lock of the whole map. Slots of an amap follow the
 * address, so a move hands the anons, by reference, to an amap of their own at
 * the new place; the cost is that of the pages touched. Order:
 *
 *   prepare  new entries; the new version of the tree, unpublished
 *   kill     the old entry, still in the tree: faults on it wait for the lock
 *   remove   its PTEs in the old range; flush
 *   hand     the anons to the new amap       -- the last step that can fail
 *   publish, trim the old amap, retire
 *
 * When handing fails the old entry is revived: it is still in the tree, its
 * pages are all there, and only PTEs were lost, which faults bring back. That is
 * the one case in which a dead mark is taken back.
 */
#include "base/assert.h"
#include "vm/amap.h"
#include "vm/map_edit.h"

/* The one entry that holds all of r; only under the range lock. */
static struct vm_entry *whole(const struct map_edit *ed)
{
	struct vm_entry *e = ed->old;

	if (!e || e->edit_next || e->range.start.va > ed->range.start.va || e->range.end.va < ed->range.end.va)
		return NULL;
	return e;
}

/* Longer in place, when what follows is free. ERR_NOSPACE: it is not. */
static enum error extend(struct vm_map *m, struct vrange old, uint64_t new_end)
{
	struct map_edit ed;
	struct amap_trash trash = { .count = 0 };
	struct vm_entry *e, *n;
	uint64_t at;
	bool free;
	enum error err;

	map_edit_begin(&ed, m, (struct vrange){ old.start, vaddr(new_end) }, false);
	e = ed.old;
	if (!e || e->range.start.va > old.start.va || e->range.end.va < old.end.va) {
		map_edit_abort(&ed);
		return ERR_FAULT;
	}
	epoch_enter(&m->vm->epoch);
	free = e->range.end.va == old.end.va && !e->edit_next &&
	       entry_tree_gap(&m->tree, (struct vrange){ old.end, vaddr(new_end) }, new_end - old.end.va, &at);
	epoch_leave(&m->vm->epoch);
	if (!free) {
		map_edit_abort(&ed);
		return ERR_NOSPACE;
	}
	/* Pages that the amap still holds there (a fork's that no entry covers, or that a trim had no memory for) do not come back. */
	err = e->amap && atomic_load_relaxed(&e->amap->untrimmed) /* set under a range lock over its neighbours */
		      ? amap_trim(e->amap, old.end.va, new_end, &trash)
		      : OK;
	if (err == OK)
		err = map_edit_add(&ed, e, e->range, &n);
	if (err == OK) {
		n->range.end = vaddr(new_end);
		err = map_edit_publish(&ed);
	}
	if (err != OK)
		map_edit_abort(&ed);
	else
		map_edit_finish(&ed);
	amap_trash_drop(m->vm, &trash); /* nothing maps them: no entry did, or its PTEs were flushed when it went */
	return err;
}

/* The entry for the new place: as e, with an amap of its own. */
static enum error add_moved(struct map_edit *ed, const struct vm_entry *e, struct vrange to, struct vm_entry **out)
{
	struct vm_entry model = *e;
	enum error err;

	model.offset = e->offset + (ed->range.start.va - e->range.start.va);
	model.range = to;
	model.floor = to.start.va;
	model.grows_down = false;
	model.amap = NULL;
	if (e->amap) {
		model.amap = amap_new(ed->map->vm);
		if (!model.amap)
			return ERR_NOMEM;
	}
	err = map_edit_add(ed, &model, to, out);
	if (model.amap)
		amap_release(model.amap); /* the entry has its own reference */
	return err;
}

static enum error move_locked(struct map_edit *ed, struct vrange to)
{
	struct vm_map *m = ed->map;
	struct vm_entry *e = whole(ed), *moved;
	struct vrange from = ed->range;
	struct amap_trash trash = { .count = 0 };
	struct tree_txn x;
	uint64_t keep_end;
	enum error err;

	if (!e)
		return ERR_FAULT;
	err = map_edit_keep_left(ed, e);
	if (err == OK)
		err = map_edit_keep_right(ed, e);
	if (err == OK)
		err = add_moved(ed, e, to, &moved);
	if (err != OK)
		return err;
	entry_tree_begin(&x, &m->tree, false); /* RANGE_ALL is held: nobody else changes the tree */
	entry_tree_cut(&x, e->range.start.va, e->range.start.va + 1);
	for (struct vm_entry *n = ed->new; n; n = n->edit_next)
		entry_tree_put(&x, n);
	err = entry_tree_ready(&x);
	if (err == OK) {
		entry_kill(e);
		ed->gather.exclusive = true; /* dead until after the flush, and nobody else changes the map */
		pmap_remove(&m->pmap, from, &ed->gather);
		map_flush(m->vm, &ed->gather);
		keep_end = vrange_size(to) < vrange_size(from) ? from.start.va + vrange_size(to) : from.end.va;
		if (e->amap)
			err = amap_copy_range(moved->amap, e->amap, from.start.va, keep_end,
					      (int64_t)(to.start.va - from.start.va));
		if (err != OK)
			entry_revive(e);
	}
	if (err != OK) {
		entry_tree_abort(&x);
		return err;
	}
	entry_tree_commit(&x);
	atomic_add_relaxed(&m->size, vrange_size(to) - vrange_size(from)); /* a figure */
	if (e->amap && ref_count(&e->amap->refs) != 1) {
		if (amap_trim(e->amap, from.start.va, from.end.va, &trash) == OK)
			amap_trash_drop(m->vm, &trash); /* flushed above */
		else
			atomic_store_relaxed(&e->amap->untrimmed, 1u); /* under the range lock */
	}
	return OK;
}

static enum error move(struct vm_map *m, struct vrange old, uint64_t size, bool fixed, uint64_t *addr)
{
	struct range_hold hold;
	struct map_edit ed;
	uint64_t to = *addr;
	enum error e = OK;

	range_lock_take(&m->ranges, &hold, RANGE_ALL);
	if (fixed) {
		struct map_edit there;

		/* What is at the destination goes first, as mremap(2) says. */
		map_edit_begin(&there, m, vrange(to, to + size), true);
		for (const struct vm_entry *o = there.old; o && e == OK; o = o->edit_next) {
			e = map_edit_keep_left(&there, o);
			if (e == OK)
				e = map_edit_keep_right(&there, o);
		}
		if (e == OK && there.old)
			e = map_edit_publish(&there);
		if (e == OK && there.old) {
			there.gather.exclusive = true; /* all of the map is locked */
			map_edit_empty(&there);
			map_edit_finish(&there);
		} else {
			map_edit_abort(&there);
		}
	} else {
		bool found;

		epoch_enter(&m->vm->epoch);
		found = m->stack_limit > m->bounds.start.va &&
			entry_tree_gap(&m->tree, vrange(m->bounds.start.va, m->stack_limit), size, &to);
		if (!found)
			found = entry_tree_gap(&m->tree, m->bounds, size, &to);
		epoch_leave(&m->vm->epoch);
		e = found ? OK : ERR_NOSPACE;
	}
	if (e == OK) {
		map_edit_begin(&ed, m, old, true);
		e = move_locked(&ed, vrange(to, to + size));
		if (e == OK)
			map_edit_finish(&ed);
		else
			map_edit_abort(&ed);
	}
	range_lock_drop(&m->ranges, &hold);
	if (e == OK)
		*addr = to;
	return e;
}

enum error vm_map_remap(struct vm_map *m, struct vrange old, uint64_t new_size, bool may_move, bool fixed, uint64_t *addr)
{
	uint64_t old_size = vrange_size(old), to = *addr;
	struct vm_entry_info info;
	enum error e = map_check_range(m, old);

	if (e != OK || new_size == 0 || new_size > vrange_size(m->bounds))
		return ERR_INVAL;
	new_size = round_up(new_size, PAGE_SIZE);
	if (fixed && (!may_move || to & PAGE_MASK || map_check_range(m, vrange(to, to + new_size)) != OK ||
		      vrange_overlaps(old, vrange(to, to + new_size))))
		return ERR_INVAL;
	if (!vm_map_lookup(m, old.start.va, &info) || info.range.start.va > old.start.va || info.range.end.va < old.end.va)
		return ERR_FAULT;
	if (!fixed && new_size <= old_size) {
		*addr = old.start.va;
		return new_size == old_size
			       ? OK
			       : vm_map_remove(m, (struct vrange){ vaddr(old.start.va + new_size), old.end });
	}
	if (!fixed) {
		if (old.start.va + new_size <= m->bounds.end.va) {
			e = extend(m, old, old.start.va + new_size);
			if (e != ERR_NOSPACE) {
				*addr = old.start.va;
				return e;
			}
		}
		if (!may_move)
			return ERR_NOSPACE;
	}
	return move(m, old, new_size, fixed, addr);
}

enum error vm_map_view(struct vm_map *m, uint64_t old, uint64_t size, bool fixed, uint64_t *addr)
{
	struct vm_mapping what = { .object = NULL };
	const struct vm_entry *e;
	enum error err = ERR_FAULT;

	epoch_enter(&m->vm->epoch);
	e = entry_tree_find(&m->tree, old);
	if (e && e->range.start.va <= old) {
		what = (struct vm_mapping){ .object = e->object, .offset = e->offset + (old - e->range.start.va),
					    .shared = true, .prot = e->prot, .max = e->max, .inherit = e->inherit,
					    .name = e->name };
		/* The object may be on its way out together with the entry. */
		err = !e->shared ? ERR_INVAL : ref_get_unless_zero(&e->object->refs) ? OK : ERR_FAULT;
	}
	epoch_leave(&m->vm->epoch);
	if (err != OK)
		return err;
	err = vm_map_enter(m, addr, size, &what, fixed ? MAP_AT : 0);
	object_release(what.object);
	return err;
}
