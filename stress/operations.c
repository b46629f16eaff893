/* SPDX-License-Identifier: BSD-2-Clause */
/* stress/operations.c: what one step does, and what must come of it. */
#include "stress.h"
#include "vm/map_edit.h"

/* A word that says where it belongs: root, kind of window, page, and 24 random bits. */
enum kind { FIGHTING = 1, OBJECT = 2 };
static uint64_t tag(struct worker *w, enum kind kind, uint64_t page)
{
	return (uint64_t)w->root->number << 60 | (uint64_t)kind << 56 | page << 24 | (stress_random(w) & 0xffffff);
}

static bool tag_fits(const struct worker *w, enum kind kind, uint64_t page, uint64_t value)
{
	return value == 0 || value >> 24 == ((uint64_t)w->root->number << 36 | (uint64_t)kind << 32 | page);
}

static struct space *now(struct worker *w) { return &w->space[w->depth]; }

/* What the kernel does when memory is short: lets go of what waits for other CPUs' sections. It may be all there is. */
static void no_memory(struct worker *w)
{
	w->no_memory++;
	(void)epoch_poll(&w->stress->v.vm->epoch);
}

/* The access, again for as long as memory is short: the injected failures pass. */
static enum error load(struct worker *w, uint64_t va, uint64_t *value)
{
	enum error e;

	while ((e = test_load(now(w)->map, va, value)) == ERR_NOMEM)
		no_memory(w);
	return e;
}

static enum error store(struct worker *w, uint64_t va, uint64_t value)
{
	enum error e;

	while ((e = test_store(now(w)->map, va, value)) == ERR_NOMEM)
		no_memory(w);
	return e;
}

/* --- the own window: exact --- */

static uint64_t own(const struct worker *w, unsigned page) { return w->base + page * PAGE_SIZE; }

static enum error expected(const struct page_model *p, enum prot access)
{
	if (!p->mapped)
		return ERR_FAULT;
	return (p->prot & access) || (access == PROT_R && p->prot) ? OK : ERR_ACCESS;
}

static void verify_page(struct worker *w, unsigned i)
{
	struct page_model *p = &now(w)->page[i];
	uint64_t value = 0, other = 0;
	enum error e = load(w, own(w, i), &value);

	if (e != expected(p, PROT_R))
		panic("CPU %u depth %u page %u: load says %s, not %s", w->cpu, w->depth, i, error_name(e),
		      error_name(expected(p, PROT_R)));
	if (e != OK)
		return;
	if (p->unsure && value == 0)
		p->value = 0;
	p->unsure = false;
	if (value != p->value)
		panic("CPU %u depth %u page %u holds %lx, not %lx", w->cpu, w->depth, i, (unsigned long)value,
		      (unsigned long)p->value);
	if (load(w, own(w, i) + 8 + 8 * (i % 511), &other) != OK || other != 0)
		panic("CPU %u depth %u page %u: word %u holds %lx", w->cpu, w->depth, i, 1 + i % 511, (unsigned long)other);
}

static void store_page(struct worker *w, unsigned i)
{
	struct page_model *p = &now(w)->page[i];
	uint64_t value = stress_random(w) | 1;
	enum error e = store(w, own(w, i), value);

	if (e != expected(p, PROT_W))
		panic("CPU %u depth %u page %u: store says %s, not %s", w->cpu, w->depth, i, error_name(e),
		      error_name(expected(p, PROT_W)));
	if (e == OK) {
		p->value = value;
		p->unsure = false;
	}
}

static void touch_own(struct worker *w)
{
	unsigned first = (unsigned)below(w, WINDOW), n = 1 + (unsigned)below(w, 16);

	for (unsigned i = first; i < first + n && i < WINDOW; i++)
		if (below(w, 2))
			store_page(w, i);
		else
			verify_page(w, i);
}

struct span {
	unsigned first, end;
	struct vrange range;
};

static struct span own_span(struct worker *w)
{
	unsigned a = (unsigned)below(w, WINDOW), b = (unsigned)below(w, WINDOW), t;

