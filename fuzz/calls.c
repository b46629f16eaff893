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

/* Address and length of a call as it gets them, and what they come to. */
struct range {
	uint64_t start, length, size, end; /* size: length in whole pages, 0 when that overflows */
	bool wraps;                        /* length or end overflows */
};

static struct range range_of(uint64_t start, uint64_t length)
{
	struct range r = {.start = start, .length = length, .size = page_ceil(length)};

	r.end = start + r.size;
	r.wraps = (length && !r.size) || r.end < start;
	return r;
}

static struct range pick_range(struct space *s)
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

static void must_give(struct space *s, long result, long want)
{
	if (result != want)
		fuzz_fail(s, "the call gives %ld, not %ld", result, want);
}

/* Pages at the edges of a range and one inside. */
static void look_around(struct space *s, uint64_t start, uint64_t end)
{
	uint64_t at[4] = {start - PAGE_BYTES, start, end - PAGE_BYTES, end};

	for (unsigned i = 0; i < 4; i++) {
		struct page *p = page_of(s, at[i]);

		if (p && choose(s, 4))
			verify_page(s, at[i] & ~(uint64_t)(PAGE_BYTES - 1), p);
	}
}

/* The first hole in [start, end), or end. Foreign: *unknown. */
static uint64_t first_hole(struct space *s, uint64_t start, uint64_t end, bool *unknown)
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

/* --- madvise --- */

enum {
	A_DONTNEED = 4,
	A_FREE = 8,
	A_REMOVE = 9,
	A_DONTFORK = 10,
	A_DOFORK,
	A_MERGEABLE,
	A_UNMERGEABLE,
	A_HUGEPAGE,
	A_NOHUGEPAGE,
	A_DONTDUMP,
	A_DODUMP,
	A_WIPEONFORK,
	A_KEEPONFORK,
	A_COLD,
	A_PAGEOUT,
	A_POPULATE_READ,
	A_POPULATE_WRITE,
	A_DONTNEED_LOCKED
};

static bool private_zeros(const struct page *p) { return !p->shared && p->object < 0; }

/* Which error that advice meets at p: 0 none. *maybe: or none. */
static int advice_error(struct space *s, const struct page *p, int advice, bool *maybe)
{
	*maybe = false;
	switch (advice) {
	case A_DONTNEED:
	case A_FREE:
	case A_COLD:
	case A_PAGEOUT:
		*maybe = p->locked == MAYBE;
		if (p->locked != NO)
			return N_EINVAL;
		*maybe = false;
		return advice == A_FREE && !private_zeros(p) ? N_EINVAL : 0;
	case A_WIPEONFORK:
		return private_zeros(p) ? 0 : N_EINVAL;
	case A_POPULATE_READ:
	case A_POPULATE_WRITE:
		*maybe = p->own == MAYBE || p->prot == X;
		if (!(p->prot & (advice == A_POPULATE_READ ? R : W)))
			return N_EINVAL;
		*maybe = p->own == MAYBE;
		return p->own == MAYBE || !page_content(s, (struct page *)(uintptr_t)p) ? N_EFAULT : 0;
	default:
		return 0;
	}
}

static void advised(struct space *s, struct page *p, int advice, bool sure)
{
	switch (advice) {
	case A_DONTNEED:
	case A_FREE:
		if (p->shared)
			break;
		if (p->object >= 0) {
			p->own = sure && p->own != MAYBE ? NO : sure ? NO : p->own == NO ? NO : MAYBE;
		} else if (advice == A_FREE || !sure) {
			p->c.lazy = p->c.written;
		} else {
			p->c = (struct content){.written = 0};
		}
		p->touched = sure && advice == A_DONTNEED && p->object < 0 ? NO : MAYBE;
		break;
	case A_DONTFORK:
		p->no_fork = true;
		break;
	case A_DOFORK:
		p->no_fork = false;
		break;
	case A_WIPEONFORK:
		p->wipe = true;
		break;
	case A_KEEPONFORK:
		p->wipe = false;
		break;
	case A_POPULATE_READ:
	case A_POPULATE_WRITE:
		page_populated(s, p);
		break;
	default:
		p->touched = MAYBE;
	}
}

