/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory calls and page faults of every kind, each allocation refused in turn (fail.h). */
#define _GNU_SOURCE
#include "fail.h"

#include <signal.h>
#include <stdint.h>

#define PAGES 64UL
#define SIZE (PAGES * PAGE)
#define FAR (64UL << 30) /* another table, another node of every level */

static char *region;  /* PAGES pages of our own, page i begins with i + 1 */
static char *other;   /* likewise, elsewhere; where things are moved to */
static int file = -1; /* PAGES pages, page i begins with i + 100 */
static pid_t holder;  /* a child that shares the region's pages */
static char *extra;   /* what prepare has mapped besides */

static unsigned long *word(char *base, size_t page) { return (unsigned long *)(base + page * PAGE); }

static void fill(char *base)
{
	REQUIRE(mmap(base, SIZE, RW, ANON | MAP_FIXED, -1, 0) == base);
	for (size_t i = 0; i < PAGES; i++)
		*word(base, i) = i + 1;
}

static void fresh(void)
{
	fill(region);
	REQUIRE(munmap(other - SIZE, 3 * SIZE) == 0);
}

static void same_region(void)
{
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i + 1, *word(region, i));
}

/* As above, and every second pair of pages has other rights: many entries. */
static void pieces(void)
{
	fresh();
	for (size_t i = 0; i < PAGES; i += 4)
		REQUIRE(mprotect(region + i * PAGE, 2 * PAGE, PROT_READ) == 0);
}

/* As above, shared with a child after fork: a change has paths to copy. */
static void hold(void)
{
	holder = fork();
	REQUIRE(holder >= 0);
	if (holder == 0)
		for (;;)
			pause();
}

static void let_go(long result)
{
	(void)result;
	kill(holder, SIGKILL);
	while (waitpid(holder, NULL, 0) == -1 && errno == EINTR)
		;
}

static void shared_region(void)
{
	fresh();
	hold();
}

static void shared_pieces(void)
{
	pieces();
	hold();
}

/* Two neighbours and a hole where a middle page was. */
static void with_hole(void)
{
	fresh();
	REQUIRE(munmap(region + 10 * PAGE, PAGE) == 0);
}

/* --- mmap --- */

static long map_anywhere(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, ANON, -1, 0)); }
static void unmap_3(long at) { REQUIRE(munmap((void *)at, 3 * PAGE) == 0); }
static long map_over(void) { return RESULT(mmap(region + 8 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0)); }
static void mapped_over(long at)
{
	CHECK_EQ((long)region + 8 * (long)PAGE, at);
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 8 && i < 12 ? 0 : i + 1, *word(region, i));
}
static long map_hole(void)
{
	return RESULT(mmap(region + 10 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0));
}
static long map_shared(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)); }
static long map_file(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, file, 0)); }
static long map_file_over(void)
{
	return RESULT(mmap(region + 8 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, file, PAGE));
}
static void file_over(long at)
{
	(void)at;
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 8 && i < 12 ? i - 7 + 100 : i + 1, *word(region, i));
}
static long map_filled(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, ANON | MAP_POPULATE, -1, 0)); }
static long map_locked(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, ANON | MAP_LOCKED, -1, 0)); }
static long map_grows(void) { return RESULT(mmap(NULL, 3 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0)); }

/* --- munmap, mprotect, madvise --- */

