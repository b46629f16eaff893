/* SPDX-License-Identifier: BSD-2-Clause */
#include "sync/waitq.h"

#include "base/assert.h"

const struct sync_ops *sync_ops;

void waitq_init(struct waitq *q)
{
	spin_init(&q->lock);
	list_init(&q->waiters);
}

void wait_prepare(struct waitq *q, struct waiter *w)
{
	atomic_store_relaxed(&w->woken.set, 0u); /* nobody sees w before it is on the queue */
	wait_prepare_shared(q, w, &w->woken);
}

void wait_prepare_shared(struct waitq *q, struct waiter *w, struct wait_flag *shared)
{
	w->thread = sync_ops->current();
	w->flag = shared;
	spin_lock(&q->lock, RANK_WAITQ);
	list_append(&q->waiters, &w->link);
	spin_unlock(&q->lock);
}

void wait_cancel(struct waitq *q, struct waiter *w)
{
	spin_lock(&q->lock, RANK_WAITQ);
	list_remove(&w->link);
	spin_unlock(&q->lock);
}

enum error wait_block(struct waitq *q, struct waiter *w, bool interruptible)
{
	enum error e;

	rank_assert_may_wait();
	e = sync_ops->block(&w->woken, interruptible);
	/* The lock is taken also when woken: the waker may still be about to touch w, under it. */
	wait_cancel(q, w);
	return e;
}

static void wake_locked(struct list *m)
{
	struct waiter *w = CONTAINER_OF(m, struct waiter, link);

	list_remove(m);
	/* release: pairs with block's acquire, the condition is seen by who wakes up */
	atomic_store_release(&w->flag->set, 1u);
	sync_ops->wake(w->thread);
}

unsigned waitq_wake_one(struct waitq *q)
{
	unsigned n = 0;

	spin_lock(&q->lock, RANK_WAITQ);
	if (!list_empty(&q->waiters)) {
		wake_locked(q->waiters.next);
		n = 1;
	}
	spin_unlock(&q->lock);
	return n;
}

unsigned waitq_wake_all(struct waitq *q)
{
	unsigned n = 0;

	spin_lock(&q->lock, RANK_WAITQ);
	while (!list_empty(&q->waiters)) {
		wake_locked(q->waiters.next);
		n++;
	}
	spin_unlock(&q->lock);
	return n;
}
