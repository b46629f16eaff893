/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/kmem_look.c: what an address of the window is, figures, and the invariants of kmem.c. */
#include "vm/kmem.h"

/* The memory that stands above the guard page at va. */
static void describe_guard(const struct kmem *km, vaddr_t va, const struct kmap_page *p, struct kmem_place *place)
{
	uint64_t start = va.va;

	while (kmap_get(&km->pages, vaddr(start)).state == KMAP_GUARD)
		start += PAGE_SIZE;
	*place = (struct kmem_place){.what = "guard page below the memory",
				     .owner = p->owner,
				     .range = vrange(start, start + p->pages * PAGE_SIZE)};
}

/* Whose page va is: the guard below says so. */
static void describe_memory(const struct kmem *km, vaddr_t va, struct kmem_place *place)
{
	uint64_t start = va.va;
	struct kmap_page p;

	do {
		start -= PAGE_SIZE;
		p = kmap_get(&km->pages, vaddr(start));
	} while (p.state == KMAP_MAPPED || p.state == KMAP_ABSENT);
	if (p.state != KMAP_GUARD)
		return;
	place->owner = p.owner;
	place->range = vrange(start + PAGE_SIZE, start + (p.pages + UINT64_C(1)) * PAGE_SIZE);
}

void kmem_describe(const struct kmem *km, vaddr_t va, struct kmem_place *place)
{
	vaddr_t page = vaddr(round_down(va.va, PAGE_SIZE));
	struct kmap_page p = kmap_get(&km->pages, page);
	bool used = false;

	*place = (struct kmem_place){
		.what = "no address of the kernel map", .owner = "", .range = vrange(page.va, page.va + PAGE_SIZE)};
	switch (p.state) {
	case KMAP_GUARD:
		describe_guard(km, page, &p, place);
		return;
	case KMAP_ABSENT:
	case KMAP_MAPPED:
		place->what = p.state == KMAP_ABSENT ? "page, not there yet, of the memory" : "page of the memory";
		describe_memory(km, page, place);
		return;
	case KMAP_FREE:
		if (kva_find(&km->map.kva, va, &place->range, &used))
			place->what = used ? "part of a submap, or freed" : "memory that nobody has";
		return;
	}
}

void kmem_stats(struct kmem *km, struct kmem_stats *s)
{
	kva_stats(&km->map.kva, &s->kva);
	s->pages = atomic_load_relaxed(&km->mapped); /* statistics, both */
	s->tables = atomic_load_relaxed(&km->pages.tables);
	s->pooled = 0;
	spin_lock(&km->lock, RANK_KMEM);
	LIST_FOR(it, &km->pools) {
		struct kmem_pool *p = CONTAINER_OF(it, struct kmem_pool, link);

		for (uint32_t cpu = 0; cpu < km->zones->ncpus; cpu++) {
			gate_visit(&p->cpu[cpu].gate, RANK_KVA_CACHE);
			s->pooled += p->cpu[cpu].count * (p->size >> PAGE_SHIFT);
			gate_visit_end(&p->cpu[cpu].gate);
		}
	}
	spin_unlock(&km->lock);
}

void kmem_check(struct kmem *km)
{
	ASSERT(kmap_check(&km->pages) == atomic_load_relaxed(&km->mapped)); /* a quiet point */
	kva_check(&km->map.kva);
	LIST_FOR(it, &km->pools) {
		struct kmem_pool *p = CONTAINER_OF(it, struct kmem_pool, link);

		for (uint32_t cpu = 0; cpu < km->zones->ncpus; cpu++)
			for (uint32_t i = 0; i < p->cpu[cpu].count; i++)
				ASSERT(!pfn_is_none(kmem_frame(km, p->cpu[cpu].range[i])));
	}
}