	if (a > b) {
		t = a;
		a = b;
		b = t;
	}
	if (below(w, 4))
		b = a + (unsigned)below(w, b - a + 1) / 4;
	return (struct span){ a, b + 1, vrange(own(w, a), own(w, b + 1)) };
}

static bool all_mapped(const struct worker *w, struct span s)
{
	for (unsigned i = s.first; i < s.end; i++)
		if (!w->space[w->depth].page[i].mapped)
			return false;
	return true;
}

static bool any_mapped(const struct worker *w, struct span s)
{
	for (unsigned i = s.first; i < s.end; i++)
		if (w->space[w->depth].page[i].mapped)
			return true;
	return false;
}

static uint8_t random_prot(struct worker *w)
{
	static const uint8_t prots[] = { PROT_R | PROT_W, PROT_R | PROT_W, PROT_R | PROT_W, PROT_R, PROT_NONE_ };

	return prots[below(w, ARRAY_SIZE(prots))];
}

static void map_own(struct worker *w)
{
	struct span s = own_span(w);
	struct vm_mapping what = { .prot = random_prot(w), .max = PROT_ALL, .inherit = INHERIT_COPY };
	bool replace = below(w, 2);
	uint64_t at = s.range.start.va;
	enum error e = vm_map_enter(now(w)->map, &at, vrange_size(s.range), &what, replace ? MAP_AT : MAP_AT_FREE);

	if (e == ERR_NOMEM)
		return;
	if (e != (!replace && any_mapped(w, s) ? ERR_EXISTS : OK))
		panic("CPU %u: map says %s", w->cpu, error_name(e));
	if (e != OK)
		return;
	for (unsigned i = s.first; i < s.end; i++)
		now(w)->page[i] = (struct page_model){ .mapped = true, .prot = (uint8_t)what.prot, .inherit = INHERIT_COPY };
}

static void unmap_own(struct worker *w)
{
	struct span s = own_span(w);
	enum error e = vm_map_remove(now(w)->map, s.range);

	if (e == ERR_NOMEM)
		return;
	CHECK(e == OK);
	for (unsigned i = s.first; i < s.end; i++)
		now(w)->page[i].mapped = false;
}

static void protect_own(struct worker *w)
{
	struct span s = own_span(w);
	uint8_t prot = random_prot(w);
	enum error e = vm_map_protect(now(w)->map, s.range, prot);

	if (e == ERR_NOMEM)
		return;
	CHECK(e == (all_mapped(w, s) ? OK : ERR_NOENT));
	for (unsigned i = s.first; e == OK && i < s.end; i++)
		now(w)->page[i].prot = prot;
}

static void inherit_own(struct worker *w)
{
	struct span s = own_span(w);
	uint8_t inherit = (uint8_t)(below(w, 3) ? INHERIT_COPY : below(w, 2) ? INHERIT_NONE : INHERIT_ZERO);
	enum error e = vm_map_inherit(now(w)->map, s.range, inherit);

	if (e == ERR_NOMEM)
		return;
	CHECK(e == (all_mapped(w, s) ? OK : ERR_NOENT));
	for (unsigned i = s.first; e == OK && i < s.end; i++)
		now(w)->page[i].inherit = inherit;
}

static void discard_own(struct worker *w)
{
	struct span s = own_span(w);
	enum error e = vm_map_discard(now(w)->map, s.range);

	CHECK(e == ERR_NOMEM || e == (all_mapped(w, s) ? OK : ERR_NOENT));
	for (unsigned i = s.first; i < s.end; i++) {
		if (e == ERR_NOMEM) {
			now(w)->page[i].unsure = true;
		} else {
			now(w)->page[i].value = 0;
			now(w)->page[i].unsure = false;
		}
	}
}

