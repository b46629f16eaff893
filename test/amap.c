/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees of anons: growth, sharing, copies of paths, trimming, against a flat model of who sees what. */
#include "test_vm.h"
#include "vm/amap_private.h"

static struct test_vm v;

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_vm_destroy(&v);
	return 0;
}

static struct anon *fresh(void)
{
	pfn_t f;
	struct anon *a;

	assert_int_equal(frame_alloc(&v.vm->frames, 0, 0, FRAME_ANON, &f), OK);
	a = anon_new(v.vm, f);
	assert_non_null(a);
	return a;
}

/* Puts a in at va as a write fault does; returns what was there. */
static struct anon *put(struct amap *m, uint64_t va, struct anon *a)
{
	struct amap_stock s = { .count = 0 };
	struct amap_node *leaf;
	struct anon *old;
	bool exclusive;

	epoch_enter(&v.vm->epoch);
	while (amap_own_path(m, va, &s) == ERR_STOCK)
		assert_int_equal(amap_stock_fill(v.vm, &s, AMAP_LEVELS), OK);
	leaf = amap_find(m, va, &exclusive);
	assert_non_null(leaf);
	assert_true(exclusive);
	spin_lock(&leaf->lock, RANK_NODE);
	old = amap_slot(leaf, va);
	amap_slot_set_locked(leaf, va, a);
	spin_unlock(&leaf->lock);
	epoch_leave(&v.vm->epoch);
	amap_stock_empty(v.vm, &s);
	return old;
}

static struct anon *get(struct amap *m, uint64_t va)
{
	struct amap_node *leaf;
	struct anon *a;
	bool exclusive;

	epoch_enter(&v.vm->epoch);
	leaf = amap_find(m, va, &exclusive);
	a = leaf ? amap_slot(leaf, va) : NULL;
	epoch_leave(&v.vm->epoch);
	return a;
}

static void far_apart(void **state)
{
	static const uint64_t va[] = { 0x10000, 0x4f000, 0x50000, 0x40000000, 0x7fffff000000, 0xfffffffff000 };
	struct amap *m = amap_new(v.vm);
	struct anon *a[ARRAY_SIZE(va)];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++) {
		assert_null(get(m, va[i]));
		a[i] = fresh();
		assert_null(put(m, va[i], a[i]));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(va); i++)
		assert_ptr_equal(get(m, va[i]), a[i]);
	assert_int_equal(amap_check(m), ARRAY_SIZE(va));
	epoch_enter(&v.vm->epoch);
	assert_int_equal(amap_next(m, 0, UINT64_C(1) << 48), va[0]);
	assert_int_equal(amap_next(m, va[2] + PAGE_SIZE, UINT64_C(1) << 48), va[3]);
	assert_int_equal(amap_next(m, va[3] + PAGE_SIZE, va[4]), va[4]);
	epoch_leave(&v.vm->epoch);
	amap_release(m);
}

static void one_path_is_copied(void **state)
{
	struct amap *parent = amap_new(v.vm), *child = amap_new(v.vm);
	struct anon *a[200], *b, *old;
	uint64_t base = 0x40000000;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		(void)put(parent, base + i * PAGE_SIZE, a[i] = fresh());
	amap_share(child, parent);
	b = fresh();
	old = put(parent, base + 70 * PAGE_SIZE, b);
	assert_ptr_equal(old, a[70]);
	assert_int_equal(ref_count(&a[70]->refs), 2); /* the child's leaf, and ours that we hold now */
	anon_put(old);
	assert_int_equal(ref_count(&a[70]->refs), 1);
	assert_int_equal(ref_count(&a[71]->refs), 2);  /* its leaf was copied */
	assert_int_equal(ref_count(&a[150]->refs), 1); /* its leaf is shared as a whole */
	for (unsigned i = 0; i < 200; i++) {
		assert_ptr_equal(get(child, base + i * PAGE_SIZE), a[i]);
		assert_ptr_equal(get(parent, base + i * PAGE_SIZE), i == 70 ? b : a[i]);
	}
	amap_release(parent);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(ref_count(&get(child, base + i * PAGE_SIZE)->refs), 1);
	amap_release(child);
}

