/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of cases of vm/fault.c, one by one, on one vCPU; concurrency is stress/'s. */
#include "test_vm.h"

static struct test_vm v;
static struct vm_map *m;
static const struct host_config *machine;
/* Here a page that may be written is written without a fault, so that a right given too early shows. */
static const struct host_config hardware_dirty = { .ncpus = 4, .ram = 32 << 20, .seed = TEST_SEED, .junk = true,
						   .hw_access = true, .hw_dirty = true };

static int setup(void **state)
{
	(void)state;
	struct host_config one_by_one = {.ram = 32 << 20, .junk = true, .seed = TEST_SEED};

	if (machine)
		one_by_one = *machine;
	one_by_one.command_line = "fault-ahead=0"; /* its pages are fault_ahead's business */
	test_vm_init(&v, &one_by_one);
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

static uint64_t load(struct vm_map *map, uint64_t va)
{
	uint64_t x = 0xdead;

	assert_int_equal(test_load(map, va, &x), OK);
	return x;
}

static void store(struct vm_map *map, uint64_t va, uint64_t x) { assert_int_equal(test_store(map, va, x), OK); }

static void switch_to(struct vm_map *map) { pmap_activate(&map->pmap); }

static uint64_t count(enum counter c) { return counter_read(&v.vm->counters, c); }

static void zero_fill(void **state)
{
	uint64_t va = test_map_anon(m, 16 * PAGE_SIZE);

	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(load(m, va + i * PAGE_SIZE + 8 * i), 0);
		store(m, va + i * PAGE_SIZE, i + 1);
	}
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(load(m, va + i * PAGE_SIZE), i + 1);
		assert_int_equal(load(m, va + i * PAGE_SIZE + 4088), 0);
	}
	assert_int_equal(count(COUNTER_faults_zero_read), 16);
	assert_int_equal(count(COUNTER_faults_zero), 16);
	vm_map_check(m);
}

static void nothing_mapped(void **state)
{
	uint64_t x;

	(void)state;
	assert_int_equal(test_load(m, 0, &x), ERR_FAULT);
	assert_int_equal(test_load(m, 0x10000, &x), ERR_FAULT);
	assert_int_equal(test_store(m, UINT64_C(0x7fffffff000), 1), ERR_FAULT);
	assert_int_equal(test_fault(m, vaddr(UINT64_MAX), PROT_R), ERR_FAULT);
	assert_int_equal(test_fault(m, vaddr(UINT64_C(1) << 48), PROT_W), ERR_FAULT);
}

static void protection(void **state)
{
	uint64_t va = test_map_anon(m, 4 * PAGE_SIZE), x;

	(void)state;
	store(m, va, 1);
	store(m, va + PAGE_SIZE, 2);
	assert_int_equal(vm_map_protect(m, vrange(va, va + PAGE_SIZE), PROT_R), OK);
	assert_int_equal(test_store(m, va, 3), ERR_ACCESS);
	assert_int_equal(load(m, va), 1);
	store(m, va + PAGE_SIZE, 4);
	assert_int_equal(vm_map_protect(m, vrange(va, va + PAGE_SIZE), PROT_NONE_), OK);
	for (unsigned i = 0; i < 2; i++) /* the first finds the entry anew */
		assert_int_equal(test_load(m, va, &x), ERR_ACCESS);
	assert_int_equal(test_fetch(m, va + PAGE_SIZE), ERR_ACCESS);
	assert_int_equal(vm_map_protect(m, vrange(va, va + 4 * PAGE_SIZE), PROT_R | PROT_W), OK);
	assert_int_equal(load(m, va), 1);
	store(m, va, 5);
	assert_int_equal(load(m, va), 5);
	assert_int_equal(vm_map_protect(m, vrange(va - PAGE_SIZE, va + PAGE_SIZE), PROT_R), ERR_NOENT);
	vm_map_check(m);
}

