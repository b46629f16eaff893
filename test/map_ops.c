/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls on maps and objects whose edges the table of fault cases does not reach: offsets, ends, references, tables. */
#include "test_vm.h"
#include "vm/map_edit.h"

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

	assert_int_equal(test_load(m, va, &x), OK);
	return x;
}

static struct vm_object *zeros(uint64_t pages)
{
	struct vm_object *o;

	assert_int_equal(object_create(v.vm, (struct oid){ 0, 7 }, &pager_zero, NULL, 0, pages * PAGE_SIZE, &o), OK);
	return o;
}

static struct vm_mapping shared(struct vm_object *o)
{
	return (struct vm_mapping){ .object = o, .prot = PROT_R | PROT_W, .max = PROT_R | PROT_W, .shared = true,
				    .inherit = INHERIT_SHARE };
}

/* Each page of a file keeps its place in it, when a mapping is cut in pieces and when a piece moves. */
static void pages_keep_their_place(void **state)
{
	struct vm_object *o = zeros(8);
	struct vm_mapping what = shared(o);
	uint64_t va = 0, to = 0;

	(void)state;
	assert_int_equal(vm_map_enter(m, &va, 8 * PAGE_SIZE, &what, 0), OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(test_store(m, va + i * PAGE_SIZE, 10 + i), OK);
	assert_int_equal(vm_map_protect(m, vrange(va + 2 * PAGE_SIZE, va + 3 * PAGE_SIZE), PROT_R | PROT_X), ERR_ACCESS);
	assert_int_equal(vm_map_protect(m, vrange(va + 2 * PAGE_SIZE, va + 3 * PAGE_SIZE), PROT_R), OK);
	assert_int_equal(vm_map_remap(m, vrange(va + 4 * PAGE_SIZE, va + 6 * PAGE_SIZE), 3 * PAGE_SIZE, true, false, &to), OK);
	for (unsigned i = 0; i < 8; i++)
		if (i < 4 || i > 5)
			assert_int_equal(load(va + i * PAGE_SIZE), 10 + i);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(load(to + i * PAGE_SIZE), 14 + i);
	vm_map_check(m);
	object_release(o);
}

/* A move that makes the mapping shorter leaves nothing behind its end. */
static void a_shorter_move_forgets_the_rest(void **state)
{
	uint64_t va = test_map_anon(m, 6 * PAGE_SIZE), to = va - 64 * PAGE_SIZE;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(test_store(m, va + i * PAGE_SIZE, 20 + i), OK);
	assert_int_equal(vm_map_remap(m, vrange(va, va + 6 * PAGE_SIZE), 3 * PAGE_SIZE, true, true, &to), OK);
	assert_int_equal(load(to + 2 * PAGE_SIZE), 22);
	assert_int_equal(vm_map_remap(m, vrange(to, to + 3 * PAGE_SIZE), 6 * PAGE_SIZE, false, false, &to), OK);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(load(to + i * PAGE_SIZE), i < 3 ? 20 + i : 0);
	vm_map_check(m);
}

/* Every view has a reference of its own. */
static void views(void **state)
{
	struct vm_object *o = zeros(4);
	struct vm_mapping what = shared(o);
	uint64_t va = 0, other = 0;

	(void)state;
	assert_int_equal(vm_map_enter(m, &va, 4 * PAGE_SIZE, &what, 0), OK);
	assert_int_equal(ref_count(&o->refs), 2);
	for (unsigned i = 0; i < 3; i++) {
		other = 0;
		assert_int_equal(vm_map_view(m, va + PAGE_SIZE, PAGE_SIZE, false, &other), OK);
		assert_int_equal(test_store(m, other, 30 + i), OK);
		assert_int_equal(load(va + PAGE_SIZE), 30 + i);
		assert_int_equal(vm_map_remove(m, vrange(other, other + PAGE_SIZE)), OK);
		assert_int_equal(ref_count(&o->refs), 2);
	}
	object_release(o);
}

/* Entries of one amap share one in the child too; when one of them goes there, the others keep their pages. */
static void fork_of_pieces(void **state)
{
	uint64_t va = test_map_anon(m, 6 * PAGE_SIZE), x;
	struct vm_map *child;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(test_store(m, va + i * PAGE_SIZE, 50 + i), OK);
	assert_int_equal(vm_map_protect(m, vrange(va + 2 * PAGE_SIZE, va + 4 * PAGE_SIZE), PROT_R), OK);
	assert_int_equal(vm_map_fork(m, &child), OK);
	vm_map_check(child);
	assert_int_equal(vm_map_remove(child, vrange(va, va + 2 * PAGE_SIZE)), OK);
	assert_int_equal(vm_map_remove(child, vrange(va + 2 * PAGE_SIZE, va + 4 * PAGE_SIZE)), OK);
	pmap_activate(&child->pmap);
	for (unsigned i = 4; i < 6; i++) {
		assert_int_equal(test_load(child, va + i * PAGE_SIZE, &x), OK);
		assert_int_equal(x, 50 + i);
	}
	vm_map_check(child);
	pmap_activate(&m->pmap);
	vm_map_release(child);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(load(va + i * PAGE_SIZE), 50 + i);
	vm_map_check(m);
}

/* Cut at a page's end: that page and all behind it go, from the object and from where they are mapped. */
static void cut_at_a_page(void **state)
{
	struct vm_object *o = zeros(4);
	struct vm_mapping what = shared(o);
	uint64_t va = 0, x;

	(void)state;
	assert_int_equal(vm_map_enter(m, &va, 4 * PAGE_SIZE, &what, 0), OK);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(test_store(m, va + i * PAGE_SIZE, 40 + i), OK);
	assert_int_equal(object_resize(o, 2 * PAGE_SIZE), OK);
	assert_int_equal(atomic_load_relaxed(&o->pages), 2);
	assert_int_equal(load(va + PAGE_SIZE), 41);
	assert_int_equal(test_load(m, va + 2 * PAGE_SIZE, &x), ERR_BUS);
	assert_int_equal(object_resize(o, 4 * PAGE_SIZE), OK);
	assert_int_equal(load(va + 2 * PAGE_SIZE), 0);
	assert_int_equal(load(va + 3 * PAGE_SIZE), 0);
	object_release(o);
}

static enum error get_and_shorten(struct vm_object *o, uint64_t index, paddr_t frame)
{
	(void)index;
	machine_zero_frame(frame);
	return object_resize(o, PAGE_SIZE); /* another CPU's, while the pager is at work */
}

/* A page beyond the end that came meanwhile is nobody's. */
static void cut_below_a_fill(void **state)
{
	static const struct pager_ops pager = { .name = "shortening", .get = get_and_shorten };
	struct vm_object *o;

	(void)state;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 8 }, &pager, NULL, 4 * PAGE_SIZE, 4 * PAGE_SIZE, &o), OK);
	assert_int_equal(object_fill(o, 2), ERR_BUS);
	assert_int_equal(atomic_load_relaxed(&o->pages), 0);
	assert_int_equal(object_resize(o, 4 * PAGE_SIZE), OK);
	epoch_enter(&v.vm->epoch);
	assert_null(object_lookup(o, 2));
	epoch_leave(&v.vm->epoch);
	object_release(o);
}

