/* SPDX-License-Identifier: BSD-2-Clause */
/* test/pmap.c: the pmap's contract, one CPU at a time, seen through the simulated MMU. Races: test/pmap_race.c. */
#include "pmap_user.h"

/* What a program does to run what it wrote: the kernel makes a frame's bytes fetchable only at the first mapping. */
static enum error run(uint64_t va)
{
	struct host_fault fault;

	assert_int_equal(host_user_sync_icache(vaddr(va), &fault), OK);
	return host_user_exec(vaddr(va), NULL, &fault);
}

static void gather(struct world *w, struct tlb_gather *g, bool exclusive)
{
	gather_init(g, &w->p);
	g->exclusive = exclusive;
}

static void finish(struct world *w, struct tlb_gather *g)
{
	gather_flush(g);
	pm_free_late(&w->m, &g->unlinked);
}

static void test_enter_and_dirty(void **state)
{
	struct world w;
	struct pmap_pte pte;
	uint64_t v;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).state, PMAP_EMPTY);
	assert_int_equal(load(VA, &v), HOST_FAULT_TRANSLATION);
	enter(&w, VA, f, RW, 0);
	assert_int_equal(load(VA + 8, &v), HOST_FAULT_NONE);
	assert_int_equal(v, 0);
	/* clean: the first write faults, and brings PMAP_WRITTEN */
	assert_int_equal(store(VA, 5), HOST_FAULT_PERMISSION);
	pte = pmap_extract(&w.p, vaddr(VA));
	assert_int_equal(pte.state, PMAP_VALID);
	assert_int_equal(pte.frame.fn, f.fn);
	assert_int_equal(pte.prot, RW);
	assert_false(pte.dirty);
	assert_false(pmap_page_modified(w.m.ps, f, false));
	enter(&w, VA, f, RW, PMAP_WRITTEN);
	assert_true(pmap_extract(&w.p, vaddr(VA)).dirty);
	assert_int_equal(store(VA, 5), HOST_FAULT_PERMISSION); /* the stale entry */
	pmap_spurious(&w.p, vaddr(VA));
	assert_int_equal(store(VA, 5), HOST_FAULT_NONE);
	assert_int_equal(*(uint64_t *)pm_bytes(f), 5);
	assert_int_equal(pmap_resident(&w.p), 1);
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 3);
	pmap_check(&w.p);
	/* no right that was not given */
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &(struct host_fault){ 0 }), ERR_FAULT);
	pm_remove(&w.m, &w.p, VA, VA + PAGE_SIZE, true);
	assert_int_equal(load(VA, &v), HOST_FAULT_TRANSLATION);
	assert_int_equal(pmap_resident(&w.p), 0);
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_false(pmap_page_modified(w.m.ps, f, true));
	assert_true(pmap_page_referenced(w.m.ps, f, true));
	assert_false(pmap_page_referenced(w.m.ps, f, true));
	pm_free(&w.m, f);
	end(&w);
}

static void test_stock(void **state)
{
	struct pmap_stock stock = { .chunk = PFN_NONE };
	struct pmap_leaf leaf;
	struct world w;

	(void)state;
	begin(&w);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), &stock, &leaf), ERR_STOCK);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), ERR_STOCK);
	stock.table[stock.tables++] = pm_alloc_table(&w.m);
	stock.table[stock.tables++] = pm_alloc_table(&w.m);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), &stock, &leaf), ERR_STOCK);
	assert_int_equal(stock.tables, 0); /* two are linked and stay */
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 2);
	stock.table[stock.tables++] = pm_alloc_table(&w.m);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), &stock, &leaf), OK);
	pmap_leaf_unlock(&leaf);
	/* and now none is needed */
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA + BLOCK_SIZE - 1), NULL, &leaf), OK);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	pmap_check(&w.p);
	end(&w);
}

static bool say_no(void *arg)
{
	++*(int *)arg;
	return false;
}

