/* SPDX-License-Identifier: BSD-2-Clause */
/* test/spinlock.c: one holder at a time, and what it did is seen by the next. */
#include "sync/spinlock.h"

#include "test_machine.h"

#define CPUS 8
#define ROUNDS 2000u

static const struct host_config eight = { .ncpus = CPUS, .ram = 1 << 20, .seed = TEST_SEED };

struct shared {
	struct spinlock lock;
	uint64_t count;     /* plain: the lock's business; ThreadSanitizer looks at it too */
	uint64_t twice;
	ATOMIC(uint32_t) inside;
	bool irq;
};

static void increment(uint32_t cpu, void *arg)
{
	struct shared *s = arg;

	(void)cpu;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t irq = 0;

		if (s->irq)
			irq = spin_lock_irq(&s->lock, RANK_RUNQ);
		else
			spin_lock(&s->lock, RANK_LEAF);
		CHECK(spin_held(&s->lock));
		/* relaxed: nobody else may be here */
		CHECK(atomic_add_relaxed(&s->inside, 1u) == 0);
		CHECK(s->twice == 2 * s->count);
		s->count++;
		if (i % 64 == 0)
			cpu_relax(); /* gives the others a chance to be wrong */
		s->twice += 2;
		atomic_sub_relaxed(&s->inside, 1u);
		if (s->irq)
			spin_unlock_irq(&s->lock, irq);
		else
			spin_unlock(&s->lock);
		CHECK(!spin_held(&s->lock));
	}
}

static void excludes(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &eight);
	for (int irq = 0; irq <= 1; irq++) {
		struct shared s = { .irq = irq };

		spin_init(&s.lock);
		run_on_cpus(t.m, CPUS, increment, &s);
		assert_int_equal(s.count, CPUS * ROUNDS);
		assert_int_equal(s.twice, 2 * CPUS * ROUNDS);
	}
	assert_int_equal(cpu_debug()->held_count, 0);
	test_machine_destroy(&t);
}

/* Each CPU gets in by trying alone; nobody gets in while another is inside. */
static void try(uint32_t cpu, void *arg)
{
	struct shared *s = arg;

	(void)cpu;
	for (unsigned i = 0; i < ROUNDS; i++) {
		while (!spin_trylock(&s->lock, RANK_LEAF))
			cpu_relax();
		CHECK(spin_held(&s->lock));
		CHECK(!ck_spinlock_fas_trylock(&s->lock.word));
		s->count++;
		spin_unlock(&s->lock);
	}
}

static void tries(void **state)
{
	struct shared s = { .count = 0 };
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &eight);
	spin_init(&s.lock);
	run_on_cpus(t.m, CPUS, try, &s);
	assert_int_equal(s.count, CPUS * ROUNDS);
	assert_int_equal(cpu_debug()->held_count, 0);
	test_machine_destroy(&t);
}

static void obeys_ranks(void **state)
{
	struct spinlock low, high;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	spin_init(&low);
	spin_init(&high);
	spin_lock(&low, RANK_NODE);
	spin_lock(&high, RANK_LEAF);
	assert_int_equal(cpu_debug()->held_count, 2);
	EXPECT_PANIC("taken twice", spin_lock(&low, RANK_RMAP));
	spin_unlock(&high);
	spin_unlock(&low);
	spin_lock(&high, RANK_LEAF);
	EXPECT_PANIC("takes node while it holds leaf", spin_lock(&low, RANK_NODE));
	assert_false(spin_held(&low));
	spin_unlock(&high);
	EXPECT_PANIC("does not hold", spin_unlock(&low));
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(excludes),
		cmocka_unit_test(tries),
		cmocka_unit_test(obeys_ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
