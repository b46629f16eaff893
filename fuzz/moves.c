/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/moves.c: mmap, mremap and brk: the calls by which mappings come to be
 * somewhere.
 *
 * Where the kernel chooses an address, it must be free, aligned, in user space
 * and outside of every window; the place becomes an area of the space until its pages
 * are gone. mremap wants one mapping: pages of one id are one, pages that differ
 * in what /proc/self/maps shows are not, about others the kernel may decide.
 */
#include "model.h"

#include <string.h>

enum {
	F_SHARED = 1,
	F_PRIVATE = 2,
	F_VALIDATE = 3,
	F_TYPE = 15,
	F_FIXED = 0x10,
	F_ANONYMOUS = 0x20,
	F_GROWSDOWN = 0x100,
	F_LOCKED = 0x2000,
	F_POPULATE = 0x8000,
	F_NONBLOCK = 0x10000,
	F_SYNC = 0x80000,
	F_NOREPLACE = 0x100000
};

/* Nothing known is mapped in [start, end). */
static bool all_free(struct space *s, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (p && p->mapped)
			return false;
	}
	return true;
}

/* An area for what the kernel placed at va, all of it mapped; NULL when all are in use. */
static struct area *area_for(struct space *s, uint64_t va, uint32_t pages)
{
	for (unsigned i = 2; i < AREAS; i++)
		if (!s->area[i].pages) {
			memset(&s->area[i], 0, sizeof s->area[i]);
			s->area[i].base = va;
			s->area[i].pages = pages;
			for (uint32_t k = 0; k < pages; k++)
				page_clear(&s->area[i].page[k]);
			return &s->area[i];
		}
	return NULL;
}

/* The kernel's choice: judged, and known from now on. False: given back, there is no room in the model. */
static bool placed(struct space *s, uint64_t va, uint32_t pages)
{
	uint64_t end = va + (uint64_t)pages * PAGE_BYTES;

	if (!aligned(va) || va < s->m->low || end > s->m->high || end < va)
		fuzz_fail(s, "the kernel chose %#lx", (unsigned long)va);
	for (uint64_t at = va; at < end; at += PAGE_BYTES)
		if (page_of(s, at))
			fuzz_fail(s, "the kernel chose %#lx, where something is or must not be", (unsigned long)va);
	if (!area_for(s, va, pages)) {
		long got = make_call(s, CALL_MUNMAP, (uint64_t[6]){va, (uint64_t)pages * PAGE_BYTES});

		if (got != 0 && !out_of_memory(s, got))
			fuzz_fail(s, "munmap of a new mapping gives %ld", got);
		return false;
	}
	return true;
}

static uint32_t free_areas(const struct space *s)
{
	uint32_t n = 0;

	for (unsigned i = 2; i < AREAS; i++)
		n += s->area[i].pages == 0;
	return n;
}

/* --- mmap --- */

static int new_object(struct space *s, uint64_t size)
{
	for (int i = 0; i < (int)OBJECTS; i++) {
		struct object *o = &s->world->object[i];

		if (o->used)
			continue;
		memset(o, 0, sizeof *o);
		o->used = true;
		o->size = size;
		return i;
	}
	return -1;
}

struct mmap_args {
	uint64_t addr, length, offset;
	uint32_t prot, flags;
	enum descriptor fd;
	bool fixed, hint; /* addr is a place in the window */
	bool open;        /* what it must do is open */
};

