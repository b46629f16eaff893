/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/sys.h"

#include "vm/kmalloc.h"

long path_get(struct thread *t, uint64_t user, char **out)
{
	char *path = kmalloc(&t->ps->vm->kmalloc, PATH_BYTES);
	enum error e;
	size_t length;

	if (!path)
		return -ENOMEM;
	e = copy_in_string(path, vaddr(user), PATH_BYTES, &length);
	if (e != OK) {
		path_free(t, path);
		return e == ERR_LIMIT ? -ENAMETOOLONG : -EFAULT;
	}
	*out = path;
	return 0;
}

void path_free(struct thread *t, char *path) { kfree(&t->ps->vm->kmalloc, path); }

/* Where a relative path begins, referenced. */
static long directory_of(struct thread *t, uint64_t dirfd, const char *path, struct vnode **out)
{
	struct process *p = t->proc;
	struct file *f;

	if (*path == '/' || (int)dirfd == AT_FDCWD) {
		mutex_lock(&p->fs_lock);
		*out = p->cwd;
		vnode_reference(*out);
		mutex_unlock(&p->fs_lock);
		return 0;
	}
	f = file_get(t, dirfd);
	if (!f)
		return -EBADF;
	*out = f->vnode;
	vnode_reference(*out);
	file_release(f);
	return 0;
}

long at_begin(struct thread *t, uint64_t dirfd, uint64_t user, struct at *at)
{
	long e = path_get(t, user, &at->path);

	if (e)
		return e;
	e = directory_of(t, dirfd, at->path, &at->dir);
	if (e)
		path_free(t, at->path);
	return e;
}

void at_end(struct thread *t, struct at *at)
{
	vnode_release(at->dir);
	path_free(t, at->path);
}

long at_lookup(struct thread *t, uint64_t dirfd, uint64_t user, unsigned flags, struct vnode **out)
{
	struct at at;
	long e = at_begin(t, dirfd, user, &at);

	if (e)
		return e;
	if (!*at.path && (flags & AT_EMPTY_PATH)) {
		*out = at.dir;
		vnode_reference(*out);
	} else {
		e = fs_lookup(t->ps->fs, at.dir, at.path, flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0, out);
	}
	at_end(t, &at);
	return e;
}

/* Descriptors are ints: what does not fit in the lower half of one is none. */
struct file *file_get(struct thread *t, uint64_t fd) { return fd_get(t->proc->files, (uint32_t)fd); }

long file_install(struct thread *t, struct file *f, bool cloexec)
{
	long fd = fd_install(t->proc->files, f, 0, limit_soft(t, RLIMIT_NOFILE), cloexec);

	if (fd < 0)
		file_release(f);
	return fd;
}

uint64_t limit_soft(struct thread *t, unsigned which)
{
	uint64_t limit;

	spin_lock(&t->proc->lock, RANK_PROC);
	limit = t->proc->limits[which].soft;
	spin_unlock(&t->proc->lock);
	return limit;
}

long timespec_ns(const struct timespec *ts, uint64_t *ns)
{
	if (ts->seconds < 0 || ts->nanoseconds < 0 || ts->nanoseconds >= NS_PER_SECOND)
		return -EINVAL;
	if (ts->seconds >= INT64_MAX / NS_PER_SECOND)
		*ns = INT64_MAX;
	else
		*ns = (uint64_t)(ts->seconds * NS_PER_SECOND + ts->nanoseconds);
	return 0;
}

struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){(int64_t)(ns / (uint64_t)NS_PER_SECOND), (int64_t)(ns % (uint64_t)NS_PER_SECOND)};
}

uint64_t deadline_after(uint64_t span)
{
	uint64_t now = machine_now();

	return span < TIMER_NEVER - 1 - now ? now + span : TIMER_NEVER - 1;
}

long deadline_get(uint64_t user, uint64_t *deadline)
{
	struct timespec ts;
	uint64_t span;
	long e;

	*deadline = TIMER_NEVER;
	if (!user)
		return 0;
	e = user_get(&ts, user, sizeof ts);
	if (!e)
		e = timespec_ns(&ts, &span);
	if (!e)
		*deadline = deadline_after(span);
	return e;
}
