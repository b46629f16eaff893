/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_core.c: the frame core's lock-free steps, one against another.
 *
 * A core without frames behind it: what is handed out is judged by a table of owners, a plain word a frame, so that a frame in
 * two hands is a data race, too. Every run ends with all frames given back and frame_core_check.
 */
#include <stdlib.h>

#include "base/atomic.h"
#include "explore.h"
#include "test_memory.h"
#include "vm/frame_tree.h"

#define CHUNKS 16u
#define FRAMES (CHUNKS * CHUNK_FRAMES)
#define CPUS 3u

static struct test_machine t;
static struct frame_core *core;
static uint32_t owner[FRAMES]; /* plain: CPU + 1 of whoever holds the frame */
static uint32_t how;
static uint64_t given;         /* frames that were free at the start */

static struct host_machine *machine(void) { return t.m; }

static void core_setup(uint32_t variant)
{
	struct host_config config = {.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED};

	how = variant;
	test_machine_init(&t, &config);
	core = aligned_alloc(CACHE_LINE, round_up(sizeof *core, CACHE_LINE));
	frame_core_init(core, aligned_alloc(CACHE_LINE, round_up(frame_core_size(CHUNKS), CACHE_LINE)), CHUNKS, 0, CPUS);
	CHECK(core->tree_shift == 0); /* a tree a chunk */
}

static void give(uint32_t from, uint32_t n)
{
	frame_core_put_run(core, CPUS - 1, from, n);
	given += n;
}

static void own(uint32_t cpu, uint32_t index, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += n < 16 ? 1 : n / 16) {
		CHECK(owner[index + i] == 0);
		owner[index + i] = cpu + 1;
	}
	cpu_point();
	for (uint64_t i = 0; i < n; i += n < 16 ? 1 : n / 16) {
		CHECK(owner[index + i] == cpu + 1);
		owner[index + i] = 0;
	}
}

/* Takes a block, if there is one, and gives it back. */
static bool use(uint32_t cpu, enum frame_kind kind, unsigned order)
{
	uint32_t index;

	if (!frame_core_get(core, cpu, kind, order, &index))
		return false;
	own(cpu, index, UINT64_C(1) << order);
	frame_core_put(core, cpu, &index, 1, order);
	return true;
}

static void core_judge(void)
{
	frame_core_check(core);
	CHECK(frame_core_free(core) == given);
}

/* --- one word: singles, a block of eight, and what breaks it --- */

static void word_setup(uint32_t variant)
{
	core_setup(variant);
	give(64, variant == 0 ? 9 : 16);
}

static void word_run(uint32_t cpu)
{
	static const unsigned order[3][CPUS] = {{0, 3, 0}, {3, 3, 1}, {4, 0, 2}};

	use(cpu, FRAME_MOVABLE, order[how][cpu]);
	use(cpu, FRAME_MOVABLE, order[how][cpu]);
}

/* --- several words: orders 6, 7 and 8, which take what they can and give it back --- */

static void words_setup(uint32_t variant)
{
	core_setup(variant);
	give(0, variant == 2 ? 256 : 128);
}

static void words_run(uint32_t cpu)
{
	static const unsigned order[3][CPUS] = {{7, 6, 0}, {7, 7, 6}, {8, 7, 0}};

	use(cpu, FRAME_MOVABLE, order[how][cpu]);
	if (cpu)
		use(cpu, FRAME_MOVABLE, order[how][cpu]);
}

/* --- a whole chunk against a single frame of it, against its last frame that comes back, and against its halves --- */

static uint32_t last;

static void chunk_setup(uint32_t variant)
{
	core_setup(variant);
	give(CHUNK_FRAMES, CHUNK_FRAMES);
	if (variant == 1)
		CHECK(frame_core_get(core, 1, FRAME_MOVABLE, 0, &last));
}

static void chunk_run(uint32_t cpu)
{
	if (cpu == 1 && how == 1)
		frame_core_put(core, 1, &last, 1, 0);
	else if (cpu == 1)
		use(cpu, FRAME_MOVABLE, how == 2 ? 8 : 0);
	use(cpu, FRAME_FIXED, CHUNK_ORDER);
}

