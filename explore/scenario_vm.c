/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm.c: the world of the scenarios of address spaces, and how their runs are judged.
 *
 * Purpose. A scenario says what is there at the start and what each CPU does. All the rest is the same for all of them.
 *
 * Structure. setup builds a machine, a memory subsystem and spaces by ordinary operations; the model goes along, step
 * by step. The run's operations go to a history (scenario_vm_ops.c). The judge then asks, in this order:
 *
 *   1. structures: vm_map_check of all spaces, with amap_check, entry_list_check, pmap_check in it; object_check;
 *      wired pages
 *
 *   2. content: every page of every space is looked up, and read as a program would
 *
 *   3. sharing: every page of every space is written once, by its program, and then all are read: who sees whose
 *
 *   4. history: is there an order of all steps that explains every result and ends in what 2 and 3 found?
 *
 *   5. release: spaces and object go; every frame must be back with whom it was before (test_vm_destroy)
 *
 * The simulated MMU panics at any offence meanwhile, and checked builds at any misuse of locks and epochs.
 *
 * Invariant. Barriers stand between operations only (scenario_vm_ops.c, begin and end), so what the kernel must order
 * by itself is not ordered for it.
 */
#include "scenario_vm.h"

#include <stdio.h>

#include "base/print.h"
#include "hooks.h"

struct world world;

/* --- the machine --- */

/* What tells machines apart; warm: TLBs know the pages already when the run starts. */
static const struct kind {
	uint8_t asid_bits;
	bool access, dirty, range, warm;
	uint16_t stride;
	const char *options;
} kinds[WORLD_MACHINES] = {
	{8, false, false, false, false, 1, "tlb-scope=local"},
	{16, true, true, true, false, 1, "tlb-scope=broadcast"},
	{4, true, false, false, true, 1, "tlb-scope=local"},
	{8, false, false, false, true, 64, "tlb-scope=broadcast"},
	{4, true, true, true, true, 512, "tlb-scope=local"},
	{8, false, false, false, true, 1, "tlb-scope=broadcast"},
	{16, true, true, false, true, 1, "tlb-scope=broadcast tlb=page"},
	{8, false, false, false, false, 512, "tlb-scope=local tlb=page"},
};
static const struct kind *kind;

struct host_machine *world_machine(void) { return world.v.t.m; }

/* So that one begins at WORLD_TOGETHER: in the middle of pages that straddle. */
static void cut_in_parts(struct vm_map *m, uint32_t cpus)
{
	m->stack_limit = (cpus + 1) * MAP_PART + BLOCK_SIZE;
	vm_map_spread(m);
	CHECK(m->part_low == WORLD_TOGETHER);
	m->stack_limit = 0;
}

/* What a kind of world is besides: MiB of RAM, options; stride 0: the machine's. */
struct open {
	uint64_t ram;
	const char *options;
	uint32_t stride;
};

static void open_machine(uint32_t variant, uint32_t cpus, uint64_t base, struct open how)
{
	char command_line[64];
	struct host_config c = {
		.ncpus = cpus, .ram = how.ram << 20, .junk = true, .seed = 1, .late_stores = explore_modelled()};

	kind = &kinds[variant % WORLD_MACHINES];
	c.asid_bits = kind->asid_bits;
	c.hw_access = kind->access;
	c.hw_dirty = kind->dirty;
	c.range_tlbi = kind->range;
	c.ops = hooks;
	snprintf(command_line, sizeof command_line, "%s %s", how.options, kind->options);
	c.command_line = command_line;
	memset(&world, 0, sizeof world);
	world.cpus = world.history.cpus = cpus;
	world.stride = how.stride ? how.stride : kind->stride;
	world.base = world.stride == 1 ? base : WORLD_TOGETHER;
	test_vm_init(&world.v, &c);
	CHECK(vm_map_create(world.v.vm, &world.space[0]) == OK);
	if (test_way == WAY_EITHER)
		cut_in_parts(world.space[0], cpus);
	world_enter(0);
}

/* What a write makes besides its own page is a matter of its own. */
void world_open(uint32_t variant, uint32_t cpus, uint64_t base) 
{
	open_machine(variant, cpus, base, (struct open){ 3, "fault-ahead=0", 0 });
}

