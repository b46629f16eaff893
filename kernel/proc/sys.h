/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys.h: what the functions behind system calls share. Thread context, nothing held. */
#ifndef PROC_SYS_H
#define PROC_SYS_H

#include "hal/uaccess.h"
#include "proc/errno.h"
#include "proc/fd.h"
#include "proc/fs.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/syscall_list.h"
#include "proc/thread.h"

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_EACCESS 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_NO_AUTOMOUNT 0x800
#define AT_EMPTY_PATH 0x1000
#define AT_STATX_SYNC_TYPE 0x6000

/* A struct of the program's: 0 or -EFAULT. */
static inline long user_get(void *to, uint64_t from, size_t n)
{
	return copy_in(to, vaddr(from), n) == OK ? 0 : -EFAULT;
}
static inline long user_put(uint64_t to, const void *from, size_t n)
{
	return copy_out(vaddr(to), from, n) == OK ? 0 : -EFAULT;
}

/* True when flags, an int as far as the program is concerned, has bits that are not known. */
static inline bool flags_unknown(uint64_t flags, unsigned known) { return (uint32_t)flags & ~known; }

/* A path from the program, in kernel memory: path_free. -EFAULT, -ENAMETOOLONG, -ENOMEM. */
long path_get(struct thread *t, uint64_t user, char **out) MUST_CHECK;
void path_free(struct thread *t, char *path);

/* A path and where it begins. */
struct at {
	char *path;
	struct vnode *dir; /* a reference */
};

/*
 * The path at user, relative to dirfd (AT_FDCWD: the current directory). Errors
 * as path_get, -EBADF. at_end is due after 0.
 */
long at_begin(struct thread *t, uint64_t dirfd, uint64_t user, struct at *at) MUST_CHECK;
void at_end(struct thread *t, struct at *at);

/* What path leads to, referenced; flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH (then dirfd's own file). */
long at_lookup(struct thread *t, uint64_t dirfd, uint64_t user, unsigned flags, struct vnode **out) MUST_CHECK;

/* The file behind a descriptor, or NULL (EBADF). */
struct file *file_get(struct thread *t, uint64_t fd) MUST_CHECK;
/* A new descriptor for f, whose reference it takes over also on error. => its number or -errno. */
long file_install(struct thread *t, struct file *f, bool cloexec) MUST_CHECK;
/* RLIMIT_NOFILE and the like. */
uint64_t limit_soft(struct thread *t, unsigned which);

struct timespec {
	int64_t seconds, nanoseconds;
};
#define NS_PER_SECOND INT64_C(1000000000)

/* A span in ns, no more than UINT64_MAX / 2; -EINVAL when it is none. */
long timespec_ns(const struct timespec *ts, uint64_t *ns) MUST_CHECK;
struct timespec timespec_of(uint64_t ns);
/* now + span, at most TIMER_NEVER - 1. */
uint64_t deadline_after(uint64_t span);
/* A span at a user address (0: TIMER_NEVER) as a deadline. */
long deadline_get(uint64_t user, uint64_t *deadline) MUST_CHECK;

#endif