/* --- a reservation: spent by its CPU, filled by others' frees, stolen from, settled --- */

static uint32_t held[4];

static void reserve_setup(uint32_t variant)
{
	core_setup(variant);
	give(3 * CHUNK_FRAMES, 6);
	for (unsigned i = 0; i < 4; i++)
		CHECK(frame_core_get(core, 0, FRAME_MOVABLE, 0, &held[i]));
}

static void reserve_run(uint32_t cpu)
{
	if (cpu == 0) { /* its own: local credits, then what others put into the tree */
		frame_core_put(core, 0, &held[0], 1, 0);
		CHECK(use(0, FRAME_MOVABLE, 0));
		use(0, FRAME_MOVABLE, 1);
		return;
	}
	frame_core_put(core, cpu, &held[cpu], 1, 0);
	if (cpu == 1)
		use(1, how == 0 ? FRAME_MOVABLE : FRAME_FIXED, 0); /* out of CPU 0's reservation, or the tree's word */
	else
		frame_core_put(core, cpu, &held[3], 1, 0);
}

/* --- two CPUs want the same tree, which a third one fills --- */

static void tree_setup(uint32_t variant)
{
	core_setup(variant);
	give(5 * CHUNK_FRAMES, 2);
	give(6 * CHUNK_FRAMES, 40);
	frame_core_settle(core, 2);
}

static void tree_run(uint32_t cpu)
{
	uint32_t out[3];
	unsigned n = frame_core_get_singles(core, cpu, how == 0 ? FRAME_MOVABLE : cpu & 1, out, 3);

	for (unsigned i = 0; i < n; i++)
		own(cpu, out[i], 1);
	if (n)
		frame_core_put(core, cpu, out, n, 0);
	if (cpu == 2)
		frame_core_settle(core, 2);
	use(cpu, FRAME_MOVABLE, 0);
}

/* --- runs over several chunks: all or nothing, and a search that must not be fooled by what is given back --- */

static void run_setup(uint32_t variant)
{
	core_setup(variant);
	give(2 * CHUNK_FRAMES - 3, variant == 2 ? 6 : CHUNK_FRAMES + 6); /* the ends of two chunks, or one between them */
	if (variant == 2)
		give(9 * CHUNK_FRAMES, 1);
	frame_core_settle(core, CPUS - 1);
}

static bool use_run(uint32_t cpu, uint64_t min, uint64_t n)
{
	const struct frame_run r = {.n = n, .align = 1, .min = min, .max = FRAMES};
	uint32_t index;

	if (!frame_core_get_run(core, &r, &index))
		return false;
	own(cpu, index, n);
	frame_core_put_run(core, cpu, index, n);
	return true;
}

static void run_run(uint32_t cpu)
{
	static const uint64_t from[3][2] = {{0, CHUNK_FRAMES * 2 - 1}, {0, 0}, {0, 0}};
	uint64_t n = how == 2 ? 5 : CHUNK_FRAMES + 4;

	if (cpu < 2)
		use_run(cpu, from[how][cpu], how == 0 && cpu == 1 ? 2 : n);
	else
		use(cpu, FRAME_MOVABLE, how == 1 ? CHUNK_ORDER : 0);
}

const struct scenario scenario_core[] = {
	{"core-word", "single frames and small blocks out of one word", 3, 3, true, word_setup, machine, word_run,
	 core_judge},
	{"core-words", "blocks of several words meet", 3, 3, true, words_setup, machine, words_run, core_judge},
	{"core-chunk", "a whole chunk against a frame of it, its last frame on the way back, its halves", 2, 3, true,
	 chunk_setup, machine, chunk_run, core_judge},
	{"core-reserve", "a reservation is spent, filled and stolen from at once", 3, 2, true, reserve_setup, machine,
	 reserve_run, core_judge},
	{"core-tree", "trees change hands", 3, 2, true, tree_setup, machine, tree_run, core_judge},
	{"core-run", "runs over several chunks meet each other and single frames", 3, 3, true, run_setup, machine,
	 run_run, core_judge},
};
const unsigned scenario_core_count = ARRAY_SIZE(scenario_core);
