/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/pmap_race.c: all CPUs fault, unmap, discard, break, protect, withdraw
 * and exit at once, on the same leaf tables and frames, as the address-space
 * layer would (DESIGN 5.4, 5.6), with its locks and words modelled here in small.
 *
 * A window of 2 MiB has PAGES pages in use and is of one of two kinds:
 *   anon    slot[page] names its frame, changed under the node lock, which a
 *           fault holds until the PTE is there;
 *   object  page i of the one object; a fault takes no lock but the leaf's, so
 *           the last check alone keeps out what was unmapped or withdrawn.
 * live = 0 is what a mutator does to the entries of a window before it unmaps.
 *
 * What is checked: a frame's first word tells where it may be seen; its second
 * is added to through user mappings, and the sum over all frames must be the sum
 * of what was added, so no write may go to a frame that was copied or taken away; a
 * frame that was written is reported modified; between a mutator's flush and the next live = 1 nothing
 * is mapped; the simulator's own judgement; pmap_check and the frame audit at the end.
 */
#include <stdlib.h>

#include "pmap_machine.h"

#define SPACES 2u
#define WINDOWS 6u
#define PAGES 12u
#define BASE UINT64_C(0x7f0000000000)
#define OBJECT_TAG UINT64_C(0x0b1ec70000000000)

struct word {
	ATOMIC(uint64_t) fn; /* a frame's number, 0: none */
};

struct window {
	ATOMIC(uint32_t) live;
	struct spinlock node;
	pthread_mutex_t range;
	struct word slot[PAGES]; /* anon */
};

struct space {
	struct pmap p;
	struct window window[WINDOWS];
};

struct world {
	struct pmap_machine m;
	struct space space[SPACES];
	struct word object[PAGES];      /* 0: withdrawn */
	pthread_mutex_t object_lock;    /* of whoever withdraws and fills */
	ATOMIC(uint64_t) added, retired, faults, stale;
	unsigned rounds;
};

struct cpu {
	struct world *w;
	uint64_t seed;
	struct pmap_stock stock;
	pfn_t spare; /* a frame for the next anon page */
};

static uint64_t random_word(struct cpu *c)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return c->seed >> 33;
}

static bool is_object(unsigned window) { return window % 2; }

/* Pages of a window stand apart, so that range invalidations have holes, and at its ends. */
static uint64_t va_of(unsigned window, unsigned page)
{
	return BASE + window * BLOCK_SIZE + (page == PAGES - 1 ? 511 : page * 41) * PAGE_SIZE;
}
static struct vrange window_range(unsigned window)
{
	return vrange(BASE + window * BLOCK_SIZE, BASE + (window + 1) * BLOCK_SIZE);
}
static uint64_t tag_of(struct world *w, struct space *s, unsigned window, unsigned page)
{
	return is_object(window) ? OBJECT_TAG | page : (uint64_t)(s - w->space) << 48 | va_of(window, page);
}

static uint64_t *words(pfn_t f) { return pm_bytes(f); }

