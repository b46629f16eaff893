/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/example/threads.c: threads that allocate messages and hand each other what they have allocated: a ring, in which
 * each thread frees what its neighbour made. Prints how many pairs each made.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>

#define THREADS 4
#define MESSAGES 100000

struct message {
	struct message *next;
	unsigned from, number;
};

struct worker {
	pthread_t thread;
	struct strata_machine *machine;
	struct strata_zone *zone;
	unsigned cpu;
	unsigned freed;
	_Atomic(struct message *) inbox; /* pushed by the neighbour, taken whole by us */
	struct worker *neighbour;
	atomic_uint *senders; /* threads that have messages to send */
};

static void send(struct worker *to, struct message *m)
{
	m->next = atomic_load(&to->inbox);
	while (!atomic_compare_exchange_weak(&to->inbox, &m->next, m))
		;
}

/* Frees what has come. The memory was another CPU's; it goes into this one's caches. */
static void receive(struct worker *w)
{
	struct message *m = atomic_exchange(&w->inbox, NULL);

	while (m) {
		struct message *next = m->next;

		if (strata_zone_free(w->zone, m) != STRATA_OK)
			abort();
		w->freed++;
		m = next;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (strata_attach(w->machine, w->cpu) != STRATA_OK)
		abort();
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct message *m = strata_zone_alloc(w->zone);

		if (!m)
			abort();
		m->from = w->cpu;
		m->number = i;
		send(w->neighbour, m);
		receive(w);
	}
	atomic_fetch_sub(w->senders, 1);
	while (atomic_load(w->senders) > 0)
		receive(w);
	receive(w);
	strata_detach();
	return NULL;
}

int main(void)
{
	struct strata_config config = {.cpus = THREADS, .memory = 256 << 20};
	struct strata_zone_config messages = {.name = "message", .size = sizeof(struct message)};
	struct strata_zone_statistics statistics;
	struct worker worker[THREADS] = {0};
	atomic_uint senders = THREADS;
	struct strata_machine *machine;
	struct strata_zone *zone;
	char problem[128];

	if (strata_create(&config, &machine) || strata_attach(machine, 0) ||
	    strata_zone_create(machine, &messages, &zone) || strata_detach())
		return 1;
	for (unsigned i = 0; i < THREADS; i++) {
		worker[i].machine = machine;
		worker[i].zone = zone;
		worker[i].cpu = i;
		worker[i].senders = &senders;
		worker[i].neighbour = &worker[(i + 1) % THREADS];
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			return 1;
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(worker[i].thread, NULL);
		printf("CPU %u freed %u messages\n", i, worker[i].freed);
		if (worker[i].freed != MESSAGES)
			return 1;
	}
	/* The threads have ended: a quiet point. */
	if (strata_attach(machine, 0) || strata_zone_statistics(zone, &statistics) || statistics.in_use != 0)
		return 1;
	if (strata_zone_destroy(machine, zone) || strata_check(machine, problem, sizeof problem))
		return 1;
	return strata_detach() || strata_destroy(machine);
}
