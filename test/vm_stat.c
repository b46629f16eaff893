/* SPDX-License-Identifier: BSD-2-Clause */
/* test/vm_stat.c: counts of frames and zones are right, and a panic's report ends whatever it meets. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test_memory.h"
#include "vm/vm_stat.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t free_frames(const struct frame_stats *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= FRAME_ORDER_MAX; i++)
		n += s->free_blocks[i] << i;
	return n;
}

/* Blocks of all orders, some given back: the same as the audit says, at each step. */
static void owners_as_the_audit_says(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct frame_audit audit;
	struct frame_stats s;
	pfn_t block[60];

	(void)state;
	for (unsigned step = 0; step <= 2; step++) {
		for (unsigned i = 0; i < 60; i++)
			if (step == 0)
				CHECK(frame_alloc(&m->frames, i % 11, 0, i % 2 ? FRAME_ANON : FRAME_TABLE, &block[i]) ==
				      OK);
			else if (i % 2 == step - 1)
				frame_free(&m->frames, block[i], i % 11);
		assert_true(frame_audit(&m->frames, &audit));
		frame_stats(&m->frames, &s);
		assert_memory_equal(s.owned, audit.owned, sizeof s.owned);
		assert_int_equal(free_frames(&s), audit.owned[FRAME_FREE]);
	}
	memory_close(m);
}

/* Of RAM that is all taken, frames 3 to 10 of one block come back: 3, 4-7, 8-9, 10. */
static void blocks_are_cut_as_large_as_they_go(void **state)
{
	struct test_memory *m = memory_open(1, 32 * MIB);
	uint64_t taken = 0, blocks = 0;
	struct frame_stats s;
	static pfn_t all[8192];

	(void)state;
	/* What is left beside whole chunks, so that these are what is free. */
	while (frame_alloc(&m->frames, CHUNK_ORDER, 0, FRAME_WIRED, &all[blocks]) == OK)
		blocks++;
	frames_drain(&m->frames);
	frame_stats(&m->frames, &s);
	assert_int_equal(s.free_blocks[CHUNK_ORDER], 0);
	for (uint64_t i = blocks; frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &all[i]) == OK; i++)
		taken++;
	frame_stats(&m->frames, &s);
	assert_int_equal(free_frames(&s), 0);

	frame_split(&m->frames, all[0], CHUNK_ORDER);
	for (unsigned i = 3; i <= 10; i++)
		frame_free(&m->frames, pfn(all[0].fn + i), 0);
	frames_drain(&m->frames);
	frame_stats(&m->frames, &s);
	assert_int_equal(s.free_blocks[0], 2);
	assert_int_equal(s.free_blocks[1], 1);
	assert_int_equal(s.free_blocks[2], 1);
	assert_int_equal(free_frames(&s), 8);
	for (unsigned i = 0; i < CHUNK_FRAMES; i++)
		if (i < 3 || i > 10)
			frame_free(&m->frames, pfn(all[0].fn + i), 0);
	frames_drain(&m->frames);
	frame_stats(&m->frames, &s);
	assert_int_equal(s.free_blocks[CHUNK_ORDER], 1);
	assert_int_equal(free_frames(&s), CHUNK_FRAMES);

	for (uint64_t i = 1; i < blocks; i++)
		frame_free(&m->frames, all[i], CHUNK_ORDER);
	for (uint64_t i = 0; i < taken; i++)
		frame_free(&m->frames, all[blocks + i], 0);
	memory_close(m);
}

/* --- a panic's report --- */

static char report[65536];

/* vm_stat_print into report. */
static void print(const struct test_memory *m)
{
	FILE *file = tmpfile();
	int error = dup(STDERR_FILENO);
	size_t n;

	CHECK(file && error >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
	vm_stat_print(&m->frames, &m->zones);
	CHECK(dup2(error, STDERR_FILENO) >= 0);
	close(error);
	rewind(file);
	n = fread(report, 1, sizeof report - 1, file);
	report[n] = 0;
	fclose(file);
}

/* Every lock that there is is held, by a CPU that will not come back. */
static void report_takes_no_lock(void **state)
{
	struct test_memory *m = memory_open(2, 32 * MIB);
	struct zone *z = zone_create(&m->zones, "held", 100, 0, NULL, NULL, 0);
	void *object = zone_alloc(z);

	(void)state;
	assert_non_null(object);
	become_cpu(m, 1);
	spin_lock(&m->zones.lock, RANK_ZONES);
	spin_lock(&z->cache[0].lock, RANK_ZONE_CACHE);
	spin_lock(&z->slabs.lock, RANK_ZONE);
	spin_lock(&m->frames.rounds[0].lock, RANK_FRAME_CACHE);
	become_cpu(m, 0);
	print(m);
	assert_non_null(strstr(report, "frames: free "));
	assert_non_null(strstr(report, "free blocks by order: "));
	assert_non_null(strstr(report, "zone held: size 100, in use or cached "));
	assert_null(strstr(report, "broken"));
	become_cpu(m, 1);
	spin_unlock(&m->frames.rounds[0].lock);
	spin_unlock(&z->slabs.lock);
	spin_unlock(&z->cache[0].lock);
	spin_unlock(&m->zones.lock);
	become_cpu(m, 0);
	zone_free(z, object);
	zone_destroy(z);
	memory_close(m);
}

/* The list of zones leads nowhere, into a ring, or has not been made yet. */
static void report_ends(void **state)
{
	struct test_memory *m = memory_open(1, 32 * MIB);
	struct zone *a = zone_create(&m->zones, "a", 100, 0, NULL, NULL, 0);
	struct zone *b = zone_create(&m->zones, "b", 100, 0, NULL, NULL, 0);
	struct list *next = b->link.next;
	void *object = zone_alloc(a);

	(void)state;
	b->link.next = (struct list *)8;
	print(m);
	assert_non_null(strstr(report, "zone a: "));
	assert_non_null(strstr(report, "broken after 2"));
	b->link.next = NULL;
	print(m);
	assert_non_null(strstr(report, "frames: free "));
	b->link.next = &a->link;
	print(m);
	assert_non_null(strstr(report, "broken after 512"));
	b->link.next = next;
	m->zones.all.next = NULL;
	print(m);
	assert_null(strstr(report, "zone a"));
	m->zones.all.next = &a->link;
	zone_free(a, object);
	zone_destroy(a);
	zone_destroy(b);
	memory_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owners_as_the_audit_says),
		cmocka_unit_test(blocks_are_cut_as_large_as_they_go),
		cmocka_unit_test(report_takes_no_lock),
		cmocka_unit_test(report_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
