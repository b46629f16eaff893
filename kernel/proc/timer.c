/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue is a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): child
 * leads to the first child, sibling to the next one, back to the pointer that
 * points here, so that any node can be cut out. Merging is a constant number of
 * stores; taking the first is logarithmic, amortised. Nothing recurses.
 */
#include "proc/timer.h"

#include "base/assert.h"

void timer_queue_init(struct timer_queue *q)
{
	spin_init(&q->lock);
	q->root = NULL;
	atomic_store_relaxed(&q->first, TIMER_NEVER); /* boot */
}

void timer_init(struct timer *timer, timer_fn *fire)
{
	timer->child = timer->sibling = NULL;
	timer->back = NULL;
	timer->fire = fire;
	atomic_store_relaxed(&timer->queue, NULL); /* nobody else knows it yet */
}

/* Two heaps without siblings become one; either may be empty. */
static struct timer *merge(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->when < a->when) {
		struct timer *swap = a;

		a = b;
		b = swap;
	}
	b->sibling = a->child;
	if (b->sibling)
		b->sibling->back = &b->sibling;
	b->back = &a->child;
	a->child = b;
	a->sibling = NULL;
	return a;
}

/* The children of a removed node become one heap: pairs from left to right, then all from right to left. */
static struct timer *merge_children(struct timer *first)
{
	struct timer *pairs = NULL, *heap = NULL;

	while (first) {
		struct timer *a = first, *b = first->sibling, *pair;

		first = b ? b->sibling : NULL;
		a->sibling = NULL;
		if (b)
			b->sibling = NULL;
		pair = merge(a, b);
		pair->sibling = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct timer *next = pairs->sibling;

		pairs->sibling = NULL;
		heap = merge(heap, pairs);
		pairs = next;
	}
	return heap;
}

static void set_root_locked(struct timer_queue *q, struct timer *root)
{
	q->root = root;
	if (root)
		root->back = &q->root;
	/* relaxed: read by this queue's CPU only to decide whether its hardware timer is late enough */
	atomic_store_relaxed(&q->first, root ? root->when : TIMER_NEVER);
}

static void remove_locked(struct timer_queue *q, struct timer *timer)
{
	struct timer *rest = merge_children(timer->child);

	if (timer == q->root) {
		set_root_locked(q, rest);
	} else {
		*timer->back = timer->sibling;
		if (timer->sibling)
			timer->sibling->back = timer->back;
		if (rest)
			set_root_locked(q, merge(q->root, rest));
	}
	timer->child = timer->sibling = NULL;
	timer->back = NULL;
}

bool timer_arm(struct timer_queue *q, struct timer *timer, uint64_t when)
{
	uint64_t irq = spin_lock_irq(&q->lock, RANK_TIMER);
	bool first;

	ASSERT(!timer->back);
	atomic_store_relaxed(&timer->queue, q); /* the arming thread is the one that cancels */
	timer->when = when;
	set_root_locked(q, merge(q->root, timer));
	first = q->root == timer;
	spin_unlock_irq(&q->lock, irq);
	return first;
}

bool timer_cancel(struct timer *timer)
{
	struct timer_queue *q = atomic_load_relaxed(&timer->queue); /* written by this thread */
	uint64_t irq;
	bool pending;

	if (!q)
		return false;
	irq = spin_lock_irq(&q->lock, RANK_TIMER);
	pending = timer->back != NULL;
	if (pending)
		remove_locked(q, timer);
	spin_unlock_irq(&q->lock, irq);
	return pending;
}

uint64_t timer_run(struct timer_queue *q, uint64_t now)
{
	uint64_t irq = spin_lock_irq(&q->lock, RANK_TIMER), next;

	while (q->root && q->root->when <= now) {
		struct timer *timer = q->root;

		remove_locked(q, timer);
		timer->fire(timer);
	}
	next = q->root ? q->root->when : TIMER_NEVER;
	spin_unlock_irq(&q->lock, irq);
	return next;
}
