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
 * Classes that are a multiple of 32 or 64 bytes are aligned to that, which serves kmalloc_aligned.
 *
 * An address says by itself what it is: its frame's page leads to the zone (page_slab.home is set in all frames
 * of a slab), or, if it is the head of a wired block, to a zone without objects of its own, kmalloc.blocks. So there is no
 * header before the memory, and blocks are page aligned. The direct map is linear, so the page is a shift,
 * a multiplication by its size and one addition away from the address: kmalloc.pages.
 */
#include "vm/kmalloc.h"

#include "base/bits.h"
#include "vm/zone_cache.h"

#define CALLER __builtin_return_address(0)
#define ALIGN_MAX 64u /* of classes */

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

static size_t class_align(size_t size) { return size % ALIGN_MAX == 0 ? ALIGN_MAX : size % 32 == 0 ? 32 : 16; }

/* give_foreign of kmalloc.blocks. */
static void block_free(struct zone *blocks, void *p)
{
	struct frames *f = blocks->zones->frames;
	pfn_t head = frame_of_bytes(p);

	frame_free(f, head, page_order(frame_page(f, head)));
}

static void kmalloc_destroy_first(struct kmalloc *k, unsigned n)
{
	while (n > 0)
		zone_destroy(k->zone[--n]);
}

void kmalloc_destroy(struct kmalloc *k)
{
	zone_destroy(k->blocks);
	kmalloc_destroy_first(k, KMALLOC_CLASSES);
}

enum error kmalloc_init(struct kmalloc *k, struct zones *zs)
{
	k->frames = zs->frames;
	k->zones = zs;
	k->pages = (uintptr_t)zs->frames->pages -
		   ((uintptr_t)frame_bytes(zs->frames->first) >> PAGE_SHIFT) * sizeof(struct vm_page);
	for (unsigned i = 0; i < KMALLOC_CLASSES; i++) {
		class_name(k->name[i], class_size(i));
		k->zone[i] = zone_create(zs, k->name[i], class_size(i), class_align(class_size(i)),
					 NULL, NULL, 0);
		if (k->zone[i])
			continue;
		kmalloc_destroy_first(k, i);
		return ERR_NOMEM;
	}
	k->blocks = zone_create(zs, "kmalloc-blocks", PAGE_SIZE, 0, NULL, NULL, ZONE_NO_CACHE);
	if (!k->blocks) {
		kmalloc_destroy_first(k, KMALLOC_CLASSES);
		return ERR_NOMEM;
	}
	k->blocks->give_foreign = block_free;
	for (unsigned i = 0; i < ARRAY_SIZE(k->small); i++)
		k->small[i] = k->zone[class_of(i ? i * 16 : 1)];
	return OK;
}

/* The order of a block for so many bytes. */
static unsigned order_of(size_t size) { return log2_ceil((size + PAGE_MASK) >> PAGE_SHIFT); }

/* A block of frames; its page leads to the blocks' zone. */
static NOINLINE void *block_alloc(struct kmalloc *k, size_t size)
{
	pfn_t head;

	if (size > KMALLOC_MAX || frame_alloc(k->frames, order_of(size), 0, FRAME_WIRED, &head) != OK)
		return NULL;
	frame_page(k->frames, head)->slab.home = &k->blocks->slabs;
	return frame_bytes(head);
}

static NOINLINE void *kmalloc_large(struct kmalloc *k, size_t size, const void *caller)
{
	if (size <= KMALLOC_ZONE_MAX)
		return zone_alloc_by(k->zone[class_of(size)], caller);
	return block_alloc(k, size);
}

void *kmalloc(struct kmalloc *k, size_t size)
{
	if (UNLIKELY(size > KMALLOC_SMALL))
		return kmalloc_large(k, size, CALLER);
#if STRATA_CHECKED
	return zone_alloc_by(k->small[(size + 15) / 16], CALLER);
#else
	return cache_take(k->small[(size + 15) / 16]);
#endif
}

void *kmalloc_aligned(struct kmalloc *k, size_t size, size_t align)
{
	ASSERT(align && !(align & (align - 1)));
	if (size > KMALLOC_MAX || align > KMALLOC_MAX)
		return NULL;
	if (align > ALIGN_MAX) /* blocks are aligned to their size */
		return block_alloc(k, size > align ? size : align);
	/* Every multiple of 64 is a class of its own or below one that is: class_size. */
	size = round_up(size ? size : 1, align);
	return size <= KMALLOC_SMALL ? zone_alloc_by(k->small[(size + 15) / 16], CALLER) : kmalloc_large(k, size, CALLER);
}

void *kmalloc_zero(struct kmalloc *k, size_t size)
{
	void *p = kmalloc(k, size);

	if (p)
		__builtin_memset(p, 0, size);
	return p;
}

/* The zone that p, which kmalloc gave, lies in; blocks included. */
static inline struct zone *zone_for(const struct kmalloc *k, const void *p)
{
	return kmalloc_zone((struct vm_page *)(k->pages + ((uintptr_t)p >> PAGE_SHIFT) * sizeof(struct vm_page)));
}

/* The same for any address; panics when it is not what kmalloc gave. */
static struct zone *zone_for_checked(struct kmalloc *k, const void *p, const void *caller)
{
	struct zone *z = zone_of(k->zones, p);
	pfn_t head = frame_of_bytes(p);

	if (z && k->zone[class_of(z->slabs.shape.size)] != z)
		panic("kmalloc: %p belongs to zone %s, says %p (CPU %u)", p, z->slabs.name, caller, cpu_id());
	if (z)
		return z;
	ASSERT(frame_is_ram(k->frames, head));
	if (frame_bytes(head) != p || page_owner(frame_page(k->frames, head)) != FRAME_WIRED)
		panic("kmalloc: %p is not what kmalloc gave, says %p: frame %#lx is %s (CPU %u)", p, caller,
		      (unsigned long)head.fn, frame_owner_name(page_owner(frame_page(k->frames, head))), cpu_id());
	return k->blocks;
}

void kfree(struct kmalloc *k, void *p)
{
	struct zone *z;

	if (UNLIKELY(!p))
		return;
#if STRATA_CHECKED
	z = zone_for_checked(k, p, CALLER);
	if (z != k->blocks) {
		zone_free_by(z, p, CALLER);
		return;
	}
#else
	z = zone_for(k, p);
#endif
	cache_give(z, p);
}

size_t kmalloc_usable_size(struct kmalloc *k, const void *p)
{
	struct zone *z = STRATA_CHECKED ? zone_for_checked(k, p, CALLER) : zone_for(k, p);

	if (z != k->blocks)
		return z->slabs.shape.size;
	return PAGE_SIZE << page_order(frame_page(k->frames, frame_of_bytes(p)));
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
