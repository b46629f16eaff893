/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairs of operations that ought to commute, on all CPUs at once, each on memory of its own, between marks for who
 * counts from outside which cache lines the CPUs take from each other (tools/plugin/lines.c, tools/conflicts). Runs
 * alike on Strata and Linux; it measures nothing itself, but says what each region holds:
 *
 *   JSON {"bench":"conflicts","pair":"fault/protect","as":"threads","role":"fault","unit":"page","region":7,
 *         "operations":4096,"must":"most","limit":0.02}
 *
 * must and limit: moves of the kernel's lines an operation that are allowed ("most"), expected at least ("least"), or
 * not judged ("none"); or moves of the program's own lines that must be exactly so many ("user").
 *
 * A pair has two roles. Every other CPU plays the first, the rest the second; where a process has one of something
 * (its break), one CPU alone plays the second. A turn is: prepare, begin the region, operate, end it. All
 * begin together after two turns that are not counted and go on until the last has done ROUNDS, so that none is ever
 * alone; none leaves before all have ended.
 *
 *   conflicts [--rounds N] [--pair NAME,…] [--plant]
 *
 * NAME: pairs with that in "pair as" (all). --plant: the windows of all tasks are one piece of shared memory, so that
 * what ought to commute meets: a test of who counts.
 */
#define _GNU_SOURCE
#include "lib/machine.h"
#include "lib/marker.h"
#include "lib/team.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE MACHINE_PAGE
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define WINDOW (2UL << 20) /* what one leaf table maps */
#define PIECE (64 * PAGE)
#define WARM 64 /* turns until as much waits for its grace period as will */
#define FIRST_MARK (MARKER_REGIONS - 1) /* begins and ends at once: from here on lines are followed */

