/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/mmu.c: hal/mmu.h in instructions. */
#include "hal/mmu.h"

#include "base/bits.h"
#include "features.h"
#include "sysreg.h"
#include "tables.h"

void mmu_dsb_ishst(void) { __asm__ __volatile__("dsb ishst" ::: "memory"); }
void mmu_dsb_ish(void) { __asm__ __volatile__("dsb ish" ::: "memory"); }
void mmu_isb(void) { isb(); }

/* The operand of TLBI by address: ASID and page number (44 bits). */
static uint64_t tlbi_page_operand(uint32_t asid, vaddr_t va)
{
	return (uint64_t)asid << 48 | (va.va >> PAGE_SHIFT & BITS(43, 0));
}

void mmu_tlbi_page(uint32_t asid, vaddr_t va, bool last_level)
{
	uint64_t x = tlbi_page_operand(asid, va);

	if (last_level)
		__asm__ __volatile__("tlbi vale1is, %0" ::"r"(x) : "memory");
	else
		__asm__ __volatile__("tlbi vae1is, %0" ::"r"(x) : "memory");
}

/* The operand of TLBI by range, without an ASID: so many pairs of pages, times 32 to the power of scale. */
static uint64_t tlbi_range_operand(vaddr_t va, unsigned scale, uint64_t num)
{
	return BIT(46) | (uint64_t)scale << 44 | (num - 1) << 39 | (va.va >> PAGE_SHIFT & BITS(36, 0));
}

/*
 * One TLBI covers (num+1) * 2^(5*scale+1) pages, num below 32, scale below 4:
 * an odd page goes alone, the rest five bits of the count at a time.
 */
void mmu_tlbi_range(uint32_t asid, vaddr_t va, npages_t n, bool last_level)
{
	uint64_t pages = n.np;

	if (pages >= BIT(21)) {
		mmu_tlbi_asid(asid);
		return;
	}
	if (pages & 1) {
		mmu_tlbi_page(asid, va, last_level);
		va.va += PAGE_SIZE;
	}
	for (unsigned scale = 0; scale < 4; scale++) {
		uint64_t num = pages >> (5 * scale + 1) & 31, x;

		if (num == 0)
			continue;
		x = (uint64_t)asid << 48 | tlbi_range_operand(va, scale, num);
		if (last_level)
			__asm__ __volatile__("sys #0, c8, c2, #5, %0" ::"r"(x) : "memory"); /* RVALE1IS */
		else
			__asm__ __volatile__("sys #0, c8, c2, #1, %0" ::"r"(x) : "memory"); /* RVAE1IS */
		va.va += num << (5 * scale + 1 + PAGE_SHIFT);
	}
}

void mmu_tlbi_kernel_page(vaddr_t va)
{
	__asm__ __volatile__("tlbi vaale1is, %0" ::"r"(tlbi_page_operand(0, va)) : "memory");
}

/* As mmu_tlbi_range. */
void mmu_tlbi_kernel_range(vaddr_t va, npages_t n)
{
	if (n.np >= BIT(21)) {
		mmu_tlbi_kernel_all();
		return;
	}
	if (n.np & 1) {
		mmu_tlbi_kernel_page(va);
		va.va += PAGE_SIZE;
	}
	for (unsigned scale = 0; scale < 4; scale++) {
		uint64_t num = n.np >> (5 * scale + 1) & 31;

		if (num == 0)
			continue;
		__asm__ __volatile__("sys #0, c8, c2, #7, %0" ::"r"(tlbi_range_operand(va, scale, num))
				     : "memory"); /* RVAALE1IS */
		va.va += num << (5 * scale + 1 + PAGE_SHIFT);
	}
}

void mmu_tlbi_kernel_all(void) { __asm__ __volatile__("tlbi vmalle1is" ::: "memory"); }

void mmu_tlbi_asid(uint32_t asid) { __asm__ __volatile__("tlbi aside1is, %0" ::"r"((uint64_t)asid << 48) : "memory"); }

void mmu_tlbi_local_page(uint32_t asid, vaddr_t va)
{
	__asm__ __volatile__("dsb nshst\n\ttlbi vae1, %0\n\tdsb nsh\n\tisb" ::"r"(tlbi_page_operand(asid, va))
			     : "memory");
}

void mmu_tlbi_local_range(uint32_t asid, vaddr_t va, npages_t n)
{
	__asm__ __volatile__("dsb nshst" ::: "memory");
	for (uint64_t i = 0; i < n.np; i++, va.va += PAGE_SIZE)
		__asm__ __volatile__("tlbi vae1, %0" ::"r"(tlbi_page_operand(asid, va)) : "memory");
	__asm__ __volatile__("dsb nsh\n\tisb" ::: "memory");
}

void mmu_tlbi_local_asid(uint32_t asid)
{
	__asm__ __volatile__("dsb nshst\n\ttlbi aside1, %0\n\tdsb nsh\n\tisb" ::"r"((uint64_t)asid << 48) : "memory");
}

void mmu_tlbi_local_all(void) { __asm__ __volatile__("dsb nshst\n\ttlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory"); }

void mmu_load_user(paddr_t root, uint32_t asid)
{
	sysreg_write(ttbr0_el1, root.pa | (uint64_t)asid << 48);
	isb();
}

/* ASID 0 belongs to nobody; the empty table has no entry that a TLB could keep. */
void mmu_clear_user(void)
{
	sysreg_write(ttbr0_el1, tables_empty().pa);
	isb();
}

void mmu_kernel_window(paddr_t table) { tables_hang(vaddr(MMU_KERNEL_START), table); }

void mmu_sync_icache(paddr_t frame)
{
	uint64_t start = (uint64_t)phys_to_virt(frame), end = start + PAGE_SIZE;
	const struct features *f = features();

	if (f->dline)
		for (uint64_t a = start; a < end; a += f->dline)
			__asm__ __volatile__("dc cvau, %0" ::"r"(a) : "memory");
	mmu_dsb_ish();
	if (f->iline) {
		for (uint64_t a = start; a < end; a += f->iline)
			__asm__ __volatile__("ic ivau, %0" ::"r"(a) : "memory");
		mmu_dsb_ish();
	}
	isb();
}
