/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/console.h: the machine's serial line as a terminal: line editing, echo,
 * signals by key, the foreground group. Theory: console.c.
 */
#ifndef PROC_CONSOLE_H
#define PROC_CONSOLE_H

#include "proc/fs.h"

struct console;
struct proc_system;

/* Boot, before interrupts are on, after kmalloc. Sets nothing in ps. => -ENOMEM. */
long console_create(struct proc_system *ps, struct console **out) MUST_CHECK;

/* machine_ops->console_input: interrupts masked. Only stores the byte; true: console_service has work to do. */
bool console_input(struct console *c, uint8_t byte);

/*
 * Thread context, no lock: takes the bytes that console_input stored, edits, echoes,
 * wakes readers, sends signals; waits for nothing. Called on the way back to EL0 and by
 * the idle loop when console_pending(c). Cheap when there is nothing.
 */
void console_service(struct console *c);
/* True when there is something to do. Any context but interrupt; spinlocks below RANK_PIPE may be held. */
bool console_pending(struct console *c);

extern const struct file_ops console_file_ops; /* vnode->data is the console */

#endif
