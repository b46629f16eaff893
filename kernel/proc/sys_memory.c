/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_memory.c: mmap and its family.
 *
 * Each function first judges the arguments as Linux's manual pages and their
 * kernel do, in their order, because programs look at which error comes; then it
 * asks the map. The map changes a range whole or not at all; where Linux stops
 * half-way at a hole (mprotect), the range is done again entry by entry.
 *
 * Addresses and lengths come from programs: every sum is checked for wrap-around
 * by in_space(), and every range that reaches the map lies within its bounds.
 */
#include "proc/sys_memory.h"
#include "proc/sys.h"

#include "vm/entry.h"

enum {
	MAP_SHARED = 1,
	MAP_PRIVATE = 2,
	MAP_SHARED_VALIDATE = 3,
	MAP_TYPE = 15,
	MAP_FIXED = 0x10,
	MAP_ANONYMOUS = 0x20,
	MAP_GROWSDOWN = 0x100,
	MAP_DENYWRITE = 0x800,
	MAP_EXECUTABLE = 0x1000,
	MAP_LOCKED = 0x2000,
	MAP_NORESERVE = 0x4000,
	MAP_POPULATE = 0x8000,
	MAP_NONBLOCK = 0x10000,
	MAP_STACK = 0x20000,
	MAP_HUGETLB = 0x40000,
	MAP_SYNC = 0x80000,
	MAP_FIXED_NOREPLACE = 0x100000,
	/* what MAP_SHARED_VALIDATE accepts */
	MAP_KNOWN = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED |
		    MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_FIXED_NOREPLACE,
};
enum { PROT_SEM = 8, PROT_GROWSDOWN = 0x01000000, PROT_GROWSUP = 0x02000000 };

/* --- brk, mmap, munmap --- */

long sys_brk(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t limit = limit_soft(t, RLIMIT_DATA), want = a[0];

	if (want > m->brk_start && want - m->brk_start > limit)
		want = 0; /* asks for nothing: the break stays */
	return (long)vm_map_brk(m, want);
}

/* A new shared region for MAP_SHARED | MAP_ANONYMOUS. */
static long shared_zeros(struct thread *t, uint64_t size, struct vm_mapping *what)
{
	/* relaxed: the number need only be different from all others */
	struct oid oid = {0, atomic_add_relaxed(&t->ps->fs->next_ino, UINT64_C(1))};

	what->name = "/dev/zero (deleted)";
	return errno_of(object_create(t->ps->vm, oid, &pager_zero, NULL, 0, size, &what->object));
}

/* What a file mapping is: fills object (a reference), max. */
static long map_file(struct thread *t, uint64_t fd, unsigned flags, uint64_t size, struct vm_mapping *what)
{
	struct file *f = file_get(t, fd);
	struct mmap_target target = {NULL};
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	long e = 0;

	if (!f)
		return -EBADF;
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~(unsigned)MAP_KNOWN))
		e = -EOPNOTSUPP;
	else if (atomic_load_relaxed(&f->flags) & O_PATH) /* fixed at open */
		e = -EBADF;
	else if (shared && (what->prot & PROT_W) && !file_can_write(f))
		e = -EACCES;
	else if (what->offset > (uint64_t)INT64_MAX - size)
		e = -EOVERFLOW;
	else if (!file_can_read(f))
		e = -EACCES;
	else if (!f->ops->mmap)
		e = -ENODEV;
	else if (flags & MAP_GROWSDOWN)
		e = -EINVAL;
	else
		e = f->ops->mmap(f, shared, &target);
	if (!e && shared && !file_can_write(f))
		what->max = (enum prot)(PROT_ALL & ~PROT_W);
	what->object = target.object;
	if (!e && !what->object && shared)
		e = shared_zeros(t, size, what); /* /dev/zero */
	file_release(f);
	return e;
}

/* Whether so many bytes more would exceed RLIMIT_AS. Threads that map at the same time may exceed it together. */
static bool beyond_limit(struct thread *t, uint64_t size)
{
	/* relaxed, both: figures. The map's size is a line that others write: it is left alone where nothing limits it.
	 */
	uint64_t limit = atomic_load_relaxed(&t->proc->space_limit);

	if (limit == RLIM_INFINITY)
		return false;
	return size > limit || vm_map_size(t->proc->map) > limit - size;
}

