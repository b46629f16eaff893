/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault.c: from a touched address to a PTE.
 *
 * Purpose. Find the page that belongs at an address, make it if need be, map
 * it, with no lock but those of the 256 KiB and 2 MiB around it.
 *
 * Cases, for an access that the entry allows:
 *
 *                     | read or execute              | write
 *   ------------------+------------------------------+-------------------------------
 *   anon, only ours   | map it, writable later       | map it writable
 *   anon, shared      | map it read-only             | COPY to a new anon
 *   no anon, object   | map the object's, read-only  | COPY the object's page to an anon
 *   no anon, nothing  | map the zero page            | ZERO: a new anon
 *   shared entry      | map the object's page        | map it writable
 *
 * "Only ours": every node on the path, and the anon, at reference 1. One turn
 * goes through these steps, inside one epoch section:
 *
 *   1 find    entry, its leaf node and anon or its object's page     no lock
 *     a write lifts the limit that fork has set over 1 GiB of tables  that table's lock, rarely
 *   2 make    frame and anon, zeroed or copied                        no lock
 *   3 own     path to the leaf node exists and is exclusive           amap lock, rarely
 *   4 node lock, leaf lock                                            RANK_NODE, RANK_LEAF
 *   5 check   entry live, the amap leads to this node, slot as found
 *   6 put the new anon in the slot; for an object's page the last check; reverse map; PTE
 *   7 a read that goes on from the page before maps what follows      the same locks (fault_around.c)
 *     a first write likewise makes what follows                       them once more (fault_ahead.c)
 *     or, before all that, 2 MiB at once, where nothing is            amap lock, leaf lock (fault_block.c)
 *
 * When the address maps another frame already (the zero page, a shared anon, the
 * object's page) break comes before make: 4-5, the PTE turns BUSY, locks
 * dropped, flush, then 2, then 4-6 again. Copying after the flush, a write
 * through a stale TLB entry of another thread cannot be lost.
 *
 * Whatever does not fit any more is STALE: start over. After three in a row the
 * range lock keeps mutators out. What must wait (pager, memory) is done outside
 * the section, and then the fault starts over.
 *
 * Invariants.
 *  1. No PTE for a dead entry, or for an anon that its slot does not hold, or
 *     for a page that its object does not hold. Who takes rights or content away at an address
 *     changes entry or slot first and then takes the leaf lock of every table there (but fork: fork.c), so
 *     one look under that lock is enough (holds); an entry that dies for another reason
 *     (wiring, inheritance, growth) has a successor that allows the same. Who takes a page out of
 *     its object goes by the reverse map, so that is looked at under the frame's lock (fault_page_backed).
 *  2. An anon goes into a slot only through an exclusive path, under the node's lock.
 *  3. The old anon's reference goes after the flush of the PTE that mapped it.
 *  4. What a turn has not used goes back at the end (struct fault).
 *
 * Sources: NetBSD uvm_fault.c for the table of cases; RadixVM (2013) and
 * FreeBSD's lockless lookups for faults without a map lock.
 */
#include "vm/fault_private.h"

#include "base/assert.h"
#include "vm/map_edit.h"

#define STALE_LIMIT 3

/* --- 2 make --- */

/* A new anon with a frame of any content, or of zeros. */
static enum error make_spare(struct fault *f, bool zero)
{
	pfn_t frame;
	enum error e;

	if (f->spare && zero && !f->spare_zero) {
		machine_zero_frame(pfn_to_paddr(anon_frame(f->spare)));
		f->spare_zero = true;
	}
	if (f->spare)
		return OK;
	e = frame_alloc(&f->vm->frames, 0, zero ? FRAME_ZERO : 0, FRAME_ANON, &frame);
	if (e != OK)
		return e;
	f->spare = anon_new(f->vm, frame);
	if (!f->spare) {
		frame_put(&f->vm->frames, frame);
		return ERR_NOMEM;
	}
	f->spare_zero = zero;
	return OK;
}

/* --- 1 find --- */

static enum error find(struct fault *f)
{
	struct vm_entry *e = map_find(f->map, f->va);

	if (UNLIKELY(e && !entry_live(e)))
		e = map_find_anew(f->map, f->va);
	if (!e)
		return ERR_NOENT;
	f->life = entry_life(e);
	if (UNLIKELY(f->life & 1))
		return ERR_STALE;
	/* What may be written or executed may be read: tables cannot say otherwise everywhere (Linux does the same). */
	if (!(e->prot & f->access) && !(f->access == PROT_R && e->prot))
		return ERR_ACCESS;
	f->entry = e;
	f->leaf = NULL;
	f->anon = NULL;
	f->exclusive = false;
	if (e->amap) {
		f->leaf = amap_find(e->amap, f->va, &f->exclusive);
		f->anon = f->leaf ? amap_slot(f->leaf, f->va) : NULL;
	}
	return OK;
}

/* The object's resident page, or ERR_NOENT with f->wanted set. */
static enum error find_page(struct fault *f, struct vm_page **page)
{
	struct vm_object *o = f->entry->object;

	f->index = entry_index(f->entry, f->va);
	*page = object_lookup(o, f->index);
	if (*page)
		return OK;
	if (!ref_get_unless_zero(&o->refs))
		return ERR_STALE;
	f->wanted = o;
	return ERR_NOENT;
}

/* --- 5 check and 6 last check --- */

/* Entry live; amap still leads to the node and the slot is as found. *exclusive: nobody else leads to the leaf node: it may be
 * written. */
static inline bool holds(const struct found *l, bool *exclusive)
{
	const struct fault *f = l->f;
	struct amap_node *leaf;

	*exclusive = false;
	if (!entry_lives_on(f->entry, f->life)) /* first: its seq_cst load comes after the linking of the table, and what follows after it */
		return false;
	if (!f->entry->amap)
		return true;
	leaf = amap_find(f->entry->amap, f->va, exclusive);
	return leaf == f->leaf && (!leaf || amap_slot(leaf, f->va) == l->anon);
}

/* What an anon is about to take the place of: a page that was cut off must not come back as a private one. */
static inline bool holds_ours(struct found *l)
{
	bool exclusive;

	return holds(l, &exclusive) && l->f->leaf && exclusive && (!l->page || fault_page_backed(l));
}

/* --- 4 locks --- */

static inline enum error lock_both(struct fault *f, struct pmap_leaf *leaf)
{
	enum error e;

	if (f->leaf)
		spin_lock(&f->leaf->lock, RANK_NODE);
	e = pmap_leaf_lock(&f->map->pmap, vaddr(f->va), &f->tables, leaf);
	if (e != OK && f->leaf)
		spin_unlock(&f->leaf->lock);
	return e;
}

static void unlock_both(struct fault *f, struct pmap_leaf *leaf)
{
	pmap_leaf_unlock(leaf);
	if (f->leaf)
		spin_unlock(&f->leaf->lock);
}

/* Maps what is there already: an anon, an object's page, or the zero page (neither). */
static enum error map_existing(struct fault *f, pfn_t frame, struct vm_page *page, enum prot prot, unsigned flags)
{
	struct found found = { .f = f, .anon = f->anon, .page = page, .index = f->index };
	const struct pmap_last_check check = { fault_page_backed, &found };
	struct pmap_leaf leaf;
	struct pmap_pte pte;
	bool exclusive;
	enum error e = lock_both(f, &leaf);

	if (e != OK)
		return e;
	/* Reference counts may have moved since: what is not ours alone any more must not become writable. */
	if (!holds(&found, &exclusive) || ((prot & PROT_W) && f->anon && !(exclusive && ref_count(&f->anon->refs) == 1))) {
		unlock_both(f, &leaf);
		return ERR_STALE;
	}
	if (f->access == PROT_W && (prot & PROT_W))
		flags |= PMAP_WRITTEN;
	pte = pmap_leaf_get(&leaf, vaddr(f->va));
	if (pte.state == PMAP_VALID && pte.frame.fn == frame.fn && (pte.prot & f->access) &&
	    (f->access != PROT_W || pte.dirty)) {
		unlock_both(f, &leaf);
		pmap_spurious(&f->map->pmap, vaddr(f->va));
		counter_add(&f->vm->counters, COUNTER_faults_spurious, 1);
		return OK;
	}
	e = pmap_leaf_set(&leaf, vaddr(f->va), frame, prot, flags, &f->tables, page ? &check : NULL);
	if (e == OK && f->access != PROT_W && (page || f->anon))
		fault_around(f, &leaf, exclusive);
	unlock_both(f, &leaf);
	/* Another frame there, under an entry that is live: its remover is about to come by. */
	return e == ERR_EXISTS ? ERR_BUSY : e;
}

/* --- making private pages --- */

/*
 * Breaks the PTE when it maps old (PFN_NONE: there must be none). => OK: nothing
 * maps the address any more, *broken tells whether the PTE is our BUSY one.
 */
static enum error break_old(struct fault *f, struct found *found, pfn_t old, bool *broken)
{
	struct pmap_leaf leaf;
	struct pmap_pte pte;
	struct tlb_gather g;
	enum error e = lock_both(f, &leaf);

	*broken = false;
	if (e != OK)
		return e;
	pte = pmap_leaf_get(&leaf, vaddr(f->va));
	if (!holds_ours(found)) {
		e = ERR_STALE;
	} else if (pte.state == PMAP_BUSY || (pte.state == PMAP_VALID && pte.frame.fn != old.fn)) {
		e = ERR_BUSY;
	} else if (pte.state == PMAP_VALID) {
		gather_init(&g, &f->map->pmap);
		pmap_leaf_break(&leaf, vaddr(f->va), &g);
		*broken = true;
	}
	unlock_both(f, &leaf);
	if (*broken) {
		map_flush(f->vm, &g);
		frame_list_free_by_epoch(&f->vm->frames, &g.unlinked);
	}
	return e;
}

/*
 * Puts the spare in the slot in place of found's anon and maps it. => OK: the spare is used, the old reference is the
 * caller's. ERR_EXISTS: something is mapped there, which has to be broken first.
 */
static enum error install_spare(struct fault *f, struct found *found, bool broken)
{
	struct anon *made = f->spare;
	struct pmap_leaf leaf;
	enum error e = lock_both(f, &leaf);

	if (e != OK) {
		ASSERT(!broken); /* a BUSY PTE keeps its table */
		return e;
	}
	if (!holds_ours(found))
		e = ERR_STALE;
	else if (!broken && !pmap_leaf_empty(&leaf, vaddr(f->va), 1))
		e = pmap_leaf_get(&leaf, vaddr(f->va)).state == PMAP_VALID ? ERR_EXISTS : ERR_BUSY;
	if (e != OK) {
		if (broken)
			pmap_leaf_abandon(&leaf, vaddr(f->va));
		unlock_both(f, &leaf);
		return e;
	}
	amap_slot_set_locked(f->leaf, f->va, made);
	f->spare = NULL;
	e = pmap_leaf_set(&leaf, vaddr(f->va), anon_frame(made), f->entry->prot | PROT_R,
			  PMAP_WRITTEN | (broken ? PMAP_OWN_BUSY : 0), &f->tables, NULL);
	ASSERT(e == OK); /* the PTE is as we left it, and the frame mapped nowhere: no chunk was needed */
	unlock_both(f, &leaf);
	if (f->map->fault_ahead && !found->anon && !found->page)
		fault_ahead(f->map, f->entry, vaddr(f->va), &leaf);
	return OK;
}

/* A write to a private page that is not ours alone: zero-fill, or a copy of the anon or of the object's page. */
static enum error make_private(struct fault *f, struct vm_page *page)
{
	struct vm *vm = f->vm;
	struct anon *old = f->anon;
	struct found found = { .f = f, .anon = old, .page = page, .index = f->index };
	pfn_t source = old ? anon_frame(old) : page ? frame_of(&vm->frames, page) : vm->zero_page;
	bool broken;
	enum error e;

	if (pfn_is_none(source))
		return ERR_STALE;
	if (!f->leaf && !page && fault_block_wanted(f->map, f->entry, f->va) && !f->block.refused) {
		e = fault_block(f);
		if (e != ERR_EXISTS)
			return e;
		(void)fault_block_refuse(&f->block);
	}
	fault_block_drop(&f->block); /* the entry may have changed since it was made */
	/* Memory first: without it the old mapping stays. */
	e = make_spare(f, !old && !page);
	if (e != OK)
		return e;
	if (!f->leaf || !f->exclusive) {
		e = amap_own_path(f->entry->amap, f->va, &f->nodes);
		if (e != OK)
			return e;
		f->leaf = amap_find(f->entry->amap, f->va, &f->exclusive);
		if (!f->leaf)
			return ERR_STALE;
	}
	/* Zeros are there already, whatever the PTE is: mostly it is empty, and nothing has to be broken. */
	if (!old && !page) {
		e = install_spare(f, &found, false);
		if (e == OK)
			counter_add(&vm->counters, COUNTER_faults_zero, 1);
		if (e != ERR_EXISTS)
			return e;
	}
	/* A copier's reference: the frame stays while it is read, and nobody finds himself alone with it. */
	if (old && !ref_get_unless_zero(&old->refs))
		return ERR_STALE;
	e = break_old(f, &found, source, &broken);
	if (e == OK && old) {
		machine_copy_frame(pfn_to_paddr(anon_frame(f->spare)), pfn_to_paddr(source));
		f->spare_zero = false;
	} else if (e == OK && page) {
		f->spare_zero = false;
		if (object_copy_page(f->entry->object, f->index, pfn_to_paddr(anon_frame(f->spare))) != OK)
			e = ERR_STALE;
	}
	if (e == OK) {
		e = install_spare(f, &found, broken);
		if (e == ERR_EXISTS) /* since the look of break_old */
			e = ERR_BUSY;
	} else if (broken) {
		struct pmap_leaf leaf;

		if (pmap_leaf_lock(&f->map->pmap, vaddr(f->va), &f->tables, &leaf) != OK)
			panic("a BUSY translation lost its table");
		pmap_leaf_abandon(&leaf, vaddr(f->va));
		pmap_leaf_unlock(&leaf);
	}
	if (e == OK && old)
		anon_put(old); /* the slot's reference */
	if (old)
		anon_put(old); /* the copier's */
	if (e == OK)
		counter_add(&vm->counters, old || page ? COUNTER_faults_cow : COUNTER_faults_zero, 1);
	return e;
}

/* --- one turn --- */

static enum error turn(struct fault *f)
{
	struct vm_page *page = NULL;
	enum prot prot;
	enum error e = find(f);

	if (e == OK && f->access == PROT_W && pmap_limited(&f->map->pmap, vaddr(f->va)))
		e = fault_lift_limit(f->map, vaddr(f->va), f->entry, f->life);
	if (e != OK)
		return e;
	prot = f->entry->prot | PROT_R;
	if (f->anon) {
		bool ours = f->exclusive && ref_count(&f->anon->refs) == 1;
		pfn_t frame = anon_frame(f->anon);

		if (f->access == PROT_W && !ours)
			return make_private(f, NULL);
		if (pfn_is_none(frame))
			return ERR_STALE;
		e = map_existing(f, frame, NULL, ours ? prot : prot & ~PROT_W, 0);
		if (e == OK)
			counter_add(&f->vm->counters, COUNTER_faults_reuse, 1);
		return e;
	}
	if (f->entry->object) {
		e = find_page(f, &page);
		if (e != OK)
			return e;
		if (!f->entry->shared && f->access == PROT_W)
			return make_private(f, page);
		e = map_existing(f, frame_of(&f->vm->frames, page), page, f->entry->shared ? prot : prot & ~PROT_W, 0);
		if (e == OK)
			counter_add(&f->vm->counters, COUNTER_faults_file, 1);
		return e;
	}
	if (f->access == PROT_W)
		return make_private(f, NULL);
	amap_note_zeros(f->entry->amap);
	e = map_existing(f, f->vm->zero_page, NULL, prot & ~PROT_W, PMAP_UNTRACKED);
	if (e == OK)
		counter_add(&f->vm->counters, COUNTER_faults_zero_read, 1);
	return e;
}

/* Prepares what the turn lacked: table frames, amap nodes, or a frame for reverse-map chunks. */
static enum error restock(struct fault *f)
{
	struct pmap_stock *t = &f->tables;
	enum error e = OK;

	if (f->block.missing) {
		fault_block_make(f->vm, f->va, &f->block);
	} else if (t->missing) {
		for (; t->tables < t->missing && e == OK; t->tables += e == OK)
			e = frame_alloc(&f->vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &t->table[t->tables]);
	} else if (f->nodes.missing) {
		e = amap_stock_fill(f->vm, &f->nodes, f->nodes.missing);
	} else {
		ASSERT(pfn_is_none(t->chunk));
		e = frame_alloc(&f->vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &t->chunk);
		if (e != OK)
			t->chunk = PFN_NONE;
	}
	t->missing = f->nodes.missing = 0;
	/* A block may hold what the fault lacks for less. */
	return e == ERR_NOMEM && fault_block_refuse(&f->block) ? OK : e;
}

static void give_back(struct fault *f)
{
	while (f->tables.tables > 0)
		frame_put(&f->vm->frames, f->tables.table[--f->tables.tables]);
	if (!pfn_is_none(f->tables.chunk))
		frame_put(&f->vm->frames, f->tables.chunk);
	if (f->nodes.count > 0)
		amap_stock_empty(f->vm, &f->nodes);
	if (f->spare)
		anon_put(f->spare);
	fault_block_drop(&f->block);
	if (f->held)
		range_lock_drop(f->held, &f->hold);
}

/* Keeps changes of the map away from the page. */
static void hold_page(struct fault *f)
{
	for (;;) {
		struct map_part *p = map_part_lock(f->map, f->va);
		bool right = range_lock_take_locked(&p->ranges, &f->hold, vrange(f->va, f->va + PAGE_SIZE)) ||
			     p == map_part_of(f->map, f->va);

		f->held = &p->ranges;
		spin_unlock(&p->ranges.lock);
		if (right)
			return;
		range_lock_drop(f->held, &f->hold); /* the map was spread while we waited */
	}
}

/*
 * The object has no such page. That counts only while the mapping is there: another turn under the range lock, which keeps
 * out whoever could have taken it away before the object became shorter.
 */
static enum error no_page(struct fault *f, enum error e)
{
	if (f->held)
		return e;
	hold_page(f);
	return OK;
}

/* What a turn's result asks for before the next. => OK: take another turn. */
static enum error between(struct fault *f, enum error e, unsigned *stale)
{
	struct vm_object *o = f->wanted;

	switch (e) {
	case ERR_STALE:
		counter_add(&f->vm->counters, COUNTER_faults_stale, 1);
		if (++*stale == STALE_LIMIT && !f->held) {
			hold_page(f);
		}
		return OK;
	case ERR_BUSY: /* a flush under way on another CPU, or a mutator between publish and remove: it ends by itself */
		counter_add(&f->vm->counters, COUNTER_faults_busy, 1);
		sync_ops->yield();
		return OK;
	case ERR_STOCK:
		return restock(f);
	case ERR_BUS:
		return no_page(f, e);
	case ERR_NOENT:
		if (o) {
			f->wanted = NULL;
			e = object_fill(o, f->index);
			object_release(o);
			return e == ERR_BUS ? no_page(f, e) : e;
		}
		if (f->held) { /* growing takes the range lock itself */
			range_lock_drop(f->held, &f->hold);
			f->held = NULL;
		}
		return map_grow(f->map, f->va);
	default:
		return e;
	}
}

/* One by one: the stocks are large, and only their counts say what is in them. find sets what is of one turn. */
static void begin(struct fault *f, struct vm_map *m, vaddr_t va, enum prot access)
{
	f->vm = m->vm;
	f->map = m;
	f->va = round_down(va.va, PAGE_SIZE);
	f->access = access;
	f->tables.tables = f->tables.missing = 0;
	f->tables.chunk = PFN_NONE;
	f->nodes.count = f->nodes.missing = 0;
	f->spare = NULL;
	f->spare_zero = false;
	f->block.nodes = 0;
	f->block.missing = f->block.refused = false;
	f->held = NULL;
	f->wanted = NULL;
	f->index = 0;
}

enum error vm_fault_slow(struct vm_map *m, vaddr_t va, enum prot access)
{
	struct fault f;
	unsigned stale = 0;
	enum error e;

	rank_assert_may_wait();
	counter_add(&m->vm->counters, COUNTER_faults, 1);
	if (!vrange_has(m->bounds, va.va))
		return ERR_FAULT;
	begin(&f, m, va, access);
	do {
		epoch_enter(&m->vm->epoch);
		e = turn(&f);
		epoch_leave(&m->vm->epoch);
		if (e == OK)
			break;
		e = between(&f, e, &stale);
	} while (e == OK);
	give_back(&f);
	if (e == ERR_NOMEM)
		counter_add(&m->vm->counters, COUNTER_faults_nomem, 1);
	else if (e != OK)
		counter_add(&m->vm->counters, COUNTER_faults_refused, 1);
	return e;
}

enum error vm_fault(struct vm_map *m, vaddr_t va, enum prot access)
{
	if (access == PROT_W ? vm_fault_quick(m, va) : vm_fault_quick_read(m, va, access))
		return OK;
	return vm_fault_slow(m, va, access);
}
