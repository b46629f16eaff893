/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kva_arena.c: an arena as a list of segments.
 *
 * Structure. Each segment, free or in use, has a tag. The tags of an arena stand
 * in a list by address without gaps, so the neighbours of a range that is freed
 * are the neighbours of its tag, and what is free there is merged at once. Free
 * segments also stand in a list by size, segments in use in a hash table by
 * address:
 *
 *	order   [used 8][ free 24        ][used 2][used 2][ free 3 ]
 *	           |        |                |       |        |
 *	bucket     *        |                *       *        |
 *	free[n]             4: 16 .. 31                       1: 2 .. 3
 *
 * Instant fit: the segment of about that size that was freed last, or one of the first list that holds nothing too small, in
 * constant time whatever the arena looks like. Only when there is none, or for
 * KVA_BEST_FIT, the lists from the first possible one on are searched for the smallest that fits,
 * so that an allocation never fails while there is room.
 *
 * Invariants.
 *  1. The segments cover the arena, in order, without gap or overlap.
 *  2. No two neighbours are both free.
 *  3. A free segment of n pages is on free[log2 n], rounded down; nonempty says which lists are not empty.
 *  4. A segment in use is in the bucket of its page, and on no other list.
 *
 * Tags are taken before the lock, as many as may be needed, and given back
 * behind it: freeing needs none and cannot fail.
 *
 * Locking. kva.lock (RANK_KVA), for constant time but for that search and the chains of the table.
 * Memory order. The lock's. Failure. ERR_NOMEM without tags, ERR_NOSPACE without room.
 *
 * Source: J. Bonwick, J. Adams, Magazines and vmem (USENIX 2001).
 */
#include "vm/kva_arena.h"

#include "base/bits.h"

#define TAGS_MAX (2 * KVA_BATCH + 1)

static struct kva_segment *of_link(struct list *l) { return CONTAINER_OF(l, struct kva_segment, link); }
static struct kva_segment *of_order(struct list *l) { return CONTAINER_OF(l, struct kva_segment, order); }

/* Multiplication by 2^64 over the golden ratio spreads pages over the table's bits (Knuth, 6.4). */
static struct list *bucket_of(struct kva *a, uint64_t page)
{
	return &a->bucket[(page * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (a->buckets - 1)];
}

static void free_insert_locked(struct kva *a, struct kva_segment *s)
{
	unsigned n = bit_highest(s->pages);

	ASSERT_CHECKED(spin_held(&a->lock));
	s->used = false;
	list_push(&a->free[n], &s->link);
	a->nonempty |= BIT(n);
	a->free_pages += s->pages;
}

static void free_remove_locked(struct kva *a, struct kva_segment *s)
{
	unsigned n = bit_highest(s->pages);

	ASSERT_CHECKED(spin_held(&a->lock));
	list_remove(&s->link);
	if (list_empty(&a->free[n]))
		a->nonempty &= ~BIT(n);
	a->free_pages -= s->pages;
}

enum error arena_init(struct kva *a)
{
	struct kva_segment *s = zone_alloc(a->segments);

