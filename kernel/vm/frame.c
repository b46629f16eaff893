/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame.c: allocation of frames: per-CPU caches in front of the core, owners.
 *
 * Purpose. A frame for a fault in a few dozen instructions that write no line of
 * another CPU; and never "no memory" while a frame lies idle somewhere.
 *
 * Structure.
 *
 *	frame_alloc -> cache[cpu]: LIFO arrays, single frames and 2 MiB blocks
 *	                  | empty: a batch       ^ full: the coldest half
 *	                  v                      |
 *	               frame core (one lock), which also serves all other orders
 *	                  | nothing there
 *	                  v
 *	               search: every CPU's cache goes back to the core, try again
 *
 * Size of the caches. A CPU's share is RAM / CPUs. Single frames: a 64th of the
 * share, at least 2, at most FRAME_CACHE_MAX; batches of half. Blocks: as many as a
 * 16th of the share holds, at most FRAME_BLOCKS_MAX. So with 64 MiB and 64 CPUs
 * 4 frames each and no blocks: all caches together hold at most 1 MiB there.
 *
 * Invariants (frame_audit states them).
 *	1. A block of 2^k frames has its owner and order in its first page; its
 *	   other pages read FREE.
 *	2. A frame's bit in the core is set if and only if its block's owner is FREE.
 *	3. What lies in a cache is owned by CACHED, and the reverse.
 *
 * Owner states.
 *	FREE --refill--> CACHED --claim--> ANON, TABLE, ... --frame_free--> CACHED --put--> FREE
 *	  \________________________claim____^                  \____________________________^
 * Who moves a state has the frame to itself: by taking its bit (core's lock), by
 * being in the gate of the cache that holds it, or by owning it.
 *
 * Locking. The gate of a cache (RANK_FRAME_CACHE), inside it the core's lock
 * (RANK_FRAME). A CPU leaves its own gate before it visits others', and visits one
 * at a time.
 *
 * Completeness. An allocation of one frame fails only if at one moment of its
 * duration none was free. The searcher raises `searching`, empties all caches
 * into the core, one after the other, then asks the core. While `searching` is
 * not 0, nobody fills a cache again: a refill takes only the one frame that it uses at
 * once, and what is freed goes to the core. So at the last look all free frames are in the core. Nobody misses
 * the sign: either a CPU's store of `inside` is before the searcher's load of it in
 * the order of all seq_cst accesses, then the searcher waits and finds what it put;
 * or after, then the CPU's load of `searching`, later still, sees the search. Who
 * empties a cache holds its gate until the frames are in the core, so that a second
 * searcher does not pass them.
 *
 * Memory order. The caches: the gate's pairs. A page's owner, order, flags are
 * relaxed: the frame passes from hand to hand by gate or lock, and audits run at
 * quiet points. `searching`: seq_cst, above.
 *
 * Failure. ERR_NOMEM, nothing held. Freeing cannot fail.
 *
 * Sources: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001), for per-CPU
 * caches; LLFree (frame_core.c).
 */
#include "vm/frame.h"

#define FRAME_JUNK 0xdb /* what freed frames are filled with at STRATA_CHECKED >= 2 */

const char *frame_owner_name(enum frame_owner owner)
{
	static const char *const names[FRAME_OWNER_COUNT] = {
#define X(symbol, name, meaning) name,
		FRAME_OWNERS(X)
#undef X
	};

	return owner < FRAME_OWNER_COUNT ? names[owner] : "unknown";
}

bool frame_is_ram(const struct frames *f, pfn_t n)
{
	/* relaxed: PAGE_HOLE is fixed at boot */
	return n.fn - f->first.fn < f->count && !(atomic_load_relaxed(&f->pages[n.fn - f->first.fn].flags) & PAGE_HOLE);
}

static bool is_idle(enum frame_owner owner) { return owner == FRAME_FREE || owner == FRAME_CACHED; }

bool frame_is_free(const struct frames *f, pfn_t n)
{
	if (!frame_is_ram(f, n))
		return false;
	/* The head of the block that n lies in is n rounded down to the block's size. */
	for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
		uint64_t head = round_down(n.fn, UINT64_C(1) << order);
		const struct vm_page *p;

		if (head < f->first.fn)
			break;
		p = &f->pages[head - f->first.fn];
		if (!is_idle(page_owner(p)) && page_order(p) >= order)
			return false;
	}
	return true;
}

/* --- the caches --- */

