/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mprotect: protections change exactly where they should, content stays, errors stop half-way
 * where Linux stops.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define PAGES 32

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

/* Every page of the range must allow exactly what `prot` says, and hold its number if readable. */
static void verify(char *p, const int *prot, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		char *at = p + i * PAGE;
		if (prot[i] & PROT_READ)
			CHECK_EQ(i + 1, *(size_t *)at);
		else
			CHECK_TRAP(SIGSEGV, SEGV_ACCERR, at, READ(at));
		if (prot[i] & PROT_WRITE)
			CHECK_NO_TRAP(WRITE(at + 8));
		else
			CHECK_TRAP(SIGSEGV, SEGV_ACCERR, at + 8, WRITE(at + 8));
	}
}

/* Random splits and merges against an array that says what each page must be. */
static void splits_and_merges(void)
{
	static const int choices[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC};
	char *p = map(PAGES);
	int prot[PAGES];
	unsigned seed = 1;

	for (size_t i = 0; i < PAGES; i++) {
		prot[i] = RW;
		*(size_t *)(p + i * PAGE) = i + 1;
	}
	for (int round = 0; round < 150; round++) {
		size_t first = (size_t)rand_r(&seed) % PAGES;
		size_t count = 1 + (size_t)rand_r(&seed) % (PAGES - first);
		int want = choices[rand_r(&seed) % 4];

		CHECK_OK(mprotect(p + first * PAGE, count * PAGE, want));
		for (size_t i = first; i < first + count; i++)
			prot[i] = want;
		if (round % 3 == 0)
			verify(p, prot, PAGES);
	}
	CHECK_OK(mprotect(p, PAGES * PAGE, RW)); /* all one again */
	for (size_t i = 0; i < PAGES; i++)
		prot[i] = RW;
	verify(p, prot, PAGES);
	munmap(p, PAGES * PAGE);
}

static void refused(void)
{
	char *p = map(6);
	int fd = open("/etc/strata/testfile", O_RDONLY);
	char *file;

	REQUIRE(fd >= 0);
	CHECK_ERR(EINVAL, mprotect(p + 1, PAGE, PROT_READ));
	CHECK_ERR(EINVAL, mprotect(p, PAGE, 0x40)); /* not a protection */
	CHECK_OK(mprotect(p, 0, PROT_NONE));        /* nothing, done */
	CHECK_NO_TRAP(WRITE(p));
	CHECK_OK(mprotect(p, 1, PROT_READ)); /* the length is rounded up */
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + PAGE - 1, WRITE(p + PAGE - 1));
	CHECK_NO_TRAP(WRITE(p + PAGE));
	munmap(p + 3 * PAGE, PAGE);
	CHECK_ERR(ENOMEM, mprotect(p + 3 * PAGE, PAGE, RW));
	CHECK_ERR(ENOMEM, mprotect(p + 2 * PAGE, 3 * PAGE, PROT_READ));      /* a hole in the middle */
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + 2 * PAGE, WRITE(p + 2 * PAGE)); /* what lies before it changed */
	CHECK_NO_TRAP(WRITE(p + 4 * PAGE));                                  /* what lies behind did not */
	CHECK_ERR(ENOMEM, mprotect((void *)0xffff000000000000UL, PAGE, PROT_READ));
	CHECK_ERR(ENOMEM, mprotect((void *)(1UL << 48), PAGE, PROT_READ));
	munmap(p, 6 * PAGE);

	/* A shared mapping of a file opened for reading never becomes writable; a private one does. */
	file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(file != MAP_FAILED);
	CHECK_ERR(EACCES, mprotect(file, PAGE, RW));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, file, WRITE(file));
	CHECK_OK(mprotect(file, PAGE, PROT_NONE));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, file, READ(file));
	CHECK_OK(mprotect(file, PAGE, PROT_READ));
	CHECK_EQ(7, file[1]);
	munmap(file, 2 * PAGE);
	file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	REQUIRE(file != MAP_FAILED);
	CHECK_EQ(7, file[1]);
	CHECK_OK(mprotect(file, PAGE, RW));
	CHECK_NO_TRAP(file[1] = 99);
	CHECK_EQ(99, file[1]);
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, file + PAGE, WRITE(file + PAGE));
	munmap(file, 2 * PAGE);
	close(fd);
}

/* Content survives PROT_NONE, and untouched pages are still zero afterwards. */
static void content_kept(void)
{
	char *p = map(600);

	for (size_t i = 0; i < 600; i += 2)
		*(size_t *)(p + i * PAGE) = i + 1;
	CHECK_OK(mprotect(p, 600 * PAGE, PROT_NONE));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + 300 * PAGE, READ(p + 300 * PAGE));
	CHECK_OK(mprotect(p, 600 * PAGE, PROT_READ));
	for (size_t i = 0; i < 600; i++)
		CHECK_EQ(i & 1 ? 0 : i + 1, *(size_t *)(p + i * PAGE));
	munmap(p, 600 * PAGE);
}

/* Read-only and back across fork: the child's view of the page must not follow the parent's. */
static void with_fork(void)
{
	char *p = map(4);

	memset(p, 'p', 4 * PAGE);
	CHECK_OK(mprotect(p, 4 * PAGE, PROT_READ));
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p, WRITE(p));
		CHECK_OK(mprotect(p, 4 * PAGE, RW));
		memset(p, 'c', 4 * PAGE);
		CHECK_EQ('c', p[2 * PAGE]);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ('p', p[0]);
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p, WRITE(p));
	CHECK_OK(mprotect(p, 4 * PAGE, RW));
	CHECK_NO_TRAP(WRITE(p + 3 * PAGE));
	CHECK_EQ('p', p[2 * PAGE]);
	munmap(p, 4 * PAGE);
}

/*
 * Once mprotect has returned, no other thread may write any more: a writer counts in a page, and
 * the count must stand still while the page is read-only. The writer's faults are let pass by its
 * handler, which waits until the page is writable again.
 */
static volatile long *counter;
static volatile int writable, writer_done;

static void writer_fault(int signal)
{
	(void)signal;
	while (!writable)
		sched_yield();
}

static void *writer(void *unused)
{
	(void)unused;
	while (!writer_done)
		++*counter;
	return NULL;
}

static void other_threads_stop(void)
{
	pthread_t thread;

	counter = (volatile long *)map(1);
	writable = 1;
	signal(SIGSEGV, writer_fault);
	REQUIRE(pthread_create(&thread, NULL, writer, NULL) == 0);
	for (int i = 0; i < 150; i++) {
		long seen = *counter;
		while (*counter == seen)
			sched_yield();
		writable = 0;
		CHECK_OK(mprotect((void *)counter, PAGE, PROT_READ));
		seen = *counter;
		for (int j = 0; j < 50; j++) {
			CHECK_EQ(seen, *counter);
			if (j % 10 == 0)
				sched_yield();
		}
		CHECK_OK(mprotect((void *)counter, PAGE, RW));
		writable = 1;
	}
	writer_done = 1;
	pthread_join(thread, NULL);
	munmap((void *)counter, PAGE);
}

int main(void)
{
	trap_install(0);
	splits_and_merges();
	refused();
	content_kept();
	with_fork();
	other_threads_stop();
	return check_end();
}
