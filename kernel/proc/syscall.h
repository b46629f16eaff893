/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/syscall.h: from a trap to the function behind a system call's number.
 * The calls themselves: one X-list in syscall_list.h; their functions: sys_*.c.
 */
#ifndef PROC_SYSCALL_H
#define PROC_SYSCALL_H

struct thread;
struct trap_frame;

/*
 * Runs the system call that tf asks for (number in tf->syscall, arguments in
 * x0..x5) and leaves the result in x0, except for calls that do not return.
 * Unknown numbers: -ENOSYS, counted. Thread context, interrupts enabled, nothing
 * held.
 */
void syscall_dispatch(struct thread *t, struct trap_frame *tf);

/* The call's name, or NULL. Any context. */
const char *syscall_name(unsigned long number);

#endif
