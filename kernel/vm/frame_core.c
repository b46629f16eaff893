/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_core.c: which frames are free: the two-level bitfield.
 *
 * Purpose. Finds and takes back blocks of 2^0 to 2^18 frames in one array of
 * frames with holes, without touching the frames or their pages.
 *
 * Structure. As LLFree has it, so that its lock-free form fits the same walls:
 *
 *	tree_free[]   one a 64 MiB: sum of 32 chunks     skip what is used up
 *	chunk_free[]  one a 2 MiB: 0 .. 512              find a chunk
 *	chunk[]       512 bits, set: free                find the frames
 *
 * Frames that are no RAM or taken for good are bits that are never set.
 *
 * Policy. A caller begins at its hint, the chunk where it found something last;
 * every CPU has its own, so CPUs work in different chunks. When the hint is used
 * up, small blocks look for a chunk in use first and break a whole one only when
 * there is none: whole chunks are what 2 MiB blocks are made of. The search for
 * whole chunks begins where the last one was found, so that it does not begin at
 * the same full chunks again.
 *
 * Invariants.
 *	1. chunk_free[i] = bits set in chunk[i]
 *	2. tree_free[t]  = sum of chunk_free over the tree's chunks
 *	3. free          = sum of tree_free
 * frame_core_check states them.
 *
 * Locking. One spinlock of RANK_FRAME for everything. Work under it is bounded:
 * the worst case, an order that fits nowhere, reads 64 bytes for each 2 MiB that has enough
 * frames left.
 *
 * Memory order. free is written under the lock and read by anyone as a
 * statistic (relaxed). All else is plain, under the lock.
 *
 * Failure. None but "there is none". A block that is free already is a bug of
 * ours and panics in every build: the bits are at hand.
 *
 * Sources: L. Wrenger et al., LLFree: scalable and optionally-persistent page-
 * frame allocation, USENIX ATC 2023.
 */
#include "vm/frame_core.h"

#include "base/assert.h"
#include "base/bits.h"

static uint64_t trees_of(uint64_t chunks) { return (chunks + TREE_CHUNKS - 1) / TREE_CHUNKS; }

size_t frame_core_size(uint64_t chunks)
{
	return chunks * sizeof(struct frame_chunk) + round_up(chunks * sizeof(uint16_t), CACHE_LINE) +
	       round_up(trees_of(chunks) * sizeof(uint32_t), CACHE_LINE);
}

void frame_core_init(struct frame_core *c, void *tables, uint64_t chunks, uint64_t first_chunk)
{
	char *p = tables;

	__builtin_memset(tables, 0, frame_core_size(chunks));
	spin_init(&c->lock);
	atomic_store_relaxed(&c->free, UINT64_C(0)); /* boot: nobody else is there */
	c->chunks = chunks;
	c->first_chunk = first_chunk;
	c->chunk = (struct frame_chunk *)p;
	p += chunks * sizeof(struct frame_chunk);
	c->chunk_free = (uint16_t *)p;
	p += round_up(chunks * sizeof(uint16_t), CACHE_LINE);
	c->tree_free = (uint32_t *)p;
	c->fresh = 0;
}

/* n frames of that chunk became free (n > 0) or taken (n < 0). */
static void account_locked(struct frame_core *c, uint64_t chunk, int n)
{
	ASSERT_CHECKED(spin_held(&c->lock));
	c->chunk_free[chunk] = (uint16_t)(c->chunk_free[chunk] + n);
	c->tree_free[chunk / TREE_CHUNKS] = (uint32_t)((int64_t)c->tree_free[chunk / TREE_CHUNKS] + n);
	/* single writer by the lock; relaxed: readers want a statistic */
	atomic_bump(&c->free, (uint64_t)(int64_t)n);
}

/* Bits of word w at which an aligned run of 2^order (order < 6) set bits begins. */
static uint64_t run_starts(uint64_t w, unsigned order)
{
	static const uint64_t aligned[6] = {
		~UINT64_C(0),
		UINT64_C(0x5555555555555555),
		UINT64_C(0x1111111111111111),
		UINT64_C(0x0101010101010101),
		UINT64_C(0x0001000100010001),
		UINT64_C(0x0000000100000001),
	};

	for (unsigned i = 0; i < order; i++)
		w &= w >> (1u << i);
	return w & aligned[order];
}