/* Moves part of the window to another part of it. */
static void move_own(struct worker *w)
{
	struct span s = own_span(w);
	struct page_model moved[WINDOW];
	unsigned n = s.end - s.first, to = (unsigned)below(w, WINDOW - n + 1);
	uint64_t at = own(w, to);
	enum error e;

	if (to < s.end && s.first < to + n)
		return;
	e = vm_map_remap(now(w)->map, s.range, n * PAGE_SIZE, true, true, &at);
	if (e == ERR_FAULT) { /* not one entry; the destination may be gone already */
		for (unsigned i = to; i < to + n; i++)
			now(w)->page[i].mapped = now(w)->page[i].mapped && test_load(now(w)->map, own(w, i), &at) != ERR_FAULT;
		return;
	}
	if (e == ERR_NOMEM) {
		for (unsigned i = to; i < to + n; i++) {
			struct vm_entry_info info;

			if (now(w)->page[i].mapped &&
			    !(vm_map_lookup(now(w)->map, own(w, i), &info) && info.range.start.va <= own(w, i)))
				now(w)->page[i].mapped = false;
		}
		return;
	}
	CHECK(e == OK && all_mapped(w, s));
	memcpy(moved, &now(w)->page[s.first], n * sizeof moved[0]);
	for (unsigned i = s.first; i < s.end; i++)
		now(w)->page[i].mapped = false;
	memcpy(&now(w)->page[to], moved, n * sizeof moved[0]);
}

/* --- fork and exit --- */

static void fork_space(struct worker *w)
{
	struct space *parent = now(w), *child = parent + 1;
	enum error e;

	if (w->depth == DEPTH)
		return;
	e = vm_map_fork(parent->map, &child->map);
	if (e == ERR_NOMEM)
		return;
	CHECK(e == OK);
	memcpy(child->page, parent->page, sizeof child->page);
	for (unsigned i = 0; i < WINDOW; i++) {
		struct page_model *p = &child->page[i];

		if (p->mapped && p->inherit == INHERIT_NONE)
			p->mapped = false;
		if (p->mapped && p->inherit == INHERIT_ZERO) {
			p->value = 0;
			p->unsure = false;
		}
	}
	/* The parent goes on for others meanwhile, or for itself first. */
	if (below(w, 2))
		for (unsigned i = 0; i < 8; i++)
			touch_own(w);
	w->depth++;
	pmap_activate(&child->map->pmap);
	if (below(w, 2))
		for (unsigned i = 0; i < WINDOW; i++)
			verify_page(w, i);
}

static void exit_space(struct worker *w)
{
	if (w->depth == 0)
		return;
	if (below(w, 2))
		for (unsigned i = 0; i < WINDOW; i++)
			verify_page(w, i);
	/* Only the tree: a resize of the object by another thread may be in this space's page tables right now. */
	map_part_check(now(w)->map);
	w->depth--;
	pmap_activate(&now(w)->map->pmap);
	vm_map_release(w->space[w->depth + 1].map);
	if (below(w, 2))
		for (unsigned i = 0; i < WINDOW; i++)
			verify_page(w, i);
}

void stress_unwind(struct worker *w)
{
	while (w->depth > 0)
		exit_space(w);
	for (unsigned i = 0; i < WINDOW; i++)
		verify_page(w, i);
}

/* --- the window of all: anything may be there, but nothing foreign --- */

