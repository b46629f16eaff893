/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sched.h: who runs where. Theory and protocol: sched.c. */
#ifndef PROC_SCHED_H
#define PROC_SCHED_H

#include "proc/thread.h"

#define SCHED_SLICE_NS UINT64_C(10000000) /* 10 ms */

/* Boot, CPU 0: one run queue per CPU; the caller becomes CPU 0's idle thread. Registers sync_ops. */
enum error sched_init(struct proc_system *ps) MUST_CHECK;
/* A secondary CPU, on its boot stack: becomes its idle thread; never returns. */
void NORETURN sched_enter_secondary(struct proc_system *ps);
/* Boot, CPU 0, when all is set up: the others may run threads; this CPU becomes idle. */
void NORETURN sched_enter_boot(struct proc_system *ps);

/* First time: puts a NEW thread, with its entry set, on a queue. Thread or boot context. */
void sched_start(struct thread *t);

/* A kernel thread that runs entry(arg), which never returns. */
enum error sched_start_kernel(struct proc_system *ps, const char *name, void (*entry)(void *), void *arg,
			      struct thread **out) MUST_CHECK;

/* Makes a BLOCKED thread run; anything else is left as it is. Any context, interrupts too; locks below RANK_RUNQ may be
 * held. */
void sched_wake(struct thread *t);
/* The same when its wait can be ended by a signal (killed: by a kill only), or just makes it look: it runs in EL0
 * elsewhere. */
void sched_notify(struct thread *t, bool killed);

/*
 * Waits until *woken is set, or the deadline (ns since boot, TIMER_NEVER: none),
 * or what mode allows. Thread context, no spinlock, no epoch section.
 * => OK woken; ERR_TIMEOUT; ERR_INTR.
 */
enum error sched_block(struct wait_flag *woken, enum wait_mode mode, uint64_t deadline) MUST_CHECK;

/*
 * wait_block (sync/waitq.h) with a mode and a deadline: the caller did
 * wait_prepare. => dequeued. Errors as sched_block.
 */
enum error sched_wait(struct waitq *q, struct waiter *w, enum wait_mode mode, uint64_t deadline) MUST_CHECK;

/* Sleeps till then (ns since boot). ERR_INTR when interruptible. */
enum error sched_sleep_until(uint64_t when, bool interruptible) MUST_CHECK;

/* timer_arm on this CPU's queue. Thread context. */
void sched_arm_timer(struct timer *timer, uint64_t when);

/* Lets others on this CPU run. Thread context, nothing held. */
void sched_yield(void);

/* Where a long loop in the kernel may be left for others. Thread context, nothing held. Also does the epoch's chores:
 * memory that this CPU retired is freed in batches, or after a while if it is little (runq_age). */
void sched_point(void);

/* Never runs again; ps->bury is called once its stack is left. */
void NORETURN sched_exit(void);

/* sched_setaffinity(2): ERR_INVAL when no CPU that exists is in it. Takes effect at once; may be another's. */
enum error sched_set_affinity(struct thread *t, const struct cpumask *mask) MUST_CHECK;
struct cpumask sched_affinity(struct thread *t);

/* The current thread runs in that address space from now on (NULL: none). */
void sched_use_map(struct vm_map *map);

/* The middle of a switch, for sched_idle.c: the best ready thread runs; the current one has its new state already. The
 * lock of this CPU's queue is held => dropped, interrupts as irq says; the caller may be on another CPU. */
struct runq;
void sched_switch(struct runq *rq, uint64_t irq);
extern const struct sync_ops sched_sync_ops;

/* machine_ops: this CPU's timer; another CPU's call. Interrupt context. */
void sched_timer_interrupt(void);
void sched_ipi_interrupt(void);

/* Figures. */
struct sched_stats {
	uint64_t switches, steals, wakeups, idle_ns;
	uint32_t runnable;
};
void sched_stats(struct proc_system *ps, uint32_t cpu, struct sched_stats *stats);

/* Who runs on that CPU; a snapshot for messages, or of the caller's own CPU. */
struct thread *sched_running(struct proc_system *ps, uint32_t cpu);

/* It runs, or would like to. */
bool sched_is_runnable(struct thread *t);

/* CPU time of a thread so far, ns. */
uint64_t sched_thread_ns(struct thread *t);

#endif
