/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/signal.c: signals: sending, who gets them, masks and actions. Delivery is
 * in signal_deliver.c, the frame on the user's stack in signal_frame.c, calls that
 * wait for signals in signal_calls.c.
 *
 * Structure. A signal is sent to a process or to one thread and joins that one's
 * pending set; its siginfo is queued beside the set. The first 31 are there at most
 * once; real-time ones as often as they were sent. A thread takes signals on its way
 * to EL0, its own first, then its process's, faults before all.
 *
 * Invariants.
 *  1. If a thread has a pending signal that it does not block, NOTIFY_SIGNAL is set in
 *     it; if a process has one, it is set in at least one thread that does not block it.
 *     The bit may be set without need: only signal_take clears it, under p->lock,
 *     after a look at both sets.
 *  2. After NOTIFY_* is set, the thread is notified under its run queue's lock
 *     (sched_notify): a waiter wakes, a thread in EL0 elsewhere is interrupted.
 *  3. SIGKILL is never pending: it ends the process at once (process_kill).
 *  4. SIGCONT removes pending stop signals and the other way round; continuing
 *     happens when SIGCONT is sent, even if it is blocked or ignored.
 *  5. pid 1 gets only signals it has handlers for, but for its own faults.
 *
 * Locking. p->lock (RANK_PROC) guards actions and all pending sets of the process;
 * a thread's mask is written by itself under it. Infos are allocated before the lock.
 *
 * Failure. Without memory for a siginfo the first 31 signals, and real-time ones from
 * kill(2), are sent without one (as SI_USER); other real-time ones give ERR_LIMIT.
 *
 * Sources: signal(7), POSIX.1-2017 2.4; Linux's kernel/signal.c for what the manual
 * leaves open.
 */
#include "proc/signal.h"

#include "base/assert.h"
#include "base/print.h"
#include "proc/sched.h"
#include "proc/sigqueue.h"

#define STOP_SIGNALS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define UNMASKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define FAULTS \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))

enum signal_default signal_default_of(int sig)
{
	switch (sig) {
	case SIGCHLD:
	case SIGURG:
	case SIGWINCH:
		return DEFAULT_IGNORE;
	case SIGCONT:
		return DEFAULT_CONTINUE;
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return DEFAULT_STOP;
	default:
		return DEFAULT_DIE;
	}
}

const char *signal_name(int sig)
{
	static const char *const names[] = {
		"0",         "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
		"SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
		"SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
		"SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
	};

	return (unsigned)sig < ARRAY_SIZE(names) ? names[sig] : "a real-time signal";
}

static void drop_everywhere_locked(struct process *p, uint64_t set)
{
	sigqueue_drop(p->ps, &p->pending, set);
	LIST_FOR(m, &p->threads)
		sigqueue_drop(p->ps, &CONTAINER_OF(m, struct thread, proc_link)->pending, set);
}

/* --- notification; p->lock held --- */

/* relaxed: every reader and writer of another thread's mask holds p->lock */
static uint64_t mask_of(const struct thread *t) { return atomic_load_relaxed(&t->sigmask); }

static void notify_locked(struct thread *t, uint32_t why)
{
	/* acq_rel: pairs with the acquire in sched.c and trap.c; what it is about was stored before */
	(void)atomic_or_acq_rel(&t->notify, why);
	sched_notify(t, why & NOTIFY_KILL);
}

static void notify_one_locked(struct process *p, int sig)
{
	struct thread *self = thread_current(), *best = NULL;

	LIST_FOR(m, &p->threads) {
		struct thread *t = CONTAINER_OF(m, struct thread, proc_link);

		if (t->leaving || mask_of(t) & SIG_BIT(sig))
			continue;
		/* The caller itself, else one that has nothing to look at yet, else any. */
		if (!best || t == self || (best != self && atomic_load_relaxed(&best->notify) & NOTIFY_SIGNAL))
			best = t;
	}
	if (best)
		notify_locked(best, NOTIFY_SIGNAL);
}

void signal_retarget_locked(struct process *p)
{
	for (uint64_t left = p->pending.set; left; left &= left - 1)
		notify_one_locked(p, (int)bit_lowest(left) + 1);
}

/* --- ending and continuing a process --- */

