/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sched.c: who runs where.
 *
 * Purpose. Threads run on CPUs in turns of 10 ms; one that waits costs nothing;
 * no CPU is idle while a thread that may run there waits for another.
 *
 * Structure. Each CPU has a run queue (runq.h, runq.c): a lock that masks interrupts, a
 * list of READY threads, first come first served, the thread that runs, and an
 * idle thread that runs when the list is empty. Kernel mode is not preempted: a
 * thread leaves its CPU only in sched_switch, called when it blocks, yields, ends,
 * or on its way to EL0 when `resched` is set.
 *
 *             sched_start            picked                 sched_block
 *      NEW ---------------> READY ------------> RUNNING ----------------> BLOCKED
 *                             ^   <------------    |                         |
 *                             |    yield, slice    | sched_exit              |
 *                             |                   DEAD                       |
 *                             +----------------------------------------------+
 *                                              sched_wake
 *
 * Invariants.
 *  S1. A thread's state, wait_mode, affinity and cpu change only under the lock of
 *      the run queue that its cpu names. runq_lock_of takes that lock and looks again.
 *  S2. A READY thread is on exactly one ready list, or in the hands of the one
 *      who is moving it (a waker, a thief, the tail of a switch), which cannot wait.
 *  S3. The lock is held across the switch of stacks and dropped by the next thread
 *      (finish_switch). So whoever sees a thread BLOCKED or READY under the lock may
 *      run it elsewhere: its registers are saved, its stack is left.
 *  S4. A blocker tests its condition after it has the lock and before the lock is
 *      dropped by the next thread. A waker sets the condition first and then takes
 *      the lock. If the waker's turn with the lock is first, the blocker sees the
 *      condition; else the waker sees BLOCKED. No wake-up is lost, even if the waker
 *      runs before the blocker has switched away.
 *  S5. A CPU loads no user tables but those of its current thread, and an address
 *      space is left (empty tables) before the lock that lets the thread run, and end,
 *      elsewhere is dropped.
 *  S6. A thread that ended is buried (stack freed) by the next thread on its CPU,
 *      after the switch.
 *
 * Where a woken thread runs: on the CPU where it ran last if that one is idle,
 * else on any idle one that it may use, else it queues where it ran last. A CPU
 * that goes idle takes a waiting thread from another (sched_idle.c).
 *
 * Idle and queues, memory order. A CPU that goes idle stores its bit in ps->idle
 * (seq_cst) and then loads the others' nready (seq_cst); who queues behind a busy
 * CPU stores nready (seq_cst) and then loads ps->idle (seq_cst). One sees the other,
 * so a thread never waits while a CPU that may run it sleeps. `resched` and
 * thread.notify are relaxed or acq_rel stores followed by an IPI or by the queue
 * lock; the interrupt orders them for the CPU that has to look.
 *
 * Failure. Nothing here allocates after boot.
 *
 * Sources: FreeBSD's sched_ule and 4BSD sleepqueues for the lock passed over the
 * switch; Linux's try_to_wake_up for the problem that S4 solves another way.
 */
#include "proc/sched.h"

#include "base/assert.h"
#include "proc/runq.h"
#include "vm/map.h"

/* BLOCKED or NEW -> READY, and off to a queue. Lock of t's queue held => dropped, interrupts as before. */
static void make_ready(struct thread *t, struct runq *rq, uint64_t irq)
{
	uint32_t cpu = runq_place_locked(t);

	t->state = THREAD_READY;
	atomic_store_relaxed(&t->cpu, cpu); /* under the lock of the old one (S1) */
	spin_unlock_irq(&rq->lock, irq);
	runq_enqueue(t);
}

void sched_wake(struct thread *t)
{
	uint64_t irq;
	struct runq *rq = runq_lock_of(t, &irq);

	if (t->state != THREAD_BLOCKED) {
		spin_unlock_irq(&rq->lock, irq);
		return;
	}
	atomic_bump(&rq->wakeups, 1); /* under the lock */
	make_ready(t, rq, irq);
}

void sched_notify(struct thread *t, bool killed)
{
	uint64_t irq;
	struct runq *rq = runq_lock_of(t, &irq);
	bool elsewhere = t->state == THREAD_RUNNING && rq->cpu != cpu_id();

	if (t->state == THREAD_BLOCKED &&
	    (t->wait_mode == WAIT_INTERRUPTIBLE || (killed && t->wait_mode == WAIT_KILLABLE))) {
		make_ready(t, rq, irq);
		return;
	}
	spin_unlock_irq(&rq->lock, irq);
	if (elsewhere)
		machine_ipi(rq->cpu); /* out of EL0, if it is there: it looks at notify before it goes back */
}

