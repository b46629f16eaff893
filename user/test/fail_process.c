/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes, threads, programs, signals and waiting, each allocation refused in turn (fail.h). */
#define _GNU_SOURCE
#include "fail.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define PAGES 32UL
#define SIZE (PAGES * PAGE)
#define STACK (64UL << 10)
#define EXEC_CONTROL 99 /* where an exec'ed copy of this program finds the file with its count */
#define SCRIPT "/tmp/fail-script"

static char *region;
static char stacks[4][STACK] __attribute__((aligned(16)));
static volatile int handled, handled_value, child_tid;
static volatile long ticks;

static unsigned long *word(size_t page) { return (unsigned long *)(region + page * PAGE); }

static void fill(void)
{
	for (size_t i = 0; i < PAGES; i++)
		*word(i) = i + 1;
}

static int region_wrong(void)
{
	for (size_t i = 0; i < PAGES; i++)
		if (*word(i) != i + 1)
			return 1;
	return 0;
}

static void region_right(void) { CHECK_EQ(0, region_wrong()); }

/* --- fork and its kin --- */

static long fork_raw(void)
{
	long pid = RESULT(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));

	if (pid == 0) {
		int wrong = region_wrong();

		for (size_t i = 0; i < PAGES; i++)
			*word(i) = 7; /* seen by nobody else */
		_exit(wrong);
	}
	return pid;
}
static void child_ended(long pid)
{
	CHECK_CHILD((pid_t)pid);
	region_right();
}
/* The child forks too, and so on: paths are shared by several. */
static long fork_deep(void)
{
	long pid = fork_raw();

	if (pid < 0)
		return pid;
	CHECK_CHILD((pid_t)pid);
	pid = fork();
	if (pid == 0) {
		*word(3) = 3;
		pid = fork();
		if (pid == 0) {
			*word(4) = 4;
			_exit(*word(3) != 3);
		}
		int status = 1;
		if (pid > 0)
			waitpid((pid_t)pid, &status, 0);
		_exit(pid < 0 ? 0 : status != 0 || *word(4) != 5);
	}
	return pid < 0 ? -errno : pid;
}
/* Nobody waits with a status if a part of it has failed: the parts before have ended. */
static long vfork_raw(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	return RESULT(pid);
}
static int thread_body(void *argument)
{
	(void)argument;
	return 0;
}
static long thread_raw(void)
{
	child_tid = -1;
	return RESULT(clone(thread_body, stacks[0] + STACK,
			    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				    CLONE_CHILD_CLEARTID,
			    NULL, NULL, NULL, &child_tid));
}
static void thread_ended(long tid)
{
	CHECK(tid > 0);
	while (child_tid == -1)
		syscall(SYS_futex, &child_tid, FUTEX_WAIT, -1, NULL, NULL, 0);
	CHECK_EQ(0, child_tid);
}
static void no_child(void) { CHECK_ERR(ECHILD, waitpid(-1, NULL, WNOHANG)); }

static long sharing_files(void)
{
	long pid = RESULT(syscall(SYS_clone, SIGCHLD | CLONE_FILES, 0, 0, 0, 0));

	if (pid == 0)
		_exit(0);
	return pid;
}

/* --- signals --- */

static void handler(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	handled++;
	handled_value = info->si_value.sival_int;
}
static void handle(void)
{
	struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	REQUIRE(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGRTMIN, &a, NULL) == 0);
	handled = 0;
}
/* A place for the frame that nobody has touched. */
static void handle_elsewhere(void)
{
	stack_t s = {.ss_sp = region + FAIL_MOST * PAGE, .ss_size = 64 << 10};

	handle();
	REQUIRE(mmap(s.ss_sp, s.ss_size, RW, ANON | MAP_FIXED, -1, 0) == s.ss_sp);
	REQUIRE(sigaltstack(&s, NULL) == 0);
}
static void handle_here(long r)
{
	stack_t s = {.ss_flags = SS_DISABLE};

	(void)r;
	CHECK_EQ(1, handled);
	REQUIRE(sigaltstack(&s, NULL) == 0);
	REQUIRE(munmap(region + FAIL_MOST * PAGE, 64 << 10) == 0);
}
static long signal_self(void) { return RESULT(kill(getpid(), SIGUSR1)); }
static long signal_thread(void) { return RESULT(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1)); }
static void was_handled(long r)
{
	(void)r;
	CHECK_EQ(1, handled);
}
static void not_handled(void) { CHECK_EQ(0, handled); }
static long queue_value(void) { return RESULT(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42})); }
static void value_came(long r)
{
	was_handled(r);
	CHECK_EQ(42, handled_value);
}
static void blocked(void)
{
	sigset_t set;

	handle();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}
