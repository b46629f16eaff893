/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_core.c: the frame core's lock-free steps, one against another, and its search against them.
 *
 * A core without frames behind it: what is handed out is judged by a table of owners, a plain word a frame, so that a frame in
 * two hands is a data race, too. Every run ends with all frames given back and frame_core_check.
 */
#include <stdlib.h>

#include "base/atomic.h"
#include "explore.h"
#include "sync/spinlock.h"
#include "test_memory.h"
#include "vm/frame_tree.h"

#define CHUNKS 16u /* a tree a chunk */
#define CHUNKS_PAIRED 48u /* two of them */
#define FRAMES (CHUNKS_PAIRED * CHUNK_FRAMES)
#define CPUS 3u

static struct test_machine t;
static struct frame_core *core;
static uint32_t owner[FRAMES]; /* plain: CPU + 1 of whoever holds the frame */
static uint32_t how;
static uint64_t given;         /* frames that were free at the start */

static struct host_machine *machine(void) { return t.m; }

static void core_setup_of(uint32_t variant, uint64_t chunks)
{
	struct host_config config = {.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED};

	how = variant;
	explore_portable(true);
	test_machine_init(&t, &config);
	core = aligned_alloc(CACHE_LINE, round_up(sizeof *core, CACHE_LINE));
	frame_core_init(core, aligned_alloc(CACHE_LINE, round_up(frame_core_size(chunks), CACHE_LINE)), chunks, 0, CPUS);
	CHECK(core->tree_shift == (chunks == CHUNKS_PAIRED));
}

static void core_setup(uint32_t variant) { core_setup_of(variant, CHUNKS); }

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

/* --- two chunks of one tree, each whole: the credits of one may claim the other --- */

static void pair_setup(uint32_t variant)
{
	uint32_t index;

	core_setup_of(variant, CHUNKS_PAIRED);
	give(0, 2 * CHUNK_FRAMES);
	for (uint32_t i = 0; variant == 0 && i < 2; i++)
		CHECK(frame_core_get(core, 0, FRAME_FIXED, CHUNK_ORDER, &index));
}

