/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/cpus.h: the CPUs and how they come to life. machine_start_cpus is in hal/context.h. */
#ifndef HAL_AARCH64_CPUS_H
#define HAL_AARCH64_CPUS_H

#include "base/cpu.h"
#include "tree.h"

/* The CPU that booted; boot.S points TPIDR_EL1 here. */
extern struct cpu boot_cpu;

/* Boot CPU, before anything else in C: its stack's check value, its place in cpus[]. */
void cpus_init_boot(void);

/* Boot CPU, after gic_init: memory and redistributors for the others. */
void cpus_init(const struct tree *t);

/* How many have been started, the boot CPU included; their ids are below. Any context. */
uint32_t cpus_online(void);

/* Called by boot.S on each further CPU. */
void NORETURN secondary_main(void);

#endif
