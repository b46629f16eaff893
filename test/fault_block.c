/* SPDX-License-Identifier: BSD-2-Clause */
/* test/fault_block.c: first writes that bring 2 MiB (vm/fault_block.c): where, where not, and what becomes of them. One vCPU. */
#include "test_vm.h"
#include "vm/amap.h"
#include "vm/entry.h"

#define PAGES (BLOCK_SIZE / PAGE_SIZE)
#define AT UINT64_C(0x40000000)
#define RW (PROT_R | PROT_W)

static struct test_vm v;
static struct vm_map *m;

static int setup_machine(const char *line, uint64_t ram)
{
	const struct host_config machine = { .ncpus = 1, .ram = ram, .seed = TEST_SEED, .junk = true, .command_line = line };

	test_vm_init(&v, &machine);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_machine("huge=always fault-ahead=0", 32 << 20);
}

static int setup_ahead(void **state)
{
	(void)state;
	return setup_machine("huge=always", 32 << 20);
}

static int setup_never(void **state)
{
	(void)state;
	return setup_machine("huge=never", 32 << 20);
}

static int setup_default(void **state)
{
	(void)state;
	return setup_machine("", 32 << 20);
}

static int setup_senseless(void **state)
{
	(void)state;
	return setup_machine("huge=much", 32 << 20);
}

static int setup_small(void **state)
{
	(void)state;
	return setup_machine("huge=always fault-ahead=0", 8 << 20);
}

static int teardown(void **state)
{
	(void)state;
	vm_map_check(m);
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
	return 0;
}

static uint64_t count(enum counter c) { return counter_read(&v.vm->counters, c); }
static uint64_t va(unsigned page) { return AT + page * PAGE_SIZE; }
static struct pmap_pte pte(struct vm_map *map, unsigned page) { return pmap_extract(&map->pmap, vaddr(va(page))); }

/* Pages [first, end) of private memory, untouched. */
static void fresh_as(unsigned first, unsigned end, enum prot prot, bool grows_down)
{
	const struct vm_mapping anon = { .prot = prot, .max = PROT_ALL, .inherit = INHERIT_COPY, .grows_down = grows_down };
	uint64_t at = va(first);

	assert_int_equal(vm_map_enter(m, &at, va(end) - at, &anon, MAP_AT), OK);
}

static void fresh(unsigned first, unsigned end) { fresh_as(first, end, RW, false); }

static void write_page(unsigned page, uint64_t value) { assert_int_equal(test_store(m, va(page), value), OK); }

static void assert_holds(unsigned page, uint64_t value)
{
	uint64_t x;

	assert_int_equal(test_load(m, va(page), &x), OK);
	assert_int_equal(x, value);
}

/* A write to page: => whether a block came. The counts say the same, and what else is mapped in its window. */
static bool brings_block(unsigned page)
{
	uint64_t blocks = count(COUNTER_faults_block), zeros = count(COUNTER_faults_zero), resident = pmap_resident(&m->pmap);

	write_page(page, page + 1);
	assert_int_equal(pte(m, page).block, count(COUNTER_faults_block) - blocks);
	if (!pte(m, page).block) {
		assert_int_equal(count(COUNTER_faults_zero), zeros + 1);
		return false;
	}
	assert_int_equal(count(COUNTER_faults_zero), zeros);
	assert_int_equal(pmap_resident(&m->pmap), resident + PAGES);
	for (unsigned i = page - page % PAGES; i < page - page % PAGES + PAGES; i++)
		assert_holds(i, i == page ? page + 1 : 0);
	return true;
}

static void test_brings(void **state)
{
	(void)state;
	fresh(0, 3 * PAGES);
	assert_true(brings_block(PAGES + 77)); /* in the middle, by any of its pages */
	assert_true(brings_block(0));
	assert_true(brings_block(3 * PAGES - 1));
	for (unsigned i = 0; i < 3 * PAGES; i++)
		write_page(i, i);
	assert_int_equal(count(COUNTER_faults_block), 3);
	assert_int_equal(count(COUNTER_faults_zero), 0);
	assert_int_equal(vm_map_remove(m, vrange(va(0), va(3 * PAGES))), OK);
	fresh(0, PAGES);
	assert_true(brings_block(5));
}

