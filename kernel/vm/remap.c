/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/remap.c: mremap(2).
 *
 * Purpose. Make a mapping shorter, longer, or move it with its pages.
 *
 * A move holds the range locks of the whole map. Slots of an amap follow the
 * address, so a move hands the anons, by reference, to an amap of their own at
 * the new place; the cost is that of the pages touched. Order:
 *
 *   prepare  new entries; nodes for the trim
 *   kill     the old entry, and those in the way at the new place, all still in
 *            the list: faults on them wait for the lock
 *   remove   PTEs in the old and in the new range; flush
 *   hand     the anons to the new amap       -- the last step that can fail
 *   publish, trim the old amaps, retire
 *
 * When handing fails the old entries are revived: they are still in the list,
 * their pages are all there, and only PTEs were lost, which faults bring back.
 * So a move that fails has not unmapped what was at its destination, either.
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
	free = ed.part && e->range.end.va == old.end.va && !e->edit_next;
	if (free) {
		spin_lock(&ed.part->ranges.lock, RANK_RANGE);
		free = entry_list_gap(&ed.part->list, (struct vrange){ old.end, vaddr(new_end) }, new_end - old.end.va, &at);
		spin_unlock(&ed.part->ranges.lock);
	}
	if (!free) {
		map_edit_abort(&ed);
		return ERR_NOSPACE;
	}
	/* Pages that the amap still holds there (a fork's that no entry covers, or that a trim had no memory for) do not come back. */
	err = e->amap && atomic_load_relaxed(&e->amap->untrimmed) /* set under a range lock over its neighbours */
		      ? amap_trim(e->amap, old.end.va, new_end, &trash)
		      : OK;
	if (err == OK)
		err = map_edit_add(&ed, e, e->range, e->amap, &n);
	if (err == OK) {
		n->range.end = vaddr(new_end);
		map_edit_publish(&ed);
		map_edit_finish(&ed);
	} else {
		map_edit_abort(&ed);
	}
	amap_trash_drop(m->vm, &trash); /* nothing maps them: no entry did, or its PTEs were flushed when it went */
	return err;
}

/* Puts e where it belongs in a list that ascends. */
static void insert(struct vm_entry **list, struct vm_entry *e)
{
	while (*list && (*list)->range.start.va < e->range.start.va)
		list = &(*list)->edit_next;
	e->edit_next = *list;
	*list = e;
}

/* A new entry for the pages' new place, or the emptied old one: as e, with an amap of its own. Not among ed's new ones yet. */
static enum error make_moved(struct map_edit *ed, const struct vm_entry *e, struct vrange to, struct vm_entry **out)
{
	struct vm *vm = ed->map->vm;
	struct amap *amap = e->amap ? amap_new(vm) : NULL;
	struct vm_entry *n = NULL;

	if (e->amap && !amap)
		return ERR_NOMEM;
	n = entry_new(vm, e, ed->range, amap);
	if (amap)
		amap_release(amap); /* the new entry has its own reference */
	if (!n)
		return ERR_NOMEM;
	n->range = to;
	n->floor = to.start.va;
	n->grows_down = false;
	*out = n;
	return OK;
}

/* What is mapped in to becomes old, with e. The map is locked. */
static void add_occupants(struct map_edit *ed, struct vrange to, struct vm_entry *e)
{
	struct vm_entry *o, **tail = &ed->old;
	struct vm_map *m = ed->map;

	epoch_enter(&m->vm->epoch);
	for (o = map_first(m, to.start.va); o && o->range.start.va < to.end.va; o = map_after(m, o)) {
		if (o == e)
			continue;
		*tail = o;
		tail = &o->edit_next;
	}
	epoch_leave(&m->vm->epoch);
	*tail = NULL;
	insert(&ed->old, e);
}

/* Keeps the parts of o that lie in neither of two ranges: below, between and above them. */
static enum error keep_rest(struct map_edit *ed, const struct vm_entry *o, struct vrange a, struct vrange b)
{
	struct vrange low = a.start.va < b.start.va ? a : b, high = a.start.va < b.start.va ? b : a;
	const struct vrange rest[3] = { { o->range.start, low.start }, { low.end, high.start }, { high.end, o->range.end } };
	enum error e = OK;

	for (unsigned i = 0; i < ARRAY_SIZE(rest) && e == OK; i++) {
		struct vrange r = rest[i];

		if (r.start.va < o->range.start.va)
			r.start = o->range.start;
		if (r.end.va > o->range.end.va)
			r.end = o->range.end;
		if (r.start.va < r.end.va)
			e = map_edit_add(ed, o, r, o->amap, NULL);
	}
	return e;
}

