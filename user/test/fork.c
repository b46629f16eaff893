/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork and copy-on-write: nobody ever sees what another process wrote to private memory.
 *
 * The large case is 100 children that are alive at the same time over 1,000 shared pages: each
 * changes every page, waits until all have, and then verifies every page. A page's first word says
 * who wrote it, its last word repeats that, so that a torn or foreign copy is seen.
 *
 *   fork [children [pages]]
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)
#define WORDS (PAGE / sizeof(unsigned))

static void stamp(unsigned *pages, size_t page, unsigned who)
{
	pages[page * WORDS] = who << 16 | (unsigned)page;
	pages[page * WORDS + WORDS - 1] = ~(who << 16 | (unsigned)page);
}

static void verify(const unsigned *pages, size_t page, unsigned who)
{
	CHECK_EQ(who << 16 | (unsigned)page, pages[page * WORDS]);
	CHECK_EQ(~(who << 16 | (unsigned)page), pages[page * WORDS + WORDS - 1]);
}

static unsigned *map(size_t pages)
{
	unsigned *p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

/*
 * Memory for all copies at once is children * pages: with little memory the children take turns
 * in groups. The group is what half of the free memory holds.
 */
static size_t group_size(size_t children, size_t pages)
{
	FILE *info = fopen("/proc/meminfo", "r");
	char line[200];
	unsigned long free_kib = 0;

	REQUIRE(info);
	while (fgets(line, sizeof line, info))
		sscanf(line, "MemFree: %lu", &free_kib);
	fclose(info);
	REQUIRE(free_kib > 0);
	size_t group = free_kib / 2 / (pages * PAGE / 1024);
	return group < 2 ? 2 : group > children ? children : group;
}

static void many_children(size_t children, size_t count)
{
	unsigned *pages = map(count);
	size_t group = group_size(children, count), done = 0;
	static pid_t pids[1000];

	for (size_t i = 0; i < count; i++)
		stamp(pages, i, 0);
	while (done < children) {
		size_t n = children - done < group ? children - done : group;
		int changed[2], go[2];
		char byte = 0;

		REQUIRE(pipe(changed) == 0 && pipe(go) == 0);
		for (size_t c = 0; c < n; c++) {
			unsigned who = (unsigned)(done + c + 1);
			pids[c] = check_fork();
			REQUIRE(pids[c] >= 0);
			if (pids[c] > 0)
				continue;
			close(go[1]);
			for (size_t i = 0; i < count; i++) {
				verify(pages, i, 0);
				stamp(pages, i, who);
			}
			REQUIRE(write(changed[1], &byte, 1) == 1);
			REQUIRE(read(go[0], &byte, 1) == 0); /* ends when the parent closes it */
			for (size_t i = 0; i < count; i++)
				verify(pages, i, who);
			_exit(check_end());
		}
		for (size_t c = 0; c < n; c++)
			REQUIRE(read(changed[0], &byte, 1) == 1);
		for (size_t i = 0; i < count; i++)
			verify(pages, i, 0);
		close(go[1]);
		for (size_t c = 0; c < n; c++)
			CHECK_CHILD(pids[c]);
		close(go[0]), close(changed[0]), close(changed[1]);
		done += n;
	}
	for (size_t i = 0; i < count; i++)
		verify(pages, i, 0);
	munmap(pages, count * PAGE);
}

/* The parent writes while the child reads, and the other way round, generation after generation. */
static void generations(unsigned *pages, size_t count, unsigned depth)
{
	if (depth == 0)
		return;
	for (size_t i = depth % 3; i < count; i += 3)
		stamp(pages, i, depth);
	pid_t pid = check_fork();
	if (pid == 0) {
		for (size_t i = depth % 3; i < count; i += 3)
			verify(pages, i, depth);
		generations(pages, count, depth - 1);
		_exit(check_end());
	}
	for (size_t i = depth % 3; i < count; i += 3)
		stamp(pages, i, depth + 1000);
	CHECK_CHILD(pid);
	for (size_t i = depth % 3; i < count; i += 3)
		verify(pages, i, depth + 1000);
}

/* After the child has gone, the parent is alone again: writing is in place and loses nothing. */
static void again_alone(void)
{
	unsigned *pages = map(50);

	for (unsigned round = 1; round <= 60; round++) {
		for (size_t i = 0; i < 50; i++)
			stamp(pages, i, round);
		pid_t pid = check_fork();
		if (pid == 0) {
			if (round & 1)
				stamp(pages, 25, 999);
			_exit(check_end());
		}
		CHECK_CHILD(pid);
		for (size_t i = 0; i < 50; i++)
			verify(pages, i, round);
	}
	munmap(pages, 50 * PAGE);
}

/* Untouched pages are zero in both, pages of text and data are copied like any other. */
static int data_word = 42;
static char bss[4 * PAGE];

static void untouched_and_data(void)
{
	unsigned *pages = map(64);

	pages[10 * WORDS] = 5;
	pid_t pid = check_fork();
	if (pid == 0) {
		for (size_t i = 0; i < 64; i++)
			CHECK_EQ(i == 10 ? 5 : 0, pages[i * WORDS]);
		memset(pages, 0xff, 64 * PAGE);
		data_word = 43, bss[PAGE] = 1;
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	for (size_t i = 0; i < 64; i++)
		CHECK_EQ(i == 10 ? 5 : 0, pages[i * WORDS]);
	CHECK_EQ(42, data_word);
	CHECK_EQ(0, bss[PAGE]);
	munmap(pages, 64 * PAGE);
}

/*
 * fork takes one snapshot: a thread stores a, then b, always a first. In a child a - b may be
 * 0 or 1, whatever page a and b lie on. What the thread stores after the fork, the child must not see.
 */
static volatile unsigned long *first, *second;
static volatile int storing_over;

static void *storer(void *unused)
{
	(void)unused;
	for (unsigned long i = 1; !storing_over; i++) {
		__atomic_store_n(first, i, __ATOMIC_SEQ_CST);
		__atomic_store_n(second, i, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void while_a_thread_writes(void)
{
	pthread_t thread;
	unsigned *pages = map(1100);

	first = (unsigned long *)pages;
	second = (unsigned long *)(pages + 1099 * WORDS); /* another window of 2 MiB */
	REQUIRE(pthread_create(&thread, NULL, storer, NULL) == 0);
	for (int i = 0; i < 60; i++) {
		pid_t pid = check_fork();
		if (pid == 0) {
			unsigned long a = *first, b = *second;
			sched_yield();
			CHECK_EQ(a, *first);
			CHECK_EQ(b, *second);
			CHECK(a - b <= 1);
			_exit(check_end());
		}
		CHECK_CHILD(pid);
	}
	storing_over = 1;
	pthread_join(thread, NULL);
	munmap(pages, 1100 * PAGE);
}

int main(int argc, char **argv)
{
	size_t children = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
	size_t pages = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;

	REQUIRE(children <= 1000 && pages < 65536);
	trap_install(0);
	untouched_and_data();
	again_alone();
	unsigned *shared = map(120);
	generations(shared, 120, 12);
	munmap(shared, 120 * PAGE);
	while_a_thread_writes();
	many_children(children, pages);
	CHECK_ERR(ECHILD, wait(NULL));
	return check_end();
}
