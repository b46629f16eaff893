/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/block.c: 512 PTEs by one descriptor.
 *
 * Purpose. A TLB entry that reaches 2 MiB, and no walk to the last level, for memory whose frames lie in a row; without a second kind
 * of mapping for whoever unmaps, protects, forks, copies or asks. So a block is a way to write down a leaf table that is full:
 * the table stays, with its lock, its PTEs and their reverse maps, and only what stands in its place is the block.
 *
 *      level 2                                   shadow of that level-2 table
 *      [ ... | block: 2 MiB, attributes | ... ]  [ ... | leaf table's descriptor | ... ]
 *                                                            |
 *                                                            v
 *                                        leaf table: 512 PTEs as if it were linked, BLOCK in its flags
 *
 * The shadow is a frame for each table of level 2 that has ever had a block, found by its pmap_page; it comes with the first one and
 * goes with the table.
 *
 * States of a level-2 descriptor, besides those of table.c; leaf lock held for every arrow:
 *
 *              set_block                                  rights taken
 *      table ---> hidden ---> block ---------------------------------> block, limited
 *        ^                      |                                            |
 *        +------- hidden <------+--------------------------------------------+   split
 *
 * Hidden is what break before make asks for: an invalid descriptor, until no TLB and no walk cache has what was there. It
 * holds the leaf table's address, so whoever comes meanwhile finds the lock all the same, and waits. So no walk of ours
 * ever misses a table that is linked, and what table.c, limit.c and hal/pmap.h prove of leaf locks holds with blocks as without.
 *
 * Invariants.
 *  1. BLOCK is set exactly while the descriptor is a block or hidden for a block; both change under the leaf lock, in one hold.
 *  2. The PTEs behind a block are what the block says, all of them, but for its limits, which are over them as if it were a table:
 *     split leaves a table descriptor with the same limits. To the hardware a limited block is one without the right; that it is
 *     limited stands besides in the table's bits, which hardware ignores in a block. A limit over a table without PTEs is gone when
 *     the block comes: nothing is there that it could be over, and who set it has flushed, or comes by the entry's death (limit.c).
 *  3. A block that is installed has been accessed and written: hardware has nothing to note in it.
 *  4. Nobody changes a PTE behind a block: he splits it first. Who only looks may look.
 *
 * Which block stands for which table. A reader without a lock loads the descriptor, and then the shadow's entry, which was stored
 * before it: it finds the table that the block stood for then, or one that came there later. Whichever, it was linked at a moment
 * since the reader's section began, so its frame is not reused in it (table.c, 4), and the lock tells whether it is linked still.
 *
 * Rights. Taking them is one store: where only access permissions differ, and with the contents all the same, nothing has to be broken. Giving them
 * back splits.
 *
 * Time. Making and splitting invalidate one address and wait for that, under the leaf lock, as pmap_leaf_withdraw does.
 *
 * Failure. None, but for lack of a frame for the shadow, before anything is done.
 *
 * Sources: J. Navarro, Practical, transparent operating system support for superpages (2002), for demotion; Arm Architecture Reference
 * Manual, D8, for break before make.
 */
#include "hal/armv8/pmap_private.h"

#define BLOCK_FRAMES TABLE_ENTRIES
_Static_assert(BLOCK_FRAMES * PAGE_SIZE == BLOCK_SIZE, "a block is a leaf table's window");

/* The table that p lies in, and p's index there. */
static pfn_t frame_with(const struct pte *p) { return paddr_to_pfn(virt_to_phys((void *)round_down((uintptr_t)p, PAGE_SIZE))); }
static unsigned index_of(const struct pte *p) { return (unsigned)((uintptr_t)p % PAGE_SIZE / sizeof *p); }

pfn_t block_shadow(const struct pmap_system *ps, pfn_t upper)
{
	uint32_t n = atomic_load_acquire(&pmap_page_at(ps, upper)->shadow); /* pairs with shadow_make */

	return n ? pfn(ps->config.first.fn + n - 1) : PFN_NONE;
}

/* The entry of the shadow for p, level 2; NULL: there is no shadow. No hardware walks there. */
static struct pte *shadow_of(const struct pmap_system *ps, const struct pte *p)
{
	pfn_t shadow = block_shadow(ps, frame_with(p));

	return pfn_is_none(shadow) ? NULL : &table_at(shadow)[index_of(p)];
}

/* Gives p's table a shadow out of the stock. ERR_STOCK: it has none. */
static enum error shadow_make(struct pmap *pm, const struct pte *p, struct pmap_stock *stock)
{
	struct pmap_system *ps = pm->sys;
	uint32_t none = 0;
	pfn_t f;

	if (stock->tables == 0) {
		stock->missing = 1;
		return ERR_STOCK;
	}
	f = stock->table[stock->tables - 1];
	if (atomic_cas_seq_cst(&pmap_page_at(ps, frame_with(p))->shadow, &none, (uint32_t)(f.fn - ps->config.first.fn + 1))) {
		stock->tables--;
		atomic_add_relaxed(&pm->tables, UINT64_C(1)); /* a statistic */
	}
	return OK; /* or somebody else was first */
}

uint64_t block_table(const struct pmap *pm, const struct pte *p, uint64_t d)
{
	if (pte_valid(d)) /* stored before the block */
		return mmu_pte_load(shadow_of(pm->sys, p));
	return d && !(d & BUSY_MASK) ? d | PTE_PAGE : 0;
}

/* Break before make: the table, or its block, is out of sight, and no TLB or walk cache has anything of it. */
static void hide(struct pmap_leaf *leaf, uint64_t va)
{
	struct pte *p = leaf->page->parent;
	struct pmap *pm = leaf->pm;
	uint32_t asid;

	mmu_pte_store_seq_cst(p, virt_to_phys(leaf->table).pa);
	mmu_dsb_ish();
	asid = asid_to_flush(pm);
	if (asid && asid_is_local(pm)) {
		mmu_tlbi_local_page(asid, vaddr(va));
	} else if (asid) {
		mmu_tlbi_page(asid, vaddr(va), false); /* the walk caches' table too */
		mmu_dsb_ish();
	}
}

enum error pmap_leaf_set_block(struct pmap_leaf *leaf, pfn_t f, vaddr_t va, struct pmap_stock *stock)
{
	struct pmap *pm = leaf->pm;
	struct pmap_page *page = leaf->page;
	struct pte *shadow = shadow_of(pm->sys, page->parent);

	ASSERT_CHECKED(spin_held(&page->lock));
	ASSERT_CHECKED(f.fn % BLOCK_FRAMES == 0);
	/* relaxed, all: under the leaf lock */
	if (atomic_load_relaxed(&page->live))
		return ERR_EXISTS;
	if (!shadow) {
		enum error e = shadow_make(pm, page->parent, stock);

		if (e != OK)
			return e;
		shadow = shadow_of(pm->sys, page->parent);
	}
	va.va = round_down(va.va, BLOCK_SIZE);
	/* Before the PTEs: the one invalidation drops the table, but not what might be cached of each of them. */
	hide(leaf, va.va);
	for (unsigned i = 0; i < BLOCK_FRAMES; i++) {
		rmap_first(pm, va.va + i * PAGE_SIZE, pfn(f.fn + i));
		mmu_pte_store(&leaf->table[i], pfn_to_paddr(pfn(f.fn + i)).pa | PTE_FILLED);
	}
	atomic_store_relaxed(&page->live, (uint16_t)BLOCK_FRAMES);
	atomic_store_relaxed(&page->lines, ~UINT64_C(0));
	atomic_store_relaxed(&page->flags, (uint16_t)(PMAP_PAGE_LINKED | PMAP_PAGE_BLOCK));
	mmu_pte_store(shadow, virt_to_phys(leaf->table).pa | PTE_PAGE); /* before the block; pairs with block_table */
	/* seq_cst: as every change of a table descriptor; after the frames' bytes */
	mmu_pte_store_seq_cst(page->parent, pfn_to_paddr(f).pa | (PTE_FILLED & ~PTE_TABLE));
	return OK;
}

void block_split(struct pmap_leaf *leaf, uint64_t va)
{
	uint64_t d = mmu_pte_load(leaf->page->parent);

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	hide(leaf, va);
	/* seq_cst: likewise; after the PTEs, which whoever set the block has stored under this lock */
	mmu_pte_store_seq_cst(leaf->page->parent, virt_to_phys(leaf->table).pa | PTE_PAGE | (d & TABLE_LIMITS));
	/* relaxed: under the leaf lock */
	atomic_store_relaxed(&leaf->page->flags, (uint16_t)PMAP_PAGE_LINKED);
}

void block_limit(struct pmap_leaf *leaf, uint64_t limits)
{
	struct pte *p = leaf->page->parent;
	uint64_t d = mmu_pte_load(p) | limits;

	if (limits & TABLE_RO)
		d = (d | PTE_AP_RO) & ~PTE_DBM;
	mmu_pte_store_seq_cst(p, d); /* hardware writes nothing there (3) */
}