/* Takes a block of order <= CHUNK_ORDER out of a chunk; false when it has none. */
static bool take_from_chunk_locked(struct frame_core *c, uint64_t chunk, unsigned order, uint32_t *out)
{
	uint64_t *word = c->chunk[chunk].word;
	unsigned frame = CHUNK_FRAMES;

	if (order < 6) {
		for (unsigned i = 0; i < CHUNK_WORDS && frame == CHUNK_FRAMES; i++) {
			uint64_t starts = run_starts(word[i], order);

			if (starts) {
				unsigned bit = bit_lowest(starts);

				word[i] &= ~(BITS((1u << order) - 1, 0) << bit);
				frame = i * 64 + bit;
			}
		}
	} else {
		unsigned words = 1u << (order - 6);

		for (unsigned i = 0; i < CHUNK_WORDS && frame == CHUNK_FRAMES; i += words) {
			unsigned n = 0;

			while (n < words && word[i + n] == ~UINT64_C(0))
				n++;
			if (n == words) {
				for (n = 0; n < words; n++)
					word[i + n] = 0;
				frame = i * 64;
			}
		}
	}
	if (frame == CHUNK_FRAMES)
		return false;
	account_locked(c, chunk, -(1 << order));
	*out = (uint32_t)(chunk * CHUNK_FRAMES + frame);
	return true;
}

/*
 * The next chunk from start on, round the end, with free frames between least
 * and most; c->chunks when there is none. Trees with too little are skipped.
 */
static uint64_t find_chunk_locked(struct frame_core *c, uint64_t start, unsigned least, unsigned most)
{
	uint64_t i = start, seen = 0;

	while (seen < c->chunks) {
		if (i % TREE_CHUNKS == 0 && c->tree_free[i / TREE_CHUNKS] < least) {
			uint64_t skip = c->chunks - i < TREE_CHUNKS ? c->chunks - i : TREE_CHUNKS;

			i += skip;
			seen += skip;
		} else {
			if (c->chunk_free[i] >= least && c->chunk_free[i] <= most)
				return i;
			i++;
			seen++;
		}
		if (i == c->chunks)
			i = 0;
	}
	return c->chunks;
}

/* A block of order < CHUNK_ORDER: hint, then chunks in use, then a whole one. */
static bool get_small_locked(struct frame_core *c, uint64_t *hint, unsigned order, uint32_t *out)
{
	unsigned least = 1u << order;
	uint64_t i = *hint < c->chunks ? *hint : 0, start;

	if (c->chunk_free[i] >= least && take_from_chunk_locked(c, i, order, out))
		return true;
	for (uint64_t seen = 0; seen < c->chunks;) {
		start = i + 1 == c->chunks ? 0 : i + 1;
		i = find_chunk_locked(c, start, least, CHUNK_FRAMES - 1);
		if (i == c->chunks)
			break;
		seen += (i + c->chunks - start) % c->chunks + 1;
		if (take_from_chunk_locked(c, i, order, out)) {
			*hint = i;
			return true;
		}
	}
	i = find_chunk_locked(c, c->fresh, CHUNK_FRAMES, CHUNK_FRAMES);
	if (i == c->chunks)
		return false;
	*hint = c->fresh = i;
	return take_from_chunk_locked(c, i, order, out);
}

/* A block of whole chunks, aligned by its physical address. */
static bool get_large_locked(struct frame_core *c, unsigned order, uint32_t *out)
{
	uint64_t n = UINT64_C(1) << (order - CHUNK_ORDER);
	uint64_t start = round_up(c->first_chunk, n) - c->first_chunk;

	for (; start + n <= c->chunks; start += n) {
		uint64_t whole = 0;
		uint32_t ignored;

		while (whole < n && c->chunk_free[start + whole] == CHUNK_FRAMES)
			whole++;
		if (whole < n)
			continue;
		for (uint64_t i = 0; i < n; i++)
			ASSERT(take_from_chunk_locked(c, start + i, CHUNK_ORDER, &ignored));
		*out = (uint32_t)(start * CHUNK_FRAMES);
		return true;
	}
	return false;
}

