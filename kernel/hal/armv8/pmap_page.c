/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/pmap_page.c: what all mappings of one frame know or lose.
 *
 * The way is against the lock order (leaf before reverse map), so each question
 * copies entries under the frame's lock, drops it, and takes the leaf lock of
 * each: there the PTE is verified again. All within one epoch section, which
 * keeps the copied pmaps and their tables.
 *
 *      section { copy up to BATCH entries [RANK_RMAP]
 *                each: leaf lock, still maps f? look or change    [RANK_LEAF]
 *                flush, no lock                                    }
 *
 * Invariants.
 *  1. An entry whose PTE does not map the frame any more was taken out, and its
 *     state noted in the frame's flags, before our leaf lock (rmap.c, 1 and 2).
 *     So flags read after the walk lack nothing that a PTE told before it.
 *  2. A PTE made BUSY_PAGE is emptied by the same call, after its flush; no new
 *     translation can come between (break before make). If the pmap was
 *     destroyed meanwhile, its table is no longer LINKED and nothing is to do.
 *
 *  3. When pmap_page_remove_all returns, no TLB leads to the frame: not by the
 *     mappings that it removed, and not by those that others have removed and are
 *     about to flush (gather.c).
 *
 * Failure. None. pmap_page_remove_all ends because its caller has withdrawn the
 * frame: nobody enters new mappings (DESIGN 5.6).
 */
#include "hal/armv8/pmap_private.h"

#define BATCH 16u

/* The locked PTE of a copied entry, if it still maps f. */
static struct pte *verify_lock(struct rmap_entry e, pfn_t f, struct pmap_leaf *leaf)
{
	struct pte *p;
	uint64_t d;

	if (!table_find_lock(e.pm, e.va, leaf))
		return NULL;
	block_split_locked(leaf, e.va);
	p = leaf_pte(leaf, e.va);
	d = mmu_pte_load(p);
	if (pte_valid(d) && pte_tracked(d) && pte_frame(d).fn == f.fn)
		return p;
	pmap_leaf_unlock(leaf);
	return NULL;
}

/* Invalidates single pages of several pmaps. No spinlock held. */
static void flush_pages(const struct rmap_entry *e, unsigned n)
{
	bool any = false;

	if (n == 0)
		return;
	ASSERT_CHECKED(cpu_debug()->held_count == 0);
	mmu_dsb_ish();
	for (unsigned i = 0; i < n; i++) {
		uint32_t asid = asid_to_flush(e[i].pm);

		if (!asid)
			continue;
		mmu_tlbi_page(asid, vaddr(e[i].va), true);
		any = true;
	}
	if (any)
		mmu_dsb_ish();
}

/* Is any PTE of f dirty (modified) or accessed (else)? With clear: makes it clean or not accessed, and flushes. */
static bool walk(struct pmap_system *ps, pfn_t f, bool modified, bool clear)
{
	unsigned skip = 0, n;
	bool any = false;

	do {
		struct rmap_entry e[BATCH], flush[BATCH];
		unsigned flushes = 0;

		epoch_enter(ps->config.epoch);
		n = rmap_copy(ps, f, skip, e, BATCH);
		for (unsigned i = 0; i < n; i++) {
			struct pmap_leaf leaf;
			struct pte *p = verify_lock(e[i], f, &leaf);
			uint64_t d, new;

			if (!p)
				continue;
			d = mmu_pte_load(p);
			do {
				if (modified)
					new = (d | PTE_AP_RO) & ~PTE_SW_DIRTY;
				else
					new = d & ~PTE_AF;
				/* cas: the hardware may set its bits meanwhile */
			} while (clear && new != d && !mmu_pte_cas(p, &d, new));
			pmap_leaf_unlock(&leaf);
			any |= new != d;
			if (clear && (new ^ d) & (PTE_AP_RO | PTE_AF)) /* what TLBs know of */
				flush[flushes++] = e[i];
		}
		flush_pages(flush, flushes);
		epoch_leave(ps->config.epoch);
		skip += n;
	} while (n == BATCH && (clear || !any));
	return any;
}

