/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/fragment.c: how many 2 MiB frames survive. JSON lines on standard output.
 *
 *	fragment CPUS MIB ROUNDS SEED
 *
 * One thread plays all CPUs in turn, by attaching to each, so that a run repeats
 * from its seed.
 *
 * churn at P % free: all memory is allocated as single frames, then random ones
 * are freed until P % are free, which leaves hardly a 2 MiB frame; then in each
 * round random ones, a tenth of what is allocated, are freed and as many
 * allocated again, each by the CPU that the frame belongs to. A good allocator
 * heals: it fills where much is taken already.
 *
 * every second CPU: all memory is allocated, the CPUs taking turns of random length; then
 * every second CPU frees all that it has.
 *
 * The ideal is free frames / 512. What is free is counted after strata_drain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>

#include "bench.h"

#define TURN_MAX 64 /* frames that a CPU allocates in a row at most */

/* Frames that are allocated, by index of no meaning. */
struct holding {
	uint64_t frame;
	unsigned cpu;
};

static struct strata_machine *machine;
static unsigned cpus;
static struct holding *held;
static size_t count;
static uint64_t seed;

static void need(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "fragment: %s\n", what);
	exit(2);
}

static void become(unsigned cpu)
{
	if (strata_cpu(machine) == (int)cpu)
		return;
	(void)strata_detach();
	need(strata_attach(machine, cpu) == STRATA_OK, "cannot attach");
}

static size_t random_below(size_t n) { return (size_t)((random_next(&seed) >> 16) % n); }

/* By that CPU; false: no memory. */
static bool take(unsigned cpu)
{
	become(cpu);
	if (strata_frame_alloc(machine, 0, 0, &held[count].frame) != STRATA_OK)
		return false;
	held[count++].cpu = cpu;
	return true;
}

/* The i-th holding goes back, by the CPU whose it is. */
static unsigned give(size_t i)
{
	unsigned cpu = held[i].cpu;

	become(cpu);
	need(strata_frame_free(machine, held[i].frame, 0) == STRATA_OK, "a frame cannot be freed");
	held[i] = held[--count];
	return cpu;
}

static void take_all(void)
{
	for (;;) {
		unsigned cpu = (unsigned)random_below(cpus);

		for (size_t n = random_below(TURN_MAX) + 1; n > 0; n--)
			if (!take(cpu))
				return;
	}
}

static void report(const char *what, unsigned percent, unsigned round)
{
	struct strata_statistics s;
	uint64_t blocks = 0, ideal;

	need(strata_drain(machine) == STRATA_OK && strata_statistics(machine, &s) == STRATA_OK, "no statistics");
	for (unsigned order = STRATA_ORDER_2M; order <= STRATA_ORDER_MAX; order++)
		blocks += s.free_blocks[order] << (order - STRATA_ORDER_2M);
	ideal = s.free >> STRATA_ORDER_2M;
	printf("{\"bench\":\"fragment\",\"case\":\"%s\",\"free_percent\":%u,\"round\":%u,\"cpus\":%u,\"free_frames\":%"
	       "llu,"
	       "\"free_2m\":%llu,\"ideal_2m\":%llu,\"of_ideal\":%.4f}\n",
	       what, percent, round, cpus, (unsigned long long)s.free, (unsigned long long)blocks,
	       (unsigned long long)ideal, ideal ? (double)blocks / (double)ideal : 0);
	fflush(stdout);
}

/* A machine with nothing allocated but what it needs itself. */
static void open_machine(size_t mib)
{
	struct strata_config config = {.cpus = cpus, .memory = mib << 20};

	need(strata_create(&config, &machine) == STRATA_OK, "no memory for a machine");
	count = 0;
}

static void close_machine(void)
{
	char problem[128];

	while (count > 0)
		give(count - 1);
	need(strata_drain(machine) == STRATA_OK, "cannot drain");
	need(strata_check(machine, problem, sizeof problem) == STRATA_OK, problem);
	need(strata_detach() == STRATA_OK && strata_destroy(machine) == STRATA_OK, "cannot destroy");
}

static void churn(size_t mib, unsigned percent, unsigned rounds)
{
	static unsigned who[1 << 20];
	size_t keep;

	open_machine(mib);
	take_all();
	for (keep = count - count * percent / 100; count > keep;)
		give(random_below(count));
	report("churn", percent, 0);
	for (unsigned round = 1; round <= rounds; round++) {
		size_t n = keep / 10;

		need(n <= sizeof who / sizeof who[0], "too much memory");
		for (size_t i = 0; i < n; i++)
			who[i] = give(random_below(count));
		for (size_t i = 0; i < n; i++)
			need(take(who[i]), "memory was lost");
		if (round % 10 == 0 || round == rounds)
			report("churn", percent, round);
	}
	close_machine();
}

static void every_second(size_t mib)
{
	open_machine(mib);
	take_all();
	for (size_t i = count; i-- > 0;)
		if (held[i].cpu % 2)
			give(i);
	report("every second CPU", 50, 0);
	close_machine();
}

int main(int argc, char **argv)
{
	size_t mib = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned rounds = argc == 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	cpus = argc == 5 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	if (cpus < 2 || cpus > STRATA_CPUS_MAX || mib < 16 || mib > 16384 || rounds < 1) {
		fprintf(stderr, "usage: fragment CPUS MIB ROUNDS SEED\n");
		return 2;
	}
	seed = strtoull(argv[4], NULL, 10) * 2 + 1;
	held = calloc((mib << 20) / STRATA_FRAME_SIZE, sizeof *held);
	need(held != NULL, "no memory");
	every_second(mib);
	churn(mib, 50, rounds);
	churn(mib, 90, rounds);
	free(held);
	return 0;
}
