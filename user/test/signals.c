/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals: handlers and what they are told, masks and pending signals, SA_NODEFER, SA_RESETHAND,
 * SA_RESTART and EINTR, the alternative stack, delivery to processes and to threads, SIGCHLD,
 * SIGPIPE, and default actions.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

static volatile sig_atomic_t seen, depth, deepest;
static siginfo_t last;

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	CHECK_OK(sigaction(number, &action, NULL));
}

static void note(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	last = *info;
	seen++;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0)
		;
}

static void what_a_handler_is_told(void)
{
	install(SIGUSR1, note, 0);
	seen = 0;
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(1, seen); /* a signal to oneself has been handled when kill returns */
	CHECK_EQ(SIGUSR1, last.si_signo);
	CHECK_EQ(SI_USER, last.si_code);
	CHECK_EQ(getpid(), last.si_pid);
	CHECK_EQ(getuid(), last.si_uid);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(SI_TKILL, last.si_code);
	CHECK_EQ(2, seen);
	CHECK_OK(kill(getpid(), 0)); /* only asks whether it exists */
	CHECK_EQ(2, seen);
	CHECK_ERR(ESRCH, kill(999999, SIGUSR1));
	CHECK_ERR(EINVAL, kill(getpid(), 65));
	CHECK_ERR(EINVAL, sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
	CHECK_ERR(EINVAL, sigaction(SIGSTOP, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
	CHECK_ERR(EINVAL, sigaction(65, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
	struct sigaction old;
	CHECK_OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_sigaction == note && (old.sa_flags & SA_SIGINFO));
	pid_t parent = getpid(), pid = check_fork();
	if (pid == 0) {
		CHECK_OK(kill(parent, SIGUSR1));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(3, seen);
	CHECK_EQ(pid, last.si_pid);
}

static void masks(void)
{
	sigset_t set, old, pending;

	install(SIGUSR1, note, 0);
	install(SIGUSR2, note, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, &old));
	CHECK(!sigismember(&old, SIGUSR1));
	seen = 0;
	for (int i = 0; i < 3; i++)
		kill(getpid(), SIGUSR1);
	CHECK_EQ(0, seen);
	CHECK_OK(sigpending(&pending));
	CHECK(sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
	kill(getpid(), SIGUSR2);
	CHECK_EQ(1, seen);
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, &old));
	CHECK_EQ(2, seen); /* pending three times, delivered once */
	CHECK(sigismember(&old, SIGUSR1));
	sigpending(&pending);
	CHECK(!sigismember(&pending, SIGUSR1));

	/* the child of fork has the mask, not what was pending */
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	pid_t pid = check_fork();
	if (pid == 0) {
		sigset_t mine;
		sigpending(&mine);
		CHECK(!sigismember(&mine, SIGUSR1));
		sigprocmask(SIG_BLOCK, NULL, &mine);
		CHECK(sigismember(&mine, SIGUSR1));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	struct timespec zero = {0, 0};
	siginfo_t info;
	CHECK_EQ(SIGUSR1, sigtimedwait(&set, &info, &zero)); /* taken without a handler */
	CHECK_EQ(SIGUSR1, info.si_signo);
	CHECK_EQ(2, seen);
	CHECK_ERR(EAGAIN, sigtimedwait(&set, &info, &zero));

	/* sigsuspend: unblocks, waits, and the old mask is back when it returns */
	kill(getpid(), SIGUSR1);
	sigemptyset(&old);
	CHECK_ERR(EINTR, sigsuspend(&old));
	CHECK_EQ(3, seen);
	sigprocmask(SIG_BLOCK, NULL, &old);
	CHECK(sigismember(&old, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void nesting(int number, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (seen++ < 3)
		kill(getpid(), number);
	depth--;
}

static void other_signal_inside(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info, (void)context;
	depth++;
	kill(getpid(), SIGUSR2);
	depth--;
}

static void inner(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info, (void)context;
	deepest = depth;
	seen++;
}

static void nested(void)
{
	seen = depth = deepest = 0;
	install(SIGUSR1, nesting, 0);
	kill(getpid(), SIGUSR1);
	CHECK_EQ(4, seen);
	CHECK_EQ(1, deepest); /* its own signal waits until the handler has returned */
	seen = depth = deepest = 0;
	install(SIGUSR1, nesting, SA_NODEFER);
	kill(getpid(), SIGUSR1);
	CHECK_EQ(4, seen);
	CHECK_EQ(4, deepest);
	seen = depth = 0;
	install(SIGUSR1, other_signal_inside, 0);
	install(SIGUSR2, inner, 0);
	kill(getpid(), SIGUSR1);
	CHECK_EQ(1, seen);
	CHECK_EQ(1, deepest); /* another signal interrupts the handler … */
	struct sigaction action = {.sa_sigaction = other_signal_inside, .sa_flags = SA_SIGINFO};
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, NULL);
	kill(getpid(), SIGUSR1);
	CHECK_EQ(2, seen);
	CHECK_EQ(0, deepest); /* … unless sa_mask holds it back */
	install(SIGUSR1, note, (int)SA_RESETHAND);
	kill(getpid(), SIGUSR1);
	sigaction(SIGUSR1, NULL, &action);
	CHECK(action.sa_handler == SIG_DFL);
}

/* ---- interrupted system calls ---- */

static void *shoot_later(void *target)
{
	sleep_ms(60);
	pthread_kill((pthread_t)target, SIGUSR1);
	return NULL;
}

static void *write_later(void *fd)
{
	sleep_ms(150);
	CHECK_EQ(1, write((int)(intptr_t)fd, "x", 1));
	return NULL;
}

static void restart(void)
{
	pthread_t shooter, writer;
	int pipes[2];
	char byte;

	REQUIRE(pipe(pipes) == 0);
	install(SIGUSR1, note, 0);
	seen = 0;
	REQUIRE(pthread_create(&shooter, NULL, shoot_later, (void *)pthread_self()) == 0);
	CHECK_ERR(EINTR, read(pipes[0], &byte, 1));
	CHECK_EQ(1, seen);
	pthread_join(shooter, NULL);
	install(SIGUSR1, note, SA_RESTART);
	REQUIRE(pthread_create(&shooter, NULL, shoot_later, (void *)pthread_self()) == 0);
	REQUIRE(pthread_create(&writer, NULL, write_later, (void *)(intptr_t)pipes[1]) == 0);
	CHECK_EQ(1, read(pipes[0], &byte, 1));
	CHECK_EQ(2, seen);
	pthread_join(shooter, NULL), pthread_join(writer, NULL);
	REQUIRE(pthread_create(&shooter, NULL, shoot_later, (void *)pthread_self()) == 0);
	struct timespec long_time = {5, 0}, left = {0, 0};
	CHECK_ERR(EINTR, nanosleep(&long_time, &left)); /* never restarted; says what is left */
	CHECK(left.tv_sec >= 3 && left.tv_sec < 5);
	pthread_join(shooter, NULL);
	close(pipes[0]), close(pipes[1]);
}

/* ---- the alternative stack ---- */

static uintptr_t handler_sp;
static stack_t inside;

static void where(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info, (void)context;
	handler_sp = (uintptr_t)__builtin_frame_address(0);
	sigaltstack(NULL, &inside);
	/* changing it while on it is refused */
	stack_t other = {.ss_sp = inside.ss_sp, .ss_size = inside.ss_size};
	if (inside.ss_flags & SS_ONSTACK)
		CHECK_ERR(EPERM, sigaltstack(&other, NULL));
	seen++;
}

static void alternative_stack(void)
{
	stack_t stack = {.ss_size = 64 << 10}, old;

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(sigaltstack(NULL, &old));
	CHECK_EQ(SS_DISABLE, old.ss_flags);
	CHECK_OK(sigaltstack(&stack, NULL));
	CHECK_ERR(ENOMEM, sigaltstack(&(stack_t){.ss_sp = stack.ss_sp, .ss_size = 100}, NULL));
	CHECK_ERR(EINVAL, sigaltstack(&(stack_t){.ss_sp = stack.ss_sp, .ss_size = 65536, .ss_flags = 0x100}, NULL));
	install(SIGUSR1, where, SA_ONSTACK);
	kill(getpid(), SIGUSR1);
	CHECK(handler_sp - (uintptr_t)stack.ss_sp < stack.ss_size);
	CHECK_EQ(SS_ONSTACK, inside.ss_flags);
	install(SIGUSR1, where, 0);
	kill(getpid(), SIGUSR1);
	CHECK(handler_sp - (uintptr_t)stack.ss_sp >= stack.ss_size);
	CHECK_OK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, &old));
	CHECK_EQ((uintptr_t)stack.ss_sp, (uintptr_t)old.ss_sp);
	munmap(stack.ss_sp, stack.ss_size);
}

/* ---- threads ---- */

static __thread int here;

static void mark(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info, (void)context;
	here++;
	__atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
}

static void *target_thread(void *go)
{
	while (!__atomic_load_n((int *)go, __ATOMIC_ACQUIRE))
		sched_yield();
	CHECK_EQ(1, here);
	return NULL;
}

static void *blocked_thread(void *go)
{
	while (!__atomic_load_n((int *)go, __ATOMIC_ACQUIRE))
		sched_yield();
	CHECK_EQ(0, here);
	return NULL;
}

static void to_threads(void)
{
	pthread_t threads[4];
	sigset_t all, old;
	int go = 0;

	install(SIGUSR1, mark, 0);
	seen = 0;
	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&threads[i], NULL, target_thread, &go) == 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(0, pthread_kill(threads[i], SIGUSR1));
	for (int i = 0; i < 3000 && seen < 4; i++)
		sleep_ms(1);
	CHECK_EQ(4, seen);
	CHECK_EQ(0, here);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);

	/* to the process: a thread that does not block it takes it; the others begin with it blocked */
	go = 0, seen = 0, here = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&threads[i], NULL, blocked_thread, &go) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	kill(getpid(), SIGUSR1);
	for (int i = 0; i < 3000 && seen < 1; i++)
		sleep_ms(1);
	CHECK_EQ(1, here);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_ERR(ESRCH, syscall(SYS_tgkill, getpid(), 999999, SIGUSR1));
}

/* ---- children, pipes, defaults ---- */

static void children_and_pipes(void)
{
	int pipes[2];
	pid_t pid;

	install(SIGCHLD, note, 0);
	seen = 0;
	pid = check_fork();
	if (pid == 0)
		_exit(7);
	for (int i = 0; i < 3000 && !seen; i++)
		sleep_ms(1);
	CHECK_EQ(1, seen);
	CHECK_EQ(SIGCHLD, last.si_signo);
	CHECK_EQ(CLD_EXITED, last.si_code);
	CHECK_EQ(pid, last.si_pid);
	CHECK_EQ(7, last.si_status);
	CHECK_STATUS(W_EXIT(7), pid);
	signal(SIGCHLD, SIG_IGN); /* no zombies then */
	pid = check_fork();
	if (pid == 0)
		_exit(8);
	CHECK_ERR(ECHILD, waitpid(pid, NULL, 0));
	signal(SIGCHLD, SIG_DFL);

	REQUIRE(pipe(pipes) == 0);
	close(pipes[0]);
	install(SIGPIPE, note, 0);
	seen = 0;
	CHECK_ERR(EPIPE, write(pipes[1], "x", 1));
	CHECK_EQ(1, seen);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(EPIPE, write(pipes[1], "x", 1));
	signal(SIGPIPE, SIG_DFL);
	pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(0, write(pipes[1], "x", 1));
		_exit(0);
	}
	CHECK_STATUS(SIGPIPE, pid);
	close(pipes[1]);
}

static void defaults(void)
{
	static const int kills[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGABRT, SIGKILL};
	static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH};

	for (size_t i = 0; i < sizeof kills / sizeof *kills; i++) {
		pid_t pid = check_fork();
		if (pid == 0) {
			signal(kills[i], SIG_DFL);
			for (;;)
				pause();
		}
		sleep_ms(5);
		CHECK_OK(kill(pid, kills[i]));
		CHECK_STATUS(kills[i], pid);
	}
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
		signal(ignored[i], SIG_DFL);
		kill(getpid(), ignored[i]);
	}
	pid_t pid = check_fork();
	if (pid == 0)
		abort();
	CHECK_STATUS(SIGABRT, pid);
	pid = check_fork();
	if (pid == 0) /* one that only computes can be killed too */
		for (volatile unsigned long n = 0;; n++)
			;
	sleep_ms(20);
	kill(pid, SIGKILL);
	CHECK_STATUS(SIGKILL, pid);
}

int main(void)
{
	what_a_handler_is_told();
	masks();
	nested();
	restart();
	alternative_stack();
	to_threads();
	children_and_pipes();
	defaults();
	return check_end();
}
