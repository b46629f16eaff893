/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/mmu_sense.c: the simulated MMU reports rights that outlive their end,
 * descriptors that contradict themselves and frames that a program may not
 * reach; and does not report an operation that is still under way.
 */
#include "base/atomic.h"
#include "hal/uaccess.h"
#include "tables.h"

#define VA UINT64_C(0x7f0000400000)
#define ASID 3u

static struct host_fault fault;
static enum host_offence last_offence;
static char last_text[4096];

static void report(void *context, enum host_offence what, const char *text)
{
	(void)context;
	last_offence = what;
	strncpy(last_text, text, sizeof last_text - 1);
}

static enum host_frame kind_of[4096];

static enum host_frame frame_kind(void *context, pfn_t f)
{
	(void)context;
	return kind_of[f.fn - (HOST_RAM_START >> PAGE_SHIFT)];
}

static void set_kind(paddr_t f, enum host_frame k) { kind_of[(f.pa - HOST_RAM_START) >> PAGE_SHIFT] = k; }

/* One thread plays two vCPUs, both with the same root loaded. CPU 0 changes tables, CPU 1 is the program. */
struct scene {
	struct test_machine t;
	paddr_t root;
	uint64_t offences;
};

static void be(struct scene *s, uint32_t cpu) { host_become(s->t.m, cpu); }

static void scene_open_with(struct scene *s, struct host_config c)
{
	c.ncpus = 2;
	c.ram = 16 << 20;
	c.seed = TEST_SEED;
	c.prefetch = UINT32_MAX;
	c.break_check = UINT32_MAX;
	c.ops.report = report;
	c.ops.frame_kind = frame_kind;
	memset(kind_of, 0, sizeof kind_of);
	test_machine_init(&s->t, &c);
	s->root = test_frame(&s->t);
	s->offences = 0;
	for (uint32_t cpu = 2; cpu-- > 0;) {
		be(s, cpu);
		mmu_load_user(s->root, ASID);
	}
}

static void scene_open(struct scene *s) { scene_open_with(s, (struct host_config){0}); }

static void scene_close(struct scene *s)
{
	be(s, 0);
	test_machine_destroy(&s->t);
}

/* CPU 1 goes there; a fault is no matter. */
static void touch(struct scene *s, uint64_t va, enum prot access)
{
	uint64_t v;

	be(s, 1);
	if (access == PROT_R)
		(void)!host_user_load64(vaddr(va), &v, &fault);
	else if (access == PROT_W)
		(void)!host_user_store64(vaddr(va), 1, &fault);
	else
		(void)!host_user_exec(vaddr(va), NULL, &fault);
	be(s, 0);
}

static void expect(struct scene *s, enum host_offence what)
{
	assert_int_equal(host_offences(s->t.m, HOST_OFFENCES), ++s->offences);
	assert_int_equal(last_offence, what);
}

static void expect_none(struct scene *s) { assert_int_equal(host_offences(s->t.m, HOST_OFFENCES), s->offences); }

/* CPU 1 may go on by what it has until CPU 0 returns, not after. */
static void expect_stale(struct scene *s, uint64_t va, enum prot access)
{
	touch(s, va, access);
	expect_none(s);
	host_returned();
	touch(s, va, access);
	expect(s, HOST_STALE);
	table_flush(ASID, va, false);
	touch(s, va, access);
	expect_none(s);
}

