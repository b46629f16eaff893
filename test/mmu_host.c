/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/mmu_host.c: the simulated MMU translates as the architecture says, and
 * its TLB keeps what it was not told to drop. What it reports: mmu_judge.c.
 */
#include "tables.h"

#define VA UINT64_C(0x123456789000)
#define ASID 5u

static struct host_fault fault;

static uint64_t peek(uint64_t va)
{
	uint64_t v = 0;

	assert_int_equal(host_user_load64(vaddr(va), &v, &fault), OK);
	return v;
}

static void expect_fault(enum error e, enum host_fault_kind kind, unsigned level)
{
	assert_int_equal(e, ERR_FAULT);
	assert_int_equal(fault.kind, kind);
	assert_int_equal(fault.level, level);
}

static enum error load_fault(uint64_t va)
{
	uint64_t v;

	return host_user_load64(vaddr(va), &v, &fault);
}

static enum error store_fault(uint64_t va) { return host_user_store64(vaddr(va), 1, &fault); }
static enum error exec_fault(uint64_t va) { return host_user_exec(vaddr(va), NULL, &fault); }

/* A machine with a root table loaded on CPU 0. prefetch off: what is cached is what was asked for. */
struct scene {
	struct test_machine t;
	paddr_t root;
};

/* These tests go by entries that tables have left behind, on purpose. */
static void report(void *context, enum host_offence what, const char *text)
{
	(void)context;
	if (what != HOST_STALE)
		panic("%s", text);
}

static void scene_open(struct scene *s, struct host_config c)
{
	c.ops.report = report;
	c.ncpus = 2;
	c.ram = 16 << 20;
	c.seed = TEST_SEED;
	c.junk = true;
	c.prefetch = UINT32_MAX;
	c.break_check = 1;
	test_machine_init(&s->t, &c);
	s->root = test_frame(&s->t);
	mmu_load_user(s->root, ASID);
}

static void scene_close(struct scene *s) { test_machine_destroy(&s->t); }

static paddr_t marked_frame(struct scene *s, uint64_t mark)
{
	paddr_t f = test_frame(&s->t);

	*(uint64_t *)phys_to_virt(f) = mark;
	return f;
}

static void walks_to_pages_and_blocks(void **state)
{
	struct scene s;
	paddr_t f;
	uint64_t v;

	(void)state;
	scene_open(&s, (struct host_config){ 0 });
	expect_fault(load_fault(VA), HOST_FAULT_TRANSLATION, 0);
	(void)table_slot(&s.t, s.root, VA, 2);
	expect_fault(load_fault(VA), HOST_FAULT_TRANSLATION, 2);
	f = marked_frame(&s, 77);
	table_map(&s.t, s.root, VA, f, D_DATA);
	assert_int_equal(peek(VA), 77);
	assert_int_equal(host_user_store64(vaddr(VA + 4088), 99, &fault), OK);
	assert_int_equal(((uint64_t *)phys_to_virt(f))[511], 99);
	assert_int_equal(host_user_add64(vaddr(VA + 4088), 2, &v, &fault), OK);
	assert_int_equal(v, 99);
	assert_int_equal(peek(VA + 4088), 101);
	expect_fault(load_fault(VA + PAGE_SIZE), HOST_FAULT_TRANSLATION, 3);

	/* a 2 MiB block: the last word of the second 2 MiB of RAM, and a page descriptor's bits of the offset */
	mmu_pte_store(table_slot(&s.t, s.root, VA + BLOCK_SIZE, 2), (HOST_RAM_START + BLOCK_SIZE) | D_DATA | D_BLOCK);
	*(uint64_t *)phys_to_virt(paddr(HOST_RAM_START + 2 * BLOCK_SIZE - 8)) = 1234;
	assert_int_equal(peek(round_down(VA, BLOCK_SIZE) + 2 * BLOCK_SIZE - 8), 1234);

	/* not a user address, not a word */
	expect_fault(load_fault(UINT64_C(1) << 48), HOST_FAULT_ADDRESS, 0);
	expect_fault(load_fault(UINT64_MAX - 7), HOST_FAULT_ADDRESS, 0);
	expect_fault(load_fault(VA + 4), HOST_FAULT_ALIGNMENT, 0);
	mmu_clear_user();
	expect_fault(load_fault(VA), HOST_FAULT_TRANSLATION, 0);
	scene_close(&s);
}

