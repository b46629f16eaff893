/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map.c: address spaces and how they change.
 *
 * Purpose. Faults find out what an address is without a lock; mutators of
 * disjoint ranges work at the same time; no fault installs a PTE for what a
 * mutator has taken away.
 *
 * Structure. A map holds a list of immutable entries (entry_list.c) and a range
 * lock, for each of its parts (map_part.c), and a pmap. A change never edits an entry. It goes through an edit:
 *
 *   begin    range lock over the range and all entries that touch it; list old
 *   add      new entries, unpublished, each with references of its own
 *   merge    neighbours that are one mapping become one entry
 *   publish  old is killed; new into the list, old out of it
 *   ...      PTEs removed or write-protected, private pages taken out
 *   finish   TLB flush; only then old's references (and with them frames) go
 *
 * All that can fail comes before publish; abort leaves the map as it was.
 *
 *   faulter                               mutator
 *   find entry e, its life                e.life + 1: dead    (seq_cst)
 *   take leaf lock (links a table)        exchange in the list
 *   e.life as found? else STALE           load table pointer  (seq_cst), take leaf lock
 *   store PTE, drop leaf lock             clear PTE, drop leaf lock
 *                                         flush, free
 *
 * Invariants.
 *  1. Every entry in a list is live, but for the time of an exchange, and during a
 *     move (remap.c) or a fork (fork.c). Who sees something new finds nothing old of the same change live.
 *  2. An entry is taken out only by who holds a range lock over all of it.
 *  3. An amap's anons lie within live entries that use it, unless it is marked
 *     untrimmed; then it is never merged.
 *  4. An entry's references are dropped after the flush that followed its death.
 *
 * Locking. Range lock, then nothing while memory is allocated; a part's short
 * lock only inside begin and publish. Never a leaf or node lock together with them.
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
	m->huge = vm->huge;
	pmap_init(vm->pmaps, &m->pmap, root);
	ref_init(&m->refs, 1);
	m->bounds = vrange(USER_LOW, USER_HIGH);
	map_part_init(m, &m->main);
	m->part = NULL;
	m->part_low = 0;
	m->spread = false;
	mutex_init(&m->brk_lock);
	m->brk_start = m->brk_end = m->stack_limit = 0;
	atomic_store_relaxed(&m->part_bytes, UINT64_C(0)); /* not published yet */
	atomic_store_relaxed(&m->grow_low, UINT64_C(0));
	*out = m;
	return OK;
}

void vm_map_reference(struct vm_map *m) { ref_get(&m->refs); }

static void map_free_late(struct epoch_item *item)
{
	struct vm_map *m = CONTAINER_OF(item, struct vm_map, retire);

	if (m->part)
		kfree(&m->vm->kmalloc, m->part);
	zone_free(m->vm->map_zone, m);
}

uint64_t vm_map_release(struct vm_map *m)
{
	struct vm *vm = m->vm;
	struct vm_entry *e, *next, *all = NULL;
	struct frame_list tables;
	uint64_t resident;

	if (!ref_put(&m->refs))
		return 0;
	/* Who looks up an entry holds a reference; only who comes by the reverse map, to the pmap, may be late. */
	resident = pmap_destroy(&m->pmap, &tables);
	counter_add(&vm->counters, COUNTER_tlb_flushes, 1);
	for (e = map_first(m, 0); e; e = map_after(m, e)) { /* the way from one to the next goes by those before */
		e->edit_next = all;
		all = e;
	}
	for (e = all; e; e = next) {
		next = e->edit_next;
		entry_end(vm, e);
	}
	frame_list_free_by_epoch(&vm->frames, &tables);
	epoch_retire(&vm->epoch, &m->retire, map_free_late);
	return resident;
}

/* --- edits --- */

/*
 * What lies in ed's range, in one part, and at its ends: before and after, and *first. => the range and all of every entry that
 * overlaps it or touches its ends. Short lock held.
 */
static struct vrange look_around_locked(struct map_edit *ed, struct vm_entry **first)
{
	struct vrange r = ed->range, extent = r;
	struct vm_entry *e, *n;

	e = entry_list_before(&ed->part->list, r.start.va); /* the list's head reaches nowhere */
	ed->before = e->range.end.va == r.start.va ? e : NULL;
	*first = e->range.end.va > r.start.va ? e : NULL;
	if (e->range.end.va >= r.start.va)
		extent.start = e->range.start;
	for (n = entry_list_after(e); n && n->range.start.va < r.end.va; n = entry_list_after(n)) {
		if (!*first)
			*first = n;
		e = n;
	}
	if (e->range.end.va > r.end.va)
		extent.end = e->range.end;
	ed->after = NULL;
	if (n && n->range.start.va == r.end.va) {
		ed->after = n;
		extent.end = n->range.end;
	}
	return extent;
}

