/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/entry_list.c: a skip list of map entries.
 *
 * Purpose. Faults look an entry up with no lock while mutators change the map, and a change costs a few stores, in the entries
 * beside it only.
 *
 * Structure. Every entry is on level 0, a quarter of those of a level on the next one too. How high an entry reaches is drawn from a
 * hash of its start address and a secret: without the secret a program could choose addresses that make the list flat. So
 * an entry that comes in the place of one with the same start has the same height.
 *
 *      level 1   head -------------> [b] ----------------> NULL
 *      level 0   head ---> [a] ----> [b] ---> [c] -------> NULL
 *      gap       |- 5 -|   |- 0 -|   |- 9 -|  |-- 30 --|       level 0: the free stretch after each
 *                |----- <= 5 ----|   |----- <= 30 -----|       level 1: a bound for what the link spans
 *
 * A link is changed in place, by one store; links of an entry that was taken out stay as they are, and lead back into the list.
 *
 * Why a walk without a lock goes right. It moves to entries that start at or before va, and answers with the last of them, p, if
 * that covers va, else with the one behind. Let something cover va from the walk's begin to its end.
 *
 *  (a) By a single entry e: from any entry that was in the list at some moment of the walk and starts no later than e, links
 *      of level 0 lead to e: when x is taken out, its links lead to what follows then, and so on. Nothing between e and va starts
 *      in the list while e is there, and what did before ended before e came, or was taken out before: a walk that reaches e ends there.
 *  (b) By an old entry, then by a new one, in one exchange: it goes in the order
 *          link      new entries whose start no old one has, from the highest address down
 *          replace   those that start where an old one does
 *          unlink    the old ones that are left, from the lowest address up
 *      so that at every step the last entry that starts at or before va is the old or the new one that covers it: while links
 *      are made, the new ones there are start above va, or cover it; an old one leaves only when all new ones are there, and
 *      no other old one lies between it and va's new entry any more. A walk that goes by entries that were taken out sees
 *      their links as of that moment, or later ones.
 *      Who finds the old one finds it dead, or did so before it died.
 *  If nothing covers va all the time, both answers were right at some moment of the walk.
 *
 * Invariants.
 *  1. Ranges in order, disjoint, outside of exchanges.
 *  2. An entry is on the levels below its height, in the same order on each.
 *  3. gap[0] of an entry is the free stretch after it; growth room (floor) counts as taken. gap[i] is a bound: no stretch that
 *     its link of level i spans is longer. So what makes a stretch shorter looks at nothing above it; a search for room that follows a
 *     bound in vain puts it right. Nor is it smaller than any gap[i-1] that its link spans, by which a stretch that comes about is passed upwards
 *     only as far as it has to be. Between the steps of an exchange this holds for the list as it is linked then; only who has the lock reads it.
 *  4. levels is at least the greatest height of those in the list.
 *  5. place says, on every level, what is before place.start: what is changed lies there, and not before it.
 *
 * Locking. The owner's lock for all changes, the places, gaps. An entry's links and gaps before it is published: who made it.
 *
 * Memory order. Stores of links to published entries are seq_cst and pair with the seq_cst loads of walks (the epoch
 * protocol needs that of the first one, sync/epoch.c; on Arm it costs nothing): what an entry says is written before it is linked.
 *
 * Failure. None: an entry brings its links with it.
 *
 * Sources: W. Pugh, Skip lists: a probabilistic alternative to balanced trees (1990); for walks through what was
 * taken out, M. Herlihy et al., A simple optimistic skiplist algorithm (2007).
 */
#include "vm/entry_list.h"

#include "base/assert.h"
#include "base/bits.h"

/* From 1, with 1/4 of the probability each more. */
static unsigned height(const struct entry_list *l, uint64_t start)
{
	uint64_t z = (start >> PAGE_SHIFT) + l->secret; /* then splitmix64's mixing steps, the secret once more between */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z = (z ^ (z >> 31)) + l->secret;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return 1 + bit_lowest(z | BIT(2 * (ENTRY_LEVELS - 1))) / 2;
}

/* For who has the lock: it orders the stores before. */
static inline struct vm_entry *link_of(const struct vm_entry *e, unsigned i) { return atomic_load_relaxed(&e->next[i]); }

/* Of a published entry: see the theory. */
static inline void link_set(struct vm_entry *e, unsigned i, struct vm_entry *n) { atomic_store_seq_cst(&e->next[i], n); }

