/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map_edit.h: the steps that every change of a map is made of. Internal to
 * kernel/vm. Theory: map.c.
 */
#ifndef VM_MAP_EDIT_H
#define VM_MAP_EDIT_H

#include "vm/amap.h"
#include "vm/map.h"

/* One change under way; on the mutator's stack. */
struct map_edit {
	struct vm_map *map;
	struct map_part *part;       /* in which all of range lies, or NULL */
	struct vrange range;         /* what the change is about */
	struct range_hold hold;      /* covers range and all of every entry that touches it; of main, when all parts are held */
	struct vm_entry *before, *after; /* published entries that end where range begins, begin where it ends, or NULL; covered */
	struct vm_entry *old;        /* entries that overlap range, ascending, by edit_next */
	struct vm_entry *new;        /* what comes in their place, ascending */
	struct vm_entry **new_tail;
	struct tlb_gather gather;
	struct amap_reserve reserve; /* what taking private pages of old away may need */
	bool keep_lock;              /* the caller's range lock covers it: none taken here */
};

/* Takes the range lock and collects old. outer: the caller holds RANGE_ALL already. Thread context, nothing held. */
void map_edit_begin(struct map_edit *ed, struct vm_map *m, struct vrange r, bool outer);
/* The same for size bytes where there is room, hint first: ed->range. ERR_NOSPACE: nothing is held. */
enum error map_edit_begin_free(struct map_edit *ed, struct vm_map *m, uint64_t hint, uint64_t size) MUST_CHECK;

/* Appends an entry_new to new; *out (may be NULL) for changes before publish. ERR_NOMEM. */
enum error map_edit_add(struct map_edit *ed, const struct vm_entry *model, struct vrange r, struct amap *amap,
			struct vm_entry **out) MUST_CHECK;

/* Keeps the parts of e, an old entry, that lie left / right of range. */
enum error map_edit_keep_left(struct map_edit *ed, const struct vm_entry *e) MUST_CHECK;
enum error map_edit_keep_right(struct map_edit *ed, const struct vm_entry *e) MUST_CHECK;

/* Merges neighbours among new, and the outermost of new with the untouched entries beside range. */
void map_edit_merge(struct map_edit *ed);

/* Every private entry of new without an amap gets one. ERR_NOMEM. */
enum error map_edit_complete(struct map_edit *ed) MUST_CHECK;

/* Memory for map_edit_empty to take private pages out of amaps that go on being used. After the last add. ERR_NOMEM. */
enum error map_edit_reserve(struct map_edit *ed, struct vrange r) MUST_CHECK;

/* Takes the pages of o, an old entry, in r out of an amap that others of the map go on using; PTEs are gone and flushed. */
void map_edit_trim(struct map_edit *ed, struct vm_entry *o, struct vrange r);

/* Exchanges old, which is dead, for new, in the lists and in the map's size. */
void map_edit_exchange(struct map_edit *ed);
/* Kills old, then the same. */
void map_edit_publish(struct map_edit *ed);
/* Publishes new in a map that is empty and that nobody else knows. */
void map_fill(struct map_edit *ed);

/* Flushes, retires old, drops the lock. */
void map_edit_finish(struct map_edit *ed);

/* Frees new, drops the lock: the map is as it was. */
void map_edit_abort(struct map_edit *ed);

/* Takes the PTEs and private pages of old within range away; after publish. Flushes. */
void map_edit_empty(struct map_edit *ed);

/* gather_flush, counted. Same context. */
static inline void map_flush(struct vm *vm, struct tlb_gather *g)
{
	if (g->ranges || g->whole)
		counter_add(&vm->counters, COUNTER_tlb_flushes, 1);
	else if (!g->open && !g->tables && !g->busy.end.va)
		return; /* nothing was taken away since the last one */
	gather_flush(g);
}

/* e, new, is what w says; it gets a reference to w's object, and the caller's to amap. */
static inline void map_entry_says(struct vm_entry *e, const struct vm_mapping *w, struct amap *amap)
{
	e->prot = w->prot;
	e->max = w->max;
	e->inherit = (uint8_t)w->inherit;
	e->shared = w->shared;
	e->grows_down = w->grows_down;
	e->wired = w->wired != 0;
	e->huge = (uint8_t)w->huge;
	e->object = w->object;
	e->offset = w->offset;
	e->amap = amap;
	e->name = w->name;
	if (e->object)
		object_reference(e->object);
}

