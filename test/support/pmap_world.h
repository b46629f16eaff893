/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/support/pmap_world.h: the address-space layer in small, over the pmap, as
 * DESIGN 5.4 and 5.6 have it: what tests of races let several CPUs do at once.
 *
 * A window of 2 MiB has PAGES pages in use and is of one of two kinds:
 *   anon    slot[page] names its frame, changed under the node lock, which a
 *           fault holds until the PTE is there;
 *   object  page i of the one object; a fault takes no lock but the leaf's, so
 *           the last check alone keeps out what was unmapped or withdrawn.
 * live = 0 is what a mutator does to the entries of a window before it unmaps.
 *
 * What is checked: a frame's first word tells where it may be seen; its second
 * is added to through user mappings, and the sum over all frames must be the sum
 * of what was added, so no write may go to a frame that was copied or taken
 * away; a frame that was written is reported modified; between a mutator's flush
 * and the next live = 1 nothing is mapped; the simulator's own judgement; at the
 * end pmap_check and the frame audit.
 */
#ifndef TEST_PMAP_WORLD_H
#define TEST_PMAP_WORLD_H

#include "pmap_machine.h"

#define SPACES 2u
#define WINDOWS 6u
#define PAGES 12u
#define PASSING 32u
#define BASE UINT64_C(0x7f0000000000)
#define OBJECT_TAG UINT64_C(0x0b1ec70000000000)

struct word {
	ATOMIC(uint64_t) fn; /* a frame's number, 0: none */
};

struct window {
	ATOMIC(uint32_t) live;
	struct spinlock node;
	struct test_lock range; /* one mutator at a time */
	struct word slot[PAGES]; /* anon */
};

struct space {
	struct pmap p;
	struct epoch_item gone;
	ATOMIC(uint32_t) taken; /* of those that pass */
	struct window window[WINDOWS];
};

struct world {
	struct pmap_machine m;
	struct space space[SPACES];
	struct word object[PAGES];      /* 0: withdrawn */
	struct test_lock object_lock;   /* of whoever withdraws and fills */
	struct space passing[PASSING];  /* for world_live_and_exit */
	ATOMIC(uint64_t) added, retired, faults, stale;
	unsigned rounds; /* for the test */
};

struct cpu {
	struct world *w;
	uint64_t seed;
	struct pmap_stock stock;
	pfn_t spare; /* a frame for the next anon page */
};

void world_begin(struct world *w, const struct host_config *config);
/* Unmaps and frees everything, checks the sums and, if asked, the structure. The world goes on, empty. All other CPUs idle. */
void world_clear(struct world *w, bool check);
void world_end(struct world *w);

void cpu_begin(struct cpu *c, struct world *w, uint64_t seed);
void cpu_end(struct cpu *c);
uint64_t cpu_random(struct cpu *c);

static inline bool is_object(unsigned window) { return window % 2; }
/* Pages of a window stand apart, so that range invalidations have holes, and at its ends; 2 and 3 are neighbours. */
static inline uint64_t world_va(unsigned window, unsigned page)
{
	return BASE + window * BLOCK_SIZE + (page == PAGES - 1 ? 511 : page == 3 ? 83 : page * 41) * PAGE_SIZE;
}

/* The fault path. One try; whoever wants the page tries again. */
void world_fault(struct cpu *c, struct space *s, unsigned window, unsigned page, enum prot access);
/* A program reads a page or adds to it. */
void world_touch(struct cpu *c, struct space *s, unsigned window, unsigned page);
/* munmap of the window, and mmap of another in its place. */
void world_unmap(struct cpu *c, struct space *s, unsigned window, bool exclusive);
/* MADV_DONTNEED of some pages of an anon window: the entry stays live, faults go on. */
void world_discard(struct cpu *c, struct space *s, unsigned window, unsigned first, unsigned last);
/* Copy-on-write of an anon page: another frame with the same content in the place of the one that is mapped. */
void world_copy(struct cpu *c, struct space *s, unsigned window, unsigned page);
/* mprotect to read-only and back: of the whole window, or from page first on. */
void world_protect(struct cpu *c, struct space *s, unsigned window, unsigned first);
/* What fork does to the parent's tables, all windows dead meanwhile. */
void world_limit(struct cpu *c, struct space *s);
/* A program adds to a page until it has. */
void world_add(struct cpu *c, struct space *s, unsigned window, unsigned page);
/* Truncate or reclaim of an object's page: the word first, then the reverse map. */
void world_withdraw(struct cpu *c, unsigned page);
/* Questions by frame while its mappings come and go. */
void world_ask(struct cpu *c, unsigned page);
/* The question whether it was written, and makes it clean: what is written from now on must be seen by the next. */
void world_ask_clear(struct cpu *c, unsigned page);
/* A short-lived address space that maps n pages of the object from first on. */
void world_live_and_exit(struct cpu *c, unsigned first, unsigned n);

#endif
