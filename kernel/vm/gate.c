/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/gate.c: Dekker's way in, where the visitor always wins.
 *
 *	owner                            visitor
 *	inside = 1       (seq_cst)       swap visited = 1  (seq_cst), again while it was 1
 *	visited == 0 ?   (seq_cst)       wait for inside == 0  (seq_cst)
 *	  yes: in                        in
 *	  no:  inside = 0, wait for      visited = 0       (release)
 *	       visited == 0, start over
 *	...
 *	inside = 0       (release)
 *
 * Exclusion: of the owner's store and the visitor's swap one is first in the
 * order of all seq_cst accesses, and the load after the other one sees it. With
 * any of the four weaker both may be inside: the store buffer case, which
 * ThreadSanitizer does not report.
 *
 * Progress: an owner that is inside does not wait for the gate, so a visitor
 * waits for bounded work; an owner waits for visitors, who are rare and bounded
 * too. Visitors are kept apart by the swap, in no particular order.
 *
 * Pairs: inside = 0 -> visitor's load; visited = 0 -> owner's loads and the next
 * visitor's swap: whoever comes in sees what the one before did.
 *
 * Source: E. W. Dijkstra, Cooperating sequential processes (1965), for Dekker;
 * the cheap side for one known thread is the idea of biased locks.
 */
#include "vm/gate.h"

void gate_enter_slow(struct gate *g)
{
	do {
		/* release: pairs with gate_visit's load, though nothing was done */
		atomic_store_release(&g->inside, 0u);
		/* relaxed: only to wait; the seq_cst load below decides */
		while (atomic_load_relaxed(&g->visited))
			cpu_relax();
		/* seq_cst, both: as in gate_enter */
		atomic_store_seq_cst(&g->inside, 1u);
	} while (atomic_load_seq_cst(&g->visited));
}

void gate_visit(struct gate *g, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(g, rank, false);
#else
	(void)rank;
#endif
	/* seq_cst: pairs with gate_enter; its acquire side with gate_visit_end of the visitor before */
	while (atomic_swap_seq_cst(&g->visited, 1u))
		cpu_relax();
	/* seq_cst: pairs with gate_enter's store, and its acquire side with gate_leave */
	while (atomic_load_seq_cst(&g->inside))
		cpu_relax();
}

void gate_visit_end(struct gate *g)
{
	/* release: pairs with the loads in gate_enter and the swap in gate_visit */
	atomic_store_release(&g->visited, 0u);
#if STRATA_CHECKED
	rank_drop(g);
#endif
}