/* Where: judges address and length, sets *addr and the map's flags. size is in whole pages. */
static long map_where(const struct vm_map *m, unsigned flags, uint64_t size, uint64_t *addr, unsigned *how)
{
	bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	if (size > m->bounds.end.va)
		return -ENOMEM;
	if (!fixed) {
		uint64_t hint = *addr <= UINT64_MAX - PAGE_MASK ? page_up(*addr) : 0;

		*addr = hint && in_space(m, hint, size) ? hint : 0;
		*how = 0;
		return 0;
	}
	if (*addr > m->bounds.end.va - size)
		return -ENOMEM;
	if (!page_aligned(*addr))
		return -EINVAL;
	if (*addr < m->bounds.start.va)
		return -EPERM;
	*how = flags & MAP_FIXED_NOREPLACE ? MAP_AT_FREE : MAP_AT;
	return 0;
}

long sys_mmap(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t addr = a[0], size = page_up(a[1]), offset = a[5];
	unsigned flags = (unsigned)a[3], type = flags & MAP_TYPE, how;
	struct vm_mapping what = {.prot = (enum prot)(a[2] & PROT_ALL), .max = PROT_ALL};
	long e;

	if (!page_aligned(offset))
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS)) { /* a bad descriptor is noticed before anything else */
		struct file *f = file_get(t, a[4]);

		if (!f)
			return -EBADF;
		file_release(f);
	}
	if (flags & MAP_HUGETLB || a[1] == 0)
		return -EINVAL;
	if (size == 0)
		return -ENOMEM;
	if (offset > UINT64_MAX - size)
		return -EOVERFLOW;
	e = map_where(m, flags, size, &addr, &how);
	if (e)
		return e;
	if (beyond_limit(t, size))
		return -ENOMEM;
	what.shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
	what.inherit = what.shared ? INHERIT_SHARE : INHERIT_COPY;
	what.wired = flags & MAP_LOCKED || t->proc->lock_future;
	what.grows_down = flags & MAP_GROWSDOWN;
	/* As Linux guesses: what is more than all of RAM can never be filled. */
	if ((what.prot & PROT_W) && !(flags & MAP_NORESERVE) && (flags & MAP_ANONYMOUS || !what.shared) &&
	    size >> PAGE_SHIFT > m->vm->frames.ram)
		return -ENOMEM;
	if (!(flags & MAP_ANONYMOUS)) {
		if (type == 0 || type > MAP_SHARED_VALIDATE)
			return -EINVAL;
		what.offset = offset;
		e = map_file(t, a[4], flags, size, &what);
	} else if (type == MAP_SHARED) {
		e = what.grows_down ? -EINVAL : shared_zeros(t, size, &what);
	} else if (type != MAP_PRIVATE) {
		e = -EINVAL;
	}
	if (e)
		return e;
	if (!what.object)
		what.offset = 0;
	e = errno_of(vm_map_enter(m, &addr, size, &what, how));
	if (what.object)
		object_release(what.object);
	if (e)
		return e;
	if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		/* What cannot be filled in now faults later, as mmap(2) says. */
		(void)!vm_map_populate(m, vrange(addr, addr + size), what.prot & PROT_W ? PROT_W : PROT_R);
	return (long)addr;
}

long sys_munmap(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t start = a[0], size = page_up(a[1]);

	if (!page_aligned(start) || size == 0 || start > m->bounds.end.va || size > m->bounds.end.va - start)
		return -EINVAL;
	if (start + size <= m->bounds.start.va)
		return 0; /* nothing is ever mapped there */
	return errno_of(
		vm_map_remove(m, vrange(start < m->bounds.start.va ? m->bounds.start.va : start, start + size)));
}

/* --- what is mapped already --- */

/* mprotect that found a hole or a refusal: what lies before it is done. */
static long protect_up_to(struct vm_map *m, uint64_t start, uint64_t end, enum prot prot)
{
	struct vm_entry_info info;
	struct vrange piece;

	for (uint64_t va = start; va < end; va = piece.end.va) {
		enum error e;

		if (!piece_at(m, va, end, &info, &piece))
			return -ENOMEM;
		e = vm_map_protect(m, piece, prot);
		if (e != OK)
			return e == ERR_NOENT ? -ENOMEM : errno_of(e);
	}
	return 0;
}