/* Old: from first, which is not beyond the range, on. The range is held, and of a part the short lock: the others' lists change. */
static void collect(struct map_edit *ed, struct vm_entry *first)
{
	struct vm_entry **tail = &ed->old;

	for (struct vm_entry *e = first; e && e->range.start.va < ed->range.end.va;
	     e = ed->part ? entry_list_after(e) : map_after(ed->map, e)) {
		*tail = e;
		tail = &e->edit_next;
	}
	*tail = NULL;
}

/* Locks the part of ed's range, or, unless size is 0, of one of that size that is free. => OK: its short lock is held. */
static enum error lock_part(struct map_edit *ed, uint64_t hint, uint64_t size)
{
	struct vm_map *m = ed->map;
	uint64_t at;

	if (!size) {
		ed->part = map_part_lock(m, ed->range.start.va);
		return OK;
	}
	ed->part = map_pick_lock(m, hint, size, &at);
	if (!ed->part)
		return ERR_NOSPACE;
	ed->range = vrange(at, at + size);
	return OK;
}

/*
 * Locks ed's range, which lies in one part, or, unless size is 0, one of that size that is free, with all of what touches it. Who has to
 * wait looks again: what touches the range, or is free, may be something else by then. => OK: the short lock is held as well, *first as
 * look_around_locked says. ERR_NOSPACE: there is no room. ERR_STALE: the range lies in several parts.
 */
static enum error lock_extent(struct map_edit *ed, uint64_t hint, uint64_t size, struct vm_entry **first)
{
	for (unsigned tries = 0;; tries++) {
		enum error e = lock_part(ed, hint, size);
		struct range_lock *l;
		struct vrange x, again;

		if (UNLIKELY(e != OK))
			return e;
		l = &ed->part->ranges;
		if (UNLIKELY(!map_part_has(ed->map, ed->part, ed->range))) {
			spin_unlock(&l->lock);
			return ERR_STALE;
		}
		x = look_around_locked(ed, first);
		if (UNLIKELY(tries >= EXTENT_TRIES))
			x = RANGE_ALL;
		if (LIKELY(range_lock_take_locked(l, &ed->hold, x)))
			break;
		again = look_around_locked(ed, first);
		if (again.start.va >= x.start.va && again.end.va <= x.end.va && !(size && *first) &&
		    map_part_has(ed->map, ed->part, ed->range) && ed->part == map_part_of(ed->map, ed->range.start.va))
			break;
		spin_unlock(&l->lock);
		range_lock_drop(l, &ed->hold);
	}
	return OK;
}

static void begin(struct map_edit *ed, struct vm_map *m, bool outer)
{
	ed->map = m;
	ed->part = NULL;
	ed->before = ed->after = ed->old = ed->new = NULL;
	ed->new_tail = &ed->new;
	ed->keep_lock = outer;
	ed->reserve.first = NULL;
	gather_init(&ed->gather, &m->pmap);
}

void map_edit_begin(struct map_edit *ed, struct vm_map *m, struct vrange r, bool outer)
{
	struct vm_entry *first;

	begin(ed, m, outer);
	ed->range = r;
	if (!outer && LIKELY(lock_extent(ed, 0, 0, &first) == OK)) {
		collect(ed, first);
		spin_unlock(&ed->part->ranges.lock);
		return;
	}
	/* What touches the range is not looked for: nothing joins. */
	ed->part = NULL;
	if (!outer)
		map_lock_all(m, &ed->hold);
	collect(ed, map_first(m, r.start.va));
}

enum error map_edit_begin_free(struct map_edit *ed, struct vm_map *m, uint64_t hint, uint64_t size)
{
	struct vm_entry *none;
	enum error e;

	begin(ed, m, false);
	e = lock_extent(ed, hint, size, &none);
	if (e == OK)
		spin_unlock(&ed->part->ranges.lock);
	return e;
}

static void unlock(struct map_edit *ed)
{
	if (ed->keep_lock)
		return;
	if (ed->part)
		range_lock_drop(&ed->part->ranges, &ed->hold);
	else
		map_unlock_all(ed->map, &ed->hold);
}

enum error map_edit_add(struct map_edit *ed, const struct vm_entry *model, struct vrange r, struct amap *amap,
			struct vm_entry **out)
{
	struct vm_entry *e = entry_new(ed->map->vm, model, r, amap);

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
	return map_edit_add(ed, e, (struct vrange){ e->range.start, ed->range.start }, e->amap, NULL);
}

enum error map_edit_keep_right(struct map_edit *ed, const struct vm_entry *e)
{
	if (e->range.end.va <= ed->range.end.va)
		return OK;
	return map_edit_add(ed, e, (struct vrange){ ed->range.end, e->range.end }, e->amap, NULL);
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

	if (!first || !ed->part)
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

enum step { ARRIVE = 1, LEAVE = 2 };

static void exchange(struct map_part *p, struct vm_entry *old, struct vm_entry *new, unsigned steps)
{
	spin_lock(&p->ranges.lock, RANK_RANGE);
	if (steps & ARRIVE) {
		entry_list_arrive(&p->list, old, new);
		map_size_add_locked(p, list_bytes(new));
	}
	if (steps & LEAVE) {
		entry_list_leave(&p->list, old);
		map_size_add_locked(p, -list_bytes(old));
	}
	spin_unlock(&p->ranges.lock);
}

/* Cuts a list that ascends before the first entry that starts at end or above: => that one. *cut: to be led to it again. */
static struct vm_entry *cut_list(struct vm_entry **list, uint64_t end, struct vm_entry ***cut)
{
	struct vm_entry *rest;