static long unmap_middle(void) { return RESULT(munmap(region + 20 * PAGE, 8 * PAGE)); }
static void unmapped_middle(long r)
{
	(void)r;
	CHECK_ERR(ENOMEM, mprotect(region + 20 * PAGE, PAGE, PROT_READ));
	CHECK_ERR(ENOMEM, mprotect(region + 27 * PAGE, PAGE, PROT_READ));
	CHECK_EQ(20, *word(region, 19));
	CHECK_EQ(29, *word(region, 28));
}
static void unmapped_middle_held(long r) { unmapped_middle(r); }
static long unmap_all(void) { return RESULT(munmap(region + PAGE, SIZE - 2 * PAGE)); }
static long protect_middle(void) { return RESULT(mprotect(region + 20 * PAGE, 8 * PAGE, PROT_READ)); }
static long protect_all(void) { return RESULT(mprotect(region + PAGE, SIZE - 2 * PAGE, PROT_READ | PROT_EXEC)); }
static void all_there(long r)
{
	(void)r;
	same_region();
}
static long discard(void) { return RESULT(madvise(region + 5 * PAGE, 40 * PAGE, MADV_DONTNEED)); }
static void discarded(long r)
{
	(void)r;
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 5 && i < 45 ? 0 : i + 1, *word(region, i));
}
static long not_forked(void) { return RESULT(madvise(region + 5 * PAGE, 7 * PAGE, MADV_DONTFORK)); }
static long wiped(void) { return RESULT(madvise(region + 5 * PAGE, 7 * PAGE, MADV_WIPEONFORK)); }
static long want_blocks(void) { return RESULT(madvise(region + 5 * PAGE, 7 * PAGE, MADV_HUGEPAGE)); }
static long will_need(void) { return RESULT(madvise(region + 5 * PAGE, 7 * PAGE, MADV_WILLNEED)); }

/* --- mremap --- */

static long grow(void) { return RESULT(mremap(other, 2 * PAGE, 6 * PAGE, 0)); }
static void two_pages(void)
{
	fresh();
	REQUIRE(mmap(other, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == other);
	*word(other, 0) = 1;
	*word(other, 1) = 2;
}
static void grown(long at)
{
	CHECK_EQ((long)other, at);
	for (size_t i = 0; i < 6; i++)
		CHECK_EQ(i < 2 ? i + 1 : 0, *word(other, i));
}
static long shrink(void) { return RESULT(mremap(region, SIZE, SIZE - 5 * PAGE, 0)); }
static long move_middle(void) { return RESULT(mremap(region + 5 * PAGE, 20 * PAGE, 70 * PAGE, MREMAP_MAYMOVE)); }
static void moved_middle(long at)
{
	for (size_t i = 0; i < 70; i++)
		CHECK_EQ(i < 20 ? i + 6 : 0, *word((char *)at, i));
	CHECK_ERR(ENOMEM, mprotect(region + 5 * PAGE, PAGE, PROT_READ));
	REQUIRE(munmap((void *)at, 70 * PAGE) == 0);
}
static void occupied(void)
{
	fresh();
	fill(other);
}
static void same_both(void)
{
	same_region();
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i + 1, *word(other, i));
}
static void occupied_shared(void)
{
	occupied();
	hold();
}
static long move_over(void)
{
	return RESULT(
		mremap(region + 5 * PAGE, 20 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other + 10 * PAGE));
}
static void moved_over(long at)
{
	CHECK_EQ((long)other + 10 * (long)PAGE, at);
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 10 && i < 30 ? i - 10 + 6 : i + 1, *word(other, i));
	CHECK_ERR(ENOMEM, mprotect(region + 5 * PAGE, PAGE, PROT_READ));
}
static long move_keep(void)
{
	return RESULT(mremap(region + 5 * PAGE, 20 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
}
static void moved_keep(long at)
{
	for (size_t i = 0; i < 20; i++)
		CHECK_EQ(i + 6, *word((char *)at, i));
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 5 && i < 25 ? 0 : i + 1, *word(region, i));
	REQUIRE(munmap((void *)at, 20 * PAGE) == 0);
}
static long move_keep_over(void)
{
	return RESULT(mremap(region + 5 * PAGE, 20 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			     other + 10 * PAGE));
}
static void moved_keep_over(long at)
{
	CHECK_EQ((long)other + 10 * (long)PAGE, at);
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 10 && i < 30 ? i - 10 + 6 : i + 1, *word(other, i));
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i >= 5 && i < 25 ? 0 : i + 1, *word(region, i));
}
static void file_there(void)
{
	fresh();
	REQUIRE(mmap(other, SIZE, RW, MAP_SHARED | MAP_FIXED, file, 0) == other);
}
static long view(void) { return RESULT(mremap(other + PAGE, 0, 3 * PAGE, MREMAP_MAYMOVE)); }
static void viewed(long at)
{
	CHECK_EQ(101, *word((char *)at, 0));
	unmap_3(at);
}

