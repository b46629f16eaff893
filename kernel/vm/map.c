/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map.c: address spaces and how they change.
 *
 * Purpose. Faults find out what an address is without a lock; mutators of
 * disjoint ranges work at the same time; no fault installs a PTE for what a
 * mutator has taken away.
 *
 * Structure. A map holds a tree of immutable entries (entry_tree.c), a range
 * lock, and a pmap. A change never edits an entry. It goes through an edit:
 *
 *   begin    range lock over the range and all entries that touch it; list old
 *   add      new entries, unpublished, each with references of its own
 *   merge    neighbours that are one mapping become one entry
 *   publish  one new version of the tree: new in, old out; then old is killed
 *   ...      PTEs removed or write-protected, private pages taken out
 *   finish   TLB flush; only then old's references (and with them frames) go
 *
 * All that can fail comes before publish; abort leaves the map as it was.
 *
 *   faulter                               mutator
 *   find entry e in the tree              publish new version
 *   take leaf lock (links a table)        e.dead = 1          (seq_cst)
 *   e.dead?  -> STALE, start over         load table pointer  (seq_cst), take leaf lock
 *   store PTE, drop leaf lock             clear PTE, drop leaf lock
 *                                         flush, free
 *
 * Invariants.
 *  1. Every entry in the tree is live, but between publish and finish of its
 *     successor, and during a move (remap.c) or a fork (fork.c).
 *  2. An entry is taken out only by who holds a range lock over all of it.
 *  3. An amap's anons lie within live entries that use it, unless it is marked
 *     untrimmed; then it is never merged.
 *  4. An entry's references are dropped after the flush that followed its death.
 *
 * Locking. Range lock, then nothing while memory is allocated; the tree's short
 * lock only inside publish. Never a leaf or node lock together with them.
 *
 * Failure. ERR_NOMEM before publish only. The one step after it that may want
 * memory, trimming a shared amap, has it reserved before; when faults beside the
 * range have made the tree larger since, and there is no memory for that, it marks
 * the amap untrimmed instead: those pages stay until the last entry with it goes.
 *
 * Sources: 4.4BSD and UVM for maps of entries; for immutable entries under a
 * lock-free tree and range locks: A. Clements et al., RadixVM (2013), and
 * A. Kogan et al., Scalable range locks for scalable address spaces (2020).
 */
#include "vm/map.h"

#include "base/assert.h"
#include "vm/amap.h"
#include "vm/map_edit.h"

/* Where user addresses begin and end: page 0 and the first 64 KiB catch null pointers, the last page none may map. */
#define USER_LOW UINT64_C(0x10000)
#define USER_HIGH ((UINT64_C(1) << 48) - PAGE_SIZE)

/* After this many tries a mutator whose neighbours keep changing locks all of the map. */
#define EXTENT_TRIES 3

enum error vm_map_create(struct vm *vm, struct vm_map **out)
{
	struct vm_map *m = zone_alloc(vm->map_zone);
	pfn_t root;

	if (!m)
		return ERR_NOMEM;
	if (frame_alloc(&vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &root) != OK) {
		zone_free(vm->map_zone, m);
		return ERR_NOMEM;
	}
	m->vm = vm;
	m->fault_ahead = (uint32_t)vm->fault_ahead;
	pmap_init(vm->pmaps, &m->pmap, root);
	ref_init(&m->refs, 1);
	m->bounds = vrange(USER_LOW, USER_HIGH);
	range_lock_init(&m->ranges);
	entry_tree_init(&m->tree, vm);
	mutex_init(&m->brk_lock);
	m->brk_start = m->brk_end = m->stack_limit = 0;
	atomic_store_relaxed(&m->spread, 0u);
	atomic_store_relaxed(&m->size, UINT64_C(0)); /* not published yet */
	atomic_store_relaxed(&m->grow_low, UINT64_C(0));
	*out = m;
	return OK;
}

void vm_map_reference(struct vm_map *m) { ref_get(&m->refs); }

static void map_free_late(struct epoch_item *item)
{
	struct vm_map *m = CONTAINER_OF(item, struct vm_map, retire);

	zone_free(m->vm->map_zone, m);
}

/* The first entry that ends after va. The caller keeps all mutators away from it, so it stays valid. */
static struct vm_entry *entry_at_or_after(struct vm_map *m, uint64_t va)
{
	struct vm_entry *e;

	epoch_enter(&m->vm->epoch);
	e = entry_tree_find(&m->tree, va);
	epoch_leave(&m->vm->epoch);
	return e;
}

