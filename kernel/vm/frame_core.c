/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_core.c: which frames are free: a lock-free two-level allocator.
 *
 * Purpose. Finds and takes back blocks of 2^0 to 2^18 frames, and runs of any
 * length, in one array of frames with holes, without touching the frames or their pages, on any
 * number of CPUs at once, none of which waits for another.
 *
 * Structure.
 *
 *	reserve[cpu]  a tree of each kind, its credits      who may take
 *	tree[]        credits of up to 32 chunks (64 MiB)   skip what is used up      frame_tree.c
 *	count[]       one a 2 MiB: 0 .. 512                 find a chunk              frame_chunk.c
 *	bits[]        512 bits a chunk, set: free           find the frames
 *
 * Everybody goes down this ladder to take (a credit, then a claim on a chunk, then
 * bits) and up to give. So at each level there is at least as much as the level above promises:
 *
 *	sum of bits >= sum of counts >= sum of credits, equal at a quiet point
 *
 * Frames that are no RAM or taken for good are bits that are never set. Trees are
 * smaller where RAM is, so that there are some for each CPU.
 *
 * Policy. Single frames and small blocks come from the CPU's reserved tree: of its
 * chunks the one with the fewest free frames that has a block, whole ones last. Then
 * it reserves another tree (passes: frame_tree.c); then anybody's. Blocks of 2 MiB come from the other end, from
 * trees that nobody has reserved if possible. Larger ones: frame_run.c.
 *
 * A single frame, once its credit is there, is found. A block may turn out to be
 * broken by others meanwhile; its credits go back, and the next one is looked for.
 *
 * Completeness: a search says "no block of this order" only if at one moment there was none.
 *	1. `searching` is raised. Whoever uses a CPU's number does so under that CPU's lock (frame_cache.c), and looks
 *	   at `searching` under it. The searcher takes every lock after it has raised it. So whoever did not see the search
 *	   is done when the visit begins, and what he did is seen by the searcher; whoever comes later sees the search.
 *	2. Who sees a search makes, refills and fills no reservation. In its visit the searcher
 *	   settles the reservations of that CPU. So after the last visit all credits are in trees' words, and stay there.
 *	3. Who sees a search notes in `unrest`, before and after, each step that may make a word, a count or a bit larger: a
 *	   put; a block's attempt, which may give back what it took; a settling.
 *	4. The last look goes over all trees. If unrest is the same before and after it, and nothing was under way, then in
 *	   between all words, counts and bits only sank. So what was found missing at some place stayed missing
 *	   until the end of the look: that is the moment. Memory order: a raise whose end is in the first unrest is seen by
 *	   the look (release, acquire). Of the others none is before anything that the look saw: each step is an acq_rel
 *	   read-modify-write, each look that finds something missing an acquire load, so the note of a raise before
 *	   it would be in the second unrest. So what the look saw, with all that was before it, is the moment.
 *	5. Else the look is repeated. Each repetition is owed to a step of another CPU that gave something
 *	   back, or got a block: the system as a whole goes on. A look that finds nothing notes nothing itself, so two
 *	   searchers do not keep each other awake; a raise under way waits for nobody, so who waits for it waits for
 *	   bounded work. Two attempts that meet take frames in ascending order: the one that is further up fails only because of a third.
 *	6. A claim that has its credits is an allocation already, though its bits are still set: of what is left
 *	   the counts say it. So "missing" is what credits, counts and bits say together, each in its turn.
 *
 * Locking. None here. Who may use which CPU's number: frame_core.h.
 *
 * Failure. None but "there is none". A block that is free already is a bug of
 * ours and panics in every build.
 *
 * Sources: L. Wrenger et al., LLFree: scalable and optionally-persistent page-
 * frame allocation, USENIX ATC 2023. The search, and the notes that make it exact, are ours.
 */
#include "base/assert.h"
#include "base/bits.h"
#include "vm/frame_tree.h"

#define TREES_A_CPU 8 /* trees are made smaller until there are so many */

/* --- boot --- */

