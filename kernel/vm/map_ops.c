/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_ops.c: map, unmap, protect, inherit, discard: each an edit (map.c).
 * Errors come before publish, so that a call either happens or does not.
 */
#include "base/assert.h"
#include "vm/amap.h"
#include "vm/fault.h"
#include "vm/map_edit.h"

static enum error check_mapping(const struct vm_mapping *w)
{
	if (w->offset & PAGE_MASK || (w->shared && !w->object) || (w->prot & ~w->max))
		return ERR_INVAL;
	if (w->shared ? w->inherit != INHERIT_SHARE && w->inherit != INHERIT_NONE
		      : w->inherit == INHERIT_SHARE || w->inherit > INHERIT_NONE_ZERO)
		return ERR_INVAL;
	return OK;
}

/* The lowest address that a stack which begins at start may ever reach. */
static uint64_t growth_floor(const struct vm_map *m, uint64_t start)
{
	uint64_t low = m->stack_limit && m->stack_limit < start ? m->stack_limit : start;

	return low > m->bounds.start.va + ENTRY_GUARD ? low - ENTRY_GUARD : m->bounds.start.va;
}

/* Appends ed's range, mapped so, to new: an entry for each part that it lies in. ERR_NOMEM. */
static enum error add_mapping(struct map_edit *ed, const struct vm_mapping *w)
{
	uint64_t start = ed->range.start.va, end = ed->range.end.va, to;

	for (uint64_t at = start; at < end; at = to) {
		struct vm_entry *e;

		to = ed->part ? end : map_part_end(ed->map, at);
		if (to > end)
			to = end;
		e = entry_alloc(ed->map->vm, vrange(at, to));
		if (UNLIKELY(!e))
			return ERR_NOMEM;
		map_entry_says(e, w, NULL);
		e->offset += at - start;
		if (w->grows_down && at == start)
			e->floor = growth_floor(ed->map, start);
		*ed->new_tail = e;
		ed->new_tail = &e->edit_next;
	}
	return OK;
}

/* Replaces whatever is in ed's range by the mapping. The lock is held; => OK: published, to be finished. */
static enum error enter_locked(struct map_edit *ed, const struct vm_mapping *w)
{
	enum error e = OK;

	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next)
		e = map_edit_keep_left(ed, o);
	if (e == OK)
		e = add_mapping(ed, w);
	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next)
		e = map_edit_keep_right(ed, o);
	/* What replaces something starts with an amap of its own: a neighbour's still holds the old pages. */
	if (e == OK && !ed->old)
		map_edit_merge(ed);
	if (e == OK)
		e = map_edit_complete(ed);
	if (e == OK)
		e = map_edit_reserve(ed, ed->range);
	if (e == OK)
		map_edit_publish(ed);
	return e;
}

/* The rest of an edit that has begun. */
static enum error enter_finish(struct map_edit *ed, const struct vm_mapping *w)
{
	enum error e = enter_locked(ed, w);

	if (UNLIKELY(e != OK)) {
		map_edit_abort(ed);
		return e;
	}
	if (ed->old)
		map_edit_empty(ed);
	map_edit_finish(ed);
	return OK;
}

static enum error enter_at(struct vm_map *m, uint64_t addr, uint64_t size, const struct vm_mapping *w, bool replace)
{
	struct map_edit ed;

	map_edit_begin(&ed, m, vrange(addr, addr + size), false);
	if (!ed.old || replace)
		return enter_finish(&ed, w);
	map_edit_abort(&ed);
	return ERR_EXISTS;
}

/* Wherever there is room, hint first; => *at. */
static enum error enter_anywhere(struct vm_map *m, uint64_t hint, uint64_t size, const struct vm_mapping *w, uint64_t *at)
{
	struct map_edit ed;
	enum error e = map_edit_begin_free(&ed, m, hint, size);

	if (e != OK)
		return e;
	*at = ed.range.start.va;
	return enter_finish(&ed, w);
}

enum error vm_map_enter(struct vm_map *m, uint64_t *addr, uint64_t size, const struct vm_mapping *w, unsigned flags)
{
	enum error e = check_mapping(w);
	uint64_t hint = round_down(*addr, PAGE_SIZE), at;

