/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/cpus.h: the CPUs and how they come to life. machine_start_cpus is in hal/context.h. */
#ifndef HAL_AARCH64_CPUS_H
#define HAL_AARCH64_CPUS_H

#include "base/compiler.h"
#include "tree.h"

/* Boot CPU, before anything else in C: its stack's check value, its place in cpus[]. */
void cpus_init_boot(void);

/* Boot CPU, after gic_init: memory and redistributors for the others, which enter at that address. */
void cpus_init(const struct tree *t, paddr_t entry);

/* Called by boot.S on each further CPU. */
void NORETURN secondary_main(void);

#endif
