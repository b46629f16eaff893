/* SPDX-License-Identifier: BSD-2-Clause */
/* test/host_machine.c: the simulated machine itself: RAM, banks, vCPUs, options, panics; several at once. */
#include <pthread.h>

#include "base/cpumask.h"
#include "tables.h"

static void ram_in_banks(void **state)
{
	struct host_config c = { .ncpus = 2, .banks = 2, .seed = 9,
				 .bank = { { 0x80001000, 0x3000 }, { 0x90000000, 0x2000 } } };
	struct test_machine t;
	char *first, *second;

	(void)state;
	test_machine_init(&t, &c);
	assert_int_equal(machine_info()->ncpus, 2);
	assert_int_equal(machine_info()->banks, 2);
	assert_int_equal(machine_info()->bank[1].start.pa, 0x90000000);
	assert_int_equal(machine_info()->bank[1].end.pa, 0x90002000);
	first = phys_to_virt(paddr(0x80001000));
	second = phys_to_virt(paddr(0x90001fff));
	first[0] = 1;
	*second = 2;
	assert_int_equal(second - first, 0x10000fff);
	assert_int_equal(virt_to_phys(second).pa, 0x90001fff);
	assert_int_equal((uintptr_t)first % BLOCK_SIZE, 0x1000); /* aligned as RAM is */
	EXPECT_PANIC("not in the RAM", (void)phys_to_virt(paddr(0x80000fff)));
	EXPECT_PANIC("not in the RAM", (void)phys_to_virt(paddr(0x90002000)));
	EXPECT_PANIC("not in the RAM", (void)virt_to_phys(&t));
	test_machine_destroy(&t);
}

static void senseless_machines(void **state)
{
	static const struct host_config bad[] = {
		{ .ncpus = CPU_MAX + 1 },
		{ .asid_bits = 5 },
		{ .ram = 4097 },
		{ .tlb_entries = HOST_TLB_MAX + 1 },
		{ .banks = MACHINE_BANKS + 1 },
		{ .banks = 1, .bank = { { 0, 0x1000 } } },
		{ .banks = 2, .bank = { { 0x3000, 0x2000 }, { 0x4000, 0x1000 } } },
		{ .banks = 1, .bank = { { UINT64_MAX & ~UINT64_C(0xfff), 0x2000 } } },
	};
	struct host_machine *m = NULL;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(host_machine_create(&bad[i], &m), ERR_INVAL);
	assert_null(m);
	assert_int_equal(host_machine_create(&(struct host_config){ .ram = UINT64_C(1) << 47 }, &m), ERR_NOMEM);
	assert_null(m);
}

static void several_at_once(void **state)
{
	struct host_config c = { .ncpus = 1, .ram = 1 << 20, .seed = 1 };
	struct host_machine *a, *b;
	uint64_t *in_a, *in_b;

	(void)state;
	assert_int_equal(host_machine_create(&c, &a), OK);
	assert_int_equal(host_machine_create(&c, &b), OK);
	host_attach(a, 0);
	in_a = phys_to_virt(paddr(HOST_RAM_START));
	*in_a = 1;
	EXPECT_PANIC("host_self", host_attach(b, 0)); /* one vCPU a thread */
	host_detach();
	host_attach(b, 0);
	in_b = phys_to_virt(paddr(HOST_RAM_START));
	assert_ptr_not_equal(in_a, in_b);
	*in_b = 2;
	assert_int_equal(*in_a, 1);
	assert_ptr_equal(host_machine(), b);
	EXPECT_PANIC("attached", host_machine_destroy(b));
	host_detach();
	EXPECT_PANIC("no vCPU", (void)cpu_id());
	host_machine_destroy(a);
	host_machine_destroy(b);
}

static void *attach_cpu_0(void *machine)
{
	struct host_catch c;

	if (!setjmp(c.env)) {
		host_panic_catch(&c);
		host_attach(machine, 0);
		CHECK(!"two threads are one vCPU");
	}
	CHECK(strstr(c.message, "has a thread"));
	CHECK(!host_self);
	return NULL;
}