static void bytes_cross_pages_and_stop_at_a_fault(void **state)
{
	struct scene s;
	char out[PAGE_SIZE + 50], in[PAGE_SIZE + 50];

	(void)state;
	scene_open(&s, (struct host_config){ 0 });
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	table_map(&s.t, s.root, VA + PAGE_SIZE, test_frame(&s.t), D_DATA);
	for (unsigned i = 0; i < sizeof out; i++)
		out[i] = (char)(i * 7 + i / 256);
	for (unsigned odd = 0; odd < 9; odd++) {
		assert_int_equal(host_user_write(vaddr(VA + odd), out, sizeof out, &fault), OK);
		assert_int_equal(host_user_read(vaddr(VA + odd), in, sizeof in, &fault), OK);
		assert_memory_equal(in, out, sizeof in);
	}
	memset(in, 0, sizeof in);
	assert_int_equal(host_user_read(vaddr(VA + 2 * PAGE_SIZE - 60), in, sizeof in, &fault), ERR_FAULT);
	assert_int_equal(fault.va, VA + 2 * PAGE_SIZE);
	assert_int_equal(fault.access, PROT_R);
	assert_int_equal(in[60], 0);
	scene_close(&s);
}

static void refuses_what_descriptors_forbid(void **state)
{
	struct scene s;
	paddr_t f;
	struct pte *above;
	uint64_t link;

	(void)state;
	scene_open(&s, (struct host_config){ 0 });
	f = test_frame(&s.t);
	mmu_sync_icache(f);
	table_map(&s.t, s.root, VA, f, D_DATA | D_RO);
	peek(VA);
	expect_fault(store_fault(VA), HOST_FAULT_PERMISSION, 3);
	assert_int_equal(fault.access, PROT_W);
	expect_fault(exec_fault(VA), HOST_FAULT_PERMISSION, 3);
	table_map(&s.t, s.root, VA + PAGE_SIZE, f, D_DATA & ~D_USER);
	expect_fault(load_fault(VA + PAGE_SIZE), HOST_FAULT_PERMISSION, 3);
	expect_fault(store_fault(VA + PAGE_SIZE), HOST_FAULT_PERMISSION, 3);
	table_map(&s.t, s.root, VA + 2 * PAGE_SIZE, f, D_DATA & ~D_UXN);
	assert_int_equal(exec_fault(VA + 2 * PAGE_SIZE), OK);
	assert_int_equal(store_fault(VA + 2 * PAGE_SIZE), OK);
	mmu_sync_icache(f);

	/* the same by the tables above, one restriction at a time */
	above = table_slot(&s.t, s.root, VA, 2);
	link = mmu_pte_load(above);
	mmu_pte_store(above, link | D_RO_BELOW);
	table_flush(ASID, VA + 2 * PAGE_SIZE, false);
	peek(VA + 2 * PAGE_SIZE);
	expect_fault(store_fault(VA + 2 * PAGE_SIZE), HOST_FAULT_PERMISSION, 3);
	assert_int_equal(exec_fault(VA + 2 * PAGE_SIZE), OK);
	mmu_pte_store(above, link | D_NO_EL0_BELOW);
	table_flush(ASID, VA + 2 * PAGE_SIZE, false);
	expect_fault(load_fault(VA + 2 * PAGE_SIZE), HOST_FAULT_PERMISSION, 3);
	mmu_pte_store(above, link);
	table_flush(ASID, VA + 2 * PAGE_SIZE, false);
	above = table_slot(&s.t, s.root, VA, 0);
	mmu_pte_store(above, mmu_pte_load(above) | D_UXN_BELOW);
	table_flush(ASID, VA + 2 * PAGE_SIZE, false);
	peek(VA + 2 * PAGE_SIZE);
	expect_fault(exec_fault(VA + 2 * PAGE_SIZE), HOST_FAULT_PERMISSION, 3);
	scene_close(&s);
}

