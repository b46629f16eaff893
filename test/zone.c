/* SPDX-License-Identifier: BSD-2-Clause */
/* test/zone.c: zones from one object to exhaustion, on one CPU and on many. */
#include <stdlib.h>

#include "test_memory.h"
#include "vm/zone_cache.h"

#define MIB (UINT64_C(1) << 20)

static struct zone_stats stats_of(struct zone *z)
{
	struct zone_stats s;

	zone_stats(z, &s);
	return s;
}

/* --- slabs --- */

/* Objects of every size: aligned, apart from each other and from the bits at the slab's end. */
static void every_size(void **state)
{
	static const size_t aligns[] = {0, 8, 64, 4096};
	struct test_memory *m = memory_open(1, 32 * MIB);
	static unsigned char *out[600];

	(void)state;
	for (size_t size = 1, step = 0; size <= ZONE_SIZE_MAX; size += 1 + size / 5, step++) {
		size_t align = aligns[step % 4];
		struct zone *z = zone_create(&m->zones, "test", size, align, NULL, NULL, ZONE_NO_CACHE);
		unsigned n = size > 4096 ? 20 : 600;

		assert_non_null(z);
		for (unsigned i = 0; i < n; i++) {
			out[i] = zone_alloc(z);
			assert_non_null(out[i]);
			assert_int_equal((uintptr_t)out[i] % (align ? align : size >= 16 ? 16 : 8), 0);
			assert_ptr_equal(zone_of(&m->zones, out[i]), z);
			assert_ptr_equal(zone_of(&m->zones, out[i] + size - 1), z);
			memset(out[i], (int)i, size);
		}
		zone_check(z);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(out[i][0], (unsigned char)i);
			assert_int_equal(out[i][size - 1], (unsigned char)i);
		}
		assert_int_equal(stats_of(z).in_use, n);
		assert_int_equal(stats_of(z).size, size);
		for (unsigned i = 0; i < n; i++)
			zone_free(z, out[i % 2 ? i : n - 2 - i + n % 2]); /* from both ends */
		zone_check(z);
		zone_destroy(z);
	}
	memory_close(m);
}

/*
 * A size that fits badly into one frame gets larger slabs, of any number of frames: at most a 25th is lost to the tail, and
 * at most 3 % are words of bits.
 */
static void slabs_waste_little(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	for (size_t size = 8; size <= ZONE_SIZE_MAX; size += 8) {
		struct slab_shape s;
		uint64_t bytes;

		assert_int_equal(slab_shape_init(&s, size, 8), OK);
		bytes = (uint64_t)s.frames << PAGE_SHIFT;
		assert_in_range(s.frames, 1, 1u << s.order);
		assert_true(s.frames == 1 || s.frames > 1u << (s.order - 1));
		assert_true((uint64_t)s.objects * s.stride + s.groups * 8 <= bytes);
		assert_true(bytes - (uint64_t)s.objects * s.stride <= bytes / 25);
		assert_true(s.groups * 8 * 100 <= bytes * 3);
	}
	test_machine_destroy(&t);
}

struct built {
	uint64_t magic, uses;
};
static unsigned built, unbuilt;

static void build(void *object)
{
	struct built *b = object;

	b->magic = 4711;
	b->uses = 0;
	built++;
}

static void unbuild(void *object)
{
	struct built *b = object;

	CHECK(b->magic == 4711 && b->uses == 0);
	b->magic = 0;
	unbuilt++;
}

/* The constructor runs once an object and slab, and what it built lasts from free to alloc. */
static void constructed_once(void **state)
{
	struct test_memory *m = memory_open(2, 4 * MIB);
	struct zone *z = zone_create(&m->zones, "built", sizeof(struct built), 0, build, unbuild, 0);
	struct built *b[1000];

	(void)state;
	z->keep = z->shelf = z->bundle = 1; /* so that most of it goes back to the slabs */
	z->slabs.keep = 1;
	built = unbuilt = 0;
	for (unsigned turn = 0; turn < 3; turn++) {
		for (unsigned i = 0; i < 1000; i++) {
			b[i] = zone_alloc(z);
			assert_int_equal(b[i]->magic, 4711);
			assert_int_equal(b[i]->uses++, 0);
		}
		for (unsigned i = 0; i < 1000; i++) {
			b[i]->uses--;
			zone_free(z, b[i]);
		}
		zone_check(z);
		if (turn == 0)
			assert_int_equal(built - unbuilt, stats_of(z).slabs * z->slabs.shape.objects);
	}
	assert_true(unbuilt > 0); /* empty slabs beyond a few went back by themselves */
	zone_reclaim(z);
	assert_int_equal(built, unbuilt);
	assert_int_equal(stats_of(z).slabs, 0);
	zone_destroy(z);
	memory_close(m);
}

