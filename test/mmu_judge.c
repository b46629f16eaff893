/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/mmu_judge.c: the simulated MMU reports what is forbidden, and only that.
 * Each offence is committed once and must be seen; the last tests run an unmap
 * loop over several CPUs, first whole (nothing may be reported), then with each of
 * its steps left out (something must be).
 */
#include <stdlib.h>

#include "base/atomic.h"
#include "tables.h"

#define VA UINT64_C(0x7f0000400000)
#define ASID 3u

static struct host_fault fault;

/* Frames that are free, by number from HOST_RAM_START: the test's allocator, as far as the judge is concerned. */
static ATOMIC(uint8_t) is_free[4096];

static bool frame_free(void *context, pfn_t f)
{
	(void)context;
	/* acquire: pairs with set_free */
	return atomic_load_acquire(&is_free[f.fn - (HOST_RAM_START >> PAGE_SHIFT)]);
}

static void set_free(paddr_t f, uint8_t now)
{
	atomic_store_release(&is_free[(f.pa - HOST_RAM_START) >> PAGE_SHIFT], now);
}

static enum host_offence last_offence;
static char last_text[4096];

static void report(void *context, enum host_offence what, const char *text)
{
	(void)context;
	last_offence = what;
	strncpy(last_text, text, sizeof last_text - 1);
}

static void open_scene(struct test_machine *t, paddr_t *root, bool count)
{
	struct host_config c = { .ncpus = 4, .ram = 16 << 20, .seed = TEST_SEED, .prefetch = UINT32_MAX,
				 .break_check = 1, .ops = { .frame_free = frame_free } };

	if (count)
		c.ops.report = report;
	memset(is_free, 0, sizeof is_free);
	test_machine_init(t, &c);
	*root = test_frame(t);
	mmu_load_user(*root, ASID);
}

/* Reads; whether it faults is for the caller to look at. Runs on several CPUs, one at a time. */
static void touch(uint64_t va)
{
	uint64_t v;

	if (!host_user_load64(vaddr(va), &v, &fault))
		fault.kind = HOST_FAULT_NONE;
}

/* Exactly one offence more, of that kind. */
static void expect_offence(struct test_machine *t, enum host_offence what, uint64_t *before)
{
	assert_int_equal(host_offences(t->m, HOST_OFFENCES), *before + 1);
	assert_int_equal(last_offence, what);
	*before += 1;
}

static void touch_on_cpu_1(uint32_t cpu, void *arg)
{
	const paddr_t *root = arg;

	if (cpu == 1) {
		mmu_load_user(*root, ASID);
		touch(VA);
	}
}

static void freed_frames(void **state)
{
	struct test_machine t;
	paddr_t root, f;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	f = test_frame(&t);
	table_map(&t, root, VA, f, D_DATA);
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), 0);
	set_free(f, 1);
	touch(VA);
	expect_offence(&t, HOST_FREED_FRAME, &n);
	assert_non_null(strstr(last_text, "CPU 0"));
	assert_non_null(strstr(last_text, "stored")); /* who mapped it */
	host_frame_freed(f, 0);
	expect_offence(&t, HOST_FREED_FRAME, &n);
	/* a flushed one is nobody's business, nor one of an ASID that is not loaded */
	mmu_pte_store(table_slot(&t, root, VA, 3), 0);
	table_flush(ASID, VA, true);
	host_frame_freed(f, 0);
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	table_map(&t, root, VA, f, D_DATA);
	set_free(f, 0);
	touch(VA);
	mmu_clear_user();
	set_free(f, 1);
	host_frame_freed(f, 0);
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	test_machine_destroy(&t);
}

static void freed_tables(void **state)
{
	struct test_machine t;
	paddr_t root, leaf;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	table_map(&t, root, VA, test_frame(&t), D_DATA);
	leaf = paddr(mmu_pte_load(table_slot(&t, root, VA, 2)) & UINT64_C(0xfffffffff000));
	touch(VA);
	/* unlinked, but the flush leaves the walk cache: last level only */
	mmu_pte_store(table_slot(&t, root, VA, 2), 0);
	table_flush(ASID, VA, true);
	set_free(leaf, 1);
	touch(VA);
	expect_offence(&t, HOST_FREED_TABLE, &n);
	host_frame_freed(leaf, 0);
	assert_true(host_offences(t.m, HOST_FREED_TABLE) == 2);
	table_flush(ASID, VA, false);
	n = host_offences(t.m, HOST_OFFENCES);
	touch(VA);
	host_frame_freed(leaf, 0);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	host_frame_freed(root, 0);
	expect_offence(&t, HOST_FREED_TABLE, &n);
	test_machine_destroy(&t);
}

