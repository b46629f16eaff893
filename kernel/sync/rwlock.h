/* SPDX-License-Identifier: BSD-2-Clause */
/* sync/rwlock.h: many readers or one writer, spinning (Concurrency Kit's phase-fair lock). Same rules as spinlock.h. */
#ifndef SYNC_RWLOCK_H
#define SYNC_RWLOCK_H

#include <ck_pflock.h>

#include "sync/spinlock.h"

struct rwlock {
	ck_pflock_t lock;
};

static inline void rwlock_init(struct rwlock *l) { ck_pflock_init(&l->lock); }

static inline void rwlock_read(struct rwlock *l, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(l, rank, false);
#else
	(void)rank;
#endif
	cpu_point();
	ck_pflock_read_lock(&l->lock);
}

static inline void rwlock_read_done(struct rwlock *l)
{
	ck_pflock_read_unlock(&l->lock);
#if STRATA_CHECKED
	rank_drop(l);
#endif
	cpu_point();
}

static inline void rwlock_write(struct rwlock *l, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(l, rank, false);
#else
	(void)rank;
#endif
	cpu_point();
	ck_pflock_write_lock(&l->lock);
}

static inline void rwlock_write_done(struct rwlock *l)
{
	ck_pflock_write_unlock(&l->lock);
#if STRATA_CHECKED
	rank_drop(l);
#endif
	cpu_point();
}

#endif