static void fight(struct worker *w)
{
	struct vm_mapping what = { .prot = random_prot(w), .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t page = below(w, FIGHT), n = 1 + below(w, FIGHT - page), va = w->root->fight + page * PAGE_SIZE, value, at = va;
	struct vrange r = vrange(va, va + n * PAGE_SIZE);
	struct vm_map *m = now(w)->map;
	enum error e = OK;

	switch (below(w, 16)) {
	case 0:
	case 1:
		what.prot = below(w, 4) ? PROT_R | PROT_W : what.prot;
		e = vm_map_enter(m, &at, n * PAGE_SIZE, &what, below(w, 2) ? MAP_AT : MAP_AT_FREE);
		CHECK(e == OK || e == ERR_EXISTS || e == ERR_NOMEM);
		break;
	case 2:
		e = vm_map_remove(m, r);
		CHECK(e == OK || e == ERR_NOMEM);
		break;
	case 3:
		e = vm_map_protect(m, r, random_prot(w));
		CHECK(e == OK || e == ERR_NOENT || e == ERR_NOMEM);
		break;
	case 4:
		e = vm_map_discard(m, r);
		CHECK(e == OK || e == ERR_NOENT || e == ERR_NOMEM);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		e = store(w, va + 8 * below(w, 4), tag(w, FIGHTING, page));
		CHECK(e == OK || e == ERR_FAULT || e == ERR_ACCESS);
		break;
	default:
		e = load(w, va + 8 * below(w, 4), &value);
		CHECK(e == OK || e == ERR_FAULT || e == ERR_ACCESS);
		if (e == OK && !tag_fits(w, FIGHTING, page, value))
			panic("CPU %u: page %lu of the common window holds %lx", w->cpu, (unsigned long)page, (unsigned long)value);
	}
}

/* --- the shared object, mapped shared and private, growing and shrinking --- */

static void object(struct worker *w)
{
	bool shared = below(w, 2);
	struct vm_mapping what = { .object = w->root->object, .shared = shared, .prot = random_prot(w), .max = PROT_ALL,
				   .inherit = shared ? INHERIT_SHARE : INHERIT_COPY };
	uint64_t page = below(w, FILE_PAGES), n = 1 + below(w, FILE_PAGES - page);
	uint64_t va = (shared ? w->root->shared : w->root->private) + page * PAGE_SIZE, at = va, value;
	struct vrange r = vrange(va, va + n * PAGE_SIZE);
	struct vm_map *m = now(w)->map;
	enum error e = OK;
	size_t done;

	what.offset = page * PAGE_SIZE;
	switch (below(w, 16)) {
	case 0:
	case 1:
		e = vm_map_enter(m, &at, n * PAGE_SIZE, &what, MAP_AT);
		CHECK(e == OK || e == ERR_NOMEM);
		break;
	case 2:
		e = below(w, 2) ? vm_map_remove(m, r) : vm_map_discard(m, r);
		CHECK(e == OK || e == ERR_NOENT || e == ERR_NOMEM);
		break;
	case 3:
		e = vm_map_protect(m, r, random_prot(w));
		CHECK(e == OK || e == ERR_NOENT || e == ERR_NOMEM);
		break;
	case 4:
		CHECK(object_resize(w->root->object, (below(w, 2) ? FILE_PAGES : below(w, FILE_PAGES + 1)) * PAGE_SIZE) == OK);
		break;
	case 5:
		e = object_read(w->root->object, page * PAGE_SIZE, &value, 8, &done);
		CHECK(e == OK || e == ERR_NOMEM || e == ERR_BUS);
		if (e == OK && done == 8 && !tag_fits(w, OBJECT, page, value))
			panic("CPU %u: read of page %lu gave %lx", w->cpu, (unsigned long)page, (unsigned long)value);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		e = store(w, va + 8 * below(w, 4), tag(w, OBJECT, page));
		CHECK(e == OK || e == ERR_FAULT || e == ERR_ACCESS || e == ERR_BUS);
		break;
	default:
		e = load(w, va + 8 * below(w, 4), &value);
		CHECK(e == OK || e == ERR_FAULT || e == ERR_ACCESS || e == ERR_BUS);
		if (e == OK && !tag_fits(w, OBJECT, page, value))
			panic("CPU %u: page %lu of the object (%s) holds %lx", w->cpu, (unsigned long)page,
			      shared ? "shared" : "private", (unsigned long)value);
	}
}

void stress_operation(struct worker *w)
{
	struct epoch *e = &w->stress->v.vm->epoch;

	w->operations++;
	switch (below(w, 32)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		map_own(w);
		break;
	case 5:
		unmap_own(w);
		break;
	case 6:
		protect_own(w);
		break;
	case 7:
		discard_own(w);
		break;
	case 8:
		inherit_own(w);
		break;
	case 9:
		move_own(w);
		break;
	case 10:
		fork_space(w);
		break;
	case 11:
		exit_space(w);
		break;
	case 12:
	case 13:
	case 14:
	case 15:
	case 16:
	case 17:
		fight(w);
		break;
	case 18:
	case 19:
	case 20:
	case 21:
		object(w);
		break;
	default:
		touch_own(w);
	}
	if (epoch_should_poll(e) || below(w, 64) == 0)
		(void)epoch_poll(e);
}
