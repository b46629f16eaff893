/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/zone_slab.c: slabs: runs of frames cut into objects of one size.
 *
 * Purpose. Holds the objects of a zone that no magazine holds. One lock a zone, taken once for
 * a magazine's worth of objects.
 *
 * Structure. A slab begins with a block of 2^order frames, so an object's address
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
 *	object (checked builds):  [size bytes, rounded up to 8][guard]
 *
 * A slab has the fewest frames with at most a 32nd wasted, else as many as waste
 * least; not a power of two of them, if need be: then the block is split and its end goes back to the
 * frames (three frames for eight objects of 1,536 bytes, eleven for two of 22 KiB).
 *
 * page_slab.home is set in every frame's page, so that an address leads to its zone by one load (kfree).
 *
 * Invariants (slabs_check_locked states them).
 *	1. A slab is on `empty` when all its objects are free, on `full` when none
 *	   is, else on `partial`.
 *	2. free = free objects of all slabs; count = slabs; empties = those on `empty`.
 *	3. Objects out, count * objects - free, do not pass the limit by what is handed out here. (A limit
 *	   that is set below what is out takes effect as they come back.)
 *
 * Locking. slabs.lock, RANK_ZONE. Making and releasing slabs is done outside it.
 *
 * Memory order. Everything is passed on by the lock. Slabs of type-stable zones go
 * back by frame_free_by_epoch: a reader that found an object before it was freed
 * sees memory of that type until its section ends.
 *
 * Failure. slabs_grow says false when there are no frames; nothing else fails.
 *
 * Why no list of remotely freed objects for each slab. Objects come here by whole magazines, when a
 * CPU's own depot and its shelf are full (zone_cache.c) or drained: the lock is taken once for up to MAGAZINE_MAX objects,
 * and then they go to bits, not to lists through cold objects. doc/zones.md has the figures.
 *
 * Source: J. Bonwick, The slab allocator (USENIX 1994); bits instead of links as
 * in FreeBSD's UMA.
 */
#include "vm/zone_slab.h"

#include "base/bits.h"
#include "vm/zone_guard.h"

/* n objects of that stride in so many bytes, with their words of bits at the end; groups: how many words. */
static uint64_t objects_in(uint64_t bytes, uint64_t stride, uint64_t *groups)
{
	uint64_t n = bytes / stride;

	*groups = 0;
	if (n > 64) {
		*groups = (n + 63) / 64;
		n = (bytes - *groups * sizeof(uint64_t)) / stride;
	}
	return n;
}

enum error slab_shape_init(struct slab_shape *s, size_t size, size_t align)
{
	uint64_t stride, best = UINT64_MAX;

	if (size == 0 || size > PAGE_SIZE << SLAB_ORDER_MAX || align > PAGE_SIZE || align & (align - 1))
		return ERR_INVAL;
	stride = round_up(round_up(size, sizeof(uint64_t)) + SLAB_GUARD_SIZE,
			  align < sizeof(uint64_t) ? sizeof(uint64_t) : align);
	for (uint64_t frames = 1; frames <= SLAB_FRAMES_MAX; frames++) {
		uint64_t bytes = frames << PAGE_SHIFT, groups, n = objects_in(bytes, stride, &groups), waste;

		if (n == 0 || groups > 64)
			continue;
		waste = (bytes - n * stride) * 64 * SLAB_FRAMES_MAX / frames; /* as if slabs were all of one size */
		if (waste < best) {
			best = waste;
			*s = (struct slab_shape){(uint32_t)size,   (uint32_t)stride, (uint32_t)n,
						 (uint32_t)groups, (uint32_t)frames, log2_ceil(frames)};
		}
		if (best <= 64 * (PAGE_SIZE << SLAB_ORDER_MAX) / 32)
			break;
	}
	return best == UINT64_MAX ? ERR_INVAL : OK;
}

void slabs_init(struct slabs *s)
{
	spin_init(&s->lock);
	s->partial = s->full = s->empty = SLAB_NONE;
	s->count = s->empties = s->free = 0;
	atomic_store_relaxed(&s->limit, SLABS_UNLIMITED); /* nobody else knows it yet */
}

/* --- from object to slab and back --- */

