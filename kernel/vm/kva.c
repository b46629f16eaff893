/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kva.c: an arena's caches, and who waits for room.
 *
 * Structure. Each CPU keeps up to KVA_KEEP ranges of every size from 1 to
 * KVA_QUANTA pages, behind a gate, last in first out. For the arena they are in
 * use. They come and go KVA_BATCH at a time, so that its lock is taken once for that many
 * allocations; those of a batch come from one free segment and merge again when all have
 * come back. A cached range is aligned to the largest power of two that
 * divides its size, and serves requests up to that alignment.
 *
 *	kva_alloc  --> own cache --empty--> batch from the arena --> ... nothing there?
 *	                                      search: hungry + 1, all caches emptied, the arena again
 *	                                      KVA_WAIT: hungry stays, until something is freed
 *
 * Completeness. An allocation says ERR_NOSPACE only if at one moment of it there
 * was no room in the arena or in any cache. While hungry is not 0 nobody puts a
 * range into a cache: what is freed goes to the arena, and a batch is one range. The
 * searcher raises hungry, then visits every gate. What a CPU did inside its gate
 * before that visit is emptied by it; what it does after the visit is ordered behind hungry
 * by the gate. So at the searcher's last look everything free is in the arena.
 * Who empties a cache stays in its gate until the ranges are in the arena, so that a
 * second searcher does not pass them.
 *
 * Waiting. A waiter is on the queue before it looks, and says under the arena's
 * lock that it found nothing (waited_for); whoever frees next takes that lock,
 * sees it, and wakes all, who look again. hungry keeps ranges from going into caches,
 * past the waiter. Order of arrival is not kept: a small request may go before a large one.
 *
 * Locking. RANK_KVA_CACHE (gate), inside it RANK_KVA. A CPU leaves its own gate before it visits others'.
 * Memory order. The gate's pairs, which also carry hungry; the lock's.
 * Failure. Nothing is held or changed after an error.
 *
 * Source: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001), for quantum caches.
 */
#include "vm/kva.h"

#include "base/bits.h"
#include "vm/kva_arena.h"

#define BUCKETS_MIN 16u
#define BUCKETS_MAX 1024u

_Static_assert(KVA_BATCH >= 1 && KVA_BATCH < KVA_KEEP, "a full cache keeps something");

struct zone *kva_segment_zone(struct zones *zs)
{
	return zone_create(zs, "kva_segment", sizeof(struct kva_segment), 0, NULL, NULL, 0);
}

/* --- beginning and end --- */

/* An arena of few pages needs no large table. */
static uint64_t buckets_for(uint64_t pages)
{
	uint64_t n = BIT(log2_ceil(pages / 8 + 1));

	return n < BUCKETS_MIN ? BUCKETS_MIN : n > BUCKETS_MAX ? BUCKETS_MAX : n;
}

static bool caches_new(struct kva *a)
{
	/* kmalloc aligns to 16 bytes */
	a->cache_memory = kmalloc_zero(a->kmalloc, a->ncpus * sizeof(struct kva_cache) + CACHE_LINE);
	if (!a->cache_memory)
		return false;
	a->cache = (struct kva_cache *)round_up((uintptr_t)a->cache_memory, CACHE_LINE);
	for (uint32_t i = 0; i < a->ncpus; i++)
		gate_init(&a->cache[i].gate);
	return true;
}

enum error kva_init(struct kva *a, const char *name, vaddr_t start, uint64_t size, unsigned flags,
		    struct zone *segments, struct kmalloc *k)
{
	enum error e = ERR_NOMEM;

	ASSERT(size > 0 && ((start.va | size) & PAGE_MASK) == 0 && size >> PAGE_SHIFT <= UINT32_MAX);
	__builtin_memset(a, 0, sizeof *a);
	a->name = name;
	a->kmalloc = k;
	a->segments = segments;
	a->page = start.va >> PAGE_SHIFT;
	a->pages = size >> PAGE_SHIFT;
	a->ncpus = k->zones->ncpus;
	a->buckets = buckets_for(a->pages);
	waitq_init(&a->wait);
	a->bucket = kmalloc(k, a->buckets * sizeof *a->bucket);
	if (!a->bucket)
		return ERR_NOMEM;
	if (flags & KVA_NO_CACHE || caches_new(a))
		e = arena_init(a);
	if (e != OK) {
		kfree(k, a->cache_memory);
		kfree(k, a->bucket);
	}
	return e;
}

void kva_fini(struct kva *a)
{
	(void)kva_drain(a);
	arena_fini(a);
	kfree(a->kmalloc, a->cache_memory);
	kfree(a->kmalloc, a->bucket);
}