void entry_list_init(struct entry_list *l, uint64_t secret, uint64_t end)
{
	atomic_store_relaxed(&l->levels, 1u); /* not published yet, all */
	l->secret = secret;
	l->end = end;
	l->place.start = 0;
	l->room = NULL;
	atomic_store_relaxed(&l->entries, UINT64_C(0));
	l->head.range = vrange(0, 0);
	l->head.floor = 0;
	for (unsigned i = 0; i < ENTRY_LEVELS; i++) {
		atomic_store_relaxed(&l->head.next[i], NULL);
		l->head.gap[i] = end;
		l->place.before[i] = &l->head;
	}
}

void entry_list_seek(struct entry_list *l, uint64_t start)
{
	struct vm_entry *e = &l->head, *n;
	unsigned i = atomic_load_relaxed(&l->levels);

	l->place.start = start;
	while (i-- > 0) {
		while ((n = link_of(e, i)) && n->range.start.va < start)
			e = n;
		l->place.before[i] = e;
	}
}

/* --- gaps --- */

/* Free stretch between an end and a following floor, which may overlap when growth room was mapped over. */
static inline uint64_t stretch(uint64_t end, uint64_t floor) { return floor > end ? floor - end : 0; }

/* After e, on level 0. */
static inline uint64_t free_after(const struct entry_list *l, const struct vm_entry *e)
{
	const struct vm_entry *n = link_of(e, 0);

	return stretch(e->range.end.va, n ? n->floor : l->end);
}

/* A bound for level i by those of the level below. */
static uint64_t spanned(const struct vm_entry *e, unsigned i)
{
	const struct vm_entry *end = link_of(e, i);
	uint64_t best = 0;

	for (; e != end; e = link_of(e, i - 1))
		if (e->gap[i - 1] > best)
			best = e->gap[i - 1];
	return best;
}

/* There is such a stretch after b now. */
static inline void room_behind(struct entry_list *l, const struct vm_entry *b, uint64_t gap)
{
	if (l->room && gap >= l->room_size && b->range.start.va > l->room->range.start.va)
		l->room = NULL;
}

/* A stretch of that size has come about after b, which is at the place, or is n, of height h, which begins there: the links above span it. */
static inline void allow(struct entry_list *l, const struct vm_entry *b, struct vm_entry *n, unsigned h, uint64_t gap)
{
	unsigned levels = atomic_load_relaxed(&l->levels);

	room_behind(l, b, gap);

	for (unsigned i = 1; i < levels; i++) {
		struct vm_entry *e = i < h ? n : l->place.before[i];

		if (e->gap[i] >= gap)
			return; /* and so are those above */
		e->gap[i] = gap;
	}
}

/* --- changes --- */

/* More levels: the head spans all of the list on them. */
static NOINLINE void raise(struct entry_list *l, unsigned h)
{
	for (unsigned i = atomic_load_relaxed(&l->levels); i < h; i++) {
		l->head.gap[i] = l->end; /* the place's head is there from the beginning */
		atomic_store_relaxed(&l->levels, i + 1); /* the level is empty: who starts there loses nothing */
	}
}

static inline void place_at(struct entry_list *l, uint64_t start)
{
	if (l->place.start != start)
		entry_list_seek(l, start);
}

void entry_list_link(struct entry_list *l, struct vm_entry *n)
{
	unsigned h = height(l, n->range.start.va);
	struct vm_entry *b;
	uint64_t was;

	n->height = (uint8_t)h;
	place_at(l, n->range.start.va);
	if (UNLIKELY(h > atomic_load_relaxed(&l->levels)))
		raise(l, h);
	for (unsigned i = 0; i < h; i++) {
		b = l->place.before[i];
		atomic_store_relaxed(&n->next[i], link_of(b, i)); /* not published yet */
		n->gap[i] = b->gap[i];
	}
	for (unsigned i = 0; i < h; i++)
		link_set(l->place.before[i], i, n);
	b = l->place.before[0];
	was = b->gap[0];
	b->gap[0] = free_after(l, b);
	n->gap[0] = free_after(l, n);
	if (UNLIKELY(n->gap[0] > 0)) /* it has cut one in two */
		room_behind(l, n, n->gap[0]);
	if (UNLIKELY(b->gap[0] > was || n->gap[0] > was)) { /* the following one's growth room has been mapped over */
		allow(l, b, NULL, 0, b->gap[0]);
		allow(l, n, n, h, n->gap[0]);
	}
	atomic_bump(&l->entries, 1);
}