static void test_set_errors(void **state)
{
	struct pmap_stock stock = { .chunk = PFN_NONE };
	struct pmap_leaf leaf;
	struct tlb_gather g;
	struct world w;
	int asked = 0;
	const struct pmap_last_check check = { say_no, &asked };
	pfn_t a, b;

	(void)state;
	begin(&w);
	a = pm_alloc(&w.m);
	b = pm_alloc(&w.m);
	enter(&w, VA, a, PROT_R, 0);
	assert_int_equal(pm_enter(&w.m, &w.p, VA, b, PROT_R, 0), ERR_EXISTS);
	assert_int_equal(pmap_page_mappings(w.m.ps, b), 0);

	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	/* the last check: neither PTE nor reverse map stay, no right is added */
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA + PAGE_SIZE), b, RW, 0, &stock, &check), ERR_STALE);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(VA + PAGE_SIZE)).state, PMAP_EMPTY);
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA), a, RW, PMAP_WRITTEN, &stock, &check), ERR_STALE);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(VA)).prot, PROT_R);
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA + PAGE_SIZE), b, PROT_R, PMAP_UNTRACKED, &stock, &check), ERR_STALE);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(VA + PAGE_SIZE)).state, PMAP_EMPTY);
	assert_int_equal(asked, 3);
	assert_int_equal(pmap_page_mappings(w.m.ps, b), 0);
	/* a second mapping needs a chunk */
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA + PAGE_SIZE), a, PROT_R, 0, &stock, NULL), ERR_STOCK);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(VA + PAGE_SIZE)).state, PMAP_EMPTY);
	/* break before make */
	gather_init(&g, &w.p);
	pmap_leaf_break(&leaf, vaddr(VA), &g);
	assert_int_equal(pmap_leaf_get(&leaf, vaddr(VA)).state, PMAP_BUSY);
	assert_int_equal(pmap_leaf_set(&leaf, vaddr(VA), b, PROT_R, 0, &stock, NULL), ERR_BUSY);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	finish(&w, &g);
	assert_int_equal(pmap_page_mappings(w.m.ps, a), 0);
	/* nobody but its owner touches a BUSY one */
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).state, PMAP_BUSY);
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 3);
	enter(&w, VA, b, RW, PMAP_OWN_BUSY | PMAP_WRITTEN);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).frame.fn, b.fn);
	assert_int_equal(pmap_resident(&w.p), 1);
	pmap_check(&w.p);

	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	gather_init(&g, &w.p);
	pmap_leaf_break(&leaf, vaddr(VA), &g);
	pmap_leaf_unlock(&leaf);
	gather_flush(&g);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	pmap_leaf_abandon(&leaf, vaddr(VA));
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	assert_int_equal(pmap_resident(&w.p), 0);
	assert_true(pmap_page_modified(w.m.ps, b, false));
	pmap_check(&w.p);
	pm_free(&w.m, a);
	pm_free(&w.m, b);
	end(&w);
}

static void test_remove_unlinks(void **state)
{
	struct pmap_leaf leaf;
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f, other;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	other = pm_alloc(&w.m);
	enter(&w, VA, f, RW, 0);
	enter(&w, VA + 2 * BLOCK_SIZE, other, RW, 0);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(load(VA + 2 * BLOCK_SIZE, &v), HOST_FAULT_NONE);
	assert_true(host_walk_holds(w.m.t.m, 0, asid_to_flush(&w.p), vaddr(VA), 2));
	/* a part of the window: the table stays, empty */
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE - PAGE_SIZE, true);
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 4);
	assert_int_equal(pmap_resident(&w.p), 1);
	/* all of it, though nothing is left: the table goes, and out of the walk caches */
	gather(&w, &g, true);
	pmap_remove(&w.p, vrange(VA - BLOCK_SIZE, VA + 2 * BLOCK_SIZE), &g);
	assert_true(g.tables);
	assert_int_equal(g.unlinked.count, 1);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), ERR_BUSY);
	epoch_leave(&w.m.epoch);
	finish(&w, &g);
	assert_false(host_walk_holds(w.m.t.m, 0, asid_to_flush(&w.p), vaddr(VA), 2));
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 3);
	pm_drain(&w.m);
	pmap_check(&w.p);
	enter(&w, VA, f, RW, 0); /* another table comes */
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(load(VA + 2 * BLOCK_SIZE, &v), HOST_FAULT_NONE);
	/* the whole address space */
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 2);
	pm_free(&w.m, f);
	pm_free(&w.m, other);
	end(&w);
}

