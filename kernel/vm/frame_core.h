/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_core.h: which frames are free. The frame layer's inner half: it
 * knows indices from 0, not RAM, owners or CPUs. Theory: frame_core.c.
 *
 * Context: as vm/frame.h; spinlocks below RANK_FRAME may be held.
 */
#ifndef VM_FRAME_CORE_H
#define VM_FRAME_CORE_H

#include "base/types.h"
#include "sync/spinlock.h"

#define CHUNK_ORDER BLOCK_ORDER /* a chunk is what a 2 MiB block maps: 512 frames */
#define CHUNK_FRAMES (1u << CHUNK_ORDER)
#define CHUNK_WORDS (CHUNK_FRAMES / 64)
#define TREE_CHUNKS 32u          /* chunks whose free frames are summed: 64 MiB */
#define FRAME_CORE_ORDER_MAX 18u /* 1 GiB */

/* One bit a frame, set: free. */
struct frame_chunk {
	uint64_t word[CHUNK_WORDS];
};
_Static_assert(sizeof(struct frame_chunk) == 64, "a cache line a chunk");

/* l: guarded by lock; x: read by anyone; else fixed */
struct frame_core {
	struct spinlock lock;  /* RANK_FRAME */
	ATOMIC(uint64_t) free; /* l, x: free frames in all */
	uint64_t chunks;
	uint64_t first_chunk;      /* physical address of index 0 in chunks: large blocks are aligned absolutely */
	struct frame_chunk *chunk; /* l: chunks entries */
	uint16_t *chunk_free;      /* l: free frames of each chunk */
	uint32_t *tree_free;       /* l: free frames of each TREE_CHUNKS chunks */
	uint64_t fresh;            /* l: where to look next for a chunk to start on */
};

/* Bytes that the tables of so many chunks take. */
size_t frame_core_size(uint64_t chunks);

/* Boot. tables: frame_core_size bytes, 64-byte aligned. => every frame is taken; frame_core_put frees. */
void frame_core_init(struct frame_core *c, void *tables, uint64_t chunks, uint64_t first_chunk);

/* Up to n single frames to out; returns how many. *hint: chunk to begin with, and afterwards the last one used. */
unsigned frame_core_get_singles(struct frame_core *c, uint64_t *hint, uint32_t *out, unsigned n);

/* A block of 2^order frames, aligned to its size; false when there is none. */
bool frame_core_get(struct frame_core *c, uint64_t *hint, unsigned order, uint32_t *out);

/* n blocks of 2^order frames become free. Panics when one is free already. */
void frame_core_put(struct frame_core *c, const uint32_t *index, unsigned n, unsigned order);

/* A chunk's bits, copied, for audits. Returns the chunk's own count of free frames. */
uint32_t frame_core_look(struct frame_core *c, uint64_t chunk, struct frame_chunk *bits);

/* Panics unless all counts agree with the bits. At a quiet point. */
void frame_core_check(struct frame_core *c);

#endif
