/* SPDX-License-Identifier: BSD-2-Clause */
/* test/pmap_gather.c: what several removals, gathers and limits of one pmap are to each other. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_downwards),
		cmocka_unit_test(test_two_gathers),
		cmocka_unit_test(test_limit_on_execution),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
