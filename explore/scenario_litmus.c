/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_litmus.c: what litmus_tests.c forbids, in every schedule up to the bound; the program litmus
 * meets the same outcomes at random, and those that must be seen.
 */
#include "explore.h"
#include "litmus.h"
#include "test_machine.h"

static struct test_machine t;
static struct host_machine *machine(void) { return t.m; }
static const struct litmus *test;

/* The variant'th forbidden test. */
static void setup(uint32_t variant)
{
	const struct host_config config = {.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED};
	uint32_t n = 0;

	test_machine_init(&t, &config);
	for (unsigned i = 0; i < litmus_count; i++)
		if (litmus_tests[i].verdict == LITMUS_FORBIDDEN && n++ == variant)
			test = &litmus_tests[i];
	CHECK(test && n == LITMUS_FORBIDDEN_COUNT);
	litmus_reset();
}

static void run(uint32_t cpu)
{
	if (cpu < test->cpus)
		test->run[cpu]();
}

static void judge(void)
{
	if (test->outcome())
		panic("%s: a forbidden outcome", test->name);
}

const struct scenario scenario_litmus[] = {
	{"litmus", "outcomes that the memory model must not show", EXPLORE_CPUS, LITMUS_FORBIDDEN_COUNT, true, setup,
	 machine, run, judge},
};
const unsigned scenario_litmus_count = ARRAY_SIZE(scenario_litmus);
