/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Concurrency in one address space: threads map, touch, protect, give up, move and unmap in one
 * arena while others read it without asking, others fill freed frames with junk, and one forks.
 *
 *   torture [threads [seconds [seed]]]
 *
 * The arena is CELLS cells of CELL_PAGES pages. A model says for each page whether it is mapped,
 * with what protection, and which value it holds (0: zero). Who wants to change something locks the one to
 * four adjacent cells it is about, verifies some of it against the model, makes one system call over a range that may
 * begin and end anywhere in these cells, and updates the model. So neighbouring ranges change at the same time, entries
 * are split and merged across cells, and leaf tables are shared by all.
 *
 * Values are TAG | sequence. Who reads without a lock cannot know the value, but knows that it is 0
 * or has this process's tag: junk, or the tag of a forked child, means that a frame was reached
 * that belongs to somebody else (a stale TLB entry, a frame freed too early, copy-on-write that
 * was not copied). Faults are caught and are right in that case.
 *
 * A child of fork reads the whole arena under the same rule, writes its own tag where it may, and
 * ends: neither may disturb the parent.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define CELLS 96
#define CELL_PAGES 16
#define PAGES (CELLS * CELL_PAGES) /* 6 MiB: several leaf tables */
#define SPAN_CELLS 4
#define TAG 0x57a7000000000000u
#define CHILD_TAG 0xc41d000000000000u
#define JUNK_BYTES (64 * PAGE)
#define JUNK 0xbadbadbadbadbadu

struct model {
	bool mapped;
	int prot;
	uint64_t value;
};

/* Guarded by the lock of the page's cell. */
static struct model model[PAGES];
static pthread_mutex_t locks[CELLS];
static char *arena;
static _Atomic uint64_t sequence;
static _Atomic unsigned long operations, stray_reads, forks;
static volatile int go, over;

/* ---- accesses that may fault ---- */

static __thread sigjmp_buf back;
static __thread int code;

static void caught(int number, siginfo_t *info, void *context)
{
	(void)context;
	code = info->si_code;
	siglongjmp(back, number);
}

/* => 0, or the si_code of the SIGSEGV that it raised */
static int try_read(const volatile uint64_t *at, uint64_t *value)
{
	if (sigsetjmp(back, 0) != 0)
		return code;
	*value = *at;
	return 0;
}

static int try_write(volatile uint64_t *at, uint64_t value)
{
	if (sigsetjmp(back, 0) != 0)
		return code;
	*at = value;
	return 0;
}

static volatile uint64_t *word(size_t page, size_t which)
{
	return (volatile uint64_t *)(arena + page * PAGE) + (which ? 511 - which : 0);
}

/* The page must be what the model says; called with its cell locked. */
static void verify(size_t page)
{
	const struct model *m = &model[page];
	uint64_t value = 0;
	int got = try_read(word(page, page % 3), &value);
	int want = !m->mapped ? SEGV_MAPERR : m->prot == PROT_NONE ? SEGV_ACCERR : 0;

	if (got != want)
		check_failed(__FILE__, __LINE__, "read of page %zu (mapped %d, prot %d): expected code %d, got %d",
			     page, m->mapped, m->prot, want, got);
	else if (got == 0 && value != m->value)
		check_failed(__FILE__, __LINE__, "page %zu: expected 0x%lx, got 0x%lx", page, m->value, value);
}

static void write_page(size_t page)
{
	struct model *m = &model[page];
	uint64_t value = TAG | ++sequence;
	int want = !m->mapped ? SEGV_MAPERR : !(m->prot & PROT_WRITE) ? SEGV_ACCERR : 0;
	int got = try_write(word(page, 0), value);

	if (got != want)
		check_failed(__FILE__, __LINE__, "write to page %zu (mapped %d, prot %d): expected code %d, got %d",
			     page, m->mapped, m->prot, want, got);
	if (got == 0) {
		*word(page, 1) = *word(page, 2) = value;
		m->value = value;
	}
}

/* ---- one operation, the cells of [first, end) locked ---- */

static void set(size_t first, size_t end, struct model to, bool keep_value)
{
	for (size_t i = first; i < end; i++) {
		uint64_t value = model[i].value;
		model[i] = to;
		if (keep_value)
			model[i].value = value;
	}
}

