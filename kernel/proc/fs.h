/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fs.h: the tree of names. One file system in memory: filled from the
 * initrd at boot, then changed by programs like a tmpfs. A regular file's bytes
 * are the pages of a vm_object, so that what is mapped and what is read are the
 * same memory. Theory: fs.c.
 */
#ifndef PROC_FS_H
#define PROC_FS_H

#include "proc/errno.h"
#include "proc/file.h"
#include "vm/object.h"

struct machine_info;
struct proc_system;

#define PATH_BYTES 4096 /* with the NUL */
#define NAME_BYTES 255  /* without */
#define NAME_OWN_BYTES 40
#define VNODE_SIZE_MAX (UINT64_C(1) << 46) /* bytes of a file: far beyond memory, far below overflow */
#define SYMLINK_DEPTH 40

enum vnode_kind { /* values of d_type */
		  VNODE_PIPE = 1,
		  VNODE_DEVICE = 2,
		  VNODE_DIRECTORY = 4,
		  VNODE_FILE = 8,
		  VNODE_SYMLINK = 10,
		  VNODE_ANON = 0, /* eventfd and the like */
};

/* What a vnode may do otherwise than the tree in memory: for /proc. All may wait; no lock held. */
struct vnode_ops {
	/* A child by name, with a reference: 0, -ENOENT, -ENOMEM. */
	long (*lookup)(struct vnode *dir, const char *name, size_t length, struct vnode **out);
	/* As file_ops.readdir, behind . and ..; *pos counts from 2. */
	long (*readdir)(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg);
	/* The target of a symbolic link into buffer (size bytes, no NUL needed): length or -errno. */
	long (*readlink)(struct vnode *v, char *buffer, size_t size);
	/* The file that a magic link leads to, with a reference; NULL in the table: go by readlink. */
	long (*follow)(struct vnode *v, struct vnode **out);
	/* Prepares an open file's ops and data, which ops->close will give back. */
	long (*open)(struct vnode *v, const struct file_ops **ops, void **data);
	/* The last reference is gone. */
	void (*destroy)(struct vnode *v);
};

/*
 * c: fixed at creation; t: fs->lock (the tree's mutex); i: the vnode's io mutex; a: atomic, relaxed
 * (attributes that nobody combines)
 */
struct vnode {
	struct refcount refs;
	struct fs *fs;               /* c */
	enum vnode_kind kind;        /* c */
	uint64_t ino;                /* c */
	uint64_t rdev;               /* c: devices */
	ATOMIC(uint32_t) mode;       /* a: permission bits */
	ATOMIC(uint32_t) uid, gid;   /* a */
	ATOMIC(uint32_t) links;      /* t to write */
	ATOMIC(uint64_t) mtime;      /* a: ns since the epoch */
	const struct vnode_ops *ops; /* c: NULL for the tree in memory */
	const struct file_ops *fops; /* c: devices and others; NULL: by kind */
	void *data;                  /* c: the ops' own */
	uint64_t data2;              /* c */
	/* regular files */
	struct mutex io;          /* writes, resizes and O_APPEND's position */
	struct vm_object *object; /* c: a reference; NULL when not a regular file */
	/* symbolic links */
	char *target;           /* c */
	uint32_t target_length; /* c */
	/* directories */
	struct list entries;  /* t: struct dirent, by cookie */
	uint64_t next_cookie; /* t */
	struct dirent *where; /* t: one of the names that lead here, or NULL */
	/* what is in no directory's list: /proc's nodes, pipes, memfd */
	struct vnode *parent;          /* c: a reference, or NULL */
	char own_name[NAME_OWN_BYTES]; /* c */
	struct list all;               /* t: fs->vnodes, regular files only */
};

/* A name in a directory. All fields: t. */
struct dirent {
	struct list link;   /* dir->entries */
	struct list hash;   /* fs->names */
	struct vnode *dir;  /* not a reference: a directory with entries lives */
	struct vnode *node; /* a reference */
	uint64_t cookie;
	uint32_t length;
	char name[]; /* with NUL */
};

#define FS_NAME_BUCKETS 256
#define FS_VNODE_BUCKETS 256

struct fs {
	struct vm *vm;     /* c */
	struct mutex lock; /* the tree: names, links, parents */
	struct list names[FS_NAME_BUCKETS];
	struct list vnodes[FS_VNODE_BUCKETS]; /* by ino */
	struct vnode *root;                   /* c */
	ATOMIC(uint64_t) next_ino;
	uint64_t epoch_ns; /* c: wall clock at boot */
};