static uint64_t lines_of(struct world *w, uint64_t va)
{
	struct pmap_leaf leaf;
	uint64_t lines;

	epoch_enter(&w->m.epoch);
	assert_int_equal(pmap_leaf_lock(&w->p, vaddr(va), NULL, &leaf), OK);
	lines = atomic_load_relaxed(&leaf.page->lines);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w->m.epoch);
	return lines;
}

/* What a table is known to hold follows what it holds; walks find all of it, wherever it is, and nothing beyond their ends. */
static void test_sparse(void **state)
{
	static const unsigned at[] = { 80, 82, 87, 88, 200, 511 };
	static const uint64_t far[] = { 0, 1, 7, 8, 255, 511, 512, 513 + 7, UINT64_C(512) * 512 - 1, UINT64_C(512) * 700 };
	struct pmap_leaf next;
	struct tlb_gather g;
	struct world w;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		enter(&w, VA + at[i] * PAGE_SIZE, f, PROT_R, PMAP_UNTRACKED);
	assert_int_equal(lines_of(&w, VA), BIT(10) | BIT(11) | BIT(25) | BIT(63));
	/* a part of a line says nothing of the rest; the whole of it does */
	pm_remove(&w.m, &w.p, VA + 81 * PAGE_SIZE, VA + 89 * PAGE_SIZE, true);
	assert_int_equal(pmap_resident(&w.p), 3);
	assert_int_equal(lines_of(&w, VA) & BIT(10), BIT(10));
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, VA + 80 * PAGE_SIZE, VA + 208 * PAGE_SIZE, true);
	assert_int_equal(lines_of(&w, VA), BIT(63));
	pmap_check(&w.p);
	/* BUSY is not empty, whoever made it so */
	enter(&w, VA + 200 * PAGE_SIZE, f, PROT_R, PMAP_UNTRACKED);
	gather(&w, &g, false);
	pmap_remove(&w.p, vrange(VA + 200 * PAGE_SIZE, VA + 208 * PAGE_SIZE), &g);
	pm_remove(&w.m, &w.p, VA + 200 * PAGE_SIZE, VA + 208 * PAGE_SIZE, true);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + 200 * PAGE_SIZE)).state, PMAP_BUSY);
	assert_int_equal(lines_of(&w, VA), BIT(25) | BIT(63));
	finish(&w, &g);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + 200 * PAGE_SIZE)).state, PMAP_EMPTY);
	pm_remove(&w.m, &w.p, VA + 511 * PAGE_SIZE, VA + BLOCK_SIZE, true);
	assert_int_equal(lines_of(&w, VA), 0);
	pmap_check(&w.p);
	/* rights are taken from all, and a limit is pushed down to all */
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		enter(&w, VA + at[i] * PAGE_SIZE, f, RW, PMAP_UNTRACKED);
	gather(&w, &g, false);
	pmap_protect(&w.p, vrange(VA + 82 * PAGE_SIZE, VA + 200 * PAGE_SIZE), PROT_R, &g);
	finish(&w, &g);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(pmap_extract(&w.p, vaddr(VA + at[i] * PAGE_SIZE)).prot,
				 at[i] >= 82 && at[i] < 200 ? PROT_R : RW);
	gather(&w, &g, false);
	pmap_protect(&w.p, vrange(VA, VA + BLOCK_SIZE), PROT_R, &g);
	finish(&w, &g);
	enter(&w, VA + 80 * PAGE_SIZE, f, RW, PMAP_UNTRACKED);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(pmap_extract(&w.p, vaddr(VA + at[i] * PAGE_SIZE)).prot, i == 0 ? RW : PROT_R);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);

	/* tables in and behind lines of the tables above */
	for (unsigned i = 0; i < ARRAY_SIZE(far); i++)
		enter(&w, far[i] * BLOCK_SIZE, f, PROT_R, PMAP_UNTRACKED);
	pmap_check(&w.p);
	assert_int_equal(pmap_resident(&w.p), ARRAY_SIZE(far));
	for (unsigned i = ARRAY_SIZE(far) - 1; i > 0; i--) {
		/* a walk goes no further than its end: the lock of the next leaf table is held here, and it would take it */
		epoch_enter(&w.m.epoch);
		assert_int_equal(pmap_leaf_lock(&w.p, vaddr(far[i] * BLOCK_SIZE), NULL, &next), OK);
		epoch_leave(&w.m.epoch);
		gather(&w, &g, true);
		pmap_remove(&w.p, vrange((far[i - 1] + 1) * BLOCK_SIZE, far[i] * BLOCK_SIZE), &g);
		pmap_leaf_unlock(&next);
		finish(&w, &g);
		assert_int_equal(pmap_resident(&w.p), i + 1);
		pm_remove(&w.m, &w.p, far[i - 1] * BLOCK_SIZE + PAGE_SIZE, BIT(48), true);
		assert_int_equal(pmap_resident(&w.p), i);
	}
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, PAGE_SIZE, true);
	pm_free(&w.m, f);
	end(&w);
}

