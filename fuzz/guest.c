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
 *                 SIGBUS with their si_code and si_addr; /proc/self/maps
 *   fork          the child has the same content, goes on with calls of its own on it, and the parent meanwhile
 *                 with its own; then what the child wrote to shared pages is there, and nothing else
 *   fight         one window of all threads of a process, anything may be there, nothing foreign: values carry the
 *                 process's tag
 *   common        shared memory and a shared file of all processes, mapped, unmapped, cut short: values carry its tag
 *
 * The seed decides what each thread asks for; what comes first between threads it does not.
 * A failure is told with the last calls of its thread, and ends all with status 1.
 */
#define _GNU_SOURCE
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
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
#define FIGHT UINT64_C(0x1100000000)
#define COMMON UINT64_C(0x1200000000) /* shared memory */
#define COMMON_FILE UINT64_C(0x1300000000)
#define FIGHT_PAGES 24u
#define COMMON_PAGES 16u
#define THREADS_MAX 16u
#define FORK_DEPTH 2u
#define MAPS_BYTES 262144u

/* Written values: who may be seen where. */
#define FIGHT_TAG UINT64_C(0xf1)
#define COMMON_TAG UINT64_C(0xc0)

struct worker {
	struct space space;
	uint32_t process, thread;
	unsigned depth;
	uint64_t random;
	uint64_t fights, forks, looks, faults;
	char scratch[SCRATCH_PAGES * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	char maps[MAPS_BYTES];
};

static struct worker workers[THREADS_MAX];
static struct space children[THREADS_MAX]; /* where a child makes its model, before it takes it over */
static uint64_t seed = 1, end_ns;
static uint32_t processes = 3, threads = 3;
static const char *testfile = "/etc/strata/testfile";
static int common_file;
static struct fuzz_machine machine;
static __thread struct worker *self;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t below(struct worker *w, uint32_t n)
{
	w->random ^= w->random << 13; /* xorshift64 */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 16) % n);
}

/* --- failure --- */

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

static bool read_maps(struct worker *w);

static void __attribute__((noreturn)) failed(struct worker *w, const char *what)
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
	if (read_maps(w))
		say(w->maps);
	_exit(1);
}

static void __attribute__((noreturn)) fail_space(struct space *s, const char *text) { failed(s->context, text); }

static void __attribute__((noreturn, format(printf, 2, 3))) failf(struct worker *w, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	failed(w, text);
}

/* --- accesses --- */

static __thread sigjmp_buf back;
static __thread volatile int armed;
static __thread int caught_signal, caught_code;
static __thread uint64_t caught_address;

static void caught(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!armed) {
		char line[120];

		snprintf(line, sizeof line, "fuzz: signal %d code %d at %p that nobody asked for\n", number,
			 info->si_code, info->si_addr);
		say(line);
		_exit(1);
	}
	caught_signal = number;
	caught_code = info->si_code;
	caught_address = (uint64_t)(uintptr_t)info->si_addr;
	armed = 0;
	siglongjmp(back, 1);
}

static enum access judge_fault(uint64_t va)
{
	self->faults++;
	if (caught_address != va)
		return ACCESS_ODD;
	if (caught_signal == SIGSEGV && caught_code == SEGV_MAPERR)
		return ACCESS_MAPERR;
	if (caught_signal == SIGSEGV && caught_code == SEGV_ACCERR)
		return ACCESS_ACCERR;
	return caught_signal == SIGBUS && caught_code == BUS_ADRERR ? ACCESS_BUS : ACCESS_ODD;
}

static enum access try_load(uint64_t va, uint64_t *value)
{
	if (sigsetjmp(back, 0))
		return judge_fault(va);
	armed = 1;
	*value = *(volatile uint64_t *)(uintptr_t)va;
	armed = 0;
	return ACCESS_OK;
}

static enum access try_store(uint64_t va, uint64_t value)
{
	if (sigsetjmp(back, 0))
		return judge_fault(va);
	armed = 1;
	*(volatile uint64_t *)(uintptr_t)va = value;
	armed = 0;
	return ACCESS_OK;
}

/* --- the machine for the model --- */

static long raw(enum call which, const uint64_t *a)
{
	static const long number[CALLS] = {
		[CALL_MMAP] = SYS_mmap,       [CALL_MUNMAP] = SYS_munmap,     [CALL_MPROTECT] = SYS_mprotect,
		[CALL_MADVISE] = SYS_madvise, [CALL_MREMAP] = SYS_mremap,     [CALL_MINCORE] = SYS_mincore,
		[CALL_MSYNC] = SYS_msync,     [CALL_MLOCK] = SYS_mlock,       [CALL_MUNLOCK] = SYS_munlock,
		[CALL_MLOCK2] = SYS_mlock2,   [CALL_MLOCKALL] = SYS_mlockall, [CALL_BRK] = SYS_brk,
		[CALL_PREAD] = SYS_pread64,   [CALL_PWRITE] = SYS_pwrite64,   [CALL_FTRUNCATE] = SYS_ftruncate};
	long got = syscall(number[which], a[0], a[1], a[2], a[3], a[4], a[5]);

	return got == -1 ? -errno : got;
}

