/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mremap: grows in place, moves, shrinks, lands where it is told; the content goes with it, the
 * place it left is empty, and what it refuses is left as it was.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static void number(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(size_t *)(p + i * PAGE) = i + 1;
}

/* The first `numbered` pages hold their numbers, the others up to `pages` are zero. */
static void verify(const char *p, size_t numbered, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		CHECK_EQ(i < numbered ? i + 1 : 0, *(const size_t *)(p + i * PAGE));
}

static void in_place(void)
{
	char *p = map(16);

	munmap(p + 4 * PAGE, 12 * PAGE);
	number(p, 4);
	CHECK_EQ((uintptr_t)p, (uintptr_t)mremap(p, 4 * PAGE, 8 * PAGE, 0));
	verify(p, 4, 8);
	CHECK_EQ((uintptr_t)p, (uintptr_t)mremap(p, 8 * PAGE, 8 * PAGE, 0)); /* the same size */
	CHECK_EQ((uintptr_t)p, (uintptr_t)mremap(p, 8 * PAGE, 3 * PAGE, 0));
	verify(p, 3, 3);
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 3 * PAGE, READ(p + 3 * PAGE));
	CHECK_EQ((uintptr_t)p, (uintptr_t)mremap(p, 3 * PAGE, 5 * PAGE, 0));
	verify(p, 3, 5); /* what was cut off does not come back */
	/* shrinking the front part of a mapping cuts a hole */
	number(p, 5);
	CHECK_EQ((uintptr_t)p, (uintptr_t)mremap(p, 3 * PAGE, PAGE, 0));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + PAGE, READ(p + PAGE));
	CHECK_EQ(4, *(size_t *)(p + 3 * PAGE));
	munmap(p, 16 * PAGE);
}

static void blocked_then_moved(void)
{
	char *p = map(8), *q;

	mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ); /* an obstacle */
	number(p, 4);
	CHECK_ERR(ENOMEM, mremap(p, 4 * PAGE, 6 * PAGE, 0));
	verify(p, 4, 4);
	q = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(q != MAP_FAILED);
	CHECK(q != p);
	verify(q, 4, 6);
	for (size_t i = 0; i < 4; i++)
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + i * PAGE, READ(p + i * PAGE));
	CHECK_NO_TRAP(READ(p + 4 * PAGE));
	munmap(p + 4 * PAGE, 4 * PAGE), munmap(q, 6 * PAGE);
}

static void fixed(void)
{
	char *p = map(4), *room = map(12), *q;

	number(p, 4);
	memset(room, 'r', 12 * PAGE);
	q = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 3 * PAGE);
	CHECK_EQ((uintptr_t)(room + 3 * PAGE), (uintptr_t)q);
	verify(room + 3 * PAGE, 4, 6); /* what was there is replaced */
	CHECK_EQ('r', room[3 * PAGE - 1]);
	CHECK_EQ('r', room[9 * PAGE]);
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p, READ(p));
	/* smaller, and to where the old one was */
	q = mremap(room + 3 * PAGE, 6 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	CHECK_EQ((uintptr_t)p, (uintptr_t)q);
	verify(p, 2, 2);
	for (size_t i = 3; i < 9; i++)
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, room + i * PAGE, READ(room + i * PAGE));

	CHECK_ERR(EINVAL, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, room)); /* needs MAYMOVE */
	CHECK_ERR(EINVAL, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 1));
	CHECK_ERR(EINVAL, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE));
	CHECK_ERR(EINVAL, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0xffff000000000000UL));
	verify(p, 2, 2);
	munmap(p, 2 * PAGE), munmap(room, 12 * PAGE);
}

