/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/range_lock.h: mutators of disjoint address ranges run at the same time,
 * those of overlapping ones in the order in which they came, so that a fork gets
 * its turn among many who map and unmap. Nobody takes a second range of the
 * same lock while he holds one. May wait: thread context, nothing held.
 */
#ifndef VM_RANGE_LOCK_H
#define VM_RANGE_LOCK_H

#include "base/list.h"
#include "base/types.h"
#include "sync/waitq.h"

struct range_lock {
	struct spinlock lock;  /* RANK_RANGE: held, waiting, and what the owner of the range lock keeps under it */
	struct list held;      /* struct range_hold, who holds or waits, in order of arrival */
	uint32_t waiting;      /* under lock: how many of those wait */
	struct waitq queue;    /* who waits for any of them to end */
};

/* One holder's range; on its stack. */
struct range_hold {
	struct list link;
	struct vrange range;
};

#define RANGE_ALL vrange(0, UINT64_MAX)

void range_lock_init(struct range_lock *l);
/* Waits until no range that was asked for before overlaps r, then holds it. */
void range_lock_take(struct range_lock *l, struct range_hold *h, struct vrange r);
/*
 * The same for who has l->lock, since what he saw under it says which range: when somebody has some of it, the lock is dropped, the range
 * waited for, and the lock taken again: false then: what was seen may have changed. Lock and range are held.
 */
bool range_lock_take_locked(struct range_lock *l, struct range_hold *h, struct vrange r);
/* Nobody holds or waits for any of r. */
static inline bool range_lock_is_free_locked(const struct range_lock *l, struct vrange r)
{
	LIST_FOR(m, &l->held)
		if (vrange_overlaps(CONTAINER_OF(m, struct range_hold, link)->range, r))
			return false;
	return true;
}
/* Takes r for who has found it free under this hold of l->lock. */
static inline void range_lock_take_free_locked(struct range_lock *l, struct range_hold *h, struct vrange r)
{
	h->range = r;
	list_append(&l->held, &h->link);
}
void range_lock_drop(struct range_lock *l, struct range_hold *h);

#endif
