/* SPDX-License-Identifier: BSD-2-Clause */
/* test/pmap_block.c: 2 MiB by one descriptor (armv8/block.c), one CPU at a time. Races: explore/scenario_vm_block.c. */
#include <stdlib.h>

#include "pmap_user.h"

#define FRAMES (BLOCK_SIZE / PAGE_SIZE)
#define LAST (FRAMES - 1)
#define AT (BIT(40) + BLOCK_SIZE * 3)

static struct world w;
static pfn_t first; /* of FRAMES in a row, aligned */

static int setup_with(const struct host_config *config)
{
	pfn_t skipped[FRAMES];
	unsigned n = 0;

	begin_with(&w, config);
	/* The allocator hands out ascending frames at first. */
	for (first = pm_alloc(&w.m); first.fn % FRAMES; first = pm_alloc(&w.m))
		skipped[n++] = first;
	for (unsigned i = 1; i < FRAMES; i++)
		assert_int_equal(pm_alloc(&w.m).fn, first.fn + i);
	while (n > 0)
		pm_free(&w.m, skipped[--n]);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(NULL);
}

static int setup_dirty(void **state)
{
	static const struct host_config config = { .ncpus = 2, .ram = 16 << 20, .seed = TEST_SEED, .hw_access = true, .hw_dirty = true };

	(void)state;
	return setup_with(&config);
}

/* Each fill of a TLB is compared with all the others. */
static int setup_judged(void **state)
{
	static const struct host_config config = { .ncpus = 2, .ram = 16 << 20, .seed = TEST_SEED, .break_check = 1, .prefetch = UINT32_MAX };

	(void)state;
	return setup_with(&config);
}

static int teardown(void **state)
{
	(void)state;
	pmap_check(&w.p);
	pm_remove(&w.m, &w.p, 0, BIT(48), true);
	for (unsigned i = 0; i < FRAMES; i++) {
		assert_int_equal(pmap_page_mappings(w.m.ps, pfn(first.fn + i)), 0);
		pm_free(&w.m, pfn(first.fn + i));
	}
	end(&w);
	return 0;
}

static pfn_t frame(unsigned i) { return pfn(first.fn + i); }
static uint64_t va(unsigned i) { return AT + i * PAGE_SIZE; }

static enum error set_block_from(struct pmap_stock *stock)
{
	struct pmap_leaf leaf;
	enum error e;

	epoch_enter(&w.m.epoch);
	e = pmap_leaf_lock(&w.p, vaddr(AT), stock, &leaf);
	if (e == OK) {
		e = pmap_leaf_set_block(&leaf, first, vaddr(va(5)), stock);
		pmap_leaf_unlock(&leaf);
	}
	epoch_leave(&w.m.epoch);
	return e;
}

static enum error set_block(void)
{
	struct pmap_stock stock = { .chunk = PFN_NONE };
	enum error e;

	pm_fill(&w.m, &stock);
	e = set_block_from(&stock);
	if (e == ERR_STOCK) {
		pm_fill(&w.m, &stock);
		e = set_block_from(&stock);
	}
	pm_empty(&w.m, &stock);
	return e;
}

static bool is_block(void)
{
	bool is = pmap_extract(&w.p, vaddr(va(7))).block;

	for (unsigned i = 0; i < FRAMES; i++)
		assert_int_equal(pmap_extract(&w.p, vaddr(va(i))).block, is);
	return is;
}

/* Page i is mapped with these rights: its own frame, by tables and TLB. */
static void assert_page(unsigned i, enum prot prot)
{
	struct pmap_pte pte = pmap_extract(&w.p, vaddr(va(i)));
	uint64_t *bytes = pm_bytes(frame(i)), x;

	assert_int_equal(pte.state, PMAP_VALID);
	assert_int_equal(pte.frame.fn, frame(i).fn);
	assert_int_equal(pte.prot, prot);
	assert_true(pte.dirty);
	bytes[3] = i + 1;
	assert_int_equal(load(va(i) + 24, &x), HOST_FAULT_NONE);
	assert_int_equal(x, i + 1);
	assert_int_equal(store(va(i) + 32, i), prot & PROT_W ? HOST_FAULT_NONE : HOST_FAULT_PERMISSION);
}

