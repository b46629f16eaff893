/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/process.h: programs in their address spaces: creation, end, waiting,
 * groups and sessions. Functions that return long answer a system call.
 * Thread context, no spinlock held, unless said otherwise.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "proc/linux_abi.h"
#include "proc/sched.h"
#include "proc/thread.h"
#include "vm/map.h"

struct fd_table; /* proc/fd.h */
struct vnode;    /* proc/fs.h */

enum process_state { PROCESS_ALIVE, PROCESS_ZOMBIE, PROCESS_REAPED };

struct rlimit {
	uint64_t soft, hard;
};

/* What wait4 and getrusage count. */
struct usage {
	uint64_t run_ns, faults, switches, max_resident; /* pages */
};

/*
 * c: fixed before it first runs
 * p: lock
 * t: ps->lock
 * e: written by exec, when the process has one thread; others read under ps->lock
 * x: atomic
 */
struct process {
	struct proc_system *ps;        /* c */
	uint32_t pid;                  /* c */
	struct refcount refs;          /* the pid table, each thread, look-ups */
	struct list pid_link, all_link; /* t */

	/* family: t */
	struct process *parent;        /* t: NULL only for pid 1 */
	struct list children, sibling; /* t: alive and zombies */
	uint32_t pgid, sid;            /* t */
	bool did_exec;                 /* t: setpgid by the parent is over */
	enum process_state state;      /* t */
	int exit_signal;               /* t: sent to the parent at the end; SIGCHLD, or another by clone */
	int wait_status;               /* t: of a zombie, as wait4 gives it */
	bool report_stop, report_cont; /* t: not waited for yet */
	int stop_signal;               /* t: for WUNTRACED */
	struct usage usage, child_usage; /* t: ended threads; reaped children */
	struct waitq wait;             /* wait4 of its threads */

	struct spinlock lock;          /* RANK_PROC */
	struct list threads;           /* p: those that have not left */
	uint32_t nthreads;             /* p */
	uint32_t unburied;             /* p: threads whose kernel stack is not freed yet */
	bool exiting;                  /* p: exit_group or a fatal signal; first one wins */
	int exit_status;               /* p: as wait4 gives it */
	struct thread *exec_by;        /* p: the thread that execs and wants to be alone, or NULL */
	struct waitq exec_wait;        /* it waits here */
	bool stopped;                  /* p: by a stop signal */
	struct waitq stop_wait;        /* its threads wait here for SIGCONT */
	struct sigact actions[NSIG];   /* p */
	struct sigpending pending;     /* p: sent to the process */
	ATOMIC(uint32_t) oom_victim;   /* x: chosen; relaxed */

	struct vm_map *map;            /* e, t: NULL once given back; counted */
	uint64_t trampoline;           /* e: where the sigreturn page is */
	struct vnode *exe;             /* e: counted, or NULL; fs.h */
	char exe_path[256];            /* e: as found, absolute */
	char name[16];                 /* e: comm of the first thread */
	uint64_t arg_start, arg_end, env_start, env_end; /* e: user addresses of the strings */

	struct fd_table *files;        /* c, till the end; counted, may be shared */
	struct vnode *cwd;             /* m: counted; fs.h */
	uint32_t umask;                /* x-free: one word, last writer wins */
	struct mutex fs_lock;          /* guards m */
	struct rlimit limits[RLIMIT_COUNT]; /* p */
	uint64_t start_ns;             /* c: ns since boot */

	struct waitq vfork_wait;       /* the parent of a vfork waits here */
	bool vfork_busy;               /* p: the parent still waits for exec or exit */

	struct timer alarm;            /* ITIMER_REAL; itimer.c */
	uint64_t alarm_when, alarm_interval; /* p: ns; 0: off */
};

struct clone_args {
	uint64_t flags;       /* CLONE_*, without CSIGNAL */
	uint64_t exit_signal;
	uint64_t stack;       /* user stack pointer of the child, 0: as the parent's */
	uint64_t parent_tid, child_tid; /* user addresses */
	uint64_t tls;
};

/* fork, vfork, clone, clone3: tf is the caller's frame. => the child's id, or a negative error number. */
long process_clone(struct thread *t, const struct trap_frame *tf, const struct clone_args *args);

/* exit_group(2): every thread leaves. status as wait4 gives it: code << 8, or the signal's number. */
void NORETURN process_exit(struct thread *t, int status);
/* exit(2): this thread leaves; the last one ends the process. */
void NORETURN thread_exit(struct thread *t, int status);
/* Ends a process from anywhere: every thread leaves when it next looks. p->lock is not held. */
void process_kill(struct process *p, int status);

/* Every other thread of the process leaves; returns when they have. ERR_INTR: this one is told to leave itself. */
enum error process_single_thread(struct thread *t) MUST_CHECK;

/* What waiting found. */
struct wait_result {
	uint32_t pid;
	int status;        /* as wait4 gives it */
	int code;          /* CLD_* */
	struct usage usage;
};
/*
 * wait4 and waitid: kind P_ALL, P_PID, P_PGID; options W*. => the child's pid
 * and *result, 0 (WNOHANG, nobody yet), -ECHILD, -ERESTARTSYS, -EINVAL.
 */
long process_wait(struct thread *t, int kind, uint32_t id, uint32_t options, struct wait_result *result);

/* With a reference, or NULL (zombies are found too). */
struct process *process_find(struct proc_system *ps, uint32_t pid);
void process_get(struct process *p);
void process_put(struct process *p);
/* The process after that pid in order of pid, zombies too, with a reference; NULL: no more. For /proc. */
struct process *process_next(struct proc_system *ps, uint32_t pid);
/* Its address space with a reference, or NULL when it has none any more. */
struct vm_map *process_map(struct process *p);
uint32_t process_parent_pid(struct process *p);
/* State letter of /proc/pid/stat: R, S, T, Z. */
char process_state_letter(struct process *p);
uint32_t process_thread_count(struct process *p);
/* Threads' and reaped children's usage so far. */
void process_usage(struct process *p, struct usage *self, struct usage *children);

long process_setpgid(struct thread *t, uint32_t pid, uint32_t pgid);
long process_getpgid(struct thread *t, uint32_t pid);
long process_setsid(struct thread *t);
long process_getsid(struct thread *t, uint32_t pid);

/* setitimer(ITIMER_REAL): times in ns, 0 off; what was left before is returned. */
void process_set_alarm(struct process *p, uint64_t in, uint64_t interval, uint64_t *old_in, uint64_t *old_interval);
void process_get_alarm(struct process *p, uint64_t *in, uint64_t *interval);

/*
 * Boot: makes pid 1, whose first thread runs entry(arg) in the kernel, with no
 * address space, no descriptors and no cwd; entry sets them up (files, exec) and
 * ends with thread_enter_user. It is on a run queue afterwards. => ERR_NOMEM.
 */
enum error process_start_init(struct proc_system *ps, void (*entry)(void *), void *arg) MUST_CHECK;

#endif