void vm_map_release(struct vm_map *m)
{
	struct vm *vm = m->vm;
	struct vm_entry *e, *next, *all = NULL;
	struct frame_list tables;
	struct tlb_gather g;

	if (!ref_put(&m->refs))
		return;
	gather_init(&g, &m->pmap);
	g.exclusive = true; /* nobody is left to map anything */
	epoch_enter(&vm->epoch);
	for (e = entry_tree_find(&m->tree, 0); e; e = entry_tree_find(&m->tree, e->range.end.va)) {
		entry_kill(e);
		e->edit_next = all;
		all = e;
	}
	epoch_leave(&vm->epoch);
	pmap_remove(&m->pmap, m->bounds, &g);
	map_flush(vm, &g);
	frame_list_free_by_epoch(&vm->frames, &g.unlinked);
	for (e = all; e; e = next) {
		next = e->edit_next;
		entry_retire(vm, e);
	}
	entry_tree_clear(&m->tree);
	frame_list_init(&tables);
	pmap_destroy(&m->pmap, &tables);
	frame_list_free_by_epoch(&vm->frames, &tables);
	epoch_retire(&vm->epoch, &m->retire, map_free_late);
}

/* --- edits --- */

enum error map_check_range(const struct vm_map *m, struct vrange r)
{
	if ((r.start.va | r.end.va) & PAGE_MASK || r.start.va >= r.end.va || r.start.va < m->bounds.start.va ||
	    r.end.va > m->bounds.end.va)
		return ERR_INVAL;
	return OK;
}

/* What lies in a range and at its ends; entries or NULL. */
struct surroundings {
	struct vm_entry *before, *first, *after; /* ends where the range begins; lies in it, lowest; begins where it ends */
	bool several;                            /* more than first lie in it */
	struct vrange extent;                    /* the range and all of every entry that overlaps it or touches its ends */
};

static void look_around(struct vm_map *m, struct vrange r, struct surroundings *s)
{
	struct vm_entry *e;

	*s = (struct surroundings){ .extent = r };
	epoch_enter(&m->vm->epoch);
	e = entry_tree_find(&m->tree, r.start.va - 1);
	if (e && e->range.end.va == r.start.va) {
		s->before = e;
		s->extent.start = e->range.start;
		e = entry_tree_find(&m->tree, r.start.va);
	}
	if (e && e->range.start.va < r.end.va) {
		s->first = e;
		if (e->range.start.va < r.start.va)
			s->extent.start = e->range.start;
		if (e->range.end.va <= r.end.va)
			e = entry_tree_find(&m->tree, e->range.end.va);
		if (e && e != s->first && e->range.start.va < r.end.va) {
			s->several = true;
			e = entry_tree_before(&m->tree, r.end.va + 1);
		}
		if (e && e->range.start.va < r.end.va && e->range.end.va > r.end.va)
			s->extent.end = e->range.end;
	}
	if (e && e->range.start.va == r.end.va) {
		s->after = e;
		s->extent.end = e->range.end;
	}
	epoch_leave(&m->vm->epoch);
}

/* Locks what *s comes to say, which holds as long as the lock. */
static void lock_extent(struct map_edit *ed, struct surroundings *s)
{
	struct vm_map *m = ed->map;

	for (unsigned tries = 0;; tries++) {
		uint64_t changes = entry_tree_changes(&m->tree);
		struct vrange x;

		look_around(m, ed->range, s);
		x = tries < EXTENT_TRIES ? s->extent : RANGE_ALL;
		range_lock_take(&m->ranges, &ed->hold, x);
		/* What touched the range before the lock was ours may be another entry now. */
		if (entry_tree_changes(&m->tree) == changes)
			return;
		look_around(m, ed->range, s);
		if (s->extent.start.va >= x.start.va && s->extent.end.va <= x.end.va)
			return;
		range_lock_drop(&m->ranges, &ed->hold);
	}
}

void map_edit_begin(struct map_edit *ed, struct vm_map *m, struct vrange r, bool outer)
{
	struct surroundings s;
	struct vm_entry *e, **tail = &ed->old;

	ed->map = m;
	ed->range = r;
	ed->new = NULL;
	ed->new_tail = &ed->new;
	ed->keep_lock = outer;
	ed->reserve.first = NULL;
	gather_init(&ed->gather, &m->pmap);
	if (outer)
		look_around(m, r, &s);
	else
		lock_extent(ed, &s);
	ed->before = s.before;
	ed->after = s.after;
	ed->old = s.first;
	if (s.first)
		s.first->edit_next = NULL;
	if (!s.several)
		return;
	/* Entries that overlap stay valid by the range lock; the one behind them is looked at inside the section only. */
	epoch_enter(&m->vm->epoch);
	for (e = s.first; e && e->range.start.va < r.end.va; e = entry_tree_find(&m->tree, e->range.end.va)) {
		*tail = e;
		e->edit_next = NULL;
		tail = &e->edit_next;
	}
	epoch_leave(&m->vm->epoch);
}

