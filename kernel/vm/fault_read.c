/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault_read.c: the short way of a read, or a fetch, of a page that is there.
 *
 * Purpose. What fault.c does where nothing has to be made: an anon in its slot, whoever else shares it, or an
 * object's resident page; the leaf table is there and maps nothing at the address. It is what a child after fork, and a program
 * after exec, do before all else. As fault_quick.c it waits for nothing but spinlocks, and the machine calls it
 * before it has saved more than a call needs, with interrupts masked. All of fault.c's invariants hold; the steps:
 *
 *	1 find    entry, leaf node and anon, or object's page              no lock
 *	4 node lock where others lead to the node, leaf lock
 *	5 check   entry live, the amap's shape as before, slot as found, PTE empty
 *	6 an object's page: the last check; reverse map; PTE
 *	7 what follows is mapped along (fault_around.c), a leaf node's pages at most
 *
 * The shape says that the amap leads to the node still, or to none, and alone if it did so alone (amap.c, 6). A path that
 * others share is changed only by leading this amap elsewhere, which counts as well. Who only looks at the slots of a node that is his alone does
 * without its lock: what is put in a slot is put there under the leaf lock, too, and what is taken out is taken out
 * before the leaf lock is taken for its PTE, and dropped after that (fault.c, invariant 1). A node that others share may be changed by
 * a fault that is late, of the space that this one was forked from, under that one's leaf lock: so there the node's lock is taken (fork.c).
 *
 * Failure. Whatever is missing (a table, a chunk of the reverse map, a page, the zero page) or has changed: nothing was done, the
 * long way begins anew.
 */
#include "vm/amap_private.h"
#include "vm/fault_private.h"
#include "vm/object.h"

/* 1. f and l say what belongs at f->va; false: nothing that this way knows. */
static inline bool find(struct fault *f, struct found *l, uint32_t *shape)
{
	struct vm_entry *e = map_find(f->map, f->va);

	/* as in fault.c */
	if (UNLIKELY(!e || !(e->prot & f->access || (f->access == PROT_R && e->prot))))
		return false;
	f->entry = e;
	f->life = entry_life(e);
	if (UNLIKELY(f->life & 1))
		return false;
	f->leaf = NULL;
	f->exclusive = false;
	l->anon = NULL;
	l->page = NULL;
	if (e->amap) {
		*shape = amap_shape(e->amap); /* before the node is found */
		f->leaf = amap_find(e->amap, f->va, &f->exclusive);
		l->anon = f->leaf ? amap_slot(f->leaf, f->va) : NULL;
	}
	if (l->anon || !e->object)
		return l->anon;
	l->index = entry_index(e, f->va);
	l->page = object_lookup(e->object, l->index);
	return l->page;
}

/* 5. entry first: as in fault.c */
static inline bool holds(const struct fault *f, const struct found *l, uint32_t shape)
{
	const struct vm_entry *e = f->entry;

	return entry_lives_on(e, f->life) && (!e->amap || (amap_shape(e->amap) == shape && (!f->leaf || amap_slot(f->leaf, f->va) == l->anon)));
}

/* 6, 7 */
static inline bool map(struct fault *f, struct found *l, struct pmap_leaf *leaf)
{
	const struct pmap_last_check check = {fault_page_backed, l};
	const struct vm_entry *e = f->entry;
	bool ours = l->anon ? f->exclusive && ref_count(&l->anon->refs) == 1 : e->shared;
	pfn_t frame = l->anon ? anon_frame(l->anon) : frame_of(&f->vm->frames, l->page);

	if (UNLIKELY(pfn_is_none(frame)))
		return false;
	f->tables.tables = 0;
	f->tables.chunk = PFN_NONE;
	if (pmap_leaf_set(leaf, vaddr(f->va), frame, (ours ? e->prot : e->prot & ~PROT_W) | PROT_R, 0, &f->tables,
			  l->page ? &check : NULL) != OK)
		return false;
	fault_around(f, leaf, f->exclusive);
	return true;
}

/* 4 to 7, under the node's lock if it has to be */
static inline bool map_found(struct fault *f, struct found *l, uint32_t shape)
{
	struct pmap_leaf leaf;
	bool done;

	if (UNLIKELY(pmap_leaf_lock(&f->map->pmap, vaddr(f->va), NULL, &leaf) != OK))
		return false;
	done = holds(f, l, shape) && pmap_leaf_empty(&leaf, vaddr(f->va), 1) && map(f, l, &leaf);
	pmap_leaf_unlock(&leaf);
	return done;
}

static inline bool lock_and_map(struct fault *f, struct found *l, uint32_t shape)
{
	bool shared = f->leaf && !f->exclusive, done;

	if (shared)
		spin_lock(&f->leaf->lock, RANK_NODE);
	done = map_found(f, l, shape);
	if (shared)
		spin_unlock(&f->leaf->lock);
	return done;
}

bool vm_fault_quick_read(struct vm_map *m, vaddr_t va, enum prot access)
{
	struct vm *vm = m->vm;
	struct fault f; /* what find, map and fault_around need of it */
	struct found l = {.f = &f};
	struct counters_cpu *count;
	uint32_t shape = 0;
	bool done;

	f.vm = vm;
	f.map = m;
	f.va = round_down(va.va, PAGE_SIZE);
	f.access = access;
	epoch_enter_first(&vm->epoch);
	done = find(&f, &l, &shape) && lock_and_map(&f, &l, shape);
	epoch_leave_last(&vm->epoch);
	if (done) {
		count = counters_here(&vm->counters);
		atomic_bump(&count->value[COUNTER_faults], 1);
		atomic_bump(&count->value[l.anon ? COUNTER_faults_reuse : COUNTER_faults_file], 1);
	}
	return done;
}