/* Untouched pages beside touched ones, where the node and the table are there: their rights and contents count all the same. */
static void rights_of_what_is_near(void **state)
{
	uint64_t va = test_map_anon(m, 4 * PAGE_SIZE);
	struct vm_map *child;

	(void)state;
	store(m, va, 1);
	assert_int_equal(vm_map_protect(m, vrange(va, va + 2 * PAGE_SIZE), PROT_R), OK);
	for (unsigned i = 0; i < 2; i++) /* the first finds the entry anew */
		assert_int_equal(test_store(m, va + PAGE_SIZE, 2), ERR_ACCESS);
	assert_int_equal(load(m, va + PAGE_SIZE), 0);
	assert_int_equal(test_store(m, va + 4 * PAGE_SIZE, 2), ERR_FAULT);
	assert_int_equal(vm_map_protect(m, vrange(va, va + 2 * PAGE_SIZE), PROT_R | PROT_W), OK);
	assert_int_equal(vm_map_fork(m, &child), OK);
	assert_int_equal(vm_map_size(child), vm_map_size(m));
	store(m, va + 2 * PAGE_SIZE, 3); /* where the node is shared */
	store(m, va + PAGE_SIZE, 4);
	pmap_activate(&child->pmap);
	assert_int_equal(load(child, va + 2 * PAGE_SIZE), 0);
	assert_int_equal(load(child, va + PAGE_SIZE), 0);
	assert_int_equal(load(child, va), 1);
	pmap_activate(&m->pmap);
	vm_map_reference(child);
	assert_int_equal(vm_map_release(child), 0);
	assert_int_equal(vm_map_release(child), 3);
	vm_map_check(m);
}

static void unmap_middle(void **state)
{
	uint64_t va = test_map_anon(m, 8 * PAGE_SIZE), x, at;
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		store(m, va + i * PAGE_SIZE, 100 + i);
	assert_int_equal(vm_map_remove(m, vrange(va + 2 * PAGE_SIZE, va + 5 * PAGE_SIZE)), OK);
	for (unsigned i = 0; i < 8; i++)
		if (i >= 2 && i < 5)
			assert_int_equal(test_load(m, va + i * PAGE_SIZE, &x), ERR_FAULT);
		else
			assert_int_equal(load(m, va + i * PAGE_SIZE), 100 + i);
	/* What comes in its place is zero, whatever it merges with. */
	at = va + 2 * PAGE_SIZE;
	assert_int_equal(vm_map_enter(m, &at, 3 * PAGE_SIZE, &w, MAP_AT_FREE), OK);
	for (unsigned i = 2; i < 5; i++)
		assert_int_equal(load(m, va + i * PAGE_SIZE), 0);
	at = va;
	assert_int_equal(vm_map_enter(m, &at, PAGE_SIZE, &w, MAP_AT_FREE), ERR_EXISTS);
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &w, MAP_AT), OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(load(m, va + i * PAGE_SIZE), 0);
	vm_map_check(m);
}

static void discard(void **state)
{
	uint64_t va = test_map_anon(m, 600 * PAGE_SIZE);

	(void)state;
	for (unsigned i = 0; i < 600; i += 7)
		store(m, va + i * PAGE_SIZE, i + 1);
	assert_int_equal(vm_map_discard(m, vrange(va + 10 * PAGE_SIZE, va + 590 * PAGE_SIZE)), OK);
	for (unsigned i = 0; i < 600; i += 7)
		assert_int_equal(load(m, va + i * PAGE_SIZE), i >= 10 && i < 590 ? 0 : i + 1);
	vm_map_check(m);
}

static void fork_copies_on_write(void **state)
{
	uint64_t va = test_map_anon(m, 700 * PAGE_SIZE);
	struct vm_map *c, *g;

	(void)state;
	for (unsigned i = 0; i < 700; i++)
		store(m, va + i * PAGE_SIZE, i);
	assert_int_equal(vm_map_fork(m, &c), OK);
	for (unsigned i = 0; i < 700; i += 2)
		store(m, va + i * PAGE_SIZE, 1000 + i);
	switch_to(c);
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(load(c, va + i * PAGE_SIZE), i);
	for (unsigned i = 0; i < 700; i += 3)
		store(c, va + i * PAGE_SIZE, 2000 + i);
	assert_int_equal(vm_map_fork(c, &g), OK);
	switch_to(m);
	vm_map_release(c);
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(load(m, va + i * PAGE_SIZE), i % 2 ? i : 1000 + i);
	switch_to(g);
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(load(g, va + i * PAGE_SIZE), i % 3 ? i : 2000 + i);
	for (unsigned i = 0; i < 700; i++)
		store(g, va + i * PAGE_SIZE, 7);
	vm_map_check(g);
	vm_map_check(m);
	switch_to(m);
	vm_map_release(g);
	for (unsigned i = 0; i < 700; i++)
		assert_int_equal(load(m, va + i * PAGE_SIZE), i % 2 ? i : 1000 + i);
}