static long queue_and_take(void)
{
	struct timespec now = {0, 0};
	sigset_t set;
	long r = queue_value();

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	return r < 0 ? r : RESULT(sigtimedwait(&set, NULL, &now));
}
static void unblock(long r)
{
	sigset_t set;

	(void)r;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	REQUIRE(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	CHECK_EQ(0, handled);
}
static long fault_handled(void)
{
	handled = 0;
	return RESULT(raise(SIGUSR1));
}

/* --- waiting, timers, limits --- */

static long wait_futex(void)
{
	static int value = 1;
	struct timespec t = {0, 1000000};
	long r = RESULT(syscall(SYS_futex, &value, FUTEX_WAIT, 1, &t, NULL, 0));

	return r == -ETIMEDOUT ? 0 : r;
}
static long wake_futex(void)
{
	static int value = 1;
	return RESULT(syscall(SYS_futex, &value, FUTEX_WAKE, 1, NULL, NULL, 0));
}
static long sleep_short(void)
{
	struct timespec t = {0, 1000000};
	return RESULT(nanosleep(&t, NULL));
}
static long set_timer(void)
{
	struct itimerval t = {{0, 0}, {1000, 0}};
	return RESULT(setitimer(ITIMER_REAL, &t, NULL));
}
static void stop_timer(long r)
{
	struct itimerval t = {{0, 0}, {0, 0}};

	(void)r;
	REQUIRE(setitimer(ITIMER_REAL, &t, NULL) == 0);
}
static long set_name(void) { return RESULT(prctl(PR_SET_NAME, "fail")); }
static long ask_usage(void)
{
	struct rusage u;
	return RESULT(getrusage(RUSAGE_SELF, &u));
}
static long ask_affinity(void)
{
	cpu_set_t set;
	return RESULT(syscall(SYS_sched_getaffinity, 0, sizeof set, &set));
}
/* A child's end and what its parent learns of it. */
static long end_child(void)
{
	long pid = RESULT(fork());
	int status;

	if (pid == 0) {
		fail_open();
		fail_arm(1, 1); /* what ending takes */
		_exit(3);
	}
	return pid < 0 ? pid : waitpid((pid_t)pid, &status, 0) == pid && status == W_EXIT(3) ? 0 : -EINVAL;
}

static const struct operation operations[] = {
	{"fork", fill, fork_raw, child_ended, no_child, NULL, 0, 0},
	{"fork of forks", fill, fork_deep, child_ended, no_child, NULL, 0, 0},
	{"vfork", fill, vfork_raw, child_ended, no_child, NULL, 0, 0},
	{"clone with files", fill, sharing_files, child_ended, no_child, NULL, 0, 0},
	{"clone, a thread", NULL, thread_raw, thread_ended, NULL, NULL, 0, 0},
	{"kill", handle, signal_self, was_handled, not_handled, NULL, 0, 0},
	{"tgkill", handle, signal_thread, was_handled, not_handled, NULL, 0, 0},
	{"sigqueue", handle, queue_value, value_came, not_handled, NULL, 0, 0},
	{"sigqueue, sigtimedwait", blocked, queue_and_take, NULL, not_handled, unblock, 0, 0},
	{"a handler's first stack page", handle_elsewhere, fault_handled, NULL, NULL, handle_here, NEVER_FAILS, 0},
	{"futex, wait", NULL, wait_futex, NULL, NULL, NULL, 0, 0},
	{"futex, wake", NULL, wake_futex, NULL, NULL, NULL, 0, 0},
	{"nanosleep", NULL, sleep_short, NULL, NULL, NULL, 0, 0},
	{"setitimer", NULL, set_timer, NULL, NULL, stop_timer, 0, 0},
	{"prctl", NULL, set_name, NULL, NULL, NULL, 0, 0},
	{"getrusage", NULL, ask_usage, NULL, NULL, NULL, 0, 0},
	{"sched_getaffinity", NULL, ask_affinity, NULL, NULL, NULL, 0, 0},
	{"a child's end", fill, end_child, NULL, no_child, NULL, 0, 0},
};

/* --- execve --- */

static int ticking(void *argument)
{
	(void)argument;
	for (;;) {
		struct timespec t = {0, 1000000};

		ticks++;
		syscall(SYS_nanosleep, &t, NULL);
	}
	return 0;
}

/* The new program: what it began with is left, but for what its own start has taken. */
static int executed(void)
{
	char text[24] = "";

	if (pread(EXEC_CONTROL, text, sizeof text - 1, 0) <= 0)
		return 1;
	return strtoul(text, NULL, 10) == 0 ? FAIL_REFUSED : 0;
}

/*
 * What the program is given. Strings that just fit into the kernel's first page, so that the interpreter's name of a
 * script does not; or more than its largest zone object.
 */
static char string_250[250], string_60[60], string_256[256];
static char *arguments[300] = {NULL, "executed"}, *environment[] = {"A=1", string_60, string_256, NULL};

static void give(size_t strings)
{
	memset(string_250, 'a', sizeof string_250 - 1);
	memset(string_60, 'b', sizeof string_60 - 1);
	memset(string_256, 'c', sizeof string_256 - 1);
	for (size_t i = 0; i < strings; i++)
		arguments[2 + i] = string_250;
	arguments[2 + strings] = NULL;
}

/* With company: a thread of the process, and another process with the same descriptors. */
static void exec_child(const char *path, unsigned long n, bool company)
{
	static struct fail_state before, after;
	pid_t sharer = 0;
	int control = open("/proc/self/fail-nth", O_RDWR), null = open("/dev/null", O_WRONLY), e;

	REQUIRE(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO); /* for what the C library says then */
	REQUIRE(control >= 0 && dup2(control, EXEC_CONTROL) == EXEC_CONTROL);
	fail_open();
	if (company) {
		sharer = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_FILES, 0, 0, 0, 0);
		REQUIRE(sharer >= 0);
		if (sharer == 0)
			for (;;)
				pause();
		REQUIRE(clone(ticking, stacks[1] + STACK,
			      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
			      NULL) > 0);
		REQUIRE(sharer == 0 || fcntl(EXEC_CONTROL, F_GETFD) == 0);
	}
	fill();
	arguments[0] = (char *)path;
	fail_look(&before);
	fail_arm(n, 1);
	execve(path, arguments, environment);
	e = errno;
	CHECK_EQ(0, fail_left());
	fail_arm(0, 1);
	if (e != ENOMEM)
		check_failed(__FILE__, __LINE__, "execve of %s without its allocation %lu: %s", path, n,
			     strerrorname_np(e));
	fail_look(&after);
	fail_compare(&(struct operation){.name = "execve"}, n, &before, &after);
	region_right();
	if (company) {
		long then = ticks;

		for (int i = 0; i < 1000 && ticks == then; i++)
			sleep_short();
		if (ticks == then)
			check_failed(__FILE__, __LINE__, "execve without its allocation %lu: the other thread has gone",
				     n);
		kill(sharer, SIGKILL);
		while (waitpid(sharer, NULL, 0) == -1 && errno == EINTR)
			;
	}
	if (check_end())
		_exit(1);
	execve(path, arguments, environment);
	check_failed(__FILE__, __LINE__, "execve of %s, after it had no memory for allocation %lu: errno %d", path, n,
		     errno);
	_exit(1);
}

