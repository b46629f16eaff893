/* SPDX-License-Identifier: BSD-2-Clause */
/* test/counters.c: nothing that is counted is lost, and every counter says what it counts. */
#include "vm/counters.h"
#include "test_machine.h"

#define STEPS 20000

static struct counters counters;

static void count(uint32_t cpu, void *arg)
{
	uint64_t before = 0;

	(void)arg;
	for (unsigned i = 0; i < STEPS; i++) {
		counter_add(&counters, COUNTER_faults, 1);
		counter_add(&counters, COUNTER_unmaps, cpu);
		if (i % 1000 == 0) {
			uint64_t now = counter_read(&counters, COUNTER_faults);

			CHECK(now >= before && now >= i + 1); /* it never runs backwards, and has at least our own */
			before = now;
		}
	}
}

static void nothing_is_lost(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, 4, count, NULL);
	assert_int_equal(counter_read(&counters, COUNTER_faults), 4 * STEPS);
	for (uint32_t i = 0; i < CPU_MAX; i++) /* nobody writes another's */
		assert_int_equal(atomic_load_relaxed(&counters.cpu[i].value[COUNTER_faults]), i < 4 ? STEPS : 0);
	assert_int_equal(counter_read(&counters, COUNTER_unmaps), (1 + 2 + 3) * STEPS);
	assert_int_equal(counter_read(&counters, COUNTER_forks), 0);
	test_machine_destroy(&t);
}

static void every_counter_explains_itself(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		assert_true(strlen(counter_name((enum counter)i)) > 0);
		assert_true(strlen(counter_unit((enum counter)i)) > 0);
		assert_true(strlen(counter_meaning((enum counter)i)) > 0);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(counter_name((enum counter)i), counter_name((enum counter)k));
	}
	assert_string_equal(counter_name(COUNTER_faults_cow), "faults_cow");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(every_counter_explains_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
