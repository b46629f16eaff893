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
	return (struct frame_cache *)(void *)((char *)f->cache + cpu_offset());
}

/* One of this CPU's own stacks. */
static inline struct frame_stack *frame_own_stack(struct frames *f, unsigned stack)
{
	struct frame_stack *s =
		(struct frame_stack *)(void *)((char *)f->cache + (stack * sizeof(struct frame_stack) + cpu_offset()));

	ASSERT_CHECKED(cpu_id() < f->ncpus);
	SETTLED(s);
	return s;
}

/* Who holds it may visit the cache, and its own CPU go the slow way; whose number in the core is in use then. */
static inline struct spinlock *frame_cache_lock(struct frames *f, const struct frame_cache *c)
{
	return &f->rounds[c - f->cache].lock;
}

/* Above every place and below every place: whoever compares goes the slow way. */
#define FRAME_CLOSED_LOW ((uint32_t *)UINTPTR_MAX)
#define FRAME_CLOSED_HIGH ((uint32_t *)NULL)

/* The fast path's gate, for lock ranks: it counts as a lock that is held. */
static inline void frame_gate_rank(const struct frame_stack *s)
{
#if STRATA_CHECKED
	rank_take(&s->inside, RANK_FRAME_CACHE, false);
#else
	(void)s;
#endif
}

static inline void frame_gate_leave(struct frame_stack *s)
{
	/* release: pairs with frame_cache_visit's load; the visitor sees what we left */
	atomic_store_release(&s->inside, 0u);
#if STRATA_CHECKED
	rank_drop(&s->inside);
#endif
}

/* The topmost frame or block of one of the own CPU's stacks; false: it is empty or closed. */
static inline bool frame_take(struct frame_stack *s, uint32_t *index)
{
	uint32_t *low, *top;

	frame_gate_rank(s);
	/* owner, both: as in gate_enter; the load pairs with frame_cache_settle */
	atomic_store_owner(&s->inside, 1u);
	low = atomic_load_owner(&s->low);
	top = atomic_load_relaxed(&s->top); /* after the load of low: in the gate */
	if (UNLIKELY(top <= low)) {
		frame_gate_leave(s);
		return false;
	}
	atomic_store_relaxed(&s->top, --top); /* in the gate */
	*index = *top;
	frame_gate_leave(s);
	return true;
}

/* A frame or block, p its head, onto one of the own CPU's stacks; false: it is full or closed. */
static inline bool frame_give(struct frame_stack *s, uint32_t index, struct vm_page *p)
{
	uint32_t *high, *top;

	frame_gate_rank(s);
	/* owner, both: as in frame_take */
	atomic_store_owner(&s->inside, 1u);
	high = atomic_load_owner(&s->high);
	top = atomic_load_relaxed(&s->top); /* as in frame_take */
	if (UNLIKELY(top >= high)) {
		frame_gate_leave(s);
		return false;
	}
	page_set_owner(p, FRAME_FREE);
	*top = index;
	atomic_store_relaxed(&s->top, top + 1); /* in the gate */
	frame_gate_leave(s);
	return true;
}

/* Its first place. */
static inline uint32_t *frame_stack_base(const struct frame_stack *s)
{
	return (uint32_t *)(uintptr_t)((const char *)s + s->places);
}

/* How many frames or blocks a stack holds: under the lock; elsewhere a glance. */
static inline uint32_t frame_stack_count(const struct frame_stack *s)
{
	return (uint32_t)(atomic_load_relaxed(&s->top) - frame_stack_base(s));
}
static inline void frame_stack_set(struct frame_stack *s, uint32_t n)
{
	atomic_store_relaxed(&s->top, frame_stack_base(s) + n); /* under the lock, closed or by its own CPU */
}

/*
 * Anyone's way to a CPU's cache. => its lock held, nobody on the fast path: all of it is the caller's until _end.
 * Costs a barrier of all CPUs: for what is rare.
 */
void frame_cache_visit(struct frames *f, struct frame_cache *c);
void frame_cache_visit_end(struct frames *f, struct frame_cache *c);

/* Under the own lock: opens the cache, or leaves it closed, as searches and injected failures want it. */
void frame_cache_settle(const struct frames *f, struct frame_cache *c);

/* A free frame or block for that want; false: none, after a search. *zeroed: its content is zeros. */
bool frame_find(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed);

/* A single frame comes back to its kind's stack, or, while there is a search, to the core. */
void frame_put_single(struct frames *f, uint32_t index);

/* A block that is no single frame comes back. */
void frame_put_block(struct frames *f, uint32_t index, unsigned order);
void frame_put_run(struct frames *f, uint32_t index, uint64_t n);

void NORETURN frame_handed_out_twice(struct frames *f, uint32_t index, enum frame_owner owner);

/* An idle frame is about to be someone's: its page as frame.h promises, but for order and wired, which are right. */
static inline void frame_claim_single(struct frames *f, uint32_t index, enum frame_owner owner)
{
	struct vm_page *p = &f->pages[index];

	if (STRATA_CHECKED && page_owner(p) != FRAME_FREE)
		frame_handed_out_twice(f, index, owner);
	/* relaxed, both: the frame is ours alone; what it held was unmapped and flushed before it was freed */
	atomic_store_relaxed(&p->pmap.flags, (uint16_t)0);
	page_set_owner(p, owner);
}

/* frame_claim_single of a block: its head. */
static inline void frame_claim(struct frames *f, uint32_t index, unsigned order, enum frame_owner owner)
{
	struct vm_page *p = &f->pages[index];

	atomic_store_relaxed(&p->order, (uint8_t)order); /* as above */
	atomic_store_relaxed(&p->wired, (uint16_t)0);
	frame_claim_single(f, index, owner);
}

/* The usual allocation; false: the own cache has none, or is closed. */
static inline bool frame_alloc_cached(struct frames *f, enum frame_owner owner, pfn_t *out)
{
	uint32_t index;

	if (UNLIKELY(!frame_take(frame_own_stack(f, frame_kind_of(owner)), &index)))
		return false;
	frame_claim_single(f, index, owner);
	*out = pfn(f->first.fn + index);
	return true;
}

/* Likewise a 2 MiB block. */
static inline bool frame_alloc_whole(struct frames *f, enum frame_owner owner, pfn_t *out)
{
	uint32_t index;

	if (UNLIKELY(!frame_take(frame_own_stack(f, FRAME_WHOLE), &index)))
		return false;
	frame_claim(f, index, CHUNK_ORDER, owner);
	*out = pfn(f->first.fn + index);
	return true;
}

/* Panics when the block is not one that may be freed now. Checked builds. */
void frame_free_check(struct frames *f, pfn_t head, unsigned order);

/* Under the own lock: zeroed frames from the stock, if there are any; returns how many c has now. */
uint32_t frame_zeros_refill(struct frames *f, struct frame_cache *c);

/* Whether there is a batch in the stock: a glance. */
static inline bool frame_zeros_there(const struct frames *f) { return atomic_load_relaxed(&f->zeros.full.bits) != 0; }

/* A frame that is being freed is zeroed, and goes to the stock (`zero=free`). false: no room, it is the caller's. */
bool frame_zeros_keep(struct frames *f, uint32_t index);

/* The whole stock goes to the core; returns how many frames. */
uint64_t frame_zeros_drain(struct frames *f);

#endif
