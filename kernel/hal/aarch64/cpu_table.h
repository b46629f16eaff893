/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/cpu_table.h: the CPUs' own structs. cpus[] itself is in machine_cpu.h. */
#ifndef HAL_AARCH64_CPU_TABLE_H
#define HAL_AARCH64_CPU_TABLE_H

#include "base/cpu.h"

/* The CPU that booted; boot.S points TPIDR_EL1 here before any C runs. */
extern struct cpu boot_cpu;

/* CPUs with an id below this have been started. Any context. */
uint32_t cpus_online(void);

/* Boot CPU, from now on. */
void cpus_set_online(uint32_t n);

#endif
