/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap.c: address translation: tables, TLBs, ASIDs, reverse maps.
 *
 * Purpose. The pmap under a layer as thin as can be (test/support/pmap_world.h), so that
 * runs are short and nothing but the pmap's own protocols keeps them right.
 *
 * Structure. A plan names what is prepared on each CPU before the run and what
 * each CPU then does, a list of steps. setup builds a world, a machine's kind
 * by variant, and prepares; judge checks sums, structures and frames.
 * A vCPU keeps the address space loaded that it used last: what it does in the kernel, others
 * may see through its TLB, and speculation goes on there.
 *
 * What is checked. While it runs: the simulated MMU's judgement (stale rights when a step
 * has returned, freed and foreign frames and tables, break before make, shared ASIDs),
 * tags in frames, refusals after an unmap or protect. In the end: every write is found in the frame that
 * counts, modified is reported, pmap_check, all frames are back.
 *
 * ASIDs. Sixteen more spaces that map one address each to a frame with their number, on
 * a machine with fifteen ASIDs, all but one of them given out before the run.
 *
 * Steps that share a window are serialized as the layer above does it, by the window's
 * range lock; faults take no lock but the node's.
 */
#include "hooks.h"
#include "pmap_world.h"

#define ANON 0u
#define OBJECT 1u
#define SPARES 16u /* address spaces for ASIDs */
#define TAGGED UINT64_C(0x200000)
#define STEPS 4u
#define SEED 20260101u

typedef void step(struct cpu *c);
struct plan {
	step *prepare;
	step *part[EXPLORE_CPUS][STEPS];
	uint32_t cpus;
	bool asids;
	bool frames; /* old_mapped */
};

static struct world w;
static struct cpu cpus[EXPLORE_CPUS];
static const struct plan *plan;

/* --- the machine --- */

static struct host_machine *machine(void) { return w.m.t.m; }

#define KINDS 4u
static const struct kind {
	uint8_t asid_bits;
	bool access, dirty, range;
} kinds[KINDS] = {
	{8, false, false, false},
	{4, true, true, true},
	{16, false, false, true},
	{4, true, false, false},
};

/* --- spaces for ASIDs --- */

static struct {
	struct pmap p;
	pfn_t frame;
	struct test_lock lock;
} spare[SPARES];

static void tag(unsigned i)
{
	uint64_t *word;

	spare[i].frame = pm_alloc(&w.m);
	word = pm_bytes(spare[i].frame);
	/* relaxed: its mapping publishes it */
	__atomic_store_n(word, i, __ATOMIC_RELAXED);
	CHECK(pm_enter(&w.m, &spare[i].p, TAGGED, spare[i].frame, PROT_R, 0) == OK);
}

static void spares_begin(void)
{
	for (unsigned i = 0; i < SPARES; i++) {
		pmap_init(w.m.ps, &spare[i].p, pm_alloc_table(&w.m));
		tag(i);
	}
}

static void spares_end(void)
{
	for (unsigned i = 0; i < SPARES; i++) {
		pm_exit(&w.m, &spare[i].p);
		pm_free(&w.m, spare[i].frame);
	}
}

/* Runs in space i and reads its number; a fault is none of our business. */
static void use(unsigned i)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&spare[i].p);
	for (unsigned turn = 0; turn < 2; turn++) {
		if (host_user_load64(vaddr(TAGGED), &v, &f) == OK)
			CHECK(v == i);
		else
			pmap_spurious(&spare[i].p, vaddr(TAGGED));
	}
}

