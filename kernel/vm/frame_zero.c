/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_zero.c: frames that were zeroed while a CPU had nothing else to do.
 *
 * Purpose. Zeroing is the most expensive part of a fault on new memory; idle CPUs can
 * do it before.
 *
 * Structure. A CPU keeps up to two batches of zeroed frames in its cache. Between CPUs there is a stock of
 * whole batches, each a cache line of frame numbers:
 *
 *	idle CPU: its stack ZEROED gets a frame, zeroed; full? -> a batch to the stock
 *	                 stock:  empty --filler--> full --taker--> empty      a bit a batch
 *	FRAME_ZERO:      ZEROED has one? else a batch from the stock; else a frame from the cache, and zero it
 *
 * So a CPU that is never idle takes one line for 16 faults, and meets the others at two words of bits as often.
 *
 * Who has cleared a batch's bit has the batch to himself, until he sets one: filler and taker, and
 * the drain, all under their own cache's lock. So a searcher, who has visited all caches, finds every batch full or
 * empty, and nobody fills or takes one during a search, but another searcher who drains: he notes that before (frame_core.h).
 * So frames in the stock are not overlooked.
 *
 * Memory order. full: set by or (release side) after the batch is written, cleared by cas (acquire side) before it is read.
 * empty: set after it was read, cleared before it is written, likewise.
 *
 * Frames come from movable trees, and go to movable owners.
 *
 * `zero=free`: the filler is whoever frees an anon's frame. It is zeroed before the lock is taken; if there is no room then, it was in vain. So that this costs
 * nothing where it is not wanted, caches take no movable frame on the fast path then (frame_cache_settle), and frame_put goes the slow way.
 */
#include "base/bits.h"
#include "vm/frame_cache.h"

#define NO_LINE FRAME_ZERO_LINES

/* Clears a bit that is set; NO_LINE: none is. */
static unsigned claim_line(struct frame_lines *l)
{
	/* relaxed: a guess for the cas. A drain that finds none trusts it: it has a note of its own around the look, and notes are
	 * a chain, so its end comes after the note of who has cleared the last bit */
	uint64_t v = atomic_load_relaxed(&l->bits);

	do {
		if (v == 0)
			return NO_LINE;
		/* acq_rel: acquire pairs with give_line of who had the batch before */
	} while (!atomic_cas_acq_rel(&l->bits, &v, v & (v - 1)));
	return bit_lowest(v);
}

static void give_line(struct frame_lines *l, unsigned line)
{
	/* acq_rel: release pairs with claim_line: what we wrote or read there is over */
	(void)atomic_or_acq_rel(&l->bits, BIT(line));
}

uint32_t frame_zeros_refill(struct frames *f, struct frame_cache *c)
{
	struct frame_stack *s = &c->stack[FRAME_ZEROED];
	struct frame_zeros *z = &f->zeros;
	uint32_t n = frame_stack_count(s);
	unsigned line;

	if (n > 0 || frame_core_searched(&f->core)) /* no cache is filled during a search */
		return n;
	line = claim_line(&z->full);
	if (line == NO_LINE)
		return 0;
	__builtin_memcpy(frame_stack_base(s), z->frame[line], z->batch * sizeof z->frame[0][0]);
	frame_stack_set(s, z->batch);
	give_line(&z->empty, line);
	return z->batch;
}

uint64_t frame_zeros_drain(struct frames *f)
{
	struct frame_cache *c = frame_own_cache(f);
	struct frame_zeros *z = &f->zeros;
	uint64_t n = 0;
	unsigned line;
	bool noted;

	spin_lock(frame_cache_lock(f, c), RANK_FRAME_CACHE);
	noted = frame_raise_begin(&f->core); /* before the claim: from there to the core the batch is nowhere */
	while ((line = claim_line(&z->full)) != NO_LINE) {
		frame_core_put(&f->core, cpu_id(), z->frame[line], z->batch, 0);
		give_line(&z->empty, line);
		n += z->batch;
	}
	frame_raise_end(&f->core, noted);
	spin_unlock(frame_cache_lock(f, c));
	return n;
}

/* Under the own lock, two batches there: the older one to the stock. false: no room there. */
static bool publish(struct frames *f, struct frame_stack *s)
{
	struct frame_zeros *z = &f->zeros;
	uint32_t *base = frame_stack_base(s);
	unsigned line = claim_line(&z->empty);

	if (line == NO_LINE)
		return false;
	__builtin_memcpy(z->frame[line], base, z->batch * sizeof base[0]);
	__builtin_memmove(base, base + z->batch, z->batch * sizeof base[0]);
	frame_stack_set(s, z->batch);
	give_line(&z->full, line);
	return true;
}

/* Under the own lock: place for one more zeroed frame. */
static bool has_room(struct frames *f, struct frame_stack *s)
{
	return !frame_core_searched(&f->core) && (frame_stack_count(s) < 2 * f->zeros.batch || publish(f, s));
}

/* Likewise: it is the newest one. */
static void push(struct frame_stack *s, uint32_t index)
{
	uint32_t n = frame_stack_count(s);

	frame_stack_base(s)[n] = index;
	frame_stack_set(s, n + 1);
}

/* One more zeroed frame; false: not wanted, or none to be had. Bounded work under the lock: one frame is zeroed. */
static bool zero_one(struct frames *f)
{
	struct frame_cache *c = frame_own_cache(f);
	struct frame_stack *s = &c->stack[FRAME_ZEROED];
	bool done = false;
	uint32_t index;

	spin_lock(frame_cache_lock(f, c), RANK_FRAME_CACHE);
	if (has_room(f, s) && frame_core_get_singles(&f->core, cpu_id(), FRAME_MOVABLE, &index, 1)) {
		machine_zero_frame(pfn_to_paddr(pfn(f->first.fn + index)));
		push(s, index);
		done = true;
	}
	spin_unlock(frame_cache_lock(f, c));
	return done;
}

bool frames_zero_idle(struct frames *f)
{
	if (f->zeros.batch == 0 || f->zeros.at_free || !frames_above_high(f))
		return false;
	for (unsigned i = 0; i < FRAME_ZERO_STEP; i++)
		if (!zero_one(f))
			return false;
	return true;
}

bool frame_zeros_keep(struct frames *f, uint32_t index)
{
	struct frame_cache *c = frame_own_cache(f);
	struct frame_stack *s = &c->stack[FRAME_ZEROED];
	bool room;

	/* relaxed: a glance, so that little is zeroed in vain */
	if (frame_stack_count(s) >= 2 * f->zeros.batch && !atomic_load_relaxed(&f->zeros.empty.bits))
		return false;
	machine_zero_frame(pfn_to_paddr(pfn(f->first.fn + index)));
	spin_lock(frame_cache_lock(f, c), RANK_FRAME_CACHE);
	room = has_room(f, s);
	if (room) {
		page_set_owner(&f->pages[index], FRAME_FREE);
		push(s, index);
	}
	spin_unlock(frame_cache_lock(f, c));
	return room;
}
