/* SPDX-License-Identifier: BSD-2-Clause */
/* test/kmalloc.c: memory of any size: aligned, apart, large enough, and back at the end. */
#include <stdlib.h>

#include "test_memory.h"
#include "vm/kmalloc.h"

#define MIB (UINT64_C(1) << 20)

struct scene {
	struct test_memory *m;
	struct kmalloc k;
};

static void scene_open(struct scene *s, uint32_t ncpus, uint64_t ram)
{
	s->m = memory_open(ncpus, ram);
	assert_int_equal(kmalloc_init(&s->k, &s->m->zones), OK);
}

static void scene_close(struct scene *s)
{
	kmalloc_destroy(&s->k);
	memory_close(s->m);
}

static void every_size(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, 1, 64 * MIB);
	for (size_t size = 0; size <= 4 * MIB; size += size < 700 ? 1 : size < 40000 ? 1 + size / 40 : 1 + size / 5) {
		unsigned char *p = kmalloc(&s.k, size), *q = kmalloc(&s.k, size);
		size_t usable = kmalloc_usable_size(&s.k, p);

		assert_non_null(p);
		assert_non_null(q);
		assert_int_equal((uintptr_t)p % (size > KMALLOC_ZONE_MAX ? PAGE_SIZE : 16), 0);
		assert_true(usable >= size);
		if (size > 128 && size <= KMALLOC_ZONE_MAX)
			assert_true((usable - size) * 8 <= usable);
		assert_true(p + usable <= q || q + usable <= p);
		memset(p, 1, usable);
		memset(q, 2, usable);
		assert_int_equal(p[0] + p[usable - 1], 2);
		kfree(&s.k, p);
		assert_int_equal(q[0] + q[usable - 1], 4);
		kfree(&s.k, q);
	}
	scene_close(&s);
}

static void limits(void **state)
{
	struct scene s;
	void *p, *q;

	(void)state;
	scene_open(&s, 1, 16 * MIB);
	p = kmalloc(&s.k, 0);
	q = kmalloc(&s.k, 0);
	assert_non_null(p);
	assert_ptr_not_equal(p, q);
	kfree(&s.k, p);
	kfree(&s.k, q);
	kfree(&s.k, NULL);
	assert_null(kmalloc(&s.k, 32 * MIB));        /* more than there is */
	assert_null(kmalloc(&s.k, KMALLOC_MAX + 1)); /* more than there may be */
	assert_null(kmalloc(&s.k, SIZE_MAX));
	p = kmalloc_zero(&s.k, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(((char *)p)[i], 0);
	kfree(&s.k, p);
	scene_close(&s);
}

static void aligned(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, 1, 64 * MIB);
	for (size_t align = 1; align <= 2 * MIB; align *= 2)
		for (size_t size = 0; size <= 3 * MIB; size += size < 2000 ? 1 + size / 9 : size) {
			unsigned char *p = kmalloc_aligned(&s.k, size, align), *q = kmalloc_aligned(&s.k, size, align);
			size_t usable = kmalloc_usable_size(&s.k, p);

			assert_non_null(p);
			assert_non_null(q);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_int_equal((uintptr_t)q % align, 0);
			assert_true(usable >= size);
			memset(p, 1, usable);
			memset(q, 2, usable);
			assert_int_equal(p[0] + p[usable - 1], 2);
			kfree(&s.k, p);
			kfree(&s.k, q);
		}
	assert_null(kmalloc_aligned(&s.k, 1, 2 * KMALLOC_MAX));
	assert_null(kmalloc_aligned(&s.k, SIZE_MAX, 16));
	scene_close(&s);
}

static void realloc_keeps_content(void **state)
{
	struct scene s;
	unsigned char *p = NULL, *q;
	size_t size = 0, seed = TEST_SEED;

	(void)state;
	scene_open(&s, 1, 32 * MIB);
	for (unsigned step = 0; step < 400; step++) {
		size_t next, common;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		next = 1 + (seed >> 33) % (step % 10 ? 3000 : 3 * MIB);
		q = krealloc(&s.k, p, next);
		assert_non_null(q);
		common = size < next ? size : next;
		for (size_t i = 0; i < common; i++)
			if (q[i] != (unsigned char)(i * 7))
				fail_msg("%zu -> %zu: byte %zu is lost", size, next, i);
		for (size_t i = 0; i < next; i++)
			q[i] = (unsigned char)(i * 7);
		p = q;
		size = next;
	}
	q = krealloc(&s.k, p, 1000);
	p = krealloc(&s.k, q, 900);
	assert_ptr_equal(p, q); /* near enough */
	memory_fail(s.m, 1);
	assert_null(krealloc(&s.k, p, 5000));
	assert_ptr_equal(krealloc(&s.k, p, 10), p); /* no memory for a smaller one: it stays */
	memory_fail(s.m, 0);
	assert_int_equal(p[899], (unsigned char)(899 * 7));
	assert_null(krealloc(&s.k, p, 0));
	scene_close(&s);
}

