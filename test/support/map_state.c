/* SPDX-License-Identifier: BSD-2-Clause */
#include "map_state.h"

#include <stdio.h>

#include "vm/amap.h"
#include "vm/entry.h"

/* Nothing else runs; the epoch section is what the functions ask for. leaf: the amap's for va. */
static uint64_t first_word(struct vm_map *m, const struct vm_entry *e, const struct amap_node *leaf, uint64_t va)
{
	struct frames *f = &m->vm->frames;
	const struct anon *anon = leaf ? amap_slot(leaf, va) : NULL;
	const struct vm_page *page;

	if (anon)
		return *(const uint64_t *)frame_bytes(anon_frame(anon));
	page = e->object ? object_lookup(e->object, entry_index(e, va)) : NULL;
	return page ? *(const uint64_t *)frame_bytes(frame_of(f, page)) : 0;
}

void map_state_take(struct map_state *s, struct vm_map *m)
{
	s->entries = s->pages = 0;
	s->size = vm_map_size(m);
	s->heap = m->brk_end;
	epoch_enter(&m->vm->epoch);
	for (uint64_t va = 0; vm_map_lookup(m, va, &s->entry[s->entries]); s->entries++) {
		const struct vm_entry_info *info = &s->entry[s->entries];
		const struct vm_entry *e = map_find_anew(m, info->range.start.va);
		const struct amap_node *leaf = NULL;
		bool exclusive;

		CHECK(s->entries + 1 < STATE_ENTRIES && s->pages + vrange_size(info->range) / PAGE_SIZE <= STATE_PAGES);
		CHECK(entry_live(e));
		s->wired[s->entries] = e->wired;
		s->floor[s->entries] = e->floor;
		for (va = info->range.start.va; va < info->range.end.va; va += PAGE_SIZE) {
			if (e->amap && (va == info->range.start.va || amap_index(va) == 0))
				leaf = amap_find(e->amap, va, &exclusive);
			s->word[s->pages++] = first_word(m, e, leaf, va);
		}
	}
	epoch_leave(&m->vm->epoch);
}

static bool same_entry(const struct map_state *a, const struct map_state *b, unsigned i)
{
	const struct vm_entry_info *x = &a->entry[i], *y = &b->entry[i];

	return x->range.start.va == y->range.start.va && x->range.end.va == y->range.end.va && x->prot == y->prot &&
	       x->max == y->max && x->shared == y->shared && x->grows_down == y->grows_down &&
	       x->inherit == y->inherit && x->offset == y->offset && x->object == y->object && x->name == y->name &&
	       a->wired[i] == b->wired[i] && a->floor[i] == b->floor[i];
}

const char *map_state_difference(const struct map_state *a, const struct map_state *b)
{
	static char text[200];
	unsigned i;

	for (i = 0; i < a->entries && i < b->entries && same_entry(a, b, i); i++)
		;
	if (i < a->entries || i < b->entries) {
		snprintf(text, sizeof text, "%u entries before, %u after; number %u at %#lx", a->entries, b->entries, i,
			 (unsigned long)(i < a->entries ? a : b)->entry[i].range.start.va);
		return text;
	}
	for (i = 0; i < a->pages && a->word[i] == b->word[i]; i++)
		;
	if (i < a->pages) {
		snprintf(text, sizeof text, "page %u of all held %#lx before, %#lx after", i, (unsigned long)a->word[i],
			 (unsigned long)b->word[i]);
		return text;
	}
	if (a->size == b->size && a->heap == b->heap)
		return NULL;
	snprintf(text, sizeof text, "size %#lx before, %#lx after; break %#lx, %#lx", (unsigned long)a->size,
		 (unsigned long)b->size, (unsigned long)a->heap, (unsigned long)b->heap);
	return text;
}
