/* SPDX-License-Identifier: BSD-2-Clause */
/* First writes make what follows (vm/fault_ahead.c): how far, and what not. One vCPU. */
#include "test_vm.h"
#include "vm/amap.h"

#define PAGES AMAP_FANOUT
#define WINDOW (BLOCK_SIZE / PAGE_SIZE)

static struct test_vm v;
static struct vm_map *m;
static struct host_config machine = { .ncpus = 1, .ram = 32 << 20, .seed = TEST_SEED, .junk = true, .hw_access = true,
				      .hw_dirty = true };

/* Frames and anons in the CPU's caches, more than a test takes. */
static void stock_caches(void)
{
	uint64_t at = test_map_anon(m, 8 * PAGES * PAGE_SIZE);

	for (unsigned i = 0; i < 8 * PAGES; i++)
		assert_int_equal(test_store(m, at + i * PAGE_SIZE, 1), OK);
	assert_int_equal(vm_map_remove(m, vrange(at, at + 8 * PAGES * PAGE_SIZE)), OK);
	while (epoch_pending(&v.vm->epoch))
		(void)epoch_poll(&v.vm->epoch);
}

static int setup_with(const char *line)
{
	machine.command_line = line;
	test_vm_init(&v, &machine);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	stock_caches();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with("fault-ahead=16 fault-around=0");
}

static int setup_off(void **state)
{
	(void)state;
	return setup_with("fault-ahead=0");
}

static int setup_one(void **state)
{
	(void)state;
	return setup_with("fault-ahead=1");
}

static int teardown(void **state)
{
	(void)state;
	vm_map_check(m);
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
	machine.command_line = NULL;
	return 0;
}

static uint64_t count(enum counter c) { return counter_read(&v.vm->counters, c); }

static uint64_t address(unsigned page) { return UINT64_C(0x40000000) + page * PAGE_SIZE; }

static bool mapped(unsigned page) { return pmap_extract(&m->pmap, vaddr(address(page))).state == PMAP_VALID; }

