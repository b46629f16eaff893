/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation of every operation on maps fails in turn: the first, the
 * second, ... until the operation gets through. Each failure must say so, leave
 * the space as it was, and leak nothing.
 */
#include "test_vm.h"

#define PAGES 200u

static struct test_vm v;
static struct vm_map *m;
static struct vm_object *o;
static uint64_t base;

static bool fail_nth(void *arg)
{
	uint64_t *left = arg;

	return *left > 0 && --*left == 0;
}

/* A space with private pages, a fork of it that shares them, an object: so that every path has something to copy. */
static struct vm_map *child;

static int setup(void **state)
{
	const struct vm_mapping shared = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE };
	struct vm_mapping w = shared;

	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	base = test_map_anon(m, PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(test_store(m, base + i * PAGE_SIZE, i + 1), OK);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, 8 * PAGE_SIZE, &o), OK);
	w.object = o;
	uint64_t at = 0x100000;
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &w, MAP_AT_FREE), OK);
	assert_int_equal(vm_map_fork(m, &child), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	vm_map_release(child);
	object_release(o);
	test_vm_destroy(&v);
	return 0;
}

static void unchanged(void)
{
	uint64_t x;

	vm_map_check(m);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(test_load(m, base + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, i + 1);
	}
}

/* Caches empty, so that the allocation really asks for frames. */
static enum error starve(enum error (*operation)(void), void (*after_failure)(void))
{
	uint64_t left, failures = 0;
	enum error e;

	for (uint64_t n = 1;; n++) {
		left = n;
		frames_fail_by(&v.vm->frames, fail_nth, &left);
		e = operation();
		frames_fail_by(&v.vm->frames, NULL, NULL);
		if (e != ERR_NOMEM)
			break;
		failures++;
		if (after_failure)
			after_failure();
		assert_true(n < 100000);
	}
	assert_true(failures > 0);
	return e;
}

static enum error op_map(void)
{
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = base + 50 * PAGE_SIZE;

	return vm_map_enter(m, &at, 10 * PAGE_SIZE, &w, MAP_AT);
}
static enum error op_unmap(void) { return vm_map_remove(m, vrange(base + 50 * PAGE_SIZE, base + 60 * PAGE_SIZE)); }
static enum error op_protect(void) { return vm_map_protect(m, vrange(base + 50 * PAGE_SIZE, base + 60 * PAGE_SIZE), PROT_R); }
static enum error op_inherit(void) { return vm_map_inherit(m, vrange(base + 50 * PAGE_SIZE, base + 60 * PAGE_SIZE), INHERIT_NONE); }
static enum error op_store(void) { return test_store(m, base + 70 * PAGE_SIZE, 71); }
static enum error op_shared(void) { return test_store(m, 0x100000 + 3 * PAGE_SIZE, 1); }

static enum error op_fork(void)
{
	struct vm_map *c;
	enum error e = vm_map_fork(m, &c);

	if (e == OK)
		vm_map_release(c);
	return e;
}

static enum error op_create(void)
{
	struct vm_map *c;
	enum error e = vm_map_create(v.vm, &c);

	if (e == OK)
		vm_map_release(c);
	return e;
}

static uint64_t moved_to;

static enum error op_move(void)
{
	moved_to = 0;
	return vm_map_remap(m, vrange(base + 50 * PAGE_SIZE, base + 130 * PAGE_SIZE), 80 * PAGE_SIZE + PAGE_SIZE, true, false, &moved_to);
}

static void map(void **state)
{
	uint64_t x;

	(void)state;
	assert_int_equal(starve(op_map, unchanged), OK);
	assert_int_equal(test_load(m, base + 55 * PAGE_SIZE, &x), OK);
	assert_int_equal(x, 0);
}

static void unmap(void **state)
{
	uint64_t x;

	(void)state;
	assert_int_equal(starve(op_unmap, unchanged), OK);
	assert_int_equal(test_load(m, base + 55 * PAGE_SIZE, &x), ERR_FAULT);
}

static void protect(void **state)
{
	(void)state;
	assert_int_equal(starve(op_protect, unchanged), OK);
	unchanged();
	assert_int_equal(test_store(m, base + 55 * PAGE_SIZE, 1), ERR_ACCESS);
}

static void inherit(void **state)
{
	(void)state;
	assert_int_equal(starve(op_inherit, unchanged), OK);
	unchanged();
}

static void copy_on_write(void **state)
{
	(void)state;
	assert_int_equal(starve(op_store, unchanged), OK);
	unchanged();
}

static void shared(void **state)
{
	(void)state;
	assert_int_equal(starve(op_shared, unchanged), OK);
}

static void fork_(void **state)
{
	(void)state;
	assert_int_equal(starve(op_fork, unchanged), OK);
	unchanged();
}

static void create(void **state)
{
	(void)state;
	assert_int_equal(starve(op_create, NULL), OK);
}

static void move(void **state)
{
	uint64_t x;

	(void)state;
	assert_int_equal(starve(op_move, unchanged), OK);
	for (unsigned i = 0; i < 80; i++) {
		assert_int_equal(test_load(m, moved_to + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, i + 51);
	}
}

/* After a failed discard each page is as before or zero, and a second try gets through. */
static enum error op_discard(void) { return vm_map_discard(m, vrange(base + 50 * PAGE_SIZE, base + 130 * PAGE_SIZE)); }

static void discard(void **state)
{
	uint64_t x;

	(void)state;
	assert_int_equal(starve(op_discard, NULL), OK);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(test_load(m, base + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, i >= 50 && i < 130 ? 0 : i + 1);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(map), T(unmap), T(protect), T(inherit), T(copy_on_write), T(shared),
					    T(fork_), T(create), T(move), T(discard) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