/* The second time the window's table is empty, and goes; the frame comes back (test_vm_destroy). */
/* --- addresses that the caller leaves free --- */

#define GIB (UINT64_C(1) << 30)

static void be(uint32_t cpu)
{
	host_detach();
	host_attach(v.t.m, cpu);
}

static uint64_t anywhere(uint64_t size)
{
	const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = 0;

	assert_int_equal(vm_map_enter(m, &at, size, &anon, 0), OK);
	assert_true(at % PAGE_SIZE == 0 && at >= m->bounds.start.va && at + size <= m->bounds.end.va);
	return at;
}

/* One thread: the highest below the stack, whichever CPU it is on. Several: each CPU in a GiB of its own. */
static void regions_of_cpus(void **state)
{
	uint64_t first, at[4], moved = 0;

	(void)state;
	m->stack_limit = 600 * GIB + 5 * PAGE_SIZE;
	first = anywhere(PAGE_SIZE);
	assert_int_equal(first, 600 * GIB - PAGE_SIZE); /* the stack has a GiB of its own */
	be(1);
	assert_int_equal(anywhere(PAGE_SIZE), first - PAGE_SIZE);
	vm_map_spread(m);
	for (uint32_t cpu = 0; cpu < 4; cpu++) {
		be(cpu);
		at[cpu] = anywhere(PAGE_SIZE);
		assert_int_equal(at[cpu], (596 + cpu) * GIB - PAGE_SIZE);
	}
	be(2);
	assert_int_equal(anywhere(3 * PAGE_SIZE), at[2] - 3 * PAGE_SIZE);
	/* A move looks there as well. */
	assert_int_equal(vm_map_remap(m, vrange(first - PAGE_SIZE, first), 2 * PAGE_SIZE, true, false, &moved), OK);
	assert_int_equal(moved, at[2] - 5 * PAGE_SIZE);
	/* What has no room there goes elsewhere. */
	assert_int_equal(anywhere(GIB), at[0] + PAGE_SIZE - 2 * GIB);
	be(0);
	vm_map_check(m);
}

