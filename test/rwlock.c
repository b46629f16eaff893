/* SPDX-License-Identifier: BSD-2-Clause */
/* test/rwlock.c: readers share, a writer is alone, and neither waits for ever. */
#include "sync/rwlock.h"

#include "test_machine.h"

#define CPUS 6
#define ROUNDS 2000u

static const struct host_config six = { .ncpus = CPUS, .ram = 1 << 20, .seed = TEST_SEED };

struct shared {
	struct rwlock lock;
	uint64_t a, b;          /* plain: equal whenever the lock is free */
	uint64_t reads[CPUS];
	ATOMIC(uint32_t) readers;
};

static void read_or_write(uint32_t cpu, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (cpu < 2) {
			rwlock_write(&s->lock, RANK_OBJECT);
			/* relaxed: a reader may not be here at all */
			CHECK(atomic_load_relaxed(&s->readers) == 0);
			s->a++;
			if (i % 64 == 0)
				cpu_relax();
			s->b++;
			rwlock_write_done(&s->lock);
		} else {
			rwlock_read(&s->lock, RANK_OBJECT);
			atomic_add_relaxed(&s->readers, 1u);
			CHECK(s->a == s->b);
			if (i % 64 == 0)
				cpu_relax();
			CHECK(s->a == s->b);
			s->reads[cpu]++;
			atomic_sub_relaxed(&s->readers, 1u);
			rwlock_read_done(&s->lock);
		}
	}
}

static void writers_are_alone(void **state)
{
	struct shared s = { .a = 0 };
	struct test_machine t;

	(void)state;
	rwlock_init(&s.lock);
	test_machine_init(&t, &six);
	run_on_cpus(t.m, CPUS, read_or_write, &s);
	assert_int_equal(s.a, 2 * ROUNDS);
	assert_int_equal(s.b, 2 * ROUNDS);
	for (unsigned i = 2; i < CPUS; i++)
		assert_int_equal(s.reads[i], ROUNDS);
	test_machine_destroy(&t);
}

/* Every reader waits, inside, until all are inside: hangs if they exclude each other (bounded, then says so). */
static void meet_inside(uint32_t cpu, void *arg)
{
	struct shared *s = arg;
	uint64_t start = machine_now();

	(void)cpu;
	rwlock_read(&s->lock, RANK_OBJECT);
	atomic_add_relaxed(&s->readers, 1u);
	while (atomic_load_relaxed(&s->readers) < CPUS) {
		CHECK(machine_now() - start < UINT64_C(20000000000));
		cpu_relax();
	}
	rwlock_read_done(&s->lock);
}

static void readers_share(void **state)
{
	struct shared s = { .a = 0 };
	struct test_machine t;

	(void)state;
	rwlock_init(&s.lock);
	test_machine_init(&t, &six);
	run_on_cpus(t.m, CPUS, meet_inside, &s);
	assert_int_equal(atomic_load_relaxed(&s.readers), CPUS);
	test_machine_destroy(&t);
}

static void obeys_ranks(void **state)
{
	struct rwlock a, b;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	rwlock_init(&a);
	rwlock_init(&b);
	rwlock_read(&a, RANK_OBJECT);
	EXPECT_PANIC("takes amap while it holds object", rwlock_write(&b, RANK_AMAP));
	EXPECT_PANIC("takes object while it holds object", rwlock_read(&b, RANK_OBJECT));
	rwlock_write(&b, RANK_LEAF);
	rwlock_write_done(&b);
	rwlock_read_done(&a);
	assert_int_equal(cpu_debug()->held_count, 0);
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(writers_are_alone),
		cmocka_unit_test(readers_share),
		cmocka_unit_test(obeys_ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
