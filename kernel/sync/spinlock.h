/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/spinlock.h: a spinlock (Concurrency Kit's fetch-and-store lock) with ranks.
 *
 * For a bounded number of instructions, never across a wait. The rank is given
 * where the lock is taken, so that a lock costs 8 bytes and the same word can
 * serve a frame as page table or as data. Interrupt handlers may take a lock
 * only if everyone takes it by spin_lock_irq.
 *
 * Not fair, on purpose: a ticket lock passes itself on to one certain CPU, and when
 * virtual CPUs share fewer real ones, that one is likely not running. Four spinning
 * vCPUs on two busy cores passed a ticket lock on 70 times a second (measured); this
 * lock goes to whoever runs.
 */
#ifndef SYNC_SPINLOCK_H
#define SYNC_SPINLOCK_H

#include <ck_spinlock.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "sync/rank.h"

struct spinlock {
	ck_spinlock_fas_t word;
	ATOMIC(uint32_t) holder; /* checked builds: CPU + 1, or 0 */
};
_Static_assert(sizeof(struct spinlock) == 8, "fits a pmap_page");

static inline void spin_note_holder(struct spinlock *l)
{
#if STRATA_CHECKED
	atomic_store_relaxed(&l->holder, cpu_id() + 1); /* only this CPU compares it with itself */
#else
	(void)l;
#endif
}
static inline void spin_note_none(struct spinlock *l)
{
#if STRATA_CHECKED
	atomic_store_relaxed(&l->holder, 0u); /* as above */
#else
	(void)l;
#endif
}

static inline void spin_init(struct spinlock *l)
{
	ck_spinlock_fas_init(&l->word);
	atomic_store_relaxed(&l->holder, 0u);
}

/* The lock is somebody's: waits for it and takes it. For spin_lock. */
void spin_wait(struct spinlock *l);

/* Takes the lock, spinning. Any thread or boot context. => held. */
static inline void spin_lock(struct spinlock *l, enum lock_rank rank)
{
#if STRATA_CHECKED
	rank_take(l, rank, false);
#else
	(void)rank;
#endif
	cpu_point();
	if (UNLIKELY(!ck_spinlock_fas_trylock(&l->word)))
		spin_wait(l);
	spin_note_holder(l);
}

/* Takes the lock if it is free; false: it is not. For who must look at something else while it waits. */
static inline bool spin_trylock(struct spinlock *l, enum lock_rank rank)
{
	cpu_point();
	if (!ck_spinlock_fas_trylock(&l->word))
		return false;
#if STRATA_CHECKED
	rank_take(l, rank, false);
#else
	(void)rank;
#endif
	spin_note_holder(l);
	return true;
}

static inline void spin_unlock(struct spinlock *l)
{
	spin_note_none(l);
	ck_spinlock_fas_unlock(&l->word);
#if STRATA_CHECKED
	rank_drop(l);
#endif
	cpu_point();
}

/* True when this CPU holds the lock. Checked builds only: ASSERT_CHECKED. */
static inline bool spin_held(const struct spinlock *l) { return atomic_load_relaxed(&l->holder) == cpu_id() + 1; }

/* For locks that interrupt handlers take as well. Returns the state for spin_unlock_irq. */
static inline uint64_t spin_lock_irq(struct spinlock *l, enum lock_rank rank)
{
	uint64_t state = cpu_irq_save();

	spin_lock(l, rank);
	return state;
}

static inline void spin_unlock_irq(struct spinlock *l, uint64_t state)
{
	spin_unlock(l);
	cpu_irq_restore(state);
}

#endif