static void stale_pages(void **state)
{
	struct scene s;
	paddr_t f;
	struct pte *p;

	(void)state;
	scene_open(&s);
	f = test_frame(&s.t);
	mmu_sync_icache(f);
	table_map(&s.t, s.root, VA, f, D_DATA & ~D_UXN);
	p = table_slot(&s.t, s.root, VA, 3);
	touch(&s, VA, PROT_R);
	mmu_pte_store(p, 0);
	mmu_dsb_ish();
	expect_stale(&s, VA, PROT_R);
	/* both culprits are named */
	assert_non_null(strstr(last_text, "stale rights: a read"));
	assert_non_null(strstr(last_text, "CPU 1, va 0x7f0000400000"));
	assert_non_null(strstr(last_text, "CPU 0 took rights away at event"));
	assert_non_null(strstr(last_text, "cached at event"));
	assert_non_null(strstr(last_text, "stored 0\n"));

	/* each right on its own, by each way to change it */
	mmu_pte_store(p, f.pa | (D_DATA & ~D_UXN) | D_PAGE);
	touch(&s, VA, PROT_W);
	mmu_sync_icache(f);
	(void)mmu_pte_or(p, D_UXN);
	touch(&s, VA, PROT_R);
	host_returned();
	touch(&s, VA, PROT_R); /* what is still allowed is no offence */
	expect_none(&s);
	table_flush(ASID, VA, true);
	(void)mmu_pte_and(p, ~D_UXN);
	table_flush(ASID, VA, true); /* the refusal may be cached too */
	touch(&s, VA, PROT_X);
	(void)mmu_pte_or(p, D_UXN);
	expect_stale(&s, VA, PROT_X);
	touch(&s, VA, PROT_R);
	assert_true(mmu_pte_cas(p, &(uint64_t){mmu_pte_load(p)}, mmu_pte_load(p) | D_RO));
	expect_stale(&s, VA, PROT_W); /* the write of copy-on-write */
	(void)mmu_pte_and(p, ~D_RO);
	table_flush(ASID, VA, true);
	touch(&s, VA, PROT_W);
	(void)mmu_pte_and(p, ~D_USER);
	expect_stale(&s, VA, PROT_W);
	(void)mmu_pte_or(p, D_USER);
	table_flush(ASID, VA, true);
	touch(&s, VA, PROT_R);
	(void)mmu_pte_and(p, ~D_AF); /* the next access was to be noted */
	expect_stale(&s, VA, PROT_R);
	(void)mmu_pte_or(p, D_AF);
	touch(&s, VA, PROT_R);
	(void)mmu_pte_swap(p, test_frame(&s.t).pa | D_DATA | D_PAGE);
	expect_stale(&s, VA, PROT_R);
	scene_close(&s);
}

static void stale_tables(void **state)
{
	struct scene s;
	struct pte *l2;
	uint64_t link;

	(void)state;
	scene_open(&s);
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	table_map(&s.t, s.root, VA + PAGE_SIZE, test_frame(&s.t), D_DATA);
	l2 = table_slot(&s.t, s.root, VA, 2);
	link = mmu_pte_load(l2);
	touch(&s, VA, PROT_W);
	(void)mmu_pte_or(l2, D_RO_BELOW);
	expect_stale(&s, VA, PROT_W);
	/* a last-level flush leaves the limits in the walk cache as they were: the next page comes without */
	mmu_pte_store(l2, link);
	table_flush(ASID, VA, false);
	touch(&s, VA, PROT_W);
	(void)mmu_pte_or(l2, D_RO_BELOW);
	table_flush(ASID, VA, true);
	table_flush(ASID, VA + PAGE_SIZE, true);
	touch(&s, VA + PAGE_SIZE, PROT_W);
	expect_none(&s);
	host_returned();
	touch(&s, VA + PAGE_SIZE, PROT_W);
	expect(&s, HOST_STALE);
	mmu_pte_store(l2, link);
	table_flush(ASID, VA, false);
	table_flush(ASID, VA + PAGE_SIZE, false);
	/* the table is unlinked: by the page, and by the table alone */
	touch(&s, VA, PROT_R);
	mmu_pte_store(l2, 0);
	mmu_dsb_ish();
	touch(&s, VA + PAGE_SIZE, PROT_R); /* walks through what was unlinked */
	expect_none(&s);
	host_returned();
	touch(&s, VA + PAGE_SIZE, PROT_R);
	expect(&s, HOST_STALE);
	assert_non_null(strstr(last_text, "CPU 0 took rights away"));
	table_flush(ASID, VA + PAGE_SIZE, false);
	touch(&s, VA, PROT_R); /* the first page was not flushed */
	expect(&s, HOST_STALE);
	table_flush(ASID, VA, false);
	touch(&s, VA, PROT_R);
	expect_none(&s);
	scene_close(&s);
}