enum error map_edit_add(struct map_edit *ed, const struct vm_entry *model, struct vrange r, struct vm_entry **out)
{
	struct vm_entry *e = entry_new(ed->map->vm, model, r);

	if (!e)
		return ERR_NOMEM;
	*ed->new_tail = e;
	ed->new_tail = &e->edit_next;
	if (out)
		*out = e;
	return OK;
}

enum error map_edit_keep_left(struct map_edit *ed, const struct vm_entry *e)
{
	if (e->range.start.va >= ed->range.start.va)
		return OK;
	return map_edit_add(ed, e, (struct vrange){ e->range.start, ed->range.start }, NULL);
}

enum error map_edit_keep_right(struct map_edit *ed, const struct vm_entry *e)
{
	if (e->range.end.va <= ed->range.end.va)
		return OK;
	return map_edit_add(ed, e, (struct vrange){ ed->range.end, e->range.end }, NULL);
}

/* e, unpublished, goes on with the private contents of beside if it has none of its own. */
static void share_amap(struct vm_entry *e, const struct vm_entry *beside)
{
	if (e->amap || !beside->amap)
		return;
	e->amap = beside->amap;
	amap_reference(e->amap);
}

/* b, unpublished, goes into a, unpublished, which ends where b starts. */
static void absorb(struct vm *vm, struct vm_entry *a, struct vm_entry *b)
{
	a->range.end = b->range.end;
	a->edit_next = b->edit_next;
	share_amap(a, b);
	entry_free(vm, b);
}

void map_edit_merge(struct map_edit *ed)
{
	struct vm *vm = ed->map->vm;
	struct vm_entry *first = ed->new, *last, *before = ed->before, *after = ed->after, **tail;

	if (!first || ed->keep_lock)
		return;
	if (before && entry_mergeable(before, first)) {
		first->range.start = before->range.start;
		first->offset = before->offset;
		first->floor = before->floor;
		share_amap(first, before);
		before->edit_next = ed->old;
		ed->old = before;
	}
	for (last = first; last->edit_next;) {
		if (entry_mergeable(last, last->edit_next))
			absorb(vm, last, last->edit_next);
		else
			last = last->edit_next;
	}
	ed->new_tail = &last->edit_next;
	if (after && entry_mergeable(last, after)) {
		last->range.end = after->range.end;
		share_amap(last, after);
		for (tail = &ed->old; *tail;)
			tail = &(*tail)->edit_next;
		after->edit_next = NULL;
		*tail = after;
	}
}

enum error map_edit_complete(struct map_edit *ed)
{
	for (struct vm_entry *e = ed->new; e; e = e->edit_next) {
		if (e->shared || e->amap)
			continue;
		e->amap = amap_new(ed->map->vm);
		if (!e->amap)
			return ERR_NOMEM;
	}
	return OK;
}

static uint64_t list_bytes(const struct vm_entry *e)
{
	uint64_t n = 0;

	for (; e; e = e->edit_next)
		n += vrange_size(e->range);
	return n;
}

/* Old and new ascend: what starts at the same address changes places. */
static enum error publish_version(struct map_edit *ed)
{
	const struct vm_entry *o = ed->old;
	struct vm_entry *n = ed->new;
	struct tree_txn x;
	enum error e;

	entry_tree_begin(&x, &ed->map->tree, true);
	while (o || n) {
		if (o && n && o->range.start.va == n->range.start.va) {
			entry_tree_change(&x, n);
			o = o->edit_next;
			n = n->edit_next;
		} else if (o && (!n || o->range.start.va < n->range.start.va)) {
			entry_tree_cut(&x, o->range.start.va, o->range.start.va + 1);
			o = o->edit_next;
		} else {
			entry_tree_put(&x, n);
			n = n->edit_next;
		}
	}
	e = entry_tree_ready(&x);
	if (e == OK)
		entry_tree_commit(&x);
	else
		entry_tree_abort(&x);
	return e;
}

enum error map_edit_publish(struct map_edit *ed)
{
	struct vm_map *m = ed->map;
	enum error e = OK;

	if (ed->old && ed->new && !ed->old->edit_next && !ed->new->edit_next &&
	    ed->old->range.start.va == ed->new->range.start.va)
		entry_tree_swap(&m->tree, ed->new);
	else
		e = publish_version(ed);
	if (e != OK)
		return e;
	for (struct vm_entry *o = ed->old; o; o = o->edit_next)
		entry_kill(o);
	/* relaxed: a figure for programs to read */
	atomic_add_relaxed(&m->size, list_bytes(ed->new) - list_bytes(ed->old));
	return OK;
}

