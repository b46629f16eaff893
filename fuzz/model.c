/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/model.c: what every page of a space is, and checking that it is so.
 *
 * Structure. A space has areas, arrays of pages at fixed addresses. A page is
 * foreign (others may do there what they like), a hole, or mapped; then it shows
 * its own content or a page of an object. Content is a base, zeros or the test
 * file, and up to SLOTS words written over it.
 *
 * Invariants.
 *  1. Holes of the window and the heap are known: nobody else maps there. Holes
 *     that the program makes in what the kernel placed are foreign at once.
 *  2. A page of an object has no content of its own unless own is not NO.
 *  3. lazy is only set in private zeros, and on Linux in the memory file.
 *
 * Sources: Linux's manual pages mmap(2), mprotect(2), madvise(2), mremap(2),
 * mincore(2), mlock(2), msync(2), brk(2), fork(2).
 */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const uint16_t slot_at[SLOTS] = {0, 1032, 2560, 4088};

unsigned slot_offset(unsigned slot) { return slot_at[slot]; }

/* --- content --- */

static uint64_t file_word(uint64_t offset)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t at = offset + i;

		if (at < TESTFILE_BYTES)
			v |= (uint64_t)((at * 7 + at / 251) & 255) << (8 * i);
	}
	return v;
}

uint64_t content_word(const struct content *c, unsigned offset)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_at[i] == offset && (c->written >> i & 1))
			return c->word[i];
	return c->file ? file_word((uint64_t)c->index * PAGE_BYTES + offset) : 0;
}

void content_set(struct content *c, unsigned slot, uint64_t value)
{
	c->word[slot] = value;
	c->written |= (uint8_t)(1u << slot);
	c->lazy &= (uint8_t) ~(1u << slot);
}

/* --- pages --- */

bool is_void(const struct space *s, uint64_t va) { return va < s->m->low || va >= s->m->high; }

struct page *page_of(struct space *s, uint64_t va)
{
	for (unsigned i = 0; i < AREAS; i++) {
		struct area *a = &s->area[i];

		if (va >= a->base && va - a->base < (uint64_t)a->pages * PAGE_BYTES) {
			struct page *p = &a->page[(va - a->base) / PAGE_BYTES];

			if (p->known)
				return p; /* else a newer mapping may have the place, in an area of its own */
		}
	}
	return NULL;
}

/* Kernels differ about the first and the last few pages of user space. */
#define EDGE UINT64_C(0x20000)

bool edge(const struct space *s, uint64_t start, uint64_t size)
{
	uint64_t end = start + size;

	return (start >= s->m->high - EDGE && start < s->m->high + EDGE) || start < EDGE ||
	       (end > s->m->high - EDGE && end < s->m->high + EDGE);
}

bool in_user(const struct space *s, uint64_t start, uint64_t size)
{
	return start <= s->m->high && size <= s->m->high - start;
}

bool confined(struct space *s, uint64_t start, uint64_t end)
{
	uint64_t va = start & ~(uint64_t)(PAGE_BYTES - 1);

	if (is_void(s, va) && (end <= s->m->low || va >= s->m->high))
		return true;
	for (; va < end; va += PAGE_BYTES)
		if (!is_void(s, va) ? !page_of(s, va) : va < s->m->high)
			return false;
		else if (va >= s->m->high)
			return true;
	return true;
}

struct content *page_content(struct space *s, struct page *p)
{
	struct object *o;

	if (p->object < 0 || (!p->shared && p->own == YES))
		return &p->c;
	o = &s->world->object[p->object];
	return p->index < OBJECT_PAGES && (uint64_t)p->index * PAGE_BYTES < o->size ? &o->page[p->index] : NULL;
}

void page_clear(struct page *p) { *p = (struct page){.known = true, .object = -1}; }

static bool changing(const struct space *s, const struct page *p)
{
	return p->object >= 0 && !s->world->object[p->object].fixed;
}

/* A first write may have made pages behind it, of private zeros; how many is the kernel's business. */
static void made_ahead(struct space *s, const struct page *p)
{
	if (p->shared || p->object >= 0)
		return;
	for (unsigned a = 0; a < AREAS; a++) {
		struct page *q = s->area[a].page, *end = q + s->area[a].pages;

		if (p < q || p >= end)
			continue;
		for (q += p - q + 1; q < end && q->known && q->mapped && !q->shared && q->object < 0; q++)
			if (q->touched == NO)
				q->touched = MAYBE;
	}
}

void page_populated(struct space *s, struct page *p)
{
	p->touched = MAYBE;
	made_ahead(s, p);
	if (!p->shared && (p->max & W) && changing(s, p) && p->own == NO)
		p->own = MAYBE;
}

void page_stored(struct space *s, struct page *p, unsigned slot, uint64_t value)
{
	if (p->own == MAYBE)
		return;
	if (!p->shared && p->object >= 0 && p->own == NO) {
		p->c = *page_content(s, p);
		p->own = YES;
		p->cut = s->world->object[p->object].cuts[p->index];
	}
	content_set(page_content(s, p), slot, value);
	if (p->touched != YES)
		made_ahead(s, p);
	p->touched = p->object < 0 ? YES : MAYBE; /* a file's page goes when the file is cut */
}

