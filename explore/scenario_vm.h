/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm.h: the world in which the scenarios of address spaces play: a small machine, up to four spaces with
 * eight neighbouring pages each, one object. Each op_* does one thing to the real memory subsystem and notes it: in setup
 * and judge the model goes along at once, during the run it is written to the history. Theory: scenario_vm.c.
 */
#ifndef EXPLORE_SCENARIO_VM_H
#define EXPLORE_SCENARIO_VM_H

#include "model.h"
#include "test_vm.h"
#include "vm/entry.h"

#define RW (PROT_R | PROT_W)

/*
 * Page 0 of every space. What the model calls a page is a slot of world.stride pages of which the first is used: 1, or 64, so
 * that one slot is a leaf node of an amap, or 512, so that it is a window with a table of its own. With stride 1 the pages straddle a leaf node and a window, three on the left.
 */
#define WORLD_STRADDLE (UINT64_C(0x40000000) - 3 * PAGE_SIZE)
/* All in one node and one window. */
#define WORLD_TOGETHER UINT64_C(0x40000000)

struct world_cpu {
	struct history_op sequential; /* outside the run: the operation under way */
	uint8_t stored;               /* values given out */
};

struct world {
	struct test_vm v;
	uint32_t cpus;
	uint64_t base;
	uint32_t stride;
	struct vm_map *space[MODEL_SPACES];
	struct vm_object *object;     /* a reference of the world's own, or NULL */
	bool failing;                 /* allocations may fail during the run */
	pfn_t ballast[1024];          /* frames kept away from the run */
	unsigned ballasts;
	struct model model;           /* before the run */
	struct history history;
	struct world_cpu cpu[EXPLORE_CPUS];
	uint8_t stored;               /* values given out by setup and judge */
	bool judging;                 /* what is done now is noted, for the search to account for it */
	struct history_step after[4 * MODEL_SPACES * MODEL_PAGES];
	unsigned afters;
};
extern struct world world;

/* --- setup --- */

/* Kinds of machine: hardware flags, range TLBI, ASID bits, TLBs warm, stride. A scenario has WORLD_MACHINES * parameters variants. */
#define WORLD_MACHINES 8
#define WORLD_SMALL 5u /* the kind of which small scenarios are */
static inline uint32_t world_parameter(uint32_t variant) { return variant / WORLD_MACHINES; }

/* A machine by variant, space 0 with nothing in it. */
void world_open(uint32_t variant, uint32_t cpus, uint64_t base);
/* The same, and first writes make up to four pages ahead (vm/fault_ahead.c). */
void world_open_ahead(uint32_t variant, uint32_t cpus, uint64_t base);
/* The same, and first writes bring blocks of 2 MiB (vm/fault_block.c): of all pages, or, where each is a window, of its own. */
void world_open_blocks(uint32_t variant, uint32_t cpus);
/* An object of that many pages; shared or private mappings of it by op_map. */
void world_object(unsigned pages);
/* In variants with warm TLBs: every CPU loads the pages of space 0 that may be loaded. Last thing in setup. */
void world_warm(void);
/* Every CPU has anons and amap nodes in its caches, so that the short ways of faults find them there. In setup. */
void world_at_hand(void);
/* From the run on one allocation in a while fails, by choice. */
void world_fail_allocations(void);
/* Takes frames away until so many are left. */
void world_leave_frames(unsigned n);
struct host_machine *world_machine(void);

static inline uint64_t world_address(unsigned page) { return world.base + page * world.stride * PAGE_SIZE; }

/* --- operations; in the run they belong to the CPU that calls them --- */

/* Says which space this CPU's program is in. Before its accesses; before a space's exit by another one. */
void world_enter(unsigned space);
void world_leave(void);

enum error op_load(unsigned space, unsigned page, unsigned word); /* word MODEL_BOTH: first both, as two loads */
enum error op_store(unsigned space, unsigned page, unsigned word);
enum error op_map(unsigned space, unsigned page, struct model_range how); /* how.count pages */
enum error op_unmap(unsigned space, unsigned page, unsigned count);
enum error op_protect(unsigned space, unsigned page, unsigned count, unsigned prot);
enum error op_inherit(unsigned space, unsigned page, unsigned count, unsigned inherit);
enum error op_wire(unsigned space, unsigned page, unsigned count, bool wire);
/* Moves the end of the heap, which begins at page 0 and ends at from, to page to. */
enum error op_break(unsigned space, unsigned from, unsigned to);
enum error op_discard(unsigned space, unsigned page, unsigned count);
enum error op_fork(unsigned space, unsigned child);
void op_exit(unsigned space);
enum error op_move(unsigned space, unsigned page, unsigned count, unsigned to);
enum error op_resize(unsigned pages);
enum error op_read(unsigned page, unsigned word);
enum error op_write(unsigned page, unsigned word);
/* Lets this CPU free what it has retired. Not in the history. */
void op_poll(void);

/* Private anonymous pages, read-write. */
static inline struct model_range world_anon(unsigned count)
{
	return (struct model_range){ .count = (uint8_t)count, .prot = RW, .inherit = INHERIT_COPY, .index = MODEL_ANON };
}
/* The object's pages from index on. */
static inline struct model_range world_file(unsigned count, unsigned index, bool shared)
{
	return (struct model_range){ .count = (uint8_t)count, .prot = RW, .shared = shared, .index = (uint8_t)index,
				     .inherit = shared ? INHERIT_SHARE : INHERIT_COPY };
}

/* --- judge: of every scenario here --- */
void world_judge(void);

/* One line of a table: functions word_setup and run_run; parameters beside the kinds of machines. */
#define WORLD_SCENARIO(name, what, cpus, parameters, exhaustive, word, run) \
	{ name, what, cpus, SCENARIO_FAULTS | (WORLD_MACHINES * (parameters)), exhaustive, word##_setup, world_machine, run##_run, world_judge }

/* Changes of pages [page, page + count) of a space, for scenarios that take them as a parameter. */
enum world_change {
	CHANGE_UNMAP, CHANGE_DISCARD, CHANGE_READ_ONLY, CHANGE_NO_ACCESS, CHANGE_REPLACE, CHANGE_MAP, CHANGE_WIRE,
	CHANGE_INHERIT, WORLD_CHANGES
};
enum error op_change(enum world_change change, unsigned space, unsigned page, unsigned count);

#endif
