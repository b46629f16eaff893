/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/futex.h: threads that wait for a word of user memory. Theory: futex.c. Thread context, no lock held. */
#ifndef PROC_FUTEX_H
#define PROC_FUTEX_H

#include "proc/thread.h"

/* Boot. */
enum error futex_init(struct proc_system *ps) MUST_CHECK;

/* All return 0, a count, or a negative error number. addr: user address, else EINVAL when not 4-aligned, EFAULT. */

/* Waits while *addr == value. deadline: ns since boot, TIMER_NEVER for none. -EAGAIN, -ETIMEDOUT, -ERESTARTSYS. */
long futex_wait(struct thread *t, uint64_t addr, bool private, uint32_t value, uint32_t bitset, uint64_t deadline);
long futex_wake(struct thread *t, uint64_t addr, bool private, uint32_t count, uint32_t bitset);
/* Wakes count, moves up to move others to addr2. compare: only while *addr == *expected, else -EAGAIN.
 * => woken, and with compare also those moved. */
long futex_requeue(struct thread *t, uint64_t addr, uint64_t addr2, bool private, uint32_t count, uint32_t move,
		   const uint32_t *expected);
/* FUTEX_WAKE_OP: op as encoded in futex(2). */
long futex_wake_op(struct thread *t, uint64_t addr, uint64_t addr2, bool private, uint32_t count, uint32_t count2,
		   uint32_t op);

/* A thread leaves its address space (end or exec): robust list, clear_child_tid. The map is still active. */
void futex_thread_leaves(struct thread *t);

#endif