/* Private entries in windows of leaf tables of their own, and two in one window, with a shared one among them. */
static void fork_protects_every_window(void **state)
{
	static const uint64_t at[] = { 0x40000000, 0x40010000, 0x405ff000, 0x40a00000, 0x4000000000 };
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vm_mapping s = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE };
	uint64_t shared = 0x40008000;
	struct vm_map *c;

	(void)state;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, PAGE_SIZE, &s.object), OK);
	assert_int_equal(vm_map_enter(m, &shared, PAGE_SIZE, &s, MAP_AT_FREE), OK);
	object_release(s.object);
	store(m, shared, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		uint64_t va = at[i];

		assert_int_equal(vm_map_enter(m, &va, 2 * PAGE_SIZE, &w, MAP_AT_FREE), OK);
		store(m, va, 10 + i);
		store(m, va + PAGE_SIZE, 20 + i);
	}
	assert_int_equal(vm_map_fork(m, &c), OK);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		store(m, at[i], 30 + i);
		store(m, at[i] + PAGE_SIZE, 40 + i);
	}
	store(m, shared, 2);
	switch_to(c);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		assert_int_equal(load(c, at[i]), 10 + i);
		assert_int_equal(load(c, at[i] + PAGE_SIZE), 20 + i);
	}
	assert_int_equal(load(c, shared), 2);
	switch_to(m);
	vm_map_check(m);
	vm_map_check(c);
	vm_map_release(c);
}

static void inheritance(void **state)
{
	uint64_t copy = test_map_anon(m, PAGE_SIZE), zero, none, shared = 0, x;
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vm_mapping s = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE };
	struct vm_map *c;

	(void)state;
	zero = none = 0;
	assert_int_equal(vm_map_enter(m, &zero, PAGE_SIZE, &w, 0), OK);
	assert_int_equal(vm_map_enter(m, &none, PAGE_SIZE, &w, 0), OK);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, PAGE_SIZE, &s.object), OK);
	assert_int_equal(vm_map_enter(m, &shared, PAGE_SIZE, &s, 0), OK);
	object_release(s.object);
	store(m, copy, 1);
	store(m, zero, 2);
	store(m, none, 3);
	store(m, shared, 4);
	assert_int_equal(vm_map_inherit(m, vrange(zero, zero + PAGE_SIZE), INHERIT_ZERO), OK);
	assert_int_equal(vm_map_inherit(m, vrange(none, none + PAGE_SIZE), INHERIT_NONE), OK);
	assert_int_equal(vm_map_inherit(m, vrange(shared, shared + PAGE_SIZE), INHERIT_COPY), ERR_INVAL);
	assert_int_equal(vm_map_fork(m, &c), OK);
	switch_to(c);
	assert_int_equal(load(c, copy), 1);
	assert_int_equal(load(c, zero), 0);
	assert_int_equal(test_load(c, none, &x), ERR_FAULT);
	assert_int_equal(load(c, shared), 4);
	store(c, shared, 5);
	switch_to(m);
	assert_int_equal(load(m, shared), 5);
	assert_int_equal(load(m, zero), 2);
	assert_int_equal(load(m, none), 3);
	vm_map_check(c);
	vm_map_release(c);
}

/* What the child did not inherit lies in the tree that it shares with its parent: no new mapping there finds it. */
static void a_hole_of_fork_is_zero(void **state)
{
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t va = test_map_anon(m, 4 * PAGE_SIZE), at = va + PAGE_SIZE;
	struct vm_map *c;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		store(m, va + i * PAGE_SIZE, 10 + i);
	assert_int_equal(vm_map_inherit(m, vrange(at, at + PAGE_SIZE), INHERIT_NONE), OK);
	assert_int_equal(vm_map_fork(m, &c), OK);
	switch_to(c);
	assert_int_equal(vm_map_enter(c, &at, PAGE_SIZE, &w, MAP_AT_FREE), OK);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(load(c, va + i * PAGE_SIZE), i == 1 ? 0 : 10 + i);
	vm_map_check(c);
	switch_to(m);
	vm_map_release(c);
}

