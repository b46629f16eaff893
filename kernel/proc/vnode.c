/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/vnode.c: what names lead to: files, directories, links, devices.
 *
 * A vnode is counted by reference: each name that leads to it holds one, each
 * open file, each process whose current directory it is. A regular file's bytes
 * are the pages of its object; mappings hold the object, not the vnode, so a
 * file that is unlinked and closed stays mapped.
 *
 * Regular files are found by inode number too (fs_by_ino), because an address
 * space knows a mapped file only by its object's oid {0, ino}: /proc/<pid>/maps
 * makes a path of that without keeping strings for ever.
 *
 * Invariants
 *  1. A vnode on fs->vnodes is a regular file; fs_by_ino returns one only if its
 *     count was not 0 yet.
 *  2. where, if set, is a name in the tree that leads here.
 *
 * Locking: fs->lock (mutex) for the table of inode numbers and for paths;
 * vnode->io (mutex) around whatever changes a file's size. io is taken with
 * nothing held, fs->lock never while io is held.
 */
#include <string.h>

#include "hal/machine.h"
#include "proc/fs.h"
#include "proc/text.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

/* Bytes that a file may have at most: far beyond memory, far below overflow. */
#define VNODE_SIZE_MAX (UINT64_C(1) << 46)

uint64_t fs_now(const struct fs *fs) { return fs->epoch_ns + machine_now(); }

static struct list *bucket_of(struct fs *fs, uint64_t ino) { return &fs->vnodes[ino % FS_VNODE_BUCKETS]; }

long vnode_create_bare(struct fs *fs, enum vnode_kind kind, uint32_t mode, struct vnode **out)
{
	struct vnode *v = kmalloc_zero(&fs->vm->kmalloc, sizeof *v);

	if (!v)
		return -ENOMEM;
	ref_init(&v->refs, 1);
	v->fs = fs;
	v->kind = kind;
	/* relaxed, all of these: numbers need only be different, and nobody else has the vnode yet */
	v->ino = atomic_add_relaxed(&fs->next_ino, UINT64_C(1));
	atomic_store_relaxed(&v->mode, mode);
	atomic_store_relaxed(&v->mtime, fs_now(fs));
	atomic_store_relaxed(&v->links, 0u);
	mutex_init(&v->io);
	list_init(&v->entries);
	list_init(&v->all);
	v->next_cookie = 2;
	*out = v;
	return 0;
}

long vnode_create(struct fs *fs, enum vnode_kind kind, uint32_t mode, struct vnode **out)
{
	struct vnode *v;
	long e = vnode_create_bare(fs, kind, mode, &v);

	if (!e && kind == VNODE_FILE) {
		if (object_create(fs->vm, (struct oid){ 0, v->ino }, &pager_zero, NULL, 0, 0, &v->object) != OK) {
			kfree(&fs->vm->kmalloc, v);
			return -ENOMEM;
		}
		mutex_lock(&fs->lock);
		list_push(bucket_of(fs, v->ino), &v->all);
		mutex_unlock(&fs->lock);
	}
	*out = v;
	return e;
}

void vnode_name(struct vnode *v, const char *format, ...)
{
	struct text t;
	va_list args;

	text_init_fixed(&t, v->own_name, sizeof v->own_name);
	va_start(args, format);
	text_vprintf(&t, format, args);
	va_end(args);
}

void vnode_reference(struct vnode *v) { ref_get(&v->refs); }

void vnode_release(struct vnode *v)
{
	struct vnode *parent;

	for (; v && ref_put(&v->refs); v = parent) {
		struct fs *fs = v->fs;

		if (v->object) {
			mutex_lock(&fs->lock);
			list_remove(&v->all);
			mutex_unlock(&fs->lock);
		}
		if (v->ops && v->ops->destroy)
			v->ops->destroy(v);
		if (v->object)
			object_release(v->object);
		kfree(&fs->vm->kmalloc, v->target);
		parent = v->parent;
		kfree(&fs->vm->kmalloc, v);
	}
}

struct vnode *fs_by_ino(struct fs *fs, uint64_t ino)
{
	struct vnode *found = NULL;

	mutex_lock(&fs->lock);
	LIST_FOR (it, bucket_of(fs, ino)) {
		struct vnode *v = CONTAINER_OF(it, struct vnode, all);

		if (v->ino == ino && ref_get_unless_zero(&v->refs)) {
			found = v;
			break;
		}
	}
	mutex_unlock(&fs->lock);
	return found;
}

