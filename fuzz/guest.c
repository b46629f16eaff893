/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/guest.c: random memory calls at EL0: several processes of several threads,
 * each thread judged by the model of its own space, all of them fighting over
 * what they share.
 *
 *   fuzz [--seconds N] [--seed N] [--processes N] [--threads N] [--testfile PATH]
 *
 * An ordinary Linux program: the model says what Linux's manual pages say, so on
 * Linux it must be clean as well.
 *
 *   own window    exact: every call's result, every page's content and protection; SIGSEGV and
 *                 SIGBUS with their si_code and si_addr (guest_access.c); /proc/self/maps (guest_maps.c)
 *   fork          the child has the same content, goes on with calls of its own on it, and the parent meanwhile
 *                 with its own; then what the child wrote to shared pages is there, and nothing else
 *   fight         one window of all threads of a process, anything may be there, nothing foreign: values carry the
 *                 process's tag
 *   common        shared memory and a shared file of all processes, mapped, unmapped, cut short: values carry its tag
 *                 (both in guest_shared.c)
 *
 * The seed decides what each thread asks for; what comes first between threads it does not.
 * A failure is told with the last calls of its thread, and ends all with status 1.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARENA (UINT64_C(0x1000000000) - 37 * PAGE_BYTES)
#define THREADS_MAX 16u
#define FORK_DEPTH 2u

static struct worker workers[THREADS_MAX];
static struct space children[THREADS_MAX]; /* where a child makes its model, before it takes it over */
static uint64_t seed = 1, end_ns;
static uint32_t processes = 3, threads = 3;
static const char *testfile = "/etc/strata/testfile";
static struct fuzz_machine machine;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- failure --- */

void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

void failed(struct worker *w, const char *what)
{
	static int first;
	char line[500], op[300];

	if (__atomic_exchange_n(&first, 1, __ATOMIC_RELAXED))
		for (;;)
			pause(); /* another thread tells its story and ends us all */
	snprintf(line, sizeof line, "fuzz: seed %lu, process %u thread %u, %u forks deep, after %lu operations: %s\n",
		 (unsigned long)seed, w->process, w->thread, w->depth, (unsigned long)w->space.operations, what);
	say(line);
	for (int i = 60; i >= 0; i--)
		if (space_logged(&w->space, (unsigned)i, op, sizeof op)) {
			snprintf(line, sizeof line, "fuzz:   %s\n", op);
			say(line);
		}
	if (maps_read(w))
		say(w->maps);
	_exit(1);
}

static void __attribute__((noreturn)) fail_space(struct space *s, const char *text) { failed(s->context, text); }

void failf(struct worker *w, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	failed(w, text);
}

/* --- the machine for the model --- */

static long call_space(struct space *s, enum call which, const uint64_t *a)
{
	(void)s;
	return access_call(which, a);
}

static enum access load_space(struct space *s, uint64_t va, uint64_t *value)
{
	return access_load(s->context, va, value);
}

static enum access store_space(struct space *s, uint64_t va, uint64_t value)
{
	return access_store(s->context, va, value);
}

static uint32_t choose_space(struct space *s, uint32_t n) { return n > 1 ? below(s->context, n) : 0; }

/* --- fork --- */

static void step(struct worker *w)
{
	uint32_t k = below(w, 16);

	if (k < 10)
		space_step(&w->space);
	else if (k < 14)
		shared_fight(w);
	else
		shared_common(w);
}

static void __attribute__((noreturn)) in_child(struct worker *w, uint32_t steps);

static void fork_space(struct worker *w)
{
	uint32_t steps = below(w, 60), parent_steps = below(w, 40);
	uint64_t random = w->random ^ (w->forks << 32) ^ UINT64_C(0x9e3779b97f4a7c15);
	struct log *l = log_next(&w->space, LOG_FORK);
	bool outer = !w->space.shared_quiet;
	int status;
	pid_t pid;

	w->forks++;
	pid = fork();
	l->result = pid;
	if (pid < 0)
		failf(w, "fork: %s", strerror(errno));
	if (pid == 0) {
		w->random = random | 1;
		in_child(w, steps);
	}
	w->space.shared_quiet = true;
	for (uint32_t i = 0; i < parent_steps; i++)
		step(w);
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			failf(w, "waitpid: %s", strerror(errno));
	w->space.shared_quiet = !outer;
	if (status)
		failf(w, "a child ends with status %#x", status);
	if (w->depth == 0) {
		struct space *one = &w->space;

		world_sweep(w->space.world, &one, 1);
	}
	space_verify(&w->space);
}

static void in_child(struct worker *w, uint32_t steps)
{
	space_fork(&children[w->thread], &w->space);
	w->space = children[w->thread];
	w->depth++;
	if (below(w, 2))
		space_verify(&w->space);
	for (uint32_t i = 0; i < steps; i++)
		step(w);
	if (w->depth < FORK_DEPTH && below(w, 2))
		fork_space(w);
	if (below(w, 4) == 0)
		maps_check(w);
	space_verify(&w->space);
	_exit(0);
}

/* --- threads and processes --- */

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	return fd;
}

