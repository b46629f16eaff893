/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/trap.c: exceptions, from vectors.S to the upper floors and back.
 *
 * From EL0. The frame is at the top of the thread's kernel stack; interrupts
 * are masked on entry.
 *
 *	synchronous:  interrupts on; trap_ops->system_call(frame), page_fault(frame, ...) or trap(frame, what), each
 *	              of which looks at its end what return_to_user looks at; interrupts off;
 *	              leave() if work
 *	abort:        before that, interrupts masked, only what a call may change saved: trap_user_abort. If that is all
 *	              there is to do, an interrupt that came meanwhile is taken when EL0 runs again, and nothing has to be looked at
 *	interrupt:    irq_handle, interrupts masked; leave()
 *	leave:        interrupts on; work = 0; trap_ops->return_to_user;
 *	              interrupts off; again if work
 *
 * work is a word of the CPU that every interrupt of interest (tick, reschedule,
 * console) sets, and that leave alone clears. So whatever an interrupt handler wants looked at before EL0
 * runs is seen: if it came before the look, by that; if after, by
 * one more turn, since with interrupts masked no other can come before ERET, and
 * between its last look and ERET a thread does not give up the CPU, so that nobody clears the word.
 * A look may switch threads and the thread may go on on another CPU:
 * then that CPU's word counts. At worst it was set before the look, which costs a turn for nothing.
 *
 * From EL1. Interrupts are handled on the interrupted stack and return to where
 * they came from: kernel mode is not preempted. A synchronous exception is a bug
 * unless its address lies in a range that user_copy.S lists: then, if it is a fault
 * at a user address, trap_ops->user_copy_fault may repair it and the instruction
 * runs again; else the range's fixup takes over.
 *
 * So may an access to a page of the kernel's window that comes when it is touched:
 * trap_ops->kernel_fault maps it, or says whose guard page it was.
 *
 * Addresses. EL0 has TBI: the top byte of an address below bit 55 does not
 * count. What reaches trap_ops has it cleared; addresses of the kernel's half
 * come as they are.
 *
 * Failure. Everything else: panic with registers, syndrome and stack.
 */
#include "trap.h"
#include "base/assert.h"
#include "base/bits.h"
#include "esr.h"
#include "hal/context.h"
#include "hal/machine.h"
#include "hal/mmu.h"
#include "hal/uaccess.h"
#include "irq.h"
#include "panic.h"
#include "sysreg.h"

_Static_assert(offsetof(struct trap_frame, sp) == TF_SP && offsetof(struct trap_frame, pc) == TF_PC, "vectors.S");
_Static_assert(offsetof(struct trap_frame, syscall) == TF_RECORD && sizeof(struct trap_frame) == TF_SIZE, "vectors.S");
_Static_assert(offsetof(struct trap_frame, x[29]) == TF_ABORT, "vectors.S");
#define IS_ABORT(class) ((uint64_t)(class) << 26 >> ESR_ABORT_BIT)
_Static_assert(IS_ABORT(EC_DATA_USER) && IS_ABORT(EC_FETCH_USER) && !IS_ABORT(EC_SVC), "vectors.S");
_Static_assert(KSTACK_SIZE == 1 << STACK_SHIFT, "asm_layout.h");

const struct trap_ops *trap_ops;

#define PSR_D BIT(9)
#define PSR_I BIT(7)

struct fixup {
	int32_t start, end, target; /* each relative to its own place */
	uint32_t any;               /* not only for faults at user addresses */
};
_Static_assert(sizeof(struct fixup) == 16, "user_copy.S");

/* kernel.ld */
extern const struct fixup fixups_start[], fixups_end[];

static uint64_t fixup_address(const int32_t *field) { return (uint64_t)field + (uint64_t)(int64_t)*field; }

static const struct fixup *fixup_of(uint64_t pc)
{
	for (const struct fixup *f = fixups_start; f < fixups_end; f++)
		if (fixup_address(&f->start) <= pc && pc < fixup_address(&f->end))
			return f;
	return NULL;
}

/* A user address without its tag. */
static uint64_t untag(uint64_t address) { return address & BIT(55) ? address : address & BITS(55, 0); }

