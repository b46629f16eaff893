/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs and time: affinity is obeyed at once and inherited, getcpu tells the truth, clocks go
 * forward on all CPUs, sleeps last as long as asked, and nobody starves a CPU.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>

static cpu_set_t all;
static int cpus[CPU_SETSIZE], count;

static unsigned long now(clockid_t clock)
{
	struct timespec t;

	CHECK_OK(clock_gettime(clock, &t));
	CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
	return (unsigned long)t.tv_sec * 1000000000UL + (unsigned long)t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_OK(sched_setaffinity(0, sizeof set, &set));
}

static void affinity(void)
{
	cpu_set_t set, back;
	unsigned cpu, node;

	for (int round = 0; round < 3; round++)
		for (int i = 0; i < count; i++) {
			pin(cpus[i]);
			CHECK_EQ(cpus[i], sched_getcpu()); /* there when the call returns */
			CHECK_EQ(0, syscall(SYS_getcpu, &cpu, &node, NULL));
			CHECK_EQ(cpus[i], cpu);
			CHECK_OK(sched_getaffinity(0, sizeof back, &back));
			CHECK_EQ(1, CPU_COUNT(&back));
			CHECK(CPU_ISSET(cpus[i], &back));
			sched_yield();
			CHECK_EQ(cpus[i], sched_getcpu());
		}
	CPU_ZERO(&set);
	CHECK_ERR(EINVAL, sched_setaffinity(0, sizeof set, &set)); /* no CPU at all */
	CPU_SET(CPU_SETSIZE - 1, &set);
	CHECK_ERR(EINVAL, sched_setaffinity(0, sizeof set, &set)); /* none that there is */
	CHECK_ERR(ESRCH, sched_setaffinity(999999, sizeof all, &all));
	CHECK_ERR(EINVAL, syscall(SYS_sched_getaffinity, 0, 1, &set)); /* too short, or no multiple of a word */
	CHECK(syscall(SYS_sched_getaffinity, 0, sizeof set, &set) > 0);

	pin(cpus[count - 1]);
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(cpus[count - 1], sched_getcpu()); /* inherited */
		CHECK_OK(sched_getaffinity(0, sizeof back, &back));
		CHECK_EQ(1, CPU_COUNT(&back));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_OK(sched_setaffinity(0, sizeof all, &all));
	CHECK_OK(sched_getaffinity(0, sizeof back, &back));
	CHECK(CPU_EQUAL(&all, &back));
	CHECK_EQ(count, get_nprocs());
	CHECK_EQ(count, sysconf(_SC_NPROCESSORS_ONLN));
}

/* Another thread is moved while it runs and never asks for anything. */
static volatile int running, over;
static volatile pid_t tid;

static void *computing(void *unused)
{
	tid = gettid();
	while (!over)
		running = sched_getcpu();
	return unused;
}

static void moved_from_outside(void)
{
	pthread_t thread;

	over = 0, tid = 0;
	REQUIRE(pthread_create(&thread, NULL, computing, NULL) == 0);
	while (!tid)
		sched_yield();
	for (int i = 0; i < 2 * count; i++) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(cpus[i % count], &set);
		CHECK_OK(sched_setaffinity(tid, sizeof set, &set));
		unsigned long end = now(CLOCK_MONOTONIC) + 5000000000UL;
		while (running != cpus[i % count] && now(CLOCK_MONOTONIC) < end)
			sched_yield();
		CHECK_EQ(cpus[i % count], running);
	}
	over = 1;
	pthread_join(thread, NULL);
}

/* Two that only compute, pinned to one CPU with a third that sleeps: all go on. */
static volatile unsigned long progress[3];

static void *sharing(void *argument)
{
	size_t me = (size_t)argument;
	struct timespec t = {0, 1000000};

	pin(cpus[0]);
	while (!over) {
		progress[me]++;
		if (me == 2)
			nanosleep(&t, NULL);
	}
	return NULL;
}

