/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations of memory management, one at a time, between marks for who counts their instructions from outside
 * (tools/plugin/count.c, tools/bench-linux). Runs alike on Strata and Linux, on one CPU; it measures nothing itself,
 * but says how many operations each region holds:
 *
 *   JSON {"bench":"operations","region":1,"operation":"null","what":"null system call","operations":1000}
 *
 * Each operation is done once before it is counted, so that programs, tables and caches are as in the steady state.
 *
 *   operations [--big MIB]      MIB: what is resident in the second fork that is compared (1024)
 */
#define _GNU_SOURCE
#include "lib/machine.h"
#include "lib/marker.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE MACHINE_PAGE
#define MIB (1UL << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define WINDOW (16 * MIB) /* what is touched; aligned, so that both kernels need the same tables */
#define TABLE (2 * MIB)   /* what one leaf table maps */

enum {
	CONTROL,
	NULL_CALL,
	TOUCH,
	TOUCH_UNMAP,
	COPY,
	MAP_UNMAP,
	BREAK,
	PROTECT,
	PROTECT_SPLIT,
	FORK_EXIT,
	FORK_REWRITE,
	FORK_READ,
	FORK_SMALL,
	FORK_BIG,
};

static void fail(const char *what)
{
	fprintf(stderr, "operations: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(unsigned region, const char *operation, const char *what, unsigned long operations)
{
	printf("JSON "
	       "{\"bench\":\"operations\",\"region\":%u,\"operation\":\"%s\",\"what\":\"%s\",\"operations\":%lu}\n",
	       region, operation, what, operations);
	fflush(stdout);
}

/* Aligned by mapping more and giving the rest back. */
static volatile char *map_window(size_t bytes)
{
	char *p = mmap(NULL, bytes + TABLE, RW, ANON | MAP_NORESERVE, -1, 0), *start;

	if (p == MAP_FAILED)
		fail("mmap");
	start = (char *)(((uintptr_t)p + TABLE - 1) & ~(TABLE - 1));
	if (start > p && munmap(p, (size_t)(start - p)) != 0)
		fail("munmap");
	if (munmap(start + bytes, (size_t)(p + TABLE - start)) != 0)
		fail("munmap");
	return start;
}

static void unmap(volatile char *p, size_t bytes)
{
	if (munmap((void *)p, bytes) != 0)
		fail("munmap");
}

static void touch(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
}

static void read_all(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		(void)p[i];
}

static pid_t fork_or_fail(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	return pid;
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("a child");
}

/* A child that does nothing until it is let go: it reads from a pipe. */
struct idle_child {
	pid_t pid;
	int end[2];
};

static struct idle_child idle_child(void)
{
	struct idle_child c;
	char byte;

	if (pipe(c.end) != 0)
		fail("pipe");
	c.pid = fork_or_fail();
	if (c.pid == 0) {
		close(c.end[1]);
		_exit(read(c.end[0], &byte, 1) != 0);
	}
	close(c.end[0]);
	return c;
}

static void let_go(struct idle_child *c)
{
	close(c->end[1]);
	wait_for(c->pid);
}

/* --- the operations --- */

/* Nothing but 3 instructions a turn, at EL0: whoever counts must see these, and none at EL1 but of a timer interrupt.
 */
static void control(void)
{
	unsigned long n = 10000, left = n;

	marker_begin(CONTROL);
	__asm__ volatile("1:\n\tnop\n\tsubs %0, %0, #1\n\tb.ne 1b" : "+r"(left)::"cc");
	marker_end(CONTROL);
	say(CONTROL, "control", "control: 3 instructions at EL0, none here", n);
}

static void null_call(void)
{
	const unsigned long n = 1000;

	syscall(SYS_getppid);
	marker_begin(NULL_CALL);
	for (unsigned long i = 0; i < n; i++)
		syscall(SYS_getppid);
	marker_end(NULL_CALL);
	say(NULL_CALL, "null", "null system call", n);
}

static void zero_fill(void)
{
	volatile char *p;

	for (unsigned turn = 0; turn < 2; turn++) { /* the first fills the kernel's own caches */
		p = map_window(WINDOW);
		if (turn == 1)
			marker_begin(TOUCH);
		touch(p, WINDOW);
		if (turn == 1)
			marker_end(TOUCH);
		unmap(p, WINDOW);
	}
	say(TOUCH, "touch", "anonymous zero-fill fault, a page touched", WINDOW / PAGE);
	p = map_window(WINDOW);
	marker_begin(TOUCH_UNMAP);
	touch(p, WINDOW);
	unmap(p, WINDOW);
	marker_end(TOUCH_UNMAP);
	say(TOUCH_UNMAP, "touch-unmap", "the same with its share of munmap", WINDOW / PAGE);
}

/* One page a table is written before, so that what fork did to whole tables is undone. */
static void copies(void)
{
	volatile char *p = map_window(WINDOW);
	struct idle_child c;

	touch(p, WINDOW);
	for (unsigned turn = 0; turn < 2; turn++) {
		c = idle_child();
		for (size_t i = 0; i < WINDOW; i += TABLE)
			p[i] = 2;
		if (turn == 1)
			marker_begin(COPY);
		for (size_t i = 0; i < WINDOW; i += TABLE)
			touch(p + i + PAGE, TABLE - PAGE);
		if (turn == 1)
			marker_end(COPY);
		let_go(&c);
	}
	say(COPY, "copy", "copy-on-write break, copy included", WINDOW / PAGE - WINDOW / TABLE);
	for (unsigned turn = 0; turn < 2; turn++) {
		c = idle_child();
		if (turn == 1)
			marker_begin(FORK_REWRITE);
		touch(p, WINDOW);
		if (turn == 1)
			marker_end(FORK_REWRITE);
		let_go(&c);
	}
	say(FORK_REWRITE, "fork-rewrite", "fork, parent rewrites 16 MiB, a page", WINDOW / PAGE);
	for (unsigned turn = 0; turn < 2; turn++) {
		pid_t pid = fork_or_fail();

		if (pid == 0) {
			if (turn == 1)
				marker_begin(FORK_READ);
			read_all(p, WINDOW);
			if (turn == 1)
				marker_end(FORK_READ);
			_exit(0);
		}
		wait_for(pid);
	}
	say(FORK_READ, "fork-read", "fork, child reads 16 MiB, a page", WINDOW / PAGE);
	unmap(p, WINDOW);
}

static void map_unmap(void)
{
	const unsigned long n = 200;
	const size_t bytes = 128 * MIB;

	for (unsigned turn = 0; turn < 2; turn++) { /* the first: what others have left to be freed late is gone */
		if (turn == 1)
			marker_begin(MAP_UNMAP);
		for (unsigned long i = 0; i < n; i++)
			unmap(mmap(NULL, bytes, RW, ANON | MAP_NORESERVE, -1, 0), bytes);
		if (turn == 1)
			marker_end(MAP_UNMAP);
	}
	say(MAP_UNMAP, "map-unmap", "mmap and munmap of 128 MiB untouched", n);
}

static void breaks(void)
{
	const unsigned long n = 500;
	uintptr_t base = (uintptr_t)syscall(SYS_brk, 0);

	for (unsigned turn = 0; turn < 2; turn++) {
		if (turn == 1)
			marker_begin(BREAK);
		for (unsigned long i = 0; i < n; i++)
			if ((uintptr_t)syscall(SYS_brk, base + PAGE) < base || (uintptr_t)syscall(SYS_brk, base) < base)
				fail("brk");
		if (turn == 1)
			marker_end(BREAK);
	}
	say(BREAK, "brk", "brk a page up and down", n);
}

/* region is constant where it is marked. */
#define COUNT_PROTECTS(region, page) \
	for (unsigned turn = 0; turn < 2; turn++) { \
		if (turn == 1) \
			marker_begin(region); \
		for (unsigned long i = 0; i < n; i++) \
			if (mprotect(page, PAGE, PROT_READ) != 0 || mprotect(page, PAGE, RW) != 0) \
				fail("mprotect"); \
		if (turn == 1) \
			marker_end(region); \
	}

static void protects(void)
{
	const unsigned long n = 500;
	volatile char *p = map_window(TABLE);
	char *page = (char *)p + 16 * PAGE;

	touch(p, TABLE);
	COUNT_PROTECTS(PROTECT_SPLIT, page)
	say(PROTECT_SPLIT, "mprotect-split", "mprotect of a page amid others, there or back", 2 * n);
	/* its neighbours have another protection: nothing to split or to join */
	if (mprotect(page - PAGE, PAGE, PROT_NONE) != 0 || mprotect(page + PAGE, PAGE, PROT_NONE) != 0)
		fail("mprotect");
	COUNT_PROTECTS(PROTECT, page)
	say(PROTECT, "mprotect", "mprotect of a page by itself, there or back", 2 * n);
	unmap(p, TABLE);
}

static void fork_exit(void)
{
	const unsigned long n = 50;

	for (unsigned turn = 0; turn < 2; turn++) {
		if (turn == 1)
			marker_begin(FORK_EXIT);
		for (unsigned long i = 0; i < n; i++) {
			pid_t pid = fork_or_fail();

			if (pid == 0)
				_exit(0);
			wait_for(pid);
		}
		if (turn == 1)
			marker_end(FORK_EXIT);
	}
	say(FORK_EXIT, "fork-exit", "fork, exit, wait of this program", n);
}

/* The calls of fork alone; the child waits. region is constant where it is marked. */
#define FORKS 5
#define COUNT_FORKS(region) \
	for (unsigned i = 0; i <= FORKS; i++) { \
		struct idle_child c; \
		char byte; \
\
		if (pipe(c.end) != 0) \
			fail("pipe"); \
		if (i > 0) \
			marker_begin(region); \
		c.pid = fork_or_fail(); \
		if (c.pid == 0) { \
			close(c.end[1]); \
			_exit(read(c.end[0], &byte, 1) != 0); \
		} \
		if (i > 0) \
			marker_end(region); \
		close(c.end[0]); \
		let_go(&c); \
	}

static void fork_sizes(unsigned long big)
{
	volatile char *p = map_window(MIB);
	char what[80];

	touch(p, MIB);
	COUNT_FORKS(FORK_SMALL)
	say(FORK_SMALL, "fork-1M", "fork with 1 MiB resident", FORKS);
	unmap(p, MIB);
	p = map_window(big * MIB);
	touch(p, big * MIB);
	COUNT_FORKS(FORK_BIG)
	snprintf(what, sizeof what, "fork with %lu MiB resident", big);
	say(FORK_BIG, "fork-big", what, FORKS);
	unmap(p, big * MIB);
}

int main(int argc, char **argv)
{
	unsigned long big = 1024;

	if (argc == 3 && strcmp(argv[1], "--big") == 0)
		big = strtoul(argv[2], NULL, 10);
	if (argc == 2 || argc > 3 || big < 1 || big > 65536) {
		fprintf(stderr, "usage: operations [--big MIB]\n");
		return 2;
	}
	control();
	null_call();
	zero_fill();
	copies();
	map_unmap();
	breaks();
	protects();
	fork_exit();
	fork_sizes(big);
	return 0;
}
