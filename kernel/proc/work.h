/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/work.h: what an interrupt handler wants done in thread context. */
#ifndef PROC_WORK_H
#define PROC_WORK_H

#include "base/error.h"
#include "base/list.h"

struct proc_system;

/* Embedded in whatever is to be done. w: under the worker's lock */
struct work {
	struct list link;               /* w */
	bool queued;                    /* w */
	void (*run)(struct work *work); /* worker thread, interrupts on, nothing held; may take spinlocks, must not wait
					   long */
};

/* Boot: starts the worker. */
enum error work_init(struct proc_system *ps) MUST_CHECK;
void work_prepare(struct work *work, void (*run)(struct work *work));
/* Has work->run called soon, once, however often it is posted before. Any context; locks below RANK_WORK may be held.
 */
void work_post(struct proc_system *ps, struct work *work);

#endif
