/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/signal_calls.c: system calls that send signals by id, and those that wait for them. */
#include "proc/sched.h"
#include "proc/signal.h"

static long result_of(enum error e) { return e == OK ? 0 : -EAGAIN; }

static void user_info(struct thread *t, struct siginfo *info, int sig, int code)
{
	__builtin_memset(info, 0, sizeof *info);
	info->si_signo = sig;
	info->si_code = code;
	info->kill.pid = (int32_t)t->proc->pid;
}

/* To every process but pid 1 and the caller's own. */
static long kill_all(struct thread *t, const struct siginfo *info)
{
	struct process *p, *next;
	long r = -ESRCH;

	for (p = process_next(t->ps, 1); p; p = next) {
		if (p != t->proc) {
			r = 0;
			if (info->si_signo)
				(void)!signal_send_process(p, info); /* SI_USER: never refused */
		}
		next = process_next(t->ps, p->pid);
		process_put(p);
	}
	return r;
}

long signal_kill(struct thread *t, int32_t pid, int sig)
{
	struct siginfo info;
	struct process *p;
	long r = 0;

	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	user_info(t, &info, sig, SI_USER);
	if (pid == -1)
		return kill_all(t, &info);
	if (pid <= 0) {
		long pgid = pid ? -pid : process_getpgid(t, 0);

		return signal_send_group(t->ps, (uint32_t)pgid, &info) ? 0 : -ESRCH;
	}
	p = process_find(t->ps, (uint32_t)pid);
	if (!p) {
		/* kill(2) of a thread's id reaches its process */
		struct thread *other = thread_find(t->ps, (uint32_t)pid);

		if (!other)
			return -ESRCH;
		p = other->proc;
		process_get(p);
		thread_put(other);
	}
	if (sig)
		r = result_of(signal_send_process(p, &info));
	process_put(p);
	return r;
}

long signal_tgkill(struct thread *t, int32_t tgid, int32_t tid, int sig)
{
	struct siginfo info;
	struct thread *other;
	long r = 0;

	if (tid <= 0 || (tgid <= 0 && tgid != -1) || sig < 0 || sig > NSIG)
		return -EINVAL;
	other = thread_find(t->ps, (uint32_t)tid);
	if (!other)
		return -ESRCH;
	user_info(t, &info, sig, SI_TKILL);
	if (tgid != -1 && other->proc->pid != (uint32_t)tgid)
		r = -ESRCH;
	else if (sig == SIGKILL)
		r = result_of(signal_send_process(other->proc, &info));
	else if (sig)
		r = result_of(signal_send_thread(other, &info));
	thread_put(other);
	return r;
}

long signal_queue(struct thread *t, int32_t pid, int32_t tid, const struct siginfo *info)
{
	long r = -ESRCH;

	if (info->si_signo < 0 || info->si_signo > NSIG)
		return -EINVAL;
	/* A program may not pretend to be the kernel or kill(2) to others. */
	if ((info->si_code >= 0 || info->si_code == SI_TKILL) && pid != (int32_t)t->proc->pid)
		return -EPERM;
	if (tid) {
		struct thread *other = thread_find(t->ps, (uint32_t)tid);

		if (!other)
			return r;
		if (other->proc->pid == (uint32_t)pid)
			r = info->si_signo ? result_of(signal_send_thread(other, info)) : 0;
		thread_put(other);
	} else {
		struct process *p = process_find(t->ps, (uint32_t)pid);

		if (!p)
			return r;
		r = info->si_signo ? result_of(signal_send_process(p, info)) : 0;
		process_put(p);
	}
	return r;
}

void signal_mask_for_call(struct thread *t, uint64_t mask)
{
	t->saved_mask = atomic_load_relaxed(&t->sigmask);    /* own */
	(void)atomic_or_acq_rel(&t->notify, NOTIFY_RESTORE); /* own flag; others change theirs at the same time */
	signal_set_mask(t, mask);
}

void signal_mask_call_done(struct thread *t)
{
	(void)atomic_and_acq_rel(&t->notify, ~NOTIFY_RESTORE); /* as above */
	signal_set_mask(t, t->saved_mask);
}

long signal_suspend(struct thread *t, uint64_t mask)
{
	signal_mask_for_call(t, mask);
	while (sched_block(NULL, WAIT_INTERRUPTIBLE, TIMER_NEVER) != ERR_INTR)
		continue;
	return -ERESTARTNOHAND;
}

long signal_timedwait(struct thread *t, uint64_t set, struct siginfo *info, uint64_t deadline)
{
	uint64_t mask = atomic_load_relaxed(&t->sigmask); /* own */
	enum error e;

	set &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	for (;;) {
		if (signal_take_from(t, set, info))
			return info->si_signo;
		if (deadline <= machine_now())
			return -EAGAIN;
		/* While it waits, the signals of set wake it as if it did not block them. */
		signal_set_mask(t, mask & ~set);
		e = sched_block(NULL, WAIT_INTERRUPTIBLE, deadline);
		signal_set_mask(t, mask);
		/* Woken without a reason that is still there: once more. */
		if (e == ERR_INTR && signal_settle(t))
			return signal_take_from(t, set, info) ? info->si_signo : -EINTR;
	}
}
