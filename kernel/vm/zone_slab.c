/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_slab.c: slabs: blocks of frames cut into objects of one size.
 *
 * Purpose. Holds the objects of a zone that no magazine holds, one lock a zone.
 *
 * Structure. A slab is an aligned block of 2^order frames, so an object's address
 * leads to it. Which objects are free is said by bits, never by words inside the
 * objects: a free object of a type-stable zone, or a constructed one, stays as it
 * is. Up to 64 objects the bits are page_slab.free in the head frame's vm_page;
 * with more, each 64 objects have a word at the slab's end and page_slab.free
 * says which words are not 0:
 *
 *	head's vm_page:  home | next | prev | free: ...0101
 *	                                               | |
 *	slab:  [obj][obj][obj] ... [obj]     [word 0][word 1] ...
 *
 *	object (checked builds):  [size bytes, rounded up to 8][guard word]
 *
 * The order is the smallest with at most an eighth wasted, else the one that
 * wastes least.
 *
 * Invariants (slabs_check_locked states them).
 *	1. A slab is on `empty` when all its objects are free, on `full` when none
 *	   is, else on `partial`.
 *	2. free = free objects of all slabs; count = slabs; empties = those on `empty`.
 *
 * Guard word. In checked builds it says whether the object is out with the zone's
 * user or back, mixed with the address: a second free, an overrun and an
 * address that is no object are told apart. Who touches it has the object.
 *
 * Locking. slabs.lock, RANK_ZONE. Making and releasing slabs is done outside it.
 *
 * Memory order. Everything is passed on by the lock. Slabs of type-stable zones go
 * back by frame_free_by_epoch: a reader that found an object before it was freed
 * sees memory of that type until its section ends.
 *
 * Failure. slabs_grow says false when there are no frames; nothing else fails.
 *
 * Source: J. Bonwick, The slab allocator (USENIX 1994); bits instead of links as
 * in FreeBSD's UMA.
 */
#include "vm/zone_slab.h"

#include "base/bits.h"

#define GUARD_SIZE (STRATA_CHECKED ? sizeof(uint64_t) : 0)
#define GUARD_OUT UINT64_C(0x6f75742d6f757421)
#define GUARD_BACK UINT64_C(0x6261636b6261636b)
#define OBJECT_JUNK 0xa5

enum error slab_shape_init(struct slab_shape *s, size_t size, size_t align)
{
	uint64_t stride, best = UINT64_MAX;

	if (size == 0 || size > PAGE_SIZE << SLAB_ORDER_MAX || align > PAGE_SIZE || align & (align - 1))
		return ERR_INVAL;
	stride = round_up(round_up(size, sizeof(uint64_t)) + GUARD_SIZE,
			  align < sizeof(uint64_t) ? sizeof(uint64_t) : align);
	for (unsigned order = 0; order <= SLAB_ORDER_MAX; order++) {
		uint64_t bytes = PAGE_SIZE << order, n = bytes / stride, groups = 0, waste;

		if (n > 64) {
			groups = (n + 63) / 64;
			n = (bytes - groups * sizeof(uint64_t)) / stride;
		}
		if (n == 0 || groups > 64)
			continue;
		waste = (bytes - n * stride) << (SLAB_ORDER_MAX - order); /* as if slabs were all of one size */
		if (waste < best) {
			best = waste;
			*s = (struct slab_shape){(uint32_t)size, (uint32_t)stride, (uint32_t)n, (uint32_t)groups,
						 order};
		}
		if (best <= (PAGE_SIZE << SLAB_ORDER_MAX) / 8)
			break;
	}
	return best == UINT64_MAX ? ERR_INVAL : OK;
}

void slabs_init(struct slabs *s)
{
	spin_init(&s->lock);
	s->partial = s->full = s->empty = SLAB_NONE;
	s->count = s->empties = s->free = 0;
}

/* --- from object to slab and back --- */

static struct page_slab *slab_of_index(struct slabs *s, uint32_t index) { return &s->frames->pages[index].slab; }

