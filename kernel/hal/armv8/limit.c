/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/limit.c: limits that table descriptors put on all that is below.
 *
 * Purpose. To take rights from much at once: from 2 MiB by one descriptor, and,
 * for fork, the right to write from 1 GiB; so that what fork pays does not grow with
 * what is resident. Who wants to grant a right moves the limit one level down, to all
 * that is there, until none is left above his PTE.
 *
 *      level 1    TABLE_RO, by pmap_limit_writes (fork)
 *         |          push_down_upper: lock of the level-2 table, then each leaf lock below
 *      level 2    TABLE_RO, TABLE_UXN, by pmap_protect (mprotect), and from above
 *         |          limit_push_down_locked: leaf lock
 *      PTEs
 *
 * Invariants.
 *  1. A level-1 limit changes only under the lock of the level-2 table that it
 *     stands over (RANK_UPPER), a level-2 limit under the leaf lock.
 *  2. A right below a limit is void: no walk gives it, and the flush of whoever
 *     set the limit has dropped what TLBs had. A push-down takes it from all that is
 *     there, whether it was stored before the limit or after it. So PTEs may be
 *     stored writable under a limit; who does it faults once more.
 *  3. A level-1 limit that is lifted stands in the level-2 descriptor of every
 *     table that has a PTE of before the lifting.
 *
 * Fork and faults. (Dead is here also an entry in another life than the one in which the fault found it: vm/entry.h.)
 * fork marks entries dead, sets level-1 limits and takes no leaf
 * lock. A fault F stores a PTE under a leaf lock under which it found its entry
 * live. Claim: what F stores after it has found an entry live that a fork killed
 * cannot be written through after that fork's flush, until its right is granted
 * anew, which takes another fault. While the limit stands: 2. It is lifted by one
 * push-down, P, which read it under the lock of the table:
 *   P took F's leaf lock after F: P set the level-2 limit, which is over F's PTE.
 *   P took it before F: dead was set before the limit, the limit before P, P's
 *     hold before F's. F finds its entry dead. So P may pass by a table without PTEs.
 *   P did not find F's table: P read 0 there (or the line's bit, table.c, 6), seq_cst,
 *     before F or another linked it by a seq_cst cas; F loads dead, seq_cst, after that.
 *     F finds its entry dead.
 * fork takes the lock of the level-2 table although setting a bit is atomic: a limit
 * that stands already would be set once more in the middle of P, and then cleared,
 * and tables which P has left may have been written to in between.
 *
 * F must not lift a limit between its look at dead and its store: it would be a limit
 * of after the look. It cannot at level 1, for it holds a leaf lock then (rank),
 * and at level 2 no limit comes while it holds it.
 *
 * Who lifts. A write fault that meets a level-1 limit (pmap_limited) lifts it if it finds its entry
 * live under the lock of the level-2 table. If the limit is of a fork under way, the entry is
 * dead. So a limit is lifted after the flush of the fork that set it: nobody has to flush but he.
 *
 * Memory order. What a limit is moved to is visible to walkers (DSB ISHST) before
 * it goes from above; readers without a lock load from the top down, acquire. Other CPUs
 * may go on with it out of their walk caches: they fault once too often
 * (pmap_spurious). This one is about to use the new rights.
 *
 * Cost. fork: a lock and a descriptor for each GiB in use. The first write there: a lock
 * and a descriptor for each table with pages; the first in each 2 MiB: a PTE for each page.
 *
 * Failure. None.
 */
#include "hal/armv8/pmap_private.h"

/* This CPU's walks of va see what was stored. */
static void settle(struct pmap *pm, uint64_t va)
{
	uint32_t asid;

	mmu_dsb_ishst();
	asid = asid_to_flush(pm);
	if (asid)
		mmu_tlbi_local_page(asid, vaddr(va));
}

