/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_search.c: allocations that must not fail: each CPU asks for no more than its part of what is free.
 *
 * Frames are on their way all the time: back from blocks that were broken, from reservations that are settled,
 * from the stock of zeroed frames. A search that overlooks one says "no memory", and the run has failed.
 */
#include "base/atomic.h"
#include "explore.h"
#include "test_memory.h"

static struct test_memory *m;
static struct host_machine *machine(void) { return m->t.m; }
static uint32_t how;
static pfn_t filler[1536];
static uint32_t fillers;

static void search_setup(uint32_t variant, uint32_t cpus, uint64_t ram)
{
	how = variant;
	explore_portable(true);
	m = memory_open(cpus, ram);
	while (frame_alloc(&m->frames, 0, 0, FRAME_WIRED, &filler[fillers]) == OK)
		fillers++;
}

/* The frame with that number is free, in the core. */
static void spare(uint64_t fn)
{
	for (uint32_t i = 0; i < fillers; i++)
		if (filler[i].fn == fn) {
			frame_free(&m->frames, filler[i], 0);
			filler[i] = filler[--fillers];
			frames_drain(&m->frames);
			return;
		}
	panic("frame %#lx was not allocated", (unsigned long)fn);
}

static bool use(uint32_t cpu, unsigned order, unsigned flags, enum frame_owner owner)
{
	uint64_t *word;
	pfn_t f;

	if (frame_alloc(&m->frames, order, flags, owner, &f) != OK)
		return false;
	word = frame_bytes(f);
	for (unsigned i = 0; flags & FRAME_ZERO && i < PAGE_SIZE / 8; i += 73)
		CHECK(word[i] == 0);
	word[0] = cpu;
	cpu_point();
	CHECK(word[0] == cpu);
	word[0] = ~UINT64_C(0);
	frame_free(&m->frames, f, order);
	return true;
}

static void search_judge(void)
{
	while (fillers)
		frame_free(&m->frames, filler[--fillers], 0);
	memory_check(m);
}

/* --- two frames that are a block, and two that are none: who wants the block may fail, who wants one may not --- */

static void hidden_setup(uint32_t variant)
{
	uint64_t at;

	search_setup(variant, EXPLORE_CPUS, 2 << 20);
	at = round_up(m->frames.first.fn + 200, 8);
	spare(at);
	spare(at + 1);
	spare(at + 3);
	if (how != 1)
		spare(at + 6);
}

static void hidden_run(uint32_t cpu)
{
	enum frame_owner owner = cpu == 2 && how == 2 ? FRAME_ANON : FRAME_WIRED;

	if (cpu == 1) {
		use(cpu, 1, 0, FRAME_WIRED);
		use(cpu, 1, 0, FRAME_WIRED);
	} else if (cpu == 0 || how != 1) {
		CHECK(use(cpu, 0, 0, owner));
		CHECK(use(cpu, 0, 0, owner));
	}
}

/* --- all that is free lies in CPU 0's cache, CPU 1 searches for it, CPU 2 has something put at hand and takes nothing --- */

static void hand_setup(uint32_t variant)
{
	search_setup(variant, EXPLORE_CPUS, 2 << 20);
	spare(m->frames.first.fn + 200);
	CHECK(frame_at_hand(&m->frames, how ? FRAME_WIRED : FRAME_ANON));
}

static void hand_run(uint32_t cpu)
{
	enum frame_owner owner = how ? FRAME_WIRED : FRAME_ANON;

	if (cpu == 1)
		CHECK(use(cpu, 0, 0, owner));
	else if (cpu == 2)
		(void)!frame_at_hand(&m->frames, owner);
}

/* --- a run that needs what another CPU has reserved, and gives back what it took when it fails --- */

static void range_run(uint32_t cpu)
{
	const struct frame_range r = {.n = cpu == 1 ? 4 : 2, .align = PAGE_SIZE, .max = paddr(UINT64_MAX)};
	pfn_t f;

	if (cpu == 0) {
		CHECK(use(cpu, 0, 0, FRAME_WIRED));
		CHECK(use(cpu, 0, 0, FRAME_ANON));
		return;
	}
	if (frame_alloc_range(&m->frames, &r, 0, FRAME_WIRED, &f) == OK)
		frame_free_range(&m->frames, f, r.n);
	else
		CHECK(cpu == 1 || how == 0); /* two in a row are there whatever CPU 0 does, if CPU 1 gets none */
}

static void range_setup(uint32_t variant)
{
	uint64_t at;

	search_setup(variant, EXPLORE_CPUS, 2 << 20);
	at = round_up(m->frames.first.fn + 254, 64) - 3; /* across two words */
	for (unsigned i = 0; i < 3; i++)
		spare(at + i + (i == 2 && how == 0));
	if (how == 1) {
		spare(at + 4);
		spare(at + 5);
		spare(at + 6);
	}
}

/* --- the stock of zeroed frames: filled, taken, drained and searched --- */