static void pair_run(uint32_t cpu)
{
	uint32_t index = cpu * CHUNK_FRAMES;

	if (how == 1 || cpu == 2) {
		use(cpu, FRAME_FIXED, CHUNK_ORDER);
		use(cpu, FRAME_FIXED, CHUNK_ORDER);
		return;
	}
	own(cpu, index, CHUNK_FRAMES);
	frame_core_put(core, cpu, &index, 1, CHUNK_ORDER);
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

/*
 * --- a search that must find something: whatever the others do, something is free at every moment ---
 *
 * CPU 0 looks for it; CPU 1 gives back what lies where CPU 0 looks first, and only then takes what lies where CPU 0 looks last.
 * Each of these hides it at another place: in trees' words, in a chunk's count, in its bits, in a reservation.
 */
enum search_in {
	SEARCH_WORDS,     /* a single frame; the pair is another tree's */
	SEARCH_BLOCKS,    /* a block of 8; the one of 16 is another tree's */
	SEARCH_COUNTS,    /* the same, in a tree with enough credits for frames that are no block */
	SEARCH_BITS,      /* the same in a chunk */
	SEARCH_LONG,      /* a block of 128, by whole words; the other is of 256 */
	SEARCH_RUN,       /* three in a row, by bits */
	SEARCH_RUN_WHOLE, /* the same, against a whole chunk */
	SEARCH_STOLEN,    /* the pair is stolen out of CPU 2's reservation */
	SEARCH_TWO,       /* CPU 2 takes the second of two blocks as soon as it sees more beside it: what CPU 1 gave back last */
	SEARCH_UNENDED,   /* CPU 2 takes it as soon as it sees the first, though CPU 1 still gives back what follows that */
};

static struct spinlock core_lock[CPUS]; /* under which a CPU's number is used, as frame_cache.c does */
static struct {
	uint32_t index, n;
	bool held;
} back[2], kept[CPUS]; /* what CPU 1 gives back in turn; what each took */
static const struct frame_run three = {.n = 3, .align = 1, .min = CHUNK_FRAMES - 3, .max = CHUNK_FRAMES + 3};
static uint32_t visited; /* CPUs, from CPU 1 on, that the search has visited when the run begins */

static void visit(uint32_t cpu)
{
	spin_lock(&core_lock[cpu], RANK_FRAME_CACHE);
	frame_core_settle(core, cpu);
	spin_unlock(&core_lock[cpu]);
}

/* Frames from index on are CPU 1's, to be given back. */
static void hold(unsigned which, uint32_t index, uint32_t n)
{
	struct frame_run r = {.n = n, .align = 1, .min = index, .max = index + n};

	give(index, n);
	CHECK(frame_core_get_run(core, &r, &back[which].index));
	back[which].n = n;
	back[which].held = true;
}

static void scatter(uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		give(from + 2 * i, 1);
}

static void core_search_setup(enum search_in place)
{
	uint32_t index;

	core_setup_of(place, place == SEARCH_COUNTS ? CHUNKS_PAIRED : CHUNKS);
	for (uint32_t i = 0; i < CPUS; i++)
		spin_init(&core_lock[i]);
	switch (place) {
	case SEARCH_WORDS:
		hold(0, 7, 1);
		give(5 * CHUNK_FRAMES + 2, 2);
		break;
	case SEARCH_BLOCKS:
	case SEARCH_COUNTS:
	case SEARCH_BITS: /* who looks for blocks begins with the last tree */
		hold(0, 9 * CHUNK_FRAMES, 8);
		give(5 * CHUNK_FRAMES + 384, 16);
		if (place != SEARCH_BLOCKS)
			scatter((place == SEARCH_BITS ? 5 : 4) * CHUNK_FRAMES, 8);
		break;
	case SEARCH_UNENDED:
		hold(0, 10 * CHUNK_FRAMES - 8, 11);
		give(5 * CHUNK_FRAMES, 8);
		break;
	case SEARCH_LONG:
		hold(0, 9 * CHUNK_FRAMES, 128);
		give(5 * CHUNK_FRAMES + 256, 256);
		scatter(5 * CHUNK_FRAMES, 128);
		break;
	case SEARCH_RUN:
		hold(0, CHUNK_FRAMES - 3, 3);
		give(CHUNK_FRAMES, 4);
		give(CHUNK_FRAMES + 100, 1);
		break;
	case SEARCH_RUN_WHOLE:
		hold(0, CHUNK_FRAMES - 3, 3);
		give(CHUNK_FRAMES, CHUNK_FRAMES);
		break;
	case SEARCH_STOLEN:
		give(5 * CHUNK_FRAMES + 1, 3);
		CHECK(frame_core_get(core, 2, FRAME_MOVABLE, 0, &index) && index == 5 * CHUNK_FRAMES + 1);
		kept[2].index = index;
		kept[2].n = 1;
		kept[2].held = true;
		hold(0, 7, 1);
		break;
	case SEARCH_TWO:
		hold(0, 9 * CHUNK_FRAMES, 8);
		hold(1, 5 * CHUNK_FRAMES + 64, 8);
		give(5 * CHUNK_FRAMES, 8);
		break;
	}
	/* All of the search, or what of it matters there: the last look begins at once */
	visited = place == SEARCH_WORDS ? 0 : place == SEARCH_STOLEN ? 1 : CPUS;
	if (visited)
		frame_core_search_begin(core);
	for (uint32_t i = 1; i <= visited; i++)
		visit(i % CPUS);
}

/* It stays the CPU's. */
static bool keep(uint32_t cpu, bool found, uint32_t index, uint32_t n)
{
	if (!found)
		return false;
	own(cpu, index, n);
	kept[cpu].index = index;
	kept[cpu].n = n;
	kept[cpu].held = true;
	return true;
}

static bool search_order(uint32_t cpu, unsigned order)
{
	uint32_t index = 0;
	bool found;

	spin_lock(&core_lock[cpu], RANK_FRAME_CACHE);
	found = frame_core_get(core, cpu, FRAME_MOVABLE, order, &index);
	spin_unlock(&core_lock[cpu]);
	return keep(cpu, found, index, 1u << order);
}

static bool search_three(uint32_t cpu)
{
	uint32_t index = 0;
	bool found;

	spin_lock(&core_lock[cpu], RANK_FRAME_CACHE);
	found = frame_core_get_run(core, &three, &index);
	spin_unlock(&core_lock[cpu]);
	return keep(cpu, found, index, 3);
}

static bool wanted(uint32_t cpu)
{
	switch (how) {
	case SEARCH_BLOCKS:
	case SEARCH_COUNTS:
	case SEARCH_BITS:
	case SEARCH_TWO:
	case SEARCH_UNENDED:
		return search_order(cpu, 3);
	case SEARCH_LONG:
		return search_order(cpu, 7);
	case SEARCH_RUN:
	case SEARCH_RUN_WHOLE:
		return search_three(cpu);
	default:
		return search_order(cpu, 0);
	}
}

/* frame_cache.c's search, of a machine without caches. */
static bool core_search(uint32_t cpu)
{
	uint64_t unrest;
	bool found;

	if (!visited)
		frame_core_search_begin(core);
	for (uint32_t i = visited + 1; i <= CPUS; i++)
		visit((cpu + i) % CPUS);
	do {
		unrest = frame_core_unrest(core);
		found = wanted(cpu);
	} while (!found && !frame_core_at_rest(core, unrest));
	frame_core_search_end(core);
	return found;
}

static void put_under_lock(uint32_t cpu, uint32_t index, uint32_t n)
{
	spin_lock(&core_lock[cpu], RANK_FRAME_CACHE);
	frame_core_put_run(core, cpu, index, n);
	spin_unlock(&core_lock[cpu]);
}

static void put_kept(uint32_t cpu)
{
	put_under_lock(cpu, kept[cpu].index, kept[cpu].n);
	kept[cpu].held = false;
}

static void give_back(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(back); i++)
		if (back[i].held) {
			put_under_lock(1, back[i].index, back[i].n);
			back[i].held = false;
		}
}