	if (!s)
		return ERR_NOMEM;
	spin_init(&a->lock);
	list_init(&a->order);
	for (unsigned i = 0; i < KVA_LISTS; i++)
		list_init(&a->free[i]);
	for (uint64_t i = 0; i < a->buckets; i++)
		list_init(&a->bucket[i]);
	s->page = a->page;
	s->pages = a->pages;
	list_append(&a->order, &s->order);
	spin_lock(&a->lock, RANK_KVA);
	free_insert_locked(a, s);
	a->count = 1;
	spin_unlock(&a->lock);
	return OK;
}

void arena_fini(struct kva *a)
{
	struct kva_segment *s = of_order(a->order.next);

	if (a->count != 1 || a->free_pages != a->pages)
		panic("kva: arena %s goes while %lu pages are in use", a->name,
		      (unsigned long)(a->pages - a->free_pages));
	zone_free(a->segments, s);
}

/* --- taking --- */

static bool fits(const struct kva_segment *s, uint64_t pages, uint64_t align)
{
	uint64_t start = round_up(s->page, align);

	return start + pages <= s->page + s->pages;
}

/* The smallest that fits of the first list that has one. */
static struct kva_segment *best_locked(struct kva *a, uint64_t pages, uint64_t align)
{
	for (uint64_t lists = a->nonempty & ~(BIT(bit_highest(pages)) - 1); lists; lists &= lists - 1) {
		struct kva_segment *best = NULL;

		LIST_FOR(it, &a->free[bit_lowest(lists)]) {
			struct kva_segment *s = of_link(it);

			if (fits(s, pages, align) && (!best || s->pages < best->pages))
				best = s;
		}
		if (best)
			return best;
	}
	return NULL;
}

/* One of the first list whose segments are all large enough, wherever they begin. */
static struct kva_segment *instant_locked(struct kva *a, uint64_t pages, uint64_t align)
{
	uint64_t lists = a->nonempty & ~(BIT(log2_ceil(pages + align - 1)) - 1);
	struct list *last = a->free[bit_highest(pages)].next;

	/* What was freed last has often the very size and place: addresses stay together, and so do their tables. */
	if (last != &a->free[bit_highest(pages)] && fits(of_link(last), pages, align))
		return of_link(last);
	return lists ? of_link(a->free[bit_lowest(lists)].next) : NULL;
}

/* Cuts n ranges out of the free segment s; tag[] has n + 1. => tags left over, at tag[]'s start. */
static unsigned cut_locked(struct kva *a, struct kva_segment *s, uint64_t pages, uint64_t align,
			   struct kva_segment **tag, unsigned tags, uint64_t *out, unsigned n)
{
	uint64_t start = round_up(s->page, align), end = s->page + s->pages;

