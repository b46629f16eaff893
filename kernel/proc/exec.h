/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/exec.h: a new program in the caller's process. Theory: exec.c. */
#ifndef PROC_EXEC_H
#define PROC_EXEC_H

#include "proc/process.h"

#define EXEC_STRINGS_MAX \
	(2u << 20) /* bytes of all arguments and environment strings, with their pointers: E2BIG beyond */
#define EXEC_STRING_MAX (128u << 10) /* bytes of one */
#define EXEC_SCRIPTS 4               /* #! that lead to another #!: ELOOP beyond */

/* execve(2) and execveat(2). path: a kernel string, relative to cwd (dir, if not NULL). argv, envp: user addresses, 0
 * for none.
 * => 0 with tf changed, or a negative error number with everything as it was. */
long process_exec(struct thread *t, struct trap_frame *tf, struct vnode *dir, const char *path, uint64_t argv,
		  uint64_t envp);

/* The same with strings in the kernel, for pid 1. */
long process_exec_kernel(struct thread *t, struct trap_frame *tf, const char *path, const char *const *argv,
			 const char *const *envp);

/* Boot: the object with the sigreturn page. */
enum error exec_init(struct proc_system *ps) MUST_CHECK;

#endif