static uint64_t trees_of(uint64_t chunks, unsigned shift) { return (chunks + (UINT64_C(1) << shift) - 1) >> shift; }

/* With the smallest trees: how many CPUs there will be is not asked. */
size_t frame_core_size(uint64_t chunks)
{
	return chunks * sizeof(struct frame_bits) + chunks * TREE_CHUNKS_MAX * sizeof(struct frame_count) +
	       round_up(chunks * sizeof(struct frame_tree), CACHE_LINE);
}

void frame_core_init(struct frame_core *c, void *tables, uint64_t chunks, uint64_t first_chunk, uint32_t ncpus)
{
	char *p = tables;

	__builtin_memset(tables, 0, frame_core_size(chunks));
	__builtin_memset(c, 0, sizeof *c);
	c->chunks = chunks;
	c->first_chunk = first_chunk;
	c->ncpus = ncpus;
	c->tree_shift = TREE_SHIFT_MAX;
	while (c->tree_shift > 0 && trees_of(chunks, c->tree_shift) < (uint64_t)TREES_A_CPU * ncpus)
		c->tree_shift--;
	c->trees = trees_of(chunks, c->tree_shift);
	c->bits = (struct frame_bits *)p;
	p += chunks * sizeof(struct frame_bits);
	c->count = (struct frame_count *)p;
	p += chunks * TREE_CHUNKS_MAX * sizeof(struct frame_count);
	c->tree = (struct frame_tree *)p;
}

/* --- finding a chunk --- */

/*
 * The chunk of tree t with the fewest free frames of those that have a block of that order; c->chunks when there is
 * none. Blocks of 2 MiB: the last one.
 */
static uint64_t best_chunk(const struct frame_core *c, uint64_t t, unsigned order)
{
	uint32_t n = 1u << order, least = CHUNK_FRAMES + 1;
	uint64_t best = c->chunks;

	for (uint64_t i = tree_first(c, t); i < tree_end(c, t); i++) {
		uint32_t free = frame_count_look(count_of(c, i));

		if (free < n || free >= least + (order == CHUNK_ORDER))
			continue;
		if (order == 0 || order == CHUNK_ORDER || frame_bits_have(&c->bits[i], order)) {
			least = free;
			best = i;
		}
	}
	return best;
}

/* n credits of tree t, this CPU's: n frames. They are there: credits promise it. */
static void spend_singles(struct frame_core *c, uint64_t t, uint64_t *hint, uint32_t *out, unsigned n)
{
	uint64_t i = *hint;

	if (tree_of(c, i) != t)
		i = best_chunk(c, t, 0);
	while (n > 0) {
		uint32_t got = i < c->chunks ? frame_count_take(count_of(c, i), 1, n) : 0;

		if (got == 0) {
			if (i == c->chunks)
				cpu_relax(); /* all that was passed is taken, what we are owed was put behind us */
			i = best_chunk(c, t, 0);
			continue;
		}
		frame_bits_singles(&c->bits[i], (uint32_t)(i * CHUNK_FRAMES), out, got);
		*hint = i;
		out += got;
		n -= got;
	}
}

/* 2^order credits, of tree t's own or of a reservation that names it. */
static bool take_credits(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, uint64_t t, uint32_t n)
{
	uint64_t from;

	if (!r)
		return tree_take(c, t, n, n);
	if (!reserve_take(r, kind, n, n, &from))
		return false;
	if (from == t)
		return true;
	tree_put(c, from, n); /* another CPU's, and it has moved on */
	return false;
}

/* The bits of a block in chunk i, whose credits are there. */
static bool claim_block(struct frame_core *c, uint64_t i, unsigned order, uint32_t *out)
{
	uint32_t n = 1u << order, at = 0;

	if (!frame_count_take(count_of(c, i), n, n))
		return false;
	if (order == CHUNK_ORDER) {
		frame_bits_whole(&c->bits[i]);
	} else if (!frame_bits_block(&c->bits[i], order, &at)) {
		frame_count_put(count_of(c, i), n);
		return false;
	}
	*out = (uint32_t)(i * CHUNK_FRAMES + at);
	return true;
}

