/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/file.h: an open file: what a descriptor leads to. It has a position,
 * status flags and a table of operations; several descriptors, of several
 * processes, may share one. Nothing here knows about processes or threads.
 *
 * Operations run in thread context with no lock held and may wait. They move
 * bytes through struct io, which is a user's iovec array or kernel memory; a
 * user copy is done with no spinlock held.
 */
#ifndef PROC_FILE_H
#define PROC_FILE_H

#include "base/atomic.h"
#include "base/error.h"
#include "base/list.h"
#include "sync/mutex.h"
#include "sync/waitq.h"

struct file;
struct fs;
struct vnode;
struct vm;
struct vm_map;
struct vm_object;

/* open(2)'s flags on arm64 */
enum {
	O_ACCMODE = 3,
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECTORY = 040000,
	O_NOFOLLOW = 0100000,
	O_DIRECT = 0200000,
	O_LARGEFILE = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_PATH = 010000000,
	O_TMPFILE = 020000000 | O_DIRECTORY,
};

/* poll(2)'s events */
enum {
	POLLIN = 1,
	POLLPRI = 2,
	POLLOUT = 4,
	POLLERR = 8,
	POLLHUP = 16,
	POLLNVAL = 32,
	POLLRDNORM = 64,
	POLLWRNORM = 256
};

/* --- what is moved --- */

#define IO_VECTORS 1024             /* most pieces of one call */
#define IO_MAX ((size_t)0x7ffff000) /* most bytes that one call moves, as in Linux */

struct iovec {
	uint64_t base;
	uint64_t length;
};

/* A cursor over the memory of one read or write. Owned by one thread. */
struct io {
	const struct iovec *vec; /* kernel copy of the array */
	uint32_t count;
	bool kernel; /* bases are kernel addresses */
	size_t skip; /* bytes of vec[0] that are done */
	size_t left; /* bytes still to move */
};

/* One buffer, in user or kernel memory. */
void io_init_user(struct io *io, struct iovec *v, uint64_t base, size_t length);
void io_init_kernel(struct io *io, struct iovec *v, void *base, size_t length);

/* Moves n <= io->left bytes to / from io's memory. ERR_FAULT: *moved bytes were moved before. Thread context, no
 * spinlock. */
enum error io_put(struct io *io, const void *from, size_t n, size_t *moved) MUST_CHECK;
enum error io_get(struct io *io, void *to, size_t n, size_t *moved) MUST_CHECK;
enum error io_put_zero(struct io *io, size_t n, size_t *moved) MUST_CHECK;

/* --- waiting for several files at once --- */

struct poll_wait; /* poll.h; NULL: just ask */

/* --- open files --- */

/* Takes one directory entry; next: the position behind it. False: no room, it was not taken. */
typedef bool file_emit_fn(void *arg, const char *name, size_t length, uint64_t ino, unsigned type, uint64_t next);

struct mmap_target {
	struct vm_object *object; /* a reference for the caller; NULL: private zeros (/dev/zero) */
};

/* What a file can do. NULL: read, write, ioctl: EINVAL, EINVAL, ENOTTY; poll: always ready; seek: ESPIPE; mmap: ENODEV.
 */
struct file_ops {
	const char *name;
	/* Bytes moved, 0 at the end, or -errno when none was. *pos advances; it is the file's own or a pread's. */
	long (*read)(struct file *f, struct io *io, uint64_t *pos);
	long (*write)(struct file *f, struct io *io, uint64_t *pos);
	unsigned (*poll)(struct file *f, struct poll_wait *pw, unsigned wanted);
	long (*ioctl)(struct file *f, unsigned command, uint64_t argument);
	/* Size for SEEK_END; position 0..2^63-1 is checked by the caller. */
	long (*size)(struct file *f);
	/* Directory entries from *pos on into emit, until it says stop; *pos: behind the last one taken. */
	long (*readdir)(struct file *f, uint64_t *pos, file_emit_fn *emit, void *arg);
	/* The memory behind the file. */
	long (*mmap)(struct file *f, bool shared, struct mmap_target *target);
	/* The last reference is gone. */
	void (*close)(struct file *f);
	bool seekable;
};

/*
 * c: fixed at creation; p: pos_lock; a: atomic
 */
struct file {
	struct refcount refs;
	const struct file_ops *ops; /* c */
	struct vm *vm;              /* c: for its memory */
	struct fs *fs;              /* c */
	struct vnode *vnode;        /* c: a reference; every file has one, pipes an anonymous one */
	void *data;                 /* c: the ops' own */
	ATOMIC(uint32_t) flags;     /* a: O_* of open and F_SETFL */
	struct mutex pos_lock;      /* serialises calls that use pos */
	uint64_t pos;               /* p */
};

/*
 * A new open file with one reference; takes over the caller's reference on v,
 * also on error. Thread context. => -ENOMEM.
 */
long file_create(struct vm *vm, struct fs *fs, struct vnode *v, const struct file_ops *ops, void *data, uint32_t flags,
		 struct file **out) MUST_CHECK;

/* The two halves of it: memory for a file (kfree while it is none, NULL: no memory), and its fields, which cannot fail. */
struct file *file_alloc(struct vm *vm);
void file_init(struct file *f, struct vm *vm, struct fs *fs, struct vnode *v, const struct file_ops *ops, void *data,
	       uint32_t flags);

void file_reference(struct file *f);
void file_release(struct file *f); /* may wait: the last one closes */

bool file_can_read(const struct file *f);
bool file_can_write(const struct file *f);
bool file_nonblocking(const struct file *f);

/* read(2) family: at the file's position (pos NULL) or at *pos. Bytes, or -errno. */
long file_read(struct file *f, struct io *io, uint64_t *pos) MUST_CHECK;
long file_write(struct file *f, struct io *io, uint64_t *pos) MUST_CHECK;
long file_seek(struct file *f, int64_t offset, int whence) MUST_CHECK;

#endif