uint64_t vnode_size(const struct vnode *v)
{
	if (v->object)
		return object_size(v->object);
	return v->kind == VNODE_SYMLINK ? v->target_length : 0;
}

/* Puts text in front of what is at *at, growing towards the buffer's start. */
static bool prepend(char *buffer, size_t *at, const char *text, size_t length)
{
	if (length > *at)
		return false;
	*at -= length;
	memcpy(buffer + *at, text, length);
	return true;
}

long vnode_path(struct vnode *v, char *buffer, size_t size)
{
	struct fs *fs = v->fs;
	size_t at = size;
	long result = 0;

	if (size < 2)
		return -ERANGE;
	if (!v->where && !v->parent && v->own_name[0]) { /* "pipe:[5]" and the like are no paths */
		size_t n = strlen(v->own_name);

		if (n + 1 > size)
			return -ERANGE;
		memcpy(buffer, v->own_name, n + 1);
		return (long)n;
	}
	buffer[--at] = '\0';
	mutex_lock(&fs->lock);
	if (v == fs->root && !prepend(buffer, &at, "/", 1))
		result = -ERANGE;
	while (v != fs->root && !result) {
		const char *name = v->where ? v->where->name : v->own_name;
		size_t length = v->where ? v->where->length : strlen(v->own_name);
		struct vnode *up = v->where ? v->where->dir : v->parent;

		if (!up)
			result = -ENOENT;
		else if (!prepend(buffer, &at, name, length) || !prepend(buffer, &at, "/", 1))
			result = -ERANGE;
		v = up;
	}
	mutex_unlock(&fs->lock);
	if (result)
		return result;
	memmove(buffer, buffer + at, size - at);
	return (long)(size - at - 1);
}

bool vnode_removed(const struct vnode *v)
{
	/* relaxed: a directory that is removed at this moment may be either */
	return v->kind == VNODE_DIRECTORY && !v->ops && atomic_load_relaxed(&v->links) == 0;
}

long vnode_resize(struct vnode *v, uint64_t size)
{
	enum error e;

	if (v->kind == VNODE_DIRECTORY)
		return -EISDIR;
	if (!v->object)
		return -EINVAL;
	if (size > VNODE_SIZE_MAX)
		return -EFBIG;
	mutex_lock(&v->io);
	e = object_resize(v->object, size);
	mutex_unlock(&v->io);
	if (e == OK)
		atomic_store_relaxed(&v->mtime, fs_now(v->fs)); /* an attribute of its own */
	return errno_of(e);
}

/* --- regular files and directories as open files --- */

/* Bytes at a time between a program's memory and an object's. */
#define BOUNCE_BYTES (size_t)16384

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
		} else if (e == OK) {
			break; /* truncated meanwhile */
		}
	}
	kfree(&f->vm->kmalloc, bounce);
	return total ? (long)total : errno_of(e);
}

static long regular_write(struct file *f, struct io *io, uint64_t *pos)
{
	struct vnode *v = f->vnode;
	size_t room, total = 0;
	enum error e = OK;
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
		enum error copy = io_get(io, bounce, n, &got);

		if (got > 0)
			e = object_write(v->object, *pos, bounce, got, &done);
		*pos += done;
		total += done;
		/* A page was missing: the file ends where its bytes end. */
		if (e != OK && object_size(v->object) > before && object_resize(v->object, *pos > before ? *pos : before) != OK)
			e = ERR_IO;
		if (e == OK)
			e = copy;
	}
	mutex_unlock(&v->io);
	kfree(&f->vm->kmalloc, bounce);
	if (total)
		atomic_store_relaxed(&v->mtime, fs_now(v->fs)); /* an attribute of its own */
	return total ? (long)total : errno_of(e);
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
static const struct file_ops path_ops = { .name = "path" };

long vnode_open(struct vnode *v, uint32_t flags, struct file **out)
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
	e = file_create(v->fs->vm, v->fs, v, ops, data, flags & ~TRANSIENT_FLAGS, out);
	if (e && data != v->data && ops->close) {
		struct file never = { .vm = v->fs->vm, .vnode = v, .data = data };

		ops->close(&never); /* gives back what open has made */
	}
	return e;
}
