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
	struct vrange range;         /* what the change is about */
	struct range_hold hold;      /* covers range and all of every entry that touches it */
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

/* Appends a copy of model cut to r to new; *out (may be NULL) for changes before publish. ERR_NOMEM. */
enum error map_edit_add(struct map_edit *ed, const struct vm_entry *model, struct vrange r, struct vm_entry **out) MUST_CHECK;

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

/* Swaps new for old in the tree and kills old. ERR_NOMEM: nothing changed. */
enum error map_edit_publish(struct map_edit *ed) MUST_CHECK;

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

/* Common to all: r is page aligned, not empty, within bounds. */
enum error map_check_range(const struct vm_map *m, struct vrange r) MUST_CHECK;

/* A touch at va below a growing entry: extends it. ERR_FAULT: no such entry or no room. Takes range locks. */
enum error map_grow(struct vm_map *m, uint64_t va) MUST_CHECK;

/*
 * A range of size that is free now, page aligned: at hint if that is free, else the highest of the CPU's own region (vm_map_spread), else
 * the highest below the GiB in which the stack ends, else below the stack, else the highest of all. false: there is none. Thread context, takes the tree's lock.
 */
bool map_pick(struct vm_map *m, uint64_t hint, uint64_t size, uint64_t *addr);

#endif
