/* SPDX-License-Identifier: BSD-2-Clause */
#include "esr.h"

#include <stddef.h>

#include "base/print.h"

static const char *const classes[64] = {
	[EC_UNKNOWN] = "undefined instruction",
	[0x01] = "trapped WFI or WFE",
	[EC_FP_ACCESS] = "trapped FP access",
	[0x0d] = "branch target",
	[EC_ILLEGAL_STATE] = "illegal execution state",
	[EC_SVC] = "SVC",
	[EC_MSR] = "trapped system register or instruction",
	[0x19] = "trapped SVE access",
	[0x1c] = "pointer authentication",
	[0x1d] = "trapped SME access",
	[EC_FETCH_USER] = "instruction abort from EL0",
	[EC_FETCH_KERNEL] = "instruction abort from EL1",
	[EC_PC_ALIGNMENT] = "misaligned PC",
	[EC_DATA_USER] = "data abort from EL0",
	[EC_DATA_KERNEL] = "data abort from EL1",
	[EC_SP_ALIGNMENT] = "misaligned SP",
	[EC_FP_EXCEPTION] = "floating-point exception",
	[EC_SERROR] = "SError",
	[EC_BREAKPOINT_USER] = "hardware breakpoint from EL0",
	[0x31] = "hardware breakpoint from EL1",
	[EC_STEP_USER] = "single step from EL0",
	[0x33] = "single step from EL1",
	[EC_WATCHPOINT_USER] = "watchpoint from EL0",
	[0x35] = "watchpoint from EL1",
	[EC_BRK] = "BRK",
};

static const char *fault_name(uint64_t esr)
{
	switch (esr_fault(esr)) {
	case FAULT_ADDRESS_SIZE:
		return "address size";
	case FAULT_TRANSLATION:
		return "translation";
	case FAULT_ACCESS:
		return "access flag";
	case FAULT_PERMISSION:
		return "permission";
	case FAULT_ALIGNMENT:
		return "alignment";
	default:
		break;
	}
	switch (esr & 63) {
	case 0x10:
		return "external abort";
	case 0x14:
	case 0x15:
	case 0x16:
	case 0x17:
		return "external abort on a table walk";
	case 0x18:
	case 0x1c:
	case 0x1d:
	case 0x1e:
	case 0x1f:
		return "parity or ECC";
	case 0x30:
		return "TLB conflict";
	case 0x35:
		return "unsupported exclusive or atomic";
	default:
		return "unknown";
	}
}

void esr_print(uint64_t esr, uint64_t far)
{
	unsigned class = esr_class(esr), status = esr & 63;
	const char *name = classes[class] ? classes[class] : "unknown exception";

	switch (class) {
	case EC_FETCH_USER:
	case EC_FETCH_KERNEL:
	case EC_DATA_USER:
	case EC_DATA_KERNEL:
		kprintf("  esr %08lx: %s, %s at %016lx: %s fault", esr, name,
			class <= EC_FETCH_KERNEL ? "fetch"
			: esr & ESR_CACHE        ? "cache maintenance"
			: esr & ESR_WRITE        ? "write"
						 : "read",
			far, fault_name(esr));
		if (status < 16)
			kprintf(", level %u", status & 3);
		kprintf("\n");
		break;
	case EC_BRK:
		kprintf("  esr %08lx: %s #%lu\n", esr, name, esr & 0xffff);
		break;
	default:
		kprintf("  esr %08lx: %s (syndrome %#lx), far %016lx\n", esr, name, esr & 0x1ffffff, far);
	}
}