/* What an access to data wanted. */
static unsigned data_access(uint64_t esr) { return (esr & (ESR_WRITE | ESR_CACHE)) == ESR_WRITE ? PROT_W : PROT_R; }

static void decode_abort(struct trap *t, uint64_t esr, uint64_t far, bool fetch)
{
	t->address = untag(far);
	t->access = fetch ? PROT_X : data_access(esr);
	switch (esr_fault(esr)) {
	case FAULT_TRANSLATION:
	case FAULT_ACCESS:
	case FAULT_PERMISSION:
		t->kind = TRAP_PAGE;
		break;
	case FAULT_ALIGNMENT:
		t->kind = TRAP_ALIGNMENT;
		break;
	default:
		t->kind = TRAP_BUS;
		break;
	}
}

/* The last thing before ERET; see the theory. => interrupts masked. */
static void __attribute__((noinline)) leave(struct trap_frame *tf)
{
	do {
		cpu_irq_enable();
		cpu_self()->work = 0;
		trap_ops->return_to_user(tf);
		cpu_irq_disable();
	} while (cpu_self()->work);
}

/* What comes after a look of the upper floors. => interrupts masked. */
static inline void leave_after_look(struct trap_frame *tf)
{
	cpu_irq_disable();
	if (UNLIKELY(cpu_self()->work))
		leave(tf);
}

/* Neither a system call nor an access to data; interrupts still masked. */
static NOINLINE void rare_trap(struct trap_frame *tf, struct trap *t, uint64_t far)
{
	switch (esr_class(t->esr)) {
	case EC_FETCH_USER:
		decode_abort(t, t->esr, far, true);
		break;
	case EC_PC_ALIGNMENT:
		t->kind = TRAP_ALIGNMENT;
		t->address = untag(far);
		break;
	case EC_SP_ALIGNMENT:
		t->kind = TRAP_ALIGNMENT;
		t->address = untag(tf->sp);
		break;
	case EC_FP_EXCEPTION:
		t->kind = TRAP_FP;
		break;
	case EC_BREAKPOINT_USER:
	case EC_STEP_USER:
	case EC_WATCHPOINT_USER:
	case EC_BRK:
		t->kind = TRAP_BREAKPOINT;
		break;
	case EC_SERROR:
		panic_frame(tf, t->esr, far, "asynchronous external abort");
	default: /* undefined or trapped instructions of all sorts */
		t->kind = TRAP_UNDEFINED;
		break;
	}
}

/* Whatever EL0 did that is no system call; interrupts still masked. */
static NOINLINE void user_trap(struct trap_frame *tf, uint64_t esr)
{
	struct trap t = {.from_user = true, .esr = esr};
	uint64_t far = sysreg_read(far_el1);

	tf->syscall = UINT64_MAX;
	if (LIKELY(esr_class(esr) == EC_DATA_USER))
		decode_abort(&t, esr, far, false);
	else
		rare_trap(tf, &t, far);
	cpu_irq_enable();
	trap_ops->trap(tf, &t);
}

/* Like untag, in one instruction; another tag in the kernel's half makes no difference to who maps nothing there. */
static uint64_t untag_quickly(uint64_t address) { return (uint64_t)((int64_t)(address << 8) >> 8); }

bool trap_user_abort(uint64_t esr)
{
	unsigned class = esr_class(esr);

	if (LIKELY(class == EC_DATA_USER) && esr_is_page_write(esr))
		return trap_ops->write_fault(untag_quickly(sysreg_read(far_el1)), esr_is_mapped(esr));
	if ((class == EC_DATA_USER || class == EC_FETCH_USER) && esr_fault(esr) == FAULT_TRANSLATION)
		return trap_ops->read_fault(untag_quickly(sysreg_read(far_el1)), class == EC_FETCH_USER ? PROT_X : PROT_R);
	return false;
}

