/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/regions.h: a few ranges of physical memory, sorted, none touching
 * another. No locking: boot.
 */
#ifndef HAL_AARCH64_REGIONS_H
#define HAL_AARCH64_REGIONS_H

#include "hal/machine.h"

struct regions {
	struct machine_range range[MACHINE_BANKS];
	uint32_t count;
};

/* Adds [start, end), merging with what it meets. ERR_LIMIT: more than MACHINE_BANKS; nothing changed. */
enum error regions_add(struct regions *r, uint64_t start, uint64_t end) MUST_CHECK;

/* Takes [start, end) away. ERR_LIMIT: a range would split and there is no room; nothing changed. */
enum error regions_remove(struct regions *r, uint64_t start, uint64_t end) MUST_CHECK;

/* True when one range holds all of [start, end) / any byte of it. */
bool regions_hold(const struct regions *r, uint64_t start, uint64_t end);
bool regions_touch(const struct regions *r, uint64_t start, uint64_t end);

#endif