static void do_madvise(struct space *s)
{
	static const uint8_t known[] = {A_DONTNEED,
					A_DONTNEED,
					A_DONTNEED,
					A_FREE,
					A_DONTFORK,
					A_DOFORK,
					A_WIPEONFORK,
					A_KEEPONFORK,
					A_POPULATE_READ,
					A_POPULATE_WRITE,
					A_COLD,
					A_PAGEOUT,
					0,
					1,
					2,
					3,
					A_DONTDUMP,
					A_DODUMP};
	static const int unknown_advice[] = {5, 6, 7, 26, 27, 60, 99, 104, 1000, -1, INT32_MIN};
	struct range r = pick_range(s);
	bool bad = choose(s, 24) == 0, hole = false, populate, sure = true;
	int advice = bad ? unknown_advice[choose(s, 11)] : known[choose(s, sizeof known)];
	struct errors e = {{0}}, stop = {{0}};
	uint64_t upto = r.end;
	long got;

	populate = advice == A_POPULATE_READ || advice == A_POPULATE_WRITE;
	if (bad || !aligned(r.start) || r.wraps)
		add_error(&e, N_EINVAL);
	if (edge(s, r.start, r.wraps ? 0 : r.size) || (!any_error(&e) && !confined(s, r.start, r.end)))
		return;
	if (any_error(&e)) {
		got = make_call(s, CALL_MADVISE, (uint64_t[6]){r.start, r.length, (uint64_t)(int64_t)advice});
		must_fail(s, got, &e);
		return;
	}
	if (s->shared_quiet && populate)
		return;
	/* sure: no page whose answer is open. The errors that apply; the first one stops it, but holes are told at the
	 * end. */
	for (uint64_t va = r.start; va < r.end && upto == r.end; va += PAGE_BYTES) {
		struct page *p = page_of(s, va);
		bool maybe = false;
		int error = 0;

		if (!p || !p->mapped) {
			hole = true;
			if (is_void(s, va))
				break;
			continue;
		}
		error = advice_error(s, p, advice, &maybe);
		if (error) {
			add_error(&stop, error);
			if (!maybe && !populate)
				upto = va;
			sure &= !maybe;
		}
	}
	got = make_call(s, CALL_MADVISE, (uint64_t[6]){r.start, r.length, (uint64_t)(int64_t)advice});
	/* Which pieces have changed their mind when memory ran out cannot be seen: once more, until it does not. */
	while (advice >= A_DONTFORK && advice <= A_KEEPONFORK && out_of_memory(s, got))
		got = make_call(s, CALL_MADVISE, (uint64_t[6]){r.start, r.length, (uint64_t)(int64_t)advice});
	if (hole)
		add_error(&e, N_ENOMEM);
	if (any_error(&stop) && has_error(&stop, got))
		sure &= !populate && upto < r.end;
	else if (hole && got == -N_ENOMEM && (upto == r.end || populate))
		upto = r.end;
	else if (out_of_memory(s, got))
		sure = false;
	else if (got == 0 && !hole && (upto == r.end && (!any_error(&stop) || !sure)))
		sure = true, upto = r.end;
	else
		fuzz_fail(s, "madvise gives %ld; allowed were the errors %#lx%s", got,
			  (unsigned long)(e.some[0] | stop.some[0]), hole || any_error(&stop) ? "" : " or 0");
	/* Out of memory and a hole are the same answer. */
	if (s->m->short_of_memory && got == -N_ENOMEM)
		sure = false;
	if (s->m->short_of_memory && got == -N_EAGAIN)
		sure = false;
	if (advice >= A_DONTFORK && advice <= A_KEEPONFORK)
		split(s, r.start, r.end);
	for (uint64_t va = r.start; va < upto && !is_void(s, va); va += PAGE_BYTES) {
		struct page *p = page_of(s, va);

		if (!p || !p->mapped)
			continue;
		if (!sure &&
		    ((advice >= A_DONTFORK && advice <= A_DOFORK) || advice == A_WIPEONFORK || advice == A_KEEPONFORK))
			fuzz_fail(s, "open answer");
		advised(s, p, advice, sure);
	}
	look_around(s, r.start, r.end);
}

/* --- mincore --- */

/* A place that cannot be written, with what is known about it. 0: none found. */
static uint64_t bad_vector(struct space *s)
{
	struct span x = pick_span(s);
	struct page *p = &x.area->page[x.first];

	if (choose(s, 2))
		return odd_address(s);
	return p->known && (!p->mapped || !(p->prot & W)) ? x.start + choose(s, 64) : 0;
}