static void break_before_make(void **state)
{
	struct test_machine t;
	paddr_t root, a, b;
	struct pte *p;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	a = test_frame(&t);
	b = test_frame(&t);
	table_map(&t, root, VA, a, D_DATA);
	run_on_cpus(t.m, 2, touch_on_cpu_1, &root);
	assert_true(host_tlb_holds(t.m, 1, ASID, vaddr(VA)));
	/* rights may change without a break */
	table_map(&t, root, VA, a, D_DATA | D_RO);
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), 0);
	/* the address may not: CPU 1 still has a */
	table_map(&t, root, VA, b, D_DATA);
	mmu_tlbi_local_page(ASID, vaddr(VA));
	touch(VA);
	expect_offence(&t, HOST_NO_BREAK, &n);
	/* properly */
	p = table_slot(&t, root, VA, 3);
	mmu_pte_store(p, 0);
	table_flush(ASID, VA, true);
	mmu_pte_store(p, a.pa | D_DATA | D_PAGE);
	touch(VA);
	run_on_cpus(t.m, 2, touch_on_cpu_1, &root);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	/* a table gives way to a block while its page is still cached on CPU 1 */
	mmu_pte_store(table_slot(&t, root, VA, 2), (HOST_RAM_START + BLOCK_SIZE) | D_DATA | D_BLOCK);
	mmu_tlbi_local_all();
	touch(VA + PAGE_SIZE);
	expect_offence(&t, HOST_NO_BREAK, &n);
	test_machine_destroy(&t);
}

static void own_stale_block(void **state)
{
	struct test_machine t;
	paddr_t root, leaf;
	struct pte *p;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	p = table_slot(&t, root, VA, 2);
	mmu_pte_store(p, (HOST_RAM_START + BLOCK_SIZE) | D_DATA | D_RO | D_BLOCK);
	touch(VA);
	/* split without a break; the stale block answers until it is dropped elsewhere, so ask on CPU 1 */
	leaf = test_frame(&t);
	((struct pte *)phys_to_virt(leaf))[0] = (struct pte){ { (HOST_RAM_START + BLOCK_SIZE) | D_DATA | D_PAGE } };
	mmu_pte_store(p, leaf.pa | D_TABLE);
	run_on_cpus(t.m, 2, touch_on_cpu_1, &root);
	expect_offence(&t, HOST_NO_BREAK, &n);
	test_machine_destroy(&t);
}

static void load_other_root(uint32_t cpu, void *arg)
{
	const paddr_t *root = arg;

	if (cpu == 1)
		mmu_load_user(*root, ASID);
}

static void shared_asids(void **state)
{
	struct test_machine t;
	paddr_t root, root2;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	root2 = test_frame(&t);
	table_map(&t, root, VA, test_frame(&t), D_DATA);
	touch(VA);
	/* the same ASID again, no flush between */
	mmu_load_user(root2, ASID);
	touch(VA);
	expect_offence(&t, HOST_ASID_SHARED, &n);
	/* flushed: fine */
	mmu_tlbi_asid(ASID);
	mmu_dsb_ish();
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	/* CPU 1 takes our ASID for another space: harmless while we only switch away */
	run_on_cpus(t.m, 2, load_other_root, &root);
	mmu_clear_user();
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	/* but not if we go on with it */
	mmu_load_user(root2, ASID);
	run_on_cpus(t.m, 2, load_other_root, &root);
	touch(VA);
	expect_offence(&t, HOST_ASID_SHARED, &n);
	test_machine_destroy(&t);
}

