/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel/main.c: wires everything together, and holds the one instance of all state.
 *
 *	boot CPU                            other CPUs              pid 1's first thread
 *	vm_init, proc_init
 *	machine_start_cpus  -------------->  wait for online
 *	pid 1 created
 *	online = 1  ---------------------->  idle loop              files_init (initrd)
 *	idle loop                                                   descriptors 0, 1, 2
 *	                                                            exec /init, EL0
 */
#include <string.h>

#include "base/assert.h"
#include "hal/armv8/pmap_private.h"
#include "hal/context.h"
#include "hal/machine.h"
#include "proc/exec.h"
#include "proc/fd.h"
#include "proc/files.h"
#include "proc/fs.h"
#include "proc/init.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "vm/init.h"

struct kernel {
	struct vm vm;
	struct pmap_system pmaps;
	struct proc_system proc;
};

static struct kernel kernel;

/* Entry of every CPU but the first, on its boot stack. */
static void secondary_main(void)
{
	/* acquire: pairs with kernel_main's release; all that boot set up is there */
	while (!atomic_load_acquire(&kernel.proc.online))
		cpu_relax();
	sched_enter_secondary(&kernel.proc);
}

/* There is nothing to run. */
static void NORETURN no_init(const char *path, long error)
{
	const char *why = error == -ENOENT || error == -ENOTDIR ? "is not there"
			  : error == -EACCES                    ? "is not a file with an execute bit"
			  : error == -ENOEXEC                   ? "is not an arm64 program"
			  : error == -ENOMEM                    ? "does not fit in memory"
								: "cannot be run";

	machine_fail("init: %s %s (error %ld): the initrd must hold a static arm64 program there", path, why, -error);
}

/* The first thread of pid 1, in the kernel. */
static void init_main(void *arg)
{
	static const char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=linux", NULL};
	struct proc_system *ps = arg;
	struct thread *t = thread_current();
	struct process *p = t->proc;
	char path[256] = "/init";
	const char *argv[] = {path, NULL};
	long r;

	files_init(ps);
	(void)machine_option("init", path, sizeof path);
	p->cwd = ps->fs->root;
	vnode_reference(p->cwd);
	r = fd_table_create(ps->vm, &p->files);
	if (r == 0)
		r = files_open_console(ps, p->files);
	if (r == 0)
		r = process_exec_kernel(t, trap_frame_of(t->stack_top), path, argv, environment);
	if (r < 0)
		no_init(path, r);
	thread_enter_user(NULL);
}

/* Called by the machine on the boot CPU, with interrupts masked: machine_info is there, kprintf works. */
void NORETURN kernel_main(void);
void kernel_main(void)
{
	const struct machine_info *info = machine_info();

	vm_init(&kernel.vm, info, &kernel.pmaps);
	proc_init(&kernel.proc, &kernel.vm, info);
	machine_start_cpus(secondary_main);
	if (process_start_init(&kernel.proc, init_main, &kernel.proc) != OK)
		panic("no memory for pid 1");
	/* release: pairs with secondary_main's acquire */
	atomic_store_release(&kernel.proc.online, true);
	sched_enter_boot(&kernel.proc);
}
