/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_cache.c: per-CPU caches of frames, and the search that empties them all.
 *
 * Structure.
 *
 *	frame_alloc -> cache[cpu]: a stack for each kind, 2 MiB blocks, zeroed frames
 *	                  | empty: a batch       ^ full: the coldest half
 *	                  v                      |
 *	               frame core (lock-free), which also serves all other orders
 *	                  | nothing there
 *	                  v
 *	               search: every CPU's cache and reservation, and the stock of
 *	               zeroed frames, go back to the core; then the last look
 *
 * Size of the caches. A CPU's share is RAM / CPUs. Single frames: a 64th of the
 * share for each kind, at least 2, at most FRAME_CACHE_MAX; batches of half. Blocks: as many as a
 * 16th of the share holds, at most FRAME_BLOCKS_MAX. So with 64 MiB and 64 CPUs
 * 4 frames of each kind and no blocks: all caches together hold at most 2 MiB there.
 *
 * The stock of zeroed frames (frame_zero.c) is filled by idle CPUs and taken by the batch.
 *
 * Gate. The fast path (frame_take, frame_give) is a gate's owner side (gate.h) in which "am I alone" and "is there anything" are
 * one comparison, as in a zone's cache (zone_cache.c, Gate):
 *
 *	take: inside = 1, low, top;   top <= low: slow      give: inside = 1, high, top;   top >= high: slow
 *
 * Whoever closes a cache makes low the highest address and high the lowest. A visitor does so under the cache's lock, then
 * calls cpu_barrier_all and waits until no stack has its CPU inside; then all of the cache is his. The slow path is not in the gate but under
 * the lock, which visitors hold from before they close until they are done; being on that CPU it needs no barrier.
 * A search, failures that are to be injected, a machine without cpu_barrier_all keep caches closed (frame_cache_settle), and
 * cost the fast path nothing.
 *
 * Locking. A cache's lock (frame_cache_lock, RANK_FRAME_CACHE). Everything that a CPU does with the
 * core it does under its own cache's lock, since a CPU's number is used by one at a time. Nobody holds two of them.
 *
 * Completeness. An allocation fails only if at one moment of its
 * duration no such block was free. The searcher announces itself in core.searching and visits all caches; he empties each
 * and settles the CPU's reservations. From his visit on the cache stays closed. So a CPU that gives a frame back goes
 * the slow way, sees the search, and gives it to the core; one that takes
 * sees the search, and takes the one frame that it uses at once. When all have been visited, the stock is emptied, which
 * nobody fills any more; then all free frames are in the core, and stay there: the core's own argument
 * (frame_core.c, Completeness) says that its last look misses nothing.
 *
 * Nobody misses the sign: either a CPU is in its gate or its slow path when the visitor comes; then he waits and finds what it
 * put. Or it comes later; then it finds the cache closed, takes the lock after him, and sees the sign. Who
 * empties a cache holds its lock until the frames are in the core, so that a second searcher does not pass them.
 * Whoever finds no search under the lock opens the cache again: the search is over, or not yet there, and will come by.
 *
 * Memory order. The lock; low and high: release where they are opened, the owner's load reads them; inside: as in gate.c.
 * A page's owner and order are relaxed: the frame passes from hand to hand by gate, by lock or
 * by its bit in the core, and audits run at quiet points. searching: the lock shows it; see the core.
 *
 * Failure. "None". Giving back cannot fail.
 *
 * Source: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001), for per-CPU caches.
 */
#include "vm/frame_cache.h"

static bool searched(const struct frames *f) { return frame_core_searched(&f->core); }

/* --- open and closed --- */

static bool may_be_open(const struct frames *f) { return f->may_open && !frames_may_fail(f) && !searched(f); }

void frame_cache_settle(const struct frames *f, struct frame_cache *c)
{
	/* relaxed: written under the lock */
	bool open = may_be_open(f), was = atomic_load_relaxed(&c->stack[0].low) != FRAME_CLOSED_LOW;
	const uint32_t most[FRAME_STACKS] = {f->zeros.at_free ? 0 : f->cache_max, f->cache_max, 0, f->blocks_max};

	for (unsigned i = 0; i < FRAME_STACKS && open != was; i++) {
		struct frame_stack *s = &c->stack[i];

		/* release, both: pair with the loads in frame_take and frame_give, for what a visitor left there */
		atomic_store_release(&s->low, open ? frame_stack_base(s) : FRAME_CLOSED_LOW);
		atomic_store_release(&s->high, open ? frame_stack_base(s) + most[i] : FRAME_CLOSED_HIGH);
	}
}

