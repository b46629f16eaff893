/* SPDX-License-Identifier: BSD-2-Clause */
/* test/vm_sequences.c: hostile sequences of calls on address spaces, without concurrency; each once went wrong. */
#include "test_vm.h"

static struct test_vm v;
static struct vm_map *m;

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
	return 0;
}

static uint64_t load(uint64_t va)
{
	uint64_t x = 0xdead;

	CHECK(test_load(m, va, &x) == OK);
	return x;
}

static const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

/* --- pages that no entry covers --- */

/* A child's mapping grows over what its parent kept for itself: zeros, not the parent's pages. */
static void growth_over_kept_pages(void **state)
{
	uint64_t va = UINT64_C(0x40000000), to = 0, x;
	struct vm_map *c;

	(void)state;
	assert_int_equal(vm_map_enter(m, &va, 8 * PAGE_SIZE, &anon, MAP_AT_FREE), OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(test_store(m, va + i * PAGE_SIZE, 100 + i), OK);
	assert_int_equal(vm_map_inherit(m, vrange(va + 4 * PAGE_SIZE, va + 8 * PAGE_SIZE), INHERIT_NONE), OK);
	assert_int_equal(vm_map_fork(m, &c), OK);
	pmap_activate(&c->pmap);
	assert_int_equal(vm_map_remap(c, vrange(va, va + 4 * PAGE_SIZE), 8 * PAGE_SIZE, false, false, &to), OK);
	assert_int_equal(to, va);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(test_load(c, va + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, i < 4 ? 100 + i : 0);
	}
	vm_map_check(c);
	pmap_activate(&m->pmap);
	vm_map_release(c);
	assert_int_equal(load(va + 5 * PAGE_SIZE), 105);
}

/* --- a move that fails after tables went --- */

static bool fail_nth(void *arg)
{
	uint64_t *left = arg;

	return *left > 0 && --*left == 0;
}

static void failed_move_keeps_tables(void **state)
{
	uint64_t va = UINT64_C(0x40000000), to = UINT64_C(0x80000000), left;
	enum error e = ERR_NOMEM;

	(void)state;
	assert_int_equal(vm_map_enter(m, &va, 2 * BLOCK_SIZE, &anon, MAP_AT_FREE), OK);
	for (uint64_t n = 1; e == ERR_NOMEM; n++) {
		/* The first window has a table with nothing in it, the second a page to be handed over. */
		assert_int_equal(test_store(m, va, 1), OK);
		assert_int_equal(test_store(m, va + BLOCK_SIZE, 2), OK);
		assert_int_equal(vm_map_discard(m, vrange(va, va + BLOCK_SIZE)), OK);
		left = n;
		frames_fail_by(&v.vm->frames, fail_nth, &left);
		e = vm_map_remap(m, vrange(va, va + 2 * BLOCK_SIZE), 2 * BLOCK_SIZE, true, true, &to);
		frames_fail_by(&v.vm->frames, NULL, NULL);
	}
	assert_int_equal(e, OK);
	assert_int_equal(load(to + BLOCK_SIZE), 2);
	vm_map_check(m);
	/* teardown counts the frames */
}

/* --- addresses chosen so that the tree of entries becomes a list --- */

static uint64_t public_hash(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void crafted_addresses(void **state)
{
	uint64_t at = UINT64_C(0x40000000), step = UINT64_MAX / 2000, below = UINT64_MAX, before;
	unsigned n = 0;

	(void)state;
	/* Ascending addresses of descending priority, as evenly spread as the hash allows. */
	for (; n < 1500 && below > step; at += 2 * PAGE_SIZE) {
		uint64_t h = public_hash(at), where = at;

		if (h >= below || h < below - step)
			continue;
		below = h;
		assert_int_equal(vm_map_enter(m, &where, PAGE_SIZE, &anon, MAP_AT_FREE), OK);
		n++;
	}
	assert_true(n > 500);
	(void)epoch_poll(&v.vm->epoch);
	(void)epoch_poll(&v.vm->epoch);
	(void)epoch_poll(&v.vm->epoch);
	before = epoch_pending(&v.vm->epoch);
	assert_int_equal(vm_map_enter(m, &at, PAGE_SIZE, &anon, MAP_AT_FREE), OK);
	/* What was retired: the nodes on the path to the new entry. */
	assert_true(epoch_pending(&v.vm->epoch) - before < 100);
	vm_map_check(m);
}

/* --- memory that no resident page tells of --- */

static void tables_go_with_mappings(void **state)
{
	uint64_t at = UINT64_C(0x40000000);

	(void)state;
	for (unsigned i = 0; i < 100; i++, at += BLOCK_SIZE) {
		assert_int_equal(vm_map_enter(m, &at, BLOCK_SIZE, &anon, MAP_AT_FREE), OK);
		assert_int_equal(test_store(m, at + i * PAGE_SIZE, 1), OK);
		assert_int_equal(vm_map_remove(m, vrange(at, at + BLOCK_SIZE)), OK);
	}
	/* Two levels above the leaf tables stay until the end of the space. */
	assert_true(atomic_load_relaxed(&m->pmap.tables) <= 2);
	vm_map_check(m);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(growth_over_kept_pages), T(failed_move_keeps_tables), T(crafted_addresses),
					    T(tables_go_with_mappings) };

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return run_both_ways(tests);
}