static void preempted(void)
{
	pthread_t threads[3];

	over = 0;
	for (size_t i = 0; i < 3; i++)
		REQUIRE(pthread_create(&threads[i], NULL, sharing, (void *)i) == 0);
	unsigned long end = now(CLOCK_MONOTONIC) + 10000000000UL;
	while ((progress[0] < 1000 || progress[1] < 1000 || progress[2] < 5) && now(CLOCK_MONOTONIC) < end)
		usleep(5000);
	CHECK(progress[0] >= 1000);
	CHECK(progress[1] >= 1000);
	CHECK(progress[2] >= 5);
	over = 1;
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* ---- clocks ---- */

static void clocks(void)
{
	struct timespec t;
	struct timeval tv;
	unsigned long last = 0, real;

	for (int i = 0; i < 300; i++) {
		if (i % 10 == 0)
			pin(cpus[i / 10 % count]); /* the clock is one clock on all CPUs */
		unsigned long n = now(CLOCK_MONOTONIC);
		CHECK(n >= last);
		last = n;
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t); /* and the same by way of the kernel */
		n = (unsigned long)t.tv_sec * 1000000000UL + (unsigned long)t.tv_nsec;
		CHECK(n >= last);
		last = n;
	}
	CHECK_OK(sched_setaffinity(0, sizeof all, &all));
	CHECK(now(CLOCK_BOOTTIME) + 1000000 >= last || now(CLOCK_BOOTTIME) > 0);
	CHECK(now(CLOCK_MONOTONIC_RAW) > 0);
	CHECK(now(CLOCK_MONOTONIC_COARSE) > 0);
	real = now(CLOCK_REALTIME);
	CHECK_OK(gettimeofday(&tv, NULL));
	CHECK((unsigned long)tv.tv_sec - real / 1000000000UL <= 5);
	CHECK(time(NULL) - (time_t)(real / 1000000000UL) <= 5);
	CHECK_OK(clock_getres(CLOCK_MONOTONIC, &t));
	CHECK(t.tv_sec == 0 && t.tv_nsec > 0);
	CHECK_ERR(EINVAL, clock_gettime(99, &t));
	unsigned long cpu = now(CLOCK_PROCESS_CPUTIME_ID), thread = now(CLOCK_THREAD_CPUTIME_ID);
	for (volatile int i = 0; i < 3000000; i++)
		;
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) > cpu);
	CHECK(now(CLOCK_THREAD_CPUTIME_ID) > thread);
	uint64_t frequency, a, b;
	__asm__ volatile("mrs %0, cntfrq_el0\n mrs %1, cntvct_el0\n isb\n mrs %2, cntvct_el0"
			 : "=r"(frequency), "=r"(a), "=r"(b));
	CHECK(frequency >= 1000000 && b >= a); /* the counter can be read at EL0 */
}

static void sleeps(void)
{
	static const long ms[] = {0, 1, 10, 50, 120};
	struct timespec t;

	for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
		unsigned long start = now(CLOCK_MONOTONIC);
		t = (struct timespec){0, ms[i] * 1000000};
		CHECK_OK(nanosleep(&t, NULL));
		unsigned long took = now(CLOCK_MONOTONIC) - start;
		CHECK(took >= (unsigned long)ms[i] * 1000000);
		CHECK(took < (unsigned long)ms[i] * 1000000 + 3000000000UL);
	}
	unsigned long until = now(CLOCK_MONOTONIC) + 40000000;
	t = (struct timespec){(time_t)(until / 1000000000UL), (long)(until % 1000000000UL)};
	CHECK_EQ(0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
	CHECK(now(CLOCK_MONOTONIC) >= until);
	CHECK_EQ(0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)); /* already past */
	CHECK_ERR(EINVAL, nanosleep(&(struct timespec){0, 1000000000}, NULL));
	CHECK_ERR(EINVAL, nanosleep(&(struct timespec){-1, 0}, NULL));
	CHECK_EQ(EINVAL, clock_nanosleep(99, 0, &(struct timespec){0, 1}, NULL));
}

/* Many sleepers end in the order of their times. */
static void *sleeper(void *argument)
{
	unsigned long start = now(CLOCK_MONOTONIC);
	long ms = 20 + (long)(size_t)argument * 3;
	struct timespec t = {0, ms * 1000000};

	for (int i = 0; i < 5; i++) {
		CHECK_OK(nanosleep(&t, NULL));
		CHECK(now(CLOCK_MONOTONIC) - start >= (unsigned long)ms * (unsigned long)(i + 1) * 1000000);
	}
	return NULL;
}

static void many_sleepers(void)
{
	pthread_t threads[20];

	for (size_t i = 0; i < 20; i++)
		REQUIRE(pthread_create(&threads[i], NULL, sleeper, (void *)i) == 0);
	for (size_t i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			cpus[count++] = i;
	REQUIRE(count >= 1);
	affinity();
	moved_from_outside();
	preempted();
	clocks();
	sleeps();
	many_sleepers();
	return check_end();
}
