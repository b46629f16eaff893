/* SPDX-License-Identifier: BSD-2-Clause */
#include "pmap_world.h"

uint64_t cpu_random(struct cpu *c)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return c->seed >> 33;
}

static struct vrange window_range(unsigned window)
{
	return vrange(BASE + window * BLOCK_SIZE, BASE + (window + 1) * BLOCK_SIZE);
}
static uint64_t tag_of(struct world *w, struct space *s, unsigned window, unsigned page)
{
	return is_object(window) ? OBJECT_TAG | page : (uint64_t)(s - w->space) << 48 | world_va(window, page);
}

/*
 * The words that programs see too. Relaxed, as programs' own accesses are: what orders them is the mapping that comes
 * after, and the flush that went before, of which a checker of races knows nothing.
 */
static uint64_t word_get(pfn_t f, unsigned i)
{
	const uint64_t *w = pm_bytes(f);

	return __atomic_load_n(&w[i], __ATOMIC_RELAXED);
}

static void word_set(pfn_t f, unsigned i, uint64_t v)
{
	uint64_t *w = pm_bytes(f);

	__atomic_store_n(&w[i], v, __ATOMIC_RELAXED);
}

static struct test_page *page_of(struct world *w, pfn_t f) { return &w->m.pages[f.fn - w->m.first.fn]; }

/* Written since the last world_ask_clear. */
static bool was_added_to(struct world *w, pfn_t f)
{
	return word_get(f, 1) != atomic_load_relaxed(&page_of(w, f)->clean);
}

/* Nobody can reach the frame any more: counts what was written to it, and frees it. */
static void retire(struct world *w, pfn_t f)
{
	uint64_t n = word_get(f, 1);

	CHECK(pmap_page_mappings(w->m.ps, f) == 0);
	CHECK(!was_added_to(w, f) || pmap_page_modified(w->m.ps, f, true));
	atomic_add_relaxed(&w->retired, n);
	pm_free(&w->m, f);
}

struct look {
	struct window *window;
	struct word *word;
	uint64_t want;
};

static bool still(void *arg)
{
	const struct look *l = arg;

	return atomic_load_seq_cst(&l->window->live) && atomic_load_seq_cst(&l->word->fn) == l->want;
}

static bool window_live(void *arg)
{
	const struct window *win = arg;

	return atomic_load_seq_cst(&win->live);
}

void world_fault(struct cpu *c, struct space *s, unsigned window, unsigned page, enum prot access)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	uint64_t va = world_va(window, page);
	bool anon = !is_object(window);
	struct look look = { win, anon ? &win->slot[page] : &w->object[page], 0 };
	const struct pmap_last_check check = { still, &look }, alive = { window_live, win };
	struct pmap_leaf leaf;
	enum error e;

	pm_fill(&w->m, &c->stock);
	if (pfn_is_none(c->spare))
		c->spare = pm_alloc(&w->m);
	atomic_add_relaxed(&w->faults, UINT64_C(1));
	epoch_enter(&w->m.epoch);
	if (access == PROT_W && pmap_limited(&s->p, vaddr(va)) && pmap_lift_limit(&s->p, vaddr(va), &alive) == ERR_STALE)
		atomic_add_relaxed(&w->stale, UINT64_C(1));
	if (anon) {
		spin_lock(&win->node, RANK_NODE);
		look.want = atomic_load_relaxed(&look.word->fn);
		if (look.want == 0 && atomic_load_seq_cst(&win->live)) {
			word_set(c->spare, 0, tag_of(w, s, window, page));
			atomic_store_seq_cst(&look.word->fn, c->spare.fn);
			look.want = c->spare.fn;
			c->spare = PFN_NONE;
		}
	} else {
		look.want = atomic_load_seq_cst(&look.word->fn);
	}
	if (look.want && atomic_load_seq_cst(&win->live)) {
		e = pmap_leaf_lock(&s->p, vaddr(va), &c->stock, &leaf);
		if (e == OK) {
			e = pmap_leaf_set(&leaf, vaddr(va), pfn(look.want), PROT_R | PROT_W,
					  access == PROT_W ? PMAP_WRITTEN : 0, &c->stock, &check);
			leaf.upper = 0; /* its limit may have come since */
			/* no limit of the table above is left over it */
			CHECK(e != OK || pmap_leaf_get(&leaf, vaddr(va)).prot & PROT_W);
			pmap_leaf_unlock(&leaf);
		}
		CHECK(e == OK || e == ERR_STALE || e == ERR_BUSY || e == ERR_EXISTS);
		if (e == ERR_STALE)
			atomic_add_relaxed(&w->stale, UINT64_C(1));
	}
	if (anon)
		spin_unlock(&win->node);
	epoch_leave(&w->m.epoch);
	pmap_spurious(&s->p, vaddr(va));
}