static long call_space(struct space *s, enum call which, const uint64_t *a)
{
	(void)s;
	return raw(which, a);
}

static enum access load_space(struct space *s, uint64_t va, uint64_t *value)
{
	(void)s;
	return try_load(va, value);
}

static enum access store_space(struct space *s, uint64_t va, uint64_t value)
{
	(void)s;
	return try_store(va, value);
}

static uint32_t choose_space(struct space *s, uint32_t n) { return n > 1 ? below(s->context, n) : 0; }

/* All of /proc/self/maps as text; false: it did not fit, or is not there. */
static bool read_maps(struct worker *w)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, w->maps + have, MAPS_BYTES - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	w->maps[have] = 0;
	return n == 0 && have < MAPS_BYTES - 1;
}

struct line {
	uint64_t start, end;
	unsigned prot;
	bool shared;
};

/* The next line of maps. False: no more. */
static bool next_line(struct worker *w, const char **at, struct line *l)
{
	char *after;

	if (!**at)
		return false;
	l->start = strtoul(*at, &after, 16);
	l->end = *after == '-' ? strtoul(after + 1, &after, 16) : 0;
	if (l->end <= l->start || *after != ' ')
		failf(w, "/proc/self/maps: no line: %.60s", *at);
	l->prot = (after[1] == 'r' ? R : 0) | (after[2] == 'w' ? W : 0) | (after[3] == 'x' ? X : 0);
	l->shared = after[4] == 's';
	*at = strchr(after, '\n');
	*at = *at ? *at + 1 : "";
	return true;
}

static bool look_space(struct space *s, uint64_t va, unsigned *prot, bool *shared)
{
	struct worker *w = s->context;
	const char *at = w->maps;
	struct line l;

	if (!read_maps(w))
		failed(w, "/proc/self/maps cannot be read");
	while (next_line(w, &at, &l))
		if (va >= l.start && va < l.end) {
			*prot = l.prot;
			*shared = l.shared;
			return true;
		}
	return false;
}

/* Every known page against /proc/self/maps. Entries of others may change while it is read: only ours count. */
static void check_maps(struct worker *w)
{
	struct space *s = &w->space;
	uint64_t mapped = 0, found = 0;
	const char *at = w->maps;
	struct line l;

	if (!read_maps(w))
		failed(w, "/proc/self/maps cannot be read");
	w->looks++;
	for (unsigned a = 0; a < AREAS; a++)
		for (uint32_t k = 0; k < s->area[a].pages; k++)
			mapped += s->area[a].page[k].known && s->area[a].page[k].mapped;
	for (uint64_t last = 0; next_line(w, &at, &l); last = l.end)
		for (uint64_t va = l.start > last ? l.start : last; va < l.end && l.end - l.start < UINT64_C(1) << 32;
		     va += PAGE_BYTES) {
			const struct page *p = page_of(s, va);

			if (!p)
				continue;
			if (!p->mapped || p->prot != l.prot || p->shared != l.shared)
				failf(w, "/proc/self/maps says %#lx is %x%s; it is %x%s%s", (unsigned long)va, l.prot,
				      l.shared ? "s" : "p", p->prot, p->shared ? "s" : "p",
				      p->mapped ? "" : ", a hole");
			found++;
		}
	if (found != mapped)
		failf(w, "/proc/self/maps has %lu of %lu pages", (unsigned long)found, (unsigned long)mapped);
}

/* --- what all threads fight over --- */

static void expect(struct worker *w, const char *what, long got, const int *allowed, unsigned n)
{
	if (got >= 0)
		return;
	for (unsigned i = 0; i < n; i++)
		if (got == -allowed[i])
			return;
	failf(w, "%s in the window of all gives %ld", what, got);
}

