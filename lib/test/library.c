/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/test/library.c: the library as a program sees it: what works, what is refused, and that nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define OK_(call) assert_int_equal(call, STRATA_OK)

static struct strata_machine *make(unsigned cpus, size_t memory)
{
	struct strata_config config = {.cpus = cpus, .memory = memory};
	struct strata_machine *m;

	OK_(strata_create(&config, &m));
	OK_(strata_attach(m, 0));
	return m;
}

static void check(struct strata_machine *m)
{
	char problem[128] = "";

	if (strata_check(m, problem, sizeof problem) != STRATA_OK)
		fail_msg("%s", problem);
}

static void unmake(struct strata_machine *m)
{
	OK_(strata_drain(m));
	check(m);
	OK_(strata_detach());
	OK_(strata_destroy(m));
}

/* --- what works --- */

static void test_frames(void **state)
{
	struct strata_machine *m = make(2, 64 * MIB);
	struct strata_statistics before, after;
	uint64_t frame[STRATA_ORDER_2M + 1];
	(void)state;

	OK_(strata_drain(m));
	OK_(strata_statistics(m, &before));
	assert_int_equal(before.memory, 64 * MIB / STRATA_FRAME_SIZE);
	for (unsigned order = 0; order <= STRATA_ORDER_2M; order++) {
		unsigned char *p;
		size_t n = (size_t)STRATA_FRAME_SIZE << order;

		OK_(strata_frame_alloc(m, order, STRATA_ZERO, &frame[order]));
		assert_int_equal(frame[order] & (((uint64_t)1 << order) - 1), 0);
		p = strata_frame_address(m, frame[order]);
		assert_non_null(p);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xee, n);
		assert_int_equal(strata_frame_number(m, p), frame[order]);
		assert_int_equal(strata_frame_number(m, p + n - 1), frame[order] + ((uint64_t)1 << order) - 1);
	}
	OK_(strata_statistics(m, &after));
	assert_int_equal(after.blocks, before.blocks + 1023);
	for (unsigned order = 0; order <= STRATA_ORDER_2M; order++)
		OK_(strata_frame_free(m, frame[order], order));
	OK_(strata_drain(m));
	OK_(strata_statistics(m, &after));
	assert_memory_equal(&before, &after, sizeof before);
	unmake(m);
}

static uint64_t sum_of_blocks(const struct strata_statistics *s)
{
	uint64_t frames = 0;

	for (unsigned i = 0; i <= STRATA_ORDER_MAX; i++)
		frames += s->free_blocks[i] << i;
	return frames;
}

/* To the last frame, and all of them back. */
static void test_exhaustion(void **state)
{
	struct strata_machine *m = make(2, 16 * MIB);
	uint64_t *frame = calloc(16 * MIB / STRATA_FRAME_SIZE, sizeof *frame);
	struct strata_statistics s;
	size_t n = 0, most;
	(void)state;

	assert_non_null(frame);
	OK_(strata_drain(m));
	OK_(strata_statistics(m, &s));
	assert_int_equal(sum_of_blocks(&s), s.free);
	assert_int_equal(s.memory, s.free + s.cached + s.blocks + s.zones + s.large + s.reserved);
	most = s.free;
	while (n <= most && strata_frame_alloc(m, 0, 0, &frame[n]) == STRATA_OK)
		n++;
	assert_int_equal(n, most);
	assert_int_equal(strata_frame_alloc(m, 0, 0, &frame[n]), STRATA_NOMEM);
	assert_null(strata_kmalloc(m, 100000));
	OK_(strata_statistics(m, &s));
	assert_int_equal(s.free + s.cached, 0);
	/* Every second one back: that many single frames, nothing larger. */
	for (size_t i = 0; i < n; i++)
		if (frame[i] % 2)
			OK_(strata_frame_free(m, frame[i], 0));
	OK_(strata_drain(m));
	OK_(strata_statistics(m, &s));
	assert_int_equal(s.free_blocks[0], s.free);
	for (size_t i = 0; i < n; i++)
		if (frame[i] % 2 == 0)
			OK_(strata_frame_free(m, frame[i], 0));
	OK_(strata_drain(m));
	OK_(strata_statistics(m, &s));
	assert_int_equal(s.free, most);
	assert_int_equal(sum_of_blocks(&s), most);
	free(frame);
	unmake(m);
}

