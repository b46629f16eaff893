/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_run.c: runs of free frames of any length: blocks beyond 2 MiB, and
 * what a device wants whole, aligned, below an address. Part of the frame core.
 *
 * A run is looked for in the bits, from the lowest place on, then claimed chunk by
 * chunk in ascending order, each by credit, count and bits; where somebody was faster, all before goes back and the look goes on
 * behind that place. So it is all or nothing, and of two that meet the one that is further up gets on.
 *
 *	chunk      i-1          i            i+1          i+2
 *	   [......##########][############][############][#####.......]
 *	          ^ a part: cas of words    ^ 512 -> 0    ^ a part
 *
 * Credits come out of the trees' own words. Where a CPU has reserved a tree they are not there: then the run is not
 * found, and the caller's search settles reservations and asks again.
 *
 * A whole chunk is passed over by its count: its bits are read only where frames of it are free.
 */
#include "base/bits.h"
#include "vm/frame_tree.h"

static uint64_t part_of(uint64_t i, uint64_t end)
{
	uint64_t left = CHUNK_FRAMES - i % CHUNK_FRAMES;

	return left < end - i ? left : end - i;
}

/* The frames of one chunk from index i on. */
static bool claim_part(struct frame_core *c, uint64_t i, uint32_t n)
{
	uint64_t chunk = i / CHUNK_FRAMES;

	if (!tree_take(c, tree_of(c, chunk), n, n))
		return false;
	if (frame_count_take(count_of(c, chunk), n, n)) {
		if (n == CHUNK_FRAMES) {
			frame_bits_whole(&c->bits[chunk]);
			return true;
		}
		if (frame_bits_run(&c->bits[chunk], i % CHUNK_FRAMES, n))
			return true;
		frame_count_put(count_of(c, chunk), n);
	}
	tree_put(c, tree_of(c, chunk), n);
	return false;
}

/* All frames of [start, start + n), or none; then *stopped is the last frame of those in the chunk that was not to be had. */
static bool claim_run(struct frame_core *c, uint64_t start, uint64_t n, uint64_t *stopped)
{
	bool noted = frame_raise_begin(c);
	uint64_t end = start + n, i = start, part;

	for (; i < end; i += part) {
		part = part_of(i, end);
		if (!claim_part(c, i, (uint32_t)part))
			break;
	}
	for (uint64_t back = start; i < end && back < i; back += part) {
		uint64_t chunk = back / CHUNK_FRAMES;

		part = part_of(back, end);
		frame_bits_put(&c->bits[chunk], back % CHUNK_FRAMES, (uint32_t)part, (uint32_t)(chunk * CHUNK_FRAMES));
		frame_count_put(count_of(c, chunk), (uint32_t)part);
		tree_put(c, tree_of(c, chunk), (uint32_t)part);
	}
	frame_raise_end(c, noted);
	*stopped = i < end ? i + part - 1 : i;
	return i >= end;
}

/* The last frame of [from, end) that is not free, or UINT64_MAX: from the top, so that a run is passed over at once. */
static uint64_t last_taken(const struct frame_core *c, uint64_t from, uint64_t end)
{
	while (end > from) {
		uint64_t i = end - 1, chunk = i / CHUNK_FRAMES, low = round_down(i, 64), set;

		if (frame_count_look(count_of(c, chunk)) == 0)
			return i;
		/* acquire: "taken" is a claim, as in tree_take. Bits above i are of no interest: as if set */
		set = atomic_load_acquire(&c->bits[chunk].word[i % CHUNK_FRAMES / 64]);
		if (i % 64 < 63)
			set |= ~UINT64_C(0) << (i % 64 + 1);
		if (~set) {
			uint64_t taken = low + bit_highest(~set);

			return taken >= from ? taken : UINT64_MAX;
		}
		end = low;
	}
	return UINT64_MAX;
}

/* The first place from i on where a run may begin. */
static uint64_t align_up(const struct frame_core *c, uint64_t i, uint64_t align)
{
	uint64_t base = c->first_chunk * CHUNK_FRAMES;

	return round_up(base + i, align) - base;
}

bool frame_core_get_run(struct frame_core *c, const struct frame_run *run, uint32_t *out)
{
	uint64_t all = c->chunks * CHUNK_FRAMES, max = run->max < all ? run->max : all;
	uint64_t i = align_up(c, run->min, run->align);

	while (run->n <= max && i <= max - run->n) {
		uint64_t stopped = last_taken(c, i, i + run->n);

		if (stopped == UINT64_MAX) {
			if (claim_run(c, i, run->n, &stopped)) {
				*out = (uint32_t)i;
				return true;
			}
		}
		i = align_up(c, stopped + 1, run->align);
	}
	return false;
}
