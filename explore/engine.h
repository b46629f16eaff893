/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/engine.h: what the parts of the explorer share among themselves.
 *
 *   main.c     arguments to tasks, progress, table
 *      |  one process per task (worker.c), up to JOBS at a time, results by struct slot
 *   worker.c   a scenario's setup, then one process per run; batches, every schedule, reduction
 *      |  a plan per run
 *   fiber.c / thread.c   run it, asking choice.c
 *   report.c   a failure, for people
 */
#ifndef EXPLORE_ENGINE_H
#define EXPLORE_ENGINE_H

#include <stdio.h>

#include "explore.h"
#include "test_vm.h"

#define DEPTH_MAX 16 /* of PCT */
#define DEPTH_DEFAULT 3
#define BOUND_MAX 4           /* of exhaustive runs */
#define DEVIATIONS_MAX 4096   /* in a schedule that is given by its deviations */
#define RECORD_MAX (1u << 20) /* answers of a run that are kept */
#define OUTPUT_MAX 65536      /* bytes of what a failing run printed */

enum engine { ENGINE_MODEL, ENGINE_TSAN, ENGINE_THREADS };

/* --- choice.c --- */
enum mode { MODE_TAME, MODE_WALK, MODE_PCT, MODE_LIST };

/* Answer number at of a run is answer, not 0. */
struct deviation {
	uint32_t at, answer;
};

/* How a run's questions are answered. */
struct plan {
	enum mode mode;
	uint64_t seed;   /* as people know it */
	uint64_t random; /* run_hash of it: of all that is random, CHOOSE_SCENARIO's answers in every mode included */
	uint32_t depth;  /* MODE_PCT */
	uint64_t steps;  /* MODE_PCT: how many a run takes, about; the limit of a run follows from it */
	const struct deviation *list; /* MODE_LIST: rising */
	uint32_t deviations;
};

/* A question that was asked, and its answer. n > 1. */
struct answer {
	uint16_t kind;
	uint16_t free; /* a first choice of CPU: no deviation of an exhaustive run */
	uint32_t n, answer;
};

/* Questions count from here on; record: what was answered, at most RECORD_MAX, or NULL. */
void choice_begin(const struct plan *p, uint32_t cpus, struct answer *record);
void choice_end(void);
uint64_t choice_count(void);
/*
 * CHOOSE_CPU. cpu[0] is who ran, or with forced the next in order, since who ran cannot go on. free: see above.
 * self: who ran, -1: nobody yet, or it has ended. Returns an index.
 */
unsigned choice_cpu(unsigned n, const uint8_t *cpu, int self, bool forced, bool free);

static inline uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele, Lea, Flood, 2014) */
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}
uint64_t next_random(uint64_t *state);

/* --- fiber.c --- */
#define STEPS_MAX 1000000u                               /* of any run */
void fiber_init(void);                                   /* stacks, before any process is copied */
void fiber_run(const struct scenario *s, uint64_t most); /* most: steps */
int fiber_cpu(void);
uint64_t fiber_step(void);
/* To standard error: where each CPU is, by return addresses. Of the running one only what the caller prints. */
void fiber_stacks(void);

/* --- thread.c --- */
void thread_run(const struct scenario *s, uint64_t seed);

/* --- sanitizer_none.c or sanitizer.c: the real ThreadSanitizer's fibers, or nothing --- */
bool sanitizer_here(void);
void *sanitizer_fiber(void); /* the record of a new fiber */
void *sanitizer_self(void);
void sanitizer_switch(void *fiber, bool ordered); /* ordered: what was done so far is before what fiber does next */

/* --- trace.c --- */
void trace_open(int fd); /* notes go there, one line each: step, CPU, pc in hex, text */
/* Between true and false nothing is noted. */
void trace_pause(bool pause);
/* Rewrites pcs to functions and lines: every word `pc:HEX` of text. */
void trace_symbols(FILE *out, const char *text);
/* A trace with symbols. Returns lines. */
unsigned trace_render(int fd, FILE *out);

