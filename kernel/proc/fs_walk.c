/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fs_walk.c: reading the tree: from a path to the place it names, and what a
 * directory holds.
 *
 * The walk goes component by component; it holds a reference on the directory it
 * is in and the tree's lock only while it looks a name up. A symbolic link is put
 * in front of what is left of the path in the same buffer, so depth costs no
 * stack; after SYMLINK_DEPTH of them the path is a circle. Links of /proc that
 * lead to a file itself rather than to a path are followed by their follow
 * operation. A directory with operations of its own is asked instead of the tree.
 *
 * The walk ends at the last name, which may not exist: whether that is an error
 * is the caller's business. "/", "." and ".." at the end leave no name to make or
 * remove (special).
 *
 * Buffer: 2 * PATH_BYTES: the path, and room for one link's target behind it.
 */
#include "proc/fs_walk.h"

#include <string.h>

#include "vm/kmalloc.h"
#include "vm/vm.h"

struct list *fs_names(struct fs *fs, const struct vnode *dir, const char *name, size_t length)
{
	uint64_t h = (uint64_t)(uintptr_t)dir >> 4;

	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return &fs->names[(h ^ h >> 32) % FS_NAME_BUCKETS];
}

struct dirent *fs_find_locked(struct fs *fs, const struct vnode *dir, const char *name, size_t length)
{
	LIST_FOR(it, fs_names(fs, dir, name, length))
	{
		struct dirent *d = CONTAINER_OF(it, struct dirent, hash);

		if (d->dir == dir && d->length == length && memcmp(d->name, name, length) == 0)
			return d;
	}
	return NULL;
}

/* The child of that name, referenced: 0, -ENOENT, or what ops say. */
static long child_of(struct vnode *dir, const char *name, size_t length, struct vnode **out)
{
	struct fs *fs = dir->fs;
	struct dirent *d;

	if (dir->ops && dir->ops->lookup)
		return dir->ops->lookup(dir, name, length, out);
	mutex_lock(&fs->lock);
	d = fs_find_locked(fs, dir, name, length);
	if (d) {
		*out = d->node;
		vnode_reference(*out);
	}
	mutex_unlock(&fs->lock);
	return d ? 0 : -ENOENT;
}

/* The directory above, referenced; the root's is the root. */
static struct vnode *parent_of(struct vnode *dir)
{
	struct fs *fs = dir->fs;
	struct vnode *up;

	mutex_lock(&fs->lock);
	up = dir->where ? dir->where->dir : dir->parent ? dir->parent : fs->root;
	vnode_reference(up);
	mutex_unlock(&fs->lock);
	return up;
}

void walk_done(struct walk *w)
{
	vnode_release(w->dir);
	vnode_release(w->node);
}

/*
 * Puts the link's target in front of what is left of the path, which begins at
 * rest within buffer. => 0, -ENAMETOOLONG, -ENOENT or what readlink says.
 */
static long splice_link(struct vnode *link, char *buffer, const char *rest)
{
	size_t left = strlen(rest) + 1;
	const char *target = link->target;
	long length = link->target_length;

	if (link->ops && link->ops->readlink) {
		target = buffer + PATH_BYTES;
		length = link->ops->readlink(link, buffer + PATH_BYTES, PATH_BYTES);
		if (length < 0)
			return length;
	}
	if (length == 0)
		return -ENOENT;
	if ((size_t)length + left > PATH_BYTES)
		return -ENAMETOOLONG;
	memmove(buffer + length, rest, left);
	memcpy(buffer, target, (size_t)length);
	return 0;
}

/* One step of the walk for "." and "..". */
static void step_dots(struct vnode **at, bool up)
{
	if (up) {
		struct vnode *parent = parent_of(*at);

		vnode_release(*at);
		*at = parent;
	}
}

/* Whether a symbolic link at the end is followed. */
static bool follows(const struct walk *w, unsigned flags)
{
	return !(flags & LOOKUP_PARENT) && (w->slash || !(flags & LOOKUP_NOFOLLOW));
}

/* The walk proper; buffer: the path, with room for PATH_BYTES more behind PATH_BYTES. *at: where, a reference. */
static long walk_path(struct fs *fs, char *buffer, unsigned flags, struct vnode **at, struct walk *w)
{
	unsigned links = 0;

	for (char *p = buffer;;) {
		struct vnode *child;
		char *end, *next;
		bool last;
		long e;

		p += strspn(p, "/");
		if (!*p)
			break;
		end = p + strcspn(p, "/");
		next = end + strspn(end, "/");
		last = !*next;
		w->length = (size_t)(end - p);
		if (w->length > NAME_BYTES)
			return -ENAMETOOLONG;
		if ((*at)->kind != VNODE_DIRECTORY)
			return -ENOTDIR;
		memcpy(w->name, p, w->length);
		w->name[w->length] = '\0';
		if (strcmp(w->name, ".") == 0 || strcmp(w->name, "..") == 0) {
			step_dots(at, w->name[1] == '.');
			p = next;
			continue;
		}
		e = child_of(*at, w->name, w->length, &child);
		if (e && (e != -ENOENT || !last))
			return e;
		w->slash = next != end;
		if (e)
			goto found; /* node stays NULL: the last name is not there */
		if (child->kind == VNODE_SYMLINK && (!last || follows(w, flags))) {
			struct vnode *to = NULL;

			if (++links > SYMLINK_DEPTH)
				e = -ELOOP;
			else if (child->ops && child->ops->follow)
				e = child->ops->follow(child, &to);
			else
				e = splice_link(child, buffer, end);
			vnode_release(child);
			if (e)
				return e;
			child = to;
			if (!to) {
				p = buffer;
				if (*p == '/') {
					vnode_release(*at);
					*at = fs->root;
					vnode_reference(*at);
				}
				continue;
			}
		}
		if (last) {
			w->node = child;
			goto found;
		}
		vnode_release(*at);
		*at = child;
		p = next;
	}
	/* "/", "." or "..", or a symbolic link to one of them */
	w->special = true;
	w->node = *at;
	vnode_reference(*at);
found:
	w->dir = *at;
	vnode_reference(*at);
	if (w->node && w->slash && !(flags & LOOKUP_PARENT) && w->node->kind != VNODE_DIRECTORY) {
		walk_done(w);
		return -ENOTDIR;
	}
	return 0;
}

long walk(struct fs *fs, struct vnode *dir, const char *path, unsigned flags, struct walk *w)
{
	size_t length = strnlen(path, PATH_BYTES);
	struct vnode *at = *path == '/' || !dir ? fs->root : dir;
	char *buffer;
	long e;

	*w = (struct walk){.dir = NULL};
	if (length == 0)
		return -ENOENT;
	if (length == PATH_BYTES)
		return -ENAMETOOLONG;
	buffer = kmalloc(&fs->vm->kmalloc, 2 * PATH_BYTES);
	if (!buffer)
		return -ENOMEM;
	memcpy(buffer, path, length + 1);
	vnode_reference(at);
	e = walk_path(fs, buffer, flags, &at, w);
	vnode_release(at);
	kfree(&fs->vm->kmalloc, buffer);
	return e;
}

long fs_readdir(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg)
{
	struct fs *fs = dir->fs;

	mutex_lock(&fs->lock);
	LIST_FOR(it, &dir->entries)
	{
		const struct dirent *d = CONTAINER_OF(it, struct dirent, link);

		if (d->cookie < *pos)
			continue;
		if (!emit(arg, d->name, d->length, d->node->ino, d->node->kind, d->cookie + 1))
			break;
		*pos = d->cookie + 1;
	}
	mutex_unlock(&fs->lock);
	return 0;
}