static void test_remove_of_live_entries(void **state)
{
	struct world w;
	struct tlb_gather g, foreign;
	struct pmap_leaf leaf;
	pfn_t f, k, j;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	k = pm_alloc(&w.m);
	j = pm_alloc(&w.m);
	enter(&w, VA, f, RW, 0);
	enter(&w, VA + PAGE_SIZE, k, RW, 0);
	enter(&w, VA + BLOCK_SIZE, j, RW, 0);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	gather_init(&foreign, &w.p);
	pmap_leaf_break(&leaf, vaddr(VA + PAGE_SIZE), &foreign);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	gather(&w, &g, false);
	pmap_remove(&w.p, vrange(VA, VA + BLOCK_SIZE), &g);
	pmap_remove(&w.p, vrange(VA + BLOCK_SIZE, VA + 2 * BLOCK_SIZE), &g);
	/* nothing new before the flush */
	assert_int_equal(pm_enter(&w.m, &w.p, VA, k, RW, 0), ERR_BUSY);
	assert_int_equal(pm_enter(&w.m, &w.p, VA + BLOCK_SIZE, k, RW, 0), ERR_BUSY);
	finish(&w, &g);
	finish(&w, &foreign);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).state, PMAP_EMPTY);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + PAGE_SIZE)).state, PMAP_BUSY);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + BLOCK_SIZE)).state, PMAP_EMPTY);
	enter(&w, VA + PAGE_SIZE, k, RW, PMAP_OWN_BUSY);
	enter(&w, VA, f, RW, 0);
	pmap_check(&w.p);
	assert_int_equal(pmap_resident(&w.p), 2);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	pm_free(&w.m, f);
	pm_free(&w.m, k);
	pm_free(&w.m, j);
	end(&w);
}

