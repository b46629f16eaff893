/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_path.c: system calls that take a path: opening, making, removing,
 * renaming, the current directory. The tree itself: fs.c. Every path is copied in
 * before anything else happens, so a bad pointer changes nothing.
 */
#include <string.h>

#include "proc/sys.h"
#include "proc/text.h"
#include "vm/kmalloc.h"

#define S_IFMT 0170000u
#define S_IFREG 0100000u

static uint32_t masked(struct thread *t, uint64_t mode) { return (uint32_t)mode & 07777u & ~t->proc->umask; }

long sys_openat(struct thread *t, const uint64_t *a)
{
	struct fd_table *files = t->proc->files; /* stays while a thread of the process runs */
	uint32_t flags = (uint32_t)a[2] | O_LARGEFILE;
	struct file *f;
	struct at at;
	long e, fd;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	e = at_begin(t, a[0], a[1], &at);
	if (e)
		return e;
	/* The descriptor first: without one, nothing is made or cut. */
	fd = fd_reserve(files, limit_soft(t, RLIMIT_NOFILE));
	e = fd < 0 ? fd : fs_open(t->ps->fs, at.dir, at.path, flags, masked(t, a[3]), &f);
	at_end(t, &at);
	if (fd < 0)
		return fd;
	if (e)
		fd_unreserve(files, (uint64_t)fd);
	else
		fd_fill(files, (uint64_t)fd, f, flags & O_CLOEXEC);
	return e ? e : fd;
}

long sys_mkdirat(struct thread *t, const uint64_t *a)
{
	struct at at;
	long e = at_begin(t, a[0], a[1], &at);

	if (e)
		return e;
	e = fs_make(t->ps->fs, at.dir, at.path, VNODE_DIRECTORY, masked(t, a[2]), NULL, NULL);
	at_end(t, &at);
	return e;
}

/* Regular files only: devices are the kernel's to make. */
long sys_mknodat(struct thread *t, const uint64_t *a)
{
	uint32_t kind = (uint32_t)a[2] & S_IFMT;
	struct at at;
	long e = at_begin(t, a[0], a[1], &at);

	if (e)
		return e;
	e = kind && kind != S_IFREG ? -EPERM
				    : fs_make(t->ps->fs, at.dir, at.path, VNODE_FILE, masked(t, a[2]), NULL, NULL);
	at_end(t, &at);
	return e;
}

long sys_unlinkat(struct thread *t, const uint64_t *a)
{
	struct at at;
	long e;

	if (flags_unknown(a[2], AT_REMOVEDIR))
		return -EINVAL;
	e = at_begin(t, a[0], a[1], &at);
	if (e)
		return e;
	e = fs_unlink(t->ps->fs, at.dir, at.path, a[2] & AT_REMOVEDIR);
	at_end(t, &at);
	return e;
}

long sys_symlinkat(struct thread *t, const uint64_t *a)
{
	struct at at;
	char *target;
	long e = path_get(t, a[0], &target);

	if (e)
		return e;
	e = at_begin(t, a[1], a[2], &at);
	if (!e) {
		e = *target ? fs_make(t->ps->fs, at.dir, at.path, VNODE_SYMLINK, 0777, target, NULL) : -ENOENT;
		at_end(t, &at);
	}
	path_free(t, target);
	return e;
}

