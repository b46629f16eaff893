/* SPDX-License-Identifier: BSD-2-Clause */
/* test/host_user.c: the kernel's copies from and to user memory over the simulated MMU. */
#include "base/atomic.h"
#include "hal/uaccess.h"
#include "sync/spinlock.h"
#include "tables.h"

#define VA UINT64_C(0x5500000000)
#define ASID 1u
#define PAGES 8

/* A pager of the simplest kind: maps a page of the window on the first fault. */
struct pager {
	struct test_machine t;
	paddr_t root, frame[PAGES];
	unsigned faults, refuse; /* refuse: fails from this fault on; 0: never */
	struct host_fault last;
};

static bool page_in(void *context, const struct host_fault *fault)
{
	struct pager *p = context;
	uint64_t i = (fault->va - VA) / PAGE_SIZE;

	p->last = *fault;
	p->faults++;
	if ((p->refuse && p->faults >= p->refuse) || fault->va < VA || i >= PAGES || fault->kind != HOST_FAULT_TRANSLATION)
		return false;
	table_map(&p->t, p->root, fault->va, p->frame[i], i == PAGES - 1 ? D_DATA | D_RO : D_DATA);
	return true;
}

static void open_pager(struct pager *p)
{
	struct host_config c = { .ncpus = 4, .ram = 16 << 20, .seed = TEST_SEED,
				 .ops = { .user_copy_fault = page_in, .context = p } };

	memset(p, 0, sizeof *p);
	test_machine_init(&p->t, &c);
	p->root = test_frame(&p->t);
	for (unsigned i = 0; i < PAGES; i++)
		p->frame[i] = test_frame(&p->t);
	mmu_load_user(p->root, ASID);
}

static void copies_fault_pages_in(void **state)
{
	struct pager p;
	char out[3 * PAGE_SIZE], in[3 * PAGE_SIZE];

	(void)state;
	open_pager(&p);
	for (unsigned i = 0; i < sizeof out; i++)
		out[i] = (char)(i * 13 + i / 251);
	assert_int_equal(copy_out(vaddr(VA + 100), out, sizeof out), OK);
	assert_int_equal(p.faults, 4);
	assert_int_equal(p.last.access, PROT_W);
	assert_int_equal(copy_in(in, vaddr(VA + 100), sizeof in), OK);
	assert_int_equal(p.faults, 4);
	assert_memory_equal(in, out, sizeof in);
	assert_memory_equal((char *)phys_to_virt(p.frame[1]), out + PAGE_SIZE - 100, PAGE_SIZE);
	assert_int_equal(user_zero(vaddr(VA + 101), 5000), OK);
	assert_int_equal(copy_in(in, vaddr(VA + 100), sizeof in), OK);
	assert_int_equal(in[0], out[0]);
	for (unsigned i = 1; i <= 5000; i++)
		assert_int_equal(in[i], 0);
	assert_memory_equal(in + 5001, out + 5001, sizeof in - 5001);
	assert_int_equal(copy_in(in, vaddr(VA + 4 * PAGE_SIZE), 0), OK); /* nothing is nothing */
	assert_int_equal(p.faults, 4);
	test_machine_destroy(&p.t);
}

static void bad_addresses_are_errors(void **state)
{
	static const uint64_t bad[] = { 0, VA - 1, VA + PAGES * PAGE_SIZE, USER_END - 8, USER_END, USER_END + 8,
					UINT64_C(0xffff000000000000), UINT64_MAX - 7, UINT64_MAX };
	struct pager p;
	char bytes[16] = { 0 };
	size_t length;
	uint32_t word = 0;
	bool swapped;

	(void)state;
	open_pager(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(copy_in(bytes, vaddr(bad[i]), sizeof bytes), ERR_FAULT);
		assert_int_equal(copy_out(vaddr(bad[i]), bytes, sizeof bytes), ERR_FAULT);
		assert_int_equal(user_zero(vaddr(bad[i]), sizeof bytes), ERR_FAULT);
		assert_int_equal(copy_in_string(bytes, vaddr(bad[i]), sizeof bytes, &length), ERR_FAULT);
		assert_int_equal(user_load32(vaddr(bad[i] & ~UINT64_C(3)), &word), ERR_FAULT);
		assert_int_equal(user_cas32(vaddr(bad[i] & ~UINT64_C(3)), &word, 1, &swapped), ERR_FAULT);
	}
	assert_int_equal(copy_in(bytes, vaddr(VA), SIZE_MAX), ERR_FAULT); /* wraps around */
	/* a fault half-way, a read-only page, a pager that gives up */
	assert_int_equal(copy_out(vaddr(VA + (PAGES - 1) * PAGE_SIZE - 8), bytes, 16), ERR_FAULT);
	assert_int_equal(p.last.kind, HOST_FAULT_PERMISSION);
	assert_int_equal(p.last.va, VA + (PAGES - 1) * PAGE_SIZE);
	p.refuse = p.faults + 2;
	assert_int_equal(copy_in(bytes, vaddr(VA + 2 * PAGE_SIZE - 8), 16), ERR_FAULT);
	assert_int_equal(p.last.va, VA + 2 * PAGE_SIZE);
	test_machine_destroy(&p.t);
}

