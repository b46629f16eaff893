/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_amap.c: an amap by itself: pages are taken out of it, and nodes and anons freed, while a
 * reader in a section looks at them, and takes a reference as a copier does.
 */
#include "explore.h"
#include "hooks.h"
#include "test_vm.h"
#include "vm/amap_private.h"

#define BASE UINT64_C(0x40000000)
#define PAGES 2u

static struct test_vm v;
static struct amap *amap, *other; /* other: of variant 2, made out of what the first gave up */
static pfn_t frame[PAGES];
static bool all, again;

static struct host_machine *machine(void) { return v.t.m; }

static void fill(struct amap *amap, uint64_t base, pfn_t *frame)
{
	struct amap_stock stock = {.count = 0};
	struct amap_node *leaf;
	bool exclusive;

	CHECK(amap_stock_fill(v.vm, &stock, AMAP_LEVELS) == OK);
	epoch_enter(&v.vm->epoch);
	CHECK(amap_own_path(amap, base, &stock) == OK);
	leaf = amap_find(amap, base, &exclusive);
	spin_lock(&leaf->lock, RANK_NODE);
	for (unsigned i = 0; i < PAGES; i++) {
		struct anon *a;

		CHECK(frame_alloc(&v.vm->frames, 0, 0, FRAME_ANON, &frame[i]) == OK);
		a = anon_new(v.vm, frame[i]);
		CHECK(a);
		amap_slot_set_locked(leaf, base + i * PAGE_SIZE, a);
	}
	spin_unlock(&leaf->lock);
	epoch_leave(&v.vm->epoch);
	amap_stock_empty(v.vm, &stock);
}

/* Variant 1: all is taken out, the leaf too. 2: and nodes are used again at once, elsewhere. */
static void setup(uint32_t variant)
{
	const struct host_config c = {.ncpus = 2,
				      .ram = UINT64_C(3) << 20,
				      .junk = true,
				      .seed = 1,
				      .ops = hooks,
				      .asid_bits = 8,
				      .late_stores = explore_modelled()};

	test_vm_init(&v, &c);
	all = variant >= 1;
	again = variant == 2;
	amap = amap_new(v.vm);
	other = amap_new(v.vm);
	CHECK(amap && other);
	fill(amap, BASE, frame);
}

static void take_out(void)
{
	struct amap_trash trash;
	pfn_t more[PAGES];

	CHECK(amap_trim(amap, BASE, BASE + (all ? AMAP_FANOUT : 1) * PAGE_SIZE, &trash) == OK);
	amap_trash_drop(v.vm, &trash);
	if (again)
		fill(other, BASE + 5 * AMAP_FANOUT * PAGE_SIZE, more);
	for (unsigned i = 0; i < 3; i++)
		(void)epoch_poll(&v.vm->epoch);
}

static void look(void)
{
	struct amap_node *leaf;
	struct anon *a = NULL;
	bool exclusive;

	epoch_enter(&v.vm->epoch);
	leaf = amap_find(amap, BASE, &exclusive);
	if (leaf) {
		a = amap_slot(leaf, BASE);
		CHECK(leaf->level == 0 && leaf->base == BASE); /* as long as the section lasts, whoever has taken it out */
	}
	if (a) {
		pfn_t f = anon_frame(a);

		CHECK(pfn_is_none(f) || f.fn == frame[0].fn);
		if (!ref_get_unless_zero(&a->refs))
			a = NULL;
	}
	epoch_leave(&v.vm->epoch);
	if (!a)
		return;
	CHECK(anon_frame(a).fn == frame[0].fn);
	anon_put(a);
}

static void run(uint32_t cpu)
{
	if (cpu == 0)
		take_out();
	else
		look();
}

static void judge(void)
{
	CHECK(amap_check(amap) == (all ? 0 : PAGES - 1));
	CHECK(amap_check(other) == (again ? PAGES : 0));
	amap_release(amap);
	amap_release(other);
	test_vm_destroy(&v);
}

/*
 * --- the short way of a fault (vm/fault_quick.c) against a trim, with a lock and a flag in the place of the leaf table: what is
 * mapped at the end is what the amap leads to ---
 */

static struct spinlock table; /* guards mapped */
static struct anon *made;     /* what the fault puts there */
static bool mapped, took;

/* Variant 0: the root goes; 1: one leaf of two. */
static void shape_setup(uint32_t variant)
{
	pfn_t more[PAGES], f;

	setup(1);
	explore_portable(true);
	if (variant)
		fill(amap, BASE + AMAP_FANOUT * PAGE_SIZE, more);
	again = variant;
	spin_init(&table);
	CHECK(frame_alloc(&v.vm->frames, 0, 0, FRAME_ANON, &f) == OK);
	made = anon_new(v.vm, f);
	CHECK(made);
}