/* Readers of a type-stable zone find that type, and what was there, as long as they stay in their section. */
static void type_stable_waits(void **state)
{
	struct test_memory *m = memory_open(2, 32 * MIB);
	struct zone *z = zone_create(&m->zones, "stable", 64, 0, NULL, NULL, ZONE_TYPE_STABLE);
	uint64_t *object;
	pfn_t frame;

	(void)state;
	object = zone_alloc(z);
	*object = 99;
	frame = frame_of_bytes(object);
	become_cpu(m, 1);
	epoch_enter(&m->epoch);
	become_cpu(m, 0);
	zone_free(z, object);
	assert_int_equal(zone_reclaim(z), 1);
	assert_int_equal(stats_of(z).slabs, 0);
	for (unsigned i = 0; i < 10; i++)
		epoch_poll(&m->epoch);
	assert_int_equal(page_owner(frame_page(&m->frames, frame)), FRAME_ZONE);
	assert_int_equal(*object, 99);
	become_cpu(m, 1);
	epoch_leave(&m->epoch);
	become_cpu(m, 0);
	for (unsigned i = 0; i < 4; i++)
		epoch_poll(&m->epoch);
	assert_true(frame_is_free(&m->frames, frame));
	zone_destroy(z);
	memory_close(m);
}

/* --- magazines --- */

static uint32_t on_shelf(struct zone *z, uint32_t cpu, bool empty)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < SHELF_SLOTS; i++) {
		uintptr_t word = atomic_load_relaxed(&z->cache[cpu].shelf[i]);

		n += word && (word & 1) == empty;
	}
	return n;
}

/* What a CPU frees goes to its magazine, its depot, its shelf, and the rest to the slabs; other CPUs get at the shelf. */
static void magazines_depot_and_shelf(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct zone *z = zone_create(&m->zones, "cached", 128, 0, NULL, NULL, 0);
	unsigned most = (1 + z->keep + z->shelf * z->bundle) * z->rounds, n = most + 40 * z->rounds;
	void **out = calloc(n, sizeof *out);
	struct zone_stats s;

	(void)state;
	assert_true(z->rounds > 1 && z->keep > 1 && z->shelf > 1 && z->bundle > 1);
	for (unsigned i = 0; i < n; i++)
		assert_non_null(out[i] = zone_alloc(z));
	s = stats_of(z);
	assert_int_equal(s.in_use, n);
	for (unsigned i = 0; i < n; i++)
		zone_free(z, out[i]);
	zone_check(z);
	s = stats_of(z);
	assert_int_equal(s.in_use, 0);
	assert_in_range(s.cached, most - z->rounds, most);
	assert_int_equal(on_shelf(z, 0, false), z->shelf);
	assert_true(s.slabs * z->slabs.shape.objects < n); /* slabs that became empty went back to the frames */
	assert_int_equal(s.capacity, s.slabs * z->slabs.shape.objects);
	assert_int_equal(s.waste, (s.frames << PAGE_SHIFT) - s.capacity * 128);
	/* what CPU 0 put on its shelf serves CPU 1 without slabs; empty magazines lie there instead, but for the first */
	become_cpu(m, 1);
	for (unsigned i = 0; i < z->shelf * z->bundle * z->rounds; i++)
		assert_non_null(out[i] = zone_alloc(z));
	assert_int_equal(stats_of(z).slabs, s.slabs);
	assert_int_equal(on_shelf(z, 0, false), 0);
	assert_int_equal(on_shelf(z, 0, true), z->shelf - 1);
	for (unsigned i = 0; i < z->shelf * z->bundle * z->rounds; i++)
		zone_free(z, out[i]);
	zone_check(z);
	assert_int_equal(zones_drain(&m->zones) > 0, 1);
	assert_int_equal(stats_of(z).slabs, 0);
	assert_int_equal(stats_of(z).cached, 0);
	zone_destroy(z);
	free(out);
	memory_close(m);
}

