/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/moves.c: mremap and brk.
 *
 * mremap wants one mapping: pages of one id are one, pages that differ
 * in what /proc/self/maps shows are not, about others the kernel may decide.
 */
#include "model.h"

#include <string.h>

/* --- mremap --- */

enum { M_MAYMOVE = 1, M_FIXED = 2, M_DONTUNMAP = 4 };

/* Are the pages of [start, end) one mapping? NO also when there is a hole. */
static int one_mapping(struct space *s, uint64_t start, uint64_t end)
{
	struct page *first = page_of(s, start);
	int answer = YES;

	for (uint64_t va = start; va < end; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (!p || !p->mapped || p->prot != first->prot || p->shared != first->shared ||
		    p->object != first->object || p->no_fork != first->no_fork || p->wipe != first->wipe ||
		    p->max != first->max)
			return NO;
		if (p->object >= 0 && p->index - first->index != (va - start) / PAGE_BYTES)
			return NO;
		if (p->locked != first->locked && p->locked != MAYBE && first->locked != MAYBE)
			return NO;
		if (p->id != first->id)
			answer = MAYBE;
	}
	return answer;
}

struct move {
	uint64_t old, old_length, new_length, to;
	uint64_t old_size, new_size;
	uint32_t flags;
	bool to_known; /* to is a place of ours */
};

static struct move pick_move(struct space *s)
{
	struct span x = pick_span(s), y = pick_span(s);
	struct move v = {
		.old = x.start, .old_length = (uint64_t)x.count * PAGE_BYTES, .flags = choose(s, 4) ? M_MAYMOVE : 0};
	uint32_t k = choose(s, 8);

	/* mostly of what is there */
	for (uint32_t i = 1; i < x.count && choose(s, 16); i++)
		if (!x.area->page[x.first + i].mapped || x.area->page[x.first + i].id != x.area->page[x.first].id) {
			v.old_length = (uint64_t)i * PAGE_BYTES;
			break;
		}
	v.new_length = k < 3 ? v.old_length : (1 + choose(s, PLACED_PAGES)) * (uint64_t)PAGE_BYTES;
	if (choose(s, 2)) {
		v.flags = M_MAYMOVE | M_FIXED;
		v.to = y.start;
		v.to_known = true;
	}
	if (choose(s, 8) == 0) {
		v.flags |= M_MAYMOVE | M_DONTUNMAP;
		v.new_length = v.old_length;
	}
	switch (choose(s, 40)) {
	case 0:
		v.old += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 1:
		v.old = odd_address(s);
		break;
	case 2:
	case 3:
		v.old_length = 0;
		break;
	case 4:
		v.new_length = 0;
		break;
	case 5:
		v.new_length = odd_length(s, v.old);
		break;
	case 6:
		v.to += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 7:
		v.to = odd_address(s);
		v.to_known = false;
		break;
	case 8:
		v.flags = choose(s, 2) ? choose(s, 8) : 8u << choose(s, 20) | choose(s, 8);
		break;
	case 9:
		v.old_length -= choose(s, PAGE_BYTES);
		v.new_length -= choose(s, PAGE_BYTES);
		break;
	case 10:
		v.to = v.old + PAGE_BYTES * choose(s, 4); /* onto itself */
		break;
	default:
		break;
	}
	if (!(v.flags & M_FIXED))
		v.to = 0;
	v.old_size = page_ceil(v.old_length);
	v.new_size = page_ceil(v.new_length);
	return v;
}

static struct errors move_errors(struct space *s, const struct move *v)
{
	struct errors e = {{0}};
	const struct page *p = page_of(s, v->old);
	bool to = v->flags & M_FIXED;