static void incoherent_code(void **state)
{
	struct test_machine t;
	paddr_t root, f;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	f = test_frame(&t);
	table_map(&t, root, VA, f, D_CODE);
	table_map(&t, root, VA + PAGE_SIZE, f, D_DATA);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	expect_offence(&t, HOST_INCOHERENT, &n);
	mmu_sync_icache(f);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	/* each way of writing spoils it */
	assert_int_equal(host_user_store64(vaddr(VA + PAGE_SIZE), 1, &fault), OK);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	expect_offence(&t, HOST_INCOHERENT, &n);
	assert_int_equal(host_user_sync_icache(vaddr(VA), &fault), OK);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	machine_copy_frame(f, root);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	expect_offence(&t, HOST_INCOHERENT, &n);
	mmu_sync_icache(f);
	host_frame_freed(test_frame(&t), 0);
	assert_int_equal(host_user_exec(vaddr(VA), NULL, &fault), OK);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), n);
	test_machine_destroy(&t);
}

static void senseless_descriptors(void **state)
{
	struct test_machine t;
	paddr_t root;
	uint64_t n = 0;

	(void)state;
	open_scene(&t, &root, true);
	table_map(&t, root, VA, test_frame(&t), D_DATA & ~D_NG);
	touch(VA);
	expect_offence(&t, HOST_BAD_TABLE, &n);
	table_map(&t, root, VA + PAGE_SIZE, paddr(HOST_RAM_START - PAGE_SIZE), D_DATA);
	touch(VA + PAGE_SIZE);
	assert_int_equal(fault.kind, HOST_FAULT_ADDRESS);
	expect_offence(&t, HOST_BAD_TABLE, &n);
	mmu_pte_store(table_slot(&t, root, VA + 2 * PAGE_SIZE, 3), test_frame(&t).pa | D_DATA | D_BLOCK);
	touch(VA + 2 * PAGE_SIZE);
	assert_int_equal(fault.kind, HOST_FAULT_TRANSLATION);
	expect_offence(&t, HOST_BAD_TABLE, &n);
	mmu_pte_store(table_slot(&t, root, VA + BLOCK_SIZE, 2), D_TABLE);
	touch(VA + BLOCK_SIZE);
	expect_offence(&t, HOST_BAD_TABLE, &n);
	test_machine_destroy(&t);
}

static void panics_when_nobody_listens(void **state)
{
	struct test_machine t;
	paddr_t root, f;

	(void)state;
	open_scene(&t, &root, false);
	f = test_frame(&t);
	table_map(&t, root, VA, f, D_DATA);
	touch(VA);
	set_free(f, 1);
	EXPECT_PANIC("freed frame reached", touch(VA));
	/* and the machine can be used after that: no hardware lock was left behind */
	set_free(f, 0);
	touch(VA);
	assert_int_equal(host_offences(t.m, HOST_OFFENCES), 1);
	test_machine_destroy(&t);
}

/* --- an unmap loop: CPU 0 maps, unmaps and frees frames of a page that the others keep touching --- */

enum step { WHOLE, NO_TLBI, NO_SECOND_DSB, WRONG_PAGE, WRONG_ASID, NO_BREAK };

struct unmap {
	struct test_machine *t;
	paddr_t root, frame[2];
	enum step step;
	unsigned rounds;      /* at most; a slow host does fewer in its time */
	unsigned done;
	ATOMIC(uint32_t) stop;
};

static void unmap_once(struct unmap *u, struct pte *p, paddr_t f, paddr_t next)
{
	uint32_t asid = u->step == WRONG_ASID ? ASID + 1 : ASID;

	mmu_pte_store(p, u->step == NO_BREAK ? next.pa | D_DATA | D_PAGE : 0);
	mmu_dsb_ish();
	if (u->step != NO_TLBI && u->step != NO_BREAK)
		mmu_tlbi_page(asid, vaddr(u->step == WRONG_PAGE ? VA + PAGE_SIZE : VA), true);
	if (u->step != NO_SECOND_DSB)
		mmu_dsb_ish();
	set_free(f, 1);
}

/* Waits until one of the others has walked to the page again; bounded, since all may still be about to. */
static void let_others_run(struct unmap *u, uint64_t misses)
{
	uint64_t end = machine_now() + 5000000;

	while (host_stats(u->t->m).misses == misses && machine_now() < end)
		cpu_relax();
}

