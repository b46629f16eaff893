/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys_stat.c: what files are: stat, statx, statfs, and what directories hold. Layouts are Linux/arm64's. */
#include <string.h>

#include "proc/sys.h"
#include "vm/kmalloc.h"

#define TMPFS_MAGIC 0x01021994

struct stat {
	uint64_t dev, ino;
	uint32_t mode, nlink, uid, gid;
	uint64_t rdev, pad1;
	int64_t size;
	int32_t blksize, pad2;
	int64_t blocks;
	struct timespec atime, mtime, ctime;
	uint32_t unused[2];
};
_Static_assert(sizeof(struct stat) == 128, "Linux's struct stat for arm64");

struct statx_time {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t pad;
};

struct statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mount_id;
	uint32_t dio_mem_align, dio_offset_align;
	uint64_t spare[12];
};
_Static_assert(sizeof(struct statx) == 256, "Linux's struct statx");
#define STATX_BASIC_STATS 0x7ffu

struct statfs {
	uint64_t type, bsize, blocks, bfree, bavail, files, ffree;
	int32_t fsid[2];
	uint64_t namelen, frsize, flags, spare[4];
};
_Static_assert(sizeof(struct statfs) == 120, "Linux's struct statfs64");

/* File type bits of st_mode. */
static uint32_t type_bits(const struct vnode *v)
{
	switch (v->kind) {
	case VNODE_PIPE:
		return 0010000;
	case VNODE_DEVICE:
		return 0020000; /* all are character devices */
	case VNODE_DIRECTORY:
		return 0040000;
	case VNODE_FILE:
		return 0100000;
	case VNODE_SYMLINK:
		return 0120000;
	case VNODE_ANON:
		return 0;
	}
	return 0;
}

/* relaxed, all of them: attributes that change on their own */
static struct stat stat_of(const struct vnode *v)
{
	uint32_t links = atomic_load_relaxed(&v->links);
	struct stat s = {
		.dev = v->ops ? 2 : 1, /* /proc is a file system of its own */
		.ino = v->ino,
		.mode = type_bits(v) | atomic_load_relaxed(&v->mode),
		.nlink = v->kind == VNODE_DIRECTORY && links ? 2
			 : links                             ? links
			 : v->kind == VNODE_FILE && !v->ops  ? 0
							     : 1,
		.uid = atomic_load_relaxed(&v->uid),
		.gid = atomic_load_relaxed(&v->gid),
		.rdev = v->rdev,
		.size = (int64_t)vnode_size(v),
		.blksize = PAGE_SIZE,
		.mtime = timespec_of(atomic_load_relaxed(&v->mtime)),
	};

	if (v->object)
		s.blocks = (int64_t)((round_up((uint64_t)s.size, PAGE_SIZE)) / 512);
	s.atime = s.ctime = s.mtime;
	return s;
}

static struct statx_time statx_time_of(struct timespec ts)
{
	return (struct statx_time){ts.seconds, (uint32_t)ts.nanoseconds, 0};
}

long sys_fstat(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	struct stat s;

	if (!f)
		return -EBADF;
	s = stat_of(f->vnode);
	file_release(f);
	return user_put(a[1], &s, sizeof s);
}

long sys_newfstatat(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	struct stat s;
	long e;

	if (flags_unknown(a[3], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		return -EINVAL;
	e = at_lookup(t, a[0], a[1], (unsigned)a[3], &v);
	if (e)
		return e;
	s = stat_of(v);
	vnode_release(v);
	return user_put(a[2], &s, sizeof s);
}

long sys_statx(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	struct stat s;
	struct statx x;
	long e;

	if (flags_unknown(a[2], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE) ||
	    (a[2] & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || a[3] & 0x80000000u)
		return -EINVAL;
	e = at_lookup(t, a[0], a[1], (unsigned)a[2], &v);
	if (e)
		return e;
	s = stat_of(v);
	vnode_release(v);
	x = (struct statx){
		.mask = STATX_BASIC_STATS,
		.blksize = (uint32_t)s.blksize,
		.nlink = s.nlink,
		.uid = s.uid,
		.gid = s.gid,
		.mode = (uint16_t)s.mode,
		.ino = s.ino,
		.size = (uint64_t)s.size,
		.blocks = (uint64_t)s.blocks,
		.atime = statx_time_of(s.atime),
		.ctime = statx_time_of(s.ctime),
		.mtime = statx_time_of(s.mtime),
		.rdev_major = (uint32_t)(s.rdev >> 8),
		.rdev_minor = (uint32_t)s.rdev & 255,
		.dev_minor = (uint32_t)s.dev,
	};
	return user_put(a[4], &x, sizeof x);
}

static long put_statfs(struct thread *t, uint64_t user)
{
	struct frames *frames = &t->ps->vm->frames;
	struct statfs s = {.type = TMPFS_MAGIC,
			   .bsize = PAGE_SIZE,
			   .frsize = PAGE_SIZE,
			   .blocks = frames->ram,
			   .bfree = frames_available(frames),
			   .namelen = NAME_BYTES};

	s.bavail = s.bfree;
	return user_put(user, &s, sizeof s);
}

long sys_statfs(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	long e = at_lookup(t, (uint64_t)AT_FDCWD, a[0], 0, &v);

	if (e)
		return e;
	vnode_release(v);
	return put_statfs(t, a[1]);
}

long sys_fstatfs(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);

	if (!f)
		return -EBADF;
	file_release(f);
	return put_statfs(t, a[1]);
}

/* --- getdents64 --- */

#define DENTS_BYTES (size_t)8192 /* at most this much a call */

struct dirent64 {
	uint64_t ino;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
} __attribute__((packed));
_Static_assert(sizeof(struct dirent64) == 19, "Linux's struct linux_dirent64");

struct dents {
	char *bytes;
	size_t length, room;
	bool full; /* an entry did not fit */
};

static bool emit(void *arg, const char *name, size_t length, uint64_t ino, unsigned type, uint64_t next)
{
	struct dents *d = arg;
	size_t size = round_up(sizeof(struct dirent64) + length + 1, 8);
	struct dirent64 head = {.ino = ino, .next = (int64_t)next, .length = (uint16_t)size, .type = (uint8_t)type};

	if (size > d->room - d->length) {
		d->full = true;
		return false;
	}
	memset(d->bytes + d->length, 0, size);
	memcpy(d->bytes + d->length, &head, sizeof head);
	memcpy(d->bytes + d->length + sizeof head, name, length);
	d->length += size;
	return true;
}

static long read_entries(struct file *f, struct dents *d, uint64_t user)
{
	uint64_t pos;
	long e;

	mutex_lock(&f->pos_lock);
	pos = f->pos;
	e = vnode_removed(f->vnode) ? -ENOENT : f->ops->readdir(f, &pos, emit, d);
	if (!e && d->full && d->length == 0)
		e = -EINVAL; /* not even one */
	if (!e && user_put(user, d->bytes, d->length))
		e = -EFAULT;
	if (!e)
		f->pos = pos;
	mutex_unlock(&f->pos_lock);
	return e ? e : (long)d->length;
}

long sys_getdents64(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	struct dents d = {.room = (uint32_t)a[2] < DENTS_BYTES ? (uint32_t)a[2] : DENTS_BYTES};
	long e;

	if (!f)
		return -EBADF;
	d.bytes = kmalloc(&t->ps->vm->kmalloc, d.room);
	e = !d.bytes ? -ENOMEM : !f->ops->readdir ? -ENOTDIR : read_entries(f, &d, a[1]);
	kfree(&t->ps->vm->kmalloc, d.bytes);
	file_release(f);
	return e;
}
