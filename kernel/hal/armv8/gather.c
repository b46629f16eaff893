/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/gather.c: TLB invalidation, gathered.
 *
 * Purpose. Who takes rights away from PTEs collects what TLBs may still hold,
 * and pays for one flush at the end. Frames are freed only after it (the
 * caller's duty); the descriptors that the flush is for stay BUSY until it is
 * over, so that nothing new is installed while anything old can still be used.
 *
 *      clear PTEs (0 or BUSY)   DSB ISH   TLBI...   DSB ISH   BUSY -> 0   frames freed
 *      \-- under leaf locks --/ \------ gather_flush, no spinlock -----/  \-- caller --/
 *
 * Structure. Up to GATHER_RANGES ranges, each grown while removals touch; more
 * and the whole ASID goes. BUSY descriptors carry the gather's own address, so
 * that it empties only what it made busy, whatever other mutators do in the
 * same range. Unlinked tables hang on a list; their pmap_page leads to the
 * parent descriptor that is BUSY.
 *
 * Invariants.
 *  1. Every PTE that was valid and lost rights since the last flush is in range,
 *     or whole is set.
 *  2. Every BUSY PTE with this gather's tag lies in busy.
 *  3. For every frame on unlinked: parent = NULL, or *parent is BUSY with this
 *     gather's tag and at least one address of the table's window is in range.
 *
 * Frames that someone else frees. A mapping leaves the reverse map when its PTE is
 * cleared, which is before the flush. Who then withdraws the frame finds no
 * mapping, and may not free it all the same: TLBs still lead there. So each CPU
 * publishes the pmap of its open gather (unflushed) before it takes the first
 * mapping out, and pmap_page_remove_all invalidates those pmaps at its end:
 *
 *      A: unflushed = pm;  PTE = 0;  [frame's lock: out of the reverse map];  ...  flush;  unflushed = NULL
 *      B:                        [frame's lock: the mapping is gone];  load unflushed
 *
 * B's lock comes after A's, so B reads pm, or what A stored later, which is after
 * A's flush. The reading CPU is in a section, which keeps pm. Likewise pmap_remove
 * and pmap_protect add pages that they find BUSY to their own gather: whoever made
 * them so may not have flushed yet, and what was taken away is gone when our flush
 * returns, whoever took it first.
 *
 * Which TLBI. By page with last-level-only when no table descriptor changed;
 * any TLBI of an address that is not last-level-only drops the cached table
 * entries on the way to that address, so one page per window suffices for those.
 * Beyond FLUSH_PAGES single pages the ASID is cheaper; by range, where the CPU
 * can, up to FLUSH_RANGE_PAGES. Where this CPU alone has used the address space (asid.c, Where), by the
 * same number of pages or by ASID, on this CPU.
 *
 * `tlb=page` on the command line: what a call clears is invalidated at once, PTE by PTE, under the leaf lock, to measure what gathering is worth.
 * At the flush there is nothing left to do, unless a table was unlinked or restricted.
 *
 * Memory order. The first DSB ISH puts every change of a descriptor, by this CPU
 * or seen by it, before the read of pm->asid and before the TLBIs (asid.c); the
 * second waits until no CPU uses the old translations. Emptying a BUSY
 * descriptor is a release (PTE, under the leaf lock) or seq_cst (parent). The
 * flush is skipped only when pm never had an ASID: asid.c proves that nothing
 * is cached.
 *
 * Failure. None.
 *
 * Sources: DESIGN 5.4; Linux asm-generic/tlb.h for the idea of gathering.
 */
#include "hal/armv8/pmap_private.h"

#define FLUSH_PAGES 64u
#define FLUSH_RANGE_PAGES (UINT64_C(1) << 15)

void gather_init(struct tlb_gather *g, struct pmap *pm)
{
	g->pm = pm;
	g->ranges = 0;
	g->whole = g->tables = g->exclusive = g->open = false;
	g->busy = vrange(0, 0);
	g->unlinked = (struct frame_list){ PFN_NONE, 0 };
}

/* What has just been cleared, page by page (`tlb=page`): as a kernel does that does not gather. Under the leaf lock. */
static NOINLINE void invalidate_now(const struct pmap *pm, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE_SIZE) {
		uint32_t asid;

		mmu_dsb_ish();
		asid = asid_to_flush(pm);
		if (asid && asid_is_local(pm)) {
			mmu_tlbi_local_page(asid, vaddr(va));
		} else if (asid) {
			mmu_tlbi_page(asid, vaddr(va), true);
			mmu_dsb_ish();
		}
	}
}

void gather_add(struct tlb_gather *g, uint64_t start, uint64_t end)
{
	/* A window or more: of a descriptor above it. Then tables is set, and the flush sees to it. */
	if (UNLIKELY(g->pm->sys->page_by_page) && end - start < BLOCK_SIZE)
		invalidate_now(g->pm, start, end);
	if (g->ranges) {
		struct vrange *last = &g->range[g->ranges - 1];

		if (start <= last->end.va && end >= last->start.va) {
			if (start < last->start.va)
				last->start.va = start;
			if (end > last->end.va)
				last->end.va = end;
			return;
		}
	}
	if (g->ranges == GATHER_RANGES)
		g->whole = true;
	else
		g->range[g->ranges++] = vrange(start, end);
}

void gather_open(struct tlb_gather *g)
{
	struct gather_cpu *c = &g->pm->sys->gathers[cpu_id()];

	if (g->open)
		return;
	g->open = true;
	/* relaxed: own CPU writes it; others learn of it through the frame's lock (see the theory) */
	ASSERT(c->depth == 0 || atomic_load_relaxed(&c->unflushed) == g->pm);
	c->depth++;
	atomic_store_relaxed(&c->unflushed, g->pm);
}

static void gather_close(struct tlb_gather *g)
{
	struct gather_cpu *c = &g->pm->sys->gathers[cpu_id()];

	if (!g->open)
		return;
	g->open = false;
	/* The same CPU as at gather_open: nobody waits in between. */
	ASSERT(c->depth > 0 && atomic_load_relaxed(&c->unflushed) == g->pm);
	if (--c->depth == 0)
		/* release: the flush is over; pairs with gather_flush_others */
		atomic_store_release(&c->unflushed, NULL);
}

void gather_flush_others(struct pmap_system *ps)
{
	bool any = false;

	ASSERT_CHECKED(epoch_inside(ps->config.epoch));
	for (uint32_t i = 0; i < ps->config.ncpus; i++) {
		/* acquire: pairs with gather_close */
		struct pmap *pm = atomic_load_acquire(&ps->gathers[i].unflushed);
		uint32_t asid;

		if (!pm)
			continue;
		mmu_dsb_ish();
		asid = asid_to_flush(pm);
		if (!asid)
			continue;
		mmu_tlbi_asid(asid);
		any = true;
	}
	if (any)
		mmu_dsb_ish();
}

static uint64_t pages_of(const struct tlb_gather *g)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < g->ranges; i++)
		pages += vrange_size(g->range[i]) >> PAGE_SHIFT;
	return pages;
}