/* Pairs and batches that fit a CPU's own depot touch no slabs, and no shelf if they fit what is a CPU's own. */
static void own_depot_is_enough(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct zone *z = zone_create(&m->zones, "own", 64, 0, NULL, NULL, 0);
	unsigned most = z->keep * z->rounds, few = cache_own(z) * z->rounds;
	void **out = calloc(most, sizeof *out);
	uint64_t slabs = 0;

	(void)state;
	assert_true(few < most);
	for (unsigned turn = 0; turn < 8; turn++) {
		unsigned n = turn < 4 ? few : most;

		for (unsigned i = 0; i < n; i++)
			assert_non_null(out[i] = zone_alloc(z));
		if (turn % 4 == 0)
			slabs = z->slabs.free;
		assert_int_equal(z->slabs.free, slabs); /* of the first turn: nothing came or went since */
		for (unsigned i = 0; i < n; i++)
			zone_free(z, out[i]);
		assert_true(turn >= 4 || on_shelf(z, 0, false) == 0);
	}
	zone_check(z);
	zone_destroy(z);
	free(out);
	memory_close(m);
}

/* A machine without a barrier of all CPUs: caches are closed for good, everything else is as ever. */
static void without_barrier_of_all(void **state)
{
	struct test_memory *m = memory_open_with(2, 32 * MIB, true);
	struct zone *z = zone_create(&m->zones, "closed", 64, 0, NULL, NULL, 0);
	void *out[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		assert_non_null(out[i] = zone_alloc(z));
	assert_null(atomic_load_relaxed(&z->cache[0].high));
	assert_int_equal(stats_of(z).in_use, 200);
	for (unsigned i = 0; i < 200; i++)
		zone_free(z, out[i]);
	zone_check(z);
	zone_destroy(z);
	memory_close(m);
}

/* --- limits and waiting --- */

static void limit_is_exact(void **state)
{
	struct test_memory *m = memory_open(2, 32 * MIB);
	struct zone *z = zone_create(&m->zones, "limited", 64, 0, NULL, NULL, 0);
	void *out[100];
	uint64_t slabs;

	(void)state;
	zone_set_limit(z, 70);
	assert_int_equal(stats_of(z).limit, 70);
	for (unsigned i = 0; i < 70; i++)
		assert_non_null(out[i] = zone_alloc(z));
	slabs = stats_of(z).slabs;
	assert_null(zone_alloc(z));
	assert_null(zone_alloc(z));
	assert_int_equal(stats_of(z).failures, 2);
	assert_int_equal(stats_of(z).slabs, slabs); /* nothing is made that could not be used */
	zone_free(z, out[69]);                      /* into this CPU's magazine */
	become_cpu(m, 1);
	assert_non_null(out[69] = zone_alloc(z)); /* and found there */
	assert_null(zone_alloc(z));
	zone_set_limit(z, 71);
	assert_non_null(out[70] = zone_alloc(z));
	assert_null(zone_alloc(z));
	zone_set_limit(z, ZONE_UNLIMITED);
	for (unsigned i = 71; i < 100; i++)
		assert_non_null(out[i] = zone_alloc(z));
	zone_set_limit(z, 10); /* below what is out: holds as soon as they are back */
	for (unsigned i = 0; i < 100; i++)
		zone_free(z, out[i]);
	zone_reclaim(z);
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(out[i] = zone_alloc(z));
	assert_null(zone_alloc(z));
	for (unsigned i = 0; i < 10; i++)
		zone_free(z, out[i]);
	zone_check(z);
	zone_destroy(z);
	memory_close(m);
}

#define WAITERS 4u
#define PIECES 3u /* fewer than those who want one */

struct queue {
	struct zone *zone;
	ATOMIC(uint32_t) out; /* pieces, by count */
};

static void take_turns(uint32_t cpu, void *arg)
{
	struct queue *q = arg;

	jitter(16);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t *p = zone_alloc_wait(q->zone);

		CHECK(p && atomic_add_acq_rel(&q->out, 1u) < PIECES);
		*p = cpu;
		if (i % 4 == 0)
			cpu_relax();
		CHECK(*p == cpu);
		atomic_sub_acq_rel(&q->out, 1u);
		zone_free(q->zone, p);
	}
	jitter(0);
}

