/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/clone.c: how threads and processes begin.
 *
 * Prepare, then commit: the new thread and, for a process, all that it owns are made
 * first; whatever fails gives them back. Then the thread joins its process, the
 * process its family, and it is put on a run queue; nothing of that can fail, but that
 * the caller's own process is being killed.
 *
 * A thread starts in child_start, which does what the child has to do in its own
 * address space, and enters EL0 with the copied frame.
 *
 * Where this is less than clone(2): CLONE_SIGHAND without CLONE_THREAD and new
 * namespaces are EINVAL; CLONE_FS without CLONE_THREAD copies cwd and umask.
 */
#include "base/assert.h"
#include "hal/uaccess.h"
#include "proc/fd.h"
#include "proc/fs.h"
#include "proc/itimer.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "vm/map.h"

#define CLONE_CLEAR_SIGHAND 0x100000000ull
#define UNSUPPORTED \
	((uint64_t)CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET | CLONE_PIDFD)

static void child_start(void *unused)
{
	struct thread *t = thread_current();
	uint32_t tid = t->tid;

	/* As Linux: a bad address is the child's own problem. */
	if (t->set_child_tid)
		(void)!copy_out(vaddr(t->set_child_tid), &tid, sizeof tid);
	thread_enter_user(unused);
}

static long check(const struct thread *t, const struct clone_args *a)
{
	if (a->flags & UNSUPPORTED || a->exit_signal > NSIG)
		return -EINVAL;
	if (a->flags & CLONE_THREAD && !(a->flags & CLONE_SIGHAND))
		return -EINVAL;
	if (a->flags & CLONE_SIGHAND && !(a->flags & CLONE_VM && a->flags & CLONE_THREAD))
		return -EINVAL;
	if (a->flags & CLONE_SIGHAND && a->flags & CLONE_CLEAR_SIGHAND)
		return -EINVAL;
	if (a->flags & CLONE_PARENT && t->proc->pid == 1)
		return -EINVAL;
	return 0;
}

/* What a new thread has of the one that made it. */
static void inherit_thread(struct thread *n, struct thread *t, const struct trap_frame *tf, const struct clone_args *a)
{
	struct trap_frame *frame = trap_frame_of(n->stack_top);

	*frame = *tf;
	frame->x[0] = 0;
	frame->syscall = UINT64_MAX;
	if (a->stack)
		frame->sp = a->stack;
	context_fp_save(&n->fp);
	n->tls = a->flags & CLONE_SETTLS ? a->tls : context_tls_get();
	n->map = n->proc->map;
	n->affinity = sched_affinity(t);
	atomic_store_relaxed(&n->sigmask, atomic_load_relaxed(&t->sigmask)); /* own; n is not known yet */
	__builtin_memcpy(n->name, t->name, sizeof n->name);
	if (!(a->flags & CLONE_VM) || a->flags & CLONE_VFORK) {
		n->alt_sp = t->alt_sp;
		n->alt_size = t->alt_size;
		n->alt_flags = t->alt_flags;
	}
	n->set_child_tid = a->flags & CLONE_CHILD_SETTID ? a->child_tid : 0;
	n->clear_child_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
	n->entry = child_start;
}

/* n becomes one of p's threads. False: p is ending, or about to exec. */
static bool join(struct process *p, struct thread *n)
{
	bool ok;

	spin_lock(&p->lock, RANK_PROC);
	ok = !p->exiting && !p->exec_by;
	if (ok) {
		list_append(&p->threads, &n->proc_link);
		p->nthreads++;
		p->unburied++;
		if (p->stopped)
			(void)atomic_or_acq_rel(&n->notify, NOTIFY_STOP); /* it does not run yet */
		/* acq_rel: pairs with the acquire on the way to EL0 */
		(void)atomic_or_acq_rel(&n->notify, NOTIFY_SIGNAL);
	}
	spin_unlock(&p->lock);
	return ok;
}

static long tell_parent(const struct clone_args *a, uint32_t tid)
{
	if (a->flags & CLONE_PARENT_SETTID && copy_out(vaddr(a->parent_tid), &tid, sizeof tid) != OK)
		return -EFAULT;
	return 0;
}

static long clone_thread(struct thread *t, const struct trap_frame *tf, const struct clone_args *a)
{
	struct thread *n;
	enum error e = thread_create(t->ps, t->proc, &n);
	uint32_t tid;

	if (e != OK)
		return -EAGAIN; /* pthread_create(3) knows no ENOMEM */
	inherit_thread(n, t, tf, a);
	tid = n->tid;
	(void)tell_parent(a, tid); /* as Linux: its failure does not stop the thread */
	/* The child's memory is ours: it can be told before it runs, and before the caller looks. */
	if (n->set_child_tid)
		(void)!copy_out(vaddr(n->set_child_tid), &tid, sizeof tid);
	n->set_child_tid = 0;
	if (!join(t->proc, n)) {
		thread_discard(n);
		return -ERESTARTNOINTR;
	}
	vm_map_spread(t->map);
	sched_start(n);
	return tid;
}