/* [first, end) of private memory, untouched. */
static void fresh(unsigned first, unsigned end, enum prot prot)
{
	const struct vm_mapping anon = { .prot = prot, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = address(first);

	assert_int_equal(vm_map_enter(m, &at, address(end) - at, &anon, MAP_AT), OK);
}

/* Writes page + 1 to a page that holds zeros; => how many others were made with it: the count, and what is resident, say the same. */
static uint64_t ahead(unsigned page)
{
	uint64_t before = count(COUNTER_pages_ahead), resident = pmap_resident(&m->pmap), made, x;
	bool there = mapped(page);

	assert_int_equal(test_store(m, address(page), page + 1), OK);
	made = count(COUNTER_pages_ahead) - before;
	assert_int_equal(pmap_resident(&m->pmap), resident + made + (there ? 0 : 1));
	for (unsigned i = 1; i <= made; i++) {
		assert_true(mapped(page + i));
		assert_int_equal(test_load(m, address(page + i), &x), OK);
		assert_int_equal(x, 0);
	}
	return made;
}

/* As many as are mapped before, up to the limit and the node's end, and nothing in between faults. */
static void sequence(void **state)
{
	static const struct { unsigned page, made; } want[] = { { 0, 0 },   { 1, 1 },    { 3, 3 },   { 7, 7 },  { 15, 15 },
								{ 31, 16 }, { 48, 15 }, { 64, 16 }, { 81, 16 }, { 98, 1 } };
	uint64_t faults;

	(void)state;
	fresh(0, PAGES + 36, PROT_R | PROT_W);
	for (unsigned i = 0, page = 0; page < PAGES + 36; page++) {
		faults = count(COUNTER_faults_zero);
		if (i < ARRAY_SIZE(want) && want[i].page == page) {
			assert_int_equal(ahead(page), want[i++].made);
			assert_int_equal(count(COUNTER_faults_zero), faults + 1);
		} else {
			assert_int_equal(ahead(page), 0);
			assert_int_equal(count(COUNTER_faults_zero), faults);
		}
	}
	for (unsigned page = 0; page < PAGES + 36; page++) {
		uint64_t x;

		assert_int_equal(test_load(m, address(page), &x), OK);
		assert_int_equal(x, page + 1);
	}
}

/* No page before it, or none that is mapped. */
static void here_and_there(void **state)
{
	(void)state;
	fresh(0, PAGES, PROT_R | PROT_W);
	assert_int_equal(ahead(5), 0);
	assert_int_equal(ahead(4), 0); /* what follows is there */
	assert_int_equal(ahead(9), 0);
	assert_int_equal(ahead(12), 0);
	assert_int_equal(ahead(10), 1); /* one before it, and then one that is empty */
	assert_int_equal(ahead(2), 0);
	assert_int_equal(ahead(3), 0);
	assert_int_equal(ahead(6), 2); /* four before it, and page 9 is there */
}

/* Page 0 and page PAGES have the same slot, of two nodes. */
static void node_ends(void **state)
{
	(void)state;
	fresh(0, 2 * PAGES, PROT_R | PROT_W);
	assert_int_equal(ahead(PAGES - 6), 0);
	assert_int_equal(ahead(PAGES - 5), 1);
	assert_int_equal(ahead(PAGES - 3), 2);
	assert_false(mapped(PAGES));
	assert_int_equal(ahead(PAGES), 6); /* six before it, of the same table */
}

static void entry_ends(void **state)
{
	(void)state;
	fresh(0, 9, PROT_R | PROT_W);
	fresh(9, 12, PROT_R);
	(void)ahead(0);
	(void)ahead(1);
	assert_int_equal(ahead(3), 3);
	assert_int_equal(ahead(7), 1);
	assert_false(mapped(9));
	assert_int_equal(test_store(m, address(9), 1), ERR_ACCESS);
}

/* What another mapping has touched says nothing of this one. */
static void entry_begins(void **state)
{
	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	for (unsigned i = 0; i < 8; i++)
		(void)ahead(i);
	assert_int_equal(vm_map_inherit(m, vrange(address(0), address(8)), INHERIT_NONE), OK);
	fresh(8, 16, PROT_R | PROT_W);
	assert_int_equal(ahead(8), 0);
	assert_int_equal(ahead(9), 1);
}

/* Between tables there is no look back, nor to the last page of the same table. */
static void first_of_a_table(void **state)
{
	(void)state;
	fresh(WINDOW - 1, 2 * WINDOW, PROT_R | PROT_W);
	assert_int_equal(ahead(2 * WINDOW - 1), 0);
	assert_int_equal(ahead(WINDOW - 1), 0);
	assert_int_equal(ahead(WINDOW), 0);
	assert_int_equal(ahead(WINDOW + 1), 1);
}

/* Private pages that are not mapped at the moment, at once behind the page or later, keep what they hold. */
static void slots(void **state)
{
	struct vrange all = vrange(address(0), address(8));
	uint64_t x;

	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	for (unsigned i = 0; i < 8; i++)
		(void)ahead(i);
	assert_int_equal(vm_map_protect(m, all, PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, all, PROT_R | PROT_W), OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(test_load(m, address(i), &x), OK);
	assert_int_equal(vm_map_discard(m, vrange(address(2), address(4))), OK);
	assert_int_equal(ahead(2), 1); /* page 4 has content */
	assert_int_equal(vm_map_discard(m, vrange(address(3), address(4))), OK);
	assert_int_equal(ahead(3), 0);
	for (unsigned i = 4; i < 8; i++) {
		assert_int_equal(test_load(m, address(i), &x), OK);
		assert_int_equal(x, i + 1);
	}
}

/* The zero page, read before. */
static void zero_page(void **state)
{
	uint64_t x;

	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	assert_int_equal(test_load(m, address(2), &x), OK);
	assert_int_equal(ahead(0), 0);
	assert_int_equal(ahead(1), 0); /* it is mapped there */
	assert_int_equal(ahead(2), 2); /* and its place taken by a page, a first write as well */
}

static void executed(void **state)
{
	(void)state;
	fresh(0, 8, PROT_R | PROT_W | PROT_X);
	(void)ahead(0);
	assert_int_equal(ahead(1), 0);
	assert_int_equal(ahead(2), 0);
}

/* A private page of an object is a copy, and the only one. */
static void object(void **state)
{
	struct vm_mapping p = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = address(0), before = count(COUNTER_pages_ahead);
	struct vm_object *o;

	(void)state;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 9 }, &pager_zero, NULL, 0, 8 * PAGE_SIZE, &o), OK);
	p.object = o;
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &p, MAP_AT), OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(test_store(m, address(i), 1), OK);
	assert_int_equal(count(COUNTER_pages_ahead), before);
	object_release(o);
}

