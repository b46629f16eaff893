/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_time.c: clocks, sleeping, the alarm, and futex, whose time-outs it
 * turns into deadlines.
 *
 * All waiting is for a moment in ns since boot, so that an interrupted call can
 * be taken up again without counting anew: a relative sleep or futex wait that a
 * signal interrupts leaves its deadline in the thread's restart block.
 */
#include "proc/futex.h"
#include "proc/itimer.h"
#include "proc/sys.h"

enum {
	CLOCK_REALTIME,
	CLOCK_MONOTONIC,
	CLOCK_PROCESS_CPUTIME_ID,
	CLOCK_THREAD_CPUTIME_ID,
	CLOCK_MONOTONIC_RAW,
	CLOCK_REALTIME_COARSE,
	CLOCK_MONOTONIC_COARSE,
	CLOCK_BOOTTIME,
	CLOCK_TAI = 11,
};
#define TIMER_ABSTIME 1

static bool is_wall(int clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}
static bool is_uptime(int clock)
{
	return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
	       clock == CLOCK_BOOTTIME;
}

static uint64_t process_ns(struct process *p)
{
	struct usage self, children;

	process_usage(p, &self, &children);
	return self.run_ns;
}

/* Clock numbers below 0 name a process or thread: ~id << 3, bit 2 for threads. */
static long cpu_clock(struct thread *t, int clock, uint64_t *ns)
{
	uint32_t id = ~(uint32_t)(clock >> 3);

	if ((clock & 3) > 2)
		return -EINVAL;
	if (clock & 4) {
		struct thread *other = id ? thread_find(t->ps, id) : NULL;

		if (id && !other)
			return -EINVAL;
		*ns = sched_thread_ns(other ? other : t);
		if (other)
			thread_put(other);
	} else {
		struct process *p = process_find(t->ps, id ? id : t->proc->pid);

		if (!p)
			return -EINVAL;
		*ns = process_ns(p);
		process_put(p);
	}
	return 0;
}

static long clock_ns(struct thread *t, int clock, uint64_t *ns)
{
	if (clock < 0)
		return cpu_clock(t, clock, ns);
	if (is_wall(clock))
		*ns = fs_now(t->ps->fs);
	else if (is_uptime(clock))
		*ns = machine_now();
	else if (clock == CLOCK_PROCESS_CPUTIME_ID)
		*ns = process_ns(t->proc);
	else if (clock == CLOCK_THREAD_CPUTIME_ID)
		*ns = sched_thread_ns(t);
	else
		return -EINVAL;
	return 0;
}

long sys_clock_gettime(struct thread *t, const uint64_t *a)
{
	struct timespec ts;
	uint64_t ns;
	long e = clock_ns(t, (int)a[0], &ns);

	if (e)
		return e;
	ts = timespec_of(ns);
	return user_put(a[1], &ts, sizeof ts);
}

long sys_clock_getres(struct thread *t, const uint64_t *a)
{
	struct timespec ts = {0, 1};
	uint64_t ns;
	long e = clock_ns(t, (int)a[0], &ns);

	return e ? e : a[1] ? user_put(a[1], &ts, sizeof ts) : 0;
}

struct timeval {
	int64_t seconds, microseconds;
};

long sys_gettimeofday(struct thread *t, const uint64_t *a)
{
	struct timespec now = timespec_of(fs_now(t->ps->fs));
	struct timeval tv = {now.seconds, now.nanoseconds / 1000};
	uint64_t utc = 0; /* struct timezone: two ints */

	if (a[0] && user_put(a[0], &tv, sizeof tv))
		return -EFAULT;
	return a[1] ? user_put(a[1], &utc, sizeof utc) : 0;
}

/* --- sleeping --- */

/* Sleeps till deadline; a signal leaves what is left at user (0: nowhere). */
static long sleep_till(struct thread *t, uint64_t deadline, uint64_t user);

static long sleep_again(struct thread *t) { return sleep_till(t, t->restart.arg[0], t->restart.arg[1]); }

static long sleep_till(struct thread *t, uint64_t deadline, uint64_t user)
{
	struct timespec left;
	uint64_t now;

	if (sched_sleep_until(deadline, true) == OK)
		return 0;
	now = machine_now();
	if (now >= deadline)
		return 0;
	left = timespec_of(deadline - now);
	if (user && user_put(user, &left, sizeof left))
		return -EFAULT;
	t->restart = (struct restart){.again = sleep_again, .arg = {deadline, user}};
	return -ERESTART_RESTARTBLOCK;
}

static long sleep_for(struct thread *t, uint64_t request, uint64_t left)
{
	struct timespec ts;
	uint64_t span;

	if (user_get(&ts, request, sizeof ts))
		return -EFAULT;
	if (timespec_ns(&ts, &span))
		return -EINVAL;
	return sleep_till(t, deadline_after(span), left);
}

long sys_nanosleep(struct thread *t, const uint64_t *a) { return sleep_for(t, a[0], a[1]); }

/* The moment of that clock as ns since boot. */
static uint64_t moment(struct thread *t, int clock, uint64_t ns)
{
	if (!is_wall(clock))
		return ns;
	return ns > t->ps->fs->epoch_ns ? ns - t->ps->fs->epoch_ns : 0;
}