static void check_vector(struct space *s, const struct range *r)
{
	for (uint64_t i = 0; i < r->size / PAGE_BYTES; i++) {
		struct page *p = page_of(s, r->start + i * PAGE_BYTES);
		uint64_t word;
		unsigned byte;

		FUZZ_CHECK(s, s->m->load(s, s->scratch + (i & ~UINT64_C(7)), &word) == ACCESS_OK);
		byte = word >> (i % 8 * 8) & 255;
		if (byte & ~1u)
			fuzz_fail(s, "mincore says %#x of %#lx", byte, (unsigned long)(r->start + i * PAGE_BYTES));
		if (p && p->mapped && (p->touched == YES ? !byte : p->touched == NO && p->object < 0 ? byte : 0))
			fuzz_fail(s, "mincore says %#x of %#lx, which was %s", byte,
				  (unsigned long)(r->start + i * PAGE_BYTES),
				  p->touched == YES ? "written" : "never touched");
	}
}

static void do_mincore(struct space *s)
{
	struct range r = pick_range(s);
	struct errors e = {{0}};
	bool unknown = false;
	uint64_t vector = s->scratch, pages = r.size / PAGE_BYTES;
	long got;

	if (choose(s, 8) == 0) {
		vector = bad_vector(s);
		if (!vector)
			return;
	}
	if (!aligned(r.start))
		add_error(&e, N_EINVAL);
	if (r.length && (r.wraps || !in_user(s, r.start, r.size)))
		add_error(&e, N_ENOMEM);
	else if (aligned(r.start) && first_hole(s, r.start, r.end, &unknown) < r.end)
		add_error(&e, N_ENOMEM);
	if (vector != s->scratch)
		add_error(&e, N_EFAULT);
	if (edge(s, r.start, r.wraps ? 0 : r.size) || unknown ||
	    (!any_error(&e) && pages > SCRATCH_PAGES * PAGE_BYTES - 8))
		return;
	if (vector == s->scratch)
		FUZZ_CHECK(s, s->m->store(s, s->scratch + (pages % 1024 & ~7u), UINT64_MAX) == ACCESS_OK);
	got = make_call(s, CALL_MINCORE, (uint64_t[6]){r.start, r.length, vector});
	if (any_error(&e) && !(r.length == 0 && got == 0)) {
		must_fail(s, got, &e);
	} else if (!out_of_memory(s, got)) {
		uint64_t word;

		must_give(s, got, 0);
		if (vector != s->scratch)
			return;
		check_vector(s, &r);
		/* Not a byte more. */
		FUZZ_CHECK(s, s->m->load(s, s->scratch + (pages & ~UINT64_C(7)), &word) == ACCESS_OK);
		FUZZ_CHECK(s, word >> (pages % 8 * 8) == UINT64_MAX >> (pages % 8 * 8));
	}
}

/* --- msync --- */

static void do_msync(struct space *s)
{
	struct range r = pick_range(s);
	uint32_t flags = choose(s, 8) ? choose(s, 8) : 8u << choose(s, 20);
	bool busy = false, unknown = false;
	struct errors e = {{0}};
	uint64_t hole;
	long got;

	if (flags & ~7u || (flags & 5) == 5 || !aligned(r.start))
		add_error(&e, N_EINVAL);
	if (r.wraps || (r.size && !in_user(s, r.start, r.size)))
		add_error(&e, N_ENOMEM);
	else if (aligned(r.start) && (hole = first_hole(s, r.start, r.end, &unknown)) < r.end)
		add_error(&e, N_ENOMEM);
	if (unknown || edge(s, r.start, r.wraps ? 0 : r.size))
		return;
	for (uint64_t va = r.start; aligned(r.start) && !r.wraps && (flags & 2) && va < r.end; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (is_void(s, va) || !p)
			break;
		if (p->mapped && p->locked != NO)
			busy = true;
		if (p->mapped && p->locked == YES)
			add_error(&e, N_EBUSY);
	}
	got = make_call(s, CALL_MSYNC, (uint64_t[6]){r.start, r.length, flags});
	if ((busy && got == -N_EBUSY) || (r.length && !r.size && got == 0))
		return; /* a length that rounds up to 0 may count as 0 */
	if (any_error(&e))
		must_fail(s, got, &e);
	else if (!out_of_memory(s, got))
		must_give(s, got, 0);
}

/* --- mlock, munlock, mlock2 --- */

