/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/init.h: start-up of the whole floor. */
#ifndef PROC_INIT_H
#define PROC_INIT_H

#include "proc/proc.h"

/*
 * Boot, CPU 0, after vm_init: tables, run queues, futexes, the worker; the caller
 * becomes CPU 0's idle thread. Registers sync_ops, trap_ops and machine_ops. Panics
 * without memory.
 */
void proc_init(struct proc_system *ps, struct vm *vm, const struct machine_info *info);

#endif
