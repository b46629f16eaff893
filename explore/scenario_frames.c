/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_frames.c: frames and zones among CPUs that allocate, free for each other, drain and find no memory.
 *
 * Memory is nearly used up, so that the usual path is the rare one. What is allocated is written and read plainly: an
 * object in two hands is a data race. Every run ends with the audit of all frames.
 */
#include "base/atomic.h"
#include "explore.h"
#include "test_memory.h"

#define TURNS 2u
#define BLOCKS_RAM (UINT64_C(80) << 20) /* of two CPUs: enough for a cache to hold a block */

static struct test_memory *m;
static struct host_machine *machine(void) { return m->t.m; }
static uint32_t how;

/* --- frames --- */

static pfn_t filler[1536];
static uint32_t fillers, spare, cpus_running;

/* What each CPU did, for the judge: a frame that it may have had; a failure to explain. */
static struct deed {
	uint64_t from, to; /* points */
	bool failed;
} deed[EXPLORE_CPUS][TURNS];
enum { FRAMES_ENOUGH, FRAMES_SHORT, FRAMES_DRAINED };

static void frames_setup(uint32_t variant)
{
	how = variant;
	explore_portable(true);
	m = memory_open(EXPLORE_CPUS, 1 << 20);
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &filler[fillers]) == OK)
		fillers++;
}

/* So many frames are free, all in the core. */
static void spare_frames(uint32_t n)
{
	spare = n;
	for (uint32_t i = 0; i < n; i++)
		frame_free(&m->frames, filler[--fillers], 0);
	frames_drain(&m->frames);
}

static void frames_setup_2(uint32_t variant)
{
	frames_setup(variant);
	cpus_running = 2;
	spare_frames(how == FRAMES_SHORT ? 1 : 2);
}

static void frames_setup_3(uint32_t variant)
{
	frames_setup(variant);
	cpus_running = 3;
	spare_frames(how == FRAMES_SHORT ? 2 : how == FRAMES_DRAINED ? 2 : 3);
}

static void use_frame(uint32_t cpu, pfn_t f)
{
	uint64_t *word = frame_bytes(f);

	word[0] = cpu;
	cpu_point();
	CHECK(word[0] == cpu);
	word[0] = ~UINT64_C(0);
}

static void frames_run(uint32_t cpu)
{
	for (unsigned i = 0; i < TURNS; i++) {
		struct deed *d = &deed[cpu][i];
		pfn_t f;

		if (how == FRAMES_DRAINED && cpu == cpus_running - 1) {
			frames_drain(&m->frames);
			continue;
		}
		d->from = explore_step();
		if (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &f) == OK) {
			use_frame(cpu, f);
			frame_free(&m->frames, f, 0);
		} else {
			d->failed = true;
		}
		d->to = explore_step();
	}
}

/* How many frames others may have had at that point. */
static uint32_t taken_at(uint64_t step, uint32_t but)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < EXPLORE_CPUS; c++)
		for (unsigned i = 0; c != but && i < TURNS; i++)
			n += !deed[c][i].failed && deed[c][i].from <= step && step <= deed[c][i].to;
	return n;
}

static void frames_judge(void)
{
	for (uint32_t c = 0; c < EXPLORE_CPUS; c++)
		for (unsigned i = 0; i < TURNS; i++) {
			bool none = false;

			for (uint64_t s = deed[c][i].from; deed[c][i].failed && s <= deed[c][i].to; s++)
				none = none || taken_at(s, c) >= spare;
			if (deed[c][i].failed && !none)
				panic("CPU %u found no frame although one was free all the time", c);
		}
	while (fillers)
		frame_free(&m->frames, filler[--fillers], 0);
	memory_check(m);
}

/* --- frames that move past a search: two are left, two CPUs want one each, and none may be told that there is none ---
 */

static ATOMIC(uint32_t) given;

static void past_setup(uint32_t variant)
{
	how = variant;
	explore_portable(true);
	m = memory_open(EXPLORE_CPUS, 5 << 20); /* caches of four, refilled by two */
	CHECK(m->frames.cache_batch == 2);
	while (frame_alloc(&m->frames, 9, 0, FRAME_WIRED, &filler[fillers]) == OK)
		frame_split(&m->frames, filler[fillers++], 9);
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &filler[fillers]) == OK)
		fillers++;
	if (how == 0) { /* CPU 2's cache has one, CPU 1 holds the other */
		become_cpu(m, 2);
		frame_free(&m->frames, filler[--fillers], 0);
		become_cpu(m, 0);
	}
}

