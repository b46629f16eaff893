/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_limit.c: fork's limit against the liveness of entries (armv8/limit.c, vm/fork.c), with nothing else
 * around: the real entry_kill, entry_live, pmap_limit_writes, pmap_lift_limit and pmap_leaf_set, entries that are in no
 * tree, and tables prepared. A fork kills the old entry, limits, flushes, and publishes the new entry. What a fault maps
 * for the old one, whenever it stores its PTE, nobody can write to when fork is over: whether the limit stands then or was
 * lifted, by a fault of the new entry or, when it stood before, by one of the old.
 */
#include "explore.h"
#include "hooks.h"
#include "test_vm.h"
#include "vm/entry.h"
#include "vm/map_edit.h"

#define BASE UINT64_C(0x40000000) /* of the GiB */
#define RW (PROT_R | PROT_W)

/* What is there of the window of CPU 1, the late one, at the start. */
enum before { NO_TABLE, NEIGHBOUR_TABLE, TABLE, PAGE, NO_UPPER, BEFORES };

static struct test_vm v;
static struct vm_map *map;
static struct vm_entry old_entry, new_entry;
static ATOMIC(uint32_t) published; /* fork is over */
static struct pmap_stock stock[EXPLORE_CPUS];
static pfn_t frame[EXPLORE_CPUS];
static uint32_t machine_cpus;
static bool renewed[EXPLORE_CPUS]; /* the CPU's right is of the new entry */

static struct host_machine *machine(void) { return v.t.m; }
/* In windows whose descriptors are in different cache lines. */
static uint64_t page_of(uint32_t cpu) { return BASE + 16 * cpu * BLOCK_SIZE; }

static pfn_t new_frame(unsigned flags, enum frame_owner owner)
{
	pfn_t f;

	CHECK(frame_alloc(&v.vm->frames, 0, flags, owner, &f) == OK);
	return f;
}

static void fill_stock(struct pmap_stock *s)
{
	while (s->tables < PMAP_STOCK_TABLES)
		s->table[s->tables++] = new_frame(FRAME_ZERO, FRAME_TABLE);
}

static bool live(void *arg) { return entry_live(arg); }

/* A write fault at va, as fault.c has it. */
static enum error write_fault(uint64_t va, struct vm_entry *entry, pfn_t f, struct pmap_stock *s)
{
	const struct pmap_last_check check = {live, entry};
	struct pmap_leaf leaf;
	enum error e = OK;

	epoch_enter(&v.vm->epoch);
	if (pmap_limited(&map->pmap, vaddr(va)))
		e = pmap_lift_limit(&map->pmap, vaddr(va), &check);
	if (e == OK)
		e = pmap_leaf_lock(&map->pmap, vaddr(va), s, &leaf);
	if (e == OK) {
		e = entry_live(entry) ? pmap_leaf_set(&leaf, vaddr(va), f, RW, PMAP_WRITTEN | PMAP_UNTRACKED, s, NULL) :
					ERR_STALE;
		pmap_leaf_unlock(&leaf);
	}
	epoch_leave(&v.vm->epoch);
	CHECK(e == OK || e == ERR_STALE);
	return e;
}

/* Maps something at va for the old entry. */
static void map_at(uint64_t va, pfn_t f)
{
	struct pmap_stock s = {.chunk = PFN_NONE};

	fill_stock(&s);
	CHECK(write_fault(va, &old_entry, f, &s) == OK);
	while (s.tables > 0)
		frame_free(&v.vm->frames, s.table[--s.tables], 0);
}

static bool can_write(uint64_t va)
{
	struct host_fault f;
	uint64_t was;

	return host_user_add64(vaddr(va), 1, &was, &f) == OK;
}

static void limit_all(void)
{
	struct tlb_gather g;

	gather_init(&g, &map->pmap);
	pmap_limit_writes(&map->pmap, vrange(BASE, BASE + PMAP_LIMIT_SPAN), &g);
	map_flush(v.vm, &g);
}

static void setup_for(uint32_t cpus, uint32_t before, bool stands)
{
	const struct host_config c = {.ncpus = cpus,
				      .ram = UINT64_C(3) << 20,
				      .junk = true,
				      .seed = 1,
				      .ops = hooks,
				      .asid_bits = 8,
				      .hw_dirty = before % 2,
				      .hw_access = before % 2,
				      .late_stores = explore_modelled()};

	test_vm_init(&v, &c);
	CHECK(vm_map_create(v.vm, &map) == OK);
	machine_cpus = cpus;
	old_entry = new_entry = (struct vm_entry){.range = vrange(BASE, BASE + PMAP_LIMIT_SPAN)};
	for (uint32_t cpu = 0; cpu < cpus; cpu++) {
		stock[cpu] = (struct pmap_stock){.chunk = PFN_NONE};
		fill_stock(&stock[cpu]);
		frame[cpu] = new_frame(FRAME_ZERO, FRAME_ANON);
	}
	if (before != NO_UPPER)
		map_at(page_of(0), frame[0]);
	if (before == NEIGHBOUR_TABLE)
		map_at(page_of(1) + BLOCK_SIZE, frame[0]);
	if (before == TABLE)
		map_at(page_of(1) + PAGE_SIZE, frame[0]);
	if (before == PAGE)
		map_at(page_of(1), frame[1]);
	if (stands)
		limit_all();
	pmap_activate(&map->pmap);
	host_returned();
}

