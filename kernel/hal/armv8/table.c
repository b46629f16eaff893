/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/table.c: the tree of translation tables of one pmap.
 *
 * Structure. Four levels of 512 descriptors. The root belongs to the pmap for
 * its life; tables of level 1 and 2 come when they are needed and go with the
 * pmap; leaf tables (level 3, 2 MiB of address space each) may go earlier, when
 * they are empty and someone unmaps their whole window.
 *
 *      root ---> level 1 ---> level 2 ---> leaf table       pmap_page of its frame:
 *      (L0)                   descriptor    512 PTEs         lock, live, LINKED, parent
 *                                 ^                                        |
 *                                 +----------------------------------------+
 *
 * A level-2 descriptor goes   0 --link--> table --unlink--> BUSY --flush--> 0,
 * and while it is a table its limits (APTable, UXNTable) may be set and cleared;
 * so may a level-1 descriptor's APTable (limit.c).
 *
 * Invariants.
 *  1. A descriptor above the leaf level leaves 0 only by compare-and-swap, in
 *     table_link; it changes afterwards only under the lock of the table that it
 *     leads to (of level 0 never), and BUSY becomes 0 only by the gather that made it.
 *  2. LINKED is set exactly while the parent descriptor leads to the table; it
 *     is cleared under the leaf lock.
 *  3. live = PTEs of the table that are not 0. A table is unlinked only with
 *     live = 0, so an unlinked table holds nothing but zeros, for ever.
 *  4. A table frame, once linked, is reused only after a flush and a grace
 *     period. So who found it in a section may lock its pmap_page and read its
 *     zeros; LINKED tells that it came too late.
 *  5. A PTE changes only under the leaf lock, but for the access flag and the
 *     dirty state, which hardware and pmap_spurious change by atomic
 *     read-modify-write. Hence swap, and, or and cas wherever those may happen.
 *  6. A descriptor that is not 0 has its line's bit in the table's lines. A leaf
 *     table's bits change under the leaf lock: set before the PTE, cleared where
 *     the line is seen to hold zeros, and all of them with live = 0. Above the
 *     leaves they are set before the link, which takes no lock, and stay for the
 *     life of the pmap: a bit that is cleared in the middle of a link would hide
 *     it. So what a walk costs is the lines that were used, not the range.
 *
 * Memory order. Linking is a seq_cst cas, loads of table descriptors are
 * seq_cst: with the mutator's seq_cst store and the faulter's seq_cst load of an
 * entry's "dead" they form the store-buffering square of DESIGN 5.4: of
 *      faulter: cas parent 0 -> table; load dead
 *      mutator: store dead;            load parent
 * one sees the other. The mutator may load lines in the place of the parent: the
 * faulter sets the bit, seq_cst, or sees it set, before its cas. The cas is a release besides, so that walkers and readers
 * find zeros in a new table (pair: the load in the next descent; for the walker
 * the address dependency).
 *
 * Failure. Only a missing table without stock; what was linked stays linked.
 */
#include "hal/armv8/pmap_private.h"

/* A fresh leaf or inner table out of the stock, linked at p in table; false: someone else was first, or the stock is empty. */
static enum error table_link(struct pmap *pm, pfn_t table, struct pte *p, struct pmap_stock *stock, uint64_t *d)
{
	struct pmap_page *upper = pmap_page_at(pm->sys, table), *page;
	uint64_t bit = line_bit((unsigned)(p - table_at(table)));
	pfn_t f;

	if (!stock || stock->tables == 0)
		return ERR_STOCK;
	f = stock->table[stock->tables - 1];
	page = pmap_page_at(pm->sys, f);
	/* relaxed: the cas below publishes them */
	atomic_store_relaxed(&page->live, (uint16_t)0);
	atomic_store_relaxed(&page->flags, (uint16_t)PMAP_PAGE_LINKED);
	atomic_store_relaxed(&page->lines, UINT64_C(0));
	atomic_store_relaxed(&page->shadow, 0u);
	page->parent = p;
	/* seq_cst, both: before the cas, for walks that find the bit clear and look no further (see the theory) */
	if (!(atomic_load_seq_cst(&upper->lines) & bit))
		(void)atomic_or_seq_cst(&upper->lines, bit);
	*d = 0;
	if (mmu_pte_cas(p, d, pfn_to_paddr(f).pa | PTE_PAGE)) {
		stock->tables--;
		*d = pfn_to_paddr(f).pa | PTE_PAGE;
		atomic_add_relaxed(&pm->tables, UINT64_C(1)); /* a statistic */
		return OK;
	}
	/* Lost the race: the frame stays in the stock, as it was. */
	atomic_store_relaxed(&page->flags, (uint16_t)0);
	page->parent = NULL;
	return OK;
}

