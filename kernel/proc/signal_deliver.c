/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/signal_deliver.c: what signals do to a thread on its way to EL0.
 *
 * A system call that ended because of a signal left one of the ERESTART numbers in
 * x0. First the thread is set back in front of the svc, as if it had not called; if
 * then a handler is to run that must not see the call restarted, the thread is set
 * behind it again, with EINTR. Several handlers stack up: each new frame interrupts
 * the first instruction of the handler before.
 */
#include "base/assert.h"
#include "base/print.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/signal.h"

#define NR_RESTART_SYSCALL 128
#define SVC_SIZE 4

/* At most so many lines about fatal faults in so many ns. */
#define FATAL_LINES 10
#define FATAL_WINDOW UINT64_C(5000000000)

/* A call that waits to be restarted: its number is in tf->x[8] still, its x0 in orig_x0. */
struct interrupted_call {
	long result;     /* -ERESTART*, or 0: none */
	uint64_t behind; /* pc behind the svc */
};

static struct interrupted_call set_back(struct trap_frame *tf)
{
	struct interrupted_call call = {0, tf->pc};
	long result = (long)tf->x[0];

	if (tf->syscall == UINT64_MAX)
		return call;
	tf->syscall = UINT64_MAX;
	if (result != -ERESTARTSYS && result != -ERESTARTNOINTR && result != -ERESTARTNOHAND &&
	    result != -ERESTART_RESTARTBLOCK)
		return call;
	call.result = result;
	tf->x[0] = tf->orig_x0;
	tf->pc -= SVC_SIZE;
	return call;
}

/* A handler runs: the call ends with EINTR unless it is to be restarted after it. */
static void end_call(struct thread *t, struct trap_frame *tf, struct interrupted_call *call, uint64_t flags)
{
	bool again = call->result == -ERESTARTNOINTR || (call->result == -ERESTARTSYS && flags & SA_RESTART);

	if (call->result && !again) {
		tf->x[0] = (uint64_t)-EINTR;
		tf->pc = call->behind;
	}
	if (call->result == -ERESTART_RESTARTBLOCK)
		t->restart.again = NULL;
	call->result = 0;
}

static bool may_print(struct proc_system *ps)
{
	uint64_t now = machine_now();

	/* relaxed: two CPUs at once may print a line more than allowed */
	if (now >= atomic_load_relaxed(&ps->fatal_window)) {
		atomic_store_relaxed(&ps->fatal_window, now + FATAL_WINDOW);
		atomic_store_relaxed(&ps->fatal_lines, 0u);
	}
	return atomic_add_relaxed(&ps->fatal_lines, 1u) < FATAL_LINES;
}

static void die(struct thread *t, const struct trap_frame *tf, const struct signal_taken *taken)
{
	int sig = taken->info.si_signo;

	if (taken->forced && may_print(t->ps))
		kprintf("%s[%u]: killed by %s (code %d) at pc %#lx, address %#lx, sp %#lx\n", t->proc->name, t->tid,
			signal_name(sig), taken->info.si_code, (unsigned long)tf->pc,
			(unsigned long)taken->info.fault.addr, (unsigned long)tf->sp);
	process_exit(t, sig);
}

/* Tells the parent that the process stopped. */
static void report_stop(struct process *p, int sig)
{
	struct proc_system *ps = p->ps;
	struct process *parent;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p->stop_signal = sig;
	p->report_stop = true;
	p->report_cont = false;
	parent = p->parent;
	if (parent)
		process_get(parent);
	spin_unlock(&ps->lock);
	if (parent) {
		signal_child(parent, p, SIGCHLD, CLD_STOPPED, sig);
		process_put(parent);
	}
}

static void stop(struct thread *t, int sig)
{
	struct process *p = t->proc;
	bool first = false;

	if (sig != SIGSTOP && process_group_orphaned(p->ps, (uint32_t)process_getpgid(t, 0)))
		return;
	spin_lock(&p->lock, RANK_PROC);
	/* A SIGCONT or kill that came after the signal was taken has the last word. */
	if (t->stop_taken && !p->exiting && !p->stopped) {
		p->stopped = first = true;
		LIST_FOR(m, &p->threads) {
			struct thread *other = CONTAINER_OF(m, struct thread, proc_link);

			/* acq_rel: pairs with the acquire of whoever looks at notify */
			(void)atomic_or_acq_rel(&other->notify, NOTIFY_STOP);
			if (other != t)
				sched_notify(other, false);
		}
	}
	spin_unlock(&p->lock);
	if (first)
		report_stop(p, sig);
}