void entry_list_unlink(struct entry_list *l, struct vm_entry *o)
{
	unsigned h = o->height;
	struct vm_entry *b;

	place_at(l, o->range.start.va);
	for (unsigned i = h; i-- > 0;) {
		b = l->place.before[i];
		link_set(b, i, link_of(o, i));
		if (o->gap[i] > b->gap[i])
			b->gap[i] = o->gap[i];
	}
	b = l->place.before[0];
	b->gap[0] = free_after(l, b);
	if (UNLIKELY(o == l->room))
		l->room = NULL;
	allow(l, b, NULL, 0, b->gap[0]);
	atomic_bump(&l->entries, -UINT64_C(1));
}

void entry_list_replace(struct entry_list *l, struct vm_entry *o, struct vm_entry *n)
{
	unsigned h = o->height;
	struct vm_entry *b;

	n->height = o->height;
	place_at(l, n->range.start.va);
	for (unsigned i = 0; i < h; i++) {
		atomic_store_relaxed(&n->next[i], link_of(o, i)); /* not published yet */
		n->gap[i] = o->gap[i];
	}
	for (unsigned i = 0; i < h; i++)
		link_set(l->place.before[i], i, n);
	if (UNLIKELY(o == l->room))
		l->room = n;
	if (n->range.end.va != o->range.end.va) {
		n->gap[0] = free_after(l, n);
		if (n->gap[0] > o->gap[0])
			allow(l, n, n, h, n->gap[0]);
	}
	if (UNLIKELY(n->floor != o->floor)) {
		b = l->place.before[0];
		b->gap[0] = free_after(l, b);
		allow(l, b, NULL, 0, b->gap[0]);
	}
}

/* Who comes where: twin of each is who starts at the same address on the other side, or NULL. */
static void pair_up(struct vm_entry *o, struct vm_entry *n)
{
	while (o || n) {
		if (o && n && o->range.start.va == n->range.start.va) {
			o->edit_twin = n;
			n->edit_twin = o;
			o = o->edit_next;
			n = n->edit_next;
		} else if (o && (!n || o->range.start.va < n->range.start.va)) {
			o->edit_twin = NULL;
			o = o->edit_next;
		} else {
			n->edit_twin = NULL;
			n = n->edit_next;
		}
	}
}

static struct vm_entry *reversed(struct vm_entry *e)
{
	struct vm_entry *last = NULL, *next;

	for (; e; e = next) {
		next = e->edit_next;
		e->edit_next = last;
		last = e;
	}
	return last;
}

void entry_list_arrive(struct entry_list *l, struct vm_entry *old, struct vm_entry *new)
{
	struct vm_entry *down;

	pair_up(old, new);
	down = reversed(new);
	for (struct vm_entry *n = down; n; n = n->edit_next)
		if (!n->edit_twin)
			entry_list_link(l, n);
	(void)reversed(down);
	for (struct vm_entry *n = new; n; n = n->edit_next)
		if (n->edit_twin)
			entry_list_replace(l, n->edit_twin, n);
}

void entry_list_leave(struct entry_list *l, struct vm_entry *old)
{
	for (struct vm_entry *o = old; o; o = o->edit_next)
		if (!o->edit_twin)
			entry_list_unlink(l, o);
}

/* Ends the links of level i that reach n, or all, n being NULL. */
static void close_link(const struct entry_list *l, struct vm_entry *before, unsigned i, struct vm_entry *n)
{
	atomic_store_relaxed(&before->next[i], n); /* not published yet */
	before->gap[i] = i ? spanned(before, i) : free_after(l, before);
}

void entry_list_fill(struct entry_list *l, struct vm_entry *new)
{
	struct vm_entry *last[ENTRY_LEVELS];
	unsigned levels = 1;

	for (unsigned i = 0; i < ENTRY_LEVELS; i++)
		last[i] = &l->head;
	for (struct vm_entry *n = new; n; n = n->edit_next) {
		if (!n->height)
			n->height = (uint8_t)height(l, n->range.start.va);
		if (n->height > levels)
			levels = n->height;
		for (unsigned i = 0; i < n->height; i++) {
			close_link(l, last[i], i, n);
			last[i] = n;
		}
		atomic_bump(&l->entries, 1);
	}
	for (unsigned i = 0; i < levels; i++)
		close_link(l, last[i], i, NULL);
	atomic_store_relaxed(&l->levels, levels); /* not published yet */
}

/* --- asking --- */

/* The last link of level i from e on, up to stop, that may span a stretch of size and begins below end; NULL: none does. */
static inline struct vm_entry *last_wide(struct vm_entry *e, const struct vm_entry *stop, unsigned i, uint64_t end, uint64_t size)
{
	struct vm_entry *best = NULL;

	for (; e != stop && e->range.end.va < end; e = link_of(e, i))
		if (e->gap[i] >= size)
			best = e;
	return best;
}

