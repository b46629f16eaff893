/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/process_info.c: what /proc and getrusage want to know about a process. */
#include "proc/fd.h"
#include "proc/fs.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/thread.h"
#include "vm/map.h"

struct fd_table *process_files(struct process *p)
{
	struct fd_table *files;

	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	files = p->files;
	if (files)
		fd_table_reference(files);
	spin_unlock(&p->ps->lock);
	return files;
}

struct vnode *process_exe(struct process *p)
{
	struct vnode *exe;

	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	exe = p->exe;
	if (exe)
		vnode_reference(exe);
	spin_unlock(&p->ps->lock);
	return exe;
}

struct vnode *process_cwd(struct process *p)
{
	struct vnode *cwd;

	mutex_lock(&p->fs_lock);
	cwd = p->cwd;
	if (cwd)
		vnode_reference(cwd);
	mutex_unlock(&p->fs_lock);
	return cwd;
}

char process_state_letter(struct process *p)
{
	char letter = 'S';

	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	if (p->state != PROCESS_ALIVE)
		letter = 'Z';
	spin_unlock(&p->ps->lock);
	if (letter == 'Z')
		return letter;
	spin_lock(&p->lock, RANK_PROC);
	if (p->stopped)
		letter = 'T';
	LIST_FOR(m, &p->threads)
		if (sched_is_runnable(CONTAINER_OF(m, struct thread, proc_link)))
			letter = 'R';
	spin_unlock(&p->lock);
	return letter;
}

uint32_t process_thread_count(struct process *p)
{
	uint32_t n;

	spin_lock(&p->lock, RANK_PROC);
	n = p->nthreads;
	spin_unlock(&p->lock);
	return n;
}

uint32_t process_next_tid(struct process *p, uint32_t tid)
{
	uint32_t best = 0;

	spin_lock(&p->lock, RANK_PROC);
	LIST_FOR(m, &p->threads) {
		const struct thread *t = CONTAINER_OF(m, struct thread, proc_link);

		if (t->tid > tid && (!best || t->tid < best))
			best = t->tid;
	}
	spin_unlock(&p->lock);
	return best;
}

void process_usage(struct process *p, struct usage *self, struct usage *children)
{
	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	*self = p->usage;
	*children = p->child_usage;
	if (p->map && vm_map_resident_pages(p->map) > self->max_resident)
		self->max_resident = vm_map_resident_pages(p->map);
	spin_unlock(&p->ps->lock);
	spin_lock(&p->lock, RANK_PROC);
	LIST_FOR(m, &p->threads) {
		struct thread *t = CONTAINER_OF(m, struct thread, proc_link);

		self->run_ns += sched_thread_ns(t);
		self->faults += atomic_load_relaxed(&t->faults); /* figures */
		self->switches += atomic_load_relaxed(&t->switches);
	}
	spin_unlock(&p->lock);
}