long sys_linkat(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	struct at at;
	long e;

	if (flags_unknown(a[4], AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	e = at_lookup(t, a[0], a[1], (a[4] & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW) | (a[4] & AT_EMPTY_PATH), &v);
	if (e)
		return e;
	e = at_begin(t, a[2], a[3], &at);
	if (!e) {
		e = fs_link(t->ps->fs, v, at.dir, at.path);
		at_end(t, &at);
	}
	vnode_release(v);
	return e;
}

static long rename(struct thread *t, const uint64_t *a, uint64_t flags)
{
	struct at from, to;
	long e;

	if (flags_unknown(flags, RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	e = at_begin(t, a[0], a[1], &from);
	if (e)
		return e;
	e = at_begin(t, a[2], a[3], &to);
	if (!e) {
		e = fs_rename(t->ps->fs, from.dir, from.path, to.dir, to.path, (unsigned)flags);
		at_end(t, &to);
	}
	at_end(t, &from);
	return e;
}

long sys_renameat(struct thread *t, const uint64_t *a) { return rename(t, a, 0); }
long sys_renameat2(struct thread *t, const uint64_t *a) { return rename(t, a, a[4]); }

long sys_readlinkat(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	char *text;
	long n = at_lookup(t, a[0], a[1], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &v);

	if (n)
		return n;
	if ((int)a[3] <= 0) {
		vnode_release(v);
		return -EINVAL;
	}
	text = kmalloc(&t->ps->vm->kmalloc, PATH_BYTES);
	if (!text)
		n = -ENOMEM;
	else if (v->kind != VNODE_SYMLINK)
		n = -EINVAL;
	else if (v->ops && v->ops->readlink)
		n = v->ops->readlink(v, text, PATH_BYTES);
	else
		memcpy(text, v->target, (size_t)(n = v->target_length));
	if (n > (int)a[3])
		n = (int)a[3];
	if (n > 0 && user_put(a[2], text, (size_t)n))
		n = -EFAULT;
	path_free(t, text);
	vnode_release(v);
	return n;
}

long sys_truncate(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	long e;

	if ((int64_t)a[1] < 0)
		return -EINVAL;
	e = at_lookup(t, (uint64_t)AT_FDCWD, a[0], 0, &v);
	if (e)
		return e;
	e = vnode_resize(v, a[1]);
	vnode_release(v);
	return e;
}

/* --- the current directory --- */

static long change_directory(struct thread *t, struct vnode *v)
{
	struct process *p = t->proc;
	struct vnode *old;

	if (v->kind != VNODE_DIRECTORY)
		return -ENOTDIR;
	vnode_reference(v);
	mutex_lock(&p->fs_lock);
	old = p->cwd;
	p->cwd = v;
	mutex_unlock(&p->fs_lock);
	vnode_release(old);
	return 0;
}

long sys_chdir(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	long e = at_lookup(t, (uint64_t)AT_FDCWD, a[0], 0, &v);

	if (e)
		return e;
	e = change_directory(t, v);
	vnode_release(v);
	return e;
}

long sys_fchdir(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	long e;

	if (!f)
		return -EBADF;
	e = change_directory(t, f->vnode);
	file_release(f);
	return e;
}

long sys_getcwd(struct thread *t, const uint64_t *a)
{
	struct process *p = t->proc;
	struct vnode *cwd;
	char *path = kmalloc(&t->ps->vm->kmalloc, PATH_BYTES);
	long n;

	if (!path)
		return -ENOMEM;
	mutex_lock(&p->fs_lock);
	cwd = p->cwd;
	vnode_reference(cwd);
	mutex_unlock(&p->fs_lock);
	n = vnode_path(cwd, path, PATH_BYTES);
	vnode_release(cwd);
	if (n >= 0) {
		n++; /* with the NUL */
		n = (uint64_t)n > a[1] ? -ERANGE : user_put(a[0], path, (size_t)n) ? -EFAULT : n;
	}
	path_free(t, path);
	return n;
}

/* --- attributes; the modes of the super-user's files matter to execve only --- */

static void set_mode(struct vnode *v, uint64_t mode)
{
	atomic_store_relaxed(&v->mode, (uint32_t)mode & 07777u); /* an attribute of its own */
}

long sys_fchmodat(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	long e = at_lookup(t, a[0], a[1], 0, &v);

	if (e)
		return e;
	set_mode(v, a[2]);
	vnode_release(v);
	return 0;
}

long sys_fchmod(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);

	if (!f)
		return -EBADF;
	set_mode(f->vnode, a[1]);
	file_release(f);
	return 0;
}

static void set_owner(struct vnode *v, uint64_t uid, uint64_t gid)
{
	/* relaxed: attributes of their own */
	if ((uint32_t)uid != UINT32_MAX)
		atomic_store_relaxed(&v->uid, (uint32_t)uid);
	if ((uint32_t)gid != UINT32_MAX)
		atomic_store_relaxed(&v->gid, (uint32_t)gid);
}

long sys_fchownat(struct thread *t, const uint64_t *a)
{
	struct vnode *v;
	long e;

	if (flags_unknown(a[4], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	e = at_lookup(t, a[0], a[1], (unsigned)a[4], &v);
	if (e)
		return e;
	set_owner(v, a[2], a[3]);
	vnode_release(v);
	return 0;
}

long sys_fchown(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);

	if (!f)
		return -EBADF;
	set_owner(f->vnode, a[1], a[2]);
	file_release(f);
	return 0;
}

#define UTIME_NOW ((1l << 30) - 1l)
#define UTIME_OMIT ((1l << 30) - 2l)

long sys_utimensat(struct thread *t, const uint64_t *a)
{
	struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	uint64_t mtime = fs_now(t->ps->fs);
	struct vnode *v;
	long e = 0;

	if (flags_unknown(a[3], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (a[2] && user_get(times, a[2], sizeof times))
		return -EFAULT;
	if (times[1].nanoseconds != UTIME_NOW && times[1].nanoseconds != UTIME_OMIT)
		e = timespec_ns(&times[1], &mtime);
	if (e)
		return e;
	if (a[1]) {
		e = at_lookup(t, a[0], a[1], (unsigned)a[3], &v);
	} else {
		struct file *f = file_get(t, a[0]);

		if (!f)
			return -EBADF;
		v = f->vnode;
		vnode_reference(v);
		file_release(f);
	}
	if (e)
		return e;
	if (times[1].nanoseconds != UTIME_OMIT)
		atomic_store_relaxed(&v->mtime, mtime); /* an attribute of its own */
	vnode_release(v);
	return 0;
}

/* R_OK, W_OK, X_OK: the super-user may do all but execute what nobody may. */
static long access(struct thread *t, const uint64_t *a, uint64_t flags)
{
	struct vnode *v;
	long e;

	if (flags_unknown(a[2], 7) || flags_unknown(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	e = at_lookup(t, a[0], a[1], (unsigned)flags & ~(unsigned)AT_EACCESS, &v);
	if (e)
		return e;
	/* relaxed: a racing chmod may or may not count yet */
	if ((a[2] & 1) && v->kind == VNODE_FILE && !(atomic_load_relaxed(&v->mode) & 0111))
		e = -EACCES;
	vnode_release(v);
	return e;
}

long sys_faccessat(struct thread *t, const uint64_t *a) { return access(t, a, 0); }
long sys_faccessat2(struct thread *t, const uint64_t *a) { return access(t, a, a[3]); }
