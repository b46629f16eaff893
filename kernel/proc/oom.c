/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/oom.c: memory ran out under a program's feet.
 *
 * A fault that cannot be satisfied has nobody to report ENOMEM to. First the caches
 * are emptied; then the process that holds most resident pages is killed, with one
 * line that says so, and whoever faults waits until its memory is back:
 *
 *	caches --> somebody dying already? wait for it --> else choose, kill, wait --> again
 *
 * Invariants.
 *  1. pid 1 and those that share its address space are never chosen.
 *  2. While a victim still has its address space no other is chosen, unless it has
 *     not gone after PATIENCE_NS: it may wait for something that the faulting thread
 *     holds. Every wait here is bounded, and every turn either finds memory, or ends
 *     with one process fewer, or says OOM_NOBODY: no hang.
 *  3. A thread whose own process is ending does not wait: OOM_DIE.
 *
 * Locking. ps->lock for the choice; nothing while waiting.
 */
#include "proc/oom.h"

#include "base/print.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "vm/map.h"

#define PATIENCE_NS UINT64_C(5000000000)
#define TURN_NS UINT64_C(20000000)

static bool ending(struct process *p)
{
	bool r;

	spin_lock(&p->lock, RANK_PROC);
	r = p->exiting;
	spin_unlock(&p->lock);
	return r;
}

/* What choose found. */
struct choice {
	bool wait;              /* somebody is on the way out */
	struct process *victim; /* a reference; NULL: none */
	uint64_t pages;
};

static struct choice choose(struct proc_system *ps, uint64_t now)
{
	struct choice c = {false, NULL, 0};

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &ps->all) {
		struct process *p = CONTAINER_OF(m, struct process, all_link);
		uint64_t pages;

		if (!p->map || p == ps->init || p->map == ps->init->map)
			continue;
		if (ending(p) && !p->oom_since)
			p->oom_since = now; /* it dies for another reason: as good */
		if (p->oom_since) {
			c.wait |= now - p->oom_since < PATIENCE_NS;
			continue;
		}
		pages = vm_map_resident_pages(p->map);
		if (!c.victim || pages > c.pages) {
			c.victim = p;
			c.pages = pages;
		}
	}
	if (c.wait)
		c.victim = NULL;
	if (c.victim) {
		process_get(c.victim);
		c.victim->oom_since = now;
	}
	spin_unlock(&ps->lock);
	return c;
}

/* The victim, and who shares its memory (vfork). */
static void kill_sharers(struct process *victim, uint64_t now)
{
	struct proc_system *ps = victim->ps;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	LIST_FOR(m, &ps->all) {
		struct process *p = CONTAINER_OF(m, struct process, all_link);

		if (p != victim && (!p->map || p->map != victim->map))
			continue;
		p->oom_since = now;
		process_kill(p, SIGKILL);
	}
	spin_unlock(&ps->lock);
}

void oom_memory_is_back(struct proc_system *ps) { (void)waitq_wake_all(&ps->oom_wait); }

/* What caches hold. Not vm_drain: that waits for a quiet point, and there is none now. */
static void empty_caches(struct vm *vm)
{
	for (unsigned i = 0; i < 3; i++) { /* an epoch passes after two turns, if nobody is late */
		(void)epoch_poll(&vm->epoch);
		sched_yield();
	}
	(void)zones_drain(&vm->zones);
	(void)epoch_poll(&vm->epoch);
}

enum oom_verdict oom_fault(struct thread *t, unsigned attempt)
{
	struct proc_system *ps = t->ps;
	uint64_t now = machine_now();
	struct choice c;
	struct waiter w;

	if (ending(t->proc))
		return OOM_DIE;
	empty_caches(ps->vm);
	if (attempt == 0)
		return OOM_RETRY;
	wait_prepare(&ps->oom_wait, &w);
	c = choose(ps, now);
	if (c.victim) {
		counter_add(&ps->vm->counters, COUNTER_oom_kills, 1);
		kprintf("out of memory: killed %s[%u], which held %lu KiB\n", c.victim->name, c.victim->pid,
			(unsigned long)(c.pages * (PAGE_SIZE / 1024)));
		kill_sharers(c.victim, now);
		process_put(c.victim);
	}
	if (!c.victim && !c.wait) {
		wait_cancel(&ps->oom_wait, &w);
		return OOM_NOBODY;
	}
	if (ending(t->proc)) {
		wait_cancel(&ps->oom_wait, &w);
		return OOM_DIE;
	}
	if (sched_wait(&ps->oom_wait, &w, WAIT_KILLABLE, now + TURN_NS) == ERR_INTR)
		return OOM_DIE;
	return OOM_RETRY;
}
