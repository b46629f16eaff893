/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_core_check.c: what the frame core looks like to audits and statistics; its invariants, stated. */
#include "base/assert.h"
#include "base/bits.h"
#include "vm/frame_tree.h"

/* Credits in a CPU's reservation, and the tree that they belong to. relaxed: exact at a quiet point only. */
static uint32_t credits_of(const struct frame_core *c, uint32_t cpu, unsigned kind, uint64_t *t)
{
	uint64_t local = atomic_load_relaxed(&c->reserve[cpu].tree[kind]);

	*t = (local >> 32) - 1;
	return (uint32_t)local;
}

uint64_t frame_core_free(const struct frame_core *c)
{
	uint64_t n = 0, t;

	for (t = 0; t < c->trees; t++)
		n += tree_free(atomic_load_relaxed(&c->tree[t].word)); /* a statistic */
	for (uint32_t cpu = 0; cpu < c->ncpus; cpu++)
		for (unsigned kind = 0; kind < FRAME_KINDS; kind++)
			n += credits_of(c, cpu, kind, &t);
	return n;
}

uint32_t frame_core_look(const struct frame_core *c, uint64_t chunk, struct frame_chunk *bits)
{
	frame_bits_copy(&c->bits[chunk], bits);
	return frame_count_look(count_of(c, chunk));
}

/* Free frames of a chunk, by its bits, which must be as many as it counts. */
static uint32_t check_chunk(const struct frame_core *c, uint64_t chunk)
{
	struct frame_chunk bits;
	uint32_t count = frame_core_look(c, chunk, &bits), set = 0;

	for (unsigned w = 0; w < CHUNK_WORDS; w++)
		set += bit_count(bits.word[w]);
	if (set != count)
		panic("frame core: chunk %lu counts %u free frames, its bits %u", (unsigned long)chunk, count, set);
	return count;
}

/* A tree's credits are its chunks' free frames, and it is reserved by one, or by none. */
static void check_tree(const struct frame_core *c, uint64_t t)
{
	uint32_t word = atomic_load_relaxed(&c->tree[t].word); /* a quiet point */
	uint64_t counted = 0, credits = tree_free(word), named, reservations = 0;

	for (uint64_t i = tree_first(c, t); i < tree_end(c, t); i++)
		counted += check_chunk(c, i);
	for (uint32_t cpu = 0; cpu < c->ncpus; cpu++)
		for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
			uint32_t n = credits_of(c, cpu, kind, &named);

			if (named != t)
				continue;
			credits += n;
			reservations++;
			if (word >> TREE_KIND_SHIFT != kind + 1)
				panic("frame core: tree %lu of kind %u is reserved as %u", (unsigned long)t,
				      word >> TREE_KIND_SHIFT, kind + 1);
		}
	if (credits != counted)
		panic("frame core: tree %lu has %lu credits, its chunks count %lu free frames", (unsigned long)t,
		      (unsigned long)credits, (unsigned long)counted);
	if (reservations != tree_reserved(word))
		panic("frame core: tree %lu is %sreserved, and named by %lu reservations", (unsigned long)t,
		      tree_reserved(word) ? "" : "not ", (unsigned long)reservations);
}

void frame_core_check(const struct frame_core *c)
{
	for (uint64_t t = 0; t < c->trees; t++)
		check_tree(c, t);
	/* relaxed: a quiet point */
	if (atomic_load_relaxed(&c->searching) || (uint32_t)atomic_load_relaxed(&c->unrest))
		panic("frame core: a search or a raise never ended");
}
