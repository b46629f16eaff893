/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/pmap.c: a pmap's beginning and end, and questions to it.
 *
 * Where the theory is:
 *
 *      table.c     the tree of tables, leaf locks, linking and unlinking
 *      pmap_leaf.c one PTE: its states, the last check before it is set
 *      pmap_range.c rights taken from ranges, tables given back
 *      limit.c     rights taken from whole tables, by their descriptors
 *      block.c     512 PTEs by one descriptor
 *      gather.c    TLB invalidation, BUSY, frames that others free
 *      asid.c      ASIDs, rollover, TTBR0
 *      rmap.c, rmap_chunk.c, pmap_page.c   from a frame to its PTEs
 *
 * The end. Nobody runs in the pmap or faults in it when it is destroyed, but who
 * came by the reverse map may still descend in it, in an epoch section. So its
 * tables lose LINKED under their locks and stay readable until a grace period
 * has passed; the caller frees them, and struct pmap itself, by epoch. One walk takes
 * mappings and tables away, and one flush of the whole ASID comes after both: no table comes
 * where another one was, so none has to be BUSY until then.
 *
 * Memory order. Lock-free descents load descriptors acquire or seq_cst (table.c).
 * Failure. None.
 */
#include "base/print.h"
#include "hal/armv8/pmap_private.h"
#include "hal/machine.h"

/*
 * On the command line: `tlb-scope=local|broadcast`, where an address space that one CPU alone has used is flushed; `tlb=batch|page`,
 * once for all that a call clears, or as each PTE is cleared. => the second word stands there, not the first, which is taken otherwise.
 */
static bool option_is_second(const char *option, const char *first, const char *second)
{
	char text[16];

	if (!machine_option(option, text, sizeof text))
		return false;
	if (__builtin_strcmp(text, first) && __builtin_strcmp(text, second))
		kprintf("%s=%s: neither %s nor %s, %s is taken\n", option, text, first, second, first);
	return !__builtin_strcmp(text, second);
}

void pmap_system_init(struct pmap_system *ps, const struct pmap_config *config)
{
	const struct mmu_features *mmu = mmu_features();

	ASSERT(config->page_stride >= sizeof(struct pmap_page));
	ASSERT(config->ncpus > 0 && config->ncpus <= CPU_MAX);
	ps->config = *config;
	ps->hw_updates = mmu->hw_access || mmu->hw_dirty;
	ps->hw_dirty = mmu->hw_dirty;
	ps->range_tlbi = mmu->range_tlbi;
	ps->local = !option_is_second("tlb-scope", "local", "broadcast");
	ps->page_by_page = option_is_second("tlb", "batch", "page");
	asid_init(&ps->asids, mmu->asid_bits, config->ncpus);
	rmap_chunk_init(&ps->chunks);
	__builtin_memset(ps->gathers, 0, sizeof ps->gathers);
	for (uint64_t i = 0; i < config->count; i++) {
		struct pmap_page *page = pmap_page_at(ps, pfn(config->first.fn + i));

		spin_init(&page->lock); /* for the only time */
		atomic_store_relaxed(&page->live, (uint16_t)0);
		atomic_store_relaxed(&page->flags, (uint16_t)0);
		atomic_store_relaxed(&page->shadow, 0u);
		page->rmap_pmap = NULL;
		page->rmap_word = 0;
	}
}

struct pmap_page *pmap_page(struct pmap_system *ps, pfn_t f)
{
	return pmap_page_at(ps, f);
}

void pmap_init(struct pmap_system *ps, struct pmap *pm, pfn_t root)
{
	pm->sys = ps;
	pm->root = root;
	atomic_store_relaxed(&pmap_page_at(ps, root)->lines, UINT64_C(0)); /* as below */
	atomic_store_relaxed(&pmap_page_at(ps, root)->shadow, 0u); /* it may have been a table of level 2 */
	/* relaxed: nobody else knows pm yet */
	atomic_store_relaxed(&pm->asid, UINT64_C(0));
	atomic_store_relaxed(&pm->where, ps->local ? WHERE_NONE : WHERE_MANY);
	pm->moves = 0;
	atomic_store_relaxed(&pm->tables, UINT64_C(0));
}