long sys_clock_nanosleep(struct thread *t, const uint64_t *a)
{
	int clock = (int)a[0];
	struct timespec ts;
	uint64_t when;

	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	if (!is_wall(clock) && !is_uptime(clock))
		return clock == CLOCK_PROCESS_CPUTIME_ID || clock < 0 ? -EOPNOTSUPP : -EINVAL;
	if (!(a[1] & TIMER_ABSTIME))
		return sleep_for(t, a[2], a[3]);
	if (user_get(&ts, a[2], sizeof ts))
		return -EFAULT;
	if (timespec_ns(&ts, &when))
		return -EINVAL;
	return sched_sleep_until(moment(t, clock, when), true) == OK ? 0 : -ERESTARTNOHAND;
}

/* --- the alarm --- */

struct itimerval {
	struct timeval interval, value;
};

static long timeval_ns(const struct timeval *tv, uint64_t *ns)
{
	struct timespec ts = {tv->seconds, tv->microseconds * 1000};

	return tv->microseconds < 0 || tv->microseconds >= 1000000 ? -EINVAL : timespec_ns(&ts, ns);
}

static struct itimerval itimerval_of(uint64_t in, uint64_t interval)
{
	struct timespec value = timespec_of(in), every = timespec_of(interval);

	return (struct itimerval){{every.seconds, every.nanoseconds / 1000}, {value.seconds, value.nanoseconds / 1000}};
}

/* ITIMER_REAL (0) is the one timer there is. */
long sys_getitimer(struct thread *t, const uint64_t *a)
{
	struct itimerval now;
	uint64_t in, interval;

	if ((int)a[0] != 0)
		return -EINVAL;
	process_get_alarm(t->proc, &in, &interval);
	now = itimerval_of(in, interval);
	return user_put(a[1], &now, sizeof now);
}

long sys_setitimer(struct thread *t, const uint64_t *a)
{
	struct itimerval set = {{0, 0}, {0, 0}}, old;
	uint64_t in, interval, old_in, old_interval;

	if ((int)a[0] != 0)
		return -EINVAL;
	if (a[1] && user_get(&set, a[1], sizeof set))
		return -EFAULT;
	if (timeval_ns(&set.value, &in) || timeval_ns(&set.interval, &interval))
		return -EINVAL;
	process_set_alarm(t->proc, in, interval, &old_in, &old_interval);
	old = itimerval_of(old_in, old_interval);
	return a[2] ? user_put(a[2], &old, sizeof old) : 0;
}

/* --- futex --- */

static long futex_wait_again(struct thread *t)
{
	const uint64_t *arg = t->restart.arg;
	long e = futex_wait(t, arg[0], arg[1] & FUTEX_PRIVATE_FLAG, (uint32_t)arg[2], (uint32_t)arg[3], arg[4]);

	return e == -ERESTARTSYS ? -ERESTART_RESTARTBLOCK : e;
}

/* a: as futex(2). absolute: the time-out is a moment, not a span. */
static long wait_futex(struct thread *t, const uint64_t *a, uint32_t bitset, bool absolute)
{
	unsigned op = (unsigned)a[1];
	uint64_t deadline = TIMER_NEVER, ns;
	struct timespec ts;
	long e;

	if (a[3]) {
		if (user_get(&ts, a[3], sizeof ts))
			return -EFAULT;
		if (timespec_ns(&ts, &ns))
			return -EINVAL;
		deadline = absolute ? moment(t, op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns)
				    : deadline_after(ns);
	}
	e = futex_wait(t, a[0], op & FUTEX_PRIVATE_FLAG, (uint32_t)a[2], bitset, deadline);
	if (e == -ERESTARTSYS && deadline != TIMER_NEVER && !absolute) {
		t->restart = (struct restart){.again = futex_wait_again,
					      .arg = {a[0], op, (uint32_t)a[2], bitset, deadline}};
		e = -ERESTART_RESTARTBLOCK;
	}
	return e;
}

long sys_futex(struct thread *t, const uint64_t *a)
{
	unsigned op = (unsigned)a[1], command = op & (unsigned)FUTEX_CMD_MASK;
	bool private = op & FUTEX_PRIVATE_FLAG;
	uint32_t count = (uint32_t)a[2], count2 = (uint32_t)a[3], value3 = (uint32_t)a[5];

	if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT_BITSET && command != FUTEX_WAIT)
		return -ENOSYS;
	switch (command) {
	case FUTEX_WAIT:
		return wait_futex(t, a, FUTEX_BITSET_ANY, false);
	case FUTEX_WAIT_BITSET:
		return value3 ? wait_futex(t, a, value3, true) : -EINVAL;
	case FUTEX_WAKE:
		return futex_wake(t, a[0], private, count, FUTEX_BITSET_ANY);
	case FUTEX_WAKE_BITSET:
		return value3 ? futex_wake(t, a[0], private, count, value3) : -EINVAL;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		if ((int32_t)count < 0 || (int32_t)count2 < 0)
			return -EINVAL;
		return futex_requeue(t, a[0], a[4], private, count, count2,
				     command == FUTEX_CMP_REQUEUE ? &value3 : NULL);
	case FUTEX_WAKE_OP:
		return futex_wake_op(t, a[0], a[4], private, count, count2, value3);
	default:
		return -ENOSYS; /* priority inheritance */
	}
}