static void what_is_not_stale(void **state)
{
	struct scene s;
	paddr_t f;
	struct pte *p;

	(void)state;
	scene_open(&s);
	f = test_frame(&s.t);
	table_map(&s.t, s.root, VA, f, D_DATA | D_RO);
	p = table_slot(&s.t, s.root, VA, 3);
	touch(&s, VA, PROT_R);
	/* rights are added, or the page is remapped as it was: no flush is due */
	(void)mmu_pte_and(p, ~D_RO);
	host_returned();
	touch(&s, VA, PROT_W);
	mmu_pte_store(p, 0);
	mmu_pte_store(p, f.pa | D_DATA | D_PAGE);
	host_returned();
	touch(&s, VA, PROT_W);
	expect_none(&s);
	/* CPU 0 has taken something away long ago and flushed; CPU 1 itself is at it now, or CPU 0 again */
	(void)mmu_pte_or(p, D_RO);
	table_flush(ASID, VA, true);
	host_returned();
	touch(&s, VA, PROT_R);
	be(&s, 0);
	mmu_pte_store(p, 0);
	touch(&s, VA, PROT_R);
	expect_none(&s);
	table_flush(ASID, VA, true);
	host_returned();
	/* a local flush is enough for what only this CPU holds */
	mmu_pte_store(p, f.pa | D_DATA | D_PAGE);
	be(&s, 0);
	(void)!host_user_store64(vaddr(VA), 1, &fault);
	mmu_pte_store(p, 0);
	mmu_dsb_ish();
	mmu_tlbi_local_page(ASID, vaddr(VA));
	assert_int_equal(host_user_store64(vaddr(VA), 1, &fault), ERR_FAULT);
	touch(&s, VA, PROT_W);
	expect_none(&s);
	/* an entry under an ASID that is not loaded is nobody's right */
	mmu_pte_store(p, f.pa | D_DATA | D_PAGE);
	touch(&s, VA, PROT_W);
	be(&s, 1);
	mmu_load_user(test_frame(&s.t), ASID + 1);
	be(&s, 0);
	mmu_pte_store(p, 0);
	host_returned();
	touch(&s, VA, PROT_W);
	expect_none(&s);
	scene_close(&s);
}

/* A program's own access says that its kernel operation is over; a user copy does not. */
static void returning(void **state)
{
	struct scene s;
	uint64_t v;

	(void)state;
	scene_open(&s);
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	table_map(&s.t, s.root, VA + PAGE_SIZE, test_frame(&s.t), D_DATA);
	touch(&s, VA, PROT_R);
	mmu_pte_store(table_slot(&s.t, s.root, VA, 3), 0);
	mmu_dsb_ish();
	assert_int_equal(copy_in(&v, vaddr(VA + PAGE_SIZE), sizeof v), OK);
	touch(&s, VA, PROT_R);
	expect_none(&s);
	assert_int_equal(host_user_load64(vaddr(VA + PAGE_SIZE), &v, &fault), OK);
	touch(&s, VA, PROT_R);
	expect(&s, HOST_STALE);
	scene_close(&s);
}

static unsigned tame(void *context, enum host_whim whim, unsigned n)
{
	(void)context;
	(void)whim;
	(void)n;
	return 0;
}

