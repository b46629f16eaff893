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
 * Locking. The gate of a cache (RANK_FRAME_CACHE). Everything that a CPU does with the
 * core it does in its own gate, since a CPU's number is used by one at a time. A CPU leaves its own gate before
 * it visits others', and visits one at a time.
 *
 * Completeness. An allocation fails only if at one moment of its
 * duration no such block was free. The searcher announces itself in core.searching and visits all gates; in each it empties the
 * cache, settles the CPU's reservations, and sets the stacks' limits to 0. So from its visit on, a CPU that gives a frame back
 * finds no room, looks why, sees the search, and gives it to the core; one that finds its cache empty
 * sees the search, and takes the one frame that it uses at once. When all gates have been visited, the stock is emptied, which
 * nobody fills any more; then all free frames are in the core, and stay there: the core's own argument
 * (frame_core.c, Completeness) says that its last look misses nothing.
 *
 * Nobody misses the sign: either a CPU is inside its gate when the visitor comes; then the visitor waits and finds what it
 * put. Or it comes later; then it sees what the visitor did before, by the gate: limits and sign. Who
 * empties a cache holds its gate until the frames are in the core, so that a second searcher does not pass them.
 * Who finds a limit of 0 and no search sets it back: the search is over, or not yet there, and will come by.
 *
 * Memory order. The gates' pairs. A page's owner and order are relaxed: the frame passes from hand to hand by gate or
 * by its bit in the core, and audits run at quiet points. searching: seq_cst, in the core.
 *
 * Failure. "None". Giving back cannot fail.
 *
 * Source: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001), for per-CPU caches.
 */
#include "vm/frame_cache.h"

static bool searched(const struct frames *f) { return frame_core_searched(&f->core); }

/* --- taking --- */

/* Inside the gate of an empty stack. Returns how many frames it holds now. */
static uint32_t refill(struct frames *f, struct frame_cache *c, enum frame_kind kind)
{
	uint32_t *frame = &c->frame[frame_stack_base(kind)];
	unsigned n = frame_core_get_singles(&f->core, cpu_id(), kind, frame, searched(f) ? 1 : f->cache_batch);

	for (unsigned i = 0; i < n; i++) {
		atomic_store_relaxed(&f->pages[frame[i]].order, (uint8_t)0); /* may have headed a larger block */
		page_set_owner(&f->pages[frame[i]], FRAME_CACHED);
	}
	return n;
}

static bool get_single(struct frames *f, struct frame_cache *c, enum frame_kind kind, uint32_t *index)
{
	uint32_t base = frame_stack_base(kind), n = atomic_load_relaxed(&c->top[kind]) - base; /* g */

	if (n == 0)
		n = refill(f, c, kind);
	if (n == 0)
		return false;
	*index = c->frame[base + n - 1];
	atomic_store_relaxed(&c->top[kind], base + n - 1); /* g */
	return true;
}

/* The last of a cache's zeroed frames, or of its blocks. */
static bool get_zeroed(struct frames *f, struct frame_cache *c, uint32_t *index)
{
	uint32_t n = frame_zeros_refill(f, c);

	if (n == 0)
		return false;
	*index = c->zero[n - 1];
	atomic_store_relaxed(&c->zeros, n - 1); /* g */
	return true;
}

static bool get_block(struct frames *f, struct frame_cache *c, const struct frame_want *want, uint32_t *index)
{
	uint32_t n = atomic_load_relaxed(&c->blocks); /* g */

	if (want->order != CHUNK_ORDER || n == 0)
		return frame_core_get(&f->core, cpu_id(), want->kind, want->order, index);
	*index = c->block[n - 1];
	atomic_store_relaxed(&c->blocks, n - 1); /* g */
	return true;
}

/* From the own cache or the core; zeroed frames only for who wants them zeroed. */
static bool get(struct frames *f, const struct frame_want *want, uint32_t *index, bool *zeroed)
{
	struct frame_cache *c = frame_own_cache(f);
	bool found;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	*zeroed = want->zero && get_zeroed(f, c, index);
	if (*zeroed)
		found = true;
	else if (want->run)
		found = frame_core_get_run(&f->core, want->run, index);
	else if (want->order == 0)
		found = get_single(f, c, want->kind, index);
	else
		found = get_block(f, c, want, index);
	gate_leave(&c->gate);
	return found;
}