/* Nobody can reach the frame any more: counts what was written to it, and frees it. */
static void retire(struct world *w, pfn_t f)
{
	uint64_t n = __atomic_load_n(&words(f)[1], __ATOMIC_RELAXED);

	CHECK(pmap_page_mappings(w->m.ps, f) == 0);
	CHECK(n == 0 || pmap_page_modified(w->m.ps, f, true));
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

/* The fault path. One try; whoever wants the page tries again. */
static void fault(struct cpu *c, struct space *s, unsigned window, unsigned page, enum prot access)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	uint64_t va = va_of(window, page);
	bool anon = !is_object(window);
	struct look look = { win, anon ? &win->slot[page] : &w->object[page], 0 };
	const struct pmap_last_check check = { still, &look };
	struct pmap_leaf leaf;
	enum error e;

	pm_fill(&w->m, &c->stock);
	if (pfn_is_none(c->spare))
		c->spare = pm_alloc(&w->m);
	atomic_add_relaxed(&w->faults, UINT64_C(1));
	epoch_enter(&w->m.epoch);
	if (anon) {
		spin_lock(&win->node, RANK_NODE);
		look.want = atomic_load_relaxed(&look.word->fn);
		if (look.want == 0 && atomic_load_seq_cst(&win->live)) {
			words(c->spare)[0] = tag_of(w, s, window, page);
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

/* A program reads a page or adds to it. */
static void touch(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	uint64_t va = va_of(window, page), v, n = random_word(c) % 100;
	struct host_fault f;

	pmap_activate(&s->p);
	for (int i = 0; i < 3; i++) {
		if (host_user_load64(vaddr(va), &v, &f) != OK) {
			fault(c, s, window, page, PROT_R);
			continue;
		}
		CHECK(v == tag_of(c->w, s, window, page));
		if (n % 2)
			return;
		if (host_user_add64(vaddr(va + 8), n, &v, &f) == OK) {
			atomic_add_relaxed(&c->w->added, n);
			return;
		}
		fault(c, s, window, page, PROT_W);
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

/* munmap of the window, and mmap of another in its place. */
static void unmap(struct cpu *c, struct space *s, unsigned window, bool exclusive)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	struct tlb_gather g;
	struct host_fault hf;
	pfn_t f[PAGES];
	uint64_t v;
	unsigned n = 0;

	pthread_mutex_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = exclusive;
	pmap_remove(&s->p, window_range(window), &g);
	gather_flush(&g);
	pm_free_late(&w->m, &g.unlinked);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(pmap_extract(&s->p, vaddr(va_of(window, i))).state != PMAP_VALID);
	pmap_activate(&s->p);
	CHECK(host_user_load64(vaddr(va_of(window, random_word(c) % PAGES)), &v, &hf) == ERR_FAULT);
	if (!is_object(window))
		n = take_slots(win, 0, PAGES - 1, f);
	for (unsigned i = 0; i < n; i++)
		retire(w, f[i]);
	atomic_store_seq_cst(&win->live, 1u);
	pthread_mutex_unlock(&win->range);
}

/* MADV_DONTNEED of some pages: the entry stays live, faults go on. */
static void discard(struct cpu *c, struct space *s, unsigned window)
{
	struct window *win = &s->window[window];
	unsigned first = random_word(c) % PAGES, last = first + random_word(c) % (PAGES - first), n;
	struct tlb_gather g;
	pfn_t f[PAGES];

	pthread_mutex_lock(&win->range);
	n = take_slots(win, first, last, f);
	gather_init(&g, &s->p);
	pmap_remove(&s->p, vrange(va_of(window, first), va_of(window, last) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	for (unsigned i = 0; i < n; i++)
		retire(c->w, f[i]);
	pthread_mutex_unlock(&win->range);
}

/* Copy-on-write: another frame with the same content in the place of the one that is mapped. */
static void copy(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	struct world *w = c->w;
	struct window *win = &s->window[window];
	uint64_t va = va_of(window, page);
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
		words(pte.frame)[1] = 0; /* counted in the copy */
	if (used)
		retire(w, pte.frame);
	else
		pm_free(&w->m, fresh);
}

/* mprotect to read-only and back. */
static void protect(struct cpu *c, struct space *s, unsigned window)
{
	struct window *win = &s->window[window];
	unsigned first = random_word(c) % 2 ? 0 : random_word(c) % PAGES;
	struct vrange r = first ? vrange(va_of(window, first), window_range(window).end.va) : window_range(window);
	struct tlb_gather g;
	struct host_fault f;
	uint64_t v;

	pthread_mutex_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	pmap_protect(&s->p, r, PROT_R, &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	pmap_activate(&s->p);
	for (unsigned i = first; i < PAGES; i++) {
		CHECK(!(pmap_extract(&s->p, vaddr(va_of(window, i))).prot & PROT_W));
		CHECK(host_user_add64(vaddr(va_of(window, i) + 16), 1, &v, &f) == ERR_FAULT);
	}
	atomic_store_seq_cst(&win->live, 1u);
	pthread_mutex_unlock(&win->range);
}

static void fill_object(struct world *w, unsigned page)
{
	pfn_t f = pm_alloc(&w->m);

	words(f)[0] = OBJECT_TAG | page;
	atomic_store_seq_cst(&w->object[page].fn, f.fn);
}

/* Truncate or reclaim: the word first, then the reverse map. */
static void withdraw(struct cpu *c, unsigned page)
{
	struct world *w = c->w;
	pfn_t f;

	pthread_mutex_lock(&w->object_lock);
	f = pfn(atomic_swap_seq_cst(&w->object[page].fn, UINT64_C(0)));
	pmap_page_remove_all(w->m.ps, f);
	retire(w, f);
	fill_object(w, page);
	pthread_mutex_unlock(&w->object_lock);
}

/* Questions by frame while its mappings come and go. */
static void ask(struct cpu *c, unsigned page)
{
	struct world *w = c->w;
	pfn_t f;

	pthread_mutex_lock(&w->object_lock);
	f = pfn(atomic_load_relaxed(&w->object[page].fn));
	(void)pmap_page_referenced(w->m.ps, f, true);
	CHECK(__atomic_load_n(&words(f)[1], __ATOMIC_RELAXED) == 0 || pmap_page_modified(w->m.ps, f, false));
	pthread_mutex_unlock(&w->object_lock);
}

/* A short-lived address space that maps the object, with a window to itself. */
static void live_and_exit(struct cpu *c)
{
	struct space *s = calloc(1, sizeof *s);
	struct frame_list tables = { PFN_NONE, 0 };
	struct world *w = c->w;

	CHECK(s);
	pmap_init(w->m.ps, &s->p, pm_alloc(&w->m));
	atomic_store_relaxed(&s->window[1].live, 1u);
	for (unsigned i = 0; i < PAGES; i++)
		touch(c, s, 1, i);
	pm_remove(&w->m, &s->p, 0, BIT(48), random_word(c) % 2);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(pmap_extract(&s->p, vaddr(va_of(1, i))).state != PMAP_VALID);
	pmap_deactivate(w->m.ps);
	pmap_destroy(&s->p, &tables);
	pm_free_late(&w->m, &tables);
	/* A late pmap_page_remove_all may still look at the pmap: wait for a grace period, as vm frees it by epoch. */
	for (uint64_t e = atomic_load_seq_cst(&w->m.epoch.now); atomic_load_seq_cst(&w->m.epoch.now) < e + 3; cpu_relax())
		(void)epoch_poll(&w->m.epoch);
	free(s);
}

static void run(uint32_t cpu, void *arg)
{
	struct world *w = arg;
	struct cpu c = { .w = w, .seed = TEST_SEED * 7 + cpu, .stock = { .chunk = PFN_NONE }, .spare = PFN_NONE };

	for (unsigned n = 0; n < w->rounds; n++) {
		struct space *s = &w->space[random_word(&c) % SPACES];
		unsigned window = random_word(&c) % WINDOWS, page = random_word(&c) % PAGES, what = random_word(&c) % 100;

		if (what < 70)
			touch(&c, s, window, page);
		else if (what < 76)
			unmap(&c, s, window, true);
		else if (what < 78)
			unmap(&c, s, window, false);
		else if (what < 82)
			discard(&c, s, window & ~1u);
		else if (what < 88)
			copy(&c, s, window & ~1u, page);
		else if (what < 92)
			protect(&c, s, window);
		else if (what < 97)
			withdraw(&c, page);
		else if (what < 99)
			live_and_exit(&c);
		else
			ask(&c, page);
		if (n % 64 == 0)
			pm_poll(&w->m);
	}
	pmap_deactivate(w->m.ps);
	pm_empty(&w->m, &c.stock);
	if (!pfn_is_none(c.spare))
		pm_free(&w->m, c.spare);
}

static void race(const struct host_config *config, unsigned rounds)
{
	struct world *w = pm_zalloc(sizeof *w);

	pm_init(&w->m, config);
	w->rounds = rounds;
	CHECK(!pthread_mutex_init(&w->object_lock, NULL));
	for (unsigned i = 0; i < PAGES; i++)
		fill_object(w, i);
	for (unsigned i = 0; i < SPACES; i++) {
		pmap_init(w->m.ps, &w->space[i].p, pm_alloc(&w->m));
		for (unsigned j = 0; j < WINDOWS; j++) {
			struct window *win = &w->space[i].window[j];

			spin_init(&win->node);
			CHECK(!pthread_mutex_init(&win->range, NULL));
			atomic_store_relaxed(&win->live, 1u);
		}
	}
	run_on_cpus(w->m.t.m, config->ncpus, run, w);
	pm_drain(&w->m);
	for (unsigned i = 0; i < SPACES; i++)
		pmap_check(&w->space[i].p);
	for (unsigned i = 0; i < SPACES; i++) {
		struct pmap *p = &w->space[i].p;

		pm_remove(&w->m, p, 0, BIT(48), true);
		for (unsigned j = 0; j < WINDOWS; j++) {
			struct window *win = &w->space[i].window[j];
			pfn_t f[PAGES];

			for (unsigned n = take_slots(win, 0, PAGES - 1, f); n-- > 0;)
				retire(w, f[n]);
			pthread_mutex_destroy(&win->range);
		}
		pm_exit(&w->m, p);
	}
	for (unsigned i = 0; i < PAGES; i++)
		retire(w, pfn(atomic_load_relaxed(&w->object[i].fn)));
	assert_int_equal(atomic_load_relaxed(&w->retired), atomic_load_relaxed(&w->added));
	assert_true(atomic_load_relaxed(&w->faults) > rounds / 2);
	pthread_mutex_destroy(&w->object_lock);
	pm_destroy(&w->m);
	free(w);
}

static void test_race(void **state)
{
	struct host_config c = { .ncpus = 4, .ram = 32 << 20, .junk = true, .seed = TEST_SEED, .asid_bits = 8, .break_check = 1 };

	(void)state;
	race(&c, 4000);
	c.asid_bits = 4;
	c.tlbi = HOST_TLBI_LATE;
	race(&c, 2000);
	c.range_tlbi = true;
	c.tlbi = HOST_TLBI_RANDOM;
	race(&c, 2000);
}

static void test_race_with_hardware_dirty(void **state)
{
	struct host_config c = { .ncpus = 4, .ram = 32 << 20, .junk = true, .seed = TEST_SEED + 1, .hw_access = true,
				 .hw_dirty = true, .range_tlbi = true, .break_check = 1 };

	(void)state;
	race(&c, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_with_hardware_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