void frame_cache_visit(struct frames *f, struct frame_cache *c)
{
	spin_lock(frame_cache_lock(f, c), RANK_FRAME_CACHE);
	for (unsigned i = 0; i < FRAME_STACKS; i++) {
		/* seq_cst, both: as the announcement in gate_visit */
		atomic_store_seq_cst(&c->stack[i].low, FRAME_CLOSED_LOW);
		atomic_store_seq_cst(&c->stack[i].high, FRAME_CLOSED_HIGH);
	}
	cpu_barrier_all();
	for (unsigned i = 0; i < FRAME_STACKS; i++)
		/* seq_cst: as in gate_visit; its acquire side pairs with frame_gate_leave */
		while (atomic_load_seq_cst(&c->stack[i].inside))
			cpu_relax();
}

void frame_cache_visit_end(struct frames *f, struct frame_cache *c)
{
	frame_cache_settle(f, c);
	spin_unlock(frame_cache_lock(f, c));
}

void frames_fail_by(struct frames *f, frames_fail_fn *asked, void *arg)
{
	if (asked && f->fail_arg != arg)
		f->fail_arg = arg;
	atomic_store_release(&f->fail, asked); /* pairs with frames_must_fail */
	for (uint32_t i = 0; i < f->ncpus; i++) {
		spin_lock(&f->rounds[i].lock, RANK_FRAME_CACHE);
		frame_cache_settle(f, &f->cache[i]);
		spin_unlock(&f->rounds[i].lock);
	}
	if (f->fail_told)
		f->fail_told(f->fail_told_arg);
}

/* Its own CPU's slow way in and out; not in the gate. */
static struct frame_cache *lock_own(struct frames *f)
{
	struct frame_cache *c = frame_own_cache(f);

	spin_lock(frame_cache_lock(f, c), RANK_FRAME_CACHE);
	return c;
}
static void unlock_own(struct frames *f, struct frame_cache *c) { frame_cache_visit_end(f, c); }

/* --- taking --- */

/* An empty stack, under the own lock. Returns how many frames it holds now. */
static uint32_t refill(struct frames *f, struct frame_stack *s, enum frame_kind kind)
{
	return frame_core_get_singles(&f->core, cpu_id(), kind, frame_stack_base(s), searched(f) ? 1 : f->cache_batch);
}

static bool pop(struct frame_stack *s, uint32_t n, uint32_t *index)
{
	if (n == 0)
		return false;
	*index = frame_stack_base(s)[n - 1];
	frame_stack_set(s, n - 1);
	return true;
}

static bool get_single(struct frames *f, struct frame_cache *c, enum frame_kind kind, uint32_t *index)
{
	struct frame_stack *s = &c->stack[kind];
	uint32_t n = frame_stack_count(s);

	return pop(s, n ? n : refill(f, s, kind), index);
}

bool frame_at_hand(struct frames *f, enum frame_owner owner)
{
	struct frame_cache *c = lock_own(f);
	enum frame_kind kind = frame_kind_of(owner);
	struct frame_stack *s = &c->stack[kind];
	uint32_t n = frame_stack_count(s);

	/* Only into a cache that will give it: what lies in a closed one is out of a search's sight. */
	if (n == 0 && may_be_open(f)) {
		n = refill(f, s, kind);
		frame_stack_set(s, n);
	}
	unlock_own(f, c);
	return n > 0;
}

static bool get_block(struct frames *f, struct frame_cache *c, const struct frame_want *want, uint32_t *index)
{
	struct frame_stack *s = &c->stack[FRAME_WHOLE];

	return (want->order == CHUNK_ORDER && pop(s, frame_stack_count(s), index)) ||
	       frame_core_get(&f->core, cpu_id(), want->kind, want->order, index);
}

/* From the own cache or the core; zeroed frames only for who wants them zeroed. */
static bool get(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed)
{
	struct frame_cache *c = lock_own(f);
	bool found;

	*zeroed = want->zero && pop(&c->stack[FRAME_ZEROED], frame_zeros_refill(f, c), index);
	if (*zeroed)
		found = true;
	else if (want->run)
		found = frame_core_get_run(&f->core, want->run, index);
	else if (want->order == 0)
		found = get_single(f, c, want->kind, index);
	else
		found = get_block(f, c, want, index);
	unlock_own(f, c);
	return found;
}

/* --- giving back --- */

