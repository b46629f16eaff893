/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_live.c: the liveness of an entry against the linking of the leaf table below it (vm/map.c,
 * hal/pmap.h), with nothing else around: the real entry_kill, entry_live, pmap_leaf_lock and pmap_remove, an entry that
 * is in no tree, and tables prepared. An unmap that finds no table takes no lock that the fault takes: seq_cst alone
 * decides, of the descriptor or of the bit that says that its line is empty (armv8/table.c).
 */
#include "explore.h"
#include "hooks.h"
#include "test_vm.h"
#include "vm/entry.h"
#include "vm/map_edit.h"

#define BASE UINT64_C(0x40000000) /* page 0 of a window, the first of a table of level 2 */
#define FAR (16 * BLOCK_SIZE)     /* of the window that is two cache lines of that table away */

static struct test_vm v;
static struct vm_map *map;
static struct vm_entry entry;
static struct pmap_stock stock[EXPLORE_CPUS];
static uint64_t offset; /* of the window that is faulted in */

static struct host_machine *machine(void) { return v.t.m; }

static pfn_t table(void)
{
	pfn_t f;

	CHECK(frame_alloc(&v.vm->frames, 0, FRAME_ZERO, FRAME_TABLE, &f) == OK);
	return f;
}

static uint64_t page_of(uint32_t cpu) { return BASE + offset + cpu * PAGE_SIZE; }

/* Maps the shared zero page at va, if the entry is live. */
static enum error map_if_live(uint64_t va, struct pmap_stock *s, const struct pmap_last_check *check)
{
	struct pmap_leaf leaf;
	enum error e;

	epoch_enter(&v.vm->epoch);
	e = pmap_leaf_lock(&map->pmap, vaddr(va), s, &leaf);
	if (e == OK) {
		e = pmap_leaf_set(&leaf, vaddr(va), v.vm->zero_page, PROT_R, PMAP_UNTRACKED, s, check);
		pmap_leaf_unlock(&leaf);
	}
	epoch_leave(&v.vm->epoch);
	return e;
}

/* Variant 1: the upper tables are there. */
static void setup_at(uint64_t at, uint32_t variant)
{
	const struct host_config c = {.ncpus = 3,
				      .ram = UINT64_C(3) << 20,
				      .junk = true,
				      .seed = 1,
				      .ops = hooks,
				      .asid_bits = 8,
				      .late_stores = explore_modelled()};

	test_vm_init(&v, &c);
	CHECK(vm_map_create(v.vm, &map) == OK);
	offset = at;
	entry = (struct vm_entry){.range = vrange(BASE, BASE + at + BLOCK_SIZE)};
	for (uint32_t cpu = 0; cpu < EXPLORE_CPUS; cpu++) {
		stock[cpu] = (struct pmap_stock){.chunk = PFN_NONE};
		while (stock[cpu].tables < PMAP_STOCK_TABLES)
			stock[cpu].table[stock[cpu].tables++] = table();
	}
	if (variant) {
		struct pmap_stock upper = {.chunk = PFN_NONE};

		while (upper.tables < PMAP_STOCK_TABLES)
			upper.table[upper.tables++] = table();
		CHECK(map_if_live(BASE + at + BLOCK_SIZE, &upper, NULL) == OK);
		CHECK(upper.tables == 0);
	}
}

static void setup(uint32_t variant) { setup_at(0, variant); }
static void setup_far(uint32_t variant) { setup_at(FAR, variant); }
static void setup_far_line(uint32_t variant) { setup_at(FAR + 7 * BLOCK_SIZE, variant); } /* what is there is in the next line */

static bool live(void *arg)
{
	(void)arg;
	return entry_live(&entry);
}

static void fault(uint32_t cpu)
{
	const struct pmap_last_check check = {live, NULL};
	enum error e = map_if_live(page_of(cpu), &stock[cpu], &check);

	CHECK(e == OK || e == ERR_STALE || e == ERR_BUSY || e == ERR_STOCK); /* STOCK: its table is gone again */
}

static void remove_pages(struct vrange r)
{
	struct tlb_gather g;

	gather_init(&g, &map->pmap);
	pmap_remove(&map->pmap, r, &g);
	map_flush(v.vm, &g);
	frame_list_free_by_epoch(&v.vm->frames, &g.unlinked);
}

static void run(uint32_t cpu)
{
	if (cpu > 0) {
		fault(cpu);
		return;
	}
	entry_kill(&entry);
	remove_pages(entry.range);
}

/* All that was mapped under the entry has gone. */
static void judge(void)
{
	for (uint32_t cpu = 1; cpu < EXPLORE_CPUS; cpu++)
		if (pmap_extract(&map->pmap, vaddr(page_of(cpu))).state != PMAP_EMPTY)
			explore_fail("page %u is mapped, and its entry is dead", cpu);
	for (uint32_t cpu = 0; cpu < EXPLORE_CPUS; cpu++)
		while (stock[cpu].tables > 0)
			frame_free(&v.vm->frames, stock[cpu].table[--stock[cpu].tables], 0);
	vm_map_check(map);
	remove_pages(vrange(BASE, BASE + offset + 2 * BLOCK_SIZE));
	vm_map_release(map);
	test_vm_destroy(&v);
}

const struct scenario scenario_live[] = {
	{"live-link", "an entry dies while a fault links the first table below it", 2, 2, true, setup, machine, run,
	 judge},
	{"live-link-two", "the same with two faults, of which one links the table", 3, 2, true, setup, machine, run,
	 judge},
	{"live-link-far", "the same with a table in a line of descriptors that the unmap looks at only if its bit is set",
	 2, 2, true, setup_far, machine, run, judge},
	{"live-link-line", "the same with a line that held nothing before", 3, 2, false, setup_far_line, machine, run, judge},
};
const unsigned scenario_live_count = sizeof scenario_live / sizeof scenario_live[0];
