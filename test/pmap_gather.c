/* SPDX-License-Identifier: BSD-2-Clause */
/* test/pmap_gather.c: rights and mappings taken away in parts: gathers that meet, limits, one right at a time, many mappings. */
#include "pmap_user.h"

static void finish(struct world *w, struct tlb_gather *g)
{
	gather_flush(g);
	pm_free_late(&w->m, &g->unlinked);
}

/* Page by page from above: the second touches the first from below. */
static void test_downwards(void **state)
{
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f[3];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++) {
		f[i] = pm_alloc(&w.m);
		enter(&w, VA + i * PAGE_SIZE, f[i], RW, 0);
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_NONE);
	}
	gather_init(&g, &w.p);
	for (unsigned i = 3; i-- > 0;)
		pmap_remove(&w.p, vrange(VA + i * PAGE_SIZE, VA + (i + 1) * PAGE_SIZE), &g);
	assert_int_equal(g.ranges, 1);
	finish(&w, &g);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_TRANSLATION);
		pm_free(&w.m, f[i]);
	}
	end(&w);
}

/* Pages that do not touch, one more than a gather has room for. */
static void test_many_ranges(void **state)
{
	enum { N = GATHER_RANGES + 1 };
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f[N];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < N; i++) {
		f[i] = pm_alloc(&w.m);
		enter(&w, VA + 2 * i * PAGE_SIZE, f[i], RW, 0);
		assert_int_equal(load(VA + 2 * i * PAGE_SIZE, &v), HOST_FAULT_NONE);
	}
	gather_init(&g, &w.p);
	for (unsigned i = 0; i < N; i++)
		pmap_remove(&w.p, vrange(VA + 2 * i * PAGE_SIZE, VA + (2 * i + 1) * PAGE_SIZE), &g);
	finish(&w, &g);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(load(VA + 2 * i * PAGE_SIZE, &v), HOST_FAULT_TRANSLATION);
		pm_free(&w.m, f[i]);
	}
	end(&w);
}

/* One takes the first and the third page, the other the second: the first's flush ends before the other's begins. */
static void test_two_gathers(void **state)
{
	struct tlb_gather outer, inner;
	struct world w;
	uint64_t v;
	pfn_t f[3];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++) {
		f[i] = pm_alloc(&w.m);
		enter(&w, VA + i * PAGE_SIZE, f[i], RW, 0);
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_NONE);
	}
	gather_init(&outer, &w.p);
	gather_init(&inner, &w.p);
	pmap_remove(&w.p, vrange(VA, VA + PAGE_SIZE), &outer);
	pmap_remove(&w.p, vrange(VA + PAGE_SIZE, VA + 2 * PAGE_SIZE), &inner);
	pmap_remove(&w.p, vrange(VA + 2 * PAGE_SIZE, VA + 3 * PAGE_SIZE), &outer);
	finish(&w, &outer);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).state, PMAP_EMPTY);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + PAGE_SIZE)).state, PMAP_BUSY);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + 2 * PAGE_SIZE)).state, PMAP_EMPTY);
	finish(&w, &inner);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + PAGE_SIZE)).state, PMAP_EMPTY);
	assert_int_equal(pmap_resident(&w.p), 0);
	pmap_check(&w.p);
	for (unsigned i = 0; i < 3; i++)
		pm_free(&w.m, f[i]);
	end(&w);
}

/* A window that lost the right to execute gets it back page by page, for old and for new pages. */
static void test_limit_on_execution(void **state)
{
	struct host_fault fault;
	struct tlb_gather g;
	struct world w;
	pfn_t f[3];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++) {
		f[i] = pm_alloc(&w.m);
		if (i < 2)
			enter(&w, VA + i * PAGE_SIZE, f[i], PROT_R | PROT_X, 0);
	}
	for (unsigned round = 0; round < 2; round++) {
		uint64_t va = VA + (round ? 2 : 0) * PAGE_SIZE;

		gather_init(&g, &w.p);
		pmap_protect(&w.p, vrange(VA, VA + BLOCK_SIZE), RW, &g);
		finish(&w, &g);
		assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), ERR_FAULT);
		assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), ERR_FAULT);
		enter(&w, va, f[round ? 2 : 0], PROT_R | PROT_X, 0);
		pmap_spurious(&w.p, vaddr(va));
		assert_int_equal(host_user_exec(vaddr(va), NULL, &fault), OK);
		assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), ERR_FAULT);
		assert_int_equal(pmap_extract(&w.p, vaddr(VA + PAGE_SIZE)).prot, PROT_R);
		pmap_check(&w.p);
	}
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	for (unsigned i = 0; i < 3; i++)
		pm_free(&w.m, f[i]);
	end(&w);
}

/* A part of a window, whether it begins or ends inside: the rest keeps its rights. */
static void test_part_of_a_window(void **state)
{
	struct tlb_gather g;
	struct world w;
	pfn_t f[2];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 2; i++) {
		f[i] = pm_alloc(&w.m);
		enter(&w, VA + i * (BLOCK_SIZE - PAGE_SIZE), f[i], RW, PMAP_WRITTEN);
	}
	for (unsigned i = 0; i < 2; i++) {
		uint64_t start = VA + (i ? 0 : PAGE_SIZE), kept = i ? VA + BLOCK_SIZE - PAGE_SIZE : VA;

		gather_init(&g, &w.p);
		pmap_protect(&w.p, vrange(start, start + BLOCK_SIZE - PAGE_SIZE), PROT_R, &g);
		finish(&w, &g);
		if (i == 0) {
			assert_int_equal(pmap_extract(&w.p, vaddr(kept)).prot, RW);
			assert_int_equal(store(kept, 1), HOST_FAULT_NONE);
			enter(&w, VA + BLOCK_SIZE - PAGE_SIZE, f[1], RW, PMAP_WRITTEN);
		} else {
			assert_int_equal(pmap_extract(&w.p, vaddr(kept)).prot, RW);
			assert_int_equal(pmap_extract(&w.p, vaddr(VA)).prot, PROT_R);
		}
	}
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	for (unsigned i = 0; i < 2; i++)
		pm_free(&w.m, f[i]);
	end(&w);
}