static void fail(const char *what)
{
	fprintf(stderr, "conflicts: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- operations --- */

/* What two tasks pass: three lines. */
struct passed {
	struct {
		_Atomic unsigned word;
		char pad[64 - sizeof(unsigned)];
	} turn, said[2];
};

/* A task's own. */
struct self {
	volatile char *window; /* touched; nobody else has memory in its 2 MiB */
	uintptr_t break_base;
	const int *pipe;
	struct passed *passed; /* of a pair of tasks */
	unsigned me, passes;   /* which of the pair; how often so far */
};

/* Each returns how many operations it has done. */
struct operation {
	const char *name, *unit;
	void (*prepare)(struct self *s); /* not counted; or NULL */
	unsigned (*operate)(struct self *s);
	const char *must;
	double limit;
	bool together; /* a turn of one task needs one of another's: all do as many */
};

/* Spins: other tasks have CPUs of their own. The hint lets QEMU run the next. */
static void relax(void) { __asm__ volatile("yield"); }

static void touch(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
}

static unsigned compute(struct self *s)
{
	for (unsigned i = 0; i < 4; i++)
		touch(s->window, WINDOW);
	return 4 * WINDOW / PAGE;
}

static void discard(struct self *s)
{
	if (madvise((void *)s->window, WINDOW, MADV_DONTNEED) != 0)
		fail("madvise");
}

static unsigned fault(struct self *s)
{
	touch(s->window, WINDOW);
	return WINDOW / PAGE;
}

static unsigned map_touch_unmap(struct self *s)
{
	const unsigned n = 8;

	(void)s;
	for (unsigned i = 0; i < n; i++) {
		char *p = mmap(NULL, PIECE, RW, ANON, -1, 0);

		if (p == MAP_FAILED)
			fail("mmap");
		touch(p, PIECE);
		if (munmap(p, PIECE) != 0)
			fail("munmap");
	}
	return n * PIECE / PAGE;
}

static unsigned protect(struct self *s)
{
	char *page = (char *)s->window + 16 * PAGE;
	const unsigned n = 64;

	for (unsigned i = 0; i < n; i++)
		if (mprotect(page, PAGE, PROT_READ) != 0 || mprotect(page, PAGE, RW) != 0)
			fail("mprotect");
	return 2 * n;
}

/* The window is there again, and touched. Nobody else maps memory meanwhile where the kernel likes. */
static void fill(struct self *s)
{
	if (mmap((void *)s->window, WINDOW, RW, ANON | MAP_FIXED, -1, 0) != s->window)
		fail("mmap");
	touch(s->window, WINDOW);
}

static unsigned unmap(struct self *s)
{
	for (size_t i = 0; i < WINDOW; i += PIECE)
		if (munmap((char *)s->window + i, PIECE) != 0)
			fail("munmap");
	return WINDOW / PAGE;
}

static unsigned move_break(struct self *s)
{
	const unsigned n = 64;

	for (unsigned i = 0; i < n; i++) {
		if ((uintptr_t)syscall(SYS_brk, s->break_base + PAGE) < s->break_base + PAGE)
			fail("brk");
		*(volatile char *)s->break_base = 1;
		if ((uintptr_t)syscall(SYS_brk, s->break_base) < s->break_base)
			fail("brk");
	}
	return n;
}

static unsigned fork_wait(struct self *s)
{
	const unsigned n = 4;

	(void)s;
	for (unsigned i = 0; i < n; i++) {
		int status;
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0)
			_exit(0);
		if (waitpid(pid, &status, 0) != pid || status != 0)
			fail("a child");
	}
	return n;
}

/* Who reads has written before: nobody ever waits. */
static unsigned pass_byte(struct self *s)
{
	const unsigned n = 64;
	char byte = 0;

	for (unsigned i = 0; i < n; i++)
		if (write(s->pipe[1], &byte, 1) != 1 || read(s->pipe[0], &byte, 1) != 1)
			fail("the pipe");
	return n;
}

static void wait_until(_Atomic unsigned *word, unsigned is)
{
	while (atomic_load(word) != is)
		relax();
	(void)atomic_load(word); /* whoever has a copy reads for nothing */
}

/*
 * Four moves, however two tasks interleave. They hand a word to each other: whoever waits fetches it after the other
 * has written it, and then takes it from the other, who still has a copy, by writing. Then each says something in a
 * line that only it writes: it takes back the copy that the other has, and the other fetches it again.
 */
static unsigned pass_word(struct self *s)
{
	const unsigned n = 64;

	for (unsigned i = 0; i < n; i++) {
		wait_until(&s->passed->turn.word, s->me);
		atomic_store(&s->passed->turn.word, !s->me);
		s->passes++;
		if (s->me == 1)
			wait_until(&s->passed->said[0].word, s->passes);
		atomic_store(&s->passed->said[s->me].word, s->passes);
		if (s->me == 0)
			wait_until(&s->passed->said[1].word, s->passes);
	}
	return n;
}

static const struct operation COMPUTE = {"compute", "page", NULL, compute, "most", 0.001, false},
			      PASS = {"pass", "word", NULL, pass_word, "user", 4, true},
			      PIPE = {"pipe", "byte", NULL, pass_byte, "least", 1, false},
			      FAULT = {"fault", "page", discard, fault, "most", 0.02, false},
			      MAP = {"map", "page", NULL, map_touch_unmap, "most", 0.1, false},
			      PROTECT = {"protect", "call", NULL, protect, "most", 0.1, false},
			      UNMAP = {"unmap", "page", fill, unmap, "most", 0.1, false},
			      BREAK = {"brk", "page", NULL, move_break, "most", 0.1, false},
			      FORK = {"fork", "fork", NULL, fork_wait, "none", 0, false};

enum { PROCESSES = 1, THREADS = 2, BOTH = 3 };

static const struct pair {
	const struct operation *role[2];
	unsigned as;
	bool single; /* one task alone plays the second role when they are threads */
} pairs[] = {
	{{&COMPUTE, &COMPUTE}, BOTH, false}, {{&PASS, &PASS}, BOTH, false},   {{&PIPE, &PIPE}, BOTH, false},
	{{&FAULT, &FAULT}, BOTH, false},     {{&MAP, &MAP}, BOTH, false},     {{&PROTECT, &PROTECT}, BOTH, false},
	{{&FAULT, &PROTECT}, BOTH, false},   {{&FAULT, &UNMAP}, BOTH, false}, {{&FAULT, &BREAK}, BOTH, true},
	{{&FAULT, &FORK}, PROCESSES, false},
};
#define PAIRS (sizeof pairs / sizeof *pairs)
_Static_assert(PAIRS * 4 <= FIRST_MARK, "a region for each role, as processes and as threads");

/* A mark's number is part of the instruction. */
#define FOUR(X, n) X(n) X(n + 1) X(n + 2) X(n + 3)
#define SIXTEEN(X, n) FOUR(X, n) FOUR(X, n + 4) FOUR(X, n + 8) FOUR(X, n + 12)
#define ALL(X) SIXTEEN(X, 0) SIXTEEN(X, 16) SIXTEEN(X, 32) SIXTEEN(X, 48)
_Static_assert(MARKER_REGIONS == 64, "ALL");

static void begin_region(unsigned region)
{
#define CASE(n) \
	case n: \
		marker_begin(n); \
		break;
	switch (region) {
		ALL(CASE)
	}
#undef CASE
}

static void end_region(unsigned region)
{
#define CASE(n) \
	case n: \
		marker_end(n); \
		break;
	switch (region) {
		ALL(CASE)
	}
#undef CASE
}

/* --- tasks --- */

/* Shared by all tasks of a team, threads or processes. */
struct common {
	_Atomic unsigned arrived[2], finished; /* tasks: at the barriers; with ROUNDS behind them */
	struct {
		unsigned long operations;
		char pad[64 - sizeof(unsigned long)];
	} done[MACHINE_CPUS_MAX];
	struct passed passed[MACHINE_CPUS_MAX / 2];
};

static struct common *common;
static unsigned long rounds = 4;
static char *planted; /* everybody's window */
static int shared_pipe[2];

/* What a team is started with. */
struct play {
	const struct pair *pair;
	unsigned region; /* the first role's; the second has the next */
	bool threads;
	unsigned tasks;
};

static unsigned role_of(const struct play *p, size_t task)
{
	if (p->pair->role[0] == p->pair->role[1])
		return 0;
	if (p->pair->single && p->threads)
		return task == 1;
	return task % 2;
}

static void barrier(unsigned which, unsigned tasks)
{
	atomic_fetch_add(&common->arrived[which], 1);
	while (atomic_load(&common->arrived[which]) < tasks)
		relax();
}

/* 2 MiB for one leaf table, in a place of 4 that holds nothing else. */
#define PLACE (2 * WINDOW)

static volatile char *map_window(char **place)
{
	char *p = planted ? planted : mmap(NULL, PLACE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	*place = p;
	if (planted)
		return p;
	p = (char *)(((uintptr_t)p + WINDOW - 1) & ~(WINDOW - 1));
	if (mmap(p, WINDOW, RW, ANON | MAP_FIXED, -1, 0) != p)
		fail("mmap");
	touch(p, WINDOW);
	return p;
}

static void play(size_t task, void *argument)
{
	const struct play *p = argument;
	unsigned role = role_of(p, task), region = p->region + role;
	const struct operation *o = p->pair->role[role];
	char *place;
	struct self self = {map_window(&place), (uintptr_t)syscall(SYS_brk, 0),
			    shared_pipe,        &common->passed[task / 2],
			    task % 2,           0};

	self.break_base = (self.break_base + PAGE - 1) & ~(PAGE - 1);
	for (unsigned long round = 1; o->together ? round <= WARM + rounds : atomic_load(&common->finished) < p->tasks;
	     round++) {
		unsigned n;

		if (o->prepare)
			o->prepare(&self);
		if (round == WARM + 1)
			barrier(0, p->tasks);
		if (round > WARM)
			begin_region(region);
		n = o->operate(&self);
		if (round > WARM) {
			end_region(region);
			common->done[task].operations += n;
		}
		if (round == WARM + rounds)
			atomic_fetch_add(&common->finished, 1);
	}
	barrier(1, p->tasks);
	if (!planted && munmap(place, PLACE) != 0)
		fail("munmap");
}

static void say(const struct play *p, unsigned role)
{
	const struct operation *o = p->pair->role[role];
	unsigned long n = 0;

	for (unsigned task = 0; task < p->tasks; task++)
		if (role_of(p, task) == role)
			n += common->done[task].operations;
	if (!n) /* one CPU plays but one role */
		return;
	printf("JSON "
	       "{\"bench\":\"conflicts\",\"pair\":\"%s/"
	       "%s\",\"as\":\"%s\",\"role\":\"%s\",\"unit\":\"%s\",\"region\":%u,"
	       "\"operations\":%lu,\"must\":\"%s\",\"limit\":%g}\n",
	       p->pair->role[0]->name, p->pair->role[1]->name, p->threads ? "threads" : "processes", o->name, o->unit,
	       p->region + role, n, o->must, o->limit);
	fflush(stdout);
}

static void run(const struct machine *m, const struct pair *pair, unsigned region, bool threads)
{
	struct play p = {pair, region, threads, (unsigned)m->cpus};

	memset(common, 0, sizeof *common);
	if (!(threads ? team_threads : team_processes)(m, m->cpus, play, &p))
		exit(1);
	say(&p, 0);
	if (pair->role[0] != pair->role[1])
		say(&p, 1);
}

/* Whether one of the words, separated by commas, is in the name; any is, of none. */
static bool is_wanted(const char *name, const char *words)
{
	char copy[256], *rest = copy, *word;

	snprintf(copy, sizeof copy, "%s", words);
	while ((word = strsep(&rest, ",")))
		if (strstr(name, word))
			return true;
	return false;
}

static void usage(void)
{
	fprintf(stderr, "usage: conflicts [--rounds N] [--pair NAME,...] [--plant]\n");
	exit(2);
}

static void read_arguments(int argc, char **argv, const char **wanted, bool *plant)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--plant") == 0)
			*plant = true;
		else if (i + 1 == argc)
			usage();
		else if (strcmp(argv[i], "--pair") == 0)
			*wanted = argv[++i];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = strtoul(argv[++i], NULL, 10);
		else
			usage();
	}
	if (rounds < 1 || rounds > 1000000)
		usage();
}

