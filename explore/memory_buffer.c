/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/memory_buffer.c: places of atomics with their last values, and the CPUs' store buffers.
 *
 * Structure. Memory itself holds the newest value that has left a buffer. A place gets a
 * struct location at its first atomic store of the run; before, memory is all
 * there is. Plain writes end a location: what comes after starts from memory. So do
 * writes past us (the simulated hardware's): seen when memory is not the newest
 * value. Locations hang at the words of race.c's map. Overlapping accesses of
 * other size or offset: everything to the old location leaves, and it ends.
 *
 * Invariants.
 *  1. h[n-1] is in memory, or the location ends at its next access.
 *  2. moments rise along h; those of unsettled read-modify-writes are NEVER.
 *  3. waiting = entries of that location in all buffers.
 *
 * Failure. Pools are sized for scenarios; running out ends the run with a message.
 */
#include <string.h>

#include "memory_private.h"

#define LOCATIONS 32768
#define WAIT_OWN 32
#define WAIT_ALL 400

struct cpu memory_cpu[EXPLORE_CPUS];
uint32_t memory_cpus;
uint64_t memory_now;

static uint32_t waiting; /* entries in all buffers */
static struct location pool[LOCATIONS], *free_locations;
static struct value histories[LOCATIONS][HISTORY]; /* of pool[] */
static struct sights sights[LOCATIONS][EXPLORE_CPUS];
static uint32_t pool_used;

/* --- memory itself --- */

static void put(uint64_t address, unsigned size, uint64_t v) { memcpy((void *)(uintptr_t)address, &v, size); }

/* --- locations --- */

static bool overlaps(const struct location *l, uint64_t start, uint64_t end)
{
	return l->address < end && start < l->address + l->size;
}

static void location_end(struct location **link)
{
	struct location *l = *link;

	*link = l->next;
	l->next = free_locations;
	free_locations = l;
}

static struct location *location_make(struct location **word, uint64_t address, unsigned size)
{
	struct location *l = free_locations;

	if (l)
		free_locations = l->next;
	else if (pool_used < LOCATIONS)
		l = &pool[pool_used++];
	else
		explore_fail("memory model: more than %u locations of atomics", LOCATIONS);
	memset(l, 0, sizeof *l);
	l->address = address;
	l->size = (uint8_t)size;
	l->h = histories[l - pool];
	l->sights = sights[l - pool];
	for (uint32_t i = 0; memory_portable && i < EXPLORE_CPUS; i++)
		l->sights[i].n = 0;
	l->base = 1;
	l->n = 1;
	memset(l->h, 0, sizeof *l->h);
	l->h->v = value_get(address, size);
	l->next = *word;
	*word = l;
	return l;
}

void location_seen(struct location *l, uint32_t cpu, uint64_t number, uint32_t epoch)
{
	struct sights *k = &l->sights[cpu];
	struct sight *last = k->n ? &k->s[k->n - 1] : NULL;

	if (l->seen[cpu] >= number)
		return;
	l->seen[cpu] = number;
	if (!memory_portable)
		return;
	if (last && last->epoch == epoch) {
		last->number = number;
		return;
	}
	if (k->n == SIGHTS) { /* the oldest two become one, seen too early rather than too late: more is ordered than need be */
		k->s[0].number = k->s[1].number;
		memmove(&k->s[1], &k->s[2], (SIGHTS - 2) * sizeof k->s[0]);
		k->n--;
	}
	k->s[k->n++] = (struct sight){number, epoch};
}

struct value *location_push(struct location *l, uint64_t v, uint32_t cpu, int order, uint32_t epoch)
{
	struct value *n;

	if (l->n == HISTORY) {
		memmove(l->h, l->h + 1, (HISTORY - 1) * sizeof *l->h);
		l->n--;
		l->base++;
	}
	n = &l->h[l->n++];
	memset(n, 0, sizeof *n);
	n->v = v;
	n->cpu = (uint8_t)cpu;
	n->step = explore_step();
	n->moment = ++memory_now;
	location_seen(l, cpu, value_last(l), epoch);
	if (order == __ATOMIC_SEQ_CST)
		l->last_sc = value_last(l);
	put(l->address, l->size, v);
	return n;
}

/* --- store buffers --- */

static void settle(struct value *v)
{
	v->moment = ++memory_now;
	v->step = explore_step();
}

/* Entry i leaves; it is the first that may. */
static void leave(uint32_t cpu, uint32_t i)
{
	struct cpu *c = &memory_cpu[cpu];
	struct entry e = c->buffer[i];

	memmove(&c->buffer[i], &c->buffer[i + 1], (c->n - i - 1) * sizeof e);
	c->n--;
	waiting--;
	e.at->waiting--;
	if (e.settle) {
		if (e.number >= e.at->base && e.at->h[e.number - e.at->base].moment == NEVER)
			settle(&e.at->h[e.number - e.at->base]);
		return;
	}
	location_push(e.at, e.v, cpu, e.order, e.epoch)->released = e.released;
	TRACE(e.pc, "  CPU %u: %s = %#lx leaves the store buffer", cpu, memory_name((void *)(uintptr_t)e.at->address),
	      (unsigned long)e.v);
}

/* Must j leave before i does? */
static bool before(const struct entry *j, const struct entry *i)
{
	return j->at == i->at || order_releases(i->order) || j->fence < i->fence;
}

/* Entry i leaves, and before it what must. */
static void buffer_force(uint32_t cpu, uint32_t i)
{
	struct cpu *c = &memory_cpu[cpu];
	bool need[BUFFER] = {false};
	uint32_t gone = 0;

	need[i] = true;
	for (uint32_t k = i + 1; k-- > 0;)
		for (uint32_t j = 0; need[k] && j < k; j++)
			need[j] = need[j] || before(&c->buffer[j], &c->buffer[k]);
	for (uint32_t k = 0; k <= i; k++)
		if (need[k])
			leave(cpu, k - gone++);
}

void buffer_force_all(uint32_t cpu)
{
	while (memory_cpu[cpu].n)
		leave(cpu, 0);
}

void buffer_force_place(uint32_t cpu, const struct location *l)
{
	struct cpu *c = &memory_cpu[cpu];

	if (!l->waiting)
		return;
	for (uint32_t i = c->n; i-- > 0;)
		if (c->buffer[i].at == l) {
			buffer_force(cpu, i);
			return;
		}
}

void buffer_force_seq_cst(uint32_t cpu)
{
	struct cpu *c = &memory_cpu[cpu];

	for (uint32_t i = c->n; i-- > 0;)
		if (!c->buffer[i].settle && c->buffer[i].order == __ATOMIC_SEQ_CST) {
			buffer_force(cpu, i);
			return;
		}
}

bool buffer_put(uint32_t cpu, struct location *l, const struct entry *e)
{
	struct cpu *c = &memory_cpu[cpu];

	if (c->n == BUFFER)
		buffer_force(cpu, 0);
	c->buffer[c->n] = *e;
	c->buffer[c->n].at = l;
	c->buffer[c->n].own_step = c->own_step;
	c->buffer[c->n].step = explore_step();
	c->buffer[c->n].fence = c->fences;
	c->n++;
	waiting++;
	l->waiting++;
	if (explore_choose(CHOOSE_DRAIN, 2))
		return true;
	buffer_force(cpu, c->n - 1);
	return false;
}

void value_seen(uint32_t cpu, struct value *v)
{
	if (v->moment == NEVER && v->cpu != cpu)
		settle(v);
}

struct location *location_find(const void *p, unsigned size, bool make)
{
	struct location **word = race_word(p, make);
	uint64_t address = (uint64_t)(uintptr_t)p;

	if (!word)
		return NULL;
	for (struct location **link = word; *link;) {
		struct location *l = *link;

		if (!overlaps(l, address, address + size)) {
			link = &l->next;
			continue;
		}
		if (l->address == address && l->size == size && value_newest(l)->v == value_get(address, size))
			return l;
		for (uint32_t i = 0; i < memory_cpus; i++)
			buffer_force_place(i, l);
		location_end(link);
	}
	return make ? location_make(word, address, size) : NULL;
}

/* --- the end of a location, of waiting --- */

void memory_plain(uint32_t cpu, const void *p, size_t n, bool write)
{
	uint64_t start = (uint64_t)(uintptr_t)p, end = start + n;

	for (uint64_t a = start & ~UINT64_C(7); a < end; a += 8) {
		struct location **link = race_word((const void *)(uintptr_t)a, false);

		if (!link) { /* nothing in that page */
			a |= 4095 & ~UINT64_C(7);
			continue;
		}
		while (*link) {
			struct location *l = *link;

			if (!overlaps(l, start, end)) {
				link = &l->next;
				continue;
			}
			for (uint32_t i = 0; i < memory_cpus; i++)
				if (write || i == cpu)
					buffer_force_place(i, l);
			if (write)
				location_end(link);
			else
				link = &l->next;
		}
	}
}

void memory_step(uint32_t cpu)
{
	uint64_t step = explore_step();

	memory_cpu[cpu].own_step++;
	for (uint32_t i = 0; waiting && i < memory_cpus; i++) {
		struct cpu *c = &memory_cpu[i];

		/* Entries are in order of age, but what must go before an entry may be younger than others. */
		while (c->n && (c->buffer[0].own_step + WAIT_OWN < c->own_step || c->buffer[0].step + WAIT_ALL < step))
			buffer_force(i, 0);
	}
}

void memory_idle(void)
{
	for (uint32_t i = 0; i < memory_cpus; i++)
		buffer_force_all(i);
	for (uint32_t i = 0; i < memory_cpus; i++)
		memory_cpu[i].floor = memory_now;
}

void buffer_begin(uint32_t n)
{
	memset(memory_cpu, 0, sizeof memory_cpu);
	memory_cpus = n;
	waiting = pool_used = 0;
	memory_now = 0;
	free_locations = NULL;
}
