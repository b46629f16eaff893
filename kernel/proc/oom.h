/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/oom.h: memory ran out under a program's feet. Theory: oom.c. */
#ifndef PROC_OOM_H
#define PROC_OOM_H

#include "proc/thread.h"

enum oom_verdict {
	OOM_RETRY,  /* memory may be there now: try again */
	OOM_DIE,    /* the caller's own process is being killed: go back to where it leaves */
	OOM_NOBODY, /* nobody is left who could be killed */
};

/* vm_fault said ERR_NOMEM to the current thread. Thread context, nothing held; waits. attempt: 0 the first time. */
enum oom_verdict oom_fault(struct thread *t, unsigned attempt);

/* A process has given back its address space. */
void oom_memory_is_back(struct proc_system *ps);

#endif
