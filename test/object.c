/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects: one read for many faulters, pagers that fail, size and contents, pages withdrawn while they are mapped. */
#include "test_vm.h"

#define PAGES 300u

static struct test_vm v;
static ATOMIC(uint32_t) reads[PAGES], fail_left;

static enum error count_get(struct vm_object *o, uint64_t index, paddr_t frame)
{
	uint32_t left = atomic_load_relaxed(&fail_left);

	CHECK(index < PAGES);
	atomic_add_relaxed(&reads[index], 1u);
	sync_ops->yield(); /* as a pager that waits */
	if (left > 0 && atomic_cas_relaxed(&fail_left, &left, left - 1))
		return ERR_IO;
	machine_zero_frame(frame);
	*(uint64_t *)phys_to_virt(frame) = index + o->oid.id;
	return OK;
}

static const struct pager_ops counting = { .name = "counting", .get = count_get };

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	for (unsigned i = 0; i < PAGES; i++)
		atomic_store_relaxed(&reads[i], 0u);
	atomic_store_relaxed(&fail_left, 0u);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_vm_destroy(&v);
	return 0;
}

static struct vm_object *make(uint64_t pages)
{
	struct vm_object *o;

	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1000 }, &counting, NULL, 0, pages * PAGE_SIZE, &o), OK);
	return o;
}

static void fill_all(uint32_t cpu, void *arg)
{
	struct vm_object *o = arg;

	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t index = (i * 7 + cpu * 3) % PAGES;

		CHECK(object_fill(o, index) == OK);
		epoch_enter(&v.vm->epoch);
		CHECK(object_lookup(o, index) != NULL);
		epoch_leave(&v.vm->epoch);
	}
}

static void one_read_each(void **state)
{
	struct vm_object *o = make(PAGES);

	(void)state;
	run_on_cpus(v.t.m, 4, fill_all, o);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(atomic_load_relaxed(&reads[i]), 1);
	assert_int_equal(atomic_load_relaxed(&o->pages), PAGES);
	object_check(o);
	object_release(o);
}

static void pager_fails(void **state)
{
	struct vm_object *o = make(4);
	size_t done;
	uint64_t x;

	(void)state;
	atomic_store_relaxed(&fail_left, 2u);
	assert_int_equal(object_fill(o, 1), ERR_IO);
	assert_int_equal(object_read(o, PAGE_SIZE, &x, 8, &done), ERR_IO);
	assert_int_equal(done, 0);
	assert_int_equal(object_read(o, PAGE_SIZE, &x, 8, &done), OK);
	assert_int_equal(x, 1001);
	assert_int_equal(object_fill(o, 4), ERR_BUS);
	assert_int_equal(atomic_load_relaxed(&reads[1]), 3);
	object_release(o);
}

static void across_pages(void **state)
{
	struct vm_object *o = make(3);
	char out[2 * PAGE_SIZE], in[2 * PAGE_SIZE];
	size_t done;

	(void)state;
	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (char)(i * 13);
	assert_int_equal(object_write(o, 100, in, sizeof in, &done), OK);
	assert_int_equal(done, sizeof in);
	assert_int_equal(object_read(o, 100, out, sizeof out, &done), OK);
	assert_memory_equal(in, out, sizeof in);
	/* Reads end at the size; writes move it. */
	assert_int_equal(object_read(o, 3 * PAGE_SIZE - 10, out, 100, &done), OK);
	assert_int_equal(done, 10);
	assert_int_equal(object_write(o, 3 * PAGE_SIZE + 5, "abc", 3, &done), OK);
	assert_int_equal(object_size(o), 3 * PAGE_SIZE + 8);
	assert_int_equal(object_write(o, UINT64_MAX - 1, "abc", 3, &done), ERR_INVAL);
	/* Cut in the middle of a page, and made longer again: zeros there. */
	assert_int_equal(object_resize(o, PAGE_SIZE + 50), OK);
	assert_int_equal(object_resize(o, 2 * PAGE_SIZE), OK);
	assert_int_equal(object_read(o, PAGE_SIZE, out, PAGE_SIZE, &done), OK);
	assert_memory_equal(out, in + PAGE_SIZE - 100, 50);
	for (unsigned i = 50; i < PAGE_SIZE; i++)
		assert_int_equal(out[i], 0);
	object_release(o);
}

/* A mapping may have written beyond the end, in the last page: zeros when the end moves on. */
static void growth_is_zeros(void **state)
{
	struct vm_object *o = make(1);
	char page[PAGE_SIZE], out[PAGE_SIZE], *bytes;
	size_t done;

	(void)state;
	memset(page, 7, sizeof page);
	assert_int_equal(object_write(o, 0, page, sizeof page, &done), OK);
	assert_int_equal(object_resize(o, 100), OK);
	epoch_enter(&v.vm->epoch);
	bytes = frame_bytes(frame_of(&v.vm->frames, object_lookup(o, 0)));
	epoch_leave(&v.vm->epoch);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(bytes[i], i < 100 ? 7 : 0);
	memset(bytes, 7, PAGE_SIZE);
	assert_int_equal(object_resize(o, 200), OK);
	assert_int_equal(object_write(o, 300, "abc", 3, &done), OK);
	assert_int_equal(object_write(o, 2 * PAGE_SIZE, "abc", 3, &done), OK);
	memset(page + 100, 0, sizeof page - 100);
	memcpy(page + 300, "abc", 3);
	assert_int_equal(object_read(o, 0, out, sizeof out, &done), OK);
	assert_memory_equal(page, out, sizeof page);
	object_release(o);
}

/* Two threads map and touch the object's pages while two others cut it short and let it grow. */
static struct vm_map *map;
static uint64_t where;

static void cut_and_touch(uint32_t cpu, void *arg)
{
	struct vm_object *o = arg;
	uint64_t rng = cpu + 1, x;

	if (cpu < 2)
		pmap_activate(&map->pmap);
	for (unsigned i = 0; i < 1500; i++) {
		enum error e;

		rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		if (cpu >= 2) {
			CHECK(object_resize(o, (rng >> 33) % (16 * PAGE_SIZE)) == OK);
			CHECK(object_resize(o, 16 * PAGE_SIZE) == OK);
		} else {
			uint64_t page = (rng >> 33) % 16;

			e = test_load(map, where + page * PAGE_SIZE, &x);
			CHECK(e == ERR_BUS || (e == OK && (x == 0 || x == page + 1000)));
		}
		if (epoch_should_poll(&v.vm->epoch))
			(void)epoch_poll(&v.vm->epoch);
	}
	if (cpu < 2)
		pmap_deactivate(v.pmaps);
}

static void cut_while_mapped(void **state)
{
	struct vm_object *o = make(16);
	struct vm_mapping s = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .shared = true, .inherit = INHERIT_SHARE, .object = o };

	(void)state;
	assert_int_equal(vm_map_create(v.vm, &map), OK);
	where = 0;
	assert_int_equal(vm_map_enter(map, &where, 16 * PAGE_SIZE, &s, 0), OK);
	run_on_cpus(v.t.m, 4, cut_and_touch, o);
	vm_map_check(map);
	vm_map_release(map);
	object_release(o);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(one_read_each), T(pager_fails), T(across_pages), T(growth_is_zeros),
					    T(cut_while_mapped) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
