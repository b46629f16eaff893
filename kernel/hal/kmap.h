/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/kmap.h: the pages of the kernel's window (hal/mmu.h), mapped one by one.
 * Implemented by hal/armv8.
 *
 * Whoever calls owns the addresses that it names: nobody else sets or clears
 * them meanwhile (vm/kva.h hands them out). So there is no lock here, and a
 * page goes round like this, where each arrow is one call:
 *
 *	free --mark--> marked --set, fill--> mapped --clear--> cleared --flush--> free
 *	  \_______________set__________________^                 ^
 *	                   marked ----------------clear----------/
 *
 * A descriptor that is not valid may hold a mark, which says for whom the page is
 * kept, and whether an access to it is a fault to be served or a bug.
 *
 * kmap never allocates. Tables once linked stay, as the machine does: they are
 * what the highest use of the window needed, a 512th of it.
 */
#ifndef HAL_KMAP_H
#define HAL_KMAP_H

#include "base/error.h"
#include "base/types.h"
#include "hal/mmu.h"

/* c: constant after kmap_init · x: atomic */
struct kmap {
	pfn_t root;               /* c: table of level 1 */
	bool range_tlbi;          /* c */
	ATOMIC(uint64_t) tables;  /* x: frames of tables, the root included: a statistic */
};

/* What one descriptor says. */
enum kmap_state {
	KMAP_FREE,   /* nothing: an access is a bug */
	KMAP_GUARD,  /* marked: an access is a bug of whoever uses the range beside it */
	KMAP_ABSENT, /* marked: its frame comes with the first access */
	KMAP_MAPPED,
};
struct kmap_page {
	enum kmap_state state;
	pfn_t frame;       /* MAPPED */
	enum prot prot;    /* MAPPED: PROT_R, perhaps PROT_W */
	const char *owner; /* GUARD, ABSENT */
	uint32_t pages;    /* GUARD, ABSENT: what kmap_mark was told */
};

#define KMAP_MARK_PAGES ((UINT32_C(1) << 14) - 1) /* the largest number that a mark holds */

/* root: a zeroed frame, which belongs to k for good. Boot, one CPU, once for a machine. */
void kmap_init(struct kmap *k, pfn_t root);

/*
 * Links the tables that lead to va, one after the other, out of *spare (a zeroed
 * frame, or PFN_NONE; PFN_NONE afterwards if it was used). => OK: they are there.
 * ERR_STOCK: one is missing and there is no spare; call again with one. Any thread context.
 */
enum error kmap_link(struct kmap *k, vaddr_t va, pfn_t *spare) MUST_CHECK;

/* The following need the tables of va linked, but for kmap_get. Any thread or boot context; spinlocks may be held. */

/* Marks a free page. state: GUARD or ABSENT; owner: a string that stays; pages: for the owner, at most KMAP_MARK_PAGES. */
void kmap_mark(struct kmap *k, vaddr_t va, enum kmap_state state, const char *owner, uint32_t pages);

/* Maps a free page. prot: PROT_R, or PROT_R and PROT_W; never executable. Others may use it after kmap_sync. */
void kmap_set(struct kmap *k, vaddr_t va, pfn_t f, enum prot prot);

/*
 * Maps an ABSENT page, on behalf of a fault: several CPUs may try at once. => true: f is mapped there, and this
 * CPU may use it; false: another was faster, and what it did is there for this CPU too. Includes kmap_sync.
 */
bool kmap_fill(struct kmap *k, vaddr_t va, pfn_t f) MUST_CHECK;

/* What was set has reached the walkers of all CPUs (DSB ISHST, ISB). */
void kmap_sync(void);

/* Empties the page, whatever it holds. => what that was. Nobody uses it any more, but TLBs may still lead to the frame. */
struct kmap_page kmap_clear(struct kmap *k, vaddr_t va);

/* Invalidates r, which was cleared, on all CPUs and waits: then its frames may be freed and its pages set. No spinlock held. */
void kmap_flush(struct kmap *k, struct vrange r);

/* What is there now: a snapshot, for panics and checks. Any address, any context. */
struct kmap_page kmap_get(const struct kmap *k, vaddr_t va);

/* How many pages are MAPPED. Panics unless every descriptor makes sense. Quiet point. */
uint64_t kmap_check(const struct kmap *k);

#endif