/* --- switching --- */

/* The first thing that runs on a stack that was switched to. Lock of this CPU's queue held, interrupts masked. */
static void __attribute__((noinline)) finish_switch(uint64_t irq)
{
	struct thread *t = thread_current(), *dead, *migrate;
	struct runq *rq = runq_here(t->ps);

	dead = rq->dead;
	migrate = rq->migrate;
	rq->dead = rq->migrate = NULL;
	spin_unlock(&rq->lock);
	if (t->map && rq->active != t->map) {
		rq->active = t->map;
		pmap_activate(&t->map->pmap);
	}
	if (t->proc) {
		context_tls_set(t->tls);
		/* relaxed: only its own thread and the CPU it runs on touch it */
		if (rq->fp_owner != t || atomic_load_relaxed(&t->fp_cpu) != rq->cpu)
			context_fp_load(&t->fp);
		rq->fp_owner = t;
		atomic_store_relaxed(&t->fp_cpu, rq->cpu);
	}
	context_set_kernel_stack(t->stack_top);
	runq_set_timer(rq);
	cpu_irq_restore(irq);
	if (migrate)
		runq_enqueue(migrate);
	if (dead)
		t->ps->bury(dead);
}

/* Where a new thread begins. */
static void first_run(void *arg)
{
	struct thread *t = arg;

	finish_switch(cpu_irq_save());
	cpu_irq_enable();
	t->entry(t->entry_arg);
	panic("thread %u: its entry returned", t->tid);
}

static void leave_cpu(struct runq *rq, struct thread *prev, struct thread *next, uint64_t now)
{
	/* relaxed figures: own thread writes, others read a little late */
	atomic_bump(&prev->run_ns, now - prev->run_since);
	atomic_bump(&prev->switches, 1);
	if (prev == rq->idle)
		atomic_bump(&rq->idle_ns, now - prev->run_since);
	if (prev->proc) {
		prev->tls = context_tls_get();
		context_fp_save(&prev->fp);
	}
	if (rq->active && rq->active != next->map) {
		rq->active = NULL;
		pmap_deactivate(prev->ps->vm->pmaps); /* S5 */
	}
}

void sched_switch(struct runq *rq, uint64_t irq)
{
	struct thread *prev = rq->current, *next;
	uint64_t now = machine_now();

	if (list_empty(&rq->ready)) {
		next = rq->idle;
	} else {
		next = CONTAINER_OF(rq->ready.next, struct thread, run_link);
		runq_unqueue_locked(rq, next);
	}
	atomic_store_relaxed(&rq->resched, 0u); /* this is what it asked for */
	next->state = THREAD_RUNNING;
	next->slice_end = now + SCHED_SLICE_NS;
	if (next == prev) {
		runq_set_timer(rq);
		spin_unlock_irq(&rq->lock, irq);
		return;
	}
	leave_cpu(rq, prev, next, now);
	next->run_since = now;
	rq->current = next;
	atomic_bump(&rq->switches, 1);
	cpu_set_current(next);
	context_switch(&prev->context, &next->context);
	finish_switch(irq);
}

static bool interrupted(struct thread *t, enum wait_mode mode)
{
	/* acquire: pairs with the acq_rel or in notify of signal.c and process.c */
	uint32_t notify = atomic_load_acquire(&t->notify);

	switch (mode) {
	case WAIT_KILLABLE:
		return notify & NOTIFY_KILL;
	case WAIT_INTERRUPTIBLE:
		return notify & (NOTIFY_KILL | NOTIFY_SIGNAL | NOTIFY_STOP);
	default:
		return false;
	}
}

static void wait_timer(struct timer *timer)
{
	struct thread *t = CONTAINER_OF(timer, struct thread, timer);

	/* relaxed: sched_wake takes the queue's lock after it, the waiter looks under that lock (S4) */
	atomic_store_relaxed(&t->timed_out, 1u);
	sched_wake(t);
}

void sched_start(struct thread *t)
{
	struct runq *rq;
	uint64_t irq;

	timer_init(&t->timer, wait_timer);
	context_init(&t->context, trap_frame_of(t->stack_top), first_run, t);
	rq = runq_lock_of(t, &irq);
	ASSERT(t->state == THREAD_NEW);
	make_ready(t, rq, irq);
}

