/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads map what follows (vm/fault_around.c): how far, with what rights, and what not. One vCPU. */
#include "test_vm.h"
#include "vm/amap.h"

#define PAGES AMAP_FANOUT

static struct test_vm v;
static struct vm_map *m;
/* A page that may be written is written without a fault, so that a right given too early shows. */
static struct host_config machine = { .ncpus = 1, .ram = 32 << 20, .seed = TEST_SEED, .junk = true, .hw_access = true,
				      .hw_dirty = true };

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, &machine);
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
	machine.command_line = NULL;
	return 0;
}

static uint64_t count(enum counter c) { return counter_read(&v.vm->counters, c); }

static uint64_t address(unsigned page) { return UINT64_C(0x40000000) + page * PAGE_SIZE; }

/* [first, end) of private memory, page i holding i + 1; nothing of it is mapped afterwards. */
static void written(unsigned first, unsigned end)
{
	const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = address(first);
	struct vrange all = vrange(address(first), address(end));

	assert_int_equal(vm_map_enter(m, &at, all.end.va - at, &anon, MAP_AT), OK);
	for (unsigned i = first; i < end; i++)
		assert_int_equal(test_store(m, address(i), i + 1), OK);
	assert_int_equal(vm_map_protect(m, all, PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, all, PROT_R | PROT_W), OK);
}

/* Reads a page; => how many others were mapped with it. */
static uint64_t around(struct vm_map *map, unsigned page)
{
	uint64_t before = count(COUNTER_pages_around), x = 0;

	assert_int_equal(test_load(map, address(page), &x), OK);
	assert_int_equal(x, page + 1);
	return count(COUNTER_pages_around) - before;
}

static bool mapped(unsigned page) { return pmap_extract(&m->pmap, vaddr(address(page))).state == PMAP_VALID; }

/* The first read maps one page, the second sixteen, and so does the one behind them. */
static void sequence(void **state)
{
	(void)state;
	v.vm->fault_around = 16;
	written(0, PAGES + 4);
	assert_int_equal(around(m, 0), 0);
	assert_int_equal(around(m, 1), 15);
	assert_false(mapped(17));
	for (unsigned i = 2; i <= 16; i++)
		assert_int_equal(around(m, i), 0);
	assert_int_equal(around(m, 17), 15);
	assert_int_equal(around(m, 40), 0); /* nothing before it: no sequence */
	assert_int_equal(around(m, 39), 0); /* nor here, and behind it is one that is mapped */
	assert_int_equal(around(m, 33), 5);
	vm_map_check(m);
}

/* Page 0 and page PAGES have the same slot, of two nodes. */
static void node_ends(void **state)
{
	(void)state;
	written(0, PAGES + 4);
	assert_int_equal(around(m, PAGES - 10), 0);
	assert_int_equal(around(m, PAGES - 9), 8);
	assert_int_equal(around(m, PAGES), 3);
	vm_map_check(m);
}

/* Between tables there is no look back, nor to the last page of the same table. */
static void first_of_a_table(void **state)
{
	unsigned window = BLOCK_SIZE / PAGE_SIZE;

	(void)state;
	written(window - 1, window + 3);
	written(2 * window - 1, 2 * window);
	(void)around(m, 2 * window - 1);
	assert_int_equal(around(m, window - 1), 0);
	assert_int_equal(around(m, window), 0);
	assert_int_equal(around(m, window + 1), 1);
}

/* Own pages are writable at once, without another fault. */
static void own(void **state)
{
	uint64_t faults;

	(void)state;
	written(0, 8);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 6);
	faults = count(COUNTER_faults);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(test_store(m, address(i), i + 101), OK);
	assert_int_equal(count(COUNTER_faults), faults);
}

/* What others have too is copied when it is written: here one page is the child's own since, the others are shared. */
static void shared(void **state)
{
	struct vm_map *child;
	uint64_t x;

	(void)state;
	written(0, 8);
	assert_int_equal(vm_map_fork(m, &child), OK);
	pmap_activate(&child->pmap);
	(void)around(child, 0);
	assert_int_equal(around(child, 1), 6);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(test_store(child, address(i), 77), OK);
	assert_int_equal(count(COUNTER_faults_cow), 8);
	pmap_activate(&m->pmap);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(test_load(m, address(i), &x), OK);
		assert_int_equal(x, i + 1);
	}
	vm_map_release(child);
	vm_map_check(m);
}

/* A node of one's own with an anon that is still shared, and the other way round. */
static void shared_in_own_node(void **state)
{
	struct vm_map *child;
	uint64_t x;

	(void)state;
	written(0, 8);
	assert_int_equal(vm_map_fork(m, &child), OK);
	assert_int_equal(test_store(m, address(7), 8), OK); /* the node is m's own from here on */
	assert_int_equal(vm_map_protect(m, vrange(address(0), address(8)), PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, vrange(address(0), address(8)), PROT_R | PROT_W), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 6);
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(test_store(m, address(i), 77), OK);
	pmap_activate(&child->pmap);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(test_load(child, address(i), &x), OK);
		assert_int_equal(x, i + 1);
	}
	pmap_activate(&m->pmap);
	vm_map_release(child);
	vm_map_check(m);
}