static void assert_pages(enum prot prot)
{
	for (unsigned i = 0; i < FRAMES; i++)
		assert_page(i, prot);
}

static bool locks_without_stock(void)
{
	struct pmap_leaf leaf;
	enum error e;

	epoch_enter(&w.m.epoch);
	e = pmap_leaf_lock(&w.p, vaddr(va(1)), NULL, &leaf);
	if (e == OK)
		pmap_leaf_unlock(&leaf);
	epoch_leave(&w.m.epoch);
	assert_true(e == OK || e == ERR_BUSY);
	return e == OK;
}

static bool room(uint64_t at)
{
	bool is;

	epoch_enter(&w.m.epoch);
	is = pmap_block_room(&w.p, vaddr(at));
	epoch_leave(&w.m.epoch);
	return is;
}

static void protect(uint64_t start, uint64_t stop, enum prot prot)
{
	struct tlb_gather g;

	gather_init(&g, &w.p);
	pmap_protect(&w.p, vrange(start, stop), prot, &g);
	gather_flush(&g);
	pm_free_late(&w.m, &g.unlinked);
}

/* A block is 512 mappings, and one TLB entry. */
static void test_set(void **state)
{
	uint64_t x;

	(void)state;
	assert_true(room(AT)); /* no table */
	assert_int_equal(load(va(0), &x), HOST_FAULT_TRANSLATION);
	assert_int_equal(set_block(), OK);
	assert_false(room(AT));
	assert_true(is_block());
	assert_pages(RW);
	assert_int_equal(pmap_resident(&w.p), FRAMES);
	for (unsigned i = 0; i < FRAMES; i++)
		assert_int_equal(pmap_page_mappings(w.m.ps, frame(i)), 1);
	pmap_check(&w.p);
	assert_true(is_block()); /* looking has changed nothing */
	assert_false(locks_without_stock());
	assert_int_equal(set_block(), ERR_EXISTS);
	assert_true(is_block());
}

/* A table that was there, with walks cached, and a page that was mapped and unmapped. */
static void test_set_over_a_table(void **state)
{
	pfn_t other = pm_alloc(&w.m);
	uint64_t x;

	(void)state;
	enter(&w, va(9), other, RW, PMAP_WRITTEN);
	assert_int_equal(load(va(9), &x), HOST_FAULT_NONE);
	assert_false(room(AT));
	assert_int_equal(set_block(), ERR_EXISTS);
	assert_false(is_block());
	pm_remove(&w.m, &w.p, va(9), va(10), false);
	pm_free(&w.m, other);
	assert_true(room(AT));
	assert_int_equal(load(va(8), &x), HOST_FAULT_TRANSLATION); /* by the walk cache */
	assert_int_equal(set_block(), OK);
	assert_pages(RW);
	assert_true(is_block());
}

/* Whatever changes a page splits, and the others stay as they are. */
static void test_split(void **state)
{
	struct pmap_leaf leaf;
	struct tlb_gather g;
	struct pmap_stock stock = { .chunk = PFN_NONE };

	(void)state;
	for (unsigned how = 0; how < 6; how++) {
		assert_int_equal(set_block(), OK);
		assert_page(0, RW); /* in the TLB */
		assert_page(300, RW);
		switch (how) {
		case 0: /* munmap */
			pm_remove(&w.m, &w.p, va(3), va(4), true);
			break;
		case 1: /* discard */
			pm_remove(&w.m, &w.p, va(3), va(4), false);
			break;
		case 2: /* mprotect */
			protect(va(3), va(4), PROT_R);
			assert_page(3, PROT_R);
			break;
		case 3: /* copy on write */
			pm_fill(&w.m, &stock);
			gather_init(&g, &w.p);
			epoch_enter(&w.m.epoch);
			assert_int_equal(pmap_leaf_lock(&w.p, vaddr(va(3)), &stock, &leaf), OK);
			pmap_leaf_break(&leaf, vaddr(va(3)), &g);
			pmap_leaf_unlock(&leaf);
			epoch_leave(&w.m.epoch);
			gather_flush(&g);
			epoch_enter(&w.m.epoch);
			assert_int_equal(pmap_leaf_lock(&w.p, vaddr(va(3)), &stock, &leaf), OK);
			pmap_leaf_abandon(&leaf, vaddr(va(3)));
			pmap_leaf_unlock(&leaf);
			epoch_leave(&w.m.epoch);
			pm_empty(&w.m, &stock);
			break;
		case 4: /* by the frame */
			pmap_page_remove_all(w.m.ps, frame(3));
			break;
		default:
			assert_true(pmap_page_modified(w.m.ps, frame(3), true));
			/* to be noted, by hardware that can */
			assert_int_equal(store(va(3), 1), w.m.ps->hw_dirty ? HOST_FAULT_NONE : HOST_FAULT_PERMISSION);
			break;
		}
		assert_false(is_block());
		pmap_check(&w.p);
		for (unsigned i = 0; i < FRAMES; i++)
			if (i != 3)
				assert_page(i, RW);
		if (how == 0 || how == 1 || how == 3 || how == 4)
			assert_int_equal(pmap_extract(&w.p, vaddr(va(3))).state, PMAP_EMPTY);
		pm_remove(&w.m, &w.p, AT, AT + BLOCK_SIZE, how & 1);
		assert_true(room(AT));
	}
	assert_int_equal(set_block(), OK);
	assert_true(is_block());
	assert_false(locks_without_stock());
	protect(va(3), va(4), PROT_R);
	assert_true(locks_without_stock());
}