void trap_user_sync(struct trap_frame *tf, uint64_t esr)
{
	tf->orig_x0 = tf->x[0];
	if (LIKELY(esr_class(esr) == EC_SVC)) {
		cpu_irq_enable();
		tf->syscall = (uint32_t)tf->x[8];
		trap_ops->system_call(tf);
	} else if (LIKELY(esr_class(esr) == EC_DATA_USER && esr_is_page(esr))) {
		uint64_t address = untag(sysreg_read(far_el1));

		tf->syscall = UINT64_MAX;
		cpu_irq_enable();
		trap_ops->page_fault(tf, address, data_access(esr), esr);
	} else {
		user_trap(tf, esr);
	}
	leave_after_look(tf);
}

void trap_user_irq(struct trap_frame *tf)
{
	tf->syscall = UINT64_MAX;
	tf->orig_x0 = tf->x[0];
	irq_handle(tf);
	leave(tf);
}

void trap_user_enter(struct trap_frame *tf)
{
	ASSERT_CHECKED((void *)(tf + 1) == cpu_self()->user_stack);
	leave(tf);
}

void trap_kernel_irq(struct trap_frame *tf) { irq_handle(tf); }

/* An access to the kernel's window: true: a page has come, try again. Panics when there is none to come. */
static bool window_fault(struct trap_frame *tf, uint64_t esr, uint64_t address)
{
	struct trap_place place = {"kernel memory", "", 0, 0};
	bool may_wait = !(tf->pstate & PSR_I), mapped;
	struct trap t = {.esr = esr};

	if (esr_class(esr) != EC_DATA_KERNEL || esr_fault(esr) != FAULT_TRANSLATION || !trap_ops ||
	    address - MMU_KERNEL_START >= MMU_KERNEL_SIZE)
		return false;
	decode_abort(&t, esr, address, false);
	if (may_wait)
		cpu_irq_enable();
	mapped = trap_ops->kernel_fault(&t, may_wait, &place);
	cpu_irq_disable();
	if (!mapped)
		panic_frame(tf, esr, address, "the kernel touched %#lx: %s %s, %#lx to %#lx", address, place.what,
			    place.owner, place.start, place.end);
	return true;
}

void trap_kernel_sync(struct trap_frame *tf, uint64_t esr, uint64_t far)
{
	const struct fixup *f = fixup_of(tf->pc);
	uint64_t address = untag(far);

	if (f && f->any) {
		tf->pc = fixup_address(&f->target);
		return;
	}
	if (f && esr_class(esr) == EC_DATA_KERNEL && address < USER_END) {
		struct trap t = {.esr = esr};

		decode_abort(&t, esr, far, false);
		/* A copy runs in thread context; whoever masked interrupts meanwhile broke the contract. */
		if (tf->pstate & PSR_I)
			panic_frame(tf, esr, far, "access to user memory with interrupts masked");
		cpu_irq_enable();
		if (t.kind != TRAP_PAGE || !trap_ops || !trap_ops->user_copy_fault(&t))
			tf->pc = fixup_address(&f->target);
		cpu_irq_disable();
		return;
	}
	if (window_fault(tf, esr, address))
		return;
	if (esr_class(esr) == EC_BRK && (esr & 0xffff) == BRK_STACK_CHECK)
		panic_frame(tf, esr, far, "kernel stack overflow: the check value at %#lx is gone", cpu_self()->stack);
	panic_frame(tf, esr, far, "exception in the kernel");
}

void trap_odd(struct trap_frame *tf, unsigned vector, uint64_t esr, uint64_t far)
{
	static const char *const sources[] = {"EL1 with SP_EL0", "EL1", "EL0", "EL0 in AArch32"};
	static const char *const kinds[] = {"synchronous exception", "IRQ", "FIQ", "SError"};

	panic_frame(tf, esr, far, "%s from %s", kinds[vector % 4], sources[vector / 4 % 4]);
}

void trap_stack_overflow(struct trap_frame *tf, uint64_t esr, uint64_t far)
{
	struct cpu *c = cpu_self();

	/* From now on this is the stack that exceptions must find themselves on (kernel_peek has some). */
	c->stack_limit = c->emergency - EMERGENCY_SIZE;
	panic_frame(tf, esr, far, "kernel stack overflow: SP %#lx, stack %#lx to %#lx", tf->sp, c->stack,
		    c->stack + KSTACK_SIZE);
}