static void access_flag(void **state)
{
	struct scene s;
	struct pte *p;

	(void)state;
	for (int hw = 0; hw <= 1; hw++) {
		scene_open(&s, (struct host_config){ .hw_access = hw });
		table_map(&s.t, s.root, VA, marked_frame(&s, 3), D_DATA & ~D_AF);
		p = table_slot(&s.t, s.root, VA, 3);
		if (hw) {
			assert_int_equal(peek(VA), 3);
			assert_true(mmu_pte_load(p) & D_AF);
		} else {
			expect_fault(load_fault(VA), HOST_FAULT_ACCESS_FLAG, 3);
			assert_false(host_tlb_holds(s.t.m, 0, ASID, vaddr(VA)));
			assert_false(mmu_pte_load(p) & D_AF);
			mmu_pte_or(p, D_AF); /* what was never cached needs no flush */
			assert_int_equal(peek(VA), 3);
		}
		scene_close(&s);
	}
}

static void dirty_state(void **state)
{
	struct scene s;
	struct pte *p, *above;

	(void)state;
	scene_open(&s, (struct host_config){ .hw_dirty = true });
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA | D_RO | D_DBM);
	p = table_slot(&s.t, s.root, VA, 3);
	above = table_slot(&s.t, s.root, VA, 2);
	mmu_pte_or(above, D_RO_BELOW);
	peek(VA);
	expect_fault(store_fault(VA), HOST_FAULT_PERMISSION, 3); /* APTable wins over DBM */
	assert_true(mmu_pte_load(p) & D_RO);
	mmu_pte_and(above, ~D_RO_BELOW);
	table_flush(ASID, VA, false);
	peek(VA);
	assert_true(mmu_pte_load(p) & D_RO);
	assert_int_equal(store_fault(VA), OK); /* through a clean entry in the TLB */
	assert_false(mmu_pte_load(p) & D_RO);
	/* the write does not trust a clean entry: the descriptor is gone by now */
	table_map(&s.t, s.root, VA + PAGE_SIZE, test_frame(&s.t), D_DATA | D_RO | D_DBM);
	peek(VA + PAGE_SIZE);
	mmu_pte_store(table_slot(&s.t, s.root, VA + PAGE_SIZE, 3), 0);
	expect_fault(store_fault(VA + PAGE_SIZE), HOST_FAULT_TRANSLATION, 3);
	scene_close(&s);

	scene_open(&s, (struct host_config){ .hw_dirty = false });
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA | D_RO | D_DBM);
	expect_fault(store_fault(VA), HOST_FAULT_PERMISSION, 3);
	scene_close(&s);
}

static void keeps_entries_until_told(void **state)
{
	struct scene s;
	struct pte *p;

	(void)state;
	for (enum host_tlbi when = HOST_TLBI_NOW; when <= HOST_TLBI_LATE; when++) {
		scene_open(&s, (struct host_config){ .tlbi = when });
		table_map(&s.t, s.root, VA, marked_frame(&s, 11), D_DATA);
		p = table_slot(&s.t, s.root, VA, 3);
		assert_int_equal(peek(VA), 11);
		mmu_pte_store(p, 0);
		mmu_dsb_ish();
		assert_int_equal(peek(VA), 11); /* stale, and rightly so */
		mmu_tlbi_page(ASID + 1, vaddr(VA), true);
		mmu_tlbi_page(ASID, vaddr(VA + PAGE_SIZE), true);
		mmu_dsb_ish();
		assert_int_equal(peek(VA), 11); /* not what was named */
		mmu_tlbi_page(ASID, vaddr(VA), true);
		if (when == HOST_TLBI_LATE)
			assert_int_equal(peek(VA), 11);
		mmu_dsb_ish();
		expect_fault(load_fault(VA), HOST_FAULT_TRANSLATION, 3);
		scene_close(&s);
	}
	/* a refusal may be stale too: rights were added without a flush */
	scene_open(&s, (struct host_config){ 0 });
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA | D_RO);
	peek(VA);
	mmu_pte_and(table_slot(&s.t, s.root, VA, 3), ~D_RO);
	expect_fault(store_fault(VA), HOST_FAULT_PERMISSION, 3);
	mmu_tlbi_local_page(ASID, vaddr(VA));
	assert_int_equal(store_fault(VA), OK);
	scene_close(&s);
}