/* --- brk, mlock and others --- */

static unsigned long heap;
static void same_heap(void) { CHECK_EQ(heap, syscall(SYS_brk, 0)); }
static void know_heap(void) { heap = (unsigned long)syscall(SYS_brk, 0); }
static long brk_to(unsigned long want)
{
	/* The call itself never says why. */
	return (unsigned long)syscall(SYS_brk, want) == want ? 0 : -ENOMEM;
}
static long brk_grow(void) { return brk_to(heap + 5 * PAGE); }
static void brk_back(long r)
{
	(void)r;
	REQUIRE(brk_to(heap) == 0);
}
static void brk_larger(void)
{
	know_heap();
	REQUIRE(brk_to(heap + 5 * PAGE) == 0);
	for (unsigned long p = (heap + PAGE - 1) & -PAGE; p < heap + 5 * PAGE; p += PAGE)
		*(volatile char *)p = 1;
}
static long brk_shrink(void) { return brk_to(heap + PAGE); }
static void same_larger(void) { CHECK_EQ(heap + 5 * PAGE, syscall(SYS_brk, 0)); }

static void untouched(void)
{
	REQUIRE(munmap(other - SIZE, 3 * SIZE) == 0);
	REQUIRE(mmap(other, SIZE, RW, ANON | MAP_FIXED, -1, 0) == other);
}
static long lock_middle(void) { return RESULT(mlock(other + 4 * PAGE, 3 * PAGE)); }
static long lock_fault(void) { return RESULT(syscall(SYS_mlock2, other + 4 * PAGE, 3 * PAGE, 1)); }
static long lock_all(void) { return RESULT(mlockall(MCL_CURRENT)); }
static void unlock_all(long r)
{
	(void)r;
	REQUIRE(munlockall() == 0);
}
static void locked_middle(void)
{
	untouched();
	REQUIRE(mlock(other, SIZE) == 0);
}
static long unlock_middle(void) { return RESULT(munlock(other + 4 * PAGE, 3 * PAGE)); }
static long in_core(void)
{
	unsigned char vec[PAGES];
	return RESULT(mincore(region, SIZE, vec));
}
static long sync_file(void) { return RESULT(msync(other, SIZE, MS_SYNC)); }

/* --- page faults: the program's own --- */