static void trim_shared(void **state)
{
	struct amap *parent = amap_new(v.vm), *child = amap_new(v.vm);
	struct amap_trash trash;
	struct anon *a[500];
	uint64_t base = 0x40000000 - 100 * PAGE_SIZE;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		(void)put(parent, base + i * PAGE_SIZE, a[i] = fresh());
	amap_share(child, parent);
	assert_int_equal(amap_trim(parent, base + 30 * PAGE_SIZE, base + 333 * PAGE_SIZE, &trash), OK);
	for (unsigned i = 0; i < 500; i++) {
		assert_ptr_equal(get(child, base + i * PAGE_SIZE), a[i]);
		if (i >= 30 && i < 333)
			assert_null(get(parent, base + i * PAGE_SIZE));
		else
			assert_ptr_equal(get(parent, base + i * PAGE_SIZE), a[i]);
	}
	amap_trash_drop(v.vm, &trash);
	amap_release(child);
	assert_int_equal(amap_check(parent), 197);
	assert_int_equal(amap_trim(parent, 0, UINT64_C(1) << 48, &trash), OK);
	assert_int_equal(amap_check(parent), 0);
	amap_trash_drop(v.vm, &trash);
	amap_release(parent);
}

static void moved(void **state)
{
	struct amap *from = amap_new(v.vm), *to = amap_new(v.vm);
	struct anon *a[100];
	uint64_t base = 0x40000000, there = 0x123456789000;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		(void)put(from, base + 3 * i * PAGE_SIZE, a[i] = fresh());
	assert_int_equal(amap_copy_range(to, from, base + 3 * PAGE_SIZE, base + 150 * PAGE_SIZE, (int64_t)(there - base)), OK);
	for (unsigned i = 0; i < 100; i++) {
		assert_ptr_equal(get(to, there + 3 * i * PAGE_SIZE), i >= 1 && i < 50 ? a[i] : NULL);
		assert_int_equal(ref_count(&a[i]->refs), i >= 1 && i < 50 ? 2 : 1);
	}
	amap_release(from);
	assert_int_equal(amap_check(to), 49);
	amap_release(to);
}

/* A node that comes back from where its slots held something has none that do, wherever they were: all, the first, the last. */
static void nodes_come_back_empty(void **state)
{
	static const uint64_t base = 0x40000000, leaf = AMAP_FANOUT * PAGE_SIZE;
	struct amap *m = amap_new(v.vm);

	(void)state;
	for (unsigned i = 0; i < AMAP_FANOUT; i++)
		assert_null(put(m, base + i * PAGE_SIZE, fresh()));
	for (unsigned i = 1; i < 100; i++) {
		assert_null(put(m, base + i * leaf, fresh()));
		assert_null(put(m, base + (i + 1) * leaf - PAGE_SIZE, fresh()));
	}
	amap_release(m);
	for (unsigned i = 0; i < 4; i++)
		epoch_poll(&v.vm->epoch); /* grace periods pass; what is free stays in its zone, as it is */
	m = amap_new(v.vm);
	for (unsigned i = 0; i < 120; i++) /* so many that some of them come back */
		assert_null(put(m, base + i * leaf + 7 * PAGE_SIZE, fresh()));
	for (unsigned i = 0; i < 120 * AMAP_FANOUT; i++)
		assert_true(!get(m, base + i * PAGE_SIZE) == (i % AMAP_FANOUT != 7));
	assert_int_equal(amap_check(m), 120);
	amap_release(m);
}

/* --- blocks: eight leaf nodes at once --- */

static struct amap_node *block[AMAP_BLOCK_NODES];

static bool room(struct amap *m, uint64_t va)
{
	bool is;

	epoch_enter(&v.vm->epoch);
	is = amap_block_room(m, va);
	epoch_leave(&v.vm->epoch);
	return is;
}

static void make_block(uint64_t start)
{
	for (unsigned i = 0; i < AMAP_BLOCK_NODES; i++) {
		block[i] = amap_block_node(v.vm, start + i * AMAP_FANOUT * PAGE_SIZE);
		assert_non_null(block[i]);
		for (unsigned k = 0; k < AMAP_FANOUT; k++)
			amap_block_node_fill(block[i], k, fresh());
	}
}

