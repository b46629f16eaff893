/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/procfs.h: /proc: what the kernel says about itself and its processes. Theory: procfs.c. */
#ifndef PROC_PROCFS_H
#define PROC_PROCFS_H

#include "proc/fs.h"
#include "proc/process.h"
#include "proc/text.h"

/* A file whose text is made when it is read. p: the process, referenced; NULL for files of /proc itself. */
struct procfs_file {
	const char *name; /* NULL ends a table */
	void (*show)(struct text *text, struct proc_system *ps, struct process *p);
	const struct vnode_ops *ops; /* not NULL: the file is this instead, and may be written */
};
extern const struct procfs_file procfs_system_files[];  /* procfs_system.c */
extern const struct procfs_file procfs_process_files[]; /* procfs_process.c */

/* Boot: the root of /proc, one reference. => -ENOMEM. */
long procfs_create(struct proc_system *ps, struct vnode **out) MUST_CHECK;

#endif
