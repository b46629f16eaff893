/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fs.c: the tree of names.
 *
 *	root -- entries --> dirent "bin" --> vnode (directory) -- entries --> dirent "sh" --> vnode (file) --> vm_object
 *	                    dirent "proc" -> vnode with ops: its children are made when they are looked up
 *
 * A directory lists its names in the order of their making (cookie), which is
 * what getdents resumes by; a hash of (directory, name) finds one. A vnode with
 * ops is a small file system of its own (/proc): the walk asks it for children
 * instead of the hash, and nothing can be made in it.
 *
 * Every call by path goes through walk() (fs_walk.c), which ends at the last name of the
 * path: the directory, the name, and the vnode there if there is one. What
 * changes the tree allocates first, then takes the lock, looks again whether the
 * name is still as the walk found it, and swaps pointers: nothing fails half-way.
 *
 * Invariants
 *  1. A dirent holds a reference on its vnode; links counts the dirents of a vnode.
 *  2. A directory has one dirent that leads to it (where), or none and links 0:
 *     removed, then nothing can be made in it. The root has links 1 and none.
 *  3. cookies ascend along entries and are never used twice in a directory.
 *
 * Locking: fs->lock, a mutex, for everything above. The walk takes it for each
 * component and holds references between, so a directory may be moved or
 * removed under it; the second look catches that.
 *
 * Permissions: every program is the super-user, so modes matter to execve only.
 */
#include <string.h>

#include "base/assert.h"
#include "proc/fs_walk.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

long fs_init(struct fs *fs, struct vm *vm)
{
	long e;

	*fs = (struct fs){.vm = vm};
	mutex_init(&fs->lock);
	for (unsigned i = 0; i < FS_NAME_BUCKETS; i++)
		list_init(&fs->names[i]);
	for (unsigned i = 0; i < FS_VNODE_BUCKETS; i++)
		list_init(&fs->vnodes[i]);
	/* relaxed: boot */
	atomic_store_relaxed(&fs->next_ino, UINT64_C(1));
	e = vnode_create(fs, VNODE_DIRECTORY, 0755, &fs->root);
	if (!e)
		atomic_store_relaxed(&fs->root->links, 1u);
	return e;
}

static struct dirent *dirent_create(struct fs *fs, const char *name, size_t length)
{
	struct dirent *d = kmalloc(&fs->vm->kmalloc, sizeof *d + length + 1);

	if (!d)
		return NULL;
	*d = (struct dirent){.length = (uint32_t)length};
	memcpy(d->name, name, length);
	d->name[length] = '\0';
	return d;
}

/* relaxed: links is written under the lock; readers outside take what they get */
static void links_add_locked(struct vnode *v, int n)
{
	atomic_store_relaxed(&v->links, atomic_load_relaxed(&v->links) + (uint32_t)n);
}

/* Puts the name in. The dirent takes a reference on node. */
static void insert_locked(struct fs *fs, struct vnode *dir, struct dirent *d, struct vnode *node)
{
	vnode_reference(node);
	d->dir = dir;
	d->node = node;
	d->cookie = dir->next_cookie++;
	list_append(&dir->entries, &d->link);
	list_push(fs_names(fs, dir, d->name, d->length), &d->hash);
	links_add_locked(node, 1);
	node->where = d;
	atomic_store_relaxed(&dir->mtime, fs_now(fs)); /* an attribute of its own */
}

/* Takes the name out. => its reference on the node is the caller's to release, outside the lock. */
static struct vnode *remove_locked(struct fs *fs, struct dirent *d)
{
	struct vnode *node = d->node;

	list_remove(&d->link);
	list_remove(&d->hash);
	links_add_locked(node, -1);
	if (node->where == d) {
		node->where = NULL;
		/* relaxed: under the lock */
		for (unsigned i = 0; i < FS_NAME_BUCKETS && atomic_load_relaxed(&node->links) > 0 && !node->where; i++)
			LIST_FOR(it, &fs->names[i])
		if (CONTAINER_OF(it, struct dirent, hash)->node == node)
			node->where = CONTAINER_OF(it, struct dirent, hash);
	}
	atomic_store_relaxed(&d->dir->mtime, fs_now(fs)); /* an attribute of its own */
	return node;
}

long fs_lookup(struct fs *fs, struct vnode *dir, const char *path, unsigned flags, struct vnode **out)
{
	struct walk w;
	long e = walk(fs, dir, path, flags, &w);

	if (e)
		return e;
	*out = w.node;
	vnode_release(w.dir);
	return w.node ? 0 : -ENOENT;
}

long fs_lookup_exec(struct fs *fs, struct vnode *dir, const char *path, struct vnode **out)
{
	long e = fs_lookup(fs, dir, path, 0, out);

	if (e)
		return e;
	/* relaxed: a racing chmod may or may not count yet */
	if ((*out)->object && (atomic_load_relaxed(&(*out)->mode) & 0111))
		return 0;
	vnode_release(*out);
	return -EACCES;
}