/* An idle block is about to be someone's: its pages as frame.h promises. */
static inline void claim(struct frames *f, uint32_t index, unsigned order, enum frame_owner owner)
{
	struct vm_page *p = &f->pages[index];

	if (STRATA_CHECKED && !is_idle(page_owner(p)))
		panic("frame %#lx of %s was handed out again, as %s (CPU %u)", (unsigned long)frame_of(f, p).fn,
		      frame_owner_name(page_owner(p)), frame_owner_name(owner), cpu_id());
	/* relaxed, all: the frame is ours alone; what it held was unmapped and flushed before it was freed */
	for (uint32_t i = 0; i < 1u << order; i++) {
		atomic_store_relaxed(&p[i].pmap.live, (uint16_t)0);
		atomic_store_relaxed(&p[i].pmap.flags, (uint16_t)0);
		p[i].pmap.rmap_pmap = NULL;
		p[i].pmap.rmap_word = 0;
	}
	atomic_store_relaxed(&p->wired, (uint16_t)0);
	atomic_store_relaxed(&p->flags, 0u);
	atomic_store_relaxed(&p->order, (uint8_t)order);
	page_set_owner(p, owner);
}

static struct frame_cache *own_cache(struct frames *f)
{
	ASSERT_CHECKED(cpu_id() < f->ncpus);
	return &f->cache[cpu_id()];
}

static void mark(struct frames *f, const uint32_t *index, unsigned n, enum frame_owner owner)
{
	for (unsigned i = 0; i < n; i++)
		page_set_owner(&f->pages[index[i]], owner);
}

/* Inside a gate: the cache must not be filled. */
static bool searched(const struct frames *f)
{
	/* seq_cst: pairs with searchers_add; see Completeness */
	return UNLIKELY(atomic_load_seq_cst(&f->searching) != 0);
}

/* Inside the gate of an empty cache. Returns how many frames it holds now. */
static uint32_t refill(struct frames *f, struct frame_cache *c)
{
	unsigned n = frame_core_get_singles(&f->core, &c->hint, c->frame, searched(f) ? 1 : f->cache_batch);

	for (unsigned i = 0; i < n; i++)
		atomic_store_relaxed(&f->pages[c->frame[i]].order, (uint8_t)0); /* may have headed a larger block */
	mark(f, c->frame, n, FRAME_CACHED);
	return n;
}

/* Inside the gate of a cache with n > 0 frames: the last one put there. */
static uint32_t pop_single(struct frame_cache *c, uint32_t n)
{
	atomic_store_relaxed(&c->count, n - 1); /* guarded by the gate; so all loads and stores of counts */
	return c->frame[n - 1];
}

static bool get_single(struct frames *f, uint32_t *index)
{
	struct frame_cache *c = own_cache(f);
	uint32_t n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->count);
	if (n == 0)
		n = refill(f, c);
	if (n > 0)
		*index = pop_single(c, n);
	gate_leave(&c->gate);
	return n > 0;
}

/* Blocks that no cache holds, or when it holds none. */
static bool get_from_core(struct frames *f, unsigned order, uint32_t *index)
{
	struct frame_cache *c = own_cache(f);
	bool found;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	found = frame_core_get(&f->core, &c->hint, order, index);
	gate_leave(&c->gate);
	return found;
}

static bool get_block(struct frames *f, uint32_t *index)
{
	struct frame_cache *c = own_cache(f);
	uint32_t n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->blocks);
	if (n > 0) {
		*index = c->block[n - 1];
		atomic_store_relaxed(&c->blocks, n - 1);
	}
	gate_leave(&c->gate);
	return n > 0 || get_from_core(f, CHUNK_ORDER, index);
}

static NOINLINE void put_to_core(struct frames *f, const uint32_t *index, unsigned n, unsigned order)
{
	mark(f, index, n, FRAME_FREE); /* before: once in the core, another CPU may have it */
	frame_core_put(&f->core, index, n, order);
}

static void put_single(struct frames *f, uint32_t index)
{
	struct frame_cache *c = own_cache(f);
	uint32_t n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	if (searched(f)) {
		put_to_core(f, &index, 1, 0);
		gate_leave(&c->gate);
		return;
	}
	page_set_owner(&f->pages[index], FRAME_CACHED);
	n = atomic_load_relaxed(&c->count);
	if (UNLIKELY(n == f->cache_max)) {
		/* the coldest: those that lie deepest */
		put_to_core(f, c->frame, f->cache_batch, 0);
		n -= f->cache_batch;
		__builtin_memmove(c->frame, c->frame + f->cache_batch, n * sizeof c->frame[0]);
	}
	c->frame[n] = index;
	atomic_store_relaxed(&c->count, n + 1);
	gate_leave(&c->gate);
}

