/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/context.h: threads as the machine sees them: kernel stacks to switch
 * between, the registers that EL0 left behind, floating-point state, the
 * thread pointer. Defined by hal/aarch64.
 */
#ifndef HAL_CONTEXT_H
#define HAL_CONTEXT_H

#include "base/types.h"

#define KSTACK_ORDER 2 /* frames of a kernel stack: 16 KiB */
#define KSTACK_SIZE (PAGE_SIZE << KSTACK_ORDER)

/* EL0's registers at its last entry into the kernel; lies at the top of the kernel stack. Assembly knows the layout. */
struct trap_frame {
	uint64_t x[31];
	uint64_t sp, pc, pstate;
	uint64_t syscall;  /* x8 at entry of a system call, else UINT64_MAX */
	uint64_t orig_x0;  /* x0 at entry, for restarts */
};
_Static_assert(sizeof(struct trap_frame) == 36 * 8, "vectors.S");

/* SIMD and FP registers, in the order of Linux's fpsimd_context. */
struct fp_state {
	unsigned char v[512] __attribute__((aligned(16)));
	uint32_t fpsr, fpcr;
};

/* Where a thread that is not running will go on: callee-saved registers and stack. */
struct context {
	uint64_t x19_x28[10];
	uint64_t fp, lr, sp;
};

/*
 * Saves the caller in from, goes on in to. The interrupt mask is not part of a
 * context: it stays as it is across the switch, and a new thread begins with it.
 * Nobody may switch to from before this returns on to's stack (the scheduler's
 * lock sees to that). Panics if the stack that is left has overflowed.
 */
void context_switch(struct context *from, struct context *to);

/*
 * Prepares c so that the first switch to it calls entry(arg) on the stack that
 * top lies in or ends: KSTACK_SIZE bytes, aligned to KSTACK_SIZE. It begins at
 * top, but always below the trap frame at the stack's end; the lowest word
 * becomes a check value. entry must not return.
 */
void context_init(struct context *c, void *top, void (*entry)(void *), void *arg);

/* The frame at the top of a kernel stack. */
static inline struct trap_frame *trap_frame_of(void *stack_top)
{
	return (struct trap_frame *)stack_top - 1;
}

/*
 * Leaves to EL0 with that frame (at the top of the current kernel stack), by way
 * of trap_ops->return_to_user; never returns. Interrupts masked on entry. PSTATE
 * is reduced to what EL0 may have, here and on every other way back.
 */
void context_return_to_user(struct trap_frame *tf) __attribute__((noreturn));

void context_fp_save(struct fp_state *fp);
void context_fp_load(const struct fp_state *fp);
uint64_t context_tls_get(void);    /* TPIDR_EL0 */
void context_tls_set(uint64_t v);

/* Top of the kernel stack that the next entry from EL0 on this CPU will use. */
void context_set_kernel_stack(void *top);

/* Why EL0 (or a user copy) stopped. */
enum trap_kind {
	TRAP_PAGE,        /* data or instruction abort of a user address: address, access, present */
	TRAP_ALIGNMENT,   /* SIGBUS/BUS_ADRALN */
	TRAP_UNDEFINED,   /* SIGILL/ILL_ILLOPC */
	TRAP_BREAKPOINT,  /* SIGTRAP/TRAP_BRKPT */
	TRAP_FP,          /* SIGFPE */
	TRAP_BUS,         /* external abort and anything else odd */
};

struct trap {
	enum trap_kind kind;
	uint64_t address;   /* FAR_EL1, top byte removed; for PAGE and ALIGNMENT */
	unsigned access;    /* PAGE: enum prot bit: PROT_R, PROT_W or PROT_X */
	bool from_user;     /* false: the kernel's own user copy */
	uint64_t esr;
};

/* What a kernel address is. */
struct trap_place {
	const char *what, *owner; /* never NULL */
	uint64_t start, end;      /* of the owner's memory */
};

/*
 * Registered by proc before the first program runs. Called with interrupts
 * enabled, on the thread's kernel stack. system_call: svc #0, number in frame->syscall,
 * arguments in x[0..5]. page_fault, trap: anything else of EL0's own. user_copy_fault: the
 * kernel touched a user address in hal/uaccess; true: mapped now, try again.
 * return_to_user: the last thing before a return to EL0: reschedules, delivers signals.
 * system_call, page_fault and trap end with the same by themselves; it is called after an interrupt
 * of EL0, and if one (tick, IPI, console) came meanwhile, so that
 * what an interrupt handler leaves for it is never left lying while EL0 runs.
 */
struct trap_ops {
	/*
	 * The kernel itself loaded from or stored to an address of its window (hal/mmu.h) that is not mapped.
	 * may_wait: interrupts were not masked, and are enabled now. => true: it is mapped now, try again. false: a bug;
	 * *place says what is there, for the panic.
	 */
	bool (*kernel_fault)(const struct trap *t, bool may_wait, struct trap_place *place);
	void (*system_call)(struct trap_frame *tf);
	/*
	 * EL0 stored to a page that does not allow it: a first try before the thread's registers are saved and interrupts enabled.
	 * mapped: there is a page. => true: it may be stored to now. false: nothing was done; page_fault comes next. Touches
	 * nothing that may fault itself: the exception's own registers are not saved.
	 */
	bool (*write_fault)(uint64_t address, bool mapped);
	/* Likewise EL0 loaded from (PROT_R), or fetched from (PROT_X), where nothing is mapped. */
	bool (*read_fault)(uint64_t address, unsigned access);
	/* The commonest of traps, by itself: EL0 loaded from or stored to a page that does not allow it. Arguments: struct trap. */
	void (*page_fault)(struct trap_frame *tf, uint64_t address, unsigned access, uint64_t esr);
	void (*trap)(struct trap_frame *tf, const struct trap *t);
	bool (*user_copy_fault)(const struct trap *t);
	void (*return_to_user)(struct trap_frame *tf);
};
extern const struct trap_ops *trap_ops;

/* CPU identification for auxv: AT_HWCAP bits in Linux's numbering for what the kernel supports at EL0. */
uint64_t context_hwcap(void);

/*
 * Starts entry() on each secondary CPU with its boot stack, interrupts masked;
 * returns when all that will come are there. machine_info()->ncpus, until then
 * how many the device tree has, is now how many run: less if the firmware
 * refused some; ids stay dense. Boot CPU, once.
 */
void machine_start_cpus(void (*entry)(void));

#endif
