/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/context_private.h: what switch.S and context.c share with the rest of the machine. */
#ifndef HAL_AARCH64_CONTEXT_PRIVATE_H
#define HAL_AARCH64_CONTEXT_PRIVATE_H

/* Puts the check value at the lowest word of a kernel stack; context_switch looks for it when the stack is left. */
void context_stack_mark(void *stack);

/* switch.S: where a new thread begins. */
void context_start(void);

#endif
