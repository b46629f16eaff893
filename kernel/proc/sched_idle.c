/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sched_idle.c: what a CPU does when nothing runs on it, and what time and
 * other CPUs make it do.
 *
 * An idle CPU does chores first (epochs, console input), then zeroes a few frames for the stock, then looks for a READY
 * thread behind another CPU, then waits for an interrupt. The order that loses no
 * thread (sched.c, "Idle and queues"):
 *
 *	idle CPU                            others
 *	chores                              an interrupt says meanwhile that there are more (age_due, input): seen below
 *	bit in ps->idle = 1                 who queues here before this sent an IPI, or we see it below
 *	own queue empty?                    (interrupts are masked from here on)
 *	others' nready == 0?                who queues there after this sees the bit and sends an IPI
 *	wait                                an IPI sent meanwhile is pending and ends the wait at once
 *	bit = 0
 *
 * The hardware timer is set to the earliest of: the CPU's first timer, the end of
 * the running thread's slice if another waits, the next push for the epoch if this
 * CPU has retired memory. With none of them it is off: a lone thread is not
 * interrupted.
 */
#include "base/assert.h"
#include "proc/console.h"
#include "proc/runq.h"
#include "proc/sched.h"

void sched_timer_interrupt(void)
{
	struct proc_system *ps = thread_current()->ps;
	struct runq *rq = runq_here(ps);
	uint64_t now = machine_now();

	rq->armed = 0; /* whatever it was, it has come: set it anew */
	(void)timer_run(&rq->timers, now);
	if (now >= rq->age_at) {
		rq->age_at = TIMER_NEVER;
		rq->age_due = true; /* sched_point pushes the epoch: something is pending, so it is called */
	}
	if (rq->current != rq->idle && now >= rq->current->slice_end && atomic_load_relaxed(&rq->nready))
		atomic_store_relaxed(&rq->resched, 1u); /* own CPU: looked at on the way out of this interrupt */
	runq_set_timer(rq);
}

void sched_ipi_interrupt(void)
{
	/* What it is about (a queued thread, notify, resched) is in memory already; the way back to EL0 or the idle
	 * loop looks. */
	runq_set_timer(runq_here(thread_current()->ps));
}

static void set_idle(struct proc_system *ps, uint32_t cpu, bool idle)
{
	uint64_t bit = BIT(cpu % 64);

	/* seq_cst: see the theory in sched.c */
	if (idle)
		(void)atomic_or_seq_cst(&ps->idle[cpu / 64], bit);
	else /* taking it back early or late is harmless: one IPI more */
		(void)atomic_and_acq_rel(&ps->idle[cpu / 64], ~bit);
}

static void chores(struct proc_system *ps, struct runq *rq)
{
	/* Not whenever the CPU goes idle for a moment: to look whether the epoch can advance takes a line from each CPU. */
	if (rq->age_due || epoch_should_poll(&ps->vm->epoch)) {
		rq->age_due = false; /* own CPU's interrupt sets it: what it meant is looked at now */
		(void)epoch_tidy(&ps->vm->epoch);
	}
	if (ps->console && console_pending(ps->console))
		console_service(ps->console);
	runq_age(ps);
}

/* Something came up since chores began. Interrupts masked: what comes later ends the wait. */
static bool more_chores(struct proc_system *ps, struct runq *rq)
{
	return rq->age_due || (ps->console && console_pending(ps->console));
}

static void NORETURN idle_loop(struct proc_system *ps)
{
	struct runq *rq = runq_here(ps); /* an idle thread never leaves its CPU */

	for (;;) {
		uint64_t irq;
		bool zeroing;

		chores(ps, rq);
		zeroing = frames_zero_idle(&ps->vm->frames); /* a few, and again next time round if nothing is to run */
		irq = cpu_irq_save();
		atomic_store_relaxed(&rq->resched, 0u); /* own CPU: idle looks at its queue anyway */
		set_idle(ps, rq->cpu, true);
		/* relaxed: who queues here after this sends an IPI, which ends the wait */
		if (!atomic_load_relaxed(&rq->nready) && !runq_steal(ps, rq) && !atomic_load_relaxed(&rq->nready) &&
		    !more_chores(ps, rq) && !zeroing)
			machine_wait_for_interrupt();
		set_idle(ps, rq->cpu, false);
		/* relaxed: own lock or IPI, as above */
		if (atomic_load_relaxed(&rq->nready)) {
			spin_lock(&rq->lock, RANK_RUNQ);
			rq->idle->state = THREAD_READY; /* on no list: it is what runs when the list is empty */
			sched_switch(rq, irq);
		} else {
			cpu_irq_restore(irq); /* the interrupt that ended the wait is taken here */
		}
	}
}

/* --- boot --- */

enum error sched_init(struct proc_system *ps)
{
	struct zone *zone =
		zone_create(&ps->vm->zones, "runq", sizeof(struct runq), CACHE_LINE, NULL, NULL, ZONE_NO_CACHE);

	if (!zone)
		return ERR_NOMEM;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++) {
		struct runq *rq = zone_alloc(zone);
		struct thread *idle = zone_alloc(ps->thread_zone);

		if (!rq || !idle)
			return ERR_NOMEM;
		__builtin_memset(rq, 0, sizeof *rq);
		ps->runq[cpu] = rq;
		spin_init(&rq->lock);
		rq->cpu = cpu;
		list_init(&rq->ready);
		rq->idle = rq->current = idle;
		timer_queue_init(&rq->timers);
		rq->age_at = TIMER_NEVER;
		thread_init(ps, idle);
		idle->state = THREAD_RUNNING;
		atomic_store_relaxed(&idle->cpu, cpu); /* boot */
		__builtin_memcpy(idle->name, "idle", 5);
	}
	cpu_set_current(ps->runq[cpu_id()]->idle);
	sync_ops = &sched_sync_ops;
	return OK;
}

void sched_enter_secondary(struct proc_system *ps)
{
	uint32_t cpu = cpu_id();

	if (cpu >= ps->ncpus)
		panic("CPU %u started, but only %u were announced", cpu, ps->ncpus);
	cpu_set_current(ps->runq[cpu]->idle);
	sched_enter_boot(ps);
}

void sched_enter_boot(struct proc_system *ps)
{
	struct runq *rq = runq_here(ps);
	uint64_t irq = cpu_irq_save();

	rq->idle->run_since = machine_now();
	runq_set_timer(rq);
	cpu_irq_restore(irq);
	cpu_irq_enable();
	idle_loop(ps);
}
