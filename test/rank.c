/* SPDX-License-Identifier: BSD-2-Clause */
/* test/rank.c: what sync/rank.c allows and what it panics at. */
#include "sync/rank.h"

#include "sync/epoch.h"
#include "test_machine.h"

static char lock[CPU_HELD_MAX + 1]; /* only their addresses matter */

static void order(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	rank_take(&lock[0], RANK_RANGE, false);
	rank_take(&lock[1], RANK_NODE, false);
	EXPECT_PANIC("takes node while it holds node", rank_take(&lock[2], RANK_NODE, false));
	EXPECT_PANIC("takes amap while it holds node", rank_take(&lock[2], RANK_AMAP, false));
	/* a try may go against the order, but what it took counts */
	rank_take(&lock[2], RANK_AMAP, true);
	EXPECT_PANIC("taken twice", rank_take(&lock[2], RANK_CONSOLE, true));
	/* dropped in any order; the highest that is left decides */
	rank_drop(&lock[1]);
	EXPECT_PANIC("takes amap while it holds amap", rank_take(&lock[3], RANK_AMAP, false));
	rank_take(&lock[3], RANK_NODE, false);
	rank_drop(&lock[0]);
	rank_drop(&lock[3]);
	rank_drop(&lock[2]);
	assert_int_equal(cpu_debug()->held_count, 0);
	EXPECT_PANIC("does not hold", rank_drop(&lock[2]));
	test_machine_destroy(&t);
}

static void held(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	EXPECT_PANIC("is not held", rank_assert_held(&lock[0]));
	rank_take(&lock[0], RANK_LEAF, false);
	rank_assert_held(&lock[0]);
	rank_drop(&lock[0]);
	for (unsigned i = 0; i < CPU_HELD_MAX; i++)
		rank_take(&lock[i], (enum lock_rank)(RANK_PROC_TABLE + i), false);
	EXPECT_PANIC("locks held at once", rank_take(&lock[CPU_HELD_MAX], RANK_CONSOLE, false));
	for (unsigned i = 0; i < CPU_HELD_MAX; i++)
		rank_drop(&lock[i]);
	test_machine_destroy(&t);
}

static void waiting(void **state)
{
	static struct epoch e;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	epoch_init(&e, 1);
	rank_assert_may_wait();
	rank_take(&lock[0], RANK_LEAF, false);
	EXPECT_PANIC("waits while it holds a leaf lock", rank_assert_may_wait());
	rank_drop(&lock[0]);
	epoch_enter(&e);
	EXPECT_PANIC("waits inside an epoch section", rank_assert_may_wait());
	epoch_leave(&e);
	rank_assert_may_wait();
	test_machine_destroy(&t);
}

/* Each CPU has its own record. */
static void take_same_rank(uint32_t cpu, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 1000; i++) {
		rank_take(&lock[cpu], RANK_LEAF, false);
		if (i % 16 == 0)
			cpu_relax();
		CHECK(cpu_debug()->held_count == 1);
		rank_drop(&lock[cpu]);
	}
}

static void per_cpu(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, 4, take_same_rank, NULL);
	test_machine_destroy(&t);
}

static void names(void **state)
{
	(void)state;
	for (unsigned a = 0; a < RANK_MAX; a++) {
		assert_non_null(rank_name((enum lock_rank)a));
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(rank_name((enum lock_rank)a), rank_name((enum lock_rank)b));
	}
	assert_string_equal(rank_name(RANK_LEAF), "leaf");
	assert_string_equal(rank_name(RANK_CONSOLE), "console");
	assert_string_equal(rank_name(RANK_MAX), "unknown");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),   cmocka_unit_test(held),  cmocka_unit_test(waiting),
		cmocka_unit_test(per_cpu), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