static unsigned made, unmade;

static void ctor(void *object)
{
	*(uint64_t *)object = 42;
	made++;
}

static void dtor(void *object)
{
	assert_int_equal(*(uint64_t *)object, 42);
	unmade++;
}

static void test_zones(void **state)
{
	struct strata_machine *m = make(1, 64 * MIB);
	struct strata_zone_config config = {.name = "test", .size = 200, .align = 64, .ctor = ctor, .dtor = dtor};
	struct strata_zone_statistics s;
	struct strata_zone *zone;
	void *object[1000];
	(void)state;

	made = unmade = 0;
	OK_(strata_zone_create(m, &config, &zone));
	for (unsigned i = 0; i < 1000; i++) {
		object[i] = strata_zone_alloc(zone);
		assert_non_null(object[i]);
		assert_int_equal((uintptr_t)object[i] % 64, 0);
		assert_int_equal(*(uint64_t *)object[i], 42);
		memset((char *)object[i] + 8, 0xee, 192);
	}
	OK_(strata_zone_statistics(zone, &s));
	assert_string_equal(s.name, "test");
	assert_int_equal(s.size, 200);
	assert_int_equal(s.in_use, 1000);
	assert_true(s.frames * STRATA_FRAME_SIZE >= 1000 * 200 + s.waste);
	assert_int_equal(strata_zone_destroy(m, zone), STRATA_BUSY);
	for (unsigned i = 0; i < 1000; i++)
		OK_(strata_zone_free(zone, object[i]));
	OK_(strata_zone_statistics(zone, &s));
	assert_int_equal(s.in_use, 0);
	OK_(strata_zone_destroy(m, zone));
	assert_true(made >= 1000);
	assert_int_equal(made, unmade);
	unmake(m);
}

static void test_kmalloc(void **state)
{
	struct strata_machine *m = make(1, 64 * MIB);
	(void)state;

	for (size_t size = 0; size < 300000; size += size / 7 + 1) {
		unsigned char *p = strata_kmalloc_zero(m, size), *q;
		size_t room = strata_usable_size(m, p), more = size + size / 2 + 1;

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(room >= size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, (int)size & 0xff, room);
		q = strata_krealloc(m, p, more);
		assert_non_null(q);
		for (size_t i = 0; i < room && i < more; i++)
			assert_int_equal(q[i], size & 0xff);
		assert_null(strata_krealloc(m, q, 0));
	}
	OK_(strata_kfree(m, NULL));
	unmake(m);
}

/* --- what is refused --- */

static void test_refused_machines(void **state)
{
	struct strata_config config = {.cpus = 1, .memory = 16 * MIB};
	struct strata_machine *m = NULL, *other;
	(void)state;

	assert_int_equal(strata_create(NULL, &m), STRATA_INVAL);
	assert_int_equal(strata_create(&config, NULL), STRATA_INVAL);
	config.cpus = 0;
	assert_int_equal(strata_create(&config, &m), STRATA_INVAL);
	config.cpus = STRATA_CPUS_MAX + 1;
	assert_int_equal(strata_create(&config, &m), STRATA_INVAL);
	config = (struct strata_config){.cpus = 1, .memory = 1 * MIB};
	assert_int_equal(strata_create(&config, &m), STRATA_INVAL);
	config.memory = SIZE_MAX;
	assert_int_equal(strata_create(&config, &m), STRATA_INVAL);
	assert_null(m);
	/* The bookkeeping of so many CPUs does not fit, or it does: never anything else. */
	config = (struct strata_config){.cpus = STRATA_CPUS_MAX, .memory = 4 * MIB};
	if (strata_create(&config, &m) == STRATA_OK)
		OK_(strata_destroy(m));
	OK_(strata_destroy(NULL));

	assert_int_equal(strata_detach(), STRATA_UNATTACHED);
	assert_int_equal(strata_attach(NULL, 0), STRATA_INVAL);
	assert_int_equal(strata_attach_any(NULL, NULL), STRATA_INVAL);
	assert_int_equal(strata_cpu(NULL), -1);
	m = make(2, 16 * MIB);
	config = (struct strata_config){.cpus = 1, .memory = 16 * MIB};
	OK_(strata_create(&config, &other));
	assert_int_equal(strata_attach(m, 2), STRATA_INVAL);
	assert_int_equal(strata_attach(m, 1), STRATA_BUSY); /* the thread is attached */
	assert_int_equal(strata_attach(other, 0), STRATA_BUSY);
	assert_int_equal(strata_destroy(m), STRATA_BUSY);
	assert_int_equal(strata_cpu(m), 0);
	assert_int_equal(strata_cpu(other), -1);
	OK_(strata_destroy(other));
	unmake(m);
}