/* CPU 0 searches; CPU 1 gives what it holds; then CPU 2 takes one. */
static void past_run(uint32_t cpu)
{
	pfn_t f;

	if (cpu == 1) {
		for (uint32_t i = 0; i < (how == 0 ? 1 : 2); i++)
			frame_free(&m->frames, filler[fillers - 1 - i], 0);
		atomic_store_release(&given, 1u); /* pairs with the load below */
		return;
	}
	while (cpu == 2 && !atomic_load_acquire(&given))
		cpu_relax();
	while (cpu == 0 && how == 1 && !atomic_load_acquire(&given))
		cpu_relax();
	CHECK(frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &f) == OK);
	deed[cpu][0].from = f.fn;
}

static void past_judge(void) { CHECK(deed[0][0].from && deed[2][0].from && deed[0][0].from != deed[2][0].from); }

/* --- a CPU on its fast path, and one that closes its cache --- */

enum {
	CLOSED_BY_DRAIN,
	CLOSED_BEFORE_GIVING,
	CLOSED_BY_SEARCH,
	CLOSED_FOR_FAILURES,
	CLOSED_TWICE,
	CLOSED_ALWAYS,
	CLOSED_HOWS
};
static pfn_t in_hand[2][2];

/* CPU 1 has one frame in its cache and one in its hands; there are no others. Of two CPUs it is drained last: no barrier follows. */
static void closed_setup(uint32_t variant)
{
	how = variant;
	explore_portable(true);
	m = memory_open(2, 1 << 20);
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &filler[fillers]) == OK)
		fillers++;
	if (how == CLOSED_ALWAYS) {
		m->frames.may_open = false;
		frames_drain(&m->frames);
	}
	in_hand[0][0] = in_hand[0][1] = in_hand[1][1] = PFN_NONE;
	in_hand[1][0] = filler[--fillers];
	become_cpu(m, 1);
	frame_free(&m->frames, filler[--fillers], 0);
	become_cpu(m, 0);
}

static void take_and_use(uint32_t cpu, pfn_t *f)
{
	*f = PFN_NONE;
	if (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, f) == OK)
		use_frame(cpu, *f);
}

static void give_back(pfn_t *f)
{
	if (!pfn_is_none(*f))
		frame_free(&m->frames, *f, 0);
	*f = PFN_NONE;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void switch_failures(void)
{
	frames_fail_by(&m->frames, never, NULL);
	frames_fail_by(&m->frames, NULL, NULL);
}

static void closed_fast(uint32_t cpu)
{
	if (how == CLOSED_BEFORE_GIVING) { /* onto what was drained, and takes both */
		give_back(&in_hand[cpu][0]);
		take_and_use(cpu, &in_hand[cpu][0]);
		take_and_use(cpu, &in_hand[cpu][1]);
		return;
	}
	if (how == CLOSED_BY_SEARCH) /* gives before it takes: where the other CPU has just read */
		give_back(&in_hand[cpu][0]);
	if (how == CLOSED_TWICE)
		switch_failures();
	for (unsigned i = 0; i < 2; i++) {
		take_and_use(cpu, &in_hand[cpu][1]);
		give_back(&in_hand[cpu][1]);
	}
}

static void closed_run(uint32_t cpu)
{
	if (cpu == 1) {
		closed_fast(cpu);
		return;
	}
	if (how == CLOSED_FOR_FAILURES)
		switch_failures();
	if (how != CLOSED_BY_SEARCH)
		frames_drain(&m->frames);
	for (unsigned i = 0; i < 2; i++)
		take_and_use(cpu, &in_hand[cpu][i]);
}

static void closed_judge(void)
{
	for (unsigned i = 0; i < 2; i++)
		give_back(&in_hand[0][i]), give_back(&in_hand[1][i]);
	while (fillers)
		frame_free(&m->frames, filler[--fillers], 0);
	memory_check(m);
}

/* --- a block of 2 MiB in one CPU's cache: who owns it takes it, another CPU drains, or searches for it --- */

static ATOMIC(uint32_t) blocks_found;

static void block_setup(uint32_t variant)
{
	pfn_t f;

	how = variant;
	explore_portable(true);
	m = memory_open(2, BLOCKS_RAM);
	while (frame_alloc(&m->frames, 9, 0, FRAME_WIRED, &f) == OK)
		filler[fillers++] = f;
	become_cpu(m, 1);
	CHECK(m->frames.blocks_max > 0);
	frame_free(&m->frames, filler[--fillers], 9);
	become_cpu(m, 0);
}

static void block_run(uint32_t cpu)
{
	pfn_t f;

	if (how == 0 && cpu == 0) {
		frames_drain(&m->frames);
		return;
	}
	if (frame_alloc(&m->frames, 9, 0, FRAME_WIRED, &f) != OK)
		return;
	atomic_add_relaxed(&blocks_found, 1u); /* the judge's */
	use_frame(cpu, f);
	frame_free(&m->frames, f, 9);
}

static void block_judge(void)
{
	CHECK(atomic_load_relaxed(&blocks_found) > 0);
	while (fillers)
		frame_free(&m->frames, filler[--fillers], 9);
	memory_check(m);
}

/* --- zones --- */

#define OBJECT_SIZE 104u /* two rounds a magazine with this RAM */
#define HELD 4u

static struct zone *zone;
static ATOMIC(void *) handed[HELD];
enum { ZONE_CACHES, ZONE_DRAINED, ZONE_REMOTE, ZONE_SHORT };

static void zone_setup(uint32_t variant)
{
	how = variant;
	explore_portable(true);
	m = memory_open(EXPLORE_CPUS, 2 << 20);
	zone = zone_create(&m->zones, "scenario", OBJECT_SIZE, 0, NULL, NULL, 0);
	CHECK(zone && zone->rounds == 2);
	zone->keep = zone->shelf = 2; /* little, before anything is cached */
	zone->bundle = 1;
	CHECK(frame_audit(&m->frames, &m->before));
	if (how != ZONE_SHORT)
		return;
	/* One slab's objects, and no frame more. */
	zone_free(zone, zone_alloc(zone));
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &filler[fillers]) == OK)
		fillers++;
}

