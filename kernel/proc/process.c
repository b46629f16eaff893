/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/process.c: the table of processes, their lifetime as structs, groups and
 * sessions. How they begin: clone.c; how they end: exit.c.
 *
 * A process is in the table (ps->by_pid, ps->all) from process_enter until its
 * parent has waited for it; the table's reference goes then. Each of its threads
 * holds one, until its struct goes. The struct is freed with the last one; all
 * that the process had (address space, files, cwd) was given back before, by its
 * last thread or, for one that never ran, by whoever made it.
 *
 * Ids of processes and threads come from one counter. Until it wraps at PID_LIMIT,
 * every id is new by itself; afterwards each candidate is looked for everywhere,
 * as group and session too.
 *
 * Locking: ps->lock (RANK_PROC_TABLE) guards tables and families.
 */
#include "proc/process.h"

#include "base/assert.h"
#include "proc/thread.h"
#include "vm/map.h"

#define FIRST_AGAIN 300 /* ids below are not given twice: they are the first, long-lived processes */

static struct list *pid_bucket(struct proc_system *ps, uint32_t pid) { return &ps->by_pid[pid % PID_BUCKETS]; }

struct process *process_find_locked(struct proc_system *ps, uint32_t pid)
{
	ASSERT_CHECKED(spin_held(&ps->lock));
	LIST_FOR(m, pid_bucket(ps, pid)) {
		struct process *p = CONTAINER_OF(m, struct process, pid_link);

		if (p->pid == pid)
			return p;
	}
	return NULL;
}

static bool id_in_use_locked(struct proc_system *ps, uint32_t id)
{
	LIST_FOR(m, &ps->by_tid[id % PID_BUCKETS])
		if (CONTAINER_OF(m, struct thread, id_link)->tid == id)
			return true;
	LIST_FOR(m, &ps->all) {
		const struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (p->pid == id || p->pgid == id || p->sid == id)
			return true;
	}
	return false;
}

uint32_t process_new_id_locked(struct proc_system *ps)
{
	ASSERT_CHECKED(spin_held(&ps->lock));
	/* Bounded: more threads than this do not fit in memory long before. */
	for (uint32_t tries = 0; tries < PID_LIMIT; tries++) {
		if (++ps->last_id == PID_LIMIT) {
			ps->last_id = FIRST_AGAIN;
			ps->ids_wrapped = true;
		}
		if (!ps->ids_wrapped || !id_in_use_locked(ps, ps->last_id))
			return ps->last_id;
	}
	return 0;
}

static void default_limits(struct rlimit *limits)
{
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	limits[RLIMIT_STACK].soft = UINT64_C(8) << 20;
	limits[RLIMIT_CORE].soft = 0;
	limits[RLIMIT_NOFILE] = (struct rlimit){1024, 1024};
	limits[RLIMIT_SIGPENDING] = (struct rlimit){1024, 1024};
	limits[RLIMIT_MEMLOCK] = (struct rlimit){UINT64_C(8) << 20, UINT64_C(8) << 20};
}

enum error process_create(struct proc_system *ps, struct process **out)
{
	struct process *p = zone_alloc(ps->process_zone);

	if (!p)
		return ERR_NOMEM;
	/* All but the actions. */
	__builtin_memset(p, 0, offsetof(struct process, actions));
	__builtin_memset(&p->pending, 0, sizeof *p - offsetof(struct process, pending));
	p->ps = ps;
	ref_init(&p->refs, 1);
	list_init(&p->pid_link);
	list_init(&p->all_link);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->threads);
	list_init(&p->pending.queue);
	waitq_init(&p->wait);
	waitq_init(&p->exec_wait);
	waitq_init(&p->stop_wait);
	waitq_init(&p->vfork_wait);
	spin_init(&p->lock);
	mutex_init(&p->fs_lock);
	mutex_init(&p->alarm_lock);
	default_limits(p->limits);
	atomic_store_relaxed(&p->space_limit, p->limits[RLIMIT_AS].soft); /* nobody else has p yet */
	p->exit_signal = SIGCHLD;
	p->umask = 022;
	p->start_ns = machine_now();
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p->pid = process_new_id_locked(ps);
	spin_unlock(&ps->lock);
	if (!p->pid) {
		zone_free(ps->process_zone, p);
		return ERR_LIMIT;
	}
	*out = p;
	return OK;
}

void process_set_parent_locked(struct process *p, struct process *parent)
{
	p->parent = parent;
	/* relaxed: who learnt by other means that it changed has the order from there */
	atomic_store_relaxed(&p->parent_pid, parent ? parent->pid : 0u);
}