static void invalidates_what_it_should(void **state)
{
	struct scene s;
	struct host_machine *m;

	(void)state;
	scene_open(&s, (struct host_config){ .range_tlbi = true });
	m = s.t.m;
	for (unsigned i = 0; i < 40; i++) {
		table_map(&s.t, s.root, VA + i * PAGE_SIZE, test_frame(&s.t), D_DATA);
		peek(VA + i * PAGE_SIZE);
	}
	mmu_tlbi_range(ASID, vaddr(VA + PAGE_SIZE), npages(3), true);
	mmu_tlbi_range(ASID, vaddr(VA + 10 * PAGE_SIZE), npages(20), true);
	mmu_dsb_ish();
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(host_tlb_holds(m, 0, ASID, vaddr(VA + i * PAGE_SIZE)), !((i >= 1 && i < 4) || (i >= 10 && i < 30)));
	/* a page of a block takes the block */
	mmu_pte_store(table_slot(&s.t, s.root, VA + 2 * BLOCK_SIZE, 2), (HOST_RAM_START + BLOCK_SIZE) | D_DATA | D_BLOCK);
	peek(VA + 2 * BLOCK_SIZE);
	assert_true(host_tlb_holds(m, 0, ASID, vaddr(VA + 2 * BLOCK_SIZE)));
	mmu_tlbi_page(ASID, vaddr(round_down(VA + 2 * BLOCK_SIZE, BLOCK_SIZE)), true);
	mmu_dsb_ish();
	assert_false(host_tlb_holds(m, 0, ASID, vaddr(VA + 2 * BLOCK_SIZE)));
	/* by ASID, both ways */
	mmu_tlbi_asid(ASID + 1);
	mmu_dsb_ish();
	assert_true(host_tlb_holds(m, 0, ASID, vaddr(VA)));
	mmu_tlbi_asid(ASID);
	mmu_dsb_ish();
	assert_false(host_tlb_holds(m, 0, ASID, vaddr(VA)));
	assert_false(host_walk_holds(m, 0, ASID, vaddr(VA), 0));
	peek(VA);
	mmu_tlbi_local_all();
	assert_false(host_tlb_holds(m, 0, ASID, vaddr(VA)));
	scene_close(&s);
}

static void caches_tables_too(void **state)
{
	struct scene s;
	struct pte *l2;
	paddr_t other;

	(void)state;
	scene_open(&s, (struct host_config){ 0 });
	table_map(&s.t, s.root, VA, marked_frame(&s, 21), D_DATA);
	peek(VA);
	for (unsigned level = 0; level <= 2; level++)
		assert_true(host_walk_holds(s.t.m, 0, ASID, vaddr(VA), level));
	/* another leaf table takes the place of the first; a last-level flush leaves the walk where it was */
	l2 = table_slot(&s.t, s.root, VA, 2);
	other = test_frame(&s.t);
	((struct pte *)phys_to_virt(other))[VA >> 12 & 511] = (struct pte){ { marked_frame(&s, 22).pa | D_DATA | D_PAGE } };
	mmu_pte_store(l2, 0);
	table_flush(ASID, VA, true);
	mmu_pte_store(l2, other.pa | D_TABLE);
	assert_int_equal(peek(VA), 21);
	mmu_pte_store(l2, 0);
	table_flush(ASID, VA, false);
	expect_fault(load_fault(VA), HOST_FAULT_TRANSLATION, 2);
	mmu_pte_store(l2, other.pa | D_TABLE);
	assert_int_equal(peek(VA), 22);
	scene_close(&s);
}

