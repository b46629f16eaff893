/* SPDX-License-Identifier: BSD-2-Clause */
/* test/spinlock.c: one holder at a time, in order of arrival, and what it did is seen by the next. */
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

/* CPUs queue up one after the other, by a look at the last ticket drawn, and must be served in that order. */
struct queue {
	struct spinlock lock;
	uint32_t order[CPUS], served;
};

static unsigned drawn(struct queue *q) { return ck_pr_load_uint(&q->lock.ticket.next); }

static void queue_up(uint32_t cpu, void *arg)
{
	struct queue *q = arg;

	if (cpu == 0) {
		while (drawn(q) < CPUS)
			cpu_relax();
		spin_unlock(&q->lock); /* taken by the test before */
		return;
	}
	while (drawn(q) < cpu)
		cpu_relax();
	spin_lock(&q->lock, RANK_LEAF);
	q->order[q->served++] = cpu;
	spin_unlock(&q->lock);
}

static void is_fair(void **state)
{
	struct queue q = { .served = 0 };
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &eight);
	spin_init(&q.lock);
	spin_lock(&q.lock, RANK_LEAF);
	run_on_cpus(t.m, CPUS, queue_up, &q);
	assert_int_equal(q.served, CPUS - 1);
	for (uint32_t i = 0; i < q.served; i++)
		assert_int_equal(q.order[i], i + 1);
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
		cmocka_unit_test(is_fair),
		cmocka_unit_test(obeys_ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
