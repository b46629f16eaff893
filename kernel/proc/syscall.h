/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/syscall.h: from a trap to the function behind a system call's number.
 * The calls themselves: one X-list in syscall_list.h; their functions: sys_*.c.
 */
#ifndef PROC_SYSCALL_H
#define PROC_SYSCALL_H

#include "base/types.h"

struct thread;
struct trap_frame;
struct proc_system;
struct console;

/*
 * Runs the system call that tf asks for (number in x8, arguments in x0..x5) and
 * leaves the result in x0, except for calls that set all registers (execve,
 * rt_sigreturn) or do not return. Unknown numbers: -ENOSYS, counted. Thread
 * context, interrupts enabled, nothing held.
 */
void syscall_dispatch(struct thread *t, struct trap_frame *tf);

/* Calls with an unknown number so far, and the last such number, for /proc/counters. */
uint64_t syscall_unknown(uint64_t *last);

/*
 * Boot, in the first thread: makes the tree of names (initrd, /dev, /proc, /sys),
 * sets sys->fs and sys->console. Panics with one line when the initrd is broken.
 */
void files_init(struct proc_system *sys);

/* Descriptors 0, 1 and 2 on the console, for pid 1. => -ENOMEM. */
struct fd_table;
long files_open_console(struct proc_system *sys, struct fd_table *t) __attribute__((warn_unused_result));

#endif
