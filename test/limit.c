/* SPDX-License-Identifier: BSD-2-Clause */
/* test/limit.c: fork's limit over a GiB of tables, one CPU at a time. Races: explore/scenario_limit.c, scenario_pmap_limit.c. */
#include "pmap_user.h"

#define GIB PMAP_LIMIT_SPAN
#define AT (BIT(40) + GIB)

/* One page each: at the ends and in the middle of a GiB, and in its neighbours. */
static const uint64_t at[] = {
	AT - PAGE_SIZE, AT, AT + PAGE_SIZE, AT + 100 * BLOCK_SIZE + 7 * PAGE_SIZE, AT + GIB - PAGE_SIZE, AT + GIB,
};
#define PAGES_AT ARRAY_SIZE(at)
#define FIRST 1u /* of those in the GiB */
#define LAST 4u

static pfn_t frame[PAGES_AT];

static void begin_written(struct world *w)
{
	begin(w);
	for (unsigned i = 0; i < PAGES_AT; i++) {
		frame[i] = pm_alloc(&w->m);
		enter(w, at[i], frame[i], RW, PMAP_WRITTEN);
		assert_int_equal(store(at[i], i), HOST_FAULT_NONE); /* its TLB has the right */
	}
}

static void end_written(struct world *w)
{
	pmap_check(&w->p);
	pm_remove(&w->m, &w->p, 0, BIT(48), true);
	for (unsigned i = 0; i < PAGES_AT; i++)
		pm_free(&w->m, frame[i]);
	end(w);
}

/* => ranges that were flushed. */
static uint32_t limit(struct world *w, uint64_t start, uint64_t stop)
{
	struct tlb_gather g;
	uint32_t n;

	gather_init(&g, &w->p);
	pmap_limit_writes(&w->p, vrange(start, stop), &g);
	n = g.ranges;
	gather_flush(&g);
	pm_free_late(&w->m, &g.unlinked);
	return n;
}

static bool limited(struct world *w, uint64_t va)
{
	bool is;

	epoch_enter(&w->m.epoch);
	is = pmap_limited(&w->p, vaddr(va));
	epoch_leave(&w->m.epoch);
	return is;
}

static void lift(struct world *w, uint64_t va)
{
	epoch_enter(&w->m.epoch);
	assert_int_equal(pmap_lift_limit(&w->p, vaddr(va), NULL), OK);
	epoch_leave(&w->m.epoch);
}

/* What a write fault does when no limit of level 1 is left. */
static void grant(struct world *w, uint64_t va, pfn_t f)
{
	enter(w, va, f, RW, PMAP_WRITTEN);
	pmap_spurious(&w->p, vaddr(va));
}

/* May the program write to page i, and do the tables say so? */
static void assert_writable(struct world *w, unsigned i, bool writable)
{
	struct pmap_pte pte = pmap_extract(&w->p, vaddr(at[i]));

	assert_int_equal(pte.state, PMAP_VALID);
	assert_int_equal(pte.prot, writable ? RW : PROT_R);
	assert_true(pte.dirty); /* it was written, whatever is allowed now */
	assert_int_equal(store(at[i], i), writable ? HOST_FAULT_NONE : HOST_FAULT_PERMISSION);
}

static void test_limit_and_lift(void **state)
{
	struct world w;

	(void)state;
	begin_written(&w);
	assert_false(limited(&w, AT));
	assert_false(limited(&w, BIT(46))); /* no table */
	assert_int_equal(limit(&w, AT + 5 * PAGE_SIZE, AT + 6 * PAGE_SIZE), 1);
	for (unsigned i = 0; i < PAGES_AT; i++) {
		assert_int_equal(limited(&w, at[i]), i >= FIRST && i <= LAST);
		assert_writable(&w, i, i < FIRST || i > LAST);
	}
	pmap_check(&w.p);
	assert_int_equal(limit(&w, AT, AT + PAGE_SIZE), 0); /* it stands */

	/* Lifted, it is over every table below that has a page. */
	lift(&w, at[3]);
	lift(&w, at[3]); /* another fault was first */
	for (unsigned i = 0; i < PAGES_AT; i++) {
		assert_false(limited(&w, at[i]));
		assert_writable(&w, i, i < FIRST || i > LAST);
	}
	grant(&w, at[1], frame[1]);
	assert_writable(&w, 1, true);
	assert_writable(&w, 2, false);
	assert_writable(&w, 3, false);
	assert_int_equal(limit(&w, AT, AT + PAGE_SIZE), 1);
	assert_writable(&w, 1, false);
	lift(&w, at[4]);
	for (unsigned i = FIRST; i <= LAST; i++) {
		assert_writable(&w, i, false);
		grant(&w, at[i], frame[i]);
		assert_writable(&w, i, true);
	}
	end_written(&w);
}