/* --- giving back --- */

/* Inside the gate: the coldest half of a stack, what lies deepest, goes to the core. Returns what is left. */
static uint32_t put_cold(struct frames *f, uint32_t *frame, uint32_t n)
{
	frame_put_to_core(f, cpu_id(), frame, f->cache_batch, 0);
	n -= f->cache_batch;
	__builtin_memmove(frame, frame + f->cache_batch, n * sizeof frame[0]);
	return n;
}

void frame_put_single(struct frames *f, uint32_t index, enum frame_kind kind)
{
	struct frame_cache *c = frame_own_cache(f);
	uint32_t base = frame_stack_base(kind), n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	if (searched(f)) {
		frame_put_to_core(f, cpu_id(), &index, 1, 0);
		gate_leave(&c->gate);
		return;
	}
	n = atomic_load_relaxed(&c->top[kind]) - base; /* g */
	if (n == f->cache_max)
		n = put_cold(f, &c->frame[base], n);
	for (enum frame_kind k = 0; k < FRAME_KINDS; k++)
		c->limit[k] = frame_stack_base(k) + f->cache_max; /* after a search */
	page_set_owner(&f->pages[index], FRAME_CACHED);
	c->frame[base + n] = index;
	atomic_store_relaxed(&c->top[kind], base + n + 1); /* g */
	gate_leave(&c->gate);
}

void frame_put_block(struct frames *f, uint32_t index, unsigned order)
{
	struct frame_cache *c = frame_own_cache(f);
	uint32_t n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->blocks); /* g */
	if (order == CHUNK_ORDER && n < f->blocks_max && !searched(f)) {
		page_set_owner(&f->pages[index], FRAME_CACHED);
		c->block[n] = index;
		atomic_store_relaxed(&c->blocks, n + 1); /* g */
	} else {
		frame_put_to_core(f, cpu_id(), &index, 1, order);
	}
	gate_leave(&c->gate);
}

void frame_put_run(struct frames *f, uint32_t index, uint64_t n)
{
	struct frame_cache *c = frame_own_cache(f);

	for (uint64_t i = 0; i < n; i++)
		page_set_owner(&f->pages[index + i], FRAME_FREE); /* before: as frame_put_to_core */
	gate_enter(&c->gate, RANK_FRAME_CACHE);
	frame_core_put_run(&f->core, cpu_id(), index, n);
	gate_leave(&c->gate);
}

/* --- emptying --- */

/* Empties a CPU's cache and reservations into the core; returns how many frames the cache held. */
static uint64_t drain_cache(struct frames *f, uint32_t cpu, bool search)
{
	struct frame_cache *c = &f->cache[cpu];
	uint32_t blocks, zeros;
	uint64_t n;

	gate_visit(&c->gate, RANK_FRAME_CACHE);
	/* Inside the gate to the end, so that no frame is in neither place when another searcher comes by. g, all. */
	blocks = atomic_load_relaxed(&c->blocks);
	zeros = atomic_load_relaxed(&c->zeros);
	n = zeros + (uint64_t)blocks * CHUNK_FRAMES;
	atomic_store_relaxed(&c->blocks, 0u);
	atomic_store_relaxed(&c->zeros, 0u);
	for (enum frame_kind kind = 0; kind < FRAME_KINDS; kind++) {
		uint32_t base = frame_stack_base(kind), held = atomic_load_relaxed(&c->top[kind]) - base;

		atomic_store_relaxed(&c->top[kind], base);
		if (search)
			c->limit[kind] = 0;
		if (held)
			frame_put_to_core(f, cpu, &c->frame[base], held, 0);
		n += held;
	}
	if (zeros)
		frame_put_to_core(f, cpu, c->zero, zeros, 0);
	if (blocks)
		frame_put_to_core(f, cpu, c->block, blocks, CHUNK_ORDER);
	frame_core_settle(&f->core, cpu);
	gate_visit_end(&c->gate);
	return n;
}

void frames_drain(struct frames *f)
{
	for (uint32_t i = 0; i < f->ncpus; i++)
		(void)drain_cache(f, i, false);
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
		uint64_t n = drain_cache(f, (cpu_id() + i) % f->ncpus, true);

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
