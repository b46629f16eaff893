/* SPDX-License-Identifier: BSD-2-Clause */
/* test/atomic.c: base/atomic.h does what its names say, alone and under contention. */
#include "base/atomic.h"

#include "test_machine.h"

#define CPUS 4
#define ROUNDS 20000u
#define DEKKER_ROUNDS 1000000u
#define DEKKER_TIME UINT64_C(500000000)

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

/*
 * Dekker: of two CPUs that store their own flag and load the other's, one at least sees the other. The two start
 * a batch of flag pairs together and run through it freely, since a store buffer holds a store for some
 * tens of nanoseconds only: who waits at the gate keeps its core for a while. A weaker order shows only
 * while two host cores run both: on a busy host in some runs, not in all.
 */
#define PAIRS 128
#define DEKKER_TIME UINT64_C(500000000)

static struct {
	struct {
		ATOMIC(uint32_t) set ALIGNED(CACHE_LINE);
	} flag[PAIRS][2];
	ATOMIC(uint32_t) go ALIGNED(CACHE_LINE);
	ATOMIC(uint32_t) arrived;
	uint32_t saw[2][PAIRS], batches;
} dekker;

/* Returns when both CPUs are here; what they did before is seen by both. */
static void meet(uint32_t n)
{
	unsigned spins = 0;

	if (atomic_add_acq_rel(&dekker.arrived, 1u) == 2 * n - 1)
		atomic_store_release(&dekker.go, n);
	while (atomic_load_acquire(&dekker.go) < n)
		if (++spins % 4096 == 0)
			cpu_relax();
}

static void store_then_load(uint32_t cpu, void *arg)
{
	uint64_t end = machine_now() + DEKKER_TIME;
	bool go_on = true;

	(void)arg;
	for (uint32_t n = 1; go_on; n++) {
		meet(3 * n - 2);
		for (unsigned i = 0; i < PAIRS; i++) {
			atomic_store_seq_cst(&dekker.flag[i][cpu].set, n);
			dekker.saw[cpu][i] = atomic_load_seq_cst(&dekker.flag[i][!cpu].set);
		}
		meet(3 * n - 1);
		if (cpu == 0) {
			for (unsigned i = 0; i < PAIRS; i++)
				CHECK(dekker.saw[0][i] == n || dekker.saw[1][i] == n);
			dekker.batches = machine_now() < end ? n : 0;
		}
		meet(3 * n);
		go_on = dekker.batches > 0;
	}
}

static void seq_cst_orders_store_and_load(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	run_on_cpus(t.m, 2, store_then_load, NULL);
	assert_true(atomic_load_relaxed(&dekker.go) >= 3);
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
