/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * will-it-scale's loops, written anew: how many operations of memory management a second, by one
 * task and by several, as processes and as threads.
 *
 * A loop does its operation over and over and after each adds to its own counter, alone on its cache
 * lines in memory that all tasks share. The parent lets the tasks run in, reads all counters, sleeps,
 * reads them again: the difference over the time that really passed is the figure, so neither starting
 * nor ending is measured. Tasks are pinned, task n to the n-th CPU.
 *
 *   loop          one operation (what is counted)
 *   page_fault1   first write to a page of private anonymous memory; a window is mapped, touched, unmapped
 *   page_fault2   first write to a page of a file mapped privately: read, copied
 *   page_fault3   first access to a page of a file mapped shared (a write where the file can be written,
 *                 else a read; the JSON line says which)
 *   mmap1         mmap and munmap of 128 MiB of anonymous memory, untouched
 *   mmap2         mmap and munmap of the file, untouched
 *   brk1          the break one page up, and down again
 *   malloc        malloc of 16 to 4,111 bytes, a byte written, and free, 64 blocks at a time
 *   fork          fork, exit of the child, wait
 *   fork_touch    the same, and the child writes to 256 pages that it shares with its parent
 *   mprotect      one page of the own, touched window made read-only and writable again
 *   discard       16 pages of private anonymous memory written, and given up by MADV_DONTNEED
 *
 * In threads, brk1 moves one break for all of them; what each call returns depends on the others.
 *
 *   will_it_scale [--test NAME] [--tasks N] [--threads | --processes] [--ms N] [--window MIB] [--file PATH]
 *
 * Without options: every loop, as processes and as threads, with 1, 2, 4 and 8 tasks as far as there are CPUs.
 */
#define _GNU_SOURCE
#include "lib/machine.h"
#include "lib/team.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE MACHINE_PAGE
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RUN_IN_MS 50 /* before the first reading */

/* One line of a task's own, and the lines beside it that a prefetcher may fetch along. */
struct counter {
	_Alignas(256) unsigned long operations;
};

struct options {
	const char *test, *file;
	size_t tasks, window;
	long ms;
	int threads; /* 1 threads, 0 processes, -1 both */
};

/* What the loops need; the same for all tasks, read-only while they run but for the marked. */
struct bench {
	const struct loop *loop;
	struct options options;
	int fd; /* the file */
	int file_prot;
	size_t file_bytes;
	struct counter *counters; /* shared by processes; each entry written by its task */
	int *stop;                /* shared; written by the parent, read by all */
};

struct loop {
	const char *name;
	void (*run)(const struct bench *bench, struct counter *mine);
};