	if (e != OK)
		return e;
	if (size == 0)
		return ERR_INVAL;
	if (size > m->bounds.end.va)
		return ERR_NOSPACE;
	size = round_up(size, PAGE_SIZE);
	counter_add(&m->vm->counters, COUNTER_maps, 1);
	if (flags & (MAP_AT | MAP_AT_FREE)) {
		if (*addr & PAGE_MASK)
			return ERR_INVAL;
		if (*addr < m->bounds.start.va || *addr > m->bounds.end.va || size > m->bounds.end.va - *addr)
			return ERR_NOSPACE;
		return enter_at(m, *addr, size, w, !(flags & MAP_AT_FREE));
	}
	e = map_quick_enter(m, hint, size, w, &at) ? OK : enter_anywhere(m, hint, size, w, &at);
	if (e == OK)
		*addr = at;
	return e;
}

enum error vm_map_remove(struct vm_map *m, struct vrange r)
{
	struct map_edit ed;
	enum error e = map_check_range(m, r);

	if (e != OK)
		return e;
	counter_add(&m->vm->counters, COUNTER_unmaps, 1);
	if (map_quick_remove(m, r))
		return OK;
	map_edit_begin(&ed, m, r, false);
	if (!ed.old) {
		map_edit_abort(&ed);
		return OK;
	}
	for (const struct vm_entry *o = ed.old; o && e == OK; o = o->edit_next) {
		e = map_edit_keep_left(&ed, o);
		if (e == OK)
			e = map_edit_keep_right(&ed, o);
	}
	if (e == OK)
		e = map_edit_reserve(&ed, r);
	if (e != OK) {
		map_edit_abort(&ed);
		return e;
	}
	map_edit_publish(&ed);
	ed.gather.exclusive = true; /* nothing is mapped there until the range lock is dropped: tables can go at once */
	map_edit_empty(&ed);
	map_edit_finish(&ed);
	return OK;
}

/* --- changes of attributes --- */

struct change {
	enum error (*allowed)(const struct vm_entry *e, unsigned value); /* before anything is done */
	void (*apply)(struct vm_entry *e, unsigned value);
	unsigned value;
	bool holes; /* do not matter */
};

/* Replaces the entries of r by changed ones. => OK: published, the caller sees to the PTEs and finishes. */
static enum error change_begin(struct map_edit *ed, struct vm_map *m, struct vrange r, const struct change *c)
{
	uint64_t at = r.start.va;
	enum error e = map_check_range(m, r);

	if (e != OK)
		return e;
	map_edit_begin(ed, m, r, false);
	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next) {
		if (o->range.start.va > at && !c->holes)
			e = ERR_NOENT;
		else
			e = c->allowed(o, c->value);
		at = o->range.end.va;
	}
	if (e == OK && at < r.end.va && !c->holes)
		e = ERR_NOENT;
	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next) {
		struct vrange mid = o->range;
		struct vm_entry *n;

		if (mid.start.va < r.start.va)
			mid.start = r.start;
		if (mid.end.va > r.end.va)
			mid.end = r.end;
		e = map_edit_keep_left(ed, o);
		if (e == OK)
			e = map_edit_add(ed, o, mid, o->amap, &n);
		if (e == OK) {
			c->apply(n, c->value);
			e = map_edit_keep_right(ed, o);
		}
	}
	if (e != OK) {
		map_edit_abort(ed);
		return e;
	}
	map_edit_merge(ed);
	map_edit_publish(ed);
	return OK;
}

static enum error protect_allowed(const struct vm_entry *e, unsigned prot)
{
	return prot & ~(unsigned)e->max ? ERR_ACCESS : OK;
}

static void protect_apply(struct vm_entry *e, unsigned prot) { e->prot = (enum prot)prot; }

enum error vm_map_protect(struct vm_map *m, struct vrange r, enum prot prot)
{
	const struct change c = { protect_allowed, protect_apply, prot, false };
	struct map_edit ed;
	enum error e = map_check_range(m, r);