static void zero_open(uint32_t variant, uint32_t cpus, uint32_t batch, unsigned spares)
{
	uint64_t at;

	search_setup(variant, cpus, 2 << 20);
	m->frames.high = 0;
	m->frames.zeros.batch = batch;
	m->frames.zeros.lines = 1;
	atomic_store_relaxed(&m->frames.zeros.empty.bits, UINT64_C(1)); /* nobody else runs */
	at = round_up(m->frames.first.fn + 200, 8);
	for (unsigned i = 0; i < spares; i++)
		spare(at + i);
}

static void zero_setup(uint32_t variant)
{
	zero_open(variant, EXPLORE_CPUS, variant == 1 ? 2 : 1, variant == 1 ? 7 : 4);
	if (how == 2) { /* all of it is there already */
		while (frames_zero_idle(&m->frames))
			;
		CHECK(atomic_load_relaxed(&m->frames.zeros.full.bits));
	}
}

static void zero_run(uint32_t cpu)
{
	if (cpu == 1) {
		frames_zero_idle(&m->frames);
		if (how == 2)
			frames_drain(&m->frames);
		return;
	}
	CHECK(use(cpu, 0, cpu == 0 ? FRAME_ZERO : 0, cpu == 0 ? FRAME_ANON : FRAME_TABLE));
	CHECK(use(cpu, 0, FRAME_ZERO, FRAME_ANON));
}

/* Of two lines the second is full. It is claimed while an idle CPU fills the first, which is then the lowest of those that are. */
static void lines_setup(uint32_t variant)
{
	zero_open(variant, 2, 1, 8);
	m->frames.zeros.lines = 2;
	atomic_store_relaxed(&m->frames.zeros.empty.bits, UINT64_C(3)); /* as above */
	for (unsigned i = 0; i < 4; i++) /* two stay in the own stack */
		frames_zero_idle(&m->frames);
	for (unsigned i = 0; i < 3; i++)
		CHECK(frame_alloc(&m->frames, 0, FRAME_ZERO, FRAME_ANON, &filler[fillers++]) == OK);
	CHECK(atomic_load_relaxed(&m->frames.zeros.full.bits) == 2);
}

static void lines_run(uint32_t cpu)
{
	if (cpu == 1)
		frames_zero_idle(&m->frames);
	else
		CHECK(use(cpu, 0, FRAME_ZERO, FRAME_ANON));
}

/* All that is free, two frames, is a batch in the stock. */
static void stocked(void)
{
	while (frames_zero_idle(&m->frames)) /* two to the stock, three in the own stack */
		;
	CHECK(atomic_load_relaxed(&m->frames.zeros.full.bits));
	for (unsigned i = 0; i < 3; i++)
		CHECK(frame_alloc(&m->frames, 0, FRAME_ZERO, FRAME_ANON, &filler[fillers++]) == OK);
}

/*
 * --- what an idle CPU, or a batch out of the stock, may hide from a search: all that is free ---
 *
 * Variant 0: CPU 1 is idle, and there is room for all frames in its stack of zeroed ones. 1: they are a batch in the stock, which
 * CPU 1 uses one of. 2: likewise, and two searchers drain it.
 */
static void hide_setup(uint32_t variant)
{
	zero_open(variant, EXPLORE_CPUS, 2, variant == 0 ? 3 : 5);
	if (variant > 0)
		stocked();
}

static void hide_run(uint32_t cpu)
{
	if (cpu == 1 && how == 0)
		frames_zero_idle(&m->frames);
	else if (cpu == 1)
		CHECK(how == 2 || use(cpu, 0, FRAME_ZERO, FRAME_ANON));
	else if (cpu == 0 || how != 1)
		CHECK(use(cpu, 0, 0, FRAME_TABLE));
}

/* The same on a machine of two CPUs. Variant 0: both search, and drain the stock. 1: one drains it that does not search. */
static void hide_two_setup(uint32_t variant)
{
	zero_open(variant, 2, 2, 5);
	stocked();
}

static void hide_two_run(uint32_t cpu)
{
	if (cpu == 1 && how == 1)
		frames_drain(&m->frames);
	else
		CHECK(use(cpu, 0, 0, FRAME_TABLE));
}

const struct scenario scenario_search[] = {
	{"search-hidden", "single frames while another CPU tries blocks, and gives back what it cannot use", 3, 3, true,
	 hidden_setup, machine, hidden_run, search_judge},
	{"search-hand", "the last frame, while another CPU has some put at hand", 3, 2, true, hand_setup, machine, hand_run, search_judge},
	{"search-range", "runs across words, which need what others have reserved", 3, 2, true, range_setup, machine,
	 range_run, search_judge},
	{"search-zero", "the stock of zeroed frames is filled and taken while others search and drain", 3, 3, true,
	 zero_setup, machine, zero_run, search_judge},
	{"search-zero-lines", "a batch of the stock is claimed while another is given", 2, 1, true, lines_setup, machine,
	 lines_run, search_judge},
	{"search-hide", "all that is free is zeroed by an idle CPU, or in the stock", 3, 3, true, hide_setup, machine,
	 hide_run, search_judge},
	{"search-hide-two", "the stock, all that is free, is drained by two", 2, 2, true, hide_two_setup, machine, hide_two_run,
	 search_judge},
};
const unsigned scenario_search_count = ARRAY_SIZE(scenario_search);