/* munmap in space i, and another frame in the old one's place. */
static void remap(unsigned i)
{
	struct tlb_gather g;

	test_lock(&spare[i].lock);
	gather_init(&g, &spare[i].p);
	g.exclusive = true;
	pmap_remove(&spare[i].p, vrange(TAGGED, TAGGED + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&w.m, &g.unlinked);
	pm_free(&w.m, spare[i].frame);
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
USE(1) USE(2) USE(3) USE(13) USE(14) USE(15)

	static void remap_0(struct cpu *c)
{
	(void)c, remap(0);
}
static void remap_1(struct cpu *c) { (void)c, remap(1); }
static void remap_14(struct cpu *c) { (void)c, remap(14); }

/* Fourteen of fifteen numbers are given out; CPU n runs space n, CPU 0 the last of them. */
static void numbers(struct cpu *c)
{
	unsigned self = (unsigned)(c - cpus);

	if (self == 0)
		for (unsigned i = 0; i < 14; i++)
			use(i);
	else
		use(self);
}

/* All fifteen are given out; CPU 0 runs space 14, CPU 1 space 1. */
static void full(struct cpu *c)
{
	if (c == cpus)
		for (unsigned i = 0; i < 15; i++)
			use(i);
	else
		use(1);
}

/* CPU 1 has run space 1 since before a rollover; all numbers are given out again, space 13 has none. */
static void full_again(struct cpu *c)
{
	if (c != cpus)
		return;
	host_become(machine(), 1);
	use(1);
	host_become(machine(), 0);
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
	if (host_user_load64(vaddr(TAGGED), &v, &f) == OK)
		CHECK(v == 1);
}

/* All have had numbers, a rollover is over, and space 0's old number is another's. */
static void rolled(struct cpu *c)
{
	if (c == cpus)
		for (unsigned i = 0; i < SPARES; i++)
			use(i);
}

/* --- steps on page 1 of the first anon and object windows of space 0 --- */

static struct space *space(struct cpu *c) { return &c->w->space[0]; }

static void add(struct cpu *c, unsigned window, unsigned page)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&space(c)->p);
	for (int i = 0; i < 3; i++) {
		if (host_user_add64(vaddr(world_va(window, page) + 8), 3, &v, &f) == OK) {
			atomic_add_relaxed(&c->w->added, UINT64_C(3));
			return;
		}
		world_fault(c, space(c), window, page, PROT_W);
	}
}

static void touch_anon(struct cpu *c) { world_touch(c, space(c), ANON, 1); }
static void touch_object(struct cpu *c) { world_touch(c, space(c), OBJECT, 1); }
static void touch_object_2(struct cpu *c) { world_touch(c, space(c), OBJECT, 2); }
static void write_anon(struct cpu *c) { add(c, ANON, 1); }
static void write_anon_2(struct cpu *c) { add(c, ANON, 2); }
static void write_object(struct cpu *c) { add(c, OBJECT, 1); }
static void fault_object(struct cpu *c) { world_fault(c, space(c), OBJECT, 1, PROT_R); }
static void fault_object_2(struct cpu *c) { world_fault(c, space(c), OBJECT, 2, PROT_R); }
static void fault_anon(struct cpu *c) { world_fault(c, space(c), ANON, 1, PROT_R); }
static void unmap_anon(struct cpu *c) { world_unmap(c, space(c), ANON, true); }
static void unmap_object(struct cpu *c) { world_unmap(c, space(c), OBJECT, true); }
static void discard(struct cpu *c) { world_discard(c, space(c), ANON, 0, 2); }
static void write_anon_10(struct cpu *c) { add(c, ANON, PAGES - 2); }
static void discard_two(struct cpu *c) { world_discard(c, space(c), ANON, 2, 3); }
static void write_anon_3(struct cpu *c) { add(c, ANON, 3); }
static void discard_one(struct cpu *c) { world_discard(c, space(c), ANON, 1, 1); }
static void copy(struct cpu *c) { world_copy(c, space(c), ANON, 1); }
static void protect_anon(struct cpu *c) { world_protect(c, space(c), ANON, PAGES - 2); }
static void protect_window(struct cpu *c) { world_protect(c, space(c), ANON, 0); }
static void withdraw(struct cpu *c) { world_withdraw(c, 1); }
static void withdraw_2(struct cpu *c) { world_withdraw(c, 2); }
static void ask(struct cpu *c) { world_ask(c, 1); }
static void ask_clear(struct cpu *c) { world_ask_clear(c, 1); }
static void leave(struct cpu *c) { world_live_and_exit(c, 1, 1); }
static void leave_two(struct cpu *c) { world_live_and_exit(c, 1, 2); }
static void touch_other(struct cpu *c) { world_touch(c, &c->w->space[1], OBJECT, 1); }
static void poll(struct cpu *c) { pm_poll(&c->w->m); }

