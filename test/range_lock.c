/* SPDX-License-Identifier: BSD-2-Clause */
/* Overlapping ranges exclude each other, disjoint ones do not. */
#include "test_vm.h"
#include "vm/range_lock.h"

#define SLOTS 32u

static struct range_lock lock;
static ATOMIC(uint32_t) user[SLOTS]; /* who is inside each slot: 0 nobody */
static ATOMIC(uint32_t) rounds_done;

static void contend(uint32_t cpu, void *arg)
{
	uint64_t rng = cpu + 1;

	(void)arg;
	for (unsigned i = 0; i < 3000; i++) {
		struct range_hold h;
		unsigned a, b;

		rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		a = (rng >> 33) % SLOTS;
		b = a + 1 + (rng >> 50) % 8;
		if (b > SLOTS)
			b = SLOTS;
		range_lock_take(&lock, &h, i % 50 == 0 ? RANGE_ALL : vrange(a, b));
		if (i % 50 == 0)
			a = 0, b = SLOTS;
		for (unsigned k = a; k < b; k++)
			CHECK(atomic_swap_acq_rel(&user[k], cpu + 1) == 0);
		if (i % 4 == 0)
			cpu_relax(); /* the others meet us inside */
		for (unsigned k = a; k < b; k++)
			CHECK(atomic_swap_acq_rel(&user[k], 0u) == cpu + 1);
		range_lock_drop(&lock, &h);
	}
	atomic_add_acq_rel(&rounds_done, 1u);
}

static void exclusion(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	range_lock_init(&lock);
	run_on_cpus(t.m, 4, contend, NULL);
	assert_int_equal(atomic_load_acquire(&rounds_done), 4);
	assert_true(list_empty(&lock.held));
	test_machine_destroy(&t);
}

static ATOMIC(uint32_t) arrived;

static void meet(uint32_t cpu, void *arg)
{
	struct range_hold h;

	(void)arg;
	range_lock_take(&lock, &h, vrange(cpu * 10, cpu * 10 + 10));
	/* Each waits inside for all the others: only possible if nobody excludes anybody. */
	atomic_add_acq_rel(&arrived, 1u);
	while (atomic_load_acquire(&arrived) < 4)
		cpu_relax();
	range_lock_drop(&lock, &h);
}

static void no_exclusion(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	range_lock_init(&lock);
	run_on_cpus(t.m, 4, meet, NULL);
	test_machine_destroy(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(exclusion), cmocka_unit_test(no_exclusion) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