static void mark(uint64_t *o, uint64_t by)
{
	for (unsigned i = 0; i < OBJECT_SIZE / 8; i += 7)
		o[i] = by;
}

static void check_mark(const uint64_t *o, uint64_t by)
{
	for (unsigned i = 0; i < OBJECT_SIZE / 8; i += 7)
		CHECK(o[i] == by);
}

static void use_objects(uint32_t cpu, unsigned n)
{
	void *o[HELD];

	for (unsigned i = 0; i < n; i++) {
		o[i] = zone_alloc(zone);
		CHECK(o[i]); /* there is enough for all */
		mark(o[i], cpu + 1);
	}
	for (unsigned i = 0; i < n; i++) {
		check_mark(o[i], cpu + 1);
		zone_free(zone, o[i]);
	}
}

static void give(unsigned i)
{
	void *o = zone_alloc(zone);

	CHECK(o);
	mark(o, i + 1);
	/* release: pairs with take */
	atomic_store_release(&handed[i], o);
}

static void take(unsigned i)
{
	void *o;

	while (!(o = atomic_load_acquire(&handed[i]))) /* pairs with give */
		cpu_relax();
	check_mark(o, i + 1);
	zone_free(zone, o);
}

static void zone_run(uint32_t cpu)
{
	if (how == ZONE_REMOTE && cpu < 2) {
		for (unsigned i = 0; i < HELD; i++)
			cpu == 0 ? give(i) : take(i);
		return;
	}
	if (how == ZONE_DRAINED && cpu == 1) {
		zone_reclaim(zone);
		zones_drain(&m->zones);
		return;
	}
	use_objects(cpu, how == ZONE_SHORT ? 2 : HELD);
	if (how == ZONE_SHORT)
		use_objects(cpu, 1);
}

static void zone_judge(void)
{
	struct zone_stats s;

	zone_check(zone);
	zone_stats(zone, &s);
	CHECK(s.in_use == 0 && s.failures == 0);
	zone_reclaim(zone);
	zone_stats(zone, &s);
	CHECK(s.slabs == 0);
	while (fillers)
		frame_free(&m->frames, filler[--fillers], 0);
	memory_check(m);
}

/*
 * --- objects in magazines only: slabs are empty, there are no frames, and one CPU's magazines hold what all want.
 * Nobody frees, so nothing moves past a search, and everybody must find its share. ---
 */

#define SHARE 2u /* of two CPUs; of three it is one, so that two magazines hold all */
static void *kept[256];
static unsigned keeps, share;
static uint64_t *found[EXPLORE_CPUS][SHARE];

static void others_setup(uint32_t running, uint32_t owner)
{
	zone_setup(ZONE_SHORT);
	share = running == 2 ? SHARE : 1;
	for (uint64_t n = zone->slabs.count * zone->slabs.shape.objects; n > 0; n--) {
		CHECK(keeps < ARRAY_SIZE(kept));
		kept[keeps] = zone_alloc(zone);
		CHECK(kept[keeps++]);
	}
	become_cpu(m, owner);
	for (unsigned i = 0; i < share * running; i++)
		zone_free(zone, kept[--keeps]);
	become_cpu(m, 0);
	CHECK(zone->slabs.free == 0);
}

static void others_setup_2(uint32_t variant) { others_setup(2, variant); }
static void others_setup_3(uint32_t variant) { others_setup(3, variant); }

