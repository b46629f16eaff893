/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/vnode_open.c: vnodes as open files: reading and writing regular files,
 * listing directories.
 *
 * A file's bytes are its object's pages, which programs may have mapped; reading
 * and writing go through a kernel buffer between those pages and the program, so
 * that neither the object's lock nor a page is held while user memory is touched.
 *
 * Writes to one file are serialised by vnode->io, which makes O_APPEND atomic. A
 * read may see a part of a write under way, as POSIX allows where it says nothing
 * better than Linux does. A write that runs out of memory leaves the file as long
 * as its bytes reach.
 */
#include "proc/fs.h"
#include "proc/sched.h"

#include "vm/kmalloc.h"
#include "vm/vm.h"

/* Bytes at a time between a program's memory and an object's. */
#define BOUNCE_BYTES (size_t)16384

/* A file grows only while more than one in so many frames is free. */
#define FILES_RESERVE 8

static void *bounce_get(struct vm *vm, size_t want, size_t *size)
{
	void *b;

	*size = want < BOUNCE_BYTES ? want : BOUNCE_BYTES;
	b = kmalloc(&vm->kmalloc, *size);
	if (!b && *size > PAGE_SIZE / 4) {
		*size = PAGE_SIZE / 4;
		b = kmalloc(&vm->kmalloc, *size);
	}
	return b;
}

static long regular_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct vm_object *o = f->vnode->object;
	size_t room, total = 0;
	enum error e = OK;
	char *bounce;

	if (io->left == 0 || *pos >= object_size(o))
		return 0;
	bounce = bounce_get(f->vm, io->left, &room);
	if (!bounce)
		return -ENOMEM;
	while (io->left > 0 && e == OK) {
		uint64_t size = object_size(o);
		size_t n = io->left < room ? io->left : room, got, put;

		if (*pos >= size)
			break;
		if (n > size - *pos)
			n = (size_t)(size - *pos);
		e = object_read(o, *pos, bounce, n, &got);
		if (got > 0) {
			enum error copy = io_put(io, bounce, got, &put);

			*pos += put;
			total += put;
			if (copy != OK)
				e = copy;
			if (total % BLOCK_SIZE < put)
				sched_point();
		} else if (e == OK) {
			break; /* truncated meanwhile */
		}
	}
	kfree(&f->vm->kmalloc, bounce);
	return total ? (long)total : errno_of(e);
}

/*
 * Files are memory that no kill gives back: they may not grow into the last
 * eighth of it. Memory is full for them then, and programs go on.
 */
static bool memory_full(struct vm *vm) { return frames_available(&vm->frames) < vm->frames.ram / FILES_RESERVE; }

static long regular_write(struct file *f, struct io *io, uint64_t *pos)
{
	struct vnode *v = f->vnode;
	size_t room, total = 0;
	enum error e = OK;
	bool full = false;
	uint64_t before;
	char *bounce;

	if (io->left == 0)
		return 0;
	bounce = bounce_get(f->vm, io->left, &room);
	if (!bounce)
		return -ENOMEM;
	mutex_lock(&v->io);
	before = object_size(v->object);
	/* relaxed: O_APPEND set by a racing F_SETFL may or may not count yet */
	if (atomic_load_relaxed(&f->flags) & O_APPEND)
		*pos = object_size(v->object);
	if (*pos > VNODE_SIZE_MAX || io->left > VNODE_SIZE_MAX - *pos) {
		mutex_unlock(&v->io);
		kfree(&f->vm->kmalloc, bounce);
		return -EFBIG;
	}
	while (io->left > 0 && e == OK) {
		size_t n = io->left < room ? io->left : room, got, done = 0;
		enum error copy;

		full = *pos + n > object_size(v->object) && memory_full(f->vm);
		if (full)
			break;
		copy = io_get(io, bounce, n, &got);
		if (got > 0)
			e = object_write(v->object, *pos, bounce, got, &done);
		*pos += done;
		total += done;
		/* A page was missing: the file ends where its bytes end. */
		if (e != OK && object_size(v->object) > before &&
		    object_resize(v->object, total > 0 && *pos > before ? *pos : before) != OK)
			e = ERR_IO;
		if (e == OK)
			e = copy;
		if (total % BLOCK_SIZE < done)
			sched_point();
	}
	mutex_unlock(&v->io);
	kfree(&f->vm->kmalloc, bounce);
	if (total)
		atomic_store_relaxed(&v->mtime, fs_now(v->fs)); /* an attribute of its own */
	return total ? (long)total : full ? -ENOSPC : errno_of(e);
}

static long regular_size(struct file *f) { return (long)object_size(f->vnode->object); }

static long regular_mmap(struct file *f, bool shared, struct mmap_target *target)
{
	(void)shared;
	object_reference(f->vnode->object);
	target->object = f->vnode->object;
	return 0;
}

static const struct file_ops regular_ops = {
	.name = "file",
	.read = regular_read,
	.write = regular_write,
	.size = regular_size,
	.mmap = regular_mmap,
	.seekable = true,
};

static long directory_readdir(struct file *f, uint64_t *pos, file_emit_fn *emit, void *arg)
{
	struct vnode *v = f->vnode;
	struct vnode *up = v->parent;

	if (*pos == 0) {
		if (!emit(arg, ".", 1, v->ino, VNODE_DIRECTORY, 1))
			return 0;
		*pos = 1;
	}
	if (*pos == 1) {
		if (!emit(arg, "..", 2, up ? up->ino : v->ino, VNODE_DIRECTORY, 2))
			return 0;
		*pos = 2;
	}
	return v->ops && v->ops->readdir ? v->ops->readdir(v, pos, emit, arg) : fs_readdir(v, pos, emit, arg);
}

static const struct file_ops directory_ops = {
	.name = "directory",
	.readdir = directory_readdir,
	.seekable = true,
};

/* Flags that say how to open, not what the open file is like. */
#define TRANSIENT_FLAGS (uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

/* What O_PATH opens: a place, nothing to read. */
static const struct file_ops path_ops = {.name = "path"};

long vnode_open_into(struct vnode *v, uint32_t flags, struct file *file)
{
	const struct file_ops *ops = v->fops;
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	void *data = v->data;
	long e = 0;

	if ((flags & O_DIRECTORY) && v->kind != VNODE_DIRECTORY)
		return -ENOTDIR;
	if (flags & O_PATH)
		ops = &path_ops;
	else if (v->kind == VNODE_SYMLINK)
		return -ELOOP;
	else if (v->kind == VNODE_DIRECTORY)
		ops = &directory_ops, e = writes ? -EISDIR : 0;
	else if (v->ops && v->ops->open)
		e = v->ops->open(v, &ops, &data);
	else if (v->object)
		ops = &regular_ops;
	if (!e && !ops)
		e = -ENXIO;
	if (!e && v->object && (flags & O_TRUNC) && writes && !(flags & O_PATH))
		e = vnode_resize(v, 0);
	if (e)
		return e;
	vnode_reference(v);
	file_init(file, v->fs->vm, v->fs, v, ops, data, flags & ~TRANSIENT_FLAGS);
	return 0;
}

long vnode_open(struct vnode *v, uint32_t flags, struct file **out)
{
	struct file *file = file_alloc(v->fs->vm);
	long e = file ? vnode_open_into(v, flags, file) : -ENOMEM;

	if (e)
		kfree(&v->fs->vm->kmalloc, file);
	else
		*out = file;
	return e;
}
