/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/gic.h: the GICv3. Interrupts are named by their INTID. */
#ifndef HAL_AARCH64_GIC_H
#define HAL_AARCH64_GIC_H

#include "base/cpu.h"
#include "tree.h"

#define GIC_SGI_RESCHEDULE 0
#define GIC_SGI_STOP 1 /* panic */
#define GIC_NONE 1020  /* this and above: no interrupt */

/* Boot CPU: maps and resets the distributor, finds the redistributors; machine_fail when it is not one. */
void gic_init(const struct tree *t);

/* Boot CPU: the virtual address of that CPU's redistributor; machine_fail when it has none. */
uint64_t gic_find_redistributor(uint64_t mpidr);

/* This CPU: its redistributor and interface; SGIs are on, everything else of its own is off. */
void gic_cpu_init(void);

/* Interrupts 16 to 31: this CPU's own. Others: routed to this CPU. */
void gic_enable(uint32_t irq, bool edge);

/* Makes a shared interrupt (32 and above) pending as if its device had raised it. Any context. */
void gic_pend(uint32_t irq);

/* Interrupts masked. Takes the most urgent pending interrupt, GIC_NONE or above if there is none / is done with it. */
uint32_t gic_acknowledge(void);
void gic_end(uint32_t irq);

/* Raises an SGI on another CPU. What this CPU stored before is visible to it. Any context. */
void gic_send(uint32_t cpu, unsigned sgi);

#endif
