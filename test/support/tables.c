/* SPDX-License-Identifier: BSD-2-Clause */
#include "tables.h"

struct pte *table_slot(struct test_machine *t, paddr_t root, uint64_t va, unsigned level)
{
	struct pte *table = phys_to_virt(root);

	for (unsigned l = 0;; l++) {
		struct pte *p = &table[va >> (39 - 9 * l) & 511];
		uint64_t v;

		if (l == level)
			return p;
		v = mmu_pte_load(p);
		if (!(v & 1)) {
			v = test_frame(t).pa | D_TABLE;
			mmu_pte_store(p, v);
			mmu_dsb_ishst();
		}
		table = phys_to_virt(paddr(v & UINT64_C(0xfffffffff000)));
	}
}

void table_map(struct test_machine *t, paddr_t root, uint64_t va, paddr_t frame, uint64_t bits)
{
	mmu_pte_store(table_slot(t, root, va, 3), frame.pa | bits | D_PAGE);
	mmu_dsb_ishst();
}

void table_flush(uint32_t asid, uint64_t va, bool last_level)
{
	mmu_dsb_ish();
	mmu_tlbi_page(asid, vaddr(va), last_level);
	mmu_dsb_ish();
}