static void refuse_all(struct strata_machine *m, struct strata_zone *zone, void *p, uint64_t frame)
{
	struct strata_zone_config config = {.name = "refused", .size = 8};
	struct strata_zone_statistics zone_statistics;
	struct strata_statistics statistics;
	struct strata_zone *made_here = NULL;
	uint64_t f = 7;

	assert_int_equal(strata_frame_alloc(m, 0, 0, &f), STRATA_UNATTACHED);
	assert_int_equal(f, 7);
	assert_int_equal(strata_frame_free(m, frame, 0), STRATA_UNATTACHED);
	assert_int_equal(strata_zone_create(m, &config, &made_here), STRATA_UNATTACHED);
	assert_null(made_here);
	assert_int_equal(strata_zone_destroy(m, zone), STRATA_UNATTACHED);
	assert_null(strata_zone_alloc(zone));
	assert_int_equal(strata_zone_free(zone, p), STRATA_UNATTACHED);
	assert_null(strata_kmalloc(m, 8));
	assert_null(strata_kmalloc_zero(m, 8));
	assert_null(strata_krealloc(m, p, 8));
	assert_int_equal(strata_kfree(m, p), STRATA_UNATTACHED);
	assert_int_equal(strata_usable_size(m, p), 0);
	assert_int_equal(strata_drain(m), STRATA_UNATTACHED);
	assert_int_equal(strata_statistics(m, &statistics), STRATA_UNATTACHED);
	assert_int_equal(strata_zone_statistics(zone, &zone_statistics), STRATA_UNATTACHED);
	assert_int_equal(strata_zones(m, NULL, NULL), STRATA_UNATTACHED);
	assert_int_equal(strata_check(m, NULL, 0), STRATA_UNATTACHED);
}

/* A thread that is attached to nothing, and one that is attached to another machine. */
static void test_unattached(void **state)
{
	struct strata_machine *m = make(1, 16 * MIB), *other;
	struct strata_zone_config config = {.name = "test", .size = 8};
	struct strata_zone *zone;
	uint64_t frame;
	void *p;
	(void)state;

	OK_(strata_zone_create(m, &config, &zone));
	OK_(strata_frame_alloc(m, 0, 0, &frame));
	p = strata_kmalloc(m, 8);
	OK_(strata_detach());
	refuse_all(m, zone, p, frame);
	other = make(4, 16 * MIB);
	refuse_all(m, zone, p, frame);
	unmake(other);
	OK_(strata_attach(m, 0));
	OK_(strata_frame_free(m, frame, 0));
	OK_(strata_kfree(m, p));
	OK_(strata_zone_destroy(m, zone));
	unmake(m);
}