/* The hint's chunk, if it will do, or the best one. */
static uint64_t chunk_for(const struct frame_core *c, uint64_t t, uint64_t hint, unsigned order)
{
	if (tree_of(c, hint) == t && order < CHUNK_ORDER && hint < c->chunks &&
	    frame_count_look(count_of(c, hint)) >= 1u << order && frame_bits_have(&c->bits[hint], order))
		return hint;
	return best_chunk(c, t, order);
}

/* A block in chunk i, by credits as take_credits says. false: too few of them. */
static bool take_in_chunk(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, uint64_t i, unsigned order,
			  bool *found, uint32_t *out)
{
	uint32_t n = 1u << order;
	uint64_t t = tree_of(c, i);
	bool noted = frame_raise_begin(c), paid = take_credits(c, r, kind, t, n);

	*found = paid && claim_block(c, i, order, out);
	if (paid && !*found)
		tree_put(c, t, n);
	frame_raise_end(c, noted);
	return paid;
}

/*
 * A block of 1 <= order <= CHUNK_ORDER out of tree t, by its own credits or, if r, those of r. Looks before it takes.
 * hint: the CPU's own. false: there is none, or fewer credits than it takes.
 */
static bool take_block(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, uint64_t t, unsigned order,
		       uint64_t *hint, uint32_t *out)
{
	bool found = false;
	uint64_t i;

	/* again when it was broken: then somebody has taken a part of it */
	while (!found && (i = chunk_for(c, t, *hint, order)) < c->chunks) {
		if (!take_in_chunk(c, r, kind, i, order, &found, out))
			return false;
		*hint = i;
	}
	return found;
}

/* --- single frames --- */

static unsigned singles_reserved(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, unsigned n, uint64_t *t)
{
	uint32_t got = reserve_take(r, kind, 1, n, t);

	if (!got && reserve_refill(c, r, kind))
		got = reserve_take(r, kind, 1, n, t);
	for (enum tree_pass pass = 0; pass < PASSES && !got; pass++)
		for (uint64_t i = 0; i < c->trees && !got; i++)
			if (tree_suits(c, i, kind, pass, 1) && reserve_move(c, r, kind, i, pass, 1))
				got = reserve_take(r, kind, 1, n, t);
	return got;
}

/*
 * Trees that nobody has reserved, then those that somebody has, then the reservations themselves. In the last look of a
 * search nobody has reserved any: each is looked at once.
 */
static unsigned singles_anywhere(struct frame_core *c, unsigned n, uint64_t *t)
{
	bool left = true; /* trees, for the second turn */

	for (unsigned reserved = 0; reserved < 2 && left; reserved++) {
		left = false;
		for (*t = 0; *t < c->trees; (*t)++) {
			/* relaxed: only the order of looking; a searcher has settled all that was reserved */
			bool now = tree_reserved(atomic_load_relaxed(&c->tree[*t].word));
			uint32_t got = now == reserved ? tree_take(c, *t, 1, n) : 0;

			if (got)
				return got;
			left |= now != reserved;
		}
	}
	for (uint32_t cpu = 0; cpu < c->ncpus; cpu++)
		for (enum frame_kind kind = 0; kind < FRAME_KINDS; kind++) {
			uint32_t got = reserve_take(&c->reserve[cpu], kind, 1, n, t);

			if (got)
				return got;
		}
	return 0;
}

unsigned frame_core_get_singles(struct frame_core *c, uint32_t cpu, enum frame_kind kind, uint32_t *out, unsigned n)
{
	struct frame_reserve *r = &c->reserve[cpu];
	uint64_t t = 0;
	unsigned got = 0;

	if (!frame_core_searched(c))
		got = singles_reserved(c, r, kind, n, &t);
	if (!got)
		got = singles_anywhere(c, n, &t);
	if (got)
		spend_singles(c, t, &r->chunk[kind], out, got);
	return got;
}

/* --- blocks --- */