/* parent: the descriptor that leads to the table; upper: the one above that, or 0 if nobody asks for it. */
static void leaf_fill(struct pmap *pm, uint64_t upper, uint64_t parent, struct pmap_leaf *leaf)
{
	leaf->pm = pm;
	leaf->upper = upper;
	leaf->table = table_at(pte_frame(parent));
	leaf->page = pmap_page_at(pm->sys, pte_frame(parent));
}

/* Takes the leaf lock; false and unlocked: the table was unlinked meanwhile. */
static inline bool leaf_lock_linked(struct pmap_leaf *leaf)
{
	spin_lock(&leaf->page->lock, RANK_LEAF);
	/* relaxed: written before the link was visible, or under this lock */
	if (LIKELY(atomic_load_relaxed(&leaf->page->flags) & PMAP_PAGE_LINKED))
		return true;
	spin_unlock(&leaf->page->lock);
	return false;
}

/* Down to the leaf table, linking what is missing. *upper, *d: the descriptors that lead to it. Errors: pmap_leaf_lock. */
static enum error descend_and_link(struct pmap *pm, vaddr_t va, struct pmap_stock *stock, uint64_t *upper, uint64_t *d)
{
	pfn_t table = pm->root;
	enum error e;

	*d = 0;
	for (unsigned level = 0; level < LEAF_LEVEL; level++) {
		struct pte *p = &table_at(table)[level_index(va.va, level)];

		*upper = *d;
		*d = mmu_pte_load_seq_cst(p);
		if (*d == 0 && (e = table_link(pm, table, p, stock, d)) != OK) {
			if (stock)
				stock->missing = LEAF_LEVEL - level;
			return e;
		}
		if (!table_below(pm, p, d))
			return ERR_BUSY;
		table = pte_frame(*d);
	}
	return OK;
}

/* Each turn but the last met a table that was being unlinked; the next descent finds what took its place. */
static NOINLINE enum error leaf_lock_slow(struct pmap *pm, vaddr_t va, struct pmap_stock *stock, struct pmap_leaf *leaf)
{
	for (;;) {
		uint64_t upper, d;
		enum error e = descend_and_link(pm, va, stock, &upper, &d);

		if (e != OK)
			return e;
		leaf_fill(pm, upper, d, leaf);
		if (!leaf_lock_linked(leaf))
			continue;
		if (stock || !leaf_is_block(leaf))
			return OK;
		pmap_leaf_unlock(leaf); /* a short way changes what it locks, and splits nothing */
		return ERR_BUSY;
	}
}

enum error pmap_leaf_lock(struct pmap *pm, vaddr_t va, struct pmap_stock *stock, struct pmap_leaf *leaf)
{
	pfn_t table = pm->root;
	uint64_t upper, d = 0;

	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	ASSERT_CHECKED(va.va >> 48 == 0);
	/* Mostly nothing is missing. */
#pragma GCC unroll 3 /* shifts by constants */
	for (unsigned level = 0; level < LEAF_LEVEL; level++) {
		upper = d;
		d = mmu_pte_load_seq_cst(&table_at(table)[level_index(va.va, level)]);
		if (UNLIKELY(!pte_is_table(d)))
			goto slow;
		table = pte_frame(d);
	}
	leaf_fill(pm, upper, d, leaf);
	if (LIKELY(spin_trylock(&leaf->page->lock, RANK_LEAF))) {
		/* relaxed: as in leaf_lock_linked. If it has become a block since the descent, what short ways may do finds its PTEs full. */
		if (LIKELY(atomic_load_relaxed(&leaf->page->flags) & PMAP_PAGE_LINKED))
			return OK;
		spin_unlock(&leaf->page->lock);
	}
slow:
	return leaf_lock_slow(pm, va, stock, leaf);
}

/* *d: the descriptor of the table below entry i of a table, whatever stands for it. false: none. */
static ALWAYS_INLINE bool table_load(const struct pmap *pm, pfn_t table, unsigned i, uint64_t *d)
{
	const struct pte *p = &table_at(table)[i];

	*d = mmu_pte_load_seq_cst(p);
	return table_below(pm, p, d);
}

/*
 * The first valid descriptor of a table for *va or above and below end; *va moves up to where it begins. False: none in
 * this table; *va is then behind it, or not below end.
 */
static ALWAYS_INLINE bool table_next(struct pmap *pm, pfn_t table, unsigned level, uint64_t *va, uint64_t end, uint64_t *d)
{
	unsigned i = level_index(*va, level), last;
	uint64_t span = level_span(level), base = round_down(*va, span) - i * span, lines;

	if (table_load(pm, table, i, d))
		return true;
	last = end - base < TABLE_ENTRIES * span ? level_index(end - 1, level) : TABLE_ENTRIES - 1;
	lines = atomic_load_seq_cst(&pmap_page_at(pm->sys, table)->lines); /* in the place of the descriptors' loads (see the theory) */
	for (i++; i <= last && (i = lines_next(lines, i)) <= last;) {
		unsigned stop = i | (LINE_ENTRIES - 1);

		if (stop > last)
			stop = last;
		for (; i <= stop; i++) {
			const struct pte *p = &table_at(table)[i];

			*d = mmu_pte_load_seq_cst(p);
			if (*d && table_below(pm, p, d)) { /* mostly 0 */
				*va = base + i * span;
				return true;
			}
		}
	}
	*va = base + TABLE_ENTRIES * span;
	return false;
}

