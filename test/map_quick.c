/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The short ways of changes of a map (vm/map_quick.c) against the long ones: the same random calls on two maps, of which one knows the
 * long ways only; after each, results, entries, contents and sizes are the same.
 */
#include "map_state.h"
#include "test_vm.h"
#include "vm/map_edit.h"

#define HEAP UINT64_C(0x1000000)
#define WINDOW_PAGES 32u /* here and there mapped at a fixed address */

static struct test_vm v;
static struct vm_map *m[2];
static struct map_state state[2];
static uint64_t rng;
static uint64_t window, top; /* where they begin; below what mappings go that say no address */

static uint64_t rnd(uint64_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (rng >> 33) % n;
}

static int setup(void **s)
{
	(void)s;
	test_vm_init(&v, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vm_map_create(v.vm, &m[i]), OK);
		m[i]->stack_limit = UINT64_C(0x4000000);
		m[i]->brk_start = m[i]->brk_end = HEAP;
	}
	window = HEAP + 8 * PAGE_SIZE; /* the heap may run against it */
	top = m[0]->stack_limit;
	rng = TEST_SEED;
	return 0;
}

static int teardown(void **s)
{
	(void)s;
	for (unsigned i = 0; i < 2; i++)
		vm_map_release(m[i]);
	v.vm->map_quick = true;
	test_vm_destroy(&v);
	return 0;
}

/* What the next calls on map i may do. */
static struct vm_map *turn(unsigned i)
{
	v.vm->map_quick = i == 0;
	return m[i];
}

static void same(void)
{
	const char *difference;

	for (unsigned i = 0; i < 2; i++)
		map_state_take(&state[i], m[i]);
	difference = map_state_difference(&state[0], &state[1]);
	for (unsigned i = 0; difference && i < 2; i++)
		for (unsigned k = 0; k < state[i].entries; k++)
			print_message("%s: %lx to %lx, rights %u of %u\n", i ? "long" : "short",
				      (unsigned long)state[i].entry[k].range.start.va, (unsigned long)state[i].entry[k].range.end.va,
				      state[i].entry[k].prot, state[i].entry[k].max);
	if (difference)
		fail_msg("short and long way differ: %s", difference);
}

static enum prot some_rights(void)
{
	static const enum prot rights[] = { PROT_R, PROT_R | PROT_W, PROT_NONE_, PROT_R | PROT_W };

	return rights[rnd(4)];
}

static void enter(void)
{
	static const char name[] = "[other]";
	const struct vm_mapping what = { .prot = some_rights(), .max = rnd(4) ? PROT_ALL : PROT_R | PROT_W, .inherit = INHERIT_COPY,
					 .name = rnd(4) ? NULL : name, .wired = rnd(8) == 0 };
	uint64_t size = (1 + rnd(3)) * PAGE_SIZE, hint = rnd(3) ? 0 : window + rnd(WINDOW_PAGES) * PAGE_SIZE, at[2];
	unsigned flags = rnd(3) ? 0 : MAP_AT;
	enum error e[2];

	if (flags)
		hint = window + rnd(WINDOW_PAGES - 3) * PAGE_SIZE;
	for (unsigned i = 0; i < 2; i++) {
		at[i] = hint;
		e[i] = vm_map_enter(turn(i), &at[i], size, &what, flags);
	}
	assert_int_equal(e[0], e[1]);
	assert_int_equal(at[0], at[1]);
}

/* An entry whole, or a piece of the window. */
static struct vrange some_range(void)
{
	struct vm_entry_info info;
	uint64_t at = window + rnd(WINDOW_PAGES) * PAGE_SIZE, pages;

	if (rnd(4) == 0)
		at = HEAP + rnd(8) * PAGE_SIZE;
	if (rnd(3) && vm_map_lookup(m[0], rnd(2) ? at : top - (1 + rnd(16)) * PAGE_SIZE, &info))
		return info.range;
	pages = 1 + rnd(4);
	return vrange(at, at + pages * PAGE_SIZE);
}

static void store(void)
{
	struct vm_entry_info info;
	struct vrange r = some_range();

	if (!vm_map_lookup(m[0], r.start.va, &info) || info.range.start.va > r.start.va || !(info.prot & PROT_W))
		return;
	for (unsigned i = 0; i < 2; i++) {
		pmap_activate(&turn(i)->pmap);
		assert_int_equal(test_store(m[i], r.start.va, 1 + r.start.va / PAGE_SIZE), OK);
		pmap_deactivate(v.pmaps);
	}
}

/* Elsewhere, there or at some place of the window; or longer or shorter. */
static void remap(void)
{
	struct vrange r = some_range();
	uint64_t size = (1 + rnd(4)) * PAGE_SIZE, to = window + rnd(WINDOW_PAGES - 4) * PAGE_SIZE, at[2];
	bool fixed = rnd(2), may_move = fixed || rnd(2);
	enum error e[2];

	if (vrange_size(r) > 6 * PAGE_SIZE)
		return;
	for (unsigned i = 0; i < 2; i++) {
		at[i] = fixed ? to : 0;
		e[i] = vm_map_remap(turn(i), r, size, may_move, fixed, &at[i]);
	}
	assert_int_equal(e[0], e[1]);
	assert_true(e[0] != OK || at[0] == at[1]);
	vm_map_check(m[0]);
}

