/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/epoch.h: memory that lock-free readers may still see is freed late.
 *
 * A reader brackets its work with epoch_enter and epoch_leave; both write only
 * the reader's own CPU record. Whoever unlinks an object retires it; its
 * destructor runs once every section that was open at that moment has ended.
 * Theory, order and proof: epoch.c.
 */
#ifndef SYNC_EPOCH_H
#define SYNC_EPOCH_H

#include "base/assert.h"
#include "base/atomic.h"
#include "sync/spinlock.h"

struct epoch_item;
typedef void epoch_free_fn(struct epoch_item *item);

/* Embedded in whatever is freed by epoch. */
struct epoch_item {
	struct epoch_item *next; /* o: the retiring CPU's */
	epoch_free_fn *free;
};

#define EPOCH_LISTS 3
/*
 * A try to advance reads a line of every CPU, which each takes back afterwards. So it is due after so many retirements for each
 * CPU there is: what it costs a retirement is the same on any machine, up to where waiting items would be too many.
 */
#define EPOCH_BATCH 96u
#define EPOCH_BATCH_MAX 1024u
#define EPOCH_BATCH_MIN 64u

/* o: own CPU only; x: written by its own CPU, read by others */
struct epoch_cpu {
	ATOMIC(uint64_t) active;   /* x: epoch this CPU reads in, 0 when in none */
	uint32_t depth;            /* o: nesting */
	uint32_t since_look;       /* o: retirements since epoch_poll or epoch_tidy */
	ATOMIC(uint64_t) pending;  /* x: items on the lists below */
	struct epoch_item *list[EPOCH_LISTS]; /* o: by epoch of retirement modulo 3 */
	uint64_t list_epoch[EPOCH_LISTS];     /* o: that epoch */
} ALIGNED(CACHE_LINE);

struct epoch {
	ATOMIC(uint64_t) now ALIGNED(CACHE_LINE); /* the global epoch, from 1; cas */
	uint32_t ncpus ALIGNED(CACHE_LINE);       /* constant, like due: a line that nobody writes */
	uint32_t due;                             /* retirements on one CPU between two tries to advance */
	struct epoch_cpu cpu[CPU_MAX];
};

/* Boot, one CPU. ncpus: how many CPUs may ever enter. */
void epoch_init(struct epoch *e, uint32_t ncpus);
/* Boot, one CPU: for small memory, a try is due after n retirements at the latest; or after 64, if n is less. */
void epoch_limit(struct epoch *e, uint64_t n);

/* Says in which epoch this CPU reads; for the functions below. */
static inline void epoch_announce(struct epoch *e, struct epoch_cpu *c)
{
	uint64_t now = atomic_load_relaxed(&e->now); /* a guess, checked below */

	for (;;) {
		uint64_t again;

		/* seq_cst: pairs with the load in can_advance; see epoch.c */
		atomic_store_seq_cst(&c->active, now);
		again = atomic_load_seq_cst(&e->now);
		if (again == now)
			return;
		now = again;
	}
}

/* Checked builds: sections of any epoch that this CPU is in. */
static inline void epoch_note(int opened)
{
#if STRATA_CHECKED
	cpu_debug()->epoch_depth += (uint32_t)opened;
#else
	(void)opened;
#endif
}

/* Opens / closes a section on this CPU; they nest. Inside: no wait, no user access, no sched_point. */
static inline void epoch_enter(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];

	epoch_note(1);
	if (c->depth++ == 0)
		epoch_announce(e, c);
}

static inline void epoch_leave(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];

	ASSERT_CHECKED(c->depth > 0);
	if (--c->depth == 0)
		/* release: the section's reads are over before can_advance sees 0 */
		atomic_store_release(&c->active, UINT64_C(0));
	epoch_note(-1);
}

/* The same for who is in no section: the outermost. */
static inline void epoch_enter_first(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];

	ASSERT_CHECKED(c->depth == 0);
	epoch_note(1);
	c->depth = 1;
	epoch_announce(e, c);
}

static inline void epoch_leave_last(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];

	ASSERT_CHECKED(c->depth == 1);
	c->depth = 0;
	/* release: as in epoch_leave */
	atomic_store_release(&c->active, UINT64_C(0));
	epoch_note(-1);
}

/*
 * Inside a section: the epoch that this CPU said it is in. What was reachable in a section is not freed as long as this
 * stays the same: it was retired in that epoch at the earliest.
 */
static inline uint64_t epoch_mine(const struct epoch *e) { return atomic_load_relaxed(&e->cpu[cpu_id()].active); /* own */ }

/* True inside a section of this CPU. */
bool epoch_inside(const struct epoch *e);

/*
 * Has free(item) called after every section now open has ended. The object must
 * be unlinked already by a seq_cst or release store or under its lock. Any
 * thread context, inside or outside a section, spinlocks may be held as long as
 * they rank below RANK_ZONE. free runs on the retiring CPU, later, outside any
 * section, in epoch_poll or epoch_tidy.
 */
void epoch_retire(struct epoch *e, struct epoch_item *item, epoch_free_fn *free);
/* The same for an item with which n more go: it brings the next try to advance as much nearer. */
void epoch_retire_with(struct epoch *e, struct epoch_item *item, epoch_free_fn *free, uint32_t n);

/*
 * Tries to advance the epoch once and frees what has become free on this CPU.
 * Thread context outside any section, no spinlock held. For who needs memory. Returns how
 * many items were freed.
 */
uint64_t epoch_poll(struct epoch *e);

/*
 * For a CPU that goes on retiring: frees what has become free here, and only when that is nothing tries to advance the epoch.
 * So CPUs that retire advance it in turn, and not each for itself. Context and result as epoch_poll. Called after changes of
 * maps, and with the time that has passed since something was retired, also by idle CPUs.
 */
uint64_t epoch_tidy(struct epoch *e);

/* True when enough has been retired on this CPU that its owner should call epoch_tidy soon. */
static inline bool epoch_should_poll(const struct epoch *e) { return e->cpu[cpu_id()].since_look >= e->due; }

/* Items retired and not freed yet, on all CPUs; a snapshot. */
uint64_t epoch_pending(const struct epoch *e);

#endif