/* The first table of that level at or above *va, by the descriptor that leads to it. false: none, and *va is not below end. */
static ALWAYS_INLINE bool descend_next(struct pmap *pm, unsigned to, uint64_t *va, uint64_t end, uint64_t *d)
{
	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	while (*va < end) {
		pfn_t table = pm->root;
		bool found = true;

#pragma GCC unroll 3 /* shifts by constants */
		for (unsigned level = 0; level < to && found; level++) {
			found = table_next(pm, table, level, va, end, d);
			if (found)
				table = pte_frame(*d);
		}
		if (found)
			return true;
	}
	return false;
}

bool table_next_lock(struct pmap *pm, uint64_t *va, uint64_t end, struct pmap_leaf *leaf)
{
	uint64_t d;

	while (descend_next(pm, LEAF_LEVEL, va, end, &d)) {
		leaf_fill(pm, 0, d, leaf);
		if (leaf_lock_linked(leaf))
			return true;
		/* Unlinked under our eyes; the descriptor is no longer that table: look again. */
	}
	return false;
}

bool table_next_upper(struct pmap *pm, uint64_t *va, uint64_t end, pfn_t *upper)
{
	uint64_t d;

	if (!descend_next(pm, LEAF_LEVEL - 1, va, end, &d))
		return false;
	*upper = pte_frame(d);
	return true;
}

bool table_next_below_lock(struct pmap *pm, pfn_t upper, uint64_t *va, uint64_t end, struct pmap_leaf *leaf)
{
	uint64_t d;

	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	while (*va < end && table_next(pm, upper, LEAF_LEVEL - 1, va, end, &d)) {
		leaf_fill(pm, 0, d, leaf);
		if (leaf_lock_linked(leaf))
			return true;
	}
	return false;
}

bool table_find_lock(struct pmap *pm, uint64_t va, struct pmap_leaf *leaf)
{
	uint64_t d;

	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	do {
		pfn_t table = pm->root;

#pragma GCC unroll 3 /* shifts by constants */
		for (unsigned level = 0; level < LEAF_LEVEL; level++) {
			if (!table_load(pm, table, level_index(va, level), &d))
				return false;
			table = pte_frame(d);
		}
		leaf_fill(pm, 0, d, leaf);
	} while (!leaf_lock_linked(leaf)); /* unlinked under our eyes: look again */
	return true;
}

bool pmap_has_leaf(struct pmap *pm, vaddr_t va)
{
	pfn_t table = pm->root;

#pragma GCC unroll 3 /* shifts by constants */
	for (unsigned level = 0; level < LEAF_LEVEL; level++) {
		uint64_t d;

		if (!table_load(pm, table, level_index(va.va, level), &d))
			return false;
		table = pte_frame(d);
	}
	return true;
}

struct pte *table_peek(struct pmap *pm, uint64_t va, uint64_t *d, uint64_t *parent)
{
	uint64_t limits = 0, t;
	pfn_t table = pm->root;

	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	for (unsigned level = 0;; level++) {
		struct pte *p = &table_at(table)[level_index(va, level)];

		/* acquire: pairs with table_link, and with each push-down: who sees the limit gone sees what is below limited */
		*d = mmu_pte_load(p);
		if (level == LEAF_LEVEL)
			return p;
		t = *d;
		if (!table_below(pm, p, &t)) {
			*d = 0;
			*parent = 0;
			return NULL;
		}
		limits |= *d & TABLE_LIMITS;
		*parent = *d | limits;
		table = pte_frame(t);
	}
}

void table_unlink_locked(struct pmap_leaf *leaf, struct tlb_gather *g)
{
	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT_CHECKED(atomic_load_relaxed(&leaf->page->live) == 0);
	/* BUSY until the flush: another table may not come before this one has left all walk caches. */
	mmu_pte_store_seq_cst(leaf->page->parent, gather_tag(g));
	atomic_store_relaxed(&leaf->page->flags, (uint16_t)0); /* under the leaf lock */
	atomic_sub_relaxed(&leaf->pm->tables, UINT64_C(1));     /* a statistic */
	g->tables = true;
	pmap_list_push(leaf->pm->sys, &g->unlinked, paddr_to_pfn(virt_to_phys(leaf->table)));
}