/* The pages first to last of the object's window are unmapped, by few points. */
static void unmap_pages(struct cpu *c, unsigned first, unsigned last)
{
	struct space *s = space(c);
	struct window *win = &s->window[OBJECT];
	struct tlb_gather g;
	struct host_fault f;
	uint64_t v;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = true;
	for (unsigned i = first; i <= last; i++)
		pmap_remove(&s->p, vrange(world_va(OBJECT, i), world_va(OBJECT, i) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	pmap_activate(&s->p);
	for (unsigned i = first; i <= last; i++) {
		CHECK(pmap_extract(&s->p, vaddr(world_va(OBJECT, i))).state != PMAP_VALID);
		CHECK(host_user_load64(vaddr(world_va(OBJECT, i)), &v, &f) == ERR_FAULT);
	}
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

static void unmap_page(struct cpu *c) { unmap_pages(c, 1, 1); }
static void unmap_two(struct cpu *c) { unmap_pages(c, 1, 2); }

/* Neighbours, the higher one first. */
static void unmap_down(struct cpu *c)
{
	struct space *s = space(c);
	struct window *win = &s->window[OBJECT];
	struct tlb_gather g;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = true;
	for (unsigned i = 3; i >= 2; i--)
		pmap_remove(&s->p, vrange(world_va(OBJECT, i), world_va(OBJECT, i) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	host_returned();
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

/* Execution is taken from the window by its table, and given back to page 2, whose fault pushes that down. */
static void exec_push(struct cpu *c)
{
	struct space *s = space(c);
	struct window *win = &s->window[ANON];
	struct tlb_gather g;
	struct pmap_leaf leaf;
	struct pmap_pte pte;

	test_lock(&win->range);
	gather_init(&g, &s->p);
	pmap_protect(&s->p, vrange(world_va(ANON, 0), world_va(ANON, 0) + BLOCK_SIZE), PROT_R | PROT_W, &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	epoch_enter(&c->w->m.epoch);
	CHECK(pmap_leaf_lock(&s->p, vaddr(world_va(ANON, 2)), NULL, &leaf) == OK);
	pte = pmap_leaf_get(&leaf, vaddr(world_va(ANON, 2)));
	if (pte.state == PMAP_VALID)
		CHECK(pmap_leaf_set(&leaf, vaddr(world_va(ANON, 2)), pte.frame, PROT_ALL, 0, NULL, NULL) == OK);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&c->w->m.epoch);
	test_unlock(&win->range);
}

/* CPU 0 owns a frame of chunks: pages 1 and 3 of the object are mapped in both spaces, page 2 in space 1 only. */
static void chunks_owned(struct cpu *c)
{
	struct space *s = c->w->space;

	if (c != cpus)
		return;
	for (unsigned i = 1; i <= 3; i++) {
		world_touch(c, &s[1], OBJECT, i);
		if (i != 2)
			world_touch(c, &s[0], OBJECT, i);
	}
}

/* Another space's page 1: its chunk is free again. */
static void unmap_other(struct cpu *c)
{
	struct pmap *p = &c->w->space[1].p;

	pm_remove(&c->w->m, p, world_va(OBJECT, 1), world_va(OBJECT, 1) + PAGE_SIZE, true);
}

/* --- an address that gets another frame while its old one is withdrawn --- */

static pfn_t old_frame, new_frame;

static void old_mapped(struct cpu *c)
{
	if (c != cpus)
		return;
	old_frame = pm_alloc(&w.m);
	new_frame = pm_alloc(&w.m);
	CHECK(pm_enter(&w.m, &spare[0].p, TAGGED, old_frame, PROT_R, 0) == OK);
	pmap_activate(&spare[0].p);
}

static void evict_old(struct cpu *c) { pmap_page_remove_all(c->w->m.ps, old_frame); }
static void map_new(struct cpu *c)
{
	struct pmap_pte pte;
	enum error e;

	pm_remove(&c->w->m, &spare[0].p, TAGGED, TAGGED + PAGE_SIZE, true);
	/* BUSY until the withdrawal has flushed */
	while ((e = pm_enter(&c->w->m, &spare[0].p, TAGGED, new_frame, PROT_R, 0)) == ERR_BUSY)
		cpu_relax();
	CHECK(e == OK);
	pte = pmap_extract(&spare[0].p, vaddr(TAGGED));
	CHECK(pte.state == PMAP_VALID && pte.frame.fn == new_frame.fn);
}

/* --- a space that several CPUs use, and the last one takes down --- */

static struct space common;
static ATOMIC(uint32_t) users;

static void common_begin(void)
{
	memset(&common, 0, sizeof common);
	pmap_init(w.m.ps, &common.p, pm_alloc_table(&w.m));
	spin_init(&common.window[OBJECT].node);
	atomic_store_relaxed(&common.window[OBJECT].live, 1u);
	atomic_store_relaxed(&users, plan->cpus);
}

static void common_touch(struct cpu *c) { world_touch(c, &common, OBJECT, 1); }
static void common_leave(struct cpu *c)
{
	pmap_deactivate(c->w->m.ps);
	if (atomic_sub_acq_rel(&users, 1u) == 1)
		pm_exit(&c->w->m, &common.p);
}
/* Goes elsewhere instead: nothing is loaded in between. */
static void common_switch(struct cpu *c)
{
	pmap_activate(&space(c)->p);
	if (atomic_sub_acq_rel(&users, 1u) == 1) {
		pm_exit(&c->w->m, &common.p);
		return;
	}
	world_touch(c, space(c), OBJECT, 1);
}

/* --- what is there before --- */

/* TLBs know both pages, written. */
static void warm(struct cpu *c)
{
	add(c, ANON, 1);
	add(c, OBJECT, 1);
}

static void warm_more(struct cpu *c)
{
	warm(c);
	for (unsigned i = 2; i <= 3; i++) {
		add(c, ANON, i);
		world_touch(c, space(c), OBJECT, i);
	}
	add(c, ANON, PAGES - 1);
}

/* Mapped writable, and clean. */
static void clean(struct cpu *c)
{
	world_fault(c, space(c), ANON, 1, PROT_R);
	world_fault(c, space(c), OBJECT, 1, PROT_R);
	pmap_activate(&space(c)->p);
}

static void clean_two(struct cpu *c)
{
	clean(c);
	world_fault(c, space(c), ANON, 2, PROT_R);
}

static void clean_10(struct cpu *c)
{
	world_fault(c, space(c), ANON, PAGES - 2, PROT_R);
	pmap_activate(&space(c)->p);
}

/* The tables are there, empty of page 1. */
static void tables(struct cpu *c)
{
	world_touch(c, space(c), ANON, 2);
	world_touch(c, space(c), OBJECT, 2);
}

/* The upper tables are there, the leaf table not; the space is loaded. */
static void upper(struct cpu *c) { world_touch(c, space(c), OBJECT + 2, 1); }

/* The object's page is mapped in two spaces, so that its reverse map has a chunk. */
static void shared(struct cpu *c)
{
	world_touch(c, &c->w->space[1], OBJECT, 1);
	warm(c);
}

/* --- random steps --- */

static void any(struct cpu *c)
{
	static step *const all[] = {
		touch_anon,   touch_object, touch_object_2, write_anon,   write_anon_2,   write_object, unmap_anon,
		unmap_object, discard,      copy,           protect_anon, protect_window, withdraw,     withdraw_2,
		ask,          leave,        leave_two,      touch_other,  poll,           unmap_page,   unmap_two,
		unmap_down,   discard_two,  write_anon_3,   ask_clear,
	};

	all[explore_choose(CHOOSE_SCENARIO, ARRAY_SIZE(all))](c);
}

/* --- setup, run, judge --- */

static void begin(const struct plan *p, uint32_t variant)
{
	const struct kind *k = &kinds[p->asids ? 1 + 2 * (variant % 2) : variant % KINDS];
	struct host_config config = {
		.ncpus = p->cpus,
		.ram = UINT64_C(2) << 20,
		.junk = true,
		.seed = SEED,
		.tlb_entries = 64,
		.asid_bits = k->asid_bits,
		.hw_access = k->access,
		.hw_dirty = k->dirty,
		.range_tlbi = k->range,
		.late_stores = explore_modelled(),
		.ops = hooks,
	};

	plan = p;
	world_begin(&w, &config);
	if (p->asids)
		spares_begin();
	if (p->frames)
		pmap_init(w.m.ps, &spare[0].p, pm_alloc_table(&w.m));
	common_begin();
	for (uint32_t i = 0; i < p->cpus; i++) {
		host_become(machine(), i);
		cpu_begin(&cpus[i], &w, SEED + i + variant);
		if (p->prepare)
			p->prepare(&cpus[i]);
		pm_poll(&w.m);
		pm_fill(&w.m, &cpus[i].stock);
		if (pfn_is_none(cpus[i].spare))
			cpus[i].spare = pm_alloc(&w.m);
		host_returned();
	}
	host_become(machine(), 0);
}

static void run(uint32_t cpu)
{
	for (unsigned i = 0; i < STEPS && plan->part[cpu][i]; i++) {
		plan->part[cpu][i](&cpus[cpu]);
		host_returned();
	}
}

static void judge(void)
{
	for (uint32_t i = 0; i < plan->cpus; i++) {
		host_become(machine(), i);
		cpu_end(&cpus[i]);
	}
	host_become(machine(), 0);
	if (plan->asids)
		spares_end();
	if (plan->frames) {
		pmap_check(&spare[0].p);
		CHECK(pmap_page_mappings(w.m.ps, new_frame) == 1);
		pm_exit(&w.m, &spare[0].p);
		pm_free(&w.m, old_frame);
		pm_free(&w.m, new_frame);
	}
	if (atomic_load_relaxed(&users) == plan->cpus)
		pm_exit(&w.m, &common.p);
	world_end(&w);
}

/* --- the plans --- */

#define PLAN(name, ...) \
	static const struct plan name = {__VA_ARGS__}; \
	static void name##_setup(uint32_t variant) { begin(&name, variant); }

PLAN(link_unmap, .cpus = 2, .part = {{fault_object}, {unmap_page}})
PLAN(link_upper, .cpus = 2, .prepare = upper, .part = {{touch_object}, {unmap_page}})
PLAN(link_link, .cpus = 2, .part = {{fault_object}, {fault_object_2}})
PLAN(fault_unmap, .cpus = 2, .prepare = tables, .part = {{fault_object}, {unmap_page}})
PLAN(fault_withdraw, .cpus = 2, .prepare = tables, .part = {{fault_object}, {withdraw}})
PLAN(write_unmap, .cpus = 2, .prepare = warm, .part = {{write_object}, {unmap_page}})
PLAN(write_discard, .cpus = 2, .prepare = clean, .part = {{write_anon}, {discard_one}})
PLAN(write_withdraw, .cpus = 2, .prepare = clean, .part = {{write_object}, {withdraw}})
PLAN(write_ask, .cpus = 2, .prepare = clean, .part = {{write_object}, {ask}})
PLAN(write_copy, .cpus = 2, .prepare = warm, .part = {{write_anon}, {copy}})
PLAN(write_again, .cpus = 2, .prepare = clean, .part = {{write_anon}, {fault_anon}})
PLAN(write_protect, .cpus = 2, .prepare = clean_10, .part = {{write_anon_10}, {protect_anon}})
PLAN(switch_unmap, .cpus = 2, .prepare = numbers, .asids = true, .part = {{use_14, use_15}, {remap_1, use_1}})
PLAN(asid_renew, .cpus = 2, .prepare = rolled, .asids = true, .part = {{use_0}, {remap_0}})
PLAN(asid_leave, .cpus = 2, .prepare = full, .asids = true, .part = {{use_15, use_0, use_1, remap_1}, {use_13}})
PLAN(asid_owed, .cpus = 2, .prepare = full, .asids = true, .part = {{use_15, use_0}, {use_0, use_1}})
PLAN(asid_again, .cpus = 2, .prepare = full_again, .asids = true, .part = {{use_13, use_2}, {look_1, look_1, use_3}})
PLAN(asid_first, .cpus = 2, .prepare = numbers, .asids = true, .part = {{use_14}, {remap_14}})
PLAN(write_clear, .cpus = 2, .prepare = warm, .part = {{write_object, write_object}, {ask_clear, ask}})
PLAN(other_frame, .cpus = 2, .prepare = old_mapped, .frames = true, .part = {{evict_old}, {map_new}})
PLAN(chunk_reuse, .cpus = 2, .prepare = chunks_owned, .part = {{fault_object_2}, {unmap_other}})
PLAN(owed, .cpus = 2, .prepare = shared, .part = {{unmap_page}, {withdraw}})

PLAN(table_walk, .cpus = 3, .prepare = warm_more,
     .part = {{unmap_object, poll, touch_object},
	      {write_object, touch_object_2, poll},
	      {touch_object_2, poll, write_object}})
PLAN(table_twice, .cpus = 3, .prepare = warm,
     .part = {{unmap_object, poll}, {unmap_object, poll}, {touch_object, poll, touch_object}})
PLAN(neighbours, .cpus = 3, .prepare = warm_more,
     .part = {{discard_two, unmap_down}, {write_anon_2, write_anon_3}, {touch_object_2, write_anon_3, touch_object_2}})
PLAN(unmap_range, .cpus = 2, .prepare = warm_more,
     .part = {{unmap_two, touch_object_2}, {write_object, touch_object_2}})
PLAN(protect_push, .cpus = 3, .prepare = warm_more,
     .part = {{protect_window, write_anon}, {write_anon, write_anon_2}, {write_anon_2, write_anon}})
PLAN(protect_clean, .cpus = 2, .prepare = clean, .part = {{protect_window, write_anon}, {write_anon, write_anon}})
PLAN(exec_write, .cpus = 2, .prepare = clean_two, .part = {{exec_push}, {write_anon, write_anon_2}})
PLAN(protect_part, .cpus = 2, .prepare = warm_more,
     .part = {{protect_anon, write_anon_10}, {write_anon_10, touch_anon}})
PLAN(protect_discard, .cpus = 3, .prepare = warm_more,
     .part = {{protect_window, write_anon}, {discard, write_anon}, {copy, write_anon}})
PLAN(copy_discard, .cpus = 3, .prepare = warm, .part = {{copy}, {discard_one}, {write_anon, touch_anon}})
PLAN(copy_unmap, .cpus = 2, .prepare = warm, .part = {{copy, write_anon}, {unmap_anon}})
PLAN(copy_copy, .cpus = 3, .prepare = warm, .part = {{copy}, {copy}, {write_anon}})
PLAN(withdraw_three, .cpus = 3, .prepare = shared,
     .part = {{withdraw, withdraw}, {touch_object, unmap_page}, {touch_other, write_object}})
PLAN(owed_three, .cpus = 3, .prepare = shared, .part = {{unmap_object}, {withdraw}, {write_object}})
PLAN(exit_withdraw, .cpus = 3, .prepare = shared, .part = {{leave, poll}, {withdraw, poll}, {write_object, poll}})
PLAN(destroy, .cpus = 3,
     .part = {{common_touch, common_leave, poll},
	      {common_touch, common_switch, poll},
	      {common_touch, common_leave, poll}})
PLAN(destroy_withdraw, .cpus = 3,
     .part = {{common_touch, common_leave, poll}, {common_touch, common_leave}, {withdraw, common_leave}})
PLAN(chunks, .cpus = 4, .prepare = shared,
     .part = {{leave_two, touch_object_2}, {leave_two, withdraw}, {touch_other, withdraw_2}, {write_object, unmap_two}})
PLAN(asid_rollover, .cpus = 4, .prepare = numbers, .asids = true,
     .part = {{use_14, use_15, use_0}, {use_1, use_13, use_1}, {remap_1, remap_0, use_2}, {use_0, use_1, use_3}})
PLAN(asid_unmap, .cpus = 3, .prepare = numbers, .asids = true,
     .part = {{use_14, use_15, use_1}, {remap_1, use_1, use_2}, {use_1, remap_1, use_0}})
PLAN(asid_twice, .cpus = 3, .prepare = numbers, .asids = true,
     .part = {{use_15, use_14, use_2, remap_1}, {use_1, use_3, use_1}, {use_2, use_0, remap_0, use_13}})
PLAN(at_random, .cpus = 4, .prepare = shared,
     .part = {{any, any, any}, {any, any, any}, {any, any, any}, {any, any, any}})
PLAN(at_random_three, .cpus = 3, .prepare = warm_more, .part = {{any, any}, {any, any}, {any, any}})

#define SMALL(word, text, plan) \
	{ \
		word, text, 2, KINDS, true, plan##_setup, machine, run, judge \
	}
#define LARGE(word, text, n, plan) \
	{ \
		word, text, n, KINDS, false, plan##_setup, machine, run, judge \
	}

const struct scenario scenario_pmap[] = {
	SMALL("pmap-link-unmap", "the first fault of a space against an unmap: no table is there yet", link_unmap),
	SMALL("pmap-link-leaf", "the same with the upper tables there", link_upper),
	SMALL("pmap-link-link", "two first faults in a window", link_link),
	SMALL("pmap-fault-unmap", "a fault against an unmap, with the leaf table", fault_unmap),
	SMALL("pmap-fault-withdraw", "a fault against the withdrawal of its frame", fault_withdraw),
	SMALL("pmap-write-unmap", "writes through a TLB against an unmap", write_unmap),
	SMALL("pmap-write-discard", "the first write of a clean page against a discard", write_discard),
	SMALL("pmap-write-withdraw", "the first write of a clean page against the frame's withdrawal", write_withdraw),
	SMALL("pmap-write-ask", "the first write of a clean page against the question for it", write_ask),
	SMALL("pmap-write-clear", "writes while the page is made clean", write_clear),
	SMALL("pmap-chunk-reuse", "a chunk of a reverse map is freed by one CPU and taken by its owner", chunk_reuse),
	SMALL("pmap-other-frame", "a frame is withdrawn while another takes its place", other_frame),
	SMALL("pmap-write-copy", "writes against copy-on-write", write_copy),
	SMALL("pmap-write-again", "the first write of a clean page against a fault that finds it mapped", write_again),
	SMALL("pmap-write-protect", "the first write of a clean page against mprotect", write_protect),
	SMALL("pmap-switch-unmap", "a switch that takes the last ASID and a rollover, against an unmap", switch_unmap),
	SMALL("pmap-asid-renew", "a new ASID after a rollover, against an unmap", asid_renew),
	SMALL("pmap-asid-leave", "a space is left while a rollover gives its ASID away", asid_leave),
	SMALL("pmap-asid-owed", "a switch to what another CPU has renewed, with a flush owed", asid_owed),
	SMALL("pmap-asid-again", "a second rollover over a program that never switched", asid_again),
	SMALL("pmap-asid-first", "the first ASID of a space, against an unmap", asid_first),
	SMALL("pmap-flush-owed", "a frame is withdrawn while its unmapper has yet to flush", owed),
	LARGE("pmap-table-walk", "a table is unlinked and freed while others walk and fault", 3, table_walk),
	LARGE("pmap-table-twice", "two unmaps of a window and a fault", 3, table_twice),
	LARGE("pmap-neighbours", "neighbouring pages are discarded and unmapped, upwards and downwards", 3, neighbours),
	LARGE("pmap-unmap-range", "two pages are unmapped at once", 2, unmap_range),
	LARGE("pmap-protect-push-down", "a window is write-protected by its table, writes push that down", 3,
	      protect_push),
	LARGE("pmap-protect-clean", "the same with clean pages", 2, protect_clean),
	LARGE("pmap-exec-push-down", "the limit of execution is pushed down while clean pages are written", 2,
	      exec_write),
	LARGE("pmap-protect-part", "part of a window is write-protected", 2, protect_part),
	LARGE("pmap-protect-discard", "protect, discard and copy in a window", 3, protect_discard),
	LARGE("pmap-copy-discard", "copy-on-write against a discard and a write", 3, copy_discard),
	LARGE("pmap-copy-unmap", "copy-on-write against an unmap", 2, copy_unmap),
	LARGE("pmap-copy-copy", "two copies and a write", 3, copy_copy),
	LARGE("pmap-withdraw", "withdrawal against faults and unmap in two spaces", 3, withdraw_three),
	LARGE("pmap-flush-owed-window", "a withdrawal while a window's unmapper has yet to flush, and a writer", 3,
	      owed_three),
	LARGE("pmap-exit-withdraw", "an exit against a withdrawal", 3, exit_withdraw),
	LARGE("pmap-destroy", "the last of three CPUs destroys what all had loaded", 3, destroy),
	LARGE("pmap-destroy-withdraw", "a withdrawal comes by the reverse map into a space that goes", 3,
	      destroy_withdraw),
	LARGE("pmap-chunks", "chunks of reverse maps come and go on four CPUs", 4, chunks),
	LARGE("pmap-asid-rollover", "a rollover under four CPUs that switch and unmap", 4, asid_rollover),
	LARGE("pmap-asid-unmap", "a rollover, and unmaps of spaces that run", 3, asid_unmap),
	LARGE("pmap-asid-twice", "switches back and forth over a rollover", 3, asid_twice),
	LARGE("pmap-random", "three random steps on each of four CPUs", 4, at_random),
	LARGE("pmap-random-three", "two random steps on each of three CPUs", 3, at_random_three),
};
const unsigned scenario_pmap_count = sizeof scenario_pmap / sizeof scenario_pmap[0];
