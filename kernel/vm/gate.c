/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/gate.c: Dekker's way in, where the visitor always wins and pays.
 *
 *	owner                            visitor
 *	inside = 1       (owner)         visited |= VISITOR  (seq_cst), again while it was set
 *	visited == 0 ?   (owner)         cpu_barrier_all
 *	  yes: in                        wait for inside == 0  (seq_cst)
 *	  no:  inside = 0, wait until    in
 *	       no visitor is there,      visited &= ~VISITOR   (release side)
 *	       start over
 *	...
 *	inside = 0       (release)
 *
 * Exclusion, where the machine has a cpu_barrier_all. The visitor's barrier comes to
 * the owner's CPU at one moment, between two of its instructions. If that is
 * before the owner's load of visited, the load sees the visitor, since he was
 * announced before he called. If it is after, it is after the store of inside as well,
 * which has left the store buffer by then: the visitor, whose load comes after
 * the call, sees it. So the owner's two accesses need no order between them, and on x86
 * the way in is two plain instructions in the place of a locked one.
 *
 * Where it does nothing (the real machine), all four accesses are seq_cst: of the store
 * and the announcement one is first in the order of all of these, and the load
 * after the other one sees it. With any of the four weaker both may be inside:
 * the store buffer case, which ThreadSanitizer does not report.
 *
 * Where it is refused (a host without membarrier), GATE_CAREFUL sends the owner the slow way, whose
 * accesses are seq_cst on every machine.
 *
 * Progress: an owner that is inside does not wait for the gate, so a visitor
 * waits for bounded work; an owner waits for visitors, who are rare and bounded
 * too. Visitors are kept apart by the read-modify-write, in no particular order.
 *
 * Pairs: inside = 0 -> visitor's load; visited cleared -> owner's loads and the next
 * visitor's or: whoever comes in sees what the one before did. These are plain acquire and
 * release, which is all that ThreadSanitizer has to know.
 *
 * Sources: E. W. Dijkstra, Cooperating sequential processes (1965), for Dekker;
 * D. Dice, H. Huang, M. Yang, Asymmetric Dekker synchronization (2001), for a remote barrier in
 * the place of the frequent one.
 */
#include "vm/gate.h"

void gate_enter_slow(struct gate *g)
{
	do {
		/* release: pairs with gate_visit's load, though nothing was done */
		atomic_store_release(&g->inside, 0u);
		/* relaxed: only to wait; the seq_cst load below decides */
		while (atomic_load_relaxed(&g->visited) & GATE_VISITOR)
			cpu_relax();
		/* seq_cst, both: before the load is the store, whatever machine this is; pair with gate_visit's two */
		atomic_store_seq_cst(&g->inside, 1u);
	} while (atomic_load_seq_cst(&g->visited) & GATE_VISITOR);
}

void gate_visit(struct gate *g, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(g, rank, false);
#else
	(void)rank;
#endif
	/* seq_cst: pairs with gate_enter; its acquire side with gate_visit_end of the visitor before */
	while (atomic_or_seq_cst(&g->visited, GATE_VISITOR) & GATE_VISITOR)
		cpu_relax();
	cpu_barrier_all();
	/* seq_cst: pairs with gate_enter's store, and its acquire side with gate_leave */
	while (atomic_load_seq_cst(&g->inside))
		cpu_relax();
}

void gate_visit_end(struct gate *g)
{
	/* its release side pairs with the loads in gate_enter and the or in gate_visit; the acquire side with nobody */
	atomic_and_acq_rel(&g->visited, ~GATE_VISITOR);
#if STRATA_CHECKED
	rank_drop(g);
#endif
}
