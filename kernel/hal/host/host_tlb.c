/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_tlb.c: a TLB that keeps what it was given.
 *
 * Purpose. Real TLBs may hold an entry for ever or drop it at once, and code is
 * wrong if it relies on either. This one relies on nothing being dropped: an
 * entry stays until it is invalidated, or until the TLB is full, when a random
 * one goes. So a missing invalidation shows.
 *
 * Structure. A pool of entries and a hash table of chains through it, by
 * (ASID, level, va >> shift of the level): a page, a 2 MiB and a 1 GiB block
 * are looked up apart. The same structure holds leaves (levels 1 to 3) and, as
 * the walk cache, table descriptors (levels 0 to 2).
 *
 *   bucket[hash] -> entry -> entry -> NIL          free -> entry -> entry -> NIL
 *
 * Invariants.
 *   1. An entry is in exactly one chain: its bucket's when used, else free's.
 *   2. No two used entries have the same (ASID, level, va).
 *   3. count = number of used entries <= capacity.
 *
 * Locking. The owner's tlb_lock, held by the caller. Failure. tlb_init only.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "hal/host/host_private.h"

static uint64_t base_of(unsigned level, uint64_t va) { return round_down(va, BIT(host_level_shift(level))); }

static uint32_t hash(const struct tlb *t, uint32_t asid, unsigned level, uint64_t va)
{
	return (uint32_t)host_mix(base_of(level, va) | (uint64_t)asid << 48 | level) & (t->buckets - 1);
}

enum error tlb_init(struct tlb *t, uint32_t capacity)
{
	t->capacity = capacity;
	t->buckets = 1u << log2_ceil(capacity);
	t->entry = calloc(capacity, sizeof *t->entry);
	t->bucket = malloc(t->buckets * sizeof *t->bucket);
	if (!t->entry || !t->bucket)
		return ERR_NOMEM;
	tlb_drop_all(t);
	return OK;
}

void tlb_destroy(struct tlb *t)
{
	free(t->entry);
	free(t->bucket);
}

struct tlb_entry *tlb_find(struct tlb *t, uint32_t asid, unsigned level, uint64_t va)
{
	uint64_t base = base_of(level, va);

	for (uint16_t i = t->bucket[hash(t, asid, level, va)]; i != TLB_NIL; i = t->entry[i].next) {
		struct tlb_entry *e = &t->entry[i];

		if (e->va == base && e->asid == asid && e->level == level)
			return e;
	}
	return NULL;
}

void tlb_drop(struct tlb *t, struct tlb_entry *e)
{
	uint16_t index = (uint16_t)(e - t->entry);
	uint16_t *link = &t->bucket[hash(t, e->asid, e->level, e->va)];

	while (*link != index) {
		ASSERT(*link != TLB_NIL);
		link = &t->entry[*link].next;
	}
	*link = e->next;
	e->used = false;
	e->next = t->free;
	t->free = index;
	t->count--;
}

struct tlb_entry *tlb_insert(struct tlb *t, const struct tlb_entry *new, uint64_t victim)
{
	struct tlb_entry *e = tlb_find(t, new->asid, new->level, new->va);
	uint16_t *bucket;

	if (e)
		tlb_drop(t, e);
	else if (t->free == TLB_NIL)
		tlb_drop(t, &t->entry[victim % t->capacity]);
	e = &t->entry[t->free];
	t->free = e->next;
	*e = *new;
	e->va = base_of(e->level, e->va);
	e->used = true;
	bucket = &t->bucket[hash(t, e->asid, e->level, e->va)];
	e->next = *bucket;
	*bucket = (uint16_t)(e - t->entry);
	t->count++;
	return e;
}

void tlb_drop_va(struct tlb *t, uint32_t asid, uint64_t va)
{
	for (unsigned level = 0; level <= 3; level++) {
		struct tlb_entry *e = tlb_find(t, asid, level, va);

		if (e)
			tlb_drop(t, e);
	}
}

/* Few pages one by one, many by a look at every entry: what is cheaper. */
void tlb_drop_range(struct tlb *t, uint32_t asid, uint64_t start, uint64_t end)
{
	if (end - start <= 16 * PAGE_SIZE) {
		for (uint64_t va = start; va < end; va += PAGE_SIZE)
			tlb_drop_va(t, asid, va);
		return;
	}
	for (uint32_t i = 0; i < t->capacity && t->count; i++) {
		struct tlb_entry *e = &t->entry[i];

		if (e->used && e->asid == asid && e->va < end && e->va + BIT(host_level_shift(e->level)) > start)
			tlb_drop(t, e);
	}
}

void tlb_drop_asid(struct tlb *t, uint32_t asid)
{
	for (uint32_t i = 0; i < t->capacity && t->count; i++)
		if (t->entry[i].used && t->entry[i].asid == asid)
			tlb_drop(t, &t->entry[i]);
}

void tlb_drop_all(struct tlb *t)
{
	for (uint32_t i = 0; i < t->buckets; i++)
		t->bucket[i] = TLB_NIL;
	for (uint32_t i = 0; i < t->capacity; i++) {
		t->entry[i].used = false;
		t->entry[i].next = i + 1 < t->capacity ? (uint16_t)(i + 1) : TLB_NIL;
	}
	t->free = 0;
	t->count = 0;
}

struct tlb_entry *tlb_next(struct tlb *t, uint32_t *i)
{
	while (*i < t->capacity) {
		struct tlb_entry *e = &t->entry[(*i)++];

		if (e->used)
			return e;
	}
	return NULL;
}
