/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/memory.c: frames, zones and kmalloc for who is attached. Each call judges its arguments by a comparison or two
 * and goes on into the kernel's function, the usual way of which the link puts in its place (FLAT).
 */
#include "hal/machine.h"
#include "private.h"
#include "vm/zone_cache.h"

#define FLAT __attribute__((flatten)) /* what is called is inlined, but for NOINLINE */

/* --- frames --- */

/* What strata_frame_alloc gives out is owned by this; large blocks of kmalloc are FRAME_WIRED. */
#define BLOCK_OWNER FRAME_ANON

FLAT static NOINLINE enum strata_error frame_alloc_checked(struct strata_machine *m, unsigned order, unsigned flags,
						     uint64_t *frame)
{
	enum error e;
	pfn_t head;

	_Static_assert(STRATA_ZERO == FRAME_ZERO, "flags go on as they are");
	if (!attached_to(m) || order > STRATA_ORDER_MAX || flags & ~STRATA_ZERO || !frame)
		return refusal(m);
	e = frame_alloc(&m->frames, order, flags, BLOCK_OWNER, &head);
	if (e == OK)
		*frame = head.fn;
	return (enum strata_error)e;
}

FLAT enum strata_error strata_frame_alloc(struct strata_machine *m, unsigned order, unsigned flags, uint64_t *frame)
{
	pfn_t head;

	if (UNLIKELY(!attached_to(m) || (order | flags) != 0 || !frame || !frame_alloc_cached(&m->frames, BLOCK_OWNER, &head)))
		return frame_alloc_checked(m, order, flags, frame);
	*frame = head.fn;
	return STRATA_OK;
}

FLAT static NOINLINE enum strata_error frame_free_checked(struct strata_machine *m, uint64_t frame, unsigned order)
{
	struct vm_page *p;

	if (!attached_to(m) || frame - m->frames.first.fn >= m->frames.count)
		return refusal(m);
	p = frame_page(&m->frames, pfn(frame));
	if (page_owner(p) != BLOCK_OWNER || page_order(p) != order)
		return STRATA_INVAL;
	frame_free(&m->frames, pfn(frame), order);
	return STRATA_OK;
}

FLAT enum strata_error strata_frame_free(struct strata_machine *m, uint64_t frame, unsigned order)
{
	struct frames *f = &m->frames;
	uint64_t index;
	struct vm_page *p;

	/* A single frame into an open cache; checked builds look closer. */
	if (UNLIKELY(STRATA_CHECKED || !attached_to(m)))
		return frame_free_checked(m, frame, order);
	index = frame - f->first.fn;
	if (UNLIKELY(index >= f->count))
		return refusal(m);
	p = &f->pages[index];
	if (UNLIKELY(page_owner(p) != BLOCK_OWNER || (page_order(p) | order) != 0 ||
		     !frame_give(frame_own_stack(f, frame_kind_of(BLOCK_OWNER)), (uint32_t)index, p)))
		return frame_free_checked(m, frame, order);
	return STRATA_OK;
}

void *strata_frame_address(const struct strata_machine *m, uint64_t frame)
{
	return m && frame <= UINT64_MAX >> PAGE_SHIFT && in_memory(m, frame_bytes(pfn(frame))) ? frame_bytes(pfn(frame))
											       : NULL;
}

uint64_t strata_frame_number(const struct strata_machine *m, const void *address)
{
	return m && in_memory(m, address) ? frame_of_bytes(address).fn : UINT64_MAX;
}

/* --- zones --- */

enum strata_error strata_zone_create(struct strata_machine *m, const struct strata_zone_config *config,
				     struct strata_zone **zone)
{
	struct zone *z;

	_Static_assert(STRATA_NO_CACHE == 1, "the public flag's value is part of the interface");
	if (!attached_to(m) || !config || !zone || !config->name || config->size < 1 ||
	    config->size > STRATA_OBJECT_MAX || config->align & (config->align - 1) || config->align > PAGE_SIZE ||
	    config->flags & ~STRATA_NO_CACHE)
		return refusal(m);
	z = zone_create(&m->zones, config->name, config->size, config->align, config->ctor, config->dtor,
			config->flags & STRATA_NO_CACHE ? ZONE_NO_CACHE : 0);
	if (!z)
		return STRATA_NOMEM;
	*zone = zone_outside(z);
	return STRATA_OK;
}

enum strata_error strata_zone_destroy(struct strata_machine *m, struct strata_zone *zone)
{
	struct zone_stats s;

	if (!attached_to(m) || !zone)
		return refusal(m);
	if (!attached_to_zone(zone))
		return STRATA_INVAL;
	for (unsigned i = 0; i < KMALLOC_CLASSES; i++)
		if (m->kmalloc.zone[i] == zone_inside(zone))
			return STRATA_INVAL; /* not the caller's */
	zone_stats(zone_inside(zone), &s);
	if (s.in_use)
		return STRATA_BUSY;
	zone_destroy(zone_inside(zone));
	return STRATA_OK;
}

FLAT void *strata_zone_alloc(struct strata_zone *zone)
{
	if (UNLIKELY(!attached_to_zone(zone)))
		return NULL;
	return zone_alloc(zone_inside(zone));
}

FLAT enum strata_error strata_zone_free(struct strata_zone *zone, void *object)
{
	if (UNLIKELY(!attached_to_zone(zone)))
		return zone ? STRATA_UNATTACHED : STRATA_INVAL;
	if (UNLIKELY(!object))
		return STRATA_OK;
	zone_free(zone_inside(zone), object);
	return STRATA_OK;
}

/* --- any size --- */

FLAT void *strata_kmalloc(struct strata_machine *m, size_t size)
{
	if (UNLIKELY(!attached_to(m)))
		return NULL;
	return kmalloc(&m->kmalloc, size);
}

void *strata_kmalloc_zero(struct strata_machine *m, size_t size)
{
	return attached_to(m) ? kmalloc_zero(&m->kmalloc, size) : NULL;
}

void *strata_krealloc(struct strata_machine *m, void *p, size_t size)
{
	return attached_to(m) && (!p || in_memory(m, p)) ? krealloc(&m->kmalloc, p, size) : NULL;
}

FLAT enum strata_error strata_kfree(struct strata_machine *m, void *p)
{
	uint64_t index;

	if (UNLIKELY(!attached_to(m)))
		return refusal(m);
	index = frame_of_bytes(p).fn - m->frames.first.fn;
	if (UNLIKELY(index >= m->frames.count))
		return p ? STRATA_INVAL : STRATA_OK;
	if (STRATA_CHECKED)
		kfree(&m->kmalloc, p);
	else
		cache_give(kmalloc_zone(&m->frames.pages[index]), p);
	return STRATA_OK;
}

size_t strata_usable_size(struct strata_machine *m, const void *p)
{
	return attached_to(m) && in_memory(m, p) ? kmalloc_usable_size(&m->kmalloc, p) : 0;
}