/* Every GiB that has a table, the first and the last included, those between have none. */
static void test_limit_all(void **state)
{
	struct world w;

	(void)state;
	begin_written(&w);
	assert_int_equal(limit(&w, AT - PAGE_SIZE, AT + GIB + PAGE_SIZE), 1); /* neighbours become one range */
	for (unsigned i = 0; i < PAGES_AT; i++)
		assert_writable(&w, i, false);
	lift(&w, at[0]);
	assert_false(limited(&w, at[0]));
	assert_true(limited(&w, at[1]) && limited(&w, at[5]));
	assert_int_equal(limit(&w, 0, BIT(48)), 1);
	assert_true(limited(&w, at[0]));
	end_written(&w);
}

static bool no(void *arg)
{
	(void)arg;
	return false;
}

/* Not lifted for who has nothing to do here any more. */
static void test_stale(void **state)
{
	const struct pmap_last_check check = { no, NULL };
	struct world w;

	(void)state;
	begin_written(&w);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_lift_limit(&w.p, vaddr(at[1]), &check), OK); /* nothing is to be lifted */
	epoch_leave(&w.m.epoch);
	(void)limit(&w, AT, AT + GIB);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_lift_limit(&w.p, vaddr(at[1]), &check), ERR_STALE);
	epoch_leave(&w.m.epoch);
	assert_true(limited(&w, at[1]));
	assert_writable(&w, 1, false);
	end_written(&w);
}

/* What is stored under the limit has no right to write until it is lifted and the right granted anew. */
static void test_store_below(void **state)
{
	struct pmap_leaf leaf;
	struct world w;
	uint64_t was;
	pfn_t f;

	(void)state;
	begin_written(&w);
	f = pm_alloc(&w.m);
	(void)limit(&w, AT, AT + GIB);
	grant(&w, at[2] + PAGE_SIZE, f);
	assert_int_equal(store(at[2] + PAGE_SIZE, 1), HOST_FAULT_PERMISSION);
	assert_int_equal(pmap_extract(&w.p, vaddr(at[2] + PAGE_SIZE)).prot, PROT_R);
	/* the short ways refuse */
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(at[2] + 2 * PAGE_SIZE), NULL, &leaf), OK);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(at[2])).prot, PROT_R);
	assert_false(pmap_leaf_fill(&leaf, vaddr(at[2] + 2 * PAGE_SIZE), f));
	assert_false(pmap_leaf_withdraw(&leaf, vaddr(at[2]), frame[2], &was));
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	lift(&w, at[2]);
	assert_int_equal(store(at[2] + PAGE_SIZE, 1), HOST_FAULT_PERMISSION);
	grant(&w, at[2] + PAGE_SIZE, f);
	assert_int_equal(store(at[2] + PAGE_SIZE, 1), HOST_FAULT_NONE);
	pm_remove(&w.m, &w.p, at[2] + PAGE_SIZE, at[2] + 2 * PAGE_SIZE, true);
	pm_free(&w.m, f);
	end_written(&w);
}

/* A table that comes under the limit, and one that goes. */
static void test_tables(void **state)
{
	struct world w;
	pfn_t f;

	(void)state;
	begin_written(&w);
	f = pm_alloc(&w.m);
	(void)limit(&w, AT, AT + GIB);
	grant(&w, AT + 50 * BLOCK_SIZE, f);
	assert_int_equal(store(AT + 50 * BLOCK_SIZE, 1), HOST_FAULT_PERMISSION);
	pm_remove(&w.m, &w.p, AT + 100 * BLOCK_SIZE, AT + 101 * BLOCK_SIZE, true);
	lift(&w, AT);
	assert_int_equal(store(AT + 50 * BLOCK_SIZE, 1), HOST_FAULT_PERMISSION);
	grant(&w, AT + 50 * BLOCK_SIZE, f);
	assert_int_equal(store(AT + 50 * BLOCK_SIZE, 1), HOST_FAULT_NONE);
	grant(&w, at[3], frame[3]);
	assert_writable(&w, 3, true);
	pm_remove(&w.m, &w.p, AT + 50 * BLOCK_SIZE, AT + 51 * BLOCK_SIZE, true);
	pm_free(&w.m, f);
	end_written(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_and_lift),
		cmocka_unit_test(test_limit_all),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_store_below),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
