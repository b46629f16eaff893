/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_place.c: where a mapping goes when the caller leaves the address free.
 *
 * From the top down, as programs expect: what is mapped next to each other is found next to each other. In a map that several
 * threads use, first in the CPU's own part (map_part.c), so that those who map and unmap at the same time do not meet, in leaf tables
 * neither.
 */
#include "vm/map_edit.h"

/* In main, whose short lock is held: the highest below the GiB in which the stack ends, else below the stack, else of all. */
static bool in_main_locked(struct vm_map *m, uint64_t size, uint64_t *addr)
{
	uint64_t bytes = atomic_load_acquire(&m->part_bytes); /* pairs with vm_map_spread */
	struct vrange low = m->bounds, high = m->bounds, below;
	struct entry_list *l = &m->main.list;

	if (bytes) { /* main is what lies around the parts */
		low.end = vaddr(m->part_low);
		high.start = vaddr(m->part_low + bytes);
	}
	/* Not in the stack's GiB, so that the first write to the stack after a fork lifts no limit over anything else (armv8/limit.c). */
	below = high;
	below.end = vaddr(round_down(m->stack_limit, PMAP_LIMIT_SPAN));
	if (LIKELY(below.end.va > below.start.va) && entry_list_gap(l, below, size, addr))
		return true;
	below.end = vaddr(m->stack_limit);
	if (below.end.va > below.start.va && entry_list_gap(l, below, size, addr))
		return true;
	return (bytes && entry_list_gap(l, low, size, addr)) || entry_list_gap(l, high, size, addr);
}

static bool at_hint_locked(struct vm_map *m, struct map_part *p, uint64_t hint, uint64_t size)
{
	struct vrange r = vrange(hint, hint + size);

	return m->bounds.end.va - hint >= size && map_part_has(m, p, r) && entry_list_is_free(&p->list, r);
}

struct map_part *map_pick_lock(struct vm_map *m, uint64_t hint, uint64_t size, uint64_t *addr)
{
	struct map_part *p;

	if (UNLIKELY(hint >= m->bounds.start.va && hint < m->bounds.end.va)) {
		p = map_part_lock(m, hint);
		*addr = hint;
		if (at_hint_locked(m, p, hint, size))
			return p;
		spin_unlock(&p->ranges.lock);
	}
	if (UNLIKELY(atomic_load_acquire(&m->part_bytes))) { /* as above */
		uint64_t low = m->part_low + cpu_id() * MAP_PART;

		p = map_part_lock(m, low);
		if (entry_list_gap(&p->list, vrange(low, low + MAP_PART), size, addr))
			return p;
		spin_unlock(&p->ranges.lock);
	}
	p = &m->main;
	spin_lock(&p->ranges.lock, RANK_RANGE);
	if (LIKELY(in_main_locked(m, size, addr)))
		return p;
	spin_unlock(&p->ranges.lock);
	return NULL;
}