static void what_args(struct space *s, struct mmap_args *a)
{
	static const uint32_t extra[] = {0x800,   0x1000,   0x4000,    F_POPULATE, F_POPULATE | F_NONBLOCK,
					 0x20000, F_LOCKED, F_POPULATE};

	a->fd = FD_NEGATIVE;
	switch (choose(s, 10)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		a->flags = F_PRIVATE | F_ANONYMOUS;
		break;
	case 5:
		a->flags = F_SHARED | F_ANONYMOUS;
		break;
	case 6:
		a->flags = choose(s, 2) ? F_PRIVATE : F_SHARED;
		a->fd = FD_TEST;
		break;
	case 7:
		a->flags = F_PRIVATE;
		a->fd = FD_MEMORY;
		break;
	case 8:
		a->flags = choose(s, 3) ? F_SHARED : F_VALIDATE;
		a->fd = FD_MEMORY;
		break;
	default:
		a->flags = 1 + choose(s, 2);
		a->fd = FD_NULL + choose(s, FDS - FD_NULL);
	}
	if (!(a->flags & F_ANONYMOUS))
		a->offset = (uint64_t)choose(s, choose(s, 2) ? 4 : 30) * PAGE_BYTES;
	if (choose(s, 3) == 0)
		a->flags |= extra[choose(s, 8)];
	a->prot = choose(s, 3) ? R | W : choose(s, 8);
	switch (choose(s, 32)) {
	case 0:
		a->flags ^= choose(s, 16);
		break;
	case 1:
		a->offset += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 2:
		a->offset = UINT64_C(0x7ffffffffffff000) + PAGE_BYTES * choose(s, 3);
		break;
	case 3:
		a->offset = UINT64_MAX - PAGE_BYTES + 1 - PAGE_BYTES * choose(s, 3);
		break;
	case 4:
		a->flags |= F_GROWSDOWN;
		break;
	case 5:
		a->flags |= 1u << (22 + choose(s, 3)); /* no flag */
		break;
	case 6:
		a->prot |= 1u << (8 + choose(s, 16)); /* no protection: ignored */
		break;
	case 7:
		a->flags |= F_SYNC;
		break;
	default:
		break;
	}
}

static void where_args(struct space *s, struct mmap_args *a)
{
	struct span x = pick_span(s);
	uint32_t k = choose(s, 16);

	a->length = (uint64_t)x.count * PAGE_BYTES - (choose(s, 4) ? 0 : choose(s, PAGE_BYTES));
	if (a->length > PLACED_PAGES * PAGE_BYTES)
		a->length = PLACED_PAGES * PAGE_BYTES;
	if (k < 10) {
		a->addr = x.start;
		a->flags |= k < 8 ? F_FIXED : F_NOREPLACE;
		a->fixed = true;
	} else if (k < 12) {
		a->addr = x.start;
		a->hint = x.area == &s->area[0];
		if (!a->hint)
			a->addr = 0;
	} else if (k == 12) {
		a->addr = odd_address(s);
	}
	switch (choose(s, 32)) {
	case 0:
		a->length = choose(s, 2) ? 0 : odd_length(s, a->addr);
		break;
	case 1:
		if (a->fixed)
			a->addr += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 2:
		if (a->fixed)
			a->addr =
				odd_address(s) &
				(s->m->strata ? UINT64_MAX : ~UINT64_C(4095)); /* Linux would answer with the address */
		break;
	default:
		break;
	}
}

/* Errors that apply; the model knows all of them. */
static struct errors mmap_errors(struct space *s, struct mmap_args *a)
{
	struct errors e = {{0}};
	uint64_t size = page_ceil(a->length);
	uint32_t type = a->flags & F_TYPE;
	bool anonymous = a->flags & F_ANONYMOUS, shared = type == F_SHARED || type == F_VALIDATE;

	if (!aligned(a->offset) || a->length == 0)
		add_error(&e, N_EINVAL);
	if (a->length && (!size || size > s->m->high))
		add_error(&e, N_ENOMEM);
	if (a->offset > UINT64_MAX - size) { /* without a file nobody needs to look at it */
		a->open |= anonymous;
		add_error(&e, N_EOVERFLOW);
	}
	if (a->fixed && size && !in_user(s, a->addr, size))
		add_error(&e, N_ENOMEM);
	if (a->fixed && !aligned(a->addr))
		add_error(&e, N_EINVAL);
	if (a->flags & F_NOREPLACE && size && size <= s->m->high && in_user(s, a->addr, size) &&
	    !all_free(s, a->addr, a->addr + size))
		add_error(&e, N_EEXIST);
	if (type == 0 || type > F_VALIDATE || (anonymous && type == F_VALIDATE) ||
	    (anonymous && shared && a->flags & F_GROWSDOWN))
		add_error(&e, N_EINVAL);
	if (anonymous)
		return e;
	if (a->fd >= FD_PATH)
		add_error(&e, N_EBADF);
	if (a->fd == FD_NULL)
		add_error(&e, N_ENODEV);
	if (a->fd == FD_WRONLY || (a->fd == FD_TEST && shared && a->prot & W))
		add_error(&e, N_EACCES);
	if (type == F_VALIDATE && a->flags & (F_SYNC | 0x1c00000))
		add_error(&e, N_EOPNOTSUPP);
	if (a->offset > (uint64_t)INT64_MAX - size)
		add_error(&e, N_EOVERFLOW);
	if (a->flags & F_GROWSDOWN)
		add_error(&e, N_EINVAL);
	return e;
}

