/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_late.c: a walker sees a store to a descriptor late.
 *
 * Purpose. On a real machine a table walk may read an older value of a
 * descriptor until the CPU that changed it has executed a DSB. Code that forgets
 * the DSB works nearly always. Here the older value is what a walker gets
 * whenever the harness, or the seed, wants it to (config.late_stores).
 *
 * Structure. For each descriptor with stores that not every walker must see yet,
 * the values in the order of their stores, and for each value the vCPUs that
 * stored or read it:
 *
 *      value[0]    value[1]    value[2]
 *      everyone    CPU 1       CPU 0, 2        a DSB of CPU 2: value[2] stays alone, the record goes
 *         \____________\___________\____ a walker may read any of the three
 *
 * A DSB of a vCPU makes the newest value that was stored before it the oldest that
 * walkers see: its own stores by the DSB's definition, and those of others
 * that are before it in the architecture's order, which the DSB continues: what it
 * has read, and with a harness that knows (ops.before) what it is ordered after by
 * locks and releases. Without any DSB in that order an invalidation may come too early. Hardware's own updates work on
 * what memory holds, and so end the older values.
 *
 * Under a memory model memory itself may lag behind what was stored. A walker
 * then sees no value that memory has not got yet: what is in another CPU's store
 * buffer is in no cache.
 *
 * Invariants.
 *  1. A record has at least two values; the newest is what the last store left.
 *  2. value[0] is one that every walker may read; no older one may be read.
 *  3. Records of one descriptor: at most one, in the chain of its hash.
 *
 * Locking. None: the vCPUs are fibers of one thread, and no function here gives a
 * turn. Failure. late_init only; when a record or a value too many comes, the
 * oldest is forgotten as if it had been pushed.
 *
 * Sources: Arm Architecture Reference Manual, D8.2.6 (ordering of translation table walks and stores);
 * B. Simner et al., "Relaxed virtual memory in Armv8-A", ESOP 2022.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "hal/host/host_private.h"

#define RECORDS 2048u
#define BUCKETS 1024u
#define VALUES 8u
#define NIL UINT32_MAX

struct record {
	uint64_t pa;
	uint32_t next;          /* in its bucket or the free list */
	uint32_t n;             /* 0: free */
	uint64_t value[VALUES]; /* oldest first */
	uint64_t cpus[VALUES];  /* bit c: vCPU c stored or read it */
	uint32_t by[VALUES];    /* who stored it, and when by ops.stamp */
	uint64_t stamp[VALUES];
};

struct late_stores {
	uint32_t bucket[BUCKETS], free, used, victim;
	struct record record[RECORDS];
};

static uint32_t *chain(struct late_stores *l, uint64_t pa) { return &l->bucket[host_mix(pa) % BUCKETS]; }

static struct record *find(struct late_stores *l, uint64_t pa)
{
	for (uint32_t i = *chain(l, pa); i != NIL; i = l->record[i].next)
		if (l->record[i].pa == pa)
			return &l->record[i];
	return NULL;
}

static void drop(struct late_stores *l, struct record *r)
{
	uint32_t index = (uint32_t)(r - l->record), *link = chain(l, r->pa);

	while (*link != index)
		link = &l->record[*link].next;
	*link = r->next;
	r->n = 0;
	r->next = l->free;
	l->free = index;
	l->used--;
}

static struct record *create(struct late_stores *l, uint64_t pa, uint64_t old)
{
	struct record *r;

	if (l->free == NIL)
		drop(l, &l->record[l->victim++ % RECORDS]);
	r = &l->record[l->free];
	l->free = r->next;
	l->used++;
	r->pa = pa;
	r->n = 1;
	r->value[0] = old;
	r->cpus[0] = 0;
	r->by[0] = 0;
	r->stamp[0] = 0;
	r->next = *chain(l, pa);
	*chain(l, pa) = (uint32_t)(r - l->record);
	return r;
}

/* The first n values are no longer seen. */
static void forget(struct record *r, uint32_t n)
{
	memmove(r->value, r->value + n, (r->n - n) * sizeof *r->value);
	memmove(r->cpus, r->cpus + n, (r->n - n) * sizeof *r->cpus);
	memmove(r->by, r->by + n, (r->n - n) * sizeof *r->by);
	memmove(r->stamp, r->stamp + n, (r->n - n) * sizeof *r->stamp);
	r->n -= n;
}

