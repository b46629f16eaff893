/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_chunk.h: the free frames of one chunk, 2 MiB: a bit a frame and one
 * counter. The innermost part of the frame core: it knows one chunk at a time.
 * Theory: frame_chunk.c.
 *
 * Context: any thread or boot context; lock-free, whatever locks are held.
 */
#ifndef VM_FRAME_CHUNK_H
#define VM_FRAME_CHUNK_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/types.h"

#define CHUNK_ORDER BLOCK_ORDER /* a chunk is what a 2 MiB block maps: 512 frames */
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_WORDS (CHUNK_FRAMES / 64)

/* One bit a frame, set: free. */
struct frame_bits {
	ATOMIC(uint64_t) word[CHUNK_WORDS]; /* x */
};
_Static_assert(sizeof(struct frame_bits) == 64, "a cache line a chunk");

/* How many of them may still be claimed. */
struct frame_count {
	ATOMIC(uint16_t) free; /* x: 0 .. CHUNK_FRAMES */
};
_Static_assert(sizeof(struct frame_count) == 2, "packed: the counters of a tree share a line");

/* A copy of the bits, for audits. */
struct frame_chunk {
	uint64_t word[CHUNK_WORDS];
};

/*
 * Claims between least and most frames of the counter, as many as there are; returns how many, 0: fewer than least.
 * Who has claimed n takes n bits, or gives the rest back by frame_count_put.
 */
uint32_t frame_count_take(struct frame_count *c, uint32_t least, uint32_t most);

/* n bits were set before, or were claimed and not taken: they may be claimed. Panics when there are more than frames. */
void frame_count_put(struct frame_count *c, uint32_t n);

/* How many may be claimed now: a hint; but what its takers saw given back before is seen by who finds too few. */
static inline uint32_t frame_count_look(const struct frame_count *c)
{
	return atomic_load_acquire(&c->free); /* pairs with frame_count_take */
}

/* Takes n claimed frames, wherever they are: they are there. first: index of the chunk's first frame. */
void frame_bits_singles(struct frame_bits *b, uint32_t first, uint32_t *out, unsigned n);

/* Is there an aligned block of 2^order free frames (order < CHUNK_ORDER)? A snapshot, word by word; as frame_count_look. */
bool frame_bits_have(const struct frame_bits *b, unsigned order);

/* Takes one, claimed before; false when there is none (any more). *at: its first frame's place in the chunk. */
bool frame_bits_block(struct frame_bits *b, unsigned order, uint32_t *at);

/* Takes exactly the n frames from at on, claimed before; false, and nothing is taken, when one of them is not free. */
bool frame_bits_run(struct frame_bits *b, uint32_t at, uint32_t n);

/* Takes all frames of a chunk, all claimed before: nobody else comes near the bits. */
void frame_bits_whole(struct frame_bits *b);

/* The n frames from at on become free, to be counted next. Panics when one is free already. base: the chunk's first frame. */
void frame_bits_put_mask(struct frame_bits *b, unsigned word, uint64_t mask, uint32_t base);
void frame_bits_put(struct frame_bits *b, uint32_t at, uint32_t n, uint32_t base);
void frame_bits_put_whole(struct frame_bits *b, uint32_t base); /* all of a chunk's; nobody else comes near them */

void frame_bits_copy(const struct frame_bits *b, struct frame_chunk *to);

#endif