/* The pages of the range that are mapped in one piece from `first` on. */
static size_t mapped_from(size_t first, size_t end)
{
	while (first < end && model[first].mapped)
		first++;
	return first;
}

static void move(size_t first, size_t end)
{
	size_t count = (end - first) / 2, to = first + count + (end - first) % 2;

	/* mremap moves one mapping: same protection all along, and adjacent ranges may not be one mapping to the kernel
	 */
	for (size_t i = 0; i < count; i++)
		if (!model[first + i].mapped)
			return;
	for (size_t i = 0; i < count; i++) { /* page by page: a page is always one mapping */
		void *p = mremap(arena + (first + i) * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				 arena + (to + i) * PAGE);
		CHECK_EQ((uintptr_t)(arena + (to + i) * PAGE), (uintptr_t)p);
		model[to + i] = model[first + i];
		model[first + i] = (struct model){0};
	}
}

static void operate(size_t first, size_t end, unsigned choice, unsigned *seed)
{
	static const int prots[] = {PROT_NONE, PROT_READ, RW, RW};
	char *at = arena + first * PAGE;
	size_t bytes = (end - first) * PAGE;
	int prot = prots[rand_r(seed) % 4];

	switch (choice % 10) {
	case 0:
	case 1: /* map anew */
		CHECK_EQ((uintptr_t)at, (uintptr_t)mmap(at, bytes, RW, ANON | MAP_FIXED, -1, 0));
		set(first, end, (struct model){true, RW, 0}, false);
		break;
	case 2: /* unmap, holes and all */
		CHECK_OK(munmap(at, bytes));
		set(first, end, (struct model){0}, false);
		break;
	case 3:
	case 4:
		end = mapped_from(first, end);
		if (end > first) {
			CHECK_OK(mprotect(at, (end - first) * PAGE, prot));
			set(first, end, (struct model){true, prot, 0}, true);
		}
		break;
	case 5:
		end = mapped_from(first, end);
		if (end > first) {
			CHECK_OK(madvise(at, (end - first) * PAGE, MADV_DONTNEED));
			for (size_t i = first; i < end; i++)
				model[i].value = 0;
		}
		break;
	case 6:
		move(first, end);
		break;
	default:
		for (size_t i = first; i < end; i++)
			write_page(i);
	}
}

static void *mutator(void *argument)
{
	unsigned seed = (unsigned)(size_t)argument * 7919 + 1;

	while (!go)
		sched_yield();
	while (!over) {
		size_t cells = 1 + (size_t)rand_r(&seed) % SPAN_CELLS;
		size_t cell = (size_t)rand_r(&seed) % (CELLS - cells + 1);
		size_t low = cell * CELL_PAGES, high = (cell + cells) * CELL_PAGES;
		size_t first = low + (size_t)rand_r(&seed) % (high - low);
		size_t end = first + 1 + (size_t)rand_r(&seed) % (high - first);

		for (size_t i = 0; i < cells; i++)
			pthread_mutex_lock(&locks[cell + i]); /* in rising order: no circle */
		for (size_t i = 0; i < 6; i++)
			verify(low + (size_t)rand_r(&seed) % (high - low));
		operate(first, end, (unsigned)rand_r(&seed), &seed);
		for (size_t i = 0; i < 6; i++)
			verify(first > low && i == 0  ? first - 1
			       : end < high && i == 1 ? end
						      : first + (size_t)rand_r(&seed) % (end - first));
		for (size_t i = cells; i > 0; i--)
			pthread_mutex_unlock(&locks[cell + i - 1]);
		operations++;
	}
	return NULL;
}

/* Reads without a lock: right is a fault, zero, or a value with the tag. */
static void stray_read(size_t page, uint64_t tag)
{
	uint64_t value = 0;

	if (try_read(word(page, page % 3), &value) == 0 && value != 0 && value >> 48 != tag >> 48)
		check_failed(__FILE__, __LINE__, "page %zu, read without a lock: expected 0 or tag 0x%lx, got 0x%lx",
			     page, (unsigned long)(tag >> 48), value);
}