static bool block_reserved(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, unsigned order, uint32_t *out)
{
	uint64_t t, *hint = &r->chunk[kind];

	if (reserve_tree(r, kind, &t) && (take_block(c, r, kind, t, order, hint, out) ||
					  (reserve_refill(c, r, kind) && take_block(c, r, kind, t, order, hint, out))))
		return true;
	for (enum tree_pass pass = 0; pass < PASSES; pass++)
		for (t = 0; t < c->trees; t++)
			if (tree_suits(c, t, kind, pass, 1u << order) && best_chunk(c, t, order) < c->chunks &&
			    reserve_move(c, r, kind, t, pass, 1u << order) &&
			    take_block(c, r, kind, t, order, hint, out))
				return true;
	return false;
}

/* As singles_anywhere; from the last tree on. */
static bool block_anywhere(struct frame_core *c, unsigned order, uint64_t *hint, uint32_t *out)
{
	bool left = true;
	uint64_t t;

	for (unsigned reserved = 0; reserved < 2 && left; reserved++) {
		left = false;
		for (t = c->trees; t-- > 0;) {
			/* acquire: "too few" is a claim, as in tree_take */
			uint32_t word = atomic_load_acquire(&c->tree[t].word);

			if (tree_reserved(word) != reserved)
				left = true;
			else if (tree_free(word) >= 1u << order && take_block(c, NULL, 0, t, order, hint, out))
				return true;
		}
	}
	for (uint32_t cpu = 0; cpu < c->ncpus; cpu++)
		for (enum frame_kind kind = 0; kind < FRAME_KINDS; kind++)
			if (reserve_tree(&c->reserve[cpu], kind, &t) &&
			    take_block(c, &c->reserve[cpu], kind, t, order, hint, out))
				return true;
	return false;
}

/* The chunk of 2 MiB that the hint names, if it is all free and its tree nobody's. */
static bool whole_hinted(struct frame_core *c, struct frame_reserve *r, uint32_t *out)
{
	uint64_t i = r->whole;
	bool found;

	/* relaxed: a policy; whether it is free is seen by who takes it */
	return i < c->chunks && !tree_reserved(atomic_load_relaxed(&c->tree[tree_of(c, i)].word)) &&
	       frame_count_look(count_of(c, i)) == CHUNK_FRAMES &&
	       take_in_chunk(c, NULL, 0, i, CHUNK_ORDER, &found, out) && found;
}

/* A block of 2 MiB: near the last one, or from anywhere. */
static bool whole_block(struct frame_core *c, struct frame_reserve *r, uint32_t *out)
{
	uint64_t hint = UINT64_MAX;

	if (!whole_hinted(c, r, out) && !block_anywhere(c, CHUNK_ORDER, &hint, out))
		return false;
	r->whole = *out / CHUNK_FRAMES - 1; /* of chunk 0: none, it is no chunk's number */
	return true;
}

bool frame_core_get(struct frame_core *c, uint32_t cpu, enum frame_kind kind, unsigned order, uint32_t *out)
{
	const struct frame_run run = {UINT64_C(1) << order, UINT64_C(1) << order, 0, c->chunks * CHUNK_FRAMES};

	ASSERT_CHECKED(order <= FRAME_CORE_ORDER_MAX);
	if (order == 0)
		return frame_core_get_singles(c, cpu, kind, out, 1);
	if (order > CHUNK_ORDER)
		return frame_core_get_run(c, &run, out);
	if (order == CHUNK_ORDER)
		return whole_block(c, &c->reserve[cpu], out);
	if (!frame_core_searched(c) && block_reserved(c, &c->reserve[cpu], kind, order, out))
		return true;
	return block_anywhere(c, order, &c->reserve[cpu].chunk[kind], out);
}

/* --- giving back --- */

/* n frames of tree t are free and counted. */
static void put_credits(struct frame_core *c, uint32_t cpu, uint64_t t, uint32_t n, bool searched)
{
	if (searched)
		tree_put(c, t, n); /* where the searcher looks last */
	else
		reserve_put(c, &c->reserve[cpu], t, n);
}

