/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/zone_guard.h"

static void NORETURN broken(const struct slabs *s, void *object, const void *caller)
{
	panic("zone %s: object %p (%u bytes) was written past its end, seen by %p (CPU %u)", s->name, object,
	      s->shape.size, caller, cpu_id());
}

void guard_out(const struct slabs *s, void *object, const void *caller)
{
	struct guard *g = guard_of(s, object);

	if (g->state == guard_state(object, GUARD_OUT))
		panic("zone %s: object %p was handed out twice, to %p and before that to %p (CPU %u)", s->name, object,
		      caller, g->caller, cpu_id());
	if (g->state != guard_state(object, GUARD_BACK))
		broken(s, object, caller);
	if (STRATA_CHECKED >= 2 && s->junk)
		for (uint32_t i = 0; i < s->shape.size; i++)
			if (((const unsigned char *)object)[i] != OBJECT_JUNK)
				panic("zone %s: object %p was written at offset %u after it was freed by %p (CPU %u)",
				      s->name, object, i, g->caller, cpu_id());
	*g = (struct guard){guard_state(object, GUARD_OUT), caller};
}

void guard_back(struct slabs *s, void *object, const void *caller)
{
	struct slabs *home = slabs_of(s->frames, object);
	struct guard *g = guard_of(s, object);
	uint32_t number;
	char *start;

	if (home != s)
		panic("object %p of %s %s was freed to zone %s by %p (CPU %u)", object, home ? "zone" : "no zone",
		      home ? home->name : "at all", s->name, caller, cpu_id());
	start = slab_start(s, object, &number);
	if (number >= s->shape.objects || start + (size_t)number * s->shape.stride != object)
		panic("zone %s: %p was freed by %p, which is no object's start (CPU %u)", s->name, object, caller,
		      cpu_id());
	if (g->state == guard_state(object, GUARD_BACK))
		panic("zone %s: object %p was freed twice, by %p and before that by %p (CPU %u)", s->name, object,
		      caller, g->caller, cpu_id());
	if (g->state != guard_state(object, GUARD_OUT))
		broken(s, object, caller);
	*g = (struct guard){guard_state(object, GUARD_BACK), caller};
	if (s->junk)
		__builtin_memset(object, OBJECT_JUNK, s->shape.size);
}