/* What is allowed ends with the entry, whatever the node holds. */
static void entry_ends(void **state)
{
	uint64_t x;

	(void)state;
	written(0, 8);
	assert_int_equal(vm_map_protect(m, vrange(address(4), address(6)), PROT_NONE_), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 2);
	assert_false(mapped(4));
	assert_int_equal(test_load(m, address(4), &x), ERR_ACCESS);
	assert_int_equal(around(m, 6), 0);
	assert_int_equal(around(m, 7), 0);
}

/* Holes are left alone, and a write maps one page. */
static void holes_and_writes(void **state)
{
	(void)state;
	written(0, 8);
	assert_int_equal(vm_map_discard(m, vrange(address(3), address(4))), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 5);
	assert_false(mapped(3));
	written(16, 24);
	(void)around(m, 16);
	assert_int_equal(test_store(m, address(17), 18), OK);
	assert_false(mapped(18));
	vm_map_check(m);
}

static void executed(void **state)
{
	(void)state;
	written(0, 8);
	assert_int_equal(vm_map_protect(m, vrange(address(0), address(8)), PROT_R | PROT_X), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 0);
}

/* An object's pages: those that are there; private ones cannot be written through. */
static void object(void **state)
{
	struct vm_mapping p = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vm_mapping s = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE };
	uint64_t at = address(0), shown = address(PAGES), x, faults;
	struct vm_object *o;
	size_t done;

	(void)state;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 9 }, &pager_zero, NULL, 0, 8 * PAGE_SIZE, &o), OK);
	for (x = 1; x <= 8; x++)
		if (x != 5)
			assert_int_equal(object_write(o, (x - 1) * PAGE_SIZE, &x, sizeof x, &done), OK);
	p.object = s.object = o;
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &p, MAP_AT), OK);
	assert_int_equal(vm_map_enter(m, &shown, 8 * PAGE_SIZE, &s, MAP_AT), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 5);
	assert_false(mapped(4)); /* nobody has brought it in */
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(test_store(m, address(i), 77), OK);
	for (unsigned i = 2; i < 8; i++) {
		assert_int_equal(object_read(o, i * PAGE_SIZE, &x, sizeof x, &done), OK);
		assert_int_equal(x, i == 4 ? 0 : i + 1);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(test_load(m, shown + i * PAGE_SIZE, &x), OK);
	/* Shared ones can: since page 4 has been brought in, all the others are there. */
	faults = count(COUNTER_faults);
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(test_store(m, shown + i * PAGE_SIZE, 66), OK);
	assert_int_equal(count(COUNTER_faults), faults);
	assert_int_equal(object_read(o, 7 * PAGE_SIZE, &x, sizeof x, &done), OK);
	assert_int_equal(x, 66);
	object_release(o);
	vm_map_check(m);
}

/* Private mapping of an object: a private page among the object's. */
static void object_and_copies(void **state)
{
	struct vm_mapping p = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	struct vrange all = vrange(address(0), address(8));
	uint64_t at = address(0), x;
	struct vm_object *o;
	size_t done;

	(void)state;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 9 }, &pager_zero, NULL, 0, 8 * PAGE_SIZE, &o), OK);
	for (x = 1; x <= 8; x++)
		assert_int_equal(object_write(o, (x - 1) * PAGE_SIZE, &x, sizeof x, &done), OK);
	p.object = o;
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &p, MAP_AT), OK);
	assert_int_equal(test_store(m, address(3), 44), OK);
	assert_int_equal(vm_map_protect(m, all, PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, all, PROT_R | PROT_W), OK);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 6);
	assert_int_equal(test_load(m, address(3), &x), OK);
	assert_int_equal(x, 44);
	object_release(o);
	vm_map_check(m);
}

/* --- fault-around=N --- */

static void option_is(const char *line, uint64_t want)
{
	machine.command_line = line;
	test_vm_init(&v, &machine);
	assert_int_equal(v.vm->fault_around, want);
	test_vm_destroy(&v);
	machine.command_line = NULL;
}

static void option(void **state)
{
	(void)state;
	option_is("", FAULT_AROUND);
	option_is("fault-around=0", 0);
	option_is("x fault-around=32 y", 32);
	option_is("fault-around=64", 64);
	option_is("fault-around=65", FAULT_AROUND);
	option_is("fault-around=", FAULT_AROUND);
	option_is("fault-around", FAULT_AROUND);
	option_is("fault-around=-1", FAULT_AROUND);
	option_is("fault-around=4k", FAULT_AROUND);
	option_is("fault-around=k4", FAULT_AROUND);
	option_is("fault-around=99999999999999999999", FAULT_AROUND);
}

static int setup_off(void **state)
{
	machine.command_line = "fault-around=0";
	return setup(state);
}

static int setup_one(void **state)
{
	machine.command_line = "fault-around=1";
	return setup(state);
}

static void off(void **state)
{
	(void)state;
	written(0, 8);
	(void)around(m, 0);
	assert_int_equal(around(m, 1), 0);
	assert_int_equal(around(m, 2), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(sequence), T(node_ends), T(first_of_a_table), T(own), T(shared), T(shared_in_own_node), T(entry_ends),
					    T(holes_and_writes), T(executed), T(object), T(object_and_copies),
					    cmocka_unit_test(option),
					    cmocka_unit_test_setup_teardown(off, setup_off, teardown),
					    cmocka_unit_test_setup_teardown(off, setup_one, teardown) };

	return run_both_ways(tests);
}