/* All that a move needs memory for. ERR_NOMEM. */
static enum error prepare_move(struct map_edit *ed, struct vm_entry *e, struct vrange to, bool keep, struct vm_entry **moved)
{
	struct vrange from = ed->range;
	struct vm_entry *kept;
	enum error err = OK;

	for (const struct vm_entry *o = ed->old; o && err == OK; o = o->edit_next)
		err = keep_rest(ed, o, from, to);
	if (err == OK)
		err = make_moved(ed, e, to, moved);
	if (err == OK)
		insert(&ed->new, *moved);
	if (err == OK && keep)
		err = make_moved(ed, e, from, &kept);
	if (err == OK && keep)
		insert(&ed->new, kept);
	if (err == OK)
		err = map_edit_reserve(ed, from);
	return err == OK ? map_edit_reserve(ed, to) : err;
}

/* keep: the old range stays mapped, empty. */
static enum error move_locked(struct map_edit *ed, struct vrange to, bool keep)
{
	struct vm_map *m = ed->map;
	struct vm_entry *e = whole(ed), *moved;
	struct vrange from = ed->range;
	uint64_t keep_end;
	enum error err;

	if (!e)
		return ERR_FAULT;
	add_occupants(ed, to, e);
	err = prepare_move(ed, e, to, keep, &moved);
	if (err != OK)
		return err;
	for (struct vm_entry *o = ed->old; o; o = o->edit_next)
		entry_kill(o);
	ed->gather.exclusive = true; /* dead until after the flush, and nobody else changes the map */
	pmap_remove(&m->pmap, from, &ed->gather);
	pmap_remove(&m->pmap, to, &ed->gather);
	map_flush(m->vm, &ed->gather);
	keep_end = vrange_size(to) < vrange_size(from) ? from.start.va + vrange_size(to) : from.end.va;
	if (e->amap)
		err = amap_copy_range(moved->amap, e->amap, from.start.va, keep_end, (int64_t)(to.start.va - from.start.va));
	if (err != OK) {
		for (struct vm_entry *o = ed->old; o; o = o->edit_next)
			entry_revive(o);
		return err;
	}
	map_edit_exchange(ed);
	for (struct vm_entry *o = ed->old; o; o = o->edit_next) {
		map_edit_trim(ed, o, from);
		map_edit_trim(ed, o, to);
	}
	return OK;
}

/* Room for size bytes, or, fixed, whether *to is in one part. The map is locked. */
static bool room(struct vm_map *m, uint64_t size, bool fixed, uint64_t *to)
{
	struct map_part *p;

	if (fixed)
		return map_part_has(m, map_part_of(m, *to), vrange(*to, *to + size));
	p = map_pick_lock(m, 0, size, to);
	if (p)
		spin_unlock(&p->ranges.lock);
	return p != NULL;
}

static enum error move(struct vm_map *m, struct vrange old, uint64_t size, bool fixed, bool keep, uint64_t *addr)
{
	struct range_hold hold;
	struct map_edit ed;
	uint64_t to = *addr;
	enum error e = ERR_NOSPACE;

	map_lock_all(m, &hold);
	if (room(m, size, fixed, &to)) {
		map_edit_begin(&ed, m, old, true);
		e = move_locked(&ed, vrange(to, to + size), keep);
		if (e == OK)
			map_edit_finish(&ed);
		else
			map_edit_abort(&ed);
	}
	map_unlock_all(m, &hold);
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
	return move(m, old, new_size, fixed, false, addr);
}

enum error vm_map_move_pages(struct vm_map *m, struct vrange old, bool fixed, uint64_t *addr)
{
	uint64_t size = vrange_size(old), to = *addr;
	struct vm_entry_info info;
	enum error e = map_check_range(m, old);

	if (e != OK || (fixed && (to & PAGE_MASK || map_check_range(m, vrange(to, to + size)) != OK ||
				  vrange_overlaps(old, vrange(to, to + size)))))
		return ERR_INVAL;
	if (!vm_map_lookup(m, old.start.va, &info) || info.range.start.va > old.start.va || info.range.end.va < old.end.va)
		return ERR_FAULT;
	if (info.object)
		return ERR_INVAL;
	return move(m, old, size, fixed, true, addr);
}

enum error vm_map_view(struct vm_map *m, uint64_t old, uint64_t size, bool fixed, uint64_t *addr)
{
	struct vm_mapping what = { .object = NULL };
	const struct vm_entry *e;
	enum error err = ERR_FAULT;

	epoch_enter(&m->vm->epoch);
	e = map_find_anew(m, old);
	if (e) {
		what = (struct vm_mapping){ .object = e->object, .offset = e->offset + (old - e->range.start.va),
					    .shared = true, .prot = e->prot, .max = e->max, .inherit = e->inherit,
					    .wired = e->wired, .huge = e->huge, .name = e->name };
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