/* Gives node the name that the walk ended at. => -EEXIST, -ENOENT (directory removed), -EPERM (/proc), -ENOMEM. */
static long link_at(struct fs *fs, struct walk *w, struct vnode *node)
{
	struct dirent *d;
	long e = 0;

	if (w->node)
		return -EEXIST;
	if (w->dir->ops)
		return -EPERM;
	d = dirent_create(fs, w->name, w->length);
	if (!d)
		return -ENOMEM;
	mutex_lock(&fs->lock);
	if (vnode_removed(w->dir))
		e = -ENOENT;
	else if (fs_find_locked(fs, w->dir, w->name, w->length))
		e = -EEXIST;
	else
		insert_locked(fs, w->dir, d, node);
	mutex_unlock(&fs->lock);
	if (e)
		kfree(&fs->vm->kmalloc, d);
	return e;
}

/* A new vnode at the walk's end. */
static long make_at(struct fs *fs, struct walk *w, enum vnode_kind kind, uint32_t mode, const char *target,
		    struct vnode **out)
{
	struct vnode *v;
	long e;

	if (w->node)
		return -EEXIST;
	if (w->slash && kind != VNODE_DIRECTORY)
		return kind == VNODE_FILE ? -EISDIR : -ENOENT;
	e = vnode_create(fs, kind, mode & 07777, &v);
	if (e)
		return e;
	if (target) {
		v->target_length = (uint32_t)strlen(target);
		v->target = kmalloc(&fs->vm->kmalloc, v->target_length + 1u);
		if (v->target)
			memcpy(v->target, target, v->target_length + 1u);
		else
			e = -ENOMEM;
	}
	if (!e)
		e = link_at(fs, w, v);
	if (e || !out)
		vnode_release(v);
	else
		*out = v;
	return e;
}

long fs_make(struct fs *fs, struct vnode *dir, const char *path, enum vnode_kind kind, uint32_t mode,
	     const char *target, struct vnode **out)
{
	struct walk w;
	long e = walk(fs, dir, path, LOOKUP_PARENT, &w);

	if (e)
		return e;
	e = make_at(fs, &w, kind, mode, target, out);
	walk_done(&w);
	return e;
}

long fs_attach(struct fs *fs, const char *path, struct vnode *v)
{
	struct walk w;
	long e = walk(fs, NULL, path, LOOKUP_PARENT, &w);

	if (e)
		return e;
	e = link_at(fs, &w, v);
	walk_done(&w);
	return e;
}

long fs_link(struct fs *fs, struct vnode *v, struct vnode *dir, const char *path)
{
	struct walk w;
	long e;

	if (v->kind == VNODE_DIRECTORY)
		return -EPERM;
	if (v->ops)
		return -EXDEV;
	e = walk(fs, dir, path, LOOKUP_PARENT, &w);
	if (e)
		return e;
	e = w.node ? -EEXIST : w.slash ? -ENOENT : link_at(fs, &w, v);
	walk_done(&w);
	return e;
}

long fs_open(struct fs *fs, struct vnode *dir, const char *path, uint32_t flags, uint32_t mode, struct file **out)
{
	bool create = (flags & O_CREAT) && !(flags & O_PATH);
	unsigned how = flags & O_NOFOLLOW || (create && flags & O_EXCL) ? LOOKUP_NOFOLLOW : 0;
	struct file *file = file_alloc(fs->vm); /* before anything is made or cut */
	struct walk w;
	long e = file ? 0 : -ENOMEM;

	if (e)
		return e;
	do {
		struct vnode *v;

		e = walk(fs, dir, path, how, &w);
		if (e)
			break;
		v = w.node;
		if (create && v && flags & O_EXCL)
			e = -EEXIST;
		else if (create && v && v->kind == VNODE_DIRECTORY)
			e = -EISDIR;
		else if (create && !v)
			e = make_at(fs, &w, VNODE_FILE, mode, NULL, &v);
		else if (!v)
			e = -ENOENT;
		if (!e) {
			e = vnode_open_into(v, flags, file);
			if (v != w.node)
				vnode_release(v);
		} else if (e == -EEXIST && create && !w.node && !(flags & O_EXCL)) {
			e = -EAGAIN; /* somebody else made it since the walk: open theirs */
		}
		walk_done(&w);
	} while (e == -EAGAIN);
	if (e)
		kfree(&fs->vm->kmalloc, file);
	else
		*out = file;
	return e;
}

