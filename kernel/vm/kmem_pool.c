/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmem_pool.c: ranges that stay mapped.
 *
 * A kernel stack lives as long as its thread, and threads come and go. Mapping it
 * costs some hundred instructions, unmapping it interrupts the TLBs of all CPUs.
 * So each CPU keeps the last few whole, behind a gate, as magazines keep objects:
 * what is taken again is warm and mapped. kmem_drain takes them all, when memory is short.
 *
 * Which CPU a range comes back on does not matter: its mapping is the same on all,
 * and was complete before it was first handed out.
 *
 * Locking. RANK_KMEM for the list of pools, inside it the gates, one at a time. Ranges are
 * unmapped with nothing held.
 * Failure. None of its own.
 */
#include "vm/kmem_private.h"

enum error kmem_pool_init(struct kmem_pool *p, struct kmem_map *m, uint64_t size, uint64_t align, const char *owner)
{
	struct kmem *km = m->kmem;
	uint32_t ncpus = km->zones->ncpus;

	*p = (struct kmem_pool){.map = m, .owner = owner, .size = size, .align = align};
	p->memory = kmalloc_zero(km->kmalloc, ncpus * sizeof *p->cpu + CACHE_LINE);
	if (!p->memory)
		return ERR_NOMEM;
	p->cpu = (struct kmem_pool_cpu *)round_up((uintptr_t)p->memory, CACHE_LINE);
	for (uint32_t i = 0; i < ncpus; i++)
		gate_init(&p->cpu[i].gate);
	spin_lock(&km->lock, RANK_KMEM);
	list_append(&km->pools, &p->link);
	spin_unlock(&km->lock);
	return OK;
}

/* Ranges of one pool, on their way out. */
struct batch {
	struct kmem_map *map;
	uint64_t size;
	unsigned count;
	vaddr_t range[KMEM_POOL_KEEP];
};

/* All of one CPU's, if there are any. km->lock held. */
static bool take_locked(struct kmem_pool *p, uint32_t cpu, struct batch *b)
{
	struct kmem_pool_cpu *c = &p->cpu[cpu];

	gate_visit(&c->gate, RANK_KVA_CACHE);
	b->map = p->map;
	b->size = p->size;
	b->count = c->count;
	for (uint32_t i = 0; i < c->count; i++)
		b->range[i] = c->range[i];
	c->count = 0;
	gate_visit_end(&c->gate);
	return b->count > 0;
}

static bool find_batch(struct kmem *km, struct kmem_pool *only, struct batch *b)
{
	bool found = false;

	spin_lock(&km->lock, RANK_KMEM);
	LIST_FOR(it, &km->pools) {
		struct kmem_pool *p = CONTAINER_OF(it, struct kmem_pool, link);

		for (uint32_t cpu = 0; !found && (!only || p == only) && cpu < km->zones->ncpus; cpu++)
			found = take_locked(p, cpu, b);
	}
	spin_unlock(&km->lock);
	return found;
}

/* One pool's, or all. Ends: others may give ranges back meanwhile, but no faster than we free as many as they have. */
static void drain(struct kmem *km, struct kmem_pool *only)
{
	struct batch b;

	while (find_batch(km, only, &b))
		while (b.count > 0)
			kmem_free(b.map, b.range[--b.count], b.size);
}

void kmem_pool_fini(struct kmem_pool *p)
{
	struct kmem *km = p->map->kmem;

	drain(km, p);
	spin_lock(&km->lock, RANK_KMEM);
	list_remove(&p->link);
	spin_unlock(&km->lock);
	kfree(km->kmalloc, p->memory);
}

enum error kmem_pool_get(struct kmem_pool *p, vaddr_t *out)
{
	struct kmem_request r = {.owner = p->owner};
	struct kmem_pool_cpu *c = &p->cpu[cpu_id()];
	bool found;

	gate_enter(&c->gate, RANK_KVA_CACHE);
	found = c->count > 0 && !frames_may_fail(p->map->kmem->frames); /* who wants to see failures sees them all */
	if (found)
		*out = c->range[--c->count];
	gate_leave(&c->gate);
	return found ? OK : kmem_try(p->map, p->size, p->align, &r, out);
}

void kmem_pool_put(struct kmem_pool *p, vaddr_t va)
{
	struct kmem_pool_cpu *c = &p->cpu[cpu_id()];
	bool kept;

	gate_enter(&c->gate, RANK_KVA_CACHE);
	kept = c->count < KMEM_POOL_KEEP;
	if (kept)
		c->range[c->count++] = va;
	gate_leave(&c->gate);
	if (!kept)
		kmem_free(p->map, va, p->size);
}

void kmem_drain(struct kmem *km)
{
	drain(km, NULL);
	(void)kva_drain(&km->map.kva);
}
