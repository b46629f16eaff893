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
#include "proc/sys.h"

#include "vm/entry.h"
#include "vm/map.h"

enum {
	MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_TYPE = 15, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20,
	MAP_GROWSDOWN = 0x100, MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000,
	MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000, MAP_NONBLOCK = 0x10000, MAP_STACK = 0x20000, MAP_HUGETLB = 0x40000,
	MAP_SYNC = 0x80000, MAP_FIXED_NOREPLACE = 0x100000,
	/* what MAP_SHARED_VALIDATE accepts */
	MAP_KNOWN = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED |
		    MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_FIXED_NOREPLACE,
};
enum { PROT_SEM = 8, PROT_GROWSDOWN = 0x01000000, PROT_GROWSUP = 0x02000000 };

static uint64_t page_up(uint64_t n) { return round_up(n, PAGE_SIZE); }
static bool page_aligned(uint64_t n) { return (n & PAGE_MASK) == 0; }

/* [at, at + size) lies in user space, no wrap-around. size is in whole pages. */
static bool in_space(const struct vm_map *m, uint64_t at, uint64_t size)
{
	return at >= m->bounds.start.va && at <= m->bounds.end.va && size <= m->bounds.end.va - at;
}

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
	struct oid oid = { 0, atomic_add_relaxed(&t->ps->fs->next_ino, UINT64_C(1)) };

	what->name = "/dev/zero (deleted)";
	return errno_of(object_create(t->ps->vm, oid, &pager_zero, NULL, 0, size, &what->object));
}

/* What a file mapping is: fills object (a reference), max. */
static long map_file(struct thread *t, uint64_t fd, unsigned flags, uint64_t size, struct vm_mapping *what)
{
	struct file *f = file_get(t, fd);
	struct mmap_target target = { NULL };
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	long e = 0;

	if (!f)
		return -EBADF;
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~(unsigned)MAP_KNOWN))
		e = -EOPNOTSUPP;
	else if ((flags & MAP_TYPE) != MAP_PRIVATE && !shared)
		e = -EINVAL;
	else if (atomic_load_relaxed(&f->flags) & O_PATH) /* fixed at open */
		e = -EBADF;
	else if (shared && (what->prot & PROT_W) && !file_can_write(f))
		e = -EACCES;
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
	struct vm_mapping what = { .prot = (enum prot)(a[2] & PROT_ALL), .max = PROT_ALL };
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
	/* relaxed: a figure; threads that map at the same time may exceed the limit together */
	if (size > limit_soft(t, RLIMIT_AS) || atomic_load_relaxed(&m->size) > limit_soft(t, RLIMIT_AS) - size)
		return -ENOMEM;
	what.shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
	what.inherit = what.shared ? INHERIT_SHARE : INHERIT_COPY;
	what.wired = flags & MAP_LOCKED || t->proc->lock_future;
	what.grows_down = flags & MAP_GROWSDOWN;
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
	return errno_of(vm_map_remove(m, vrange(start < m->bounds.start.va ? m->bounds.start.va : start, start + size)));
}

/* --- what is mapped already --- */

/* The entry that holds va; its part of [va, end) in *piece. False: a hole. */
static bool piece_at(struct vm_map *m, uint64_t va, uint64_t end, struct vm_entry_info *info, struct vrange *piece)
{
	if (!vm_map_lookup(m, va, info) || info->range.start.va > va)
		return false;
	*piece = vrange(va, info->range.end.va < end ? info->range.end.va : end);
	return true;
}

/* -ENOMEM when [start, end) has a hole. */
static long all_mapped(struct vm_map *m, uint64_t start, uint64_t end)
{
	struct vm_entry_info info;
	struct vrange piece;

	for (uint64_t va = start; va < end; va = piece.end.va)
		if (!piece_at(m, va, end, &info, &piece))
			return -ENOMEM;
	return 0;
}

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

/*
 * MREMAP_DONTUNMAP: the pages move, and the old range is mapped anew, empty. It
 * is free for a moment in between; a mapping that another thread puts there
 * without asking for the place is then replaced, as MAP_FIXED would.
 */
