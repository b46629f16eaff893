/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/rmap_chunk.c: memory for reverse maps of more than one mapping.
 *
 * Purpose. A frame's first mapping stands in its pmap_page; more need room. It
 * comes in chunks of 64 bytes, 63 to a frame. The frames are the caller's, given
 * in through pmap_stock.chunk, and each goes back on a gather's unlinked list when
 * its last chunk is free, but for the one that a CPU carves from: a frame a CPU at most is held with
 * nothing in it, until rmap_chunk_drain asks. So a process that comes and goes brings no frame along.
 *
 * Structure. Chunk 0 of a frame is its header:
 *
 *      mask   bit 0: OWNED, some CPU carves from it
 *             bit n: chunk n is free
 *
 *      OWNED, free chunks  --owner allocs--------> OWNED, none free
 *         ^    ^ any CPU frees: cas                     | owner, under the lock
 *   lock: |    +----------------------------------+     v
 *   owner +-- partial list <--free, lock---- not OWNED, none free (on no list)
 *                |
 *                +--last chunk freed, lock--> empty (mask 0) <-- drain, lock, of an OWNED one that is all free
 *
 * Each CPU owns at most one frame. Allocation from it is one cas on a line that
 * others touch only to free; so processes on different CPUs do not meet here.
 *
 * Invariants.
 *  1. OWNED is set exactly for frames that are some CPU's current. It is set
 *     and cleared under the lock.
 *  2. Bits of a frame that is not OWNED change only under the lock. Such a frame
 *     is on the partial list exactly if one of its chunks is free.
 *  3. No frame that is held and not OWNED has all chunks free once the lock is dropped.
 *  4. A header whose frame was given up keeps mask 0 until the end of every
 *     section open then. So an owner whose frame is taken away while it looks
 *     at the header fails in its cas, and goes the slow way.
 *
 * Locking. lock (RANK_CHUNK), taken under the leaf lock and RANK_RMAP.
 *
 * Memory order. Freeing is a release cas, allocating an acquire one: the next
 * user's stores come after the last user's loads. A frame without an owner changes
 * under the lock, and gets one there.
 *
 * Failure. NULL when all is used and the stock brings nothing.
 */
#include "hal/armv8/pmap_private.h"

#define OWNED BIT(0)
#define ALL_FREE (~OWNED)

struct rmap_frame {
	ATOMIC(uint64_t) mask; /* x */
	struct list link;      /* c: on partial */
	pfn_t frame;           /* r */
};
_Static_assert(sizeof(struct rmap_frame) <= sizeof(struct rmap_chunk), "is chunk 0");
_Static_assert(PAGE_SIZE / sizeof(struct rmap_chunk) == 64, "one bit each");

static struct rmap_chunk *chunk_at(struct rmap_frame *rf, unsigned n) { return (struct rmap_chunk *)rf + n; }
static struct rmap_frame *frame_of(struct rmap_chunk *c)
{
	return (struct rmap_frame *)((uintptr_t)c & ~(uintptr_t)PAGE_MASK);
}

void rmap_chunk_init(struct rmap_chunks *rc)
{
	__builtin_memset(rc, 0, sizeof *rc);
	spin_init(&rc->lock);
	list_init(&rc->partial);
	rc->empty = (struct frame_list){ PFN_NONE, 0 };
}

/* A chunk of a frame that this CPU owns; NULL: none free, or no longer owned. */
static struct rmap_chunk *take(struct rmap_frame *rf)
{
	uint64_t m = atomic_load_relaxed(&rf->mask); /* a guess; the cas decides */

	while ((m & OWNED) && m != OWNED) {
		unsigned n = bit_lowest(m & ~OWNED);

		/* acquire: pairs with the release in rmap_chunk_free */
		if (atomic_cas_acquire(&rf->mask, &m, m & ~BIT(n)))
			return chunk_at(rf, n);
	}
	return NULL;
}

static void become_owner_locked(struct pmap_system *ps, struct rmap_frame *rf, uint64_t mask)
{
	/* release: pairs with take's acquire; invariant 2: nobody else changes it now */
	atomic_store_release(&rf->mask, mask | OWNED);
	/* relaxed: read by its own CPU, and under the lock */
	atomic_store_relaxed(&ps->chunks.cpu[cpu_id()].current, rf);
}

static struct rmap_chunk *alloc_slow(struct pmap_system *ps, struct pmap_stock *stock)
{
	struct rmap_chunks *rc = &ps->chunks;
	struct rmap_frame *rf;
	struct rmap_chunk *c = NULL;