static void do_mlock(struct space *s, enum call which)
{
	struct range r = pick_range(s);
	uint32_t flags = which == CALL_MLOCK2 ? choose(s, 6) ? choose(s, 2) : 2u << choose(s, 20) : 0;
	uint64_t start = r.start & ~(uint64_t)(PAGE_BYTES - 1), length = r.length + (r.start - start), end, upto;
	bool unknown = false, wraps, holes, refused = false, may_refuse = false;
	struct errors e = {{0}};
	long got;

	end = start + page_ceil(length);
	wraps = length < r.length || (length && !page_ceil(length)) || end < start;
	if (flags & ~1u)
		add_error(&e, N_EINVAL);
	if (edge(s, start, wraps ? 0 : end - start) || choose(s, 3) == 0)
		return;
	if (wraps) { /* unspecified: an error, or nothing to do */
		got = make_call(s, which, (uint64_t[6]){r.start, r.length, flags});
		add_error(&e, N_EINVAL);
		add_error(&e, N_ENOMEM);
		/* Kernels that round before they look may find a short range: then only where there is nothing. */
		if (got != 0 || flags & ~1u)
			must_fail(s, got, &e);
		return;
	}
	upto = first_hole(s, start, end, &unknown);
	holes = upto < end;
	if (unknown)
		return;
	if (holes && start < end)
		add_error(&e, N_ENOMEM);
	for (uint64_t va = start; va < upto && which != CALL_MUNLOCK; va += PAGE_BYTES) {
		struct page *p = page_of(s, va);
		unsigned a = page_access(s, p, R);

		refused |= !(a & 1u << ACCESS_OK);
		may_refuse |= a != 1u << ACCESS_OK || p->own == MAYBE;
	}
	if (s->shared_quiet)
		return;
	got = make_call(s, which, (uint64_t[6]){r.start, r.length, flags});
	if (refused && !(flags & 1))
		add_error(&e, N_ENOMEM);
	if (any_error(&e) && !(flags & 1 && !holes && !(flags & ~1u)))
		must_fail(s, got, &e);
	else if (!out_of_memory(s, got) && !(got == -N_ENOMEM && may_refuse))
		must_give(s, got, 0);
	if (flags & ~1u)
		return;
	split(s, start, upto);
	for (uint64_t va = start; va < upto; va += PAGE_BYTES) {
		struct page *p = page_of(s, va);
		uint8_t now = which == CALL_MUNLOCK ? NO : YES;

		if (got != 0 && p->locked != now)
			p->locked = MAYBE;
		else if (got == 0)
			p->locked = now;
		if (which != CALL_MUNLOCK)
			page_populated(s, p);
		if (which != CALL_MUNLOCK && got == 0 && !(flags & 1) && p->object < 0 &&
		    (p->prot & W)) /* else it may be the page of zeros */
			p->touched = YES;
		else
			p->touched = MAYBE;
	}
	look_around(s, start, upto);
}

/* What it would do to others is not for fuzzing: only what it must refuse. */
static void do_mlockall(struct space *s)
{
	static const uint32_t bad[] = {0, 4, 8, 16, 1u << 31, 0xfffffff8};
	struct errors e = {{0}};

	add_error(&e, N_EINVAL);
	must_fail(s, make_call(s, CALL_MLOCKALL, (uint64_t[6]){bad[choose(s, 6)]}), &e);
}

/* --- files and user copies --- */

/* What the file's bytes are at that offset; object 0 or the memory file's. */
static uint64_t object_word(struct space *s, uint32_t number, uint64_t offset)
{
	struct object *o = &s->world->object[number];

	return offset / PAGE_BYTES < OBJECT_PAGES ? content_word(&o->page[offset / PAGE_BYTES], offset % PAGE_BYTES)
						  : 0;
}

/*
 * One word, or two on both sides of a page boundary, between a file and a program's pages. What
 * can be reached is moved; nothing at all: EFAULT.
 */
