/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmap: what it returns, where it puts it, what it refuses.
 *
 * Each function takes one promise of mmap(2). Ranges for fixed mappings come from a PROT_NONE
 * reservation, so that a test never maps over something that it does not own.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define TESTFILE "/etc/strata/testfile"

static char *map(size_t bytes, int prot)
{
	char *p = mmap(NULL, bytes, prot, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static bool all_equal(const char *p, size_t bytes, char value)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void zero_filled_and_rounded(void)
{
	char *p = map(3 * PAGE + 1, RW);

	CHECK_EQ(0, (uintptr_t)p % PAGE);
	CHECK(all_equal(p, 4 * PAGE, 0)); /* the length is rounded up to whole pages */
	memset(p, 'x', 4 * PAGE);
	CHECK(all_equal(p, 4 * PAGE, 'x'));
	CHECK_OK(munmap(p, 3 * PAGE + 1));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 3 * PAGE, READ(p + 3 * PAGE));
}

static void protections(void)
{
	char *none = map(PAGE, PROT_NONE), *ro = map(PAGE, PROT_READ), *rx = map(PAGE, PROT_READ | PROT_EXEC);

	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, none, READ(none));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, none + 5, WRITE(none + 5));
	CHECK_NO_TRAP(READ(ro));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, ro + 123, WRITE(ro + 123));
	CHECK_NO_TRAP(READ(rx));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, rx + 7, WRITE(rx + 7));
	CHECK_EQ(0, ro[0]);
	munmap(none, PAGE), munmap(ro, PAGE), munmap(rx, PAGE);
}

