/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/panic.h: panics of the machine's own. panic itself is in base/assert.h, its status in fail.h. */
#ifndef HAL_AARCH64_PANIC_H
#define HAL_AARCH64_PANIC_H

#include "base/compiler.h"
#include "hal/context.h"

/* panic for an exception: shows these registers instead of the caller's stack. Any context. */
void NORETURN panic_frame(const struct trap_frame *tf, uint64_t esr, uint64_t far, const char *format, ...)
	PRINTF_LIKE(4, 5);

/* Another CPU panics and wants this one to stop; tf: what it was doing. Interrupts masked. */
void NORETURN panic_stopped(const struct trap_frame *tf);

#endif