/* Under a schedule who returns looks around: nobody has to use what it left behind. */
static void leftovers(void **state)
{
	struct scene s;
	struct pte *l2;

	(void)state;
	scene_open_with(&s, (struct host_config){.late_stores = true, .ops.choose = tame});
	table_map(&s.t, s.root, VA, test_frame(&s.t), D_DATA);
	l2 = table_slot(&s.t, s.root, VA, 2);
	touch(&s, VA, PROT_R);
	(void)mmu_pte_or(table_slot(&s.t, s.root, VA, 3), D_RO);
	mmu_dsb_ish();
	expect_none(&s);
	host_returned();
	expect(&s, HOST_STALE);
	assert_non_null(strstr(last_text, "left behind: an entry"));
	host_returned(); /* said once */
	expect_none(&s);
	table_flush(ASID, VA, false);
	touch(&s, VA, PROT_R);
	mmu_pte_store(l2, 0);
	table_flush(ASID, VA, true);
	host_returned();
	expect(&s, HOST_STALE);
	assert_non_null(strstr(last_text, "left behind: a table"));
	scene_close(&s);
}

static void contradictions(void **state)
{
	static const struct {
		uint64_t set, clear;
		const char *why;
	} page[] = {
		{0, D_NG, "global"},
		{0, D_PXN, "the kernel may execute"},
		{UINT64_C(1) << 48, 0, "reserved bits"},
		{UINT64_C(1) << 50, 0, "reserved bits"},
		{UINT64_C(1) << 5, 0, "reserved bits"},
		{UINT64_C(1) << 8, D_SH, "shareability"},
		{UINT64_C(1) << 52, 0, "contiguous"},
		{UINT64_C(3) << 2, 0, "MAIR"},
		{UINT64_C(1) << 2, D_UXN, "device memory"},
	};
	struct scene s;
	struct pte *l2;
	uint64_t link;

	(void)state;
	scene_open(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++) {
		uint64_t va = VA + i * PAGE_SIZE;

		table_map(&s.t, s.root, va, test_frame(&s.t), (D_DATA & ~page[i].clear) | page[i].set);
		touch(&s, va, PROT_R);
		expect(&s, HOST_BAD_TABLE);
		assert_non_null(strstr(last_text, page[i].why));
	}
	/* legal: device memory, executable memory that may be written, a clean page, what software keeps */
	table_map(&s.t, s.root, VA + 20 * PAGE_SIZE, test_frame(&s.t), D_DATA | UINT64_C(1) << 2);
	table_map(&s.t, s.root, VA + 21 * PAGE_SIZE, test_frame(&s.t), D_DATA & ~D_UXN);
	table_map(&s.t, s.root, VA + 22 * PAGE_SIZE, test_frame(&s.t), D_DATA | D_RO | D_DBM | UINT64_C(15) << 55);
	table_map(&s.t, s.root, VA + 23 * PAGE_SIZE, test_frame(&s.t), D_DATA & ~D_AF);
	for (unsigned i = 20; i < 24; i++)
		touch(&s, VA + i * PAGE_SIZE, PROT_R);
	expect_none(&s);
	mmu_pte_store(table_slot(&s.t, s.root, VA + BLOCK_SIZE, 2),
		      (HOST_RAM_START + BLOCK_SIZE + 8 * PAGE_SIZE) | D_DATA | D_BLOCK);
	touch(&s, VA + BLOCK_SIZE, PROT_R);
	expect(&s, HOST_BAD_TABLE);
	assert_non_null(strstr(last_text, "not aligned"));
	l2 = table_slot(&s.t, s.root, VA, 2);
	link = mmu_pte_load(l2);
	for (unsigned bit = 2; bit < 59; bit = bit == 11 ? 48 : bit + 1) {
		mmu_pte_store(l2, link | UINT64_C(1) << bit);
		table_flush(ASID, VA + 20 * PAGE_SIZE, false);
		touch(&s, VA + 20 * PAGE_SIZE, PROT_R);
		expect(&s, HOST_BAD_TABLE);
		assert_non_null(strstr(last_text, "bits of a page"));
	}
	scene_close(&s);
}