static void test_protect(void **state)
{
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f[4];

	(void)state;
	begin(&w);
	for (int i = 0; i < 4; i++) {
		f[i] = pm_alloc(&w.m);
		enter(&w, VA + i * PAGE_SIZE, f[i], PROT_ALL, i == 3 ? 0 : PMAP_WRITTEN);
		assert_int_equal(store(VA + i * PAGE_SIZE, i), i == 3 ? HOST_FAULT_PERMISSION : HOST_FAULT_NONE);
	}
	/* one page of a window */
	gather(&w, &g, true);
	pmap_protect(&w.p, vrange(VA, VA + PAGE_SIZE), PROT_R, &g);
	assert_int_equal(g.ranges, 1);
	assert_false(g.tables);
	finish(&w, &g);
	assert_int_equal(store(VA, 9), HOST_FAULT_PERMISSION);
	assert_int_equal(run(VA), ERR_FAULT);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA)).prot, PROT_R);
	assert_true(pmap_page_modified(w.m.ps, f[0], false)); /* what was written stays known */
	assert_int_equal(store(VA + PAGE_SIZE, 9), HOST_FAULT_NONE);
	/* the whole window at once */
	gather(&w, &g, true);
	pmap_protect(&w.p, vrange(VA, VA + BLOCK_SIZE), PROT_R | PROT_X, &g);
	assert_true(g.tables);
	finish(&w, &g);
	for (int i = 1; i < 4; i++) {
		assert_int_equal(store(VA + i * PAGE_SIZE, 9), HOST_FAULT_PERMISSION);
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_NONE);
		assert_int_equal(run(VA + i * PAGE_SIZE), OK);
		assert_int_equal(pmap_extract(&w.p, vaddr(VA + i * PAGE_SIZE)).prot, PROT_R | PROT_X);
	}
	pmap_check(&w.p);
	/* the first writer pushes the limit down: it can write, the others still cannot */
	enter(&w, VA + PAGE_SIZE, f[1], PROT_ALL, PMAP_WRITTEN);
	pmap_spurious(&w.p, vaddr(VA + PAGE_SIZE));
	assert_int_equal(store(VA + PAGE_SIZE, 10), HOST_FAULT_NONE);
	pmap_spurious(&w.p, vaddr(VA + 2 * PAGE_SIZE));
	assert_int_equal(store(VA + 2 * PAGE_SIZE, 10), HOST_FAULT_PERMISSION);
	pmap_spurious(&w.p, vaddr(VA + 3 * PAGE_SIZE));
	assert_int_equal(store(VA + 3 * PAGE_SIZE, 10), HOST_FAULT_PERMISSION);
	assert_int_equal(pmap_extract(&w.p, vaddr(VA + 2 * PAGE_SIZE)).prot, PROT_R | PROT_X);
	assert_true(pmap_extract(&w.p, vaddr(VA + 2 * PAGE_SIZE)).dirty);
	assert_false(pmap_extract(&w.p, vaddr(VA + 3 * PAGE_SIZE)).dirty);
	assert_true(pmap_page_modified(w.m.ps, f[2], false));
	/* a new page is not limited by what was done before it */
	gather(&w, &g, true);
	pmap_protect(&w.p, vrange(VA, VA + BLOCK_SIZE), PROT_R, &g);
	finish(&w, &g);
	pm_remove(&w.m, &w.p, VA, VA + PAGE_SIZE, true);
	enter(&w, VA, f[0], PROT_ALL, PMAP_WRITTEN);
	assert_int_equal(store(VA, 11), HOST_FAULT_NONE);
	assert_int_equal(run(VA), OK);
	pmap_spurious(&w.p, vaddr(VA + PAGE_SIZE));
	assert_int_equal(store(VA + PAGE_SIZE, 11), HOST_FAULT_PERMISSION);
	assert_int_equal(run(VA + PAGE_SIZE), ERR_FAULT);
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	for (int i = 0; i < 4; i++)
		pm_free(&w.m, f[i]);
	end(&w);
}

static void test_hardware_dirty(void **state)
{
	const struct host_config config = { .ncpus = 2, .ram = 8 << 20, .hw_access = true, .hw_dirty = true, .range_tlbi = true };
	struct tlb_gather g;
	struct world w;
	uint64_t v;
	pfn_t f;

	(void)state;
	begin_with(&w, &config);
	f = pm_alloc(&w.m);
	enter(&w, VA, f, RW, 0);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_false(pmap_page_modified(w.m.ps, f, false));
	assert_int_equal(store(VA, 1), HOST_FAULT_NONE); /* no fault: hardware notes it */
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_false(pmap_page_modified(w.m.ps, f, true));
	assert_int_equal(store(VA, 2), HOST_FAULT_NONE); /* the clearing was flushed, so it is noted again */
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_int_equal(store(VA, 3), HOST_FAULT_NONE);
	gather(&w, &g, true);
	pmap_protect(&w.p, vrange(VA, VA + PAGE_SIZE), PROT_R, &g);
	finish(&w, &g);
	assert_int_equal(store(VA, 4), HOST_FAULT_PERMISSION);
	assert_true(pmap_page_modified(w.m.ps, f, true));
	enter(&w, VA, f, RW, 0);
	assert_int_equal(store(VA, 5), HOST_FAULT_PERMISSION);
	pmap_spurious(&w.p, vaddr(VA));
	assert_int_equal(store(VA, 5), HOST_FAULT_NONE);
	/* clean but writable: the protection must reach the TLBs */
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	gather(&w, &g, true);
	pmap_protect(&w.p, vrange(VA, VA + PAGE_SIZE), PROT_R, &g);
	finish(&w, &g);
	assert_int_equal(store(VA, 6), HOST_FAULT_PERMISSION);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	assert_false(pmap_page_modified(w.m.ps, f, false));
	pm_free(&w.m, f);
	end(&w);
}

