/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_range.c: frames in a row for devices: within addresses, at an alignment, of any number. */
#include "vm/frame_cache.h"

/* Physical [min, max) as indices of whole frames. */
static struct frame_run run_within(const struct frames *f, uint64_t n, uint64_t align, paddr_t min, paddr_t max)
{
	uint64_t first = round_up(min.pa, PAGE_SIZE) >> PAGE_SHIFT, end = max.pa >> PAGE_SHIFT;

	if (min.pa > UINT64_MAX - PAGE_SIZE)
		first = UINT64_MAX >> PAGE_SHIFT;
	return (struct frame_run){
		.n = n,
		.align = align,
		.min = first > f->first.fn ? first - f->first.fn : 0,
		.max = end > f->first.fn ? end - f->first.fn : 0,
	};
}

static enum error find_run(struct frames *f, const struct frame_run *run, enum frame_owner owner, uint32_t *index)
{
	const struct frame_want want = {.kind = frame_kind_of(owner), .run = run};
	bool zeroed;

	if (frames_may_fail(f) && frames_must_fail(f))
		return ERR_NOMEM;
	return frame_find(f, &want, index, &zeroed) ? OK : ERR_NOMEM;
}

static void zero(pfn_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		machine_zero_frame(pfn_to_paddr(pfn(first.fn + i)));
}

enum error frame_alloc_below(struct frames *f, unsigned order, paddr_t limit, unsigned flags, enum frame_owner owner,
			     pfn_t *out)
{
	uint64_t n = UINT64_C(1) << order;
	struct frame_run run = run_within(f, n, n, paddr(0), limit);
	uint32_t index;
	enum error e;

	ASSERT_CHECKED(order <= FRAME_ORDER_MAX);
	e = find_run(f, &run, owner, &index);
	if (e)
		return e;
	frame_claim(f, index, order, owner);
	*out = pfn(f->first.fn + index);
	if (flags & FRAME_ZERO)
		zero(*out, n);
	return OK;
}

enum error frame_alloc_range(struct frames *f, const struct frame_range *r, unsigned flags, enum frame_owner owner,
			     pfn_t *out)
{
	struct frame_run run;
	uint32_t index;
	enum error e;

	if (r->n == 0 || r->align < PAGE_SIZE || r->align & (r->align - 1))
		return ERR_INVAL;
	run = run_within(f, r->n, r->align >> PAGE_SHIFT, r->min, r->max);
	e = find_run(f, &run, owner, &index);
	if (e)
		return e;
	for (uint64_t i = 0; i < r->n; i++)
		frame_claim(f, (uint32_t)(index + i), 0, owner);
	*out = pfn(f->first.fn + index);
	if (flags & FRAME_ZERO)
		zero(*out, r->n);
	return OK;
}

void frame_free_range(struct frames *f, pfn_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		frame_free_check(f, pfn(first.fn + i), 0);
	frame_put_run(f, (uint32_t)(first.fn - f->first.fn), n);
}
