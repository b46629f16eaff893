/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/calls.c: one random call on what is mapped already, and its judgement.
 *
 * Each do_ function makes up arguments, mostly sensible, sometimes twisted; collects the
 * errors that apply; leaves out calls whose effect would reach foreign pages;
 * makes the call; and brings the model to what must be true now. Then the range
 * and its edges are looked at.
 *
 * A call that stops at a hole (mprotect) has done its work up to there; one that
 * goes on behind it (madvise) has done all of it: as the manual pages say.
 */
#include "model.h"

#include <string.h>

/* --- arguments --- */

struct span pick_span(struct space *s)
{
	struct span x = {.area = &s->area[0]};
	uint32_t k = choose(s, 8);

	if (k >= 6) {
		struct area *a = &s->area[1 + choose(s, AREAS - 1)];

		if (a->pages)
			x.area = a;
	}
	x.first = choose(s, x.area->pages);
	x.count = 1 + choose(s, choose(s, 4) ? 6 : x.area->pages);
	if (x.count > x.area->pages - x.first)
		x.count = x.area->pages - x.first;
	x.start = x.area->base + (uint64_t)x.first * PAGE_BYTES;
	return x;
}

uint64_t odd_address(struct space *s)
{
	static const uint64_t odd[] = {
		UINT64_C(0xffff000000000000), UINT64_C(0xffff800000000000), UINT64_C(0xffff000040000000),
		UINT64_C(0xfffffffffffff000), UINT64_C(0x00f0000000000000), UINT64_C(0x0008000000000000),
		UINT64_C(0x0010000000000000), UINT64_C(0xfffffffffffff001), UINT64_C(0x7ffffffffffff000),
	};
	uint32_t k = choose(s, 9);

	return k == 8 ? odd[8] + choose(s, 2) : odd[k];
}

uint64_t odd_length(struct space *s, uint64_t start)
{
	switch (choose(s, 8)) {
	case 0:
		return UINT64_MAX;
	case 1:
		return UINT64_MAX - choose(s, PAGE_BYTES);
	case 2:
		return -start; /* ends at 0 */
	case 3:
		return -start + PAGE_BYTES * (1 + choose(s, 3)); /* wraps around */
	case 4:
		return UINT64_C(1) << 63;
	case 5:
		return (UINT64_C(1) << 63) + PAGE_BYTES;
	case 6:
		return UINT64_MAX - PAGE_BYTES + 1 - start + 1; /* rounds up to the wrap */
	default:
		return s->m->high + PAGE_BYTES * (1 + choose(s, 4));
	}
}

uint64_t new_value(struct space *s) { return s->tag++ | 1; }

struct range range_of(uint64_t start, uint64_t length)
{
	struct range r = {.start = start, .length = length, .size = page_ceil(length)};

	r.end = start + r.size;
	r.wraps = (length && !r.size) || r.end < start;
	return r;
}

struct range pick_range(struct space *s)
{
	struct span x = pick_span(s);
	uint64_t start = x.start, length = (uint64_t)x.count * PAGE_BYTES;

	switch (choose(s, 24)) {
	case 0:
		start += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 1:
		length = 0;
		break;
	case 2:
		length = odd_length(s, start);
		break;
	case 3:
		start = odd_address(s);
		break;
	case 4:
	case 5:
		length -= choose(s, PAGE_BYTES); /* rounded up again */
		break;
	case 6:
		start = odd_address(s);
		length = odd_length(s, start);
		break;
	default:
		break;
	}
	return range_of(start, length);
}

/* --- judging --- */

bool out_of_memory(struct space *s, long result)
{
	return s->m->short_of_memory && (result == -N_ENOMEM || result == -N_EAGAIN);
}

void must_fail(struct space *s, long result, const struct errors *e)
{
	if (!has_error(e, result) && !out_of_memory(s, result))
		fuzz_fail(s, "the call gives %ld; it must fail with one of %#lx", result, (unsigned long)e->some[0]);
}

