/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/explore.h: every schedule of small scenarios, replayable.
 *
 * vCPUs are fibers of one thread. At each point (shared atomic, lock, MMU
 * operation, user access: base/cpu.h, cpu_point) the schedule says who goes on.
 * Everything else that a machine is free to do is asked of the schedule as
 * well: when a store leaves its store buffer, which value an unordered load
 * sees, when an invalidation arrives, what a walker fetches unasked, which
 * allocation fails. All of it is one question, explore_choose; 0 is always the
 * tame answer (go on, newest value, at once, nothing, success). So a run is a
 * list of answers, and the list replays it.
 *
 *   choice.c    who answers: random, PCT, bounded exhaustive, replay
 *   fiber.c     vCPUs, points, no progress
 *   thread.c    the same on free-running threads
 *   memory.c    the memory model: the compiler's ThreadSanitizer interface, implemented here
 *   race.c      data races of plain accesses under that model's order
 *   hooks.c     what a scenario's machine asks of the schedule and of the memory model
 *   trace.c     what happened, with source lines
 *   history.c   was there a sequential order of the operations that explains their results?
 *   scenario_*  the scenarios
 *   worker.c    a scenario set up once, then one process copy per run
 *   report.c    a failure: replayed, reduced, traced
 *   main.c      arguments, workers, progress, table
 *
 * The files above but the scenarios are the laboratory: they are compiled plainly and
 * use no kernel atomics. Kernel, test support and scenarios are compiled with
 * -fsanitize=thread, whose calls memory.c answers (or the real ThreadSanitizer).
 */
#ifndef EXPLORE_EXPLORE_H
#define EXPLORE_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal/host/host.h"

#define EXPLORE_CPUS 4

/* --- a scenario --- */
/* In variants: programs' faults are served by each of test_way (test_vm.h); so there are that many times the variants. */
#define SCENARIO_FAULTS (1u << 31)

struct scenario {
	const char *name;  /* short, with dashes: SCENARIO= matches part of it */
	const char *what;  /* one line for the table */
	uint32_t cpus;     /* 2 .. EXPLORE_CPUS */
	uint32_t variants; /* of machine or parameters, 0 counts as 1; a run takes one by its seed. SCENARIO_FAULTS: see there */
	bool exhaustive;   /* small enough for every schedule up to the bound */
	/*
	 * setup creates the machine and all that the operations start from; on CPU 0,
	 * once per variant, before the process is copied for each run; no choice is asked.
	 * run is CPU cpu's part. judge runs on CPU 0 when all have ended: it compares, checks
	 * structures, releases everything, audits; it panics or calls explore_fail when anything is wrong.
	 */
	void (*setup)(uint32_t variant);
	struct host_machine *(*machine)(void);
	void (*run)(uint32_t cpu);
	void (*judge)(void);
};
/*
 * All of them: each scenario_*.c defines an array NAME and its length NAME_count, and stands in scenarios.c; NULL ends
 * the list. A scenario whose own name begins with "planted-" has a bug that must be found; it runs only when asked for.
 */
struct scenario_table {
	const struct scenario *scenario;
	const unsigned *count;
};
extern const struct scenario_table scenario_tables[];

/* --- choices --- */
enum choice {
	CHOOSE_CPU,      /* who runs after a point: 0 whoever ran; asked by fiber.c */
	CHOOSE_DRAIN,    /* memory.c: a store that may wait: 0 leaves the buffer at once, 1 stays until it must */
	CHOOSE_STALE,    /* memory.c: which admissible value a load sees: 0 the newest */
	CHOOSE_WALKER,   /* hal/host: a walker that may see an older descriptor: 0 the newest */
	CHOOSE_TLBI,     /* hal/host: when a broadcast invalidation arrives: 0 at once, 1 with the DSB */
	CHOOSE_PREFETCH, /* hal/host: a speculative walk: 0 none */
	CHOOSE_EVICT,    /* hal/host: a TLB entry dropped for no reason: 0 none */
	CHOOSE_SPURIOUS, /* hal/host: an access that faults although it would be allowed: 0 no */
	CHOOSE_ALLOC,    /* an allocation: 0 succeeds, 1 fails */
	CHOOSE_SCENARIO, /* what an operation of a random scenario does: no tame answer; never counted as a deviation */
	CHOICES
};
/* An answer in [0, n). n >= 1. Outside a run (setup, judge): 0, but for CHOOSE_SCENARIO, random by the seed. */
unsigned explore_choose(enum choice kind, unsigned n);

