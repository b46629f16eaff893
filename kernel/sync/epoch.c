/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/epoch.c: epoch-based reclamation.
 *
 * Purpose. Readers of the map tree, page tables, amap nodes and object trees
 * take no lock and write no shared line; the memory they look at must not be
 * freed beneath them.
 *
 * Structure. A global epoch number now counts up from 1. Each CPU has a record:
 * active is the epoch in which it reads, or 0. The epoch may advance from N to
 * N+1 when every CPU's active is 0 or N.
 *
 *   now:      N-1      |      N       |     N+1      |     N+2
 *   reader        [-------- active = N --------]
 *   item retired in N ........................  freed from N+2 on
 *
 * An item retired while now = N can be seen only by sections with active <= N:
 * later ones started after now became N+1, which is after the unlink. now = N+2
 * needs every such section ended (the step N+1 -> N+2 waits for active = N to
 * go). So three lists by epoch modulo 3 hold all that is not free yet.
 *
 * Memory order. Four accesses are seq_cst: the reader's store of active and its
 * first load of a shared pointer after it; the mutator's unlink and the
 * advancing CPU's load of active. An unlink by a release store, or under a lock, will do
 * too: epoch_retire's own seq_cst store comes between it and the load of the item's epoch.
 * The reader re-reads now after storing active until both agree, so that it never
 * publishes an epoch older than now; the seq_cst store is ordered before every later
 * seq_cst load, and an acquire pointer load that follows it in program order is made
 * seq_cst-ordered by the seq_cst re-read of now in between. active = 0 is a release: it
 * pairs with the acquire side of the advancing CPU's seq_cst load, so that the section's
 * accesses are over before the memory is reused.
 *
 * Cost. A try to advance takes a line from every CPU, and each takes it back with its next section. So a CPU tries only after so
 * many retirements for each CPU there is (epoch.due), and not if other CPUs have advanced the epoch meanwhile (epoch_tidy): with n
 * CPUs that retire, what one retirement costs does not grow with n.
 *
 * Failure. A CPU that stays in a section holds reclamation up, never safety.
 * Nothing here allocates.
 *
 * Sources: K. Fraser, Practical lock-freedom (2004), section 5.2.3; T. Hart et
 * al., Performance of memory reclamation for lockless synchronization (2007).
 */
#include "sync/epoch.h"

void epoch_init(struct epoch *e, uint32_t ncpus)
{
	__builtin_memset(e, 0, sizeof *e);
	atomic_store_relaxed(&e->now, UINT64_C(1));
	e->ncpus = ncpus;
	e->due = EPOCH_BATCH * ncpus < EPOCH_BATCH_MAX ? EPOCH_BATCH * ncpus : EPOCH_BATCH_MAX;
}

void epoch_limit(struct epoch *e, uint64_t n)
{
	if (n < EPOCH_BATCH_MIN)
		n = EPOCH_BATCH_MIN;
	if (e->due > n)
		e->due = (uint32_t)n;
}

bool epoch_inside(const struct epoch *e) { return e->cpu[cpu_id()].depth > 0; }

static bool can_advance(struct epoch *e, uint64_t now)
{
	for (uint32_t i = 0; i < e->ncpus; i++) {
		/* seq_cst: pairs with epoch_enter's store; acquire side pairs with epoch_leave */
		uint64_t active = atomic_load_seq_cst(&e->cpu[i].active);

		if (active != 0 && active != now)
			return false;
	}
	return true;
}

void epoch_retire_with(struct epoch *e, struct epoch_item *item, epoch_free_fn *free, uint32_t n)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];
	uint64_t now;
	unsigned i;

	/*
	 * seq_cst, both: the load is not before the unlink, so that the item's epoch is not too old. An unlink
	 * by a release store, or under a lock, is before the store here, and the store before the load.
	 */
	atomic_store_seq_cst(&c->pending, atomic_load_relaxed(&c->pending) + 1); /* relaxed: our own */
	now = atomic_load_seq_cst(&e->now);
	i = now % EPOCH_LISTS;
	item->free = free;
	/*
	 * A list that still holds items of epoch now-3 holds items that are free by
	 * now. They may not run their destructors here (locks are held), so they
	 * are freed a little later than they could be, with the new ones.
	 */
	c->list_epoch[i] = now;
	item->next = c->list[i];
	c->list[i] = item;
	c->since_look += 1 + n;
}

void epoch_retire(struct epoch *e, struct epoch_item *item, epoch_free_fn *free) { epoch_retire_with(e, item, free, 0); }

/* Frees what this CPU retired two epochs before now or earlier. */
static uint64_t free_ready(struct epoch_cpu *c, uint64_t now)
{
	uint64_t freed = 0;

	c->since_look = 0;
	for (unsigned i = 0; i < EPOCH_LISTS; i++) {
		struct epoch_item *item = c->list[i];

		if (!item || c->list_epoch[i] + 2 > now)
			continue;
		c->list[i] = NULL;
		while (item) {
			struct epoch_item *next = item->next;

			item->free(item); /* may retire more */
			item = next;
			freed++;
		}
	}
	if (freed)
		atomic_bump(&c->pending, -freed);
	return freed;
}

uint64_t epoch_poll(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];
	uint64_t now = atomic_load_seq_cst(&e->now);

	if (c->depth > 0)
		return 0;
	/* cas: several CPUs may find that it can advance; one of them does it */
	if (can_advance(e, now) && atomic_cas_seq_cst(&e->now, &now, now + 1))
		now = now + 1;
	return free_ready(c, now);
}

uint64_t epoch_tidy(struct epoch *e)
{
	struct epoch_cpu *c = &e->cpu[cpu_id()];
	uint64_t freed = 0;

	if (c->depth == 0)
		/* acquire: pairs with the advance; its can_advance saw the readers' ends */
		freed = free_ready(c, atomic_load_acquire(&e->now));
	return freed ? freed : epoch_poll(e);
}

uint64_t epoch_pending(const struct epoch *e)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < e->ncpus; i++)
		n += atomic_load_relaxed(&e->cpu[i].pending);
	return n;
}