static void mmap_done(struct space *s, const struct mmap_args *a, uint64_t at, int object)
{
	bool shared = (a->flags & F_TYPE) != F_PRIVATE;
	uint64_t size = page_ceil(a->length);
	uint32_t id = ++s->next_id, index = 0;

	if (!(a->flags & F_ANONYMOUS)) {
		object = a->fd == FD_TEST ? 0 : (int)s->world->memory;
		index = (uint32_t)(a->offset / PAGE_BYTES);
	}
	for (uint64_t va = at; va < at + size; va += PAGE_BYTES, index++) {
		struct page *p = page_of(s, va);

		*p = (struct page){.known = true,
				   .mapped = true,
				   .shared = shared,
				   .prot = a->prot & 7,
				   .max = 7,
				   .object = (int8_t)object,
				   .index = index,
				   .id = id};
		if (shared && object == 0)
			p->max = R | X;
		if (a->flags & F_LOCKED)
			p->locked = YES;
		if (a->flags & (F_LOCKED | F_POPULATE))
			page_populated(s, p);
	}
}

void do_mmap(struct space *s)
{
	struct mmap_args a = {.prot = 0};
	struct errors e;
	uint64_t size;
	int object = -1;
	bool in_place;
	long got;

	what_args(s, &a);
	where_args(s, &a);
	size = page_ceil(a.length);
	e = mmap_errors(s, &a);
	/* Somebody else makes objects now, or fills their pages. */
	if (s->shared_quiet &&
	    (a.flags & (F_LOCKED | F_POPULATE) || (a.flags & F_ANONYMOUS && (a.flags & F_TYPE) != F_PRIVATE)))
		return;
	if (a.fixed && (edge(s, a.addr, size) || (!any_error(&e) && !confined(s, a.addr, a.addr + size))))
		return;
	/* What grows has rules of its own, and what is not fixed and free may be placed. */
	if (a.flags & F_GROWSDOWN && !any_error(&e))
		return;
	if (a.open || (!s->m->strata && ((a.flags & F_TYPE) == 8 || a.flags & F_SYNC)))
		/* newer Linux: MAP_DROPPABLE; its file systems differ about MAP_SYNC */
		return;
	if (a.hint && (!confined(s, a.addr, a.addr + size) || !aligned(a.addr)))
		return;
	if (!any_error(&e) && !a.fixed && (!free_areas(s) || size > PLACED_PAGES * PAGE_BYTES))
		return;
	if (!any_error(&e) && a.flags & F_ANONYMOUS && (a.flags & F_TYPE) != F_PRIVATE) {
		object = new_object(s, size);
		if (object < 0)
			return;
	}
	got = make_call(s, CALL_MMAP,
			(uint64_t[6]){a.addr, a.length, a.prot, a.flags, (uint64_t)(int64_t)s->fd[a.fd], a.offset});
	if (any_error(&e)) {
		must_fail(s, got, &e);
		return;
	}
	if (out_of_memory(s, got) || (a.flags & F_LOCKED && got == -N_EAGAIN)) {
		if (object >= 0)
			s->world->object[object].used = false;
		return;
	}
	if (got < 0 && got > -4096)
		fuzz_fail(s, "mmap gives %ld", got);
	in_place = a.fixed || (a.hint && all_free(s, a.addr, a.addr + size));
	if (in_place && (uint64_t)got != a.addr)
		fuzz_fail(s, "mmap at %#lx gives %#lx", (unsigned long)a.addr, (unsigned long)got);
	if (!in_place && !placed(s, (uint64_t)got, (uint32_t)(size / PAGE_BYTES)))
		return;
	mmap_done(s, &a, (uint64_t)got, object);
	verify_page(s, (uint64_t)got, page_of(s, (uint64_t)got));
	verify_page(s, (uint64_t)got + size - PAGE_BYTES, page_of(s, (uint64_t)got + size - PAGE_BYTES));
}

