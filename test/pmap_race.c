/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/pmap_race.c: all CPUs fault, unmap, discard, copy, protect, withdraw and
 * exit at once, on the same leaf tables and frames. What is checked: pmap_world.h.
 * CPUs let go of their cores at random points, so that they meet in the middle of
 * things on machines with few cores as well.
 */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "pmap_world.h"

static _Thread_local uint64_t jitter_state;

static void jitter(void)
{
	const struct timespec nap = { 0, 20000 };

	jitter_state = jitter_state * 6364136223846793005u + 1442695040888963407u;
	if (jitter_state >> 50 == 0)
		nanosleep(&nap, NULL);
	else if (jitter_state >> 60 == 0)
		sched_yield();
}

static void run(uint32_t cpu, void *arg)
{
	struct world *w = arg;
	struct cpu c;

	cpu_begin(&c, w, TEST_SEED * 7 + cpu);
	jitter_state = TEST_SEED + cpu;
	host_point = jitter;
	for (unsigned n = 0; n < w->rounds; n++) {
		struct space *s = &w->space[cpu_random(&c) % SPACES];
		unsigned window = cpu_random(&c) % WINDOWS, page = cpu_random(&c) % PAGES, what = cpu_random(&c) % 100;
		unsigned last = page + cpu_random(&c) % (PAGES - page);

		if (what < 70)
			world_touch(&c, s, window, page);
		else if (what < 76)
			world_unmap(&c, s, window, true);
		else if (what < 78)
			world_unmap(&c, s, window, false);
		else if (what < 82)
			world_discard(&c, s, window & ~1u, page, last);
		else if (what < 88)
			world_copy(&c, s, window & ~1u, page);
		else if (what < 92)
			world_protect(&c, s, window, page / 2);
		else if (what < 97)
			world_withdraw(&c, page);
		else if (what < 98)
			world_live_and_exit(&c, 0, PAGES);
		else if (what < 99)
			world_limit(&c, s);
		else
			world_ask(&c, page);
		if (n % 64 == 0)
			pm_poll(&w->m);
	}
	host_point = NULL;
	cpu_end(&c);
}

static void race(const struct host_config *config, unsigned rounds)
{
	struct world *w = pm_zalloc(sizeof *w);

	world_begin(w, config);
	w->rounds = rounds;
	run_on_cpus(w->m.t.m, config->ncpus, run, w);
	assert_true(atomic_load_relaxed(&w->faults) > rounds / 2);
	world_end(w);
	free(w);
}

static void test_race(void **state)
{
	struct host_config c = { .ncpus = 4, .ram = 32 << 20, .junk = true, .seed = TEST_SEED, .asid_bits = 8, .break_check = 1 };

	(void)state;
	race(&c, 4000);
	c.asid_bits = 4;
	c.tlbi = HOST_TLBI_LATE;
	race(&c, 2000);
	c.range_tlbi = true;
	c.tlbi = HOST_TLBI_RANDOM;
	race(&c, 2000);
}

static void test_race_with_hardware_dirty(void **state)
{
	struct host_config c = { .ncpus = 4, .ram = 32 << 20, .junk = true, .seed = TEST_SEED + 1, .hw_access = true,
				 .hw_dirty = true, .range_tlbi = true, .break_check = 1 };

	(void)state;
	race(&c, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_with_hardware_dirty),
	};

	return run_both_scopes(tests);
}
