/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/runq.h: one CPU's part of the scheduler. For sched.c and sched_idle.c. Theory: sched.c. */
#ifndef PROC_RUNQ_H
#define PROC_RUNQ_H

#include "proc/thread.h"
#include "vm/vm.h"

/*
 * c: fixed after boot
 * r: lock, interrupts masked
 * o: own CPU only, interrupts masked
 * x: atomic
 */
struct runq {
	struct spinlock lock;     /* RANK_RUNQ */
	uint32_t cpu;             /* c */
	struct list ready;        /* r: longest waiting first */
	ATOMIC(uint32_t) nready;  /* x: written under lock; seq_cst against the idle set, see sched.c */
	struct thread *current;   /* r: written by its own CPU */
	struct thread *idle;      /* c */
	ATOMIC(uint32_t) resched; /* x: the thread here should let others run; relaxed, see sched.c */

	struct thread *dead;     /* o: was left for good; whoever comes next buries it */
	struct thread *migrate;  /* o: was left for another CPU; whoever comes next sends it there */
	struct vm_map *active;   /* o: whose tables are loaded; compared, never followed */
	struct thread *fp_owner; /* o: whose FP registers these are; compared, never followed */

	struct timer_queue timers;
	uint64_t armed;  /* o: what the hardware timer is set to */
	uint64_t age_at; /* o: when epochs get their next push here, TIMER_NEVER if nothing waits */
	bool age_due;    /* o: that time has come */

	/* figures: x, own CPU writes, relaxed */
	ATOMIC(uint64_t) switches, steals, wakeups, idle_ns;
} ALIGNED(CACHE_LINE);

static inline struct runq *runq_here(struct proc_system *ps) { return ps->runq[cpu_id()]; }

/*
 * True when sched_point has something to do on this CPU. Thread context. Memory that waits for its grace period is a chore
 * when there is a batch of it, and else until the timer is set that looks after it (runq_age); when that has come, it is
 * not set any more (age_due).
 */
static inline bool runq_has_chores(const struct thread *t)
{
	const struct epoch *e = &t->ps->vm->epoch;
	const struct runq *rq = runq_here(t->ps);

	/* relaxed: resched as in sched_point; pending is this CPU's own */
	if (atomic_load_relaxed(&rq->resched))
		return true;
	return UNLIKELY(atomic_load_relaxed(&e->cpu[cpu_id()].pending)) && (rq->age_at == TIMER_NEVER || epoch_should_poll(e));
}

/* Takes the lock of the queue that t->cpu names. => interrupts masked, their state before in *irq. Any context. */
struct runq *runq_lock_of(struct thread *t, uint64_t *irq);

/* Lock held: at the end of the list; off the list; where t (of this queue) should run. */
void runq_push_locked(struct runq *rq, struct thread *t);
void runq_unqueue_locked(struct runq *rq, struct thread *t);
uint32_t runq_place_locked(struct thread *t);

/* Puts a READY thread that is on no list where it may run, and calls that CPU. No lock of RANK_RUNQ held. */
void runq_enqueue(struct thread *t);

/* Takes a thread that waits behind another CPU's; true: it is on rq now. Own CPU, interrupts masked, no lock. */
bool runq_steal(struct proc_system *ps, struct runq *rq);

/* If memory waits for its grace period on this CPU, the timer will have it looked after. Thread context. */
void runq_age(struct proc_system *ps);

/* Sets the hardware timer to the next thing that this CPU has to do by time. Interrupts masked, own CPU. */
void runq_set_timer(struct runq *rq);

#endif