/* Where there is no room for a whole one, or it is no memory for it. */
static void test_brings_not(void **state)
{
	const struct vm_mapping anon = { .prot = RW, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = va(8 * PAGES), x;

	(void)state;
	fresh(1, 2 * PAGES - 1); /* the entry ends a page too early on both sides */
	assert_false(brings_block(7));
	assert_false(brings_block(2 * PAGES - 2));
	fresh_as(3 * PAGES, 4 * PAGES, PROT_ALL, false); /* executable */
	assert_false(brings_block(3 * PAGES + 1));
	fresh_as(4 * PAGES, 5 * PAGES, RW, true); /* a stack */
	assert_false(brings_block(5 * PAGES - 1));
	fresh(6 * PAGES, 8 * PAGES);
	assert_int_equal(test_load(m, va(6 * PAGES + 9), &x), OK); /* the zero page is there */
	assert_false(brings_block(6 * PAGES + 10));
	assert_false(brings_block(6 * PAGES + 300)); /* in another node, of the same table */
	assert_true(brings_block(7 * PAGES));
	/* A neighbour beyond the block's end does not matter, nor does an entry that is more than it. */
	assert_int_equal(vm_map_enter(m, &at, 2 * BLOCK_SIZE, &anon, MAP_AT), OK);
	assert_true(brings_block(9 * PAGES));
	assert_true(brings_block(8 * PAGES));
}

/* Its pages are pages. */
static void test_pages_of_their_own(void **state)
{
	(void)state;
	fresh(0, PAGES);
	assert_true(brings_block(0));
	for (unsigned i = 0; i < PAGES; i++)
		write_page(i, 1000 + i);
	assert_true(pte(m, 3).block);
	assert_int_equal(vm_map_remove(m, vrange(va(3), va(5))), OK);
	assert_int_equal(test_store(m, va(3), 1), ERR_FAULT);
	assert_false(pte(m, 2).block);
	assert_int_equal(vm_map_discard(m, vrange(va(100), va(101))), OK);
	assert_int_equal(vm_map_protect(m, vrange(va(200), va(201)), PROT_R), OK);
	assert_int_equal(test_store(m, va(200), 1), ERR_ACCESS);
	for (unsigned i = 0; i < PAGES; i++)
		if (i != 3 && i != 4)
			assert_holds(i, i == 100 ? 0 : 1000 + i);
	/* What was there once is filled page by page, until all of it is gone. */
	write_page(100, 7);
	assert_false(pte(m, 100).block);
	fresh(3, 5);
	assert_int_equal(vm_map_protect(m, vrange(va(0), va(PAGES)), RW), OK);
	assert_int_equal(vm_map_discard(m, vrange(va(0), va(PAGES))), OK);
	assert_int_equal(pmap_resident(&m->pmap), 0);
	assert_int_equal(vm_map_remove(m, vrange(va(0), va(PAGES))), OK);
	fresh(0, PAGES);
	assert_true(brings_block(9));
}

static void test_discarded_whole(void **state)
{
	(void)state;
	fresh(0, 2 * PAGES);
	assert_true(brings_block(9));
	assert_int_equal(vm_map_discard(m, vrange(va(0), va(PAGES))), OK);
	assert_int_equal(pmap_resident(&m->pmap), 0);
	assert_true(brings_block(10));
}

/* All of it to reading and back: the contents stay, the block does not have to. */
static void test_protect_whole(void **state)
{
	(void)state;
	fresh(0, PAGES);
	assert_true(brings_block(9));
	assert_int_equal(vm_map_protect(m, vrange(va(0), va(PAGES)), PROT_R), OK);
	assert_true(pte(m, 0).block);
	assert_int_equal(test_store(m, va(3), 1), ERR_ACCESS);
	assert_int_equal(vm_map_protect(m, vrange(va(0), va(PAGES)), RW), OK);
	write_page(3, 33);
	for (unsigned i = 0; i < PAGES; i++)
		assert_holds(i, i == 3 ? 33 : i == 9 ? 10 : 0);
}

/* Copies page by page; who is left alone writes in place. */
static void test_fork(void **state)
{
	struct vm_map *child;
	uint64_t cow;
	uint64_t x;

	(void)state;
	fresh(0, 2 * PAGES);
	assert_true(brings_block(9));
	assert_true(brings_block(PAGES + 9));
	assert_int_equal(vm_map_fork(m, &child), OK);
	assert_true(pte(m, 9).block);
	assert_false(pte(m, 9).prot & PROT_W);
	cow = count(COUNTER_faults_cow);
	write_page(9, 90);
	assert_int_equal(count(COUNTER_faults_cow), cow + 1);
	assert_false(pte(m, 9).block);
	assert_true(pte(m, PAGES).block); /* the other one is limited, and whole */
	assert_false(pte(m, PAGES).prot & PROT_W);
	assert_false(pte(m, 8).prot & PROT_W);
	pmap_activate(&child->pmap);
	assert_int_equal(test_load(child, va(9), &x), OK);
	assert_int_equal(x, 10);
	assert_int_equal(test_store(child, va(8), 5), OK);
	assert_int_equal(test_load(child, va(PAGES + 9), &x), OK);
	assert_int_equal(x, PAGES + 10);
	vm_map_check(child);
	pmap_activate(&m->pmap);
	vm_map_release(child);
	assert_holds(8, 0);
	write_page(PAGES + 9, 99);
	assert_int_equal(count(COUNTER_faults_cow), cow + 2); /* the child's first */
	for (unsigned i = 0; i < 2 * PAGES; i++)
		assert_holds(i, i == 9 ? 90 : i == PAGES + 9 ? 99 : 0);
}

/* What a parent has not written is nobody's block: the child makes its own. */
static void test_fork_before(void **state)
{
	struct vm_map *child;
	uint64_t x;

	(void)state;
	fresh(0, PAGES);
	fresh(PAGES, 2 * PAGES);
	assert_true(brings_block(PAGES)); /* the tree has a root that both share */
	assert_int_equal(vm_map_fork(m, &child), OK);
	assert_true(brings_block(9));
	pmap_activate(&child->pmap);
	assert_int_equal(test_load(child, va(9), &x), OK);
	assert_int_equal(x, 0);
	assert_int_equal(test_store(child, va(9), 5), OK);
	vm_map_check(child);
	pmap_activate(&m->pmap);
	vm_map_release(child);
	assert_holds(9, 10);
}

static void test_move(void **state)
{
	uint64_t to = va(4 * PAGES + 1), x;

	(void)state;
	fresh(0, PAGES);
	assert_true(brings_block(9));
	assert_int_equal(vm_map_remap(m, vrange(va(0), va(PAGES)), BLOCK_SIZE, true, true, &to), OK);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(test_load(m, to + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, i == 9 ? 10 : 0);
	}
	assert_int_equal(test_store(m, va(9), 1), ERR_FAULT);
}

static void test_policy_never(void **state)
{
	(void)state;
	fresh(0, 2 * PAGES);
	assert_int_equal(vm_map_huge(m, vrange(va(0), va(PAGES)), HUGE_WANTED), OK);
	assert_false(brings_block(0));
	assert_false(brings_block(PAGES));
}

static void test_policy_madvise(void **state)
{
	struct vm_entry_info info;
	struct vm_map *child;

	(void)state;
	fresh(0, 6 * PAGES);
	assert_int_equal(vm_map_huge(m, vrange(va(PAGES), va(3 * PAGES)), HUGE_WANTED), OK);
	assert_int_equal(vm_map_huge(m, vrange(va(6 * PAGES), va(7 * PAGES)), HUGE_WANTED), ERR_NOENT);
	assert_int_equal(vm_map_huge(m, vrange(va(0), va(0)), HUGE_WANTED), ERR_INVAL);
	assert_true(vm_map_lookup(m, va(PAGES), &info));
	assert_int_equal(info.huge, HUGE_WANTED);
	assert_int_equal(info.range.start.va, va(PAGES));
	assert_int_equal(info.range.end.va, va(3 * PAGES));
	assert_false(brings_block(0));
	assert_true(brings_block(PAGES));
	assert_true(vm_map_lookup(m, va(3 * PAGES), &info));
	assert_int_equal(info.huge, HUGE_UNSAID);
	/* As a part that is split off, and in a child. */
	assert_int_equal(vm_map_protect(m, vrange(va(PAGES), va(PAGES + 1)), PROT_R), OK);
	assert_int_equal(vm_map_fork(m, &child), OK);
	assert_true(vm_map_lookup(child, va(2 * PAGES), &info));
	assert_int_equal(info.huge, HUGE_WANTED);
	vm_map_release(child);
	assert_true(brings_block(2 * PAGES));
	assert_int_equal(vm_map_huge(m, vrange(va(4 * PAGES), va(6 * PAGES)), HUGE_WANTED), OK);
	assert_int_equal(vm_map_huge(m, vrange(va(5 * PAGES), va(6 * PAGES)), HUGE_UNWANTED), OK);
	assert_false(brings_block(5 * PAGES));
	assert_true(brings_block(4 * PAGES));
}

static void test_policy_always(void **state)
{
	(void)state;
	fresh(0, 2 * PAGES);
	assert_int_equal(vm_map_huge(m, vrange(va(0), va(PAGES)), HUGE_UNWANTED), OK);
	assert_false(brings_block(0));
	assert_true(brings_block(PAGES));
	assert_int_equal(vm_map_huge(m, vrange(va(0), va(2 * PAGES)), HUGE_WANTED), OK); /* one entry again */
	assert_false(brings_block(3));
}

/* No 2 MiB in a row: pages one by one, and nothing is lost. */
static void test_no_memory(void **state)
{
	unsigned blocks = 0, pages = 0;

	(void)state;
	fresh(0, 8 * PAGES);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t before = count(COUNTER_faults_block);

		if (test_store(m, va(i * PAGES + 3), i) != OK)
			break;
		blocks += count(COUNTER_faults_block) - before;
		pages += count(COUNTER_faults_block) == before;
	}
	assert_true(blocks > 0);
	assert_true(pages > 0);
	for (unsigned i = 0; i < blocks + pages; i++)
		assert_holds(i * PAGES + 3, i);
}

