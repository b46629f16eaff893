/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation of every operation on address spaces and objects fails in
 * turn: the first, the second, ... until the operation gets through with none
 * refused. For each number:
 *
 *	refused, and the operation says ERR_NOMEM:
 *		the space is as it was: every entry with all it says, every
 *		page's content, size and break; the structures pass their
 *		checks; then the same operation works, at once or when more of
 *		its allocations have failed
 *	refused, and the operation works: it did without; the result is right
 *	not refused: that was the last number
 *
 * and when the world has gone every frame is where it was before it.
 *
 * Each operation meets worlds that were forked 0, 1 and 3 deep, with children that
 * live and have written on their own, so that at each level of the trees there
 * are nodes to copy; and caches that are warm or have just been emptied, so that
 * also the frames behind zones are refused.
 *
 * Kernel memory (vm/kmem.h) goes through the same, without worlds: all that was made is taken apart.
 *
 * At the end: a line "site ADDRESS" (as in the linked program) for each return
 * address above an allocation that was refused. tools/test/fail-sites compares
 * them with all calls of allocation functions.
 */
#include <stdio.h>

#include "map_state.h"
#include "vm/amap.h"
#include "vm/entry.h"
#include "vm/fail_sites.h"

#define PAGES 200u             /* the window: page i begins with i + 1 */
#define FILE_PAGES 8u          /* an object, mapped shared and private: page i begins with i + 500 */
#define DEPTHS 4u
#define RAM (UINT64_C(6) << 20) /* little, since each audit looks at all of it */
#define SHARED UINT64_C(0x100000)
#define PRIVATE UINT64_C(0x200000)
#define HEAP UINT64_C(0x10000000)
#define HEAP_PAGES 20u
#define PLACE UINT64_C(0x40000000)  /* where things are moved to; PAGES pages, page i begins with i + 1 */
#define EMPTY UINT64_C(0x50000000)  /* 70 pages that nobody has touched */
#define WHOLE UINT64_C(0x60000000)  /* 2 MiB, where an operation wants them */
#define STACK_TOP UINT64_C(0x7000000000)
#define FAR UINT64_C(0x600000000000)
#define CHECKED 4              /* after one failure in so many the whole structure is checked, and at the end */
#define AT_ONCE 8              /* after one failure in so many the operation works at once */
#define MOST 5000              /* more allocations than any operation makes */

static struct test_vm v;
static struct vm_map *m, *child[DEPTHS];
static struct vm_object *o;
static uint64_t base, result, left;
static struct fail_sites sites;
static struct map_state before, after;

static bool fail_nth(void *arg)
{
	(void)arg;
	if (left == 0 || --left > 0)
		return false;
	fail_sites_note(&sites);
	return true;
}

/* --- the world --- */

static uint64_t page(unsigned i) { return base + i * PAGE_SIZE; }

static void store(uint64_t va, uint64_t value) { assert_int_equal(test_store(m, va, value), OK); }

static void map_at(uint64_t at, unsigned pages, const struct vm_mapping *w)
{
	assert_int_equal(vm_map_enter(m, &at, pages * PAGE_SIZE, w, MAP_AT_FREE), OK);
}

static void world(unsigned depth)
{
	const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vm_mapping w = anon;
	uint64_t value;
	size_t done;

	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	base = test_map_anon(m, PAGES * PAGE_SIZE);
	map_at(PLACE, PAGES, &anon);
	for (unsigned i = 0; i < PAGES; i++) {
		store(page(i), i + 1);
		store(PLACE + i * PAGE_SIZE, i + 1);
	}
	/* Pages 100 to 139 are many entries. */
	for (unsigned i = 100; i < 140; i += 4)
		assert_int_equal(vm_map_protect(m, vrange(page(i), page(i + 2)), PROT_R), OK);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, FILE_PAGES * PAGE_SIZE, &o), OK);
	for (unsigned i = 0; i < FILE_PAGES / 2; i++) { /* the rest is not resident */
		value = i + 500;
		assert_int_equal(object_write(o, i * PAGE_SIZE, &value, sizeof value, &done), OK);
	}
	w.object = o;
	map_at(PRIVATE, FILE_PAGES, &w);
	w.shared = true;
	w.inherit = INHERIT_SHARE;
	map_at(SHARED, FILE_PAGES, &w);
	map_at(EMPTY, 70, &anon);
	m->brk_start = m->brk_end = HEAP;
	assert_int_equal(vm_map_brk(m, HEAP + HEAP_PAGES * PAGE_SIZE), HEAP + HEAP_PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < HEAP_PAGES; i++)
		store(HEAP + i * PAGE_SIZE, i + 1);
	m->stack_limit = STACK_TOP - 1024 * PAGE_SIZE;
	w = anon;
	w.grows_down = true;
	map_at(STACK_TOP - PAGE_SIZE, 1, &w);
	for (unsigned d = 0; d < depth; d++) {
		assert_int_equal(vm_map_fork(m, &child[d]), OK);
		/* The child takes a page of its own, and the parent another one. */
		pmap_activate(&child[d]->pmap);
		assert_int_equal(test_store(child[d], page(20 * d), 999), OK);
		pmap_activate(&m->pmap);
		store(page(20 * d + 70), 20 * d + 71);
	}
}

