/* SPDX-License-Identifier: BSD-2-Clause */
/* test/atomic.c: base/atomic.h does what its names say, alone and under contention. */
#include "base/atomic.h"

#include "test_machine.h"

#define CPUS 4
#define ROUNDS 20000u

static void results(void **state)
{
	ATOMIC(uint64_t) a = ATOMIC_INIT(5);
	uint64_t expected;

	(void)state;
	assert_int_equal(atomic_add_relaxed(&a, 3u), 5);
	assert_int_equal(atomic_sub_acq_rel(&a, 1u), 8);
	assert_int_equal(atomic_swap_acq_rel(&a, 40u), 7);
	assert_int_equal(atomic_or_seq_cst(&a, 3u), 40);
	assert_int_equal(atomic_and_acq_rel(&a, ~UINT64_C(1)), 43);
	expected = 41;
	assert_false(atomic_cas_acq_rel(&a, &expected, 1u));
	assert_int_equal(expected, 42);
	assert_true(atomic_cas_seq_cst(&a, &expected, UINT64_MAX));
	assert_int_equal(atomic_load_acquire(&a), UINT64_MAX);
	atomic_bump(&a, 2);
	assert_int_equal(atomic_load_relaxed(&a), 1);
}

static ATOMIC(uint64_t) total, by_cas;

static void count(uint32_t cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t seen = atomic_load_relaxed(&by_cas);

		atomic_add_relaxed(&total, 3u);
		atomic_sub_relaxed(&total, 1u);
		while (!atomic_cas_relaxed(&by_cas, &seen, seen + 1))
			;
	}
}

static void nothing_is_lost(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, CPUS, count, NULL);
	assert_int_equal(atomic_load_relaxed(&total), 2 * CPUS * ROUNDS);
	assert_int_equal(atomic_load_relaxed(&by_cas), CPUS * ROUNDS);
	test_machine_destroy(&t);
}

/* A mailbox: the plain payload is ordered by the flag alone, which ThreadSanitizer checks. */
static struct {
	uint64_t payload;
	ATOMIC(uint32_t) full;
} box;

static void pass_messages(uint32_t cpu, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		while (atomic_load_acquire(&box.full) != cpu)
			cpu_relax();
		if (cpu == 0)
			box.payload = i;
		else
			CHECK(box.payload == i);
		atomic_store_release(&box.full, !cpu);
	}
}

static void release_publishes(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, 2, pass_messages, NULL);
	test_machine_destroy(&t);
}

/* Dekker: of two CPUs that store their own flag and load the other's, one at least sees the other. */
static struct {
	ATOMIC(uint32_t) flag[2] ALIGNED(CACHE_LINE);
	ATOMIC(uint32_t) go ALIGNED(CACHE_LINE);
	ATOMIC(uint32_t) done;
	uint32_t saw[2][ROUNDS];
} dekker;

static void store_then_load(uint32_t cpu, void *arg)
{
	(void)arg;
	for (uint32_t i = 1; i < ROUNDS; i++) {
		/* both start a round together: the last to arrive opens the gate */
		if (atomic_add_acq_rel(&dekker.done, 1u) == 2 * i - 1)
			atomic_store_release(&dekker.go, i);
		while (atomic_load_acquire(&dekker.go) < i)
			cpu_relax();
		atomic_store_seq_cst(&dekker.flag[cpu], i);
		dekker.saw[cpu][i] = atomic_load_seq_cst(&dekker.flag[!cpu]);
	}
}

static void seq_cst_orders_store_and_load(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, 2, store_then_load, NULL);
	for (uint32_t i = 1; i < ROUNDS; i++)
		assert_true(dekker.saw[0][i] >= i || dekker.saw[1][i] >= i);
	test_machine_destroy(&t);
}

/* References: the last one out sees all that the others did, and nobody comes back from 0. */
struct thing {
	struct refcount refs;
	uint32_t touched[CPUS];
	ATOMIC(uint32_t) disposed;
};

static void drop_references(uint32_t cpu, void *arg)
{
	struct thing *things = arg;

	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		struct thing *x = &things[i];

		x->touched[cpu] = 1; /* plain: ordered by ref_put */
		if (ref_get_unless_zero(&x->refs)) {
			CHECK(ref_count(&x->refs) >= 1);
			CHECK(!ref_put(&x->refs)); /* our own first reference is still there */
		} else {
			CHECK(!"a reference of our own and yet the count was 0");
		}
		if (ref_put(&x->refs)) {
			for (unsigned c = 0; c < CPUS; c++)
				CHECK(x->touched[c] == 1);
			memset(x->touched, 0, sizeof x->touched);
			atomic_add_relaxed(&x->disposed, 1u);
			CHECK(!ref_get_unless_zero(&x->refs));
		}
	}
}

static void references(void **state)
{
	static struct thing things[ROUNDS / 10];
	struct test_machine t;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(things); i++)
		ref_init(&things[i].refs, CPUS);
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, CPUS, drop_references, things);
	for (unsigned i = 0; i < ARRAY_SIZE(things); i++)
		assert_int_equal(atomic_load_relaxed(&things[i].disposed), 1);
	test_machine_destroy(&t);
}

static unsigned points;

static void note_point(void) { points++; }

static void every_access_is_a_point(void **state)
{
	ATOMIC(uint32_t) a = ATOMIC_INIT(0);

	(void)state;
	host_point = note_point;
	atomic_store_release(&a, 1u);
	(void)atomic_load_acquire(&a);
	(void)atomic_add_relaxed(&a, 1u);
	cpu_relax();
	host_point = NULL;
	assert_int_equal(points, 4);
	(void)atomic_load_acquire(&a);
	assert_int_equal(points, 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(results), cmocka_unit_test(nothing_is_lost), cmocka_unit_test(release_publishes),
		cmocka_unit_test(seq_cst_orders_store_and_load), cmocka_unit_test(references),
		cmocka_unit_test(every_access_is_a_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
