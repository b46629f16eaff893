/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/choice.c: who answers the questions of a run.
 *
 * Purpose. Whatever a machine may do in more than one way is one question with n answers. A run is the list of
 * its answers; this file gives them by a plan and so decides which of all runs happens.
 *
 * Structure. Four ways to answer:
 *   tame   always 0
 *   walk   0, but with a certain probability any other. Each kind of question has its own probability, picked per run
 * by the seed, often 0: a run in which only stores are late, or only CPUs change, goes deeper than one in which all
 * happens at once PCT    the CPU with the highest priority runs. Priorities are random; at depth - 1 steps, picked at
 * random beforehand, the running CPU's becomes lower than all. A bug that needs d orderings in a run of k steps on n
 * CPUs is met with a probability of at least 1 / (n k^(d-1)). All other kinds as in a walk list   0, but for the
 * questions that a list names
 *
 * Invariants.
 *   1. Questions with one answer are not counted, nor is CHOOSE_SCENARIO: its answers depend on the seed, the CPU and
 * how many it asked before, so that a schedule that is cut down still does the same operations.
 *   2. A run depends on nothing but the plan: no time, no addresses, no state of earlier runs.
 *
 * Locking. Fibers are one thread. In free-running threads each has its own random state, nothing is counted
 * or recorded.
 *
 * Sources: S. Burckhardt et al., A randomized scheduler with probabilistic guarantees of finding bugs (ASPLOS 2010);
 * M. Musuvathi, S. Qadeer, Iterative context bounding for systematic testing of multithreaded programs (PLDI 2007).
 */
#include <string.h>

#include "engine.h"

static const char *const kind_name[CHOICES] = {
	[CHOOSE_CPU] = "cpu",           [CHOOSE_DRAIN] = "drain",       [CHOOSE_STALE] = "stale",
	[CHOOSE_WALKER] = "walker",     [CHOOSE_TLBI] = "tlbi",         [CHOOSE_PREFETCH] = "prefetch",
	[CHOOSE_EVICT] = "evict",       [CHOOSE_SPURIOUS] = "spurious", [CHOOSE_ALLOC] = "alloc",
	[CHOOSE_SCENARIO] = "scenario",
};

static struct {
	struct plan plan;
	bool running;
	uint64_t random;
	uint64_t scenario[EXPLORE_CPUS + 1]; /* random states: setup and judge, then each CPU */
	uint64_t count;                      /* questions so far */
	uint32_t cursor;                     /* in plan.list */
	uint32_t rate[CHOICES];              /* of 65536: how often an answer is not tame */
	struct answer *record;
	int64_t priority[EXPLORE_CPUS]; /* PCT; what is below 0 was lowered */
	int64_t lowest;
	uint64_t change[DEPTH_MAX]; /* steps at which the running CPU is lowered */
} c;

/* Free-running threads have one each. */
static _Thread_local uint64_t thread_random;

uint64_t next_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

static uint32_t one_of(const uint32_t *table, unsigned n) { return table[next_random(&c.random) % n]; }

/* One in so many; 0: never. */
static uint32_t rate_of(uint32_t one_in) { return one_in ? 65536 / one_in : 0; }

/* Not every store waits, or a lock whose release always does would starve others. */
static uint32_t store_rate(uint32_t one_in) { return one_in == 1 ? 65536 / 8 * 7 : rate_of(one_in); }

static bool percent(unsigned p) { return next_random(&c.random) % 100 < p; }

static void pick_rates(void)
{
	static const uint32_t cpu[] = {2, 3, 5, 10, 20, 50, 100, 200};
	static const uint32_t weak[] = {1, 2, 3, 4, 8, 32, 128};
	static const uint32_t machine[] = {2, 4, 8, 16, 64};
	static const uint32_t alloc[] = {3, 8, 32};

	memset(c.rate, 0, sizeof c.rate);
	c.rate[CHOOSE_CPU] = rate_of(one_of(cpu, 8));
	if (percent(60)) {
		if (percent(75))
			c.rate[CHOOSE_DRAIN] = store_rate(one_of(weak, 7));
		if (percent(75))
			c.rate[CHOOSE_STALE] = rate_of(one_of(weak, 7));
	}
	if (percent(60))
		for (unsigned k = CHOOSE_WALKER; k <= CHOOSE_SPURIOUS; k++)
			if (percent(60))
				c.rate[k] = rate_of(one_of(machine, 5));
	if (percent(25))
		c.rate[CHOOSE_ALLOC] = rate_of(one_of(alloc, 3));
}