/* More want objects than there may be: everybody gets one in the end, nobody fails. */
static void waiting_for_a_limit(void **state)
{
	struct test_memory *m = memory_open(WAITERS, 32 * MIB);
	struct queue q = {zone_create(&m->zones, "queue", 64, 0, NULL, NULL, 0), {0}};

	(void)state;
	zone_set_limit(q.zone, PIECES);
	run_on_cpus(m->t.m, WAITERS, take_turns, &q);
	assert_int_equal(stats_of(q.zone).in_use, 0);
	zone_check(q.zone);
	zone_free(q.zone, zone_alloc(q.zone)); /* the slow way, which opens the cache again */
	assert_non_null(atomic_load_relaxed(&q.zone->cache[0].high));
	zone_destroy(q.zone);
	memory_close(m);
}

static void give_frames(uint32_t cpu, void *arg)
{
	struct queue *q = arg;
	struct test_memory *m = CONTAINER_OF(q->zone->zones, struct test_memory, zones);
	struct frame_list rest;
	pfn_t n;

	if (cpu == 1) {
		atomic_store_release(&q->out, 2u); /* pairs with the load below */
		zone_free(q->zone, zone_alloc_wait(q->zone));
		atomic_store_release(&q->out, 3u);
		return;
	}
	frame_list_init(&rest);
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &n) == OK)
		frame_list_push(&m->frames, &rest, n);
	atomic_store_release(&q->out, 1u); /* as above */
	while (atomic_load_acquire(&q->out) < 2)
		cpu_relax();
	while (atomic_load_relaxed(&q->zone->waiters) == 0) /* until it waits, or is about to */
		cpu_relax();
	frame_list_free(&m->frames, &rest);
	zones_wake(&m->zones);
}

static void wait_for_cpu_0(uint32_t cpu, void *arg)
{
	struct queue *q = arg;

	while (cpu == 1 && atomic_load_acquire(&q->out) == 0) /* pairs with the store in give_frames */
		cpu_relax();
	give_frames(cpu, arg);
}

static void waiting_for_frames(void **state)
{
	struct test_memory *m = memory_open(2, 4 * MIB);
	struct queue q = {zone_create(&m->zones, "hungry", 256, 0, NULL, NULL, 0), {0}};

	(void)state;
	run_on_cpus(m->t.m, 2, wait_for_cpu_0, &q);
	assert_int_equal(atomic_load_relaxed(&q.out), 3);
	zone_destroy(q.zone);
	memory_close(m);
}

/* On a machine with little RAM a CPU, magazines shrink, and large objects have none. */
static void magazines_scale_down(void **state)
{
	struct test_memory *m = memory_open(64, 64 * MIB);
	struct zone *small = zone_create(&m->zones, "small", 64, 8, NULL, NULL, 0);
	struct zone *large = zone_create(&m->zones, "large", 4096, 8, NULL, NULL, 0);
	void *object;

	(void)state;
	assert_in_range(small->rounds, STRATA_CHECKED >= 2 ? 3 : 4, 8);
	assert_int_equal(large->rounds, 0);
	object = zone_alloc(large);
	assert_int_equal(stats_of(large).in_use, 1);
	zone_free(large, object);
	zone_destroy(small);
	zone_destroy(large);
	memory_close(m);
}

/* --- no memory --- */