static void new_map(void)
{
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	vm_drain(v.vm);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
}

/* Hardly more than the block is free: whatever is lacking then, the page comes. */
static void test_little_memory(void **state)
{
	static pfn_t ballast[8192];
	unsigned blocks = 0, pages = 0;

	(void)state;
	for (unsigned more = 0; more < 40; more++) {
		uint64_t before = count(COUNTER_faults_block);
		unsigned n = 0;
		enum error e;
		pfn_t block;

		new_map();
		fresh(0, PAGES);
		assert_int_equal(frame_alloc(&v.vm->frames, 9, 0, FRAME_WIRED, &block), OK);
		while (frame_alloc(&v.vm->frames, 0, 0, FRAME_WIRED, &ballast[n]) == OK)
			n++;
		frame_free(&v.vm->frames, block, 9);
		for (unsigned i = 0; i < more; i++)
			frame_free(&v.vm->frames, ballast[--n], 0);
		e = test_store(m, va(3), 7);
		while (n > 0)
			frame_free(&v.vm->frames, ballast[--n], 0);
		assert_int_equal(e, OK);
		assert_holds(3, 7);
		if (count(COUNTER_faults_block) > before)
			blocks++;
		else
			pages++;
	}
	assert_true(blocks > 0);
	assert_true(pages > 0);
}

