/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sigqueue.h: sets of pending signals with their infos. The caller holds the lock that guards the set (p->lock).
 */
#ifndef PROC_SIGQUEUE_H
#define PROC_SIGQUEUE_H

#include "proc/proc.h"
#include "proc/siginfo.h"

struct sigqueue {
	struct list link; /* sigpending.queue */
	struct siginfo info;
};

/* One to be filled and queued, or NULL: no memory. No lock needed. */
struct sigqueue *sigqueue_alloc(struct proc_system *ps, const struct siginfo *info);
void sigqueue_free(struct proc_system *ps, struct sigqueue *q); /* NULL is fine */

/* Takes one sig, which is in the set, out of it; its info, or a made-up one, into *info. */
void sigqueue_take(struct proc_system *ps, struct sigpending *pending, int sig, struct siginfo *info);

/* Drops all of those signals. */
void sigqueue_drop(struct proc_system *ps, struct sigpending *pending, uint64_t set);

/* Boot. */
enum error sigqueue_init(struct proc_system *ps) MUST_CHECK;

#endif