/* The stretch after e, if size of it lie in in. */
static bool fits(const struct entry_list *l, const struct vm_entry *e, struct vrange in, uint64_t size, uint64_t *addr)
{
	const struct vm_entry *n = link_of(e, 0);
	uint64_t lo = e->range.end.va, hi = n ? n->floor : l->end;

	lo = lo > in.start.va ? lo : in.start.va;
	hi = hi < in.end.va ? hi : in.end.va;
	if (hi < lo || hi - lo < size)
		return false;
	*addr = hi - size;
	return true;
}

/* The highest address within in of a stretch between e and stop, by the links of level i. Bounds that promised too much are mended. */
static NOINLINE bool gap_from(const struct entry_list *l, struct vm_entry *e, const struct vm_entry *stop, unsigned i, struct vrange in,
			      uint64_t size, uint64_t *addr)
{
	struct vm_entry *best;

	for (; (best = last_wide(e, stop, i, in.end.va, size)); stop = best) {
		const struct vm_entry *n = link_of(best, i);

		if (n && n->floor <= in.start.va)
			return false; /* what it spans, and what comes before it, ends there */
		if (i == 0 ? fits(l, best, in, size, addr)
			   : gap_from(l, best, link_of(best, i), i - 1, in, size, addr)) /* as deep as there are levels */
			return true;
		if (i > 0)
			best->gap[i] = spanned(best, i);
	}
	return false;
}

/* The way down, which is mostly right: the last link that promises enough keeps it. */
static struct vm_entry *last_promising(struct entry_list *l, uint64_t end, uint64_t size)
{
	unsigned i = atomic_load_relaxed(&l->levels);
	struct vm_entry *e = &l->head, *stop = NULL;

	while (i-- > 0 && e) {
		e = last_wide(e, stop, i, end, size);
		stop = e ? link_of(e, i) : NULL;
	}
	return e;
}

bool entry_list_gap(struct entry_list *l, struct vrange bounds, uint64_t size, uint64_t *addr)
{
	struct vm_entry *e;

	if (l->room && l->room_size <= size && l->room_end == bounds.end.va && fits(l, l->room, bounds, size, addr))
		return true;
	e = last_promising(l, bounds.end.va, size);
	if (LIKELY(e && fits(l, e, bounds, size, addr))) {
		l->room = e;
		l->room_size = size;
		l->room_end = bounds.end.va;
		return true;
	}
	return gap_from(l, &l->head, NULL, atomic_load_relaxed(&l->levels) - 1, bounds, size, addr);
}

static void check_gap(const struct entry_list *l, const struct vm_entry *e, unsigned i)
{
	const struct vm_entry *end = link_of(e, i);

	ASSERT(i > 0 || e->gap[0] == free_after(l, e));
	for (const struct vm_entry *at = e; at != end; at = link_of(at, 0))
		ASSERT(e->gap[i] >= free_after(l, at));
}

bool entry_list_is_free(struct entry_list *l, struct vrange r)
{
	const struct vm_entry *b = entry_list_before(l, r.start.va), *n = entry_list_after(b);

	return b->range.end.va <= r.start.va && (!n || n->floor >= r.end.va) && r.end.va <= l->end;
}

void entry_list_check(const struct entry_list *l)
{
	unsigned levels = atomic_load_relaxed(&l->levels); /* quiet point, all */
	const struct vm_entry *at[ENTRY_LEVELS];
	uint64_t count = 0, end = 0;

	for (unsigned i = 0; i < ENTRY_LEVELS; i++) {
		at[i] = link_of(&l->head, i);
		ASSERT(i < levels || !at[i]);
		check_gap(l, &l->head, i);
	}
	for (const struct vm_entry *e = at[0]; e; e = link_of(e, 0)) {
		unsigned h = height(l, e->range.start.va);

		ASSERT(h == e->height && h <= levels && entry_live(e));
		ASSERT(e->range.start.va >= end && e->range.end.va > e->range.start.va && e->range.end.va <= l->end);
		end = e->range.end.va;
		for (unsigned i = 0; i < h; i++) {
			ASSERT(at[i] == e);
			check_gap(l, e, i);
			at[i] = link_of(e, i);
		}
		count++;
	}
	for (unsigned i = 0; i < levels; i++)
		ASSERT(!at[i]);
	ASSERT(count == atomic_load_relaxed(&l->entries));
}
