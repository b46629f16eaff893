/* SPDX-License-Identifier: BSD-2-Clause */
#include "features.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "hal/context.h"
#include "hal/mmu.h"
#include "sysreg.h"

#define TCR_AS BIT(36)
#define TCR_HA BIT(39)
#define TCR_HD BIT(40)

static struct features found;
static struct mmu_features mmu_found;
static uint64_t boot_tcr;

/* Bits of Linux's AT_HWCAP; each CPU that joins takes away what it lacks, before programs run. */
static ATOMIC(uint64_t) hwcap;

const struct features *features(void) { return &found; }
const struct mmu_features *mmu_features(void) { return &mmu_found; }

/* relaxed: constant by the time that a program asks */
uint64_t context_hwcap(void) { return atomic_load_relaxed(&hwcap); }

enum id_register { PFR0, ISAR0, ISAR1, MMFR2 };

/* Only what EL0 can use without help from the kernel: no SVE, SME, MTE, BTI, no pointer authentication, no CPUID
 * emulation. */
static const struct {
	uint8_t bit, reg, shift, least;
} hwcaps[] = {
	{3, ISAR0, 4, 1},   /* AES */
	{4, ISAR0, 4, 2},   /* PMULL */
	{5, ISAR0, 8, 1},   /* SHA1 */
	{6, ISAR0, 12, 1},  /* SHA2 */
	{7, ISAR0, 16, 1},  /* CRC32 */
	{8, ISAR0, 20, 2},  /* ATOMICS */
	{12, ISAR0, 28, 1}, /* ASIMDRDM */
	{13, ISAR1, 12, 1}, /* JSCVT */
	{14, ISAR1, 16, 1}, /* FCMA */
	{15, ISAR1, 20, 1}, /* LRCPC */
	{16, ISAR1, 0, 1},  /* DCPOP */
	{17, ISAR0, 32, 1}, /* SHA3 */
	{18, ISAR0, 36, 1}, /* SM3 */
	{19, ISAR0, 40, 1}, /* SM4 */
	{20, ISAR0, 44, 1}, /* ASIMDDP */
	{21, ISAR0, 12, 2}, /* SHA512 */
	{23, ISAR0, 48, 1}, /* ASIMDFHM */
	{24, PFR0, 48, 1},  /* DIT */
	{25, MMFR2, 32, 1}, /* USCAT */
	{26, ISAR1, 20, 2}, /* ILRCPC */
	{27, ISAR0, 52, 1}, /* FLAGM */
	{29, ISAR1, 36, 1}, /* SB */
};

static uint64_t hwcap_of_this_cpu(void)
{
	const uint64_t reg[] = {
		[PFR0] = sysreg_read(id_aa64pfr0_el1),
		[ISAR0] = sysreg_read(id_aa64isar0_el1),
		[ISAR1] = sysreg_read(id_aa64isar1_el1),
		[MMFR2] = sysreg_read_x(ID_AA64MMFR2_EL1),
	};
	unsigned fp = id_field(reg[PFR0], 16), simd = id_field(reg[PFR0], 20);
	uint64_t cap = 0;

	/* These two count from -1: 15 is "not there", 0 the plain unit, 1 half precision as well. */
	if (fp != 15)
		cap |= BIT(0) | (fp >= 1 ? BIT(9) : 0);
	if (simd != 15)
		cap |= BIT(1) | (simd >= 1 ? BIT(10) : 0);
	for (size_t i = 0; i < ARRAY_SIZE(hwcaps); i++)
		if (id_field(reg[hwcaps[i].reg], hwcaps[i].shift) >= hwcaps[i].least)
			cap |= BIT(hwcaps[i].bit);
	return cap;
}

void features_init(void)
{
	uint64_t isar0 = sysreg_read(id_aa64isar0_el1), mmfr1 = sysreg_read(id_aa64mmfr1_el1);
	uint64_t ctr = sysreg_read(ctr_el0);

	boot_tcr = sysreg_read(tcr_el1);
	found.pan = id_field(mmfr1, 20) != 0;
	found.random = id_field(isar0, 60) != 0;
	found.dline = ctr & BIT(28) ? 0 : 4u << id_field(ctr, 16);
	found.iline = ctr & BIT(29) ? 0 : 4u << id_field(ctr, 0);
	mmu_found.asid_bits = boot_tcr & TCR_AS ? 16 : 8;
	mmu_found.hw_access = boot_tcr & TCR_HA;
	mmu_found.hw_dirty = boot_tcr & TCR_HD;
	mmu_found.range_tlbi = id_field(isar0, 56) >= 2;
	atomic_store_relaxed(&hwcap, hwcap_of_this_cpu()); /* no other CPU runs yet */
}

void features_join(void)
{
	uint64_t isar0 = sysreg_read(id_aa64isar0_el1), mmfr1 = sysreg_read(id_aa64mmfr1_el1);

	if (sysreg_read(tcr_el1) != boot_tcr)
		panic("CPU %u translates addresses differently from CPU 0 (TCR %#lx, %#lx)", cpu_id(),
		      sysreg_read(tcr_el1), boot_tcr);
	if ((mmu_found.range_tlbi && id_field(isar0, 56) < 2) || (found.pan && !id_field(mmfr1, 20)) ||
	    (found.random && !id_field(isar0, 60)))
		panic("CPU %u lacks what CPU 0 has (ISAR0 %#lx, MMFR1 %#lx)", cpu_id(), isar0, mmfr1);
	atomic_and_relaxed(&hwcap, hwcap_of_this_cpu()); /* programs read it after all CPUs have joined */
}
