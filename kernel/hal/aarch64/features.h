/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/features.h: what the CPUs can do, by their ID registers. Read-only once all CPUs run. */
#ifndef HAL_AARCH64_FEATURES_H
#define HAL_AARCH64_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

struct features {
	bool pan;       /* privileged access never */
	bool random;    /* RNDR */
	uint32_t dline; /* bytes of the smallest data cache line; 0: no cleaning needed for fetch (CTR_EL0.IDC) */
	uint32_t iline; /* bytes of the smallest instruction cache line; 0: no invalidation needed (CTR_EL0.DIC) */
};
const struct features *features(void);

/* Boot CPU, before anything asks. */
void features_init(void);

/* Each further CPU, before it runs anything: panics if it translates differently, drops HWCAP bits that it lacks. */
void features_join(void);

#endif
