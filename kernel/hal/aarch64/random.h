/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/random.h: seeding machine_random. */
#ifndef HAL_AARCH64_RANDOM_H
#define HAL_AARCH64_RANDOM_H

#include <stdint.h>

/* Boot CPU: the boot loader's seed, which may be empty; if it is shorter than a key the counter goes in as well. */
void random_init(const uint8_t *seed, uint32_t size);

#endif