static void test_refused_arguments(void **state)
{
	static char outside[64];
	struct strata_machine *m = make(1, 16 * MIB);
	struct strata_zone_config config = {.name = "test", .size = 8};
	struct strata_zone *zone, *none = NULL;
	struct strata_statistics before, after;
	uint64_t frame, other = 7;
	void *p;
	(void)state;

	OK_(strata_zone_create(m, &config, &zone));
	OK_(strata_frame_alloc(m, 3, 0, &frame));
	OK_(strata_statistics(m, &before));
	assert_int_equal(strata_frame_alloc(NULL, 0, 0, &other), STRATA_INVAL);
	assert_int_equal(strata_frame_alloc(m, STRATA_ORDER_MAX + 1, 0, &other), STRATA_INVAL);
	assert_int_equal(strata_frame_alloc(m, 0, 2, &other), STRATA_INVAL);
	assert_int_equal(strata_frame_alloc(m, 0, 0, NULL), STRATA_INVAL);
	assert_int_equal(strata_frame_alloc(m, STRATA_ORDER_MAX, 0, &other), STRATA_NOMEM);
	assert_int_equal(other, 7);
	assert_int_equal(strata_frame_free(m, 0, 0), STRATA_INVAL);
	assert_int_equal(strata_frame_free(m, UINT64_MAX, 0), STRATA_INVAL);
	assert_int_equal(strata_frame_free(m, frame, 2), STRATA_INVAL);     /* another order */
	assert_int_equal(strata_frame_free(m, frame + 1, 0), STRATA_INVAL); /* inside a block */
	assert_null(strata_frame_address(m, 0));
	assert_null(strata_frame_address(m, UINT64_MAX));
	assert_int_equal(strata_frame_number(m, outside), UINT64_MAX);
	OK_(strata_frame_free(m, frame, 3));
	assert_int_equal(strata_frame_free(m, frame, 3), STRATA_INVAL); /* twice */
	OK_(strata_frame_alloc(m, 3, 0, &frame));

	config.size = 0;
	assert_int_equal(strata_zone_create(m, &config, &none), STRATA_INVAL);
	config.size = STRATA_OBJECT_MAX + 1;
	assert_int_equal(strata_zone_create(m, &config, &none), STRATA_INVAL);
	config = (struct strata_zone_config){.name = "test", .size = 8, .align = 24};
	assert_int_equal(strata_zone_create(m, &config, &none), STRATA_INVAL);
	config.align = 8192;
	assert_int_equal(strata_zone_create(m, &config, &none), STRATA_INVAL);
	config = (struct strata_zone_config){.size = 8};
	assert_int_equal(strata_zone_create(m, &config, &none), STRATA_INVAL);
	assert_int_equal(strata_zone_create(m, NULL, &none), STRATA_INVAL);
	assert_null(none);
	assert_null(strata_zone_alloc(NULL));
	assert_int_equal(strata_zone_free(NULL, outside), STRATA_INVAL);
	assert_int_equal(strata_zone_destroy(m, NULL), STRATA_INVAL);
	OK_(strata_zone_free(zone, NULL));

	assert_null(strata_kmalloc(m, SIZE_MAX));
	assert_null(strata_kmalloc_zero(m, SIZE_MAX));
	assert_int_equal(strata_kfree(m, outside), STRATA_INVAL);
	assert_null(strata_krealloc(m, outside, 8));
	assert_int_equal(strata_usable_size(m, outside), 0);
	assert_int_equal(strata_usable_size(m, NULL), 0);
	p = strata_kmalloc(m, 8);
	memcpy(p, "content", 8);
	assert_null(strata_krealloc(m, p, SIZE_MAX)); /* p is as before */
	assert_string_equal(p, "content");
	OK_(strata_kfree(m, p));

	assert_int_equal(strata_statistics(m, NULL), STRATA_INVAL);
	assert_int_equal(strata_zone_statistics(NULL, NULL), STRATA_INVAL);
	assert_int_equal(strata_zones(m, NULL, NULL), STRATA_INVAL);
	OK_(strata_statistics(m, &after));
	assert_int_equal(before.blocks, after.blocks);
	assert_string_equal(strata_error_text((enum strata_error)99), "unknown error");
	OK_(strata_frame_free(m, frame, 3));
	OK_(strata_zone_destroy(m, zone));
	unmake(m);
}

