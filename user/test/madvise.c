/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * madvise: DONTNEED gives private memory back as zeroes and a file's content anew; WIPEONFORK and
 * DONTFORK say what a child inherits; advice that is only advice changes nothing that can be seen.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	for (size_t i = 0; i < pages; i++)
		*(size_t *)(p + i * PAGE) = i + 1;
	return p;
}

static void dontneed(void)
{
	char *p = map(1200); /* more than two windows of 2 MiB */

	CHECK_OK(madvise(p + 10 * PAGE, 1000 * PAGE, MADV_DONTNEED));
	for (size_t i = 0; i < 1200; i++)
		CHECK_EQ(i >= 10 && i < 1010 ? 0 : i + 1, *(size_t *)(p + i * PAGE));
	CHECK_NO_TRAP(WRITE(p + 20 * PAGE));
	for (int i = 0; i < 100; i++) {
		*(int *)(p + PAGE) = i + 1;
		CHECK_OK(madvise(p + PAGE, 1, MADV_DONTNEED)); /* the length is rounded up */
		CHECK_EQ(0, *(int *)(p + PAGE));
	}
	CHECK_EQ(1, *(size_t *)p);
	CHECK_EQ(3, *(size_t *)(p + 2 * PAGE));

	CHECK_ERR(EINVAL, madvise(p + 1, PAGE, MADV_DONTNEED));
	CHECK_ERR(EINVAL, madvise(p, PAGE, 12345));
	CHECK_ERR(EINVAL, madvise(p, (size_t)-PAGE + 1, MADV_DONTNEED));
	CHECK_OK(madvise(p, 0, MADV_DONTNEED));
	munmap(p + 2 * PAGE, PAGE);
	CHECK_ERR(ENOMEM, madvise(p, 4 * PAGE, MADV_DONTNEED)); /* a hole, yet what is there is done */
	CHECK_EQ(0, *(size_t *)p);
	CHECK_EQ(0, *(size_t *)(p + 3 * PAGE));
	munmap(p, 1200 * PAGE);
}

