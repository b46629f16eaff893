/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/gate.h: mutual exclusion that costs its usual user next to nothing.
 *
 * A per-CPU cache belongs to its CPU, which comes by all the time, and is
 * emptied by others (a drain, an allocation that found nothing elsewhere),
 * which come by once in a blue moon. The owner says "inside" by a store and
 * looks whether a visitor is there; a visitor announces itself and waits until the
 * owner is outside. No read-modify-write for the owner, no barrier where the
 * machine lets the visitor pay for both (cpu_barrier_all), and no
 * line that another CPU writes while nobody visits. Theory: gate.c.
 *
 * A gate has a rank like a lock, and counts as one held. Nobody enters a gate
 * twice, and nobody visits one while inside another of the same rank. Bounded
 * work inside, no wait. Kernel mode is not preempted and interrupt handlers do
 * not come here, so the owner is alone on its CPU.
 */
#ifndef VM_GATE_H
#define VM_GATE_H

#include "base/assert.h"
#include "base/atomic.h"
#include "sync/rank.h"

#define GATE_VISITOR 1u /* a visitor is in or waits to be */
#define GATE_CAREFUL 2u /* there is no cpu_barrier_all: the owner always takes the slow way */

struct gate {
	ATOMIC(uint32_t) inside;  /* 1: the owner is in; written by the owner alone */
	ATOMIC(uint32_t) visited; /* GATE_VISITOR: written by visitors; GATE_CAREFUL: fixed */
};

/* An attached CPU of the machine that will use it. */
static inline void gate_init(struct gate *g)
{
	/* relaxed: nobody else knows the gate yet */
	atomic_store_relaxed(&g->inside, 0u);
	atomic_store_relaxed(&g->visited, cpu_barrier_all_works() ? 0u : GATE_CAREFUL);
}

/* The part of gate_enter that waits for a visitor to leave. */
void gate_enter_slow(struct gate *g);

/* The owner's way in and out. Thread or boot context, on the owning CPU. */
static inline void gate_enter(struct gate *g, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(g, rank, false);
#else
	(void)rank;
#endif
	/* owner, both: the visitor's barrier is between them, or one sees the other. The load pairs with gate_visit_end */
	atomic_store_owner(&g->inside, 1u);
	if (UNLIKELY(atomic_load_owner(&g->visited)))
		gate_enter_slow(g);
}

static inline void gate_leave(struct gate *g)
{
	/* release: pairs with gate_visit's load; what we did is before the visitor's look */
	atomic_store_release(&g->inside, 0u);
#if STRATA_CHECKED
	rank_drop(g);
#endif
}

/*
 * Anyone's way in, the owning CPU's too while it is outside. => the owner and other visitors are kept out.
 * Costs a cpu_barrier_all: for what is rare.
 */
void gate_visit(struct gate *g, enum lock_rank rank);
void gate_visit_end(struct gate *g);

#endif