/* --- mremap --- */

enum { M_MAYMOVE = 1, M_FIXED = 2, M_DONTUNMAP = 4 };

/* Are the pages of [start, end) one mapping? NO also when there is a hole. */
static int one_mapping(struct space *s, uint64_t start, uint64_t end)
{
	struct page *first = page_of(s, start);
	int answer = YES;

	for (uint64_t va = start; va < end; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (!p || !p->mapped || p->prot != first->prot || p->shared != first->shared ||
		    p->object != first->object || p->no_fork != first->no_fork || p->wipe != first->wipe ||
		    p->max != first->max)
			return NO;
		if (p->object >= 0 && p->index - first->index != (va - start) / PAGE_BYTES)
			return NO;
		if (p->locked != first->locked && p->locked != MAYBE && first->locked != MAYBE)
			return NO;
		if (p->id != first->id)
			answer = MAYBE;
	}
	return answer;
}

struct move {
	uint64_t old, old_length, new_length, to;
	uint64_t old_size, new_size;
	uint32_t flags;
	bool to_known; /* to is a place of ours */
};

static struct move pick_move(struct space *s)
{
	struct span x = pick_span(s), y = pick_span(s);
	struct move v = {
		.old = x.start, .old_length = (uint64_t)x.count * PAGE_BYTES, .flags = choose(s, 4) ? M_MAYMOVE : 0};
	uint32_t k = choose(s, 8);

	/* mostly of what is there */
	for (uint32_t i = 1; i < x.count && choose(s, 16); i++)
		if (!x.area->page[x.first + i].mapped || x.area->page[x.first + i].id != x.area->page[x.first].id) {
			v.old_length = (uint64_t)i * PAGE_BYTES;
			break;
		}
	v.new_length = k < 3 ? v.old_length : (1 + choose(s, PLACED_PAGES)) * (uint64_t)PAGE_BYTES;
	if (choose(s, 2)) {
		v.flags = M_MAYMOVE | M_FIXED;
		v.to = y.start;
		v.to_known = true;
	}
	if (choose(s, 8) == 0) {
		v.flags |= M_MAYMOVE | M_DONTUNMAP;
		v.new_length = v.old_length;
	}
	switch (choose(s, 40)) {
	case 0:
		v.old += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 1:
		v.old = odd_address(s);
		break;
	case 2:
	case 3:
		v.old_length = 0;
		break;
	case 4:
		v.new_length = 0;
		break;
	case 5:
		v.new_length = odd_length(s, v.old);
		break;
	case 6:
		v.to += 1 + choose(s, PAGE_BYTES - 1);
		break;
	case 7:
		v.to = odd_address(s);
		v.to_known = false;
		break;
	case 8:
		v.flags = choose(s, 2) ? choose(s, 8) : 8u << choose(s, 20) | choose(s, 8);
		break;
	case 9:
		v.old_length -= choose(s, PAGE_BYTES);
		v.new_length -= choose(s, PAGE_BYTES);
		break;
	case 10:
		v.to = v.old + PAGE_BYTES * choose(s, 4); /* onto itself */
		break;
	default:
		break;
	}
	if (!(v.flags & M_FIXED))
		v.to = 0;
	v.old_size = page_ceil(v.old_length);
	v.new_size = page_ceil(v.new_length);
	return v;
}