uint64_t pmap_resident(struct pmap *pm)
{
	uint64_t va = 0, n = 0;
	struct pmap_leaf leaf;

	epoch_enter(pm->sys->config.epoch);
	while (table_next_lock(pm, &va, BIT(48), &leaf)) {
		n += atomic_load_relaxed(&leaf.page->live); /* under the leaf lock */
		pmap_leaf_unlock(&leaf);
		va = round_down(va, BLOCK_SIZE) + BLOCK_SIZE;
	}
	epoch_leave(pm->sys->config.epoch);
	return n;
}

/* Empties a line of a leaf table and its mappings' reverse maps. va: of its first descriptor. */
static void destroy_line(struct pmap *pm, struct pte *line, uint64_t va)
{
	struct pmap_system *ps = pm->sys;

#pragma GCC unroll 8 /* many are empty */
	for (unsigned i = 0; i < LINE_ENTRIES; i++, va += PAGE_SIZE) {
		uint64_t d = mmu_pte_load(&line[i]);

		if (!pte_valid(d))
			continue;
		if (ps->hw_updates)
			d = mmu_pte_swap(&line[i], 0);
		else
			mmu_pte_store(&line[i], 0);
		if (pte_tracked(d))
			rmap_drop(ps, pte_frame(d), (struct rmap_entry){ pm, va }, d);
	}
}

/*
 * Takes a leaf table away, and what it maps. => PTEs that were not empty. A late pmap_page_remove_all may still own a BUSY
 * one there; it will find LINKED gone.
 */
static unsigned destroy_leaf(struct pmap *pm, pfn_t f, uint64_t va, struct frame_list *tables)
{
	struct pmap_page *page = pmap_page_at(pm->sys, f);
	struct pte *table = table_at(f);
	unsigned live;

	spin_lock(&page->lock, RANK_LEAF);
	live = atomic_load_relaxed(&page->live); /* relaxed: under the leaf lock, as all here */
	for (uint64_t lines = live ? atomic_load_relaxed(&page->lines) : 0; lines; lines &= lines - 1) {
		unsigned i = bit_lowest(lines) * LINE_ENTRIES;

		destroy_line(pm, &table[i], va + i * PAGE_SIZE);
	}
	/* seq_cst: as every change of a table descriptor; pairs with the loads of late descents */
	mmu_pte_store_seq_cst(page->parent, 0);
	atomic_store_relaxed(&page->flags, (uint16_t)0);
	atomic_store_relaxed(&page->live, (uint16_t)0);
	page->parent = NULL;
	pmap_list_push(pm->sys, tables, f);
	spin_unlock(&page->lock);
	return live;
}

/* Takes a table above the leaves away, and all below. va: the first address that it maps. => as destroy_leaf. */
static uint64_t destroy_table(struct pmap *pm, pfn_t table, unsigned level, uint64_t va, struct frame_list *tables)
{
	/* relaxed: whoever linked here is gone, and its reference to the pmap with it */
	struct pmap_page *page = pmap_page_at(pm->sys, table);
	uint64_t lines = atomic_load_relaxed(&page->lines), live = 0;

	for (; lines; lines &= lines - 1) {
		unsigned first = bit_lowest(lines) * LINE_ENTRIES;

		for (unsigned i = first; i < first + LINE_ENTRIES; i++) {
			const struct pte *p = &table_at(table)[i];
			uint64_t d = mmu_pte_load_seq_cst(p), at = va + i * level_span(level);

			if (d == 0 || !table_below(pm, p, &d)) /* mostly 0 */
				continue;
			if (level + 1 == LEAF_LEVEL)
				live += destroy_leaf(pm, pte_frame(d), at, tables);
			else
				live += destroy_table(pm, pte_frame(d), level + 1, at, tables); /* two deep at most */
		}
	}
	if (UNLIKELY(atomic_load_relaxed(&page->shadow)))
		pmap_list_push(pm->sys, tables, block_shadow(pm->sys, table));
	/* relaxed: late readers descend through it, but nobody locks it or asks for its flags */
	atomic_store_relaxed(&page->flags, (uint16_t)0);
	page->parent = NULL;
	pmap_list_push(pm->sys, tables, table);
	return live;
}

