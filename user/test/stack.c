/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main stack grows down on demand as far as RLIMIT_STACK and no further; an overrun is SIGSEGV
 * that a handler on the alternative stack can take; without one it kills. The guard pages of
 * thread stacks hold as well.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define RW (PROT_READ | PROT_WRITE)

static uintptr_t deepest;

/* One page a call. The sum keeps the compiler from turning recursion into a loop. */
__attribute__((noinline)) static unsigned long descend(unsigned long bytes)
{
	volatile char frame[PAGE];

	frame[0] = (char)bytes;
	frame[PAGE - 1] = 1;
	deepest = (uintptr_t)frame;
	unsigned long below = bytes > PAGE ? descend(bytes - PAGE) : 0;
	return below + (unsigned char)frame[0] + (unsigned char)frame[PAGE - 1];
}

static void alternative_stack(void)
{
	stack_t stack = {.ss_size = 64 << 10};

	stack.ss_sp = mmap(NULL, stack.ss_size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) == 0);
	trap_install(SA_ONSTACK);
}

static void grows(unsigned long limit)
{
	unsigned long deep = limit - limit / 8;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	CHECK(descend(deep) > 0);
	CHECK(here - deepest >= deep - 2 * PAGE);
	CHECK(descend(deep) > 0); /* and again over the pages that are there */
}

static void overruns(unsigned long limit)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	volatile unsigned long sum;

	TRAP(sum = descend(4 * limit));
	CHECK_EQ(SIGSEGV, trap.signal);
	CHECK_EQ(SEGV_MAPERR, trap.code);
	CHECK(here - trap.address <= limit + 2 * PAGE);
	CHECK(here - trap.address >= limit - limit / 4);
	TRAP(sum = descend(4 * limit)); /* twice: the first changed nothing */
	CHECK_EQ(SIGSEGV, trap.signal);
	sum = descend(limit / 2);
	(void)sum;
}

static void overrun_kills(unsigned long limit)
{
	pid_t pid = check_fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit((int)descend(4 * limit) | 1);
	}
	CHECK_STATUS(SIGSEGV, pid);
	pid = check_fork();
	if (pid == 0) {
		/* a handler that has no stack left to run on */
		trap_install(0);
		_exit((int)descend(4 * limit) | 1);
	}
	CHECK_STATUS(SIGSEGV, pid);
}

/* Stack pages are copied on fork like all others. */
static void forked(void)
{
	volatile char frame[16 * PAGE];

	for (size_t i = 0; i < 16; i++)
		frame[i * PAGE] = (char)(i + 1);
	pid_t pid = check_fork();
	if (pid == 0) {
		for (size_t i = 0; i < 16; i++) {
			CHECK_EQ(i + 1, frame[i * PAGE]);
			frame[i * PAGE] = 99;
		}
		CHECK(descend(256 << 10) > 0);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	for (size_t i = 0; i < 16; i++)
		CHECK_EQ(i + 1, frame[i * PAGE]);
}

static void *in_thread(void *unused)
{
	(void)unused;
	alternative_stack(); /* alternative stacks are a thread's own */
	unsigned long sum = descend(128 << 10);
	TRAP(sum += descend(1 << 20));
	CHECK_EQ(SIGSEGV, trap.signal);
	CHECK_EQ(SEGV_ACCERR, trap.code); /* a guard page is a PROT_NONE mapping */
	CHECK(sum > 0);
	return NULL;
}

static void thread_guard(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	REQUIRE(pthread_attr_setstacksize(&attr, 256 << 10) == 0);
	REQUIRE(pthread_create(&thread, &attr, in_thread, NULL) == 0);
	pthread_join(thread, NULL);
}

/* A lower limit holds at once, for growth that has not happened yet. */
static void lower_limit(void)
{
	pid_t pid = check_fork();

	if (pid == 0) {
		struct rlimit rlimit;
		uintptr_t here = (uintptr_t)__builtin_frame_address(0);
		volatile unsigned long sum = 0;

		REQUIRE(getrlimit(RLIMIT_STACK, &rlimit) == 0);
		rlimit.rlim_cur = 512 << 10;
		REQUIRE(setrlimit(RLIMIT_STACK, &rlimit) == 0);
		alternative_stack();
		TRAP(sum = descend(4 << 20));
		CHECK_EQ(SIGSEGV, trap.signal);
		CHECK(here - trap.address <= (512 << 10) + 2 * PAGE);
		CHECK_EQ(0, sum);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
}

int main(void)
{
	struct rlimit rlimit;

	REQUIRE(getrlimit(RLIMIT_STACK, &rlimit) == 0);
	if (rlimit.rlim_cur > (64UL << 20)) /* unlimited or too much to run into */
		rlimit.rlim_cur = 8UL << 20;
	REQUIRE(setrlimit(RLIMIT_STACK, &rlimit) == 0);
	lower_limit();
	alternative_stack();
	forked();
	grows(rlimit.rlim_cur);
	overruns(rlimit.rlim_cur);
	overrun_kills(rlimit.rlim_cur);
	thread_guard();
	return check_end();
}
