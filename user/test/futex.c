/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * futex, called directly: wait and wake, values that have changed, time-outs relative and absolute,
 * bit sets, requeue, wake-op, shared futexes between processes and over two mappings, and the word that
 * the kernel clears and wakes when a thread ends.
 */
#define _GNU_SOURCE
#include "check.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define RW (PROT_READ | PROT_WRITE)

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *time, uint32_t *word2, uint32_t value3)
{
	return syscall(SYS_futex, word, op, value, time, word2, value3);
}

static unsigned long now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (unsigned long)t.tv_sec * 1000000000UL + (unsigned long)t.tv_nsec;
}

static struct timespec in_ns(clockid_t clock, unsigned long ns)
{
	unsigned long t = now(clock) + ns;

	return (struct timespec){(time_t)(t / 1000000000UL), (long)(t % 1000000000UL)};
}

static void sleep_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

static void errors_and_timeouts(void)
{
	uint32_t word = 5;
	struct timespec relative = {0, 20000000}, absolute, invalid = {0, 1000000000};
	unsigned long start;

	CHECK_ERR(EAGAIN, futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0)); /* not what it should be: no wait */
	CHECK_ERR(EAGAIN, futex(&word, FUTEX_WAIT_PRIVATE, 6, &relative, NULL, 0));
	CHECK_ERR(EINVAL, futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 5, NULL, NULL, 0));
	CHECK_ERR(EINVAL, futex(&word, FUTEX_WAIT, 5, &invalid, NULL, 0));
	CHECK_ERR(EINVAL, futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0)); /* no bit: nobody could wake it */
	CHECK_ERR(ENOSYS, futex(&word, 99, 5, NULL, NULL, 0));
	CHECK_EQ(0, futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	start = now(CLOCK_MONOTONIC);
	CHECK_ERR(ETIMEDOUT, futex(&word, FUTEX_WAIT_PRIVATE, 5, &relative, NULL, 0));
	CHECK(now(CLOCK_MONOTONIC) - start >= 20000000);
	absolute = in_ns(CLOCK_MONOTONIC, 20000000);
	start = now(CLOCK_MONOTONIC);
	CHECK_ERR(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, &absolute, NULL, FUTEX_BITSET_MATCH_ANY));
	CHECK(now(CLOCK_MONOTONIC) - start >= 15000000);
	absolute = in_ns(CLOCK_REALTIME, 20000000);
	CHECK_ERR(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &absolute, NULL,
				   FUTEX_BITSET_MATCH_ANY));
	absolute = (struct timespec){1, 0}; /* long ago */
	CHECK_ERR(ETIMEDOUT, futex(&word, FUTEX_WAIT_BITSET, 5, &absolute, NULL, FUTEX_BITSET_MATCH_ANY));
}

/* ---- several waiters ---- */

enum { WAITERS = 6 };
static uint32_t gate, second_gate, asleep, awake;

static void *waiter(void *bits)
{
	__atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
	while (futex(&gate, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(uintptr_t)bits) != 0)
		CHECK_EQ(EINTR, errno); /* gate stays 0: EAGAIN cannot be */
	__atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start(pthread_t *threads, int same_bits)
{
	asleep = awake = 0;
	for (uintptr_t i = 0; i < WAITERS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, waiter,
				       (void *)(same_bits ? (uintptr_t)FUTEX_BITSET_MATCH_ANY : (uintptr_t)1 << i)) ==
			0);
	while (__atomic_load_n(&asleep, __ATOMIC_SEQ_CST) < WAITERS)
		sched_yield();
	sleep_ms(50); /* the last step into the kernel cannot be seen */
}

/* The waiters that were woken have all said so, and no other has. */
static void expect_awake(uint32_t n)
{
	for (int i = 0; i < 2000 && __atomic_load_n(&awake, __ATOMIC_SEQ_CST) < n; i++)
		sleep_ms(1);
	sleep_ms(5);
	CHECK_EQ(n, __atomic_load_n(&awake, __ATOMIC_SEQ_CST));
}

static void join(pthread_t *threads)
{
	for (int i = 0; i < WAITERS; i++)
		pthread_join(threads[i], NULL);
}

