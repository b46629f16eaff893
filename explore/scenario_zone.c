/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_zone.c: the steps of a zone's caches one by one: the fast path against who closes it, magazines that pass from
 * shelf to CPU, waiters against who frees.
 *
 * Objects are written and read plainly, so one in two hands is a data race; every run ends with the audit of all frames.
 */
#include "base/atomic.h"
#include "explore.h"
#include "test_memory.h"
#include "vm/zone_cache.h"

#define OBJECT_SIZE 104u /* two rounds a magazine with this RAM */
#define HELD 10u

static struct test_memory *m;
static struct host_machine *machine(void) { return m->t.m; }
static struct zone *zone;
static uint32_t how;
static uint64_t *given[HELD], *got[EXPLORE_CPUS][HELD];

static void open_zone(uint32_t variant, bool no_barrier_all)
{
	how = variant;
	explore_portable(true);
	m = memory_open_with(EXPLORE_CPUS, 2 << 20, no_barrier_all);
	zone = zone_create(&m->zones, "scenario", OBJECT_SIZE, 0, NULL, NULL, 0);
	CHECK(zone && zone->rounds == 2);
	/* small on purpose, before anything is cached: what does not fit a magazine is for others, then for the slabs */
	zone->keep = 0;
	zone->shelf = zone->bundle = 1;
	CHECK(frame_audit(&m->frames, &m->before));
}

static void judge(void)
{
	struct zone_stats s;

	for (uint32_t cpu = 0; cpu < EXPLORE_CPUS; cpu++)
		for (unsigned i = 0; i < HELD; i++)
			if (got[cpu][i])
				zone_free(zone, got[cpu][i]);
	zone_check(zone);
	zone_stats(zone, &s);
	CHECK(s.in_use == 0);
	zone_reclaim(zone);
	zone_stats(zone, &s);
	CHECK(s.slabs == 0);
	memory_check(m);
}

static void use(uint64_t *o, uint32_t cpu)
{
	CHECK(o);
	o[0] = cpu;
	cpu_point();
	CHECK(o[0] == cpu);
}

/* --- the fast path while another CPU closes it: to drain, to look for an object, or because failures are injected --- */

enum { CLOSED_BY_DRAIN, CLOSED_BY_SEARCH, CLOSED_FOR_FAILURES, CLOSED_ALWAYS, CLOSED_HOWS };

static void closed_setup(uint32_t variant)
{
	open_zone(variant, variant == CLOSED_ALWAYS);
	given[0] = zone_alloc(zone);
	given[1] = zone_alloc(zone);
	CHECK(given[0] && given[1]);
	zone_free(zone, given[1]); /* one in CPU 0's magazine, room for one */
	if (how == CLOSED_BY_SEARCH)
		zone_set_limit(zone, 3); /* two are out of the slabs, and one more may be */
}

