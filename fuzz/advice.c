/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/advice.c: calls that leave the map as it is, but for what is in it: madvise,
 * mincore, msync, mlock and its family.
 *
 * madvise goes on behind a hole and tells of it at the end; the first other error
 * stops it. What populates may meet its errors in any order. Locked pages are not
 * given up. mlock that fails may have locked some: MAYBE.
 *
 * Sources: the manual pages of the same names.
 */
#include "model.h"

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

void do_madvise(struct space *s)
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

void do_mincore(struct space *s)
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

void do_msync(struct space *s)
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

void do_mlock(struct space *s, enum call which)
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
void do_mlockall(struct space *s)
{
	static const uint32_t bad[] = {0, 4, 8, 16, 1u << 31, 0xfffffff8};
	struct errors e = {{0}};

	add_error(&e, N_EINVAL);
	must_fail(s, make_call(s, CALL_MLOCKALL, (uint64_t[6]){bad[choose(s, 6)]}), &e);
}