void world_touch(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	uint64_t va = world_va(window, page), v, n = cpu_random(c) % 100;
	struct host_fault f;

	pmap_activate(&s->p);
	for (int i = 0; i < 3; i++) {
		if (host_user_load64(vaddr(va), &v, &f) != OK) {
			world_fault(c, s, window, page, PROT_R);
			continue;
		}
		CHECK(v == tag_of(c->w, s, window, page));
		if (n % 2)
			return;
		if (host_user_add64(vaddr(va + 8), n, &v, &f) == OK) {
			atomic_add_relaxed(&c->w->added, n);
			return;
		}
		world_fault(c, s, window, page, PROT_W);
	}
}

/* Takes the frames out of an anon window's slots. */
static unsigned take_slots(struct window *win, unsigned first, unsigned last, pfn_t *f)
{
	unsigned n = 0;

	spin_lock(&win->node, RANK_NODE);
	for (unsigned i = first; i <= last; i++) {
		uint64_t fn = atomic_swap_seq_cst(&win->slot[i].fn, UINT64_C(0));

		if (fn)
			f[n++] = pfn(fn);
	}
	spin_unlock(&win->node);
	return n;
}

void world_unmap(struct cpu *c, struct space *s, unsigned window, bool exclusive)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	struct tlb_gather g;
	struct host_fault hf;
	pfn_t f[PAGES];
	uint64_t v;
	unsigned n = 0;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = exclusive;
	pmap_remove(&s->p, window_range(window), &g);
	gather_flush(&g);
	pm_free_late(&w->m, &g.unlinked);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(pmap_extract(&s->p, vaddr(world_va(window, i))).state != PMAP_VALID);
	pmap_activate(&s->p);
	CHECK(host_user_load64(vaddr(world_va(window, cpu_random(c) % PAGES)), &v, &hf) == ERR_FAULT);
	if (!is_object(window))
		n = take_slots(win, 0, PAGES - 1, f);
	for (unsigned i = 0; i < n; i++)
		retire(w, f[i]);
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

