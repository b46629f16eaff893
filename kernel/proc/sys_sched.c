/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys_sched.c: where and how threads run. There is one policy, SCHED_OTHER, and one priority. */
#include <string.h>

#include "proc/sys.h"

/* The thread with that id, 0 for the caller, referenced; NULL: ESRCH. */
static struct thread *target(struct thread *t, uint64_t id)
{
	if ((uint32_t)id == 0 || (uint32_t)id == t->tid) {
		thread_get(t);
		return t;
	}
	return thread_find(t->ps, (uint32_t)id);
}

long sys_sched_setaffinity(struct thread *t, const uint64_t *a)
{
	size_t n = (uint32_t)a[1] < sizeof(struct cpumask) ? (uint32_t)a[1] : sizeof(struct cpumask);
	struct cpumask mask = {{0}};
	struct thread *other;
	enum error e;

	if (user_get(&mask, a[2], n))
		return -EFAULT;
	other = target(t, a[0]);
	if (!other)
		return -ESRCH;
	e = sched_set_affinity(other, &mask);
	thread_put(other);
	return errno_of(e);
}

long sys_sched_getaffinity(struct thread *t, const uint64_t *a)
{
	uint32_t n = (uint32_t)a[1];
	struct thread *other;
	struct cpumask mask;

	if ((uint64_t)n * 8 < t->ps->ncpus || n % sizeof(uint64_t))
		return -EINVAL;
	other = target(t, a[0]);
	if (!other)
		return -ESRCH;
	mask = sched_affinity(other);
	thread_put(other);
	for (uint32_t cpu = t->ps->ncpus; cpu < CPU_MAX; cpu++)
		cpumask_clear(&mask, cpu);
	if (n > sizeof mask)
		n = sizeof mask;
	return user_put(a[2], &mask, n) ? -EFAULT : (long)n;
}

long sys_sched_yield(struct thread *t, const uint64_t *a)
{
	(void)t, (void)a;
	sched_yield();
	return 0;
}

long sys_getcpu(struct thread *t, const uint64_t *a)
{
	uint32_t cpu = cpu_id(), node = 0;

	(void)t;
	if (a[0] && user_put(a[0], &cpu, sizeof cpu))
		return -EFAULT;
	return a[1] ? user_put(a[1], &node, sizeof node) : 0;
}

enum { SCHED_OTHER = 0, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5 };

/* SCHED_BATCH and SCHED_IDLE run as SCHED_OTHER; real-time policies are refused, as without the privilege. */
static long set_policy(struct thread *t, uint64_t id, int policy, uint64_t user_priority)
{
	struct thread *other;
	int32_t priority;

	if (user_get(&priority, user_priority, sizeof priority))
		return -EFAULT;
	other = target(t, id);
	if (!other)
		return -ESRCH;
	thread_put(other);
	if (policy == SCHED_FIFO || policy == SCHED_RR)
		return priority >= 1 && priority <= 99 ? -EPERM : -EINVAL;
	return (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE) && priority == 0 ? 0 : -EINVAL;
}

long sys_sched_setscheduler(struct thread *t, const uint64_t *a) { return set_policy(t, a[0], (int)a[1], a[2]); }
long sys_sched_setparam(struct thread *t, const uint64_t *a) { return set_policy(t, a[0], SCHED_OTHER, a[1]); }

/* -ESRCH when there is no such thread. */
static long exists(struct thread *t, uint64_t id)
{
	struct thread *other = (int32_t)id < 0 ? NULL : target(t, id);

	if (!other)
		return (int32_t)id < 0 ? -EINVAL : -ESRCH;
	thread_put(other);
	return 0;
}

long sys_sched_getscheduler(struct thread *t, const uint64_t *a)
{
	long e = exists(t, a[0]);

	return e ? e : SCHED_OTHER;
}

long sys_sched_getparam(struct thread *t, const uint64_t *a)
{
	int32_t priority = 0;
	long e = exists(t, a[0]);

	return e ? e : user_put(a[1], &priority, sizeof priority);
}

static long priority_limit(int policy, long realtime)
{
	switch (policy) {
	case SCHED_FIFO:
	case SCHED_RR:
		return realtime;
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return 0;
	default:
		return -EINVAL;
	}
}

long sys_sched_get_priority_max(struct thread *t, const uint64_t *a) { return (void)t, priority_limit((int)a[0], 99); }
long sys_sched_get_priority_min(struct thread *t, const uint64_t *a) { return (void)t, priority_limit((int)a[0], 1); }

long sys_sched_rr_get_interval(struct thread *t, const uint64_t *a)
{
	struct timespec slice = timespec_of(SCHED_SLICE_NS);
	long e = exists(t, a[0]);

	return e ? e : user_put(a[1], &slice, sizeof slice);
}

/* nice: everybody's is 0, which getpriority tells as 20. */
long sys_getpriority(struct thread *t, const uint64_t *a)
{
	return (void)t, (int)a[0] < 0 || (int)a[0] > 2 ? -EINVAL : 20;
}
long sys_setpriority(struct thread *t, const uint64_t *a)
{
	return (void)t, (int)a[0] < 0 || (int)a[0] > 2 ? -EINVAL : 0;
}
