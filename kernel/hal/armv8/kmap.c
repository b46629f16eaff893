/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/kmap.c: translation tables of the kernel's window.
 *
 * Structure. One L0 descriptor of the kernel's tables leads to our root, of level
 * 1; below it hang tables of level 2 and leaf tables, all for ever.
 *
 *	kernel's L0 ---> root (level 1) ---> level 2 ---> leaf table: 512 pages
 *	                 512 GiB             1 GiB        2 MiB
 *
 * A PTE is 0, valid, or a mark, which has bit 0 clear:
 *
 *	63                         16 15            2   1   0
 *	[ owner: address of a string ][    pages     ][ k ][0]     k: 1 ABSENT, 0 GUARD
 *
 * The string's address has 48 bits and a sign, as kernel addresses and those of
 * host programs do.
 *
 * Invariants.
 *  1. A table descriptor leaves 0 only by compare-and-swap and then stays, so a descent needs
 *     neither lock nor epoch section.
 *  2. A PTE is changed by the owner of its address alone (hal/kmap.h), but for
 *     ABSENT -> valid, which any CPU may do, by compare-and-swap.
 *  3. valid -> 0 -> flush -> valid: break before make. A page of 0 or with a mark
 *     that was never valid since the last flush is in no TLB.
 *  4. Every valid PTE is global, accessed, not executable, closed to EL0.
 *
 * Memory order. The stores of a PTE are release: the frame's content is before
 * its mapping; the walker is the other side. kmap_sync's DSB puts them before
 * whatever publishes the address; who got it that way walks into a valid PTE. The
 * kernel has no fault to fall back upon, so unlike in user space this DSB is
 * needed, and an ISB, which discards what this CPU has fetched by older tables. Who
 * loses the race in kmap_fill waits likewise: the winner may not have come to its DSB
 * yet; ours covers what our compare-and-swap has read.
 *
 * Clearing: PTE = 0, DSB ISH, TLBI (last level: no table ever goes), DSB ISH, ISB; then
 * frames are freed. Beyond FLUSH_PAGES single pages all TLBs are emptied instead.
 *
 * Failure. A missing table only.
 */
#include "hal/kmap.h"

#include "base/assert.h"
#include "hal/armv8/pmap_private.h"

#define ROOT_LEVEL 1u
#define FLUSH_PAGES 64u
#define FLUSH_RANGE_PAGES (UINT64_C(1) << 15)

#define MARK_ABSENT BIT(1)
#define MARK_PAGES_SHIFT 2
#define MARK_OWNER_SHIFT 16

_Static_assert(MMU_KERNEL_SIZE == UINT64_C(512) << 30 && MMU_KERNEL_START % MMU_KERNEL_SIZE == 0,
	       "a table of level 1 translates the window");
_Static_assert(MMU_KERNEL_SIZE / TABLE_ENTRIES == PAGE_SIZE << 18, "ROOT_LEVEL's descriptors span 1 GiB");
_Static_assert(KMAP_MARK_PAGES == (BIT(MARK_OWNER_SHIFT) - 1) >> MARK_PAGES_SHIFT, "fits between the other two");

static uint64_t mark_of(enum kmap_state state, const char *owner, uint32_t pages)
{
	return (uint64_t)(uintptr_t)owner << MARK_OWNER_SHIFT | (uint64_t)pages << MARK_PAGES_SHIFT |
	       (state == KMAP_ABSENT ? MARK_ABSENT : 0);
}

static struct kmap_page decode(uint64_t d)
{
	if (d == 0)
		return (struct kmap_page){.state = KMAP_FREE, .frame = PFN_NONE};
	if (pte_valid(d))
		return (struct kmap_page){
			.state = KMAP_MAPPED, .frame = pte_frame(d), .prot = PROT_R | (d & PTE_AP_RO ? 0 : PROT_W)};
	return (struct kmap_page){.state = d & MARK_ABSENT ? KMAP_ABSENT : KMAP_GUARD,
				  .frame = PFN_NONE,
				  .owner = (const char *)(uintptr_t)(uint64_t)((int64_t)d >> MARK_OWNER_SHIFT),
				  .pages = d >> MARK_PAGES_SHIFT & KMAP_MARK_PAGES};
}

static uint64_t pte_of(pfn_t f, enum prot prot)
{
	return pfn_to_paddr(f).pa | PTE_PAGE | PTE_ATTR(MAIR_NORMAL) | PTE_SH_INNER | PTE_AF | PTE_PXN | PTE_UXN |
	       (prot & PROT_W ? 0 : PTE_AP_RO);
}

/* The PTE of va, or NULL: a table is missing, or va lies outside. */
static struct pte *find(const struct kmap *k, uint64_t va)
{
	pfn_t table = k->root;

	if (va - MMU_KERNEL_START >= MMU_KERNEL_SIZE)
		return NULL;
	for (unsigned level = ROOT_LEVEL; level < LEAF_LEVEL; level++) {
		/* acquire: pairs with kmap_link; a new table is seen full of zeros */
		uint64_t d = mmu_pte_load(&table_at(table)[level_index(va, level)]);

		if (!pte_valid(d))
			return NULL;
		table = pte_frame(d);
	}
	return &table_at(table)[level_index(va, LEAF_LEVEL)];
}

