/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_core.h: which frames are free, without a lock. The frame layer's
 * inner half: it knows indices from 0 and numbers of CPUs, not RAM, owners or
 * caches. Theory: frame_core.c.
 *
 * Context: as vm/frame.h. A CPU's number may be given by one caller at a time:
 * its own, or a visitor whose lock keeps its own away (frame_cache.c).
 */
#ifndef VM_FRAME_CORE_H
#define VM_FRAME_CORE_H

#include "vm/frame_chunk.h"

#define TREE_SHIFT_MAX 5u /* at most 32 chunks a tree, 64 MiB */
#define TREE_CHUNKS_MAX (1u << TREE_SHIFT_MAX)
#define FRAME_CORE_ORDER_MAX 18u /* 1 GiB */

/* What stays where it is, and what can be moved or thrown away, lie in different trees. */
enum frame_kind { FRAME_MOVABLE, FRAME_FIXED, FRAME_KINDS };

/* The free frames of some neighbouring chunks. */
struct frame_tree {
	ATOMIC(uint32_t) word; /* x: TREE_FREE, TREE_RESERVED, TREE_KIND */
};
#define TREE_FREE 0xffffu      /* credits: frames that may be claimed in its chunks */
#define TREE_RESERVED 0x10000u /* some CPU's reservation names it */
#define TREE_KIND_SHIFT 17     /* 0: no kind yet, else 1 + enum frame_kind */
_Static_assert(TREE_CHUNKS_MAX *CHUNK_FRAMES <= TREE_FREE, "the credits of a tree fit, with what is added at once");

/* One CPU's reservations: a tree of each kind, and credits that it may spend there. */
struct frame_reserve {
	ATOMIC(uint64_t) tree[FRAME_KINDS]; /* x: (tree + 1) << 32 | credits; 0: none */
	uint64_t chunk[FRAME_KINDS];        /* own CPU's: where it found something last; a hint */
	uint64_t whole;                     /* own CPU's: a chunk that it gave back, or one beside the last it took; a hint */
} ALIGNED(CACHE_LINE);

/* Fixed after frame_core_init but for what is said. */
struct frame_core {
	uint64_t chunks;
	uint64_t first_chunk;      /* physical address of index 0 in chunks: blocks are aligned absolutely */
	uint64_t trees;            /* chunks in groups of 1 << tree_shift */
	unsigned tree_shift;       /* 0 .. TREE_SHIFT_MAX */
	uint32_t ncpus;            /* of reserve[] */
	struct frame_bits *bits;   /* one a chunk */
	struct frame_count *count; /* TREE_CHUNKS_MAX places a tree, the first of them used: a cache line */
	struct frame_tree *tree;
	ATOMIC(uint32_t) searching ALIGNED(CACHE_LINE); /* x: searches under way; written only then */
	ATOMIC(uint64_t) unrest; /* x: raises under way, and above bit 32 raises begun; only while there are searches */
	struct frame_reserve reserve[CPU_MAX];
};

/* Bytes that the tables of so many chunks take, whatever the number of CPUs. */
size_t frame_core_size(uint64_t chunks);

/* Boot. tables: frame_core_size bytes, 64-byte aligned. => every frame is taken; frame_core_put frees. */
void frame_core_init(struct frame_core *c, void *tables, uint64_t chunks, uint64_t first_chunk, uint32_t ncpus);

/*
 * Up to n single frames to out; returns how many. 0: none was found; in a search that has settled all reservations: no tree
 * had a credit when it was looked at.
 */
unsigned frame_core_get_singles(struct frame_core *c, uint32_t cpu, enum frame_kind kind, uint32_t *out, unsigned n);

/* A block of 2^order frames, aligned to its size; false: none was found. */
bool frame_core_get(struct frame_core *c, uint32_t cpu, enum frame_kind kind, unsigned order, uint32_t *out);

/* What a run of frames has to be: its length, at what multiple it begins, and within which frames it lies. */
struct frame_run {
	uint64_t n;
	uint64_t align;    /* a power of two, of physical frame numbers */
	uint64_t min, max; /* indices; [min, max) holds the run */
};

/* A run of free frames, the lowest that was found; false: none was. Out of trees' own credits only: see frame_run.c. */
bool frame_core_get_run(struct frame_core *c, const struct frame_run *run, uint32_t *out);

/* n blocks of 2^order frames become free. Panics when one is free already. */
void frame_core_put(struct frame_core *c, uint32_t cpu, const uint32_t *index, unsigned n, unsigned order);
void frame_core_put_run(struct frame_core *c, uint32_t cpu, uint32_t index, uint64_t n);

/* The credits of a CPU's reservations go back to their trees, which nobody has reserved then. */
void frame_core_settle(struct frame_core *c, uint32_t cpu);

/*
 * A search: the caller wants to be sure that there is nothing. From begin to end no CPU that looks at `searching`
 * reserves a tree, and every step that may make a counter larger is noted. When all reservations have been settled since
 * begin, each under the lock under which its CPU's number is used, and a get fails, and nothing was noted from before it
 * until after it, then there was a moment without a block.
 */
void frame_core_search_begin(struct frame_core *c);
void frame_core_search_end(struct frame_core *c);
static inline bool frame_core_searched(const struct frame_core *c)
{
	return UNLIKELY(atomic_load_acquire(&c->searching) != 0); /* pairs with frame_core_search_end */
}
/*
 * Around every step that makes a counter larger, or may have to give back what it took, or has frames in its hands that a
 * searcher would not find: noted while there is a search. What begin returns is for end. May be nested.
 */
bool frame_raise_begin(struct frame_core *c);
void frame_raise_end(struct frame_core *c, bool noted);

uint64_t frame_core_unrest(const struct frame_core *c);
/* Since frame_core_unrest returned that, nothing was noted, nor was anything under way. */
bool frame_core_at_rest(const struct frame_core *c, uint64_t unrest);

/* Free frames in all; a snapshot, not exact while others allocate. */
uint64_t frame_core_free(const struct frame_core *c);

/* A chunk's bits, copied, for audits. Returns the chunk's own count of free frames. */
uint32_t frame_core_look(const struct frame_core *c, uint64_t chunk, struct frame_chunk *bits);

/* Panics unless all counts agree with the bits. At a quiet point. */
void frame_core_check(const struct frame_core *c);

#endif