static uint64_t invalidations(struct world *w) { return host_stats(w->m.t.m).invalidations; }

static void test_flush_is_small(void **state)
{
	struct tlb_gather g;
	struct pmap idle;
	struct world w;
	uint64_t before;
	pfn_t f;

	(void)state;
	if (strcmp(pm_options, "tlb-scope=broadcast") != 0)
		return; /* it counts those */
	begin(&w);
	f = pm_alloc(&w.m);
	for (int i = 0; i < 65; i++)
		enter(&w, VA + i * PAGE_SIZE, f, PROT_R, PMAP_UNTRACKED);
	before = invalidations(&w);
	pm_remove(&w.m, &w.p, VA + 100 * PAGE_SIZE, VA + 200 * PAGE_SIZE, true); /* nothing there */
	assert_int_equal(invalidations(&w) - before, 0);
	gather(&w, &g, true);
	pmap_remove(&w.p, vrange(VA, VA + PAGE_SIZE), &g);
	pmap_remove(&w.p, vrange(VA + PAGE_SIZE, VA + 2 * PAGE_SIZE), &g);
	assert_int_equal(g.ranges, 1);
	finish(&w, &g);
	assert_int_equal(invalidations(&w) - before, 2);
	for (int i = 0; i < 2; i++)
		enter(&w, VA + i * PAGE_SIZE, f, PROT_R, PMAP_UNTRACKED);
	before = invalidations(&w);
	pm_remove(&w.m, &w.p, VA, VA + 65 * PAGE_SIZE, true);
	assert_int_equal(invalidations(&w) - before, 1); /* the ASID */
	/* nobody ever ran it: no TLB can know it */
	pmap_init(w.m.ps, &idle, pm_alloc_table(&w.m));
	assert_int_equal(pm_enter(&w.m, &idle, VA, f, PROT_R, PMAP_UNTRACKED), OK);
	before = invalidations(&w);
	pm_exit(&w.m, &idle);
	assert_int_equal(invalidations(&w) - before, 0);
	pm_free(&w.m, f);
	end(&w);
}

/* Pages in a row, of a table that stays: each of them is gone. */
static void test_pages_in_a_row(void **state)
{
	struct world w;
	uint64_t v;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	for (unsigned i = 0; i < 6; i++) {
		enter(&w, VA + i * PAGE_SIZE, f, PROT_R, PMAP_UNTRACKED);
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), HOST_FAULT_NONE);
	}
	pm_remove(&w.m, &w.p, VA + PAGE_SIZE, VA + 5 * PAGE_SIZE, true);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(load(VA + i * PAGE_SIZE, &v), i % 5 ? HOST_FAULT_TRANSLATION : HOST_FAULT_NONE);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	pm_free(&w.m, f);
	end(&w);
}

