/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/syscall.h"

#include <string.h>

#include "proc/errno.h"
#include "proc/syscall_list.h"
#include "proc/thread.h"

typedef long syscall_fn(struct thread *t, const uint64_t *a);

static syscall_fn *const table[SYSCALL_LAST + 1] = {
#define X(number, name) [number] = sys_##name,
	SYSCALLS(X)
#undef X
};

static const char *const names[SYSCALL_LAST + 1] = {
#define X(number, name) [number] = #name,
	SYSCALLS(X)
#undef X
};

void syscall_dispatch(struct thread *t, struct trap_frame *tf)
{
	struct counters *counters = &t->ps->vm->counters;
	uint64_t a[6];
	long result = -ENOSYS;

	counter_add(counters, COUNTER_syscalls, 1);
	memcpy(a, tf->x, sizeof a); /* execve and rt_sigreturn change the frame */
	if (tf->syscall <= SYSCALL_LAST && table[tf->syscall])
		result = table[tf->syscall](t, a);
	else
		counter_add(counters, COUNTER_syscalls_unknown, 1);
	tf->x[0] = (uint64_t)result;
}

const char *syscall_name(unsigned long number) { return number <= SYSCALL_LAST ? names[number] : NULL; }