/* A mapping across the edge of two parts: it is one to a program, page by page. */
static void across_parts(void **state)
{
	struct vm_object *o = zeros(8);
	struct vm_mapping what = shared(o);
	uint64_t edge, at, plain = 0, size = vm_map_size(m);

	(void)state;
	m->stack_limit = 600 * GIB;
	vm_map_spread(m);
	edge = m->part_low + MAP_PART;
	at = edge - 3 * PAGE_SIZE;
	assert_int_equal(vm_map_enter(m, &at, 8 * PAGE_SIZE, &what, MAP_AT), OK);
	assert_int_equal(vm_map_size(m), size + 8 * PAGE_SIZE);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(test_store(m, at + i * PAGE_SIZE, 20 + i), OK);
	assert_int_equal(vm_map_enter(m, &plain, 8 * PAGE_SIZE, &what, 0), OK);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(load(plain + i * PAGE_SIZE), 20 + i);
	assert_int_equal(vm_map_protect(m, vrange(at + PAGE_SIZE, at + 5 * PAGE_SIZE), PROT_R), OK);
	vm_map_check(m);
	assert_int_equal(vm_map_remove(m, vrange(at + 2 * PAGE_SIZE, at + 4 * PAGE_SIZE)), OK);
	assert_int_equal(load(at + 5 * PAGE_SIZE), 25);
	assert_int_equal(vm_map_size(m), size + 14 * PAGE_SIZE);
	vm_map_check(m);
	/* From before all parts to behind them. */
	assert_int_equal(vm_map_protect(m, vrange(at, at + 2 * PAGE_SIZE), PROT_R | PROT_W), OK);
	assert_int_equal(vm_map_remove(m, vrange(m->part_low - PAGE_SIZE, m->part_low + atomic_load_relaxed(&m->part_bytes) + PAGE_SIZE)), OK);
	assert_int_equal(test_store(m, at, 1), ERR_FAULT);
	assert_int_equal(test_store(m, at + 5 * PAGE_SIZE, 1), ERR_FAULT);
	vm_map_check(m);
	object_release(o);
}

