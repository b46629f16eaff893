/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/vm_stat.h"

#include "base/bits.h"
#include "base/print.h"

#define ZONES_SHOWN 512u /* more than there are: a list that was broken may be a ring */

typedef unsigned long ul;

/* Frames [start, end) are free and their neighbours are not: cut into the largest aligned blocks. */
static void cut(struct frame_stats *s, uint64_t start, uint64_t end)
{
	while (start < end) {
		unsigned order = start ? bit_lowest(start) : FRAME_ORDER_MAX;

		if (order > FRAME_ORDER_MAX)
			order = FRAME_ORDER_MAX;
		while (BIT(order) > end - start)
			order--;
		s->free_blocks[order]++;
		start += BIT(order);
	}
}

void frame_stats(const struct frames *f, struct frame_stats *s)
{
	uint64_t first = f->first.fn, free_from = 0, chunk = UINT64_MAX;
	struct frame_chunk bits;
	bool in_free = false;

	__builtin_memset(s, 0, sizeof *s);
	for (uint64_t i = 0, n; i < f->count; i += n) {
		const struct vm_page *p = &f->pages[i];
		enum frame_owner owner = page_owner(p);
		unsigned order = page_order(p);
		bool ram = frame_is_ram(f, pfn(first + i)), free;

		if (i / CHUNK_FRAMES != chunk) {
			chunk = i / CHUNK_FRAMES;
			(void)frame_core_look(&f->core, chunk, &bits);
		}
		free = ram && owner == FRAME_FREE && bits.word[i % CHUNK_FRAMES / 64] >> (i % 64) & 1;
		if (ram && !free && owner == FRAME_FREE)
			owner = FRAME_CACHED;
		n = 1;
		if (ram && !free && owner < FRAME_OWNER_COUNT) {
			/* A head's order; what makes no sense at its place is being changed at this moment. */
			if (order <= FRAME_ORDER_MAX && ((first + i) & (BIT(order) - 1)) == 0 &&
			    BIT(order) <= f->count - i)
				n = BIT(order);
			s->owned[owner] += n;
		} else if (free) {
			s->owned[FRAME_FREE]++;
		}
		if (free && !in_free)
			free_from = i;
		else if (!free && in_free)
			cut(s, first + free_from, first + i);
		in_free = free;
	}
	if (in_free)
		cut(s, first + free_from, first + f->count);
}

/* --- for a panic --- */

static void print_frames(const struct frames *f)
{
	struct frame_stats s;

	frame_stats(f, &s);
	kprintf("frames:");
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		kprintf(" %s %lu", frame_owner_name((enum frame_owner)i), (ul)s.owned[i]);
	kprintf("\nfree blocks by order:");
	for (unsigned i = 0; i <= FRAME_ORDER_MAX; i++)
		kprintf(" %lu", (ul)s.free_blocks[i]);
	kprintf("\n");
}

/* A pointer into the direct map of RAM, where zones live. */
static bool leads_to_ram(const struct frames *f, const void *p)
{
	uint64_t start = (uint64_t)(uintptr_t)frame_bytes(f->first), at = (uint64_t)(uintptr_t)p;

	return at - start < f->count << PAGE_SHIFT && at % sizeof(void *) == 0 &&
	       frame_is_ram(f, pfn(f->first.fn + ((at - start) >> PAGE_SHIFT)));
}

static void print_zone(const struct zone *z)
{
	const struct slabs *s = &z->slabs;
	/* Others have stopped: nobody writes these any more. */
	uint64_t slabs = s->count, out = slabs * s->shape.objects - s->free, frames = slabs * s->shape.frames;

	if (slabs == 0)
		return;
	kprintf("zone %s: size %u, in use or cached %lu, slabs %lu, frames %lu, waste %lu, failures %lu\n", s->name,
		s->shape.size, (ul)out, (ul)slabs, (ul)frames,
		(ul)((frames << PAGE_SHIFT) - slabs * s->shape.objects * s->shape.size), (ul)atomic_load_relaxed(&z->failures));
}

void vm_stat_print(const struct frames *f, const struct zones *zs)
{
	const struct list *it;
	unsigned n = 0;

	if (!f->pages)
		return; /* so early that there is nothing to tell */
	print_frames(f);
	for (it = zs->all.next; it && it != &zs->all && n < ZONES_SHOWN && leads_to_ram(f, it); it = it->next, n++)
		print_zone(CONTAINER_OF(it, struct zone, link));
	if (it && it != &zs->all)
		kprintf("(the list of zones is broken after %u)\n", n);
}