static void end_of_world(unsigned depth)
{
	pmap_deactivate(v.pmaps);
	for (unsigned d = 0; d < depth; d++) {
		vm_map_check(child[d]);
		vm_map_release(child[d]);
	}
	vm_map_check(m);
	vm_map_release(m);
	object_release(o);
}

/* The children see what they saw, whatever becomes of the parent. */
static void children_right(unsigned depth)
{
	uint64_t x;

	for (unsigned d = 0; d < depth; d++) {
		pmap_activate(&child[d]->pmap);
		for (unsigned i = 0; i < PAGES; i++) {
			assert_int_equal(test_load(child[d], page(i), &x), OK);
			assert_int_equal(x, i == 20 * d ? 999 : i + 1);
		}
	}
	pmap_activate(&m->pmap);
}

/* --- what operations have in common --- */

static void holds(uint64_t va, uint64_t value)
{
	uint64_t x;

	assert_int_equal(test_load(m, va, &x), OK);
	assert_int_equal(x, value);
}

/* The window but for [first, end), which holds zeros, or is not looked at. */
static void window(unsigned first, unsigned end, bool zeros)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (i < first || i >= end)
			holds(page(i), i + 1);
		else if (zeros)
			holds(page(i), 0);
}

static void window_whole(void) { window(0, 0, false); }
static void gone(uint64_t va) { assert_int_equal(test_load(m, va, &result), ERR_FAULT); }
static struct vrange pages(unsigned first, unsigned end) { return vrange(page(first), page(end)); }

static const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

static enum error enter(uint64_t at, unsigned n, const struct vm_mapping *w, unsigned flags)
{
	result = at;
	return vm_map_enter(m, &result, n * PAGE_SIZE, w, flags);
}

#include "no_memory_operations.h"

/* --- each number in turn --- */

static void says(const struct operation *op, unsigned depth, uint64_t n, const char *what)
{
	fail_msg("%s, %u deep, without allocation %lu: %s", op->name, depth, (unsigned long)n, what);
}

static void same_as_before(const struct operation *op, unsigned depth, uint64_t n)
{
	const char *difference;

	if (n % CHECKED == 1)
		vm_map_check(m);
	map_state_take(&after, m);
	difference = map_state_difference(&before, &after);
	if (difference)
		says(op, depth, n, difference);
}

/* No amap keeps pages that no entry shows: they would stay until the last entry with it goes. */
static void trimmed(const struct operation *op, unsigned depth, uint64_t n)
{
	struct vm_entry_info info;

	for (uint64_t va = 0; vm_map_lookup(m, va, &info); va = info.range.end.va) {
		const struct amap *a;

		epoch_enter(&v.vm->epoch);
		a = entry_list_find(&m->main.list, va)->amap;
		epoch_leave(&v.vm->epoch);
		if (a && atomic_load_relaxed(&a->untrimmed)) /* nobody else runs */
			says(op, depth, n, "keeps pages of what is not mapped any more");
	}
}

/* The operation in a world of its own, from number *n on, until it works. => it worked although something was refused */
static bool until_it_works(const struct operation *op, unsigned depth, bool cold, uint64_t *n)
{
	bool refused;
	enum error e;

	world(depth);
	if (op->prepare)
		op->prepare();
	map_state_take(&before, m);
	for (;; ++*n) {
		if (cold)
			vm_drain(v.vm);
		left = *n;
		frames_fail_by(&v.vm->frames, fail_nth, NULL);
		e = op->run();
		frames_fail_by(&v.vm->frames, NULL, NULL);
		refused = left == 0;
		left = 0;
		if (e == OK)
			break;
		if (e != ERR_NOMEM || !refused)
			says(op, depth, *n, error_name(e));
		same_as_before(op, depth, *n);
		if (*n % AT_ONCE == depth % AT_ONCE) { /* in this very state; else after more failures */
			e = op->run();
			if (e != OK)
				says(op, depth, *n, "does not work afterwards");
			break;
		}
		assert_true(*n < MOST);
	}
	if (!(op->flags & KEEPS))
		trimmed(op, depth, *n);
	if (op->right)
		op->right();
	children_right(depth);
	end_of_world(depth);
	++*n;
	return refused;
}

