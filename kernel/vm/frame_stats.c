/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_stats.c: how much is free, against the watermarks. Snapshots: nothing here stops anybody. */
#include "vm/frame_cache.h"

uint64_t frames_available(const struct frames *f)
{
	/* relaxed, all: a statistic */
	uint64_t n = frame_core_free(&f->core);

	for (uint32_t i = 0; i < f->ncpus; i++) {
		const struct frame_cache *c = &f->cache[i];

		for (enum frame_kind kind = 0; kind < FRAME_KINDS; kind++)
			n += atomic_load_relaxed(&c->top[kind]) - frame_stack_base(kind);
		n += atomic_load_relaxed(&c->zeros) + (uint64_t)atomic_load_relaxed(&c->blocks) * CHUNK_FRAMES;
	}
	/* Not by bit_count: the compiler's library counts in an FP register, which the kernel has not. */
	for (uint64_t full = atomic_load_relaxed(&f->zeros.full.bits); full; full &= full - 1)
		n += f->zeros.batch;
	return n;
}

bool frames_below_min(const struct frames *f) { return frames_available(f) < f->min; }
bool frames_low(const struct frames *f) { return frames_available(f) < f->low; }
bool frames_above_high(const struct frames *f) { return frames_available(f) > f->high; }
