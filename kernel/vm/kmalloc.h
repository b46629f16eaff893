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

/* Fixed after kmalloc_init. */
struct kmalloc {
	struct frames *frames;
	struct zones *zones;
	struct zone *zone[KMALLOC_CLASSES];
	char name[KMALLOC_CLASSES][16]; /* "kmalloc-<size>" */
};

/* Boot, after zones_init. ERR_NOMEM: not enough for the zones themselves. */
enum error kmalloc_init(struct kmalloc *k, struct zones *zs) MUST_CHECK;

/* size bytes (0: a pointer all the same), or NULL: no memory, or more than KMALLOC_MAX. */
void *kmalloc(struct kmalloc *k, size_t size);

/* The same, zeroed. */
void *kmalloc_zero(struct kmalloc *k, size_t size);

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