/* --- caches --- */

static uint64_t natural_align(uint64_t pages) { return pages & -pages; }

/* relaxed: read inside the gate, which orders it (see Completeness) */
static bool may_cache(const struct kva *a) { return atomic_load_relaxed(&a->hungry) == 0; }

/* A batch, or as much as there is; nobody else is inside. */
static enum error refill(struct kva *a, struct kva_cache *c, uint64_t pages)
{
	uint64_t page[KVA_BATCH];
	enum error why;
	unsigned n = arena_take(a, pages, natural_align(pages), 0, false, page, may_cache(a) ? KVA_BATCH : 1, &why);

	if (n == 0)
		return why;
	/* The lowest on top: what is used stays together. */
	for (unsigned i = n; i-- > 0;)
		c->range[pages - 1][c->count[pages - 1]++] = (uint32_t)(page[i] - a->page);
	return OK;
}

static enum error cache_get(struct kva *a, uint64_t pages, uint64_t *page)
{
	struct kva_cache *c = &a->cache[cpu_id()];
	enum error e = OK;

	gate_enter(&c->gate, RANK_KVA_CACHE);
	if (c->count[pages - 1] > 0)
		atomic_bump(&c->hits, 1); /* own CPU's */
	else
		e = refill(a, c, pages);
	if (e == OK)
		*page = a->page + c->range[pages - 1][--c->count[pages - 1]];
	gate_leave(&c->gate);
	return e;
}

/* The n ranges that have lain longest go to the arena. Inside the gate. */
static bool give_oldest(struct kva *a, struct kva_cache *c, uint64_t pages, uint32_t n)
{
	uint32_t *range = c->range[pages - 1];
	uint64_t page[KVA_BATCH];

	for (uint32_t i = 0; i < n; i++)
		page[i] = a->page + range[i];
	c->count[pages - 1] -= n;
	__builtin_memmove(range, range + n, c->count[pages - 1] * sizeof *range);
	return arena_give(a, page, n, pages);
}

/* Checked builds: a range of this arena, handed out like this, and not in this cache already. */
static void check_range(struct kva *a, struct kva_cache *c, uint64_t page, uint64_t pages)
{
	arena_assert_used(a, page, pages);
	for (uint32_t i = 0; i < c->count[pages - 1]; i++)
		if (a->page + c->range[pages - 1][i] == page)
			panic("kva: %lu pages at %#lx of arena %s are freed twice (CPU %u)", (unsigned long)pages,
			      (unsigned long)(page << PAGE_SHIFT), a->name, cpu_id());
}

/* => false: it did not go into the cache. *wake: somebody waits for room. */
static bool cache_put(struct kva *a, uint64_t page, uint64_t pages, bool *wake)
{
	struct kva_cache *c = &a->cache[cpu_id()];
	bool cached;

	gate_enter(&c->gate, RANK_KVA_CACHE);
	if (STRATA_CHECKED)
		check_range(a, c, page, pages);
	cached = may_cache(a);
	if (cached) {
		if (c->count[pages - 1] == KVA_KEEP)
			*wake = give_oldest(a, c, pages, KVA_BATCH);
		c->range[pages - 1][c->count[pages - 1]++] = (uint32_t)(page - a->page);
	}
	gate_leave(&c->gate);
	return cached;
}

uint64_t kva_drain(struct kva *a)
{
	uint64_t pages = 0;
	bool wake = false;

	for (uint32_t cpu = 0; a->cache && cpu < a->ncpus; cpu++) {
		struct kva_cache *c = &a->cache[cpu];

		gate_visit(&c->gate, RANK_KVA_CACHE);
		for (uint32_t i = 0; i < KVA_QUANTA; i++)
			while (c->count[i] > 0) {
				uint32_t n = c->count[i] < KVA_BATCH ? c->count[i] : KVA_BATCH;

				wake |= give_oldest(a, c, i + 1, n);
				pages += n * (i + 1);
			}
		gate_visit_end(&c->gate);
	}
	if (wake)
		(void)waitq_wake_all(&a->wait);
	return pages;
}

/* --- allocation --- */

static enum error take_one(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, bool want_wake,
			   uint64_t *page)
{
	enum error e;

	return arena_take(a, pages, align, flags, want_wake, page, 1, &e) ? OK : e;
}

static enum error wait_for_room(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, uint64_t *page)
{
	enum error e;