/* put: else the way is made, and nothing else. */
static enum error put_block(struct amap *m, uint64_t va, bool put)
{
	struct amap_stock s = { .count = 0 };
	struct amap_way w;
	enum error e;

	epoch_enter(&v.vm->epoch);
	while ((e = amap_block_begin(m, va, &s, &w)) == ERR_STOCK)
		assert_int_equal(amap_stock_fill(v.vm, &s, s.missing), OK);
	if (e == OK && put)
		amap_block_put_locked(m, va, block, &w);
	if (e == OK)
		amap_block_end(m, &w);
	epoch_leave(&v.vm->epoch);
	amap_stock_empty(v.vm, &s);
	return e;
}

static void drop_block(void)
{
	for (unsigned i = 0; i < AMAP_BLOCK_NODES; i++)
		amap_node_put(block[i]);
}

static void blocks(void **state)
{
	static const uint64_t base = 0x40000000;
	struct amap *m = amap_new(v.vm), *child;
	struct amap_trash trash;
	struct anon *old;

	(void)state;
	/* In a tree that is empty, that has a leaf for its root, and that is high. */
	for (unsigned i = 0; i < 3; i++) {
		uint64_t at = base + i * 9 * BLOCK_SIZE;

		assert_true(room(m, at));
		make_block(at);
		assert_int_equal(put_block(m, at + 77 * PAGE_SIZE, false), OK);
		assert_null(get(m, at));
		assert_true(room(m, at + BLOCK_SIZE - 1));
		assert_int_equal(put_block(m, at + 77 * PAGE_SIZE, true), OK);
		assert_false(room(m, at));
		assert_int_equal(amap_check(m), (i + 1) * BLOCK_SIZE / PAGE_SIZE);
		for (uint64_t va = at; va < at + BLOCK_SIZE; va += PAGE_SIZE)
			assert_non_null(get(m, va));
		assert_null(get(m, at + BLOCK_SIZE));
		assert_true(room(m, at - 1));
		assert_true(room(m, at + BLOCK_SIZE));
	}
	/* Over what is there: nothing is asked, nothing changes. */
	old = get(m, base);
	make_block(base);
	assert_int_equal(put_block(m, base, true), ERR_EXISTS);
	assert_ptr_equal(get(m, base), old);
	drop_block();
	assert_null(put(m, base + BLOCK_SIZE + 5 * PAGE_SIZE, fresh()));
	make_block(base + BLOCK_SIZE);
	assert_int_equal(put_block(m, base + BLOCK_SIZE + 300 * PAGE_SIZE, true), ERR_EXISTS);
	drop_block();
	/* Beside what is shared: it is ours alone. */
	child = amap_new(v.vm);
	assert_non_null(child);
	amap_share(child, m);
	make_block(base + 2 * BLOCK_SIZE);
	assert_int_equal(put_block(m, base + 2 * BLOCK_SIZE, true), OK);
	assert_null(get(child, base + 2 * BLOCK_SIZE));
	assert_ptr_equal(get(child, base), old);
	(void)amap_check(child);
	(void)amap_check(m);
	amap_release(child);
	/* All of it goes, and there is room again. */
	assert_int_equal(amap_trim(m, base, base + BLOCK_SIZE, &trash), OK);
	amap_trash_drop(v.vm, &trash);
	assert_true(room(m, base));
	make_block(base);
	assert_int_equal(put_block(m, base, true), OK);
	amap_release(m);
	/* A leaf for a root, elsewhere in the block. */
	m = amap_new(v.vm);
	assert_null(put(m, base, fresh()));
	assert_false(room(m, base + BLOCK_SIZE - 1));
	assert_true(room(m, base + BLOCK_SIZE));
	assert_true(room(m, base - 1));
	make_block(base);
	assert_int_equal(put_block(m, base + 300 * PAGE_SIZE, true), ERR_EXISTS);
	/* One that is on its way out gains nothing. */
	epoch_enter(&v.vm->epoch);
	amap_release(m);
	assert_int_equal(amap_block_begin(m, base, &(struct amap_stock){ .count = 0 }, &(struct amap_way){ .olds = 0 }), ERR_STALE);
	epoch_leave(&v.vm->epoch);
	drop_block();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(far_apart), T(one_path_is_copied), T(trim_shared), T(moved),
					    T(nodes_come_back_empty), T(blocks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