/* The short way of a copy: what was mapped is in no TLB when its copy is. */
static void test_withdraw(void **state)
{
	struct pmap_leaf leaf;
	uint64_t v, was;
	struct world w;
	pfn_t old, new;

	(void)state;
	begin(&w);
	old = pm_alloc(&w.m);
	new = pm_alloc(&w.m);
	*(uint64_t *)pm_bytes(old) = 1;
	*(uint64_t *)pm_bytes(new) = 2;
	enter(&w, VA, old, PROT_R, 0);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(v, 1);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	assert_true(pmap_leaf_withdraw(&leaf, vaddr(VA), old, &was));
	pmap_leaf_replace(&leaf, vaddr(VA), old, was, new);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(v, 2);
	pm_remove(&w.m, &w.p, VA, VA + BLOCK_SIZE, true);
	pm_free(&w.m, old);
	pm_free(&w.m, new);
	end(&w);
}

static void test_destroy(void **state)
{
	struct world w;
	uint32_t asid;
	uint64_t v;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	enter(&w, VA, f, PROT_R, 0);
	enter(&w, VA + BIT(39), f, PROT_R, 0);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(load(VA + BIT(39), &v), HOST_FAULT_NONE);
	asid = asid_to_flush(&w.p);
	/* page by page, so that the tables stay for pmap_destroy to find */
	pm_remove(&w.m, &w.p, VA, VA + PAGE_SIZE, true);
	pm_remove(&w.m, &w.p, VA + BIT(39), VA + BIT(39) + PAGE_SIZE, true);
	assert_int_equal(atomic_load_relaxed(&w.p.tables), 6);
	assert_int_equal(load(VA, &v), HOST_FAULT_TRANSLATION); /* its walk leaves table entries */
	assert_true(host_walk_holds(w.m.t.m, 0, asid, vaddr(VA), 2));
	pmap_deactivate(w.m.ps);
	{
		struct frame_list tables;

		assert_int_equal(pmap_destroy(&w.p, &tables), 0);
		assert_int_equal(tables.count, 7);
		pm_free_late(&w.m, &tables);
	}
	for (uint32_t level = 0; level < 3; level++)
		assert_false(host_walk_holds(w.m.t.m, 0, asid, vaddr(VA), level));
	pm_free(&w.m, f);
	pm_destroy(&w.m);
}

/* Who gets a right to write back that was used before may use it, whatever the fault that brought it was for. */
static void test_rights_again(void **state)
{
	struct tlb_gather g;
	struct world w;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	enter(&w, VA, f, RW, PMAP_WRITTEN);
	assert_int_equal(store(VA, 5), HOST_FAULT_NONE);
	gather(&w, &g, false);
	pmap_protect(&w.p, vrange(VA, VA + PAGE_SIZE), PROT_R, &g);
	finish(&w, &g);
	assert_int_equal(store(VA, 6), HOST_FAULT_PERMISSION);
	enter(&w, VA, f, RW, 0);
	assert_true(pmap_extract(&w.p, vaddr(VA)).dirty);
	pmap_spurious(&w.p, vaddr(VA));
	assert_int_equal(store(VA, 6), HOST_FAULT_NONE);
	pm_remove(&w.m, &w.p, VA, VA + PAGE_SIZE, true);
	pm_free(&w.m, f);
	end(&w);
}