static NOINLINE void put_block(struct frames *f, uint32_t index)
{
	struct frame_cache *c = own_cache(f);
	uint32_t n;

	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->blocks);
	if (n < f->blocks_max && !searched(f)) {
		page_set_owner(&f->pages[index], FRAME_CACHED);
		c->block[n] = index;
		atomic_store_relaxed(&c->blocks, n + 1);
	} else {
		put_to_core(f, &index, 1, CHUNK_ORDER);
	}
	gate_leave(&c->gate);
}

/* Empties a cache into the core; returns how many frames it held. */
static uint64_t drain_cache(struct frames *f, struct frame_cache *c)
{
	uint32_t frames, blocks;

	gate_visit(&c->gate, RANK_FRAME_CACHE);
	frames = atomic_load_relaxed(&c->count);
	blocks = atomic_load_relaxed(&c->blocks);
	atomic_store_relaxed(&c->count, 0u);
	atomic_store_relaxed(&c->blocks, 0u);
	/* Inside the gate to the end, so that no frame is in neither place when another searcher comes by. */
	if (frames)
		put_to_core(f, c->frame, frames, 0);
	if (blocks)
		put_to_core(f, c->block, blocks, CHUNK_ORDER);
	gate_visit_end(&c->gate);
	return frames + (uint64_t)blocks * CHUNK_FRAMES;
}

void frames_drain(struct frames *f)
{
	for (uint32_t i = 0; i < f->ncpus; i++)
		drain_cache(f, &f->cache[i]);
}

static void searchers_add(struct frames *f, uint32_t n)
{
	uint32_t now = atomic_load_relaxed(&f->searching); /* a guess for the cas */

	/* seq_cst: pairs with the load in searched; see Completeness */
	while (!atomic_cas_seq_cst(&f->searching, &now, now + n))
		cpu_relax();
}

/* The core had nothing: get back what other CPUs keep. */
static bool search(struct frames *f, unsigned order, uint32_t *index)
{
	bool found = false;

	searchers_add(f, 1);
	for (uint32_t i = 1; i <= f->ncpus && !found; i++) {
		uint64_t n = drain_cache(f, &f->cache[(cpu_id() + i) % f->ncpus]);

		/* One cache is enough for a single frame; the others keep theirs. */
		if (n > 0 && order == 0)
			found = get_from_core(f, 0, index);
	}
	if (!found)
		found = get_from_core(f, order, index);
	searchers_add(f, UINT32_MAX); /* -1 */
	return found;
}

/* --- allocation --- */

/* Everything but a frame from a cache that has one; also when failures are injected. */
static NOINLINE enum error alloc_slow(struct frames *f, unsigned order, unsigned flags, enum frame_owner owner,
				      pfn_t *out)
{
	uint32_t index = 0;
	bool found;

	if (frames_may_fail(f) && frames_must_fail(f))
		return ERR_NOMEM;
	if (order == 0)
		found = get_single(f, &index);
	else if (order == CHUNK_ORDER)
		found = get_block(f, &index);
	else
		found = get_from_core(f, order, &index);
	if (!found && !search(f, order, &index))
		return ERR_NOMEM;
	claim(f, index, order, owner);
	*out = pfn(f->first.fn + index);
	if (flags & FRAME_ZERO)
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
			machine_zero_frame(pfn_to_paddr(pfn(out->fn + i)));
	return OK;
}

enum error frame_alloc(struct frames *f, unsigned order, unsigned flags, enum frame_owner owner, pfn_t *out)
{
	struct frame_cache *c = own_cache(f);
	uint32_t n, index;

	ASSERT_CHECKED(order <= FRAME_ORDER_MAX && !is_idle(owner));
	if (UNLIKELY(frames_may_fail(f) || order != 0))
		return alloc_slow(f, order, flags, owner, out);
	gate_enter(&c->gate, RANK_FRAME_CACHE);
	n = atomic_load_relaxed(&c->count);
	if (UNLIKELY(n == 0)) {
		gate_leave(&c->gate);
		return alloc_slow(f, order, flags, owner, out);
	}
	index = pop_single(c, n);
	gate_leave(&c->gate);
	claim(f, index, 0, owner);
	*out = pfn(f->first.fn + index);
	if (flags & FRAME_ZERO)
		machine_zero_frame(pfn_to_paddr(*out));
	return OK;
}

