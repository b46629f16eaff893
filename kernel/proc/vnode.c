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
		if (object_create(fs->vm, (struct oid){0, v->ino}, &pager_zero, NULL, 0, 0, &v->object) != OK) {
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
	LIST_FOR(it, bucket_of(fs, ino))
	{
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