static struct errors move_errors(struct space *s, const struct move *v)
{
	struct errors e = {{0}};
	const struct page *p = page_of(s, v->old);
	bool to = v->flags & M_FIXED;

	if (v->flags & ~7u || (v->flags & (M_FIXED | M_DONTUNMAP) && !(v->flags & M_MAYMOVE)) ||
	    (v->flags & M_DONTUNMAP && v->old_length != v->new_length))
		add_error(&e, N_EINVAL);
	if (!aligned(v->old) || !v->new_size)
		add_error(&e, N_EINVAL);
	if (is_void(s, v->old) || (p && !p->mapped))
		add_error(&e, N_EFAULT);
	if (v->new_size > s->m->high) {
		add_error(&e, N_ENOMEM);
		add_error(&e, N_EINVAL);
		add_error(&e, N_EFAULT);
	}
	if ((v->old_length && !v->old_size) || v->old_size > s->m->high) {
		add_error(&e, N_EFAULT);
		add_error(&e, N_EINVAL);
	}
	if (to && (!aligned(v->to) || !in_user(s, v->to, v->new_size) ||
		   (v->to < v->old + v->old_size && v->old < v->to + v->new_size)))
		add_error(&e, N_EINVAL);
	if (!any_error(&e) && p && v->old_size == 0) {
		if (!p->shared)
			add_error(&e, N_EINVAL);
		else if (!(v->flags & M_MAYMOVE))
			add_error(&e, N_ENOMEM);
	}
	return e;
}

/* Pages of [from, ...) as they are, for the new place: old pages first, then as many fresh ones as there is room. */
static void lay(struct space *s, uint64_t to, uint64_t new_size, const struct page *was, uint64_t old_pages)
{
	uint32_t id = ++s->next_id;
	struct page last = was[old_pages ? old_pages - 1 : 0];

	for (uint64_t i = 0; i < new_size / PAGE_BYTES; i++) {
		struct page *p = page_of(s, to + i * PAGE_BYTES);

		if (i < old_pages) {
			*p = was[i];
		} else {
			uint32_t index = was[0].index + (uint32_t)i;

			*p = last;
			p->c = (struct content){.written = 0};
			p->own = NO;
			p->touched = p->locked == NO && p->object < 0 ? NO : MAYBE;
			p->index = p->object >= 0 ? index : 0;
			if (p->locked != NO)
				page_populated(s, p);
		}
		p->id = id;
		if (p->touched == NO)
			p->touched = MAYBE;
	}
}

static void clear_range(struct space *s, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end; va += PAGE_BYTES)
		if (page_of(s, va))
			page_clear(page_of(s, va));
}

/* The mapping is at `to` now. */
static void moved(struct space *s, const struct move *v, uint64_t to)
{
	struct page was[WINDOW_PAGES];
	uint64_t old_pages = v->old_size / PAGE_BYTES, have = old_pages;
	bool second_view = old_pages == 0;

	for (uint64_t i = 0; i < (second_view ? 1 : old_pages); i++)
		was[i] = *page_of(s, v->old + i * PAGE_BYTES);
	if (have > v->new_size / PAGE_BYTES)
		have = v->new_size / PAGE_BYTES;
	if (!(v->flags & M_DONTUNMAP))
		clear_range(s, v->old, v->old + v->old_size);
	else
		for (uint64_t i = 0; i < old_pages; i++) {
			struct page *p = page_of(s, v->old + i * PAGE_BYTES);

			p->locked = MAYBE;
			p->c = (struct content){.written = 0};
			p->own = p->own == MAYBE ? MAYBE : NO;
			p->touched = MAYBE;
		}
	if (v->flags & M_DONTUNMAP)
		split(s, v->old, v->old + v->old_size);
	lay(s, to, v->new_size, was, second_view ? 0 : have);
}

/* What lies behind old, up to new_size: free for growth in place? YES, NO, MAYBE: not ours. */
static int room_behind(struct space *s, const struct move *v)
{
	int answer = YES;

	for (uint64_t va = v->old + v->old_size; va < v->old + v->new_size; va += PAGE_BYTES) {
		const struct page *p = page_of(s, va);

		if (p && p->mapped)
			return NO;
		if (!p)
			answer = MAYBE;
	}
	return answer;
}

