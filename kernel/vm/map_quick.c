/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_quick.c: the short way of calls that change one entry.
 *
 * Purpose. Most calls map something that joins with nothing, unmap or protect one entry whole, or move the end of the heap. For
 * these no lists are needed and no second look: all is decided and published in one hold of the short lock.
 *
 *	new entry, and its amap         no lock
 *	short lock: look, is it such a case? nobody holds a range that overlaps?
 *	            exchange, kill the old one, and, where PTEs must go, take the range
 *	PTEs, flush                     the range is held
 *	drop the range                  short lock
 *
 * The new entry takes over the references of the one in whose place it comes, which late readers may go on reading.
 * Invariants, order and failure are map.c's. Where nothing is withdrawn (a new mapping, a longer heap) no range is held after the short
 * lock: whoever takes one later finds the new entry. A fault under way on the old one has looked, under its leaf lock, before it died,
 * and what it did stands: the new entry has the same amap; or finds it dead.
 *
 * What nobody has touched has no PTEs (amap_untouched): then all ends with the short lock.
 *
 * Failure. false: the long way begins anew, and nothing was done; it also says what the errors are.
 */
#include "vm/map_edit.h"

/* One entry's exchange under way. */
struct swap {
	struct vm_map *m;
	struct map_part *part;      /* whose short lock is taken */
	struct vm_entry *old, *new; /* new's memory is there before the look */
	struct range_hold hold;
};

static ALWAYS_INLINE bool begin(struct swap *s, struct vm_map *m, struct vrange r)
{
	if (UNLIKELY(!m->vm->map_quick))
		return false;
	s->m = m;
	s->new = entry_alloc(m->vm, r);
	if (UNLIKELY(!s->new))
		return false;
	s->part = map_part_lock(m, r.start.va);
	return true;
}

/* Not such a case. */
static NOINLINE bool give_up_locked(struct swap *s)
{
	spin_unlock(&s->part->ranges.lock);
	zone_free(s->m->vm->entry_zone, s->new);
	return false;
}

/* new is what old is, but for its range, which is said already; it has old's references. */
static inline void take_over(struct swap *s)
{
	const struct vm_entry *o = s->old;
	struct vm_entry *n = s->new;

	n->floor = o->floor;
	entry_be_like(n, o);
	n->offset = o->offset;
	n->amap = o->amap;
}

static void replace_locked(struct swap *s)
{
	/* First: who sees something new finds nothing old any more. */
	entry_kill(s->old);
	entry_list_replace(&s->part->list, s->old, s->new);
}

/* After the PTEs are gone: flushes, drops the range. */
static ALWAYS_INLINE void finish(struct swap *s, struct tlb_gather *g)
{
	struct vm *vm = s->m->vm;

	map_flush(vm, g);
	if (UNLIKELY(g->unlinked.count))
		frame_list_free_by_epoch(&vm->frames, &g->unlinked);
	range_lock_drop(&s->part->ranges, &s->hold);
	if (epoch_should_poll(&vm->epoch))
		epoch_tidy(&vm->epoch);
}

/* The entry whose range is r, before ends where it begins; NULL: there is none, or somebody is changing something there. */
static ALWAYS_INLINE struct vm_entry *exactly_locked(struct map_part *p, struct vrange r, struct vm_entry **before)
{
	struct vm_entry *e;

	*before = entry_list_before(&p->list, r.start.va);
	e = entry_list_after(*before);
	if (!e || e->range.start.va != r.start.va || e->range.end.va != r.end.va || !range_lock_is_free_locked(&p->ranges, r))
		return NULL;
	return e;
}