static void others_run(uint32_t cpu)
{
	for (unsigned i = 0; i < share; i++) {
		found[cpu][i] = zone_alloc(zone);
		CHECK(found[cpu][i]);
		mark(found[cpu][i], cpu + 1);
	}
	for (unsigned i = 0; i < share; i++)
		check_mark(found[cpu][i], cpu + 1);
}

static void others_judge(void)
{
	for (uint32_t cpu = 0; cpu < EXPLORE_CPUS; cpu++)
		for (unsigned i = 0; i < share; i++)
			if (found[cpu][i])
				zone_free(zone, found[cpu][i]);
	while (keeps)
		zone_free(zone, kept[--keeps]);
	zone_judge();
}

/* --- a type-stable zone: who found an object in a section may look at it although it is freed and reused --- */

struct stable {
	ATOMIC(uint64_t) type; /* by the constructor, for ever */
	uint64_t other;
};
#define STABLE_SIZE 4000u /* one a slab */
#define STABLE_TYPE UINT64_C(0x5374726174613a29)

static ATOMIC(struct stable *) current;

static void stable_make(void *object)
{
	struct stable *o = object;

	atomic_store_relaxed(&o->type, STABLE_TYPE); /* who finds it finds it by an acquire load */
}

static void stable_setup(uint32_t variant)
{
	(void)variant;
	explore_portable(true);
	m = memory_open(EXPLORE_CPUS, 2 << 20);
	zone = zone_create(&m->zones, "stable", STABLE_SIZE, 0, stable_make, NULL, ZONE_TYPE_STABLE);
	CHECK(zone);
	CHECK(frame_audit(&m->frames, &m->before));
	atomic_store_relaxed(&current, zone_alloc(zone)); /* nobody else runs */
}

static void reader_looks(void)
{
	struct stable *o;

	epoch_enter(&m->epoch);
	o = atomic_load_acquire(&current); /* pairs with the swap in stable_run */
	cpu_point();
	CHECK(atomic_load_relaxed(&o->type) == STABLE_TYPE); /* relaxed: never changes while it may be found */
	epoch_leave(&m->epoch);
}

static void stable_run(uint32_t cpu)
{
	if (cpu == 0) {
		struct stable *new = zone_alloc(zone), *old;

		CHECK(new);
		new->other = 1;
		old = atomic_swap_seq_cst(&current, new);
		old->other = 2;
		zone_free(zone, old);
		zone_reclaim(zone);
		for (unsigned i = 0; i < 3; i++)
			epoch_poll(&m->epoch);
		return;
	}
	reader_looks();
	if (cpu == 1) { /* takes frames, where the slab may have been, and writes over them */
		pfn_t f;

		epoch_poll(&m->epoch);
		zone_reclaim(zone);
		CHECK(frame_alloc(&m->frames, 0, FRAME_ZERO, FRAME_WIRED, &f) == OK);
		frame_free(&m->frames, f, 0);
	}
	reader_looks();
}

static void stable_judge(void)
{
	zone_free(zone, atomic_load_relaxed(&current));
	zone_check(zone);
	memory_check(m);
}

const struct scenario scenario_frames[] = {
	{"frames-two", "one frame a CPU and CPUs' worth of them, one less, or drained by another", 2, 3, true,
	 frames_setup_2, machine, frames_run, frames_judge},
	{"frames-three", "the same with three CPUs", 3, 3, true, frames_setup_3, machine, frames_run, frames_judge},
	{"frames-past", "a frame moves from before a search to behind it", 3, 2, true, past_setup, machine, past_run,
	 past_judge},
	{"frames-closed", "a fast path, and a CPU that drains, searches, injects failures, or two of it; without a barrier of all", 2,
	 CLOSED_HOWS, true, closed_setup, machine, closed_run, closed_judge},
	{"frames-block", "a block in a CPU's cache is taken, and drained or searched for by another", 2, 2, true,
	 block_setup, machine, block_run, block_judge},
	{"zone-two", "magazines and depot; with a drain; freed by another CPU; with no frames left", 2, 4, true,
	 zone_setup, machine, zone_run, zone_judge},
	{"zone-three", "the same with three CPUs", 3, 4, true, zone_setup, machine, zone_run, zone_judge},
	{"zone-others-two", "objects are left in one CPU's magazines only", 2, 2, true, others_setup_2, machine,
	 others_run, others_judge},
	{"zone-others-three", "the same with three CPUs", 3, 3, true, others_setup_3, machine, others_run,
	 others_judge},
	{"zone-stable", "a type-stable object is freed, its slab given back, under readers", 3, 1, true, stable_setup,
	 machine, stable_run, stable_judge},
};
const unsigned scenario_frames_count = ARRAY_SIZE(scenario_frames);
