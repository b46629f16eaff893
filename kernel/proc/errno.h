/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/errno.h: Linux's error numbers on arm64 (asm-generic). Functions of
 * kernel/proc that stand directly behind a system call return `long`: a value
 * >= 0, or one of these negated. Everything below proc speaks enum error.
 */
#ifndef PROC_ERRNO_H
#define PROC_ERRNO_H

#include "base/error.h"

enum {
	EPERM = 1,
	ENOENT = 2,
	ESRCH = 3,
	EINTR = 4,
	EIO = 5,
	ENXIO = 6,
	E2BIG = 7,
	ENOEXEC = 8,
	EBADF = 9,
	ECHILD = 10,
	EAGAIN = 11,
	ENOMEM = 12,
	EACCES = 13,
	EFAULT = 14,
	EBUSY = 16,
	EEXIST = 17,
	EXDEV = 18,
	ENODEV = 19,
	ENOTDIR = 20,
	EISDIR = 21,
	EINVAL = 22,
	ENFILE = 23,
	EMFILE = 24,
	ENOTTY = 25,
	ETXTBSY = 26,
	EFBIG = 27,
	ENOSPC = 28,
	ESPIPE = 29,
	EROFS = 30,
	EMLINK = 31,
	EPIPE = 32,
	ERANGE = 34,
	EDEADLK = 35,
	ENAMETOOLONG = 36,
	ENOSYS = 38,
	ENOTEMPTY = 39,
	ELOOP = 40,
	EOVERFLOW = 75,
	EOPNOTSUPP = 95,
	ETIMEDOUT = 110,
	/* Never seen by programs: what signal delivery makes a restart or EINTR of, as in Linux. */
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

/* 0 for OK, else the negated error number that means it; ERR_INTR is -ERESTARTSYS. Any context. */
long errno_of(enum error e);

#endif
