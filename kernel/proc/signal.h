/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/signal.h: signals as on Linux/arm64. All functions: thread context, no
 * spinlock held, unless said otherwise. Those that return long answer a system
 * call: 0 or a value, or a negative error number.
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H

#include "proc/linux_abi.h"
#include "proc/thread.h"

/* --- sending; info->si_signo says which; 1 .. NSIG --- */

/* => OK; ERR_LIMIT: too many queued (real-time signals only). Ignored and dead receivers count as OK. */
enum error signal_send_process(struct process *p, const struct siginfo *info) MUST_CHECK;
enum error signal_send_thread(struct thread *t, const struct siginfo *info) MUST_CHECK;
/* To every process of the group. Returns how many there are. */
unsigned signal_send_group(struct proc_system *ps, uint32_t pgid, const struct siginfo *info);

/* kill(2), tkill/tgkill(2), rt_sigqueueinfo(2): what the caller may not name is an error number. sig 0 only tests. */
long signal_kill(struct thread *t, int32_t pid, int sig);
long signal_tgkill(struct thread *t, int32_t tgid /* -1: any */, int32_t tid, int sig);
long signal_queue(struct thread *t, int32_t pid, int32_t tid /* 0: to the process */, const struct siginfo *info);

/* A fault of the current thread: blocked or ignored, it kills. Delivered on the way to EL0. */
void signal_force(struct thread *t, int sig, int code, uint64_t address);
/* The same, but nothing can catch it. */
void signal_force_kill(struct thread *t, int sig);

/* --- the current thread's own state --- */
long signal_action(struct thread *t, int sig, const struct sigact *set, struct sigact *old);
long signal_mask(struct thread *t, int how, const uint64_t *set, uint64_t *old);
uint64_t signal_pending(struct thread *t);
long signal_altstack(struct thread *t, uint64_t sp, const struct sigstack *set, struct sigstack *old);
/* rt_sigsuspend(2). */
long signal_suspend(struct thread *t, uint64_t mask);
/* rt_sigtimedwait(2): deadline in ns since boot, TIMER_NEVER for none. => the signal's number. */
long signal_timedwait(struct thread *t, uint64_t set, struct siginfo *info, uint64_t deadline);
/* ppoll, pselect: another mask until the call has ended and its signals are delivered. */
void signal_mask_for_call(struct thread *t, uint64_t mask);
/* Ends that early: the call was not interrupted, so the old mask is back at once. */
void signal_mask_call_done(struct thread *t);

/* True when an interruptible wait of the current thread would end at once. Any thread context. */
bool signal_wants_attention(struct thread *t);

/* rt_sigreturn(2): restores the frame that sp leads to. => x0 as it was (the result of the system call). */
long signal_return(struct thread *t, struct trap_frame *tf);

/* --- for the other files of signals, exit, exec and trap --- */

/* Delivers what is pending, restarts or ends an interrupted system call, stops, or leaves. On the way to EL0. */
void signal_deliver(struct thread *t, struct trap_frame *tf);

/* What happened to a thread's signal before its handler runs. */
struct signal_taken {
	struct siginfo info;
	struct sigact action;
	bool forced; /* the thread's own fault */
};
/* The next signal that t must see, taken off its list; false: none. For handlers with SA_RESETHAND the default is back.
 */
bool signal_take(struct thread *t, struct signal_taken *taken);

/* One of set that is pending for t or its process, blocked or not; false: none. No action is touched. */
bool signal_take_from(struct thread *t, uint64_t set, struct siginfo *info);
/* Clears NOTIFY_SIGNAL if nothing is to be delivered; true when t has a reason to go back: signal, stop, kill. */
bool signal_settle(struct thread *t);

/* The frame for a handler on the user's stack, and tf changed so that it runs. ERR_FAULT: the stack is bad, tf
 * unchanged. */
enum error signal_frame_push(struct thread *t, struct trap_frame *tf, const struct signal_taken *taken,
			     uint64_t mask) MUST_CHECK;
/* Reads the frame at tf->sp back. ERR_FAULT, ERR_INVAL: nothing changed. */
enum error signal_frame_pop(struct thread *t, struct trap_frame *tf, uint64_t *mask) MUST_CHECK;

/* The mask of the current thread becomes that (but for SIGKILL and SIGSTOP). */
void signal_set_mask(struct thread *t, uint64_t mask);
/* What a default action is. */
enum signal_default { DEFAULT_IGNORE, DEFAULT_STOP, DEFAULT_CONTINUE, DEFAULT_DIE };
enum signal_default signal_default_of(int sig);

/* The current thread leaves: what was meant for its process goes to another. p->lock held. */
void signal_retarget_locked(struct process *p);
/* Handlers back to default (exec); ignored ones stay; alternate stack off. */
void signal_exec(struct thread *t);
/* Tells the parent that child ended, stopped or went on. Counted by the caller; no lock held. */
void signal_child(struct process *parent, struct process *child, int sig, int code, int status);
const char *signal_name(int sig);

#endif