static struct pte *pte_at(const struct kmap *k, vaddr_t va)
{
	struct pte *p = find(k, va.va);

	ASSERT(p && (va.va & PAGE_MASK) == 0);
	return p;
}

void kmap_init(struct kmap *k, pfn_t root)
{
	k->root = root;
	k->range_tlbi = mmu_features()->range_tlbi;
	atomic_store_relaxed(&k->tables, UINT64_C(1)); /* nobody else knows k yet */
	mmu_kernel_window(pfn_to_paddr(root));
}

enum error kmap_link(struct kmap *k, vaddr_t va, pfn_t *spare)
{
	pfn_t table = k->root;

	ASSERT(va.va - MMU_KERNEL_START < MMU_KERNEL_SIZE);
	for (unsigned level = ROOT_LEVEL; level < LEAF_LEVEL; level++) {
		struct pte *p = &table_at(table)[level_index(va.va, level)];
		uint64_t d = mmu_pte_load(p); /* acquire: pairs with the cas below */

		if (d == 0) {
			if (pfn_is_none(*spare))
				return ERR_STOCK;
			/* Its release side publishes the zeros; a walker comes to them by the address. */
			if (mmu_pte_cas(p, &d, pfn_to_paddr(*spare).pa | PTE_PAGE)) {
				d = pfn_to_paddr(*spare).pa | PTE_PAGE;
				*spare = PFN_NONE;
				atomic_add_relaxed(&k->tables, UINT64_C(1)); /* a statistic */
			}
		}
		table = pte_frame(d);
	}
	return OK;
}

void kmap_mark(struct kmap *k, vaddr_t va, enum kmap_state state, const char *owner, uint32_t pages)
{
	uint64_t d = mark_of(state, owner, pages);
	struct pte *p = pte_at(k, va);

	ASSERT_CHECKED(mmu_pte_load(p) == 0 && pages <= KMAP_MARK_PAGES);
	ASSERT_CHECKED(decode(d).owner == owner && owner);
	mmu_pte_store(p, d);
}

void kmap_set(struct kmap *k, vaddr_t va, pfn_t f, enum prot prot)
{
	struct pte *p = pte_at(k, va);

	ASSERT_CHECKED(mmu_pte_load(p) == 0);
	mmu_pte_store(p, pte_of(f, prot));
}

bool kmap_fill(struct kmap *k, vaddr_t va, pfn_t f)
{
	struct pte *p = pte_at(k, va);
	uint64_t d = mmu_pte_load(p);
	bool won;

	won = decode(d).state == KMAP_ABSENT && mmu_pte_cas(p, &d, pte_of(f, PROT_R | PROT_W));
	kmap_sync();
	return won;
}

void kmap_sync(void)
{
	mmu_dsb_ishst();
	mmu_isb();
}

struct kmap_page kmap_clear(struct kmap *k, vaddr_t va)
{
	struct pte *p = pte_at(k, va);
	uint64_t d = mmu_pte_load(p);

	if (d)
		mmu_pte_store(p, 0);
	return decode(d);
}

void kmap_flush(struct kmap *k, struct vrange r)
{
	uint64_t pages = vrange_size(r) >> PAGE_SHIFT;

	ASSERT_CHECKED(cpu_debug()->held_count == 0);
	mmu_dsb_ish();
	if (pages > (k->range_tlbi ? FLUSH_RANGE_PAGES : FLUSH_PAGES))
		mmu_tlbi_kernel_all();
	else if (k->range_tlbi && pages > 1)
		mmu_tlbi_kernel_range(r.start, npages(pages));
	else
		for (uint64_t va = r.start.va; va < r.end.va; va += PAGE_SIZE)
			mmu_tlbi_kernel_page(vaddr(va));
	mmu_dsb_ish();
	mmu_isb();
}

struct kmap_page kmap_get(const struct kmap *k, vaddr_t va)
{
	struct pte *p = find(k, va.va);

	return decode(p ? mmu_pte_load(p) : 0);
}

static uint64_t check_table(pfn_t table, unsigned level, uint64_t *tables)
{
	uint64_t mapped = 0;

	++*tables;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		uint64_t d = mmu_pte_load(&table_at(table)[i]);

		if (level < LEAF_LEVEL) {
			ASSERT(d == 0 || (d & ~PTE_ADDR) == PTE_PAGE);
			mapped += d ? check_table(pte_frame(d), level + 1, tables) : 0; /* two deep at most */
		} else if (pte_valid(d)) {
			ASSERT(d == pte_of(pte_frame(d), decode(d).prot));
			mapped++;
		} else {
			ASSERT(d == 0 || decode(d).owner);
		}
	}
	return mapped;
}

uint64_t kmap_check(const struct kmap *k)
{
	uint64_t tables = 0, mapped = check_table(k->root, ROOT_LEVEL, &tables);

	ASSERT(tables == atomic_load_relaxed(&k->tables)); /* a quiet point */
	return mapped;
}
