/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/exit.c: how threads and processes end, and how parents learn of it.
 *
 * A thread leaves in its own context: futexes of its address space first, then it
 * leaves the address space, then the process's list. The last one gives back what
 * the process had. Then it switches away for good, and the next thread on that CPU
 * buries it: frees its stack. When the last stack of a process is freed, the process
 * becomes a zombie and its parent is told:
 *
 *	thread_exit                     next thread on the CPU          parent
 *	futexes, tables, list
 *	last: map, files, cwd
 *	sched_exit  ----------------->  process_bury: stack
 *	                                last: zombie, SIGCHLD ------->  process_wait: struct
 *
 * Invariants.
 *  1. A parent that has waited for a process finds every frame of it given back (but
 *     for what epochs and caches keep, and what others share).
 *  2. A CPU loads no tables of a process when its thread leaves the list; so the last
 *     thread may release the map (DESIGN 5.4).
 *  3. A process has a parent from process_enter on; a dead parent's children go to
 *     pid 1. pid 1's end is the machine's.
 *
 * Locking. ps->lock for families and states, p->lock inside it for threads and the
 * parent's SIGCHLD action.
 */
#include "base/assert.h"
#include "base/print.h"
#include "proc/fail_nth.h"
#include "proc/fd.h"
#include "proc/fs.h"
#include "proc/futex.h"
#include "proc/itimer.h"
#include "proc/oom.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/sigqueue.h"
#include "vm/map.h"

/* Groups that an ending process looks after; of more, the rest is not told. */
#define GROUPS_MAX 16

/* --- leaving --- */

void process_vfork_done(struct process *p)
{
	spin_lock(&p->lock, RANK_PROC);
	p->vfork_busy = false;
	spin_unlock(&p->lock);
	(void)waitq_wake_all(&p->vfork_wait);
}

static void power_off(const struct process *init)
{
	int status = init->exit_status, sig = status & 0x7f;

	if (sig)
		kprintf("init was killed by %s\n", signal_name(sig));
	machine_power_off(sig ? 128u + (unsigned)sig : (unsigned)(status >> 8) & 0xff);
}

/* A group that nobody is left to continue is told so if one of it is stopped (POSIX, _exit). */
static void wake_orphans(struct proc_system *ps, uint32_t pgid)
{
	struct siginfo info = {.si_code = SI_KERNEL};
	bool stopped = false;

	if (!process_group_orphaned(ps, pgid))
		return;
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &ps->all) {
		struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (p->pgid != pgid || p->state != PROCESS_ALIVE)
			continue;
		spin_lock(&p->lock, RANK_PROC);
		stopped |= p->stopped && !p->exiting;
		spin_unlock(&p->lock);
	}
	spin_unlock(&ps->lock);
	if (!stopped)
		return;
	info.si_signo = SIGHUP;
	(void)signal_send_group(ps, pgid, &info);
	info.si_signo = SIGCONT;
	(void)signal_send_group(ps, pgid, &info);
}

/* Groups that lose a tie to their session by an end: perhaps the last one. */
struct groups {
	uint32_t pgid[GROUPS_MAX], count;
};

/* member's parent ties member's group to the session: it lives in another one. pid 1 does not count. ps->lock held. */
static void note_tie_locked(struct groups *g, const struct process *member)
{
	const struct process *parent = member->parent;
	uint32_t pgid = member->pgid;

	if (!parent || parent == member->ps->init || parent->sid != member->sid || parent->pgid == pgid)
		return;
	for (uint32_t i = 0; i < g->count; i++)
		if (g->pgid[i] == pgid)
			return;
	if (g->count < GROUPS_MAX)
		g->pgid[g->count++] = pgid;
}

/* The children of p become pid 1's. */
static void give_away_children(struct process *p, struct groups *groups)
{
	struct proc_system *ps = p->ps;
	bool zombies = false;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	note_tie_locked(groups, p);
	while (!list_empty(&p->children)) {
		struct process *child = CONTAINER_OF(p->children.next, struct process, sibling);

		note_tie_locked(groups, child);
		list_remove(&child->sibling);
		list_append(&ps->init->children, &child->sibling);
		process_set_parent_locked(child, ps->init);
		child->exit_signal = SIGCHLD;
		zombies |= child->state == PROCESS_ZOMBIE;
	}
	spin_unlock(&ps->lock);
	if (zombies)
		signal_child(ps->init, p, SIGCHLD, CLD_EXITED, 0); /* a hint to look: it finds them by wait */
}

void process_note_resident(struct process *p, uint64_t pages)
{
	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	if (pages > p->usage.max_resident)
		p->usage.max_resident = pages;
	spin_unlock(&p->ps->lock);
}

