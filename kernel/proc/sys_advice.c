/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_advice.c: calls that say how memory will be used: madvise, mincore,
 * mlock and its family, msync, membarrier.
 *
 * Advice is followed entry by entry. A hole does not stop it: what lies behind is
 * done, and the answer is ENOMEM, as madvise(2) has it. Entries may change while
 * we walk; what vm_map_* then finds missing counts as a hole.
 */
#include "proc/sys.h"
#include "proc/sys_memory.h"

#include "vm/entry.h"

enum {
	MADV_NORMAL = 0,
	MADV_RANDOM,
	MADV_SEQUENTIAL,
	MADV_WILLNEED,
	MADV_DONTNEED,
	MADV_FREE = 8,
	MADV_DONTFORK = 10,
	MADV_DOFORK,
	MADV_MERGEABLE,
	MADV_UNMERGEABLE,
	MADV_HUGEPAGE,
	MADV_NOHUGEPAGE,
	MADV_DONTDUMP,
	MADV_DODUMP,
	MADV_WIPEONFORK,
	MADV_KEEPONFORK,
	MADV_COLD,
	MADV_PAGEOUT,
	MADV_POPULATE_READ,
	MADV_POPULATE_WRITE,
};

/* Another thread may take the right or the mapping between the look and a fault: then as if the look had come later. */
static enum error populate(struct vm_map *m, const struct vm_entry_info *info, struct vrange r, unsigned access)
{
	enum error e = info->prot & access ? vm_map_populate(m, r, access) : ERR_INVAL;

	return e == ERR_ACCESS ? ERR_INVAL : e == ERR_FAULT ? ERR_NOENT : e;
}

/* What advice makes of one entry's part. */
static enum error advise_piece(struct vm_map *m, const struct vm_entry_info *info, struct vrange r, int advice)
{
	bool anonymous = !info->shared && !info->object;
	bool wipe = info->inherit == INHERIT_ZERO || info->inherit == INHERIT_NONE_ZERO;
	bool none = info->inherit == INHERIT_NONE || info->inherit == INHERIT_NONE_ZERO;

	switch (advice) {
	case MADV_DONTNEED: /* madvise(2): not what mlock(2) keeps */
		return info->wired ? ERR_INVAL : vm_map_discard(m, r);
	case MADV_COLD:
	case MADV_PAGEOUT:
		return info->wired ? ERR_INVAL : OK;
	case MADV_FREE:
		return anonymous && !info->wired ? vm_map_discard(m, r) : ERR_INVAL;
	case MADV_DONTFORK:
		return vm_map_inherit(m, r, wipe ? INHERIT_NONE_ZERO : INHERIT_NONE);
	case MADV_DOFORK:
		return vm_map_inherit(m, r, info->shared ? INHERIT_SHARE : wipe ? INHERIT_ZERO : INHERIT_COPY);
	case MADV_WIPEONFORK:
		return anonymous ? vm_map_inherit(m, r, none ? INHERIT_NONE_ZERO : INHERIT_ZERO) : ERR_INVAL;
	case MADV_KEEPONFORK:
		return wipe ? vm_map_inherit(m, r, none ? INHERIT_NONE : INHERIT_COPY) : OK;
	case MADV_HUGEPAGE:
		return vm_map_huge(m, r, HUGE_WANTED);
	case MADV_NOHUGEPAGE:
		return vm_map_huge(m, r, HUGE_UNWANTED);
	case MADV_POPULATE_READ:
		return populate(m, info, r, PROT_R);
	case MADV_POPULATE_WRITE:
		return populate(m, info, r, PROT_W);
	default:
		return OK; /* advice that needs no act */
	}
}

/* Some of r is locked. */
static bool any_locked(struct vm_map *m, struct vrange r)
{
	struct vm_entry_info info;

	for (uint64_t va = r.start.va; vm_map_lookup(m, va, &info) && info.range.start.va < r.end.va; va = info.range.end.va)
		if (info.wired)
			return true;
	return false;
}

/* All of r is mapped, and fork makes the same of all of it; the first entry in *info. */
static bool forks_alike(struct vm_map *m, struct vrange r, struct vm_entry_info *info)
{
	struct vm_entry_info next;
	struct vrange piece;

	if (!piece_at(m, r.start.va, r.end.va, info, &piece))
		return false;
	for (uint64_t va = piece.end.va; va < r.end.va; va = piece.end.va)
		if (!piece_at(m, va, r.end.va, &next, &piece) || next.inherit != info->inherit || next.shared != info->shared)
			return false;
	return true;
}

/*
 * Advice that the map can take for several entries at once, so that lack of memory leaves all of them as they were.
 * False: not this, or not for these entries; then it goes entry by entry, as far as it comes.
 */
static bool advise_whole(struct vm_map *m, struct vrange r, int advice, long *result)
{
	struct vm_entry_info info;
	enum error e;

	switch (advice) {
	case MADV_DONTNEED:
		if (any_locked(m, r))
			return false;
		e = vm_map_discard(m, r);
		*result = e == ERR_NOENT ? -ENOMEM : errno_of(e); /* a hole: the rest is done */
		return true;
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
		if (!forks_alike(m, r, &info))
			return false;
		e = advise_piece(m, &info, r, advice);
		if (e != OK && e != ERR_NOMEM) /* another thread has changed the entries since */
			return false;
		*result = errno_of(e);
		return true;
	default:
		return false;
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
	if (size && in_space(m, start, size) && advise_whole(m, vrange(start, end), advice, &result))
		return result;
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

enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

long sys_mlockall(struct thread *t, const uint64_t *a)
{
	if ((int)a[0] == 0 || flags_unknown(a[0], 7) || (int)a[0] == MCL_ONFAULT)
		return -EINVAL;
	if (a[0] & MCL_CURRENT && vm_map_wire_all(t->proc->map, true) != OK)
		return -ENOMEM;
	t->proc->lock_future = a[0] & MCL_FUTURE;
	return 0;
}

long sys_munlockall(struct thread *t, const uint64_t *a)
{
	(void)a;
	if (vm_map_wire_all(t->proc->map, false) != OK)
		return -ENOMEM;
	t->proc->lock_future = false;
	return 0;
}

/* -ENOMEM when [start, end) has a hole; -EBUSY: not so before it comes to something locked, and that matters. */
static long all_mapped(struct vm_map *m, uint64_t start, uint64_t end, bool unlocked)
{
	struct vm_entry_info info;
	struct vrange piece;

	for (uint64_t va = start; va < end; va = piece.end.va)
		if (!piece_at(m, va, end, &info, &piece))
			return -ENOMEM;
		else if (unlocked && info.wired)
			return -EBUSY;
	return 0;
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
	return all_mapped(t->proc->map, start, start + size, a[2] & MS_INVALIDATE);
}

/* No command is supported, and MEMBARRIER_CMD_QUERY (0) says so. */
long sys_membarrier(struct thread *t, const uint64_t *a)
{
	(void)t;
	return (int)a[0] == 0 && (unsigned)a[1] == 0 ? 0 : -EINVAL;
}