/* One right is taken at a time; no TLB keeps it. Page by page, and by the window on top of another limit. */
static void test_one_right(void **state)
{
	const struct host_config dirty = { .ncpus = 2, .ram = 8 << 20, .hw_access = true, .hw_dirty = true };
	struct host_fault fault;
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f[2];

	(void)state;
	for (unsigned hardware = 0; hardware < 2; hardware++) {
		begin_with(&w, hardware ? &dirty : NULL);
		f[0] = pm_alloc(&w.m);
		f[1] = pm_alloc(&w.m);
		enter(&w, VA, f[0], RW, hardware ? 0 : PMAP_WRITTEN);
		enter(&w, VA + PAGE_SIZE, f[1], PROT_R | PROT_X, 0);
		assert_int_equal(hardware ? load(VA, &v) : store(VA, 1), HOST_FAULT_NONE);
		assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), OK);
		gather_init(&g, &w.p);
		pmap_protect(&w.p, vrange(VA, VA + 2 * PAGE_SIZE), PROT_R | PROT_X, &g); /* the right to write */
		finish(&w, &g);
		assert_int_equal(store(VA, 2), HOST_FAULT_PERMISSION);
		assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), OK);
		gather_init(&g, &w.p);
		pmap_protect(&w.p, vrange(VA, VA + 2 * PAGE_SIZE), PROT_R, &g); /* and to execute */
		finish(&w, &g);
		assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), ERR_FAULT);
		enter(&w, VA, f[0], RW, PMAP_WRITTEN);
		pmap_spurious(&w.p, vaddr(VA));
		assert_int_equal(store(VA, 3), HOST_FAULT_NONE);
		for (unsigned i = 0; i < 2; i++) {
			gather_init(&g, &w.p);
			pmap_protect(&w.p, vrange(VA, VA + BLOCK_SIZE), i ? PROT_R : RW, &g);
			finish(&w, &g);
		}
		assert_int_equal(store(VA, 4), HOST_FAULT_PERMISSION);
		pm_remove(&w.m, &w.p, 0, BIT(48), true);
		pm_free(&w.m, f[0]);
		pm_free(&w.m, f[1]);
		end(&w);
	}
}

/* More mappings of two frames than one look at the reverse map copies, all in the TLB. */
static void test_many_mappings(void **state)
{
	enum { N = 37 };
	struct world w;
	uint64_t v;
	pfn_t f[2];

	(void)state;
	begin(&w);
	f[0] = pm_alloc(&w.m);
	f[1] = pm_alloc(&w.m);
	for (unsigned i = 0; i < 2 * N; i++) {
		enter(&w, VA + i * PAGE_SIZE, f[i % 2], RW, PMAP_WRITTEN);
		assert_int_equal(store(VA + i * PAGE_SIZE, i), HOST_FAULT_NONE);
	}
	assert_int_equal(pmap_page_mappings(w.m.ps, f[0]), N);
	pmap_check(&w.p);
	assert_true(pmap_page_modified(w.m.ps, f[0], true));
	assert_false(pmap_page_modified(w.m.ps, f[0], false));
	for (unsigned i = 0; i < 2 * N; i++)
		assert_int_equal(store(VA + i * PAGE_SIZE, i), i % 2 ? HOST_FAULT_NONE : HOST_FAULT_PERMISSION);
	for (unsigned k = 0; k < 2; k++) {
		pmap_page_remove_all(w.m.ps, f[k]);
		for (unsigned i = k; i < 2 * N; i += 2)
			assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_TRANSLATION);
		assert_int_equal(pmap_resident(&w.p), k ? 0 : N);
		pmap_check(&w.p);
		pm_free(&w.m, f[k]);
	}
	end(&w);
}

/* Another frame in a page's place: what was cached of the old one is gone with the flush. */
static void test_break(void **state)
{
	struct pmap_leaf leaf;
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f[2];

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 2; i++) {
		f[i] = pm_alloc(&w.m);
		*(uint64_t *)pm_bytes(f[i]) = i + 1;
	}
	enter(&w, VA, f[0], PROT_R, 0);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(v, 1);
	gather_init(&g, &w.p);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	pmap_leaf_break(&leaf, vaddr(VA), &g);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	finish(&w, &g);
	enter(&w, VA, f[1], PROT_R, PMAP_OWN_BUSY);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(v, 2);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	pm_free(&w.m, f[0]);
	pm_free(&w.m, f[1]);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_downwards),
		cmocka_unit_test(test_many_ranges),
		cmocka_unit_test(test_two_gathers),
		cmocka_unit_test(test_limit_on_execution),
		cmocka_unit_test(test_part_of_a_window),
		cmocka_unit_test(test_one_right),
		cmocka_unit_test(test_many_mappings),
		cmocka_unit_test(test_break),
	};

	return run_all_scopes(tests);
}
