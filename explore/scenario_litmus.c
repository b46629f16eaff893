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

/* First those that are forbidden, in turn as Armv8 and portable, then those that only Armv8 forbids. */
static void setup(uint32_t variant)
{
	const struct host_config config = {.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED};
	enum litmus_verdict verdict = variant < 2 * LITMUS_FORBIDDEN_COUNT ? LITMUS_FORBIDDEN : LITMUS_ARMV8;
	uint32_t n = 0, which = verdict == LITMUS_FORBIDDEN ? variant / 2 : variant - 2 * LITMUS_FORBIDDEN_COUNT;

	test_machine_init(&t, &config);
	explore_portable(verdict == LITMUS_FORBIDDEN && variant % 2);
	for (unsigned i = 0; i < litmus_count; i++)
		if (litmus_tests[i].verdict == verdict && n++ == which)
			test = &litmus_tests[i];
	CHECK(test && n == (verdict == LITMUS_FORBIDDEN ? LITMUS_FORBIDDEN_COUNT : LITMUS_ARMV8_COUNT));
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
	{"litmus", "outcomes that the memory model must not show", EXPLORE_CPUS, 2 * LITMUS_FORBIDDEN_COUNT + LITMUS_ARMV8_COUNT, true,
	 setup, machine, run, judge},
};
const unsigned scenario_litmus_count = ARRAY_SIZE(scenario_litmus);
