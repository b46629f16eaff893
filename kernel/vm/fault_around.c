/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault_around.c: a read maps the pages that follow, too.
 *
 * Purpose. Who reads page after page faults once in fault_around pages (32 unless the command line says otherwise), not in
 * each: a child after fork, a file's reader. Nothing is made or read in for it: what is there is mapped, and no more.
 *
 * When. The page before is mapped: that is the sign, and it costs no word that CPUs would share. As far as the entry, the leaf
 * node and the PTEs that are empty go.
 *
 * Failure. The first page that wants memory for its reverse map ends it: who needs that page will see to it.
 */
#include "vm/fault_private.h"

/* An object's page that is there already; ERR_STALE: it is not. */
static enum error map_page_along(struct fault *f, struct pmap_leaf *leaf, uint64_t va)
{
	const struct vm_entry *e = f->entry;
	struct found l = { .f = f, .index = entry_index(e, va) };
	const struct pmap_last_check check = { fault_page_backed, &l };

	l.page = object_lookup(e->object, l.index);
	if (!l.page)
		return ERR_STALE;
	return pmap_leaf_set(leaf, vaddr(va), frame_of(&f->vm->frames, l.page), (e->shared ? e->prot : e->prot & ~PROT_W) | PROT_R, 0,
			     &f->tables, &check);
}

/* Likewise an anon, which is not dropped before the leaf lock is free. */
static enum error map_anon_along(struct fault *f, struct pmap_leaf *leaf, uint64_t va, struct anon *anon, bool exclusive)
{
	enum prot prot = f->entry->prot | PROT_R;

	if (!exclusive || ref_count(&anon->refs) != 1)
		prot &= ~PROT_W;
	return pmap_leaf_set(leaf, vaddr(va), anon_frame(anon), prot, 0, &f->tables, NULL);
}

/*
 * Reads go on from page to page: those that follow are mapped as well, as far as they are there, up to the next that is mapped
 * already, in this entry and this leaf node. The leaf lock is held: a slot may lose what it holds, but not what is mapped for it
 * now, before that lock is free (fault_read.c).
 */
void fault_around_map(struct fault *f, struct pmap_leaf *leaf, bool exclusive)
{
	const struct vm_entry *entry = f->entry;
	uint64_t end = f->va + f->vm->fault_around * PAGE_SIZE, n = 0;
	uint64_t node_end = round_down(f->va, AMAP_FANOUT * PAGE_SIZE) + AMAP_FANOUT * PAGE_SIZE;
	uint64_t va = f->va + PAGE_SIZE;

	if (end > entry->range.end.va)
		end = entry->range.end.va;
	if (end > node_end)
		end = node_end;
	if (va < end)
		end = va + pmap_leaf_empty(leaf, vaddr(va), (unsigned)((end - va) >> PAGE_SHIFT)) * PAGE_SIZE;
	for (; va < end; va += PAGE_SIZE) {
		struct anon *anon = f->leaf ? amap_slot(f->leaf, va) : NULL;
		enum error e;

		if (anon)
			e = map_anon_along(f, leaf, va, anon, exclusive);
		else if (entry->object)
			e = map_page_along(f, leaf, va);
		else
			continue;
		if (e == OK)
			n++;
		else if (e != ERR_STALE)
			break; /* no memory for the reverse map: who needs the page will see to it */
	}
	counter_add(&f->vm->counters, COUNTER_pages_around, n);
}
