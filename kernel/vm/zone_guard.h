/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_guard.h: in checked builds, is this object what its user takes it for? A second free, an overrun, another
 * zone's object and an address that is no object are told apart, and who did it is named.
 *
 *	object:  [size bytes, rounded up to 8][state, mixed with the address][who called last]
 *
 * Who touches the guard has the object: no lock. caller: a return address in the zone's user.
 */
#ifndef VM_ZONE_GUARD_H
#define VM_ZONE_GUARD_H

#include "vm/zone_slab.h"

#define GUARD_OUT UINT64_C(0x6f75742d6f757421)
#define GUARD_BACK UINT64_C(0x6261636b6261636b)
#define OBJECT_JUNK 0xa5

struct guard {
	uint64_t state;
	const void *caller;
};
_Static_assert(!SLAB_GUARD_SIZE || sizeof(struct guard) == SLAB_GUARD_SIZE, "what slabs leave room for");

static inline struct guard *guard_of(const struct slabs *s, void *object)
{
	return (struct guard *)(void *)((char *)object + round_up(s->shape.size, sizeof(uint64_t)));
}

static inline uint64_t guard_state(const void *object, uint64_t state) { return state ^ (uint64_t)(uintptr_t)object; }

/* An object of a new slab, free. Junk is written unless a constructor or type stability forbids it. */
static inline void guard_init(const struct slabs *s, void *object)
{
	*guard_of(s, object) = (struct guard){guard_state(object, GUARD_BACK), NULL};
	if (s->junk)
		__builtin_memset(object, OBJECT_JUNK, s->shape.size);
}

/* An object goes to the zone's user. Panics when it was written while it was free. */
void guard_out(const struct slabs *s, void *object, const void *caller);

/* It comes back. Panics when it is none of these slabs', is free already, or was written past its end. */
void guard_back(struct slabs *s, void *object, const void *caller);

#endif
