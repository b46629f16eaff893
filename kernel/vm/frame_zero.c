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
 *	idle CPU: zero[] gets a frame, zeroed; full? -> a batch to the stock
 *	                 stock:  empty --filler--> full --taker--> empty      a bit a batch
 *	FRAME_ZERO:      zero[] has one? else a batch from the stock; else a frame from the cache, and zero it
 *
 * So a CPU that is never idle takes one line for 16 faults, and meets the others at two words of bits as often.
 *
 * Who has cleared a batch's bit has the batch to himself, until he sets one: filler and taker, and
 * the drain, all inside their own gate. So a searcher, who has visited all gates, finds every batch full or
 * empty, and nobody fills one during a search: frames in the stock are not overlooked.
 *
 * Memory order. full: set by or (release side) after the batch is written, cleared by cas (acquire side) before it is read.
 * empty: set after it was read, cleared before it is written, likewise.
 *
 * What lies here is owned by CACHED. Frames come from movable trees, and go to movable owners.
 */
#include "base/bits.h"
#include "vm/frame_cache.h"

#define NO_LINE FRAME_ZERO_LINES

/* Clears a bit that is set; NO_LINE: none is. */
static unsigned claim_line(struct frame_lines *l)
{
	uint64_t v = atomic_load_relaxed(&l->bits); /* a guess for the cas */

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
	struct frame_zeros *z = &f->zeros;
	uint32_t n = atomic_load_relaxed(&c->zeros); /* g */
	unsigned line;

	if (n > 0 || frame_core_searched(&f->core)) /* no cache is filled during a search */
		return n;
	line = claim_line(&z->full);
	if (line == NO_LINE)
		return 0;
	__builtin_memcpy(c->zero, z->frame[line], z->batch * sizeof c->zero[0]);
	give_line(&z->empty, line);
	return z->batch;
}

uint64_t frame_zeros_drain(struct frames *f)
{
	struct frame_cache *c = frame_own_cache(f);
	struct frame_zeros *z = &f->zeros;
	uint64_t n = 0;
	unsigned line;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	while ((line = claim_line(&z->full)) != NO_LINE) {
		frame_put_to_core(f, cpu_id(), z->frame[line], z->batch, 0);
		give_line(&z->empty, line);
		n += z->batch;
	}
	gate_leave(&c->gate);
	return n;
}

/* Inside the own gate, zero[] full: its older batch to the stock. false: no room there. */
static bool publish(struct frames *f, struct frame_cache *c)
{
	struct frame_zeros *z = &f->zeros;
	unsigned line = claim_line(&z->empty);

	if (line == NO_LINE)
		return false;
	__builtin_memcpy(z->frame[line], c->zero, z->batch * sizeof c->zero[0]);
	__builtin_memmove(c->zero, c->zero + z->batch, z->batch * sizeof c->zero[0]);
	atomic_store_relaxed(&c->zeros, z->batch); /* g */
	give_line(&z->full, line);
	return true;
}

/* One more zeroed frame; false: not wanted, or none to be had. Bounded work in the gate: one frame is zeroed. */
static bool zero_one(struct frames *f)
{
	struct frame_cache *c = frame_own_cache(f);
	bool done = false;
	uint32_t n, index;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->zeros); /* g */
	if (!frame_core_searched(&f->core) && (n < 2 * f->zeros.batch || publish(f, c)) &&
	    frame_core_get_singles(&f->core, cpu_id(), FRAME_MOVABLE, &index, 1)) {
		atomic_store_relaxed(&f->pages[index].order, (uint8_t)0); /* ours alone */
		page_set_owner(&f->pages[index], FRAME_CACHED);
		machine_zero_frame(pfn_to_paddr(pfn(f->first.fn + index)));
		n = atomic_load_relaxed(&c->zeros); /* g */
		c->zero[n] = index;
		atomic_store_relaxed(&c->zeros, n + 1); /* g */
		done = true;
	}
	gate_leave(&c->gate);
	return done;
}

bool frames_zero_idle(struct frames *f)
{
	if (f->zeros.batch == 0 || !frames_above_high(f))
		return false;
	for (unsigned i = 0; i < FRAME_ZERO_STEP; i++)
		if (!zero_one(f))
			return false;
	return true;
}
