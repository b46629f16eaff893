/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/files.h: the tree of names as programs find it: initrd, /dev, /proc, /sys. */
#ifndef PROC_FILES_H
#define PROC_FILES_H

#include "base/compiler.h"

struct fd_table;
struct proc_system;

/*
 * Boot, thread context, all CPUs known: makes the tree, with ps->console in
 * it; sets ps->fs. A broken initrd: one line "initrd: ..." and power-off.
 * Panics without memory.
 */
void files_init(struct proc_system *ps);

/* Descriptors 0, 1 and 2 on the console, for pid 1. => 0, -ENOMEM. */
long files_open_console(struct proc_system *ps, struct fd_table *t) MUST_CHECK;

#endif