bool map_quick_protect(struct vm_map *m, struct vrange r, enum prot prot)
{
	struct vm_entry *before, *after;
	struct tlb_gather g;
	struct swap s;

	if (!begin(&s, m, r))
		return false;
	s.old = exactly_locked(s.part, r, &before);
	if (!s.old || prot & ~(unsigned)s.old->max)
		return give_up_locked(&s);
	after = entry_list_after(s.old);
	/* Neighbours that would join. */
	if ((before->range.end.va == r.start.va && before->prot == prot) ||
	    (after && after->range.start.va == r.end.va && after->prot == prot))
		return give_up_locked(&s);
	take_over(&s);
	s.new->prot = prot;
	replace_locked(&s);
	range_lock_take_free_locked(&s.part->ranges, &s.hold, r);
	spin_unlock(&s.part->ranges.lock);
	gather_init(&g, &m->pmap);
	if (prot == PROT_NONE_)
		pmap_remove(&m->pmap, r, &g);
	else
		pmap_protect(&m->pmap, r, prot | PROT_R, &g);
	entry_retire_only(m->vm, s.old);
	finish(&s, &g);
	return true;
}

bool map_quick_remove(struct vm_map *m, struct vrange r)
{
	struct vm_entry *before;
	struct tlb_gather g;
	struct swap s;

	if (UNLIKELY(!m->vm->map_quick))
		return false;
	s.m = m;
	s.part = map_part_lock(m, r.start.va);
	s.old = exactly_locked(s.part, r, &before);
	/* An amap that others use as well has to be trimmed. */
	if (!s.old || (s.old->amap && ref_count(&s.old->amap->refs) != 1)) {
		spin_unlock(&s.part->ranges.lock);
		return false;
	}
	entry_kill(s.old);
	entry_list_unlink(&s.part->list, s.old);
	map_size_add_locked(s.part, -vrange_size(r));
	if (s.old->amap && !s.old->object && amap_untouched(s.old->amap)) { /* no PTE is there, nor will be */
		spin_unlock(&s.part->ranges.lock);
		entry_retire(m->vm, s.old);
		if (epoch_should_poll(&m->vm->epoch))
			epoch_tidy(&m->vm->epoch);
		return true;
	}
	range_lock_take_free_locked(&s.part->ranges, &s.hold, r);
	spin_unlock(&s.part->ranges.lock);
	gather_init(&g, &m->pmap);
	g.exclusive = true; /* nothing is mapped there until the range lock is dropped: tables can go at once */
	pmap_remove(&m->pmap, r, &g);
	map_flush(m->vm, &g);
	entry_retire(m->vm, s.old);
	finish(&s, &g);
	return true;
}

/* Something at a's end that might join with what w says. */
static bool alike(const struct vm_entry *e, const struct vm_mapping *w)
{
	return e->prot == w->prot && e->object == w->object && e->name == w->name;
}

bool map_quick_enter(struct vm_map *m, uint64_t hint, uint64_t size, const struct vm_mapping *w, uint64_t *at)
{
	const struct vm_entry *before, *after;
	struct amap *amap = NULL;
	struct vrange r;
	struct swap s;

	if (w->grows_down || (!w->shared && !(amap = amap_new(m->vm))))
		return false;
	if (UNLIKELY(!m->vm->map_quick) || !(s.new = entry_alloc(m->vm, vrange(0, 0))))
		goto none;
	s.m = m;
	s.part = map_pick_lock(m, hint, size, at);
	if (!s.part)
		goto full;
	r = s.new->range = vrange(*at, *at + size);
	before = entry_list_before(&s.part->list, *at);
	after = entry_list_after(before);
	if ((before->range.end.va == *at && alike(before, w)) ||
	    (after && after->range.start.va == r.end.va && alike(after, w)) || !range_lock_is_free_locked(&s.part->ranges, r))
		goto other;
	s.new->floor = *at;
	map_entry_says(s.new, w, amap);
	entry_list_link(&s.part->list, s.new);
	map_size_add_locked(s.part, size);
	spin_unlock(&s.part->ranges.lock);
	return true;
other:
	spin_unlock(&s.part->ranges.lock);
full:
	zone_free(m->vm->entry_zone, s.new);
none:
	if (amap)
		amap_release(amap);
	return false;
}

/* The entry with which the heap begins, if it is all of it. */
static ALWAYS_INLINE struct vm_entry *heap_locked(struct vm_map *m, struct map_part *p, uint64_t end)
{
	uint64_t start = round_up(m->brk_start, PAGE_SIZE);
	struct vm_entry *e = entry_list_after(entry_list_before(&p->list, start));

	return e && e->range.start.va == start && e->range.end.va == end ? e : NULL;
}

