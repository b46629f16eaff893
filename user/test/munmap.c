/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * munmap: whole mappings, their parts, several at once with holes between, and what it refuses.
 * Every page carries its number, so that a page which went or stayed wrongly is seen.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <pthread.h>
#include <sys/mman.h>

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

/* Pages first..last-1 are there with their numbers, or gone. */
#define THERE(p, first, last) \
	for (size_t i = (first); i < (last); i++) \
	CHECK_EQ(i + 1, *(size_t *)((p) + i * PAGE))
#define GONE(p, first, last) \
	for (size_t i = (first); i < (last); i++) \
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, (p) + i * PAGE, READ((p) + i * PAGE))

static void parts(void)
{
	char *p = map(16);

	CHECK_OK(munmap(p, 2 * PAGE)); /* head */
	GONE(p, 0, 2);
	THERE(p, 2, 16);
	CHECK_OK(munmap(p + 14 * PAGE, 2 * PAGE)); /* tail */
	GONE(p, 14, 16);
	THERE(p, 2, 14);
	CHECK_OK(munmap(p + 7 * PAGE, 1)); /* middle; the length is rounded up */
	GONE(p, 7, 8);
	THERE(p, 2, 7);
	THERE(p, 8, 14);
	CHECK_OK(munmap(p + 5 * PAGE, 5 * PAGE)); /* across the hole */
	GONE(p, 5, 10);
	THERE(p, 2, 5);
	THERE(p, 10, 14);
	CHECK_OK(munmap(p, 16 * PAGE)); /* all that is left, holes and all */
	GONE(p, 0, 16);
	CHECK_OK(munmap(p, 16 * PAGE)); /* nothing there is no error */
}

static void across_mappings(void)
{
	char *p = map(12);

	REQUIRE(mprotect(p + 2 * PAGE, 3 * PAGE, PROT_READ) == 0);
	REQUIRE(mprotect(p + 5 * PAGE, PAGE, PROT_NONE) == 0);
	REQUIRE(mprotect(p + 8 * PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK_OK(munmap(p + 3 * PAGE, 6 * PAGE));
	THERE(p, 0, 3);
	GONE(p, 3, 9);
	THERE(p, 9, 12);
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + 9 * PAGE, WRITE(p + 9 * PAGE));
	CHECK_NO_TRAP(WRITE(p + 10 * PAGE));
	munmap(p, 12 * PAGE);
}

static void refused(void)
{
	char *p = map(2);

	CHECK_ERR(EINVAL, munmap(p, 0));
	CHECK_ERR(EINVAL, munmap(p + 1, PAGE));
	CHECK_ERR(EINVAL, munmap(p, (size_t)-1));
	CHECK_ERR(EINVAL, munmap((void *)(1UL << 48), PAGE));
	CHECK_ERR(EINVAL, munmap((void *)((1UL << 48) - PAGE), 2 * PAGE));
	CHECK_ERR(EINVAL, munmap((void *)0xffff000000000000UL, PAGE));
	CHECK_ERR(EINVAL, munmap((void *)-PAGE, PAGE));
	THERE(p, 0, 2);
	munmap(p, 2 * PAGE);
}

/* A range of many 2 MiB windows, touched here and there: the whole of it goes, the rest stays. */
static void wide(void)
{
	size_t window = 2UL << 20, count = 20;
	char *p = mmap(NULL, count * window, RW, ANON | MAP_NORESERVE, -1, 0);

	REQUIRE(p != MAP_FAILED);
	for (size_t i = 0; i < count; i++)
		*(size_t *)(p + i * window + (i * 37 % 512) * PAGE) = i + 1;
	CHECK_OK(munmap(p + 3 * window + PAGE, 12 * window));
	for (size_t i = 0; i < count; i++) {
		char *at = p + i * window + (i * 37 % 512) * PAGE;
		if (at >= p + 3 * window + PAGE && at < p + 15 * window + PAGE)
			CHECK_TRAP(SIGSEGV, SEGV_MAPERR, at, READ(at));
		else
			CHECK_EQ(i + 1, *(size_t *)at);
	}
	CHECK_OK(munmap(p, count * window));
	for (size_t i = 0; i < count; i++)
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + i * window, READ(p + i * window));
}

/* What is unmapped and mapped again is empty, on this CPU and on every other. */
static char *shared_page;
static pthread_barrier_t turn;

static void *watcher(void *unused)
{
	(void)unused;
	for (long i = 0; i < 200; i++) {
		pthread_barrier_wait(&turn); /* the page was written */
		CHECK_EQ(i + 1, *(volatile long *)shared_page);
		pthread_barrier_wait(&turn); /* and is now replaced */
		pthread_barrier_wait(&turn);
		CHECK_EQ(0, *(volatile long *)shared_page);
		pthread_barrier_wait(&turn); /* all have looked */
	}
	return NULL;
}

static void seen_by_other_threads(void)
{
	pthread_t threads[3];

	shared_page = map(1);
	pthread_barrier_init(&turn, NULL, 4);
	for (int i = 0; i < 3; i++)
		REQUIRE(pthread_create(&threads[i], NULL, watcher, NULL) == 0);
	for (long i = 0; i < 200; i++) {
		*(volatile long *)shared_page = i + 1;
		pthread_barrier_wait(&turn);
		pthread_barrier_wait(&turn);
		CHECK_OK(munmap(shared_page, PAGE));
		REQUIRE(mmap(shared_page, PAGE, RW, ANON | MAP_FIXED, -1, 0) == shared_page);
		pthread_barrier_wait(&turn);
		CHECK_EQ(0, *(volatile long *)shared_page);
		munmap(map(1), PAGE); /* writes to the frame just freed: a stale TLB entry would show it */
		pthread_barrier_wait(&turn);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	munmap(shared_page, PAGE);
}

int main(void)
{
	trap_install(0);
	parts();
	across_mappings();
	refused();
	wide();
	seen_by_other_threads();
	return check_end();
}
