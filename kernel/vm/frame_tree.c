/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_tree.c: credits, trees, and each CPU's reservations.
 *
 * Purpose. A CPU allocates out of some 64 MiB of its own, so that CPUs meet
 * neither at counters nor at bits, and yet every free frame can be had by all.
 *
 * Structure. A credit is the right to claim one frame in the chunks of one tree.
 * Each free frame's credit is at one place at a time:
 *
 *	tree[t].word   free | RESERVED | kind        the tree's own
 *	     |   ^
 *	     |   | settle (clears RESERVED): a CPU moves on, a search, a drain
 *	     v   |
 *	reserve[cpu].tree[kind]   t + 1 | credits    one CPU's; it spends and gets back here
 *	     reserve: word {f, not reserved} -> {0, RESERVED, kind}, then the reservation is {t, f}
 *	     refill:  word {f, RESERVED} -> {0, RESERVED}, then {t, n} -> {t, n + f}
 *
 * Who frees a frame into a tree that is not his puts the credit in the tree's
 * word; the CPU that reserved it comes for it when it has no more. Who finds no
 * other tree takes credits out of somebody else's reservation: all of that is one cas
 * on one word.
 *
 * Kinds. A tree that is used in part belongs to the kind that reserved it. Passes, in which a CPU
 * looks for a tree to reserve, each over all trees from the lowest address on:
 *	PASS_OWN         of its kind, used in part, worth moving to (a sixteenth is free)
 *	PASS_NEW         of no kind yet, or all free
 *	PASS_OWN_SCRAPS  of its kind, whatever is there
 * Then come, without a reservation, trees of the other kind, those that others have reserved, and others'
 * reservations (frame_core.c). So kinds mix only when there is nothing else. First fit by address lets
 * the trees behind run empty; that is what whole chunks are made of.
 *
 * Invariants (frame_core_check).
 *	1. Credits in word and reservations of a tree = sum of its chunks' counters,
 *	   less claims under way. So who has a credit finds a chunk to claim in.
 *	2. A tree is RESERVED if and only if one reservation names it, but while one is
 *	   being made or settled.
 *
 * Locking. None. A reservation is made, refilled and spent by its CPU, spent by
 * others too, settled by whoever keeps its CPU away (who holds its cache's lock), or itself. So the tree that it names does
 * not change under reserve_refill; all the same each step is a cas that
 * compares the tree too.
 *
 * Memory order. Credits order nothing by themselves: who has one and does not find its frame counted yet waits for it
 * (spend_singles), or gives it back. It is the claim that nothing was free (frame_core.c, Completeness) that needs orders:
 * a tree's own word is taken from and put to by acq_rel read-modify-writes, and "too few" is an acquire load. A
 * reservation is made, filled and settled under its CPU's lock, which the searcher takes too; and he notes that he settles
 * it, so that what was noted before somebody stole out of it is before his look. Other looks are relaxed.
 *
 * Source: LLFree (frame_chunk.c): trees, reservations, local counters, stealing.
 */
#include "vm/frame_tree.h"

#include "base/assert.h"

#define CREDITS 0xffffffffu
#define NAMED(t) (((t) + 1) << 32)

static uint64_t named(uint64_t local) { return (local >> 32) - 1; }

uint32_t tree_take(struct frame_core *c, uint64_t t, uint32_t least, uint32_t most)
{
	/* acquire: "too few" is a claim: what its taker saw given back before is seen by who looks on */
	uint32_t word = atomic_load_acquire(&c->tree[t].word), n;

	do {
		n = tree_free(word) < most ? tree_free(word) : most;
		if (n < least || n == 0)
			return 0;
		/* acq_rel: release pairs with that load, acquire with tree_put, for who looks after us */
	} while (!atomic_cas_acq_rel(&c->tree[t].word, &word, word - n));
	return n;
}

void tree_put(struct frame_core *c, uint64_t t, uint32_t n)
{
	/* acq_rel: release pairs with tree_take */
	uint32_t before = atomic_add_acq_rel(&c->tree[t].word, n);

	ASSERT_CHECKED(tree_free(before + n) <= CHUNK_FRAMES << c->tree_shift);
	(void)before;
}

uint32_t reserve_take(struct frame_reserve *r, enum frame_kind kind, uint32_t least, uint32_t most, uint64_t *t)
{
	uint64_t local = atomic_load_relaxed(&r->tree[kind]); /* a guess: a searcher has settled it before he looks */
	uint32_t n;

	do {
		uint32_t credits = local & CREDITS;

		n = credits < most ? credits : most;
		if (n < least || n == 0)
			return 0;
		/* relaxed: who finds them gone has noted that he settles, see frame_raise_begin */
	} while (!atomic_cas_relaxed(&r->tree[kind], &local, local - n));
	*t = named(local);
	return n;
}

/* n credits to a reservation, if it still names that tree. */
static bool local_put(struct frame_reserve *r, unsigned kind, uint64_t t, uint32_t n)
{
	uint64_t local = atomic_load_relaxed(&r->tree[kind]); /* a guess for the cas */

	do {
		if (local >> 32 != t + 1)
			return false;
		/* relaxed: under the CPU's lock, which who settles it takes; who steals needs the number only */
	} while (!atomic_cas_relaxed(&r->tree[kind], &local, local + n));
	return true;
}

void reserve_put(struct frame_core *c, struct frame_reserve *r, uint64_t t, uint32_t n)
{
	for (unsigned kind = 0; kind < FRAME_KINDS; kind++)
		if (local_put(r, kind, t, n))
			return;
	tree_put(c, t, n);
}

bool reserve_tree(const struct frame_reserve *r, enum frame_kind kind, uint64_t *t)
{
	uint64_t local = atomic_load_relaxed(&r->tree[kind]); /* a hint: whoever spends compares */

	*t = named(local);
	return local != 0;
}

bool reserve_refill(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind)
{
	uint64_t t;
	uint32_t n;

	if (!reserve_tree(r, kind, &t))
		return false;
	n = tree_take(c, t, 1, TREE_FREE);
	if (n && !local_put(r, kind, t, n))
		tree_put(c, t, n); /* settled meanwhile */
	return n > 0;
}

static bool suits(const struct frame_core *c, uint32_t word, enum frame_kind kind, enum tree_pass pass, uint32_t least)
{
	uint32_t all = CHUNK_FRAMES << c->tree_shift, of = word >> TREE_KIND_SHIFT;
	bool fresh = of == 0 || tree_free(word) == all;

	if (tree_reserved(word) || tree_free(word) < least)
		return false;
	switch (pass) {
	case PASS_OWN:
		return !fresh && of == kind + 1u && tree_free(word) >= all / 16;
	case PASS_NEW:
		return fresh;
	default:
		return !fresh && of == kind + 1u;
	}
}

bool tree_suits(const struct frame_core *c, uint64_t t, enum frame_kind kind, enum tree_pass pass, uint32_t least)
{
	return suits(c, atomic_load_relaxed(&c->tree[t].word), kind, pass, least); /* a hint: reserve_move compares */
}

bool reserve_move(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, uint64_t t, enum tree_pass pass,
		  uint32_t least)
{
	uint32_t word = atomic_load_relaxed(&c->tree[t].word); /* a guess for the cas */

	do {
		if (!suits(c, word, kind, pass, least))
			return false;
		/* relaxed: not during a search, and under the CPU's lock: the searcher's visit orders it */
	} while (!atomic_cas_relaxed(&c->tree[t].word, &word, TREE_RESERVED | (kind + 1u) << TREE_KIND_SHIFT));
	reserve_settle(c, r, kind);
	/* relaxed: as above. A plain store will do: it is 0, and only its own CPU names a tree */
	atomic_store_relaxed(&r->tree[kind], NAMED(t) | tree_free(word));
	r->chunk[kind] = UINT64_MAX; /* none yet: the best one */
	return true;
}

void reserve_settle(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind)
{
	/* relaxed: as in reserve_take. The next one finds nothing */
	uint64_t local = atomic_swap_relaxed(&r->tree[kind], UINT64_C(0));

	if (local) /* in one step: the credits, and no longer reserved */
		tree_put(c, named(local), (uint32_t)(local & CREDITS) - TREE_RESERVED);
}

bool frame_raise_begin(struct frame_core *c)
{
	if (!frame_core_searched(c))
		return false;
	/* acq_rel: notes are a chain. The steps that follow are release, and carry it to whoever sees what came of them */
	(void)atomic_add_acq_rel(&c->unrest, RAISE_BEGUN + 1);
	return true;
}

void frame_raise_end(struct frame_core *c, bool noted)
{
	if (noted)
		(void)atomic_add_acq_rel(&c->unrest, UINT64_MAX); /* -1; release pairs with frame_core_unrest */
}