static void one_thread_per_cpu(void **state)
{
	struct test_machine t;
	pthread_t thread;

	(void)state;
	test_machine_init(&t, NULL);
	assert_int_equal(pthread_create(&thread, NULL, attach_cpu_0, t.m), 0);
	pthread_join(thread, NULL);
	test_machine_destroy(&t);
}

static void note_cpu(uint32_t cpu, void *arg)
{
	uint32_t *seen = arg;

	CHECK(cpu_id() == cpu);
	seen[cpu]++;
}

static void runs_on_cpus(void **state)
{
	uint32_t seen[4] = { 0 };
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	for (unsigned i = 0; i < 20; i++)
		run_on_cpus(t.m, 3, note_cpu, seen);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(seen[i], i < 3 ? 20 : 0);
	test_machine_destroy(&t);
}

static void options(void **state)
{
	struct host_config c = { .ram = 1 << 20, .command_line = "init=/bin/sh  quiet memtest=17 x=" };
	struct test_machine t;
	char v[16];

	(void)state;
	test_machine_init(&t, &c);
	assert_true(machine_option("init", v, sizeof v));
	assert_string_equal(v, "/bin/sh");
	assert_true(machine_option("quiet", v, sizeof v));
	assert_string_equal(v, "");
	assert_true(machine_option("x", v, sizeof v));
	assert_string_equal(v, "");
	assert_false(machine_option("mem", v, sizeof v));
	assert_false(machine_option("sh", v, sizeof v));
	assert_true(machine_option("memtest", v, 2));
	assert_string_equal(v, "1");
	test_machine_destroy(&t);
}

static void frames_time_and_chance(void **state)
{
	struct host_config c = { .ram = 1 << 20, .junk = true, .seed = 5 };
	struct test_machine t;
	paddr_t a = paddr(HOST_RAM_START), b = paddr(HOST_RAM_START + PAGE_SIZE);
	unsigned char *p, bytes[2][13] = { { 0 } };
	uint64_t then;

	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		test_machine_init(&t, &c);
		p = phys_to_virt(b);
		assert_true(p[0] | p[8] | p[16]); /* junk */
		memset(phys_to_virt(a), 0xa5, PAGE_SIZE);
		machine_copy_frame(b, a);
		assert_memory_equal(phys_to_virt(b), phys_to_virt(a), PAGE_SIZE);
		machine_zero_frame(b);
		for (unsigned i = 0; i < PAGE_SIZE; i++)
			assert_int_equal(p[i], 0);
		assert_int_equal(*(uint8_t *)phys_to_virt(paddr(a.pa + PAGE_SIZE - 1)), 0xa5);
		then = machine_now();
		assert_true(machine_now() >= then);
		machine_random(bytes[run], sizeof bytes[run]);
		test_machine_destroy(&t);
	}
	assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]); /* by the seed */
	assert_memory_not_equal(bytes[0], bytes[0] + 1, sizeof bytes[0] - 1);
	c.seed = 6;
	test_machine_init(&t, &c);
	machine_random(bytes[1], sizeof bytes[1]);
	assert_memory_not_equal(bytes[0], bytes[1], sizeof bytes[0]);
	test_machine_destroy(&t);
}

static void cpu_masks(void **state)
{
	struct cpumask m = { { 0 } };

	(void)state;
	assert_true(cpumask_empty(&m));
	cpumask_set(&m, 0);
	cpumask_set(&m, 127);
	assert_true(cpumask_has(&m, 127) && cpumask_has(&m, 0) && !cpumask_has(&m, 63) && !cpumask_has(&m, 64));
	cpumask_clear(&m, 0);
	assert_false(cpumask_empty(&m));
	cpumask_clear(&m, 127);
	assert_true(cpumask_empty(&m));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_in_banks), cmocka_unit_test(senseless_machines), cmocka_unit_test(several_at_once),
		cmocka_unit_test(one_thread_per_cpu), cmocka_unit_test(runs_on_cpus), cmocka_unit_test(options),
		cmocka_unit_test(frames_time_and_chance), cmocka_unit_test(cpu_masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