enum error sched_start_kernel(struct proc_system *ps, const char *name, void (*entry)(void *), void *arg,
			      struct thread **out)
{
	struct thread *t;
	enum error e = thread_create(ps, NULL, &t);

	if (e != OK)
		return e;
	t->entry = entry;
	t->entry_arg = arg;
	for (unsigned i = 0; i + 1 < sizeof t->name && name[i]; i++)
		t->name[i] = name[i];
	*out = t;
	sched_start(t);
	return OK;
}

void sched_arm_timer(struct timer *timer, uint64_t when)
{
	uint64_t irq = cpu_irq_save();
	struct runq *rq = runq_here(thread_current()->ps);

	if (timer_arm(&rq->timers, timer, when))
		runq_set_timer(rq);
	cpu_irq_restore(irq);
}

static void arm_wait(struct thread *t, uint64_t deadline)
{
	atomic_store_relaxed(&t->timed_out, 0u); /* the timer is not armed */
	sched_arm_timer(&t->timer, deadline);
}

enum error sched_block(struct wait_flag *woken, enum wait_mode mode, uint64_t deadline)
{
	struct thread *t = thread_current();
	enum error e;

	rank_assert_may_wait();
	ASSERT(t->state == THREAD_RUNNING && t->stack_top);
	if (deadline != TIMER_NEVER)
		arm_wait(t, deadline);
	for (;;) {
		uint64_t irq = cpu_irq_save();
		struct runq *rq = runq_here(t->ps);

		spin_lock(&rq->lock, RANK_RUNQ);
		/* acquire: pairs with the waker's release in waitq.c */
		if (woken && atomic_load_acquire(&woken->set))
			e = OK;
		else if (deadline != TIMER_NEVER && atomic_load_relaxed(&t->timed_out)) /* see wait_timer */
			e = ERR_TIMEOUT;
		else if (interrupted(t, mode))
			e = ERR_INTR;
		else {
			t->state = THREAD_BLOCKED;
			t->wait_mode = mode;
			sched_switch(rq, irq);
			continue;
		}
		spin_unlock_irq(&rq->lock, irq);
		break;
	}
	if (deadline != TIMER_NEVER)
		(void)timer_cancel(&t->timer);
	return e;
}

enum error sched_wait(struct waitq *q, struct waiter *w, enum wait_mode mode, uint64_t deadline)
{
	enum error e = sched_block(&w->woken, mode, deadline);

	/* The lock is taken also when woken: the waker may still be about to touch w, under it. */
	wait_cancel(q, w);
	return e;
}

enum error sched_sleep_until(uint64_t when, bool interruptible)
{
	enum error e;

	if (when == TIMER_NEVER)
		when--;
	e = sched_block(NULL, interruptible ? WAIT_INTERRUPTIBLE : WAIT_KILLABLE, when);
	return e == ERR_TIMEOUT ? OK : e;
}

void sched_yield(void)
{
	struct thread *t = thread_current();
	struct runq *rq;
	uint64_t irq;

	rank_assert_may_wait();
	/* Alone, who yields until another CPU is done is a spinner, and that one's host may run one CPU at a time: races.md. A glance. */
	if (!atomic_load_relaxed(&runq_here(t->ps)->nready))
		cpu_relax();
	irq = cpu_irq_save();
	rq = runq_here(t->ps);
	if (t == rq->idle) {
		cpu_irq_restore(irq);
		return;
	}
	spin_lock(&rq->lock, RANK_RUNQ);
	t->state = THREAD_READY;
	if (!cpumask_has(&t->affinity, rq->cpu)) {
		/* It may not stay. Its stack is in use until the switch, so the next thread sends it off (S3). */
		atomic_store_relaxed(&t->cpu, runq_place_locked(t)); /* under the lock of the old one (S1) */
		rq->migrate = t;
	} else {
		runq_push_locked(rq, t);
	}
	sched_switch(rq, irq);
}

void sched_point(void)
{
	struct proc_system *ps = thread_current()->ps;
	struct runq *rq = runq_here(ps);

	if (epoch_should_poll(&ps->vm->epoch) || rq->age_due) {
		rq->age_due = false;
		(void)epoch_tidy(&ps->vm->epoch);
	}
	runq_age(ps);
	/* relaxed: set by interrupts of this CPU, or by others that send an interrupt after it */
	if (atomic_load_relaxed(&rq->resched))
		sched_yield();
}

