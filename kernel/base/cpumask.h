/* SPDX-License-Identifier: BSD-2-Clause */
/* base/cpumask.h: a set of CPUs. No locking of its own. */
#ifndef BASE_CPUMASK_H
#define BASE_CPUMASK_H

#include "base/bits.h"
#include "base/cpu.h"

struct cpumask {
	uint64_t word[CPU_MAX / 64];
};

static inline void cpumask_set(struct cpumask *m, uint32_t cpu) { m->word[cpu / 64] |= BIT(cpu % 64); }
static inline void cpumask_clear(struct cpumask *m, uint32_t cpu) { m->word[cpu / 64] &= ~BIT(cpu % 64); }
static inline bool cpumask_has(const struct cpumask *m, uint32_t cpu) { return m->word[cpu / 64] >> (cpu % 64) & 1; }

static inline bool cpumask_empty(const struct cpumask *m)
{
	for (unsigned i = 0; i < CPU_MAX / 64; i++)
		if (m->word[i])
			return false;
	return true;
}

#endif
