/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmalloc.h: memory of any size for the kernel's own use, from the direct
 * map: zones by size class up to 32 KiB, blocks of frames beyond. Theory: kmalloc.c.
 *
 * Context: as vm/zone.h. Memory is aligned to 16 bytes (to a page beyond 32 KiB)
 * and holds anything.
 */
#ifndef VM_KMALLOC_H
#define VM_KMALLOC_H

#include "vm/zone.h"

#define KMALLOC_ZONE_MAX ZONE_SIZE_MAX
#define KMALLOC_MAX (PAGE_SIZE << FRAME_ORDER_MAX)
/* 16 .. 128 by 16; then 8 steps a doubling up to 32 KiB. */
#define KMALLOC_CLASSES (8u + 8u * 8u)

/* Sizes up to here find their zone in a table, by steps of 16. */
#define KMALLOC_SMALL 4096u

/* Fixed after kmalloc_init. */
struct kmalloc {
	uintptr_t pages;                           /* where the page of kernel address 0 would be, see kmalloc.c */
	struct zone *small[KMALLOC_SMALL / 16 + 1]; /* by size, rounded up */
	struct frames *frames;
	struct zones *zones;
	struct zone *zone[KMALLOC_CLASSES];
	struct zone *blocks;                       /* of those beyond KMALLOC_ZONE_MAX: no objects of its own */
	char name[KMALLOC_CLASSES][16]; /* "kmalloc-<size>" */
};

/* Boot, after zones_init. ERR_NOMEM: not enough for the zones themselves. */
enum error kmalloc_init(struct kmalloc *k, struct zones *zs) MUST_CHECK;

/* Nothing is in use (panics otherwise), nobody uses it. For tests and embedding; a kernel keeps it. */
void kmalloc_destroy(struct kmalloc *k);

/* size bytes (0: a pointer all the same), or NULL: no memory, or more than KMALLOC_MAX. */
void *kmalloc(struct kmalloc *k, size_t size);

/* At an address that is a multiple of align, a power of two up to KMALLOC_MAX. Beyond 64 it takes whole frames. */
void *kmalloc_aligned(struct kmalloc *k, size_t size, size_t align);

/* The same as kmalloc, zeroed. */
void *kmalloc_zero(struct kmalloc *k, size_t size);

/* The zone of memory that kmalloc gave and whose page that is; of blocks one that has no objects of its own. */
static inline struct zone *kmalloc_zone(const struct vm_page *p)
{
	return CONTAINER_OF(p->slab.home, struct zone, slabs);
}

/* p: from these calls, or NULL. Checked builds panic on a double free or a pointer that is none. */
void kfree(struct kmalloc *k, void *p);

/*
 * Another size, the content kept up to the smaller of both. p NULL: kmalloc;
 * size 0: kfree, returns NULL. NULL otherwise: no memory, p is as before.
 */
void *krealloc(struct kmalloc *k, void *p, size_t size);

/* Bytes that may be used at p: at least what was asked for. */
size_t kmalloc_usable_size(struct kmalloc *k, const void *p);

#endif
