/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/proc.h: the state of everything that runs on one machine. Each thread
 * knows its proc_system; main.c owns the only one of a kernel.
 */
#ifndef PROC_PROC_H
#define PROC_PROC_H

#include "base/cpu.h"
#include "base/list.h"
#include "hal/machine.h"
#include "proc/work.h"
#include "sync/mutex.h"
#include "sync/waitq.h"
#include "vm/vm.h"

struct process;
struct thread;
struct runq;
struct futex_table;
struct fail_sites;
struct fs;      /* proc/fs.h: mounted files */
struct console; /* proc/console.h */

#define PID_BUCKETS 1024
#define PID_LIMIT (1u << 22) /* ids are 1 .. PID_LIMIT-1, as FUTEX_TID_MASK and Linux's 64-bit limit allow */

/*
 * c: fixed after boot
 * t: under lock
 * x: atomic
 */
struct proc_system {
	struct vm *vm;                       /* c */
	uint32_t ncpus;                      /* c */
	struct runq *runq[CPU_MAX];          /* c: one for each CPU; sched.c */
	ATOMIC(uint64_t) idle[CPU_MAX / 64]; /* x: CPUs that wait for work; seq_cst, see sched.c */
	ATOMIC(bool) online;                 /* x: the scheduler runs; release by boot, acquire by the other CPUs */

	struct spinlock lock;              /* RANK_PROC_TABLE: what is marked t here and in struct process */
	struct list by_pid[PID_BUCKETS];   /* t: processes, zombies too, by pid */
	struct list by_tid[PID_BUCKETS];   /* t: threads by tid */
	struct list all;                   /* t: every process, oldest first */
	uint32_t last_id;                  /* t: the id given last */
	bool ids_wrapped;                  /* t: ids may collide from now on */
	ATOMIC(uint32_t) nprocs, nthreads; /* x: alive, zombies counted; relaxed figures */
	struct process *init;              /* t: pid 1 */

	ATOMIC(uint64_t) fatal_window; /* x: when the count below starts anew, ns; relaxed: a rate limit */
	ATOMIC(uint32_t) fatal_lines;  /* x: lines about fatal faults since */

	struct futex_table *futexes;  /* c */
	struct vm_object *trampoline; /* c: the page with the return from signal handlers */

	struct waitq oom_wait; /* a process has given its memory back */

	struct mutex fail_lock;        /* fail_nth.c: what follows */
	uint32_t fail_armed;           /* under fail_lock: threads whose allocations may be made to fail */
	struct fail_sites *fail_sites; /* set once, under fail_lock, before the first failure: vm/fail_sites.h */

	struct zone *thread_zone, *process_zone, *siginfo_zone; /* c */
	struct kmem_pool stacks;        /* kernel stacks, mapped */
	void (*bury)(struct thread *t); /* c: what becomes of a thread once its stack is left; exit.c */
	struct thread *worker;          /* c: runs posted work in thread context; work.c */
	struct spinlock work_lock;      /* RANK_WORK, interrupts masked */
	struct list work;               /* under work_lock */
	struct wait_flag work_flag;     /* there is some: release, acquire */
	struct work console_work;       /* input came; trap.c */

	struct fs *fs;           /* c */
	struct console *console; /* c */
};

/* The machine we run on: the current thread's. Any context once proc_init ran. */
struct proc_system *proc_current(void);

#endif
