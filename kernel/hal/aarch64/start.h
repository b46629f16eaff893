/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/start.h: the first C function. */
#ifndef HAL_AARCH64_START_H
#define HAL_AARCH64_START_H

#include "base/compiler.h"
#include "base/types.h"

/*
 * Called by boot.S on the boot CPU: early tables, boot stack, interrupts masked.
 * Physical addresses: the tree as it came in x0, the image's start, and in the image
 * idmap_set_root (boot.S; the identity map still stands) and where other CPUs enter.
 */
void NORETURN boot_main(paddr_t at, paddr_t image, paddr_t set_root, paddr_t secondary_entry);

#endif