static char *slab_bytes(const struct slabs *s, uint32_t index) { return frame_bytes(pfn(s->frames->first.fn + index)); }

/* The slab's words of bits; only with groups. */
static uint64_t *group_words(const struct slabs *s, uint32_t index)
{
	return (uint64_t *)(void *)(slab_bytes(s, index) + (PAGE_SIZE << s->shape.order)) - s->shape.groups;
}

/* Bits of n objects from the first-th on, all free. */
static uint64_t all_free(uint64_t n) { return n >= 64 ? ~UINT64_C(0) : BIT(n) - 1; }

struct slabs *slabs_of(struct frames *f, const void *object)
{
	pfn_t n = frame_of_bytes(object);

	if (!frame_is_ram(f, n))
		return NULL;
	for (unsigned order = 0; order <= SLAB_ORDER_MAX; order++) {
		struct vm_page *p = frame_page(f, pfn(round_down(n.fn, UINT64_C(1) << order)));

		if (page_owner(p) == FRAME_ZONE && page_order(p) >= order)
			return p->slab.home;
	}
	return NULL;
}

/* Slab and number of an object of these slabs. */
static uint32_t locate(const struct slabs *s, const void *object, uint32_t *number)
{
	uint64_t pa = virt_to_phys(object).pa, start = round_down(pa, PAGE_SIZE << s->shape.order);

	*number = (uint32_t)((pa - start) / s->shape.stride);
	return (uint32_t)(paddr_to_pfn(paddr(start)).fn - s->frames->first.fn);
}

/* --- lists of slabs --- */

static void list_take(struct slabs *s, uint32_t *head, uint32_t index)
{
	struct page_slab *p = slab_of_index(s, index);

	if (p->prev == SLAB_NONE)
		*head = p->next;
	else
		slab_of_index(s, p->prev)->next = p->next;
	if (p->next != SLAB_NONE)
		slab_of_index(s, p->next)->prev = p->prev;
}

static void list_put(struct slabs *s, uint32_t *head, uint32_t index)
{
	struct page_slab *p = slab_of_index(s, index);

	p->prev = SLAB_NONE;
	p->next = *head;
	if (*head != SLAB_NONE)
		slab_of_index(s, *head)->prev = index;
	*head = index;
}

/* --- objects --- */

static bool slab_is_empty(struct slabs *s, uint32_t index)
{
	const struct page_slab *p = slab_of_index(s, index);

	if (s->shape.groups == 0)
		return p->free == all_free(s->shape.objects);
	if (p->free != all_free(s->shape.groups))
		return false;
	for (uint32_t i = 0; i < s->shape.groups; i++)
		if (group_words(s, index)[i] != all_free(s->shape.objects - i * 64))
			return false;
	return true;
}

void *slabs_get_locked(struct slabs *s)
{
	uint32_t index = s->partial, number;
	struct page_slab *p;

	ASSERT_CHECKED(spin_held(&s->lock));
	if (index == SLAB_NONE) {
		index = s->empty;
		if (index == SLAB_NONE)
			return NULL;
		list_take(s, &s->empty, index);
		list_put(s, &s->partial, index);
		s->empties--;
	}
	p = slab_of_index(s, index);
	number = bit_lowest(p->free);
	if (s->shape.groups) {
		uint64_t *word = &group_words(s, index)[number];
		unsigned bit = bit_lowest(*word);

		*word &= *word - 1;
		if (*word == 0)
			p->free &= ~BIT(number);
		number = number * 64 + bit;
	} else {
		p->free &= p->free - 1;
	}
	if (p->free == 0) {
		list_take(s, &s->partial, index);
		list_put(s, &s->full, index);
	}
	s->free--;
	return slab_bytes(s, index) + (size_t)number * s->shape.stride;
}