static long touch_write(void)
{
	*word(other, 3) = 5;
	return 0;
}
static void touched(long r)
{
	(void)r;
	CHECK_EQ(5, *word(other, 3));
	CHECK_EQ(0, word(other, 3)[1]);
}
static long touch_read(void)
{
	CHECK_EQ(0, *(volatile unsigned long *)word(other, 3));
	return 0;
}
static void was_read(void)
{
	untouched();
	touch_read();
}
static void far(void)
{
	(void)munmap(extra, SIZE);
	extra = region - FAR;
	REQUIRE(mmap(extra, SIZE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == extra);
}
static long touch_far(void)
{
	*word(extra, 1) = 7;
	return 0;
}
static void far_gone(long r)
{
	(void)r;
	CHECK_EQ(7, *word(extra, 1));
	REQUIRE(munmap(extra, SIZE) == 0);
}
/* 2 MiB come at once, or a page. */
#define BLOCK (2UL << 20)
static char *whole;
static void block_wanted(void)
{
	char *p = region - FAR - 2 * BLOCK;

	(void)munmap(p, 2 * BLOCK);
	REQUIRE(mmap(p, 2 * BLOCK, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p);
	REQUIRE(madvise(p, 2 * BLOCK, MADV_HUGEPAGE) == 0);
	whole = (char *)(((uintptr_t)p + BLOCK - 1) & -BLOCK);
}
static long touch_block(void)
{
	*word(whole, 9) = 7;
	return 0;
}
static void block_gone(long r)
{
	(void)r;
	CHECK_EQ(7, *word(whole, 9));
	CHECK_EQ(0, *word(whole, 8));
	CHECK_EQ(0, *word(whole, BLOCK / PAGE - 1));
	REQUIRE(munmap(region - FAR - 2 * BLOCK, 2 * BLOCK) == 0);
}
static long touch_shared(void)
{
	for (size_t i = 0; i < PAGES; i++)
		*word(region, i) += 1000;
	return 0;
}
static void touched_shared(long r)
{
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i + 1001, *word(region, i));
	let_go(r);
}
static void file_private(void)
{
	untouched();
	REQUIRE(mmap(other, SIZE, RW, MAP_PRIVATE | MAP_FIXED, file, 0) == other);
}
static long touch_file(void)
{
	CHECK_EQ(107, *(volatile unsigned long *)word(other, 7));
	*word(other, 7) = 1;
	CHECK_EQ(1, *(volatile unsigned long *)word(other, 7));
	*word(other, 8) = 2; /* not read before */
	return 0;
}
static void new_shared(void)
{
	untouched();
	REQUIRE(mmap(other, SIZE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == other);
}
static long touch_below(void)
{
	volatile char *sp = __builtin_frame_address(0);

	/* Below what the start has touched (frames_touch_program): the stack grows and is filled. */
	for (size_t i = 0; i < 8; i++)
		sp[-(long)(i * PAGE + 700000)] = 1;
	return 0;
}
/* More pages that the parent maps, too, than a frame of the kernel's has room to say so. */
static long read_shared(void)
{
	for (size_t i = 0; i < PAGES; i++)
		CHECK_EQ(i + 1, *(volatile unsigned long *)word(region, i) % 1000); /* what others have added */
	return 0;
}
/* The kernel's copy to a buffer that is not there yet. */
static long touch_by_kernel(void) { return RESULT(pread(file, other + 2 * PAGE, 2 * PAGE, 0)); }
static void touched_by_kernel(long n)
{
	CHECK_EQ(2 * PAGE, n);
	CHECK_EQ(100, *word(other, 2));
	CHECK_EQ(101, *word(other, 3));
}

static const struct operation operations[] = {
	{"mmap", fresh, map_anywhere, NULL, same_region, unmap_3, 0, 0},
	{"mmap over", fresh, map_over, mapped_over, same_region, NULL, 0, 0},
	{"mmap over many", pieces, map_over, mapped_over, same_region, NULL, 0, 0},
	{"mmap over shared", shared_region, map_over, mapped_over, same_region, let_go, 0, 0},
	{"mmap in a hole", with_hole, map_hole, NULL, NULL, NULL, 0, 0},
	{"mmap shared", fresh, map_shared, NULL, same_region, unmap_3, 0, 0},
	{"mmap of a file", fresh, map_file, NULL, same_region, unmap_3, 0, 0},
	{"mmap of a file over", pieces, map_file_over, file_over, same_region, NULL, 0, 0},
	{"mmap filled", fresh, map_filled, NULL, same_region, unmap_3, 0, 0},
	{"mmap locked", fresh, map_locked, NULL, same_region, unmap_3, 0, 0},
	{"mmap of a stack", fresh, map_grows, NULL, same_region, unmap_3, 0, 0},
	{"munmap", fresh, unmap_middle, unmapped_middle, same_region, NULL, 0, 0},
	{"munmap of many", pieces, unmap_all, NULL, same_region, NULL, 0, 0},
	{"munmap of shared", shared_region, unmap_middle, unmapped_middle_held, same_region, let_go, 0, 0},
	{"mprotect", fresh, protect_middle, all_there, same_region, NULL, 0, 0},
	{"mprotect of many", pieces, protect_all, all_there, same_region, NULL, 0, 0},
	{"madvise, discard", fresh, discard, discarded, same_region, NULL, 0, 0},
	{"madvise, discard many", pieces, discard, discarded, same_region, NULL, 0, 0},
	{"madvise, discard shared", shared_region, discard, discarded, same_region, let_go, 0, 0},
	{"madvise, discard many shared", shared_pieces, discard, discarded, same_region, let_go, 0, 0},
	{"madvise, not for a fork", fresh, not_forked, all_there, same_region, NULL, 0, 0},
	{"madvise, wipe", pieces, wiped, all_there, same_region, NULL, 0, 0},
	{"madvise, blocks", fresh, want_blocks, all_there, same_region, NULL, 0, 0},
	{"madvise, will need", fresh, will_need, all_there, same_region, NULL, 0, 0},
	{"mremap, grow", two_pages, grow, grown, NULL, NULL, 0, 0},
	{"mremap, shrink", fresh, shrink, NULL, same_region, NULL, 0, 0},
	{"mremap, move", fresh, move_middle, moved_middle, same_region, NULL, 0, 0},
	{"mremap, move shared", shared_region, move_middle, moved_middle, same_region, let_go, 0, 0},
	{"mremap, move over", occupied, move_over, moved_over, same_both, NULL, 0, 0},
	{"mremap, move shared over", occupied_shared, move_over, moved_over, same_both, let_go, 0, 0},
	{"mremap, move and keep", fresh, move_keep, moved_keep, same_region, NULL, 0, 0},
	{"mremap, move and keep over", occupied, move_keep_over, moved_keep_over, same_both, NULL, 0, 0},
	{"mremap, move and keep shared", occupied_shared, move_keep_over, moved_keep_over, same_both, let_go, 0, 0},
	{"mremap, another view", file_there, view, viewed, same_region, NULL, 0, 0},
	{"brk, more", know_heap, brk_grow, NULL, same_heap, brk_back, 0, 0},
	{"brk, less", brk_larger, brk_shrink, NULL, same_larger, brk_back, 0, 0},
	{"mlock", untouched, lock_middle, NULL, NULL, NULL, 0, 0},
	{"mlock2", untouched, lock_fault, NULL, NULL, NULL, 0, 0},
	{"mlockall", untouched, lock_all, NULL, NULL, unlock_all, 0, 0},
	{"munlock", locked_middle, unlock_middle, NULL, NULL, NULL, 0, 0},
	{"mincore", fresh, in_core, NULL, same_region, NULL, 0, 0},
	{"msync", file_there, sync_file, NULL, NULL, NULL, 0, 0},
	{"write first", untouched, touch_write, touched, NULL, NULL, NEVER_FAILS, 0},
	{"read first", untouched, touch_read, NULL, NULL, NULL, NEVER_FAILS, 0},
	{"write what was read", was_read, touch_write, touched, NULL, NULL, NEVER_FAILS, 0},
	{"write far away", far, touch_far, NULL, NULL, far_gone, NEVER_FAILS, 0},
	{"write where a block is wanted", block_wanted, touch_block, NULL, NULL, block_gone, NEVER_FAILS, 0},
	{"write shared", shared_region, touch_shared, touched_shared, NULL, NULL, NEVER_FAILS, 0},
	{"a file's private page", file_private, touch_file, NULL, NULL, NULL, NEVER_FAILS, 0},
	{"a shared page", new_shared, touch_write, touched, NULL, NULL, NEVER_FAILS, 0},
	{"below the stack", NULL, touch_below, NULL, NULL, NULL, NEVER_FAILS | CHILD, 0},
	{"read what a parent shares", NULL, read_shared, NULL, NULL, NULL, NEVER_FAILS | CHILD, 0},
	{"the kernel's copy", untouched, touch_by_kernel, touched_by_kernel, NULL, NULL, 0, 0},
};

int main(void)
{
	if (!fail_begin())
		return 0;
	region = mmap(NULL, SIZE, RW, ANON, -1, 0);
	other = mmap(NULL, 5 * SIZE, PROT_NONE, ANON, -1, 0);
	REQUIRE(region != MAP_FAILED && other != MAP_FAILED);
	other += 2 * SIZE;
	file = memfd_create("file", MFD_CLOEXEC);
	for (size_t i = 0; i < PAGES; i++) {
		unsigned long v = i + 100;

		REQUIRE(pwrite(file, &v, sizeof v, (off_t)(i * PAGE)) == sizeof v);
	}
	REQUIRE(ftruncate(file, (off_t)SIZE) == 0);
	fail_all(operations, sizeof operations / sizeof *operations);
	return check_end();
}
