/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/trap.c: from EL0 into the kernel and back.
 *
 * A page fault goes to the address space (vm_fault). Its errors become signals:
 *
 *	ERR_FAULT   SIGSEGV, SEGV_MAPERR        nothing is mapped there
 *	ERR_ACCESS  SIGSEGV, SEGV_ACCERR        not allowed
 *	ERR_BUS     SIGBUS,  BUS_ADRERR         beyond the end of the object
 *	ERR_IO      SIGBUS,  BUS_OBJERR         its pager failed
 *	ERR_NOMEM   oom.c: somebody dies, then again; with nobody left, SIGBUS
 *
 * The kernel's own copies from and to user memory fault the same way, but their errors
 * are the copy's result (EFAULT), not a signal.
 *
 * A page of pageable kernel memory (vm/kmem.h) comes by kernel_fault. That has no error to give: whoever can
 * take one calls kmem_fault_in first.
 *
 * The way back (before_user, the end of every call and trap) does what an interrupt or another CPU has asked for:
 * notify, resched. An interrupt that comes after its last look makes the machine call
 * return_to_user (hal/aarch64/trap.c), so nothing waits until the next trap.
 */
#include "proc/trap.h"

#include "base/assert.h"
#include "base/print.h"
#include "proc/console.h"
#include "proc/oom.h"
#include "proc/process.h"
#include "proc/runq.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/syscall.h"
#include "proc/work.h"
#include "vm/fault.h"
#include "vm/vm_stat.h"

static enum error fault_once(struct thread *t, const struct trap *trap)
{
	return vm_fault(t->map, vaddr(trap->address), (enum prot)trap->access);
}

/* There was no memory: again, until it works or fails for a reason that is the program's. */
static NOINLINE enum error fault_short(struct thread *t, const struct trap *trap)
{
	for (unsigned attempt = 0;; attempt++) {
		enum error e;

		switch (oom_fault(t, attempt)) {
		case OOM_RETRY:
			e = fault_once(t, trap);
			if (e != ERR_NOMEM)
				return e;
			break;
		case OOM_DIE:
			return ERR_INTR;
		case OOM_NOBODY:
			return ERR_NOMEM;
		}
	}
}

static enum error fault(struct thread *t, const struct trap *trap)
{
	enum error e = fault_once(t, trap);

	return UNLIKELY(e == ERR_NOMEM) ? fault_short(t, trap) : e;
}

static void signal_fault(struct thread *t, const struct trap *trap, int sig, int code)
{
	t->fault_address = trap->address;
	t->fault_esr = trap->esr;
	signal_force(t, sig, code, trap->address);
}

static NOINLINE void refused(struct thread *t, const struct trap *trap, enum error e)
{
	switch (e) {
	case OK:
		break;
	case ERR_INTR:
		break; /* killed: the way back sees it */
	case ERR_ACCESS:
		signal_fault(t, trap, SIGSEGV, SEGV_ACCERR);
		break;
	case ERR_BUS:
		signal_fault(t, trap, SIGBUS, BUS_ADRERR);
		break;
	case ERR_IO:
		signal_fault(t, trap, SIGBUS, BUS_OBJERR);
		break;
	case ERR_NOMEM:
		t->fault_address = trap->address;
		t->fault_esr = trap->esr;
		signal_force_kill(t, SIGBUS);
		break;
	default:
		signal_fault(t, trap, SIGSEGV, SEGV_MAPERR);
		break;
	}
}

/* FP exceptions that trap say which they are, if the syndrome is valid. */
static int fp_code(uint64_t esr)
{
	if (!(esr & BIT(23)))
		return FPE_FLTUNK;
	if (esr & BIT(0))
		return FPE_FLTINV;
	if (esr & BIT(1))
		return FPE_FLTDIV;
	if (esr & BIT(2))
		return FPE_FLTOVF;
	if (esr & BIT(3))
		return FPE_FLTUND;
	return esr & BIT(4) ? FPE_FLTRES : FPE_FLTUNK;
}

/* The program executed something that it cannot: si_addr is where. */
static void instruction_fault(struct thread *t, const struct trap_frame *tf, const struct trap *trap, int sig, int code)
{
	t->fault_address = 0;
	t->fault_esr = trap->esr;
	signal_force(t, sig, code, tf->pc);
}

/* What an interrupt or another CPU has asked for; t may go on elsewhere. */
static inline void before_user(struct thread *t, struct trap_frame *tf)
{
	for (;;) {
		if (UNLIKELY(runq_has_chores(t)))
			sched_point();
		/* acquire: pairs with the acq_rel of whoever set it */
		if (LIKELY(!atomic_load_acquire(&t->notify)))
			return;
		signal_deliver(t, tf);
	}
}

static void return_to_user(struct trap_frame *tf) { before_user(thread_current(), tf); }

static void system_call(struct trap_frame *tf)
{
	struct thread *t = thread_current();

	syscall_dispatch(t, tf);
	/* ERESTART*: the way back has to set the call back or end it, whatever has become of the signal. */
	if (UNLIKELY((int64_t)tf->x[0] <= -ERESTARTSYS && (int64_t)tf->x[0] >= -ERESTART_RESTARTBLOCK &&
		     tf->syscall != UINT64_MAX))
		(void)atomic_or_acq_rel(&t->notify, NOTIFY_SIGNAL); /* own; others change theirs at the same time */
	before_user(t, tf);
}

static bool write_fault(uint64_t address, bool mapped)
{
	struct thread *t = thread_current();

	atomic_bump(&t->faults, 1); /* own */
	return mapped ? vm_fault_quick_mapped(t->map, vaddr(address)) : vm_fault_quick(t->map, vaddr(address));
}

