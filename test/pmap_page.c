/* SPDX-License-Identifier: BSD-2-Clause */
/* test/pmap_page.c: what the pmap knows by frame: reverse map, referenced, modified, and mappings outside all that. */
#include "pmap_user.h"

static unsigned page_flags(struct world *w, pfn_t f)
{
	return atomic_load_relaxed(&pmap_page(w->m.ps, f)->flags);
}

static void test_referenced(void **state)
{
	struct world w;
	uint64_t v;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	enter(&w, VA, f, RW, PMAP_WRITTEN);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_true(pmap_page_referenced(w.m.ps, f, true));
	assert_false(pmap_page_referenced(w.m.ps, f, true));
	assert_int_equal(load(VA, &v), HOST_FAULT_ACCESS_FLAG);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).prot, RW); /* so the fault path calls it spurious */
	pmap_spurious(&w.p, vaddr(VA));
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_true(pmap_page_referenced(w.m.ps, f, true));
	assert_int_equal(store(VA, 1), HOST_FAULT_ACCESS_FLAG);
	enter(&w, VA, f, RW, 0); /* or sets it again */
	assert_int_equal(store(VA, 1), HOST_FAULT_NONE);
	/* cleaning makes the next write fault */
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_int_equal(store(VA, 1), HOST_FAULT_PERMISSION);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	pm_free(&w.m, f);
	end(&w);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/* Who holds the lock of a frame that was withdrawn may hold it as a table's, and wait for us: nobody queues for it. */
static void test_withdrawn_frame_is_not_waited_for(void **state)
{
	const struct pmap_last_check check = { never, NULL };
	struct pmap_stock stock = { .chunk = PFN_NONE };
	struct pmap_leaf leaf;
	struct world w;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	pm_fill(&w.m, &stock);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), &stock, &leaf), OK);
	spin_lock(&pmap_page(w.m.ps, f)->lock, RANK_RMAP);
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA), f, PROT_R, 0, &stock, &check), ERR_STALE);
	spin_unlock(&pmap_page(w.m.ps, f)->lock);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	pm_empty(&w.m, &stock);
	pm_free(&w.m, f);
	end(&w);
}

static void test_reverse_map(void **state)
{
	enum { N = 400 };
	struct frame_list l;
	struct world w;
	struct pmap other;
	pfn_t f, g;
	uint64_t before;

	(void)state;
	begin(&w);
	pmap_init(w.m.ps, &other, pm_alloc_table(&w.m));
	f = pm_alloc(&w.m);
	g = pm_alloc(&w.m);
	before = pm_free_count(&w.m);
	for (int i = 0; i < N; i++) {
		struct pmap *p = i & 1 ? &other : &w.p;

		assert_int_equal(pm_enter(&w.m, p, VA + i * PAGE_SIZE, f, PROT_R, 0), OK);
		assert_int_equal(pmap_page_mappings(w.m.ps, f), i + 1);
	}
	assert_true(pm_free_count(&w.m) < before - 6); /* 134 chunks: three frames, besides six tables */
	assert_int_equal(pm_enter(&w.m, &w.p, VA + N * PAGE_SIZE, g, PROT_R, 0), OK);
	assert_int_equal(pm_enter(&w.m, &other, VA + N * PAGE_SIZE, g, PROT_R, 0), OK);
	pmap_check(&w.p);
	pmap_check(&other);
	pm_remove(&w.m, &w.p, VA + 100 * PAGE_SIZE, VA + 200 * PAGE_SIZE, false);
	assert_int_equal(pmap_page_mappings(w.m.ps, f), N - 50);
	pmap_check(&w.p);
	pmap_page_remove_all(w.m.ps, f);
	assert_int_equal(pmap_page_mappings(w.m.ps, f), 0);
	assert_int_equal(pmap_resident(&w.p), 1);
	assert_int_equal(pmap_resident(&other), 1);
	pmap_check(&w.p);
	pmap_check(&other);
	pmap_page_remove_all(w.m.ps, f); /* of nothing */
	pm_free(&w.m, f);
	pm_exit(&w.m, &other);
	assert_int_equal(pmap_page_mappings(w.m.ps, g), 1);
	/* with no frame mapped twice, no chunk is left, but in the frame that this CPU keeps until it is asked for it */
	assert_int_equal(atomic_load_relaxed(&w.m.ps->chunks.frames), 1);
	pmap_drain(w.m.ps, &l);
	assert_int_equal(l.count, 1);
	assert_int_equal(atomic_load_relaxed(&w.m.ps->chunks.frames), 0);
	pm_free_late(&w.m, &l);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	pm_free(&w.m, g);
	end(&w);
}

static void test_untracked(void **state)
{
	struct host_fault fault;
	struct world w;
	uint64_t v;
	pfn_t zero;

	(void)state;
	begin(&w);
	zero = pm_alloc(&w.m);
	for (int i = 0; i < 8; i++)
		enter(&w, VA + i * PAGE_SIZE, zero, PROT_R, PMAP_UNTRACKED);
	enter(&w, VA + BLOCK_SIZE, zero, PROT_R | PROT_X, PMAP_UNTRACKED);
	enter(&w, VA + BLOCK_SIZE + PAGE_SIZE, zero, PROT_R, PMAP_UNTRACKED | PMAP_DEVICE);
	assert_int_equal(load(VA + PAGE_SIZE, &v), HOST_FAULT_NONE);
	assert_int_equal(host_user_exec(vaddr(VA + BLOCK_SIZE), NULL, &fault), OK);
	assert_int_equal(pmap_page_mappings(w.m.ps, zero), 0);
	assert_int_equal(pmap_resident(&w.p), 10);
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	assert_int_equal(page_flags(&w, zero) & (PMAP_PAGE_REFERENCED | PMAP_PAGE_MODIFIED), 0);
	pm_free(&w.m, zero);
	end(&w);
}

/* The kernel wrote the frames; the program that runs them has no part in making them coherent. The simulator judges. */
static void test_executable(void **state)
{
	struct host_fault fault;
	struct world w;
	pfn_t at_once, later;

	(void)state;
	begin(&w);
	at_once = pm_alloc(&w.m);
	later = pm_alloc(&w.m);
	enter(&w, VA, at_once, PROT_R | PROT_X, 0);
	assert_true(page_flags(&w, at_once) & PMAP_PAGE_EXEC_CLEAN);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	enter(&w, VA + PAGE_SIZE, later, PROT_R, 0);
	assert_false(page_flags(&w, later) & PMAP_PAGE_EXEC_CLEAN);
	enter(&w, VA + PAGE_SIZE, later, PROT_R | PROT_X, 0);
	assert_int_equal(host_user_exec(vaddr(VA + PAGE_SIZE), NULL, &fault), OK);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	/* another content: the frame has forgotten */
	pm_free(&w.m, at_once);
	assert_false(page_flags(&w, at_once) & PMAP_PAGE_EXEC_CLEAN);
	pm_free(&w.m, later);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_referenced),
		cmocka_unit_test(test_withdrawn_frame_is_not_waited_for),
		cmocka_unit_test(test_reverse_map),
		cmocka_unit_test(test_untracked),
		cmocka_unit_test(test_executable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