static void wait_while_stopped(struct thread *t)
{
	struct process *p = t->proc;

	for (;;) {
		struct waiter w;
		bool stopped;

		wait_prepare(&p->stop_wait, &w);
		spin_lock(&p->lock, RANK_PROC);
		stopped = p->stopped && !p->exiting;
		if (!stopped)
			/* acq_rel: as stop() */
			(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_STOP);
		spin_unlock(&p->lock);
		if (!stopped) {
			wait_cancel(&p->stop_wait, &w);
			return;
		}
		if (sched_wait(&p->stop_wait, &w, WAIT_KILLABLE, TIMER_NEVER) == ERR_INTR)
			return; /* killed: the caller looks at notify */
	}
}

/* Runs the handler, or the signal's default. */
static void act(struct thread *t, struct trap_frame *tf, struct signal_taken *taken, struct interrupted_call *call)
{
	int sig = taken->info.si_signo;
	uint64_t mask, blocked;
	uint32_t notify;

	if (taken->action.handler == SIG_IGN && !taken->forced)
		return;
	if (taken->action.handler == SIG_DFL) {
		enum signal_default d = taken->forced ? DEFAULT_DIE : signal_default_of(sig);

		if (d == DEFAULT_STOP)
			stop(t, sig);
		if (d == DEFAULT_DIE && (taken->forced || t->proc->pid != 1))
			die(t, tf, taken);
		return;
	}
	end_call(t, tf, call, taken->action.flags);
	/* relaxed: own mask; the flag is set and cleared by this thread only */
	blocked = atomic_load_relaxed(&t->sigmask);
	notify = atomic_load_relaxed(&t->notify);
	mask = notify & NOTIFY_RESTORE ? t->saved_mask : blocked;
	if (signal_frame_push(t, tf, taken, mask) != OK) {
		/* No stack for the handler: as Linux, SIGSEGV, without a handler if it was that. */
		t->fault_esr = t->fault_address = 0;
		if (sig == SIGSEGV)
			signal_force_kill(t, SIGSEGV);
		else
			signal_force(t, SIGSEGV, SI_KERNEL, 0);
		return;
	}
	(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_RESTORE); /* own flag; others change theirs at the same time */
	blocked |= taken->action.mask;
	if (!(taken->action.flags & SA_NODEFER))
		blocked |= SIG_BIT(sig);
	signal_set_mask(t, blocked);
}

void signal_deliver(struct thread *t, struct trap_frame *tf)
{
	struct interrupted_call call = set_back(tf);
	struct signal_taken taken;

	for (;;) {
		/* acquire: pairs with the acq_rel of whoever set it */
		uint32_t notify = atomic_load_acquire(&t->notify);

		if (notify & NOTIFY_KILL)
			thread_exit(t, 0); /* process_kill set the status; exec wants only the thread to go */
		if (notify & NOTIFY_STOP) {
			wait_while_stopped(t);
			continue;
		}
		if (!signal_take(t, &taken))
			break;
		act(t, tf, &taken, &call);
	}
	/* No handler: the call starts over as it was. */
	if (call.result == -ERESTART_RESTARTBLOCK)
		tf->x[8] = NR_RESTART_SYSCALL;
	/* relaxed: own flag */
	if (atomic_load_relaxed(&t->notify) & NOTIFY_RESTORE) {
		(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_RESTORE); /* as in act() */
		signal_set_mask(t, t->saved_mask);
	}
}

long signal_return(struct thread *t, struct trap_frame *tf)
{
	uint64_t mask;

	t->restart.again = NULL;
	if (signal_frame_pop(t, tf, &mask) != OK) {
		t->fault_esr = t->fault_address = 0;
		signal_force(t, SIGSEGV, SI_KERNEL, 0);
		tf->syscall = UINT64_MAX;
		return (long)tf->x[0];
	}
	signal_set_mask(t, mask);
	return (long)tf->x[0];
}
