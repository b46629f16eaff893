/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/ask.c: what a machine says about itself, and giving back what it caches. */
#include <stdio.h>
#include <string.h>

#include "private.h"
#include "vm/vm_stat.h"

enum strata_error strata_drain(struct strata_machine *m)
{
	if (!attached_to(m))
		return refusal(m);
	(void)zones_drain(&m->zones);
	frames_drain(&m->frames);
	return STRATA_OK;
}

enum strata_error strata_statistics(struct strata_machine *m, struct strata_statistics *out)
{
	struct frame_stats s;

	if (!attached_to(m) || !out)
		return refusal(m);
	frame_stats(&m->frames, &s);
	*out = (struct strata_statistics){
		.memory = m->frames.ram,
		.reserved = s.owned[FRAME_RESERVED],
		.free = s.owned[FRAME_FREE],
		.cached = s.owned[FRAME_CACHED],
		.blocks = s.owned[FRAME_ANON],
		.zones = s.owned[FRAME_ZONE],
		.large = s.owned[FRAME_WIRED],
	};
	_Static_assert(sizeof out->free_blocks == sizeof s.free_blocks, "order by order");
	memcpy(out->free_blocks, s.free_blocks, sizeof s.free_blocks);
	return STRATA_OK;
}

enum strata_error strata_zone_statistics(struct strata_zone *zone, struct strata_zone_statistics *out)
{
	struct zone_stats s;

	if (!attached_to_zone(zone) || !out)
		return zone && !attached_to_zone(zone) ? STRATA_UNATTACHED : STRATA_INVAL;
	zone_stats(zone_inside(zone), &s);
	*out = (struct strata_zone_statistics){
		.name = s.name,
		.size = s.size,
		.in_use = s.in_use,
		.cached = s.cached,
		.frames = s.frames,
		.waste = s.waste,
		.failures = s.failures,
	};
	return STRATA_OK;
}

struct visit {
	const struct zone *hidden; /* where kmalloc's large blocks belong: it has no objects */
	void (*fn)(struct strata_zone *zone, void *context);
	void *context;
};

static void visit(struct zone *z, void *arg)
{
	struct visit *v = arg;

	if (z != v->hidden)
		v->fn(zone_outside(z), v->context);
}

enum strata_error strata_zones(struct strata_machine *m, void (*fn)(struct strata_zone *zone, void *context),
			       void *context)
{
	if (!attached_to(m) || !fn)
		return refusal(m);
	zones_for_each(&m->zones, visit, &(struct visit){m->kmalloc.blocks, fn, context});
	return STRATA_OK;
}

static void check_zone(struct zone *z, void *unused)
{
	(void)unused;
	zone_check(z);
}

enum strata_error strata_check(struct strata_machine *m, char *text, size_t room)
{
	struct frame_audit audit;

	if (!attached_to(m))
		return refusal(m);
	zones_for_each(&m->zones, check_zone, NULL);
	if (frame_audit(&m->frames, &audit))
		return STRATA_OK;
	if (text && room)
		snprintf(text, room, "frame %#llx: %s", (unsigned long long)audit.where.fn, audit.problem);
	return STRATA_CORRUPT;
}