int main(int argc, char **argv)
{
	const char *wanted = "";
	struct machine m;
	char name[64];
	unsigned ran = 0;
	bool plant = false;

	read_arguments(argc, argv, &wanted, &plant);
	if (!machine_look(&m))
		fail("the CPUs");
	common = mmap(NULL, sizeof *common, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED || pipe(shared_pipe) != 0)
		fail("what all share");
	if (plant && (planted = mmap(NULL, WINDOW, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED)
		fail("mmap");
	memset(common, 0, sizeof *common);
	begin_region(FIRST_MARK);
	end_region(FIRST_MARK);
	for (size_t i = 0; i < PAIRS; i++)
		for (unsigned threads = 0; threads < 2; threads++) {
			const struct pair *p = &pairs[i];

			snprintf(name, sizeof name, "%s/%s %s", p->role[0]->name, p->role[1]->name,
				 threads ? "threads" : "processes");
			if (!(p->as & (threads ? THREADS : PROCESSES)) || !is_wanted(name, wanted))
				continue;
			if (p->role[0]->together && m.cpus % 2) /* one would have nobody */
				continue;
			run(&m, p, (unsigned)(i * 4 + threads * 2), threads);
			ran++;
		}
	if (!ran) {
		fprintf(stderr, "conflicts: no pair '%s'\n", wanted);
		return 2;
	}
	return 0;
}
