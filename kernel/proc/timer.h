/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/timer.h: something that happens at a time. One queue per CPU, a pairing
 * heap by time, under an interrupt-safe lock.
 */
#ifndef PROC_TIMER_H
#define PROC_TIMER_H

#include "sync/spinlock.h"

#define TIMER_NEVER UINT64_MAX

struct timer;
/* Runs with interrupts masked and the queue's lock (RANK_TIMER) held: may take RANK_RUNQ, nothing else. */
typedef void timer_fn(struct timer *timer);

/* q: under the lock of the queue it is on */
struct timer {
	struct timer *child, *sibling, **back; /* q: pairing heap; back NULL: not queued */
	uint64_t when;                         /* q: ns since boot */
	timer_fn *fire;                        /* q */
	ATOMIC(struct timer_queue *) queue;    /* where it was armed last; written by the arming thread */
};

struct timer_queue {
	struct spinlock lock;   /* RANK_TIMER, interrupts masked */
	struct timer *root;     /* q: the earliest */
	ATOMIC(uint64_t) first; /* its time, or TIMER_NEVER; written under lock, relaxed reads by its own CPU */
};

void timer_queue_init(struct timer_queue *q);
void timer_init(struct timer *timer, timer_fn *fire);

/* Arms for that time on q, which must be this CPU's. One thread at a time arms and cancels one timer. Any context
 * but the callback's. => true: it is now the queue's first, so that the CPU's hardware timer must be set anew. */
bool timer_arm(struct timer_queue *q, struct timer *timer, uint64_t when);

/* Disarms. After that the callback neither runs nor will run. True: it had not fired. Not from the callback. */
bool timer_cancel(struct timer *timer);

/* Fires what is due at now. Interrupt context of the queue's own CPU. => time of the next, or TIMER_NEVER. */
uint64_t timer_run(struct timer_queue *q, uint64_t now);

#endif