/* --- worker.c --- */
enum task_kind {
	TASK_RANDOM,     /* runs of seeds [from, to), which all fall on this variant */
	TASK_EXHAUSTIVE, /* part of parts of all schedules up to bound */
	TASK_REPLAY,     /* the plan, count times */
	TASK_REDUCE,     /* the plan's answers as deviations, then fewer of them */
	TASK_TRACE,      /* the plan, with a trace */
};
enum task_state { SLOT_FREE, SLOT_BUSY };

struct failure {
	bool failed, in_setup;
	struct plan plan; /* its list points to deviation, in the same slot */
	uint32_t deviations;
	char message[1024];
};

/* Shared by the parent, a worker and its runs. */
struct slot {
	/* the task */
	enum task_kind kind;
	const struct scenario *scenario;
	uint32_t variant;
	uint64_t from, to;                     /* TASK_RANDOM */
	uint32_t part, parts, bound;           /* TASK_EXHAUSTIVE */
	uint32_t count;                        /* TASK_REPLAY */
	struct plan plan;                      /* TASK_REPLAY, _REDUCE, _TRACE */
	struct deviation list[DEVIATIONS_MAX]; /* plan's, and afterwards the reduced one */
	/* what came of it */
	uint64_t runs, steps, choices, same;
	uint64_t tame_steps, tame_choices;
	uint32_t stride;                            /* TASK_EXHAUSTIVE: one first deviation in so many was taken */
	struct failure failure;                     /* the first */
	struct deviation deviation[DEVIATIONS_MAX]; /* failure.plan's */
	/* of one run */
	bool ended; /* judge came back */
	uint64_t run_steps, run_choices;
	char message[1024]; /* explore_fail's */
	struct answer record[RECORD_MAX];
};

struct options {
	enum engine engine;
	uint64_t seed, runs;
	uint32_t depth, bound, cpus, jobs;
	uint32_t variant; /* UINT32_MAX: by the seed */
	/* Exhaustive runs: of so many variants of a scenario, and about so many first deviations of each, at most. */
	uint32_t variants, schedules;
	const char *scenario, *build;
	struct deviation schedule[DEVIATIONS_MAX];
	uint32_t deviations;
	bool has_seed, has_runs, has_schedule, trace;
};
extern struct options options;
/* From the command line; a bad argument ends the process with status 2. */
void options_read(int argc, char **argv);

uint64_t run_hash(const struct scenario *s, uint64_t seed);
uint32_t run_variant(const struct scenario *s, uint64_t seed);
struct plan run_plan(const struct scenario *s, uint64_t seed);
static inline uint32_t own_variants(const struct scenario *s)
{
	uint32_t n = s->variants & ~SCENARIO_FAULTS;

	return n ? n : 1;
}
static inline uint32_t variants_of(const struct scenario *s)
{
	return own_variants(s) * (s->variants & SCENARIO_FAULTS ? TEST_WAYS : 1);
}

/* Does the slot's task; stop: another worker found this scenario wrong. output: where runs print, trace: for
 * TASK_TRACE. */
void worker_main(struct slot *slot, const bool *stop, int output, int trace) __attribute__((noreturn));
/* The slot of this process; NULL in the parent. */
extern struct slot *worker_slot;

/* The line of what a run printed that says why it died; "" when none does. */
void worker_why(int output, char *to, size_t size);

/* --- report.c --- */
#define REPLAYS 10

/*
 * Replays, reduces, traces and prints the failure in slot, by what its run printed to output. work is a free slot,
 * with an output of its own. In a process of its own, so that the parent's memory stays as it is.
 * Returns how many of REPLAYS replays failed the same way.
 */
unsigned report_failure(const struct slot *slot, int output, struct slot *work, int work_output);
/* Does the task of work in a worker; waits for it. */
void report_task(struct slot *work, int output, int trace);
/* Traces the plan of work, to the scenario's file. */
void report_trace(struct slot *work, int output);

#endif