/* What is mapped goes with the tables: noted, out of reverse maps and TLBs. */
static void test_destroy_mapped(void **state)
{
	struct frame_list tables;
	struct world w;
	struct pmap other;
	uint32_t asid;
	uint64_t v;
	pfn_t f, shared, plain;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	shared = pm_alloc(&w.m);
	plain = pm_alloc(&w.m);
	pmap_init(w.m.ps, &other, pm_alloc_table(&w.m));
	enter(&w, VA, f, RW, PMAP_WRITTEN);
	enter(&w, VA + 9 * PAGE_SIZE, shared, PROT_R, 0);
	enter(&w, VA + BIT(39) + 511 * PAGE_SIZE, shared, PROT_R, 0);
	enter(&w, VA + BLOCK_SIZE, plain, PROT_R, PMAP_UNTRACKED);
	assert_int_equal(pm_enter(&w.m, &other, VA, shared, PROT_R, 0), OK);
	assert_int_equal(pmap_page_mappings(w.m.ps, shared), 3);
	assert_int_equal(load(VA, &v), HOST_FAULT_NONE);
	assert_int_equal(load(VA + BIT(39) + 511 * PAGE_SIZE, &v), HOST_FAULT_NONE);
	asid = asid_to_flush(&w.p);
	assert_true(host_tlb_holds(w.m.t.m, 0, asid, vaddr(VA)));
	assert_true(host_tlb_holds(w.m.t.m, 0, asid, vaddr(VA + BIT(39) + 511 * PAGE_SIZE)));
	pmap_deactivate(w.m.ps);
	assert_int_equal(pmap_destroy(&w.p, &tables), 4);
	assert_int_equal(tables.count, 8); /* the root, two and two above three leaf tables */
	assert_false(host_tlb_holds(w.m.t.m, 0, asid, vaddr(VA)));
	assert_false(host_tlb_holds(w.m.t.m, 0, asid, vaddr(VA + BIT(39) + 511 * PAGE_SIZE)));
	for (uint32_t level = 0; level < 3; level++)
		assert_false(host_walk_holds(w.m.t.m, 0, asid, vaddr(VA), level));
	assert_int_equal(pmap_page_mappings(w.m.ps, f), 0);
	assert_int_equal(pmap_page_mappings(w.m.ps, shared), 1);
	assert_true(pmap_page_modified(w.m.ps, f, true));
	assert_false(pmap_page_modified(w.m.ps, shared, true));
	assert_true(pmap_page_referenced(w.m.ps, shared, true));
	pm_free_late(&w.m, &tables);
	pm_exit(&w.m, &other);
	assert_int_equal(pmap_page_mappings(w.m.ps, shared), 0);
	pm_free(&w.m, f);
	pm_free(&w.m, shared);
	pm_free(&w.m, plain);
	pm_destroy(&w.m);
}

static void test_misuse_panics(void **state)
{
	struct pmap_leaf leaf;
	struct tlb_gather g;
	struct world w;
	pfn_t f;

	(void)state;
	begin(&w);
	f = pm_alloc(&w.m);
	enter(&w, VA, f, RW, 0);
	gather(&w, &g, true);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK);
	EXPECT_PANIC("held_count", gather_flush(&g));
	EXPECT_PANIC("BUSY_BREAK", pmap_leaf_abandon(&leaf, vaddr(VA)));
	EXPECT_PANIC("assertion", pmap_page_reset(w.m.ps, f));
	/* pmap_check sees a count that is off by one, a line that is said to be empty, and a mapping that the reverse map lacks */
	table_fill_locked(&leaf, VA);
	EXPECT_PANIC("live", pmap_check(&w.p));
	table_empty_locked(&leaf, 1);
	table_line_empty_locked(&leaf, VA);
	EXPECT_PANIC("lines", pmap_check(&w.p));
	table_empty_locked(&leaf, 1);
	table_fill_locked(&leaf, VA);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	rmap_drop(w.m.ps, f, (struct rmap_entry){ &w.p, VA }, PTE_AP_RO);
	EXPECT_PANIC("rmap_count", pmap_check(&w.p));
	assert_int_equal(rmap_add(w.m.ps, f, (struct rmap_entry){ &w.p, VA }, false, NULL, NULL), OK);
	EXPECT_PANIC("epoch_inside", assert_int_equal(pmap_leaf_lock(&w.p, vaddr(VA), NULL, &leaf), OK));
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	pm_free(&w.m, f);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enter_and_dirty), cmocka_unit_test(test_withdraw), cmocka_unit_test(test_pages_in_a_row),
		cmocka_unit_test(test_stock),
		cmocka_unit_test(test_set_errors),
		cmocka_unit_test(test_remove_unlinks),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_remove_of_live_entries),
		cmocka_unit_test(test_protect),
		cmocka_unit_test(test_hardware_dirty),
		cmocka_unit_test(test_flush_is_small),
		cmocka_unit_test(test_destroy),
		cmocka_unit_test(test_destroy_mapped),
		cmocka_unit_test(test_rights_again),
		cmocka_unit_test(test_misuse_panics),
	};

	return run_all_scopes(tests);
}
