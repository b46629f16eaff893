/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_part.c: address spaces in parts.
 *
 * Purpose. Threads of one process that map, unmap and protect memory of their own write nothing in common.
 *
 * Structure. A map begins with one part, main. When its second thread comes, each CPU gets a part of a GiB of addresses that
 * were free, with a list of entries and a range lock of its own; main keeps all other addresses. It stays so until the map ends.
 *
 *      main            part[0]   part[1]  ... part[n-1]           main
 *      |---------------|---------|---------|----------|----------------|
 *      bounds.start    part_low                       + part_bytes     bounds.end
 *
 * Invariants.
 *  1. An entry lies in one part: what a program maps across an edge becomes an entry on either side, and they never join.
 *  2. A change of a range that lies in one part takes that part's range lock; any other, and what goes through all of the map (fork, a
 *     move), takes all of them, over everything: main's first, whose holder alone may take the others' all.
 *  3. part_bytes changes once, with main's range lock held over everything and its short lock: who has a part's short lock, and finds
 *     by map_part_of that it is the right one, may count on it.
 *
 * Locking. One short lock at a time.
 * Memory order. part_bytes is stored release when the parts are complete, and loaded acquire.
 * Failure. A map that could not be cut goes on with main alone. mremap(2) knows one entry as its source, and one part as its
 * destination.
 *
 * Source: A. Clements et al., RadixVM (2013), for address spaces whose threads meet nowhere.
 */
#include "base/assert.h"
#include "vm/map_edit.h"

static uint32_t parts(const struct vm_map *m) { return (uint32_t)(atomic_load_acquire(&m->part_bytes) >> MAP_PART_SHIFT); /* as map_part_of */ }

void map_part_init(struct vm_map *m, struct map_part *p)
{
	range_lock_init(&p->ranges);
	entry_list_init(&p->list, m->vm->map_secret, m->bounds.end.va);
	atomic_store_relaxed(&p->size, UINT64_C(0)); /* not published yet */
}

/* A free range for the parts, as high as there is one; main's locks are held. */
static bool room_locked(struct vm_map *m, uint64_t bytes, uint64_t *low)
{
	struct vrange below = m->bounds;
	uint64_t at;

	if (m->stack_limit > below.start.va)
		below.end = vaddr(m->stack_limit);
	if (!entry_list_gap(&m->main.list, below, bytes + MAP_PART, &at))
		return false;
	*low = round_down(at + bytes + MAP_PART, MAP_PART) - bytes;
	return true;
}

void vm_map_spread(struct vm_map *m)
{
	uint32_t n = machine_info()->ncpus;
	struct map_part *part;
	struct range_hold all;
	bool wanted, tried;

	spin_lock(&m->main.ranges.lock, RANK_RANGE);
	tried = m->spread;
	m->spread = true;
	spin_unlock(&m->main.ranges.lock);
	if (tried)
		return;
	part = kmalloc_aligned(&m->vm->kmalloc, n * sizeof *part, CACHE_LINE);
	for (uint32_t i = 0; part && i < n; i++)
		map_part_init(m, &part[i]);
	range_lock_take(&m->main.ranges, &all, RANGE_ALL);
	spin_lock(&m->main.ranges.lock, RANK_RANGE);
	wanted = part && room_locked(m, n * MAP_PART, &m->part_low);
	if (wanted) {
		m->part = part;
		/* release: the parts are complete */
		atomic_store_release(&m->part_bytes, n * MAP_PART);
	}
	spin_unlock(&m->main.ranges.lock);
	range_lock_drop(&m->main.ranges, &all);
	if (part && !wanted)
		kfree(&m->vm->kmalloc, part);
}

uint64_t vm_map_size(const struct vm_map *m)
{
	uint64_t size = atomic_load_relaxed(&m->main.size);

	for (uint32_t i = 0; i < parts(m); i++)
		size += atomic_load_relaxed(&m->part[i].size);
	return size;
}

uint64_t map_part_end(struct vm_map *m, uint64_t va)
{
	uint64_t bytes = atomic_load_acquire(&m->part_bytes); /* as map_part_of */

	if (!bytes || va >= m->part_low + bytes)
		return m->bounds.end.va;
	return va < m->part_low ? m->part_low : round_down(va, MAP_PART) + MAP_PART;
}

void map_lock_all(struct vm_map *m, struct range_hold *h)
{
	range_lock_take(&m->main.ranges, h, RANGE_ALL);
	for (uint32_t i = 0; i < parts(m); i++)
		range_lock_take(&m->part[i].ranges, &m->part[i].all, RANGE_ALL);
}

void map_unlock_all(struct vm_map *m, struct range_hold *h)
{
	for (uint32_t i = parts(m); i-- > 0;)
		range_lock_drop(&m->part[i].ranges, &m->part[i].all);
	range_lock_drop(&m->main.ranges, h);
}

struct vm_entry *map_first(struct vm_map *m, uint64_t va)
{
	while (va < m->bounds.end.va) {
		struct vm_entry *e = entry_list_find(&map_part_of(m, va)->list, va);
		uint64_t end = map_part_end(m, va);

		if (e && e->range.start.va < end)
			return e;
		va = end; /* main goes on behind the parts */
	}
	return NULL;
}

struct vm_entry *map_after(struct vm_map *m, const struct vm_entry *e)
{
	uint64_t end = map_part_end(m, e->range.start.va);
	struct vm_entry *n = entry_list_after(e);

	return n && n->range.start.va < end ? n : map_first(m, end);
}

static void check_list(struct vm_map *m, struct map_part *p)
{
	entry_list_check(&p->list);
	for (const struct vm_entry *e = entry_list_after(&p->list.head); e; e = entry_list_after(e))
		ASSERT(map_part_of(m, e->range.start.va) == p && map_part_has(m, p, e->range));
}

void map_part_check(struct vm_map *m)
{
	check_list(m, &m->main);
	for (uint32_t i = 0; i < parts(m); i++)
		check_list(m, &m->part[i]);
}
