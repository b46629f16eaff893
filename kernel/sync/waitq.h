/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/waitq.h: threads that wait for something.
 *
 * How a thread stops and is made to run again is the scheduler's business; it
 * registers struct sync_ops. On the host a vCPU that waits yields its core.
 *
 *   waiter:  wait_prepare(&q, &w); if (condition) wait_cancel(&q, &w); else wait_block(&q, &w);
 *   waker:   make the condition true; waitq_wake_all(&q);
 *
 * The waiter is on the queue before it tests the condition, so no wake-up
 * between test and block is lost.
 */
#ifndef SYNC_WAITQ_H
#define SYNC_WAITQ_H

#include "base/error.h"
#include "base/list.h"
#include "sync/spinlock.h"

/* Set to 1 once, by the waker: release; pairs with the waiter's acquire. */
struct wait_flag {
	ATOMIC(uint32_t) set;
};

struct waiter {
	struct list link;            /* q: queue lock */
	struct wait_flag woken;      /* set once, by the waker */
	struct wait_flag *flag;      /* which flag the waker sets: &woken, or one that several waiters of a thread share */
	void *thread;              /* who waits: sync_ops.current's */
};

struct waitq {
	struct spinlock lock;      /* RANK_WAITQ */
	struct list waiters;       /* q: guarded by lock */
};

/* How to stop and start threads; registered once by the scheduler. */
struct sync_ops {
	void *(*current)(void);
	/* Stops the calling thread until *woken is not 0. interruptible: may return ERR_INTR before. */
	enum error (*block)(struct wait_flag *woken, bool interruptible);
	/* Makes that thread run again; its *woken is set already. Any context but interrupt. */
	void (*wake)(void *thread);
	/* Lets others run, then returns. */
	void (*yield)(void);
};

extern const struct sync_ops *sync_ops;

void waitq_init(struct waitq *q);

/* Enqueues the caller. Thread context; spinlocks below RANK_WAITQ may be held. */
void wait_prepare(struct waitq *q, struct waiter *w);

/*
 * The same for a thread that waits on several queues at once (poll): whichever wakes it sets *shared, on which it
 * blocks by sync_ops->block. The caller clears *shared beforehand and ends every wait by wait_cancel.
 */
void wait_prepare_shared(struct waitq *q, struct waiter *w, struct wait_flag *shared);

/* Waits until woken. => dequeued. No spinlock held, outside any epoch section. ERR_INTR only if interruptible. */
enum error wait_block(struct waitq *q, struct waiter *w, bool interruptible) MUST_CHECK;

/* Dequeues without waiting. */
void wait_cancel(struct waitq *q, struct waiter *w);

/* Wakes one (the longest waiting) / all. Returns how many. Spinlocks below RANK_WAITQ may be held. */
unsigned waitq_wake_one(struct waitq *q);
unsigned waitq_wake_all(struct waitq *q);

#endif
