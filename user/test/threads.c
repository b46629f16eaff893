/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pthreads as glibc makes them of clone, futex, mmap and set_robust_list: malloc under 32 threads,
 * locks that lose no count, barriers, thread-local storage, join, detach, cancel, exit with threads
 * still running.
 *
 *   threads [count [rounds]]
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum { MAX = 256 };
static size_t count = 32;
static unsigned long rounds = 400;

static void run(size_t n, void *(*body)(void *))
{
	pthread_t threads[MAX];

	for (size_t i = 0; i < n; i++)
		REQUIRE(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
	for (size_t i = 0; i < n; i++) {
		void *result = NULL;
		CHECK_EQ(0, pthread_join(threads[i], &result));
		CHECK_EQ(i + 1, (size_t)result); /* every body returns its number and one */
	}
}

/* ---- malloc ---- */

/* Blocks wander: one thread allocates, another frees. */
static unsigned char *_Atomic exchange[64];

static void *mallocing(void *argument)
{
	size_t me = (size_t)argument;
	unsigned seed = (unsigned)me + 1;

	for (unsigned long n = 0; n < rounds; n++) {
		size_t size = 2 + (size_t)rand_r(&seed) % (n % 97 ? 3000 : 300000);
		unsigned char *p = malloc(size);
		REQUIRE(p);
		p[0] = (unsigned char)(size & 255), p[1] = (unsigned char)(size >> 8 & 255);
		memset(p + 2, p[0] ^ 0x55, size < 3000 ? size - 2 : 2998);
		p[size - 1] = p[0] ^ 0x55;
		if (size == 2)
			p[1] = 0;
		p = __atomic_exchange_n(&exchange[rand_r(&seed) % 64], p, __ATOMIC_ACQ_REL);
		if (p) {
			size = p[0] | (size_t)p[1] << 8;
			if (size > 2 && size < 3000)
				for (size_t i = 2; i < size; i += 37)
					if (p[i] != (p[0] ^ 0x55)) {
						CHECK_EQ(p[0] ^ 0x55, p[i]);
						break;
					}
			free(p);
		}
	}
	return (void *)(me + 1);
}

/* ---- locks ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spinlock;
static unsigned long by_mutex, by_rwlock, by_spinlock, twin_a, twin_b, by_atomic;

static void *locking(void *argument)
{
	for (unsigned long n = 0; n < rounds; n++) {
		pthread_mutex_lock(&mutex);
		by_mutex++;
		pthread_mutex_unlock(&mutex);
		pthread_spin_lock(&spinlock);
		by_spinlock++;
		pthread_spin_unlock(&spinlock);
		if (n % 8 == 0) {
			pthread_rwlock_wrlock(&rwlock);
			by_rwlock++;
			twin_a++;
			if (n % 64 == 0)
				sched_yield();
			twin_b++;
			pthread_rwlock_unlock(&rwlock);
		} else {
			pthread_rwlock_rdlock(&rwlock);
			CHECK_EQ(twin_a, twin_b);
			pthread_rwlock_unlock(&rwlock);
		}
		__atomic_fetch_add(&by_atomic, 1, __ATOMIC_RELAXED);
	}
	return (void *)((size_t)argument + 1);
}

static void locks(void)
{
	pthread_spin_init(&spinlock, PTHREAD_PROCESS_PRIVATE);
	run(8, locking);
	CHECK_EQ(8 * rounds, by_mutex);
	CHECK_EQ(8 * rounds, by_spinlock);
	CHECK_EQ(8 * rounds, by_atomic);
	CHECK_EQ(8 * ((rounds + 7) / 8), by_rwlock);
}

/* ---- a bounded queue with two conditions, and a semaphore ---- */

enum { QUEUE = 8, ITEMS = 300 };
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static unsigned long queue[QUEUE], head, tail, taken_sum, taken;
static sem_t slots;

static void *producing(void *argument)
{
	for (unsigned long n = 1; n <= ITEMS; n++) {
		pthread_mutex_lock(&mutex);
		while (tail - head == QUEUE)
			pthread_cond_wait(&not_full, &mutex);
		queue[tail++ % QUEUE] = n;
		pthread_cond_signal(&not_empty);
		pthread_mutex_unlock(&mutex);
		sem_post(&slots);
	}
	return (void *)((size_t)argument + 1);
}

static void *consuming(void *argument)
{
	for (unsigned long n = 1; n <= ITEMS; n++) {
		sem_wait(&slots);
		pthread_mutex_lock(&mutex);
		while (tail == head)
			pthread_cond_wait(&not_empty, &mutex);
		taken_sum += queue[head++ % QUEUE];
		taken++;
		pthread_cond_broadcast(&not_full);
		pthread_mutex_unlock(&mutex);
	}
	return (void *)((size_t)argument + 1);
}

static void *half_and_half(void *argument) { return (size_t)argument & 1 ? consuming(argument) : producing(argument); }

static void queues(void)
{
	sem_init(&slots, 0, 0);
	run(8, half_and_half);
	CHECK_EQ(4 * ITEMS, taken);
	CHECK_EQ(4UL * ITEMS * (ITEMS + 1) / 2, taken_sum);
}

/* ---- barriers and storage of a thread's own ---- */

static pthread_barrier_t barrier;
static unsigned long at_barrier[MAX];
static __thread unsigned long own = 77;
static __thread char own_zero[5000];
static pthread_key_t key;
static int destroyed;

static void destroy(void *value) { __atomic_fetch_add(&destroyed, (int)(size_t)value, __ATOMIC_RELAXED); }

static void *meeting(void *argument)
{
	size_t me = (size_t)argument;

	CHECK_EQ(77, own);
	CHECK_EQ(0, own_zero[4999]);
	own = me;
	own_zero[4999] = 1;
	pthread_setspecific(key, (void *)1);
	for (unsigned long n = 1; n <= 40; n++) {
		at_barrier[me] = n;
		pthread_barrier_wait(&barrier);
		for (size_t i = 0; i < 8; i++)
			CHECK_EQ(n, at_barrier[i]);
		pthread_barrier_wait(&barrier);
		CHECK_EQ(me, own);
	}
	CHECK(syscall(SYS_gettid) != getpid());
	return (void *)(me + 1);
}

static void barriers_and_tls(void)
{
	pthread_barrier_init(&barrier, NULL, 8);
	pthread_key_create(&key, destroy);
	run(8, meeting);
	CHECK_EQ(77, own);
	CHECK_EQ(8, destroyed);
}

/* ---- ends of threads ---- */

static sem_t detached_done;

static void *detached(void *unused)
{
	sem_post(&detached_done);
	return unused;
}

static void *sleeping(void *unused)
{
	for (;;)
		sleep(100);
	return unused;
}

static void *waiting_timed(void *argument)
{
	struct timespec until;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&mutex);
	CHECK_EQ(ETIMEDOUT, pthread_cond_timedwait(&never, &mutex, &until));
	pthread_mutex_unlock(&mutex);
	return (void *)((size_t)argument + 1);
}

