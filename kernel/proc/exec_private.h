/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/exec_private.h: one exec under way. For exec.c and exec_build.c; theory: exec.c. */
#ifndef PROC_EXEC_PRIVATE_H
#define PROC_EXEC_PRIVATE_H

#include "proc/elf.h"
#include "proc/exec.h"
#include "proc/exec_args.h"

#define SCRIPT_LINE 256

/* Owned by the thread that execs. */
struct exec {
	struct thread *t;
	const char *path; /* as the caller said: AT_EXECFN */
	struct exec_args args;
	struct vnode *file, *interp; /* references */
	struct elf_image image, interp_image;
	uint64_t bias, interp_bias; /* what is added to the files' addresses */
	struct vm_map *map;         /* the new one */
	uint64_t trampoline;
	uint64_t sp, stack_top;
	uint64_t arg_start, env_start, env_end, path_at;
	char line[SCRIPT_LINE + 1];
	char interpreter[SCRIPT_LINE + 1]; /* of a script */
	char exe_path[256];
};

/*
 * Makes x->map from the decoded images and x->args, and writes its stack. The
 * caller's own address space is in use before and after. => 0; -ENOMEM, -E2BIG,
 * -ENOEXEC: x->map is the caller's to release.
 */
long exec_build(struct exec *x) MUST_CHECK;

#endif