	if (e == OK && map_quick_protect(m, r, prot)) {
		counter_add(&m->vm->counters, COUNTER_protects, 1);
		return OK;
	}
	e = change_begin(&ed, m, r, &c);
	if (e != OK)
		return e;
	counter_add(&m->vm->counters, COUNTER_protects, 1);
	/* Rights are only taken here; what was added comes with the next fault. */
	if (prot == PROT_NONE_)
		pmap_remove(&m->pmap, r, &ed.gather);
	else
		pmap_protect(&m->pmap, r, prot | PROT_R, &ed.gather);
	map_edit_finish(&ed);
	return OK;
}

static enum error inherit_allowed(const struct vm_entry *e, unsigned inherit)
{
	if (e->shared)
		return inherit == INHERIT_SHARE || inherit == INHERIT_NONE ? OK : ERR_INVAL;
	/* Wiping would show a file's pages again, not zeros. */
	if ((inherit == INHERIT_ZERO || inherit == INHERIT_NONE_ZERO) && e->object)
		return ERR_INVAL;
	return inherit == INHERIT_SHARE || inherit > INHERIT_NONE_ZERO ? ERR_INVAL : OK;
}

static void inherit_apply(struct vm_entry *e, unsigned inherit) { e->inherit = (uint8_t)inherit; }

/* A change that concerns no PTE. */
static enum error change_alone(struct vm_map *m, struct vrange r, const struct change *c)
{
	struct map_edit ed;
	enum error e = change_begin(&ed, m, r, c);

	if (e == OK)
		map_edit_finish(&ed);
	return e;
}

enum error vm_map_inherit(struct vm_map *m, struct vrange r, unsigned inherit)
{
	return change_alone(m, r, &(struct change){ inherit_allowed, inherit_apply, inherit, false });
}

static enum error any_allowed(const struct vm_entry *e, unsigned value)
{
	(void)e;
	(void)value;
	return OK;
}

static void huge_apply(struct vm_entry *e, unsigned huge) { e->huge = (uint8_t)huge; }

enum error vm_map_huge(struct vm_map *m, struct vrange r, unsigned huge)
{
	return change_alone(m, r, &(struct change){ any_allowed, huge_apply, huge, false });
}

static void wire_apply(struct vm_entry *e, unsigned wire) { e->wired = wire != 0; }

/*
 * Pages come first: filling them can fail, and then nothing is locked (POSIX, mlock). What is discarded in between
 * is filled again when it is touched.
 */
enum error vm_map_wire(struct vm_map *m, struct vrange r, bool wire)
{
	enum error e = wire ? vm_map_populate(m, r, PROT_R) : OK;

	return e == OK ? change_alone(m, r, &(struct change){ any_allowed, wire_apply, wire, false }) : e;
}

static void wire_accessible(struct vm_entry *e, unsigned wire)
{
	if (!wire || e->prot != PROT_NONE_)
		e->wired = wire != 0;
}

enum error vm_map_wire_all(struct vm_map *m, bool wire)
{
	struct vm_entry_info info;

	/* Pages first, as above. What goes away meanwhile, or lies behind a file's end, does not matter. */
	for (uint64_t va = m->bounds.start.va; wire && vm_map_lookup(m, va, &info); va = info.range.end.va)
		if (info.prot != PROT_NONE_ && vm_map_populate(m, info.range, PROT_R) == ERR_NOMEM)
			return ERR_NOMEM;
	return change_alone(m, m->bounds, &(struct change){ any_allowed, wire_accessible, wire, true });
}

/* What of e lies in r. */
static struct vrange clipped(const struct vm_entry *e, struct vrange r)
{
	struct vrange part = e->range;

	if (part.start.va < r.start.va)
		part.start = r.start;
	if (part.end.va > r.end.va)
		part.end = r.end;
	return part;
}

/* One entry needs nothing set aside: trimming itself does all or nothing. */
static enum error reserve_discard(struct map_edit *ed)
{
	enum error e = OK;

	if (!ed->old || !ed->old->edit_next)
		return OK;
	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next) {
		struct vrange part = clipped(o, ed->range);

		if (o->amap)
			e = amap_reserve_trim(o->amap, part.start.va, part.end.va, &ed->reserve);
	}
	return e;
}

/*
 * The entries stay live, so the private pages leave their slots first, then the
 * PTEs go (DESIGN 5.6): a fault in between finds an empty slot, waits for the
 * old PTE to go, and fills afresh. The memory for all entries is there before
 * the first is touched.
 */