#define EXPECT(what, got, ...) \
	expect(w, what, got, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void fight_access(struct worker *w, uint64_t va, uint64_t tag, bool may_end)
{
	uint64_t value = 0;
	enum access a;

	if (below(w, 2)) {
		a = try_store(va, tag << 48 | below(w, 1u << 24));
	} else {
		a = try_load(va, &value);
		if (a == ACCESS_OK && value && value >> 48 != tag)
			failf(w, "%#lx, which all fight over, holds %#lx", (unsigned long)va, (unsigned long)value);
	}
	if (a == ACCESS_ODD || (a == ACCESS_BUS && !may_end))
		failf(w, "access to %#lx ends in signal %d code %d at %#lx", (unsigned long)va, caught_signal,
		      caught_code, (unsigned long)caught_address);
}

static void fight(struct worker *w)
{
	uint64_t first = below(w, FIGHT_PAGES), n = 1 + below(w, FIGHT_PAGES - (uint32_t)first),
		 va = FIGHT + first * PAGE_BYTES;
	uint64_t size = n * PAGE_BYTES, to = FIGHT + below(w, FIGHT_PAGES) * (uint64_t)PAGE_BYTES;
	/* Children may keep what they have from the parent, and see it; the parent never sees theirs. */
	uint64_t tag = FIGHT_TAG << 8 | w->process;
	uint32_t flags =
		MAP_PRIVATE | MAP_ANONYMOUS | (below(w, 16) ? 0 : MAP_GROWSDOWN) | (below(w, 8) ? 0 : MAP_POPULATE);
	static const uint8_t prots[] = {R | W, R | W, R | W, R, 0, R | X};

	w->fights++;
	switch (below(w, 20)) {
	case 0:
	case 1:
	case 2:
		EXPECT("mmap",
		       raw(CALL_MMAP, (uint64_t[6]){va, size, prots[below(w, 6)],
						    flags | (below(w, 3) ? MAP_FIXED : 0x100000), UINT64_MAX, 0}),
		       EEXIST);
		break;
	case 3:
		EXPECT("munmap", raw(CALL_MUNMAP, (uint64_t[6]){va, size}), 0);
		break;
	case 4:
	case 5:
		EXPECT("mprotect", raw(CALL_MPROTECT, (uint64_t[6]){va, size, prots[below(w, 6)]}), ENOMEM);
		break;
	case 6:
	case 7:
		EXPECT("madvise",
		       raw(CALL_MADVISE, (uint64_t[6]){va, size, (uint64_t[]){4, 4, 8, 10, 11, 22, 23}[below(w, 7)]}),
		       ENOMEM, EINVAL, EFAULT);
		break;
	case 8:
		EXPECT("mremap",
		       raw(CALL_MREMAP,
			   (uint64_t[6]){va, PAGE_BYTES * (1 + below(w, 3)), PAGE_BYTES * (1 + below(w, 3)), 3, to}),
		       EFAULT, EINVAL, ENOMEM);
		break;
	case 9:
		EXPECT("mlock", raw(below(w, 2) ? CALL_MLOCK : CALL_MUNLOCK, (uint64_t[6]){va, size}), ENOMEM, EAGAIN,
		       EPERM);
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			fight_access(w, FIGHT + below(w, FIGHT_PAGES) * (uint64_t)PAGE_BYTES + 8 * below(w, 4), tag,
				     false);
	}
}

static void common(struct worker *w)
{
	bool file = below(w, 2);
	uint64_t base = file ? COMMON_FILE : COMMON, page = below(w, COMMON_PAGES), va = base + page * PAGE_BYTES;
	uint64_t size = (1 + below(w, COMMON_PAGES - (uint32_t)page)) * (uint64_t)PAGE_BYTES;
	uint64_t tag = COMMON_TAG << 8 | file;

	w->fights++;
	switch (below(w, 16)) {
	case 0:
		if (file)
			EXPECT("mmap",
			       raw(CALL_MMAP, (uint64_t[6]){va, size, below(w, 4) ? R | W : R,
							    MAP_FIXED | (below(w, 4) ? MAP_SHARED : MAP_PRIVATE),
							    (uint64_t)common_file, page * PAGE_BYTES}),
			       0);
		break;
	case 1:
		if (file)
			EXPECT("ftruncate",
			       raw(CALL_FTRUNCATE,
				   (uint64_t[6]){(uint64_t)common_file, below(w, COMMON_PAGES + 1) * PAGE_BYTES}),
			       0);
		break;
	case 2:
		EXPECT("madvise", raw(CALL_MADVISE, (uint64_t[6]){va, size, 4}), ENOMEM, EINVAL);
		break;
	case 3:
		EXPECT("mprotect", raw(CALL_MPROTECT, (uint64_t[6]){va, size, below(w, 4) ? R | W : R}), ENOMEM);
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			fight_access(w, base + below(w, COMMON_PAGES) * (uint64_t)PAGE_BYTES + 8 * below(w, 4), tag,
				     file);
	}
}

/* --- fork --- */

static void step(struct worker *w)
{
	uint32_t k = below(w, 16);

	if (k < 10)
		space_step(&w->space);
	else if (k < 14)
		fight(w);
	else
		common(w);
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
		check_maps(w);
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

	self = w;
	while (now_ns() < end_ns) {
		for (unsigned i = 0; i < 64; i++)
			step(w);
		if (below(w, 2) == 0)
			fork_space(w);
		if (below(w, 3) == 0)
			check_maps(w);
		if (below(w, 8) == 0) {
			struct space *one = &w->space;

			world_sweep(w->space.world, &one, 1);
			space_verify(&w->space);
		}
	}
	space_verify(&w->space);
	check_maps(w);
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

static void install_handlers(void)
{
	struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL};

	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], &action, NULL);
}

static void learn_machine(void)
{
	machine = (struct fuzz_machine){.call = call_space,
					.load = load_space,
					.store = store_space,
					.look = look_space,
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
	install_handlers();
	end_ns = now_ns() + seconds * 1000000000u;
	common_file = memfd_create("common", MFD_CLOEXEC);
	if (common_file < 0 || ftruncate(common_file, COMMON_PAGES * PAGE_BYTES) ||
	    mmap((void *)COMMON, COMMON_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
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