static void refused(void)
{
	char *p = map(6);

	number(p, 6);
	CHECK_ERR(EINVAL, mremap(p + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	CHECK_ERR(EINVAL, mremap(p, PAGE, 0, MREMAP_MAYMOVE));
	CHECK_ERR(EINVAL, mremap(p, PAGE, PAGE, 0x40));
	CHECK_ERR(EINVAL, mremap(p, 0, PAGE, MREMAP_MAYMOVE)); /* old size 0 is for shared mappings */
	CHECK_ERR(ENOMEM, mremap(p, 6 * PAGE, 1UL << 47, 0));
	CHECK_ERR(ENOMEM, mremap(p, 6 * PAGE, 1UL << 50, MREMAP_MAYMOVE));
	munmap(p + 3 * PAGE, PAGE);
	CHECK_ERR(EFAULT, mremap(p + 3 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));     /* nothing there */
	CHECK_ERR(EFAULT, mremap(p + 2 * PAGE, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE)); /* spans a hole */
	CHECK_ERR(EFAULT, mremap((void *)0xffff000000000000UL, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	verify(p, 3, 3);
	munmap(p, 6 * PAGE);
}

/* 8 MiB over several 2 MiB windows, only some pages touched, to an address shifted by odd pages. */
static void large(void)
{
	size_t pages = 2048;
	char *room = mmap(NULL, 4 * pages * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), *p, *q;

	REQUIRE(room != MAP_FAILED);
	p = mmap(room + 5 * PAGE, pages * PAGE, RW, ANON | MAP_FIXED, -1, 0);
	REQUIRE(p == room + 5 * PAGE);
	for (size_t i = 0; i < pages; i += 3)
		*(size_t *)(p + i * PAGE) = i + 1;
	q = mremap(p, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 2500 * PAGE);
	REQUIRE(q == room + 2500 * PAGE);
	for (size_t i = 0; i < pages; i++)
		CHECK_EQ(i % 3 ? 0 : i + 1, *(size_t *)(q + i * PAGE));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 6 * PAGE, READ(p + 6 * PAGE));
	munmap(room, 4 * pages * PAGE);
}

/* After fork parent and child share frames: moving in one must not disturb the other. */
static void after_fork(void)
{
	char *p = map(8);

	number(p, 8);
	pid_t pid = check_fork();
	if (pid == 0) {
		char *to = map(20);
		char *q = mremap(p, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		CHECK_EQ((uintptr_t)to, (uintptr_t)q);
		verify(q, 8, 12);
		memset(q, 'c', 12 * PAGE);
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p, READ(p));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	verify(p, 8, 8);
	CHECK_NO_TRAP(WRITE(p + 8));
	munmap(p, 8 * PAGE);
}

/* A file mapping keeps its offset, a shared one its sharing, each its protection. */
static void files_and_protection(void)
{
	int fd = open("/etc/strata/testfile", O_RDONLY);
	char *p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE), *to = map(8), *q;

	REQUIRE(fd >= 0 && p != MAP_FAILED);
	q = mremap(p + PAGE, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	REQUIRE(q == to);
	for (size_t i = 0; i < 5 * PAGE; i += 97) {
		size_t at = 3 * PAGE + i;
		CHECK_EQ((unsigned char)(at * 7 + at / 251), (unsigned char)q[i]);
	}
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, q, WRITE(q));
	munmap(q, 8 * PAGE), munmap(p, 4 * PAGE);
	close(fd);

	char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
	number(shared, 4);
	pid_t pid = check_fork();
	if (pid == 0) {
		char *moved = mremap(shared, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(4));
		REQUIRE(moved != MAP_FAILED);
		verify(moved, 4, 4);
		*(size_t *)(moved + PAGE) = 77;
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(77, *(size_t *)(shared + PAGE));
	munmap(shared, 4 * PAGE);
}

/* An old size of 0 makes a second mapping of shared memory; the first one stays. */
static void second_view(void)
{
	char *a = mmap(NULL, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *b;

	REQUIRE(a != MAP_FAILED);
	number(a, 3);
	CHECK_ERR(ENOMEM, mremap(a, 0, 3 * PAGE, 0)); /* it cannot be in the same place */
	b = mremap(a, 0, 3 * PAGE, MREMAP_MAYMOVE);
	CHECK(b != MAP_FAILED && b != a);
	if (b != MAP_FAILED) {
		verify(b, 3, 3);
		*(size_t *)b = 55;
		CHECK_EQ(55, *(size_t *)a);
		munmap(a, 3 * PAGE);
		CHECK_EQ(55, *(size_t *)b);
		munmap(b, 3 * PAGE);
	}
}

/* Another view of locked memory is locked, and what locked memory grows by. */
static void locked_stays_locked(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *view, *grown;
	char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED && own != MAP_FAILED && mlock(p, 2 * PAGE) == 0 && mlock(own, PAGE) == 0);
	view = mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE);
	grown = mremap(own, PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(view != MAP_FAILED && grown != MAP_FAILED);
	errno = 0;
	CHECK_EQ(-1, msync(view, 2 * PAGE, MS_INVALIDATE));
	CHECK_EQ(EBUSY, errno);
	errno = 0;
	CHECK_EQ(-1, msync(grown + 7 * PAGE, PAGE, MS_INVALIDATE));
	CHECK_EQ(EBUSY, errno);
	munmap(p, 2 * PAGE), munmap(view, 2 * PAGE), munmap(grown, 8 * PAGE);
}

/* realloc of a large block is mremap: a thousand growths, the content always there. */
static void through_realloc(void)
{
	size_t size = 256 << 10;
	unsigned char *p = malloc(size);

	REQUIRE(p);
	for (size_t i = 0; i < size; i += 64)
		p[i] = (unsigned char)(i >> 6);
	for (int round = 0; round < 60; round++) {
		size += 64 << 10;
		p = realloc(p, size);
		REQUIRE(p);
		for (size_t i = size - (64 << 10); i < size; i += 64)
			p[i] = (unsigned char)(i >> 6);
		bool right = true;
		for (size_t i = 0; i < size; i += 4096)
			right = right && p[i] == (unsigned char)(i >> 6);
		CHECK(right);
	}
	free(p);
}

int main(void)
{
	trap_install(0);
	in_place();
	blocked_then_moved();
	locked_stays_locked();
	fixed();
	refused();
	large();
	after_fork();
	files_and_protection();
	second_view();
	through_realloc();
	return check_end();
}
