/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/caches_race.c: what comes by the caches of others while they are in use: drains, statistics, audits, zones
 * that come and go, blocks of frames. For ThreadSanitizer above all; sums and audits judge the rest.
 */
#include "test_memory.h"

#define CPUS 4u
#define ROUNDS 400u
#define HELD 3u

static struct test_memory *m;
static struct zone *common;

static void blocks(uint32_t cpu, void *arg)
{
	pfn_t held[HELD];

	(void)arg;
	jitter(50);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned n = 0;

		if (cpu == 0) {
			frames_drain(&m->frames);
			for (uint64_t chunk = 0; chunk < 4; chunk++) {
				struct frame_chunk bits;

				CHECK(frame_core_look(&m->frames.core, chunk, &bits) <= CHUNK_FRAMES);
			}
			continue;
		}
		while (n < HELD && frame_alloc(&m->frames, n == 1 ? 3 : CHUNK_ORDER, 0, FRAME_WIRED, &held[n]) == OK)
			n++;
		while (n > 0) {
			n--;
			frame_free(&m->frames, held[n], n == 1 ? 3 : CHUNK_ORDER);
		}
	}
	jitter(0);
}

static void blocks_against_drains(void **state)
{
	(void)state;
	m = memory_open(CPUS, 160 << 20);
	run_on_cpus(m->t.m, CPUS, blocks, NULL);
	memory_close(m);
}

static void look_at(struct zone *z, void *arg)
{
	struct zone_stats s;

	zone_stats(z, &s);
	*(uint64_t *)arg += s.slabs;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void zones(uint32_t cpu, void *arg)
{
	void *held[40];
	uint64_t slabs = 0;

	(void)arg;
	jitter(50);
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (cpu == 0) {
			if (i % 4 == 0)
				(void)zones_drain(&m->zones);
			else
				(void)zone_reclaim(common);
			frames_fail_by(&m->frames, i % 2 ? never : NULL, NULL); /* fast paths closed and opened */
			zones_for_each(&m->zones, look_at, &slabs);
		} else if (cpu == 1) {
			struct zone *z = zone_create(&m->zones, "passing", 200, 0, NULL, NULL, 0);
			void *p = z ? zone_alloc(z) : NULL;

			CHECK(p);
			zone_free(z, p);
			zone_destroy(z);
		} else {
			for (unsigned k = 0; k < ARRAY_SIZE(held); k++)
				CHECK((held[k] = zone_alloc(common)));
			for (unsigned k = 0; k < ARRAY_SIZE(held); k++)
				zone_free(common, held[k]);
		}
	}
	jitter(0);
}

static void zones_against_walks_and_drains(void **state)
{
	(void)state;
	m = memory_open(CPUS, 32 << 20);
	common = zone_create(&m->zones, "common", 64, 0, NULL, NULL, 0);
	assert_non_null(common);
	run_on_cpus(m->t.m, CPUS, zones, NULL);
	zone_check(common);
	zone_destroy(common);
	memory_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_against_drains),
		cmocka_unit_test(zones_against_walks_and_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