void notice_cuts(struct space *s)
{
	if (s->cuts == s->world->cuts)
		return;
	s->cuts = s->world->cuts;
	for (unsigned a = 0; a < AREAS; a++)
		for (uint32_t k = 0; k < s->area[a].pages; k++) {
			struct page *p = &s->area[a].page[k];

			if (p->known && p->mapped && p->own == YES &&
			    s->world->object[p->object].cuts[p->index] != p->cut)
				p->own = MAYBE;
		}
}

#define BIT(a) (1u << (a))

unsigned page_access(struct space *s, const struct page *p, unsigned access)
{
	if (!p->mapped)
		return BIT(ACCESS_MAPERR);
	if (access == W && !(p->prot & W))
		return BIT(ACCESS_ACCERR);
	if (p->prot == 0)
		return BIT(ACCESS_ACCERR);
	if (p->own == MAYBE)
		return BIT(ACCESS_OK) | BIT(ACCESS_BUS) |
		       (access == R && !(p->prot & (R | W)) ? BIT(ACCESS_ACCERR) : 0);
	if (!page_content(s, (struct page *)(uintptr_t)p))
		return BIT(ACCESS_BUS) | (access == R && !(p->prot & (R | W)) ? BIT(ACCESS_ACCERR) : 0);
	/* Some machines can have pages that are only executed. */
	return BIT(ACCESS_OK) | (access == R && !(p->prot & (R | W)) ? BIT(ACCESS_ACCERR) : 0);
}

/* --- failures and the log --- */

void fuzz_fail(struct space *s, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	s->m->fail(s, text);
}

struct log *log_next(struct space *s, enum call what)
{
	struct log *l = &s->log[s->logged++ % LOG_OPS];

	*l = (struct log){.what = what, .where = s->where, .order = ++s->world->logged};
	return l;
}

long make_call(struct space *s, enum call which, const uint64_t *a)
{
	struct log *l = log_next(s, which);

	memcpy(l->a, a, sizeof l->a);
	l->result = INT64_MIN; /* under way */
	l->result = s->m->call(s, which, a);
	return l->result;
}

bool space_logged(const struct space *s, unsigned which, char *text, size_t size)
{
	static const struct {
		const char *name;
		unsigned arguments;
	} names[] = {{"mmap", 6},     {"munmap", 2}, {"mprotect", 3}, {"madvise", 3}, {"mremap", 5},
		     {"mincore", 3},  {"msync", 3},  {"mlock", 2},    {"munlock", 2}, {"mlock2", 3},
		     {"mlockall", 1}, {"brk", 1},    {"pread", 4},    {"pwrite", 4},  {"ftruncate", 2},
		     {"load", 1},     {"store", 2},  {"fork", 1},     {"exit", 1}};
	const struct log *l;
	int n;

	if (which >= s->logged || which >= LOG_OPS)
		return false;
	l = &s->log[(s->logged - 1 - which) % LOG_OPS];
	n = snprintf(text, size, "%02x %s(", l->where, names[l->what].name);
	for (unsigned i = 0; i < names[l->what].arguments; i++)
		n += snprintf(text + n, size - (size_t)n, "%s%#lx", i ? ", " : "", (unsigned long)l->a[i]);
	if (l->result == INT64_MIN)
		snprintf(text + n, size - (size_t)n, ") = ?");
	else if (l->result > -4096 && l->result < 4096)
		snprintf(text + n, size - (size_t)n, ") = %ld", l->result);
	else
		snprintf(text + n, size - (size_t)n, ") = %#lx", (unsigned long)l->result);
	return true;
}

/* --- verifying --- */

static enum access logged_load(struct space *s, uint64_t va, uint64_t *value)
{
	enum access a = s->m->load(s, va, value);
	struct log *l = log_next(s, LOG_LOAD);

	l->a[0] = va;
	l->result = a == ACCESS_OK ? (long)*value : -(long)a;
	return a;
}

/* One word of a page that can be read: slot, or SLOTS for one that is never written. */
static void verify_word(struct space *s, uint64_t va, struct page *p, unsigned slot)
{
	struct content *c;
	unsigned offset = slot < SLOTS ? slot_at[slot] : 8 + 8 * ((unsigned)(va / PAGE_BYTES * 37) % 120);
	uint64_t value = 0, want;
	enum access a = s->m->load(s, va + offset, &value);

	if (a != ACCESS_OK || p->own == MAYBE)
		return; /* judged by the caller for the page as a whole */
	c = page_content(s, p);
	want = content_word(c, offset);
	if (value == want)
		return;
	if (slot < SLOTS && value == 0 && (c->lazy >> slot & 1)) {
		for (unsigned i = 0; i < SLOTS; i++)
			if (c->lazy >> i & 1)
				content_set(c, i, 0);
		return;
	}
	fuzz_fail(s, "%#lx holds %#lx, not %#lx", (unsigned long)(va + offset), (unsigned long)value,
		  (unsigned long)want);
}