/* Bits first, then the counts, then the credits, each once for neighbours in the list. */
static void put_singles(struct frame_core *c, uint32_t cpu, const uint32_t *index, unsigned n, bool searched)
{
	uint32_t counted = 0, credits = 0;

	for (unsigned i = 0; i < n;) {
		uint32_t word = index[i] / 64;
		uint64_t chunk = index[i] / CHUNK_FRAMES, mask = 0, next;

		ASSERT(chunk < c->chunks);
		do {
			if (UNLIKELY(mask & BIT(index[i] % 64)))
				panic("frame core: index %u is freed twice at once (CPU %u)", index[i], cpu_id());
			mask |= BIT(index[i] % 64);
			counted++;
			i++;
		} while (i < n && index[i] / 64 == word);
		frame_bits_put_mask(&c->bits[chunk], word % CHUNK_WORDS, mask, (uint32_t)(chunk * CHUNK_FRAMES));
		next = i < n ? index[i] / CHUNK_FRAMES : c->chunks;
		if (next == chunk)
			continue;
		frame_count_put(count_of(c, chunk), counted);
		credits += counted;
		counted = 0;
		if (i == n || tree_of(c, next) != tree_of(c, chunk)) {
			put_credits(c, cpu, tree_of(c, chunk), credits, searched);
			credits = 0;
		}
	}
}

void frame_core_put_run(struct frame_core *c, uint32_t cpu, uint32_t index, uint64_t n)
{
	bool noted = frame_raise_begin(c);
	uint64_t end = index + n, part;

	ASSERT(end <= c->chunks * CHUNK_FRAMES);
	for (uint64_t i = index; i < end; i += part) {
		uint64_t chunk = i / CHUNK_FRAMES;
		uint32_t at = i % CHUNK_FRAMES;

		part = end - i < CHUNK_FRAMES - at ? end - i : CHUNK_FRAMES - at;
		if (part == CHUNK_FRAMES) {
			frame_bits_put_whole(&c->bits[chunk], (uint32_t)(chunk * CHUNK_FRAMES));
			c->reserve[cpu].whole = chunk;
		} else {
			frame_bits_put(&c->bits[chunk], at, (uint32_t)part, (uint32_t)(chunk * CHUNK_FRAMES));
		}
		frame_count_put(count_of(c, chunk), (uint32_t)part);
		put_credits(c, cpu, tree_of(c, chunk), (uint32_t)part, noted);
	}
	frame_raise_end(c, noted);
}

void frame_core_put(struct frame_core *c, uint32_t cpu, const uint32_t *index, unsigned n, unsigned order)
{
	bool noted;

	ASSERT_CHECKED(order <= FRAME_CORE_ORDER_MAX);
	if (order > 0) {
		for (unsigned i = 0; i < n; i++)
			frame_core_put_run(c, cpu, index[i], UINT64_C(1) << order);
		return;
	}
	noted = frame_raise_begin(c);
	put_singles(c, cpu, index, n, noted);
	frame_raise_end(c, noted);
}

void frame_core_settle(struct frame_core *c, uint32_t cpu)
{
	bool noted = frame_raise_begin(c);

	for (enum frame_kind kind = 0; kind < FRAME_KINDS; kind++)
		reserve_settle(c, &c->reserve[cpu], kind);
	frame_raise_end(c, noted);
}

/* --- searches --- */

void frame_core_search_begin(struct frame_core *c)
{
	(void)atomic_add_relaxed(&c->searching, 1u); /* it is the visits' locks that show it to everybody */
}

void frame_core_search_end(struct frame_core *c)
{
	/* release: pairs with frame_core_searched. Who notes nothing any more does so after our looks */
	(void)atomic_add_acq_rel(&c->searching, UINT32_MAX);
}

uint64_t frame_core_unrest(const struct frame_core *c)
{
	return atomic_load_acquire(&c->unrest); /* pairs with frame_raise_end: what was raised is seen by the look */
}

bool frame_core_at_rest(const struct frame_core *c, uint64_t unrest)
{
	/* relaxed: the looks' acquire loads order it: who saw what followed from a raise sees its note */
	return (uint32_t)unrest == 0 && atomic_load_relaxed(&c->unrest) == unrest;
}
