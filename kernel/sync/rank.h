/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/rank.h: the order in which locks are taken. A CPU that holds a spinlock
 * may take another only of a higher rank; checked builds enforce it on every
 * acquisition. doc/locking.md says what each one guards.
 */
#ifndef SYNC_RANK_H
#define SYNC_RANK_H

#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
	RANK_NONE = 0,
	/* proc */
	RANK_PROC_TABLE,   /* process tree, pid table */
	RANK_PROC,         /* one process: its threads, signals' shared part */
	RANK_FILES,        /* a descriptor table */
	RANK_PIPE,         /* a pipe's buffer and other file-like objects */
	RANK_FUTEX,        /* a futex bucket */
	RANK_FUTEX2,       /* the second bucket of a requeue, of a higher address */
	RANK_SIGNAL,       /* a thread's pending signals */
	/* address spaces */
	RANK_RANGE,        /* a part of a map: its list of held ranges, and of entries */
	RANK_AMAP,         /* amap header: path to the leaf nodes */
	RANK_NODE,         /* amap leaf node's slots */
	RANK_OBJECT,       /* an object's page tree */
	RANK_UPPER,        /* level-2 page table, in its frame's pmap_page: the limit above it */
	RANK_LEAF,         /* leaf page table, in its frame's pmap_page */
	RANK_RMAP,         /* a frame's reverse map, same word as RANK_LEAF's but of a data frame */
	RANK_CHUNK,        /* frames that hold reverse-map chunks */
	RANK_ASID,         /* ASID rollover */
	/* kernel memory */
	RANK_KMEM,         /* the list of pools of mapped ranges */
	RANK_KVA_CACHE,    /* gate of a CPU's ranges of kernel addresses */
	RANK_KVA,          /* an arena's segments */
	RANK_EPOCH,        /* epoch: advance */
	RANK_ZONES,        /* the list of zones */
	RANK_ZONE_CACHE,   /* gate and lock of a CPU's magazines */
	RANK_ZONE,         /* a zone's slab lists */
	RANK_FRAME_CACHE,  /* gate and lock of a CPU's frame cache */
	RANK_FRAME,        /* frame core */
	/* waiting and running */
	RANK_MUTEX,        /* a mutex's inner state */
	RANK_WAITQ,        /* a wait queue */
	RANK_TIMER,        /* timers; interrupts masked */
	RANK_WORK,         /* work posted by interrupt handlers; interrupts masked */
	RANK_RUNQ,         /* a CPU's run queue; interrupts masked */
	RANK_CONSOLE,      /* console and kernel log; interrupts masked */
	RANK_MAX
};

/* Records that this CPU takes / drops a lock; panics on a wrong order. trylock: order is not checked. */
void rank_take(const void *lock, enum lock_rank rank, bool trylock);
void rank_drop(const void *lock);

/* Panics unless this CPU holds that lock (for _locked functions in checked builds). */
void rank_assert_held(const void *lock);

/* Panics unless this CPU may wait: no spinlock held, no epoch section entered. Only checked builds know. */
#if STRATA_CHECKED
void rank_assert_may_wait(void);
#else
static inline void rank_assert_may_wait(void) {}
#endif

const char *rank_name(enum lock_rank rank);

#endif
