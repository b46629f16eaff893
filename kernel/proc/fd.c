/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fd.c: descriptor tables.
 *
 * An array of slots that doubles when it is full, up to FD_MAX. A slot holds a
 * reference on its file and the close-on-exec mark. A table may be shared by
 * processes (CLONE_FILES) and always is by threads.
 *
 * Invariants
 *  1. slots beyond size do not exist; size is 0 or a power of two >= 64.
 *  2. A slot with a file holds one reference on it, and is not reserved.
 *  3. Slots from top on hold nothing: what goes over all descriptors goes that far.
 *
 * Locking: lock (spin, RANK_FILES) guards the array, its size and every slot. It
 * is held for a lookup or a swap of one pointer; files are released and arrays
 * allocated outside. Growing allocates first, then looks again under the lock
 * whether somebody else has grown it meanwhile.
 *
 * Failure: a table that cannot grow is -ENOMEM and unchanged; a number beyond
 * the limit is -EMFILE.
 */
#include "proc/fd.h"

#include "base/assert.h"
#include "proc/errno.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"
#include <string.h>

#define FD_FIRST 64

struct slot {
	struct file *file;
	bool cloexec;
	bool reserved; /* taken by an open under way; no file yet */
};

struct fd_table {
	struct refcount refs;
	struct vm *vm;
	struct spinlock lock; /* RANK_FILES: what follows */
	uint32_t size;        /* l */
	uint32_t lowest;      /* l: no free slot below it */
	uint32_t top;         /* l: no slot in use from it on */
	struct slot *slot;    /* l */
};

NOINLINE long fd_table_create(struct vm *vm, struct fd_table **out)
{
	struct fd_table *t = kmalloc(&vm->kmalloc, sizeof *t);

	if (!t)
		return -ENOMEM;
	*t = (struct fd_table){.vm = vm};
	ref_init(&t->refs, 1);
	spin_init(&t->lock);
	*out = t;
	return 0;
}

void fd_table_reference(struct fd_table *t) { ref_get(&t->refs); }
uint32_t fd_table_sharers(const struct fd_table *t) { return ref_count(&t->refs); }

/* Makes room for at least `want` slots. No lock held. */
static long grow(struct fd_table *t, uint64_t want)
{
	struct slot *fresh, *old = NULL;
	uint32_t size = FD_FIRST;

	if (want > FD_MAX)
		return -EMFILE;
	while (size < want)
		size *= 2;
	fresh = kmalloc(&t->vm->kmalloc, size * sizeof *fresh);
	if (!fresh)
		return -ENOMEM;
	memset(fresh, 0, size * sizeof *fresh);
	spin_lock(&t->lock, RANK_FILES);
	if (t->size < size) {
		if (t->size)
			memcpy(fresh, t->slot, t->size * sizeof *fresh);
		old = t->slot;
		t->slot = fresh;
		t->size = size;
		fresh = NULL;
	}
	spin_unlock(&t->lock);
	if (fresh)
		kfree(&t->vm->kmalloc, fresh);
	if (old)
		kfree(&t->vm->kmalloc, old);
	return 0;
}

/* Takes the file out of a slot. */
static struct file *take_locked(struct fd_table *t, uint32_t fd)
{
	struct file *f = t->slot[fd].file;

	if (!f)
		return NULL; /* nothing there, or reserved: whose it is fills it or gives it back */
	t->slot[fd] = (struct slot){NULL, false, false};
	if (fd < t->lowest)
		t->lowest = fd;
	return f;
}

static void put_locked(struct fd_table *t, uint64_t fd, struct slot what)
{
	t->slot[fd] = what;
	if (fd >= t->top)
		t->top = (uint32_t)fd + 1;
}

/* from's files, and their references, into t, which is empty, is nobody else's and has room. */
static void copy_locked(struct fd_table *t, const struct fd_table *from)
{
	ASSERT(t->size >= from->top);
	t->lowest = from->lowest;
	for (uint32_t i = 0; i < from->top; i++) {
		struct slot s = from->slot[i];

		if (s.file) {
			file_reference(s.file);
			put_locked(t, i, s);
		} else if (s.reserved && i < t->lowest) { /* the other table's */
			t->lowest = i;
		}
	}
}

long fd_table_copy(struct fd_table *from, struct fd_table **out)
{
	struct fd_table *t;
	long e = fd_table_create(from->vm, &t);
	uint32_t want;

	if (e)
		return e;
	for (;;) {
		spin_lock(&from->lock, RANK_FILES);
		want = from->top;
		if (t->size >= want)
			break;
		spin_unlock(&from->lock);
		e = grow(t, want);
		if (e) {
			fd_table_release(t);
			return e;
		}
	}
	copy_locked(t, from);
	spin_unlock(&from->lock);
	*out = t;
	return 0;
}

long fd_table_spare(struct vm *vm, struct fd_table **out)
{
	struct fd_table *t;
	long e = fd_table_create(vm, &t);

	if (e)
		return e;
	e = grow(t, FD_MAX);
	if (e)
		fd_table_release(t);
	else
		*out = t;
	return e;
}

void fd_table_release(struct fd_table *t)
{
	if (!t || !ref_put(&t->refs))
		return;
	for (uint32_t i = 0; i < t->top; i++)
		file_release(t->slot[i].file);
	if (t->slot)
		kfree(&t->vm->kmalloc, t->slot);
	kfree(&t->vm->kmalloc, t);
}