static void shape_trim(void)
{
	struct amap_trash trash;

	CHECK(amap_trim(amap, BASE, BASE + AMAP_FANOUT * PAGE_SIZE, &trash) == OK);
	spin_lock(&table, RANK_LEAF);
	mapped = false;
	spin_unlock(&table);
	amap_trash_drop(v.vm, &trash);
}

static void shape_fault(void)
{
	uint64_t va = BASE + PAGES * PAGE_SIZE;
	struct amap_node *node;
	uint32_t shape;

	epoch_enter(&v.vm->epoch);
	shape = amap_shape(amap);
	node = amap_find_own(amap, va);
	if (node) {
		spin_lock(&node->lock, RANK_NODE);
		spin_lock(&table, RANK_LEAF);
		if (amap_shape(amap) == shape && !amap_slot(node, va)) {
			amap_slot_set_locked(node, va, made);
			mapped = took = true;
		}
		spin_unlock(&table);
		spin_unlock(&node->lock);
	}
	epoch_leave(&v.vm->epoch);
}

static void shape_run(uint32_t cpu)
{
	if (cpu == 0)
		shape_trim();
	else
		shape_fault();
}

static void shape_judge(void)
{
	uint64_t left = amap_check(amap);

	CHECK(!mapped); /* the trim was last, or the fault has seen it */
	CHECK(left == (again ? PAGES : 0));
	if (!took)
		anon_put(made);
	amap_release(amap);
	amap_release(other);
	test_vm_destroy(&v);
}

/*
 * --- a late fault of a parent, which copies a page, against a child that moves it (vm/fork.c): the anon that the child finds in the
 * leaf that they share is there, or the copy is ---
 */

static struct amap *child;
static ATOMIC(uint32_t) dead; /* the parent's entry */

static void late_setup(uint32_t variant)
{
	pfn_t f;

	(void)variant;
	setup(0);
	child = amap_new(v.vm);
	CHECK(child && frame_alloc(&v.vm->frames, 0, 0, FRAME_ANON, &f) == OK);
	made = anon_new(v.vm, f);
	CHECK(made);
}

/* Steps 4 to 6. */
static void late_fault(void)
{
	struct amap_node *node;
	struct anon *old = NULL;
	bool exclusive;

	epoch_enter(&v.vm->epoch);
	node = amap_find(amap, BASE, &exclusive);
	spin_lock(&node->lock, RANK_NODE);
	if (!atomic_load_seq_cst(&dead) && amap_find(amap, BASE, &exclusive) == node && exclusive) {
		old = amap_slot(node, BASE);
		amap_slot_set_locked(node, BASE, made);
	}
	spin_unlock(&node->lock);
	epoch_leave(&v.vm->epoch);
	anon_put(old ? old : made); /* its last reference, maybe */
	for (unsigned i = 0; i < 3; i++)
		(void)epoch_poll(&v.vm->epoch);
}

static void late_run(uint32_t cpu)
{
	if (cpu == 1) {
		late_fault();
		return;
	}
	atomic_store_seq_cst(&dead, 1u);
	amap_share(child, amap);
	CHECK(amap_copy_range(other, child, BASE, BASE + PAGES * PAGE_SIZE, AMAP_FANOUT * PAGE_SIZE) == OK);
}

static void late_judge(void)
{
	bool exclusive;

	CHECK(amap_check(amap) == PAGES && amap_check(other) == PAGES);
	CHECK(amap_slot(amap_find(amap, BASE, &exclusive), BASE) ==
	      amap_slot(amap_find(other, BASE + AMAP_FANOUT * PAGE_SIZE, &exclusive), BASE + AMAP_FANOUT * PAGE_SIZE));
	amap_release(child);
	amap_release(amap);
	amap_release(other);
	test_vm_destroy(&v);
}

const struct scenario scenario_amap[] = {
	{"amap-late", "a late fault of a parent copies a page while a child moves it", 2, 1, true, late_setup, machine, late_run, late_judge},
	{"amap-shape", "the short way of a fault, and what it found is taken out of the amap", 2, 2, true, shape_setup, machine, shape_run,
	 shape_judge},
	{"amap-trim", "a page is taken out of an amap while a reader looks at it", 2, 3, true, setup, machine, run,
	 judge},
};
const unsigned scenario_amap_count = ARRAY_SIZE(scenario_amap);
