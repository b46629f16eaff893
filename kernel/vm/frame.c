/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame.c: allocation of frames, owners, lists.
 *
 * Purpose. A frame for a fault in two dozen instructions that write no line of
 * another CPU; and never "no memory" while a frame lies idle somewhere.
 *
 * Structure. The usual allocation of a single frame ends here, in the own CPU's
 * cache. All else goes through frame_cache.c, which has the caches' theory, to the core
 * (frame_core.c), the stock of zeroed frames (frame_zero.c) and other CPUs' caches.
 *
 * Kinds. Frames of ANON and OBJECT can be moved, those of ZONE, TABLE and WIRED cannot.
 * Each kind has its own stack in a CPU's cache and its own trees in the core, so that the frames
 * that stay do not end up scattered over all 2 MiB blocks.
 *
 * Invariants (frame_audit states them).
 *	1. A block of 2^k frames has its owner and order in its first page; its
 *	   other pages read FREE.
 *	2. A frame whose bit in the core is set is FREE.
 *	3. A frame that is FREE, in no block, and whose bit is not set lies in a cache or in the stock: audits
 *	   call it CACHED. So a batch between cache and core touches no page.
 *	4. A page that is FREE is mapped by nobody, not wired (frame_free_check), and reads order 0, so that an
 *	   allocation resets no more than the pmap's flags.
 *
 * Owner states.
 *	FREE --claim--> ANON, TABLE, ... --frame_free--> FREE
 * Who moves a state has the frame to himself: by taking its bit, by
 * being in the gate of the cache that holds it, or by its lock, or by owning it.
 *
 * Locking. The gates of the own cache. Completeness and memory order: frame_cache.c, frame_core.c.
 *
 * Failure. ERR_NOMEM, nothing held. Freeing cannot fail.
 */
#include "vm/frame_cache.h"

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
		if (page_owner(p) != FRAME_FREE && page_order(p) >= order)
			return false;
	}
	return true;
}

/* --- allocation --- */

void frame_handed_out_twice(struct frames *f, uint32_t index, enum frame_owner owner)
{
	const struct vm_page *p = &f->pages[index];

	panic("frame %#lx of %s was handed out again, as %s (CPU %u)", (unsigned long)frame_of(f, p).fn,
	      frame_owner_name(page_owner(p)), frame_owner_name(owner), cpu_id());
}

/* Everything but a single frame from an open cache that has one; also when failures are injected. */
static NOINLINE enum error alloc_slow(struct frames *f, unsigned order, unsigned flags, enum frame_owner owner,
				      pfn_t *out)
{
	struct frame_want want = {.order = order, .kind = frame_kind_of(owner)};
	bool found = false, zeroed = false;
	uint32_t index;

	ASSERT_CHECKED(order <= FRAME_ORDER_MAX);
	if (frames_may_fail(f) && frames_must_fail(f))
		return ERR_NOMEM;
	if (order == 0) {
		bool zero = flags & FRAME_ZERO && want.kind == FRAME_MOVABLE;

		zeroed = zero && frame_take(frame_own_stack(f, FRAME_ZEROED), &index);
		want.zero = zero && frame_zeros_there(f);
		found = zeroed || (!want.zero && frame_take(frame_own_stack(f, want.kind), &index));
	}
	if (!found && !frame_find(f, &want, &index, &zeroed))
		return ERR_NOMEM;
	frame_claim(f, index, order, owner);
	*out = pfn(f->first.fn + index);
	if (flags & FRAME_ZERO && !zeroed)
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
			machine_zero_frame(pfn_to_paddr(pfn(out->fn + i)));
	return OK;
}

/* A frame out of this CPU's own cache for who wants zeros: one of the stock's if there may be any, else any. false: the slow way. */
static inline bool take_for_zeros(struct frames *f, enum frame_kind kind, uint32_t *index, bool *zeroed)
{
	*zeroed = false;
	if (kind == FRAME_MOVABLE && f->zeros.batch) {
		*zeroed = frame_take(frame_own_stack(f, FRAME_ZEROED), index);
		if (*zeroed || frame_zeros_there(f))
			return *zeroed;
	}
	return frame_take(frame_own_stack(f, kind), index);
}