struct fd_table *fd_table_exec(struct fd_table *shared, struct fd_table *spare)
{
	struct fd_table *own = shared;

	if (ref_count(&shared->refs) > 1) {
		ASSERT(spare);
		spin_lock(&shared->lock, RANK_FILES);
		copy_locked(spare, shared);
		spin_unlock(&shared->lock);
		own = spare;
	}
	for (uint32_t i = 0;; i++) {
		struct file *f = NULL;

		spin_lock(&own->lock, RANK_FILES);
		if (i >= own->top) {
			spin_unlock(&own->lock);
			return own;
		}
		if (own->slot[i].cloexec)
			f = take_locked(own, i);
		spin_unlock(&own->lock);
		file_release(f);
	}
}

struct file *fd_get(struct fd_table *t, uint64_t fd)
{
	struct file *f = NULL;

	spin_lock(&t->lock, RANK_FILES);
	if (fd < t->size)
		f = t->slot[fd].file;
	if (f)
		file_reference(f);
	spin_unlock(&t->lock);
	return f;
}

/* Puts what in the lowest free slot. */
static long take_slot(struct fd_table *t, struct slot what, uint64_t minimum, uint64_t limit)
{
	if (limit > FD_MAX)
		limit = FD_MAX;
	if (minimum >= limit)
		return minimum ? -EINVAL : -EMFILE;
	for (;;) {
		uint64_t fd;
		long e;

		spin_lock(&t->lock, RANK_FILES);
		fd = minimum > t->lowest ? minimum : t->lowest;
		while (fd < t->size && (t->slot[fd].file || t->slot[fd].reserved))
			fd++;
		if (fd >= limit) {
			spin_unlock(&t->lock);
			return -EMFILE;
		}
		if (fd < t->size) {
			put_locked(t, fd, what);
			if (minimum <= t->lowest)
				t->lowest = (uint32_t)fd + 1;
			spin_unlock(&t->lock);
			return (long)fd;
		}
		spin_unlock(&t->lock);
		e = grow(t, fd + 1);
		if (e)
			return e;
	}
}

long fd_install(struct fd_table *t, struct file *f, uint64_t minimum, uint64_t limit, bool cloexec)
{
	return take_slot(t, (struct slot){f, cloexec, false}, minimum, limit);
}

long fd_reserve(struct fd_table *t, uint64_t limit) { return take_slot(t, (struct slot){NULL, false, true}, 0, limit); }

void fd_fill(struct fd_table *t, uint64_t fd, struct file *f, bool cloexec)
{
	spin_lock(&t->lock, RANK_FILES);
	ASSERT_CHECKED(t->slot[fd].reserved);
	t->slot[fd] = (struct slot){f, cloexec, false};
	spin_unlock(&t->lock);
}

void fd_unreserve(struct fd_table *t, uint64_t fd)
{
	spin_lock(&t->lock, RANK_FILES);
	ASSERT_CHECKED(t->slot[fd].reserved);
	t->slot[fd].reserved = false;
	if (fd < t->lowest)
		t->lowest = (uint32_t)fd;
	spin_unlock(&t->lock);
}

long fd_install_at(struct fd_table *t, struct file *f, uint64_t fd, uint64_t limit, bool cloexec)
{
	struct file *old;

	if (fd >= limit || fd >= FD_MAX)
		return -EBADF;
	spin_lock(&t->lock, RANK_FILES);
	while (fd >= t->size) {
		long e;

		spin_unlock(&t->lock);
		e = grow(t, fd + 1);
		if (e)
			return e;
		spin_lock(&t->lock, RANK_FILES);
	}
	if (t->slot[fd].reserved) { /* as Linux: an open in another thread is about to put its file there */
		spin_unlock(&t->lock);
		return -EBUSY;
	}
	old = t->slot[fd].file;
	put_locked(t, fd, (struct slot){f, cloexec, false});
	spin_unlock(&t->lock);
	file_release(old);
	return (long)fd;
}

long fd_close(struct fd_table *t, uint64_t fd)
{
	struct file *f = NULL;

	spin_lock(&t->lock, RANK_FILES);
	if (fd < t->size)
		f = take_locked(t, (uint32_t)fd);
	spin_unlock(&t->lock);
	if (!f)
		return -EBADF;
	file_release(f);
	return 0;
}

void fd_close_range(struct fd_table *t, uint64_t first, uint64_t last, bool mark_only)
{
	for (uint64_t fd = first; fd <= last; fd++) {
		struct file *f = NULL;

		spin_lock(&t->lock, RANK_FILES);
		if (fd >= t->top) {
			spin_unlock(&t->lock);
			return;
		}
		if (mark_only)
			t->slot[fd].cloexec = t->slot[fd].file != NULL;
		else
			f = take_locked(t, (uint32_t)fd);
		spin_unlock(&t->lock);
		file_release(f);
	}
}

long fd_cloexec(struct fd_table *t, uint64_t fd, int set)
{
	long result = -EBADF;

	spin_lock(&t->lock, RANK_FILES);
	if (fd < t->size && t->slot[fd].file) {
		result = t->slot[fd].cloexec;
		if (set >= 0)
			t->slot[fd].cloexec = set;
	}
	spin_unlock(&t->lock);
	return result;
}

long fd_next(struct fd_table *t, uint64_t fd)
{
	long result = -1;

	spin_lock(&t->lock, RANK_FILES);
	for (; fd < t->top && result < 0; fd++)
		if (t->slot[fd].file)
			result = (long)fd;
	spin_unlock(&t->lock);
	return result;
}
