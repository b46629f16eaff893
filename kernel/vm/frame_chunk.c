/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_chunk.c: claims and bits of one chunk, without a lock.
 *
 * Purpose. Hands out frames of a chunk to any number of CPUs at once, singly, in
 * words' worth, in aligned blocks, or all 512 of them by one step.
 *
 * Structure. Two steps each way, so that the counter guards the bits:
 *
 *	claim:  free -= n (cas, only if there are n)   then   n bits cleared (cas, word by word)
 *	put:    bits set (or)                          then   free += n
 *
 * Invariants.
 *	1. Bits set = free + claimed, their bits not cleared yet + set, not counted yet.
 *	   So who has claimed n single frames finds n bits. A pass over the words may
 *	   miss one that moves (set behind the pass, another one cleared before it); then somebody
 *	   else took a frame, and the next pass looks again.
 *	2. free == CHUNK_FRAMES means that all bits are set and that nobody holds a
 *	   claim: who takes it from 512 to 0 has the bits to himself and stores them, without a cas; and who gives back
 *	   all 512 frames finds free == 0, no bit set and no claim, and sets them likewise.
 *	3. A claim of a block promises the number only. When the bits do not fit, the
 *	   claim goes back; who looks for a block looks at the bits before he claims, so that he does so
 *	   only when somebody was faster.
 *
 * Blocks. Up to 64 frames lie in one word: one cas. Orders 7 and 8 are two and
 * four words, taken in ascending order; when one of them is not all free, those before
 * are set again. Of two CPUs that want the same block the one that takes its first word gets it, or a third one has
 * taken a frame out of it: in each round somebody gets something.
 *
 * Memory order. All acq_rel. Bits set are before the count (release) that lets
 * who claims it (acquire) find them; a frame's bit, set (release) by who gave it up, is cleared (acquire) by who
 * gets it: so the page's owners and the frame's bytes follow each other. A cas decides, so looks
 * before it are relaxed; but "there is none" is an answer (frame_core.c, Completeness): those looks are acquire.
 *
 * Failure. "Not there". A frame that is free already is a bug of ours and panics
 * in every build: the word is at hand.
 *
 * Source: L. Wrenger et al., LLFree: scalable and optionally-persistent page-frame
 * allocation, USENIX ATC 2023 (which keeps a flag for a chunk taken whole, and leaves its bits).
 */
#include "vm/frame_chunk.h"

#include "base/assert.h"
#include "base/bits.h"

#define WORD_FRAMES 64u
#define WORD_ORDER 6u
#define ALL_FREE (~UINT64_C(0))

/* n bits from at on; 1 <= n, at + n <= 64. */
static uint64_t mask_of(uint32_t at, uint32_t n) { return BITS(n - 1, 0) << at; }

uint32_t frame_count_take(struct frame_count *c, uint32_t least, uint32_t most)
{
	uint16_t now = atomic_load_relaxed(&c->free); /* a guess for the cas */
	uint32_t n;

	do {
		n = now < most ? now : most;
		if (n < least || n == 0)
			return 0;
		/* acq_rel: acquire pairs with frame_count_put, whose bits we shall find */
	} while (!atomic_cas_acq_rel(&c->free, &now, (uint16_t)(now - n)));
	return n;
}

void frame_count_put(struct frame_count *c, uint32_t n)
{
	/* acq_rel: release pairs with frame_count_take: the bits were set before */
	uint32_t before = atomic_add_acq_rel(&c->free, (uint16_t)n);

	if (before + n > CHUNK_FRAMES)
		panic("frame core: a chunk counts %u free frames and gets %u more", before, n);
}

/* Up to n of the word's set bits, the lowest ones, their numbers to out. */
static unsigned take_singles(struct frame_bits *b, unsigned word, uint32_t first, uint32_t *out, unsigned n)
{
	uint64_t v = atomic_load_relaxed(&b->word[word]), rest; /* a guess for the cas */
	unsigned got;

	first += word * WORD_FRAMES;
	do {
		rest = v;
		for (got = 0; got < n && rest; got++) {
			out[got] = first + bit_lowest(rest);
			rest &= rest - 1;
		}
		if (got == 0)
			return 0;
		/* acq_rel: acquire pairs with frame_bits_put of who had these frames */
	} while (!atomic_cas_acq_rel(&b->word[word], &v, rest));
	return got;
}

void frame_bits_singles(struct frame_bits *b, uint32_t first, uint32_t *out, unsigned n)
{
	for (unsigned word = 0; n > 0; word = (word + 1) % CHUNK_WORDS) {
		unsigned got = take_singles(b, word, first, out, n);

		out += got;
		n -= got;
	}
}

/* Bits of word v at which an aligned run of 2^order (order <= 6) set bits begins. */
static uint64_t run_starts(uint64_t v, unsigned order)
{
	static const uint64_t aligned[WORD_ORDER + 1] = {
		~UINT64_C(0),
		UINT64_C(0x5555555555555555),
		UINT64_C(0x1111111111111111),
		UINT64_C(0x0101010101010101),
		UINT64_C(0x0001000100010001),
		UINT64_C(0x0000000100000001),
		UINT64_C(0x0000000000000001),
	};

	for (unsigned i = 0; i < order; i++)
		v &= v >> (1u << i);
	return v & aligned[order];
}