uint64_t pmap_destroy(struct pmap *pm, struct frame_list *tables)
{
	struct tlb_gather g;
	uint64_t live;

	ASSERT_CHECKED(pm->sys->asids.cpu[cpu_id()].current != pm);
	gather_init(&g, pm);
	/* Not announced (gather.c): who finds a frame mapped nowhere may free it at once, since nobody runs where TLBs know it. */
	live = destroy_table(pm, pm->root, 0, 0, &g.unlinked);
	/* Table entries may be cached under its number even if it maps nothing. Nobody runs under it, so none come back. */
	g.whole = g.tables = true;
	gather_flush(&g);
	atomic_store_relaxed(&pm->tables, UINT64_C(0)); /* a statistic */
	*tables = g.unlinked;
	return live;
}

void pmap_drain(struct pmap_system *ps, struct frame_list *l)
{
	rmap_chunk_drain(ps);
	*l = (struct frame_list){ PFN_NONE, 0 };
	rmap_chunk_take_empty(ps, l);
}

static struct pmap_pte decode(uint64_t d, uint64_t parent)
{
	if (!pte_valid(d))
		return (struct pmap_pte){ .state = d ? PMAP_BUSY : PMAP_EMPTY, .frame = PFN_NONE };
	return (struct pmap_pte){
		.state = PMAP_VALID, .frame = pte_frame(d), .prot = pte_prot(d, parent), .dirty = pte_dirty(d)
	};
}

struct pmap_pte pmap_leaf_get(const struct pmap_leaf *leaf, vaddr_t va)
{
	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	return decode(mmu_pte_load(leaf_pte(leaf, va.va)), mmu_pte_load(leaf->page->parent) | (leaf->upper & TABLE_LIMITS));
}

bool pmap_block_room(struct pmap *pm, vaddr_t va)
{
	uint64_t d, parent;
	struct pte *p = table_peek(pm, va.va, &d, &parent);

	/* relaxed: a glance */
	return !p || atomic_load_relaxed(&pmap_page_at(pm->sys, paddr_to_pfn(virt_to_phys(p)))->live) == 0;
}

unsigned pmap_leaf_empty(const struct pmap_leaf *leaf, vaddr_t va, unsigned max)
{
	const struct pte *p = leaf_pte(leaf, va.va);
	unsigned n = 0;

	ASSERT_CHECKED(max <= TABLE_ENTRIES - level_index(va.va, LEAF_LEVEL));
	while (n < max && mmu_pte_load(&p[n]) == 0)
		n++;
	return n;
}

unsigned pmap_leaf_valid_before(const struct pmap_leaf *leaf, vaddr_t va, unsigned max)
{
	unsigned at = level_index(va.va, LEAF_LEVEL), n = 0;

	while (n < max && n < at && pte_valid(mmu_pte_load(&leaf->table[at - 1 - n])))
		n++;
	return n;
}

struct pmap_pte pmap_extract(struct pmap *pm, vaddr_t va)
{
	uint64_t d, parent;
	struct pmap_pte pte;

	epoch_enter(pm->sys->config.epoch);
	(void)table_peek(pm, va.va, &d, &parent);
	epoch_leave(pm->sys->config.epoch);
	pte = decode(d, parent);
	pte.block = pte_valid(parent) && !pte_is_table(parent);
	return pte;
}

void pmap_spurious(struct pmap *pm, vaddr_t va)
{
	uint64_t d, parent;
	uint32_t asid;
	struct pte *p;

	epoch_enter(pm->sys->config.epoch);
	p = table_peek(pm, va.va, &d, &parent);
	/* Without the leaf lock: the cas changes nothing but this bit, and nothing if the PTE has changed meanwhile. */
	if (pte_valid(d) && !(d & PTE_AF))
		(void)mmu_pte_cas(p, &d, d | PTE_AF);
	epoch_leave(pm->sys->config.epoch);
	mmu_dsb_ishst(); /* this CPU's stores to tables are visible to its walker */
	asid = asid_to_flush(pm);
	if (asid)
		mmu_tlbi_local_page(asid, vaddr(round_down(va.va, PAGE_SIZE)));
}