/* The newest value of the record that equals v; NIL: none. */
static uint32_t index_of(const struct record *r, uint64_t v)
{
	for (uint32_t i = r->n; i-- > 0;)
		if (r->value[i] == v)
			return i;
	return NIL;
}

static uint64_t *word(struct host_machine *m, uint64_t pa) { return (uint64_t *)(void *)host_bytes(m, pa); }

enum error late_init(struct host_machine *m)
{
	struct late_stores *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < BUCKETS; i++)
		l->bucket[i] = NIL;
	for (uint32_t i = 0; i < RECORDS; i++)
		l->record[i].next = i + 1 < RECORDS ? i + 1 : NIL;
	m->late = l;
	return OK;
}

void late_destroy(struct host_machine *m) { free(m->late); }

void late_stored(struct host_machine *m, uint32_t cpu, uint64_t pa, uint64_t old, uint64_t v)
{
	const struct host_ops *ops = &m->config.ops;
	struct record *r = find(m->late, pa);

	if (!r)
		r = create(m->late, pa, old);
	if (r->n == VALUES)
		forget(r, 1);
	r->value[r->n] = v;
	r->by[r->n] = cpu;
	r->stamp[r->n] = ops->stamp ? ops->stamp(ops->context) : 0;
	r->cpus[r->n++] = BIT(cpu);
}

void late_read(struct host_machine *m, uint32_t cpu, uint64_t pa, uint64_t v)
{
	struct record *r = find(m->late, pa);
	uint32_t i = r ? index_of(r, v) : NIL;

	if (i != NIL)
		r->cpus[i] |= BIT(cpu);
}

/* Is that store before what the vCPU does now? */
static bool is_before(const struct host_ops *ops, const struct record *r, uint32_t i, uint32_t cpu)
{
	return r->cpus[i] & BIT(cpu) || (i > 0 && ops->before && ops->before(ops->context, r->by[i], r->stamp[i]));
}

void late_pushed(struct host_machine *m, uint32_t cpu)
{
	for (uint32_t i = 0; i < RECORDS && m->late->used; i++) {
		struct record *r = &m->late->record[i];
		uint32_t n = r->n;

		while (n > 0 && !is_before(&m->config.ops, r, n - 1, cpu))
			n--;
		if (n > 1)
			forget(r, n - 1);
		if (r->n == 1)
			drop(m->late, r);
	}
}

void late_forget(struct host_machine *m, uint64_t frame)
{
	for (uint32_t i = 0; i < RECORDS && m->late->used; i++)
		if (m->late->record[i].n && round_down(m->late->record[i].pa, PAGE_SIZE) == frame)
			drop(m->late, &m->late->record[i]);
}

uint64_t late_newest(struct host_machine *m, uint64_t pa)
{
	const struct record *r = find(m->late, pa);

	return r ? r->value[r->n - 1] : __atomic_load_n(word(m, pa), __ATOMIC_RELAXED);
}

uint64_t late_walk(struct host_machine *m, uint64_t pa, bool newest, uint64_t *random)
{
	uint64_t now = __atomic_load_n(word(m, pa), __ATOMIC_ACQUIRE);
	struct record *r = find(m->late, pa);
	uint32_t i;

	if (!r || newest)
		return now;
	i = index_of(r, now);
	if (i == NIL) { /* written by other means, and told by nobody: memory is right */
		drop(m->late, r);
		return now;
	}
	if (i == 0)
		return now;
	return r->value[i - (whim_asked(m) ? whim_ask(m, HOST_WHIM_WALKER, i + 1)
					   : (uint32_t)(host_next_random(random) % (i + 1)))];
}

void late_hardware(struct host_machine *m, uint64_t pa, uint64_t v)
{
	struct record *r = find(m->late, pa);
	uint32_t n = r ? r->n : 0;

	/* What memory held before is the only value that v can have been made of: AF and AP[2] differ. */
	while (n > 0 && (r->value[n - 1] ^ v) & ~(HD_AF | HD_AP_RO))
		n--;
	if (n == 0)
		return;
	forget(r, n - 1);
	r->value[0] = v;
	r->cpus[0] = 0;
	if (r->n == 1)
		drop(m->late, r);
}
