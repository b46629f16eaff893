/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demonstration: what `make boot` runs.
 *
 * Seven parts, each in a process of its own that ends before the next begins:
 *
 *   processes  zero-fill faults on every CPU, one pinned process each
 *   threads    the same by pinned threads in one address space
 *   tree       a binary tree of forks in which every process changes some pages and verifies all
 *   space      threads in one space read what the others wrote and replace pages under them
 *   file       a file of the initrd, mapped privately and shared
 *   faults     accesses that must not go through, on every CPU: exact signal, code and address
 *   malloc     malloc, realloc and free under threads, every block verified
 *
 * Frames are counted by owner before and after, and must be the same (the rule is in lib/frames.h).
 * So that what stays for good (page cache, kernel slabs, this program's own pages) is there at the first count, the
 * program touches all of itself and rehearses its parts in small before it.
 *
 * All sizes follow the machine: the CPUs that the process may use, and MemFree.
 *
 *   demo [-n]      -n: the kernel has no /proc/frames (Linux)
 *
 * Lines that begin with "JSON " are for programs. Exit status 0: everything was right.
 */
#define _GNU_SOURCE
#include "lib/frames.h"
#include "lib/machine.h"
#include "lib/team.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define FILE_PATH "/etc/strata/testfile"
#define FILE_BYTES 100003UL
#define FILE_PAGES ((FILE_BYTES + PAGE - 1) / PAGE)

/* What this run may use; set once in main. */
static struct machine machine;
static size_t cpus, window_pages;
static bool rehearsal;

/* What a part tells main: one line of shared memory per task. */
struct tally {
	_Alignas(128) unsigned long count;
	unsigned long nanoseconds;
};
static struct tally *tallies;
static pthread_barrier_t together; /* of the threads of a part */

static void wrong(const char *format, ...)
{
	va_list args;

	fputs("demo: ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

static void pin(size_t task)
{
	if (!machine_pin(&machine, task))
		wrong("cannot run on CPU %d: %s", machine.cpu[task % cpus], strerror(errno));
}

static void *map(size_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, flags, -1, 0);

	if (p == MAP_FAILED)
		wrong("mmap of %zu KiB: %s", bytes / 1024, strerror(errno));
	return p;
}

/* ---- zero-fill faults ---- */
/*
 * Touches the window page by page; each page must be zero before and hold its stamp afterwards.
 * Mapping and unmapping are part of the time, verifying is not.
 */
static void fault_rounds(size_t task, void *unused)
{
	size_t pages = rehearsal ? 16 : window_pages;
	unsigned long end = machine_now() + (rehearsal ? 1 : 400) * 1000000UL, spent = 0, faults = 0;

	(void)unused;
	do {
		unsigned long start = machine_now();
		unsigned long *p = map(pages * PAGE, RW, ANON), sum = 0;
		for (size_t i = 0; i < pages; i++) {
			unsigned long *page = p + i * (PAGE / sizeof *p);
			sum |= page[100];
			page[0] = task << 32 | i;
		}
		spent += machine_now() - start;
		if (sum != 0)
			wrong("CPU %zu: a fresh page was not zero", task);
		for (size_t i = 0; i < pages; i++) {
			unsigned long *page = p + i * (PAGE / sizeof *p);
			if (page[0] != (task << 32 | i) || page[PAGE / sizeof *p - 1] != 0)
				wrong("CPU %zu: page %zu holds 0x%lx", task, i, page[0]);
		}
		start = machine_now();
		munmap(p, pages * PAGE);
		spent += machine_now() - start;
		faults += pages;
	} while (machine_now() < end);
	tallies[task].count = faults;
	tallies[task].nanoseconds = spent;
}

static void wait_all(const pid_t *pids, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++) {
		int status;
		if (waitpid(pids[i], &status, 0) != pids[i])
			wrong("%s: waitpid: %s", what, strerror(errno));
		if (status != 0)
			wrong("%s: process %zu ended with status 0x%x", what, i, (unsigned)status);
	}
}

static void part_processes(void)
{
	if (!team_processes(&machine, cpus, fault_rounds, NULL))
		wrong("processes: not all ended well");
}

static void in_threads(team_body *body)
{
	pthread_barrier_init(&together, NULL, (unsigned)cpus);
	if (!team_threads(&machine, cpus, body, NULL))
		wrong("threads: not all were started and pinned");
	pthread_barrier_destroy(&together);
}

static void part_threads(void) { in_threads(fault_rounds); }

/* ---- a tree of forks ---- */
/*
 * Every page holds the number of the last node on the way from the root that changed it. Node n
 * (root 1, children 2n and 2n + 1) changes the pages i with i % 7 == n % 7.
 */
static unsigned long *tree;
static size_t tree_pages;

static unsigned long owner(size_t page, unsigned long node)
{
	while (node > 0 && page % 7 != node % 7)
		node /= 2;
	return node;
}

static void verify_tree(unsigned long node, const char *when)
{
	for (size_t i = 0; i < tree_pages; i++) {
		unsigned long *page = tree + i * (PAGE / sizeof *tree), want = owner(i, node) << 32 | i;
		if (page[0] != want || page[PAGE / sizeof *tree - 1] != ~want)
			wrong("fork tree: node %lu %s: page %zu holds 0x%lx, should be 0x%lx", node, when, i, page[0],
			      want);
	}
}

static void grow_tree(unsigned long node, int depth)
{
	pid_t pids[2];

	if (node > 1)
		verify_tree(node / 2, "at its start");
	for (size_t i = node > 1 ? node % 7 : 0; i<tree_pages; i += node> 1 ? 7 : 1) {
		unsigned long *page = tree + i * (PAGE / sizeof *tree);
		page[0] = owner(i, node) << 32 | i;
		page[PAGE / sizeof *tree - 1] = ~page[0];
	}
	verify_tree(node, "after writing");
	tallies[0].count = 0; /* a shared page beside the private ones */
	if (depth > 0) {
		for (unsigned long c = 0; c < 2; c++) {
			pids[c] = fork();
			if (pids[c] < 0)
				wrong("fork: %s", strerror(errno));
			if (pids[c] == 0) {
				grow_tree(2 * node + c, depth - 1);
				_exit(0);
			}
		}
		wait_all(pids, 2, "fork tree");
		verify_tree(node, "after its children");
	}
	__atomic_fetch_add(&tallies[1].count, tree_pages, __ATOMIC_RELAXED);
}

static void part_tree(void)
{
	unsigned long start = machine_now();

	tallies[1].count = 0;
	tree = map(tree_pages * PAGE, RW, ANON);
	grow_tree(1, rehearsal ? 1 : 4);
	tallies[0].nanoseconds = machine_now() - start;
	tallies[0].count = tallies[1].count;
}

/* ---- threads in one space ---- */
enum { SPACE_PAGES = 8 };
static unsigned long *volatile space[MACHINE_CPUS_MAX];

/* Round by round each thread maps and writes pages, reads those of its neighbour, and unmaps its own. */
static void space_thread(size_t me, void *unused)
{
	size_t other = (me + 1) % cpus;

	(void)unused;
	for (unsigned long round = 0; round < (rehearsal ? 1 : cpus <= 8 ? 12 : 3); round++) {
		unsigned long *p = map(SPACE_PAGES * PAGE, RW, ANON);
		for (size_t i = 0; i < SPACE_PAGES; i++)
			p[i * (PAGE / sizeof *p)] = round << 32 | me << 8 | i;
		space[me] = p;
		pthread_barrier_wait(&together);
		for (size_t i = 0; i < SPACE_PAGES; i++)
			if (space[other][i * (PAGE / sizeof *p)] != (round << 32 | other << 8 | i))
				wrong("threads in one space: thread %zu sees 0x%lx in page %zu of thread %zu", me,
				      space[other][i * (PAGE / sizeof *p)], i, other);
		pthread_barrier_wait(&together);
		munmap(p, SPACE_PAGES * PAGE);
	}
}

static void part_space(void) { in_threads(space_thread); }

/* ---- a file ---- */
static unsigned char file_byte(size_t i) { return i < FILE_BYTES ? (unsigned char)(i * 7 + i / 251) : 0; }

static void verify_file(const unsigned char *p, const char *how)
{
	for (size_t i = 0; i < FILE_PAGES * PAGE; i++)
		if (p[i] != file_byte(i))
			wrong("file mapped %s: byte %zu is %u, should be %u", how, i, p[i], file_byte(i));
}

static void part_file(void)
{
	int fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (fd < 0)
		wrong("%s: %s", FILE_PATH, strerror(errno));
	unsigned char *shared = mmap(NULL, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	unsigned char *private = mmap(NULL, FILE_PAGES * PAGE, RW, MAP_PRIVATE, fd, 0);
	if (shared == MAP_FAILED || private == MAP_FAILED)
		wrong("mmap of %s: %s", FILE_PATH, strerror(errno));
	close(fd);
	verify_file(shared, "shared");
	verify_file(private, "privately");
	pid = fork();
	if (pid == 0) {
		memset(private, 0xc5, FILE_PAGES * PAGE);
		verify_file(shared, "shared, after private changes in the same process");
		for (size_t i = 0; i < FILE_PAGES * PAGE; i++)
			if (private[i] != 0xc5)
				wrong("file mapped privately: a change was lost");
		_exit(0);
	}
	wait_all(&pid, 1, "file");
	verify_file(private, "privately, after a child's changes");
	munmap(shared, FILE_PAGES * PAGE), munmap(private, FILE_PAGES * PAGE);
}

/* ---- faults that a handler catches ---- */
static sigjmp_buf back;
static siginfo_t caught;

static void catch (int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	caught = *info;
	siglongjmp(back, 1);
}

enum access { READ, WRITE, JUMP };

static void must_fault(char *at, enum access access, int signal, int code)
{
	static const char *const names[] = {"read of", "write to", "jump to"};

	caught.si_signo = 0;
	if (sigsetjmp(back, 1) == 0) {
		if (access == READ)
			(void)*(volatile char *)at;
		else if (access == WRITE)
			*(volatile char *)at = 1;
		else
			__asm__ volatile("blr %0" ::"r"(at) : "x30", "memory");
		wrong("a %s %p went through", names[access], (void *)at);
	}
	if (caught.si_signo != signal || caught.si_code != code || caught.si_addr != at)
		wrong("a %s %p raised signal %d, code %d, address %p; should be %d, %d", names[access], (void *)at,
		      caught.si_signo, caught.si_code, caught.si_addr, signal, code);
	tallies[0].count++;
}

static void part_faults(void)
{
	struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO};
	char *p = map(8 * PAGE, RW, ANON), *file;
	int fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	file = mmap(NULL, (FILE_PAGES + 1) * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd < 0 || file == MAP_FAILED)
		wrong("%s: %s", FILE_PATH, strerror(errno));
	tallies[0].count = 0;
	p[PAGE] = 1;
	mprotect(p + PAGE, PAGE, PROT_READ);
	mprotect(p + 3 * PAGE, PAGE, PROT_NONE);
	munmap(p + 5 * PAGE, PAGE);
	for (size_t i = 0; i < cpus; i++) {
		pin(i);
		must_fault(p + PAGE + 8 * i, WRITE, SIGSEGV, SEGV_ACCERR);
		must_fault(p + 3 * PAGE + 8 * i, READ, SIGSEGV, SEGV_ACCERR);
		must_fault(p + 5 * PAGE + 8 * i, READ, SIGSEGV, SEGV_MAPERR);
		must_fault(p + 8 * i, JUMP, SIGSEGV, SEGV_ACCERR);
		must_fault((char *)(8 * i), WRITE, SIGSEGV, SEGV_MAPERR);
		must_fault((char *)0xffff000040000000 + 8 * i, READ, SIGSEGV, SEGV_MAPERR);
		must_fault((char *)(uintptr_t)&part_faults, WRITE, SIGSEGV, SEGV_ACCERR);
		must_fault(file + FILE_PAGES * PAGE + i, READ, SIGBUS, BUS_ADRERR);
	}
}

/* ---- malloc ---- */
enum { BLOCKS = 32 };

static void malloc_thread(size_t me, void *unused)
{
	unsigned seed = (unsigned)me + 1;
	unsigned char *blocks[BLOCKS] = {NULL};
	size_t sizes[BLOCKS] = {0};
	unsigned char mark = (unsigned char)seed;
	unsigned long rounds = rehearsal ? 50 : cpus <= 8 ? 1500 : 12000 / cpus;

	(void)unused;
	for (unsigned long n = 0; n < rounds; n++) {
		size_t i = (size_t)rand_r(&seed) % BLOCKS, size = 1 + (size_t)rand_r(&seed) % (n % 50 ? 2000 : 200000);
		for (size_t j = 0; j < sizes[i]; j += 61)
			if (blocks[i][j] != (unsigned char)(mark + i))
				wrong("malloc: thread %zu: block %zu of %zu bytes changed at %zu", me, i, sizes[i], j);
		blocks[i] = n % 5 ? realloc(blocks[i], size) : (free(blocks[i]), malloc(size));
		if (!blocks[i])
			wrong("malloc of %zu bytes: %s", size, strerror(errno));
		memset(blocks[i], mark + (int)i, size);
		sizes[i] = size;
	}
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	tallies[me].count = rounds;
}

static void part_malloc(void) { in_threads(malloc_thread); }

/* ---- all of them ---- */
static const struct part {
	const char *name, *what;
	void (*run)(void);
	const char *unit; /* what tallies count, or NULL */
	bool per_task;    /* all tallies count, else the first */
	bool rate;
} parts[] = {
	{"processes", "zero-fill faults, one process a CPU", part_processes, "faults", true, true},
	{"threads", "zero-fill faults, one thread a CPU", part_threads, "faults", true, true},
	{"tree", "fork tree, every page verified", part_tree, "pages", false, false},
	{"space", "threads in one address space", part_space, NULL, false, false},
	{"file", "a file, mapped privately and shared", part_file, NULL, false, false},
	{"faults", "protection faults, caught", part_faults, "faults", false, false},
	{"malloc", "malloc under threads", part_malloc, "rounds", true, false},
};
#define PARTS (sizeof parts / sizeof *parts)

struct result {
	unsigned long count;
	double rate, seconds;
};

/* => false when the part said or did something wrong; it has printed what */
static bool run_part(const struct part *part, struct result *result)
{
	unsigned long start = machine_now();
	int status = 0;

	memset(tallies, 0, MACHINE_CPUS_MAX * sizeof *tallies);
	pid_t pid = fork();
	if (pid == 0) {
		part->run();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("demo: %s: fork or waitpid: %s\n", part->name, strerror(errno));
		return false;
	}
	if (WIFSIGNALED(status))
		printf("demo: %s: killed by signal %d\n", part->name, WTERMSIG(status));
	*result = (struct result){.seconds = (double)(machine_now() - start) / 1e9};
	for (size_t i = 0; i < (part->per_task ? cpus : 1); i++) {
		result->count += tallies[i].count;
		if (tallies[i].nanoseconds)
			result->rate += (double)tallies[i].count * 1e9 / (double)tallies[i].nanoseconds;
	}
	return status == 0;
}

static void print_result(const struct part *part, const struct result *result)
{
	printf("  %-10s %-38s %8.2f", part->name, part->what, result->seconds);
	if (part->unit)
		printf(" %7lu %s", result->count, part->unit);
	if (part->rate)
		printf(" %12.0f", result->rate);
	putchar('\n');
	fflush(stdout);
}

static void print_json(const struct result *results, bool frames_equal)
{
	for (size_t i = 0; i < PARTS; i++)
		printf("JSON {\"program\":\"demo\",\"part\":\"%s\",\"cpus\":%zu,\"window_pages\":%zu,\"seconds\":%.3f,"
		       "\"count\":%lu,\"per_second\":%.0f}\n",
		       parts[i].name, cpus, window_pages, results[i].seconds, results[i].count, results[i].rate);
	printf("JSON {\"program\":\"demo\",\"part\":\"frames\",\"cpus\":%zu,\"equal\":%s}\n", cpus,
	       frames_equal ? "true" : "false");
}

/* A quarter of the free memory for all tasks together, and 32 MiB at most: many CPUs may share few of the host's. */
static void measure_machine(void)
{
	unsigned long free_kib = machine_meminfo("MemFree");

	if (!machine_look(&machine))
		wrong("sched_getaffinity: %s", strerror(errno));
	if (free_kib == 0)
		wrong("/proc/meminfo says nothing about MemFree");
	cpus = machine.cpus;
	size_t quarter = free_kib / 4 / (PAGE / 1024);
	window_pages = (quarter < 8192 ? quarter : 8192) / cpus;
	window_pages = window_pages < 16 ? 16 : window_pages;
	tree_pages = quarter / 8 < 512 ? quarter / 8 : 512;
	tallies = map(MACHINE_CPUS_MAX * sizeof *tallies, RW, MAP_SHARED | MAP_ANONYMOUS);
	printf("demo: %zu CPU%s, %lu MiB free, windows of %zu KiB\n", cpus, cpus > 1 ? "s" : "", free_kib / 1024,
	       window_pages * PAGE / 1024);
	printf("  %-10s %-38s %8s %14s %12s\n", "part", "", "seconds", "", "per second");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	bool count_frames = !(argc > 1 && strcmp(argv[1], "-n") == 0), equal = true;
	static struct result results[PARTS];
	static struct frames before, after;

	measure_machine();
	frames_touch_program();
	for (int run = 0; run < 2; run++) {
		rehearsal = run == 0;
		if (!rehearsal && count_frames && !frames_read(&before))
			wrong("/proc/frames: %s", strerror(errno));
		for (size_t i = 0; i < PARTS; i++) {
			if (!run_part(&parts[i], &results[i]))
				wrong("%s failed", parts[i].name);
			if (!rehearsal)
				print_result(&parts[i], &results[i]);
		}
	}
	if (count_frames)
		equal = frames_settle(&before, &after);
	if (count_frames) {
		putchar('\n');
		frames_print("  ", &before, &after);
		if (!equal)
			puts("demo: frames before and after are not equal");
	}
	printf("demo: %s\n", equal ? "all is well" : "FAILED");
	print_json(results, equal);
	return equal ? 0 : 1;
}