void must_give(struct space *s, long result, long want)
{
	if (result != want)
		fuzz_fail(s, "the call gives %ld, not %ld", result, want);
}

/* Pages at the edges of a range and one inside. */
void look_around(struct space *s, uint64_t start, uint64_t end)
{
	uint64_t at[4] = {start - PAGE_BYTES, start, end - PAGE_BYTES, end};

	for (unsigned i = 0; i < 4; i++) {
		struct page *p = page_of(s, at[i]);

		if (p && choose(s, 4))
			verify_page(s, at[i] & ~(uint64_t)(PAGE_BYTES - 1), p);
	}
}

/* The first hole in [start, end), or end. Foreign: *unknown. */
uint64_t first_hole(struct space *s, uint64_t start, uint64_t end, bool *unknown)
{
	*unknown = false;
	for (uint64_t va = start; va < end; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (is_void(s, va) || (p && !p->mapped))
			return va;
		if (!p) {
			*unknown = true;
			return va;
		}
	}
	return end;
}

/* --- munmap --- */

static void do_munmap(struct space *s)
{
	struct range r = pick_range(s);
	struct errors e = {{0}};
	long got;

	if (!aligned(r.start) || !r.size || r.wraps || !in_user(s, r.start, r.size))
		add_error(&e, N_EINVAL);
	if (edge(s, r.start, r.size) || (!any_error(&e) && !confined(s, r.start, r.end)))
		return;
	got = make_call(s, CALL_MUNMAP, (uint64_t[6]){r.start, r.length});
	if (any_error(&e)) {
		must_fail(s, got, &e);
		return;
	}
	if (out_of_memory(s, got))
		return; /* nothing is done then */
	must_give(s, got, 0);
	for (uint64_t va = r.start; va < r.end; va += PAGE_BYTES)
		page_clear(page_of(s, va));
	drop_areas(s);
	look_around(s, r.start, r.end);
}

/* --- mprotect --- */

#define GROWS_DOWN 0x01000000u
#define GROWS_UP 0x02000000u

static void do_mprotect(struct space *s)
{
	static const uint8_t usual[] = {R | W, R | W, R, 0, R | X, W, X, R | W | X};
	struct range r = pick_range(s);
	uint32_t prot = usual[choose(s, 8)], odd = choose(s, 24);
	bool unknown, empty, tried_read_only = false;
	struct errors e = {{0}};
	uint64_t upto;
	long got;

	if (odd == 0)
		prot |= 0x40u << choose(s, 12);
	else if (odd == 1)
		prot |= GROWS_DOWN;
	else if (odd == 2)
		prot |= GROWS_DOWN | GROWS_UP;
	else if (odd == 3)
		prot |= 8; /* PROT_SEM means nothing */
	if (!aligned(r.start) || (prot & (GROWS_DOWN | GROWS_UP)) == (GROWS_DOWN | GROWS_UP))
		add_error(&e, N_EINVAL);
	empty = r.length == 0;
	if (!empty && (r.wraps || !in_user(s, r.start, r.size)))
		add_error(&e, N_ENOMEM);
	if (!empty && (prot & ~(7u | 8u | GROWS_DOWN | GROWS_UP)))
		add_error(&e, N_EINVAL);
	if (!empty && (prot & GROWS_DOWN)) { /* nothing here grows */
		add_error(&e, N_EINVAL);
		add_error(&e, N_ENOMEM);
	}
	if (edge(s, r.start, empty ? 0 : r.size))
		return;
	/* Work is done up to the first hole, or the first page that may not be written. */
	upto = r.start;
	if (!empty && aligned(r.start) && !r.wraps) {
		upto = first_hole(s, r.start, r.end, &unknown);
		if (unknown && !any_error(&e))
			return;
		if (unknown && !is_void(s, r.start) && !(prot & ~15u))
			return; /* it might do its work up to beyond what we know */
	}
	for (uint64_t va = r.start; va < upto; va += PAGE_BYTES)
		if (prot & 7 & ~page_of(s, va)->max) {
			upto = va;
			tried_read_only = true;
		}
	if (!empty && upto < r.end)
		add_error(&e, tried_read_only ? N_EACCES : N_ENOMEM);
	got = make_call(s, CALL_MPROTECT, (uint64_t[6]){r.start, r.length, prot});
	if (!empty && aligned(r.start) && upto > r.start)
		split(s, r.start, upto);
	if (any_error(&e))
		must_fail(s, got, &e);
	else if (!out_of_memory(s, got))
		must_give(s, got, 0);
	if (!aligned(r.start) || prot & ~15u || r.wraps)
		return;
	/* A range that leaves user space: whether what lies before is done is open. */
	if ((s->m->short_of_memory && got == -N_ENOMEM) || !in_user(s, r.start, r.size)) {
		resync(s, r.start, upto);
	} else {
		for (uint64_t va = r.start; va < upto; va += PAGE_BYTES)
			page_of(s, va)->prot = prot & 7;
	}
	look_around(s, r.start, upto);
}