static void exhaustion(void **state)
{
	struct test_memory *m = memory_open(2, 4 * MIB);
	struct zone *z = zone_create(&m->zones, "greedy", 256, 0, NULL, NULL, 0);
	void *object, *last = NULL, **list = NULL;
	uint64_t n = 0;

	(void)state;
	while ((object = zone_alloc(z)) != NULL) {
		*(void **)object = list;
		list = object;
		n++;
	}
	assert_int_equal(stats_of(z).failures, 1);
	assert_int_equal(stats_of(z).in_use, n);
	assert_int_equal(frames_available(&m->frames), 0);
	/* one freed on another CPU is reached from here, be it in a magazine */
	last = list;
	list = *list;
	become_cpu(m, 1);
	zone_free(z, last);
	become_cpu(m, 0);
	object = zone_alloc(z);
	assert_ptr_equal(object, last);
	assert_null(zone_alloc(z));
	zone_free(z, object);
	while (list) {
		object = list;
		list = *list;
		zone_free(z, object);
	}
	zone_check(z);
	zone_destroy(z);
	memory_close(m);
}

/* Who finds nothing else takes from another's depot, one by one, and what is left there is as it should be. */
static void depots_are_searched(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct zone *z = zone_create(&m->zones, "searched", 200, 0, NULL, NULL, 0);
	struct zone_cache *c = &z->cache[0];
	unsigned n = 5 * z->rounds, taken = 0;
	void **out = calloc(2 * n, sizeof *out); /* the slabs had a few more to begin with */

	(void)state;
	for (unsigned i = 0; i < n; i++)
		assert_non_null(out[i] = zone_alloc(z));
	for (unsigned i = 0; i < n; i++)
		zone_free(z, out[i]);
	assert_true(magazine_depth(c->full) >= 3 && !z->cache[1].loaded);
	zone_set_limit(z, 1); /* the slabs give nothing more */
	become_cpu(m, 1);
	for (void *object; (object = zone_alloc(z));) {
		assert_true(taken < 2 * n);
		out[taken++] = object;
		zone_check(z);
		assert_int_equal(stats_of(z).in_use, taken);
	}
	assert_true(taken >= n);
	zone_set_limit(z, ZONE_UNLIMITED);
	while (taken > 0)
		zone_free(z, out[--taken]);
	zone_check(z);
	zone_destroy(z);
	free(out);
	memory_close(m);
}

/* With no magazine to be had a CPU has nothing loaded; what it frees goes to the slabs, and what it has is found by others. */
static void no_magazine(void **state)
{
	struct test_memory *m = memory_open(2, 32 * MIB);
	struct zone *z = zone_create(&m->zones, "bare", 256, 0, NULL, NULL, 0);
	struct zone_cache *c = &z->cache[0];
	void *out[2 * MAGAZINE_MAX], *magazine, *taken = NULL;
	struct frame_list frames;
	unsigned n = 0;
	pfn_t f;

	(void)state;
	for (; n < 2 * z->rounds; n++)
		assert_non_null(out[n] = zone_alloc(z));
	frame_list_init(&frames);
	while (f = frame_get(&m->frames, FRAME_WIRED), !pfn_is_none(f))
		frame_list_push(&m->frames, &frames, f);
	while (slabs_get(z->magazines, &magazine, 1)) {
		*(void **)magazine = taken;
		taken = magazine;
	}
	while (c->loaded)
		zone_free(z, out[--n]);
	assert_non_null(c->full);
	assert_null(c->empty);
	zone_free(z, out[--n]);
	assert_null(c->loaded);
	zone_check(z);
	become_cpu(m, 1);
	while (c->full) {
		assert_non_null(out[n++] = zone_alloc(z));
		zone_check(z);
	}
	become_cpu(m, 0);
	while (taken) {
		magazine = taken;
		taken = *(void **)taken;
		slabs_put(z->magazines, &magazine, 1);
	}
	zone_free(z, out[--n]);
	assert_non_null(c->loaded);
	frame_list_free(&m->frames, &frames);
	while (n > 0)
		zone_free(z, out[--n]);
	zone_check(z);
	zone_destroy(z);
	memory_close(m);
}

static void injected_failures(void **state)
{
	struct test_memory *m = memory_open(2, 16 * MIB);
	void *out[300];

	(void)state;
	for (uint64_t one_in = 1; one_in < 12; one_in++) {
		struct zone *z;
		unsigned n = 0, failed = 0;

		memory_fail(m, one_in);
		while ((z = zone_create(&m->zones, "unlucky", 200, 0, NULL, NULL, 0)) == NULL && one_in > 1)
			failed++;
		if (!z)
			continue;
		failed = 0;
		for (unsigned i = 0; i < 300; i++) {
			out[n] = zone_alloc(z);
			if (out[n])
				n++;
			else
				failed++;
		}
		assert_true(failed > 0);
		assert_int_equal(stats_of(z).failures, failed);
		assert_int_equal(stats_of(z).in_use, n);
		while (n > 0)
			zone_free(z, out[--n]);
		zone_check(z);
		zone_destroy(z);
		memory_fail(m, 0);
		memory_check(m);
	}
	memory_fail(m, 0);
	memory_close(m);
}