static void ends(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	void *result;

	sem_init(&detached_done, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 100; i++)
		REQUIRE(pthread_create(&thread, &attr, detached, NULL) == 0);
	for (int i = 0; i < 100; i++)
		sem_wait(&detached_done);
	REQUIRE(pthread_create(&thread, NULL, sleeping, NULL) == 0);
	CHECK_EQ(0, pthread_cancel(thread)); /* a signal to one thread, and its stack unwound */
	CHECK_EQ(0, pthread_join(thread, &result));
	CHECK(result == PTHREAD_CANCELED);
	run(4, waiting_timed);
	for (int i = 0; i < 30; i++) { /* create and join in a row: stacks are used again */
		REQUIRE(pthread_create(&thread, NULL, detached, NULL) == 0);
		pthread_join(thread, NULL);
	}
}

/* ---- processes with threads ---- */

static void *exiting(void *unused)
{
	(void)unused;
	exit(33);
}

/*
 * Not before the first thread is gone: exit takes down the tables by which pthread_exit unwinds, in a static program, and the C
 * library aborts when it does not find them.
 */
static void *exiting_last(void *first)
{
	pthread_join((pthread_t)first, NULL);
	exit(33);
}

static void *faulting(void *where)
{
	*(volatile int *)where = 1; /* NULL */
	return NULL;
}

static void processes(void)
{
	static void *(*const bodies[])(void *) = {exiting, faulting};
	static const int statuses[] = {W_EXIT(33), SIGSEGV};

	for (int which = 0; which < 2; which++) {
		pid_t pid = check_fork();
		if (pid == 0) {
			pthread_t thread;
			if (which)
				signal(SIGSEGV, SIG_DFL);
			for (int i = 0; i < 6; i++)
				REQUIRE(pthread_create(&thread, NULL, sleeping, NULL) == 0);
			REQUIRE(pthread_create(&thread, NULL, bodies[which], NULL) == 0);
			sleeping(NULL);
		}
		CHECK_STATUS(statuses[which], pid); /* all threads end with the process */
	}
	pid_t pid = check_fork();
	if (pid == 0) {
		pthread_t thread;
		REQUIRE(pthread_create(&thread, NULL, exiting_last, (void *)pthread_self()) == 0);
		pthread_exit(NULL); /* the first thread may go before the process */
	}
	CHECK_STATUS(W_EXIT(33), pid);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		count = strtoul(argv[1], NULL, 0);
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 0);
	REQUIRE(count > 0 && count <= MAX);
	run(count, mallocing);
	locks();
	queues();
	barriers_and_tls();
	ends();
	processes();
	return check_end();
}