/* The flag in f's pmap_page, cleared if asked. */
static bool noted(struct pmap_system *ps, pfn_t f, unsigned flag, bool clear)
{
	struct pmap_page *page = pmap_page_at(ps, f);
	unsigned flags;

	spin_lock(&page->lock, RANK_RMAP);
	flags = atomic_load_relaxed(&page->flags); /* relaxed: under the lock */
	if (clear && flags & flag)
		atomic_store_relaxed(&page->flags, (uint16_t)(flags & ~flag));
	spin_unlock(&page->lock);
	return flags & flag;
}

bool pmap_page_referenced(struct pmap_system *ps, pfn_t f, bool clear)
{
	bool mapped = walk(ps, f, false, clear);

	return noted(ps, f, PMAP_PAGE_REFERENCED, clear) || mapped;
}

/*
 * With clear no write goes unnoticed afterwards: mappings that were removed but are not flushed yet may still be written
 * through, so they are flushed here; the note is cleared first, so that a dirty mapping that is removed later leaves it set.
 */
bool pmap_page_modified(struct pmap_system *ps, pfn_t f, bool clear)
{
	bool was = clear && noted(ps, f, PMAP_PAGE_MODIFIED, true), mapped = walk(ps, f, true, clear);

	if (clear) {
		epoch_enter(ps->config.epoch);
		gather_flush_others(ps);
		epoch_leave(ps->config.epoch);
	}
	return noted(ps, f, PMAP_PAGE_MODIFIED, false) || mapped || was;
}

/* Where a PTE was left BUSY_PAGE. */
struct broken {
	struct pmap_leaf leaf;
	struct pte *p;
};

static void empty_broken(struct broken *b)
{
	spin_lock(&b->leaf.page->lock, RANK_LEAF);
	/* relaxed: under the leaf lock; else the table went with its pmap */
	if (atomic_load_relaxed(&b->leaf.page->flags) & PMAP_PAGE_LINKED) {
		ASSERT(mmu_pte_load(b->p) == BUSY_PAGE);
		mmu_pte_store(b->p, 0);
		table_empty_locked(&b->leaf, 1);
	}
	spin_unlock(&b->leaf.page->lock);
}

void pmap_page_remove_all(struct pmap_system *ps, pfn_t f)
{
	unsigned n;

	do {
		struct rmap_entry e[BATCH], flush[BATCH];
		struct broken broken[BATCH];
		unsigned hits = 0;

		epoch_enter(ps->config.epoch);
		n = rmap_copy(ps, f, 0, e, BATCH);
		for (unsigned i = 0; i < n; i++) {
			struct broken *b = &broken[hits];

			b->p = verify_lock(e[i], f, &b->leaf);
			if (!b->p)
				continue;
			rmap_drop(ps, f, e[i], mmu_pte_swap(b->p, BUSY_PAGE));
			pmap_leaf_unlock(&b->leaf);
			flush[hits++] = e[i];
		}
		flush_pages(flush, hits);
		for (unsigned i = 0; i < hits; i++)
			empty_broken(&broken[i]);
		if (n == 0)
			gather_flush_others(ps);
		epoch_leave(ps->config.epoch);
		if (n && !hits)
			cpu_relax(); /* their removers hold the leaf locks, or a fault has yet to store its PTE */
	} while (n);
}

uint32_t pmap_page_mappings(struct pmap_system *ps, pfn_t f)
{
	struct rmap_entry e[BATCH];
	uint32_t total = 0;
	unsigned n;

	do {
		n = rmap_copy(ps, f, total, e, BATCH);
		total += n;
	} while (n == BATCH);
	return total;
}

void pmap_page_reset(struct pmap_system *ps, pfn_t f)
{
	struct pmap_page *page = pmap_page_at(ps, f);

	ASSERT_CHECKED(!page->rmap_pmap && !(atomic_load_relaxed(&page->flags) & (PMAP_PAGE_RMAP_CHUNK | PMAP_PAGE_LINKED)));
	/* relaxed: the frame's owner is alone with it; it hands it on in an order of its own */
	atomic_store_relaxed(&page->flags, (uint16_t)0);
}