static void kill_locked(struct process *p, int status)
{
	if (!p->exiting) {
		p->exiting = true;
		p->exit_status = status;
	}
	LIST_FOR(m, &p->threads)
		notify_locked(CONTAINER_OF(m, struct thread, proc_link), NOTIFY_KILL);
}

void process_kill(struct process *p, int status)
{
	spin_lock(&p->lock, RANK_PROC);
	kill_locked(p, status);
	spin_unlock(&p->lock);
}

/* True: it was stopped. A stop signal that was taken but has not stopped anybody yet has lost. */
static bool continue_locked(struct process *p)
{
	LIST_FOR(m, &p->threads)
		CONTAINER_OF(m, struct thread, proc_link)->stop_taken = false;
	if (!p->stopped)
		return false;
	p->stopped = false;
	LIST_FOR(m, &p->threads) {
		struct thread *t = CONTAINER_OF(m, struct thread, proc_link);

		/* acq_rel: as notify_locked */
		(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_STOP);
	}
	(void)waitq_wake_all(&p->stop_wait);
	return true;
}

/* --- sending --- */

static bool ignored_locked(struct process *p, int sig)
{
	uint64_t handler = p->actions[sig - 1].handler;

	return handler == SIG_IGN || (handler == SIG_DFL && (signal_default_of(sig) == DEFAULT_IGNORE ||
							     signal_default_of(sig) == DEFAULT_CONTINUE));
}

/* Somebody blocks it: then it stays pending even if it would be ignored now. */
static bool blocked_locked(struct process *p, struct thread *only, int sig)
{
	if (only)
		return mask_of(only) & SIG_BIT(sig);
	LIST_FOR(m, &p->threads)
		if (mask_of(CONTAINER_OF(m, struct thread, proc_link)) & SIG_BIT(sig))
			return true;
	return false;
}

/* *spare: an info to be queued; NULL afterwards if it was. *continued: the parent is to be told. */
static enum error send_locked(struct process *p, struct thread *t, const struct siginfo *info, struct sigqueue **spare,
			      bool *continued)
{
	struct sigpending *pending = t ? &t->pending : &p->pending;
	int sig = info->si_signo;

	if (p->exiting || list_empty(&p->threads) || (t && t->leaving))
		return OK;
	if (sig == SIGCONT) {
		drop_everywhere_locked(p, STOP_SIGNALS);
		*continued = continue_locked(p);
	} else if (SIG_BIT(sig) & STOP_SIGNALS) {
		drop_everywhere_locked(p, SIG_BIT(SIGCONT));
	}
	if (p->pid == 1 && p->actions[sig - 1].handler == SIG_DFL)
		return OK;
	if (sig == SIGKILL) {
		kill_locked(p, SIGKILL);
		return OK;
	}
	if (ignored_locked(p, sig) && !blocked_locked(p, t, sig))
		return OK;
	if (sig < SIGRTMIN && pending->set & SIG_BIT(sig))
		return OK;
	if (sig >= SIGRTMIN && info->si_code != SI_USER &&
	    (!*spare || pending->queued >= p->limits[RLIMIT_SIGPENDING].soft))
		return ERR_LIMIT;
	pending->set |= SIG_BIT(sig);
	if (*spare && pending->queued < p->limits[RLIMIT_SIGPENDING].soft) {
		list_append(&pending->queue, &(*spare)->link);
		pending->queued++;
		*spare = NULL;
	}
	if (!t)
		notify_one_locked(p, sig);
	else if (!(mask_of(t) & SIG_BIT(sig)))
		notify_locked(t, NOTIFY_SIGNAL);
	return OK;
}

/* The parent hears that p goes on. */
static void report_continued(struct process *p)
{
	struct proc_system *ps = p->ps;
	struct process *parent;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p->report_cont = true;
	p->report_stop = false;
	parent = p->parent;
	if (parent)
		process_get(parent);
	spin_unlock(&ps->lock);
	if (parent) {
		signal_child(parent, p, SIGCHLD, CLD_CONTINUED, SIGCONT);
		process_put(parent);
	}
}

static enum error send(struct process *p, struct thread *t, const struct siginfo *info)
{
	struct sigqueue *spare = sigqueue_alloc(p->ps, info);
	bool continued = false;
	enum error e;

