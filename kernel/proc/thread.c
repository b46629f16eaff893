/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread's struct and kernel stack come first and go last: the struct with the
 * last reference, the stack as soon as nobody runs on it (exit.c, S6 of sched.c).
 *
 * Stacks are mapped in the kernel's window with as much guard below as they are
 * long, so that what runs over meets no memory. Some stay mapped for the next threads (kmem_pool.c).
 */
#include "proc/thread.h"

#include "base/assert.h"

struct proc_system *proc_current(void) { return thread_current()->ps; }

void thread_init(struct proc_system *ps, struct thread *t)
{
	__builtin_memset(t, 0, sizeof *t);
	t->ps = ps;
	ref_init(&t->refs, 1);
	list_init(&t->id_link);
	list_init(&t->proc_link);
	list_init(&t->run_link);
	list_init(&t->pending.queue);
	t->state = THREAD_NEW;
	t->alt_flags = SS_DISABLE;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++)
		cpumask_set(&t->affinity, cpu);
	/* relaxed: nobody else knows the thread yet */
	atomic_store_relaxed(&t->cpu, cpu_id());
	atomic_store_relaxed(&t->fp_cpu, (uint32_t)CPU_MAX);
}

static struct list *tid_bucket(struct proc_system *ps, uint32_t tid) { return &ps->by_tid[tid % PID_BUCKETS]; }

/* The first thread of a process has its process's id. */
static bool take_id(struct thread *t)
{
	struct proc_system *ps = t->ps;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	t->tid = list_empty(&t->proc->threads) ? t->proc->pid : process_new_id_locked(ps);
	if (t->tid)
		list_append(tid_bucket(ps, t->tid), &t->id_link);
	spin_unlock(&ps->lock);
	return t->tid != 0;
}

enum error thread_create(struct proc_system *ps, struct process *proc, struct thread **out)
{
	struct thread *t = zone_alloc(ps->thread_zone);

	if (!t)
		return ERR_NOMEM;
	thread_init(ps, t);
	if (kmem_pool_get(&ps->stacks, &t->stack) != OK) {
		zone_free(ps->thread_zone, t);
		return ERR_NOMEM;
	}
	t->stack_top = (char *)(uintptr_t)t->stack.va + KSTACK_SIZE;
	__builtin_memset(trap_frame_of(t->stack_top), 0, sizeof(struct trap_frame));
	t->proc = proc;
	if (proc) {
		if (!take_id(t)) {
			t->proc = NULL;
			thread_free_stack(t);
			zone_free(ps->thread_zone, t);
			return ERR_LIMIT;
		}
		process_get(proc);
	}
	atomic_add_relaxed(&ps->nthreads, 1u); /* a figure */
	*out = t;
	return OK;
}

void thread_free_stack(struct thread *t)
{
	kmem_pool_put(&t->ps->stacks, t->stack);
	t->stack = vaddr(0);
	t->stack_top = NULL;
}

void thread_discard(struct thread *t)
{
	ASSERT(t->state == THREAD_NEW);
	thread_forget(t);
	thread_free_stack(t);
	thread_put(t);
}

void thread_get(struct thread *t) { ref_get(&t->refs); }

void thread_put(struct thread *t)
{
	struct proc_system *ps = t->ps;

	if (!ref_put(&t->refs))
		return;
	ASSERT(t->stack.va == 0 && list_empty(&t->proc_link) && list_empty(&t->run_link));
	atomic_sub_relaxed(&ps->nthreads, 1u); /* a figure */
	if (t->proc)
		process_put(t->proc);
	zone_free(ps->thread_zone, t);
}

struct thread *thread_find(struct proc_system *ps, uint32_t tid)
{
	struct thread *found = NULL;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, tid_bucket(ps, tid)) {
		struct thread *t = CONTAINER_OF(m, struct thread, id_link);

		if (t->tid == tid) {
			thread_get(t);
			found = t;
			break;
		}
	}
	spin_unlock(&ps->lock);
	return found;
}

void thread_forget(struct thread *t)
{
	spin_lock(&t->ps->lock, RANK_PROC_TABLE);
	list_remove(&t->id_link);
	spin_unlock(&t->ps->lock);
}

void thread_rename_id(struct thread *t, uint32_t tid)
{
	spin_lock(&t->ps->lock, RANK_PROC_TABLE);
	list_remove(&t->id_link);
	t->tid = tid;
	list_append(tid_bucket(t->ps, tid), &t->id_link);
	spin_unlock(&t->ps->lock);
}

void thread_enter_user(void *unused)
{
	(void)unused;
	(void)cpu_irq_save();
	context_return_to_user(trap_frame_of(thread_current()->stack_top));
}