static void refuse_destroy(struct strata_zone *zone, void *machine)
{
	struct strata_zone_statistics s;

	if (strata_zone_statistics(zone, &s) == STRATA_OK && !strncmp(s.name, "kmalloc", 7))
		*(struct strata_zone **)machine = zone;
}

/* A zone of kmalloc can be asked for and is not the caller's to destroy. */
static void test_kmalloc_zones_stay(void **state)
{
	struct strata_machine *m = make(1, 16 * MIB);
	struct strata_zone *zone = NULL;
	(void)state;

	OK_(strata_zones(m, refuse_destroy, &zone));
	assert_non_null(zone);
	assert_int_equal(strata_zone_destroy(m, zone), STRATA_INVAL);
	unmake(m);
}

/* --- several threads, several machines --- */

#define THREADS 4

struct thread {
	pthread_t thread;
	struct strata_machine *m;
	struct strata_zone *zone;
	unsigned cpu, seed;
	bool failed;
	void *(*shelf)[64]; /* of all threads: what lies there is freed by whoever comes by */
};

static void *churn(void *arg)
{
	struct thread *t = arg;

	if (strata_attach_any(t->m, &t->cpu) != STRATA_OK || strata_cpu(t->m) != (int)t->cpu) {
		t->failed = true;
		return NULL;
	}
	for (unsigned i = 0; i < 20000 && !t->failed; i++) {
		unsigned slot = (t->seed = t->seed * 1103515245 + 12345) >> 16 & 63;
		bool small = slot & 1; /* odd slots hold objects of the zone, even ones what kmalloc gave */
		size_t size = 1 + (t->seed >> 8) % 3000;
		unsigned char *p = small ? strata_zone_alloc(t->zone) : strata_kmalloc(t->m, size);

		if (p)
			memset(p, (int)slot, small ? 96 : size);
		p = __atomic_exchange_n(&(*t->shelf)[slot], p, __ATOMIC_ACQ_REL);
		if (p && p[0] != slot)
			t->failed = true;
		if (p && (small ? strata_zone_free(t->zone, p) : strata_kfree(t->m, p)) != STRATA_OK)
			t->failed = true;
	}
	if (strata_detach() != STRATA_OK)
		t->failed = true;
	return NULL;
}

static void test_threads(void **state)
{
	struct strata_zone_config config = {.name = "shared", .size = 96};
	struct thread thread[2 * THREADS];
	void *shelf[2][64] = {0};
	struct strata_machine *m[2];
	(void)state;

	for (unsigned i = 0; i < 2; i++) {
		m[i] = make(THREADS, 64 * MIB);
		OK_(strata_zone_create(m[i], &config, &thread[i].zone));
		OK_(strata_detach());
	}
	for (unsigned i = 0; i < 2 * THREADS; i++) {
		thread[i] =
			(struct thread){.m = m[i % 2], .zone = thread[i % 2].zone, .seed = i, .shelf = &shelf[i % 2]};
		assert_int_equal(pthread_create(&thread[i].thread, NULL, churn, &thread[i]), 0);
	}
	for (unsigned i = 0; i < 2 * THREADS; i++) {
		pthread_join(thread[i].thread, NULL);
		assert_false(thread[i].failed);
	}
	for (unsigned i = 0; i < 2; i++) {
		OK_(strata_attach(m[i], 3));
		for (unsigned slot = 0; slot < 64; slot++)
			OK_(slot & 1 ? strata_zone_free(thread[i].zone, shelf[i][slot])
				     : strata_kfree(m[i], shelf[i][slot]));
		OK_(strata_zone_destroy(m[i], thread[i].zone));
		unmake(m[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_kmalloc),
		cmocka_unit_test(test_refused_machines),
		cmocka_unit_test(test_unattached),
		cmocka_unit_test(test_refused_arguments),
		cmocka_unit_test(test_kmalloc_zones_stay),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