static void shrink(struct space *s, const struct move *v)
{
	uint64_t start = v->old + v->new_size, end = v->old + v->old_size;
	struct errors e = {{0}};
	long got;

	if (!confined(s, start, end))
		return;
	got = make_call(s, CALL_MREMAP, (uint64_t[6]){v->old, v->old_length, v->new_length, v->flags, v->to});
	/* With nothing to do, whether all of it is one mapping may be looked at or not. */
	if (v->old_size == v->new_size && one_mapping(s, v->old, end) != YES) {
		add_error(&e, N_EFAULT);
		add_error(&e, N_EINVAL);
		if (has_error(&e, got))
			return;
	}
	if (out_of_memory(s, got))
		return;
	if (got != (long)v->old)
		fuzz_fail(s, "mremap to a shorter length gives %ld", got);
	clear_range(s, start, end);
	drop_areas(s);
	verify_page(s, v->old, page_of(s, v->old));
}

void do_mremap(struct space *s)
{
	struct move v = pick_move(s);
	struct errors e = move_errors(s, &v);
	bool to = v.flags & M_FIXED, keep = v.flags & M_DONTUNMAP, in_place, open_to;
	uint64_t head = v.old_size < v.new_size ? v.old_size : v.new_size;
	int one, room;
	long got;

	if (keep && v.old_size == v.new_size && v.old_length != v.new_length)
		return; /* the same length? open */
	if (edge(s, v.old, 0) || (to && edge(s, v.to, v.new_size)))
		return;
	if (!is_void(s, v.old) &&
	    (!page_of(s, v.old) || (!any_error(&e) && v.old_size && !confined(s, v.old, v.old + v.old_size))))
		return;
	if (to && !any_error(&e) && (!confined(s, v.to, v.to + v.new_size) || v.new_size > PLACED_PAGES * PAGE_BYTES))
		return;
	if (s->shared_quiet && page_of(s, v.old) && page_of(s, v.old)->locked != NO)
		return;
	if (any_error(&e)) {
		/* Kernels may clear the new place, or cut the end, before they find that. */
		if (confined(s, v.old, v.old) && (aligned(v.old) && v.old_size && v.old_size < s->m->high &&
						  !confined(s, v.old, v.old + v.old_size)))
			return;
		if (to && !is_void(s, v.to) && v.new_size < s->m->high && !confined(s, v.to, v.to + v.new_size))
			return;
		if (v.old_size > v.new_size && v.old_size > s->m->high)
			return;
		got = make_call(s, CALL_MREMAP, (uint64_t[6]){v.old, v.old_length, v.new_length, v.flags, v.to});
		must_fail(s, got, &e);
		if (to && v.new_size <= PLACED_PAGES * PAGE_BYTES)
			resync(s, v.to, v.to + v.new_size);
		return;
	}
	if (v.new_size > PLACED_PAGES * PAGE_BYTES || v.old_size > WINDOW_PAGES * PAGE_BYTES)
		return;
	if (!to && !keep && v.new_size <= v.old_size && v.old_size) {
		shrink(s, &v);
		return;
	}
	if (v.old_size == 0) {
		if (!to && !free_areas(s))
			return;
		one = YES;
		room = NO;
	} else {
		one = one_mapping(s, v.old, v.old + v.old_size);
		room = keep || to ? NO : room_behind(s, &v);
		if (one == NO && one_mapping(s, v.old, v.old + head) != NO && to)
			one = MAYBE;
	}
	if (!to && room != YES && (!free_areas(s) && v.flags & M_MAYMOVE))
		return;
	/* In place into what is not ours: only where the kernel placed it, and then the model has no room for it. */
	if (!to && room == MAYBE)
		return;
	if (one == NO && to && !s->m->strata)
		return; /* newer Linux moves several mappings at once */
	open_to = one != YES || (keep && (page_of(s, v.old)->shared || page_of(s, v.old)->object >= 0));
	got = make_call(s, CALL_MREMAP, (uint64_t[6]){v.old, v.old_length, v.new_length, v.flags, v.to});
	if (one != YES)
		add_error(&e, N_EFAULT);
	if (keep && (page_of(s, v.old)->shared || page_of(s, v.old)->object >= 0))
		add_error(&e, N_EINVAL);
	if (room == NO && !(v.flags & M_MAYMOVE))
		add_error(&e, N_ENOMEM);
	if (has_error(&e, got) || out_of_memory(s, got)) {
		if (to)
			resync(s, v.to, v.to + v.new_size);
		if ((to && v.old_size > v.new_size) || out_of_memory(s, got))
			resync(s, v.old, v.old + v.old_size);
		return;
	}
	if (one == NO || (room == NO && !(v.flags & M_MAYMOVE)) || (got < 0 && got > -4096))
		fuzz_fail(s, "mremap gives %ld; allowed are %#lx%s", got, (unsigned long)e.some[0],
			  open_to ? " and more" : "");
	in_place = !to && !keep && room == YES;
	if ((to && (uint64_t)got != v.to) || (in_place && (uint64_t)got != v.old))
		fuzz_fail(s, "mremap gives %#lx", (unsigned long)got);
	if (!to && !in_place && !placed(s, (uint64_t)got, (uint32_t)(v.new_size / PAGE_BYTES))) {
		clear_range(s, v.old, v.old + v.old_size);
		return;
	}
	moved(s, &v, (uint64_t)got);
	drop_areas(s);
	for (uint64_t va = (uint64_t)got; va < (uint64_t)got + v.new_size; va += PAGE_BYTES)
		if (choose(s, 2) || va == (uint64_t)got)
			verify_page(s, va, page_of(s, va));
	if (page_of(s, v.old))
		verify_page(s, v.old, page_of(s, v.old));
}

