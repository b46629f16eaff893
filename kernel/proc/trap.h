/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/trap.h: what EL0 asks for, willingly or not. */
#ifndef PROC_TRAP_H
#define PROC_TRAP_H

#include "proc/proc.h"

/* Boot: registers trap_ops and machine_ops. */
void trap_init(struct proc_system *ps);

#endif
