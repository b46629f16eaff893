/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/init.h"

#include "base/assert.h"
#include "proc/console.h"
#include "proc/exec.h"
#include "proc/fail_nth.h"
#include "proc/futex.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/sigqueue.h"
#include "proc/trap.h"

static struct zone *zone_or_panic(struct vm *vm, const char *name, size_t size)
{
	struct zone *z = zone_create(&vm->zones, name, size, CACHE_LINE, NULL, NULL, 0);

	if (!z)
		panic("no memory for the zone of %s", name);
	return z;
}

void proc_init(struct proc_system *ps, struct vm *vm, const struct machine_info *info)
{
	ps->vm = vm;
	ps->ncpus = info->ncpus;
	ps->bury = process_bury;
	spin_init(&ps->lock);
	for (unsigned i = 0; i < PID_BUCKETS; i++) {
		list_init(&ps->by_pid[i]);
		list_init(&ps->by_tid[i]);
	}
	list_init(&ps->all);
	waitq_init(&ps->oom_wait);
	fail_nth_init(ps);
	if (kmem_pool_init(&ps->stacks, &vm->kmem.map, KSTACK_SIZE, KSTACK_SIZE, "kernel stack") != OK)
		panic("no memory for kernel stacks");
	ps->thread_zone = zone_or_panic(vm, "thread", sizeof(struct thread));
	ps->process_zone = zone_or_panic(vm, "process", sizeof(struct process));
	if (sched_init(ps) != OK || sigqueue_init(ps) != OK || futex_init(ps) != OK || exec_init(ps) != OK ||
	    work_init(ps) != OK)
		panic("no memory for processes");
	/* Before the first interrupt: what is typed, or piped in, from then on is kept. */
	if (console_create(ps, &ps->console) != 0)
		panic("no memory for the console");
	trap_init(ps);
}