static void fail(const char *what)
{
	fprintf(stderr, "will_it_scale: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int stopped(const struct bench *bench) { return __atomic_load_n(bench->stop, __ATOMIC_RELAXED); }

/* The counter has one writer: a plain load, and a store that readers may see at any time. */
static void count(struct counter *mine) { __atomic_store_n(&mine->operations, mine->operations + 1, __ATOMIC_RELAXED); }

static volatile char *map(size_t bytes, int prot, int flags, int fd)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static void unmap(volatile char *p, size_t bytes)
{
	if (munmap((void *)p, bytes) != 0)
		fail("munmap");
}

/* ---- the loops ---- */

static void page_fault1(const struct bench *bench, struct counter *mine)
{
	while (!stopped(bench)) {
		volatile char *p = map(bench->options.window, RW, ANON, -1);
		for (size_t i = 0; i < bench->options.window && !stopped(bench); i += PAGE) {
			p[i] = 1;
			count(mine);
		}
		unmap(p, bench->options.window);
	}
}

static void page_fault2(const struct bench *bench, struct counter *mine)
{
	while (!stopped(bench)) {
		volatile char *p = map(bench->file_bytes, RW, MAP_PRIVATE, bench->fd);
		for (size_t i = 0; i < bench->file_bytes; i += PAGE) {
			p[i] = 1;
			count(mine);
		}
		unmap(p, bench->file_bytes);
	}
}

static void page_fault3(const struct bench *bench, struct counter *mine)
{
	while (!stopped(bench)) {
		volatile char *p = map(bench->file_bytes, bench->file_prot, MAP_SHARED, bench->fd);
		for (size_t i = 0; i < bench->file_bytes; i += PAGE) {
			char byte;
			/* Writes the byte that is there, so that the file keeps its content. */
			if (bench->file_prot & PROT_WRITE)
				__asm__ volatile("ldrb %w0, [%1]\n\tstrb %w0, [%1]"
						 : "=&r"(byte)
						 : "r"(p + i)
						 : "memory");
			else
				byte = p[i];
			(void)byte;
			count(mine);
		}
		unmap(p, bench->file_bytes);
	}
}

static void mmap1(const struct bench *bench, struct counter *mine)
{
	const size_t bytes = 128UL << 20;

	while (!stopped(bench)) {
		unmap(map(bytes, RW, ANON | MAP_NORESERVE, -1), bytes);
		count(mine);
	}
}

static void mmap2(const struct bench *bench, struct counter *mine)
{
	while (!stopped(bench)) {
		unmap(map(bench->file_bytes, PROT_READ, MAP_PRIVATE, bench->fd), bench->file_bytes);
		count(mine);
	}
}

static void brk1(const struct bench *bench, struct counter *mine)
{
	uintptr_t base = (uintptr_t)syscall(SYS_brk, 0);

	while (!stopped(bench)) {
		if ((uintptr_t)syscall(SYS_brk, base + PAGE) < base || (uintptr_t)syscall(SYS_brk, base) < base)
			fail("brk");
		count(mine);
	}
}

static void malloc1(const struct bench *bench, struct counter *mine)
{
	enum { BLOCKS = 64 };
	volatile char *blocks[BLOCKS];

	for (size_t round = 0; !stopped(bench); round++) {
		for (size_t i = 0; i < BLOCKS; i++) {
			blocks[i] = malloc(16 + (round * 977 + i * 613) % 4096);
			if (!blocks[i])
				fail("malloc");
			blocks[i][0] = 1;
		}
		for (size_t i = 0; i < BLOCKS; i++) {
			free((void *)blocks[i]);
			count(mine);
		}
	}
}

static void fork_and_wait(volatile char *touch, size_t bytes)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		for (size_t i = 0; i < bytes; i += PAGE)
			touch[i] = 2;
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("child of fork");
}

static void fork1(const struct bench *bench, struct counter *mine)
{
	while (!stopped(bench)) {
		fork_and_wait(NULL, 0);
		count(mine);
	}
}

static void fork_touch(const struct bench *bench, struct counter *mine)
{
	const size_t bytes = 256 * PAGE;
	volatile char *p = map(bytes, RW, ANON, -1);

	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
	while (!stopped(bench)) {
		fork_and_wait(p, bytes);
		count(mine);
	}
	unmap(p, bytes);
}

static void mprotect1(const struct bench *bench, struct counter *mine)
{
	const size_t bytes = 64 * PAGE;
	volatile char *p = map(bytes, RW, ANON, -1);

	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
	for (size_t i = 0; !stopped(bench); i = (i + PAGE) % bytes) {
		void *page = (void *)(p + i);
		if (mprotect(page, PAGE, PROT_READ) != 0 || mprotect(page, PAGE, RW) != 0)
			fail("mprotect");
		count(mine);
	}
	unmap(p, bytes);
}

static void discard(const struct bench *bench, struct counter *mine)
{
	const size_t bytes = 16 * PAGE;
	volatile char *p = map(bytes, RW, ANON, -1);

	while (!stopped(bench)) {
		for (size_t i = 0; i < bytes; i += PAGE)
			p[i] = 1;
		if (madvise((void *)p, bytes, MADV_DONTNEED) != 0)
			fail("madvise");
		count(mine);
	}
	unmap(p, bytes);
}

static const struct loop loops[] = {
	{"page_fault1", page_fault1},
	{"page_fault2", page_fault2},
	{"page_fault3", page_fault3},
	{"mmap1", mmap1},
	{"mmap2", mmap2},
	{"brk1", brk1},
	{"malloc", malloc1},
	{"fork", fork1},
	{"fork_touch", fork_touch},
	{"mprotect", mprotect1},
	{"discard", discard},
};
#define LOOPS (sizeof loops / sizeof *loops)

/* ---- measuring ---- */

static void task_body(size_t task, void *argument)
{
	const struct bench *bench = argument;

	bench->loop->run(bench, &bench->counters[task]);
}

static unsigned long read_counters(const struct bench *bench, size_t tasks, unsigned long *each)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < tasks; i++) {
		each[i] = __atomic_load_n(&bench->counters[i].operations, __ATOMIC_RELAXED);
		sum += each[i];
	}
	return sum;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0)
		;
}

/*
 * The tasks run under a child of their own, so that the process that measures has no part in their
 * address space: fork and the loops' maps are as they would be without it.
 * => operations a second, of all tasks; the slowest and fastest task in the last two
 */
static double measure(const struct machine *machine, struct bench *bench, size_t tasks, int threads, double *low,
		      double *high)
{
	static unsigned long before[TEAM_MAX], after[TEAM_MAX];
	unsigned long start, end, operations;
	int status;

	memset(bench->counters, 0, TEAM_MAX * sizeof *bench->counters);
	*bench->stop = 0;
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		bool well = threads ? team_threads(machine, tasks, task_body, bench)
				    : team_processes(machine, tasks, task_body, bench);
		_exit(well ? 0 : 1);
	}
	sleep_ms(RUN_IN_MS);
	start = machine_now();
	operations = read_counters(bench, tasks, before);
	sleep_ms(bench->options.ms);
	end = machine_now();
	operations = read_counters(bench, tasks, after) - operations;
	__atomic_store_n(bench->stop, 1, __ATOMIC_RELAXED);
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "will_it_scale: %s, %zu tasks: ended with status 0x%x\n", bench->loop->name, tasks,
			(unsigned)status);
		_exit(1);
	}
	double seconds = (double)(end - start) / 1e9;
	*low = *high = (double)(after[0] - before[0]) / seconds;
	for (size_t i = 1; i < tasks; i++) {
		double one = (double)(after[i] - before[i]) / seconds;
		*low = one < *low ? one : *low;
		*high = one > *high ? one : *high;
	}
	return (double)operations / seconds;
}