/* Under the own lock: the coldest half of a stack, what lies deepest, goes to the core. Returns what is left. */
static uint32_t put_cold(struct frames *f, uint32_t *frame, uint32_t n)
{
	frame_core_put(&f->core, cpu_id(), frame, f->cache_batch, 0);
	n -= f->cache_batch;
	__builtin_memmove(frame, frame + f->cache_batch, n * sizeof frame[0]);
	return n;
}

NOINLINE void frame_put_single(struct frames *f, uint32_t index)
{
	struct frame_cache *c = lock_own(f);
	struct vm_page *p = &f->pages[index];
	struct frame_stack *s = &c->stack[frame_kind_of(page_owner(p))];
	uint32_t n = frame_stack_count(s);

	page_set_owner(p, FRAME_FREE); /* before: once in the core, another CPU may have it */
	if (searched(f)) {
		frame_core_put(&f->core, cpu_id(), &index, 1, 0);
	} else {
		if (n == f->cache_max)
			n = put_cold(f, frame_stack_base(s), n);
		frame_stack_base(s)[n] = index;
		frame_stack_set(s, n + 1);
	}
	unlock_own(f, c);
}

NOINLINE void frame_put_block(struct frames *f, uint32_t index, unsigned order)
{
	struct vm_page *p = &f->pages[index];
	struct frame_cache *c;

	atomic_store_relaxed(&p->order, (uint8_t)0); /* ours still; free pages read 0 */
	if (order == CHUNK_ORDER && frame_give(frame_own_stack(f, FRAME_WHOLE), index, p))
		return;
	page_set_owner(p, FRAME_FREE); /* before: as in frame_put_single */
	c = lock_own(f);
	frame_core_put(&f->core, cpu_id(), &index, 1, order);
	unlock_own(f, c);
}

void frame_put_run(struct frames *f, uint32_t index, uint64_t n)
{
	struct frame_cache *c;

	for (uint64_t i = 0; i < n; i++)
		page_set_owner(&f->pages[index + i], FRAME_FREE); /* before: as in frame_put_single */
	c = lock_own(f);
	frame_core_put_run(&f->core, cpu_id(), index, n);
	unlock_own(f, c);
}

/* --- emptying --- */

/* Empties a CPU's cache and reservations into the core; returns how many frames the cache held. */
static uint64_t drain_cache(struct frames *f, uint32_t cpu)
{
	struct frame_cache *c = &f->cache[cpu];
	uint64_t n = 0;

	frame_cache_visit(f, c);
	/* Visiting to the end, so that no frame is in neither place when another searcher comes by. */
	for (unsigned i = 0; i < FRAME_STACKS; i++) {
		struct frame_stack *s = &c->stack[i];
		unsigned order = i == FRAME_WHOLE ? CHUNK_ORDER : 0;
		uint32_t held = frame_stack_count(s);

		frame_stack_set(s, 0);
		if (held)
			frame_core_put(&f->core, cpu, frame_stack_base(s), held, order);
		n += (uint64_t)held << order;
	}
	frame_core_settle(&f->core, cpu);
	frame_cache_visit_end(f, c);
	return n;
}

void frames_drain(struct frames *f)
{
	for (uint32_t i = 0; i < f->ncpus; i++)
		(void)drain_cache(f, i);
	(void)frame_zeros_drain(f);
}

/* Everything is in the core, and stays there: until something is found, or certainly nothing is there. */
static bool last_look(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed)
{
	for (;;) {
		uint64_t unrest = frame_core_unrest(&f->core);

		if (get(f, want, index, zeroed))
			return true;
		if (frame_core_at_rest(&f->core, unrest))
			return false;
		cpu_relax(); /* somebody gave something back meanwhile, or is about to: that is progress, and perhaps ours */
	}
}

/* The core had nothing: get back what other CPUs keep. */
static NOINLINE bool search(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed)
{
	bool found = false;

	frame_core_search_begin(&f->core);
	for (uint32_t i = 1; i <= f->ncpus && !found; i++) {
		uint64_t n = drain_cache(f, (cpu_id() + i) % f->ncpus);

		/* One cache is enough for a single frame; the others keep theirs. */
		if (n > 0 && want->order == 0 && !want->run)
			found = get(f, want, index, zeroed);
	}
	if (!found) {
		(void)frame_zeros_drain(f);
		found = last_look(f, want, index, zeroed);
	}
	frame_core_search_end(&f->core);
	return found;
}

bool frame_find(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed)
{
	return get(f, want, index, zeroed) || search(f, want, index, zeroed);
}