static bool read_fault(uint64_t address, unsigned access)
{
	struct thread *t = thread_current();

	if (!vm_fault_quick_read(t->map, vaddr(address), (enum prot)access))
		return false;
	atomic_bump(&t->faults, 1); /* own */
	return true;
}

/* The first try failed. */
static NOINLINE void page_fault_failed(struct thread *t, uint64_t address, unsigned access, uint64_t esr, enum error e)
{
	const struct trap trap = {.kind = TRAP_PAGE, .address = address, .access = access, .from_user = true, .esr = esr};

	refused(t, &trap, e == ERR_NOMEM ? fault_short(t, &trap) : e);
}

static void page_fault(struct trap_frame *tf, uint64_t address, unsigned access, uint64_t esr)
{
	struct thread *t = thread_current();
	enum error e;

	if (access != PROT_W) /* write_fault has counted those; read_fault counts what it has served */
		atomic_bump(&t->faults, 1); /* own */
	e = vm_fault_slow(t->map, vaddr(address), (enum prot)access);
	if (UNLIKELY(e != OK))
		page_fault_failed(t, address, access, esr, e);
	before_user(t, tf);
}

static NOINLINE void other_trap(struct thread *t, struct trap_frame *tf, const struct trap *trap)
{
	switch (trap->kind) {
	case TRAP_PAGE:
		break;
	case TRAP_ALIGNMENT:
		signal_fault(t, trap, SIGBUS, BUS_ADRALN);
		return;
	case TRAP_UNDEFINED:
		instruction_fault(t, tf, trap, SIGILL, ILL_ILLOPC);
		return;
	case TRAP_BREAKPOINT:
		instruction_fault(t, tf, trap, SIGTRAP, TRAP_BRKPT);
		return;
	case TRAP_FP:
		instruction_fault(t, tf, trap, SIGFPE, fp_code(trap->esr));
		return;
	case TRAP_BUS:
		signal_fault(t, trap, SIGBUS, BUS_OBJERR);
		return;
	}
	panic("unknown trap %u", (unsigned)trap->kind);
}

static void trap(struct trap_frame *tf, const struct trap *trap)
{
	struct thread *t = thread_current();

	if (trap->kind == TRAP_PAGE) {
		page_fault(tf, trap->address, trap->access, trap->esr);
	} else {
		other_trap(t, tf, trap);
		before_user(t, tf);
	}
}

static bool user_copy_fault(const struct trap *trap)
{
	struct thread *t = thread_current();

	if (!t->map || trap->kind != TRAP_PAGE)
		return false;
	rank_assert_may_wait();
	atomic_bump(&t->faults, 1); /* own */
	return fault(t, trap) == OK;
}

/* How often an access to pageable kernel memory, which cannot fail, has others killed for a frame. */
#define KERNEL_FAULT_TURNS 100u

static bool kernel_fault(const struct trap *trap, bool may_wait, struct trap_place *place)
{
	struct thread *t = thread_current();
	struct kmem_place p;

	if (!t)
		return false;
	for (unsigned attempt = 0; attempt < KERNEL_FAULT_TURNS; attempt++) {
		enum error e = kmem_fault(&t->ps->vm->kmem, vaddr(trap->address));

		if (e == OK)
			return true;
		if (e != ERR_NOMEM || !may_wait || !t->proc)
			break;
		rank_assert_may_wait();
		/* A thread that dies meanwhile needs the page all the same: others make room. */
		if (oom_fault(t, attempt) == OOM_NOBODY)
			break;
		sched_yield();
	}
	kmem_describe(&t->ps->vm->kmem, vaddr(trap->address), &p);
	*place = (struct trap_place){p.what, p.owner, p.range.start.va, p.range.end.va};
	return false;
}

/* --- interrupts --- */

static void console_byte(uint8_t byte)
{
	struct proc_system *ps = thread_current()->ps;

	if (ps->console && console_input(ps->console, byte))
		work_post(ps, &ps->console_work);
}

static void service_console(struct work *work)
{
	console_service(CONTAINER_OF(work, struct proc_system, console_work)->console);
}

/* What every CPU runs, and what memory is used for; no locks, the machine has stopped. */
static void panic_info(void)
{
	struct thread *self = thread_current();
	struct proc_system *ps = self ? self->ps : NULL;

	for (uint32_t cpu = 0; ps && cpu < ps->ncpus; cpu++) {
		const struct thread *t = sched_running(ps, cpu);

		if (t && t->proc)
			kprintf("CPU %u: %s, pid %u, thread %u\n", cpu, t->name, t->proc->pid, t->tid);
		else if (t)
			kprintf("CPU %u: %s\n", cpu, t->name);
	}
	if (ps)
		vm_stat_print(&ps->vm->frames, &ps->vm->zones);
}

static const struct trap_ops traps = {
	.system_call = system_call,
	.write_fault = write_fault,
	.read_fault = read_fault,
	.page_fault = page_fault,
	.trap = trap,
	.user_copy_fault = user_copy_fault,
	.kernel_fault = kernel_fault,
	.return_to_user = return_to_user,
};

static const struct machine_ops interrupts = {
	.timer = sched_timer_interrupt,
	.ipi = sched_ipi_interrupt,
	.console_input = console_byte,
	.panic_info = panic_info,
};

void trap_init(struct proc_system *ps)
{
	work_prepare(&ps->console_work, service_console);
	trap_ops = &traps;
	machine_ops = &interrupts;
}