long sys_mprotect(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	unsigned grows = (unsigned)a[2] & (PROT_GROWSDOWN | PROT_GROWSUP), prot = (unsigned)a[2] & ~grows;
	uint64_t start = a[0], size = page_up(a[1]);
	struct vm_entry_info info;
	enum error e;

	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || !page_aligned(start))
		return -EINVAL;
	if (a[1] == 0)
		return 0;
	if (size == 0 || start + size < start)
		return -ENOMEM;
	if (prot & ~(unsigned)(PROT_ALL | PROT_SEM))
		return -EINVAL;
	if (!in_space(m, start, size))
		return -ENOMEM;
	if (grows) {
		if (!vm_map_lookup(m, start, &info) || info.range.start.va >= start + size)
			return -ENOMEM;
		if (grows == PROT_GROWSUP || !info.grows_down)
			return -EINVAL;
		size += start - info.range.start.va;
		start = info.range.start.va;
	}
	e = vm_map_protect(m, vrange(start, start + size), (enum prot)(prot & PROT_ALL));
	if (e == ERR_NOENT || e == ERR_ACCESS)
		return protect_up_to(m, start, start + size, (enum prot)(prot & PROT_ALL));
	return errno_of(e);
}

enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 };

/* It is at addr now. What locked memory has grown by is filled as far as can be; nobody is told when it cannot (mremap(2)). */
static long moved(struct vm_map *m, const struct vm_entry_info *was, uint64_t addr, uint64_t old_size, uint64_t new_size)
{
	if (was->wired && new_size > old_size)
		(void)!vm_map_populate(m, vrange(addr + old_size, addr + new_size), PROT_R);
	return (long)addr;
}

long sys_mremap(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t old = a[0], old_size = page_up(a[1]), new_size = page_up(a[2]), addr = a[4];
	unsigned flags = (unsigned)a[3];
	bool fixed = flags & MREMAP_FIXED, keep = flags & MREMAP_DONTUNMAP;
	struct vm_entry_info info;
	struct vrange piece;
	enum error e;

	if (flags & ~7u || (flags != MREMAP_MAYMOVE && flags && !(flags & MREMAP_MAYMOVE)) ||
	    (keep && old_size != new_size))
		return -EINVAL;
	if (!page_aligned(old) || new_size == 0)
		return -EINVAL;
	if (!in_space(m, old, 0) || !piece_at(m, old, old + PAGE_SIZE, &info, &piece))
		return -EFAULT;
	if (fixed) {
		if (!page_aligned(addr) || !in_space(m, addr, new_size))
			return -EINVAL;
		if (addr < old + old_size && old < addr + new_size)
			return -EINVAL;
	}
	if (old_size == 0) { /* a second view of shared pages */
		if (!info.shared)
			return -EINVAL;
		if (!(flags & MREMAP_MAYMOVE))
			return -ENOMEM;
		addr = fixed ? addr : 0;
		e = vm_map_view(m, old, new_size, fixed, &addr);
		return e == OK ? moved(m, &info, addr, 0, new_size) : errno_of(e);
	}
	if (old_size > info.range.end.va - old && (fixed || keep || new_size > old_size))
		return -EFAULT;
	if (new_size > m->bounds.end.va)
		return -ENOMEM;
	if (new_size > old_size && beyond_limit(t, new_size - old_size))
		return -ENOMEM;
	if (new_size < old_size && !fixed) { /* the end is cut off, whatever lies there */
		if (!in_space(m, old, old_size))
			return -EINVAL;
		e = vm_map_remove(m, vrange(old + new_size, old + old_size));
		return e == OK ? (long)old : errno_of(e);
	}
	if (keep) {
		if (info.shared || info.object)
			return -EINVAL; /* private anonymous memory only */
		e = vm_map_move_pages(m, vrange(old, old + old_size), fixed, &addr);
	} else {
		e = vm_map_remap(m, vrange(old, old + old_size), new_size, flags & MREMAP_MAYMOVE, fixed, &addr);
	}
	if (e == OK)
		return moved(m, &info, addr, old_size, new_size);
	return e == ERR_FAULT ? -EFAULT : errno_of(e);
}
