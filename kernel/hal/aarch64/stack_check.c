/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/stack_check.c: what Debian's libfdt, built with -fstack-protector, links against. */
#include <stdint.h>

#include "base/assert.h"

extern const uint64_t __stack_chk_guard;
void NORETURN __stack_chk_fail(void);

/* A zero byte, a line feed and 0xff among the rest: what overruns by strings cannot write. */
const uint64_t __stack_chk_guard = 0x5bd1000ae995ff1b;

void __stack_chk_fail(void) { panic("a function of libfdt overran its stack frame"); }
