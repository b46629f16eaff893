/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/esr.h: exception syndromes, ESR_EL1. */
#ifndef HAL_AARCH64_ESR_H
#define HAL_AARCH64_ESR_H

#include <stdbool.h>
#include <stdint.h>

/* Exception classes. */
enum {
	EC_UNKNOWN = 0x00,
	EC_FP_ACCESS = 0x07,
	EC_ILLEGAL_STATE = 0x0e,
	EC_SVC = 0x15,
	EC_MSR = 0x18,
	EC_FETCH_USER = 0x20,
	EC_FETCH_KERNEL = 0x21,
	EC_PC_ALIGNMENT = 0x22,
	EC_DATA_USER = 0x24,
	EC_DATA_KERNEL = 0x25,
	EC_SP_ALIGNMENT = 0x26,
	EC_FP_EXCEPTION = 0x2c,
	EC_SERROR = 0x2f,
	EC_BREAKPOINT_USER = 0x30,
	EC_STEP_USER = 0x32,
	EC_WATCHPOINT_USER = 0x34,
	EC_BRK = 0x3c,
};
static inline unsigned esr_class(uint64_t esr) { return esr >> 26 & 63; }

/* Of aborts. */
#define ESR_WRITE (1u << 6)
#define ESR_CACHE (1u << 8) /* cache maintenance or address translation instruction */

/* Kinds of fault status, without the level. */
enum fault_status {
	FAULT_ADDRESS_SIZE,
	FAULT_TRANSLATION,
	FAULT_ACCESS,
	FAULT_PERMISSION,
	FAULT_ALIGNMENT,
	FAULT_OTHER
};
static inline enum fault_status esr_fault(uint64_t esr)
{
	unsigned status = esr & 63;

	switch (status >> 2) {
	case 0:
		return FAULT_ADDRESS_SIZE;
	case 1:
		return FAULT_TRANSLATION;
	case 2:
		return FAULT_ACCESS;
	case 3:
		return FAULT_PERMISSION;
	default:
		return status == 0x21 ? FAULT_ALIGNMENT : FAULT_OTHER;
	}
}

/* FAULT_TRANSLATION, FAULT_ACCESS or FAULT_PERMISSION. */
static inline bool esr_is_page(uint64_t esr) { return !(esr & 0x30) && esr & 0xc; }
/* The same of a store. */
static inline bool esr_is_page_write(uint64_t esr)
{
	return (esr & (ESR_WRITE | ESR_CACHE | 0x30)) == ESR_WRITE && esr & 0xc;
}

/* Of those: there is a valid descriptor. */
static inline bool esr_is_mapped(uint64_t esr) { return esr & 8; }

/* The syndrome in words, with the address where it matters, to the kernel's log. Any context. */
void esr_print(uint64_t esr, uint64_t far);

#endif