/* Whether e would go on as what w says: entry_mergeable, of one that has no amap yet. */
static bool goes_on_as(const struct vm_entry *e, const struct vm_mapping *w)
{
	return e->prot == w->prot && e->max == w->max && e->inherit == w->inherit && e->huge == w->huge && !e->shared && !e->wired &&
	       !e->grows_down && !e->object && e->name == w->name && !atomic_load_relaxed(&e->amap->untrimmed); /* set under a range lock over it */
}

bool map_quick_extend(struct vm_map *m, uint64_t old_end, uint64_t new_end, const struct vm_mapping *w)
{
	const struct vm_entry *after;
	struct vrange more = vrange(old_end, new_end);
	struct swap s;

	if (!begin(&s, m, more))
		return false;
	s.old = heap_locked(m, s.part, old_end);
	if (!s.old)
		return give_up_locked(&s);
	after = entry_list_after(s.old);
	if ( (after && after->floor <= new_end) || !goes_on_as(s.old, w) ||
	    !map_part_has(m, s.part, more) ||
	    !range_lock_is_free_locked(&s.part->ranges, (struct vrange){ s.old->range.start, vaddr(new_end) }))
		return give_up_locked(&s);
	s.new->range.start = s.old->range.start;
	take_over(&s);
	replace_locked(&s);
	map_size_add_locked(s.part, new_end - old_end);
	spin_unlock(&s.part->ranges.lock);
	entry_retire_only(m->vm, s.old);
	if (epoch_should_poll(&m->vm->epoch))
		epoch_tidy(&m->vm->epoch);
	return true;
}

static ALWAYS_INLINE bool has_pages(struct vm_map *m, const struct amap *a, struct vrange r)
{
	bool any;

	epoch_enter(&m->vm->epoch);
	any = amap_next(a, r.start.va, r.end.va) < r.end.va;
	epoch_leave(&m->vm->epoch);
	return any;
}

/* What faults have brought between the look and the entry's death. As map_edit_trim. */
static NOINLINE void trim_late(struct vm_map *m, struct amap *a, struct vrange r)
{
	struct amap_trash trash = { .count = 0 };

	if (amap_trim(a, r.start.va, r.end.va, &trash) == OK)
		amap_trash_drop(m->vm, &trash);
	else
		atomic_store_relaxed(&a->untrimmed, 1u); /* under the range lock; see entry_mergeable */
}

bool map_quick_cut(struct vm_map *m, uint64_t new_end, uint64_t old_end)
{
	struct vrange gone = vrange(new_end, old_end);
	struct tlb_gather g;
	struct swap s;

	if (!begin(&s, m, gone))
		return false;
	s.old = heap_locked(m, s.part, old_end);
	if (!s.old || s.old->range.start.va >= new_end || s.old->shared || !range_lock_is_free_locked(&s.part->ranges, s.old->range) ||
	    has_pages(m, s.old->amap, gone)) /* those want memory to be taken out, and an error for its lack */
		return give_up_locked(&s);
	s.new->range = (struct vrange){ s.old->range.start, vaddr(new_end) };
	take_over(&s);
	replace_locked(&s);
	map_size_add_locked(s.part, new_end - old_end);
	range_lock_take_free_locked(&s.part->ranges, &s.hold, (struct vrange){ s.old->range.start, vaddr(old_end) });
	spin_unlock(&s.part->ranges.lock);
	gather_init(&g, &m->pmap);
	g.exclusive = true; /* as above */
	pmap_remove(&m->pmap, gone, &g);
	if (UNLIKELY(g.open)) { /* something was mapped: maybe by a fault that has brought a page since the look */
		map_flush(m->vm, &g);
		if (has_pages(m, s.old->amap, gone))
			trim_late(m, s.old->amap, gone);
	}
	entry_retire_only(m->vm, s.old);
	finish(&s, &g);
	return true;
}