static void *stray(void *argument)
{
	unsigned seed = (unsigned)(size_t)argument * 104729 + 3;

	while (!over) {
		stray_read((size_t)rand_r(&seed) % PAGES, TAG);
		stray_reads++;
	}
	return NULL;
}

/*
 * Takes frames, fills them with junk, gives them back: whoever still looks at them sees it. In a place of
 * its own, since a free choice of address might fall into a hole of the arena.
 */
static void *junk(void *argument)
{
	unsigned seed = (unsigned)(size_t)argument * 31 + 5;
	uint64_t *place = mmap(NULL, JUNK_BYTES, PROT_NONE, ANON, -1, 0);

	REQUIRE(place != MAP_FAILED);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE); /* the last mapping that may fall anywhere: the others can begin */
	while (!over) {
		size_t bytes = (1 + (size_t)rand_r(&seed) % 64) * PAGE;
		uint64_t *p = mmap(place, bytes, RW, ANON | MAP_FIXED, -1, 0);
		REQUIRE(p == place);
		for (size_t i = 0; i < bytes / sizeof *p; i += 8) {
			if (i % 512 == 0)
				CHECK_EQ(0, p[i]);
			p[i] = p[i + 7] = p[i + 6] = JUNK;
		}
		REQUIRE(mmap(place, bytes, PROT_NONE, ANON | MAP_FIXED, -1, 0) == place);
	}
	return NULL;
}

static void in_child(void)
{
	for (size_t page = 0; page < PAGES; page++) {
		stray_read(page, TAG);
		if (page % 3 == 0 && try_write(word(page, 0), CHILD_TAG | page) == 0 &&
		    *word(page, 0) != (CHILD_TAG | page))
			check_failed(__FILE__, __LINE__, "child, page %zu: expected what was written, got 0x%lx", page,
				     *word(page, 0));
	}
	munmap(arena + PAGES / 4 * PAGE, PAGES / 2 * PAGE);
	for (size_t page = 0; page < PAGES / 4; page += 3) {
		uint64_t value = 0;
		if (try_read(word(page, 0), &value) == 0 && value != 0 && value >> 48 != CHILD_TAG >> 48 &&
		    value >> 48 != TAG >> 48)
			check_failed(__FILE__, __LINE__, "child, page %zu: expected a value of its own, got 0x%lx",
				     page, value);
	}
	_exit(check_end());
}

static void *forker(void *unused)
{
	struct timespec t = {0, 10000000};

	(void)unused;
	while (!over) {
		pid_t pid = check_fork();
		REQUIRE(pid >= 0);
		if (pid == 0)
			in_child();
		CHECK_CHILD(pid);
		forks++;
		nanosleep(&t, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t mutators = argc > 1 ? strtoul(argv[1], NULL, 0) : 4, count = 0;
	unsigned seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 5;
	size_t seed = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
	pthread_t threads[70];

	REQUIRE(mutators > 0 && mutators <= 64);
	sigaction(SIGSEGV, &action, NULL);
	arena = mmap(NULL, PAGES * PAGE, RW, ANON, -1, 0);
	REQUIRE(arena != MAP_FAILED);
	for (size_t i = 0; i < CELLS; i++)
		pthread_mutex_init(&locks[i], NULL);
	set(0, PAGES, (struct model){true, RW, 0}, false);
	for (size_t i = 0; i < mutators; i++)
		REQUIRE(pthread_create(&threads[count++], NULL, mutator, (void *)(seed * 100 + i)) == 0);
	REQUIRE(pthread_create(&threads[count++], NULL, stray, (void *)(seed * 100 + 90)) == 0);
	REQUIRE(pthread_create(&threads[count++], NULL, forker, NULL) == 0);
	REQUIRE(pthread_create(&threads[count++], NULL, junk, (void *)(seed * 100 + 91)) ==
		0); /* starts the mutators */
	sleep(seconds);
	over = 1;
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (size_t page = 0; page < PAGES; page++)
		verify(page);
	CHECK(operations > 0 && stray_reads > 0 && forks > 0);
	if (argc > 1)
		printf("torture: %lu operations, %lu stray reads, %lu forks\n", operations, stray_reads, forks);
	return check_end();
}
