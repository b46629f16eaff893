/* SPDX-License-Identifier: BSD-2-Clause */
/* Map entries: what a piece of one inherits, and which two may become one. */
#include "test_vm.h"
#include "vm/amap.h"
#include "vm/entry.h"

#define AT UINT64_C(0x40000000)

static struct test_vm v;

static void pieces(void **state)
{
	struct vm_entry model = { .range = vrange(AT, AT + 8 * PAGE_SIZE), .floor = AT - 16 * PAGE_SIZE, .prot = PROT_R,
				  .max = PROT_ALL, .offset = 5 * PAGE_SIZE };
	struct vm_entry *low, *high;

	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, 16 * PAGE_SIZE, &model.object), OK);
	model.amap = amap_new(v.vm);
	assert_non_null(model.amap);
	low = entry_new(v.vm, &model, vrange(AT, AT + 3 * PAGE_SIZE), model.amap);
	high = entry_new(v.vm, &model, vrange(AT + 3 * PAGE_SIZE, AT + 8 * PAGE_SIZE), model.amap);
	assert_true(low && high);
	assert_int_equal(ref_count(&model.amap->refs), 3);
	assert_int_equal(ref_count(&model.object->refs), 3);
	/* every page stays the same page of the object */
	for (uint64_t va = AT; va < AT + 8 * PAGE_SIZE; va += PAGE_SIZE)
		assert_int_equal(entry_index(va < high->range.start.va ? low : high, va), 5 + (va - AT) / PAGE_SIZE);
	/* only the lowest goes on growing */
	assert_int_equal(low->floor, model.floor);
	assert_int_equal(high->floor, high->range.start.va);
	assert_true(entry_live(low) && entry_live(high));
	assert_true(entry_mergeable(low, high));
	entry_free(v.vm, low);
	entry_free(v.vm, high);
	assert_int_equal(ref_count(&model.amap->refs), 1);
	assert_int_equal(ref_count(&model.object->refs), 1);
	amap_release(model.amap);
	object_release(model.object);
	test_vm_destroy(&v);
}

static void neighbours(void **state)
{
	static const char name[] = "[heap]";
	struct vm_entry a, b, good;
	struct vm_object *o;
	struct amap *mine, *other;

	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, 16 * PAGE_SIZE, &o), OK);
	mine = amap_new(v.vm);
	other = amap_new(v.vm);
	assert_true(mine && other);
	a = (struct vm_entry){ .range = vrange(AT, AT + 2 * PAGE_SIZE), .floor = AT, .prot = PROT_R, .max = PROT_ALL,
			       .inherit = INHERIT_COPY, .object = o, .offset = PAGE_SIZE, .amap = mine };
	good = a;
	good.range = vrange(AT + 2 * PAGE_SIZE, AT + 3 * PAGE_SIZE);
	good.offset = 3 * PAGE_SIZE;
	assert_true(entry_mergeable(&a, &good));
#define REFUSED(change) \
	do { \
		b = good; \
		change; \
		assert_false(entry_mergeable(&a, &b)); \
	} while (0)
	REFUSED(b.range = vrange(AT + 3 * PAGE_SIZE, AT + 4 * PAGE_SIZE));
	REFUSED(b.prot = PROT_R | PROT_W);
	REFUSED(b.max = PROT_R);
	REFUSED(b.inherit = INHERIT_NONE);
	REFUSED(b.shared = true);
	REFUSED(b.wired = true);
	REFUSED(b.name = name);
	REFUSED(b.object = NULL);
	REFUSED(b.offset += PAGE_SIZE);
	REFUSED(b.grows_down = true);
	REFUSED(b.amap = other);
	/* what has no amap yet takes the other's, unless that holds more than its entries say */
	b = good;
	b.amap = NULL;
	assert_true(entry_mergeable(&a, &b));
	atomic_store_relaxed(&mine->untrimmed, 1u);
	assert_false(entry_mergeable(&a, &b));
	b = a;
	b.range = vrange(AT - PAGE_SIZE, AT);
	b.offset = 0;
	b.amap = NULL;
	assert_false(entry_mergeable(&b, &a));
	amap_release(mine);
	amap_release(other);
	object_release(o);
	test_vm_destroy(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(pieces), cmocka_unit_test(neighbours) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