static void wake_some(void)
{
	pthread_t threads[WAITERS];

	start(threads, 1);
	CHECK_EQ(1, futex(&gate, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	expect_awake(1);
	CHECK_EQ(2, futex(&gate, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
	expect_awake(3);
	CHECK_EQ(WAITERS - 3, futex(&gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	join(threads);
	CHECK_EQ(0, futex(&gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));

	start(threads, 0);
	CHECK_EQ(2, futex(&gate, FUTEX_WAKE_BITSET_PRIVATE, INT32_MAX, NULL, NULL, 1 << 1 | 1 << 4));
	expect_awake(2);
	CHECK_EQ(0, futex(&gate, FUTEX_WAKE_BITSET_PRIVATE, INT32_MAX, NULL, NULL, 1 << 1));
	CHECK_EQ(WAITERS - 2, futex(&gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	join(threads);
}

static void requeue(void)
{
	pthread_t threads[WAITERS];

	start(threads, 1);
	CHECK_ERR(EAGAIN, futex(&gate, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &second_gate, 7));
	/* wakes one, moves all others; both are counted */
	CHECK_EQ(WAITERS, futex(&gate, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)(uintptr_t)INT32_MAX, &second_gate, 0));
	expect_awake(1);
	CHECK_EQ(0, futex(&gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	CHECK_EQ(2, futex(&second_gate, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
	expect_awake(3);
	CHECK_EQ(WAITERS - 3, futex(&second_gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	join(threads);

	uint32_t other = 10;
	start(threads, 1);
	/* other += 5; wakes one of gate, and of other those that wait if it was > 3 */
	CHECK_EQ(1, futex(&gate, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
			  FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_GT, 3)));
	CHECK_EQ(15, other);
	CHECK_EQ(WAITERS - 1, futex(&gate, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	join(threads);
}

/* ---- between processes: the frame is the futex, whatever address it is seen at ---- */

static void shared(void)
{
	uint32_t *a = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(a != MAP_FAILED);
	pid_t pid = check_fork();
	if (pid == 0) {
		uint32_t *moved = mremap(a, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
					 mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		REQUIRE(moved != MAP_FAILED && moved != a);
		for (uint32_t n = 0; n < 50; n++) {
			while (__atomic_load_n(moved, __ATOMIC_SEQ_CST) == 2 * n)
				futex(moved, FUTEX_WAIT, 2 * n, NULL, NULL, 0);
			CHECK_EQ(2 * n + 1, *moved);
			__atomic_store_n(moved, 2 * n + 2, __ATOMIC_SEQ_CST);
			futex(moved, FUTEX_WAKE, 1, NULL, NULL, 0);
		}
		_exit(check_end());
	}
	for (uint32_t n = 0; n < 50; n++) {
		__atomic_store_n(a, 2 * n + 1, __ATOMIC_SEQ_CST);
		futex(a, FUTEX_WAKE, 1, NULL, NULL, 0);
		while (__atomic_load_n(a, __ATOMIC_SEQ_CST) == 2 * n + 1)
			futex(a, FUTEX_WAIT, 2 * n + 1, NULL, NULL, 0);
		CHECK_EQ(2 * n + 2, *a);
	}
	CHECK_CHILD(pid);
	munmap(a, PAGE);
}

/* Private memory after fork is two futexes, even while both see one frame. */
static void not_shared_after_fork(void)
{
	uint32_t *word = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec limit = {0, 100000000};

	REQUIRE(word != MAP_FAILED);
	*word = 1;
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_ERR(ETIMEDOUT, futex(word, FUTEX_WAIT, 1, &limit, NULL, 0));
		_exit(check_end());
	}
	sleep_ms(30);
	CHECK_EQ(0, futex(word, FUTEX_WAKE, 10, NULL, NULL, 0));
	CHECK_CHILD(pid);
	munmap(word, PAGE);
}

/* ---- interrupted, and the end of a thread ---- */

static void nothing(int signal) { (void)signal; }

static void *interrupted(void *unused)
{
	uint32_t word = 0;

	(void)unused;
	__atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
	struct timespec limit = {10, 0};
	CHECK_ERR(EINTR, futex(&word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0));
	return NULL;
}

static void interruption(void)
{
	struct sigaction action = {.sa_handler = nothing};
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	asleep = 0;
	REQUIRE(pthread_create(&thread, NULL, interrupted, NULL) == 0);
	while (!__atomic_load_n(&asleep, __ATOMIC_SEQ_CST))
		sched_yield();
	sleep_ms(50);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
}

static uint32_t tid_word;

static int cloned(void *unused)
{
	(void)unused;
	sleep_ms(20);
	return 0;
}

static void cleared_at_the_end(void)
{
	char *stack = mmap(NULL, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t parent_word = 0;

	REQUIRE(stack != MAP_FAILED);
	int tid = clone(cloned, stack + 16 * PAGE,
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
			NULL, &parent_word, NULL, &tid_word);
	REQUIRE(tid > 0);
	CHECK_EQ(tid, parent_word);
	uint32_t seen;
	while ((seen = __atomic_load_n(&tid_word, __ATOMIC_ACQUIRE)) != 0 || parent_word == 0)
		futex(&tid_word, FUTEX_WAIT, seen, NULL, NULL, 0);
	munmap(stack, 16 * PAGE); /* nobody uses it any more */
}

int main(void)
{
	errors_and_timeouts();
	wake_some();
	requeue();
	shared();
	not_shared_after_fork();
	interruption();
	cleared_at_the_end();
	return check_end();
}
