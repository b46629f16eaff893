/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_place.c: where a mapping goes when the caller leaves the address free.
 *
 * From the top down, as programs expect: what is mapped next to each other is found next to each other. A map that
 * several threads use is cut in regions, one a CPU, so that those who map and unmap at the same time do not meet in leaf tables.
 */
#include "vm/map_edit.h"

#define REGION (UINT64_C(1) << 30) /* of addresses, aligned: what a table of level 2 maps */

/* Where this CPU looks first: by its number, counted down from the last whole region below the stack. Empty: there is no room. */
static struct vrange own_region(const struct vm_map *m)
{
	uint64_t top = round_down(m->stack_limit, REGION), skip = cpu_id() * REGION;

	if (top < m->bounds.start.va + skip + REGION)
		return vrange(0, 0);
	return vrange(top - skip - REGION, top - skip);
}

bool map_pick_locked(struct vm_map *m, uint64_t hint, uint64_t size, uint64_t *addr)
{
	struct vrange all = m->bounds;
	bool found = false;

	if (hint >= all.start.va && hint < all.end.va && all.end.va - hint >= size)
		found = entry_list_gap(&m->list, vrange(hint, hint + size), size, addr);
	if (!found && atomic_load_relaxed(&m->spread)) /* relaxed: a hint */
		found = entry_list_gap(&m->list, own_region(m), size, addr);
	if (!found && m->stack_limit > all.start.va)
		found = entry_list_gap(&m->list, vrange(all.start.va, m->stack_limit), size, addr);
	if (!found)
		found = entry_list_gap(&m->list, all, size, addr);
	return found;
}
