/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/frame_audit.c: pages, core and caches against each other; invariants 1 to 3 of frame.c. */
#include "vm/frame.h"

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
	a->owned[owner]++;
	if (free != (owner == FRAME_FREE))
		blame(a, n, free ? "free in the core, but it has an owner" : "taken in the core, but nobody owns it");
	if (owner == FRAME_FREE)
		return;
	if (page_order(p) > FRAME_ORDER_MAX || n.fn & ((UINT64_C(1) << page_order(p)) - 1)) {
		blame(a, n, "a block is not aligned to its size");
		return;
	}
	w->owner = owner;
	w->left = (UINT64_C(1) << page_order(p)) - 1;
}

/* Frames in a cache; each must be marked so. */
static uint64_t look_at_cache(struct frames *f, struct frame_cache *c, struct frame_audit *a)
{
	uint32_t frames, blocks;

	gate_visit(&c->gate, RANK_FRAME_CACHE);
	frames = atomic_load_relaxed(&c->count); /* guarded by the gate */
	blocks = atomic_load_relaxed(&c->blocks);
	for (uint32_t i = 0; i < frames; i++)
		if (page_owner(&f->pages[c->frame[i]]) != FRAME_CACHED || page_order(&f->pages[c->frame[i]]) != 0)
			blame(a, pfn(f->first.fn + c->frame[i]), "lies in a cache, but is not marked so");
	for (uint32_t i = 0; i < blocks; i++)
		if (page_owner(&f->pages[c->block[i]]) != FRAME_CACHED ||
		    page_order(&f->pages[c->block[i]]) != CHUNK_ORDER)
			blame(a, pfn(f->first.fn + c->block[i]), "lies in a cache of blocks, but is not marked so");
	gate_visit_end(&c->gate);
	return frames + (uint64_t)blocks * CHUNK_FRAMES;
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
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		sum += a->owned[i];
	if (cached != a->owned[FRAME_CACHED])
		blame(a, PFN_NONE, "more or fewer frames are marked cached than lie in caches");
	/* relaxed: a quiet point */
	if (counted_free != a->owned[FRAME_FREE] || counted_free != atomic_load_relaxed(&f->core.free))
		blame(a, PFN_NONE, "the core's counts of free frames contradict the frames");
	if (sum != f->ram || a->ram != f->ram)
		blame(a, PFN_NONE, "the owners do not add up to all of RAM");
	return a->problem == NULL;
}
