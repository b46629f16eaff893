/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/pmap_range.c: rights taken away from ranges.
 *
 * Both functions go from leaf table to leaf table, and in a table from one cache
 * line that may hold something to the next (table.c, 6), so their time grows with the tables
 * that exist and the lines in use in r, not with r.
 *
 * Every table that is linked is locked, even if it holds nothing: a fault that
 * found its entry live before the caller marked it dead may hold the lock and be
 * about to store its PTE (DESIGN 5.4). After our hold of the lock, no fault that
 * saw the entry live can store one.
 *
 * remove, in one window:          protect, in one window:
 *   valid PTE -> 0 or BUSY          r covers it whole: limits in the level-2
 *   reverse map, flags              descriptor (APTable, UXNTable), PTEs left
 *   table empty, r covers the       alone; else each PTE by cas
 *   window: unlink it
 *
 * Memory order. PTEs are cleared by swap, or by load and store where hardware
 * writes nothing: only the leaf lock's holder writes then, but for pmap_spurious
 * setting the access flag, a loss that nobody misses. Visibility to walkers
 * comes with the gather's DSB.
 *
 * Failure. None.
 */
#include "hal/armv8/pmap_private.h"

/* The end of the part of r that the table of va maps. */
static uint64_t window_end(uint64_t va, struct vrange r)
{
	uint64_t end = round_down(va, BLOCK_SIZE) + BLOCK_SIZE;

	return end < r.end.va ? end : r.end.va;
}

static bool whole_window(uint64_t va, struct vrange r)
{
	uint64_t start = round_down(va, BLOCK_SIZE);

	return r.start.va <= start && start + BLOCK_SIZE <= r.end.va;
}

/* The next table of r from *va on, locked; a range that lies in one window needs no search. Inside a section. */
static inline bool next_lock(struct pmap *pm, struct vrange r, uint64_t *va, struct pmap_leaf *leaf)
{
	if ((r.start.va ^ (r.end.va - 1)) < BLOCK_SIZE)
		return *va < r.end.va && table_find_lock(pm, *va, leaf);
	return table_next_lock(pm, va, r.end.va, leaf);
}

static void check_args(const struct pmap *pm, struct vrange r, const struct tlb_gather *g)
{
	ASSERT_CHECKED(g->pm == pm);
	ASSERT_CHECKED(((r.start.va | r.end.va) & PAGE_MASK) == 0 && r.start.va <= r.end.va && r.end.va <= BIT(48));
	ASSERT_CHECKED(!epoch_inside(pm->sys->config.epoch));
}

/* Clears the valid PTEs of one table in [va, end), which lie in one line of it. Returns how many. */
static unsigned remove_line_locked(struct pmap_leaf *leaf, uint64_t va, uint64_t end, struct tlb_gather *g)
{
	struct pmap_system *ps = leaf->pm->sys;
	uint64_t after = g->exclusive ? 0 : gather_tag(g), left = 0, run = va;
	bool whole = end - va == LINE_SPAN;
	unsigned n = 0;

	for (; va < end; va += PAGE_SIZE) {
		struct pte *p = leaf_pte(leaf, va);
		uint64_t d = mmu_pte_load(p);

		if (!pte_valid(d)) {
			left |= d;
			if (d) /* BUSY: its flush may still be to come, but what it mapped may be freed after ours */
				continue;
			if (run < va)
				gather_add(g, run, va);
			run = va + PAGE_SIZE;
			continue;
		}
		if (ps->hw_updates)
			d = mmu_pte_swap(p, after);
		else
			mmu_pte_store(p, after);
		if (!g->open)
			gather_open(g);
		if (pte_tracked(d))
			rmap_drop(ps, pte_frame(d), (struct rmap_entry){ leaf->pm, va }, d);
		left |= after;
		n++;
	}
	if (run < end)
		gather_add(g, run, end);
	if (whole && !left)
		table_line_empty_locked(leaf, va - PAGE_SIZE);
	return n;
}

/* Likewise, lines that may hold something only. */
static unsigned remove_locked(struct pmap_leaf *leaf, uint64_t va, uint64_t end, struct tlb_gather *g)
{
	unsigned n = 0;

	while ((va = leaf_occupied(leaf, va, end)) < end) {
		uint64_t stop = round_down(va, LINE_SPAN) + LINE_SPAN;

		if (stop > end)
			stop = end;
		n += remove_line_locked(leaf, va, stop, g);
		va = stop;
	}
	return n;
}