/* It is somebody's, and all zeros. */
static inline pfn_t claim_zeroed(struct frames *f, uint32_t index, enum frame_owner owner, bool zeroed)
{
	pfn_t frame = pfn(f->first.fn + index);

	frame_claim_single(f, index, owner);
	if (!zeroed)
		machine_zero_frame(pfn_to_paddr(frame));
	return frame;
}

pfn_t frame_get_cached(struct frames *f, enum frame_owner owner)
{
	pfn_t frame;

	ASSERT_CHECKED(frame_kind_of(owner) == FRAME_MOVABLE && owner != FRAME_FREE);
	if (LIKELY(frame_alloc_cached(f, owner, &frame)) ||
	    (frame_at_hand(f, owner) && frame_alloc_cached(f, owner, &frame)))
		return frame;
	return PFN_NONE;
}

static NOINLINE pfn_t get_zeroed_refilled(struct frames *f, enum frame_owner owner)
{
	uint32_t index;
	bool zeroed;

	if (frame_zeros_there(f) || !frame_at_hand(f, owner) || !take_for_zeros(f, FRAME_MOVABLE, &index, &zeroed))
		return PFN_NONE;
	return claim_zeroed(f, index, owner, zeroed);
}

pfn_t frame_get_zeroed(struct frames *f, enum frame_owner owner)
{
	uint32_t index;
	bool zeroed;

	ASSERT_CHECKED(frame_kind_of(owner) == FRAME_MOVABLE && owner != FRAME_FREE);
	if (UNLIKELY(!take_for_zeros(f, FRAME_MOVABLE, &index, &zeroed)))
		return get_zeroed_refilled(f, owner);
	return claim_zeroed(f, index, owner, zeroed);
}

static NOINLINE pfn_t get_slow(struct frames *f, enum frame_owner owner)
{
	pfn_t frame;

	return alloc_slow(f, 0, 0, owner, &frame) == OK ? frame : PFN_NONE;
}

pfn_t frame_get(struct frames *f, enum frame_owner owner)
{
	pfn_t frame;

	ASSERT_CHECKED(owner != FRAME_FREE);
	if (LIKELY(frame_alloc_cached(f, owner, &frame)))
		return frame;
	return get_slow(f, owner);
}

enum error frame_alloc(struct frames *f, unsigned order, unsigned flags, enum frame_owner owner, pfn_t *out)
{
	uint32_t index;
	bool zeroed;

	ASSERT_CHECKED(owner != FRAME_FREE);
	if (LIKELY((order | flags) == 0) && LIKELY(frame_alloc_cached(f, owner, out)))
		return OK;
	if (order == 0 && flags == FRAME_ZERO && take_for_zeros(f, frame_kind_of(owner), &index, &zeroed)) {
		*out = claim_zeroed(f, index, owner, zeroed);
		return OK;
	}
	if (order == CHUNK_ORDER && !flags && frame_alloc_whole(f, owner, out))
		return OK;
	return alloc_slow(f, order, flags, owner, out);
}

