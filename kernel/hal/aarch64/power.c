/* SPDX-License-Identifier: BSD-2-Clause */
#include "power.h"

#include "hal/machine.h"
#include "psci.h"
#include "semihosting.h"

static bool use_semihosting = true; /* constant after power_init */

void power_init(bool semihosting) { use_semihosting = semihosting; }

void machine_power_off(unsigned status)
{
	if (use_semihosting)
		semihosting_exit(status);
	psci_system_off();
	for (;;)
		__asm__ __volatile__("msr daifset, #15\n\twfi" ::: "memory");
}

void machine_wait_for_interrupt(void)
{
	/* What was stored before is on its way while the CPU sleeps. */
	__asm__ __volatile__("dsb sy\n\twfi" ::: "memory");
}