/* Also where an object lies ready. */
static void injected_failures_reach_warm_caches(void **state)
{
	struct test_memory *m = memory_open(2, 16 * MIB);
	struct zone *z = zone_create(&m->zones, "warm", 200, 0, NULL, NULL, 0);
	void *object = zone_alloc(z);

	(void)state;
	assert_non_null(object);
	zone_free(z, object);
	memory_fail(m, 1);
	assert_null(zone_alloc(z));
	memory_fail(m, 0);
	object = zone_alloc(z);
	assert_non_null(object);
	zone_free(z, object);
	zone_destroy(z);
	memory_close(m);
}

/* And where the next magazine lies ready, of objects or empty; who changes it does not open the cache again. */
static void injected_failures_reach_depots(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct zone *z = zone_create(&m->zones, "depot", 200, 0, NULL, NULL, 0);
	struct zone_cache *c = &z->cache[0];
	unsigned n = 5 * z->rounds, again = 0;
	void **out = calloc(n, sizeof *out);

	(void)state;
	for (unsigned i = 0; i < n; i++)
		assert_non_null(out[i] = zone_alloc(z));
	for (unsigned i = 0; i < n / 2; i++)
		zone_free(z, out[i]);
	while (atomic_load_relaxed(&c->low) != atomic_load_relaxed(&c->top) || !c->empty)
		assert_non_null(out[again++] = zone_alloc(z));
	assert_non_null(c->full);
	memory_fail(m, 1);
	assert_null(zone_alloc(z));
	for (unsigned i = n / 2; i < n; i++) {
		zone_free(z, out[i]);
		assert_null(zone_alloc(z));
	}
	memory_fail(m, 0);
	while (again > 0)
		zone_free(z, out[--again]);
	zone_check(z);
	zone_destroy(z);
	memory_close(m);
	free(out);
}

/* Magazines that hold nothing go too. */
static void empty_magazines_are_drained(void **state)
{
	struct test_memory *m = memory_open(2, 64 * MIB);
	struct zone *z = zone_create(&m->zones, "empties", 64, 0, NULL, NULL, 0);
	unsigned n = 4 * z->rounds;
	void **out = calloc(n, sizeof *out);

	(void)state;
	assert_true(z->keep >= 4);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < n; i++)
			assert_non_null(out[i] = zone_alloc(z));
		for (unsigned i = 0; turn == 0 && i < n; i++)
			zone_free(z, out[i]);
	}
	assert_non_null(z->cache[0].empty);
	(void)zone_reclaim(z);
	assert_null(z->cache[0].empty);
	for (unsigned i = 0; i < n; i++)
		zone_free(z, out[i]);
	zone_destroy(z);
	free(out);
	memory_close(m);
}

/* --- misuse, in checked builds --- */

static void misuse_panics(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	struct zone *z = zone_create(&m->zones, "right", 40, 0, NULL, NULL, 0);
	struct zone *other = zone_create(&m->zones, "wrong", 40, 0, NULL, NULL, 0);
	unsigned char *a = zone_alloc(z), *b = zone_alloc(z), *c = zone_alloc(other);
	char on_stack[40];

	(void)state;
	EXPECT_PANIC("of zone wrong was freed to zone right", zone_free(z, c));
	EXPECT_PANIC("no object's start", zone_free(z, a + 8));
	EXPECT_PANIC("not in the RAM", zone_free(z, on_stack));
	EXPECT_PANIC("of no zone", zone_free(z, m->frames.pages));
	a[40] ^= 1;
	EXPECT_PANIC("zone right: object", zone_free(z, a));
	a[40] ^= 1;
	zone_free(z, b);
	EXPECT_PANIC("freed twice", zone_free(z, b));
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(b[i], 0xa5); /* junk */
	b[41] ^= 1;
	EXPECT_PANIC("past its end", zone_alloc(z); zone_alloc(z));
	memory_abandon(m);

	m = memory_open(1, 16 * MIB);
	z = zone_create(&m->zones, "busy", 40, 0, NULL, NULL, 0);
	zone_alloc(z);
	EXPECT_PANIC("busy is destroyed while 1 objects", zone_destroy(z));
	memory_abandon(m);
}

