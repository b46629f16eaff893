/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/fail.h: a machine that cannot be used. */
#ifndef HAL_AARCH64_FAIL_H
#define HAL_AARCH64_FAIL_H

#include "base/compiler.h"

#define STATUS_PANIC 125 /* with which a panic powers off */

/* The machine, or what its boot loader says of it, cannot be used: one line, power off with STATUS_PANIC. Boot. */
void NORETURN machine_fail(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
