/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu_table.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "hal/context.h"

static char boot_stack[KSTACK_SIZE] ALIGNED(KSTACK_SIZE);
static char boot_emergency[EMERGENCY_SIZE] ALIGNED(16);

struct cpu *cpus[CPU_MAX];

struct cpu boot_cpu = {
	.stack = (uint64_t)boot_stack,
	.stack_limit = (uint64_t)boot_stack + STACK_MARGIN,
	.emergency = (uint64_t)boot_emergency + EMERGENCY_SIZE,
};

static ATOMIC(uint32_t) online = ATOMIC_INIT(1);

/* relaxed: only a panic asks, and it copes with a CPU too few or too many */
uint32_t cpus_online(void) { return atomic_load_relaxed(&online); }
void cpus_set_online(uint32_t n) { atomic_store_relaxed(&online, n); }
