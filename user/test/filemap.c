/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of a file of the initrd: the content by every way to it, private copies that stay
 * private, shared ones that are shared, zeroes to the end of the last page and SIGBUS beyond it.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PATH "/etc/strata/testfile"
#define SIZE 100003UL
#define PAGES ((SIZE + PAGE - 1) / PAGE)
#define RW (PROT_READ | PROT_WRITE)

static int fd;

static unsigned char byte_at(size_t i) { return i < SIZE ? (unsigned char)(i * 7 + i / 251) : 0; }

static bool same(const unsigned char *p, size_t from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != byte_at(from + i)) {
			check_failed(__FILE__, __LINE__, "byte %zu of the file: expected %u, got %u", from + i,
				     byte_at(from + i), p[i]);
			return false;
		}
	return true;
}

static unsigned char *map(int prot, int flags, size_t pages, size_t first)
{
	unsigned char *p = mmap(NULL, pages * PAGE, prot, flags, fd, (off_t)(first * PAGE));

	REQUIRE(p != MAP_FAILED);
	return p;
}

static void content(void)
{
	struct stat st;

	REQUIRE(fstat(fd, &st) == 0);
	CHECK_EQ(SIZE, st.st_size);
	for (int kind = 0; kind < 2; kind++) {
		int flags = kind ? MAP_SHARED : MAP_PRIVATE;
		unsigned char *whole = map(PROT_READ, flags, PAGES, 0);
		CHECK(same(whole, 0, PAGES * PAGE)); /* zeroes behind the end, to the end of the page */
		unsigned char *part = map(PROT_READ, flags, 3, 7);
		CHECK(same(part, 7 * PAGE, 3 * PAGE));
		CHECK_TRAP(SIGSEGV, SEGV_ACCERR, whole + 5, WRITE(whole + 5));
		munmap(whole, PAGES * PAGE), munmap(part, 3 * PAGE);
	}
}

static void beyond_the_end(void)
{
	static unsigned char *p;

	for (int kind = 0; kind < 2; kind++) {
		p = map(PROT_READ, kind ? MAP_SHARED : MAP_PRIVATE, PAGES + 3, 0);
		CHECK_NO_TRAP(READ(p + PAGES * PAGE - 1));
		CHECK_TRAP(SIGBUS, BUS_ADRERR, p + PAGES * PAGE, READ(p + PAGES * PAGE));
		CHECK_TRAP(SIGBUS, BUS_ADRERR, p + (PAGES + 2) * PAGE + 77, READ(p + (PAGES + 2) * PAGE + 77));
		munmap(p, (PAGES + 3) * PAGE);
	}
	p = map(RW, MAP_PRIVATE, 2, PAGES - 1);
	CHECK_TRAP(SIGBUS, BUS_ADRERR, p + PAGE + 9, WRITE(p + PAGE + 9));
	CHECK_NO_TRAP(WRITE(p + PAGE - 1)); /* behind the end but in the last page */
	munmap(p, 2 * PAGE);
	p = map(PROT_READ, MAP_PRIVATE, 1, 1000); /* far beyond: mapped, not accessible */
	CHECK_TRAP(SIGBUS, BUS_ADRERR, p, READ(p));
	munmap(p, PAGE);

	/* read(2) into such a page is EFAULT, not a signal */
	int pipes[2];
	p = map(RW, MAP_PRIVATE, 2, PAGES - 1);
	REQUIRE(pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1);
	CHECK_ERR(EFAULT, read(pipes[0], p + PAGE, 1));
	CHECK_ERR(EFAULT, write(pipes[1], p + PAGE, 1));
	close(pipes[0]), close(pipes[1]);
	munmap(p, 2 * PAGE);
}