/* Panics when the block is not one that may be freed now. */
void frame_free_check(struct frames *f, pfn_t head, unsigned order)
{
	struct vm_page *p = frame_page(f, head);
	enum frame_owner owner = page_owner(p);

	if (!frame_is_ram(f, head) || owner == FRAME_RESERVED)
		panic("frame %#lx is %s and was freed (CPU %u)", (unsigned long)head.fn,
		      frame_is_ram(f, head) ? "reserved" : "no RAM", cpu_id());
	if (owner == FRAME_FREE)
		panic("frame %#lx is %s and was freed again, or lies inside a block (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), cpu_id());
	if (page_order(p) != order)
		panic("frame %#lx of %s was freed with order %u, allocated with %u (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), order, page_order(p), cpu_id());
	/* relaxed, both: it is ours alone */
	if (p->pmap.rmap_pmap ||
	    (frame_kind_of(owner) == FRAME_MOVABLE && atomic_load_relaxed(&p->pmap.flags) & PMAP_PAGE_RMAP_CHUNK))
		panic("frame %#lx of %s was freed while it is mapped (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), cpu_id());
	if (atomic_load_relaxed(&p->wired))
		panic("frame %#lx of %s was freed while %u mappings wire it (CPU %u)", (unsigned long)head.fn,
		      frame_owner_name(owner), atomic_load_relaxed(&p->wired), cpu_id());
}

/* A block that is about to be free. Checked builds. */
static inline void look_at_freed(struct frames *f, pfn_t head, unsigned order)
{
	if (STRATA_CHECKED)
		frame_free_check(f, head, order);
	if (STRATA_CHECKED >= 2)
		__builtin_memset(frame_bytes(head), FRAME_JUNK, PAGE_SIZE << order);
}

static NOINLINE void put_slow(struct frames *f, uint32_t index)
{
	if (f->zeros.at_free && page_owner(&f->pages[index]) == FRAME_ANON && frame_zeros_keep(f, index))
		return;
	frame_put_single(f, index);
}

void frame_put(struct frames *f, pfn_t frame)
{
	uint32_t index = (uint32_t)(frame.fn - f->first.fn);
	struct vm_page *p = &f->pages[index];

	look_at_freed(f, frame, 0);
	if (UNLIKELY(!frame_give(frame_own_stack(f, frame_kind_of(page_owner(p))), index, p)))
		put_slow(f, index);
}

void frame_free(struct frames *f, pfn_t head, unsigned order)
{
	if (order == 0) {
		frame_put(f, head);
		return;
	}
	look_at_freed(f, head, order);
	frame_put_block(f, (uint32_t)(head.fn - f->first.fn), order);
}

static void free_retired(struct epoch_item *item)
{
	struct vm_page *p = CONTAINER_OF(item, struct vm_page, retire);

	frame_free(p->home, frame_of(p->home, p), page_order(p));
}

void frame_free_by_epoch(struct frames *f, pfn_t head)
{
	struct vm_page *p = frame_page(f, head);

	ASSERT_CHECKED(page_owner(p) != FRAME_FREE && page_owner(p) != FRAME_RESERVED);
	p->home = f;
	epoch_retire(f->epoch, &p->retire, free_retired);
}

void frame_split(struct frames *f, pfn_t head, unsigned order)
{
	struct vm_page *p = frame_page(f, head);
	/* relaxed, all: the block is the caller's */
	uint16_t flags = atomic_load_relaxed(&p->pmap.flags);

	ASSERT_CHECKED(page_order(p) == order && page_owner(p) != FRAME_FREE);
	flags &= PMAP_PAGE_EXEC_CLEAN | PMAP_PAGE_REFERENCED | PMAP_PAGE_MODIFIED;
	for (uint32_t i = 1; i < 1u << order; i++) {
		atomic_store_relaxed(&p[i].pmap.flags, flags);
		atomic_store_relaxed(&p[i].wired, (uint16_t)0);
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

static void free_retired_list(struct epoch_item *item)
{
	struct vm_page *p = CONTAINER_OF(item, struct vm_page, retire);
	struct frames *f = p->home;

	for (pfn_t n = frame_of(f, p), next; !pfn_is_none(n); n = next) {
		next = frame_page(f, n)->pmap.next;
		frame_free(f, n, page_order(frame_page(f, n)));
	}
}

/* All by the first one's item: their grace periods end together. */
void frame_list_free_by_epoch(struct frames *f, struct frame_list *l)
{
	struct vm_page *p;

	if (pfn_is_none(l->head))
		return;
	p = frame_page(f, l->head);
	ASSERT_CHECKED(page_owner(p) != FRAME_FREE && page_owner(p) != FRAME_RESERVED);
	p->home = f;
	epoch_retire_with(f->epoch, &p->retire, free_retired_list, (uint32_t)(l->count - 1));
	frame_list_init(l);
}
