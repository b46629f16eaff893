/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/syscall.h: from a trap to the function behind a system call's number.
 * The calls themselves: one X-list in syscall_list.h; their functions: sys_*.c.
 */
#ifndef PROC_SYSCALL_H
#define PROC_SYSCALL_H

#include "proc/errno.h"
#include "proc/syscall_list.h"
#include "proc/thread.h"
#include "vm/vm.h"

typedef long syscall_fn(struct thread *t, const uint64_t *a);
extern syscall_fn *const syscall_table[SYSCALL_LAST + 1]; /* by number; NULL: there is none */

/*
 * Runs the system call that tf asks for (number in tf->syscall, arguments in
 * x0..x5) and leaves the result in x0, except for calls that do not return.
 * Unknown numbers: -ENOSYS, counted. Thread context, interrupts enabled, nothing
 * held.
 *
 * The handler's arguments are the frame's registers themselves: execve and rt_sigreturn, which change those, look
 * at none of their arguments after that.
 */
static inline void syscall_dispatch(struct thread *t, struct trap_frame *tf)
{
	syscall_fn *fn = tf->syscall <= SYSCALL_LAST ? syscall_table[tf->syscall] : NULL;
	struct counters *counters = &t->ps->vm->counters;

	counter_add(counters, COUNTER_syscalls, 1);
	if (UNLIKELY(!fn)) {
		counter_add(counters, COUNTER_syscalls_unknown, 1);
		tf->x[0] = (uint64_t)-ENOSYS;
		return;
	}
	tf->x[0] = (uint64_t)fn(t, tf->x);
}

/* The call's name, or NULL. Any context. */
const char *syscall_name(unsigned long number);

#endif