enum error vm_map_discard(struct vm_map *m, struct vrange r)
{
	struct map_edit ed;
	uint64_t at = r.start.va;
	bool hole = false;
	enum error e = map_check_range(m, r);

	if (e != OK)
		return e;
	map_edit_begin(&ed, m, r, false);
	e = reserve_discard(&ed);
	for (const struct vm_entry *o = ed.old; o && e == OK; o = o->edit_next) {
		struct amap_trash trash = { .count = 0 };
		struct vrange part = clipped(o, r);

		if (o->range.start.va > at)
			hole = true;
		at = o->range.end.va;
		if (o->amap)
			e = amap_trim_reserved(o->amap, part.start.va, part.end.va, &ed.reserve, &trash);
		if (e != OK)
			break;
		pmap_remove(&m->pmap, part, &ed.gather);
		map_flush(m->vm, &ed.gather);
		amap_trash_drop(m->vm, &trash);
	}
	frame_list_free_by_epoch(&m->vm->frames, &ed.gather.unlinked);
	ed.old = NULL; /* nothing was replaced */
	map_edit_abort(&ed);
	if (e == OK && (hole || at < r.end.va))
		e = ERR_NOENT;
	return e;
}

static const struct vm_mapping heap = {.prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY, .name = "[heap]"};

/* Page aligned, both. */
static enum error move_break(struct vm_map *m, uint64_t from, uint64_t to)
{
	uint64_t at = from;

	if (to > from)
		return map_quick_extend(m, from, to, &heap) ? OK : vm_map_enter(m, &at, to - from, &heap, MAP_AT_FREE);
	if (to < from)
		return map_quick_cut(m, to, from) ? OK : vm_map_remove(m, vrange(to, from));
	return OK;
}

uint64_t vm_map_brk(struct vm_map *m, uint64_t addr)
{
	uint64_t result;

	mutex_lock(&m->brk_lock);
	if (addr >= m->brk_start && addr < m->bounds.end.va && m->brk_start != 0 &&
	    move_break(m, round_up(m->brk_end, PAGE_SIZE), round_up(addr, PAGE_SIZE)) == OK)
		m->brk_end = addr;
	result = m->brk_end;
	mutex_unlock(&m->brk_lock);
	return result;
}

/* --- page by page --- */

static enum error populate_page(struct vm_map *m, uint64_t va, enum prot access)
{
	struct vm_entry_info info;
	enum prot want;
	enum error e;

	do {
		if (!vm_map_lookup(m, va, &info) || info.range.start.va > va)
			return ERR_NOENT;
		/* A private writable page is made now, not at the first write. */
		want = !info.shared && (info.prot & PROT_W) ? PROT_W : access;
		e = vm_fault(m, vaddr(va), want);
		/* Refused what nobody asked for: the right to write has gone since the look. */
	} while (e == ERR_ACCESS && want != access);
	return e;
}

enum error vm_map_populate(struct vm_map *m, struct vrange r, unsigned access)
{
	enum error e = map_check_range(m, r);

	for (uint64_t va = r.start.va; va < r.end.va && e == OK; va += PAGE_SIZE) {
		e = populate_page(m, va, (enum prot)access);
		if ((va & (BLOCK_SIZE - 1)) == 0)
			sync_ops->yield(); /* long loops let others run */
	}
	return e;
}

enum error vm_map_resident(struct vm_map *m, struct vrange r, uint8_t *vec)
{
	enum error e = map_check_range(m, r);

	for (uint64_t va = r.start.va; va < r.end.va && e == OK; va += PAGE_SIZE) {
		const struct vm_entry *entry;
		bool there = false, exclusive;

		epoch_enter(&m->vm->epoch);
		entry = map_find_anew(m, va);
		if (!entry) {
			e = ERR_NOENT;
		} else {
			struct amap_node *leaf = entry->amap ? amap_find(entry->amap, va, &exclusive) : NULL;

			there = (leaf && amap_slot(leaf, va)) ||
				(entry->object && object_lookup(entry->object, entry_index(entry, va)));
		}
		epoch_leave(&m->vm->epoch);
		vec[(va - r.start.va) >> PAGE_SHIFT] = there;
	}
	return e;
}
