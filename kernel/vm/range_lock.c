/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/range_lock.h"

#include "base/assert.h"

void range_lock_init(struct range_lock *l)
{
	spin_init(&l->lock);
	list_init(&l->held);
	l->waiting = 0;
	waitq_init(&l->queue);
}

/* True when nobody who came before h, who is on the list, wants any of its range. Later ones wait for h. */
static bool first_locked(struct range_lock *l, const struct range_hold *h)
{
	LIST_FOR(m, &l->held) {
		if (m == &h->link)
			return true;
		if (vrange_overlaps(CONTAINER_OF(m, struct range_hold, link)->range, h->range))
			return false;
	}
	panic("a range is not on its lock's list");
}

static bool is_first(struct range_lock *l, const struct range_hold *h)
{
	bool first;

	spin_lock(&l->lock, RANK_RANGE);
	first = first_locked(l, h);
	spin_unlock(&l->lock);
	return first;
}

bool range_lock_take_locked(struct range_lock *l, struct range_hold *h, struct vrange r)
{
	struct waiter w;
	bool mine;

	h->range = r;
	list_append(&l->held, &h->link);
	if (LIKELY(first_locked(l, h)))
		return true;
	l->waiting++;
	spin_unlock(&l->lock);
	rank_assert_may_wait();
	/* Once true it stays so: who comes later stands behind. */
	do {
		/* On the queue before the look, so that a drop in between wakes us. */
		wait_prepare(&l->queue, &w);
		mine = is_first(l, h);
		if (mine)
			wait_cancel(&l->queue, &w);
		else if (wait_block(&l->queue, &w, false) != OK)
			panic("an uninterruptible wait was interrupted");
	} while (!mine);
	spin_lock(&l->lock, RANK_RANGE);
	l->waiting--;
	return false;
}

void range_lock_take(struct range_lock *l, struct range_hold *h, struct vrange r)
{
	rank_assert_may_wait();
	spin_lock(&l->lock, RANK_RANGE);
	(void)range_lock_take_locked(l, h, r);
	spin_unlock(&l->lock);
}

void range_lock_drop(struct range_lock *l, struct range_hold *h)
{
	bool wake;

	spin_lock(&l->lock, RANK_RANGE);
	list_remove(&h->link);
	wake = l->waiting > 0; /* who comes to wait after this finds the range gone from the list */
	spin_unlock(&l->lock);
	if (wake)
		(void)waitq_wake_all(&l->queue);
}