/* On this CPU, table entries included. */
static void invalidate_local(const struct tlb_gather *g, uint32_t asid)
{
	if (g->whole || pages_of(g) > FLUSH_PAGES) {
		mmu_tlbi_local_asid(asid);
		return;
	}
	for (uint32_t i = 0; i < g->ranges; i++)
		mmu_tlbi_local_range(asid, g->range[i].start, npages(vrange_size(g->range[i]) >> PAGE_SHIFT));
}

static void invalidate(const struct tlb_gather *g, const struct pmap_system *ps, uint32_t asid)
{
	bool last_level = !g->tables;
	uint64_t pages = pages_of(g);

	if (g->whole || pages > (ps->range_tlbi ? FLUSH_RANGE_PAGES : FLUSH_PAGES)) {
		mmu_tlbi_asid(asid);
		return;
	}
	for (uint32_t i = 0; i < g->ranges; i++) {
		uint64_t n = vrange_size(g->range[i]) >> PAGE_SHIFT;

		if (n > 1 && ps->range_tlbi) {
			mmu_tlbi_range(asid, g->range[i].start, npages(n), last_level);
			continue;
		}
		for (uint64_t va = g->range[i].start.va; n-- > 0; va += PAGE_SIZE)
			mmu_tlbi_page(asid, vaddr(va), last_level);
	}
}

/* Empties the PTEs that pmap_remove left BUSY for this gather. */
static void release_busy(struct tlb_gather *g)
{
	uint64_t tag = gather_tag(g), va = g->busy.start.va, end = g->busy.end.va;
	struct pmap_leaf leaf;

	epoch_enter(g->pm->sys->config.epoch);
	while (table_next_lock(g->pm, &va, end, &leaf)) {
		uint64_t stop = round_down(va, BLOCK_SIZE) + BLOCK_SIZE;
		unsigned n = 0;

		if (stop > end)
			stop = end;
		for (va = leaf_occupied(&leaf, va, stop); va < stop; va = leaf_step(&leaf, va, stop)) {
			struct pte *p = leaf_pte(&leaf, va);

			if (mmu_pte_load(p) != tag)
				continue;
			mmu_pte_store(p, 0);
			n++;
		}
		table_empty_locked(&leaf, n);
		pmap_leaf_unlock(&leaf);
	}
	epoch_leave(g->pm->sys->config.epoch);
}

/* Lets other tables come where the unlinked ones were. */
static void release_parents(struct tlb_gather *g, struct pmap_system *ps)
{
	for (pfn_t f = g->unlinked.head; !pfn_is_none(f);) {
		struct pmap_page *page = pmap_page_at(ps, f);

		if (page->parent) {
			ASSERT_CHECKED(mmu_pte_load(page->parent) == gather_tag(g));
			/* seq_cst: as every change of a table descriptor; pairs with the loads of the descent */
			mmu_pte_store_seq_cst(page->parent, 0);
			page->parent = NULL; /* it is no longer a table */
		}
		f = page->next;
	}
}

void gather_flush(struct tlb_gather *g)
{
	struct pmap_system *ps = g->pm->sys;

	ASSERT_CHECKED(cpu_debug()->held_count == 0);
	if (g->ranges || g->whole) {
		uint32_t asid;

		mmu_dsb_ish();
		asid = asid_to_flush(g->pm);
		if (ps->page_by_page && !g->tables) {
			; /* invalidate_now did it */
		} else if (asid && asid_is_local(g->pm)) {
			invalidate_local(g, asid);
		} else if (asid) {
			invalidate(g, ps, asid);
			mmu_dsb_ish();
		}
	}
	gather_close(g);
	if (g->busy.end.va)
		release_busy(g);
	if (g->tables)
		release_parents(g, ps);
	rmap_chunk_take_empty(ps, &g->unlinked);
	g->ranges = 0;
	g->whole = g->tables = false;
	g->busy = vrange(0, 0);
}
