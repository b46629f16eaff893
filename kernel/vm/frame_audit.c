/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_audit.c: pages, core and caches against each other; invariants 1 to 3 of frame.c. */
#include "base/bits.h"
#include "vm/frame_cache.h"

/* Walks the frames in order, block by block. */
struct walk {
	struct frame_audit *result;
	enum frame_owner owner; /* of the block that the walk is in */
	uint64_t left;          /* its frames still to come */
};

static void blame(struct frame_audit *a, pfn_t where, const char *problem)
{
	if (a->problem)
		return;
	a->problem = problem;
	a->where = where;
}

static void look_at(struct walk *w, struct frames *f, pfn_t n, bool free)
{
	const struct vm_page *p = frame_page(f, n);
	struct frame_audit *a = w->result;
	enum frame_owner owner = page_owner(p);

	if (!frame_is_ram(f, n)) {
		a->holes++;
		if (free)
			blame(a, n, "the core holds a hole for free");
		if (w->left)
			blame(a, n, "a block reaches into a hole");
		w->left = 0;
		return;
	}
	a->ram++;
	if (free && w->left) {
		blame(a, n, "a part of a block in use is free in the core");
		w->left = 0;
	}
	if (w->left) {
		if (owner != FRAME_FREE)
			blame(a, n, "a frame inside a block has an owner of its own");
		w->left--;
		a->owned[w->owner]++;
		return;
	}
	if (owner >= FRAME_OWNER_COUNT) {
		blame(a, n, "an owner that does not exist");
		return;
	}
	if (owner == FRAME_FREE) {
		a->owned[free ? FRAME_FREE : FRAME_CACHED]++;
		if (page_order(p))
			blame(a, n, "free, but of an order");
		return;
	}
	a->owned[owner]++;
	if (free)
		blame(a, n, "free in the core, but it has an owner");
	if (page_order(p) > FRAME_ORDER_MAX || n.fn & ((UINT64_C(1) << page_order(p)) - 1)) {
		blame(a, n, "a block is not aligned to its size");
		return;
	}
	w->owner = owner;
	w->left = (UINT64_C(1) << page_order(p)) - 1;
}

/* n blocks that lie idle in one place; nobody else may have them. Returns how many frames. */
static uint64_t look_at_idle(struct frames *f, const uint32_t *index, uint32_t n, unsigned order, struct frame_audit *a)
{
	for (uint32_t i = 0; i < n; i++) {
		struct frame_chunk bits;

		(void)frame_core_look(&f->core, index[i] / CHUNK_FRAMES, &bits);
		if (page_owner(&f->pages[index[i]]) != FRAME_FREE || bits.word[index[i] % CHUNK_FRAMES / 64] >> (index[i] % 64) & 1)
			blame(a, pfn(f->first.fn + index[i]), "lies in a cache, but is somebody's or the core's too");
	}
	return (uint64_t)n << order;
}

static uint64_t look_at_cache(struct frames *f, struct frame_cache *c, struct frame_audit *a)
{
	uint64_t n = 0;

	frame_cache_visit(f, c);
	for (unsigned i = 0; i < FRAME_STACKS; i++)
		n += look_at_idle(f, frame_stack_base(&c->stack[i]), frame_stack_count(&c->stack[i]), i == FRAME_WHOLE ? CHUNK_ORDER : 0, a);
	frame_cache_visit_end(f, c);
	return n;
}

/* The batches of zeroed frames. acquire: pairs with who filled one; nobody takes them at a quiet point. */
static uint64_t look_at_zeros(struct frames *f, struct frame_audit *a)
{
	uint64_t full = atomic_load_acquire(&f->zeros.full.bits), n = 0;

	for (unsigned line = 0; line < FRAME_ZERO_LINES; line++)
		if (full & BIT(line))
			n += look_at_idle(f, f->zeros.frame[line], f->zeros.batch, 0, a);
	return n;
}

bool frame_audit(struct frames *f, struct frame_audit *a)
{
	struct walk w = {.result = a};
	uint64_t counted_free = 0, cached = 0, sum = 0;

	__builtin_memset(a, 0, sizeof *a);
	a->where = PFN_NONE;
	for (uint64_t chunk = 0; chunk < f->core.chunks; chunk++) {
		struct frame_chunk bits;

		counted_free += frame_core_look(&f->core, chunk, &bits);
		for (unsigned i = 0; i < CHUNK_FRAMES; i++)
			look_at(&w, f, pfn(f->first.fn + chunk * CHUNK_FRAMES + i), bits.word[i / 64] >> (i % 64) & 1);
	}
	if (w.left)
		blame(a, pfn(f->first.fn + f->count - 1), "a block reaches past the end of RAM");
	for (uint32_t i = 0; i < f->ncpus; i++)
		cached += look_at_cache(f, &f->cache[i], a);
	cached += look_at_zeros(f, a);
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		sum += a->owned[i];
	if (cached != a->owned[FRAME_CACHED])
		blame(a, PFN_NONE, "more or fewer frames have no owner than lie in core and caches");
	if (counted_free != a->owned[FRAME_FREE] || counted_free != frame_core_free(&f->core))
		blame(a, PFN_NONE, "the core's counts of free frames contradict the frames");
	if (sum != f->ram || a->ram != f->ram)
		blame(a, PFN_NONE, "the owners do not add up to all of RAM");
	return a->problem == NULL;
}