/* --- accesses --- */

static void do_store(struct space *s)
{
	struct span x = pick_span(s);

	for (uint32_t i = 0; i < x.count; i++) {
		struct page *p = &x.area->page[x.first + i];
		uint64_t va = x.start + (uint64_t)i * PAGE_BYTES, value = new_value(s);
		unsigned slot = choose(s, SLOTS), allowed;
		struct log *l;
		enum access a;

		if (!p->known || (s->shared_quiet && p->mapped && p->object >= 0))
			continue;
		if (choose(s, 4) == 0) {
			verify_page(s, va, p);
			continue;
		}
		allowed = page_access(s, p, W);
		a = s->m->store(s, va + slot_offset(slot), value);
		l = log_next(s, LOG_STORE);
		l->a[0] = va + slot_offset(slot);
		l->a[1] = value;
		l->result = -(long)a;
		if (!(allowed >> a & 1))
			fuzz_fail(s, "store to %#lx ends in %u; allowed are %#x", (unsigned long)va, a, allowed);
		if (a == ACCESS_OK)
			page_stored(s, p, slot, value);
	}
}

static void do_verify(struct space *s)
{
	struct span x = pick_span(s);

	for (uint32_t i = 0; i < x.count; i++)
		if (x.area->page[x.first + i].known)
			verify_page(s, x.start + (uint64_t)i * PAGE_BYTES, &x.area->page[x.first + i]);
}

void space_step(struct space *s)
{
	s->operations++;
	notice_cuts(s);
	switch (choose(s, 40)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		do_mmap(s);
		break;
	case 7:
	case 8:
		do_munmap(s);
		break;
	case 9:
	case 10:
	case 11:
		do_mprotect(s);
		break;
	case 12:
	case 13:
	case 14:
	case 15:
		do_madvise(s);
		break;
	case 16:
	case 17:
	case 18:
	case 19:
		do_mremap(s);
		break;
	case 20:
		do_mincore(s);
		break;
	case 21:
		do_msync(s);
		break;
	case 22:
		do_mlock(s, CALL_MLOCK);
		break;
	case 23:
		do_mlock(s, CALL_MUNLOCK);
		break;
	case 24:
		do_mlock(s, choose(s, 4) ? CALL_MUNLOCK : CALL_MLOCK2);
		break;
	case 25:
		if (s->brk)
			do_brk(s);
		break;
	case 26:
		do_file(s, CALL_PREAD);
		break;
	case 27:
		do_file(s, CALL_PWRITE);
		break;
	case 28:
		do_ftruncate(s);
		break;
	case 29:
		if (choose(s, 8) == 0)
			do_mlockall(s);
		break;
	case 30:
	case 31:
	case 32:
		do_verify(s);
		break;
	default:
		do_store(s);
	}
}