/* How much was mapped is known when the last reference goes; before, by asking. */
static void release_map(struct process *p, struct vm_map *map)
{
	uint64_t shared = ref_count(&map->refs) > 1 ? vm_map_resident_pages(map) : 0, last = vm_map_release(map);

	process_note_resident(p, last ? last : shared);
	oom_memory_is_back(p->ps);
}

/* What the process had. Its last thread; or nobody's, for one that never ran. */
void process_release(struct process *p)
{
	struct proc_system *ps = p->ps;
	struct fd_table *files;
	struct vnode *exe, *cwd;
	struct vm_map *map;

	process_set_alarm(p, 0, 0, NULL, NULL);
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	map = p->map;
	files = p->files;
	exe = p->exe;
	p->map = NULL;
	p->files = NULL;
	p->exe = NULL;
	spin_unlock(&ps->lock);
	mutex_lock(&p->fs_lock);
	cwd = p->cwd;
	p->cwd = NULL;
	mutex_unlock(&p->fs_lock);
	if (map)
		release_map(p, map);
	if (files)
		fd_table_release(files);
	vnode_release(exe);
	vnode_release(cwd);
	sigqueue_drop(ps, &p->pending, ~UINT64_C(0));
}

/* Takes t off its process's list. True: it was the last. */
static bool leave_process(struct thread *t, int status)
{
	struct process *p = t->proc;
	bool last;

	spin_lock(&p->lock, RANK_PROC);
	t->leaving = true;
	list_remove(&t->proc_link);
	sigqueue_drop(p->ps, &t->pending, ~UINT64_C(0));
	last = --p->nthreads == 0;
	if (last && !p->exiting) {
		p->exiting = true;
		p->exit_status = status;
	}
	if (!last)
		signal_retarget_locked(p);
	spin_unlock(&p->lock);
	(void)waitq_wake_all(&p->exec_wait);
	return last;
}

static void count_usage(struct thread *t)
{
	struct process *p = t->proc;

	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	p->usage.run_ns += sched_thread_ns(t);
	p->usage.faults += atomic_load_relaxed(&t->faults); /* own */
	p->usage.switches += atomic_load_relaxed(&t->switches);
	spin_unlock(&p->ps->lock);
}

void thread_exit(struct thread *t, int status)
{
	struct groups groups = {.count = 0};
	struct process *p = t->proc;
	bool last;

	if (UNLIKELY(t->fail_armed))
		fail_nth_exit(t);
	futex_thread_leaves(t);
	count_usage(t);
	sched_use_map(NULL);
	thread_forget(t);
	last = leave_process(t, status);
	if (last) {
		if (p->pid == 1)
			power_off(p);
		process_vfork_done(p);
		process_release(p);
		give_away_children(p, &groups);
		for (uint32_t i = 0; i < groups.count; i++)
			wake_orphans(p->ps, groups.pgid[i]);
	}
	sched_exit();
}

void process_exit(struct thread *t, int status)
{
	process_kill(t->proc, status);
	thread_exit(t, status);
}

enum error process_single_thread(struct thread *t)
{
	struct process *p = t->proc;
	enum error e = OK;
	bool alone;

	spin_lock(&p->lock, RANK_PROC);
	if (p->exiting || p->exec_by) {
		spin_unlock(&p->lock);
		return ERR_INTR;
	}
	p->exec_by = t;
	LIST_FOR(m, &p->threads) {
		struct thread *other = CONTAINER_OF(m, struct thread, proc_link);

		if (other == t)
			continue;
		/* acq_rel: pairs with the acquire of whoever looks at notify */
		(void)atomic_or_acq_rel(&other->notify, NOTIFY_KILL);
		sched_notify(other, true);
	}
	spin_unlock(&p->lock);
	for (;;) {
		struct waiter w;

		wait_prepare(&p->exec_wait, &w);
		spin_lock(&p->lock, RANK_PROC);
		alone = p->nthreads == 1;
		spin_unlock(&p->lock);
		if (alone || e != OK) {
			wait_cancel(&p->exec_wait, &w);
			break;
		}
		e = sched_wait(&p->exec_wait, &w, WAIT_KILLABLE, TIMER_NEVER);
	}
	spin_lock(&p->lock, RANK_PROC);
	p->exec_by = NULL;
	spin_unlock(&p->lock);
	if (!alone)
		return ERR_INTR;
	if (t->tid != p->pid)
		thread_rename_id(t, p->pid);
	return OK;
}

/* --- zombies --- */

static int child_code(int wait_status) { return wait_status & 0x7f ? CLD_KILLED : CLD_EXITED; }
static int child_value(int wait_status) { return wait_status & 0x7f ? wait_status & 0x7f : wait_status >> 8 & 0xff; }

static void add_usage(struct usage *to, const struct usage *u)
{
	to->run_ns += u->run_ns;
	to->faults += u->faults;
	to->switches += u->switches;
	if (u->max_resident > to->max_resident)
		to->max_resident = u->max_resident;
}