static void misuse_panics(void **state)
{
	struct scene s;
	char *small, *large;
	struct zone *z;
	void *object;

	(void)state;
	scene_open(&s, 1, 16 * MIB);
	small = kmalloc(&s.k, 100);
	large = kmalloc(&s.k, 100000);
	z = zone_create(&s.m->zones, "other", 100, 0, NULL, NULL, 0);
	object = zone_alloc(z);
	EXPECT_PANIC("kmalloc-112", kfree(&s.k, small + 16));
	EXPECT_PANIC("is not what kmalloc gave", kfree(&s.k, large + PAGE_SIZE));
	EXPECT_PANIC("is not what kmalloc gave", kfree(&s.k, large + 16));
	EXPECT_PANIC("belongs to zone other", kfree(&s.k, object));
	small[112] ^= 1;
	EXPECT_PANIC("kmalloc-112", kfree(&s.k, small));
	small[112] ^= 1;
	kfree(&s.k, small);
	EXPECT_PANIC("freed twice", kfree(&s.k, small));
	kfree(&s.k, large);
	EXPECT_PANIC("is not what kmalloc gave", kfree(&s.k, large));
	zone_free(z, object);
	zone_destroy(z);
	scene_close(&s);
}

/* All classes, and something of each on every CPU, on the smallest machine that must run. */
static void many_cpus_little_memory(void **state)
{
	struct scene s;
	struct frame_audit a;

	(void)state;
	scene_open(&s, 64, 64 * MIB);
	assert_true(frame_audit(&s.m->frames, &a));
	assert_in_range(a.owned[FRAME_ZONE], 1, a.ram / 64);
	for (uint32_t cpu = 0; cpu < 64; cpu++) {
		void *p[KMALLOC_CLASSES];

		become_cpu(s.m, cpu);
		for (unsigned i = 0; i < KMALLOC_CLASSES; i++)
			assert_non_null(p[i] = zone_alloc(s.k.zone[i]));
		for (unsigned i = 0; i < KMALLOC_CLASSES; i++)
			zone_free(s.k.zone[i], p[i]);
	}
	assert_true(frame_audit(&s.m->frames, &a));
	assert_true(a.owned[FRAME_ZONE] + a.owned[FRAME_CACHED] < a.ram / 16); /* what is kept although nothing is in use */
	scene_close(&s);
}

static void init_without_memory(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	struct kmalloc k;
	unsigned refused = 0;

	(void)state;
	for (uint64_t one_in = 1;; one_in++) {
		enum error e;

		memory_fail(m, one_in);
		e = kmalloc_init(&k, &m->zones);
		memory_fail(m, 0);
		if (e == OK)
			break;
		assert_int_equal(e, ERR_NOMEM);
		memory_check(m); /* the zones made before are gone again */
		refused++;
	}
	assert_true(refused > 2);
	memory_abandon(m);
}

static void churn(uint32_t cpu, void *arg)
{
	struct scene *s = arg;
	struct {
		unsigned char *p;
		size_t size;
	} held[64] = {{NULL, 0}};
	unsigned seed = TEST_SEED + cpu;

	for (unsigned step = 0; step < 20000; step++) {
		unsigned r = (unsigned)rand_r(&seed), i = r % 64;
		size_t size = 1 + (r / 64 % 64 ? (unsigned)rand_r(&seed) % 2000 : (unsigned)rand_r(&seed) % 100000);

		if (held[i].p)
			CHECK(held[i].p[0] == (unsigned char)cpu && held[i].p[held[i].size - 1] == (unsigned char)cpu);
		if (r / 4096 % 3 == 0) {
			unsigned char *p = krealloc(&s->k, held[i].p, size);

			if (!p)
				continue;
			held[i].p = p;
		} else {
			kfree(&s->k, held[i].p);
			held[i].p = kmalloc(&s->k, size);
			if (!held[i].p)
				continue;
		}
		held[i].size = size;
		held[i].p[0] = held[i].p[size - 1] = (unsigned char)cpu;
	}
	for (unsigned i = 0; i < 64; i++)
		kfree(&s->k, held[i].p);
}

static void crowd(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, 4, 64 * MIB);
	run_on_cpus(s.m->t.m, 4, churn, &s);
	memory_fail(s.m, 9);
	run_on_cpus(s.m->t.m, 4, churn, &s);
	memory_fail(s.m, 0);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size),
		cmocka_unit_test(limits),
		cmocka_unit_test(aligned),
		cmocka_unit_test(realloc_keeps_content),
		cmocka_unit_test(misuse_panics),
		cmocka_unit_test(many_cpus_little_memory),
		cmocka_unit_test(init_without_memory),
		cmocka_unit_test(crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