/* --- brk --- */

void do_brk(struct space *s)
{
	uint64_t top = s->area[1].base + (HEAP_PAGES - 2) * (uint64_t)PAGE_BYTES,
		 want = s->brk_low + choose(s, (uint32_t)(top - s->brk_low));
	uint64_t from = page_ceil(s->brk), to;
	bool open;
	long got;

	switch (choose(s, 12)) {
	case 0:
		want = 0;
		break;
	case 1:
		want = 1 + choose(s, 65536);
		break;
	case 2:
		want = odd_address(s);
		break;
	case 3:
		want = s->m->high + choose(s, 2);
		break;
	default:
		break;
	}
	got = make_call(s, CALL_BRK, (uint64_t[6]){want});
	to = page_ceil(want);
	if (want < s->brk_low || want > top) {
		if ((uint64_t)got != s->brk)
			fuzz_fail(s, "brk gives %#lx, not %#lx", (unsigned long)got, (unsigned long)s->brk);
		return;
	}
	/* The page behind the break may have to be free too. */
	open = to > from && !all_free(s, to, to + PAGE_BYTES);
	if (to > from && !all_free(s, from, to)) {
		if ((uint64_t)got != s->brk)
			fuzz_fail(s, "brk over a mapping gives %#lx", (unsigned long)got);
		return;
	}
	for (uint64_t va = to; va < from; va += PAGE_BYTES)
		open |= !page_of(s, va)->mapped; /* a heap with holes may refuse to shrink */
	if ((uint64_t)got == s->brk && (open || s->m->short_of_memory))
		return;
	if ((uint64_t)got != want)
		fuzz_fail(s, "brk gives %#lx, not %#lx", (unsigned long)got, (unsigned long)want);
	for (uint64_t va = from; va < to; va += PAGE_BYTES)
		*page_of(s, va) = (struct page){
			.known = true, .mapped = true, .prot = R | W, .max = 7, .object = -1, .id = ++s->next_id};
	for (uint64_t va = to; va < from; va += PAGE_BYTES)
		page_clear(page_of(s, va));
	s->brk = want;
	if (to > from)
		verify_page(s, to - PAGE_BYTES, page_of(s, to - PAGE_BYTES));
}
