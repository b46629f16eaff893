/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/syscall.h"

syscall_fn *const syscall_table[SYSCALL_LAST + 1] = {
#define X(number, name) [number] = sys_##name,
	SYSCALLS(X)
#undef X
};

static const char *const names[SYSCALL_LAST + 1] = {
#define X(number, name) [number] = #name,
	SYSCALLS(X)
#undef X
};

const char *syscall_name(unsigned long number) { return number <= SYSCALL_LAST ? names[number] : NULL; }