static void refused(void)
{
	char *p = map(4 * PAGE, RW);
	int file = open(TESTFILE, O_RDONLY), dir = open("/etc", O_RDONLY | O_DIRECTORY), pipes[2];

	REQUIRE(file >= 0 && dir >= 0 && pipe(pipes) == 0);
	CHECK_ERR(EINVAL, mmap(NULL, 0, RW, ANON, -1, 0));
	CHECK_ERR(EINVAL, mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	CHECK_ERR(EINVAL, mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK_ERR(EINVAL, mmap(p + 1, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_ERR(EINVAL, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 1));
	CHECK_ERR(EINVAL, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 2048));
	CHECK_ERR(EBADF, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0));
	CHECK_ERR(EBADF, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 1000, 0));
	CHECK_ERR(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0));
	CHECK_ERR(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0));
	CHECK_ERR(EACCES, mmap(NULL, PAGE, RW, MAP_SHARED, file, 0));
	CHECK_ERR(ENOMEM, mmap(NULL, (size_t)-1 & ~(PAGE - 1), RW, ANON, -1, 0));
	CHECK_ERR(ENOMEM, mmap(NULL, (size_t)-1, RW, ANON, -1, 0));
	CHECK_ERR(ENOMEM, mmap(NULL, 1UL << 48, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	CHECK_ERR(ENOMEM, mmap(NULL, 1UL << 60, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	/* beyond the top of user space, by address and by length */
	CHECK_ERR(ENOMEM, mmap((void *)(1UL << 48), PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK_ERR(ENOMEM, mmap((void *)((1UL << 48) - PAGE), 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK_ERR(ENOMEM, mmap((void *)0xffff000000000000UL, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK_ERR(ENOMEM, mmap((void *)(-PAGE), PAGE, RW, ANON | MAP_FIXED, -1, 0));
	close(file), close(dir), close(pipes[0]), close(pipes[1]);
	munmap(p, 4 * PAGE);
}

static void hints(void)
{
	char *room = map(8 * PAGE, PROT_NONE), *p, *q;

	munmap(room, 8 * PAGE);
	p = mmap(room + 2 * PAGE, PAGE, RW, ANON, -1, 0); /* free: the hint is taken */
	CHECK_EQ((uintptr_t)(room + 2 * PAGE), (uintptr_t)p);
	q = mmap(room + 4 * PAGE + 17, PAGE, RW, ANON, -1, 0); /* rounded to a page, not refused */
	CHECK(q != MAP_FAILED && (uintptr_t)q % PAGE == 0);
	munmap(q, PAGE);
	p[0] = 'p';
	q = mmap(room + PAGE, 2 * PAGE, RW, ANON, -1, 0); /* collides: goes elsewhere, replaces nothing */
	CHECK(q != MAP_FAILED && q != room + PAGE);
	CHECK_EQ('p', p[0]);
	munmap(q, 2 * PAGE);
	q = mmap((void *)(1UL << 50), PAGE, RW, ANON, -1, 0); /* a hint that cannot be is only a hint */
	CHECK(q != MAP_FAILED);
	munmap(q, PAGE), munmap(p, PAGE);
}

static void fixed_replaces(void)
{
	char *p = map(8 * PAGE, RW);

	memset(p, 'a', 8 * PAGE);
	CHECK_EQ((uintptr_t)(p + 3 * PAGE), (uintptr_t)mmap(p + 3 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK(all_equal(p, 3 * PAGE, 'a'));
	CHECK(all_equal(p + 3 * PAGE, 2 * PAGE, 0));
	CHECK(all_equal(p + 5 * PAGE, 3 * PAGE, 'a'));
	memset(p + 3 * PAGE, 'b', 2 * PAGE);
	/* one fixed mapping over parts of three others and a hole */
	munmap(p + 5 * PAGE, PAGE);
	mprotect(p + 6 * PAGE, PAGE, PROT_READ);
	CHECK_EQ((uintptr_t)(p + 4 * PAGE), (uintptr_t)mmap(p + 4 * PAGE, 3 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK(all_equal(p + 2 * PAGE, PAGE, 'a'));
	CHECK(all_equal(p + 3 * PAGE, PAGE, 'b'));
	CHECK(all_equal(p + 4 * PAGE, 3 * PAGE, 0));
	CHECK(all_equal(p + 7 * PAGE, PAGE, 'a'));
	CHECK_NO_TRAP(WRITE(p + 6 * PAGE));
	/* many times over the same page: always fresh */
	for (int i = 0; i < 200; i++) {
		p[PAGE] = 'z';
		REQUIRE(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + PAGE);
		CHECK_EQ(0, p[PAGE]);
	}
	CHECK(all_equal(p, PAGE, 'a'));
	munmap(p, 8 * PAGE);
}

static void fixed_noreplace(void)
{
	char *p = map(6 * PAGE, RW);

	memset(p, 'n', 6 * PAGE);
	munmap(p + 2 * PAGE, 2 * PAGE);
	CHECK_ERR(EEXIST, mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_ERR(EEXIST, mmap(p + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_ERR(EEXIST, mmap(p + 3 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_EQ((uintptr_t)(p + 2 * PAGE),
		 (uintptr_t)mmap(p + 2 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK(all_equal(p + 2 * PAGE, 2 * PAGE, 0));
	CHECK(all_equal(p, 2 * PAGE, 'n') && all_equal(p + 4 * PAGE, 2 * PAGE, 'n'));
	munmap(p, 6 * PAGE);
}

/* Reservations cost nothing; a page in the middle of one is as good as any. */
static void sparse(void)
{
	size_t size = 64UL << 30;
	char *p = mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	REQUIRE(p != MAP_FAILED);
	for (size_t at = 0; at < size; at += size / 32) {
		CHECK_OK(mprotect(p + at, PAGE, RW));
		p[at] = 'r';
		CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + at + PAGE, READ(p + at + PAGE));
	}
	for (size_t at = 0; at < size; at += size / 32)
		CHECK_EQ('r', p[at]);
	CHECK_OK(munmap(p, size));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p, READ(p));
}

static void shared_anonymous(void)
{
	int *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int *private = (int *)map(PAGE, RW);

	REQUIRE(p != MAP_FAILED);
	p[0] = 1, private[0] = 1;
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(1, p[0]);
		p[0] = 2, private[0] = 2;
		p[3 * PAGE / sizeof *p] = 33; /* a page that nobody had touched before the fork */
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(2, p[0]);
	CHECK_EQ(33, p[3 * PAGE / sizeof *p]);
	CHECK_EQ(1, private[0]);
	munmap(p, 4 * PAGE), munmap(private, PAGE);
}

static void populate_and_many(void)
{
	enum { COUNT = 500 };
	char *p = mmap(NULL, 64 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
	static char *each[COUNT];

	REQUIRE(p != MAP_FAILED);
	CHECK(all_equal(p, 64 * PAGE, 0));
	munmap(p, 64 * PAGE);
	/* Alternating protections keep the mappings apart. */
	for (int i = 0; i < COUNT; i++) {
		each[i] = map((size_t)(1 + i % 3) * PAGE, i & 1 ? RW : PROT_READ);
		if (i & 1)
			*(int *)each[i] = i;
	}
	for (int i = 1; i < COUNT; i += 2)
		CHECK_EQ(i, *(int *)each[i]);
	for (int i = 0; i < COUNT; i += 2)
		munmap(each[i], (size_t)(1 + i % 3) * PAGE);
	for (int i = 1; i < COUNT; i += 2) {
		CHECK_EQ(i, *(int *)each[i]);
		munmap(each[i], (size_t)(1 + i % 3) * PAGE);
	}
}

int main(void)
{
	trap_install(0);
	zero_filled_and_rounded();
	protections();
	refused();
	hints();
	fixed_replaces();
	fixed_noreplace();
	sparse();
	shared_anonymous();
	populate_and_many();
	return check_end();
}
