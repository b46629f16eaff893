/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmalloc.c: memory of any size.
 *
 * Sizes up to 32 KiB are rounded up to a class, each of which is a zone:
 *
 *	16 32 48 ... 128 | 144 160 ... 256 | 288 320 ... 512 | ... | 18K 20K ... 32K
 *	   steps of 16   |  steps of 16    |  steps of 32    |     |  steps of 2K
 *
 * Eight steps a doubling: above 128 bytes less than an eighth of what is handed out
 * is wasted by rounding. Beyond, blocks of frames, rounded up to a power of two.
 *
 * An address says by itself what it is: its frame is a zone's slab, which leads to
 * the zone, or the head of a wired block, which knows its order. So there is no
 * header before the memory, and blocks are page aligned.
 */
#include "vm/kmalloc.h"

#include "base/bits.h"

/* The class of a size from 1 to KMALLOC_ZONE_MAX, and the largest size of a class. */
static unsigned class_of(size_t size)
{
	unsigned top;

	if (size <= 128)
		return (unsigned)((size - 1) / 16);
	top = bit_highest(size - 1); /* 7 .. 14 */
	return 8 + (top - 7) * 8 + (unsigned)((size - 1 - BIT(top)) >> (top - 3));
}

static size_t class_size(unsigned class)
{
	unsigned top = 7 + (class - 8) / 8;

	if (class < 8)
		return (class + 1) * 16;
	return BIT(top) + ((class - 8) % 8 + 1) * BIT(top - 3);
}

/* "kmalloc-" and the size in decimal. */
static void class_name(char name[16], size_t size)
{
	static const char prefix[] = "kmalloc-";
	char digits[8];
	unsigned n = 0, at = sizeof prefix - 1;

	__builtin_memcpy(name, prefix, at);
	for (; size; size /= 10)
		digits[n++] = (char)('0' + size % 10);
	while (n)
		name[at++] = digits[--n];
	name[at] = 0;
}

enum error kmalloc_init(struct kmalloc *k, struct zones *zs)
{
	k->frames = zs->frames;
	k->zones = zs;
	for (unsigned i = 0; i < KMALLOC_CLASSES; i++) {
		class_name(k->name[i], class_size(i));
		k->zone[i] = zone_create(zs, k->name[i], class_size(i), 16, NULL, NULL, 0);
		if (k->zone[i])
			continue;
		while (i > 0)
			zone_destroy(k->zone[--i]);
		return ERR_NOMEM;
	}
	return OK;
}

/* The order of a block for so many bytes. */
static unsigned order_of(size_t size) { return log2_ceil((size + PAGE_MASK) >> PAGE_SHIFT); }

void *kmalloc(struct kmalloc *k, size_t size)
{
	pfn_t head;

	if (LIKELY(size <= KMALLOC_ZONE_MAX))
		return zone_alloc(k->zone[class_of(size ? size : 1)]);
	if (size > KMALLOC_MAX || frame_alloc(k->frames, order_of(size), 0, FRAME_WIRED, &head) != OK)
		return NULL;
	return frame_bytes(head);
}

void *kmalloc_zero(struct kmalloc *k, size_t size)
{
	void *p = kmalloc(k, size);

	if (p)
		__builtin_memset(p, 0, size);
	return p;
}

/* The block that p, which lies in no slab, is the start of. */
static pfn_t block_of(struct kmalloc *k, const void *p)
{
	pfn_t head = frame_of_bytes(p);

	ASSERT(frame_is_ram(k->frames, head));
	if (STRATA_CHECKED && (frame_bytes(head) != p || page_owner(frame_page(k->frames, head)) != FRAME_WIRED))
		panic("kmalloc: %p is not what kmalloc gave: frame %#lx is %s (CPU %u)", p, (unsigned long)head.fn,
		      frame_owner_name(page_owner(frame_page(k->frames, head))), cpu_id());
	return head;
}

/* The zone that p lies in, or NULL. */
static struct zone *zone_for(struct kmalloc *k, const void *p)
{
	struct zone *z = zone_of(k->zones, p);

	if (STRATA_CHECKED && z && k->zone[class_of(z->slabs.shape.size)] != z)
		panic("kmalloc: %p belongs to zone %s (CPU %u)", p, z->slabs.name, cpu_id());
	return z;
}

void kfree(struct kmalloc *k, void *p)
{
	struct zone *z;

	if (!p)
		return;
	z = zone_for(k, p);
	if (LIKELY(z != NULL)) {
		zone_free(z, p);
	} else {
		pfn_t head = block_of(k, p);

		frame_free(k->frames, head, page_order(frame_page(k->frames, head)));
	}
}

size_t kmalloc_usable_size(struct kmalloc *k, const void *p)
{
	struct zone *z = zone_for(k, p);

	return z ? z->slabs.shape.size : PAGE_SIZE << page_order(frame_page(k->frames, block_of(k, p)));
}

void *krealloc(struct kmalloc *k, void *p, size_t size)
{
	size_t old;
	void *q;

	if (!p)
		return kmalloc(k, size);
	if (size == 0) {
		kfree(k, p);
		return NULL;
	}
	old = kmalloc_usable_size(k, p);
	if (size <= old && size > old / 2)
		return p; /* neither too small nor a waste */
	q = kmalloc(k, size);
	if (!q)
		return size <= old ? p : NULL;
	__builtin_memcpy(q, p, size < old ? size : old);
	kfree(k, p);
	return q;
}
