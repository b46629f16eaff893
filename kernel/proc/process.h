/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/process.h: programs in their address spaces: creation, end, waiting,
 * groups and sessions. Functions that return long answer a system call.
 * Thread context, no spinlock held, unless said otherwise.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include "proc/linux_abi.h"
#include "proc/proc.h"
#include "proc/siginfo.h"
#include "proc/timer.h"
#include "proc/work.h"
#include "sync/mutex.h"

struct thread;
struct trap_frame;
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
 * m: fs_lock; a: alarm_lock
 * x: atomic
 */
struct process {
	struct proc_system *ps;         /* c */
	uint32_t pid;                   /* c */
	struct refcount refs;           /* the pid table, each thread, look-ups */
	struct list pid_link, all_link; /* t */

	/* family: t */
	struct process *parent;          /* t: NULL only for pid 1 */
	ATOMIC(uint32_t) parent_pid;     /* x: its pid or 0, written under t with it; relaxed: getppid takes no lock */
	struct list children, sibling;   /* t: alive and zombies */
	uint32_t pgid, sid;              /* t */
	bool did_exec;                   /* t: setpgid by the parent is over */
	enum process_state state;        /* t */
	int exit_signal;                 /* t: sent to the parent at the end; SIGCHLD, or another by clone */
	int wait_status;                 /* t: of a zombie, as wait4 gives it */
	bool report_stop, report_cont;   /* t: not waited for yet */
	int stop_signal;                 /* t: for WUNTRACED */
	struct usage usage, child_usage; /* t: ended threads; reaped children */
	struct waitq wait;               /* wait4 of its threads */

	struct spinlock lock;        /* RANK_PROC */
	struct list threads;         /* p: those that have not left */
	uint32_t nthreads;           /* p */
	uint32_t unburied;           /* p: threads whose kernel stack is not freed yet */
	bool exiting;                /* p: exit_group or a fatal signal; first one wins */
	int exit_status;             /* p: as wait4 gives it */
	struct thread *exec_by;      /* p: the thread that execs and wants to be alone, or NULL */
	struct waitq exec_wait;      /* it waits here */
	bool stopped;                /* p: by a stop signal */
	struct waitq stop_wait;      /* its threads wait here for SIGCONT */
	struct sigact actions[NSIG]; /* p */
	struct sigpending pending;   /* p: sent to the process */
	uint64_t oom_since;          /* t: chosen by oom.c at that time (ns since boot), or 0 */

	struct vm_map *map;                              /* e, t: NULL once given back; counted */
	uint64_t trampoline;                             /* e: where the sigreturn page is */
	struct vnode *exe;                               /* e: counted, or NULL; fs.h */
	char exe_path[256];                              /* e: as found, absolute */
	char name[16];                                   /* e: comm of the first thread */
	uint64_t arg_start, arg_end, env_start, env_end; /* e: user addresses of the strings */

	struct fd_table *files; /* e, t: counted, may be shared; NULL once given back */
	struct vnode *cwd;      /* m: counted; fs.h */
	uint32_t umask;         /* x-free: one word, last writer wins */
	bool lock_future;       /* x-free, likewise: mlockall(MCL_FUTURE); ends with exec, not inherited by fork */
	struct mutex fs_lock;   /* guards m */
	struct rlimit limits[RLIMIT_COUNT]; /* p */
	ATOMIC(uint64_t)
	space_limit;       /* x: RLIMIT_AS's soft value again, so that mmap reads no line that others write; relaxed */
	uint64_t start_ns; /* c: ns since boot */

	struct waitq vfork_wait; /* the parent of a vfork waits here */
	bool vfork_busy;         /* p: the parent still waits for exec or exit */

	struct mutex alarm_lock; /* guards a: ITIMER_REAL; itimer.c */
	struct timer alarm;
	struct work alarm_work;
	uint64_t alarm_when, alarm_interval; /* a: ns since boot, 0: off; ns, 0: once */
	bool alarm_held;                     /* a: the timer or the work holds a reference */
};

struct clone_args {
	uint64_t flags; /* CLONE_*, without CSIGNAL */
	uint64_t exit_signal;
	uint64_t stack;                 /* user stack pointer of the child, 0: as the parent's */
	uint64_t parent_tid, child_tid; /* user addresses */
	uint64_t tls;
};

/* fork, vfork, clone, clone3: tf is the caller's frame. => the child's id, or a negative error number. */
long process_clone(struct thread *t, const struct trap_frame *tf, const struct clone_args *args);

/* Gives back what a process has: its last thread, or for one that never ran who made it. No thread runs in it any more.
 */
