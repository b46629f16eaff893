/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/mapping.c: mmap, and what the kernel's choice of an address must be like.
 *
 * Where the kernel chooses, the place must be free, aligned, in user space and outside
 * of every window; it becomes an area of the space until its pages are gone.
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
bool all_free(struct space *s, uint64_t start, uint64_t end)
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
bool placed(struct space *s, uint64_t va, uint32_t pages)
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

uint32_t free_areas(const struct space *s)
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

/* Errors of a file's mapping. */
static void file_errors(const struct mmap_args *a, uint64_t size, bool shared, struct errors *e)
{
	if (a->fd >= FD_PATH)
		add_error(e, N_EBADF);
	if (a->fd == FD_NULL)
		add_error(e, N_ENODEV);
	if (a->fd == FD_WRONLY || (a->fd == FD_TEST && shared && a->prot & W))
		add_error(e, N_EACCES);
	if ((a->flags & F_TYPE) == F_VALIDATE && a->flags & (F_SYNC | 0x1c00000))
		add_error(e, N_EOPNOTSUPP);
	if (a->offset > (uint64_t)INT64_MAX - size)
		add_error(e, N_EOVERFLOW);
	if (a->flags & F_GROWSDOWN)
		add_error(e, N_EINVAL);
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
	if (a->length && (!size || size > s->m->high - s->m->low))
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
	if (!anonymous)
		file_errors(a, size, shared, &e);
	/* There may be no such room, or no such memory, and that may be found first. */
	if (any_error(&e) && size > UINT64_C(1) << 30)
		add_error(&e, N_ENOMEM);
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