static uint32_t single[16]; /* CPU 2's */
static unsigned singles;

/* CPU 2's part: all of tree 5, frame by frame, once CPU 1 has given back what it shall. That is not noted. */
static void take_singles(void)
{
	const unsigned want = how == SEARCH_TWO ? 16 : 8;
	unsigned tries = 4;

	while (tries && (how == SEARCH_TWO ? tree_free(atomic_load_relaxed(&core->tree[5].word)) < want /* orders nothing */
					   : !tree_free(atomic_load_acquire(&core->tree[9].word)))) { /* pairs with tree_put */
		cpu_relax();
		tries--;
	}
	if (!tries)
		return;
	spin_lock(&core_lock[2], RANK_FRAME_CACHE);
	singles = frame_core_get_singles(core, 2, FRAME_MOVABLE, single, want);
	spin_unlock(&core_lock[2]);
}

static void core_search_run(uint32_t cpu)
{
	static const unsigned order[] = {[SEARCH_WORDS] = 1, [SEARCH_BLOCKS] = 4, [SEARCH_COUNTS] = 4, [SEARCH_BITS] = 4,
					 [SEARCH_LONG] = 8,  [SEARCH_RUN] = 2,    [SEARCH_RUN_WHOLE] = CHUNK_ORDER,
					 [SEARCH_STOLEN] = 1};

	switch (cpu) {
	case 0:
		CHECK(core_search(cpu));
		break;
	case 1:
		give_back();
		if (how < SEARCH_TWO)
			search_order(cpu, order[how]);
		break;
	case 2:
		if (how >= SEARCH_TWO)
			take_singles();
		break;
	}
}

static void core_search_judge(void)
{
	give_back();
	frame_core_put(core, 2, single, singles, 0);
	for (uint32_t i = 0; i < CPUS; i++)
		if (kept[i].held)
			put_kept(i);
	core_judge();
}

/* A scenario each, so that each gets its share of runs. */
#define SEARCH_SETUP(name, place) \
	static void name(uint32_t variant) \
	{ \
		(void)variant; \
		core_search_setup(place); \
	}
SEARCH_SETUP(search_words_setup, SEARCH_WORDS)
SEARCH_SETUP(search_blocks_setup, SEARCH_BLOCKS)
SEARCH_SETUP(search_counts_setup, SEARCH_COUNTS)
SEARCH_SETUP(search_bits_setup, SEARCH_BITS)
SEARCH_SETUP(search_long_setup, SEARCH_LONG)
SEARCH_SETUP(search_run_setup, SEARCH_RUN)
SEARCH_SETUP(search_run_whole_setup, SEARCH_RUN_WHOLE)
SEARCH_SETUP(search_stolen_setup, SEARCH_STOLEN)
SEARCH_SETUP(search_two_setup, SEARCH_TWO)
SEARCH_SETUP(search_unended_setup, SEARCH_UNENDED)
#define SEARCH(name, what, setup) {name, what, CPUS, 1, true, setup, machine, core_search_run, core_search_judge}

const struct scenario scenario_core[] = {
	{"core-word", "single frames and small blocks out of one word", 3, 3, true, word_setup, machine, word_run,
	 core_judge},
	{"core-words", "blocks of several words meet", 3, 3, true, words_setup, machine, words_run, core_judge},
	{"core-chunk", "a whole chunk against a frame of it, its last frame on the way back, its halves", 2, 3, true,
	 chunk_setup, machine, chunk_run, core_judge},
	{"core-reserve", "a reservation is spent, filled and stolen from at once", 3, 2, true, reserve_setup, machine,
	 reserve_run, core_judge},
	{"core-tree", "trees change hands", 3, 2, true, tree_setup, machine, tree_run, core_judge},
	{"core-pair", "two chunks of one tree come back whole", 3, 2, true, pair_setup, machine, pair_run, core_judge},
	SEARCH("core-search-words", "a search finds a single frame in trees' words", search_words_setup),
	SEARCH("core-search-blocks", "a search finds a block in trees' words", search_blocks_setup),
	SEARCH("core-search-counts", "a search finds a block, by chunks' counts", search_counts_setup),
	SEARCH("core-search-bits", "a search finds a block, by a chunk's bits", search_bits_setup),
	SEARCH("core-search-long", "a search finds a block, by whole words of bits", search_long_setup),
	SEARCH("core-search-run", "a search finds a run, by bits", search_run_setup),
	SEARCH("core-search-run-whole", "a search finds a run, beside a whole chunk", search_run_whole_setup),
	SEARCH("core-search-stolen", "a search finds a frame while others steal from a reservation", search_stolen_setup),
	SEARCH("core-search-two", "a search finds a frame though a third CPU takes what else comes back", search_two_setup),
	SEARCH("core-search-unended", "a search finds a frame whose giver is not done yet", search_unended_setup),
	{"core-run", "runs over several chunks meet each other and single frames", 3, 3, true, run_setup, machine,
	 run_run, core_judge},
};
const unsigned scenario_core_count = ARRAY_SIZE(scenario_core);
