/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/sysreg.h: system registers, barriers and device registers. Any context. */
#ifndef HAL_AARCH64_SYSREG_H
#define HAL_AARCH64_SYSREG_H

#include <stdint.h>

#define sysreg_read(name) \
	({ \
		uint64_t value_; \
		__asm__ __volatile__("mrs %0, " #name : "=r"(value_)::"memory"); \
		value_; \
	})
#define sysreg_write(name, value) __asm__ __volatile__("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

/* Names that the assembler does not know at -march=armv8-a, or knows by different names. */
#define ICC_IAR1_EL1 S3_0_C12_C12_0
#define ICC_EOIR1_EL1 S3_0_C12_C12_1
#define ICC_BPR1_EL1 S3_0_C12_C12_3
#define ICC_CTLR_EL1 S3_0_C12_C12_4
#define ICC_SRE_EL1 S3_0_C12_C12_5
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7
#define ICC_SGI1R_EL1 S3_0_C12_C11_5
#define ICC_PMR_EL1 S3_0_C4_C6_0
#define RNDR S3_3_C2_C4_0
#define ID_AA64MMFR2_EL1 S3_0_C0_C7_2

/* The same with the name expanded first. */
#define sysreg_read_x(name) sysreg_read(name)
#define sysreg_write_x(name, value) sysreg_write(name, value)

/* An ID register's field of 4 bits. */
static inline unsigned id_field(uint64_t reg, unsigned shift) { return reg >> shift & 15; }

static inline void isb(void) { __asm__ __volatile__("isb" ::: "memory"); }
static inline void dsb_sy(void) { __asm__ __volatile__("dsb sy" ::: "memory"); }

/* Device registers, one plain access each: no write-back addressing, which a hypervisor could not emulate. */
static inline uint32_t mmio_read32(uint64_t at)
{
	uint32_t v;

	__asm__ __volatile__("ldr %w0, [%1]" : "=r"(v) : "r"(at) : "memory");
	return v;
}
static inline void mmio_write32(uint64_t at, uint32_t v)
{
	__asm__ __volatile__("str %w0, [%1]" ::"r"(v), "r"(at) : "memory");
}
static inline uint64_t mmio_read64(uint64_t at)
{
	uint64_t v;

	__asm__ __volatile__("ldr %0, [%1]" : "=r"(v) : "r"(at) : "memory");
	return v;
}
static inline void mmio_write64(uint64_t at, uint64_t v)
{
	__asm__ __volatile__("str %0, [%1]" ::"r"(v), "r"(at) : "memory");
}

#endif