static void step(void)
{
	struct vrange r = some_range();
	enum prot prot = some_rights() | (rnd(8) ? PROT_NONE_ : PROT_X);
	enum error e[2];
	uint64_t end[2], want;
	unsigned what = (unsigned)rnd(12);

	if (state[0].entries > 80) { /* starts afresh, but for what lies below */
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(vm_map_remove(turn(i), vrange(window, m[i]->bounds.end.va)), OK);
		return;
	}
	switch (what) {
	case 0:
	case 1:
	case 2:
		enter();
		return;
	case 3:
	case 4:
		for (unsigned i = 0; i < 2; i++)
			e[i] = vm_map_remove(turn(i), r);
		break;
	case 5:
	case 6:
		for (unsigned i = 0; i < 2; i++)
			e[i] = vm_map_protect(turn(i), r, prot);
		break;
	case 7:
	case 8:
		want = HEAP + rnd(12) * PAGE_SIZE + rnd(2) * 100;
		for (unsigned i = 0; i < 2; i++)
			end[i] = vm_map_brk(turn(i), want);
		assert_int_equal(end[0], end[1]);
		if (end[0] > HEAP && rnd(2))
			for (unsigned i = 0; i < 2; i++) {
				pmap_activate(&turn(i)->pmap);
				(void)test_store(m[i], round_down(end[0] - 1, PAGE_SIZE), 77);
				pmap_deactivate(v.pmaps);
			}
		return;
	case 9:
		remap();
		return;
	case 10:
		for (unsigned i = 0; i < 2; i++)
			e[i] = vm_map_wire(turn(i), r, prot & PROT_W);
		break;
	default:
		store();
		return;
	}
	assert_int_equal(e[0], e[1]);
}

static void calls(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		step();
		same();
		if (i % 64)
			continue;
		vm_map_check(m[0]);
		vm_map_check(m[1]);
		(void)epoch_poll(&v.vm->epoch);
	}
}

static void random_calls(void **s)
{
	(void)s;
	calls(8000);
}

/* A heap whose amap keeps what no entry covers does not go on with it. */
static void heap_untrimmed(void **s)
{
	struct vm_entry_info info;

	(void)s;
	assert_int_equal(vm_map_brk(m[0], HEAP + PAGE_SIZE), HEAP + PAGE_SIZE);
	epoch_enter(&v.vm->epoch);
	atomic_store_relaxed(&map_find_anew(m[0], HEAP)->amap->untrimmed, 1u);
	epoch_leave(&v.vm->epoch);
	assert_int_equal(vm_map_brk(m[0], HEAP + 2 * PAGE_SIZE), HEAP + 2 * PAGE_SIZE);
	assert_true(vm_map_lookup(m[0], HEAP, &info));
	assert_int_equal(vrange_size(info.range), PAGE_SIZE);
}

static bool fail_all(void *arg)
{
	(void)arg;
	return true;
}

/* Pages that a child shares cannot be taken out without memory: then the heap stays as it is. */
static void heap_without_memory(void **s)
{
	struct vm_map *child;
	uint64_t x = 0;

	(void)s;
	assert_int_equal(vm_map_brk(m[0], HEAP + 4 * PAGE_SIZE), HEAP + 4 * PAGE_SIZE);
	pmap_activate(&m[0]->pmap);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(test_store(m[0], HEAP + i * PAGE_SIZE, i + 1), OK);
	assert_int_equal(vm_map_fork(m[0], &child), OK);
	vm_drain(v.vm);
	/* entries there are, nodes not */
	zone_free(v.vm->entry_zone, entry_alloc(v.vm, vrange(0, 0)));
	frames_fail_by(&v.vm->frames, fail_all, NULL);
	assert_int_equal(vm_map_brk(m[0], HEAP + 2 * PAGE_SIZE), HEAP + 4 * PAGE_SIZE);
	frames_fail_by(&v.vm->frames, NULL, NULL);
	assert_int_equal(test_load(m[0], HEAP + 3 * PAGE_SIZE, &x), OK);
	assert_int_equal(x, 4);
	assert_int_equal(vm_map_brk(m[0], HEAP + 2 * PAGE_SIZE), HEAP + 2 * PAGE_SIZE);
	pmap_deactivate(v.pmaps);
	vm_map_release(child);
}

/* Parts; the window lies across an edge. */
static void calls_across(uint64_t edge)
{
	for (unsigned i = 0; i < 2; i++) {
		m[i]->stack_limit = (machine_info()->ncpus + 1) * MAP_PART + BLOCK_SIZE;
		vm_map_spread(m[i]);
		assert_int_equal(m[i]->part_low, MAP_PART);
	}
	window = edge - WINDOW_PAGES / 2 * PAGE_SIZE;
	top = 2 * MAP_PART;
	calls(8000);
}

static void calls_into_a_part(void **s)
{
	(void)s;
	calls_across(MAP_PART);
}

static void calls_across_parts(void **s)
{
	(void)s;
	calls_across(2 * MAP_PART);
}

static void calls_out_of_the_last_part(void **s)
{
	(void)s;
	calls_across((machine_info()->ncpus + 1) * MAP_PART);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(random_calls), T(calls_into_a_part), T(calls_across_parts), T(calls_out_of_the_last_part), T(heap_untrimmed),
					  T(heap_without_memory) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
