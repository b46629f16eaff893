/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/fs_walk.h: from a path to the place it names; for fs.c only. Thread context, no lock unless said otherwise. */
#ifndef PROC_FS_WALK_H
#define PROC_FS_WALK_H

#include "proc/fs.h"

/* Where a path ends. */
struct walk {
	struct vnode *dir;  /* a reference */
	struct vnode *node; /* a reference, or NULL: no such name in dir */
	size_t length;
	bool special; /* the path ends in /, . or ..: node and dir are that directory; name: "", "." or ".." */
	bool slash;   /* a slash behind the name: it must be a directory */
	char name[NAME_BYTES + 1];
};

/*
 * Follows path from dir (NULL: the root) to its last name. flags: LOOKUP_*.
 * => 0: *w filled, walk_done is due. -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG,
 * -ENOMEM and what /proc says: nothing is held.
 */
long walk(struct fs *fs, struct vnode *dir, const char *path, unsigned flags, struct walk *w) MUST_CHECK;
void walk_done(struct walk *w);

/* The hash chain of a name, and the name on it or NULL. fs->lock held. */
struct list *fs_names(struct fs *fs, const struct vnode *dir, const char *name, size_t length);
struct dirent *fs_find_locked(struct fs *fs, const struct vnode *dir, const char *name, size_t length);

#endif
