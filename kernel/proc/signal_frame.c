/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/signal_frame.c: what a signal handler finds on its stack, and the way back
 * from it: Linux/arm64's layout, byte for byte, since programs and unwinders read
 * and write it.
 *
 *	sp_top ->	(16-aligned)
 *			frame record {x29, x30} of the interrupted code	<- x29
 *			struct sigframe, 4688 bytes:
 *			  0	siginfo, 128
 *			  128	ucontext: flags, link, stack, mask; 176 bytes up to
 *			  304	mcontext: fault address, x0..x30, sp, pc, pstate
 *			  592	records, 4096 bytes: fpsimd, esr (faults only), end
 *	sp ->		siginfo						<- x1; x2 = ucontext
 *
 * Pushing writes user memory piece by piece and changes registers only when all is
 * there. Popping reads everything first and changes the thread only when it is
 * valid: the saved pstate may carry condition flags and the like, but must say EL0
 * in AArch64 with nothing masked.
 *
 * Sources: Linux arch/arm64/include/uapi/asm/sigcontext.h for the layout.
 */
#include "hal/uaccess.h"
#include "proc/sched.h"
#include "proc/signal.h"

#define FPSIMD_MAGIC 0x46508001u
#define ESR_MAGIC 0x45535201u

struct record_head {
	uint32_t magic, size;
};

struct fpsimd_record {
	struct record_head head;
	uint32_t fpsr, fpcr;
	unsigned char v[512];
};
_Static_assert(sizeof(struct fpsimd_record) == 528, "Linux's fpsimd_context");

struct esr_record {
	struct record_head head;
	uint64_t esr;
	struct record_head end;
};

/* ucontext up to the machine's part. */
struct ucontext_head {
	uint64_t flags, link;
	struct sigstack stack;
	uint64_t mask;
	unsigned char unused[120];
	uint64_t pad;
};
_Static_assert(sizeof(struct ucontext_head) == 176, "mcontext is 16-aligned");

struct mcontext_head {
	uint64_t fault_address, x[31], sp, pc, pstate, pad;
};
_Static_assert(sizeof(struct mcontext_head) == 288, "records are 16-aligned");

#define RECORDS_SIZE 4096
#define AT_UCONTEXT 128
#define AT_MCONTEXT (AT_UCONTEXT + sizeof(struct ucontext_head))
#define AT_RECORDS (AT_MCONTEXT + sizeof(struct mcontext_head))
#define FRAME_SIZE (AT_RECORDS + RECORDS_SIZE)
_Static_assert(FRAME_SIZE == 4688, "Linux's rt_sigframe");

/* pstate bits that a program may set for itself: NZCV, TCO, DIT, SSBS, BTYPE. */
#define PSTATE_USER 0xf3001c00ull
#define PSTATE_MODE 0x1full /* 0: EL0 in AArch64 */
#define PSTATE_DAIF 0x3c0ull
#define PSTATE_BTYPE 0xc00ull
#define PSTATE_TCO 0x2000000ull

static bool on_alt_stack(const struct thread *t, uint64_t sp)
{
	if (t->alt_flags & SS_AUTODISARM)
		return false;
	return t->alt_size && sp > t->alt_sp && sp - t->alt_sp <= t->alt_size;
}

static int32_t alt_stack_state(const struct thread *t, uint64_t sp)
{
	if (!t->alt_size)
		return SS_DISABLE;
	return (on_alt_stack(t, sp) ? SS_ONSTACK : 0) | (int32_t)(t->alt_flags & SS_AUTODISARM);
}

long signal_altstack(struct thread *t, uint64_t sp, const struct sigstack *set, struct sigstack *old)
{
	if (old)
		*old = (struct sigstack){.sp = t->alt_sp, .flags = alt_stack_state(t, sp), .size = t->alt_size};
	if (!set)
		return 0;
	if (on_alt_stack(t, sp))
		return -EPERM;
	switch ((uint32_t)set->flags & ~SS_AUTODISARM) {
	case SS_DISABLE:
		t->alt_sp = t->alt_size = 0;
		break;
	case 0:
	case SS_ONSTACK:
		if (set->size < MINSIGSTKSZ)
			return -ENOMEM;
		t->alt_sp = set->sp;
		t->alt_size = set->size;
		break;
	default:
		return -EINVAL;
	}
	t->alt_flags = (uint32_t)set->flags & SS_AUTODISARM;
	return 0;
}

static enum error write_records(struct thread *t, uint64_t at, bool fault)
{
	struct fpsimd_record fp = {.head = {FPSIMD_MAGIC, sizeof fp}};
	struct esr_record esr = {.head = {ESR_MAGIC, 16}};
	enum error e;

	context_fp_save(&t->fp);
	fp.fpsr = t->fp.fpsr;
	fp.fpcr = t->fp.fpcr;
	__builtin_memcpy(fp.v, t->fp.v, sizeof fp.v);
	e = copy_out(vaddr(at), &fp, sizeof fp);
	if (e != OK)
		return e;
	at += sizeof fp;
	if (!fault)
		return copy_out(vaddr(at), &esr.end, sizeof esr.end);
	esr.esr = t->fault_esr;
	return copy_out(vaddr(at), &esr, sizeof esr);
}