	if (v->flags & ~7u || (v->flags & (M_FIXED | M_DONTUNMAP) && !(v->flags & M_MAYMOVE)) ||
	    (v->flags & M_DONTUNMAP && v->old_length != v->new_length))
		add_error(&e, N_EINVAL);
	if (!aligned(v->old) || !v->new_size)
		add_error(&e, N_EINVAL);
	if (is_void(s, v->old) || (p && !p->mapped))
		add_error(&e, N_EFAULT);
	if (v->new_size > s->m->high) {
		add_error(&e, N_ENOMEM);
		add_error(&e, N_EINVAL);
		add_error(&e, N_EFAULT);
	}
	if ((v->old_length && !v->old_size) || v->old_size > s->m->high) {
		add_error(&e, N_EFAULT);
		add_error(&e, N_EINVAL);
	}
	if (to && (!aligned(v->to) || !in_user(s, v->to, v->new_size) ||
		   (v->to < v->old + v->old_size && v->old < v->to + v->new_size)))
		add_error(&e, N_EINVAL);
	if (!any_error(&e) && p && v->old_size == 0) {
		if (!p->shared)
			add_error(&e, N_EINVAL);
		else if (!(v->flags & M_MAYMOVE))
			add_error(&e, N_ENOMEM);
	}
	return e;
}

/* Pages of [from, ...) as they are, for the new place: old pages first, then as many fresh ones as there is room. */
static void lay(struct space *s, uint64_t to, uint64_t new_size, const struct page *was, uint64_t old_pages)
{
	uint32_t id = ++s->next_id;
	struct page last = was[old_pages ? old_pages - 1 : 0];

	for (uint64_t i = 0; i < new_size / PAGE_BYTES; i++) {
		struct page *p = page_of(s, to + i * PAGE_BYTES);

		if (i < old_pages) {
			*p = was[i];
		} else {
			uint32_t index = was[0].index + (uint32_t)i;

			*p = last;
			p->c = (struct content){.written = 0};
			p->own = NO;
			p->touched = p->locked == NO && p->object < 0 ? NO : MAYBE;
			p->index = p->object >= 0 ? index : 0;
			if (p->locked != NO)
				page_populated(s, p);
		}
		p->id = id;
		if (p->touched == NO)
			p->touched = MAYBE;
	}
}

static void clear_range(struct space *s, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE_BYTES)
		if (page_of(s, va))
			page_clear(page_of(s, va));
}

/* The mapping is at `to` now. */
static void moved(struct space *s, const struct move *v, uint64_t to)
{
	struct page was[WINDOW_PAGES];
	uint64_t old_pages = v->old_size / PAGE_BYTES, have = old_pages;
	bool second_view = old_pages == 0;

	for (uint64_t i = 0; i < (second_view ? 1 : old_pages); i++)
		was[i] = *page_of(s, v->old + i * PAGE_BYTES);
	if (have > v->new_size / PAGE_BYTES)
		have = v->new_size / PAGE_BYTES;
	if (!(v->flags & M_DONTUNMAP))
		clear_range(s, v->old, v->old + v->old_size);
	else
		for (uint64_t i = 0; i < old_pages; i++) {
			struct page *p = page_of(s, v->old + i * PAGE_BYTES);

			p->locked = MAYBE;
			p->c = (struct content){.written = 0};
			p->own = p->own == MAYBE ? MAYBE : NO;
			p->touched = MAYBE;
		}
	if (v->flags & M_DONTUNMAP)
		split(s, v->old, v->old + v->old_size);
	lay(s, to, v->new_size, was, second_view ? 0 : have);
}

/* What lies behind old, up to new_size: free for growth in place? YES, NO, MAYBE: not ours. */
static int room_behind(struct space *s, const struct move *v)
{
	int answer = YES;

	for (uint64_t va = v->old + v->old_size; va < v->old + v->new_size; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (p && p->mapped)
			return NO;
		if (!p)
			answer = MAYBE;
	}
	return answer;
}

