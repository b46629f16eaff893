/* SPDX-License-Identifier: BSD-2-Clause */
/* test/mutex.c: one holder at a time; whoever waits gets it in the end; what may not wait may not lock. */
#include "sync/mutex.h"

#include "sync/epoch.h"
#include "test_machine.h"

#define CPUS 6
#define ROUNDS 1500u

struct shared {
	struct mutex mutex;
	uint64_t a, b;           /* plain: equal whenever the mutex is free */
	ATOMIC(uint32_t) inside;
	uint32_t tried;          /* under the mutex: taken by trylock */
};

static void use(struct shared *s, unsigned i)
{
	/* relaxed: nobody else may be here */
	CHECK(atomic_add_relaxed(&s->inside, 1u) == 0);
	CHECK(s->a == s->b);
	s->a++;
	if (i % 32 == 0)
		cpu_relax();
	s->b++;
	atomic_sub_relaxed(&s->inside, 1u);
}

static void contend(uint32_t cpu, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (cpu == 1) {
			while (!mutex_trylock(&s->mutex))
				cpu_relax();
			s->tried++;
		} else {
			mutex_lock(&s->mutex);
		}
		use(s, i);
		mutex_unlock(&s->mutex);
	}
}

static void excludes(void **state)
{
	struct shared s = { .a = 0 };
	struct host_config c = { .ncpus = CPUS, .ram = 1 << 20, .seed = TEST_SEED };
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &c);
	mutex_init(&s.mutex);
	run_on_cpus(t.m, CPUS, contend, &s);
	assert_int_equal(s.a, CPUS * ROUNDS);
	assert_int_equal(s.b, CPUS * ROUNDS);
	assert_int_equal(s.tried, ROUNDS);
	assert_true(list_empty(&s.mutex.queue.waiters));
	test_machine_destroy(&t);
}

/* CPU 0 holds the mutex until all the others wait for it; each must be woken by the one before. */
static void wait_in_line(uint32_t cpu, void *arg)
{
	struct shared *s = arg;

	if (cpu == 0) {
		unsigned waiting = 0;

		while (waiting < CPUS - 1) {
			cpu_relax();
			spin_lock(&s->mutex.queue.lock, RANK_WAITQ);
			waiting = 0;
			LIST_FOR(w, &s->mutex.queue.waiters)
				waiting++;
			spin_unlock(&s->mutex.queue.lock);
		}
	} else {
		mutex_lock(&s->mutex);
		use(s, 0);
	}
	mutex_unlock(&s->mutex);
}

static void waiters_follow_each_other(void **state)
{
	struct shared s = { .a = 0 };
	struct host_config c = { .ncpus = CPUS, .ram = 1 << 20, .seed = TEST_SEED };
	struct test_machine t;

	(void)state;
	test_machine_init(&t, &c);
	mutex_init(&s.mutex);
	mutex_lock(&s.mutex);
	run_on_cpus(t.m, CPUS, wait_in_line, &s);
	assert_int_equal(s.a, CPUS - 1);
	assert_true(mutex_trylock(&s.mutex));
	assert_false(mutex_trylock(&s.mutex));
	mutex_unlock(&s.mutex);
	test_machine_destroy(&t);
}

/* The holder leaves after a waiter's first try and before it is on the queue: nobody will wake it. */
static struct mutex *leaving;

static void *leave_meanwhile(void)
{
	if (leaving) {
		struct mutex *m = leaving;

		leaving = NULL;
		mutex_unlock(m);
	}
	return &leaving;
}

static enum error no_block(struct wait_flag *woken, bool interruptible)
{
	(void)interruptible;
	if (!atomic_load_acquire(&woken->set))
		panic("waits for ever");
	return OK;
}

static void nobody_to_wake(void *thread) { (void)thread; }
static void no_yield(void) {}

static void tries_again_once_it_is_queued(void **state)
{
	static const struct sync_ops ops = { leave_meanwhile, no_block, nobody_to_wake, no_yield };
	const struct sync_ops *saved = sync_ops;
	struct mutex m;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	mutex_init(&m);
	mutex_lock(&m);
	leaving = &m;
	sync_ops = &ops;
	mutex_lock(&m);
	sync_ops = saved;
	assert_null(leaving);
	assert_true(list_empty(&m.queue.waiters));
	assert_false(mutex_trylock(&m));
	mutex_unlock(&m);
	test_machine_destroy(&t);
}

static void asserts(void **state)
{
	static struct epoch e;
	struct mutex m;
	struct spinlock l;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	mutex_init(&m);
	spin_init(&l);
	epoch_init(&e, 1);
	EXPECT_PANIC("held", mutex_unlock(&m));
	spin_lock(&l, RANK_LEAF);
	EXPECT_PANIC("waits while it holds a leaf lock", mutex_lock(&m));
	spin_unlock(&l);
	epoch_enter(&e);
	EXPECT_PANIC("waits inside an epoch section", mutex_lock(&m));
	epoch_leave(&e);
	mutex_lock(&m);
	mutex_unlock(&m);
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(excludes),
		cmocka_unit_test(waiters_follow_each_other),
		cmocka_unit_test(tries_again_once_it_is_queued),
		cmocka_unit_test(asserts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
