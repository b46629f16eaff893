/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault_quick.c: the short way of a write to private anonymous memory.
 *
 * Purpose. What fault.c does, for the two cases that are by far the commonest, with nothing in between: a page that
 * nobody has touched, and one that has to be copied since a fork; where the tables lack nothing, in an entry
 * that nobody is changing, with a frame, an anon, and the nodes that the amap may lack in the CPU's own caches. It waits for nothing but spinlocks, so the
 * machine calls it before it has saved more than a call needs, with interrupts masked. All of fault.c's invariants hold; the
 * steps are its own:
 *
 *	1 find    entry, exclusive leaf node, slot                         no lock
 *	3 own     the path to the node, if it is not there or shared      amap lock
 *	2 make    a frame (of zeros), an anon                              no lock
 *	4 node lock, leaf lock
 *	5 check   entry live, the amap leads here, slot as found, PTE empty or the old page's
 *	  copy    the old page's PTE goes, and is flushed; the bytes
 *	6 reverse map, PTE, slot
 *	7 a first touch that goes on from the page before makes what follows (fault_ahead.c)
 *
 * Here a copy is made under the locks, by which no PTE has to be BUSY meanwhile, and nothing is looked at twice. It
 * takes as long as a page takes to copy; only who works in the same 256 KiB, or faults in the same 2 MiB, waits.
 *
 * The slot comes last, for the PTE may refuse. Until then, whoever finds it as it was without a lock waits for the node's.
 *
 * fork's limit over a GiB is lifted here, too, where few tables lie below it (armv8/limit.c), and then the write begins anew.
 *
 * Failure. Whatever is missing or has changed: what was made goes back, nothing was done, the long way begins anew.
 */
#include "base/assert.h"
#include "vm/amap_private.h"
#include "vm/fault.h"
#include "vm/fault_ahead.h"
#include "vm/fault_block.h"

/* What is written to, found without a lock. */
struct place {
	struct vm_map *m;
	const struct vm_entry *entry;
	const struct amap *amap;
	uint32_t life;          /* entry's, when it was found */
	uint32_t shape;         /* the amap's, before node was found */
	struct amap_node *node; /* leaf, exclusive */
	struct anon *old;       /* in its slot, or NULL */
	vaddr_t va;
};

/* Steps 5 and 6. false: nothing was done. */
static ALWAYS_INLINE bool install_locked(const struct place *p, struct pmap_leaf *leaf, struct anon *made, pfn_t frame)
{
	pfn_t source;
	uint64_t was;

	/* entry first: as in fault.c */
	if (UNLIKELY(!entry_lives_on(p->entry, p->life) || amap_shape(p->amap) != p->shape || amap_slot(p->node, p->va.va) != p->old))
		return false;
	if (p->old) {
		source = anon_frame(p->old);
		if (UNLIKELY(pfn_is_none(source) || !pmap_leaf_withdraw(leaf, p->va, source, &was)))
			return false;
		machine_copy_frame(pfn_to_paddr(frame), pfn_to_paddr(source));
		pmap_leaf_replace(leaf, p->va, source, was, frame);
		if (was)
			counter_add(&p->m->vm->counters, COUNTER_tlb_flushes, 1);
	} else if (UNLIKELY(!pmap_leaf_fill(leaf, p->va, frame))) {
		return false;
	}
	slot_put(p->node, amap_index(p->va.va), made); /* amap_slot_set_locked, in line */
	return true;
}

static ALWAYS_INLINE bool install(const struct place *p, struct anon *made, pfn_t frame)
{
	struct pmap_leaf leaf;
	bool done;

	spin_lock(&p->node->lock, RANK_NODE);
	if (UNLIKELY(pmap_leaf_lock(&p->m->pmap, p->va, NULL, &leaf) != OK)) {
		spin_unlock(&p->node->lock);
		return false;
	}
	done = install_locked(p, &leaf, made, frame);
	pmap_leaf_unlock(&leaf);
	spin_unlock(&p->node->lock);
	if (UNLIKELY(p->m->fault_ahead) && done && !p->old)
		fault_ahead(p->m, p->entry, p->va, &leaf);
	return done;
}