/* All of it goes at once. */
static void test_remove(void **state)
{
	uint64_t x;

	(void)state;
	for (unsigned exclusive = 0; exclusive < 2; exclusive++) {
		assert_int_equal(set_block(), OK);
		assert_pages(RW);
		pm_remove(&w.m, &w.p, AT - BLOCK_SIZE, AT + 2 * BLOCK_SIZE, exclusive);
		for (unsigned i = 0; i < FRAMES; i++) {
			assert_int_equal(load(va(i), &x), HOST_FAULT_TRANSLATION);
			assert_int_equal(pmap_page_mappings(w.m.ps, frame(i)), 0);
		}
		assert_int_equal(pmap_resident(&w.p), 0);
		pmap_check(&w.p);
	}
}

/* Rights taken from the whole window stay with the block; whoever gives them back splits it. */
static void test_protect(void **state)
{
	(void)state;
	assert_int_equal(set_block(), OK);
	assert_pages(RW);
	protect(AT, AT + BLOCK_SIZE, PROT_R);
	assert_true(is_block());
	assert_pages(PROT_R);
	pmap_check(&w.p);
	protect(AT, AT + BLOCK_SIZE, PROT_R);
	assert_true(is_block());
	enter(&w, va(4), frame(4), RW, PMAP_WRITTEN);
	assert_false(is_block());
	pmap_spurious(&w.p, vaddr(va(4)));
	assert_page(4, RW);
	assert_page(3, PROT_R);
	assert_page(5, PROT_R);
	pmap_check(&w.p);
}

