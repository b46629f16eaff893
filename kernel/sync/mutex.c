/* SPDX-License-Identifier: BSD-2-Clause */
#include "sync/mutex.h"

#include "base/assert.h"

void mutex_init(struct mutex *m)
{
	atomic_store_relaxed(&m->held, 0u);
	waitq_init(&m->queue);
}

bool mutex_trylock(struct mutex *m)
{
	uint32_t free = 0;

	/* acquire: pairs with mutex_unlock; seq_cst so that it is not before wait_prepare's enqueue */
	return atomic_cas_seq_cst(&m->held, &free, 1u);
}

void mutex_lock(struct mutex *m)
{
	struct waiter w;

	rank_assert_may_wait();
	while (!mutex_trylock(m)) {
		wait_prepare(&m->queue, &w);
		if (mutex_trylock(m)) {
			wait_cancel(&m->queue, &w);
			return;
		}
		if (wait_block(&m->queue, &w, false) != OK)
			panic("an uninterruptible wait was interrupted");
	}
}

void mutex_unlock(struct mutex *m)
{
	ASSERT_CHECKED(atomic_load_relaxed(&m->held) == 1);
	/* seq_cst: the store is before wake_one's look at the queue, so a waiter that enqueued and failed is seen */
	atomic_store_seq_cst(&m->held, 0u);
	(void)waitq_wake_one(&m->queue);
}