enum error signal_frame_push(struct thread *t, struct trap_frame *tf, const struct signal_taken *taken, uint64_t mask)
{
	const struct sigact *a = &taken->action;
	struct ucontext_head uc = {.mask = mask};
	struct mcontext_head mc = {.sp = tf->sp, .pc = tf->pc, .pstate = tf->pstate};
	uint64_t record[2] = {tf->x[29], tf->x[30]};
	uint64_t top = tf->sp, at;
	enum error e;

	if (a->flags & SA_ONSTACK && t->alt_size && !on_alt_stack(t, top))
		top = t->alt_sp + t->alt_size;
	top = round_down(top, 16) - sizeof record;
	at = top - FRAME_SIZE;
	uc.stack = (struct sigstack){.sp = t->alt_sp, .flags = alt_stack_state(t, tf->sp), .size = t->alt_size};
	__builtin_memcpy(mc.x, tf->x, sizeof mc.x);
	if (taken->forced)
		mc.fault_address = t->fault_address;

	e = at < top && top < USER_END ? OK : ERR_FAULT;
	if (e == OK)
		e = copy_out(vaddr(top), record, sizeof record);
	if (e == OK)
		e = write_records(t, at + AT_RECORDS, taken->forced && t->fault_esr);
	if (e == OK)
		e = copy_out(vaddr(at + AT_MCONTEXT), &mc, sizeof mc);
	if (e == OK)
		e = copy_out(vaddr(at + AT_UCONTEXT), &uc, sizeof uc);
	if (e == OK)
		e = copy_out(vaddr(at), &taken->info, sizeof taken->info);
	if (e != OK)
		return ERR_FAULT;

	if (t->alt_flags & SS_AUTODISARM) {
		t->alt_sp = t->alt_size = 0;
		t->alt_flags = SS_DISABLE;
	}
	tf->x[0] = (uint64_t)taken->info.si_signo;
	if (a->flags & SA_SIGINFO) {
		tf->x[1] = at;
		tf->x[2] = at + AT_UCONTEXT;
	}
	tf->x[29] = top;
	tf->x[30] = a->flags & SA_RESTORER ? a->restorer : t->proc->trampoline;
	tf->sp = at;
	tf->pc = a->handler;
	tf->pstate &= ~(PSTATE_BTYPE | PSTATE_TCO);
	return OK;
}

/* Looks through the records for the one with the FP registers. */
static enum error read_records(uint64_t at, struct fpsimd_record *fp)
{
	uint32_t offset = 0;
	bool found = false;

	for (;;) {
		struct record_head head;

		if (offset > RECORDS_SIZE - sizeof head)
			return ERR_INVAL;
		if (copy_in(&head, vaddr(at + offset), sizeof head) != OK)
			return ERR_FAULT;
		if (!head.magic)
			break;
		if (head.size < sizeof head || head.size % 16 || head.size > RECORDS_SIZE - offset)
			return ERR_INVAL;
		if (head.magic == FPSIMD_MAGIC) {
			if (found || head.size != sizeof *fp)
				return ERR_INVAL;
			if (copy_in(fp, vaddr(at + offset), sizeof *fp) != OK)
				return ERR_FAULT;
			found = true;
		} else if (head.magic != ESR_MAGIC) {
			return ERR_INVAL;
		}
		offset += head.size;
	}
	return found ? OK : ERR_INVAL;
}

enum error signal_frame_pop(struct thread *t, struct trap_frame *tf, uint64_t *mask)
{
	struct ucontext_head uc;
	struct mcontext_head mc;
	struct fpsimd_record fp;
	uint64_t at = tf->sp;
	enum error e;

	if (at % 16 || at >= USER_END)
		return ERR_FAULT;
	if (copy_in(&uc, vaddr(at + AT_UCONTEXT), sizeof uc) != OK ||
	    copy_in(&mc, vaddr(at + AT_MCONTEXT), sizeof mc) != OK)
		return ERR_FAULT;
	e = read_records(at + AT_RECORDS, &fp);
	if (e != OK)
		return e;
	if (mc.pstate & (PSTATE_MODE | PSTATE_DAIF))
		return ERR_INVAL;

	__builtin_memcpy(tf->x, mc.x, sizeof tf->x);
	tf->sp = mc.sp;
	tf->pc = mc.pc;
	tf->pstate = mc.pstate & PSTATE_USER;
	tf->syscall = UINT64_MAX; /* nothing to restart */
	t->fp.fpsr = fp.fpsr;
	t->fp.fpcr = fp.fpcr;
	__builtin_memcpy(t->fp.v, fp.v, sizeof fp.v);
	context_fp_load(&t->fp);
	(void)!signal_altstack(t, tf->sp, &uc.stack, NULL); /* as Linux: a bad one changes nothing */
	*mask = uc.mask;
	return OK;
}