void sched_exit(void)
{
	struct thread *t = thread_current();
	struct runq *rq;
	uint64_t irq;

	ASSERT(!t->map);
	rank_assert_may_wait();
	irq = cpu_irq_save();
	rq = runq_here(t->ps);
	spin_lock(&rq->lock, RANK_RUNQ);
	t->state = THREAD_DEAD;
	rq->dead = t;
	sched_switch(rq, irq);
	panic("a dead thread runs");
}

void sched_use_map(struct vm_map *map)
{
	struct thread *t = thread_current();
	uint64_t irq = cpu_irq_save();
	struct runq *rq = runq_here(t->ps);

	t->map = map;
	if (rq->active != map) {
		rq->active = map;
		if (map)
			pmap_activate(&map->pmap);
		else
			pmap_deactivate(t->ps->vm->pmaps);
	}
	cpu_irq_restore(irq);
}

/* --- affinity, figures --- */

enum error sched_set_affinity(struct thread *t, const struct cpumask *mask)
{
	struct cpumask usable = *mask;
	struct runq *rq;
	uint64_t irq;
	bool queued, moves;

	for (uint32_t cpu = t->ps->ncpus; cpu < CPU_MAX; cpu++)
		cpumask_clear(&usable, cpu);
	if (cpumask_empty(&usable))
		return ERR_INVAL;
	rq = runq_lock_of(t, &irq);
	t->affinity = usable;
	moves = !cpumask_has(&usable, rq->cpu);
	queued = moves && t->state == THREAD_READY && !list_empty(&t->run_link);
	if (queued) {
		runq_unqueue_locked(rq, t);
		atomic_store_relaxed(&t->cpu, runq_place_locked(t)); /* under the lock of the old one (S1) */
	} else if (moves && t->state == THREAD_RUNNING) {
		atomic_store_relaxed(&rq->resched, 1u); /* the IPI, or our own way to EL0, makes it look */
	}
	moves = moves && t->state == THREAD_RUNNING && rq->cpu != cpu_id();
	spin_unlock_irq(&rq->lock, irq);
	if (queued)
		runq_enqueue(t);
	if (moves)
		machine_ipi(rq->cpu);
	if (t == thread_current())
		sched_point();
	return OK;
}

struct cpumask sched_affinity(struct thread *t)
{
	uint64_t irq;
	struct runq *rq = runq_lock_of(t, &irq);
	struct cpumask mask = t->affinity;

	spin_unlock_irq(&rq->lock, irq);
	return mask;
}

void sched_stats(struct proc_system *ps, uint32_t cpu, struct sched_stats *stats)
{
	struct runq *rq = ps->runq[cpu];

	/* relaxed: figures */
	stats->switches = atomic_load_relaxed(&rq->switches);
	stats->steals = atomic_load_relaxed(&rq->steals);
	stats->wakeups = atomic_load_relaxed(&rq->wakeups);
	stats->idle_ns = atomic_load_relaxed(&rq->idle_ns);
	stats->runnable = atomic_load_relaxed(&rq->nready);
}

bool sched_is_runnable(struct thread *t)
{
	uint64_t irq;
	struct runq *rq = runq_lock_of(t, &irq);
	bool r = t->state == THREAD_RUNNING || t->state == THREAD_READY;

	spin_unlock_irq(&rq->lock, irq);
	return r;
}

struct thread *sched_running(struct proc_system *ps, uint32_t cpu)
{
	return ps->runq[cpu] ? ps->runq[cpu]->current : NULL;
}

uint64_t sched_thread_ns(struct thread *t)
{
	uint64_t ns = atomic_load_relaxed(&t->run_ns); /* a figure */

	if (t == thread_current())
		ns += machine_now() - t->run_since;
	return ns;
}

/* --- for sync's mutexes and wait queues --- */

static void *op_current(void) { return thread_current(); }
static enum error op_block(struct wait_flag *woken, bool interruptible)
{
	return sched_block(woken, interruptible ? WAIT_INTERRUPTIBLE : WAIT_ALWAYS, TIMER_NEVER);
}
static void op_wake(void *thread) { sched_wake(thread); }

const struct sync_ops sched_sync_ops = {
	.current = op_current,
	.block = op_block,
	.wake = op_wake,
	.yield = sched_yield,
};
