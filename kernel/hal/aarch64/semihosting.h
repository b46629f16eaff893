/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/semihosting.h: calls to the debugger or emulator that runs us.
 * Without one they fail (HLT is an undefined instruction then, and repaired).
 */
#ifndef HAL_AARCH64_SEMIHOSTING_H
#define HAL_AARCH64_SEMIHOSTING_H

#include <stdbool.h>
#include <stddef.h>

/* Opens the host's standard error. False: there is no semihosting. */
bool semihosting_open(void);

/* Writes to it. Any context after semihosting_open. */
void semihosting_write(const void *bytes, size_t n);

/* Ends the emulator with that status; returns if there is no semihosting. Any context. */
void semihosting_exit(unsigned status);

#endif
