/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork, exit and wait4: statuses, WNOHANG, whom it waits for, orphans, and hundreds of
 * children that end in any order, from several threads at once.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static pid_t child(int code)
{
	pid_t pid = check_fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		_exit(code);
	return pid;
}

static void statuses(void)
{
	struct rusage usage;
	int status;

	for (int code = 0; code < 256; code += 51)
		CHECK_STATUS(W_EXIT(code), child(code));
	CHECK_STATUS(W_EXIT(1), child(257)); /* eight bits */
	pid_t pid = child(3);
	CHECK_EQ(pid, wait4(pid, &status, 0, &usage));
	CHECK(WIFEXITED(status) && !WIFSIGNALED(status) && WEXITSTATUS(status) == 3);
	CHECK_ERR(ECHILD, wait4(pid, &status, 0, NULL)); /* once only */
	CHECK_ERR(ECHILD, wait4(-1, &status, 0, NULL));
	CHECK_ERR(ECHILD, wait4(1, &status, 0, NULL)); /* not our child */
	CHECK_ERR(ECHILD, wait4(-1, &status, WNOHANG, NULL));
	CHECK_ERR(EINVAL, wait4(-1, &status, 0x10000000, NULL));
}

static void no_hang(void)
{
	int gate[2], status = 77;
	char byte;

	REQUIRE(pipe(gate) == 0);
	pid_t pid = check_fork();
	if (pid == 0) {
		close(gate[1]);
		_exit(read(gate[0], &byte, 1) == 0 ? 5 : 6);
	}
	CHECK_EQ(0, waitpid(pid, &status, WNOHANG));
	CHECK_EQ(0, waitpid(-1, &status, WNOHANG));
	CHECK_EQ(77, status);
	close(gate[1]), close(gate[0]);
	for (int i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) == 0; i++)
		sleep_ms(1);
	CHECK_EQ(W_EXIT(5), status);
}

/* A hundred alive at once; each is waited for exactly once. */
static void many(void)
{
	enum { COUNT = 100 };
	static pid_t pids[COUNT];
	int gate[2], seen[COUNT] = {0};
	char byte;

	REQUIRE(pipe(gate) == 0);
	for (int i = 0; i < COUNT; i++) {
		pids[i] = check_fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0) {
			close(gate[1]);
			(void)!read(gate[0], &byte, 1);
			_exit(i);
		}
		for (int j = 0; j < i; j++)
			CHECK(pids[j] != pids[i]);
	}
	CHECK_EQ(pids[40], (kill(pids[40], SIGKILL), waitpid(pids[40], NULL, 0)));
	close(gate[1]), close(gate[0]);
	for (int n = 0; n < COUNT - 1; n++) {
		int status, i = 0;
		pid_t pid = wait(&status);
		while (i < COUNT && pids[i] != pid)
			i++;
		REQUIRE(i < COUNT);
		CHECK_EQ(0, seen[i]++);
		CHECK_EQ(W_EXIT(i), status);
	}
	CHECK_ERR(ECHILD, wait(NULL));
}

/* A grandchild whose parent has gone belongs to pid 1. */
static void orphans(void)
{
	int report[2];
	pid_t grandchild_parent = 0;

	REQUIRE(pipe(report) == 0);
	pid_t pid = check_fork();
	if (pid == 0) {
		pid_t middle = getpid();
		if (fork() == 0) {
			for (int i = 0; i < 5000 && getppid() == middle; i++)
				sleep_ms(1);
			pid_t parent = getppid();
			REQUIRE(write(report[1], &parent, sizeof parent) == sizeof parent);
			_exit(0);
		}
		_exit(0);
	}
	CHECK_CHILD(pid);
	CHECK_EQ(sizeof grandchild_parent, read(report[0], &grandchild_parent, sizeof grandchild_parent));
	CHECK_EQ(1, grandchild_parent);
	CHECK_ERR(ECHILD, wait(NULL));
	close(report[0]), close(report[1]);
}

/* Several threads of a process fork and wait, each for its own. */
static void *family(void *argument)
{
	for (int n = 0; n < 25; n++) {
		int code = (int)(size_t)argument * 30 + n;
		pid_t pid = check_fork();
		if (pid == 0)
			_exit(code & 255);
		int status = 0;
		CHECK_EQ(pid, waitpid(pid, &status, 0));
		CHECK_EQ(W_EXIT(code & 255), status);
	}
	return NULL;
}

static void from_threads(void)
{
	pthread_t threads[6];

	for (size_t i = 0; i < 6; i++)
		REQUIRE(pthread_create(&threads[i], NULL, family, (void *)i) == 0);
	for (size_t i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
}

/* vfork: the parent stands still until the child is done, and sees what it wrote. */
static void vforks(void)
{
	volatile int written = 0;

	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();
		if (pid == 0) {
			written = i + 1;
			_exit(9);
		}
		CHECK_EQ(i + 1, written);
		CHECK_STATUS(W_EXIT(9), pid);
	}
}

/* Numbers and parents are as POSIX has them; a signal wakes a wait. */
static void noting(int signal) { (void)signal; }

static void numbers(void)
{
	pid_t me = getpid();
	pid_t pid = check_fork();

	if (pid == 0) {
		CHECK_EQ(me, getppid());
		CHECK(getpid() != me);
		CHECK_EQ(getpid(), gettid());
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(me, getpid());
	struct sigaction action = {.sa_handler = noting};
	sigaction(SIGUSR1, &action, NULL);
	pid = check_fork();
	if (pid == 0) {
		sleep_ms(60);
		kill(me, SIGUSR1);
		sleep_ms(60);
		_exit(0);
	}
	CHECK_ERR(EINTR, waitpid(pid, NULL, 0));
	CHECK_CHILD(pid);
}

int main(void)
{
	statuses();
	no_hang();
	many();
	orphans();
	from_threads();
	vforks();
	numbers();
	return check_end();
}
