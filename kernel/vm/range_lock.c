/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/range_lock.h"

#include "base/assert.h"

void range_lock_init(struct range_lock *l)
{
	spin_init(&l->lock);
	list_init(&l->held);
	waitq_init(&l->queue);
}

static bool try_take(struct range_lock *l, struct range_hold *h)
{
	bool free = true;

	spin_lock(&l->lock, RANK_RANGE);
	LIST_FOR(m, &l->held)
		if (vrange_overlaps(CONTAINER_OF(m, struct range_hold, link)->range, h->range)) {
			free = false;
			break;
		}
	if (free)
		list_append(&l->held, &h->link);
	spin_unlock(&l->lock);
	return free;
}

void range_lock_take(struct range_lock *l, struct range_hold *h, struct vrange r)
{
	struct waiter w;

	rank_assert_may_wait();
	h->range = r;
	while (!try_take(l, h)) {
		/* On the queue before the second look, so that a drop in between wakes us. */
		wait_prepare(&l->queue, &w);
		if (try_take(l, h)) {
			wait_cancel(&l->queue, &w);
			return;
		}
		if (wait_block(&l->queue, &w, false) != OK)
			panic("an uninterruptible wait was interrupted");
	}
}

void range_lock_drop(struct range_lock *l, struct range_hold *h)
{
	spin_lock(&l->lock, RANK_RANGE);
	list_remove(&h->link);
	spin_unlock(&l->lock);
	(void)waitq_wake_all(&l->queue);
}