/* fork's limit is over a block as over a table, and what is moved down from it limits the block. */
static void test_limit(void **state)
{
	struct tlb_gather g;

	(void)state;
	assert_int_equal(set_block(), OK);
	assert_pages(RW);
	gather_init(&g, &w.p);
	pmap_limit_writes(&w.p, vrange(AT, AT + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&w.m, &g.unlinked);
	assert_true(is_block());
	assert_pages(PROT_R);
	epoch_enter(&w.m.epoch);
	assert_int_equal(pmap_lift_limit(&w.p, vaddr(va(0)), NULL), OK);
	epoch_leave(&w.m.epoch);
	assert_true(is_block());
	assert_pages(PROT_R);
	pmap_check(&w.p);
	protect(va(8), va(9), PROT_R); /* splits, and keeps the limit of the others */
	assert_false(is_block());
	assert_pages(PROT_R);
	enter(&w, va(6), frame(6), RW, PMAP_WRITTEN);
	pmap_spurious(&w.p, vaddr(va(6)));
	assert_page(6, RW);
	assert_page(7, PROT_R);
}

/* The first block of a GiB takes a frame more than its tables. */
static void test_stock(void **state)
{
	struct pmap_stock stock = { .chunk = PFN_NONE };

	(void)state;
	pm_fill(&w.m, &stock);
	assert_int_equal(stock.tables, PMAP_STOCK_TABLES);
	assert_int_equal(set_block_from(&stock), ERR_STOCK);
	assert_int_equal(stock.missing, 1);
	assert_false(is_block());
	assert_int_equal(pmap_resident(&w.p), 0);
	assert_int_equal(load(va(0), &(uint64_t){0}), HOST_FAULT_TRANSLATION);
	pmap_check(&w.p);
	pm_empty(&w.m, &stock);
	assert_int_equal(set_block(), OK);
	pm_remove(&w.m, &w.p, AT, AT + BLOCK_SIZE, true);
	stock.table[stock.tables++] = pm_alloc_table(&w.m); /* the leaf table's: it was unlinked */
	assert_int_equal(set_block_from(&stock), OK);
	assert_int_equal(stock.tables, 0);
	assert_true(is_block());
}

static void become(uint32_t cpu)
{
	host_detach(); /* its space stays loaded */
	host_attach(w.m.t.m, cpu);
	pmap_activate(&w.p);
}

/* What another CPU has cached, of the table or of the block, is gone before anything else is there. */
static void test_cached_by_another(void **state)
{
	pfn_t other = pm_alloc(&w.m);
	uint64_t x;

	(void)state;
	enter(&w, va(9), other, RW, PMAP_WRITTEN);
	become(1);
	become(0);
	assert_int_equal(load(va(9), &x), HOST_FAULT_NONE); /* CPU 0 has the table in its walk cache, and CPU 1 has nothing */
	pm_remove(&w.m, &w.p, va(9), va(10), true);
	pm_free(&w.m, other);
	assert_int_equal(set_block(), OK);
	become(1);
	assert_page(9, RW);
	become(0);
	assert_page(9, RW);
	protect(AT, AT + BLOCK_SIZE, PROT_R);
	become(1);
	assert_page(9, PROT_R); /* CPU 1 has the block, and CPU 0 has nothing */
	become(0);
	enter(&w, va(4), frame(4), RW, PMAP_WRITTEN); /* a right more: nobody else would flush */
	assert_false(is_block());
	assert_page(400, PROT_R);
	become(1);
	assert_page(400, PROT_R);
	assert_page(9, PROT_R);
	pmap_deactivate(w.m.ps);
	become(0);
	assert_int_equal(host_offences(w.m.t.m, HOST_OFFENCES), 0);
}

/* The space ends with a block in it. */
static void test_destroy(void **state)
{
	(void)state;
	assert_int_equal(set_block(), OK);
	assert_pages(RW);
	pm_exit(&w.m, &w.p);
	pm_drain(&w.m);
	for (unsigned i = 0; i < FRAMES; i++)
		assert_int_equal(pmap_page_mappings(w.m.ps, frame(i)), 0);
	/* The same frames for another one, whose level-2 table was a table of this one: it knows no block. */
	pmap_init(w.m.ps, &w.p, pm_alloc_table(&w.m));
	pmap_activate(&w.p);
	assert_int_equal(set_block(), OK);
	assert_pages(RW);
}

/* Again and again, with so few frames that each becomes all of what there is: none keeps anything of what it was. */
static void test_frames_again(void **state)
{
	uint64_t left = pm_free_count(&w.m) - 9;
	pfn_t *kept = pm_zalloc(left * sizeof *kept);

	(void)state;
	for (uint64_t i = 0; i < left; i++)
		kept[i] = pm_alloc(&w.m);
	for (unsigned turn = 0; turn < 20; turn++) {
		if (turn % 3) /* else another order */
			assert_int_equal(set_block(), OK);
		else
			enter(&w, va(1), frame(1), RW, PMAP_WRITTEN);
		pmap_check(&w.p);
		pm_exit(&w.m, &w.p);
		pm_drain(&w.m);
		pmap_init(w.m.ps, &w.p, pm_alloc_table(&w.m));
		pmap_activate(&w.p);
	}
	for (uint64_t i = 0; i < left; i++)
		pm_free(&w.m, kept[i]);
	free(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_over_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup_dirty, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protect, setup_dirty, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cached_by_another, setup_judged, teardown),
		cmocka_unit_test_setup_teardown(test_destroy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_again, setup, teardown),
	};

	return run_all_scopes(tests);
}
