/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/kva_arena.h: between kva.c and kva_arena.c: an arena's segments, without its caches. Context: as vm/kva.h. */
#ifndef VM_KVA_ARENA_H
#define VM_KVA_ARENA_H

#include "vm/kva.h"

/* The one segment that is all of the arena, free. a's fixed fields are set. ERR_NOMEM: no tag. */
enum error arena_init(struct kva *a) MUST_CHECK;
/* Panics unless all is free again. */
void arena_fini(struct kva *a);

/*
 * Up to n ranges of so many pages, each aligned to align pages; their pages in
 * out. => how many: all that fit into one free segment, or one; 0: *why says ERR_NOSPACE or ERR_NOMEM.
 * want_wake: if there is no room, the next free says that somebody waits.
 */
unsigned arena_take(struct kva *a, uint64_t pages, uint64_t align, unsigned flags, bool want_wake, uint64_t *out,
		    unsigned n, enum error *why);

/* Gives n ranges of so many pages back. Returns true if somebody waits for room: waitq_wake_all then, outside the gate. */
bool arena_give(struct kva *a, const uint64_t *page, unsigned n, uint64_t pages);

/* Panics unless that range is in use as it is. */
void arena_assert_used(struct kva *a, uint64_t page, uint64_t pages);

/* kva_check without the caches: cached: pages that lie there. */
void arena_check(struct kva *a, uint64_t cached);

#endif