static void shrink(struct space *s, const struct move *v)
{
	uint64_t start = v->old + v->new_size, end = v->old + v->old_size;
	struct errors e = {{0}};
	long got;

	if (!confined(s, start, end))
		return;
	got = make_call(s, CALL_MREMAP, (uint64_t[6]){v->old, v->old_length, v->new_length, v->flags, v->to});
	/* With nothing to do, whether all of it is one mapping may be looked at or not. */
	if (v->old_size == v->new_size && one_mapping(s, v->old, end) != YES) {
		add_error(&e, N_EFAULT);
		add_error(&e, N_EINVAL);
		if (has_error(&e, got))
			return;
	}
	if (out_of_memory(s, got))
		return;
	if (got != (long)v->old)
		fuzz_fail(s, "mremap to a shorter length gives %ld", got);
	clear_range(s, start, end);
	drop_areas(s);
	verify_page(s, v->old, page_of(s, v->old));
}

void do_mremap(struct space *s)
{
	struct move v = pick_move(s);
	struct errors e = move_errors(s, &v);
	bool to = v.flags & M_FIXED, keep = v.flags & M_DONTUNMAP, in_place, open_to;
	uint64_t head = v.old_size < v.new_size ? v.old_size : v.new_size;
	int one, room;
	long got;

	if (keep && v.old_size == v.new_size && v.old_length != v.new_length)
		return; /* the same length? open */
	if (edge(s, v.old, 0) || (to && edge(s, v.to, v.new_size)))
		return;
	if (!is_void(s, v.old) &&
	    (!page_of(s, v.old) || (!any_error(&e) && v.old_size && !confined(s, v.old, v.old + v.old_size))))
		return;
	if (to && !any_error(&e) && (!confined(s, v.to, v.to + v.new_size) || v.new_size > PLACED_PAGES * PAGE_BYTES))
		return;
	if (s->shared_quiet && page_of(s, v.old) && page_of(s, v.old)->locked != NO)
		return;
	if (any_error(&e)) {
		/* Kernels may clear the new place, or cut the end, before they find that. */
		if (confined(s, v.old, v.old) && (aligned(v.old) && v.old_size && v.old_size < s->m->high &&
						  !confined(s, v.old, v.old + v.old_size)))
			return;
		if (to && !is_void(s, v.to) && v.new_size < s->m->high && !confined(s, v.to, v.to + v.new_size))
			return;
		if (v.old_size > v.new_size && v.old_size > s->m->high)
			return;
		got = make_call(s, CALL_MREMAP, (uint64_t[6]){v.old, v.old_length, v.new_length, v.flags, v.to});
		must_fail(s, got, &e);
		if (to && v.new_size <= PLACED_PAGES * PAGE_BYTES)
			resync(s, v.to, v.to + v.new_size);
		return;
	}
	if (v.new_size > PLACED_PAGES * PAGE_BYTES || v.old_size > WINDOW_PAGES * PAGE_BYTES)
		return;
	if (!to && !keep && v.new_size <= v.old_size && v.old_size) {
		shrink(s, &v);
		return;
	}
	if (v.old_size == 0) {
		if (!to && !free_areas(s))
			return;
		one = YES;
		room = NO;
	} else {
		one = one_mapping(s, v.old, v.old + v.old_size);
		room = keep || to ? NO : room_behind(s, &v);
		if (one == NO && one_mapping(s, v.old, v.old + head) != NO && to)
			one = MAYBE;
	}
	if (!to && room != YES && (!free_areas(s) && v.flags & M_MAYMOVE))
		return;
	/* In place into what is not ours: only where the kernel placed it, and then the model has no room for it. */
	if (!to && room == MAYBE)
		return;
	if (one == NO && to && !s->m->strata)
		return; /* newer Linux moves several mappings at once */
	open_to = one != YES || (keep && (page_of(s, v.old)->shared || page_of(s, v.old)->object >= 0));
	got = make_call(s, CALL_MREMAP, (uint64_t[6]){v.old, v.old_length, v.new_length, v.flags, v.to});
	if (one != YES)
		add_error(&e, N_EFAULT);
	if (keep && (page_of(s, v.old)->shared || page_of(s, v.old)->object >= 0))
		add_error(&e, N_EINVAL);
	if (room == NO && !(v.flags & M_MAYMOVE))
		add_error(&e, N_ENOMEM);
	if (has_error(&e, got) || out_of_memory(s, got)) {
		if (to)
			resync(s, v.to, v.to + v.new_size);
		if ((to && v.old_size > v.new_size) || out_of_memory(s, got))
			resync(s, v.old, v.old + v.old_size);
		return;
	}
	if (one == NO || (room == NO && !(v.flags & M_MAYMOVE)) || (got < 0 && got > -4096))
		fuzz_fail(s, "mremap gives %ld; allowed are %#lx%s", got, (unsigned long)e.some[0],
			  open_to ? " and more" : "");
	in_place = !to && !keep && room == YES;
	if ((to && (uint64_t)got != v.to) || (in_place && (uint64_t)got != v.old))
		fuzz_fail(s, "mremap gives %#lx", (unsigned long)got);
	if (!to && !in_place && !placed(s, (uint64_t)got, (uint32_t)(v.new_size / PAGE_BYTES))) {
		clear_range(s, v.old, v.old + v.old_size);
		return;
	}
	moved(s, &v, (uint64_t)got);
	drop_areas(s);
	for (uint64_t va = (uint64_t)got; va < (uint64_t)got + v.new_size; va += PAGE_BYTES)
		if (choose(s, 2) || va == (uint64_t)got)
			verify_page(s, va, page_of(s, va));
	if (page_of(s, v.old))
		verify_page(s, v.old, page_of(s, v.old));
}