static void busy_extend(struct tlb_gather *g, uint64_t start, uint64_t end)
{
	if (g->busy.end.va == 0)
		g->busy = vrange(start, end);
	if (start < g->busy.start.va)
		g->busy.start.va = start;
	if (end > g->busy.end.va)
		g->busy.end.va = end;
}

void pmap_remove(struct pmap *pm, struct vrange r, struct tlb_gather *g)
{
	struct epoch *epoch = pm->sys->config.epoch;
	uint64_t va = r.start.va;
	struct pmap_leaf leaf;
	bool found;

	check_args(pm, r, g);
	do {
		epoch_enter(epoch);
		found = next_lock(pm, r, &va, &leaf);
		if (found) {
			uint64_t end = window_end(va, r);
			unsigned n;

			block_split_locked(&leaf, va);
			/* relaxed: under the leaf lock */
			n = atomic_load_relaxed(&leaf.page->live) ? remove_locked(&leaf, va, end, g) : 0;

			if (n && g->exclusive)
				table_empty_locked(&leaf, n);
			else if (n)
				busy_extend(g, va, end);
			if (whole_window(va, r) && atomic_load_relaxed(&leaf.page->live) == 0) {
				if (n == 0) /* one address, for the table entries that lead there */
					gather_add(g, va, va + PAGE_SIZE);
				table_unlink_locked(&leaf, g);
			}
			pmap_leaf_unlock(&leaf);
			va = end;
		}
		epoch_leave(epoch);
	} while (found && va < r.end.va);
}

/* True when TLBs may hold more rights than after is worth. */
static bool must_flush(const struct pmap_system *ps, uint64_t before, uint64_t after)
{
	uint64_t matters = PTE_AP_RO | PTE_UXN | (ps->hw_dirty ? PTE_DBM : 0);

	return (before ^ after) & matters;
}

static void protect_locked(struct pmap_leaf *leaf, uint64_t va, uint64_t end, enum prot prot, struct tlb_gather *g)
{
	for (va = leaf_occupied(leaf, va, end); va < end; va = leaf_step(leaf, va, end)) {
		struct pte *p = leaf_pte(leaf, va);
		uint64_t d = mmu_pte_load(p);

		/* cas: a dirty bit that hardware sets meanwhile is seen and kept as SW_DIRTY */
		while (pte_valid(d) && pte_restrict(d, prot) != d && !mmu_pte_cas(p, &d, pte_restrict(d, prot)))
			;
		if (pte_valid(d) ? must_flush(leaf->pm->sys, d, pte_restrict(d, prot)) : d != 0)
			gather_add(g, va, va + PAGE_SIZE); /* BUSY: what it was may not be flushed yet */
	}
}

void pmap_protect(struct pmap *pm, struct vrange r, enum prot prot, struct tlb_gather *g)
{
	struct epoch *epoch = pm->sys->config.epoch;
	uint64_t limits = (prot & PROT_W ? 0 : TABLE_RO) | (prot & PROT_X ? 0 : TABLE_UXN);
	uint64_t va = r.start.va;
	struct pmap_leaf leaf;
	bool found;

	check_args(pm, r, g);
	ASSERT_CHECKED(prot != PROT_NONE_);
	do {
		epoch_enter(epoch);
		found = next_lock(pm, r, &va, &leaf);
		if (found) {
			uint64_t end = window_end(va, r);

			if (atomic_load_relaxed(&leaf.page->live) == 0) { /* relaxed: under the leaf lock */
				;
			} else if (!whole_window(va, r)) {
				block_split_locked(&leaf, va);
				protect_locked(&leaf, va, end, prot, g);
			} else if ((mmu_pte_load(leaf.page->parent) & limits) != limits) {
				leaf_limit_locked(&leaf, limits);
				gather_add(g, va, end);
				g->tables = true;
			}
			pmap_leaf_unlock(&leaf);
			va = end;
		}
		epoch_leave(epoch);
	} while (found && va < r.end.va);
}