long fs_unlink(struct fs *fs, struct vnode *dir, const char *path, bool directory)
{
	struct vnode *node = NULL;
	struct dirent *d = NULL;
	struct walk w;
	long e = walk(fs, dir, path, LOOKUP_PARENT, &w);

	if (e)
		return e;
	if (w.special)
		e = !directory ? -EISDIR : w.length == 0 ? -EBUSY : w.length == 1 ? -EINVAL : -ENOTEMPTY;
	else if (!w.node)
		e = -ENOENT;
	else if (w.dir->ops)
		e = -EPERM;
	else if (directory != (w.node->kind == VNODE_DIRECTORY))
		e = directory ? -ENOTDIR : -EISDIR;
	else if (!directory && w.slash)
		e = -ENOTDIR;
	if (!e) {
		mutex_lock(&fs->lock);
		d = fs_find_locked(fs, w.dir, w.name, w.length);
		if (!d || d->node != w.node)
			e = -ENOENT, d = NULL;
		else if (directory && w.node->ops)
			e = -EBUSY, d = NULL;
		else if (directory && !list_empty(&w.node->entries))
			e = -ENOTEMPTY, d = NULL;
		else
			node = remove_locked(fs, d);
		mutex_unlock(&fs->lock);
	}
	kfree(&fs->vm->kmalloc, d);
	vnode_release(node);
	walk_done(&w);
	return e;
}

/* True when dir is node or lies below it. */
static bool below_locked(const struct vnode *dir, const struct vnode *node)
{
	while (dir && dir != node)
		dir = dir->where ? dir->where->dir : NULL;
	return dir != NULL;
}

/* Whether `from` may take the place of `to` (NULL: free). */
static long rename_allowed_locked(const struct walk *from, const struct walk *to, const struct dirent *source,
				  const struct dirent *target, unsigned flags)
{
	bool is_dir, over_dir;

	if (!source || source->node != from->node)
		return -ENOENT;
	if (vnode_removed(to->dir))
		return -ENOENT;
	if (source->node->ops || (target && target->node->ops))
		return -EBUSY;
	is_dir = source->node->kind == VNODE_DIRECTORY;
	if (!is_dir && from->slash)
		return -ENOTDIR;
	if (is_dir && below_locked(to->dir, source->node))
		return -EINVAL;
	if (!target)
		return flags & RENAME_EXCHANGE ? -ENOENT : !is_dir && to->slash ? -ENOTDIR : 0;
	over_dir = target->node->kind == VNODE_DIRECTORY;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (flags & RENAME_EXCHANGE)
		return over_dir && below_locked(from->dir, target->node) ? -EINVAL : 0;
	if (is_dir != over_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	return over_dir && !list_empty(&target->node->entries) ? -ENOTEMPTY : 0;
}

/* The two names lead to each other's vnodes from now on. */
static void exchange_locked(struct dirent *a, struct dirent *b)
{
	struct vnode *node = a->node;

	a->node = b->node;
	b->node = node;
	a->node->where = a;
	b->node->where = b;
}

long fs_rename(struct fs *fs, struct vnode *from_dir, const char *from, struct vnode *to_dir, const char *to,
	       unsigned flags)
{
	struct dirent *source, *target, *fresh = NULL, *gone = NULL, *moved = NULL;
	struct vnode *drop = NULL, *keep = NULL;
	struct walk a, b;
	long e = walk(fs, from_dir, from, LOOKUP_PARENT, &a);

	if (e)
		return e;
	e = walk(fs, to_dir, to, LOOKUP_PARENT, &b);
	if (e) {
		walk_done(&a);
		return e;
	}
	if (a.special || b.special)
		e = -EBUSY;
	else if (!a.node)
		e = -ENOENT;
	else if (a.dir->ops || b.dir->ops)
		e = -EXDEV;
	else if (!(fresh = dirent_create(fs, b.name, b.length)))
		e = -ENOMEM;
	if (!e) {
		mutex_lock(&fs->lock);
		source = fs_find_locked(fs, a.dir, a.name, a.length);
		target = fs_find_locked(fs, b.dir, b.name, b.length);
		e = rename_allowed_locked(&a, &b, source, target, flags);
		if (!e && target && target->node == source->node) {
			/* two names of one file: nothing to do */
		} else if (!e && flags & RENAME_EXCHANGE) {
			exchange_locked(source, target);
		} else if (!e) {
			if (target)
				drop = remove_locked(fs, target), gone = target;
			keep = remove_locked(fs, source), moved = source;
			insert_locked(fs, b.dir, fresh, keep);
			fresh = NULL;
		}
		mutex_unlock(&fs->lock);
	}
	kfree(&fs->vm->kmalloc, fresh);
	kfree(&fs->vm->kmalloc, gone);
	kfree(&fs->vm->kmalloc, moved);
	vnode_release(drop);
	vnode_release(keep);
	walk_done(&a);
	walk_done(&b);
	return e;
}