void verify_page(struct space *s, uint64_t va, struct page *p)
{
	unsigned allowed = page_access(s, p, R), prot = 0;
	bool shared = false, there = p->mapped;
	enum access a;
	uint64_t value;

	if (s->m->look_cheap)
		there = s->m->look(s, va, &prot, &shared);
	if (s->m->look_cheap && (there != p->mapped || (there && (prot != p->prot || shared != p->shared))))
		fuzz_fail(s, "%#lx is %s %x%s to the kernel, not %s %x%s", (unsigned long)va,
			  there ? "mapped" : "a hole", prot, shared ? " shared" : "", p->mapped ? "mapped" : "a hole",
			  p->prot, p->shared ? " shared" : "");
	if (s->shared_quiet && p->mapped && changing(s, p))
		return;
	/* What must not be written, is not. */
	if (!(p->prot & W) && choose(s, 3) == 0 && s->m->store(s, va, new_value(s)) == ACCESS_OK)
		fuzz_fail(s, "a store to %#lx goes through", (unsigned long)va);
	a = logged_load(s, va, &value);
	if (!(allowed >> a & 1))
		fuzz_fail(s, "load of %#lx ends in %u; allowed are %#x", (unsigned long)va, a, allowed);
	if (a != ACCESS_OK)
		return;
	if (p->touched == NO)
		p->touched = MAYBE;
	for (unsigned i = 0; i <= SLOTS; i++)
		verify_word(s, va, p, i);
}

void space_verify(struct space *s)
{
	notice_cuts(s);
	for (unsigned i = 0; i < AREAS; i++)
		for (uint32_t k = 0; k < s->area[i].pages; k++)
			if (s->area[i].page[k].known)
				verify_page(s, s->area[i].base + (uint64_t)k * PAGE_BYTES, &s->area[i].page[k]);
}

void resync(struct space *s, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE_BYTES) {
		struct page *p = page_of(s, va);
		unsigned prot;
		bool shared;

		if (!p || !p->mapped)
			continue;
		if (!s->m->look(s, va, &prot, &shared))
			page_clear(p);
		else
			p->prot = (uint8_t)prot;
	}
	drop_areas(s);
}

/* --- areas --- */

void drop_areas(struct space *s)
{
	for (unsigned i = 2; i < AREAS; i++) {
		bool any = false;

		for (uint32_t k = 0; k < s->area[i].pages; k++) {
			struct page *p = &s->area[i].page[k];

			if (p->known && !p->mapped)
				p->known = false; /* somebody else may have the place now */
			any |= p->known;
		}
		if (!any)
			s->area[i].pages = 0;
	}
}

void split(struct space *s, uint64_t start, uint64_t end)
{
	uint32_t last = 0, now = 0;

	for (uint64_t va = start; va < end && !is_void(s, va); va += PAGE_BYTES) {
		struct page *p = page_of(s, va);

		if (!p || !p->mapped) {
			last = 0;
			continue;
		}
		if (p->id != last) {
			last = p->id;
			now = ++s->next_id;
		}
		p->id = now;
	}
}

/* --- spaces --- */

void world_init(struct world *w)
{
	memset(w, 0, sizeof *w);
	w->object[0].used = w->object[0].fixed = true;
	w->object[0].size = TESTFILE_BYTES;
	for (uint32_t i = 0; i < OBJECT_PAGES; i++) {
		w->object[0].page[i].file = true;
		w->object[0].page[i].index = i;
	}
	w->memory = 1;
	w->object[1].used = w->object[1].file = true;
}

void space_init(struct space *s, uint64_t window)
{
	s->area[0].base = window;
	s->area[0].pages = WINDOW_PAGES;
	if (s->brk) {
		s->area[1].base = page_ceil(s->brk);
		s->area[1].pages = HEAP_PAGES;
	}
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t k = 0; k < s->area[i].pages; k++)
			page_clear(&s->area[i].page[k]);
}

void space_fork(struct space *child, const struct space *parent)
{
	*child = *parent;
	for (unsigned i = 0; i < AREAS; i++)
		for (uint32_t k = 0; k < child->area[i].pages; k++) {
			struct page *p = &child->area[i].page[k];

			if (!p->known || !p->mapped)
				continue;
			p->locked = NO;
			if (p->touched == YES && !p->shared)
				p->touched = MAYBE;
			if (p->no_fork) {
				page_clear(p);
			} else if (p->wipe) {
				p->c = (struct content){.written = 0};
				p->touched = MAYBE;
			}
		}
	drop_areas(child);
}

void world_sweep(struct world *w, struct space *const *all, unsigned n)
{
	bool used[OBJECTS] = {true, true};

	for (unsigned j = 0; j < n; j++)
		for (unsigned i = 0; i < AREAS; i++)
			for (uint32_t k = 0; k < all[j]->area[i].pages; k++) {
				const struct page *p = &all[j]->area[i].page[k];

				if (p->known && p->mapped && p->object >= 0)
					used[p->object] = true;
			}
	for (unsigned i = 0; i < OBJECTS; i++)
		w->object[i].used = used[i];
}
