/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys_signal.c: system calls about signals: structs in, signal.c's answer out. Sets are 64 bits: size must be 8.
 */
#include "proc/signal.h"

#include "proc/sys.h"

#define SET_BYTES sizeof(uint64_t)

long sys_kill(struct thread *t, const uint64_t *a) { return signal_kill(t, (int32_t)a[0], (int)a[1]); }

long sys_tkill(struct thread *t, const uint64_t *a)
{
	return (int32_t)a[0] <= 0 ? -EINVAL : signal_tgkill(t, -1, (int32_t)a[0], (int)a[1]);
}

long sys_tgkill(struct thread *t, const uint64_t *a)
{
	if ((int32_t)a[0] <= 0 || (int32_t)a[1] <= 0)
		return -EINVAL;
	return signal_tgkill(t, (int32_t)a[0], (int32_t)a[1], (int)a[2]);
}

/* Infos from programs may not pretend to come from the kernel or from kill. */
static long queue(struct thread *t, int32_t pid, int32_t tid, int sig, uint64_t user)
{
	struct siginfo info;

	if (user_get(&info, user, sizeof info))
		return -EFAULT;
	info.si_signo = sig;
	if ((info.si_code >= 0 || info.si_code == SI_TKILL) && pid != (int32_t)t->proc->pid)
		return -EPERM;
	return signal_queue(t, pid, tid, &info);
}

long sys_rt_sigqueueinfo(struct thread *t, const uint64_t *a) { return queue(t, (int32_t)a[0], 0, (int)a[1], a[2]); }

long sys_rt_tgsigqueueinfo(struct thread *t, const uint64_t *a)
{
	if ((int32_t)a[0] <= 0 || (int32_t)a[1] <= 0)
		return -EINVAL;
	return queue(t, (int32_t)a[0], (int32_t)a[1], (int)a[2], a[3]);
}

long sys_rt_sigaction(struct thread *t, const uint64_t *a)
{
	struct sigact set, old;
	long e;

	if (a[3] != SET_BYTES)
		return -EINVAL;
	if (a[1] && user_get(&set, a[1], sizeof set))
		return -EFAULT;
	e = signal_action(t, (int)a[0], a[1] ? &set : NULL, &old);
	return !e && a[2] ? user_put(a[2], &old, sizeof old) : e;
}

long sys_rt_sigprocmask(struct thread *t, const uint64_t *a)
{
	uint64_t set, old;
	long e;

	if (a[3] != SET_BYTES)
		return -EINVAL;
	if (a[1] && user_get(&set, a[1], sizeof set))
		return -EFAULT;
	e = signal_mask(t, (int)a[0], a[1] ? &set : NULL, &old);
	return !e && a[2] ? user_put(a[2], &old, sizeof old) : e;
}

long sys_rt_sigpending(struct thread *t, const uint64_t *a)
{
	uint64_t set = signal_pending(t);

	return a[1] > SET_BYTES ? -EINVAL : user_put(a[0], &set, a[1]);
}

long sys_rt_sigsuspend(struct thread *t, const uint64_t *a)
{
	uint64_t mask;

	if (a[1] != SET_BYTES)
		return -EINVAL;
	return user_get(&mask, a[0], sizeof mask) ? -EFAULT : signal_suspend(t, mask);
}

long sys_rt_sigtimedwait(struct thread *t, const uint64_t *a)
{
	struct siginfo info;
	uint64_t set, deadline;
	long sig;

	if (a[3] != SET_BYTES)
		return -EINVAL;
	if (user_get(&set, a[0], sizeof set))
		return -EFAULT;
	sig = deadline_get(a[2], &deadline);
	if (sig)
		return sig;
	sig = signal_timedwait(t, set, &info, deadline);
	return sig > 0 && a[1] && user_put(a[1], &info, sizeof info) ? -EFAULT : sig;
}

long sys_sigaltstack(struct thread *t, const uint64_t *a)
{
	struct sigstack set, old;
	long e;

	if (a[0] && user_get(&set, a[0], sizeof set))
		return -EFAULT;
	e = signal_altstack(t, trap_frame_of(t->stack_top)->sp, a[0] ? &set : NULL, &old);
	return !e && a[1] ? user_put(a[1], &old, sizeof old) : e;
}

long sys_rt_sigreturn(struct thread *t, const uint64_t *a)
{
	(void)a;
	return signal_return(t, trap_frame_of(t->stack_top));
}

/* What an interrupted call with a time-out goes on with. */
long sys_restart_syscall(struct thread *t, const uint64_t *a)
{
	(void)a;
	return t->restart.again ? t->restart.again(t) : -EINTR;
}