void slabs_put_locked(struct slabs *s, void *object)
{
	uint32_t number, index = locate(s, object, &number);
	struct page_slab *p = slab_of_index(s, index);
	uint64_t *word = s->shape.groups ? &group_words(s, index)[number / 64] : &p->free;
	bool was_full = p->free == 0;

	ASSERT_CHECKED(spin_held(&s->lock));
	if (*word & BIT(number % 64))
		panic("zone %s: object %p is free already (CPU %u)", s->name, object, cpu_id());
	*word |= BIT(number % 64);
	if (s->shape.groups)
		p->free |= BIT(number / 64);
	s->free++;
	if (was_full) {
		list_take(s, &s->full, index);
		list_put(s, &s->partial, index);
	}
	if (slab_is_empty(s, index)) {
		list_take(s, &s->partial, index);
		list_put(s, &s->empty, index);
		s->empties++;
	}
}

/* --- checks of objects, in checked builds --- */

static uint64_t *guard_of(const struct slabs *s, void *object)
{
	return (uint64_t *)(void *)((char *)object + round_up(s->shape.size, sizeof(uint64_t)));
}

static uint64_t guard_value(const void *object, uint64_t state) { return state ^ (uint64_t)(uintptr_t)object; }

static void NORETURN guard_broken(const struct slabs *s, void *object)
{
	panic("zone %s: object %p (%u bytes) was written past its end (CPU %u)", s->name, object, s->shape.size,
	      cpu_id());
}

static void fill_junk(const struct slabs *s, void *object) { __builtin_memset(object, OBJECT_JUNK, s->shape.size); }

void slab_object_out(struct slabs *s, void *object)
{
	if (*guard_of(s, object) == guard_value(object, GUARD_OUT))
		panic("zone %s: object %p was handed out twice (CPU %u)", s->name, object, cpu_id());
	if (*guard_of(s, object) != guard_value(object, GUARD_BACK))
		guard_broken(s, object);
	*guard_of(s, object) = guard_value(object, GUARD_OUT);
	if (STRATA_CHECKED >= 2 && s->junk)
		for (uint32_t i = 0; i < s->shape.size; i++)
			if (((const unsigned char *)object)[i] != OBJECT_JUNK)
				panic("zone %s: object %p was written at offset %u after it was freed", s->name, object,
				      i);
}

void slab_object_back(struct slabs *s, void *object)
{
	struct slabs *home = slabs_of(s->frames, object);
	uint32_t number, index;

	if (home != s)
		panic("object %p of %s %s was freed to zone %s (CPU %u)", object, home ? "zone" : "no zone",
		      home ? home->name : "at all", s->name, cpu_id());
	index = locate(s, object, &number);
	if (number >= s->shape.objects || slab_bytes(s, index) + (size_t)number * s->shape.stride != object)
		panic("zone %s: %p was freed, which is no object's start (CPU %u)", s->name, object, cpu_id());
	if (*guard_of(s, object) == guard_value(object, GUARD_BACK))
		panic("zone %s: object %p was freed twice (CPU %u)", s->name, object, cpu_id());
	if (*guard_of(s, object) != guard_value(object, GUARD_OUT))
		guard_broken(s, object);
	*guard_of(s, object) = guard_value(object, GUARD_BACK);
	if (s->junk)
		fill_junk(s, object);
}

/* --- slabs --- */

bool slabs_grow(struct slabs *s)
{
	pfn_t head;
	uint32_t index;
	struct page_slab *p;

	if (frame_alloc(s->frames, s->shape.order, 0, FRAME_ZONE, &head) != OK)
		return false;
	index = (uint32_t)(head.fn - s->frames->first.fn);
	p = slab_of_index(s, index);
	p->home = s;
	p->free = all_free(s->shape.groups ? s->shape.groups : s->shape.objects);
	for (uint32_t i = 0; i < s->shape.groups; i++)
		group_words(s, index)[i] = all_free(s->shape.objects - i * 64);
	for (uint32_t i = 0; i < s->shape.objects; i++) {
		void *object = slab_bytes(s, index) + (size_t)i * s->shape.stride;

		if (STRATA_CHECKED) {
			*guard_of(s, object) = guard_value(object, GUARD_BACK);
			if (s->junk)
				fill_junk(s, object);
		}
		if (s->ctor)
			s->ctor(object);
	}
	spin_lock(&s->lock, RANK_ZONE);
	list_put(s, &s->empty, index);
	s->empties++;
	s->count++;
	s->free += s->shape.objects;
	spin_unlock(&s->lock);
	return true;
}

