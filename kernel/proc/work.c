/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/work.h"

#include "proc/proc.h"
#include "proc/sched.h"

void work_prepare(struct work *work, void (*run)(struct work *work))
{
	list_init(&work->link);
	work->queued = false;
	work->run = run;
}

void work_post(struct proc_system *ps, struct work *work)
{
	uint64_t irq = spin_lock_irq(&ps->work_lock, RANK_WORK);

	if (!work->queued) {
		work->queued = true;
		list_append(&ps->work, &work->link);
	}
	/* release: pairs with the acquire in sched_block */
	atomic_store_release(&ps->work_flag.set, 1u);
	spin_unlock_irq(&ps->work_lock, irq);
	sched_wake(ps->worker);
}

static struct work *next_work(struct proc_system *ps)
{
	uint64_t irq = spin_lock_irq(&ps->work_lock, RANK_WORK);
	struct list *m = list_pop(&ps->work);
	struct work *work = NULL;

	if (m) {
		work = CONTAINER_OF(m, struct work, link);
		work->queued = false;
	} else {
		atomic_store_relaxed(&ps->work_flag.set, 0u); /* under the lock that work_post sets it under */
	}
	spin_unlock_irq(&ps->work_lock, irq);
	return work;
}

static void worker(void *arg)
{
	struct proc_system *ps = arg;

	for (;;) {
		struct work *work = next_work(ps);

		if (work)
			work->run(work);
		else
			(void)!sched_block(&ps->work_flag, WAIT_ALWAYS,
					   TIMER_NEVER); /* nothing but a wake-up ends it */
		sched_point();
	}
}

enum error work_init(struct proc_system *ps)
{
	spin_init(&ps->work_lock);
	list_init(&ps->work);
	return sched_start_kernel(ps, "worker", worker, ps, &ps->worker);
}