static long map_again(struct vm_map *m, const struct vm_entry_info *info, uint64_t start, uint64_t size)
{
	struct vm_mapping what = { .prot = info->prot, .max = info->max, .inherit = info->inherit, .name = info->name };

	return errno_of(vm_map_enter(m, &start, size, &what, MAP_AT));
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

	if (flags & ~7u || (flags != MREMAP_MAYMOVE && flags && !(flags & MREMAP_MAYMOVE)) || (keep && old_size != new_size))
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
	if (old_size == 0)
		return -EINVAL; /* a second mapping of the same shared pages is not to be had this way */
	if (old_size > info.range.end.va - old && (fixed || keep || new_size > old_size))
		return -EFAULT;
	if (new_size > m->bounds.end.va)
		return -ENOMEM;
	/* relaxed: as in mmap */
	if (new_size > old_size &&
	    (new_size - old_size > limit_soft(t, RLIMIT_AS) ||
	     atomic_load_relaxed(&m->size) > limit_soft(t, RLIMIT_AS) - (new_size - old_size)))
		return -ENOMEM;
	if (new_size < old_size && !fixed) { /* the end is cut off, whatever lies there */
		if (!in_space(m, old, old_size))
			return -EINVAL;
		e = vm_map_remove(m, vrange(old + new_size, old + old_size));
		return e == OK ? (long)old : errno_of(e);
	}
	if (keep) {
		if (info.shared || info.oid.id || info.oid.port)
			return -EINVAL; /* private anonymous memory only */
		if (!fixed) { /* it must go elsewhere: find a place first */
			struct vm_mapping what = { .prot = PROT_NONE_, .max = PROT_ALL };

			addr = 0;
			e = vm_map_enter(m, &addr, new_size, &what, 0);
			if (e != OK)
				return errno_of(e);
		}
		fixed = true;
	}
	e = vm_map_remap(m, vrange(old, old + old_size), new_size, flags & MREMAP_MAYMOVE, fixed, &addr);
	if (e == OK && keep) {
		long again = map_again(m, &info, old, old_size);

		if (again)
			return again;
	}
	return e == OK ? (long)addr : e == ERR_FAULT ? -EFAULT : errno_of(e);
}

/* --- advice, residence, locking --- */

enum {
	MADV_NORMAL = 0, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE = 8, MADV_DONTFORK = 10,
	MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
	MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
};

/* What advice makes of one entry's part. */
static enum error advise_piece(struct vm_map *m, const struct vm_entry_info *info, struct vrange r, int advice)
{
	bool anonymous = !info->shared && !info->oid.id && !info->oid.port;

	switch (advice) {
	case MADV_DONTNEED: return vm_map_discard(m, r);
	case MADV_FREE: return anonymous ? vm_map_discard(m, r) : ERR_INVAL;
	case MADV_DONTFORK: return vm_map_inherit(m, r, INHERIT_NONE);
	case MADV_DOFORK: return vm_map_inherit(m, r, info->shared ? INHERIT_SHARE : INHERIT_COPY);
	case MADV_WIPEONFORK: return anonymous ? vm_map_inherit(m, r, INHERIT_ZERO) : ERR_INVAL;
	case MADV_KEEPONFORK: return info->inherit == INHERIT_ZERO ? vm_map_inherit(m, r, INHERIT_COPY) : OK;
	case MADV_POPULATE_READ: return info->prot & PROT_R ? vm_map_populate(m, r, PROT_R) : ERR_INVAL;
	case MADV_POPULATE_WRITE: return info->prot & PROT_W ? vm_map_populate(m, r, PROT_W) : ERR_INVAL;
	default: return OK; /* advice that needs no act */
	}
}

static bool advice_known(int advice)
{
	return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) || advice == MADV_FREE ||
	       (advice >= MADV_DONTFORK && advice <= MADV_POPULATE_WRITE);
}

long sys_madvise(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t start = a[0], size = page_up(a[1]), end = start + size;
	int advice = (int)a[2];
	long result = 0;

	if (!advice_known(advice) || !page_aligned(start) || (a[1] && !size) || end < start)
		return -EINVAL;
	for (uint64_t va = start; va < end;) {
		struct vm_entry_info info;
		struct vrange piece;
		enum error e;

		if (!vm_map_lookup(m, va, &info) || info.range.start.va >= end)
			return -ENOMEM;
		if (info.range.start.va > va) { /* a hole: told at the end, the rest is done */
			result = -ENOMEM;
			va = info.range.start.va;
		}
		piece = vrange(va, info.range.end.va < end ? info.range.end.va : end);
		e = advise_piece(m, &info, piece, advice);
		if (e == ERR_NOENT) /* unmapped by another thread meanwhile */
			result = -ENOMEM;
		else if (e != OK)
			return e == ERR_BUS || e == ERR_IO ? -EFAULT : errno_of(e);
		va = piece.end.va;
	}
	return result;
}