static void do_file(struct space *s, enum call which)
{
	struct span x = pick_span(s);
	unsigned slot = choose(s, SLOTS), words = slot == SLOTS - 1 && choose(s, 2) ? 2 : 1, can = 0;
	bool writing = which == CALL_PWRITE, test = !writing && choose(s, 2), odd = choose(s, 12) == 0;
	uint32_t number = test ? 0 : s->world->memory;
	struct object *o = &s->world->object[number];
	uint64_t offset = (uint64_t)choose(s, OBJECT_PAGES - 2) * PAGE_BYTES + slot_offset(slot),
		 va = x.start + slot_offset(slot);
	uint64_t left = o->size > offset ? o->size - offset : 0, want = words * 8;
	long got;

	if (s->shared_quiet)
		return;
	if (!odd && !x.area->page[x.first].known)
		return;
	if (!writing && want > left)
		want = left / 8 * 8;
	if (!writing && left < words * 8 && left % 8)
		return; /* a file that ends inside of a word */
	for (unsigned i = 0; i < words && !odd; i++) {
		struct page *p = page_of(s, va + 8 * i);
		unsigned a;

		if (!p)
			return;
		a = page_access(s, p, writing ? R : W);
		if (a != 1u << ACCESS_OK && a & 1u << ACCESS_OK)
			return; /* open */
		if (a != 1u << ACCESS_OK)
			break;
		if (p->own == MAYBE || (writing && p->object == (int)number))
			return;
		can += 8;
	}
	if (odd)
		va = odd_address(s) & ~UINT64_C(7);
	if (writing && want > can)
		want = can; /* what cannot be read is not written */
	if (!writing && want > can)
		want = can;
	/* Linux's tmpfs grows up to where a write found nothing to read. */
	if (writing && !want && !s->m->strata && offset > o->size)
		return;
	got = make_call(s, which, (uint64_t[6]){(uint64_t)s->fd[test ? FD_TEST : FD_MEMORY], va, words * 8, offset});
	if (out_of_memory(s, got) || (s->m->short_of_memory && got == -28))
		return;
	if (!writing && left == 0) {
		if (!(odd && got == -N_EFAULT)) /* which is found first is open */
			must_give(s, got, 0);
		return;
	}
	if (s->m->short_of_memory && got >= 0 && (uint64_t)got < want && got % 8 == 0)
		want = (uint64_t)got;
	must_give(s, got, want ? (long)want : -N_EFAULT);
	if (writing && want && o->size < offset + want)
		o->size = offset + want;
	for (uint64_t i = 0; i < want; i += 8) {
		struct page *p = page_of(s, va + i);
		unsigned k = i ? 0 : slot;

		if (writing) {
			uint64_t value;

			/* What was lazy may be 0 by now: the memory file tells. */
			FUZZ_CHECK(s, s->m->load(s, va + i, &value) == ACCESS_OK);
			if (value != content_word(page_content(s, p), slot_offset(k)) &&
			    !(p->c.lazy >> k & 1 && value == 0))
				fuzz_fail(s, "%#lx holds %#lx", (unsigned long)(va + i), (unsigned long)value);
			content_set(&o->page[(offset + i) / PAGE_BYTES], k, value);
		} else {
			page_stored(s, p, k, object_word(s, number, offset + i));
		}
	}
	if (page_of(s, va))
		verify_page(s, x.start, page_of(s, va));
}

static void do_ftruncate(struct space *s)
{
	struct object *o = &s->world->object[s->world->memory];
	uint64_t size =
		(uint64_t)choose(s, OBJECT_PAGES) * PAGE_BYTES + (choose(s, 2) ? 8 * choose(s, PAGE_BYTES / 8) : 0);
	struct errors e = {{0}};
	long got;

	if (s->shared_quiet)
		return;
	if (choose(s, 16) == 0) { /* not a size, not a file that may change, not a file */
		add_error(&e, N_EINVAL);
		add_error(&e, N_EFBIG);
		add_error(&e, N_EBADF);
		got = choose(s, 2) ? make_call(s, CALL_FTRUNCATE,
					       (uint64_t[6]){(uint64_t)s->fd[FD_MEMORY], UINT64_MAX - choose(s, 99)})
				   : make_call(s, CALL_FTRUNCATE, (uint64_t[6]){(uint64_t)s->fd[FD_TEST], 0});
		must_fail(s, got, &e);
		return;
	}
	got = make_call(s, CALL_FTRUNCATE, (uint64_t[6]){(uint64_t)s->fd[FD_MEMORY], size});
	if (out_of_memory(s, got))
		return;
	must_give(s, got, 0);
	for (uint32_t i = 0; i < OBJECT_PAGES; i++)
		for (unsigned k = 0; k < SLOTS; k++)
			if ((uint64_t)i * PAGE_BYTES + slot_offset(k) >= size)
				o->page[i].written &= (uint8_t) ~(1u << k);
	o->size = size;
	for (uint32_t i = 0; i < OBJECT_PAGES; i++)
		if ((uint64_t)i * PAGE_BYTES >= size)
			o->cuts[i]++;
	s->world->cuts++;
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
