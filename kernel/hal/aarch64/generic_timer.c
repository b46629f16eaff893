/* SPDX-License-Identifier: BSD-2-Clause */
#include "generic_timer.h"

#include "fail.h"
#include "hal/machine.h"
#include "sysreg.h"

#define NS UINT64_C(1000000000)
#define TIMER_LEAST 20000    /* ns */
#define DOZE UINT64_C(50000) /* ns */
#define CTL_ENABLE 1
#define CTL_MASKED 2

/* Constant after generic_timer_init. Nanoseconds = ticks * ns_per_tick >> 32, ticks = nanoseconds * hz / NS rounded up.
 */
static uint64_t start, ns_per_tick, frequency;

static uint64_t counter(void)
{
	/* Not before what comes earlier in the program, as a clock should be. */
	isb();
	return sysreg_read(cntvct_el0);
}

void generic_timer_init(uint32_t hz)
{
	frequency = hz ? hz : (uint32_t)sysreg_read(cntfrq_el0);
	if (frequency < 1000)
		machine_fail("the timer's frequency is not known (%lu Hz)", frequency);
	ns_per_tick = (NS << 32) / frequency;
	start = counter();
}

void generic_timer_cpu_init(void)
{
	sysreg_write(cntv_ctl_el0, CTL_MASKED);
	isb();
}

void generic_timer_acknowledge(void) { generic_timer_cpu_init(); }

uint64_t machine_now(void) { return (uint64_t)((unsigned __int128)(counter() - start) * ns_per_tick >> 32); }

void machine_timer_set(uint64_t when)
{
	uint64_t now, delta, ticks;

	if (when == UINT64_MAX) {
		generic_timer_cpu_init();
		return;
	}
	now = machine_now();
	/* A handler that arms a moment in the past over and over must not keep what it interrupts from going on. */
	delta = when > now + TIMER_LEAST ? when - now : TIMER_LEAST;
	if (delta > 86400 * NS)
		delta = 86400 * NS; /* comes early; whoever armed it looks at the clock anyway */
	ticks = delta / NS * frequency + (delta % NS * frequency + NS - 1) / NS;
	sysreg_write(cntv_cval_el0, counter() + ticks);
	sysreg_write(cntv_ctl_el0, CTL_ENABLE);
	isb();
}

void generic_timer_doze_begin(void)
{
	sysreg_write(cntp_tval_el0, DOZE * frequency / NS + 1);
	sysreg_write(cntp_ctl_el0, CTL_ENABLE);
	isb();
}

void generic_timer_doze_end(void)
{
	sysreg_write(cntp_ctl_el0, CTL_MASKED);
	isb();
}