static void count_zones(struct zone *z, void *arg)
{
	struct zone_stats s;

	zone_stats(z, &s);
	CHECK(strncmp(s.name, "zone-", 5) == 0);
	++*(unsigned *)arg;
}

static void list_of_zones(void **state)
{
	struct test_memory *m = memory_open(1, 16 * MIB);
	struct zone *a = zone_create(&m->zones, "zone-a", 8, 0, NULL, NULL, 0);
	struct zone *b = zone_create(&m->zones, "zone-b", 8, 0, NULL, NULL, 0);
	unsigned n = 0;

	(void)state;
	zones_for_each(&m->zones, count_zones, &n);
	assert_int_equal(n, 2);
	zone_destroy(a);
	zones_for_each(&m->zones, count_zones, &n);
	assert_int_equal(n, 3);
	zone_destroy(b);
	memory_close(m);
}

/* --- many CPUs --- */

#define MAILBOXES 64

struct parcel {
	uint64_t from, number;
	uint64_t filler[10];
};

struct post {
	struct test_memory *m;
	struct zone *zone;
	bool hoard; /* keep many before letting go */
	ATOMIC(struct parcel *) box[MAILBOXES];
};

static void check_parcel(const struct parcel *p)
{
	for (unsigned i = 0; i < 10; i++)
		CHECK(p->filler[i] == (p->from ^ p->number));
}

/* Objects made here are freed there; now and then someone drains everything. */
static void carry(uint32_t cpu, void *arg)
{
	struct post *post = arg;
	struct parcel *own[200];
	unsigned count = 0, seed = TEST_SEED + cpu;

	jitter(256);
	for (uint64_t step = 0; step < 8000; step++) {
		unsigned r = (unsigned)rand_r(&seed);

		if (r % 2 || (post->hoard && r % 512 && count < 190)) {
			struct parcel *p = count < 200 ? zone_alloc(post->zone) : NULL;

			if (p) {
				p->from = cpu;
				p->number = step;
				for (unsigned i = 0; i < 10; i++)
					p->filler[i] = cpu ^ step;
				own[count++] = p;
			}
		} else if (count > 0) {
			struct parcel *p;

			/* acq_rel: the parcel goes from CPU to CPU by the box */
			p = atomic_swap_acq_rel(&post->box[r / 2 % MAILBOXES], own[--count]);
			if (p) {
				check_parcel(p);
				zone_free(post->zone, p);
			}
		}
		while (r % 512 == 0 && count > 0) {
			check_parcel(own[--count]);
			zone_free(post->zone, own[count]);
		}
		if (r % 4096 == 7)
			zone_reclaim(post->zone);
		if (r % 4096 == 9)
			zones_drain(&post->m->zones);
		if (epoch_should_poll(&post->m->epoch))
			epoch_poll(&post->m->epoch);
	}
	while (count > 0)
		zone_free(post->zone, own[--count]);
	jitter(0);
}

static void run_post(unsigned flags, uint64_t ram, bool hoard, uint64_t fail_one_in)
{
	struct test_memory *m = memory_open(4, ram);
	struct post *post = calloc(1, sizeof *post);
	unsigned left = 0;

	post->m = m;
	post->hoard = hoard;
	post->zone = zone_create(&m->zones, "post", sizeof(struct parcel), 0, NULL, NULL, flags);
	memory_fail(m, fail_one_in);
	run_on_cpus(m->t.m, 4, carry, post);
	memory_fail(m, 0);
	zone_check(post->zone);
	for (unsigned i = 0; i < MAILBOXES; i++)
		left += atomic_load_relaxed(&post->box[i]) != NULL;
	assert_int_equal(stats_of(post->zone).in_use, left);
	for (unsigned i = 0; i < MAILBOXES; i++)
		if (atomic_load_relaxed(&post->box[i]))
			zone_free(post->zone, atomic_load_relaxed(&post->box[i]));
	zone_destroy(post->zone);
	free(post);
	memory_close(m);
}

