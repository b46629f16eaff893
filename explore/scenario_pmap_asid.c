/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap_asid.c: ASIDs that run out, rollovers, flushes that are owed.
 *
 * Sixteen spaces beside the world's map one address each to a frame with their number, on
 * a machine with fifteen ASIDs; how many are given out before the run, and who runs what then, says the preparation.
 * A space that reads another's number has used its TLB entries.
 */
#include "scenario_pmap.h"

#define SPARES 16u

/* --- spaces for ASIDs --- */

static struct {
	struct pmap p;
	pfn_t frame;
	struct test_lock lock;
} spare[SPARES];

static void tag(unsigned i)
{
	uint64_t *word;

	spare[i].frame = pm_alloc(&plan_world.m);
	word = pm_bytes(spare[i].frame);
	/* relaxed: its mapping publishes it */
	__atomic_store_n(word, i, __ATOMIC_RELAXED);
	CHECK(pm_enter(&plan_world.m, &spare[i].p, PLAN_VA, spare[i].frame, PROT_R, 0) == OK);
}

static void spares_begin(void)
{
	for (unsigned i = 0; i < SPARES; i++) {
		pmap_init(plan_world.m.ps, &spare[i].p, pm_alloc_table(&plan_world.m));
		tag(i);
	}
}

static void spares_end(void)
{
	for (unsigned i = 0; i < SPARES; i++) {
		pm_exit(&plan_world.m, &spare[i].p);
		pm_free(&plan_world.m, spare[i].frame);
	}
}

/* Runs in space i and reads its number; a fault is none of our business. */
static void use(unsigned i)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&spare[i].p);
	for (unsigned turn = 0; turn < 2; turn++) {
		if (host_user_load64(vaddr(PLAN_VA), &v, &f) == OK)
			CHECK(v == i);
		else
			pmap_spurious(&spare[i].p, vaddr(PLAN_VA));
	}
}

/* munmap in space i, and another frame in the old one's place. */
static void remap(unsigned i)
{
	struct tlb_gather g;

	test_lock(&spare[i].lock);
	gather_init(&g, &spare[i].p);
	g.exclusive = true;
	pmap_remove(&spare[i].p, vrange(PLAN_VA, PLAN_VA + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&plan_world.m, &g.unlinked);
	pm_free(&plan_world.m, spare[i].frame);
	tag(i);
	test_unlock(&spare[i].lock);
}

#define USE(i) \
	static void use_##i(struct cpu *c) \
	{ \
		(void)c; \
		use(i); \
	}
USE(0)
USE(1)
USE(2)
USE(3)
USE(13)
USE(14)
USE(15)

static void remap_0(struct cpu *c) { (void)c, remap(0); }
static void remap_1(struct cpu *c) { (void)c, remap(1); }
static void remap_14(struct cpu *c) { (void)c, remap(14); }

/* Fourteen of fifteen numbers are given out; CPU n runs space n, CPU 0 the last of them. */
static void numbers(struct cpu *c)
{
	unsigned self = (unsigned)(c - plan_cpu);

	if (self == 0)
		for (unsigned i = 0; i < 14; i++)
			use(i);
	else
		use(self);
}

/* All fifteen are given out; CPU 0 runs space 14, CPU 1 space 1. */
static void full(struct cpu *c)
{
	if (c == plan_cpu)
		for (unsigned i = 0; i < 15; i++)
			use(i);
	else
		use(1);
}

/* All fifteen are given out; CPU 1 runs space 2, and its TLB knows space 1 as well, which it has left. */
static void behind(struct cpu *c)
{
	if (c == plan_cpu) {
		full(c);
	} else {
		use(1);
		use(2);
	}
}

/* CPU 1 has run space 1 since before a rollover; all numbers are given out again, space 13 has none. */
static void full_again(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	host_become(plan_machine(), 1);
	use(1);
	host_become(plan_machine(), 0);
	for (unsigned i = 0; i < 14; i++)
		if (i != 1)
			use(i);
	use(15);
	use(14); /* the rollover */
	for (unsigned i = 0; i < 13; i++)
		if (i != 1)
			use(i);
}

/* CPU 1's program goes on: its kernel has nothing to say. */
static void look_1(struct cpu *c)
{
	struct host_fault f;
	uint64_t v;

	(void)c;
	if (host_user_load64(vaddr(PLAN_VA), &v, &f) == OK)
		CHECK(v == 1);
}

/* All have had numbers, a rollover is over, and space 0's old number is another's. */
static void rolled(struct cpu *c)
{
	if (c == plan_cpu)
		for (unsigned i = 0; i < SPARES; i++)
			use(i);
}

/* CPU 0 has run space 1 alone, and left it: its TLB knows it. */
static void alone(struct cpu *c)
{
	if (c == plan_cpu) {
		use(1);
		use(2);
	} else {
		use(3);
	}
}

/* The same, and one number is left: who moves takes it, the next begins a generation. */
static void alone_at_the_end(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	for (unsigned i = 2; i < 15; i++)
		use(i);
	use(1);
	use(2);
}

/* --- the plans --- */

PLAN(switch_unmap, .cpus = 2, .prepare = numbers, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_14, use_15}, {remap_1, use_1}})
PLAN(asid_renew, .cpus = 2, .prepare = rolled, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_0}, {remap_0}})
PLAN(asid_leave, .cpus = 2, .prepare = full, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_15, use_0, use_1, remap_1}, {use_13}})
PLAN(asid_owed, .cpus = 2, .prepare = full, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_15, use_0}, {use_0, use_1}})
PLAN(asid_behind, .cpus = 2, .prepare = behind, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_15, use_0}, {use_0, use_2}})
PLAN(asid_again, .cpus = 2, .prepare = full_again, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_13, use_2}, {look_1, look_1, use_3}})
PLAN(asid_first, .cpus = 2, .prepare = numbers, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_14}, {remap_14}})
PLAN(asid_rollover, .cpus = 4, .prepare = numbers, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_14, use_15, use_0}, {use_1, use_13, use_1}, {remap_1, remap_0, use_2}, {use_0, use_1, use_3}})
PLAN(asid_unmap, .cpus = 3, .prepare = numbers, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_14, use_15, use_1}, {remap_1, use_1, use_2}, {use_1, remap_1, use_0}})
PLAN(asid_twice, .cpus = 3, .prepare = numbers, .begin = spares_begin, .end = spares_end, .asids = true,
     .part = {{use_15, use_14, use_2, remap_1}, {use_1, use_3, use_1}, {use_2, use_0, remap_0, use_13}})

