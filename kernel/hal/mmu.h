/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/mmu.h: the few machine operations that the portable ARMv8 pmap needs.
 * Defined by hal/aarch64 (instructions) and hal/host (the simulated machine).
 *
 * A descriptor is reached only through mmu_pte_*: on real machines plain
 * atomics, on the simulated one also the moment at which the walker may see the
 * new value. All are usable in any context.
 */
#ifndef HAL_MMU_H
#define HAL_MMU_H

#include "base/atomic.h"
#include "base/types.h"

/* One translation-table descriptor in memory. */
struct pte {
	ATOMIC(uint64_t) word;
};
_Static_assert(sizeof(struct pte) == 8, "architecture");

/* What this machine's CPUs have in common; filled at boot. */
struct mmu_features {
	uint32_t asid_bits;    /* 8 or 16; 4 in simulated machines */
	bool hw_access;        /* hardware sets the access flag */
	bool hw_dirty;         /* hardware clears AP[2] of a DBM descriptor on a write */
	bool range_tlbi;       /* TLBI by range */
};
const struct mmu_features *mmu_features(void);

/* In line where a machine has nothing to add (machine_cpu.h): a walk is made of these. */
#ifdef MACHINE_PTE_PLAIN
#define MMU_PTE(declaration, body) static inline declaration { body; }
#else
#define MMU_PTE(declaration, body) declaration;
#endif

/* acquire: pairs with mmu_pte_store */
MMU_PTE(uint64_t mmu_pte_load(const struct pte *p), return atomic_load_acquire(&p->word))
MMU_PTE(uint64_t mmu_pte_load_seq_cst(const struct pte *p), return atomic_load_seq_cst(&p->word))
/* release: a page's content is before its mapping */
MMU_PTE(void mmu_pte_store(struct pte *p, uint64_t v), atomic_store_release(&p->word, v))
MMU_PTE(void mmu_pte_store_seq_cst(struct pte *p, uint64_t v), atomic_store_seq_cst(&p->word, v))
MMU_PTE(bool mmu_pte_cas(struct pte *p, uint64_t *expected, uint64_t v), return atomic_cas_seq_cst(&p->word, expected, v))
/* These three return the old value. A swap keeps a hardware dirty bit. */
MMU_PTE(uint64_t mmu_pte_swap(struct pte *p, uint64_t v), return atomic_swap_seq_cst(&p->word, v))
MMU_PTE(uint64_t mmu_pte_and(struct pte *p, uint64_t mask), return atomic_and_seq_cst(&p->word, mask))
MMU_PTE(uint64_t mmu_pte_or(struct pte *p, uint64_t mask), return atomic_or_seq_cst(&p->word, mask))
#undef MMU_PTE

void mmu_dsb_ishst(void); /* stores to tables have reached the walkers */
void mmu_dsb_ish(void);   /* and TLB invalidations are complete on all CPUs */
void mmu_isb(void);

/* Broadcast to the inner-shareable domain; complete only after mmu_dsb_ish. last_level: table entries may stay cached. */
void mmu_tlbi_page(uint32_t asid, vaddr_t va, bool last_level);
void mmu_tlbi_range(uint32_t asid, vaddr_t va, npages_t n, bool last_level); /* only with range_tlbi */
void mmu_tlbi_asid(uint32_t asid);
/* This CPU only, complete on return. */
void mmu_tlbi_local_page(uint32_t asid, vaddr_t va);
void mmu_tlbi_local_range(uint32_t asid, vaddr_t va, npages_t n); /* page by page: for few */
void mmu_tlbi_local_asid(uint32_t asid);
void mmu_tlbi_local_all(void);

/* Loads TTBR0 with a root table and ASID, then ISB. mmu_clear_user loads an empty table. This CPU. */
void mmu_load_user(paddr_t root, uint32_t asid);
void mmu_clear_user(void);

/* Makes a frame's bytes coherent with instruction fetch on all CPUs. */
void mmu_sync_icache(paddr_t frame);

/*
 * A window of kernel addresses, the same on all CPUs, whose pages are mapped one by one (hal/kmap.h). On the simulated machine
 * these are no addresses of the host: what the kernel does through them goes by host_kernel_* and is judged.
 */
#define MMU_KERNEL_START UINT64_C(0xffffd00000000000)
#define MMU_KERNEL_SIZE (UINT64_C(1) << 39)

/* From now on the window is translated by that table of level 1, zeroed. Boot, one CPU. */
void mmu_kernel_window(paddr_t table);

/* As mmu_tlbi_*, for global mappings; last level only, since no table of the window ever goes. all: every address space's too. */
void mmu_tlbi_kernel_page(vaddr_t va);
void mmu_tlbi_kernel_range(vaddr_t va, npages_t n); /* only with range_tlbi */
void mmu_tlbi_kernel_all(void);

#endif