/* Boot: an empty root. => -ENOMEM. */
long fs_init(struct fs *fs, struct vm *vm) MUST_CHECK;

void vnode_reference(struct vnode *v);
void vnode_release(struct vnode *v); /* NULL is fine; may wait */

/* --- by path; thread context, no lock. dir: where relative paths begin (the caller holds a reference). --- */

#define LOOKUP_NOFOLLOW 1 /* a symbolic link at the end is itself the answer */
#define LOOKUP_PARENT 2   /* the same, a slash behind it or not: the name is what matters */

/* The vnode, referenced. -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EACCES, -ENOMEM. */
long fs_lookup(struct fs *fs, struct vnode *dir, const char *path, unsigned flags, struct vnode **out) MUST_CHECK;

/* The same for execve: also -EACCES unless it is a regular file with an execute bit. Its bytes: (*out)->object. */
long fs_lookup_exec(struct fs *fs, struct vnode *dir, const char *path, struct vnode **out) MUST_CHECK;

/* open(2) without the descriptor. */
long fs_open(struct fs *fs, struct vnode *dir, const char *path, uint32_t flags, uint32_t mode,
	     struct file **out) MUST_CHECK;

/* An open file on a vnode that is known already (takes a reference of its own). */
long vnode_open(struct vnode *v, uint32_t flags, struct file **out) MUST_CHECK;

/* The same in memory from file_alloc, which stays the caller's on error: a file of the tree then needs no memory more. */
long vnode_open_into(struct vnode *v, uint32_t flags, struct file *file) MUST_CHECK;

/*
 * A new file, directory, symbolic link or device under that name, referenced
 * (out NULL: not wanted). -EEXIST and the errors of lookup.
 */
long fs_make(struct fs *fs, struct vnode *dir, const char *path, enum vnode_kind kind, uint32_t mode,
	     const char *target, struct vnode **out) MUST_CHECK;
long fs_link(struct fs *fs, struct vnode *v, struct vnode *dir, const char *path) MUST_CHECK;
long fs_unlink(struct fs *fs, struct vnode *dir, const char *path, bool directory) MUST_CHECK;

#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
long fs_rename(struct fs *fs, struct vnode *from_dir, const char *from, struct vnode *to_dir, const char *to,
	       unsigned flags) MUST_CHECK;

/* A vnode without a name: pipes, memfd, eventfd, /proc's nodes. One reference. A file has an empty object. => -ENOMEM.
 */
long vnode_create(struct fs *fs, enum vnode_kind kind, uint32_t mode, struct vnode **out) MUST_CHECK;

/* The same, but a file has no object: for what has operations of its own. */
long vnode_create_bare(struct fs *fs, enum vnode_kind kind, uint32_t mode, struct vnode **out) MUST_CHECK;

/* Sets own_name, cut to fit, before anybody else knows v. Integer formats and %s only. */
void vnode_name(struct vnode *v, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives v, which has no name yet, that name: for boot's devices and /proc. */
long fs_attach(struct fs *fs, const char *path, struct vnode *v) MUST_CHECK;

/* True for a directory that a program made its own by no name any more (removed). */
bool vnode_removed(const struct vnode *v);

/* As file_ops.readdir, for a directory of the tree. */
long fs_readdir(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg) MUST_CHECK;

/* The absolute path of v into buffer, NUL-terminated: length, or -ENOENT when no name leads there, -ERANGE. */
long vnode_path(struct vnode *v, char *buffer, size_t size) MUST_CHECK;

/* The vnode with that inode number, referenced, or NULL. */
struct vnode *fs_by_ino(struct fs *fs, uint64_t ino) MUST_CHECK;

/* Sets a regular file's size. -EINVAL, -ENOMEM, -EPERM (sealed). */
long vnode_resize(struct vnode *v, uint64_t size) MUST_CHECK;

/* Bytes of a regular file or symbolic link; 0 for others. */
uint64_t vnode_size(const struct vnode *v);

/*
 * Boot: unpacks the newc cpio archive into the tree without copying file data.
 * One line "initrd: ..." and power-off when it is broken.
 */
void initrd_mount(struct fs *fs, const struct machine_info *info);

/* Wall clock, ns since 1970. Any context. */
uint64_t fs_now(const struct fs *fs);

#endif
