/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmem.c: ranges of the kernel's window, and the frames behind them.
 *
 * Structure. What is handed out is the upper part of a range of addresses:
 *
 *	            va                              the next range's guard,
 *	[ guard ... ][ page ][ page ] ... [ page ][ or memory that nobody has
 *	 marked      mapped, or marked ABSENT
 *
 * The guard is one page, or as much as the alignment asks for, so that base and
 * va are both aligned. Its descriptors are marked with owner and size, which
 * is where kmem_free and a panic learn them from: beside its
 * addresses' tag a range has no record of its own, and its frames are found in the
 * tables.
 *
 * Invariants.
 *  1. Addresses that kva has for free, or caches, hold descriptors of 0 and are in no TLB.
 *  2. A frame that a descriptor names is owned by WIRED and freed only after kmap_flush.
 *  3. mapped = valid descriptors.
 *
 * An allocation (here: one try, which waits for nothing but room, if told so) takes addresses, then tables, then
 *frames, each of which may fail and is undone; then it commits: marks, descriptors, DSB ISHST, ISB. What waits for room
 *waits while it holds nothing. Freeing: descriptors 0, flush, frames, addresses:
 *
 *	[ PTEs = 0 ][ DSB TLBI DSB ISB ][ frame_free ... ][ kva_free ]
 *	                                ^ nobody reaches the frames    ^ nobody reaches the addresses
 *
 * Pageable ranges have no frames at first. An access faults, the machine asks
 * kmem_fault, which exchanges the mark for a frame. Several CPUs may do so at once:
 * one compare-and-swap wins. Nothing takes such a page away again but kmem_free.
 *
 * Locking. None of its own: kva's, and the descriptors of a range are its owner's.
 * Memory order. hal/kmap.h. Who hands an address to another CPU orders the rest by that.
 * Failure. As the header says; nothing is held or changed.
 *
 * Sources: the interface of 4.4BSD's vm_kern.c.
 */
#include "vm/kmem_private.h"

#include "base/bits.h"

#define TABLE_PAGES (BLOCK_SIZE / PAGE_SIZE)

static vaddr_t page_at(vaddr_t base, uint64_t n) { return vaddr(base.va + n * PAGE_SIZE); }

/* --- maps --- */

/* Every table of [base, base + pages) is linked. What was linked stays, whatever comes. */
static enum error link_tables(struct kmem *km, vaddr_t base, uint64_t pages)
{
	uint64_t va = base.va, end = page_at(base, pages).va;
	/* Who wants to see allocations fail is to see this one too, though there is a table nearly always. */
	bool missing = frames_may_fail(km->frames);
	pfn_t spare = PFN_NONE;

	while (va < end) {
		if (missing && frame_alloc(km->frames, 0, FRAME_ZERO, FRAME_TABLE, &spare) != OK)
			return ERR_NOMEM;
		missing = kmap_link(&km->pages, vaddr(va), &spare) == ERR_STOCK;
		if (!missing)
			va = round_down(va, BLOCK_SIZE) + BLOCK_SIZE;
	}
	if (!pfn_is_none(spare))
		frame_put(km->frames, spare);
	return OK;
}

/*
 * Leaf tables that are there from the start: for a 16th of RAM mapped with as much guard, and what all CPUs' caches of kernel
 * stacks' size span. So the usual use of the window never needs one, and frames by owner are after a load what they were before.
 */
static uint64_t tables_at_boot(const struct kmem *km)
{
	return 2 + km->zones->ncpus / 4 + km->frames->ram / (UINT64_C(32) * TABLE_PAGES);
}

enum error kmem_init(struct kmem *km, struct kmalloc *k)
{
	enum error e;
	pfn_t root;

	__builtin_memset(km, 0, sizeof *km);
	km->frames = k->frames;
	km->zones = k->zones;
	km->kmalloc = k;
	spin_init(&km->lock);
	list_init(&km->pools);
	km->segments = kva_segment_zone(k->zones);
	if (!km->segments)
		return ERR_NOMEM;
	km->map.kmem = km;
	e = kva_init(&km->map.kva, "kernel", vaddr(MMU_KERNEL_START), MMU_KERNEL_SIZE, 0, km->segments, k);
	if (e == OK) {
		e = frame_alloc(km->frames, 0, FRAME_ZERO, FRAME_TABLE, &root);
		if (e != OK)
			kva_fini(&km->map.kva);
	}
	if (e != OK) {
		zone_destroy(km->segments);
		return e;
	}
	kmap_init(&km->pages, root);
	return link_tables(km, vaddr(MMU_KERNEL_START), tables_at_boot(km) * TABLE_PAGES);
}

enum error kmem_suballoc(struct kmem_map *parent, uint64_t size, const char *name, struct kmem_map **out)
{
	struct kmem *km = parent->kmem;
	uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
	struct kmem_map *m;
	vaddr_t base;
	enum error e;

	if (pages == 0 || pages > parent->kva.pages)
		return ERR_INVAL;
	m = kmalloc_zero(km->kmalloc, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	e = kva_alloc(&parent->kva, pages, 1, KVA_BEST_FIT, &base);
	if (e == OK) {
		e = kva_init(&m->kva, name, base, pages << PAGE_SHIFT, KVA_NO_CACHE, km->segments, km->kmalloc);
		if (e != OK)
			kva_free(&parent->kva, base, pages);
	}
	if (e != OK) {
		kfree(km->kmalloc, m);
		return e;
	}
	m->kmem = km;
	m->parent = parent;
	*out = m;
	return OK;
}

void kmem_subfree(struct kmem_map *m)
{
	vaddr_t base = vaddr(m->kva.page << PAGE_SHIFT);
	uint64_t pages = m->kva.pages;

	ASSERT(m->parent);
	kva_fini(&m->kva);
	kva_free(&m->parent->kva, base, pages);
	kfree(m->kmem->kmalloc, m);
}

/* --- allocation --- */

static enum error take_frames(struct kmem *km, const struct kmem_request *r, struct frame_list *l)
{
	frame_list_init(l);
	for (uint64_t i = 0; !r->absent && i < r->pages; i++) {
		pfn_t f;

		if (frame_alloc(km->frames, 0, r->zero, FRAME_WIRED, &f) != OK) {
			frame_list_free(km->frames, l);
			return ERR_NOMEM;
		}
		frame_list_push(km->frames, l, f);
	}
	return OK;
}

/* Cannot fail. */
static void commit(struct kmem *km, const struct kmem_request *r, vaddr_t base, struct frame_list *l)
{
	uint32_t pages = r->pages <= KMAP_MARK_PAGES ? (uint32_t)r->pages : 0;

	for (uint64_t i = 0; i < r->guard; i++)
		kmap_mark(&km->pages, page_at(base, i), KMAP_GUARD, r->owner, pages);
	for (uint64_t i = r->guard; i < r->guard + r->pages; i++)
		if (r->absent)
			kmap_mark(&km->pages, page_at(base, i), KMAP_ABSENT, r->owner, pages);
		else
			kmap_set(&km->pages, page_at(base, i), frame_list_pop(km->frames, l), PROT_R | PROT_W);
	if (r->absent)
		return;
	kmap_sync();
	atomic_add_relaxed(&km->mapped, r->pages); /* a statistic */
}

static enum error reserve(struct kmem_map *m, const struct kmem_request *r, vaddr_t *out)
{
	uint64_t pages = r->guard + r->pages;
	struct kmem *km = m->kmem;
	struct frame_list frames;
	vaddr_t base;
	enum error e = kva_alloc(&m->kva, pages, r->guard, r->room, &base);

	if (e != OK)
		return e;
	e = link_tables(km, base, pages);
	if (e == OK)
		e = take_frames(km, r, &frames);
	if (e != OK) {
		kva_free(&m->kva, base, pages);
		return e;
	}
	commit(km, r, base, &frames);
	*out = page_at(base, r->guard);
	return OK;
}

enum error kmem_try(struct kmem_map *m, uint64_t size, uint64_t align, struct kmem_request *r, vaddr_t *out)
{
	ASSERT_CHECKED(align >= PAGE_SIZE && (align & (align - 1)) == 0);
	r->pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0);
	r->guard = align / PAGE_SIZE;
	if (size == 0 || r->guard > m->kva.pages || r->pages > m->kva.pages - r->guard)
		return ERR_INVAL;
	return reserve(m, r, out);
}

/* --- freeing --- */

/* Pages of guard below va; panics unless it is what kmem gave, with so many pages. */
static uint64_t guard_below(const struct kmem_map *m, vaddr_t va, uint64_t pages)
{
	struct kmap_page p = kmap_get(&m->kmem->pages, vaddr(va.va - PAGE_SIZE));
	uint64_t n = 0;

	if ((va.va & PAGE_MASK) || p.state != KMAP_GUARD || p.pages != (pages <= KMAP_MARK_PAGES ? pages : 0))
		panic("kmem: %lu pages at %#lx are not what map %s gave: there are %u of %s (CPU %u)",
		      (unsigned long)pages, (unsigned long)va.va, m->kva.name, p.pages,
		      p.state == KMAP_GUARD ? p.owner : "nobody", cpu_id());
	while (kmap_get(&m->kmem->pages, vaddr(va.va - (n + 1) * PAGE_SIZE)).state == KMAP_GUARD)
		n++;
	return n;
}

void kmem_free(struct kmem_map *m, vaddr_t va, uint64_t size)
{
	uint64_t pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0), guard = guard_below(m, va, pages), mapped;
	vaddr_t base = vaddr(va.va - guard * PAGE_SIZE);
	struct kmem *km = m->kmem;
	struct frame_list frames;

	frame_list_init(&frames);
	for (uint64_t i = 0; i < guard + pages; i++) {
		struct kmap_page p = kmap_clear(&km->pages, page_at(base, i));

		ASSERT_CHECKED(i < guard ? p.state == KMAP_GUARD : p.state == KMAP_ABSENT || p.state == KMAP_MAPPED);
		if (p.state == KMAP_MAPPED)
			frame_list_push(km->frames, &frames, p.frame);
	}
	mapped = frames.count;
	if (mapped) {
		kmap_flush(&km->pages, vrange(va.va, page_at(va, pages).va));
		frame_list_free(km->frames, &frames);
		atomic_sub_relaxed(&km->mapped, mapped); /* a statistic */
	}
	kva_free(&m->kva, base, guard + pages);
}

/* --- faults --- */

enum error kmem_fault(struct kmem *km, vaddr_t va)
{
	vaddr_t page = vaddr(round_down(va.va, PAGE_SIZE));
	struct kmap_page p = kmap_get(&km->pages, page);
	enum error e;
	pfn_t f;

	if (p.state == KMAP_MAPPED) {
		kmap_sync(); /* another CPU mapped it a moment ago */
		return OK;
	}
	if (p.state != KMAP_ABSENT)
		return ERR_FAULT;
	e = frame_alloc(km->frames, 0, FRAME_ZERO, FRAME_WIRED, &f);
	if (e != OK)
		return e;
	if (kmap_fill(&km->pages, page, f))
		atomic_add_relaxed(&km->mapped, UINT64_C(1)); /* a statistic */
	else
		frame_put(km->frames, f); /* another CPU's fault was faster; nobody has seen ours */
	return OK;
}

pfn_t kmem_frame(const struct kmem *km, vaddr_t va)
{
	return kmap_get(&km->pages, vaddr(round_down(va.va, PAGE_SIZE))).frame;
}
