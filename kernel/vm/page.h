/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/page.h: what the kernel knows about one frame of RAM.
 *
 * One struct vm_page per frame, in one array (vm/frame.h). Its first half is the
 * pmap's; the second says who owns the frame and keeps what the owner needs.
 * 64 bytes: a frame's page is a cache line that no other frame shares.
 */
#ifndef VM_PAGE_H
#define VM_PAGE_H

#include "base/atomic.h"
#include "hal/pmap.h"
#include "sync/epoch.h"
#include "vm/frame_core.h"

/*
 * Who owns a frame. Of a block of more than one frame only the head (the first
 * frame) says so; the owner of its other frames reads FREE until frame_split.
 *   X(symbol, name, meaning)
 */
#define FRAME_OWNERS(X) \
	X(FREE, "free", "in the frame core") \
	X(CACHED, "cached", "in a CPU's frame cache, or in the stock of zeroed frames; said by audits alone: its page reads FREE") \
	X(ANON, "anon", "content of an anon") \
	X(ZONE, "zone", "slab of a zone") \
	X(OBJECT, "object", "page of a memory object") \
	X(TABLE, "table", "translation table") \
	X(RESERVED, "reserved", "RAM that boot found taken, and the frame metadata") \
	X(WIRED, "wired", "used by the kernel directly: stacks, large kmalloc")

enum frame_owner {
#define X(symbol, name, meaning) FRAME_##symbol,
	FRAME_OWNERS(X)
#undef X
	FRAME_OWNER_COUNT
};

/*
 * Whose content may lie elsewhere tomorrow (unmapped, copied, thrown away) and whose may not: the even owners and the odd
 * ones, so that an allocation knows by one instruction. Frames of the two kinds come from different places: frame_tree.c.
 */
static inline enum frame_kind frame_kind_of(enum frame_owner owner) { return (enum frame_kind)(owner & 1); }
_Static_assert(!(FRAME_ANON & 1) && !(FRAME_OBJECT & 1) && (FRAME_ZONE & 1) && (FRAME_TABLE & 1) && (FRAME_WIRED & 1),
	       "kinds of owners");

struct anon;
struct frames;
struct vm_object;
struct slabs;

/* vm_page.flags. */
#define PAGE_HOLE 1u /* no RAM there: a gap between banks */

/* A slab's bookkeeping in its head frame. Guard: the slabs' lock. */
struct page_slab {
	struct slabs *home;  /* fixed while the frame is a slab */
	uint32_t next, prev; /* frame indices on one of home's lists, or SLAB_NONE */
	uint64_t free;       /* free objects, or free groups of 64 objects: zone_slab.c */
};

/*
 * o: the frame's owner, that is whoever allocated it and may free it; its own rules say which lock that means
 * l: under the leaf lock of the table that maps it
 * x: any CPU, atomically
 */
struct vm_page {
	struct pmap_page pmap;  /* the pmap's half: hal/pmap.h */
	ATOMIC(uint8_t) owner;  /* o, read by x for audits: enum frame_owner; head frames only */
	ATOMIC(uint8_t) order;  /* likewise: log2 of the block's frames */
	ATOMIC(uint16_t) wired; /* l: how many wired mappings; 0 after frame_alloc */
	ATOMIC(uint32_t) flags; /* PAGE_*; fixed after boot */
	union {
		struct { /* FRAME_OBJECT */
			struct vm_object *object;
			uint64_t index; /* in pages, within the object */
		};
		struct anon *anon; /* FRAME_ANON */
		struct {           /* any block on its way out: frame_free_by_epoch */
			struct epoch_item retire;
			struct frames *home;
		};
		struct page_slab slab; /* FRAME_ZONE */
		uint64_t word[3];      /* any other owner */
	};
};
_Static_assert(sizeof(struct vm_page) == 64, "a cache line a frame");
_Static_assert(__builtin_offsetof(struct vm_page, pmap) == 0, "pmap is handed the array");

static inline enum frame_owner page_owner(const struct vm_page *p)
{
	/* relaxed: the owner reads its own store; an audit looks at a quiet point */
	return (enum frame_owner)atomic_load_relaxed(&p->owner);
}

/* Hands a block from one owner to another (an anon's frame becomes an object's). The caller owns it. */
static inline void page_set_owner(struct vm_page *p, enum frame_owner owner)
{
	atomic_store_relaxed(&p->owner, (uint8_t)owner); /* as page_owner */
}

/* Log2 of the number of frames in the block that p heads. */
static inline unsigned page_order(const struct vm_page *p)
{
	return atomic_load_relaxed(&p->order); /* as page_owner */
}

#endif
