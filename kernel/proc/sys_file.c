/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys_file.c: descriptors: making, copying, closing them; their flags and their files' sizes. */
#include "proc/pipe.h"
#include "proc/sys.h"
#include "proc/text.h"

long sys_close(struct thread *t, const uint64_t *a) { return fd_close(t->proc->files, (uint32_t)a[0]); }

#define CLOSE_RANGE_CLOEXEC 4u

long sys_close_range(struct thread *t, const uint64_t *a)
{
	uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1];

	if (flags_unknown(a[2], CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	fd_close_range(t->proc->files, first, last, a[2] & CLOSE_RANGE_CLOEXEC);
	return 0;
}

/* A second descriptor for the file behind fd. */
static long duplicate(struct thread *t, uint64_t fd, uint64_t minimum, bool cloexec)
{
	struct file *f = file_get(t, fd);
	long n;

	if (!f)
		return -EBADF;
	n = fd_install(t->proc->files, f, minimum, limit_soft(t, RLIMIT_NOFILE), cloexec);
	if (n < 0)
		file_release(f);
	return n;
}

long sys_dup(struct thread *t, const uint64_t *a) { return duplicate(t, a[0], 0, false); }

long sys_dup3(struct thread *t, const uint64_t *a)
{
	uint32_t from = (uint32_t)a[0], to = (uint32_t)a[1];
	struct file *f;
	long n;

	if (from == to || flags_unknown(a[2], O_CLOEXEC))
		return -EINVAL;
	f = file_get(t, from);
	if (!f)
		return -EBADF;
	n = fd_install_at(t->proc->files, f, to, limit_soft(t, RLIMIT_NOFILE), a[2] & O_CLOEXEC);
	if (n < 0)
		file_release(f);
	return n;
}

enum {
	F_DUPFD = 0,
	F_GETFD,
	F_SETFD,
	F_GETFL,
	F_SETFL,
	F_GETLK,
	F_SETLK,
	F_SETLKW,
	F_SETOWN,
	F_GETOWN,
	F_DUPFD_CLOEXEC = 1030,
	F_GETPIPE_SZ = 1032,
};
#define F_UNLCK 2
#define SETTABLE_FLAGS (uint32_t)(O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

static void set_flags(struct file *f, uint32_t set, uint32_t mask)
{
	uint32_t flags = atomic_load_relaxed(&f->flags); /* one word of its own: the last writer wins */

	atomic_store_relaxed(&f->flags, (flags & ~mask) | (set & mask)); /* likewise */
}

long sys_fcntl(struct thread *t, const uint64_t *a)
{
	struct fd_table *table = t->proc->files;
	uint64_t fd = (uint32_t)a[0];
	int command = (int)a[1];
	struct file *f = file_get(t, fd);
	int16_t unlocked = F_UNLCK;
	long result = 0;

	if (!f)
		return -EBADF;
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		result = duplicate(t, fd, (uint32_t)a[2], command == F_DUPFD_CLOEXEC);
		break;
	case F_GETFD:
		result = fd_cloexec(table, fd, -1);
		break;
	case F_SETFD:
		result = fd_cloexec(table, fd, a[2] & 1), result = result < 0 ? result : 0;
		break;
	case F_GETFL:
		result = (long)atomic_load_relaxed(&f->flags);
		break; /* as set_flags */
	case F_SETFL:
		set_flags(f, (uint32_t)a[2], SETTABLE_FLAGS);
		break;
	case F_GETLK:
		result = user_put(a[2], &unlocked, sizeof unlocked);
		break; /* locks are never in the way: see flock */
	case F_SETLK:
	case F_SETLKW:
	case F_SETOWN:
	case F_GETOWN:
		break;
	case F_GETPIPE_SZ:
		result = f->vnode->kind == VNODE_PIPE ? PIPE_BYTES : -EBADF;
		break;
	default:
		result = -EINVAL;
	}
	file_release(f);
	return result;
}

enum { FIONCLEX = 0x5450, FIOCLEX = 0x5451, FIONBIO = 0x5421, FIONREAD = 0x541b };

static long file_ioctl(struct thread *t, struct file *f, uint64_t fd, unsigned command, uint64_t argument)
{
	uint32_t word;
	long e;

	switch (command) {
	case FIOCLEX:
	case FIONCLEX:
		e = fd_cloexec(t->proc->files, fd, command == FIOCLEX);
		return e < 0 ? e : 0;
	case FIONBIO:
		if (user_get(&word, argument, sizeof word))
			return -EFAULT;
		set_flags(f, word ? O_NONBLOCK : 0, O_NONBLOCK);
		return 0;
	case FIONREAD:
		if (!f->vnode->object)
			break;
		mutex_lock(&f->pos_lock);
		word = vnode_size(f->vnode) > f->pos ? (uint32_t)(vnode_size(f->vnode) - f->pos) : 0;
		mutex_unlock(&f->pos_lock);
		return user_put(argument, &word, sizeof word);
	}
	return f->ops->ioctl ? f->ops->ioctl(f, command, argument) : -ENOTTY;
}

