/* SPDX-License-Identifier: BSD-2-Clause */
/* sync/mutex.h: a lock for what may wait. Thread context only; no spinlock held, outside any epoch section. */
#ifndef SYNC_MUTEX_H
#define SYNC_MUTEX_H

#include "sync/waitq.h"

struct mutex {
	ATOMIC(uint32_t) held;   /* cas acquire to take, release to drop */
	struct waitq queue;
};

void mutex_init(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool mutex_trylock(struct mutex *m) MUST_CHECK;

#endif