static void crowd(void **state)
{
	(void)state;
	run_post(0, 32 * MIB, false, 0);
	run_post(0, 32 * MIB, true, 0);
}

static void crowd_type_stable(void **state)
{
	(void)state;
	run_post(ZONE_TYPE_STABLE, 32 * MIB, true, 0);
}

static void crowd_without_magazines(void **state)
{
	(void)state;
	run_post(ZONE_NO_CACHE, 32 * MIB, true, 0);
}

static void crowd_with_failures(void **state)
{
	(void)state;
	run_post(0, 32 * MIB, true, 5);
}

/* Memory is used up to a few magazines: who takes no more than its part is never refused. */
struct pair {
	struct zone *zone;
	unsigned quota;
};

static void live_on_quota(uint32_t cpu, void *arg)
{
	struct pair *pair = arg;
	void **held = calloc(pair->quota, sizeof *held);
	unsigned count = 0, seed = TEST_SEED + cpu;

	for (unsigned step = 0; step < 40000; step++) {
		unsigned r = (unsigned)rand_r(&seed);

		if (count < pair->quota && r % 256) {
			held[count] = zone_alloc(pair->zone);
			/* the slack covers what a busy neighbour moves while we look: what it loads or shares, and one in its hand
			 */
			CHECK(held[count] != NULL);
			count++;
		}
		for (unsigned drop = r % 256 ? r / 256 % 3 : count; drop > 0 && count > 0; drop--)
			zone_free(pair->zone, held[--count]);
	}
	while (count > 0)
		zone_free(pair->zone, held[--count]);
	free(held);
}

static void no_failure_with_slack(void **state)
{
	struct test_memory *m = memory_open(2, 4 * MIB);
	struct pair pair = {zone_create(&m->zones, "pair", 256, 0, NULL, NULL, 0), 0};
	struct frame_list rest;
	pfn_t n;
	void **all = NULL, *object;
	unsigned room = 0;

	(void)state;
	frame_list_init(&rest);
	while (frames_available(&m->frames) > 40 && frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &n) == OK)
		frame_list_push(&m->frames, &rest, n);
	while ((object = zone_alloc(pair.zone)) != NULL) {
		*(void **)object = all;
		all = object;
		room++;
	}
	while (all) {
		object = all;
		all = *all;
		zone_free(pair.zone, object);
	}
	/* magazines take frames too, all in at most two slabs */
	pair.quota = (room - 3 * pair.zone->rounds - 2 * pair.zone->slabs.shape.objects) / 2;
	run_on_cpus(m->t.m, 2, live_on_quota, &pair);
	frame_list_free(&m->frames, &rest);
	zone_destroy(pair.zone);
	memory_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size),
		cmocka_unit_test(slabs_waste_little),
		cmocka_unit_test(constructed_once),
		cmocka_unit_test(type_stable_waits),
		cmocka_unit_test(magazines_depot_and_shelf),
		cmocka_unit_test(own_depot_is_enough),
		cmocka_unit_test(without_barrier_of_all),
		cmocka_unit_test(limit_is_exact),
		cmocka_unit_test(waiting_for_a_limit),
		cmocka_unit_test(waiting_for_frames),
		cmocka_unit_test(magazines_scale_down),
		cmocka_unit_test(exhaustion),
		cmocka_unit_test(depots_are_searched),
		cmocka_unit_test(no_magazine),
		cmocka_unit_test(injected_failures),
		cmocka_unit_test(injected_failures_reach_warm_caches),
		cmocka_unit_test(injected_failures_reach_depots),
		cmocka_unit_test(empty_magazines_are_drained),
		cmocka_unit_test(misuse_panics),
		cmocka_unit_test(list_of_zones),
		cmocka_unit_test(crowd),
		cmocka_unit_test(crowd_type_stable),
		cmocka_unit_test(crowd_without_magazines),
		cmocka_unit_test(crowd_with_failures),
		cmocka_unit_test(no_failure_with_slack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
