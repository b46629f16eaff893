/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer fires in an interrupt, which may not send signals: the worker does. While
 * the timer is armed or its work is under way, alarm_held says that one reference
 * keeps the process; the work drops it when it finds nothing armed.
 */
#include "proc/itimer.h"

#include "proc/sched.h"
#include "proc/signal.h"

static void alarm_fire(struct timer *timer)
{
	struct process *p = CONTAINER_OF(timer, struct process, alarm);

	work_post(p->ps, &p->alarm_work);
}

static void alarm_run(struct work *work)
{
	struct process *p = CONTAINER_OF(work, struct process, alarm_work);
	struct siginfo info = {.si_signo = SIGALRM, .si_code = SI_KERNEL};
	uint64_t now = machine_now();
	bool due, done;

	mutex_lock(&p->alarm_lock);
	due = p->alarm_when && now >= p->alarm_when;
	if (due && p->alarm_interval) {
		/* The next multiple that is still to come: missed ones are one signal. */
		p->alarm_when += ((now - p->alarm_when) / p->alarm_interval + 1) * p->alarm_interval;
		(void)timer_cancel(&p->alarm);
		sched_arm_timer(&p->alarm, p->alarm_when);
	} else if (due) {
		p->alarm_when = 0;
	}
	done = !p->alarm_when && p->alarm_held;
	if (done)
		p->alarm_held = false;
	mutex_unlock(&p->alarm_lock);
	if (due)
		(void)!signal_send_process(p, &info); /* not a real-time signal: never refused */
	if (done)
		process_put(p);
}

void process_init_alarm(struct process *p)
{
	timer_init(&p->alarm, alarm_fire);
	work_prepare(&p->alarm_work, alarm_run);
}

static void left_locked(struct process *p, uint64_t *in, uint64_t *interval)
{
	uint64_t now = machine_now();

	if (in)
		*in = !p->alarm_when ? 0 : p->alarm_when > now ? p->alarm_when - now : 1;
	if (interval)
		*interval = p->alarm_interval;
}

void process_set_alarm(struct process *p, uint64_t in, uint64_t interval, uint64_t *old_in, uint64_t *old_interval)
{
	bool drop = false;

	mutex_lock(&p->alarm_lock);
	left_locked(p, old_in, old_interval);
	if (timer_cancel(&p->alarm)) {
		drop = true; /* it had not fired: its reference is ours */
		p->alarm_held = false;
	}
	p->alarm_interval = interval;
	p->alarm_when = in ? machine_now() + in : 0;
	if (p->alarm_when) {
		/* Fired, but the work did not run yet: its reference serves the new time. */
		if (!p->alarm_held)
			process_get(p);
		p->alarm_held = true;
		sched_arm_timer(&p->alarm, p->alarm_when);
	}
	mutex_unlock(&p->alarm_lock);
	if (drop)
		process_put(p);
}

void process_get_alarm(struct process *p, uint64_t *in, uint64_t *interval)
{
	mutex_lock(&p->alarm_lock);
	left_locked(p, in, interval);
	mutex_unlock(&p->alarm_lock);
}
