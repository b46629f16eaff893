/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault_ahead.c: a first write makes the pages that follow, too.
 *
 * Purpose. Who fills new memory from page to page faults once in fault_ahead + 1 pages, not in each.
 *
 * When. As many pages before the address as are mapped in a row, in its entry and its leaf table, so many behind it are made: 1, 3, 7 and
 * so on, up to fault_ahead (a number on the command line; 0: none, ever). The PTEs are the sign: it costs no word that CPUs would share,
 * and a program that touches here and there makes none. As far as the entry, the leaf node, the empty slots and the empty PTEs go.
 *
 *	1 how many: PTEs before and behind, the entry, the node        no lock: a glance
 *	2 make    frames of zeros, anons                                no lock
 *	3 node lock, leaf lock
 *	4 check   entry live, the amap leads here
 *	5 page by page, until one does not fit: slot empty, PTE empty; reverse map, PTE, slot
 *
 * The invariants are fault.c's; each page goes in as its only page would by fault_quick.c. So for anybody else a page that was made ahead is
 * one that another thread of the program has touched: whoever discards, unmaps, protects or forks comes before the check, or
 * finds slot and PTE. To the program it holds zeros, as before.
 *
 * What it costs the program. Memory: never more pages than it has touched, or was given before, in a row just before. They are mapped as
 * written: most will be, each would else fault once more to say so, and nothing asks about an anon's frame whether it is dirty, for there is
 * nowhere to write it to.
 *
 * Time. Interrupts may be masked: at most fault_ahead frames are zeroed, from this CPU's own caches, which are refilled by a batch, and
 * nothing is searched for. Zeroed before the locks are taken, so nobody waits for that.
 *
 * Failure. The first page that lacks anything is the last; what was made and does not fit goes back.
 */
#include "vm/fault_ahead.h"

#include "vm/amap_private.h"

/* Pages from va on that are to be made. */
struct ahead {
	struct vm_map *m;
	const struct vm_entry *entry;
	uint64_t va;
	uint32_t shape;         /* the amap's, before node was found */
	uint32_t life;          /* the entry's, before node was found */
	struct amap_node *node; /* leaf, exclusive */
	unsigned n;             /* made */
	struct anon *made[AMAP_FANOUT];
};

/* Step 1. In the node, and so in the table. */
static unsigned how_many(const struct vm_map *m, const struct vm_entry *e, uint64_t va, const struct pmap_leaf *leaf)
{
	uint64_t before = (va - e->range.start.va) >> PAGE_SHIFT, behind = (e->range.end.va - va - PAGE_SIZE) >> PAGE_SHIFT;
	uint64_t in_node = AMAP_FANOUT - 1 - amap_index(va), n;

	if (before > m->fault_ahead)
		before = m->fault_ahead;
	n = pmap_leaf_valid_before(leaf, vaddr(va), (unsigned)before);
	if (n > behind)
		n = behind;
	if (n > in_node)
		n = in_node;
	return n ? pmap_leaf_empty(leaf, vaddr(va + PAGE_SIZE), (unsigned)n) : 0;
}

/* Step 2. */
static void make(struct ahead *a, unsigned n)
{
	struct vm *vm = a->m->vm;

	for (a->n = 0; a->n < n; a->n++) {
		pfn_t frame = frame_get_zeroed(&vm->frames, FRAME_ANON);

		if (pfn_is_none(frame))
			return;
		a->made[a->n] = anon_new_cached(vm, frame);
		if (!a->made[a->n]) {
			frame_put(&vm->frames, frame);
			return;
		}
	}
}

/* Steps 4 and 5. => how many are in. */
static unsigned install_locked(struct ahead *a, struct pmap_leaf *leaf)
{
	unsigned n = 0;

	/* entry first: as in fault.c */
	if (!entry_lives_on(a->entry, a->life) || amap_shape(a->entry->amap) != a->shape)
		return 0;
	for (uint64_t va = a->va; n < a->n; va += PAGE_SIZE, n++) {
		if (amap_slot(a->node, va) || !pmap_leaf_fill(leaf, vaddr(va), anon_frame(a->made[n])))
			break;
		slot_put(a->node, amap_index(va), a->made[n]);
	}
	return n;
}

static unsigned install(struct ahead *a)
{
	struct pmap_leaf leaf;
	unsigned n = 0;

	spin_lock(&a->node->lock, RANK_NODE);
	if (pmap_leaf_lock(&a->m->pmap, vaddr(a->va), NULL, &leaf) == OK) {
		n = install_locked(a, &leaf);
		pmap_leaf_unlock(&leaf);
	}
	spin_unlock(&a->node->lock);
	return n;
}

void fault_ahead(struct vm_map *m, const struct vm_entry *e, vaddr_t va, const struct pmap_leaf *leaf)
{
	struct ahead a;
	unsigned n, done;

	va.va = round_down(va.va, PAGE_SIZE);
	n = how_many(m, e, va.va, leaf);
	/* Not what may be executed: pmap_leaf_fill knows of one kind of rights. */
	if (n == 0 || e->prot & PROT_X)
		return;
	a.m = m;
	a.entry = e;
	a.va = va.va + PAGE_SIZE;
	a.life = entry_life(e);
	if (a.life & 1)
		return;
	a.shape = amap_shape(e->amap);
	a.node = amap_find_own(e->amap, a.va);
	if (!a.node)
		return;
	make(&a, n);
	if (a.n == 0)
		return;
	done = install(&a);
	for (unsigned i = done; i < a.n; i++)
		anon_put(a.made[i]);
	counter_add(&m->vm->counters, COUNTER_pages_ahead, done);
}
