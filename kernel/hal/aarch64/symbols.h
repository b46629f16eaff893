/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/symbols.h: names for kernel addresses, from the table that tools/symbols makes of the linked kernel. */
#ifndef HAL_AARCH64_SYMBOLS_H
#define HAL_AARCH64_SYMBOLS_H

#include <stdint.h>

/* The function that holds address, and how far in; NULL if the image has no table or the address is not text. Any
 * context. */
const char *symbol_of(uint64_t address, uint64_t *offset);

#endif
