/* SPDX-License-Identifier: BSD-2-Clause */
#include "psci.h"

#define PSCI_CPU_ON 0xc4000003u
#define PSCI_SYSTEM_OFF 0x84000008u

static enum psci_conduit conduit; /* constant after boot */

void psci_init(enum psci_conduit c) { conduit = c; }

/* SMC calling convention: x0 to x3 carry results, x4 to x17 may change. */
static int64_t call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

#define PSCI_CALL(instruction) \
	__asm__ __volatile__(instruction \
			     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"x4", "x5", "x6", "x7", "x8", "x9", "x10", \
			       "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory")
	if (conduit == PSCI_HVC)
		PSCI_CALL("hvc #0");
	else
		PSCI_CALL("smc #0");
	return (int64_t)x0;
}

int32_t psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t argument)
{
	return (int32_t)call(PSCI_CPU_ON, mpidr, entry.pa, argument);
}

void psci_system_off(void)
{
	if (conduit != PSCI_NONE)
		(void)call(PSCI_SYSTEM_OFF, 0, 0, 0);
}