/* What o has in r of an amap that others use as well. False: nothing, or it is alone with it: all goes when o does. */
static bool shared_part(const struct vm_entry *o, struct vrange r, uint64_t *start, uint64_t *end)
{
	*start = o->range.start.va > r.start.va ? o->range.start.va : r.start.va;
	*end = o->range.end.va < r.end.va ? o->range.end.va : r.end.va;
	return o->amap && ref_count(&o->amap->refs) != 1 && *start < *end;
}

enum error map_edit_reserve(struct map_edit *ed, struct vrange r)
{
	enum error e = OK;
	uint64_t start, end;

	for (const struct vm_entry *o = ed->old; o && e == OK; o = o->edit_next)
		if (shared_part(o, r, &start, &end))
			e = amap_reserve_trim(o->amap, start, end, &ed->reserve);
	return e;
}

void map_edit_trim(struct map_edit *ed, struct vm_entry *o, struct vrange r)
{
	struct amap_trash trash;
	uint64_t start, end;

	if (!shared_part(o, r, &start, &end))
		return;
	if (amap_trim_reserved(o->amap, start, end, &ed->reserve, &trash) == OK)
		amap_trash_drop(ed->map->vm, &trash); /* dead entries map nothing since the flush */
	else
		atomic_store_relaxed(&o->amap->untrimmed, 1u); /* under the range lock; see entry_mergeable */
}

void map_edit_empty(struct map_edit *ed)
{
	struct vm_map *m = ed->map;

	for (const struct vm_entry *o = ed->old; o; o = o->edit_next) {
		struct vrange r = o->range;

		if (r.start.va < ed->range.start.va)
			r.start = ed->range.start;
		if (r.end.va > ed->range.end.va)
			r.end = ed->range.end;
		if (r.start.va < r.end.va)
			pmap_remove(&m->pmap, r, &ed->gather);
	}
	map_flush(ed->map->vm, &ed->gather);
	for (struct vm_entry *o = ed->old; o; o = o->edit_next)
		map_edit_trim(ed, o, ed->range);
}

void map_edit_finish(struct map_edit *ed)
{
	struct vm *vm = ed->map->vm;
	struct vm_entry *o, *next;

	map_flush(ed->map->vm, &ed->gather);
	for (o = ed->old; o; o = next) {
		next = o->edit_next;
		entry_retire(vm, o);
	}
	frame_list_free_by_epoch(&vm->frames, &ed->gather.unlinked);
	amap_reserve_drop(vm, &ed->reserve);
	if (!ed->keep_lock)
		range_lock_drop(&ed->map->ranges, &ed->hold);
	if (epoch_should_poll(&vm->epoch))
		epoch_tidy(&vm->epoch);
}

void map_edit_abort(struct map_edit *ed)
{
	struct vm_entry *n, *next;

	for (n = ed->new; n; n = next) {
		next = n->edit_next;
		entry_free(ed->map->vm, n);
	}
	/* A move that failed late has taken PTEs away, and flushed (remap.c). */
	frame_list_free_by_epoch(&ed->map->vm->frames, &ed->gather.unlinked);
	amap_reserve_drop(ed->map->vm, &ed->reserve);
	if (!ed->keep_lock)
		range_lock_drop(&ed->map->ranges, &ed->hold);
}

/* --- asking --- */

bool vm_map_lookup(struct vm_map *m, uint64_t addr, struct vm_entry_info *info)
{
	const struct vm_entry *e;

	epoch_enter(&m->vm->epoch);
	e = entry_tree_find(&m->tree, addr);
	if (e)
		*info = (struct vm_entry_info){ .range = e->range, .prot = e->prot, .max = e->max, .shared = e->shared,
						.grows_down = e->grows_down, .wired = e->wired, .inherit = e->inherit,
						.offset = e->object ? e->offset : 0,
						.oid = e->object ? e->object->oid : (struct oid){ 0, 0 },
						.object = e->object, .name = e->name };
	epoch_leave(&m->vm->epoch);
	return e != NULL;
}

uint64_t vm_map_resident_pages(struct vm_map *m) { return pmap_resident(&m->pmap); }

void vm_map_check(struct vm_map *m)
{
	entry_tree_check(&m->tree);
	for (const struct vm_entry *e = entry_at_or_after(m, 0); e; e = entry_at_or_after(m, e->range.end.va)) {
		ASSERT(map_check_range(m, e->range) == OK);
		ASSERT(e->shared ? e->object && !e->amap : e->amap != NULL);
		if (e->amap)
			(void)amap_check(e->amap);
	}
	pmap_check(&m->pmap);
}

enum error vm_map_module_init(struct vm *vm)
{
	vm->map_zone = zone_create(&vm->zones, "map", sizeof(struct vm_map), CACHE_LINE, NULL, NULL, 0);
	return vm->map_zone ? OK : ERR_NOMEM;
}