long sys_ioctl(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	long e;

	if (!f)
		return -EBADF;
	/* relaxed: fixed at open */
	e = atomic_load_relaxed(&f->flags) & O_PATH ? -EBADF : file_ioctl(t, f, (uint32_t)a[0], (unsigned)a[1], a[2]);
	file_release(f);
	return e;
}

/* --- calls that need the file and little else --- */

/* 0 when fd is open. */
static long is_open(struct thread *t, uint64_t fd)
{
	struct file *f = file_get(t, fd);

	file_release(f);
	return f ? 0 : -EBADF;
}

/* Locks are always granted: programs that use them to keep each other out must not share files here. */
long sys_flock(struct thread *t, const uint64_t *a) { return is_open(t, a[0]); }

/* What is written is in memory, and nothing is more durable than that. */
long sys_fsync(struct thread *t, const uint64_t *a) { return is_open(t, a[0]); }
long sys_fdatasync(struct thread *t, const uint64_t *a) { return is_open(t, a[0]); }
long sys_syncfs(struct thread *t, const uint64_t *a) { return is_open(t, a[0]); }
long sys_sync(struct thread *t, const uint64_t *a)
{
	(void)t, (void)a;
	return 0;
}

long sys_fadvise64(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	long e;

	if (!f)
		return -EBADF;
	e = f->vnode->kind == VNODE_PIPE ? -ESPIPE : (int)a[3] < 0 || (int)a[3] > 5 ? -EINVAL : 0;
	file_release(f);
	return e;
}

long sys_ftruncate(struct thread *t, const uint64_t *a)
{
	struct file *f;
	long e;

	if ((int64_t)a[1] < 0)
		return -EINVAL;
	f = file_get(t, a[0]);
	if (!f)
		return -EBADF;
	e = file_can_write(f) && f->vnode->object ? vnode_resize(f->vnode, a[1]) : -EINVAL;
	file_release(f);
	return e;
}

#define FALLOC_FL_KEEP_SIZE 1

/* Room is there as long as there is memory: only the size may have to grow. */
long sys_fallocate(struct thread *t, const uint64_t *a)
{
	uint64_t end = a[2] + a[3];
	struct file *f;
	long e = 0;

	if ((int64_t)a[2] < 0 || (int64_t)a[3] <= 0)
		return -EINVAL;
	if (flags_unknown(a[1], FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	f = file_get(t, a[0]);
	if (!f)
		return -EBADF;
	if (!file_can_write(f))
		e = -EBADF;
	else if (!f->vnode->object)
		e = f->vnode->kind == VNODE_PIPE ? -ESPIPE : -ENODEV;
	else if ((int64_t)end < 0)
		e = -EFBIG;
	else if (!(a[1] & FALLOC_FL_KEEP_SIZE) && end > vnode_size(f->vnode))
		e = vnode_resize(f->vnode, end);
	file_release(f);
	return e;
}

/* --- files without a path --- */

long sys_pipe2(struct thread *t, const uint64_t *a)
{
	struct file *reader, *writer;
	bool cloexec = a[1] & O_CLOEXEC;
	long e, in, out;
	int32_t fds[2];

	if (flags_unknown(a[1], O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	e = pipe_create(t->ps->fs, (uint32_t)a[1], &reader, &writer);
	if (e)
		return e;
	in = file_install(t, reader, cloexec);
	if (in < 0) {
		file_release(writer);
		return in;
	}
	out = file_install(t, writer, cloexec);
	if (out < 0) {
		(void)!fd_close(t->proc->files, (uint64_t)in);
		return out;
	}
	fds[0] = (int32_t)in;
	fds[1] = (int32_t)out;
	e = user_put(a[0], fds, sizeof fds);
	if (e) {
		(void)!fd_close(t->proc->files, (uint64_t)in);
		(void)!fd_close(t->proc->files, (uint64_t)out);
	}
	return e;
}

long sys_eventfd2(struct thread *t, const uint64_t *a)
{
	struct file *f;
	long e;

	if (flags_unknown(a[1], EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	e = eventfd_create(t->ps->fs, (uint32_t)a[0], a[1] & EFD_SEMAPHORE, (uint32_t)a[1], &f);
	return e ? e : file_install(t, f, a[1] & O_CLOEXEC);
}

enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16 };
#define MEMFD_NAME 250 /* with the NUL */

long sys_memfd_create(struct thread *t, const uint64_t *a)
{
	char name[MEMFD_NAME];
	struct vnode *v;
	struct file *f;
	size_t length;
	enum error copy;
	long e;

	if (flags_unknown(a[1], MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC))
		return -EINVAL;
	copy = copy_in_string(name, vaddr(a[0]), sizeof name, &length);
	if (copy != OK)
		return copy == ERR_LIMIT ? -EINVAL : -EFAULT;
	e = vnode_create(t->ps->fs, VNODE_FILE, 0777, &v);
	if (e)
		return e;
	vnode_name(v, "/memfd:%s", name);
	e = vnode_open(v, O_RDWR | O_LARGEFILE, &f);
	vnode_release(v);
	return e ? e : file_install(t, f, a[1] & MFD_CLOEXEC);
}
