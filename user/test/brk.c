/* SPDX-License-Identifier: BSD-2-Clause */
/* brk: the break moves by bytes, memory by pages; new pages are zero; it stops where it must. */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* The system call: it returns the break, the old one when it could not be moved. */
static uintptr_t brk_to(uintptr_t at) { return (uintptr_t)syscall(SYS_brk, at); }

static uintptr_t up(uintptr_t at) { return (at + PAGE - 1) & -PAGE; }

static void grow_and_shrink(void)
{
	uintptr_t start = brk_to(0);
	uintptr_t base = up(start);

	CHECK_EQ(start, brk_to(0));
	CHECK_EQ(base + 10 * PAGE, brk_to(base + 10 * PAGE));
	for (size_t i = 0; i < 10; i++) {
		CHECK_EQ(0, *(size_t *)(base + i * PAGE));
		*(size_t *)(base + i * PAGE) = i + 1;
	}
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, base + 10 * PAGE, READ(base + 10 * PAGE));
	CHECK_EQ(base + 10 * PAGE + 1, brk_to(base + 10 * PAGE + 1)); /* one byte is one page */
	CHECK_NO_TRAP(WRITE(base + 11 * PAGE - 1));
	CHECK_EQ(base + 4 * PAGE, brk_to(base + 4 * PAGE));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, base + 4 * PAGE, READ(base + 4 * PAGE));
	CHECK_EQ(base + 10 * PAGE, brk_to(base + 10 * PAGE));
	for (size_t i = 0; i < 10; i++)
		CHECK_EQ(i < 4 ? i + 1 : 0, *(size_t *)(base + i * PAGE));
	for (int i = 0; i < 300; i++) {
		REQUIRE(brk_to(base + 12 * PAGE) == base + 12 * PAGE);
		CHECK_EQ(0, *(char *)(base + 11 * PAGE));
		*(char *)(base + 11 * PAGE) = 1;
		REQUIRE(brk_to(base + 11 * PAGE) == base + 11 * PAGE);
	}
	CHECK_EQ(start, brk_to(start));
}

static void refused(void)
{
	uintptr_t start = brk_to(0), base = up(start);

	CHECK_EQ(start, brk_to(1)); /* below the heap */
	CHECK_EQ(start, brk_to(1UL << 48));
	CHECK_EQ(start, brk_to(0xffff000000000000UL));
	CHECK_EQ(start, brk_to((uintptr_t)-1));
	/* a mapping in the way */
	char *wall = mmap((void *)(base + 16 * PAGE), PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	REQUIRE(wall == (char *)(base + 16 * PAGE));
	wall[0] = 'w';
	CHECK_EQ(start, brk_to(base + 17 * PAGE));
	CHECK_EQ(start, brk_to(base + 100 * PAGE));
	CHECK_EQ(base + 8 * PAGE, brk_to(base + 8 * PAGE));
	CHECK_EQ('w', wall[0]);
	CHECK_EQ(start, brk_to(start));
	munmap(wall, PAGE);
}

static void with_fork_and_malloc(void)
{
	char *heap = sbrk(4 * PAGE);

	REQUIRE(heap != (void *)-1);
	memset(heap, 'p', 4 * PAGE);
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ((uintptr_t)heap + 4 * PAGE, (uintptr_t)sbrk(0));
		CHECK_EQ('p', heap[PAGE]);
		memset(heap, 'c', 4 * PAGE);
		CHECK(sbrk(100 * PAGE) != (void *)-1);
		CHECK_EQ(0, heap[5 * PAGE]);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ((uintptr_t)heap + 4 * PAGE, (uintptr_t)sbrk(0));
	CHECK_EQ('p', heap[3 * PAGE]);

	char *blocks[200];
	for (size_t i = 0; i < 200; i++) {
		blocks[i] = malloc(1000 + i);
		REQUIRE(blocks[i]);
		memset(blocks[i], (int)i, 1000 + i);
	}
	for (size_t i = 0; i < 200; i++) {
		CHECK_EQ((unsigned char)i, (unsigned char)blocks[i][999]);
		free(blocks[i]);
	}
}

int main(void)
{
	trap_install(0);
	grow_and_shrink();
	refused();
	with_fork_and_malloc();
	return check_end();
}
