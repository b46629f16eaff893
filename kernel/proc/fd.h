/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fd.h: a process's descriptors: small numbers that lead to open files.
 * A table is shared by reference (threads, CLONE_FILES) and copied by fork.
 */
#ifndef PROC_FD_H
#define PROC_FD_H

#include "proc/file.h"

#define FD_MAX 1024 /* RLIMIT_NOFILE's hard limit here */

struct fd_table;

/* An empty table with one reference. Thread context. => -ENOMEM. */
long fd_table_create(struct vm *vm, struct fd_table **out) MUST_CHECK;

/* A copy for fork: the same open files, each referenced once more. => -ENOMEM, nothing left behind. */
long fd_table_copy(struct fd_table *from, struct fd_table **out) MUST_CHECK;

void fd_table_reference(struct fd_table *t);

/* Drops a reference; the last one closes every descriptor. Thread context, no lock, may wait. */
void fd_table_release(struct fd_table *t);

/* An empty table with room for every descriptor, for fd_table_exec. => -ENOMEM. */
long fd_table_spare(struct vm *vm, struct fd_table **out) MUST_CHECK;

/*
 * exec, which cannot fail any more: the table to go on with, without what is close-on-exec. That is t if nobody shares
 * it, else spare, a copy of it (which must be there then). The other one stays the caller's to release.
 */
struct fd_table *fd_table_exec(struct fd_table *t, struct fd_table *spare) MUST_CHECK;

/* How many references it has; a snapshot. */
uint32_t fd_table_sharers(const struct fd_table *t);

/* The file behind fd, referenced, or NULL (EBADF). Any thread context. */
struct file *fd_get(struct fd_table *t, uint64_t fd) MUST_CHECK;

/*
 * Puts f (the caller's reference goes over on success) at the lowest free number
 * >= minimum and < limit. => the number, -EMFILE, -EINVAL when minimum >= limit,
 * -ENOMEM; on error the reference stays the caller's.
 */
long fd_install(struct fd_table *t, struct file *f, uint64_t minimum, uint64_t limit, bool cloexec) MUST_CHECK;

/*
 * In two steps, for what must not be done when there is no descriptor for it: takes the lowest free number, which is
 * nobody's then (EBADF); afterwards one of the others, which cannot fail. Errors as fd_install.
 */
long fd_reserve(struct fd_table *t, uint64_t limit) MUST_CHECK;
void fd_fill(struct fd_table *t, uint64_t fd, struct file *f, bool cloexec);
void fd_unreserve(struct fd_table *t, uint64_t fd);

/* dup3: puts f at exactly fd; what was there is closed. => fd or -EBADF, -EBUSY (reserved), -ENOMEM as above. */
long fd_install_at(struct fd_table *t, struct file *f, uint64_t fd, uint64_t limit, bool cloexec) MUST_CHECK;

/* => 0 or -EBADF. May wait. */
long fd_close(struct fd_table *t, uint64_t fd) MUST_CHECK;

/* close_range(2): closes, or marks close-on-exec, every descriptor of [first, last]. */
void fd_close_range(struct fd_table *t, uint64_t first, uint64_t last, bool mark_only);

/* FD_CLOEXEC of one descriptor: => 0 or 1, or -EBADF. set: 0, 1, or -1 to only ask. */
long fd_cloexec(struct fd_table *t, uint64_t fd, int set) MUST_CHECK;

/* The first open descriptor >= fd, or -1: for /proc/<pid>/fd. */
long fd_next(struct fd_table *t, uint64_t fd) MUST_CHECK;

#endif
