/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_grow.c: entries that grow downwards when they are touched below: an edit (map.c) that puts a longer one in
 * an entry's place.
 */
#include "vm/map_edit.h"

void vm_map_limit_stack(struct vm_map *m, uint64_t bytes)
{
	uint64_t low = bytes < m->bounds.end.va ? m->bounds.end.va - bytes : 0;

	atomic_store_relaxed(&m->grow_low, low); /* a limit: what has grown already stays */
}

static bool may_grow_to(struct vm_map *m, const struct vm_entry *e, uint64_t va)
{
	uint64_t low = atomic_load_relaxed(&m->grow_low); /* as above */

	return e->grows_down && va >= e->floor + ENTRY_GUARD && (va >= low || e->range.end.va <= low);
}

/* Where the growing entry that may reach down to va ends now; 0: none may. */
static uint64_t growing_end(struct vm_map *m, uint64_t va)
{
	const struct vm_entry *e;
	uint64_t end = 0;

	epoch_enter(&m->vm->epoch);
	e = map_first(m, va);
	if (e && may_grow_to(m, e, va))
		end = e->range.end.va;
	epoch_leave(&m->vm->epoch);
	return end;
}

enum error map_grow(struct vm_map *m, uint64_t va)
{
	uint64_t start = round_down(va, PAGE_SIZE), end = growing_end(m, start);
	struct map_edit ed;
	struct vm_entry *e, *n;
	enum error err;

	if (end == 0)
		return ERR_FAULT;
	map_edit_begin(&ed, m, vrange(start, end), false);
	e = ed.old;
	if (!e || e->edit_next || e->range.start.va <= start || e->range.end.va != end || !may_grow_to(m, e, start)) {
		/* Grown by somebody else meanwhile, or something lies in between: the next look tells. */
		err = e && e->range.start.va <= start ? OK : ERR_FAULT;
		map_edit_abort(&ed);
		return err;
	}
	err = map_edit_add(&ed, e, e->range, e->amap, &n);
	if (err != OK) {
		map_edit_abort(&ed);
		return err;
	}
	n->range.start = vaddr(start); /* anonymous: no offset to follow */
	map_edit_publish(&ed);
	map_edit_finish(&ed);
	return OK;
}