static void inherit_actions(struct process *n, struct process *p, uint64_t flags)
{
	spin_lock(&p->lock, RANK_PROC);
	__builtin_memcpy(n->actions, p->actions, sizeof n->actions);
	__builtin_memcpy(n->limits, p->limits, sizeof n->limits);
	atomic_store_relaxed(&n->space_limit, n->limits[RLIMIT_AS].soft); /* nobody else has n yet */
	spin_unlock(&p->lock);
	for (unsigned i = 0; flags & CLONE_CLEAR_SIGHAND && i < NSIG; i++)
		if (n->actions[i].handler != SIG_IGN)
			__builtin_memset(&n->actions[i], 0, sizeof n->actions[i]);
}

/* What a new process has of the one that made it. On error process_release gives back what is there. */
static long inherit_process(struct process *n, struct thread *t, const struct clone_args *a)
{
	struct process *p = t->proc;
	long r = 0;

	inherit_actions(n, p, a->flags);
	n->umask = p->umask;
	n->trampoline = p->trampoline;
	__builtin_memcpy(n->exe_path, p->exe_path, sizeof n->exe_path);
	__builtin_memcpy(n->name, p->name, sizeof n->name);
	n->arg_start = p->arg_start;
	n->arg_end = p->arg_end;
	n->env_start = p->env_start;
	n->env_end = p->env_end;
	n->exit_signal = (int)a->exit_signal;
	n->exe = p->exe;
	if (n->exe)
		vnode_reference(n->exe);
	mutex_lock(&p->fs_lock);
	n->cwd = p->cwd;
	if (n->cwd)
		vnode_reference(n->cwd);
	mutex_unlock(&p->fs_lock);
	if (a->flags & CLONE_FILES) {
		n->files = p->files;
		fd_table_reference(n->files);
	} else {
		r = fd_table_copy(p->files, &n->files);
	}
	if (r == 0 && a->flags & CLONE_VM) {
		vm_map_reference(t->map);
		n->map = t->map;
	} else if (r == 0) {
		r = errno_of(vm_map_fork(t->map, &n->map));
	}
	return r;
}

static void undo_process(struct process *n)
{
	process_release(n);
	process_put(n);
}

/* The parent of a vfork sleeps until the child has its own program or is gone; a kill ends the wait. */
static void wait_for_vfork(struct process *child)
{
	for (;;) {
		struct waiter w;
		bool busy;

		wait_prepare(&child->vfork_wait, &w);
		spin_lock(&child->lock, RANK_PROC);
		busy = child->vfork_busy;
		spin_unlock(&child->lock);
		if (!busy) {
			wait_cancel(&child->vfork_wait, &w);
			return;
		}
		if (sched_wait(&child->vfork_wait, &w, WAIT_KILLABLE, TIMER_NEVER) == ERR_INTR)
			return;
	}
}

static long clone_process(struct thread *t, const struct trap_frame *tf, const struct clone_args *a)
{
	struct process *n;
	struct thread *first;
	uint32_t pid;
	long r;

	/* As Linux: what is pending already is seen before the fork, once. */
	if (signal_wants_attention(t) && signal_settle(t))
		return -ERESTARTNOINTR;
	if (process_create(t->ps, &n) != OK)
		return -EAGAIN;
	process_init_alarm(n);
	r = inherit_process(n, t, a);
	if (r == 0 && thread_create(t->ps, n, &first) != OK)
		r = -ENOMEM;
	if (r != 0) {
		undo_process(n);
		return r;
	}
	inherit_thread(first, t, tf, a);
	pid = n->pid;
	(void)tell_parent(a, pid);
	if (!join(n, first))
		panic("a process that nobody knows is ending");
	n->vfork_busy = a->flags & CLONE_VFORK;
	process_enter(n, t->proc, a->flags & CLONE_PARENT);
	sched_start(first);
	if (a->flags & CLONE_VFORK)
		wait_for_vfork(n);
	process_put(n);
	return pid;
}

long process_clone(struct thread *t, const struct trap_frame *tf, const struct clone_args *a)
{
	long r = check(t, a);

	if (r < 0)
		return r;
	return a->flags & CLONE_THREAD ? clone_thread(t, tf, a) : clone_process(t, tf, a);
}

enum error process_start_init(struct proc_system *ps, void (*entry)(void *), void *arg)
{
	struct process *p;
	struct thread *t;
	enum error e = process_create(ps, &p);

	if (e != OK)
		return e;
	__builtin_memset(p->actions, 0, sizeof p->actions);
	ASSERT(p->pid == 1);
	process_init_alarm(p);
	e = thread_create(ps, p, &t);
	if (e != OK) {
		process_put(p);
		return e;
	}
	t->entry = entry;
	t->entry_arg = arg;
	__builtin_memcpy(t->name, "init", 5);
	__builtin_memcpy(p->name, "init", 5);
	if (!join(p, t))
		panic("pid 1 is ending before it began");
	process_enter(p, NULL, false);
	process_put(p);
	sched_start(t);
	return OK;
}