static void pick_priorities(uint32_t cpus)
{
	uint64_t steps = c.plan.steps > 16 ? c.plan.steps : 16;

	for (uint32_t i = 0; i < cpus; i++) {
		uint32_t other = (uint32_t)(next_random(&c.random) % (i + 1));

		c.priority[i] = c.priority[other];
		c.priority[other] = i + 1;
	}
	c.lowest = 0;
	for (uint32_t i = 0; i + 1 < c.plan.depth; i++)
		c.change[i] = 1 + next_random(&c.random) % steps;
}

void choice_begin(const struct plan *p, uint32_t cpus, struct answer *record)
{
	c.plan = *p;
	c.record = record;
	c.count = 0;
	c.cursor = 0;
	c.random = mix(p->random);
	for (unsigned i = 0; i <= EXPLORE_CPUS; i++)
		c.scenario[i] = mix(p->random + 1 + i);
	pick_rates();
	pick_priorities(cpus);
	c.running = true;
}

void choice_end(void) { c.running = false; }
uint64_t choice_count(void) { return c.count; }

/* Counts question n of that kind and notes its answer. */
static unsigned answered(enum choice kind, unsigned n, unsigned answer, bool free)
{
	if (c.record && c.count < RECORD_MAX)
		c.record[c.count] = (struct answer){(uint16_t)kind, free, n, answer};
	if (answer)
		TRACE(NULL, "choice %llu: %s %u of %u", (unsigned long long)c.count, kind_name[kind], answer, n);
	c.count++;
	return answer;
}

/* What the list says of the next question. */
static unsigned listed(unsigned n)
{
	const struct deviation *d = &c.plan.list[c.cursor];

	if (c.cursor == c.plan.deviations || d->at != c.count)
		return 0;
	c.cursor++;
	return d->answer < n ? d->answer : n - 1;
}

static unsigned walked(enum choice kind, unsigned n)
{
	if (next_random(&c.random) % 65536 >= c.rate[kind])
		return 0;
	if (kind == CHOOSE_STALE && percent(50))
		return n - 1; /* the oldest hides most */
	return 1 + (unsigned)(next_random(&c.random) % (n - 1));
}

/* In a free-running thread: by its own random state, at the run's rates. */
static unsigned choose_parallel(enum choice kind, unsigned n)
{
	if (!thread_random)
		thread_random = mix(c.plan.random + 77u * (unsigned)(explore_cpu() + 2));
	if (kind == CHOOSE_SCENARIO)
		return (unsigned)(next_random(&thread_random) % n);
	if (explore_cpu() < 0 || next_random(&thread_random) % 65536 >= c.rate[kind])
		return 0;
	return 1 + (unsigned)(next_random(&thread_random) % (n - 1));
}

unsigned explore_choose(enum choice kind, unsigned n)
{
	unsigned answer = 0;

	if (n <= 1)
		return 0;
	if (explore_parallel())
		return choose_parallel(kind, n);
	if (kind == CHOOSE_SCENARIO)
		return (unsigned)(next_random(&c.scenario[explore_cpu() + 1]) % n);
	if (!c.running)
		return 0;
	if (c.plan.mode == MODE_LIST)
		answer = listed(n);
	else if (c.plan.mode != MODE_TAME)
		answer = walked(kind, n);
	return answered(kind, n, answer, false);
}

/* Who waits, or runs at one of the steps picked, falls below all others. */
static void lower(int self, bool forced)
{
	bool low = forced;

	for (uint32_t i = 0; i + 1 < c.plan.depth; i++)
		low |= c.change[i] == explore_step();
	if (low)
		c.priority[self] = --c.lowest;
}

static unsigned by_priority(unsigned n, const uint8_t *cpu)
{
	unsigned best = 0;

	for (unsigned i = 1; i < n; i++)
		if (c.priority[cpu[i]] > c.priority[cpu[best]])
			best = i;
	return best;
}

unsigned choice_cpu(unsigned n, const uint8_t *cpu, int self, bool forced, bool free)
{
	unsigned answer = 0;

	if (c.plan.mode == MODE_PCT && self >= 0)
		lower(self, forced);
	if (n <= 1)
		return 0;
	switch (c.plan.mode) {
	case MODE_TAME:
		break;
	case MODE_LIST:
		answer = listed(n);
		break;
	case MODE_PCT:
		answer = by_priority(n, cpu);
		break;
	case MODE_WALK:
		answer = forced ? (unsigned)(next_random(&c.random) % n) : walked(CHOOSE_CPU, n);
		break;
	}
	return answered(CHOOSE_CPU, n, answer, free);
}
