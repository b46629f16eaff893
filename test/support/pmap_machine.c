/* SPDX-License-Identifier: BSD-2-Clause */
#include "pmap_machine.h"

#include <stdlib.h>

const char *pm_options = "tlb-scope=broadcast";

void *pm_zalloc(size_t size)
{
	void *p = aligned_alloc(CACHE_LINE, round_up(size, CACHE_LINE));

	CHECK(p);
	return memset(p, 0, size);
}

/* The simulator's judge asks what is so, not what a CPU with old values may see: no memory model's business. */
static enum host_frame __attribute__((no_sanitize("thread"))) frame_kind(void *context, pfn_t f)
{
	struct pmap_machine *pm = context;

	if (f.fn - pm->first.fn >= pm->count)
		return HOST_FRAME_UNKNOWN;
	return (enum host_frame)__atomic_load_n(&pm->pages[f.fn - pm->first.fn].used.x, __ATOMIC_RELAXED);
}

void pm_init(struct pmap_machine *pm, const struct host_config *config)
{
	struct host_config c = { .ncpus = 4, .ram = 16 << 20, .junk = true, .seed = TEST_SEED };
	const struct machine_info *info;

	memset(pm, 0, sizeof *pm);
	if (config)
		c = *config;
	if (!c.command_line)
		c.command_line = pm_options;
	c.ops.frame_kind = frame_kind;
	c.ops.context = pm;
	test_machine_init(&pm->t, &c);
	info = machine_info();
	pm->first = paddr_to_pfn(info->bank[0].start);
	pm->count = (info->bank[0].end.pa - info->bank[0].start.pa) >> PAGE_SHIFT;
	pm->pages = calloc(pm->count, sizeof *pm->pages);
	pm->free = calloc(pm->count, sizeof *pm->free);
	pm->ps = pm_zalloc(sizeof *pm->ps);
	CHECK(pm->pages && pm->free);
	for (uint64_t i = 0; i < pm->count; i++) {
		pm->free[i] = pfn(pm->first.fn + i);
		pm->pages[i].home = pm;
		atomic_store_relaxed(&pm->pages[i].used, (uint32_t)HOST_FRAME_FREE);
	}
	pm->nfree = pm->count;
	epoch_init(&pm->epoch, info->ncpus);
	pmap_system_init(pm->ps, &(struct pmap_config){ .pages = pm->pages, .page_stride = sizeof *pm->pages,
							.first = pm->first, .count = pm->count, .ncpus = info->ncpus,
							.epoch = &pm->epoch });
}

void pm_destroy(struct pmap_machine *pm)
{
	struct frame_list l;

	pmap_deactivate(pm->ps);
	CHECK(atomic_load_relaxed(&pm->ps->chunks.frames) <= machine_info()->ncpus);
	pmap_drain(pm->ps, &l);
	CHECK(list_empty(&pm->ps->chunks.partial));
	pm_free_late(pm, &l);
	pm_drain(pm);
	CHECK(atomic_load_relaxed(&pm->ps->chunks.frames) == 0);
	CHECK(host_offences(pm->t.m, HOST_OFFENCES) == 0);
	CHECK(pm->nfree == pm->count); /* the audit */
	test_machine_destroy(&pm->t);
	free(pm->pages);
	free(pm->free);
	free(pm->ps);
}

static struct test_page *page_of(struct pmap_machine *pm, pfn_t f) { return &pm->pages[f.fn - pm->first.fn]; }

static void frames_lock(struct pmap_machine *pm)
{
	while (__atomic_exchange_n(&pm->lock, 1, __ATOMIC_ACQUIRE)) /* pairs with frames_unlock */
		cpu_relax();
}

static void frames_unlock(struct pmap_machine *pm) { __atomic_store_n(&pm->lock, 0, __ATOMIC_RELEASE); }

static pfn_t alloc(struct pmap_machine *pm, enum host_frame kind)
{
	pfn_t f;

	frames_lock(pm);
	if (pm->nfree == 0)
		panic("test: out of frames");
	f = pm->free[pm->head];
	pm->head = (pm->head + 1) % pm->count;
	pm->nfree--;
	frames_unlock(pm);
	CHECK(atomic_load_relaxed(&page_of(pm, f)->used) == HOST_FRAME_FREE);
	atomic_store_relaxed(&page_of(pm, f)->used, (uint32_t)kind);
	atomic_store_relaxed(&page_of(pm, f)->clean, UINT64_C(0));
	pmap_page_reset(pm->ps, f);
	machine_zero_frame(pfn_to_paddr(f));
	return f;
}