void world_discard(struct cpu *c, struct space *s, unsigned window, unsigned first, unsigned last)
{
	struct window *win = &s->window[window];
	unsigned n;
	struct tlb_gather g;
	pfn_t f[PAGES];

	test_lock(&win->range);
	n = take_slots(win, first, last, f);
	gather_init(&g, &s->p);
	pmap_remove(&s->p, vrange(world_va(window, first), world_va(window, last) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	for (unsigned i = 0; i < n; i++)
		retire(c->w, f[i]);
	test_unlock(&win->range);
}

void world_copy(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	uint64_t va = world_va(window, page);
	struct pmap_leaf leaf;
	struct pmap_pte pte = { .state = PMAP_EMPTY };
	struct tlb_gather g;
	pfn_t fresh = pm_alloc(&w->m);
	bool used = false;

	gather_init(&g, &s->p);
	epoch_enter(&w->m.epoch);
	spin_lock(&win->node, RANK_NODE);
	if (pmap_leaf_lock(&s->p, vaddr(va), NULL, &leaf) == OK) {
		pte = pmap_leaf_get(&leaf, vaddr(va));
		if (pte.state == PMAP_VALID)
			pmap_leaf_break(&leaf, vaddr(va), &g);
		pmap_leaf_unlock(&leaf);
	}
	spin_unlock(&win->node);
	epoch_leave(&w->m.epoch);
	if (pte.state != PMAP_VALID) {
		pm_free(&w->m, fresh);
		return;
	}
	gather_flush(&g);
	pm_free_late(&w->m, &g.unlinked);
	pm_fill(&w->m, &c->stock);
	epoch_enter(&w->m.epoch);
	spin_lock(&win->node, RANK_NODE);
	CHECK(pmap_leaf_lock(&s->p, vaddr(va), NULL, &leaf) == OK); /* a BUSY PTE keeps its table */
	if (atomic_load_seq_cst(&win->live) && atomic_load_relaxed(&win->slot[page].fn) == pte.frame.fn) {
		machine_copy_frame(pfn_to_paddr(fresh), pfn_to_paddr(pte.frame));
		atomic_store_seq_cst(&win->slot[page].fn, fresh.fn);
		used = true;
		CHECK(pmap_leaf_set(&leaf, vaddr(va), fresh, PROT_R | PROT_W, PMAP_WRITTEN | PMAP_OWN_BUSY, &c->stock,
				    NULL) == OK);
	} else {
		pmap_leaf_abandon(&leaf, vaddr(va));
	}
	pmap_leaf_unlock(&leaf);
	spin_unlock(&win->node);
	epoch_leave(&w->m.epoch);
	if (used)
		word_set(pte.frame, 1, 0), atomic_store_relaxed(&page_of(w, pte.frame)->clean, UINT64_C(0)); /* counted in the copy */
	if (used)
		retire(w, pte.frame);
	else
		pm_free(&w->m, fresh);
}

void world_protect(struct cpu *c, struct space *s, unsigned window, unsigned first)
{
	struct window *win = &s->window[window];
	struct vrange r = first ? vrange(world_va(window, first), window_range(window).end.va) : window_range(window);
	struct tlb_gather g;
	struct host_fault f;
	uint64_t v;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	pmap_protect(&s->p, r, PROT_R, &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	pmap_activate(&s->p);
	for (unsigned i = first; i < PAGES; i++) {
		CHECK(!(pmap_extract(&s->p, vaddr(world_va(window, i))).prot & PROT_W));
		CHECK(host_user_add64(vaddr(world_va(window, i) + 16), 1, &v, &f) == ERR_FAULT);
	}
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

void world_add(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&s->p);
	while (host_user_add64(vaddr(world_va(window, page) + 8), 5, &v, &f) != OK) {
		world_fault(c, s, window, page, PROT_W);
		cpu_relax(); /* dead perhaps, and a mutator is to go on */
	}
	atomic_add_relaxed(&c->w->added, UINT64_C(5));
}

void world_limit(struct cpu *c, struct space *s)
{
	struct tlb_gather g;
	struct host_fault f;
	uint64_t v;

	for (unsigned i = 0; i < WINDOWS; i++)
		test_lock(&s->window[i].range);
	for (unsigned i = 0; i < WINDOWS; i++)
		atomic_store_seq_cst(&s->window[i].live, 0u);
	gather_init(&g, &s->p);
	pmap_limit_writes(&s->p, vrange(BASE, BASE + WINDOWS * BLOCK_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	pmap_activate(&s->p);
	for (unsigned i = 0; i < WINDOWS; i++) {
		CHECK(!(pmap_extract(&s->p, vaddr(world_va(i, 1))).prot & PROT_W));
		CHECK(host_user_add64(vaddr(world_va(i, 1) + 16), 1, &v, &f) == ERR_FAULT);
	}
	for (unsigned i = 0; i < WINDOWS; i++)
		atomic_store_seq_cst(&s->window[i].live, 1u);
	for (unsigned i = WINDOWS; i-- > 0;)
		test_unlock(&s->window[i].range);
}

static void fill_object(struct world *w, unsigned page)
{
	pfn_t f = pm_alloc(&w->m);

	word_set(f, 0, OBJECT_TAG | page);
	atomic_store_seq_cst(&w->object[page].fn, f.fn);
}

void world_withdraw(struct cpu *c, unsigned page)
{
	struct world *w = c->w;
	pfn_t f;

	test_lock(&w->object_lock);
	f = pfn(atomic_swap_seq_cst(&w->object[page].fn, UINT64_C(0)));
	pmap_page_remove_all(w->m.ps, f);
	retire(w, f);
	fill_object(w, page);
	test_unlock(&w->object_lock);
}

void world_ask(struct cpu *c, unsigned page)
{
	struct world *w = c->w;
	bool added;
	pfn_t f;

	test_lock(&w->object_lock);
	f = pfn(atomic_load_relaxed(&w->object[page].fn));
	(void)pmap_page_referenced(w->m.ps, f, true);
	added = was_added_to(w, f);
	mmu_dsb_ishst(); /* or the descriptor, which is asked next, might be seen as it was before the word */
	CHECK(!added || pmap_page_modified(w->m.ps, f, false));
	test_unlock(&w->object_lock);
}

void world_ask_clear(struct cpu *c, unsigned page)
{
	struct world *w = c->w;
	pfn_t f;

	test_lock(&w->object_lock);
	f = pfn(atomic_load_relaxed(&w->object[page].fn));
	(void)pmap_page_modified(w->m.ps, f, true);
	atomic_store_relaxed(&page_of(w, f)->clean, word_get(f, 1));
	test_unlock(&w->object_lock);
}

/* release: pairs with the acquire of whoever takes it next */
static void space_gone(struct epoch_item *item)
{
	atomic_store_release(&CONTAINER_OF(item, struct space, gone)->taken, 0u);
}

static struct space *space_take(struct world *w)
{
	for (unsigned i = 0;; i = (i + 1) % PASSING) {
		if (atomic_cas_acquire(&w->passing[i].taken, &(uint32_t){ 0 }, 1u))
			return &w->passing[i];
		if (i == PASSING - 1) {
			(void)epoch_poll(&w->m.epoch);
			cpu_relax();
		}
	}
}

void world_live_and_exit(struct cpu *c, unsigned first, unsigned n)
{
	struct world *w = c->w;
	struct space *s = space_take(w);
	struct frame_list tables;
	unsigned way = cpu_random(c) % 3; /* what is mapped goes before, BUSY for a while or not, or with the tables */

	pmap_init(w->m.ps, &s->p, pm_alloc_table(&w->m));
	spin_init(&s->window[1].node);
	atomic_store_relaxed(&s->window[1].live, 1u);
	for (unsigned i = first; i < first + n; i++)
		world_touch(c, s, 1, i);
	if (way < 2)
		pm_remove(&w->m, &s->p, 0, BIT(48), way);
	for (unsigned i = first; way < 2 && i < first + n; i++)
		CHECK(pmap_extract(&s->p, vaddr(world_va(1, i))).state != PMAP_VALID);
	pmap_deactivate(w->m.ps);
	CHECK(pmap_destroy(&s->p, &tables) <= n); /* pmap_page_remove_all may have some BUSY still */
	pm_free_late(&w->m, &tables);
	/* A late pmap_page_remove_all may still look at the pmap. */
	epoch_retire(&w->m.epoch, &s->gone, space_gone);
}

void cpu_begin(struct cpu *c, struct world *w, uint64_t seed)
{
	*c = (struct cpu){ .w = w, .seed = seed, .stock = { .chunk = PFN_NONE }, .spare = PFN_NONE };
}

void cpu_end(struct cpu *c)
{
	pmap_deactivate(c->w->m.ps);
	pm_empty(&c->w->m, &c->stock);
	if (!pfn_is_none(c->spare))
		pm_free(&c->w->m, c->spare);
}

void world_begin(struct world *w, const struct host_config *config)
{
	memset(w, 0, sizeof *w);
	pm_init(&w->m, config);
	for (unsigned i = 0; i < PAGES; i++)
		fill_object(w, i);
	for (unsigned i = 0; i < SPACES; i++) {
		pmap_init(w->m.ps, &w->space[i].p, pm_alloc_table(&w->m));
		for (unsigned j = 0; j < WINDOWS; j++) {
			spin_init(&w->space[i].window[j].node);
			atomic_store_relaxed(&w->space[i].window[j].live, 1u);
		}
	}
}

void world_clear(struct world *w, bool check)
{
	uint64_t kept = 0;

	for (unsigned i = 0; i < SPACES; i++) {
		struct pmap *p = &w->space[i].p;

		if (check)
			pmap_check(p);
		pm_remove(&w->m, p, 0, BIT(48), true);
		for (unsigned j = 0; j < WINDOWS; j++) {
			pfn_t f[PAGES];

			for (unsigned n = take_slots(&w->space[i].window[j], 0, PAGES - 1, f); n-- > 0;)
				retire(w, f[n]);
		}
	}
	for (unsigned i = 0; i < PAGES; i++) {
		pfn_t f = pfn(atomic_load_relaxed(&w->object[i].fn));

		CHECK(pmap_page_mappings(w->m.ps, f) == 0);
		CHECK(!was_added_to(w, f) || pmap_page_modified(w->m.ps, f, false));
		kept += word_get(f, 1);
	}
	CHECK(atomic_load_relaxed(&w->retired) + kept == atomic_load_relaxed(&w->added));
}

void world_end(struct world *w)
{
	world_clear(w, true);
	for (unsigned i = 0; i < SPACES; i++)
		pm_exit(&w->m, &w->space[i].p);
	for (unsigned i = 0; i < PAGES; i++)
		retire(w, pfn(atomic_load_relaxed(&w->object[i].fn)));
	pm_destroy(&w->m);
}