long sys_mincore(struct thread *t, const uint64_t *a)
{
	struct vm_map *m = t->proc->map;
	uint64_t start = a[0], size = page_up(a[1]), to = a[2];
	uint8_t vec[512];

	if (!page_aligned(start))
		return -EINVAL;
	if ((a[1] && !size) || start > USER_END || size > USER_END - start)
		return -ENOMEM;
	while (size > 0) {
		uint64_t part = size < sizeof vec * PAGE_SIZE ? size : sizeof vec * PAGE_SIZE;
		enum error e;

		if (!in_space(m, start, part))
			return -ENOMEM;
		e = vm_map_resident(m, vrange(start, start + part), vec);
		if (e != OK)
			return e == ERR_NOENT ? -ENOMEM : errno_of(e);
		if (user_put(to, vec, part >> PAGE_SHIFT))
			return -EFAULT;
		to += part >> PAGE_SHIFT;
		start += part;
		size -= part;
	}
	return 0;
}

static long wire(struct thread *t, uint64_t at, uint64_t length, bool on)
{
	struct vm_map *m = t->proc->map;
	uint64_t start = round_down(at, PAGE_SIZE), size;
	enum error e;

	if (length > UINT64_MAX - (at & PAGE_MASK) - PAGE_MASK)
		return -EINVAL;
	size = page_up(length + (at & PAGE_MASK));
	if (start + size < start)
		return -EINVAL;
	if (size == 0)
		return 0;
	if (!in_space(m, start, size))
		return -ENOMEM;
	e = vm_map_wire(m, vrange(start, start + size), on);
	return e == ERR_NOENT || e == ERR_ACCESS || e == ERR_FAULT || e == ERR_BUS ? -ENOMEM : errno_of(e);
}

#define MLOCK_ONFAULT 1

long sys_mlock(struct thread *t, const uint64_t *a) { return wire(t, a[0], a[1], true); }
long sys_munlock(struct thread *t, const uint64_t *a) { return wire(t, a[0], a[1], false); }

/* MLOCK_ONFAULT: filled in at once all the same. */
long sys_mlock2(struct thread *t, const uint64_t *a)
{
	return flags_unknown(a[2], MLOCK_ONFAULT) ? -EINVAL : wire(t, a[0], a[1], true);
}

/* Every entry; one that goes away meanwhile does not matter. PROT_NONE entries stay as they are, as in Linux. */
static long wire_all(struct vm_map *m, bool on)
{
	struct vm_entry_info info;

	for (uint64_t va = m->bounds.start.va; vm_map_lookup(m, va, &info); va = info.range.end.va) {
		enum error e;

		if (on && info.prot == PROT_NONE_)
			continue;
		e = vm_map_wire(m, info.range, on);
		if (e == ERR_NOMEM)
			return -ENOMEM;
	}
	return 0;
}

enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

long sys_mlockall(struct thread *t, const uint64_t *a)
{
	if ((int)a[0] == 0 || flags_unknown(a[0], 7) || (int)a[0] == MCL_ONFAULT)
		return -EINVAL;
	t->proc->lock_future = a[0] & MCL_FUTURE;
	return a[0] & MCL_CURRENT ? wire_all(t->proc->map, true) : 0;
}

long sys_munlockall(struct thread *t, const uint64_t *a)
{
	(void)a;
	t->proc->lock_future = false;
	return wire_all(t->proc->map, false);
}

enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };

/* Mapped bytes and the file's are the same memory: there is nothing to write back. */
long sys_msync(struct thread *t, const uint64_t *a)
{
	uint64_t start = a[0], size = page_up(a[1]);

	if (flags_unknown(a[2], 7) || !page_aligned(start) || (a[2] & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	if ((a[1] && !size) || start + size < start || (size && !in_space(t->proc->map, start, size)))
		return -ENOMEM;
	return all_mapped(t->proc->map, start, start + size);
}

/* No command is supported, and MEMBARRIER_CMD_QUERY (0) says so. */
long sys_membarrier(struct thread *t, const uint64_t *a)
{
	(void)t;
	return (int)a[0] == 0 && (unsigned)a[1] == 0 ? 0 : -EINVAL;
}
