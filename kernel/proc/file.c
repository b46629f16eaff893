/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/file.c: open files and the cursor that moves bytes for them.
 *
 * A struct file is what open(2), pipe2(2) and their like make: operations, a
 * position, status flags. Descriptors refer to it by reference; the last
 * reference closes it. What differs between pipes, terminals, regular files and
 * /proc is in the operations; what all share is here: whether the mode allows
 * the call, whose position is used, where seeking may lead.
 *
 * struct io stands for the caller's memory. Nothing that runs under a spinlock
 * touches one: operations fill a kernel buffer or find the bytes at rest, and
 * move them when they hold nothing but mutexes. A fault half-way is not an
 * error as long as something was moved: the call returns that count, as Linux
 * does. To find the count, a copy that failed is repeated page by page, which is
 * harmless because it stores the same bytes again.
 *
 * Invariants
 *  1. io->left = the sum of what is left in vec[0..count) minus skip.
 *  2. A file's vnode lives as long as the file.
 *  3. 0 <= pos < 2^63, so that positions are never negative for programs.
 *
 * Locking: pos_lock (mutex) over calls that use the file's own position, so that
 * two writers through one open file do not write to the same place. Flags are
 * single words, relaxed: F_SETFL while a read is under way may or may not be
 * seen by it, as in Linux.
 */
#include "proc/file.h"

#include "hal/uaccess.h"
#include "proc/errno.h"
#include "proc/fs.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"
#include <string.h>

void io_init_user(struct io *io, struct iovec *v, uint64_t base, size_t length)
{
	*v = (struct iovec){base, length};
	*io = (struct io){.vec = v, .count = 1, .left = length};
}

void io_init_kernel(struct io *io, struct iovec *v, void *base, size_t length)
{
	io_init_user(io, v, (uint64_t)(uintptr_t)base, length);
	io->kernel = true;
}

enum io_kind { IO_PUT, IO_GET, IO_ZERO };

static enum error copy_once(const struct io *io, enum io_kind kind, uint64_t user, char *kernel, size_t n)
{
	if (io->kernel) {
		char *at = (char *)(uintptr_t)user;

		if (kind == IO_PUT)
			memcpy(at, kernel, n);
		else if (kind == IO_GET)
			memcpy(kernel, at, n);
		else
			memset(at, 0, n);
		return OK;
	}
	switch (kind) {
	case IO_PUT:
		return copy_out(vaddr(user), kernel, n);
	case IO_GET:
		return copy_in(kernel, vaddr(user), n);
	default:
		return user_zero(vaddr(user), n);
	}
}

/* Copies n bytes at one place; *done: how many went before an error, in whole pages of the user's memory. */
static enum error copy_piece(const struct io *io, enum io_kind kind, uint64_t user, char *kernel, size_t n,
			     size_t *done)
{
	enum error e = copy_once(io, kind, user, kernel, n);

	if (e == OK) {
		*done = n;
		return OK;
	}
	for (*done = 0; *done < n;) {
		size_t piece = PAGE_SIZE - ((user + *done) & PAGE_MASK);

		if (piece > n - *done)
			piece = n - *done;
		e = copy_once(io, kind, user + *done, kernel ? kernel + *done : NULL, piece);
		if (e != OK)
			return e;
		*done += piece;
	}
	return OK;
}

static enum error io_move(struct io *io, enum io_kind kind, char *kernel, size_t n, size_t *moved)
{
	enum error e = OK;

	*moved = 0;
	while (*moved < n && io->count > 0 && e == OK) {
		size_t piece = io->vec->length - io->skip, done;

		if (piece == 0) {
			io->vec++;
			io->count--;
			io->skip = 0;
			continue;
		}
		if (piece > n - *moved)
			piece = n - *moved;
		e = copy_piece(io, kind, io->vec->base + io->skip, kernel ? kernel + *moved : NULL, piece, &done);
		io->skip += done;
		io->left -= done;
		*moved += done;
	}
	return e;
}

enum error io_put(struct io *io, const void *from, size_t n, size_t *moved)
{
	return io_move(io, IO_PUT, (char *)(uintptr_t)from, n, moved);
}

enum error io_get(struct io *io, void *to, size_t n, size_t *moved) { return io_move(io, IO_GET, to, n, moved); }

enum error io_put_zero(struct io *io, size_t n, size_t *moved) { return io_move(io, IO_ZERO, NULL, n, moved); }

struct file *file_alloc(struct vm *vm) { return kmalloc(&vm->kmalloc, sizeof(struct file)); }