pfn_t pm_alloc(struct pmap_machine *pm) { return alloc(pm, HOST_FRAME_DATA); }
pfn_t pm_alloc_table(struct pmap_machine *pm) { return alloc(pm, HOST_FRAME_TABLE); }

void pm_free(struct pmap_machine *pm, pfn_t f)
{
	uint64_t *word = pm_bytes(f);

	CHECK(atomic_load_relaxed(&page_of(pm, f)->used) != HOST_FRAME_FREE);
	pmap_page_reset(pm->ps, f);
	atomic_store_relaxed(&page_of(pm, f)->used, (uint32_t)HOST_FRAME_FREE);
	host_frame_freed(pfn_to_paddr(f), 0);
	/* Atomic, so that a stale access is the simulator's to report and not a data race. */
	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 64)
		__atomic_store_n(&word[i], JUNK, __ATOMIC_RELAXED);
	frames_lock(pm);
	pm->free[(pm->head + pm->nfree++) % pm->count] = f;
	frames_unlock(pm);
}

static void free_late(struct epoch_item *item)
{
	struct test_page *page = CONTAINER_OF(item, struct test_page, retire);

	pm_free(page->home, pfn(page->home->first.fn + (uint64_t)(page - page->home->pages)));
}

void pm_free_late(struct pmap_machine *pm, struct frame_list *l)
{
	for (pfn_t f = l->head, next; !pfn_is_none(f); f = next) {
		next = pmap_page(pm->ps, f)->next;
		epoch_retire(&pm->epoch, &page_of(pm, f)->retire, free_late);
		CHECK(l->count-- > 0);
	}
	CHECK(l->count == 0);
	*l = (struct frame_list){ PFN_NONE, 0 };
	if (epoch_should_poll(&pm->epoch))
		(void)epoch_poll(&pm->epoch);
}

void pm_poll(struct pmap_machine *pm)
{
	for (int i = 0; i < 4; i++)
		(void)epoch_poll(&pm->epoch);
}

/* Every CPU runs its own; one thread plays each in turn. */
void pm_drain(struct pmap_machine *pm)
{
	struct host_machine *m = pm->t.m;
	uint32_t self = cpu_id();

	for (unsigned turn = 0; turn < 4 || epoch_pending(&pm->epoch); turn++) {
		CHECK(turn < 64);
		for (uint32_t i = 0; i < machine_info()->ncpus; i++) {
			host_become(m, i);
			(void)epoch_poll(&pm->epoch);
		}
		host_become(m, self);
	}
}

uint64_t pm_free_count(struct pmap_machine *pm) { return pm->nfree; }

void pm_fill(struct pmap_machine *pm, struct pmap_stock *stock)
{
	while (stock->tables < PMAP_STOCK_TABLES)
		stock->table[stock->tables++] = pm_alloc_table(pm);
	if (pfn_is_none(stock->chunk))
		stock->chunk = pm_alloc_table(pm);
}

void pm_empty(struct pmap_machine *pm, struct pmap_stock *stock)
{
	while (stock->tables)
		pm_free(pm, stock->table[--stock->tables]);
	if (!pfn_is_none(stock->chunk))
		pm_free(pm, stock->chunk);
	stock->chunk = PFN_NONE;
}

enum error pm_enter(struct pmap_machine *pm, struct pmap *p, uint64_t va, pfn_t f, enum prot prot, unsigned flags)
{
	struct pmap_stock stock = { .chunk = PFN_NONE };
	struct pmap_leaf leaf;
	enum error e;

	pm_fill(pm, &stock);
	epoch_enter(&pm->epoch);
	e = pmap_leaf_lock(p, vaddr(va), &stock, &leaf);
	if (e == OK) {
		e = pmap_leaf_set(&leaf, vaddr(va), f, prot, flags, &stock, NULL);
		pmap_leaf_unlock(&leaf);
	}
	epoch_leave(&pm->epoch);
	pm_empty(pm, &stock);
	return e;
}

void pm_remove(struct pmap_machine *pm, struct pmap *p, uint64_t start, uint64_t end, bool exclusive)
{
	struct tlb_gather g;

	gather_init(&g, p);
	g.exclusive = exclusive;
	pmap_remove(p, vrange(start, end), &g);
	gather_flush(&g);
	pm_free_late(pm, &g.unlinked);
}

void pm_exit(struct pmap_machine *pm, struct pmap *p)
{
	struct frame_list tables;

	pmap_deactivate(pm->ps);
	(void)pmap_destroy(p, &tables);
	pm_free_late(pm, &tables);
}
