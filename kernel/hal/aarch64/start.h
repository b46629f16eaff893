/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/start.h: the first C function. */
#ifndef HAL_AARCH64_START_H
#define HAL_AARCH64_START_H

#include <stdint.h>

#include "base/compiler.h"

/* Called by boot.S on the boot CPU: early tables, boot stack, interrupts masked. tree: as it came in x0. */
void NORETURN boot_main(uint64_t tree);

#endif
