/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/litmus.c: runs the tests of litmus_tests.c and says what was seen.
 *
 *   litmus [RUNS [NAME [RUN]]]      RUN: that one is traced
 *
 * A program of its own with the plainest of engines: fibers that switch at random, choices at random, one process
 * for all runs, half of them portable. Exit status 1 when a forbidden outcome was seen or a required one was not.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/assert.h"
#include "litmus.h"
#include "memory.h"

#define STACK 65536
#define STEPS 20000 /* a run that takes longer makes no progress */

bool trace_on;
static int current = -1;
static uint64_t step, random_state = 1;
static ucontext_t engine, fiber[EXPLORE_CPUS];
static bool ended[EXPLORE_CPUS];
static char stack[EXPLORE_CPUS][STACK] __attribute__((aligned(16)));
static const struct litmus *test;
static struct host_cpu vcpu[EXPLORE_CPUS];
static jmp_buf failed;
static char failure[512];

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((random_state >> 33) % n);
}

int explore_cpu(void) { return current; }
uint64_t explore_step(void) { return step; }
unsigned explore_choose(enum choice kind, unsigned n)
{
	(void)kind;
	return current < 0 ? 0 : random_below(n);
}

void explore_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(failure, sizeof failure, format, args);
	va_end(args);
	longjmp(failed, 1);
}

void trace_note(const void *pc, const char *format, ...)
{
	va_list args;

	(void)pc;
	if (!trace_on)
		return;
	va_start(args, format);
	printf("    CPU %d: ", current);
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

static void point(void)
{
	int cpu = current;

	if (cpu < 0)
		return;
	if (++step > STEPS)
		explore_fail("no progress in %d points", STEPS);
	if (random_below(2)) {
		current = -1;
		swapcontext(&fiber[cpu], &engine);
	}
	memory_step((uint32_t)cpu);
}

static void fiber_main(int cpu)
{
	test->run[cpu]();
	point();
	memory_drain((uint32_t)cpu);
	current = -1;
	ended[cpu] = true;
	swapcontext(&fiber[cpu], &engine);
}

static void run(void)
{
	for (uint32_t i = 0; i < test->cpus; i++) {
		ended[i] = false;
		getcontext(&fiber[i]);
		fiber[i].uc_stack.ss_sp = stack[i];
		fiber[i].uc_stack.ss_size = STACK;
		fiber[i].uc_link = NULL;
		makecontext(&fiber[i], (void (*)(void))fiber_main, 1, (int)i);
	}
	step = 0;
	memory_begin(test->cpus);
	for (;;) {
		uint32_t left = 0, n;

		for (uint32_t i = 0; i < test->cpus; i++)
			left += !ended[i];
		if (!left)
			break;
		n = random_below(left);
		for (current = 0; ended[current] || n-- > 0; current++)
			;
		host_self = &vcpu[current];
		swapcontext(&engine, &fiber[current]);
	}
	memory_end();
}

/* => 0: an outcome of no interest; 1: the outcome of the table; -1: the run failed. */
static int run_once(void)
{
	litmus_reset();
	for (uint32_t i = 0; i < EXPLORE_CPUS; i++)
		vcpu[i] = (struct host_cpu){.id = i};
	host_self = &vcpu[0];
	if (setjmp(failed)) {
		current = -1;
		memory_on = false;
		return -1;
	}
	run();
	return test->outcome();
}

/* Returns whether the verdict is as the table has it. name: print when it is first seen. */
static bool judge(unsigned runs, long traced)
{
	static const char *const verdicts[] = {"forbidden", "required", "armv8", "race"};
	enum litmus_verdict due = test->verdict != LITMUS_ARMV8 ? test->verdict
				  : memory_portable             ? LITMUS_REQUIRED
								: LITMUS_FORBIDDEN;
	unsigned seen = 0, races = 0;
	bool ok;

	failure[0] = 0;
	for (unsigned i = 0; i < runs; i++) {
		int result;

		trace_on = i == traced;
		result = run_once();
		if (result && traced != -1 && seen + races == 0)
			printf("%s: first in run %u\n", test->name, i);
		seen += result == 1;
		races += result == -1;
	}
	ok = due == LITMUS_FORBIDDEN ? !seen && !races : due == LITMUS_REQUIRED ? seen && !races : races;
	printf("%-5s %-26s %-8s %-9s seen %u, failed %u of %u%s%s\n", ok ? "ok" : "WRONG", test->name,
	       memory_portable ? "portable" : "armv8", verdicts[due], seen, races, runs, ok || !races ? "" : ": ", ok ? "" : failure);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 1 ? (unsigned)atoi(argv[1]) : 20000, wrong = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	host_self = &vcpu[0];
	host_point = point;
	host_barrier_all = memory_barrier_all;
	for (unsigned t = 0; t < litmus_count; t++) {
		test = &litmus_tests[t];
		if (argc > 2 && !strstr(test->name, argv[2]))
			continue;
		random_state = t + 1;
		for (unsigned portable = 0; portable < 2; portable++) {
			explore_portable(portable);
			wrong += !judge(runs, argc > 3 ? atol(argv[3]) : argc > 2 ? -2 : -1);
		}
	}
	printf("%u wrong\n", wrong);
	return wrong != 0;
}
