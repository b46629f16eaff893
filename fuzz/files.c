/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/files.c: what a program's pages and files give each other; files that become shorter under their mappings. */
#include "model.h"

/* --- files and user copies --- */

/* What the file's bytes are at that offset; object 0 or the memory file's. */
static uint64_t object_word(struct space *s, uint32_t number, uint64_t offset)
{
	struct object *o = &s->world->object[number];

	return offset / PAGE_BYTES < OBJECT_PAGES ? content_word(&o->page[offset / PAGE_BYTES], offset % PAGE_BYTES)
						  : 0;
}

/*
 * The memory file has another size. What it takes in is zeros, although a mapping may have written there; older Linux
 * leaves what was written, so there it is open. What it leaves out is zeros when it comes back.
 */
static void file_sized(struct space *s, struct object *o, uint64_t size)
{
	uint64_t from = size < o->size ? size : o->size, to = size < o->size ? UINT64_MAX : size;

	for (uint32_t i = 0; i < OBJECT_PAGES; i++)
		for (unsigned k = 0; k < SLOTS; k++) {
			uint64_t at = (uint64_t)i * PAGE_BYTES + slot_offset(k);

			if (at < from || at >= to || !(o->page[i].written >> k & 1))
				continue;
			if (size < o->size || s->m->strata)
				o->page[i].written &= (uint8_t) ~(1u << k);
			else
				o->page[i].lazy |= (uint8_t)(1u << k);
		}
	o->size = size;
}

/*
 * One word, or two on both sides of a page boundary, between a file and a program's pages. What
 * can be reached is moved; nothing at all: EFAULT.
 */
void do_file(struct space *s, enum call which)
{
	struct span x = pick_span(s);
	unsigned slot = choose(s, SLOTS), words = slot == SLOTS - 1 && choose(s, 2) ? 2 : 1, can = 0;
	bool writing = which == CALL_PWRITE, test = !writing && choose(s, 2), odd = choose(s, 12) == 0;
	uint32_t number = test ? 0 : s->world->memory;
	struct object *o = &s->world->object[number];
	uint64_t offset = (uint64_t)choose(s, OBJECT_PAGES - 2) * PAGE_BYTES + slot_offset(slot),
		 va = x.start + slot_offset(slot);
	uint64_t left = o->size > offset ? o->size - offset : 0, want = words * 8;
	long got;

	if (s->shared_quiet)
		return;
	if (!odd && !x.area->page[x.first].known)
		return;
	if (!writing && want > left)
		want = left / 8 * 8;
	if (!writing && left < words * 8 && left % 8)
		return; /* a file that ends inside of a word */
	for (unsigned i = 0; i < words && !odd; i++) {
		struct page *p = page_of(s, va + 8 * i);
		unsigned a;

		if (!p)
			return;
		a = page_access(s, p, writing ? R : W);
		if (a != 1u << ACCESS_OK && a & 1u << ACCESS_OK)
			return; /* open */
		if (a != 1u << ACCESS_OK)
			break;
		if (p->own == MAYBE || (writing && p->object == (int)number))
			return;
		if (!writing && o->page[(offset + 8 * i) / PAGE_BYTES].lazy)
			return; /* open */
		can += 8;
	}
	if (odd)
		va = odd_address(s) & ~UINT64_C(7);
	if (writing && want > can)
		want = can; /* what cannot be read is not written */
	if (!writing && want > can)
		want = can;
	/* Linux's tmpfs grows up to where a write found nothing to read. */
	if (writing && !want && !s->m->strata && offset > o->size)
		return;
	got = make_call(s, which, (uint64_t[6]){(uint64_t)s->fd[test ? FD_TEST : FD_MEMORY], va, words * 8, offset});
	if (out_of_memory(s, got) || (s->m->short_of_memory && got == -28))
		return;
	if (!writing && left == 0) {
		if (!(odd && got == -N_EFAULT)) /* which is found first is open */
			must_give(s, got, 0);
		return;
	}
	if (s->m->short_of_memory && got >= 0 && (uint64_t)got < want && got % 8 == 0)
		want = (uint64_t)got;
	must_give(s, got, want ? (long)want : -N_EFAULT);
	if (writing && want && o->size < offset + want)
		file_sized(s, o, offset + want);
	for (uint64_t i = 0; i < want; i += 8) {
		struct page *p = page_of(s, va + i);
		unsigned k = i ? 0 : slot;

		if (writing) {
			uint64_t value;

			/* What was lazy may be 0 by now: the memory file tells. */
			FUZZ_CHECK(s, s->m->load(s, va + i, &value) == ACCESS_OK);
			if (value != content_word(page_content(s, p), slot_offset(k)) &&
			    !(p->c.lazy >> k & 1 && value == 0))
				fuzz_fail(s, "%#lx holds %#lx", (unsigned long)(va + i), (unsigned long)value);
			content_set(&o->page[(offset + i) / PAGE_BYTES], k, value);
		} else {
			page_stored(s, p, k, object_word(s, number, offset + i));
		}
	}
	if (page_of(s, va))
		verify_page(s, x.start, page_of(s, va));
}

void do_ftruncate(struct space *s)
{
	struct object *o = &s->world->object[s->world->memory];
	uint64_t size =
		(uint64_t)choose(s, OBJECT_PAGES) * PAGE_BYTES + (choose(s, 2) ? 8 * choose(s, PAGE_BYTES / 8) : 0);
	struct errors e = {{0}};
	long got;

	if (s->shared_quiet)
		return;
	if (choose(s, 16) == 0) { /* not a size, not a file that may change, not a file */
		add_error(&e, N_EINVAL);
		add_error(&e, N_EFBIG);
		add_error(&e, N_EBADF);
		got = choose(s, 2) ? make_call(s, CALL_FTRUNCATE,
					       (uint64_t[6]){(uint64_t)s->fd[FD_MEMORY], UINT64_MAX - choose(s, 99)})
				   : make_call(s, CALL_FTRUNCATE, (uint64_t[6]){(uint64_t)s->fd[FD_TEST], 0});
		must_fail(s, got, &e);
		return;
	}
	got = make_call(s, CALL_FTRUNCATE, (uint64_t[6]){(uint64_t)s->fd[FD_MEMORY], size});
	if (out_of_memory(s, got))
		return;
	must_give(s, got, 0);
	file_sized(s, o, size);
	for (uint32_t i = 0; i < OBJECT_PAGES; i++)
		if ((uint64_t)i * PAGE_BYTES >= size)
			o->cuts[i]++;
	s->world->cuts++;
}