static struct page_slab *slab_of_index(struct slabs *s, uint32_t index) { return &s->frames->pages[index].slab; }

static char *slab_bytes(const struct slabs *s, uint32_t index) { return frame_bytes(pfn(s->frames->first.fn + index)); }

/* The slab's words of bits; only with groups. */
static uint64_t *group_words(const struct slabs *s, uint32_t index)
{
	return (uint64_t *)(void *)(slab_bytes(s, index) + ((size_t)s->shape.frames << PAGE_SHIFT)) - s->shape.groups;
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

	*number = (uint32_t)(pa - start) / s->shape.stride;
	return (uint32_t)(paddr_to_pfn(paddr(start)).fn - s->frames->first.fn);
}

char *slab_start(const struct slabs *s, const void *object, uint32_t *number)
{
	return slab_bytes(s, locate(s, object, number));
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

/* A slab with free objects, on the partial list, or SLAB_NONE. */
static uint32_t slab_to_take_from(struct slabs *s)
{
	uint32_t index = s->partial;

	if (index == SLAB_NONE && s->empty != SLAB_NONE) {
		index = s->empty;
		list_take(s, &s->empty, index);
		list_put(s, &s->partial, index);
		s->empties--;
	}
	return index;
}

/* Up to n objects of a word of bits. base: of the word's first object. */
static uint32_t take_bits(uint64_t *bits, char *base, uint32_t stride, void **objects, uint32_t n)
{
	uint64_t word = *bits;
	uint32_t i = 0;

	for (; i < n && word; word &= word - 1)
		objects[i++] = base + (size_t)bit_lowest(word) * stride;
	*bits = word;
	return i;
}

/* Up to n objects of one slab that has some. */
static uint32_t take_from_slab(struct slabs *s, uint32_t index, void **objects, uint32_t n)
{
	struct page_slab *p = slab_of_index(s, index);
	char *bytes = slab_bytes(s, index);
	uint32_t got = 0;

	if (s->shape.groups == 0)
		return take_bits(&p->free, bytes, s->shape.stride, objects, n);
	while (got < n && p->free) {
		uint32_t group = bit_lowest(p->free);
		uint64_t *word = &group_words(s, index)[group];

		got += take_bits(word, bytes + (size_t)group * 64 * s->shape.stride, s->shape.stride, objects + got,
				 n - got);
		if (*word == 0)
			p->free &= ~BIT(group);
	}
	return got;
}

uint32_t slabs_get_locked(struct slabs *s, void **objects, uint32_t n)
{
	uint64_t limit = atomic_load_relaxed(&s->limit), out = slabs_out_locked(s); /* under its lock */
	uint32_t got = 0, index;

	ASSERT_CHECKED(spin_held(&s->lock));
	if (out + n > limit && limit != SLABS_UNLIMITED)
		n = out < limit ? (uint32_t)(limit - out) : 0;
	while (got < n && (index = slab_to_take_from(s)) != SLAB_NONE) {
		got += take_from_slab(s, index, objects + got, n - got);
		if (slab_of_index(s, index)->free == 0) {
			list_take(s, &s->partial, index);
			list_put(s, &s->full, index);
		}
	}
	s->free -= got;
	return got;
}

static void put_one(struct slabs *s, void *object)
{
	uint32_t number, index = locate(s, object, &number);
	struct page_slab *p = slab_of_index(s, index);
	uint64_t *word = s->shape.groups ? &group_words(s, index)[number / 64] : &p->free;
	bool was_full = p->free == 0;

	if (*word & BIT(number % 64))
		panic("zone %s: object %p is free already (CPU %u)", s->name, object, cpu_id());
	*word |= BIT(number % 64);
	if (s->shape.groups)
		p->free |= BIT(number / 64);
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

void slabs_put_locked(struct slabs *s, void **objects, uint32_t n)
{
	ASSERT_CHECKED(spin_held(&s->lock));
	for (uint32_t i = 0; i < n; i++)
		put_one(s, objects[i]);
	s->free += n;
}

uint32_t slabs_get(struct slabs *s, void **objects, uint32_t n)
{
	uint32_t got;

	do {
		spin_lock(&s->lock, RANK_ZONE);
		got = slabs_get_locked(s, objects, n);
		spin_unlock(&s->lock);
		/* again when it grew: others may take all objects of the new slab first, and are then better off */
	} while (got == 0 && slabs_grow(s));
	return got;
}

void slabs_put(struct slabs *s, void **objects, uint32_t n)
{
	bool shrink;

	spin_lock(&s->lock, RANK_ZONE);
	slabs_put_locked(s, objects, n);
	shrink = s->empties > s->keep;
	spin_unlock(&s->lock);
	if (shrink)
		slabs_shrink(s, s->keep);
}

/* --- slabs --- */

/* The limit leaves room for objects that no slab has. Without the lock: a hint, slabs_get_locked decides. */
static bool growth_is_of_use(struct slabs *s)
{
	bool room;

	if (LIKELY(atomic_load_relaxed(&s->limit) == SLABS_UNLIMITED)) /* looked at again under the lock */
		return true;
	spin_lock(&s->lock, RANK_ZONE);
	room = slabs_out_locked(s) < atomic_load_relaxed(&s->limit); /* under its lock */
	spin_unlock(&s->lock);
	return room;
}

/* The block's frames become single ones, and those behind the slab go back. */
static void trim(struct slabs *s, pfn_t head)
{
	frame_split(s->frames, head, s->shape.order);
	for (uint32_t i = s->shape.frames; i < 1u << s->shape.order; i++)
		frame_put(s->frames, pfn(head.fn + i));
}

static bool is_trimmed(const struct slabs *s) { return s->shape.frames != 1u << s->shape.order; }

bool slabs_grow(struct slabs *s)
{
	pfn_t head;
	uint32_t index;
	struct page_slab *p;

	if (!growth_is_of_use(s) || frame_alloc(s->frames, s->shape.order, 0, FRAME_ZONE, &head) != OK)
		return false;
	if (is_trimmed(s))
		trim(s, head);
	index = (uint32_t)(head.fn - s->frames->first.fn);
	for (uint32_t i = 0; i < s->shape.frames; i++)
		slab_of_index(s, index + i)->home = s;
	p = slab_of_index(s, index);
	p->free = all_free(s->shape.groups ? s->shape.groups : s->shape.objects);
	for (uint32_t i = 0; i < s->shape.groups; i++)
		group_words(s, index)[i] = all_free(s->shape.objects - i * 64);
	for (uint32_t i = 0; (STRATA_CHECKED || s->ctor) && i < s->shape.objects; i++) {
		void *object = slab_bytes(s, index) + (size_t)i * s->shape.stride;

		if (STRATA_CHECKED)
			guard_init(s, object);
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

static void give_back(struct slabs *s, pfn_t head, unsigned order)
{
	if (s->by_epoch)
		frame_free_by_epoch(s->frames, head);
	else
		frame_free(s->frames, head, order);
}

static void release(struct slabs *s, uint32_t index)
{
	pfn_t head = pfn(s->frames->first.fn + index);

	if (s->dtor)
		for (uint32_t i = 0; i < s->shape.objects; i++)
			s->dtor(slab_bytes(s, index) + (size_t)i * s->shape.stride);
	if (!is_trimmed(s)) {
		give_back(s, head, s->shape.order);
		return;
	}
	for (uint32_t i = 0; i < s->shape.frames; i++)
		give_back(s, pfn(head.fn + i), 0);
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

		if (page_owner(p) != FRAME_ZONE || page_order(p) != (is_trimmed(s) ? 0 : s->shape.order) || p->slab.home != s)
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
	for (uint32_t i = s->empty; i != SLAB_NONE; i = slab_of_index(s, i)->next)
		for (uint32_t k = 0; k < s->shape.frames; k++)
			if (slab_of_index(s, i + k)->home != s)
				panic("zone %s: frame %u of slab %u does not lead home", s->name, k, i);
	if (empties != s->empties || slabs != s->count || free != s->free)
		panic("zone %s: counts %lu slabs, %lu empty, %lu objects free; has %lu, %lu, %lu", s->name,
		      (unsigned long)s->count, (unsigned long)s->empties, (unsigned long)s->free, (unsigned long)slabs,
		      (unsigned long)empties, (unsigned long)free);
}
