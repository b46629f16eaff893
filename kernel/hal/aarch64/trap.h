/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/trap.h: what vectors.S calls. Interrupts masked on entry and on return. */
#ifndef HAL_AARCH64_TRAP_H
#define HAL_AARCH64_TRAP_H

#include "base/compiler.h"
#include "hal/context.h"

/* An abort of EL0's access to data, interrupts masked, registers not all saved. => true: resolved, nothing else is to be done. */
bool trap_user_abort(uint64_t esr);
void trap_user_sync(struct trap_frame *tf, uint64_t esr);
void trap_user_irq(struct trap_frame *tf);

/* context_return_to_user: the frame is at the top of the stack. */
void trap_user_enter(struct trap_frame *tf);

void trap_kernel_sync(struct trap_frame *tf, uint64_t esr, uint64_t far);
void trap_kernel_irq(struct trap_frame *tf);

/* Vectors that nothing should reach, by their number. */
void NORETURN trap_odd(struct trap_frame *tf, unsigned vector, uint64_t esr, uint64_t far);

/* On the emergency stack. */
void NORETURN trap_stack_overflow(struct trap_frame *tf, uint64_t esr, uint64_t far);

#endif
