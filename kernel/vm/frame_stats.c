/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_stats.c: how much is free, against the watermarks. Snapshots: nothing here stops anybody. */
#include "vm/frame_cache.h"

uint64_t frames_available(const struct frames *f)
{
	/* relaxed, all: a statistic */
	uint64_t n = frame_core_free(&f->core);

	for (uint32_t i = 0; i < f->ncpus; i++) {
		const struct frame_cache *c = &f->cache[i];

		for (unsigned k = 0; k < FRAME_STACKS; k++)
			n += (uint64_t)frame_stack_count(&c->stack[k]) << (k == FRAME_WHOLE ? CHUNK_ORDER : 0);
	}
	/* Not by bit_count: the compiler's library counts in an FP register, which the kernel has not. */
	for (uint64_t full = atomic_load_relaxed(&f->zeros.full.bits); full; full &= full - 1)
		n += f->zeros.batch;
	return n;
}

bool frames_below_min(const struct frames *f) { return frames_available(f) < f->min; }
bool frames_low(const struct frames *f) { return frames_available(f) < f->low; }
bool frames_above_high(const struct frames *f) { return frames_available(f) > f->high; }