/* Spaces come and go: what was a table of blocks becomes a root, or another table. */
static void test_spaces_again(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 30; n++) {
		struct vm_map *other[6];

		fresh(0, PAGES);
		assert_true(brings_block(5));
		pmap_deactivate(v.pmaps);
		vm_map_release(m);
		while (epoch_pending(&v.vm->epoch))
			(void)epoch_poll(&v.vm->epoch);
		for (unsigned i = 0; i < ARRAY_SIZE(other); i++)
			assert_int_equal(vm_map_create(v.vm, &other[i]), OK);
		for (unsigned i = 0; i < ARRAY_SIZE(other); i++) {
			vm_map_check(other[i]);
			vm_map_release(other[i]);
		}
		while (epoch_pending(&v.vm->epoch))
			(void)epoch_poll(&v.vm->epoch);
		assert_int_equal(vm_map_create(v.vm, &m), OK);
		pmap_activate(&m->pmap);
	}
}

static unsigned fail_at, asked;

static bool fails(void *arg)
{
	(void)arg;
	return ++asked == fail_at;
}

/* The frames are there, something else is not: a page instead, and nothing is lost. */
static void test_no_memory_for_the_rest(void **state)
{
	unsigned blocks = 0, pages = 0, at = 0;

	(void)state;
	fresh(0, 9 * PAGES);
	for (fail_at = 1; at < 9; fail_at++, at++) {
		bool block;

		asked = 0;
		frames_fail_by(&v.vm->frames, fails, NULL);
		block = brings_block(at * PAGES);
		frames_fail_by(&v.vm->frames, NULL, NULL);
		blocks += block;
		pages += !block;
		/* so that the next one, too, lacks what comes in slabs */
		assert_int_equal(vm_map_remove(m, vrange(va(at * PAGES), va(at * PAGES + PAGES))), OK);
		vm_drain(v.vm);
	}
	assert_true(pages > 2);
	assert_true(blocks > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_brings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_brings, setup_ahead, teardown),
		cmocka_unit_test_setup_teardown(test_brings_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discarded_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protect_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_never, setup_never, teardown),
		cmocka_unit_test_setup_teardown(test_policy_madvise, setup_default, teardown),
		cmocka_unit_test_setup_teardown(test_policy_madvise, setup_senseless, teardown),
		cmocka_unit_test_setup_teardown(test_policy_always, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_little_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spaces_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory_for_the_rest, setup, teardown),
	};

	return run_both_ways(tests);
}