void process_release(struct process *p);

/* So many pages of p were mapped at once; for its usage. Nothing held. */
void process_note_resident(struct process *p, uint64_t pages);

/* ps->bury: a thread's stack is left for good: frees it; with a process's last one it becomes a zombie and its parent
 * hears of it. Thread context, nothing held, does not wait. */
void process_bury(struct thread *t);

/* The parent of a vfork may go on. */
void process_vfork_done(struct process *p);

/* exit_group(2): every thread leaves. status as wait4 gives it: code << 8, or the signal's number. */
void NORETURN process_exit(struct thread *t, int status);
/* exit(2): this thread leaves; the last one ends the process. */
void NORETURN thread_exit(struct thread *t, int status);
/* Ends a process from anywhere: every thread leaves when it next looks. p->lock is not held. */
void process_kill(struct process *p, int status);

/* True when no member of the group has a parent in another group of the session: nobody would continue it. */
bool process_group_orphaned(struct proc_system *ps, uint32_t pgid);

/* Every other thread of the process leaves; returns when they have. ERR_INTR: this one is told to leave itself. */
enum error process_single_thread(struct thread *t) MUST_CHECK;

/* What waiting found. */
struct wait_result {
	uint32_t pid;
	int status; /* as wait4 gives it */
	int code;   /* CLD_* */
	struct usage usage;
};
/*
 * wait4 and waitid: kind P_ALL, P_PID, P_PGID; options W*. => the child's pid
 * and *result, 0 (WNOHANG, nobody yet), -ECHILD, -ERESTARTSYS, -EINVAL.
 */
long process_wait(struct thread *t, int kind, uint32_t id, uint32_t options, struct wait_result *result);

/*
 * A process with a new id, one reference for the pid table and one for the
 * caller, no threads, not in the table and in no family yet: process_enter does
 * that, when nothing can fail any more; until then process_put undoes it. Its actions are the caller's to set.
 * => ERR_NOMEM, ERR_LIMIT (no id left).
 */
enum error process_create(struct proc_system *ps, struct process **out) MUST_CHECK;
/* maker: whose child (sibling: whose parent's child), group and session it becomes; NULL: pid 1, on its own. */
void process_enter(struct process *p, struct process *maker, bool sibling);
/* parent, and what getppid answers. NULL: none. ps->lock held. */
void process_set_parent_locked(struct process *p, struct process *parent);

/* An id that no process, thread, group or session has; 0: none left. ps->lock held. */
uint32_t process_new_id_locked(struct proc_system *ps);

/* With a reference, or NULL (zombies are found too). */
struct process *process_find(struct proc_system *ps, uint32_t pid);
struct process *process_find_locked(struct proc_system *ps, uint32_t pid); /* no reference; ps->lock held */
void process_get(struct process *p);
void process_put(struct process *p);
/* The process with the smallest pid above that one, zombies too, with a reference; NULL: no more. For /proc. */
struct process *process_next(struct proc_system *ps, uint32_t pid);
/* Its address space with a reference, or NULL when it has none any more. */
struct vm_map *process_map(struct process *p);
/* Likewise its descriptors, program file, current directory. */
struct fd_table *process_files(struct process *p);
struct vnode *process_exe(struct process *p);
struct vnode *process_cwd(struct process *p);
/* 0: pid 1, or reaped. No lock. */
static inline uint32_t process_parent_pid(const struct process *p)
{
	return atomic_load_relaxed(&p->parent_pid); /* see process_set_parent_locked */
}
/* State letter of /proc/pid/stat: R, S, T, Z; threads that have not left. */
char process_state_letter(struct process *p);
uint32_t process_thread_count(struct process *p);
/* The tid of the thread with the smallest tid above that one, or 0. For /proc/pid/task. */
uint32_t process_next_tid(struct process *p, uint32_t tid);
/* Threads' and reaped children's usage so far. */
void process_usage(struct process *p, struct usage *self, struct usage *children);

long process_setpgid(struct thread *t, uint32_t pid, uint32_t pgid);
long process_getpgid(struct thread *t, uint32_t pid);
long process_setsid(struct thread *t);
long process_getsid(struct thread *t, uint32_t pid);

/*
 * Boot: makes pid 1, whose first thread runs entry(arg) in the kernel, with no
 * address space, no descriptors and no cwd; entry sets them up (files, exec) and
 * ends with thread_enter_user. It is on a run queue afterwards. => ERR_NOMEM.
 */
enum error process_start_init(struct proc_system *ps, void (*entry)(void *), void *arg) MUST_CHECK;

#endif