static void release(struct slabs *s, uint32_t index)
{
	pfn_t head = pfn(s->frames->first.fn + index);

	if (s->dtor)
		for (uint32_t i = 0; i < s->shape.objects; i++)
			s->dtor(slab_bytes(s, index) + (size_t)i * s->shape.stride);
	if (s->by_epoch)
		frame_free_by_epoch(s->frames, head);
	else
		frame_free(s->frames, head, s->shape.order);
}

uint64_t slabs_shrink(struct slabs *s, uint64_t keep)
{
	uint64_t released = 0;

	for (;;) { /* each turn takes one slab away */
		uint32_t index;

		spin_lock(&s->lock, RANK_ZONE);
		if (s->empties <= keep) {
			spin_unlock(&s->lock);
			return released;
		}
		index = s->empty;
		list_take(s, &s->empty, index);
		s->empties--;
		s->count--;
		s->free -= s->shape.objects;
		spin_unlock(&s->lock);
		release(s, index);
		released++;
	}
}

/* --- check --- */

static uint32_t free_in_slab(struct slabs *s, uint32_t index)
{
	uint32_t n = 0;

	if (s->shape.groups == 0)
		return bit_count(slab_of_index(s, index)->free);
	for (uint32_t i = 0; i < s->shape.groups; i++) {
		uint64_t word = group_words(s, index)[i];

		if ((word != 0) != (slab_of_index(s, index)->free >> i & 1))
			panic("zone %s: slab %u contradicts itself in group %u", s->name, index, i);
		n += bit_count(word);
	}
	return n;
}

/* Slabs of a list; each has between least and most free objects. */
static uint64_t check_list(struct slabs *s, uint32_t head, uint32_t least, uint32_t most, uint64_t *free)
{
	uint64_t n = 0;
	uint32_t before = SLAB_NONE;

	for (uint32_t i = head; i != SLAB_NONE; before = i, i = slab_of_index(s, i)->next, n++) {
		const struct vm_page *p = &s->frames->pages[i];
		uint32_t k = free_in_slab(s, i);

		if (page_owner(p) != FRAME_ZONE || page_order(p) != s->shape.order || p->slab.home != s)
			panic("zone %s: frame index %u is on its lists and not its slab", s->name, i);
		if (p->slab.prev != before)
			panic("zone %s: slab %u is linked wrongly", s->name, i);
		if (k < least || k > most)
			panic("zone %s: slab %u with %u of %u objects free is on the wrong list", s->name, i, k,
			      s->shape.objects);
		*free += k;
	}
	return n;
}

void slabs_check_locked(struct slabs *s)
{
	uint64_t free = 0, slabs, empties;

	ASSERT_CHECKED(spin_held(&s->lock));
	empties = check_list(s, s->empty, s->shape.objects, s->shape.objects, &free);
	slabs = empties + check_list(s, s->full, 0, 0, &free);
	if (s->shape.objects > 1)
		slabs += check_list(s, s->partial, 1, s->shape.objects - 1, &free);
	else if (s->partial != SLAB_NONE)
		panic("zone %s: a slab of one object is partly free", s->name);
	if (empties != s->empties || slabs != s->count || free != s->free)
		panic("zone %s: counts %lu slabs, %lu empty, %lu objects free; has %lu, %lu, %lu", s->name,
		      (unsigned long)s->count, (unsigned long)s->empties, (unsigned long)s->free, (unsigned long)slabs,
		      (unsigned long)empties, (unsigned long)free);
}