static void files(void **state)
{
	static unsigned char bytes[3 * PAGE_SIZE + 100];
	struct vm_mapping p = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vm_mapping s = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE };
	struct vm_object *o;
	uint64_t priv = 0, shared = 0, upper = 0x50010000, x, want;
	size_t done;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 7);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 9 }, &pager_initrd, bytes, sizeof bytes, sizeof bytes, &o), OK);
	p.object = s.object = o;
	assert_int_equal(vm_map_enter(m, &priv, 5 * PAGE_SIZE, &p, 0), OK);
	assert_int_equal(vm_map_enter(m, &shared, 5 * PAGE_SIZE, &s, 0), OK);
	memcpy(&want, bytes + PAGE_SIZE, 8);
	assert_int_equal(load(m, priv + PAGE_SIZE), want);
	store(m, priv + PAGE_SIZE, 1);
	assert_int_equal(load(m, shared + PAGE_SIZE), want);
	store(m, shared + PAGE_SIZE, 2);
	store(m, shared, 3);
	assert_int_equal(load(m, priv), 3);
	assert_int_equal(load(m, priv + PAGE_SIZE), 1);
	assert_int_equal(load(m, priv + 3 * PAGE_SIZE + 2048), 0); /* behind the end, in the last page */
	assert_int_equal(test_load(m, priv + 4 * PAGE_SIZE, &x), ERR_BUS);
	assert_int_equal(test_store(m, shared + 4 * PAGE_SIZE, 1), ERR_BUS);
	assert_int_equal(test_store(m, priv + 4 * PAGE_SIZE, 1), ERR_BUS);
	assert_int_equal(object_read(o, PAGE_SIZE, &x, 8, &done), OK);
	assert_int_equal(x, 2);
	assert_int_equal(object_write(o, 4 * PAGE_SIZE + 8, "written!", 8, &done), OK);
	assert_int_equal(done, 8);
	assert_int_equal(load(m, shared + 4 * PAGE_SIZE), 0);
	x = 0;
	assert_int_equal(vm_map_view(m, shared + PAGE_SIZE, 2 * PAGE_SIZE, false, &x), OK);
	assert_int_equal(load(m, x), 2);
	store(m, x + PAGE_SIZE, 77);
	assert_int_equal(load(m, shared + 2 * PAGE_SIZE), 77);
	assert_int_equal(vm_map_view(m, priv, PAGE_SIZE, false, &x), ERR_INVAL);
	assert_int_equal(vm_map_view(m, PAGE_SIZE * 64, PAGE_SIZE, false, &x), ERR_FAULT);
	/* A copy comes before the page it is of, also when nothing is mapped. */
	assert_int_equal(vm_map_protect(m, vrange(priv, priv + 2 * PAGE_SIZE), PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, vrange(priv, priv + 2 * PAGE_SIZE), PROT_R | PROT_W), OK);
	assert_int_equal(load(m, priv + PAGE_SIZE), 1);
	/* The object's pages below a mapping of its upper ones are not there. */
	p.offset = PAGE_SIZE;
	assert_int_equal(vm_map_enter(m, &upper, 2 * PAGE_SIZE, &p, MAP_AT_FREE), OK);
	assert_int_equal(load(m, upper), 2);
	assert_int_equal(test_load(m, upper - PAGE_SIZE, &x), ERR_FAULT);
	/* Read, then written: a copy. */
	assert_int_equal(load(m, upper + PAGE_SIZE), 77);
	store(m, upper + PAGE_SIZE, 78);
	assert_int_equal(load(m, shared + 2 * PAGE_SIZE), 77);
	/* Shorter: pages go from everywhere, private copies stay. */
	assert_int_equal(object_resize(o, PAGE_SIZE), OK);
	assert_int_equal(test_load(m, shared + PAGE_SIZE, &x), ERR_BUS);
	assert_int_equal(load(m, priv + PAGE_SIZE), 1);
	assert_int_equal(load(m, priv), 3);
	object_release(o);
	vm_map_check(m);
}

static void stack_grows(void **state)
{
	struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY, .grows_down = true };
	uint64_t top = UINT64_C(0x7ff00000000), at = top - 4 * PAGE_SIZE, x;
	struct vm_entry_info info;

	(void)state;
	m->stack_limit = top - 64 * PAGE_SIZE;
	assert_int_equal(vm_map_enter(m, &at, 4 * PAGE_SIZE, &w, MAP_AT_FREE), OK);
	store(m, top - 10 * PAGE_SIZE, 1);
	store(m, top - 64 * PAGE_SIZE, 2);
	assert_int_equal(test_store(m, top - 64 * PAGE_SIZE - 8, 3), ERR_FAULT);
	assert_int_equal(test_load(m, top, &x), ERR_FAULT);
	assert_int_equal(load(m, top - 10 * PAGE_SIZE), 1);
	assert_true(vm_map_lookup(m, top - 1, &info));
	assert_int_equal(info.range.start.va, top - 64 * PAGE_SIZE);
	/* Nothing is put into the guard by itself. */
	at = test_map_anon(m, PAGE_SIZE);
	assert_true(at + PAGE_SIZE <= top - 64 * PAGE_SIZE - ENTRY_GUARD);
	vm_map_check(m);
}