	ASSERT(info->si_signo >= 1 && info->si_signo <= NSIG);
	spin_lock(&p->lock, RANK_PROC);
	e = send_locked(p, t, info, &spare, &continued);
	spin_unlock(&p->lock);
	sigqueue_free(p->ps, spare);
	if (continued)
		report_continued(p);
	return e;
}

enum error signal_send_process(struct process *p, const struct siginfo *info) { return send(p, NULL, info); }
enum error signal_send_thread(struct thread *t, const struct siginfo *info) { return send(t->proc, t, info); }

unsigned signal_send_group(struct proc_system *ps, uint32_t pgid, const struct siginfo *info)
{
	struct process *p, *next;
	unsigned n = 0;

	/* By pid, each one found anew: no lock is held while a signal is sent. */
	for (p = process_next(ps, 0); p; p = next) {
		bool member;

		spin_lock(&ps->lock, RANK_PROC_TABLE);
		member = p->pgid == pgid && p->state != PROCESS_REAPED;
		spin_unlock(&ps->lock);
		if (member) {
			n++;
			if (info->si_signo && signal_send_process(p, info) != OK)
				n--; /* a full queue: the caller hears EAGAIN if nobody got it */
		}
		next = process_next(ps, p->pid);
		process_put(p);
	}
	return n;
}

void signal_child(struct process *parent, struct process *child, int sig, int code, int status)
{
	struct siginfo info = {.si_signo = sig, .si_code = code};
	bool wanted;

	spin_lock(&parent->lock, RANK_PROC);
	wanted = sig &&
		 !((code == CLD_STOPPED || code == CLD_CONTINUED) && parent->actions[SIGCHLD - 1].flags & SA_NOCLDSTOP);
	spin_unlock(&parent->lock);
	info.child.pid = (int32_t)child->pid;
	info.child.status = status;
	info.child.utime = (int64_t)(child->usage.run_ns / (UINT64_C(1000000000) / CLK_TCK));
	/* Not a real-time signal, so never refused; or one whose loss wait4 makes good. */
	if (wanted)
		(void)!signal_send_process(parent, &info);
	(void)waitq_wake_all(&parent->wait);
}

/* --- the current thread's faults --- */

void signal_force(struct thread *t, int sig, int code, uint64_t address)
{
	struct process *p = t->proc;
	struct sigact *a = &p->actions[sig - 1];

	spin_lock(&p->lock, RANK_PROC);
	if (mask_of(t) & SIG_BIT(sig) || a->handler == SIG_IGN) {
		a->handler = SIG_DFL;
		/* relaxed: mask_of */
		atomic_store_relaxed(&t->sigmask, mask_of(t) & ~SIG_BIT(sig));
	}
	__builtin_memset(&t->forced, 0, sizeof t->forced);
	t->forced.si_signo = sig;
	t->forced.si_code = code;
	t->forced.fault.addr = address;
	/* relaxed: this thread itself looks at it next */
	(void)atomic_or_relaxed(&t->notify, NOTIFY_SIGNAL);
	spin_unlock(&p->lock);
}

void signal_force_kill(struct thread *t, int sig)
{
	spin_lock(&t->proc->lock, RANK_PROC);
	t->proc->actions[sig - 1].handler = SIG_DFL;
	spin_unlock(&t->proc->lock);
	signal_force(t, sig, SI_KERNEL, 0);
}

/* --- taking --- */

static int choose(uint64_t set)
{
	if (set & FAULTS)
		set &= FAULTS;
	return set ? (int)bit_lowest(set) + 1 : 0;
}

bool signal_take(struct thread *t, struct signal_taken *taken)
{
	struct process *p = t->proc;
	int sig;

	spin_lock(&p->lock, RANK_PROC);
	taken->forced = t->forced.si_signo != 0;
	if (taken->forced) {
		taken->info = t->forced;
		t->forced.si_signo = 0;
		sig = taken->info.si_signo;
	} else if ((sig = choose(t->pending.set & ~mask_of(t)))) {
		sigqueue_take(p->ps, &t->pending, sig, &taken->info);
	} else if ((sig = choose(p->pending.set & ~mask_of(t)))) {
		sigqueue_take(p->ps, &p->pending, sig, &taken->info);
	} else {
		/* acq_rel: as notify_locked */
		(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_SIGNAL);
	}
	if (sig) {
		struct sigact *a = &p->actions[sig - 1];

		taken->action = *a;
		t->stop_taken = SIG_BIT(sig) & STOP_SIGNALS;
		if (a->flags & SA_RESETHAND && a->handler != SIG_IGN)
			a->handler = SIG_DFL;
	}
	spin_unlock(&p->lock);
	return sig != 0;
}