static void searched_setup(uint32_t variant)
{
	(void)variant;
	closed_setup(CLOSED_BY_SEARCH);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void closed_run(uint32_t cpu)
{
	if (cpu == 0) {
		if (how == CLOSED_BY_SEARCH) /* gives before it takes: where the other CPU has just read */
			zone_free(zone, given[0]);
		for (unsigned i = 0; i < 2; i++) {
			got[0][i] = zone_alloc(zone);
			if (!got[0][i] && how == CLOSED_BY_SEARCH)
				continue; /* the other CPU has it */
			use(got[0][i], cpu);
			zone_free(zone, got[0][i]);
			got[0][i] = NULL;
		}
		return;
	}
	if (how == CLOSED_BY_SEARCH) {
		for (unsigned i = 0; i < 2; i++) {
			got[cpu][i] = zone_alloc(zone);
			if (got[cpu][i])
				use(got[cpu][i], cpu);
		}
		return;
	}
	if (how == CLOSED_FOR_FAILURES) {
		frames_fail_by(&m->frames, never, NULL);
		frames_fail_by(&m->frames, NULL, NULL);
	}
	zone_reclaim(zone);
	/* and what went is somebody else's: objects, and magazines */
	for (unsigned i = 0; how == CLOSED_BY_DRAIN && i < 3; i++) {
		got[cpu][i] = zone_alloc(zone);
		use(got[cpu][i], cpu);
	}
}

static void closed_judge(void)
{
	zone_set_limit(zone, ZONE_UNLIMITED);
	if (how != CLOSED_BY_SEARCH)
		zone_free(zone, given[0]);
	judge();
}

/* --- one magazine for another inside the own depot, while another CPU drains, searches, or closes and opens --- */

static void exchange_setup(uint32_t variant)
{
	open_zone(variant, false);
	zone->keep = 2;
	for (unsigned i = 0; i < 4; i++) {
		given[i] = zone_alloc(zone);
		CHECK(given[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		zone_free(zone, given[i]); /* two in the depot, one loaded */
	CHECK(zone->cache[0].full);
	if (how == CLOSED_BY_SEARCH)
		zone_set_limit(zone, 4);
}

/* What is at hand, then what is near. */
static bool near;
static void *take_near(void)
{
	void *o = zone_alloc_cached(zone);

	return o ? o : cache_take_near(zone);
}

/* In the last two the cache is empty, and slabs have what is near. */
static void near_setup(uint32_t variant)
{
	static const uint32_t hows[] = {CLOSED_BY_DRAIN, CLOSED_BY_SEARCH, CLOSED_FOR_FAILURES, CLOSED_BY_DRAIN, CLOSED_FOR_FAILURES};

	exchange_setup(hows[variant]);
	near = true;
	if (variant < 3)
		return;
	zone_reclaim(zone);
	for (unsigned i = 0; i < zone->rounds; i++)
		got[1][HELD - 1 - i] = zone_alloc(zone); /* CPU 1 needs the first ones */
}

static void exchange_run(uint32_t cpu)
{
	if (cpu != 0) {
		closed_run(cpu);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		got[0][i] = near ? take_near() : zone_alloc(zone);
		if (got[0][i])
			use(got[0][i], cpu);
		else
			CHECK(near || how == CLOSED_BY_SEARCH); /* near: it may be closed */
	}
	for (unsigned i = 0; i < 2; i++)
		if (got[0][i]) {
			zone_free(zone, got[0][i]);
			got[0][i] = NULL;
		}
	zone_free(zone, given[3]);
}

static void exchange_judge(void)
{
	zone_set_limit(zone, ZONE_UNLIMITED);
	judge();
}

/* --- shelves: CPU 1 frees what CPU 0 has allocated, and more than it keeps; the others allocate --- */

static unsigned held, before;

/* CPU 1 has `first` of them already, so that CPU 0 finds something on its shelf, and leaves empty magazines there. */
static void give_out(unsigned n, unsigned first)
{
	held = n;
	before = first;
	for (unsigned i = 0; i < held; i++) {
		given[i] = zone_alloc(zone);
		CHECK(given[i]);
	}
	become_cpu(m, 1);
	for (unsigned i = 0; i < before; i++)
		zone_free(zone, given[i]);
	become_cpu(m, 0);
}

static void shelf_setup(uint32_t variant)
{
	open_zone(variant, false);
	give_out(6, how == 1 ? 3 : 0);
}

/* The same with two magazines at a time. */
static void bundle_setup(uint32_t variant)
{
	open_zone(variant, false);
	zone->keep = 1;
	zone->bundle = 2;
	give_out(how == 1 ? 10 : 6, how == 1 ? 5 : 0);
}

static void shelf_run(uint32_t cpu)
{
	if (cpu == 1) {
		for (unsigned i = before; i < held; i++) {
			given[i][0] = 7;
			zone_free(zone, given[i]);
		}
		return;
	}
	if (cpu == 2 && how == 2) {
		zone_reclaim(zone);
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		got[cpu][i] = zone_alloc(zone);
		use(got[cpu][i], cpu);
	}
}

/* --- a search while what is free moves from a depot to its shelf: it is free all the time --- */

static bool third; /* CPU 2 searches as well */

static void shelf_searched_setup(uint32_t variant)
{
	open_zone(variant, false);
	third = false;
	zone_set_limit(zone, 3);
	for (unsigned i = 0; i < 3; i++) {
		given[i] = zone_alloc(zone);
		CHECK(given[i]);
	}
	if (how == 1) { /* CPU 2 has a magazine to leave there */
		become_cpu(m, 2);
		zone_free(zone, given[2]);
		given[2] = zone_alloc(zone);
	}
	become_cpu(m, 1);
	zone_free(zone, given[0]);
	zone_free(zone, given[1]);
	become_cpu(m, 0);
}

static void shelf_searched_three_setup(uint32_t variant)
{
	shelf_searched_setup(variant);
	third = true;
}

static void shelf_searched_run(uint32_t cpu)
{
	if (cpu != 1) {
		got[cpu][0] = zone_alloc(zone);
		CHECK(got[cpu][0] || third); /* which may carry it to where nobody looks again */
		if (got[cpu][0])
			use(got[cpu][0], cpu);
		return;
	}
	/* one more than is loaded: a magazine goes to the shelf */
	zone_free(zone, given[2]);
	got[1][0] = zone_alloc(zone);
}

static void shelf_searched_judge(void)
{
	zone_set_limit(zone, ZONE_UNLIMITED);
	judge();
}

/* --- waiting: there may be one object, and all want it --- */

static ATOMIC(uint32_t) holders;

static void wait_setup(uint32_t variant)
{
	open_zone(variant, false);
	zone_set_limit(zone, 1);
}

static void wait_run(uint32_t cpu)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t *o = zone_alloc_wait(zone);

		CHECK(atomic_add_acq_rel(&holders, 1u) == 0); /* the judge's */
		use(o, cpu);
		atomic_sub_acq_rel(&holders, 1u);
		zone_free(zone, o);
	}
}

const struct scenario scenario_zone[] = {
	{"zone-closed", "a fast path, and a CPU that drains, searches, injects failures; without a barrier of all", 2,
	 CLOSED_HOWS, true, closed_setup, machine, closed_run, closed_judge},
	{"zone-searched", "the second of these by itself: another CPU looks for an object in a magazine in use", 2, 1, true,
	 searched_setup, machine, closed_run, closed_judge},
	{"zone-shelf", "one CPU frees, another allocates: magazines change hands", 2, 2, true, shelf_setup, machine,
	 shelf_run, judge},
	{"zone-shelf-three", "the same with two that allocate, or one that drains", 3, 3, true, shelf_setup, machine,
	 shelf_run, judge},
	{"zone-exchange", "a CPU takes and gives magazines of its own depot, and another drains, searches, closes and opens", 2, 3,
	 true, exchange_setup, machine, exchange_run, exchange_judge},
	{"zone-near", "the same by who takes nothing that is farther than the slabs there are", 2, 5, true, near_setup, machine, exchange_run,
	 exchange_judge},
	{"zone-bundle", "one CPU frees, another allocates: bundles change hands", 2, 2, true, bundle_setup, machine, shelf_run,
	 judge},
	{"zone-bundle-three", "the same with two that allocate, or one that drains", 3, 3, true, bundle_setup, machine, shelf_run,
	 judge},
	{"zone-shelf-searched", "a search, and another CPU puts what is free onto its shelf", 2, 1, true, shelf_searched_setup,
	 machine, shelf_searched_run, shelf_searched_judge},
	{"zone-shelf-searched-three", "a third one takes it from there", 3, 2, true, shelf_searched_three_setup,
	 machine, shelf_searched_run, shelf_searched_judge},
	{"zone-wait", "two CPUs wait for one object in turn", 2, 1, true, wait_setup, machine, wait_run, judge},
};
const unsigned scenario_zone_count = ARRAY_SIZE(scenario_zone);