/* A private mapping that has only been read, so that its amap has nothing. */
static void read_only_and_gone(void **state)
{
	struct vm_object *o = zeros(2);
	struct vm_mapping what = { .object = o, .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = 0, x;

	(void)state;
	assert_int_equal(vm_map_enter(m, &at, 2 * PAGE_SIZE, &what, 0), OK);
	assert_int_equal(load(at), 0);
	assert_int_equal(vm_map_remove(m, vrange(at, at + 2 * PAGE_SIZE)), OK);
	assert_int_equal(test_load(m, at, &x), ERR_FAULT);
	vm_map_check(m);
	object_release(o);
}

/* Below the lowest region there is none, but addresses. */
static void no_room_for_regions(void **state)
{
	(void)state;
	m->stack_limit = 2 * GIB + PAGE_SIZE;
	vm_map_spread(m);
	be(1);
	assert_int_equal(anywhere(PAGE_SIZE), 2 * GIB - PAGE_SIZE);
	m->stack_limit = GIB - PAGE_SIZE;
	assert_int_equal(anywhere(PAGE_SIZE), m->stack_limit - PAGE_SIZE);
	m->stack_limit = 0;
	assert_int_equal(anywhere(PAGE_SIZE), m->bounds.end.va - PAGE_SIZE);
	vm_map_spread(m); /* it is tried once */
	assert_int_equal(atomic_load_relaxed(&m->part_bytes), 0);
	be(0);
}

/* What a CPU found last is not found any more when its memory may be something else by now. */
static void found_again(void **state)
{
	uint64_t va = test_map_anon(m, PAGE_SIZE);
	struct vm_entry *e, *other[4];

	(void)state;
	epoch_enter(&v.vm->epoch);
	e = map_find(m, va);
	assert_non_null(e);
	assert_ptr_equal(map_find(m, va), e);
	epoch_leave(&v.vm->epoch);
	assert_int_equal(vm_map_remove(m, vrange(va, va + PAGE_SIZE)), OK);
	for (unsigned i = 0; i < 4; i++)
		for (uint32_t cpu = 0; cpu < 4; cpu++) {
			be(cpu);
			(void)epoch_poll(&v.vm->epoch);
		}
	be(0);
	for (unsigned i = 0; i < 4; i++) { /* one of them in the old one's place; of this map none */
		other[i] = entry_alloc(v.vm, vrange(va, va + PAGE_SIZE));
		assert_non_null(other[i]);
	}
	assert_true(other[0] == e || other[1] == e || other[2] == e || other[3] == e);
	epoch_enter(&v.vm->epoch);
	assert_null(map_find(m, va));
	epoch_leave(&v.vm->epoch);
	for (unsigned i = 0; i < 4; i++)
		zone_free(v.vm->entry_zone, other[i]);
}

static void discard_gives_tables_back(void **state)
{
	uint64_t va = test_map_anon(m, 3 * BLOCK_SIZE), window = round_up(va, BLOCK_SIZE), before;

	(void)state;
	assert_int_equal(test_store(m, window, 1), OK);
	before = atomic_load_relaxed(&m->pmap.tables);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(vm_map_discard(m, vrange(window, window + BLOCK_SIZE)), OK);
	assert_int_equal(atomic_load_relaxed(&m->pmap.tables), before - 1);
	assert_int_equal(load(window), 0);
	vm_map_check(m);
}

static uint64_t tables(void)
{
	struct frame_audit a;

	(void)frame_audit(&v.vm->frames, &a);
	return a.owned[FRAME_TABLE];
}

static uint64_t maps(void)
{
	struct zone_stats s;

	zone_stats(v.vm->map_zone, &s);
	return s.in_use;
}

static void section_of_cpu_1(bool begin)
{
	host_detach();
	host_attach(v.t.m, 1);
	if (begin)
		epoch_enter(&v.vm->epoch);
	else
		epoch_leave(&v.vm->epoch);
	host_detach();
	host_attach(v.t.m, 0);
}

/* Who descends in tables, or came by a reverse map, keeps tables and maps until he has left. */
static void late_readers_keep_tables(void **state)
{
	uint64_t window = round_up(test_map_anon(m, 3 * BLOCK_SIZE), BLOCK_SIZE), n_tables, n_maps, at;
	struct vm_map *other;

	(void)state;
	assert_int_equal(test_store(m, window, 1), OK);
	assert_int_equal(vm_map_create(v.vm, &other), OK);
	pmap_activate(&other->pmap);
	at = round_up(test_map_anon(other, 3 * BLOCK_SIZE), BLOCK_SIZE);
	assert_int_equal(test_store(other, at, 1), OK);
	pmap_activate(&m->pmap);
	n_tables = tables();
	n_maps = maps();
	section_of_cpu_1(true);
	assert_int_equal(vm_map_remove(m, vrange(window, window + BLOCK_SIZE)), OK);
	vm_map_release(other);
	for (unsigned i = 0; i < 6; i++)
		(void)epoch_poll(&v.vm->epoch);
	assert_int_equal(tables(), n_tables);
	assert_int_equal(maps(), n_maps);
	section_of_cpu_1(false);
	for (unsigned i = 0; i < 6; i++)
		(void)epoch_poll(&v.vm->epoch);
	assert_true(tables() < n_tables - 1);
	assert_int_equal(maps(), n_maps - 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(pages_keep_their_place), T(a_shorter_move_forgets_the_rest), T(views), T(fork_of_pieces),
					    T(cut_at_a_page), T(cut_below_a_fill), T(discard_gives_tables_back),
					    T(late_readers_keep_tables), T(regions_of_cpus), T(across_parts), T(read_only_and_gone), T(found_again),
					    T(no_room_for_regions) };

	return run_both_ways(tests);
}
