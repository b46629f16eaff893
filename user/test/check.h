/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every guest test shares: checks that print one line when they fail, and an exit status.
 *
 * A test is an ordinary program. It says nothing when all is well; each failed check prints
 * "file:line: what: expected X, got Y" and is counted; main ends with `return check_end();`.
 * A child process made with fork counts its own failures: it ends with `_exit(check_end())`, and
 * the parent asks for status 0 with CHECK_CHILD. The count is atomic because tests have threads.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

/* More lines than this from one process say nothing new, and would drown a serial console. */
#define CHECK_LINES_MAX 40

static int check_failures;

/* One write call per line, so that lines of several processes do not mix. */
__attribute__((format(printf, 3, 4), unused)) static void check_failed(const char *file, int line, const char *format,
								       ...)
{
	char text[400];
	const char *base = strrchr(file, '/');
	int n;

	if (__atomic_add_fetch(&check_failures, 1, __ATOMIC_RELAXED) > CHECK_LINES_MAX)
		return;
	n = snprintf(text, sizeof text, "%s:%d: ", base ? base + 1 : file, line);
	va_list args;
	va_start(args, format);
	n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, args);
	va_end(args);
	if (n > (int)sizeof text - 2)
		n = (int)sizeof text - 2;
	text[n++] = '\n';
	if (write(STDOUT_FILENO, text, (size_t)n) < 0)
		_exit(1);
}

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			check_failed(__FILE__, __LINE__, "%s: expected true, got false", #condition); \
	} while (0)

#define CHECK_EQ(expected, got) \
	do { \
		long long check_e = (long long)(expected), check_g = (long long)(got); \
		if (check_e != check_g) \
			check_failed(__FILE__, __LINE__, "%s: expected %lld (0x%llx), got %lld (0x%llx)", #got, \
				     check_e, (unsigned long long)check_e, check_g, (unsigned long long)check_g); \
	} while (0)

/* The call must fail with -1 (or MAP_FAILED, which is the same number) and this errno. */
#define CHECK_ERR(error, call) \
	do { \
		errno = 0; \
		long long check_r = (long long)(call); \
		int check_n = errno; \
		if (check_r != -1) \
			check_failed(__FILE__, __LINE__, "%s: expected -1 with %s, got %lld", #call, \
				     strerrorname_np(error), check_r); \
		else if (check_n != (error)) \
			check_failed(__FILE__, __LINE__, "%s: expected errno %s, got %d (%s)", #call, \
				     strerrorname_np(error), check_n, strerror(check_n)); \
	} while (0)

/* The call must not return -1. */
#define CHECK_OK(call) \
	do { \
		errno = 0; \
		if ((long long)(call) == -1) \
			check_failed(__FILE__, __LINE__, "%s: expected success, got errno %d (%s)", #call, errno, \
				     strerror(errno)); \
	} while (0)

/* What a test cannot go on without. */
#define REQUIRE(condition) \
	do { \
		if (!(condition)) { \
			check_failed(__FILE__, __LINE__, "%s: required, got false (errno %d, %s)", #condition, errno, \
				     strerror(errno)); \
			_exit(1); \
		} \
	} while (0)

/* Waits for the child and asks for a wait status: W_EXIT(code) or a signal number. */
#define CHECK_STATUS(expected, pid) \
	do { \
		int check_s = 0; \
		pid_t check_w = (pid), check_p; \
		while ((check_p = waitpid(check_w, &check_s, 0)) == -1 && errno == EINTR) \
			; /* a handler ran meanwhile */ \
		if (check_p != check_w) \
			check_failed(__FILE__, __LINE__, "waitpid(%s): expected %d, got %d (errno %d)", #pid, \
				     (int)check_w, (int)check_p, errno); \
		else if ((check_s & ~0x80) != (expected)) \
			check_failed(__FILE__, __LINE__, "status of %s: expected 0x%x, got 0x%x", #pid, \
				     (unsigned)(expected), (unsigned)check_s); \
	} while (0)
#define W_EXIT(code) ((code) << 8)
#define CHECK_CHILD(pid) CHECK_STATUS(W_EXIT(0), pid)

__attribute__((unused)) static int check_end(void)
{
	int n = __atomic_load_n(&check_failures, __ATOMIC_RELAXED);

	if (n > CHECK_LINES_MAX)
		dprintf(STDOUT_FILENO, "... and %d more failed checks\n", n - CHECK_LINES_MAX);
	return n ? 1 : 0;
}

/* fork for a child that checks: it must start from a count of its own. */
__attribute__((unused)) static pid_t check_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		__atomic_store_n(&check_failures, 0, __ATOMIC_RELAXED);
	return pid;
}

#endif