static unsigned words_of(unsigned order) { return order <= WORD_ORDER ? 1 : 1u << (order - WORD_ORDER); }

/* Whether a block may begin in that word: as many whole words as it has, or a run in this one. */
static bool word_has(const struct frame_bits *b, unsigned word, unsigned order)
{
	unsigned n = words_of(order);

	if (n == 1)
		return run_starts(atomic_load_acquire(&b->word[word]), order) != 0; /* pairs with the cas of who took a part */
	while (n > 0 && atomic_load_acquire(&b->word[word + n - 1]) == ALL_FREE) /* likewise */
		n--;
	return n == 0;
}

bool frame_bits_have(const struct frame_bits *b, unsigned order)
{
	for (unsigned i = 0; i < CHUNK_WORDS; i += words_of(order))
		if (word_has(b, i, order))
			return true;
	return false;
}

bool frame_bits_block(struct frame_bits *b, unsigned order, uint32_t *at)
{
	for (unsigned i = 0; i < CHUNK_WORDS; i += words_of(order)) {
		uint64_t v = atomic_load_relaxed(&b->word[i]), starts; /* a guess for the cas */

		if (order > WORD_ORDER) {
			*at = i * WORD_FRAMES;
			if (word_has(b, i, order) && frame_bits_run(b, *at, 1u << order))
				return true;
			continue;
		}
		while ((starts = run_starts(v, order)) != 0) {
			unsigned bit = bit_lowest(starts);

			*at = i * WORD_FRAMES + bit;
			/* acq_rel: as in take_singles */
			if (atomic_cas_acq_rel(&b->word[i], &v, v & ~mask_of(bit, 1u << order)))
				return true;
		}
	}
	return false;
}

/* The bits of mask, all or none. */
static bool take_mask(struct frame_bits *b, unsigned word, uint64_t mask)
{
	uint64_t v = atomic_load_relaxed(&b->word[word]); /* a guess for the cas */

	do {
		if ((v & mask) != mask)
			return false;
		/* acq_rel: as in take_singles */
	} while (!atomic_cas_acq_rel(&b->word[word], &v, v & ~mask));
	return true;
}

/* The part of [at, end) that lies in at's word. */
static uint64_t next_mask(uint32_t at, uint32_t end, uint32_t *n)
{
	*n = WORD_FRAMES - at % WORD_FRAMES;
	if (*n > end - at)
		*n = end - at;
	return mask_of(at % WORD_FRAMES, *n);
}

bool frame_bits_run(struct frame_bits *b, uint32_t at, uint32_t n)
{
	uint32_t end = at + n, part;

	for (uint32_t i = at; i < end; i += part) {
		if (take_mask(b, i / WORD_FRAMES, next_mask(i, end, &part)))
			continue;
		if (i > at) /* those before go back; the claim is still ours */
			frame_bits_put(b, at, i - at, 0);
		return false;
	}
	return true;
}

void frame_bits_whole(struct frame_bits *b)
{
	/* The claim of all (invariant 2) keeps everybody away. release: pairs with looks, as take_singles' cas does */
	for (unsigned i = 0; i < CHUNK_WORDS; i++)
		atomic_store_release(&b->word[i], UINT64_C(0));
}

void frame_bits_put_mask(struct frame_bits *b, unsigned word, uint64_t mask, uint32_t base)
{
	/* acq_rel: release pairs with the cas of who gets the frames next */
	uint64_t twice = atomic_or_acq_rel(&b->word[word], mask) & mask;

	if (UNLIKELY(twice))
		panic("frame core: the frame of index %u is free already (CPU %u)",
		      base + word * WORD_FRAMES + bit_lowest(twice), cpu_id());
}

void frame_bits_put(struct frame_bits *b, uint32_t at, uint32_t n, uint32_t base)
{
	uint32_t end = at + n, part;

	for (uint32_t i = at; i < end; i += part) {
		uint64_t mask = next_mask(i, end, &part);

		frame_bits_put_mask(b, i / WORD_FRAMES, mask, base);
	}
}

void frame_bits_put_whole(struct frame_bits *b, uint32_t base)
{
	for (unsigned i = 0; i < CHUNK_WORDS; i++) {
		/* relaxed, both: all frames are the caller's, so nobody has a claim here until frame_count_put, whose release side publishes this */
		uint64_t twice = atomic_load_relaxed(&b->word[i]);

		if (UNLIKELY(twice))
			panic("frame core: the frame of index %u is free already (CPU %u)",
			      base + i * WORD_FRAMES + bit_lowest(twice), cpu_id());
		atomic_store_relaxed(&b->word[i], ALL_FREE);
	}
}

void frame_bits_copy(const struct frame_bits *b, struct frame_chunk *to)
{
	for (unsigned i = 0; i < CHUNK_WORDS; i++)
		to->word[i] = atomic_load_relaxed(&b->word[i]); /* exact at a quiet point only */
}
