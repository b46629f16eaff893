/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/main.c: all loads on all allocators, in time or by counting.
 *
 *	main time ROUNDS PAIRS SEED [PATTERN]    JSON lines on standard output, progress on standard error
 *	main count PAIRS SEED [PATTERN]          under callgrind: two dumps a load and allocator; the second one's
 *trigger names them
 *
 * Time. A round runs every load on every allocator that fits it, in an order
 * shuffled for each load and round, so that what else the machine does falls on
 * all alike. What is reported of the rounds are median, quartiles and extremes of
 * nanoseconds a pair; of each round the harness (the allocator that does nothing,
 * in the same style, in the same round) is subtracted first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "bench.h"

#define ROUNDS_MAX 1000
#define ALLOCATORS_MAX 16

struct series {
	double wall[ROUNDS_MAX], cpu[ROUNDS_MAX];
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_series(const char *what, double *value, unsigned n)
{
	qsort(value, n, sizeof *value, by_value);
	printf(",\"%s\":{\"median\":%.2f,\"p25\":%.2f,\"p75\":%.2f,\"min\":%.2f,\"max\":%.2f}", what, value[n / 2],
	       value[n / 4], value[n * 3 / 4], value[0], value[n - 1]);
}

static unsigned null_of(enum style style)
{
	for (unsigned i = 0; i < allocator_count; i++)
		if (allocators[i].null && allocators[i].style == style)
			return i;
	abort();
}

/* The allocators that fit the load, shuffled. */
static unsigned choose(const struct load *l, unsigned which[ALLOCATORS_MAX], uint64_t *random)
{
	unsigned n = 0;

	for (unsigned i = 0; i < allocator_count; i++) {
		unsigned j;

		if (!load_fits(l, &allocators[i]))
			continue;
		j = (unsigned)(random_next(random) >> 16) % (n + 1);
		which[n] = which[j];
		which[j] = i;
		n++;
	}
	return n;
}

/* Pairs of one run: batches are whole, and those of large blocks few. */
static uint64_t pairs_of(const struct load *l, uint64_t pairs)
{
	return l->frames && l->size == 9 ? pairs / 16 + 1 : pairs;
}

static bool wanted(const struct load *l, const char *pattern) { return !pattern || strstr(l->name, pattern); }

static int run_time(unsigned rounds, uint64_t pairs, uint64_t seed, const char *pattern)
{
	struct series *series = calloc((size_t)load_count * allocator_count, sizeof *series);
	uint64_t random = seed * 2 + 1;

	if (!series)
		return 2;
	for (unsigned round = 0; round < rounds; round++) {
		fprintf(stderr, "\rround %u of %u ", round + 1, rounds);
		for (unsigned l = 0; l < load_count; l++) {
			unsigned which[ALLOCATORS_MAX], n = choose(&loads[l], which, &random);
			struct series *s = &series[l * allocator_count];

			for (unsigned i = 0; wanted(&loads[l], pattern) && i < n; i++) {
				struct run r =
					load_run(&loads[l], &allocators[which[i]], pairs_of(&loads[l], pairs), NULL);

				s[which[i]].wall[round] = r.wall;
				s[which[i]].cpu[round] = r.cpu;
			}
		}
	}
	fprintf(stderr, "\n");
	for (unsigned l = 0; l < load_count; l++)
		for (unsigned a = 0; a < allocator_count; a++) {
			struct series *s = &series[l * allocator_count + a];
			const struct series *null = &series[l * allocator_count + null_of(allocators[a].style)];

			if (!wanted(&loads[l], pattern) || !load_fits(&loads[l], &allocators[a]) || allocators[a].null)
				continue;
			for (unsigned round = 0; round < rounds; round++) {
				s->wall[round] -= null->wall[round];
				s->cpu[round] -= null->cpu[round];
			}
			printf("{\"bench\":\"alloc\",\"load\":\"%s\",\"threads\":%u,\"allocator\":\"%s\",\"rounds\":%u,"
			       "\"pairs\":%llu,\"seed\":%llu",
			       loads[l].name, loads[l].threads, allocators[a].name, rounds,
			       (unsigned long long)pairs_of(&loads[l], pairs), (unsigned long long)seed);
			print_series("wall_ns", s->wall, rounds);
			print_series("cpu_ns", s->cpu, rounds);
			printf("}\n");
		}
	free(series);
	return 0;
}

/* --- counting --- */

static const char *dump_name;

/* A dump sets the costs of all threads to zero; CALLGRIND_ZERO_STATS, those of the calling one only. */
static void counted(bool on)
{
	if (on)
		CALLGRIND_DUMP_STATS_AT("before");
	else
		CALLGRIND_DUMP_STATS_AT(dump_name);
}

static int run_count(uint64_t pairs, const char *pattern)
{
	static char name[128];

	for (unsigned l = 0; l < load_count; l++)
		for (unsigned a = 0; a < allocator_count; a++) {
			struct run r;

			if (!wanted(&loads[l], pattern) || !load_fits(&loads[l], &allocators[a]))
				continue;
			/* The pairs are known before: patterns of whole batches round up, all threads count. */
			r = load_run(&loads[l], &allocators[a], pairs_of(&loads[l], pairs), NULL);
			snprintf(name, sizeof name, "%s|%u|%s|%u|%llu", loads[l].name, loads[l].threads,
				 allocators[a].name, (unsigned)allocators[a].style, (unsigned long long)r.pairs);
			dump_name = name;
			(void)load_run(&loads[l], &allocators[a], pairs_of(&loads[l], pairs), counted);
		}
	return 0;
}

int main(int argc, char **argv)
{
	bool time = argc >= 5 && !strcmp(argv[1], "time"), count = argc >= 4 && !strcmp(argv[1], "count");
	unsigned long rounds = time ? strtoul(argv[2], NULL, 10) : 1;
	uint64_t pairs = time || count ? strtoull(argv[2 + time], NULL, 10) : 0;
	uint64_t seed = time || count ? strtoull(argv[3 + time], NULL, 10) : 0;
	const char *pattern = argc > 4 + time ? argv[4 + time] : NULL;

	if ((!time && !count) || rounds < 1 || rounds > ROUNDS_MAX || pairs < 1) {
		fprintf(stderr, "usage: main time ROUNDS PAIRS SEED [PATTERN] | main count PAIRS SEED [PATTERN]\n");
		return 2;
	}
	loads_open(seed);
	allocators_open();
	return time ? run_time((unsigned)rounds, pairs, seed, pattern) : run_count(pairs, pattern);
}
