/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/exec_args.h: the strings of an exec, in kernel memory: arguments, then environment, each with its NUL. */
#ifndef PROC_EXEC_ARGS_H
#define PROC_EXEC_ARGS_H

#include "base/error.h"
#include "base/types.h"
#include "vm/kmalloc.h"

struct exec_args {
	struct kmalloc *k;
	char *bytes;
	size_t used, room;
	size_t env; /* where the environment begins in bytes */
	uint32_t argc, envc;
};

void args_init(struct exec_args *a, struct kmalloc *k);
void args_free(struct exec_args *a);

/* Appends user strings: argv and envp are user addresses of arrays, 0 for none. => 0, -E2BIG, -EFAULT, -ENOMEM. */
long args_from_user(struct exec_args *a, uint64_t argv, uint64_t envp) MUST_CHECK;
/* The same from kernel arrays that end with NULL. */
long args_from_kernel(struct exec_args *a, const char *const *argv, const char *const *envp) MUST_CHECK;

/* A script: argv[0] is replaced by count strings. => 0, -E2BIG, -ENOMEM: unchanged. */
long args_replace_first(struct exec_args *a, const char *const *strings, uint32_t count) MUST_CHECK;

#endif
