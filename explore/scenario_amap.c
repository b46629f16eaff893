/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_amap.c: an amap by itself: pages are taken out of it, and nodes and anons freed, while a
 * reader in a section looks at them, and takes a reference as a copier does.
 */
#include "explore.h"
#include "hooks.h"
#include "test_vm.h"
#include "vm/amap.h"

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

const struct scenario scenario_amap[] = {
	{"amap-trim", "a page is taken out of an amap while a reader looks at it", 2, 3, true, setup, machine, run,
	 judge},
};
const unsigned scenario_amap_count = ARRAY_SIZE(scenario_amap);
