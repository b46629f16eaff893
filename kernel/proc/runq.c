/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/runq.c: the queues themselves: putting a thread on one, choosing which,
 * taking one from another CPU, and the CPU's hardware timer. Theory, invariants
 * (S1 ..) and memory order: sched.c.
 *
 * Locking. Never two run queues at once: a thread on its way from one to another is
 * READY and on no list (S2), its cpu names the queue that it goes to.
 */
#include "proc/runq.h"

#include "base/assert.h"
#include "vm/vm.h"

/* Memory that was retired but did not reach a batch is pushed on after this. */
#define AGE_NS UINT64_C(10000000)
/* The same while idle, when nothing else is to be done. */
#define AGE_IDLE_NS UINT64_C(1000000)

struct runq *runq_lock_of(struct thread *t, uint64_t *irq)
{
	for (;;) {
		/* relaxed: a hint, checked under the lock (S1) */
		struct runq *rq = t->ps->runq[atomic_load_relaxed(&t->cpu)];

		*irq = spin_lock_irq(&rq->lock, RANK_RUNQ);
		if (atomic_load_relaxed(&t->cpu) == rq->cpu)
			return rq;
		spin_unlock_irq(&rq->lock, *irq);
	}
}

/* --- queues --- */

void runq_push_locked(struct runq *rq, struct thread *t)
{
	ASSERT_CHECKED(t->state == THREAD_READY);
	list_append(&rq->ready, &t->run_link);
	/* seq_cst: pairs with the load in runq_steal of a CPU that has just declared itself idle */
	atomic_store_seq_cst(&rq->nready, atomic_load_relaxed(&rq->nready) + 1);
}

void runq_unqueue_locked(struct runq *rq, struct thread *t)
{
	list_remove(&t->run_link);
	/* as push_locked; own lock */
	atomic_store_seq_cst(&rq->nready, atomic_load_relaxed(&rq->nready) - 1);
}

void runq_set_timer(struct runq *rq)
{
	/* relaxed: own CPU; another that queues here sends an IPI, whose handler comes here again */
	uint64_t when = atomic_load_relaxed(&rq->timers.first);

	/* rq->current is this CPU's own to change. With resched set the slice's end is known already: the next switch
	 * sets another. */
	if (rq->current != rq->idle && atomic_load_relaxed(&rq->nready) && !atomic_load_relaxed(&rq->resched) &&
	    rq->current->slice_end < when)
		when = rq->current->slice_end;
	if (rq->age_at < when)
		when = rq->age_at;
	if (when != rq->armed) {
		rq->armed = when;
		machine_timer_set(when);
	}
}

void runq_age(struct proc_system *ps)
{
	struct runq *rq = runq_here(ps);
	bool idle = rq->current == rq->idle;
	uint64_t irq, at;

	/* Own CPU's: the timer interrupt clears age_at, and looks at pending by way of sched_point. */
	if ((rq->age_at != TIMER_NEVER && !idle) || !atomic_load_relaxed(&ps->vm->epoch.cpu[rq->cpu].pending))
		return;
	irq = cpu_irq_save();
	at = machine_now() + (idle ? AGE_IDLE_NS : AGE_NS);
	if (at < rq->age_at) { /* sooner than what was set while the CPU was busy */
		rq->age_at = at;
		runq_set_timer(rq);
	}
	cpu_irq_restore(irq);
}

static bool is_idle(struct proc_system *ps, uint32_t cpu)
{
	return atomic_load_seq_cst(&ps->idle[cpu / 64]) >> (cpu % 64) & 1;
}

/* An idle CPU of that set, or CPU_MAX. seq_cst: see "Idle and queues". */
static uint32_t idle_cpu(struct proc_system *ps, const struct cpumask *allowed)
{
	for (uint32_t w = 0; w < CPU_MAX / 64; w++) {
		uint64_t candidates = atomic_load_seq_cst(&ps->idle[w]) & allowed->word[w];

		if (candidates)
			return w * 64 + bit_lowest(candidates);
	}
	return CPU_MAX;
}

/* Where t should run. Lock of its queue held. */
uint32_t runq_place_locked(struct thread *t)
{
	struct proc_system *ps = t->ps;
	uint32_t last = atomic_load_relaxed(&t->cpu), cpu;

	if (cpumask_has(&t->affinity, last) && is_idle(ps, last))
		return last;
	cpu = idle_cpu(ps, &t->affinity);
	if (cpu < CPU_MAX)
		return cpu;
	if (cpumask_has(&t->affinity, last))
		return last;
	for (cpu = 0; !cpumask_has(&t->affinity, cpu); cpu++)
		ASSERT(cpu + 1 < ps->ncpus);
	return cpu;
}

/* A thread came to rq: makes somebody look at it. No lock held; interrupts masked. */
static void kick(struct proc_system *ps, struct runq *rq, const struct cpumask *allowed, bool was_empty)
{
	bool here = rq->cpu == cpu_id();
	uint32_t cpu;

	if (is_idle(ps, rq->cpu)) {
		if (!here)
			machine_ipi(rq->cpu);
		return;
	}
	/* Its thread may now run for one slice only. */
	if (was_empty && here)
		runq_set_timer(rq);
	else if (was_empty)
		machine_ipi(rq->cpu);
	cpu = idle_cpu(ps, allowed);
	if (cpu < CPU_MAX && cpu != cpu_id())
		machine_ipi(cpu); /* come and steal */
}

void runq_enqueue(struct thread *t)
{
	struct proc_system *ps = t->ps;
	struct cpumask allowed;
	struct runq *rq;
	uint64_t irq;
	bool was_empty;

	for (;;) {
		uint32_t cpu;

		rq = runq_lock_of(t, &irq);
		if (cpumask_has(&t->affinity, rq->cpu))
			break;
		/* Its affinity changed while it was on its way (S2): on to another. */
		cpu = runq_place_locked(t);
		atomic_store_relaxed(&t->cpu, cpu); /* under the lock of the old one */
		spin_unlock_irq(&rq->lock, irq);
	}
	was_empty = list_empty(&rq->ready);
	allowed = t->affinity;
	runq_push_locked(rq, t);
	spin_unlock(&rq->lock);
	kick(ps, rq, &allowed, was_empty);
	cpu_irq_restore(irq);
}

bool runq_steal(struct proc_system *ps, struct runq *rq)
{
	for (uint32_t i = 1; i < ps->ncpus; i++) {
		struct runq *victim = ps->runq[(rq->cpu + i) % ps->ncpus];
		struct thread *found = NULL;

		/* seq_cst: pairs with runq_push_locked's store; after our bit in ps->idle */
		if (!atomic_load_seq_cst(&victim->nready))
			continue;
		spin_lock(&victim->lock, RANK_RUNQ);
		/* An idle one has been called and is about to run it. */
		if (victim->current != victim->idle || atomic_load_relaxed(&victim->nready) > 1) {
			LIST_FOR(m, &victim->ready) {
				struct thread *t = CONTAINER_OF(m, struct thread, run_link);

				if (cpumask_has(&t->affinity, rq->cpu)) {
					found = t;
					break;
				}
			}
		}
		if (found) {
			runq_unqueue_locked(victim, found);
			atomic_store_relaxed(&found->cpu, rq->cpu); /* under the lock of the old one (S1) */
		}
		spin_unlock(&victim->lock);
		if (found) {
			atomic_bump(&rq->steals, 1); /* a figure */
			runq_enqueue(found);
			return true;
		}
	}
	return false;
}
