/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_cache.h: the way from a CPU's caches to the core and back: what
 * frame_alloc and frame_free do when the cache alone does not serve. Inside the
 * frame layer (frame.c, frame_range.c, frame_zero.c). Theory: frame_cache.c.
 *
 * Context: as vm/frame.h.
 */
#ifndef VM_FRAME_CACHE_H
#define VM_FRAME_CACHE_H

#include "vm/frame.h"

/* What an allocation wants. run: NULL, or what the core looks for instead of a block of that order. */
struct frame_want {
	unsigned order;
	enum frame_kind kind;
	bool zero; /* a zeroed frame will do, and saves zeroing it */
	const struct frame_run *run;
};

static inline struct frame_cache *frame_own_cache(struct frames *f)
{
	ASSERT_CHECKED(cpu_id() < f->ncpus);
	/* By bytes, so that the compiler keeps the address and does not compute each field's from f again. */
	return (struct frame_cache *)((char *)f->cache + cpu_id() * sizeof f->cache[0]);
}

static inline uint32_t frame_stack_base(enum frame_kind kind) { return (uint32_t)kind * FRAME_STACK; }

/*
 * gate_enter for who has a slow way besides: false, and outside, while somebody visits. Without a call in the middle of
 * it no register has to be saved on the way that is taken nearly always. The slow way waits, by gate_enter.
 */
static inline bool frame_gate_enter(struct frame_cache *c)
{
#if STRATA_CHECKED
	rank_take(&c->gate, RANK_FRAME_CACHE, false);
#endif
	/* owner, both: as in gate_enter */
	atomic_store_owner(&c->gate.inside, 1u);
	if (LIKELY(!atomic_load_owner(&c->gate.visited)))
		return true;
	gate_leave(&c->gate);
	return false;
}

/* A free frame or block for that want; false: none, after a search. *zeroed: its content is zeros. */
bool frame_find(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed);

/* A single frame comes back to its kind's stack, or, while there is a search, to the core. */
void frame_put_single(struct frames *f, uint32_t index, enum frame_kind kind);

/* A block that is no single frame comes back. */
void frame_put_block(struct frames *f, uint32_t index, unsigned order);
void frame_put_run(struct frames *f, uint32_t index, uint64_t n);

/* The owner of n blocks. */
static inline void frame_mark(struct frames *f, const uint32_t *index, unsigned n, enum frame_owner owner)
{
	for (unsigned i = 0; i < n; i++)
		page_set_owner(&f->pages[index[i]], owner);
}

/* Inside that CPU's gate: the owners say FREE, then the core has them. */
static inline void frame_put_to_core(struct frames *f, uint32_t cpu, const uint32_t *index, unsigned n, unsigned order)
{
	frame_mark(f, index, n, FRAME_FREE); /* before: once in the core, another CPU may have it */
	frame_core_put(&f->core, cpu, index, n, order);
}

static inline bool frame_is_idle(enum frame_owner owner) { return owner == FRAME_FREE || owner == FRAME_CACHED; }

void NORETURN frame_handed_out_twice(struct frames *f, uint32_t index, enum frame_owner owner);

/* An idle frame is about to be someone's: its page as frame.h promises, but for order and wired, which are right. */
static inline void frame_claim_single(struct frames *f, uint32_t index, enum frame_owner owner)
{
	struct vm_page *p = &f->pages[index];

	if (STRATA_CHECKED && !frame_is_idle(page_owner(p)))
		frame_handed_out_twice(f, index, owner);
	/* relaxed, all: the frame is ours alone; what it held was unmapped and flushed before it was freed */
	atomic_store_relaxed(&p->pmap.flags, (uint16_t)0);
	atomic_store_relaxed(&p->flags, 0u);
	page_set_owner(p, owner);
}

/* The same of a block: its head. */
static inline void frame_claim(struct frames *f, uint32_t index, unsigned order, enum frame_owner owner)
{
	struct vm_page *p = &f->pages[index];

	atomic_store_relaxed(&p->order, (uint8_t)order); /* as above */
	atomic_store_relaxed(&p->wired, (uint16_t)0);
	frame_claim_single(f, index, owner);
}

/* Panics when the block is not one that may be freed now. Checked builds. */
void frame_free_check(struct frames *f, pfn_t head, unsigned order);

/* Inside the own gate: zeroed frames from the stock, if there are any; returns how many c has now. */
uint32_t frame_zeros_refill(struct frames *f, struct frame_cache *c);

/* The whole stock goes to the core; returns how many frames. */
uint64_t frame_zeros_drain(struct frames *f);

#endif