void limit_push_down_locked(struct pmap_leaf *leaf, uint64_t va)
{
	uint64_t limits = mmu_pte_load(leaf->page->parent) & TABLE_LIMITS;
	uint64_t start = round_down(va, BLOCK_SIZE), end = start + BLOCK_SIZE;
	enum prot prot = PROT_ALL;

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT_CHECKED(!leaf_is_block(leaf));
	if (!limits)
		return;
	prot &= ~(limits & TABLE_RO ? PROT_W : 0);
	prot &= ~(limits & TABLE_UXN ? PROT_X : 0);
	for (uint64_t at = leaf_occupied(leaf, start, end); at < end; at = leaf_step(leaf, at, end)) {
		struct pte *p = leaf_pte(leaf, at);
		uint64_t d = mmu_pte_load(p);

		while (pte_valid(d) && pte_restrict(d, prot) != d && !mmu_pte_cas(p, &d, pte_restrict(d, prot)))
			;
	}
	mmu_dsb_ishst();
	mmu_pte_and(leaf->page->parent, ~limits);
	settle(leaf->pm, va);
}

void pmap_limit_writes(struct pmap *pm, struct vrange r, struct tlb_gather *g)
{
	uint64_t va = round_down(r.start.va, UPPER_SPAN), end = round_up(r.end.va, UPPER_SPAN);
	pfn_t upper;

	ASSERT_CHECKED(g->pm == pm);
	epoch_enter(pm->sys->config.epoch);
	while (table_next_upper(pm, &va, end, &upper)) {
		struct pmap_page *page = pmap_page_at(pm->sys, upper);
		uint64_t start = round_down(va, UPPER_SPAN);

		spin_lock(&page->lock, RANK_UPPER);
		/* One that stands was flushed by who set it, and nothing below has been writable since (2). */
		if (!(mmu_pte_load(page->parent) & TABLE_RO)) {
			mmu_pte_or(page->parent, TABLE_RO);
			gather_add(g, start, start + UPPER_SPAN);
			g->tables = true;
		}
		spin_unlock(&page->lock);
		va = start + UPPER_SPAN;
	}
	epoch_leave(pm->sys->config.epoch);
}

/* The level-2 table of va, if the descriptor that leads to it has a limit. */
static bool limited_upper(struct pmap *pm, uint64_t va, pfn_t *upper)
{
	uint64_t d;

	ASSERT_CHECKED(epoch_inside(pm->sys->config.epoch));
	d = mmu_pte_load_seq_cst(&table_at(pm->root)[level_index(va, 0)]);
	if (!pte_valid(d))
		return false;
	d = mmu_pte_load_seq_cst(&table_at(pte_frame(d))[level_index(va, 1)]);
	if (!(d & TABLE_RO))
		return false;
	*upper = pte_frame(d);
	return true;
}

bool pmap_limited(struct pmap *pm, vaddr_t va)
{
	pfn_t upper;

	return limited_upper(pm, va.va, &upper);
}

/* From the level-1 descriptor to those of all leaf tables below that hold something. */
static void push_down_upper_locked(struct pmap *pm, pfn_t upper, uint64_t va)
{
	uint64_t end = round_down(va, UPPER_SPAN) + UPPER_SPAN;
	struct pmap_leaf leaf;

	for (va = end - UPPER_SPAN; table_next_below_lock(pm, upper, &va, end, &leaf);
	     va = round_down(va, BLOCK_SIZE) + BLOCK_SIZE) {
		if (atomic_load_relaxed(&leaf.page->live)) /* under the leaf lock */
			leaf_limit_locked(&leaf, TABLE_RO);
		pmap_leaf_unlock(&leaf);
	}
	mmu_dsb_ishst();
	mmu_pte_and(pmap_page_at(pm->sys, upper)->parent, ~TABLE_RO);
}

enum error pmap_lift_limit(struct pmap *pm, vaddr_t va, const struct pmap_last_check *check)
{
	struct pmap_page *page;
	enum error e = OK;
	pfn_t upper;

	if (!limited_upper(pm, va.va, &upper))
		return OK;
	page = pmap_page_at(pm->sys, upper);
	spin_lock(&page->lock, RANK_UPPER);
	if (!(mmu_pte_load(page->parent) & TABLE_RO))
		; /* another fault was first */
	else if (!pmap_still(check))
		e = ERR_STALE;
	else
		push_down_upper_locked(pm, upper, va.va);
	spin_unlock(&page->lock);
	settle(pm, va.va);
	return e;
}
