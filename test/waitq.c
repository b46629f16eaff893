/* SPDX-License-Identifier: BSD-2-Clause */
/* test/waitq.c: no wake-up is lost, and waiters are woken in the order in which they came. */
#include "sync/waitq.h"

#include "test_machine.h"

/* --- exact, with an own scheduler that blocks nobody --- */

static struct {
	enum error result;
	unsigned blocked, woken;
	void *last_woken;
	bool interruptible;
	const struct waiter *waiters; /* WAITERS of them, or NULL */
} fake;

#define WAITERS 4

static void *fake_current(void) { return &fake; }

static enum error fake_block(struct wait_flag *woken, bool interruptible)
{
	(void)woken;
	fake.blocked++;
	fake.interruptible = interruptible;
	return fake.result;
}

static void fake_wake(void *thread)
{
	unsigned set = 0;

	fake.woken++;
	fake.last_woken = thread;
	/* Who is made to run finds his flag set: if he did not, he would stop again. */
	for (unsigned i = 0; fake.waiters && i < WAITERS; i++)
		set += atomic_load_relaxed(&fake.waiters[i].woken.set);
	CHECK(!fake.waiters || set == fake.woken);
}

static void fake_yield(void) {}

static const struct sync_ops fake_ops = { fake_current, fake_block, fake_wake, fake_yield };
static const struct sync_ops *host_ops_saved;

static int with_fake(void **state)
{
	(void)state;
	host_ops_saved = sync_ops;
	sync_ops = &fake_ops;
	memset(&fake, 0, sizeof fake);
	return 0;
}

static int without_fake(void **state)
{
	(void)state;
	sync_ops = host_ops_saved;
	return 0;
}

static void first_come_first_woken(void **state)
{
	struct waiter w[WAITERS];
	struct waitq q;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	waitq_init(&q);
	assert_int_equal(waitq_wake_one(&q), 0);
	assert_int_equal(waitq_wake_all(&q), 0);
	for (unsigned i = 0; i < WAITERS; i++)
		wait_prepare(&q, &w[i]);
	fake.waiters = w;
	assert_int_equal(waitq_wake_one(&q), 1);
	assert_int_equal(atomic_load_relaxed(&w[0].woken.set), 1);
	assert_int_equal(atomic_load_relaxed(&w[1].woken.set), 0);
	wait_cancel(&q, &w[1]);
	assert_int_equal(waitq_wake_one(&q), 1);
	assert_int_equal(atomic_load_relaxed(&w[1].woken.set), 0);
	assert_int_equal(atomic_load_relaxed(&w[2].woken.set), 1);
	assert_int_equal(waitq_wake_all(&q), 1);
	assert_int_equal(atomic_load_relaxed(&w[3].woken.set), 1);
	assert_int_equal(fake.woken, 3);
	assert_ptr_equal(fake.last_woken, &fake);
	wait_cancel(&q, &w[0]); /* twice dequeued is harmless */
	assert_true(list_empty(&q.waiters));
	for (unsigned i = 0; i < WAITERS; i++)
		wait_prepare(&q, &w[i]);
	fake.woken = 0;
	assert_int_equal(waitq_wake_all(&q), WAITERS);
	for (unsigned i = 0; i < WAITERS; i++)
		assert_int_equal(atomic_load_relaxed(&w[i].woken.set), 1);
	test_machine_destroy(&t);
}

static void interrupted_waits_leave_the_queue(void **state)
{
	struct waiter w;
	struct waitq q;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	waitq_init(&q);
	wait_prepare(&q, &w);
	fake.result = ERR_INTR;
	assert_int_equal(wait_block(&q, &w, true), ERR_INTR);
	assert_true(fake.interruptible);
	assert_true(list_empty(&q.waiters));
	assert_int_equal(waitq_wake_all(&q), 0);
	wait_prepare(&q, &w);
	fake.result = OK;
	assert_int_equal(wait_block(&q, &w, false), OK);
	assert_false(fake.interruptible);
	assert_true(list_empty(&q.waiters));
	assert_int_equal(fake.blocked, 2);
	test_machine_destroy(&t);
}

static void may_not_wait_with_locks(void **state)
{
	struct spinlock l;
	struct waiter w;
	struct waitq q;
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	waitq_init(&q);
	spin_init(&l);
	spin_lock(&l, RANK_LEAF);
	wait_prepare(&q, &w); /* this much is allowed */
	EXPECT_PANIC("waits while it holds a leaf lock", (void)!wait_block(&q, &w, false));
	assert_int_equal(fake.blocked, 0);
	spin_unlock(&l);
	wait_cancel(&q, &w);
	test_machine_destroy(&t);
}

/* --- in earnest: tokens from producers to consumers --- */

#define CPUS 6
#define TOKENS 1500u

static struct {
	struct waitq more;
	ATOMIC(uint32_t) tokens, taken;
} store;

static bool take_token(void)
{
	uint32_t n = atomic_load_seq_cst(&store.tokens);

	while (n > 0)
		if (atomic_cas_seq_cst(&store.tokens, &n, n - 1))
			return true;
	return false;
}

static void produce_and_consume(uint32_t cpu, void *arg)
{
	const bool *one = arg;

	for (unsigned i = 0; i < TOKENS; i++) {
		struct waiter w;

		if (cpu % 2 == 0) {
			atomic_add_acq_rel(&store.tokens, 1u);
			if (*one)
				(void)waitq_wake_one(&store.more);
			else
				(void)waitq_wake_all(&store.more);
			continue;
		}
		while (!take_token()) {
			wait_prepare(&store.more, &w);
			if (take_token()) {
				wait_cancel(&store.more, &w);
				/* a wake-up that was meant for us may be spent: hand it on */
				if (atomic_load_acquire(&w.woken.set))
					(void)waitq_wake_one(&store.more);
				break;
			}
			CHECK(wait_block(&store.more, &w, false) == OK);
			CHECK(atomic_load_relaxed(&w.woken.set) == 1);
		}
		atomic_add_relaxed(&store.taken, 1u);
	}
}

static void no_wake_up_is_lost(void **state)
{
	struct test_machine t;
	struct host_config c = { .ncpus = CPUS, .ram = 1 << 20, .seed = TEST_SEED };

	(void)state;
	test_machine_init(&t, &c);
	for (int one = 0; one <= 1; one++) {
		bool wake_one = one;

		waitq_init(&store.more);
		atomic_store_relaxed(&store.tokens, 0u);
		atomic_store_relaxed(&store.taken, 0u);
		run_on_cpus(t.m, CPUS, produce_and_consume, &wake_one); /* a lost one hangs here */
		assert_int_equal(atomic_load_relaxed(&store.taken), CPUS / 2 * TOKENS);
		assert_int_equal(atomic_load_relaxed(&store.tokens), 0);
		assert_true(list_empty(&store.more.waiters));
	}
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_come_first_woken, with_fake, without_fake),
		cmocka_unit_test_setup_teardown(interrupted_waits_leave_the_queue, with_fake, without_fake),
		cmocka_unit_test_setup_teardown(may_not_wait_with_locks, with_fake, without_fake),
		cmocka_unit_test(no_wake_up_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
