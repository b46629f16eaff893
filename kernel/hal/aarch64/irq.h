/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/irq.h: who gets which interrupt. */
#ifndef HAL_AARCH64_IRQ_H
#define HAL_AARCH64_IRQ_H

#include "hal/context.h"
#include "tree.h"

/* Boot CPU, after gic_init: its own interrupts and the console's. Other CPUs: their own. */
void irq_init(const struct tree *t);
void irq_cpu_init(void);

/* Handles all interrupts that are pending on this CPU. tf: what was interrupted. Interrupts masked. */
void irq_handle(struct trap_frame *tf);

#endif
