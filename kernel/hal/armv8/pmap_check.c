/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/armv8/pmap_check.c: the invariants of table.c and rmap.c, at a quiet point: nobody else uses the pmap or its frames. */
#include "hal/armv8/pmap_private.h"

static void check_pte(struct pmap *pm, uint64_t va, uint64_t d, uint64_t *tracked)
{
	struct pmap_system *ps = pm->sys;
	pfn_t f = pte_frame(d);

	ASSERT(pte_valid(d)); /* nothing is BUSY at a quiet point */
	ASSERT((d & PTE_PAGE) == PTE_PAGE && d & PTE_NG && d & PTE_PXN && d & PTE_AP_USER);
	ASSERT(d & PTE_AP_RO || d & PTE_DBM); /* written, so it may be written */
	if (!pte_tracked(d))
		return;
	ASSERT(pmap_has_page(ps, f));
	ASSERT(!(atomic_load_relaxed(&pmap_page_at(ps, f)->flags) & PMAP_PAGE_LINKED));
	ASSERT(d & PTE_UXN || atomic_load_relaxed(&pmap_page_at(ps, f)->flags) & PMAP_PAGE_EXEC_CLEAN);
	ASSERT(rmap_count(ps, f, (struct rmap_entry){ pm, va }) == 1);
	++*tracked;
}

/* d says what all the PTEs behind it say, but for its limits. */
static void check_block(uint64_t d, const struct pte *table)
{
	uint64_t limited = d & TABLE_RO ? PTE_AP_RO | PTE_DBM : 0, f = pte_frame(d).fn;

	ASSERT(f % TABLE_ENTRIES == 0);
	ASSERT(!(d & TABLE_RO) || (d & (PTE_AP_RO | PTE_DBM)) == PTE_AP_RO);
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t page = mmu_pte_load(&table[i]);

		ASSERT(pte_frame(page).fn == f + i);
		ASSERT(((page ^ d) & ~(PTE_ADDR | PTE_TABLE | TABLE_LIMITS | limited)) == 0);
	}
}

static void check_table(struct pmap *pm, pfn_t table, unsigned level, uint64_t base, uint64_t *tables, uint64_t *tracked)
{
	static const uint64_t limits[LEAF_LEVEL] = { 0, TABLE_RO, TABLE_LIMITS };
	uint64_t lines = atomic_load_relaxed(&pmap_page_at(pm->sys, table)->lines);
	unsigned live = 0;

	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		struct pte *p = &table_at(table)[i];
		uint64_t d = mmu_pte_load(p), va = base + i * level_span(level), below;
		struct pmap_page *page;

		if (d == 0)
			continue;
		live++;
		ASSERT(lines & line_bit(i));
		if (level == LEAF_LEVEL) {
			check_pte(pm, va, d, tracked);
			continue;
		}
		ASSERT(pte_valid(d));
		below = d;
		ASSERT(table_below(pm, p, &below));
		ASSERT((below & ~(PTE_ADDR | limits[level])) == PTE_PAGE);
		page = pmap_page_at(pm->sys, pte_frame(below));
		ASSERT(atomic_load_relaxed(&page->flags) == (d == below ? PMAP_PAGE_LINKED : PMAP_PAGE_LINKED | PMAP_PAGE_BLOCK));
		ASSERT(page->parent == p);
		if (d != below)
			check_block(d, table_at(pte_frame(below)));
		++*tables;
		check_table(pm, pte_frame(below), level + 1, va, tables, tracked); /* three deep at most */
	}
	ASSERT(level + 1 == LEAF_LEVEL || pfn_is_none(block_shadow(pm->sys, table)));
	*tables += level + 1 == LEAF_LEVEL && !pfn_is_none(block_shadow(pm->sys, table));
	if (level == LEAF_LEVEL) {
		ASSERT(atomic_load_relaxed(&pmap_page_at(pm->sys, table)->live) == live);
		ASSERT(live || !lines);
	}
}

/* How many entries of all reverse maps name pm. */
static uint64_t count_entries(struct pmap *pm)
{
	struct pmap_system *ps = pm->sys;
	uint64_t total = 0;

	for (uint64_t i = 0; i < ps->config.count; i++) {
		pfn_t f = pfn(ps->config.first.fn + i);
		struct rmap_entry e[8];
		unsigned skip = 0, n;

		if (atomic_load_relaxed(&pmap_page_at(ps, f)->flags) & PMAP_PAGE_LINKED)
			continue; /* a table's parent stands where a reverse map would */
		do {
			n = rmap_copy(ps, f, skip, e, ARRAY_SIZE(e));
			for (unsigned j = 0; j < n; j++)
				total += e[j].pm == pm;
			skip += n;
		} while (n == ARRAY_SIZE(e));
	}
	return total;
}

void pmap_check(struct pmap *pm)
{
	uint64_t tables = 0, tracked = 0;

	/* All loads are relaxed or acquire: the caller has made the point quiet. */
	check_table(pm, pm->root, 0, 0, &tables, &tracked);
	ASSERT(tables == atomic_load_relaxed(&pm->tables));
	ASSERT(count_entries(pm) == tracked);
}