static void each(void **state)
{
	const struct operation *op = *state;

	for (unsigned depth = 0; depth < DEPTHS; depth += 1 + depth) { /* 0, 1, 3 */
		uint64_t n = 1;

		if (op->flags & ONCE && depth != 1)
			continue;
		/* Odd depths with caches that are empty. */
		while (until_it_works(op, depth, depth % 2, &n))
			;
		if (n <= 2 && !(op->flags & NO_NEED))
			says(op, depth, n, "allocates nothing, against expectation");
		test_vm_quiet(&v);
	}
}

static int begin(void **state)
{
	(void)state;
	const struct host_config c = { .ram = RAM, .junk = true, .seed = TEST_SEED };

	test_vm_init(&v, &c);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_vm_destroy(&v);
	return 0;
}

/* --- kernel memory --- */

/* One way through all of it; what was made is taken apart again. */
static enum error kernel_memory(void)
{
	struct kmem *km = &v.vm->kmem;
	static struct kmem_pool pool;
	static struct kva arena;
	struct kmem_map *sub = NULL;
	vaddr_t whole, absent, waited, pooled;
	enum error e = kva_init(&arena, "arena", vaddr(MMU_KERNEL_START), PAGE_SIZE, 0, km->segments, km->kmalloc);

	if (e != OK)
		return e;
	kva_fini(&arena);
	e = kmem_malloc(&km->map, 5 * PAGE_SIZE, 4 * PAGE_SIZE, KMEM_NOWAIT, "whole", &whole);
	if (e != OK)
		return e;
	kmem_free(&km->map, whole, 5 * PAGE_SIZE);
	e = kmem_suballoc(&km->map, 30 * PAGE_SIZE, "sub", &sub);
	if (e != OK)
		return e;
	e = kmem_alloc_pageable(sub, 20 * PAGE_SIZE, "absent", &absent);
	if (e == OK) {
		e = kmem_fault(km, absent);
		if (e == OK && (e = kmem_alloc_wait(sub, 3 * PAGE_SIZE, "waited", &waited)) == OK)
			kmem_free_wakeup(sub, waited, 3 * PAGE_SIZE);
		kmem_free(sub, absent, 20 * PAGE_SIZE);
	}
	kmem_subfree(sub);
	if (e != OK)
		return e;
	e = kmem_pool_init(&pool, &km->map, PAGE_SIZE, PAGE_SIZE, "pool");
	if (e != OK)
		return e;
	e = kmem_pool_get(&pool, &pooled);
	if (e == OK)
		kmem_pool_put(&pool, pooled);
	kmem_pool_fini(&pool);
	return e;
}

/* kmem_alloc_wait tries again by itself: there a refusal may go unseen. */
static void each_of_kernel_memory(void **state)
{
	struct kmem *km = &v.vm->kmem;
	struct kmem_stats s;
	uint64_t n = 0, tables = atomic_load_relaxed(&km->pages.tables);
	bool reached;

	(void)state;
	assert_int_equal(kernel_memory(), OK); /* its tables are there from now on */
	kmem_stats(km, &s);
	v.owned[FRAME_TABLE] += s.tables - tables;
	v.owned[FRAME_FREE] -= s.tables - tables;
	do {
		enum error e;

		vm_drain(v.vm);
		left = ++n;
		frames_fail_by(&v.vm->frames, fail_nth, NULL);
		e = kernel_memory();
		frames_fail_by(&v.vm->frames, NULL, NULL);
		reached = left == 0;
		assert_true(e == OK || (reached && e == ERR_NOMEM));
		kmem_check(km);
		kmem_stats(km, &s);
		assert_true(s.pages == 0 && s.kva.used == 0);
		test_vm_quiet(&v);
	} while (reached);
	assert_true(n > 20);
}

/* Addresses as tools/alloc-sites has them: the program may have been loaded anywhere. */
static void print_sites(void)
{
	extern const char __executable_start[];

	for (unsigned i = 0; i < FAIL_SITES_MAX; i++) {
		uint64_t address = atomic_load_relaxed(&sites.site[i].address); /* nobody writes any more */

		if (address)
			printf("site 0x%lx\n", (unsigned long)(address - (uintptr_t)__executable_start));
	}
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(operations) + 1];
	int failed;

	for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
		tests[i] = (struct CMUnitTest){ .name = operations[i].name, .test_func = each,
						.initial_state = (void *)(uintptr_t)&operations[i] };
	tests[ARRAY_SIZE(operations)] = (struct CMUnitTest)cmocka_unit_test(each_of_kernel_memory);
	failed = cmocka_run_group_tests(tests, begin, end);
	print_sites();
	return failed;
}