	rank_assert_may_wait();
	atomic_add_relaxed(&a->waits, UINT64_C(1)); /* a statistic */
	for (;;) {
		struct waiter w;

		wait_prepare(&a->wait, &w);
		e = take_one(a, pages, align, flags, true, page);
		if (e != ERR_NOSPACE) {
			wait_cancel(&a->wait, &w);
			return e;
		}
		e = wait_block(&a->wait, &w, false);
		ASSERT(e == OK); /* not interruptible */
	}
}

/* Nothing was found: with the caches emptied, and, if wanted, until there is room. */
static enum error search(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, uint64_t *page)
{
	enum error e;

	/* relaxed: carried to each CPU by the visit of its gate */
	atomic_add_relaxed(&a->hungry, 1u);
	(void)kva_drain(a);
	e = take_one(a, pages, align, flags, false, page);
	if (e == ERR_NOSPACE && flags & KVA_WAIT)
		e = wait_for_room(a, pages, align, flags, page);
	/* relaxed: who sees it early fills a cache beside our last look at the arena, not before it */
	atomic_sub_relaxed(&a->hungry, 1u);
	return e;
}

enum error kva_alloc(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, vaddr_t *out)
{
	/* Who wants to see allocations fail is to see those of tags too, though a cache needs none. */
	bool cacheable = a->cache && pages <= KVA_QUANTA && align <= natural_align(pages) && !(flags & KVA_BEST_FIT) &&
			 !frames_may_fail(a->kmalloc->frames);
	enum error e = ERR_NOSPACE;
	uint64_t page;

	ASSERT_CHECKED(pages > 0 && align > 0 && (align & (align - 1)) == 0);
	if (pages <= a->pages && align <= BIT(KVA_LISTS - 2)) {
		e = cacheable ? cache_get(a, pages, &page) : take_one(a, pages, align, flags, false, &page);
		if (UNLIKELY(e == ERR_NOSPACE))
			e = search(a, pages, align, flags, &page);
	}
	if (UNLIKELY(e != OK)) {
		atomic_add_relaxed(&a->failures, UINT64_C(1)); /* a statistic */
		return e;
	}
	*out = vaddr(page << PAGE_SHIFT);
	return OK;
}

void kva_free(struct kva *a, vaddr_t va, uint64_t pages)
{
	uint64_t page = va.va >> PAGE_SHIFT;
	bool wake = false;

	ASSERT(page - a->page < a->pages && pages > 0 && (va.va & PAGE_MASK) == 0);
	if (!(a->cache && pages <= KVA_QUANTA && page % natural_align(pages) == 0 && cache_put(a, page, pages, &wake)))
		wake |= arena_give(a, &page, 1, pages);
	if (UNLIKELY(wake))
		(void)waitq_wake_all(&a->wait);
}

/* --- looking --- */

/* Pages in caches. Visits each. */
static uint64_t cached_pages(struct kva *a, uint64_t *hits)
{
	uint64_t pages = 0;

	for (uint32_t cpu = 0; a->cache && cpu < a->ncpus; cpu++) {
		struct kva_cache *c = &a->cache[cpu];

		gate_visit(&c->gate, RANK_KVA_CACHE);
		for (uint32_t i = 0; i < KVA_QUANTA; i++)
			pages += c->count[i] * (i + UINT64_C(1));
		*hits += atomic_load_relaxed(&c->hits); /* a statistic */
		gate_visit_end(&c->gate);
	}
	return pages;
}

void kva_stats(struct kva *a, struct kva_stats *s)
{
	__builtin_memset(s, 0, sizeof *s);
	s->cached = cached_pages(a, &s->hits);
	spin_lock(&a->lock, RANK_KVA);
	s->pages = a->pages;
	s->used = a->pages - a->free_pages;
	s->largest = a->nonempty ? BIT(bit_highest(a->nonempty)) : 0;
	s->segments = a->count;
	s->allocs = a->allocs;
	spin_unlock(&a->lock);
	s->used -= s->cached < s->used ? s->cached : s->used;
	s->failures = atomic_load_relaxed(&a->failures); /* statistics, both */
	s->waits = atomic_load_relaxed(&a->waits);
}

void kva_check(struct kva *a)
{
	uint64_t hits = 0, cached = cached_pages(a, &hits);

	for (uint32_t cpu = 0; a->cache && cpu < a->ncpus; cpu++)
		for (uint32_t i = 0; i < KVA_QUANTA; i++)
			for (uint32_t k = 0; k < a->cache[cpu].count[i]; k++)
				arena_assert_used(a, a->page + a->cache[cpu].range[i][k], i + 1);
	arena_check(a, cached);
}
