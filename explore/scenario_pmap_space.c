/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_pmap_space.c: a frame takes another's place; spaces that their last user takes down. */
#include "scenario_pmap.h"

#define OBJECT_WINDOW 1u

static struct space *space(struct cpu *c) { return &c->w->space[0]; }
static void withdraw(struct cpu *c) { world_withdraw(c, 1); }
static void poll(struct cpu *c) { pm_poll(&c->w->m); }

/* --- an address that gets another frame while its old one is withdrawn --- */

static struct pmap other;
static pfn_t old_frame, new_frame;

static void frames_begin(void) { pmap_init(plan_world.m.ps, &other, pm_alloc_table(&plan_world.m)); }
static void frames_end(void)
{
	pmap_check(&other);
	CHECK(pmap_page_mappings(plan_world.m.ps, new_frame) == 1);
	pm_exit(&plan_world.m, &other);
	pm_free(&plan_world.m, old_frame);
	pm_free(&plan_world.m, new_frame);
}

static void old_mapped(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	old_frame = pm_alloc(&plan_world.m);
	new_frame = pm_alloc(&plan_world.m);
	CHECK(pm_enter(&plan_world.m, &other, PLAN_VA, old_frame, PROT_R, 0) == OK);
	pmap_activate(&other);
}

static void evict_old(struct cpu *c) { pmap_page_remove_all(c->w->m.ps, old_frame); }
static void map_new(struct cpu *c)
{
	struct pmap_pte pte;
	enum error e;

	pm_remove(&c->w->m, &other, PLAN_VA, PLAN_VA + PAGE_SIZE, true);
	/* BUSY until the withdrawal has flushed */
	while ((e = pm_enter(&c->w->m, &other, PLAN_VA, new_frame, PROT_R, 0)) == ERR_BUSY)
		cpu_relax();
	CHECK(e == OK);
	pte = pmap_extract(&other, vaddr(PLAN_VA));
	CHECK(pte.state == PMAP_VALID && pte.frame.fn == new_frame.fn);
}

/* --- a space that several CPUs use, and the last one takes down --- */

static struct space common;
static ATOMIC(uint32_t) users;

static void common_begin(void)
{
	memset(&common, 0, sizeof common);
	pmap_init(plan_world.m.ps, &common.p, pm_alloc_table(&plan_world.m));
	spin_init(&common.window[OBJECT_WINDOW].node);
	atomic_store_relaxed(&common.window[OBJECT_WINDOW].live, 1u);
	atomic_store_relaxed(&users, plan->cpus);
}

static void common_end(void)
{
	if (atomic_load_relaxed(&users) == plan->cpus)
		pm_exit(&plan_world.m, &common.p);
}

static void common_touch(struct cpu *c) { world_touch(c, &common, OBJECT_WINDOW, 1); }
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
	world_touch(c, space(c), OBJECT_WINDOW, 1);
}

/* --- the plans --- */

PLAN(other_frame, .cpus = 2, .prepare = old_mapped, .begin = frames_begin, .end = frames_end,
     .part = {{evict_old}, {map_new}})
PLAN(destroy, .cpus = 3, .begin = common_begin, .end = common_end,
     .part = {{common_touch, common_leave, poll},
	      {common_touch, common_switch, poll},
	      {common_touch, common_leave, poll}})
PLAN(destroy_withdraw, .cpus = 3, .begin = common_begin, .end = common_end,
     .part = {{common_touch, common_leave, poll}, {common_touch, common_leave}, {withdraw, common_leave}})

const struct scenario scenario_pmap_space[] = {
	SMALL("pmap-other-frame", "a frame is withdrawn while another takes its place", other_frame),
	LARGE("pmap-destroy", "the last of three CPUs destroys what all had loaded", 3, destroy),
	LARGE("pmap-destroy-withdraw", "a withdrawal comes by the reverse map into a space that goes", 3,
	      destroy_withdraw),
};
const unsigned scenario_pmap_space_count = ARRAY_SIZE(scenario_pmap_space);