bool signal_take_from(struct thread *t, uint64_t set, struct siginfo *info)
{
	struct process *p = t->proc;
	int sig;

	spin_lock(&p->lock, RANK_PROC);
	if ((sig = choose(t->pending.set & set)))
		sigqueue_take(p->ps, &t->pending, sig, info);
	else if ((sig = choose(p->pending.set & set)))
		sigqueue_take(p->ps, &p->pending, sig, info);
	spin_unlock(&p->lock);
	return sig != 0;
}

bool signal_settle(struct thread *t)
{
	struct process *p = t->proc;

	spin_lock(&p->lock, RANK_PROC);
	if (!t->forced.si_signo && !((t->pending.set | p->pending.set) & ~mask_of(t)))
		(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_SIGNAL); /* as notify_locked */
	spin_unlock(&p->lock);
	return signal_wants_attention(t);
}

/* --- masks and actions of the current thread --- */

void signal_set_mask(struct thread *t, uint64_t mask)
{
	struct process *p = t->proc;
	uint64_t newly;

	mask &= ~UNMASKABLE;
	spin_lock(&p->lock, RANK_PROC);
	newly = mask & ~mask_of(t);
	atomic_store_relaxed(&t->sigmask, mask); /* mask_of */
	if ((t->pending.set | p->pending.set) & ~mask)
		(void)atomic_or_acq_rel(&t->notify, NOTIFY_SIGNAL); /* as notify_locked */
	if (p->pending.set & newly)
		signal_retarget_locked(p); /* it may have been us who was told */
	spin_unlock(&p->lock);
}

long signal_mask(struct thread *t, int how, const uint64_t *set, uint64_t *old)
{
	uint64_t mask = mask_of(t); /* own */

	if (old)
		*old = mask;
	if (!set)
		return 0;
	switch (how) {
	case SIG_BLOCK:
		mask |= *set;
		break;
	case SIG_UNBLOCK:
		mask &= ~*set;
		break;
	case SIG_SETMASK:
		mask = *set;
		break;
	default:
		return -EINVAL;
	}
	signal_set_mask(t, mask);
	return 0;
}

uint64_t signal_pending(struct thread *t)
{
	uint64_t set;

	spin_lock(&t->proc->lock, RANK_PROC);
	set = (t->pending.set | t->proc->pending.set) & mask_of(t);
	spin_unlock(&t->proc->lock);
	return set;
}

long signal_action(struct thread *t, int sig, const struct sigact *set, struct sigact *old)
{
	struct process *p = t->proc;

	if (sig < 1 || sig > NSIG || (set && SIG_BIT(sig) & UNMASKABLE))
		return -EINVAL;
	spin_lock(&p->lock, RANK_PROC);
	if (old)
		*old = p->actions[sig - 1];
	if (set) {
		p->actions[sig - 1] = *set;
		p->actions[sig - 1].mask &= ~UNMASKABLE;
		if (ignored_locked(p, sig))
			drop_everywhere_locked(p, SIG_BIT(sig));
	}
	spin_unlock(&p->lock);
	return 0;
}

void signal_exec(struct thread *t)
{
	struct process *p = t->proc;

	spin_lock(&p->lock, RANK_PROC);
	for (unsigned i = 0; i < NSIG; i++) {
		uint64_t handler = p->actions[i].handler == SIG_IGN ? SIG_IGN : SIG_DFL;

		__builtin_memset(&p->actions[i], 0, sizeof p->actions[i]);
		p->actions[i].handler = handler;
	}
	spin_unlock(&p->lock);
	t->alt_sp = t->alt_size = 0;
	t->alt_flags = SS_DISABLE;
}

bool signal_wants_attention(struct thread *t)
{
	/* acquire: pairs with notify_locked */
	return atomic_load_acquire(&t->notify) & (NOTIFY_KILL | NOTIFY_SIGNAL | NOTIFY_STOP);
}
