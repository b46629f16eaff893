/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/thread.h: what runs: a kernel stack, registers, a place in a run queue,
 * and for threads of programs the signal state that Linux keeps per thread.
 */
#ifndef PROC_THREAD_H
#define PROC_THREAD_H

#include "base/cpumask.h"
#include "base/list.h"
#include "hal/context.h"
#include "proc/proc.h"
#include "proc/process.h"
#include "proc/siginfo.h"
#include "proc/timer.h"

struct vm_map;

enum thread_state {
	THREAD_NEW,   /* never ran; on no queue */
	THREAD_READY, /* on a run queue, or on its way to one */
	THREAD_RUNNING,
	THREAD_BLOCKED, /* waits to be woken */
	THREAD_DEAD,    /* will never run again */
};

/* What may end a wait besides the wake-up. */
enum wait_mode {
	WAIT_ALWAYS,        /* nothing: for waits that are sure to end */
	WAIT_KILLABLE,      /* the process is being killed */
	WAIT_INTERRUPTIBLE, /* any signal that wants to be delivered */
};

/* thread.notify: why the thread must not simply go (back) to EL0 or to sleep */
#define NOTIFY_SIGNAL 1u  /* a signal may be deliverable */
#define NOTIFY_KILL 2u    /* the process ends, or exec by another thread: leave */
#define NOTIFY_STOP 4u    /* the process is stopped */
#define NOTIFY_RESTORE 8u /* saved_mask goes back in force after delivery */

/* Continues a system call that ended with ERESTART_RESTARTBLOCK. */
struct restart {
	long (*again)(struct thread *t); /* NULL: restart_syscall gives EINTR */
	uint64_t arg[6];
};

/*
 * c: fixed before it first runs
 * o: its own thread only
 * r: lock of the run queue of the CPU that `cpu` names
 * p: proc->lock
 * t: ps->lock
 * x: atomic
 */
struct thread {
	struct proc_system *ps; /* c */
	struct process *proc;   /* c: NULL for kernel and idle threads; counted */
	struct vm_map *map;     /* o: address space; proc's, but for a moment in exec */
	uint32_t tid;           /* t: changes only when exec makes a thread the first one */
	struct refcount refs;   /* running or listed: 1; look-ups */
	struct list id_link;    /* t: ps->by_tid */
	struct list proc_link;  /* p: proc->threads */

	vaddr_t stack;           /* c: kernel stack, of ps->stacks; 0: a boot stack */
	void *stack_top;         /* c */
	struct context context;  /* r: valid while not running */
	struct fp_state fp;      /* o: valid while not running */
	uint64_t tls;            /* o: TPIDR_EL0 while not running */
	ATOMIC(uint32_t) fp_cpu; /* o: CPU whose FP registers may still hold fp */

	enum thread_state state;    /* r */
	enum wait_mode wait_mode;   /* r: valid while BLOCKED */
	struct list run_link;       /* r */
	ATOMIC(uint32_t) cpu;       /* r: where it runs, is queued or ran last; relaxed loads recheck under the lock */
	struct cpumask affinity;    /* r */
	uint64_t slice_end;         /* o: ns; when others may have the CPU */
	uint64_t run_since;         /* o */
	ATOMIC(uint64_t) run_ns;    /* x: CPU time; own thread writes, relaxed */
	ATOMIC(uint64_t) switches;  /* x: times it gave up the CPU; own thread writes, relaxed */
	ATOMIC(uint64_t) faults;    /* x: page faults; own thread writes, relaxed */
	struct timer timer;         /* ends a wait with a deadline */
	ATOMIC(uint32_t) timed_out; /* x: by timer under RANK_TIMER; read under the run queue's lock */
	const char *waits_for;      /* o: what a panic shows, or NULL */

	ATOMIC(uint32_t) notify;   /* x: NOTIFY_*; acq_rel, then a wake-up under the run queue's lock */
	struct sigpending pending; /* p: sent to this thread */
	ATOMIC(uint64_t) sigmask;  /* x: own thread writes under p, others read under p */
	uint64_t saved_mask;       /* o: with NOTIFY_RESTORE: mask before sigsuspend, ppoll, ... */
	struct siginfo forced;     /* o: fault of this thread, delivered before anything else; si_signo 0: none */
	uint64_t fault_address, fault_esr; /* o: for the next signal frame of a fault */
	uint64_t alt_sp, alt_size;         /* o: sigaltstack */
	uint32_t alt_flags;                /* o: SS_DISABLE, SS_AUTODISARM */
	struct restart restart;            /* o */

	uint64_t set_child_tid;   /* o: user address to be given the tid when it starts, 0: none */
	uint64_t clear_child_tid; /* o: likewise 0, when it ends */
	uint64_t robust_list;     /* o: user address, 0: none */
	uint64_t fail_nth;        /* o: which of its allocations from now on fails, 0: the next, if any; fail_nth.c */
	uint64_t fail_times;      /* o: how many from that one on; 0: none */
	bool fail_armed;          /* o: counted in ps->fail_armed */
	bool leaving;             /* p: on its way through thread_exit */
	bool stop_taken;          /* p: took a stop signal that no SIGCONT has overtaken yet */
	void (*entry)(void *);    /* c: where it begins; must not return */
	void *entry_arg;          /* c */
	char name[16];            /* o: comm, with NUL; others may see it half changed */
};

/* Who runs here. Any context once proc_init ran. */
static inline struct thread *thread_current(void) { return cpu_current(); }

/*
 * A thread that does not run yet, with one reference, a kernel stack whose top
 * holds a zeroed trap frame, every CPU allowed. proc: whose it is (a reference is
 * taken; it is not on its list yet, and has a tid); NULL: a kernel thread, tid 0.
 * Thread or boot context. => ERR_NOMEM; ERR_LIMIT: no id left.
 */
enum error thread_create(struct proc_system *ps, struct process *proc, struct thread **out) MUST_CHECK;

/* Undoes thread_create for one that never ran. */
void thread_discard(struct thread *t);

/* The fields of a thread without stack and id. Boot, for idle threads, and thread_create. */
void thread_init(struct proc_system *ps, struct thread *t);

/* The thread with that tid, with a reference, or NULL. Thread context. */
struct thread *thread_find(struct proc_system *ps, uint32_t tid);
void thread_get(struct thread *t);
void thread_put(struct thread *t);

/* Takes it out of the tid table; it is found no more. exec: gives it another id, that of its process. */
void thread_forget(struct thread *t);
void thread_rename_id(struct thread *t, uint32_t tid);

/* Frees its kernel stack. Nobody runs on it any more. */
void thread_free_stack(struct thread *t);

/* Enters EL0 with the frame at the top of the current thread's stack: an entry for threads of programs. */
void NORETURN thread_enter_user(void *unused);

#endif