/* --- fibers --- */
/* The running vCPU, or -1 in setup and judge, where the memory model is sequential. */
int explore_cpu(void);
/* Global number of the point just passed; 1, 2, ... The run's clock. */
uint64_t explore_step(void);
/* vCPUs are free-running threads, not fibers: explore_step only tells before from after. */
bool explore_parallel(void);
/* The memory model is there, and late_stores belong to it; else the real ThreadSanitizer watches. */
bool explore_modelled(void);
/*
 * In setup: what the scenario runs is right by C11 alone, on machines too that are not multi-copy atomic as Armv8 is. Then what a
 * CPU has seen says nothing of what others see, but by happens-before.
 */
void explore_portable(bool on);

/* --- failure and trace --- */
/* Ends the run as a failure, with that message. The same happens on a panic or a signal. */
void explore_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
extern bool trace_on; /* this run records a trace */
/* One line of trace: by whom, where (return address, NULL: none), what. Costs nothing when trace_on is false. */
void trace_note(const void *pc, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(pc, ...) \
	do { \
		if (__builtin_expect(trace_on, 0)) \
			trace_note(pc, __VA_ARGS__); \
	} while (0)

/* --- the memory model, for fiber.c and hal/host --- */
void memory_begin(uint32_t cpus); /* fibers start: what was done before is seen by all */
void memory_end(void);            /* all ended: buffers drain, everything is ordered before the judge */
void memory_step(uint32_t cpu);   /* called at each point of cpu before it goes on: drains what has waited too long */
void memory_idle(void);           /* every CPU spins: drain everything */
void memory_drain(uint32_t cpu);  /* a full barrier of cpu (DSB) */
void memory_barrier_all(void);    /* cpu_barrier_all of the running CPU: makes points */
/* What cpu does now, and whether what by did at that stamp is before what cpu does now. */
uint64_t memory_stamp(uint32_t cpu);
bool memory_before(uint32_t by, uint64_t stamp, uint32_t cpu);
/*
 * Hardware walked through the descriptor at p and saw value: what was ordered before the store of that value
 * is now before what programs on cpu do next.
 */
void memory_walked(uint32_t cpu, const void *p, uint64_t value);
/*
 * Hardware updates the descriptor at p, as __atomic_compare_exchange_n. What was ordered before the value that it
 * replaces is before the new one too; it orders nothing for cpu, on which the program runs, or -1 in setup and judge.
 */
bool memory_hardware_cas(int cpu, uint64_t *p, uint64_t *expected, uint64_t want);
/* A program on cpu touches bytes of a frame, by relaxed accesses: a race with a plain write of the kernel's is one. */
void memory_user_access(uint32_t cpu, const void *p, size_t n, bool write);

/* --- the judge: linearizability (history.c) --- */
/*
 * A history is what each CPU called and what came back, in order. Each operation is
 * one or more steps on a model state; each step takes effect at one moment between call and return, steps
 * of one operation in any order unless ordered; optional ones may be left out. The judge searches for an order of all
 * steps in which the model gives the results that were seen; none: the run is wrong.
 */
#define HISTORY_OPS 24    /* per CPU */
#define HISTORY_STEPS 8   /* per operation */
#define HISTORY_STATE 512 /* bytes of model state, at most */
struct history_step {
	uint8_t what;        /* the model's own code */
	uint8_t page, space; /* on what */
	uint8_t argument;
	bool optional;  /* may be left out: part of an operation that failed half-way */
	bool looks;     /* changes no state whatever: taken as soon as it fits, which makes long histories easy */
	uint64_t value; /* stored, or seen */
	int result;     /* as returned */
};
struct history_op {
	uint64_t called, returned; /* explore_step then; returned 0: never */
	uint32_t steps;
	bool ordered; /* steps take effect in their order */
	struct history_step step[HISTORY_STEPS];
	const char *name;
};
struct history {
	uint32_t cpus;
	uint32_t count[EXPLORE_CPUS];
	struct history_op op[EXPLORE_CPUS][HISTORY_OPS];
};
/* Applies step to the state in place; false: the model cannot give that result in that state. */
typedef bool history_model(void *state, uint32_t cpu, const struct history_step *step);
/*
 * Is there an order? state: the model's at the start, size bytes, not changed. final: says whether a state is the one
 * found in the end, NULL: any. On failure the history is printed through print.
 */
bool history_explained(const struct history *h, const void *state, size_t size, history_model *model,
		       bool (*final)(const void *state, void *arg), void *arg);
void history_print(const struct history *h);
/* For whoever records: begin returns the operation to fill in. By that CPU only. */
struct history_op *history_begin(struct history *h, uint32_t cpu, const char *name);
void history_end(struct history_op *op);

#endif