	spin_lock(&rc->lock, RANK_CHUNK);
	rf = atomic_load_relaxed(&rc->cpu[cpu_id()].current); /* written under this lock */
	while (rf && !(c = take(rf))) {
		uint64_t m = OWNED;

		/* acq_rel: against a free at the same moment; when that was first, there is something to take */
		if (atomic_cas_acq_rel(&rf->mask, &m, UINT64_C(0))) {
			atomic_store_relaxed(&rc->cpu[cpu_id()].current, NULL);
			rf = NULL;
		}
	}
	if (!c && !list_empty(&rc->partial)) {
		rf = CONTAINER_OF(list_pop(&rc->partial), struct rmap_frame, link);
		become_owner_locked(ps, rf, atomic_load_relaxed(&rf->mask));
		c = take(rf);
	} else if (!c && stock && !pfn_is_none(stock->chunk)) {
		rf = phys_to_virt(pfn_to_paddr(stock->chunk));
		rf->frame = stock->chunk;
		stock->chunk = PFN_NONE;
		list_init(&rf->link);
		atomic_bump(&rc->frames, 1);
		become_owner_locked(ps, rf, ALL_FREE);
		c = take(rf);
	}
	spin_unlock(&rc->lock);
	return c;
}

struct rmap_chunk *rmap_chunk_alloc(struct pmap_system *ps, struct pmap_stock *stock)
{
	/* relaxed: this CPU's; when another has just taken the frame away, take fails (invariant 4) */
	struct rmap_frame *rf = atomic_load_relaxed(&ps->chunks.cpu[cpu_id()].current);
	struct rmap_chunk *c;

	ASSERT_CHECKED(epoch_inside(ps->config.epoch));
	if (rf && (c = take(rf)))
		return c;
	return alloc_slow(ps, stock);
}

static void give_back_locked(struct pmap_system *ps, struct rmap_frame *rf)
{
	struct rmap_chunks *rc = &ps->chunks;

	atomic_bump(&rc->frames, -1);
	pmap_list_push(ps, &rc->empty, rf->frame);
	pmap_page_at(ps, rf->frame)->parent = NULL;
	/* relaxed: a hint for rmap_chunk_take_empty, which looks again under the lock */
	atomic_store_relaxed(&rc->empty_count, rc->empty.count);
}

void rmap_chunk_free(struct pmap_system *ps, struct rmap_chunk *chunk)
{
	struct rmap_chunks *rc = &ps->chunks;
	struct rmap_frame *rf = frame_of(chunk);
	uint64_t bit = BIT(chunk - chunk_at(rf, 0)), m = atomic_load_relaxed(&rf->mask), new;

	for (;;) {
		while (m & OWNED)
			/* release: pairs with take's acquire */
			if (atomic_cas_release(&rf->mask, &m, m | bit))
				return;
		spin_lock(&rc->lock, RANK_CHUNK);
		m = atomic_load_relaxed(&rf->mask);
		if (LIKELY(!(m & OWNED)))
			break;
		spin_unlock(&rc->lock); /* owned again meanwhile */
	}
	ASSERT_CHECKED(!(m & bit));
	new = (m | bit) == ALL_FREE ? 0 : m | bit;
	/* relaxed: the lock orders all uses of a frame without an owner (invariant 2) */
	atomic_store_relaxed(&rf->mask, new);
	if (new == 0) {
		list_remove(&rf->link);
		give_back_locked(ps, rf);
	} else if (m == 0) {
		list_push(&rc->partial, &rf->link);
	}
	spin_unlock(&rc->lock);
}

void rmap_chunk_drain(struct pmap_system *ps)
{
	struct rmap_chunks *rc = &ps->chunks;

	spin_lock(&rc->lock, RANK_CHUNK);
	for (uint32_t i = 0; i < ps->config.ncpus; i++) {
		struct rmap_frame *rf = atomic_load_relaxed(&rc->cpu[i].current); /* written under the lock */
		uint64_t m = ALL_FREE | OWNED;

		/* acq_rel: the frame's next life is after all uses of its chunks; the owner's take fails from now on */
		if (!rf || !atomic_cas_acq_rel(&rf->mask, &m, UINT64_C(0)))
			continue;
		atomic_store_relaxed(&rc->cpu[i].current, NULL); /* see rmap_chunk_alloc */
		give_back_locked(ps, rf);
	}
	spin_unlock(&rc->lock);
}

void rmap_chunk_take_empty(struct pmap_system *ps, struct frame_list *l)
{
	struct rmap_chunks *rc = &ps->chunks;

	/* relaxed: a frame that becomes empty just now goes with the next one who asks */
	if (LIKELY(atomic_load_relaxed(&rc->empty_count) == 0))
		return;
	spin_lock(&rc->lock, RANK_CHUNK);
	while (!pfn_is_none(rc->empty.head)) {
		pfn_t f = rc->empty.head;

		rc->empty.head = pmap_page_at(ps, f)->next;
		pmap_list_push(ps, l, f);
	}
	rc->empty.count = 0;
	atomic_store_relaxed(&rc->empty_count, UINT64_C(0));
	spin_unlock(&rc->lock);
}