/* Panics when the block is not one that may be freed now. */
static void check_free(struct frames *f, pfn_t head, unsigned order)
{
	struct vm_page *p = frame_page(f, head);
	enum frame_owner owner = page_owner(p);

	if (!frame_is_ram(f, head) || owner == FRAME_RESERVED)
		panic("frame %#lx is %s and was freed (CPU %u)", (unsigned long)head.fn,
		      frame_is_ram(f, head) ? "reserved" : "no RAM", cpu_id());
	if (is_idle(owner))
		panic("frame %#lx is %s and was freed again, or lies inside a block (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), cpu_id());
	if (page_order(p) != order)
		panic("frame %#lx of %s was freed with order %u, allocated with %u (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), order, page_order(p), cpu_id());
	/* relaxed, both: it is ours alone */
	if ((owner == FRAME_ANON || owner == FRAME_OBJECT) &&
	    (p->pmap.rmap_pmap || atomic_load_relaxed(&p->pmap.flags) & PMAP_PAGE_RMAP_CHUNK))
		panic("frame %#lx of %s was freed while it is mapped (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), cpu_id());
	if (atomic_load_relaxed(&p->wired))
		panic("frame %#lx of %s was freed while %u mappings wire it (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), atomic_load_relaxed(&p->wired), cpu_id());
}

void frame_free(struct frames *f, pfn_t head, unsigned order)
{
	uint32_t index = (uint32_t)(head.fn - f->first.fn);

	if (STRATA_CHECKED)
		check_free(f, head, order);
	if (STRATA_CHECKED >= 2)
		__builtin_memset(frame_bytes(head), FRAME_JUNK, PAGE_SIZE << order);
	if (LIKELY(order == 0))
		put_single(f, index);
	else if (order == CHUNK_ORDER)
		put_block(f, index);
	else
		put_to_core(f, &index, 1, order);
}

static void free_retired(struct epoch_item *item)
{
	struct vm_page *p = CONTAINER_OF(item, struct vm_page, retire);

	frame_free(p->home, frame_of(p->home, p), page_order(p));
}

void frame_free_by_epoch(struct frames *f, pfn_t head)
{
	struct vm_page *p = frame_page(f, head);

	ASSERT_CHECKED(!is_idle(page_owner(p)) && page_owner(p) != FRAME_RESERVED);
	p->home = f;
	epoch_retire(f->epoch, &p->retire, free_retired);
}

void frame_split(struct frames *f, pfn_t head, unsigned order)
{
	struct vm_page *p = frame_page(f, head);
	/* relaxed, all: the block is the caller's */
	uint16_t flags = atomic_load_relaxed(&p->pmap.flags);

	ASSERT_CHECKED(page_order(p) == order && !is_idle(page_owner(p)));
	flags &= PMAP_PAGE_EXEC_CLEAN | PMAP_PAGE_REFERENCED | PMAP_PAGE_MODIFIED;
	for (uint32_t i = 1; i < 1u << order; i++) {
		atomic_store_relaxed(&p[i].pmap.flags, flags);
		atomic_store_relaxed(&p[i].wired, (uint16_t)0);
		atomic_store_relaxed(&p[i].flags, 0u);
		atomic_store_relaxed(&p[i].order, (uint8_t)0);
		page_set_owner(&p[i], page_owner(p));
	}
	atomic_store_relaxed(&p->order, (uint8_t)0);
}

/* --- lists --- */

void frame_list_push(struct frames *f, struct frame_list *l, pfn_t frame)
{
	frame_page(f, frame)->pmap.next = l->head;
	l->head = frame;
	l->count++;
}

pfn_t frame_list_pop(struct frames *f, struct frame_list *l)
{
	pfn_t n = l->head;

	if (!pfn_is_none(n)) {
		l->head = frame_page(f, n)->pmap.next;
		l->count--;
	}
	return n;
}

void frame_list_free(struct frames *f, struct frame_list *l)
{
	for (pfn_t n; n = frame_list_pop(f, l), !pfn_is_none(n);)
		frame_free(f, n, page_order(frame_page(f, n)));
}

void frame_list_free_by_epoch(struct frames *f, struct frame_list *l)
{
	for (pfn_t n; n = frame_list_pop(f, l), !pfn_is_none(n);)
		frame_free_by_epoch(f, n);
}

/* --- asking --- */

uint64_t frames_available(const struct frames *f)
{
	/* relaxed, all: a statistic */
	uint64_t n = atomic_load_relaxed(&f->core.free);

	for (uint32_t i = 0; i < f->ncpus; i++)
		n += atomic_load_relaxed(&f->cache[i].count) +
		     (uint64_t)atomic_load_relaxed(&f->cache[i].blocks) * CHUNK_FRAMES;
	return n;
}

bool frames_low(const struct frames *f) { return frames_available(f) < f->low; }