/* --- the parts --- */

static void fork_all(void)
{
	pmap_activate(&map->pmap);
	entry_kill(&old_entry);
	limit_all();
	CHECK(!can_write(page_of(0)) && !can_write(page_of(1)));
	atomic_store_seq_cst(&published, 1u);
	host_returned();
}

/* A fault that found the old entry, and may be late. Then the program's store. */
static void old_fault(uint32_t cpu)
{
	pmap_activate(&map->pmap);
	if (write_fault(page_of(cpu), &old_entry, frame[cpu], &stock[cpu]) == OK)
		(void)can_write(page_of(cpu));
}

/* A read of the old entry, whose page may be written later: it lifts nothing, and its right is good if nothing is above it. */
static void old_read(uint32_t cpu)
{
	struct pmap_leaf leaf;

	pmap_activate(&map->pmap);
	epoch_enter(&v.vm->epoch);
	CHECK(pmap_leaf_lock(&map->pmap, vaddr(page_of(cpu)), &stock[cpu], &leaf) == OK);
	if (entry_live(&old_entry))
		CHECK(pmap_leaf_set(&leaf, vaddr(page_of(cpu)), frame[cpu], RW, PMAP_UNTRACKED, &stock[cpu], NULL) == OK);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&v.vm->epoch);
	(void)can_write(page_of(cpu));
}

/* A fault that finds the new entry, and the program's store. */
static void new_fault(uint32_t cpu)
{
	pmap_activate(&map->pmap);
	while (!atomic_load_seq_cst(&published))
		cpu_relax();
	CHECK(write_fault(page_of(cpu), &new_entry, frame[cpu], &stock[cpu]) == OK);
	while (!can_write(page_of(cpu)))
		pmap_spurious(&map->pmap, vaddr(page_of(cpu)));
	renewed[cpu] = true;
	host_returned();
}

static void once_setup(uint32_t variant) { setup_for(3, variant, false); }
static void again_setup(uint32_t variant) { setup_for(3, variant, true); }
static void four_setup(uint32_t variant) { setup_for(4, variant % BEFORES, variant / BEFORES); }

/* CPU 1 is late; CPU 2 lifts the limit afterwards. */
static void once_run(uint32_t cpu)
{
	if (cpu == 0)
		fork_all();
	else if (cpu == 1)
		old_fault(1);
	else
		new_fault(2);
}

/* The limit stands; two faults lift it or not, while it is set again. */
static void again_run(uint32_t cpu)
{
	if (cpu == 0)
		fork_all();
	else
		old_fault(cpu);
}

/* One lifts it, another maps a page below. */
static void read_run(uint32_t cpu)
{
	if (cpu == 0)
		fork_all();
	else if (cpu == 1)
		old_read(1);
	else
		old_fault(2);
}

static void four_run(uint32_t cpu)
{
	if (cpu == 0)
		fork_all();
	else if (cpu < 3)
		old_fault(cpu);
	else
		new_fault(cpu);
}

/* What was mapped for the old entry cannot be written to, on any CPU. */
static void judge(void)
{
	uint32_t cpus = machine_cpus;

	for (uint32_t on = 0; on < cpus; on++) {
		host_become(machine(), on);
		pmap_activate(&map->pmap);
		for (uint32_t cpu = 0; cpu < cpus; cpu++)
			if (!renewed[cpu] && (can_write(page_of(cpu)) ||
					      pmap_extract(&map->pmap, vaddr(page_of(cpu))).prot & PROT_W))
				explore_fail("CPU %u can write to the page of CPU %u, and fork is over", on, cpu);
		pmap_deactivate(v.pmaps);
	}
	host_become(machine(), 0);
	pmap_check(&map->pmap);
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		while (stock[cpu].tables > 0)
			frame_free(&v.vm->frames, stock[cpu].table[--stock[cpu].tables], 0);
	vm_map_release(map);
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		frame_free(&v.vm->frames, frame[cpu], 0);
	test_vm_destroy(&v);
}

const struct scenario scenario_limit[] = {
	{"limit-late", "fork limits a GiB while a late fault stores its PTE there, and then another lifts the limit", 3, BEFORES,
	 true, once_setup, machine, once_run, judge},
	{"limit-again", "the same where a limit stands, and faults lift it while fork sets it again", 3, BEFORES, true,
	 again_setup, machine, again_run, judge},
	{"limit-read", "the same where one of them reads, and lifts nothing", 3, BEFORES, true, again_setup, machine, read_run, judge},
	{"limit-four", "two late faults, and one that lifts the limit afterwards", 4, 2 * BEFORES, false, four_setup,
	 machine, four_run, judge},
};
const unsigned scenario_limit_count = ARRAY_SIZE(scenario_limit);