#define NOT_STARTED 127 /* the C library's status when its own start in the new program had no memory */

/* => whether an allocation was refused. The child's group has its sharer, too. */
static bool exec_attempt(const char *path, unsigned long n, bool company)
{
	pid_t pid = check_fork();
	int status;

	REQUIRE(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		exec_child(path, n, company);
	}
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	kill(-pid, SIGKILL);
	while (kill(-pid, 0) == 0 || errno != ESRCH) { /* what is left of the group holds frames until it is gone */
		(void)waitpid(-pid, NULL, WNOHANG);
		sleep_short();
	}
	if (status != 0 && status != W_EXIT(FAIL_REFUSED) && status != W_EXIT(NOT_STARTED))
		check_failed(__FILE__, __LINE__, "execve of %s without allocation %lu%s: status 0x%x", path, n,
			     company ? ", with company" : "", status);
	return status == W_EXIT(FAIL_REFUSED) || status == W_EXIT(NOT_STARTED);
}

static void exec_each(const char *path, bool company)
{
	static struct frames before, after;
	unsigned long n = 1;
	bool counted;

	fill();
	(void)exec_attempt(path, 1UL << 40, company);
	counted = frames_read(&before);
	while (exec_attempt(path, n, company) && n < FAIL_MOST)
		n++;
	if (n == FAIL_MOST)
		check_failed(__FILE__, __LINE__, "execve of %s has no last allocation", path);
	if (counted && !frames_settle(&before, &after)) {
		check_failed(__FILE__, __LINE__, "execve of %s: frames have another owner than before", path);
		frames_print("  ", &before, &after);
	}
	fail_refused += (long)n - 1;
	fail_operations++;
}

static void write_script(void)
{
	char text[300];
	int fd = open(SCRIPT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755), n;

	n = readlink("/proc/self/exe", text + 2, sizeof text - 20);
	REQUIRE(fd >= 0 && n > 0);
	memcpy(text, "#!", 2);
	memcpy(text + 2 + n, " executed\n", 10);
	REQUIRE(write(fd, text, (size_t)n + 12) == n + 12);
	close(fd);
}

int main(int argc, char **argv)
{
	static char self[300];

	if (argc > 1 && strcmp(argv[1], "executed") == 0)
		return executed();
	if (!fail_begin())
		return 0;
	region = mmap(NULL, 2 * FAIL_MOST * PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
	REQUIRE(region != MAP_FAILED && readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	write_script();
	exec_each(self, false);
	give(15);
	exec_each(SCRIPT, false);
	give(200);
	exec_each(self, false);
	give(0);
	exec_each(self, true);
	fail_all(operations, sizeof operations / sizeof *operations);
	return check_end();
}