static void private_stays_private(void)
{
	unsigned char *a = map(RW, MAP_PRIVATE, PAGES, 0), *b = map(RW, MAP_PRIVATE, PAGES, 0);
	unsigned char *shared = map(PROT_READ, MAP_SHARED, PAGES, 0), buffer[100];

	CHECK(same(b, 0, 3 * PAGE)); /* b has read some pages before a writes, others not */
	for (size_t i = 0; i < PAGES; i += 2)
		memset(a + i * PAGE, 0xa5, PAGE);
	CHECK(same(b, 0, PAGES * PAGE));
	CHECK(same(shared, 0, PAGES * PAGE));
	for (size_t i = 0; i < PAGES; i++)
		for (size_t j = 0; j < PAGE; j += 511)
			CHECK_EQ(i & 1 ? byte_at(i * PAGE + j) : 0xa5, a[i * PAGE + j]);
	CHECK_EQ(100, pread(fd, buffer, 100, 2 * PAGE));
	CHECK(same(buffer, 2 * PAGE, 100));

	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(0xa5, a[2 * PAGE]);
		memset(a, 0x5a, PAGES * PAGE);
		memset(b, 0x5a, 5 * PAGE);
		CHECK(same(b + 5 * PAGE, 5 * PAGE, (PAGES - 5) * PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(0xa5, a[2 * PAGE]);
	CHECK(same(a + PAGE, PAGE, PAGE));
	CHECK(same(b, 0, PAGES * PAGE));
	munmap(a, PAGES * PAGE), munmap(b, PAGES * PAGE), munmap(shared, PAGES * PAGE);
}

/* Writing through a shared mapping, where the file system has writable files at all. */
static void shared_is_shared(void)
{
	int writable = open(PATH, O_RDWR);

	if (writable < 0) {
		CHECK(errno == EROFS || errno == EACCES);
		return;
	}
	unsigned char *a = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, writable, 0);
	unsigned char *b = map(PROT_READ, MAP_SHARED, 2, 0), *c = map(RW, MAP_PRIVATE, 2, 0), buffer[4];
	REQUIRE(a != MAP_FAILED);
	*(volatile unsigned char *)(c + PAGE) = byte_at(PAGE); /* its own copy from here on */
	a[10] = 201;
	a[PAGE] = 202;
	CHECK_EQ(201, b[10]);
	CHECK_EQ(202, b[PAGE]);
	CHECK_EQ(byte_at(PAGE), c[PAGE]);
	CHECK_EQ(1, pread(fd, buffer, 1, 10));
	CHECK_EQ(201, buffer[0]);
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(201, a[10]);
		a[11] = 203;
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(203, a[11]);
	CHECK_EQ(203, b[11]);
	a[10] = byte_at(10), a[11] = byte_at(11), a[PAGE] = byte_at(PAGE);
	CHECK_OK(msync(a, 2 * PAGE, MS_SYNC));
	munmap(a, 2 * PAGE), munmap(b, 2 * PAGE), munmap(c, 2 * PAGE);
	close(writable);
}

/* The mapping outlives the descriptor; several processes and threads fault the same pages at once. */
static unsigned char *raced;

static void *reader(void *start)
{
	for (size_t n = 0; n < PAGES; n++) {
		size_t page = ((size_t)start + n) % PAGES;
		CHECK(same(raced + page * PAGE, page * PAGE, PAGE));
	}
	return NULL;
}

static void closed_and_raced(void)
{
	int again = open(PATH, O_RDONLY);
	unsigned char *p = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE, again, 0);

	REQUIRE(again >= 0 && p != MAP_FAILED);
	close(again);
	CHECK(same(p, 0, PAGES * PAGE));
	munmap(p, PAGES * PAGE);

	pid_t pids[4];
	for (size_t c = 0; c < 4; c++) {
		pids[c] = check_fork();
		if (pids[c] == 0) {
			pthread_t threads[4];
			for (int round = 0; round < 8; round++) {
				raced = map(round & 1 ? PROT_READ : RW, round & 1 ? MAP_SHARED : MAP_PRIVATE, PAGES, 0);
				for (size_t i = 0; i < 4; i++)
					REQUIRE(pthread_create(&threads[i], NULL, reader, (void *)(i * 3)) == 0);
				for (size_t i = 0; i < 4; i++)
					pthread_join(threads[i], NULL);
				munmap(raced, PAGES * PAGE);
			}
			_exit(check_end());
		}
	}
	for (size_t c = 0; c < 4; c++)
		CHECK_CHILD(pids[c]);
}

/* A user buffer may itself be a mapping that has not been touched: the kernel faults it in. */
static void kernel_touches_first(void)
{
	unsigned char *from = map(PROT_READ, MAP_PRIVATE, PAGES, 0);
	unsigned char *to = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pipes[2];

	REQUIRE(to != MAP_FAILED && pipe(pipes) == 0);
	for (size_t i = 0; i + 2000 < SIZE; i += 2000) {
		CHECK_EQ(2000, write(pipes[1], from + i, 2000));
		CHECK_EQ(2000, read(pipes[0], to + i, 2000));
	}
	CHECK(same(to, 0, SIZE / 2000 * 2000 - 2000));
	CHECK_EQ(SIZE, pread(fd, to, PAGES * PAGE, 0));
	CHECK(same(to, 0, SIZE));
	close(pipes[0]), close(pipes[1]);
	munmap(from, PAGES * PAGE), munmap(to, PAGES * PAGE);
}

/* What a mapping has written beyond the end does not become part of the file. */
static void growth_is_zeros(void)
{
	int memory = memfd_create("memory", 0);
	unsigned char *p, byte = 1;

	REQUIRE(memory >= 0 && ftruncate(memory, 100) == 0);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, memory, 0);
	REQUIRE(p != MAP_FAILED);
	memset(p, 7, PAGE);
	CHECK_EQ(0, ftruncate(memory, 200));
	CHECK_EQ(1, pwrite(memory, &byte, 1, 300));
	CHECK_EQ(0, ftruncate(memory, 2 * PAGE));
	for (size_t i = 0; i < PAGE; i++)
		CHECK_EQ(i < 100 ? 7 : i == 300 ? 1 : 0, p[i]);
	munmap(p, PAGE), close(memory);
}

int main(void)
{
	trap_install(0);
	fd = open(PATH, O_RDONLY);
	REQUIRE(fd >= 0);
	content();
	beyond_the_end();
	private_stays_private();
	shared_is_shared();
	closed_and_raced();
	kernel_touches_first();
	growth_is_zeros();
	return check_end();
}
