/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/fail_nth.h: a thread's n-th allocation from now on fails: the file
 * /proc/self/fail-nth, as Linux has it with CONFIG_FAULT_INJECTION.
 *
 *	write N    the N-th frame or zone object that this thread asks for is refused (0: none)
 *	write N M  and so are the M-1 after it
 *	read       what is left to count down; 0: it has happened, or none was asked for
 *
 * Writing and reading allocate nothing. Another thread's count cannot be
 * reached. A thread begins with 0, and keeps its count over exec. Where
 * allocations have failed is in /proc/fail-sites.
 *
 * While no thread that is alive has ever asked, allocations cost what they cost
 * without it (frames_may_fail).
 */
#ifndef PROC_FAIL_NTH_H
#define PROC_FAIL_NTH_H

#include "proc/fs.h"
#include "proc/text.h"
#include "proc/thread.h"

/* The file's operations; vnode->data2 is the pid. */
extern const struct vnode_ops fail_nth_vnode_ops;

/* The current thread ends. Thread context, may wait. */
void fail_nth_exit(struct thread *t);

/* A line per return address on the stack of a failed allocation: address, name+offset, hits. */
void fail_nth_show_sites(struct text *text, struct proc_system *ps);

/* Boot. */
void fail_nth_init(struct proc_system *ps);

#endif