void world_open_ahead(uint32_t variant, uint32_t cpus, uint64_t base)
{
	open_machine(variant, cpus, base, (struct open){ 3, "fault-ahead=4", 0 });
}

void world_open_blocks(uint32_t variant, uint32_t cpus)
{
	bool far = kinds[variant % WORLD_MACHINES].stride == 512;

	open_machine(variant, cpus, WORLD_TOGETHER, (struct open){ 10, "fault-ahead=0 huge=always", far ? 512 : 128 });
}

void world_object(unsigned pages)
{
	CHECK(pages <= MODEL_OBJECT_PAGES);
	CHECK(object_create(world.v.vm, (struct oid){0, 1}, &pager_zero, NULL, 0,
			    world_address(pages) - world_address(0), &world.object) == OK);
	for (unsigned i = pages; i < MODEL_OBJECT_PAGES; i++)
		world.model.object_state[i] = OBJECT_BEYOND;
}

static void become(uint32_t cpu)
{
	host_detach();
	host_attach(world.v.t.m, cpu);
}

void world_warm(void)
{
	for (uint32_t cpu = 0; kind->warm && cpu < world.cpus; cpu++) {
		become(cpu);
		world_enter(0);
		for (unsigned i = 0; i < MODEL_PAGES; i++) {
			uint64_t value;

			if (model_peek(&world.model, 0, i, &value) == OK)
				op_load(0, i, 0);
		}
		world_leave();
	}
	become(0);
}

void world_at_hand(void)
{
	struct vm *vm = world.v.vm;
	struct zone *zones[] = { vm->anon_zone, vm->node_zone };

	for (uint32_t cpu = 0; cpu < world.cpus; cpu++) {
		become(cpu);
		for (unsigned i = 0; i < sizeof zones / sizeof zones[0]; i++) {
			void *object = zone_alloc(zones[i]);

			CHECK(object);
			zone_free(zones[i], object);
		}
	}
	become(0);
}

static bool may_fail(void *arg)
{
	(void)arg;
	return explore_cpu() >= 0 && explore_choose(CHOOSE_ALLOC, 2);
}

void world_fail_allocations(void)
{
	world.failing = true;
	frames_fail_by(&world.v.vm->frames, may_fail, NULL);
}

void world_leave_frames(unsigned n)
{
	struct frames *f = &world.v.vm->frames;
	pfn_t frame;

	world.failing = true;
	while (world.ballasts < ARRAY_SIZE(world.ballast) && frame_alloc(f, 0, 0, FRAME_WIRED, &frame) == OK)
		world.ballast[world.ballasts++] = frame;
	CHECK(world.ballasts < ARRAY_SIZE(world.ballast) && world.ballasts > n);
	while (n-- > 0)
		frame_free(f, world.ballast[--world.ballasts], 0);
}

void world_enter(unsigned space) { pmap_activate(&world.space[space]->pmap); }
void world_leave(void) { pmap_deactivate(world.v.pmaps); }

/* --- the judge --- */

struct found {
	enum error result[MODEL_SPACES][MODEL_PAGES];
	uint64_t value[MODEL_SPACES][MODEL_PAGES];
	struct model_page map[MODEL_SPACES][MODEL_PAGES]; /* what the map says of itself; no content */
};

static enum error read_page(unsigned space, unsigned page, uint64_t *value)
{
	uint64_t word[MODEL_WORDS] = {0, 0}, at = world_address(page);
	enum error e = test_load(world.space[space], at, &word[0]);

	if (e == OK)
		e = test_load(world.space[space], at + PAGE_SIZE / 2 + 64, &word[1]);
	if (e == OK && (word[0] | word[1]) > UINT8_MAX)
		explore_fail("in the end space %u page %u holds %lx and %lx", space, page, (unsigned long)word[0],
			     (unsigned long)word[1]);
	*value = word[0] | word[1] << 8;
	return e;
}

static struct model_page look_up(unsigned space, unsigned page)
{
	uint64_t at = world_address(page);
	struct vm_entry_info info;

	if (!vm_map_lookup(world.space[space], at, &info) || info.range.start.va > at)
		return (struct model_page){.mapped = 0};
	return (struct model_page){
		.mapped = 1,
		.prot = (uint8_t)info.prot,
		.inherit = (uint8_t)info.inherit,
		.shared = info.shared,
		.index = info.object ? (uint8_t)((info.offset + at - info.range.start.va) / world.stride >> PAGE_SHIFT)
				     : MODEL_ANON,
	};
}