bool frame_core_get(struct frame_core *c, uint64_t *hint, unsigned order, uint32_t *out)
{
	bool found;

	ASSERT_CHECKED(order <= FRAME_CORE_ORDER_MAX);
	spin_lock(&c->lock, RANK_FRAME);
	if (order < CHUNK_ORDER) {
		found = get_small_locked(c, hint, order, out);
	} else if (order == CHUNK_ORDER) {
		uint64_t i = find_chunk_locked(c, c->fresh, CHUNK_FRAMES, CHUNK_FRAMES);

		found = i < c->chunks && take_from_chunk_locked(c, i, order, out);
		if (found)
			c->fresh = i;
	} else {
		found = get_large_locked(c, order, out);
	}
	spin_unlock(&c->lock);
	return found;
}

unsigned frame_core_get_singles(struct frame_core *c, uint64_t *hint, uint32_t *out, unsigned n)
{
	unsigned got = 0;

	spin_lock(&c->lock, RANK_FRAME);
	while (got < n && get_small_locked(c, hint, 0, &out[got]))
		got++;
	spin_unlock(&c->lock);
	return got;
}

static void put_locked(struct frame_core *c, uint32_t index, unsigned order)
{
	uint64_t chunk = index / CHUNK_FRAMES;
	uint64_t *word = &c->chunk[chunk].word[index % CHUNK_FRAMES / 64];

	if (order < 6) {
		uint64_t mask = BITS((1u << order) - 1, 0) << index % 64;

		if (*word & mask)
			panic("frame core: block of order %u at index %u is free already (CPU %u)", order, index,
			      cpu_id());
		*word |= mask;
	} else {
		for (unsigned i = 0; i < 1u << (order - 6); i++) {
			if (word[i])
				panic("frame core: block of order %u at index %u is free already (CPU %u)", order,
				      index, cpu_id());
			word[i] = ~UINT64_C(0);
		}
	}
	account_locked(c, chunk, 1 << order);
}

void frame_core_put(struct frame_core *c, const uint32_t *index, unsigned n, unsigned order)
{
	ASSERT_CHECKED(order <= FRAME_CORE_ORDER_MAX);
	spin_lock(&c->lock, RANK_FRAME);
	for (unsigned i = 0; i < n; i++) {
		ASSERT(index[i] + (UINT64_C(1) << order) <= c->chunks * CHUNK_FRAMES);
		if (order <= CHUNK_ORDER)
			put_locked(c, index[i], order);
		else
			for (uint32_t j = 0; j < 1u << (order - CHUNK_ORDER); j++)
				put_locked(c, index[i] + j * CHUNK_FRAMES, CHUNK_ORDER);
	}
	spin_unlock(&c->lock);
}

uint32_t frame_core_look(struct frame_core *c, uint64_t chunk, struct frame_chunk *bits)
{
	uint32_t n;

	spin_lock(&c->lock, RANK_FRAME);
	*bits = c->chunk[chunk];
	n = c->chunk_free[chunk];
	spin_unlock(&c->lock);
	return n;
}

void frame_core_check(struct frame_core *c)
{
	uint64_t total = 0;

	for (uint64_t t = 0; t < trees_of(c->chunks); t++) {
		uint64_t sum = 0;

		for (uint64_t i = t * TREE_CHUNKS; i < c->chunks && i < (t + 1) * TREE_CHUNKS; i++) {
			struct frame_chunk bits;
			uint32_t count = frame_core_look(c, i, &bits), set = 0;

			for (unsigned w = 0; w < CHUNK_WORDS; w++)
				set += bit_count(bits.word[w]);
			if (set != count)
				panic("frame core: chunk %lu counts %u free frames, its bits %u", (unsigned long)i,
				      count, set);
			sum += set;
		}
		if (sum != c->tree_free[t])
			panic("frame core: tree %lu counts %u free frames, its chunks %lu", (unsigned long)t,
			      c->tree_free[t], (unsigned long)sum);
		total += sum;
	}
	/* relaxed: a quiet point */
	if (total != atomic_load_relaxed(&c->free))
		panic("frame core: %lu frames are free, the trees say %lu",
		      (unsigned long)atomic_load_relaxed(&c->free), (unsigned long)total);
}