/* --- map_part.c --- */

/* An empty part of m, not published yet. */
void map_part_init(struct vm_map *m, struct map_part *p);
/* Panics unless each part's list is right, and holds what lies in the part. Quiet point. */
void map_part_check(struct vm_map *m);

static inline struct map_part *map_part_of(struct vm_map *m, uint64_t va)
{
	uint64_t bytes = atomic_load_acquire(&m->part_bytes); /* pairs with vm_map_spread */

	if (LIKELY(!bytes) || va - m->part_low >= bytes)
		return &m->main;
	return &m->part[(va - m->part_low) >> MAP_PART_SHIFT];
}

/* The part of va, its short lock taken. */
static inline struct map_part *map_part_lock(struct vm_map *m, uint64_t va)
{
	for (;;) {
		struct map_part *p = map_part_of(m, va);

		spin_lock(&p->ranges.lock, RANK_RANGE);
		if (LIKELY(p == map_part_of(m, va)))
			return p;
		spin_unlock(&p->ranges.lock); /* the map has been spread meanwhile */
	}
}

/* True when r lies in p alone; p is the part of its beginning. */
static inline bool map_part_has(struct vm_map *m, const struct map_part *p, struct vrange r)
{
	uint64_t bytes = atomic_load_acquire(&m->part_bytes); /* as above */

	if (LIKELY(!bytes))
		return true;
	return map_part_of(m, r.end.va - 1) == p &&
	       (p != &m->main || r.start.va >= m->part_low + bytes || r.end.va <= m->part_low);
}

/* Up to where the addresses of va's part go on. */
uint64_t map_part_end(struct vm_map *m, uint64_t va);

/* The range locks of all parts, over everything. *h is of main's. May wait: thread context, nothing held. */
void map_lock_all(struct vm_map *m, struct range_hold *h);
void map_unlock_all(struct vm_map *m, struct range_hold *h);

/* The first entry of m that ends after va / the one after e; or NULL. Inside an epoch section, or while all mutators are kept out. */
struct vm_entry *map_first(struct vm_map *m, uint64_t va);
struct vm_entry *map_after(struct vm_map *m, const struct vm_entry *e);

/* Short lock held. */
static inline void map_size_add_locked(struct map_part *p, uint64_t bytes) { atomic_bump(&p->size, bytes); /* relaxed by readers: a figure */ }

/* map_quick.c: the calls of map.h for the commonest cases. => false: not such a case, nothing was done. Context likewise. */
bool map_quick_enter(struct vm_map *m, uint64_t hint, uint64_t size, const struct vm_mapping *w, uint64_t *at) MUST_CHECK;
bool map_quick_remove(struct vm_map *m, struct vrange r) MUST_CHECK;
bool map_quick_protect(struct vm_map *m, struct vrange r, enum prot prot) MUST_CHECK;
/* Moves the end of what is mapped as w says from old_end up. */
bool map_quick_extend(struct vm_map *m, uint64_t old_end, uint64_t new_end, const struct vm_mapping *w) MUST_CHECK;
/* Moves the end of an entry down, from old_end. */
bool map_quick_cut(struct vm_map *m, uint64_t new_end, uint64_t old_end) MUST_CHECK;

/* Common to all: r is page aligned, not empty, within bounds. */
static inline enum error map_check_range(const struct vm_map *m, struct vrange r)
{
	if ((r.start.va | r.end.va) & PAGE_MASK || r.start.va >= r.end.va || r.start.va < m->bounds.start.va ||
	    r.end.va > m->bounds.end.va)
		return ERR_INVAL;
	return OK;
}

/* A touch at va below a growing entry: extends it. ERR_FAULT: no such entry or no room. Takes range locks. */
enum error map_grow(struct vm_map *m, uint64_t va) MUST_CHECK;

/*
 * A range of size that is free now, page aligned: at hint if that is free, else the highest of the CPU's own part (vm_map_spread), else
 * the highest below the GiB in which the stack ends, else below the stack, else the highest of all. => its part, whose short lock has been taken; NULL: there is none.
 */
struct map_part *map_pick_lock(struct vm_map *m, uint64_t hint, uint64_t size, uint64_t *addr);

#endif