static void read_all(struct found *f)
{
	for (unsigned s = 0; s < MODEL_SPACES; s++) {
		if (!world.space[s])
			continue;
		world_enter(s);
		for (unsigned i = 0; i < MODEL_PAGES; i++) {
			f->map[s][i] = look_up(s, i);
			f->result[s][i] = read_page(s, i, &f->value[s][i]);
		}
	}
}

static bool same_mapping(const struct model_page *a, const struct model_page *b)
{
	return a->mapped == b->mapped && (!a->mapped || (a->prot == b->prot && a->inherit == b->inherit &&
							 a->shared == b->shared && a->index == b->index));
}

/* Is that the state that was found, and does it account for what the judge did afterwards? Everybody's flushes are
 * over. */
static bool fits(const void *state, void *arg)
{
	const struct found *f = arg;
	struct model end = *(const struct model *)state;
	const struct model *m = state;

	for (unsigned s = 0; s < MODEL_SPACES; s++) {
		for (unsigned i = 0; world.space[s] && i < MODEL_PAGES; i++) {
			uint64_t value = 0;
			enum error e = model_peek(m, s, i, &value);

			if (m->page[s][i].busy || !same_mapping(&m->page[s][i], &f->map[s][i]) ||
			    e != f->result[s][i] || (e == OK && value != f->value[s][i]))
				return false;
		}
	}
	for (unsigned i = 0; i < world.afters; i++)
		if (!model_step(&end, 0, &world.after[i]) && !world.after[i].optional)
			return false;
	return true;
}

static void print_found(const struct found *f)
{
	for (unsigned s = 0; s < MODEL_SPACES; s++) {
		for (unsigned i = 0; world.space[s] && i < MODEL_PAGES; i++) {
			const struct model_page *p = &world.model.page[s][i], *q = &f->map[s][i];
			uint64_t before = 0, value = f->value[s][i];
			enum error e = model_peek(&world.model, s, i, &before);

			if (!p->mapped && !q->mapped && f->result[s][i] == e)
				continue;
			kprintf("  %u.%u: before prot %u inherit %u, %s %lx,%lx; in the end prot %u inherit %u%s, %s "
				"%lx,%lx\n",
				s, i, p->prot, p->inherit, error_name(e), (unsigned long)before % 256,
				(unsigned long)before / 256, q->prot, q->inherit, q->shared ? " shared" : "",
				error_name(f->result[s][i]), (unsigned long)value % 256, (unsigned long)value / 256);
		}
	}
}

/* Every page of every space is written by its own program; then all are read: who sees whose? */
static void use_all(void)
{
	world.judging = true;
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned s = 0; s < MODEL_SPACES; s++) {
			if (!world.space[s])
				continue;
			world_enter(s);
			for (unsigned i = 0; i < MODEL_PAGES; i++) {
				if (turn == 0)
					(void)op_store(s, i, (s + i) % MODEL_WORDS);
				else
					(void)op_load(s, i, MODEL_BOTH);
			}
		}
	}
	world.judging = false;
}

static void check_structures(void)
{
	for (unsigned s = 0; s < MODEL_SPACES; s++)
		if (world.space[s])
			vm_map_check(world.space[s]);
	if (world.object)
		object_check(world.object);
}

void world_judge(void)
{
	struct frames *frames = &world.v.vm->frames;
	struct found found = {.result = {{OK}}};

	frames_fail_by(frames, NULL, NULL);
	while (world.ballasts > 0)
		frame_free(frames, world.ballast[--world.ballasts], 0);
	check_structures();
	read_all(&found);
	use_all();
	check_structures();
	if (!history_explained(&world.history, &world.model, sizeof world.model, model_step, fits, &found)) {
		print_found(&found);
		explore_fail("no order of the operations explains their results");
	}
	world_leave();
	for (unsigned s = 0; s < MODEL_SPACES; s++)
		if (world.space[s])
			vm_map_release(world.space[s]);
	if (world.object)
		object_release(world.object);
	test_vm_destroy(&world.v);
}