/* After fork the frames are shared: giving them up in one process leaves them to the other. */
static void dontneed_after_fork(void)
{
	char *p = map(64);

	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_OK(madvise(p, 32 * PAGE, MADV_DONTNEED));
		for (size_t i = 0; i < 64; i++)
			CHECK_EQ(i < 32 ? 0 : i + 1, *(size_t *)(p + i * PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	for (size_t i = 0; i < 64; i++)
		CHECK_EQ(i + 1, *(size_t *)(p + i * PAGE));
	munmap(p, 64 * PAGE);
}

static void dontneed_of_files(void)
{
	int fd = open("/etc/strata/testfile", O_RDONLY);
	char *private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(fd >= 0 && private != MAP_FAILED && shared != MAP_FAILED);
	memset(private, 'p', 2 * PAGE);
	CHECK_OK(madvise(private, PAGE, MADV_DONTNEED));
	CHECK_EQ(7, private[1]); /* the file again */
	CHECK_EQ('p', private[PAGE + 1]);
	memset(shared, 's', 4 * PAGE);
	CHECK_OK(madvise(shared, 4 * PAGE, MADV_DONTNEED));
	CHECK_EQ('s', shared[3 * PAGE]); /* shared memory is the object's, not the mapping's */
	munmap(private, 4 * PAGE), munmap(shared, 4 * PAGE);
	close(fd);
}

static void wipe_on_fork(void)
{
	char *p = map(6);

	CHECK_OK(madvise(p + PAGE, 2 * PAGE, MADV_WIPEONFORK));
	pid_t pid = check_fork();
	if (pid == 0) {
		for (size_t i = 0; i < 6; i++)
			CHECK_EQ(i == 1 || i == 2 ? 0 : i + 1, *(size_t *)(p + i * PAGE));
		*(size_t *)(p + PAGE) = 55;
		pid = check_fork(); /* the mark is inherited */
		if (pid == 0) {
			CHECK_EQ(0, *(size_t *)(p + PAGE));
			_exit(check_end());
		}
		CHECK_CHILD(pid);
		CHECK_EQ(55, *(size_t *)(p + PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	for (size_t i = 0; i < 6; i++)
		CHECK_EQ(i + 1, *(size_t *)(p + i * PAGE));
	CHECK_OK(madvise(p + PAGE, 2 * PAGE, MADV_KEEPONFORK));
	pid = check_fork();
	if (pid == 0) {
		for (size_t i = 0; i < 6; i++)
			CHECK_EQ(i + 1, *(size_t *)(p + i * PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	munmap(p, 6 * PAGE);
	p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK_ERR(EINVAL, madvise(p, PAGE, MADV_WIPEONFORK)); /* private anonymous memory only */
	munmap(p, PAGE);
}

static void dont_fork(void)
{
	char *p = map(6);

	CHECK_OK(madvise(p + 3 * PAGE, PAGE, MADV_DONTFORK));
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 3 * PAGE, READ(p + 3 * PAGE));
		CHECK_EQ(3, *(size_t *)(p + 2 * PAGE));
		CHECK_EQ(5, *(size_t *)(p + 4 * PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(4, *(size_t *)(p + 3 * PAGE));
	CHECK_OK(madvise(p + 3 * PAGE, PAGE, MADV_DOFORK));
	pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(4, *(size_t *)(p + 3 * PAGE));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	munmap(p, 6 * PAGE);
}

static void only_advice(void)
{
	static const int advice[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED};
	char *p = map(4);

	for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
		CHECK_OK(madvise(p, 4 * PAGE, advice[i]));
	for (size_t i = 0; i < 4; i++)
		CHECK_EQ(i + 1, *(size_t *)(p + i * PAGE));
	munmap(p, 4 * PAGE);
}

/*
 * One thread gives pages up while others write to them: a reader must see what it wrote or zero,
 * never what another page or process held.
 */
enum { RACE_PAGES = 64, RACE_ROUNDS = 300, RACERS = 3 };
static char *race;
static volatile int race_over;

/* What mlock keeps is not given up. Found by fuzzing. */
static void locked(void)
{
	char *p = map(4);

	memset(p, 1, 4 * PAGE);
	CHECK_OK(mlock(p + PAGE, PAGE));
	CHECK_ERR(EINVAL, madvise(p, 4 * PAGE, MADV_DONTNEED));
	CHECK_EQ(0, p[0]); /* done up to there */
	CHECK_EQ(1, p[PAGE]);
	CHECK_EQ(1, p[2 * PAGE]);
	CHECK_ERR(EINVAL, madvise(p + PAGE, PAGE, MADV_FREE));
	CHECK_ERR(EINVAL, madvise(p + PAGE, PAGE, MADV_COLD));
	CHECK_ERR(EINVAL, madvise(p + PAGE, PAGE, MADV_PAGEOUT));
	CHECK_ERR(EBUSY, msync(p, 4 * PAGE, MS_ASYNC | MS_INVALIDATE));
	CHECK_OK(msync(p, 4 * PAGE, MS_ASYNC));
	CHECK_OK(munlock(p, 4 * PAGE));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DONTNEED));
	CHECK_EQ(0, p[PAGE]);
	munmap(p, 4 * PAGE);
}

/* Two switches: whether fork copies, and whether the copy is empty. Found by fuzzing. */
static void two_switches(void)
{
	char *p = map(3);
	pid_t pid;

	memset(p, 1, 3 * PAGE);
	CHECK_OK(madvise(p, PAGE, MADV_DONTFORK));
	CHECK_OK(madvise(p, 3 * PAGE, MADV_WIPEONFORK)); /* the first page stays behind all the same */
	CHECK_OK(madvise(p + 2 * PAGE, PAGE, MADV_DONTFORK));
	CHECK_OK(madvise(p + PAGE, 2 * PAGE, MADV_DOFORK)); /* both are wiped still */
	pid = check_fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p, READ(p));
		CHECK_EQ(0, p[PAGE]);
		CHECK_EQ(0, p[2 * PAGE]);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	munmap(p, 3 * PAGE);
}

static void *racer(void *argument)
{
	size_t me = (size_t)argument;

	for (size_t n = 0; !race_over; n++) {
		size_t page = n % RACE_PAGES;
		volatile size_t *word = (volatile size_t *)(race + page * PAGE) + me;
		size_t value = (page << 8 | me) + 1;
		*word = value;
		size_t seen = *word;
		if (seen != 0 && seen != value)
			CHECK_EQ(value, seen);
	}
	return NULL;
}

static void dontneed_race(void)
{
	pthread_t threads[RACERS];

	race = map(RACE_PAGES);
	memset(race, 0, RACE_PAGES * PAGE);
	for (size_t i = 0; i < RACERS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, racer, (void *)i) == 0);
	for (int round = 0; round < RACE_ROUNDS; round++) {
		size_t first = (size_t)(round * 7) % RACE_PAGES;
		CHECK_OK(madvise(race + first * PAGE, (RACE_PAGES - first) * PAGE, MADV_DONTNEED));
		munmap(map(8), 8 * PAGE); /* takes freed frames and leaves numbers in them */
	}
	race_over = 1;
	for (size_t i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	munmap(race, RACE_PAGES * PAGE);
}

#define POPULATE_PAGES 16
#define POPULATE_ROUNDS 3000

static char *populated;
static volatile int populate_over;

static void *taker(void *arg)
{
	(void)arg;
	while (!populate_over) {
		mprotect(populated, POPULATE_PAGES * PAGE, PROT_NONE);
		mprotect(populated, POPULATE_PAGES * PAGE, PROT_READ | PROT_WRITE);
		munmap(populated + PAGE, 8 * PAGE);
		mmap(populated + PAGE, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	return NULL;
}

/* Another thread takes rights and mappings while pages are made: madvise(2)'s errors, no others. */
static void populate_race(void)
{
	pthread_t thread;

	populated = map(POPULATE_PAGES);
	REQUIRE(pthread_create(&thread, NULL, taker, NULL) == 0);
	for (int round = 0; round < POPULATE_ROUNDS; round++) {
		madvise(populated, POPULATE_PAGES * PAGE, MADV_DONTNEED);
		if (madvise(populated, POPULATE_PAGES * PAGE, round & 1 ? MADV_POPULATE_READ : MADV_POPULATE_WRITE))
			CHECK(errno == EINVAL || errno == ENOMEM);
	}
	populate_over = 1;
	pthread_join(thread, NULL);
	munmap(populated, POPULATE_PAGES * PAGE);
}

int main(void)
{
	trap_install(0);
	dontneed();
	dontneed_after_fork();
	dontneed_of_files();
	wipe_on_fork();
	dont_fork();
	only_advice();
	locked();
	two_switches();
	dontneed_race();
	populate_race();
	return check_end();
}
