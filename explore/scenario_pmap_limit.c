/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap_limit.c: the limit that fork sets over 1 GiB of tables, against faults that lift it, tables that come and go,
 * and other changes of rights. All windows of a world lie in one GiB.
 */
#include "scenario_pmap.h"

static struct space *space(struct cpu *c) { return &c->w->space[0]; }
static void limit(struct cpu *c) { world_limit(c, space(c)); }
static void add_0(struct cpu *c) { world_add(c, space(c), 0, 1); }
static void add_0_far(struct cpu *c) { world_add(c, space(c), 0, 2); }
static void add_1(struct cpu *c) { world_add(c, space(c), 1, 1); }
static void add_2(struct cpu *c) { world_add(c, space(c), 2, 1); }
static void read_0(struct cpu *c) { world_touch(c, space(c), 0, 1); }
static void unmap_0(struct cpu *c) { world_unmap(c, space(c), 0, true); }
static void discard_0(struct cpu *c) { world_discard(c, space(c), 0, 0, 2); }
static void protect_0(struct cpu *c) { world_protect(c, space(c), 0, 0); }
static void copy_0(struct cpu *c) { world_copy(c, space(c), 0, 1); }

/* Both windows have a page that was written, of CPU 0's making, and are in all TLBs. */
static void written(struct cpu *c)
{
	if (c == plan_cpu) {
		add_0(c);
		add_1(c);
	}
	read_0(c);
}

/* The limit stands over them. */
static void limited(struct cpu *c)
{
	if (c == plan_cpu) {
		written(c);
		limit(c);
	}
	read_0(c);
}

PLAN(limit_write, .cpus = 2, .prepare = written, .part = {{limit, add_0}, {add_0, add_1}})
PLAN(limit_link, .cpus = 2, .prepare = written, .part = {{limit}, {add_2, add_0}})
PLAN(lift_lift, .cpus = 2, .prepare = limited, .part = {{add_0}, {add_1, add_0}})
PLAN(lift_link, .cpus = 2, .prepare = limited, .part = {{add_0}, {add_2}})
PLAN(lift_read, .cpus = 2, .prepare = limited, .part = {{add_1}, {read_0, add_0_far}})
PLAN(lift_limit, .cpus = 2, .prepare = limited, .part = {{limit, add_1}, {add_0, add_1}})
PLAN(lift_unmap, .cpus = 2, .prepare = limited, .part = {{unmap_0, add_0}, {add_1}})
PLAN(lift_protect, .cpus = 2, .prepare = limited, .part = {{protect_0, add_0}, {add_1, add_0}})
PLAN(lift_discard, .cpus = 2, .prepare = limited, .part = {{discard_0}, {add_1, add_0}})
PLAN(lift_copy, .cpus = 2, .prepare = limited, .part = {{copy_0}, {add_1, add_0}})
PLAN(limit_three, .cpus = 3, .prepare = limited, .part = {{limit, add_2}, {add_0, add_1}, {add_1, add_0}})
PLAN(limit_two, .cpus = 3, .prepare = written, .part = {{limit, add_0}, {limit, add_1}, {add_0, add_2}})

const struct scenario scenario_pmap_limit[] = {
	SMALL("pmap-limit-write", "a GiB is limited while another CPU writes there", limit_write),
	SMALL("pmap-limit-link", "the same while a table is linked there", limit_link),
	SMALL("pmap-lift-lift", "two CPUs lift the limit at once", lift_lift),
	SMALL("pmap-lift-link", "the limit is lifted while a table is linked below", lift_link),
	SMALL("pmap-lift-read", "the same while a page is mapped to be written later", lift_read),
	SMALL("pmap-lift-limit", "the same while it is set again", lift_limit),
	SMALL("pmap-lift-unmap", "the same while a table below is unlinked", lift_unmap),
	SMALL("pmap-lift-protect", "the same while a window below is protected", lift_protect),
	SMALL("pmap-lift-discard", "the same while pages below are discarded", lift_discard),
	SMALL("pmap-lift-copy", "the same while a page below is copied", lift_copy),
	LARGE("pmap-limit-three", "the limit is set again while two CPUs lift it", 3, limit_three),
	LARGE("pmap-limit-two", "two CPUs set it while a third one writes", 3, limit_two),
};
const unsigned scenario_pmap_limit_count = ARRAY_SIZE(scenario_pmap_limit);