static void unmap_cpu(uint32_t cpu, void *arg)
{
	struct unmap *u = arg;
	struct pte *p;
	uint64_t end;

	mmu_load_user(u->root, ASID);
	if (cpu) {
		struct host_fault f;

		/* relaxed: a hint to end; the join orders the rest */
		for (uint64_t i = 0; !atomic_load_relaxed(&u->stop); i++) {
			if (host_user_store64(vaddr(VA), i, &f))
				cpu_relax();
		}
		return;
	}
	p = table_slot(u->t, u->root, VA, 3);
	end = machine_now() + UINT64_C(2000000000);
	for (unsigned i = 0; i < u->rounds && machine_now() < end; i++) {
		paddr_t f = u->frame[i & 1];
		uint64_t misses;

		set_free(f, 0);
		machine_zero_frame(f); /* a data race with whoever still writes it */
		misses = host_stats(u->t->m).misses;
		mmu_pte_store(p, f.pa | D_DATA | D_PAGE);
		let_others_run(u, misses);
		unmap_once(u, p, f, u->frame[~i & 1]);
		let_others_run(u, host_stats(u->t->m).misses);
		u->done++;
		if (host_offences(u->t->m, HOST_OFFENCES))
			break;
	}
	atomic_store_relaxed(&u->stop, 1u);
}

static uint64_t unmap_offences(enum step step, unsigned rounds)
{
	struct test_machine t;
	struct unmap u = { .t = &t, .step = step, .rounds = rounds };
	uint64_t n;

	open_scene(&t, &u.root, true);
	u.frame[0] = test_frame(&t);
	u.frame[1] = test_frame(&t);
	(void)table_slot(&t, u.root, VA, 3);
	run_on_cpus(t.m, 4, unmap_cpu, &u);
	n = host_offences(t.m, HOST_OFFENCES);
	if (n)
		print_message("%s", last_text);
	/* the others did see the page come and go: translations were fetched anew, and accesses refused */
	assert_true(host_stats(t.m).misses - host_stats(t.m).faults >= u.done / 8);
	assert_true(u.done > 0 && host_stats(t.m).faults >= u.done / 8);
	test_machine_destroy(&t);
	return n;
}

static void sound_unmap_is_not_accused(void **state)
{
	(void)state;
	assert_int_equal(unmap_offences(WHOLE, 400), 0);
}

/*
 * The steps that leave out an invalidation let other CPUs write a frame that was freed and cleared: a data race by
 * intent, which ThreadSanitizer would report first. It is the judge that is tested here, so they run
 * where the racing accesses cannot meet: see touch_stale.
 */
static void touch_stale(uint32_t cpu, void *arg)
{
	struct unmap *u = arg;

	if (cpu == 1) {
		mmu_load_user(u->root, ASID);
		touch(VA);
	}
}

static void unsound_unmap_is_seen(void **state)
{
	(void)state;
	for (enum step step = NO_TLBI; step <= NO_BREAK; step++) {
		struct test_machine t;
		struct unmap u = { .t = &t, .step = step };
		uint64_t n = 0;

		/* some steps matter only at the machine's whim: a few unmaps, none of them flushed by the next */
		for (unsigned i = 0; i < 16 && !n; i++) {
			open_scene(&t, &u.root, true);
			u.frame[0] = test_frame(&t);
			u.frame[1] = test_frame(&t);
			for (unsigned k = 0; k < i; k++)
				mmu_tlbi_asid(ASID); /* moves the machine's random choices on */
			mmu_dsb_ish();
			table_map(&t, u.root, VA, u.frame[0], D_DATA);
			run_on_cpus(t.m, 2, touch_stale, &u);
			unmap_once(&u, table_slot(&t, u.root, VA, 3), u.frame[0], u.frame[1]);
			run_on_cpus(t.m, 2, touch_stale, &u);
			n = host_offences(t.m, HOST_FREED_FRAME);
			test_machine_destroy(&t);
		}
		if (!n)
			fail_msg("step %d left out and nothing reported", (int)step);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(freed_frames), cmocka_unit_test(freed_tables), cmocka_unit_test(break_before_make),
		cmocka_unit_test(own_stale_block), cmocka_unit_test(shared_asids), cmocka_unit_test(incoherent_code),
		cmocka_unit_test(senseless_descriptors), cmocka_unit_test(panics_when_nobody_listens),
		cmocka_unit_test(sound_unmap_is_not_accused), cmocka_unit_test(unsound_unmap_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