static void strings(void **state)
{
	struct pager p;
	char s[64];
	size_t length = 99;

	(void)state;
	open_pager(&p);
	/* ends with the last byte of the window's last page: what follows is not there */
	strcpy((char *)phys_to_virt(p.frame[PAGES - 1]) + PAGE_SIZE - 6, "hello");
	assert_int_equal(copy_in_string(s, vaddr(VA + PAGES * PAGE_SIZE - 6), sizeof s, &length), OK);
	assert_string_equal(s, "hello");
	assert_int_equal(length, 5);
	assert_int_equal(copy_in_string(s, vaddr(VA + PAGES * PAGE_SIZE - 6), 5, &length), ERR_LIMIT);
	assert_int_equal(copy_in_string(s, vaddr(VA + PAGES * PAGE_SIZE - 6), 6, &length), OK);
	/* over a page's end; no NUL before the end of the window */
	memcpy((char *)phys_to_virt(p.frame[0]) + PAGE_SIZE - 3, "abc", 3);
	strcpy(phys_to_virt(p.frame[1]), "def");
	assert_int_equal(copy_in_string(s, vaddr(VA + PAGE_SIZE - 3), sizeof s, &length), OK);
	assert_string_equal(s, "abcdef");
	memset((char *)phys_to_virt(p.frame[PAGES - 1]) + PAGE_SIZE - 6, 'x', 6);
	assert_int_equal(copy_in_string(s, vaddr(VA + PAGES * PAGE_SIZE - 6), sizeof s, &length), ERR_FAULT);
	test_machine_destroy(&p.t);
}

static void futex_words(void **state)
{
	struct pager p;
	uint32_t word = 5, expected = 5;
	bool swapped = true;

	(void)state;
	open_pager(&p);
	assert_int_equal(copy_out(vaddr(VA + 8), &word, 4), OK);
	assert_int_equal(user_load32(vaddr(VA + 8), &word), OK);
	assert_int_equal(word, 5);
	assert_int_equal(user_cas32(vaddr(VA + 8), &expected, 6, &swapped), OK);
	assert_true(swapped);
	assert_int_equal(user_cas32(vaddr(VA + 8), &expected, 7, &swapped), OK);
	assert_false(swapped);
	assert_int_equal(expected, 6);
	assert_int_equal(user_load32(vaddr(VA + 8), &word), OK);
	assert_int_equal(word, 6);
	assert_int_equal(user_load32(vaddr(VA + 10), &word), ERR_INVAL);
	assert_int_equal(user_cas32(vaddr(VA + 9), &word, 1, &swapped), ERR_INVAL);
	test_machine_destroy(&p.t);
}

static void not_with_a_lock(void **state)
{
	struct spinlock l;
	struct pager p;
	char c = 0;
	uint32_t w;

	(void)state;
	open_pager(&p);
	spin_init(&l);
	spin_lock(&l, RANK_LEAF);
	EXPECT_PANIC("waits while", (void)!copy_in(&c, vaddr(VA), 1));
	EXPECT_PANIC("waits while", (void)!copy_out(vaddr(VA), &c, 1));
	EXPECT_PANIC("waits while", (void)!user_load32(vaddr(VA), &w));
	spin_unlock(&l);
	test_machine_destroy(&p.t);
}

/* A lock in user memory by compare-and-swap, and plain user words under it. */
#define ROUNDS 1000u

static void user_lock(uint32_t cpu, void *arg)
{
	const struct pager *p = arg;
	struct host_fault f;

	mmu_load_user(p->root, ASID);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t expected;
		uint64_t n;
		bool mine = false;

		while (!mine) {
			expected = 0;
			CHECK(!user_cas32(vaddr(VA), &expected, cpu + 1, &mine));
			if (!mine)
				cpu_relax();
		}
		CHECK(!host_user_load64(vaddr(VA + 64), &n, &f));
		CHECK(!host_user_store64(vaddr(VA + 64), n + 1, &f));
		expected = cpu + 1;
		CHECK(!user_cas32(vaddr(VA), &expected, 0, &mine) && mine);
		CHECK(!host_user_add64(vaddr(VA + 128), 1, &n, &f));
	}
}

static void words_are_atomic(void **state)
{
	struct pager p;
	uint64_t n[2] = { 0 };

	(void)state;
	open_pager(&p);
	assert_int_equal(user_zero(vaddr(VA), 256), OK);
	run_on_cpus(p.t.m, 4, user_lock, &p);
	assert_int_equal(copy_in(&n[0], vaddr(VA + 64), 8), OK);
	assert_int_equal(copy_in(&n[1], vaddr(VA + 128), 8), OK);
	assert_int_equal(n[0], 4 * ROUNDS);
	assert_int_equal(n[1], 4 * ROUNDS);
	test_machine_destroy(&p.t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_fault_pages_in), cmocka_unit_test(bad_addresses_are_errors),
		cmocka_unit_test(strings),               cmocka_unit_test(futex_words),
		cmocka_unit_test(not_with_a_lock),       cmocka_unit_test(words_are_atomic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