	free_remove_locked(a, s);
	if (start > s->page) {
		struct kva_segment *front = tag[--tags];

		front->page = s->page;
		front->pages = start - s->page;
		list_append(&s->order, &front->order); /* before s */
		free_insert_locked(a, front);
		a->count++;
	}
	for (unsigned i = 0; i < n; i++, start += pages) {
		struct kva_segment *used = tag[--tags];

		used->page = out[i] = start;
		used->pages = pages;
		used->used = true;
		list_append(&s->order, &used->order);
		list_push(bucket_of(a, start), &used->link);
		a->count++;
	}
	if (start < end) {
		s->page = start;
		s->pages = end - start;
		free_insert_locked(a, s);
	} else {
		list_remove(&s->order);
		a->count--;
		tag[tags++] = s;
	}
	a->allocs += n;
	return tags;
}

unsigned arena_take(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, bool want_wake, uint64_t *out,
		    unsigned n, enum error *why)
{
	struct kva_segment *tag[TAGS_MAX], *s = NULL;
	unsigned tags = 0;

	ASSERT_CHECKED(n == 1 || (n <= KVA_BATCH && pages % align == 0));
	while (tags <= n && (tag[tags] = zone_alloc(a->segments)))
		tags++;
	*why = ERR_NOMEM;
	n = tags > 1 ? tags - 1 : 0;
	if (n) {
		spin_lock(&a->lock, RANK_KVA);
		if (n > 1 && !(s = instant_locked(a, n * pages, align)))
			n = 1;
		if (!s && !(flags & KVA_BEST_FIT))
			s = instant_locked(a, pages, align);
		if (!s)
			s = best_locked(a, pages, align);
		if (s) {
			tags = cut_locked(a, s, pages, align, tag, tags, out, n);
		} else {
			*why = ERR_NOSPACE;
			n = 0;
			a->waited_for |= want_wake;
		}
		spin_unlock(&a->lock);
	}
	while (tags > 0)
		zone_free(a->segments, tag[--tags]);
	return n;
}

/* --- giving back --- */

static struct kva_segment *find_used_locked(struct kva *a, uint64_t page, uint64_t pages)
{
	LIST_FOR(it, bucket_of(a, page)) {
		struct kva_segment *s = of_link(it);

		if (s->page == page && s->pages == pages)
			return s;
	}
	panic("kva: %lu pages at %#lx are not what arena %s gave (CPU %u)", (unsigned long)pages,
	      (unsigned long)(page << PAGE_SHIFT), a->name, cpu_id());
}

void arena_assert_used(struct kva *a, uint64_t page, uint64_t pages)
{
	spin_lock(&a->lock, RANK_KVA);
	(void)find_used_locked(a, page, pages);
	spin_unlock(&a->lock);
}

/* s, not free any more or never yet, swallows its neighbour. */
static struct kva_segment *merge_locked(struct kva *a, struct kva_segment *s, struct kva_segment *neighbour)
{
	free_remove_locked(a, neighbour);
	if (neighbour->page < s->page)
		s->page = neighbour->page;
	s->pages += neighbour->pages;
	list_remove(&neighbour->order);
	a->count--;
	return neighbour;
}

/* => tags that are no longer needed. */
static unsigned give_locked(struct kva *a, uint64_t page, uint64_t pages, struct kva_segment **tag)
{
	struct kva_segment *s = find_used_locked(a, page, pages);
	struct list *previous = s->order.prev, *next = s->order.next;
	unsigned tags = 0;

	list_remove(&s->link);
	if (previous != &a->order && !of_order(previous)->used)
		tag[tags++] = merge_locked(a, s, of_order(previous));
	if (next != &a->order && !of_order(next)->used)
		tag[tags++] = merge_locked(a, s, of_order(next));
	free_insert_locked(a, s);
	a->frees++;
	return tags;
}

bool arena_give(struct kva *a, const uint64_t *page, unsigned n, uint64_t pages)
{
	struct kva_segment *tag[TAGS_MAX];
	unsigned tags = 0;
	bool wake;

	ASSERT_CHECKED(n <= KVA_BATCH);
	spin_lock(&a->lock, RANK_KVA);
	for (unsigned i = 0; i < n; i++)
		tags += give_locked(a, page[i], pages, tag + tags);
	wake = a->waited_for;
	a->waited_for = false;
	spin_unlock(&a->lock);
	while (tags > 0)
		zone_free(a->segments, tag[--tags]);
	return wake;
}

/* --- checks --- */

static void check_segment(struct kva *a, const struct kva_segment *s)
{
	const struct list *home = s->used ? bucket_of(a, s->page) : &a->free[bit_highest(s->pages)];
	bool found = false;

	LIST_FOR(it, (struct list *)home)
		found |= it == &s->link;
	ASSERT(found);
}

void arena_check(struct kva *a, uint64_t cached)
{
	uint64_t at = a->page, free_pages = 0, count = 0, nonempty = 0;
	bool was_free = false;

	spin_lock(&a->lock, RANK_KVA);
	LIST_FOR(it, &a->order) {
		const struct kva_segment *s = of_order(it);

		ASSERT(s->page == at && s->pages > 0);
		ASSERT(s->used || !was_free);
		check_segment(a, s);
		was_free = !s->used;
		free_pages += s->used ? 0 : s->pages;
		at += s->pages;
		count++;
	}
	ASSERT(at == a->page + a->pages && free_pages == a->free_pages && count == a->count);
	for (unsigned i = 0; i < KVA_LISTS; i++)
		nonempty |= list_empty(&a->free[i]) ? 0 : BIT(i);
	ASSERT(nonempty == a->nonempty);
	ASSERT(cached <= a->pages - free_pages);
	spin_unlock(&a->lock);
}

bool kva_find(const struct kva *a, vaddr_t va, struct vrange *r, bool *used)
{
	LIST_FOR(it, (struct list *)&a->order) {
		const struct kva_segment *s = of_order(it);

		if ((va.va >> PAGE_SHIFT) - s->page >= s->pages)
			continue;
		*r = vrange(s->page << PAGE_SHIFT, (s->page + s->pages) << PAGE_SHIFT);
		*used = s->used;
		return true;
	}
	return false;
}