static void set_up(struct worker *w, uint32_t process, uint32_t thread)
{
	struct space *s = &w->space;

	w->process = process;
	w->thread = thread;
	w->random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)process << 40 ^ (uint64_t)thread << 48 ^
		    88172645463325252u;
	s->m = &machine;
	s->context = w;
	s->where = (uint8_t)(process << 4 | thread);
	s->tag = (uint64_t)process << 56 | (uint64_t)thread << 48 | 1;
	s->scratch = (uint64_t)(uintptr_t)w->scratch;
	memset(w->scratch, 1, sizeof w->scratch);
	s->world = mmap(NULL, sizeof *s->world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s->fd[FD_TEST] = open_or_die(testfile, O_RDONLY);
	s->fd[FD_NULL] = open_or_die("/dev/null", O_RDWR);
	s->fd[FD_WRONLY] = open_or_die("/dev/zero", O_WRONLY);
	s->fd[FD_PATH] = open_or_die(testfile, O_PATH);
	s->fd[FD_CLOSED] = 1000;
	s->fd[FD_NEGATIVE] = -1;
	s->fd[FD_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
	if (s->world == MAP_FAILED || s->fd[FD_MEMORY] < 0) {
		perror("fuzz");
		exit(2);
	}
	world_init(s->world);
	if (thread == 0)
		s->brk = s->brk_low = (uint64_t)syscall(SYS_brk, 0);
	space_init(s, ARENA + thread * (uint64_t)(WINDOW_PAGES * PAGE_BYTES));
}

static void *worker_main(void *argument)
{
	struct worker *w = argument;

	while (now_ns() < end_ns) {
		for (unsigned i = 0; i < 64; i++)
			step(w);
		if (below(w, 2) == 0)
			fork_space(w);
		if (below(w, 3) == 0)
			maps_check(w);
		if (below(w, 8) == 0) {
			struct space *one = &w->space;

			world_sweep(w->space.world, &one, 1);
			space_verify(&w->space);
		}
	}
	space_verify(&w->space);
	maps_check(w);
	return NULL;
}

static int process_main(uint32_t process)
{
	pthread_t thread[THREADS_MAX];
	uint64_t operations = 0, fights = 0, forks = 0, looks = 0, faults = 0;

	for (uint32_t i = 0; i < threads; i++)
		set_up(&workers[i], process, i);
	for (uint32_t i = 1; i < threads; i++)
		if (pthread_create(&thread[i], NULL, worker_main, &workers[i]))
			failed(&workers[0], "pthread_create failed");
	worker_main(&workers[0]);
	for (uint32_t i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t i = 0; i < threads; i++) {
		operations += workers[i].space.operations;
		fights += workers[i].fights;
		forks += workers[i].forks;
		looks += workers[i].looks;
		faults += workers[i].faults;
	}
	char line[200];
	snprintf(line, sizeof line,
		 "fuzz: process %u: %lu operations, %lu fights, %lu forks, %lu faults, %lu looks at maps\n", process,
		 operations, fights, forks, faults, looks);
	say(line);
	return 0;
}

static uint64_t number(const char *name, const char *text, uint64_t low, uint64_t high)
{
	char *after;
	unsigned long n = strtoul(text, &after, 0);

	if (!*text || *after || n < low || n > high) {
		fprintf(stderr, "fuzz: %s %s is not a number from %lu to %lu\n", name, text, low, high);
		exit(2);
	}
	return n;
}

static void learn_machine(void)
{
	machine = (struct fuzz_machine){.call = call_space,
					.load = load_space,
					.store = store_space,
					.look = maps_look,
					.choose = choose_space,
					.fail = fail_space,
					.low = 0x10000};
#ifdef __aarch64__
	machine.high = UINT64_C(1) << 48;
#else
	machine.high = UINT64_C(0x7ffffffff000);
#endif
	machine.strata = access("/proc/frames", R_OK) == 0;
}

int main(int argc, char **argv)
{
	pid_t child[16];
	uint64_t seconds = 10;
	int bad = 0;

	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--seconds")) {
			seconds = number(argv[i], value, 1, 1000000);
		} else if (!strcmp(argv[i], "--seed")) {
			seed = number(argv[i], value, 0, UINT64_MAX);
		} else if (!strcmp(argv[i], "--processes")) {
			processes = (uint32_t)number(argv[i], value, 1, 15);
		} else if (!strcmp(argv[i], "--threads")) {
			threads = (uint32_t)number(argv[i], value, 1, THREADS_MAX);
		} else if (!strcmp(argv[i], "--testfile") && *value) {
			testfile = value;
		} else {
			fprintf(stderr, "usage: fuzz [--seconds N] [--seed N] [--processes N] [--threads N] "
					"[--testfile PATH]\n");
			return 2;
		}
	}
	printf("fuzz: seed %lu, %u processes of %u threads, %lu s\n", seed, processes, threads, seconds);
	fflush(stdout);
	learn_machine();
	access_install();
	end_ns = now_ns() + seconds * 1000000000u;
	if (!shared_open()) {
		perror("fuzz");
		return 2;
	}
	for (uint32_t i = 0; i < processes; i++) {
		child[i] = fork();
		if (child[i] < 0) {
			perror("fuzz: fork");
			return 2;
		}
		if (child[i] == 0)
			_exit(process_main(i + 1));
	}
	for (uint32_t i = 0; i < processes && !bad; i++) {
		int status;

		if (wait(&status) < 0)
			bad = 1;
		else if (status)
			bad = 1, printf("fuzz: a process ends with status %#x\n", status);
	}
	for (uint32_t i = 0; i < processes && bad; i++)
		kill(child[i], SIGKILL); /* one that has been waited for is gone: no harm */
	printf(bad ? "fuzz: failed; seed %lu\n" : "fuzz: clean; seed %lu\n", seed);
	return bad;
}