static void run(const struct machine *machine, struct bench *bench, size_t tasks, int threads)
{
	const char *kind = threads ? "threads" : "processes";
	double low, high, rate = measure(machine, bench, tasks, threads, &low, &high);

	printf("%-12s %-10s %5zu %14.0f %14.0f %14.0f\n", bench->loop->name, kind, tasks, rate, low, high);
	printf("JSON {\"program\":\"will_it_scale\",\"test\":\"%s\",\"kind\":\"%s\",\"tasks\":%zu,\"per_second\":%.0f,"
	       "\"slowest\":%.0f,\"fastest\":%.0f,\"ms\":%ld,\"window\":%zu,\"file_bytes\":%zu,\"file_access\":\"%s\"}"
	       "\n",
	       bench->loop->name, kind, tasks, rate, low, high, bench->options.ms, bench->options.window,
	       bench->file_bytes, bench->file_prot & PROT_WRITE ? "write" : "read");
	fflush(stdout);
}

static void usage(void)
{
	fputs("usage: will_it_scale [--test NAME] [--tasks N] [--threads | --processes] [--ms N] [--window MIB] "
	      "[--file PATH]\nNAME:",
	      stderr);
	for (size_t i = 0; i < LOOPS; i++)
		fprintf(stderr, " %s", loops[i].name);
	fputc('\n', stderr);
	exit(2);
}

static long number(const char *text, long low, long high)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < low || value > high) {
		fprintf(stderr, "will_it_scale: %s is not a number from %ld to %ld\n", text, low, high);
		exit(2);
	}
	return value;
}

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"test", required_argument, NULL, 't'}, {"tasks", required_argument, NULL, 'n'},
		{"threads", no_argument, NULL, 'T'},    {"processes", no_argument, NULL, 'P'},
		{"ms", required_argument, NULL, 'm'},   {"window", required_argument, NULL, 'w'},
		{"file", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	struct options options = {.file = "/etc/strata/testfile", .ms = 1000, .window = 8UL << 20, .threads = -1};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 't':
			options.test = optarg;
			break;
		case 'n':
			options.tasks = (size_t)number(optarg, 1, TEAM_MAX);
			break;
		case 'T':
			options.threads = 1;
			break;
		case 'P':
			options.threads = 0;
			break;
		case 'm':
			options.ms = number(optarg, 1, 3600000);
			break;
		case 'w':
			options.window = (size_t)number(optarg, 1, 1024) << 20;
			break;
		case 'f':
			options.file = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
	return options;
}

static void open_file(struct bench *bench)
{
	struct stat st;

	bench->file_prot = RW;
	bench->fd = open(bench->options.file, O_RDWR | O_CLOEXEC);
	if (bench->fd < 0) {
		bench->file_prot = PROT_READ;
		bench->fd = open(bench->options.file, O_RDONLY | O_CLOEXEC);
	}
	if (bench->fd < 0 || fstat(bench->fd, &st) != 0 || st.st_size == 0)
		fail(bench->options.file);
	bench->file_bytes = ((size_t)st.st_size + PAGE - 1) & -PAGE;
}

int main(int argc, char **argv)
{
	static struct machine machine;
	static struct bench bench;
	size_t first = 1, last = 8, found = 0;

	bench.options = parse(argc, argv);
	if (!machine_look(&machine))
		fail("sched_getaffinity");
	open_file(&bench);
	bench.counters = mmap(NULL, (TEAM_MAX + 1) * sizeof *bench.counters, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench.counters == MAP_FAILED)
		fail("mmap");
	bench.stop = (int *)&bench.counters[TEAM_MAX]; /* a line of its own */
	if (bench.options.tasks)
		first = last = bench.options.tasks;
	else if (last > machine.cpus)
		last = machine.cpus;
	printf("%-12s %-10s %5s %14s %14s %14s\n", "loop", "tasks are", "tasks", "per second", "slowest task",
	       "fastest task");
	for (size_t i = 0; i < LOOPS; i++) {
		if (bench.options.test && strcmp(bench.options.test, loops[i].name) != 0)
			continue;
		found++;
		bench.loop = &loops[i];
		for (int threads = 0; threads < 2; threads++)
			for (size_t tasks = first; tasks <= last; tasks *= 2)
				if (bench.options.threads < 0 || bench.options.threads == threads)
					run(&machine, &bench, tasks, threads);
	}
	if (!found)
		usage();
	return 0;
}