void file_init(struct file *f, struct vm *vm, struct fs *fs, struct vnode *v, const struct file_ops *ops, void *data,
	       uint32_t flags)
{
	*f = (struct file){.ops = ops, .vm = vm, .fs = fs, .vnode = v, .data = data};
	ref_init(&f->refs, 1);
	/* relaxed: nobody else has the file yet */
	atomic_store_relaxed(&f->flags, flags);
	mutex_init(&f->pos_lock);
}

long file_create(struct vm *vm, struct fs *fs, struct vnode *v, const struct file_ops *ops, void *data, uint32_t flags,
		 struct file **out)
{
	struct file *f = file_alloc(vm);

	if (!f) {
		vnode_release(v);
		return -ENOMEM;
	}
	file_init(f, vm, fs, v, ops, data, flags);
	*out = f;
	return 0;
}

void file_reference(struct file *f) { ref_get(&f->refs); }

void file_release(struct file *f)
{
	if (!f || !ref_put(&f->refs))
		return;
	if (f->ops->close)
		f->ops->close(f);
	vnode_release(f->vnode);
	kfree(&f->vm->kmalloc, f);
}

/* relaxed, here and below: one word, whichever value a racing F_SETFL leaves is right */
static uint32_t flags_of(const struct file *f) { return atomic_load_relaxed(&f->flags); }

bool file_can_read(const struct file *f) { return !(flags_of(f) & O_PATH) && (flags_of(f) & O_ACCMODE) != O_WRONLY; }

bool file_can_write(const struct file *f)
{
	return !(flags_of(f) & O_PATH) &&
	       ((flags_of(f) & O_ACCMODE) == O_WRONLY || (flags_of(f) & O_ACCMODE) == O_RDWR);
}

bool file_nonblocking(const struct file *f) { return flags_of(f) & O_NONBLOCK; }

/* One transfer at *pos or, when pos is NULL, at the file's own position. */
static long transfer(struct file *f, struct io *io, uint64_t *pos,
		     long (*op)(struct file *f, struct io *io, uint64_t *pos))
{
	long n;

	if (pos && !f->ops->seekable)
		return -ESPIPE;
	if (pos && *pos > INT64_MAX)
		return -EINVAL;
	if (pos || !f->ops->seekable) {
		uint64_t none = 0;

		return op(f, io, pos ? pos : &none);
	}
	mutex_lock(&f->pos_lock);
	n = op(f, io, &f->pos);
	mutex_unlock(&f->pos_lock);
	return n;
}

long file_read(struct file *f, struct io *io, uint64_t *pos)
{
	if (!file_can_read(f))
		return -EBADF;
	if (f->vnode->kind == VNODE_DIRECTORY)
		return -EISDIR;
	if (!f->ops->read)
		return -EINVAL;
	return transfer(f, io, pos, f->ops->read);
}

long file_write(struct file *f, struct io *io, uint64_t *pos)
{
	if (!file_can_write(f))
		return -EBADF;
	if (!f->ops->write)
		return -EINVAL;
	return transfer(f, io, pos, f->ops->write);
}

enum { SEEK_SET_, SEEK_CUR_, SEEK_END_, SEEK_DATA_, SEEK_HOLE_ };

long file_seek(struct file *f, int64_t offset, int whence)
{
	int64_t base = 0, size = 0, to;
	long result;

	if (flags_of(f) & O_PATH)
		return -EBADF;
	if (!f->ops->seekable)
		return -ESPIPE;
	if (whence < SEEK_SET_ || whence > SEEK_HOLE_)
		return -EINVAL;
	mutex_lock(&f->pos_lock);
	if (f->ops->size)
		size = f->ops->size(f);
	if (whence == SEEK_CUR_)
		base = (int64_t)f->pos;
	else if (whence == SEEK_END_)
		base = size;
	result = -EINVAL;
	if (whence >= SEEK_DATA_) {
		/* Every file is one piece of data with a hole behind its end. */
		result = -ENXIO;
		if (offset >= 0 && offset < size) {
			f->pos = whence == SEEK_DATA_ ? (uint64_t)offset : (uint64_t)size;
			result = (long)f->pos;
		}
	} else if (__builtin_add_overflow(base, offset, &to)) {
		result = -EOVERFLOW;
	} else if (to >= 0) {
		f->pos = (uint64_t)to;
		result = (long)to;
	}
	mutex_unlock(&f->pos_lock);
	return result;
}