	while (*list && (*list)->range.start.va < end)
		list = &(*list)->edit_next;
	rest = *list;
	*list = NULL;
	*cut = list;
	return rest;
}

/* Part by part, as the entries ascend. */
static void exchange_parts(struct map_edit *ed, unsigned steps)
{
	struct vm_entry **old = &ed->old, **new = &ed->new, **old_cut, **new_cut;
	struct vm_map *m = ed->map;

	while (*old || *new) {
		uint64_t at = !*new || (*old && (*old)->range.start.va < (*new)->range.start.va) ? (*old)->range.start.va
												   : (*new)->range.start.va;
		uint64_t end = map_part_end(m, at);
		struct vm_entry *old_rest = cut_list(old, end, &old_cut), *new_rest = cut_list(new, end, &new_cut);

		exchange(map_part_of(m, at), *old, *new, steps);
		*old_cut = old_rest;
		*new_cut = new_rest;
		old = old_cut;
		new = new_cut;
	}
}

void map_edit_exchange(struct map_edit *ed)
{
	if (LIKELY(ed->part)) {
		exchange(ed->part, ed->old, ed->new, ARRIVE | LEAVE);
		return;
	}
	/* Until all has come, nobody may use any of it; and nothing goes before. */
	for (struct vm_entry *n = ed->new; n; n = n->edit_next)
		entry_kill(n);
	exchange_parts(ed, ARRIVE);
	exchange_parts(ed, LEAVE);
	for (struct vm_entry *n = ed->new; n; n = n->edit_next)
		entry_revive(n);
}

void map_fill(struct map_edit *ed)
{
	entry_list_fill(&ed->map->main.list, ed->new);
	atomic_store_relaxed(&ed->map->main.size, list_bytes(ed->new)); /* not published yet */
}

void map_edit_publish(struct map_edit *ed)
{
	/* First: who sees something new finds nothing old any more. */
	for (struct vm_entry *o = ed->old; o; o = o->edit_next)
		entry_kill(o);
	map_edit_exchange(ed);
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
	unlock(ed);
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
	unlock(ed);
}

/* --- asking --- */

struct vm_entry *map_find_anew(struct vm_map *m, uint64_t va)
{
	struct vm_entry *e = entry_list_find(&map_part_of(m, va)->list, va);

	if (!e || e->range.start.va > va)
		return NULL;
	m->vm->found[cpu_id()] = (struct map_found){ m, e, epoch_mine(&m->vm->epoch) };
	return e;
}

bool vm_map_lookup(struct vm_map *m, uint64_t addr, struct vm_entry_info *info)
{
	const struct vm_entry *e;

	epoch_enter(&m->vm->epoch);
	e = map_first(m, addr);
	if (e)
		*info = (struct vm_entry_info){ .range = e->range, .prot = e->prot, .max = e->max, .shared = e->shared,
						.grows_down = e->grows_down, .wired = e->wired, .inherit = e->inherit, .huge = e->huge,
						.offset = e->object ? e->offset : 0,
						.oid = e->object ? e->object->oid : (struct oid){ 0, 0 },
						.object = e->object, .name = e->name };
	epoch_leave(&m->vm->epoch);
	return e != NULL;
}

uint64_t vm_map_resident_pages(struct vm_map *m) { return pmap_resident(&m->pmap); }

/* Where a page of its own is mapped, it is the one of its slot. */
static void check_mapped(struct vm_map *m, const struct vm_entry *e)
{
	bool exclusive;

	for (uint64_t va = e->range.start.va; (va = amap_next(e->amap, va, e->range.end.va)) < e->range.end.va; va += PAGE_SIZE) {
		struct pmap_pte pte = pmap_extract(&m->pmap, vaddr(va));

		ASSERT(pte.state != PMAP_VALID ||
		       pte.frame.fn == anon_frame(amap_slot(amap_find(e->amap, va, &exclusive), va)).fn);
	}
}

void vm_map_check(struct vm_map *m)
{
	map_part_check(m);
	for (const struct vm_entry *e = map_first(m, 0); e; e = map_after(m, e)) {
		ASSERT(map_check_range(m, e->range) == OK);
		ASSERT(e->shared ? e->object && !e->amap : e->amap != NULL);
		if (e->amap) {
			(void)amap_check(e->amap);
			check_mapped(m, e);
		}
	}
	pmap_check(&m->pmap);
}

enum error vm_map_module_init(struct vm *vm)
{
	machine_random(&vm->map_secret, sizeof vm->map_secret);
	vm->map_zone = zone_create(&vm->zones, "map", sizeof(struct vm_map), CACHE_LINE, NULL, NULL, 0);
	return vm->map_zone ? OK : ERR_NOMEM;
}