/* Out of the table and the family; the caller drops the table's reference. ps->lock held. */
static void reap_locked(struct process *p)
{
	p->state = PROCESS_REAPED;
	list_remove(&p->pid_link);
	list_remove(&p->all_link);
	list_remove(&p->sibling);
	process_set_parent_locked(p, NULL);
	atomic_sub_relaxed(&p->ps->nprocs, 1u); /* a figure */
}

/* The parent does not want to wait for children. */
static bool unwanted_locked(struct process *parent, int exit_signal)
{
	const struct sigact *a = &parent->actions[SIGCHLD - 1];
	bool r;

	spin_lock(&parent->lock, RANK_PROC);
	r = exit_signal == SIGCHLD && (a->handler == SIG_IGN || a->flags & SA_NOCLDWAIT);
	spin_unlock(&parent->lock);
	return r;
}

static void become_zombie(struct process *p)
{
	struct proc_system *ps = p->ps;
	struct process *parent;
	int sig, status = p->exit_status;
	bool unwanted;

	process_get(p); /* the parent may reap it at once */
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	parent = p->parent;
	process_get(parent);
	sig = p->exit_signal;
	unwanted = unwanted_locked(parent, sig);
	p->wait_status = status;
	p->state = PROCESS_ZOMBIE;
	p->report_stop = p->report_cont = false;
	if (unwanted)
		reap_locked(p);
	spin_unlock(&ps->lock);
	signal_child(parent, p, sig, child_code(status), child_value(status));
	process_put(parent);
	if (unwanted)
		process_put(p);
	process_put(p);
}

void process_bury(struct thread *t)
{
	struct process *p = t->proc;
	bool last = false;

	thread_free_stack(t);
	if (p) {
		spin_lock(&p->lock, RANK_PROC);
		last = --p->unburied == 0;
		spin_unlock(&p->lock);
	}
	if (last)
		become_zombie(p);
	thread_put(t);
}

/* --- waiting --- */

static bool matches_locked(struct process *self, struct process *child, int kind, uint32_t id, uint32_t options)
{
	if (kind == P_PID && child->pid != id)
		return false;
	if (kind == P_PGID && child->pgid != (id ? id : self->pgid))
		return false;
	if (options & WALL)
		return true;
	return (child->exit_signal != SIGCHLD) == ((options & WCLONE) != 0);
}

/* Something to report about child: into result. True also when it is reaped now: *reaped. ps->lock held. */
static bool report_locked(struct process *child, uint32_t options, struct wait_result *result, struct process **reaped)
{
	bool keep = options & WNOWAIT;

	result->pid = child->pid;
	if (child->state == PROCESS_ZOMBIE) {
		if (!(options & WEXITED))
			return false;
		result->status = child->wait_status;
		result->code = child_code(child->wait_status);
		result->usage = child->usage;
		add_usage(&result->usage, &child->child_usage);
		if (!keep) {
			add_usage(&child->parent->child_usage, &result->usage);
			reap_locked(child);
			*reaped = child;
		}
		return true;
	}
	result->usage = child->usage;
	if (child->report_stop && options & WSTOPPED) {
		result->status = child->stop_signal << 8 | 0x7f;
		result->code = CLD_STOPPED;
		child->report_stop = keep;
		return true;
	}
	if (child->report_cont && options & WCONTINUED) {
		result->status = 0xffff;
		result->code = CLD_CONTINUED;
		child->report_cont = keep;
		return true;
	}
	return false;
}

/* 1: found; 0: nobody yet; -ECHILD: nobody ever. */
static int look(struct process *self, int kind, uint32_t id, uint32_t options, struct wait_result *result,
		struct process **reaped)
{
	int r = -ECHILD;

	spin_lock(&self->ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &self->children) {
		struct process *child = CONTAINER_OF(m, struct process, sibling);

		if (!matches_locked(self, child, kind, id, options))
			continue;
		r = 0;
		if (report_locked(child, options, result, reaped)) {
			r = 1;
			break;
		}
	}
	spin_unlock(&self->ps->lock);
	return r;
}

long process_wait(struct thread *t, int kind, uint32_t id, uint32_t options, struct wait_result *result)
{
	struct process *p = t->proc;

	if (kind != P_ALL && kind != P_PID && kind != P_PGID)
		return -EINVAL;
	for (;;) {
		struct process *reaped = NULL;
		struct waiter w;
		int found;

		wait_prepare(&p->wait, &w);
		found = look(p, kind, id, options, result, &reaped);
		if (found != 0 || options & WNOHANG) {
			wait_cancel(&p->wait, &w);
			if (reaped)
				process_put(reaped); /* the table's */
			return found > 0 ? (long)result->pid : found;
		}
		if (sched_wait(&p->wait, &w, WAIT_INTERRUPTIBLE, TIMER_NEVER) == ERR_INTR)
			return -ERESTARTSYS;
	}
}