/* Pages that were made ahead are pages like others: a child's copies, and what is discarded comes back as zeros, one by one. */
static void afterwards(void **state)
{
	struct vm_map *child;
	uint64_t x;

	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	(void)ahead(0);
	(void)ahead(1);
	assert_int_equal(ahead(3), 3);
	assert_int_equal(vm_map_fork(m, &child), OK);
	pmap_activate(&child->pmap);
	assert_int_equal(test_store(child, address(4), 77), OK);
	assert_int_equal(test_load(child, address(5), &x), OK);
	assert_int_equal(x, 0);
	pmap_activate(&m->pmap);
	assert_int_equal(test_load(m, address(4), &x), OK);
	assert_int_equal(x, 0);
	vm_map_release(child);
	assert_int_equal(vm_map_discard(m, vrange(address(4), address(7))), OK);
	assert_false(mapped(4));
	assert_int_equal(test_load(m, address(4), &x), OK);
	assert_int_equal(x, 0);
}

/* A copy says nothing of what is touched first. */
static void copies(void **state)
{
	uint64_t before;
	struct vm_map *child;

	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	(void)ahead(1);
	(void)ahead(0);
	assert_int_equal(vm_map_fork(m, &child), OK);
	pmap_activate(&child->pmap);
	before = count(COUNTER_pages_ahead);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(test_store(child, address(i), 77), OK);
	assert_int_equal(count(COUNTER_faults_cow), 2);
	assert_int_equal(count(COUNTER_pages_ahead), before);
	pmap_activate(&m->pmap);
	vm_map_release(child);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Where CPUs' caches are closed there is nothing at hand, and nobody searches for it. */
static void only_at_hand(void **state)
{
	(void)state;
	fresh(0, 8, PROT_R | PROT_W);
	(void)ahead(0);
	frames_fail_by(&v.vm->frames, never, NULL);
	assert_int_equal(ahead(1), 0);
	frames_fail_by(&v.vm->frames, NULL, NULL);
}

static void off(void **state)
{
	(void)state;
	fresh(0, PAGES, PROT_R | PROT_W);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(ahead(i), 0);
}

static void one(void **state)
{
	(void)state;
	fresh(0, PAGES, PROT_R | PROT_W);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(ahead(i), i % 2 && i < PAGES - 1);
}

/* --- fault-ahead=N --- */

static void option_is(const char *line, uint64_t want)
{
	machine.command_line = line;
	test_vm_init(&v, &machine);
	assert_int_equal(v.vm->fault_ahead, want);
	assert_int_equal(v.vm->fault_around, FAULT_AROUND);
	test_vm_destroy(&v);
	machine.command_line = NULL;
}

static void option(void **state)
{
	(void)state;
	option_is("", FAULT_AHEAD);
	option_is("fault-ahead=0", 0);
	option_is("x fault-ahead=64 y", 64);
	option_is("fault-ahead=65", FAULT_AHEAD);
	option_is("fault-ahead=4k", FAULT_AHEAD);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(sequence), T(here_and_there), T(node_ends), T(entry_ends), T(entry_begins), T(first_of_a_table), T(slots), T(zero_page),
					    T(executed), T(object), T(afterwards), T(copies), T(only_at_hand), cmocka_unit_test(option),
					    cmocka_unit_test_setup_teardown(off, setup_off, teardown),
					    cmocka_unit_test_setup_teardown(one, setup_one, teardown) };

	return run_both_ways(tests);
}