static void frames_of_other_owners(void **state)
{
	struct scene s;
	paddr_t f, leaf;

	(void)state;
	scene_open(&s);
	f = test_frame(&s.t);
	table_map(&s.t, s.root, VA, f, D_DATA);
	leaf = paddr(mmu_pte_load(table_slot(&s.t, s.root, VA, 2)) & UINT64_C(0xfffffffff000));
	set_kind(f, HOST_FRAME_DATA);
	set_kind(leaf, HOST_FRAME_TABLE);
	set_kind(s.root, HOST_FRAME_TABLE);
	touch(&s, VA, PROT_W);
	expect_none(&s);
	set_kind(f, HOST_FRAME_KERNEL);
	touch(&s, VA, PROT_R);
	expect(&s, HOST_ALIEN_FRAME);
	set_kind(f, HOST_FRAME_TABLE);
	touch(&s, VA, PROT_W);
	expect(&s, HOST_ALIEN_FRAME);
	assert_non_null(strstr(last_text, "translation table"));
	set_kind(f, HOST_FRAME_FREE);
	touch(&s, VA, PROT_W);
	expect(&s, HOST_FREED_FRAME);
	set_kind(f, HOST_FRAME_DATA);
	set_kind(leaf, HOST_FRAME_DATA);
	touch(&s, VA, PROT_W); /* out of the TLB */
	expect_none(&s);
	table_flush(ASID, VA, true);
	touch(&s, VA, PROT_W);
	expect(&s, HOST_ALIEN_FRAME);
	assert_non_null(strstr(last_text, "no table"));
	scene_close(&s);
}

/* --- free-running: four vCPUs, each takes rights away from its own page and gives them back; all use all pages --- */

#define ROUNDS 300u

struct crowd {
	struct test_machine *t;
	paddr_t root, frame[4];
};

static void crowd_cpu(uint32_t cpu, void *arg)
{
	struct crowd *c = arg;
	struct pte *p = table_slot(c->t, c->root, VA + cpu * PAGE_SIZE, 3);
	struct host_fault f;
	uint64_t v;

	mmu_load_user(c->root, ASID);
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 3 == 0)
			mmu_pte_store(p, 0);
		else
			(void)mmu_pte_or(p, D_RO);
		table_flush(ASID, VA + cpu * PAGE_SIZE, true);
		CHECK(host_user_store64(vaddr(VA + cpu * PAGE_SIZE), i, &f) == ERR_FAULT);
		if (i % 3 == 0)
			mmu_pte_store(p, c->frame[cpu].pa | D_DATA | D_PAGE);
		else
			(void)mmu_pte_and(p, ~D_RO);
		mmu_dsb_ishst();
		for (unsigned k = 0; k < 8; k++) {
			(void)!host_user_add64(vaddr(VA + (cpu + k) % 4 * PAGE_SIZE), 1, &v, &f);
			(void)!host_user_load64(vaddr(VA + (cpu + k) % 4 * PAGE_SIZE), &v, &f);
		}
		mmu_tlbi_local_page(ASID, vaddr(VA + cpu * PAGE_SIZE));
	}
}

static void operations_under_way_are_not_accused(void **state)
{
	static const struct host_config config = {
		.ncpus = 4, .ram = 16 << 20, .seed = TEST_SEED, .break_check = 1, .ops = {.report = report}};
	struct test_machine t;
	struct crowd c = {.t = &t};

	(void)state;
	test_machine_init(&t, &config);
	c.root = test_frame(&t);
	for (unsigned i = 0; i < 4; i++) {
		c.frame[i] = test_frame(&t);
		table_map(&t, c.root, VA + i * PAGE_SIZE, c.frame[i], D_DATA);
	}
	run_on_cpus(t.m, 4, crowd_cpu, &c);
	if (host_offences(t.m, HOST_OFFENCES))
		fail_msg("%s", last_text);
	test_machine_destroy(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_pages),
		cmocka_unit_test(stale_tables),
		cmocka_unit_test(what_is_not_stale),
		cmocka_unit_test(returning),
		cmocka_unit_test(leftovers),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(frames_of_other_owners),
		cmocka_unit_test(operations_under_way_are_not_accused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