/* --- brk --- */

void do_brk(struct space *s)
{
	uint64_t top = s->area[1].base + (HEAP_PAGES - 2) * (uint64_t)PAGE_BYTES,
		 want = s->brk_low + choose(s, (uint32_t)(top - s->brk_low));
	uint64_t from = page_ceil(s->brk), to;
	bool open;
	long got;

	switch (choose(s, 12)) {
	case 0:
		want = 0;
		break;
	case 1:
		want = 1 + choose(s, 65536);
		break;
	case 2:
		want = odd_address(s);
		break;
	case 3:
		want = s->m->high + choose(s, 2);
		break;
	default:
		break;
	}
	got = make_call(s, CALL_BRK, (uint64_t[6]){want});
	to = page_ceil(want);
	if (want < s->brk_low || want > top) {
		if ((uint64_t)got != s->brk)
			fuzz_fail(s, "brk gives %#lx, not %#lx", (unsigned long)got, (unsigned long)s->brk);
		return;
	}
	/* The page behind the break may have to be free too. */
	open = to > from && !all_free(s, to, to + PAGE_BYTES);
	if (to > from && !all_free(s, from, to)) {
		if ((uint64_t)got != s->brk)
			fuzz_fail(s, "brk over a mapping gives %#lx", (unsigned long)got);
		return;
	}
	for (uint64_t va = to; va < from; va += PAGE_BYTES)
		open |= !page_of(s, va)->mapped; /* a heap with holes may refuse to shrink */
	if ((uint64_t)got == s->brk && (open || s->m->short_of_memory))
		return;
	if ((uint64_t)got != want)
		fuzz_fail(s, "brk gives %#lx, not %#lx", (unsigned long)got, (unsigned long)want);
	for (uint64_t va = from; va < to; va += PAGE_BYTES)
		*page_of(s, va) = (struct page){
			.known = true, .mapped = true, .prot = R | W, .max = 7, .object = -1, .id = ++s->next_id};
	for (uint64_t va = to; va < from; va += PAGE_BYTES)
		page_clear(page_of(s, va));
	s->brk = want;
	if (to > from)
		verify_page(s, to - PAGE_BYTES, page_of(s, to - PAGE_BYTES));
}
