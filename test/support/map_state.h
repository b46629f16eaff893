/* SPDX-License-Identifier: BSD-2-Clause */
/* test/support/map_state.h: all that a program could know of an address space, for comparing two moments. */
#ifndef MAP_STATE_H
#define MAP_STATE_H

#include "test_vm.h"

#define STATE_ENTRIES 256
#define STATE_PAGES 4096

struct map_state {
	struct vm_entry_info entry[STATE_ENTRIES]; /* in order, all of them */
	bool wired[STATE_ENTRIES];
	uint64_t floor[STATE_ENTRIES];
	unsigned entries;
	uint64_t
		word[STATE_PAGES]; /* first word of every page of every entry, in order; 0 when nobody has touched it */
	unsigned pages;
	uint64_t size, heap;
};

/* Looks; faults nothing in. Quiet point. Panics when there is more than the arrays hold. */
void map_state_take(struct map_state *s, struct vm_map *m);

/* What differs, in a static buffer, or NULL. */
const char *map_state_difference(const struct map_state *a, const struct map_state *b);

#endif