/* Local flushes against who comes to another CPU, and back. */
#define WHERE .begin = spares_begin, .end = spares_end, .asids = true, .local = true
PLAN(where_move, .cpus = 2, .prepare = alone, WHERE, .part = {{use_1, remap_1}, {use_1, use_1}})
PLAN(where_unmap, .cpus = 2, .prepare = alone, WHERE, .part = {{remap_1, use_1}, {use_1, remap_1, use_3, use_1}})
PLAN(where_rollover, .cpus = 2, .prepare = alone_at_the_end, WHERE, .part = {{use_1, remap_1, use_3}, {use_1, use_0, use_1}})
PLAN(where_again, .cpus = 3, .prepare = alone, WHERE, .part = {{use_1, use_1}, {use_1, remap_1}, {use_1, use_1, remap_1}})
PLAN(where_many, .cpus = 4, .prepare = alone, WHERE,
     .part = {{use_1, remap_1, use_2, use_1}, {use_1, use_3, remap_1}, {remap_1, use_1, use_1}, {use_1, use_14, use_1}})

const struct scenario scenario_pmap_asid[] = {
	SMALL("pmap-switch-unmap", "a switch that takes the last ASID and a rollover, against an unmap", switch_unmap),
	SMALL("pmap-asid-renew", "a new ASID after a rollover, against an unmap", asid_renew),
	SMALL("pmap-asid-leave", "a space is left while a rollover gives its ASID away", asid_leave),
	SMALL("pmap-asid-owed", "a switch to what another CPU has renewed, with a flush owed", asid_owed),
	SMALL("pmap-asid-behind", "another CPU has renewed what is switched to, under a number that the own TLB knows",
	      asid_behind),
	SMALL("pmap-asid-again", "a second rollover over a program that never switched", asid_again),
	SMALL("pmap-asid-first", "the first ASID of a space, against an unmap", asid_first),
	LARGE("pmap-asid-rollover", "a rollover under four CPUs that switch and unmap", 4, asid_rollover),
	LARGE("pmap-asid-unmap", "a rollover, and unmaps of spaces that run", 3, asid_unmap),
	SMALL("pmap-where-move", "a space comes to another CPU, and is unmapped on the first", where_move),
	SMALL("pmap-where-unmap", "the same, and is unmapped on both", where_unmap),
	SMALL("pmap-where-rollover", "a space comes to another CPU, and to another generation", where_rollover),
	LARGE("pmap-where-again", "a space goes back while it comes to two others", 3, where_again),
	LARGE("pmap-where-many", "a space comes to four CPUs", 4, where_many),
	LARGE("pmap-asid-twice", "switches back and forth over a rollover", 3, asid_twice),
};
const unsigned scenario_pmap_asid_count = ARRAY_SIZE(scenario_pmap_asid);