static void remap(void **state)
{
	uint64_t va = test_map_anon(m, 300 * PAGE_SIZE), to, x;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		store(m, va + i * PAGE_SIZE, i + 1);
	to = 0;
	assert_int_equal(vm_map_remap(m, vrange(va + 100 * PAGE_SIZE, va + 200 * PAGE_SIZE), 150 * PAGE_SIZE, true, false, &to), OK);
	for (unsigned i = 0; i < 300; i++)
		if (i >= 100 && i < 200)
			assert_int_equal(test_load(m, va + i * PAGE_SIZE, &x), ERR_FAULT);
		else
			assert_int_equal(load(m, va + i * PAGE_SIZE), i + 1);
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(load(m, to + i * PAGE_SIZE), i < 100 ? 101 + i : 0);
	vm_map_check(m);
	va = to;
	assert_int_equal(vm_map_remap(m, vrange(va, va + 150 * PAGE_SIZE), 50 * PAGE_SIZE, false, false, &to), OK);
	assert_int_equal(to, va);
	assert_int_equal(test_load(m, va + 50 * PAGE_SIZE, &x), ERR_FAULT);
	assert_int_equal(vm_map_remap(m, vrange(va, va + 50 * PAGE_SIZE), 60 * PAGE_SIZE, false, false, &to), OK);
	assert_int_equal(to, va);
	assert_int_equal(load(m, va + 55 * PAGE_SIZE), 0);
	assert_int_equal(load(m, va + 49 * PAGE_SIZE), 150);
	to = va - 1000 * PAGE_SIZE;
	assert_int_equal(vm_map_remap(m, vrange(va, va + 60 * PAGE_SIZE), 60 * PAGE_SIZE, true, true, &to), OK);
	assert_int_equal(load(m, va - 951 * PAGE_SIZE), 150);
	assert_int_equal(vm_map_remap(m, vrange(va, va + PAGE_SIZE), PAGE_SIZE, true, false, &to), ERR_FAULT);
	vm_map_check(m);
}

static void brk(void **state)
{
	(void)state;
	m->brk_start = m->brk_end = UINT64_C(0x1000800);
	assert_int_equal(vm_map_brk(m, 0), UINT64_C(0x1000800));
	for (unsigned i = 1; i < 100; i++) {
		assert_int_equal(vm_map_brk(m, UINT64_C(0x1000800) + i * PAGE_SIZE), UINT64_C(0x1000800) + i * PAGE_SIZE);
		store(m, UINT64_C(0x1000800) + i * PAGE_SIZE - 8, i);
	}
	assert_int_equal(atomic_load_relaxed(&m->main.list.entries), 1); /* merged all along */
	assert_int_equal(vm_map_brk(m, UINT64_C(0x1000800) + 10 * PAGE_SIZE), UINT64_C(0x1000800) + 10 * PAGE_SIZE);
	assert_int_equal(vm_map_brk(m, UINT64_C(0x1000800) + 20 * PAGE_SIZE), UINT64_C(0x1000800) + 20 * PAGE_SIZE);
	assert_int_equal(load(m, UINT64_C(0x1000800) + 10 * PAGE_SIZE - 8), 10);
	assert_int_equal(load(m, UINT64_C(0x1000800) + 15 * PAGE_SIZE - 8), 0);
	assert_int_equal(vm_map_brk(m, UINT64_MAX), UINT64_C(0x1000800) + 20 * PAGE_SIZE);
	vm_map_check(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(zero_fill), T(nothing_mapped), T(protection), T(rights_of_what_is_near), T(unmap_middle), T(discard),
					    T(fork_copies_on_write), T(fork_protects_every_window), T(inheritance),
					    T(a_hole_of_fork_is_zero), T(files), T(stack_grows), T(remap), T(brk) };

	int failed = run_both_ways(tests);

	machine = &hardware_dirty;
	return failed + run_both_ways(tests);
}