void process_enter(struct process *p, struct process *maker, bool sibling)
{
	struct proc_system *ps = p->ps;

	process_get(p);                      /* the table's */
	atomic_add_relaxed(&ps->nprocs, 1u); /* a figure */
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p->pgid = maker ? maker->pgid : p->pid;
	p->sid = maker ? maker->sid : p->pid;
	process_set_parent_locked(p, sibling ? maker->parent : maker);
	if (maker)
		list_append(&p->parent->children, &p->sibling);
	else
		ps->init = p;
	list_append(pid_bucket(ps, p->pid), &p->pid_link);
	list_append(&ps->all, &p->all_link);
	spin_unlock(&ps->lock);
}

void process_get(struct process *p) { ref_get(&p->refs); }

void process_put(struct process *p)
{
	if (!ref_put(&p->refs))
		return;
	ASSERT(!p->map && !p->files && !p->cwd && !p->exe && list_empty(&p->threads));
	ASSERT(list_empty(&p->pid_link) && list_empty(&p->children));
	zone_free(p->ps->process_zone, p);
}

struct process *process_find(struct proc_system *ps, uint32_t pid)
{
	struct process *p;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p = process_find_locked(ps, pid);
	if (p)
		process_get(p);
	spin_unlock(&ps->lock);
	return p;
}

struct process *process_next(struct proc_system *ps, uint32_t pid)
{
	struct process *best = NULL;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &ps->all) {
		struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (p->pid > pid && (!best || p->pid < best->pid))
			best = p;
	}
	if (best)
		process_get(best);
	spin_unlock(&ps->lock);
	return best;
}

struct vm_map *process_map(struct process *p)
{
	struct vm_map *map;

	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	map = p->map;
	if (map)
		vm_map_reference(map);
	spin_unlock(&p->ps->lock);
	return map;
}

/* --- groups and sessions --- */

static bool group_in_session_locked(struct proc_system *ps, uint32_t pgid, uint32_t sid)
{
	LIST_FOR(m, &ps->all) {
		const struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (p->pgid == pgid && p->sid == sid)
			return true;
	}
	return false;
}

/* p ties its group to the session: it lives, and so does a parent in another group, pid 1 not counted. */
static bool is_tie_locked(struct process *p)
{
	bool ends;

	if (p->state != PROCESS_ALIVE || !p->parent || p->parent == p->ps->init || p->parent->sid != p->sid ||
	    p->parent->pgid == p->pgid)
		return false;
	spin_lock(&p->lock, RANK_PROC);
	ends = p->nthreads == 0;
	spin_unlock(&p->lock);
	return !ends;
}

bool process_group_orphaned(struct proc_system *ps, uint32_t pgid)
{
	bool orphaned = true;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &ps->all) {
		struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (orphaned && p->pgid == pgid && is_tie_locked(p))
			orphaned = false;
	}
	spin_unlock(&ps->lock);
	return orphaned;
}

static long setpgid_locked(struct process *self, uint32_t pid, uint32_t pgid)
{
	struct process *p = process_find_locked(self->ps, pid);

	if (!p || (p != self && p->parent != self))
		return -ESRCH;
	if (p != self && p->sid != self->sid)
		return -EPERM;
	if (p != self && p->did_exec)
		return -EACCES;
	if (p->sid == p->pid)
		return -EPERM;
	if (pgid != p->pid && !group_in_session_locked(self->ps, pgid, self->sid))
		return -EPERM;
	p->pgid = pgid;
	return 0;
}

long process_setpgid(struct thread *t, uint32_t pid, uint32_t pgid)
{
	struct proc_system *ps = t->ps;
	long r;

	if ((int32_t)pgid < 0)
		return -EINVAL;
	if (!pid)
		pid = t->proc->pid;
	if (!pgid)
		pgid = pid;
	spin_lock(&ps->lock, RANK_PROC_TABLE);
	r = setpgid_locked(t->proc, pid, pgid);
	spin_unlock(&ps->lock);
	return r;
}

long process_getpgid(struct thread *t, uint32_t pid)
{
	struct proc_system *ps = t->ps;
	struct process *p;
	long r;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p = pid ? process_find_locked(ps, pid) : t->proc;
	r = p ? (long)p->pgid : -ESRCH;
	spin_unlock(&ps->lock);
	return r;
}

long process_getsid(struct thread *t, uint32_t pid)
{
	struct proc_system *ps = t->ps;
	struct process *p;
	long r;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p = pid ? process_find_locked(ps, pid) : t->proc;
	r = p ? (long)p->sid : -ESRCH;
	spin_unlock(&ps->lock);
	return r;
}

long process_setsid(struct thread *t)
{
	struct proc_system *ps = t->ps;
	struct process *p = t->proc;
	long r = -EPERM;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	if (p->pgid != p->pid && !group_in_session_locked(ps, p->pid, p->sid)) {
		p->pgid = p->sid = p->pid;
		r = p->pid;
	}
	spin_unlock(&ps->lock);
	return r;
}
