/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/options.c: the command line: words NAME=VALUE. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define RUNS_DEFAULT 10000

struct options options = {.build = "build"};

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n < least || n > most)
		errx(2, "%s=%s: a number from %llu to %llu is wanted", name, text, (unsigned long long)least,
		     (unsigned long long)most);
	return n;
}

/* at:answer,at:answer,... with rising at, or `tame`. */
static void schedule(const char *text)
{
	const char *p = text;

	options.has_schedule = true;
	options.deviations = 0;
	if (!strcmp(text, "tame"))
		return;
	for (;;) {
		struct deviation *d = &options.schedule[options.deviations];
		int used = 0;

		if (options.deviations == DEVIATIONS_MAX)
			errx(2, "SCHEDULE: more than %u deviations", DEVIATIONS_MAX);
		if (sscanf(p, "%u:%u%n", &d->at, &d->answer, &used) != 2 || !used ||
		    (d > options.schedule && d->at <= d[-1].at))
			errx(2, "SCHEDULE=%.60s: wanted is NUMBER:ANSWER,... with rising numbers, or tame", text);
		options.deviations++;
		p += used;
		if (!*p)
			return;
		if (*p++ != ',')
			errx(2, "SCHEDULE=%.60s: wanted is NUMBER:ANSWER,... with rising numbers, or tame", text);
	}
}

static enum engine engine(const char *text)
{
	if (!strcmp(text, "model")) {
		if (sanitizer_here())
			errx(2, "ENGINE=model is another program: host-explore/explore");
		return ENGINE_MODEL;
	}
	if (strcmp(text, "tsan") && strcmp(text, "threads"))
		errx(2, "ENGINE=%s: model, tsan or threads", text);
	if (!sanitizer_here())
		errx(2, "ENGINE=%s is another program: host-explore-tsan/explore", text);
	return strcmp(text, "tsan") ? ENGINE_THREADS : ENGINE_TSAN;
}

static void set(const char *name, const char *value)
{
	if (!strcmp(name, "SEED")) {
		options.seed = number(name, value, 0, UINT64_MAX / 2);
		options.has_seed = true;
	} else if (!strcmp(name, "RUNS")) {
		options.runs = number(name, value, 0, 1000000000);
		options.has_runs = true;
	} else if (!strcmp(name, "DEPTH")) {
		options.depth = (uint32_t)number(name, value, 1, DEPTH_MAX);
	} else if (!strcmp(name, "EXHAUSTIVE")) {
		options.bound = (uint32_t)number(name, value, 0, BOUND_MAX);
	} else if (!strcmp(name, "CPUS")) {
		options.cpus = (uint32_t)number(name, value, 2, EXPLORE_CPUS);
	} else if (!strcmp(name, "JOBS")) {
		options.jobs = (uint32_t)number(name, value, 1, 256);
	} else if (!strcmp(name, "VARIANT")) {
		options.variant = (uint32_t)number(name, value, 0, UINT32_MAX - 1);
	} else if (!strcmp(name, "VARIANTS")) {
		options.variants = (uint32_t)number(name, value, 1, UINT32_MAX - 1);
	} else if (!strcmp(name, "SCHEDULES")) {
		options.schedules = (uint32_t)number(name, value, 1, UINT32_MAX - 1);
	} else if (!strcmp(name, "TRACE")) {
		options.trace = number(name, value, 0, 1);
	} else if (!strcmp(name, "SCENARIO")) {
		options.scenario = value;
	} else if (!strcmp(name, "SCHEDULE")) {
		schedule(value);
	} else if (!strcmp(name, "ENGINE")) {
		options.engine = engine(value);
	} else if (!strcmp(name, "BUILD")) {
		options.build = value;
	} else {
		errx(2,
		     "%s is not known: SEED, RUNS, DEPTH, EXHAUSTIVE, CPUS, SCENARIO, VARIANT, VARIANTS, SCHEDULES, "
		     "SCHEDULE, ENGINE, TRACE, JOBS, BUILD",
		     name);
	}
}

void options_read(int argc, char **argv)
{
	static char name[32];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	options.engine = sanitizer_here() ? ENGINE_TSAN : ENGINE_MODEL;
	options.runs = RUNS_DEFAULT;
	options.depth = DEPTH_DEFAULT;
	options.bound = 1;
	options.cpus = EXPLORE_CPUS;
	options.variant = options.variants = options.schedules = UINT32_MAX;
	options.jobs = cores < 1 ? 1 : cores > 256 ? 256 : (uint32_t)cores;
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');

		if (!equals || (size_t)(equals - argv[i]) >= sizeof name)
			errx(2, "%s: wanted is NAME=VALUE", argv[i]);
		memcpy(name, argv[i], (size_t)(equals - argv[i]));
		name[equals - argv[i]] = 0;
		set(name, equals + 1);
	}
	if (!options.has_seed && !options.has_schedule)
		options.seed = mix((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) % 1000000000;
	/* a seed of one scenario without a number of runs is one run */
	if (options.has_seed && options.scenario && !options.has_runs && !options.has_schedule) {
		options.runs = 1;
		options.has_runs = true;
		options.bound = 0;
	}
	if (options.has_schedule && !options.scenario)
		errx(2, "SCHEDULE needs SCENARIO");
	if (options.engine == ENGINE_THREADS && options.has_schedule)
		errx(2, "SCHEDULE: free-running threads do not follow one");
	if (options.engine == ENGINE_THREADS)
		options.bound = 0;
}