static void tags_by_asid(void **state)
{
	struct scene s;
	paddr_t root2;

	(void)state;
	scene_open(&s, (struct host_config){ .asid_bits = 4 });
	assert_int_equal(mmu_features()->asid_bits, 4);
	root2 = test_frame(&s.t);
	table_map(&s.t, s.root, VA, marked_frame(&s, 31), D_DATA);
	table_map(&s.t, root2, VA, marked_frame(&s, 32), D_DATA);
	for (int i = 0; i < 3; i++) {
		mmu_load_user(s.root, ASID);
		assert_int_equal(peek(VA), 31);
		mmu_load_user(root2, ASID + 1);
		assert_int_equal(peek(VA), 32);
	}
	assert_true(host_tlb_holds(s.t.m, 0, ASID, vaddr(VA)));
	assert_true(host_tlb_holds(s.t.m, 0, ASID + 1, vaddr(VA)));
	EXPECT_PANIC("asid", mmu_load_user(s.root, 16));
	EXPECT_PANIC("range_tlbi", mmu_tlbi_range(ASID, vaddr(VA), npages(1), true));
	assert_int_equal(host_offences(s.t.m, HOST_OFFENCES), 0);
	scene_close(&s);
}

static void evicts_only_when_full(void **state)
{
	struct scene s;
	unsigned held = 0;
	struct host_stats before, after;

	(void)state;
	scene_open(&s, (struct host_config){ .tlb_entries = 8 });
	for (unsigned i = 0; i < 12; i++) {
		table_map(&s.t, s.root, VA + i * PAGE_SIZE, test_frame(&s.t), D_DATA);
		peek(VA + i * PAGE_SIZE);
		if (i < 8)
			for (unsigned j = 0; j <= i; j++)
				assert_true(host_tlb_holds(s.t.m, 0, ASID, vaddr(VA + j * PAGE_SIZE)));
	}
	for (unsigned i = 0; i < 12; i++)
		held += host_tlb_holds(s.t.m, 0, ASID, vaddr(VA + i * PAGE_SIZE));
	assert_int_equal(held, 8);
	before = host_stats(s.t.m);
	peek(VA + 11 * PAGE_SIZE);
	after = host_stats(s.t.m);
	assert_int_equal(after.hits, before.hits + 1);
	assert_int_equal(after.misses, before.misses);
	scene_close(&s);
}

static void prefetches_neighbours(void **state)
{
	static const struct host_config eager = { .ncpus = 1, .ram = 16 << 20, .seed = TEST_SEED, .prefetch = 1,
						  .hw_access = true };
	struct test_machine t;
	paddr_t root;
	unsigned unasked = 0;

	(void)state;
	test_machine_init(&t, &eager);
	root = test_frame(&t);
	mmu_load_user(root, ASID);
	for (unsigned i = 0; i < 64; i++)
		table_map(&t, root, VA + i * PAGE_SIZE, test_frame(&t), i % 4 == 1 ? D_DATA : D_DATA & ~D_AF);
	for (unsigned i = 1; i < 64; i += 4)
		peek(VA + i * PAGE_SIZE);
	for (unsigned i = 0; i < 64; i++)
		if (i % 4 != 1)
			assert_false(host_tlb_holds(t.m, 0, ASID, vaddr(VA + i * PAGE_SIZE))); /* no AF by speculation */
	for (unsigned i = 64; i < 128; i++)
		table_map(&t, root, VA + i * PAGE_SIZE, test_frame(&t), D_DATA);
	for (unsigned i = 64; i < 128; i += 4)
		peek(VA + i * PAGE_SIZE);
	for (unsigned i = 64; i < 128; i++)
		unasked += i % 4 != 0 && host_tlb_holds(t.m, 0, ASID, vaddr(VA + i * PAGE_SIZE));
	assert_true(unasked >= 8);
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks_to_pages_and_blocks), cmocka_unit_test(bytes_cross_pages_and_stop_at_a_fault),
		cmocka_unit_test(refuses_what_descriptors_forbid), cmocka_unit_test(access_flag),
		cmocka_unit_test(dirty_state), cmocka_unit_test(keeps_entries_until_told),
		cmocka_unit_test(invalidates_what_it_should), cmocka_unit_test(caches_tables_too),
		cmocka_unit_test(tags_by_asid), cmocka_unit_test(evicts_only_when_full),
		cmocka_unit_test(prefetches_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