/* Steps 2 to 6, with a frame or none. */
static ALWAYS_INLINE bool make_private(const struct place *p, pfn_t frame)
{
	struct vm *vm = p->m->vm;
	struct counters_cpu *count;
	struct anon *made;

	if (UNLIKELY(pfn_is_none(frame)))
		return false;
	made = anon_new_cached(vm, frame);
	if (UNLIKELY(!made)) {
		frame_put(&vm->frames, frame);
		return false;
	}
	if (UNLIKELY(!install(p, made, frame))) {
		anon_put(made);
		return false;
	}
	count = counters_here(&vm->counters);
	atomic_bump(&count->value[COUNTER_faults], 1);
	atomic_bump(&count->value[p->old ? COUNTER_faults_cow : COUNTER_faults_zero], 1);
	return true;
}

/* By value: so that a first touch keeps all of it in registers. */
static NOINLINE bool copy(struct place place)
{
	const struct place *p = &place;
	struct vm *vm = p->m->vm;

	/* An anon that is ours alone needs no copy, but its rights. */
	if (ref_count(&p->old->refs) == 1 || !make_private(p, frame_get_cached(&vm->frames, FRAME_ANON)))
		return false;
	anon_put(p->old); /* the slot's reference */
	return true;
}

/* The amap has no node there, or shares the way to it. false: the long way makes it. */
static NOINLINE bool own(struct vm_map *m, const struct vm_entry *e, vaddr_t va)
{
	struct amap *a = e->amap;

	if (UNLIKELY(fault_block_wanted(m, e, va.va)) && fault_block_room(m, e, va.va))
		return false; /* the long way knows blocks */
	return pmap_has_leaf(&m->pmap, va) && amap_own_path_near(a, va.va); /* what lacks a table ends there anyway */
}

/* mapped: what has no anon then is the zero page, or a page of the object. */
static ALWAYS_INLINE bool write(struct vm_map *m, vaddr_t va, bool mapped)
{
	const struct vm_entry *e = map_find(m, va.va);
	struct place p = {.m = m, .entry = e, .va = va};

	if (UNLIKELY(!e || (e->prot & (PROT_W | PROT_X)) != PROT_W || !e->amap))
		return false;
	p.life = entry_life(e);
	if (UNLIKELY(p.life & 1))
		return false;
	p.amap = e->amap;
	for (bool owned = false;; owned = true) {
		p.shape = amap_shape(p.amap);
		p.node = amap_find_own(p.amap, va.va);
		if (LIKELY(p.node))
			break;
		if (owned || !own(m, e, va))
			return false;
	}
	p.old = amap_slot(p.node, va.va);
	if (p.old)
		return copy(p);
	return LIKELY(!mapped && !e->object) && make_private(&p, frame_get_zeroed(&m->vm->frames, FRAME_ANON));
}

/* So many tables are limited one by one without others being kept waiting. */
#define LIFT_QUICKLY 16u

struct lifter {
	const struct vm_entry *entry;
	uint32_t life;
};

static bool still_live(void *arg)
{
	const struct lifter *l = arg;

	return entry_lives_on(l->entry, l->life);
}

enum error fault_lift_limit(struct vm_map *m, vaddr_t va, const struct vm_entry *e, uint32_t life)
{
	struct lifter l = { e, life };
	const struct pmap_last_check check = { still_live, &l };

	return pmap_lift_limit(&m->pmap, va, &check);
}

/* After a write in vain: true if it was for the limit that fork has set over all of the GiB, which is lifted now, as in fault.c. */
static NOINLINE bool lifted(struct vm_map *m, vaddr_t va)
{
	const struct vm_entry *e;
	uint32_t life;

	/* relaxed: a figure */
	if (!pmap_limited(&m->pmap, va) || atomic_load_relaxed(&m->pmap.tables) > LIFT_QUICKLY)
		return false;
	e = map_find(m, va.va);
	if (!e)
		return false;
	life = entry_life(e);
	return !(life & 1) && fault_lift_limit(m, va, e, life) == OK;
}

static ALWAYS_INLINE bool write_in_section(struct vm_map *m, vaddr_t va, bool mapped)
{
	struct epoch *epoch = &m->vm->epoch;
	bool done;

	SETTLED(epoch);
	epoch_enter_first(epoch);
	do
		done = write(m, va, mapped);
	while (UNLIKELY(!done) && lifted(m, va));
	epoch_leave_last(epoch);
	return done;
}

bool vm_fault_quick(struct vm_map *m, vaddr_t va) { return write_in_section(m, va, false); }

bool vm_fault_quick_mapped(struct vm_map *m, vaddr_t va) { return write_in_section(m, va, true); }
