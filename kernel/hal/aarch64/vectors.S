/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/vectors.S: exceptions in, exceptions out.
 *
 * All general registers go into a struct trap_frame on the kernel stack. From
 * EL0 that is the top of the thread's stack (SP_EL1 was left there by the last
 * return); from EL1 it is wherever the thread is, after a test that there is
 * room: a kernel stack is aligned to its size, so one subtraction tells. The
 * test needs a register before any is saved: TPIDRRO_EL0 holds x16 meanwhile
 * (EL0 cannot see it: it is 0 again before anything else happens).
 *
 * A kernel frame carries a frame record {x29, pc} in its last two words, so
 * that a backtrace goes through the interruption. An EL0 frame ends it.
 *
 * C functions called here (trap.c): trap_user_sync, trap_user_irq return with
 * interrupts masked and nothing left to do; trap_kernel_sync and
 * trap_kernel_irq return to resume or to go on at a fixup.
 */
#include "asm_layout.h"

/* What a function may change, but for x0, x1 and x30; x19 goes along. */
.macro save_scratch
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
.endm

.macro restore_scratch
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
.endm

/* What it must keep. */
.macro save_callee
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
.endm

.macro save_general
	stp	x0, x1, [sp, #0]
	save_scratch
	save_callee
.endm

.macro restore_general
	ldp	x0, x1, [sp, #0]
	restore_scratch
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
.endm

/* The rest of EL0's frame, SP_EL0 as its stack pointer; => x0 frame, x22 pc, x29 0. */
.macro save_state
	mrs	x21, sp_el0
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	stp	x30, x21, [sp, #(TF_SP - 8)]
	stp	x22, x23, [sp, #TF_PC]
	mov	x0, sp
	mov	x29, xzr
.endm

.macro save_user
	sub	sp, sp, #TF_SIZE
	save_general
	save_state
.endm

.macro save_kernel
	sub	sp, sp, #TF_SIZE
	save_general
	add	x21, sp, #TF_SIZE
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	stp	x30, x21, [sp, #(TF_SP - 8)]
	stp	x22, x23, [sp, #TF_PC]
	stp	x29, x22, [sp, #TF_RECORD]
	add	x29, sp, #TF_RECORD
	mov	x0, sp
.endm

/* Goes on only if SP lies in the current stack with STACK_MARGIN to spare. */
.macro check_stack
	msr	tpidrro_el0, x16
	mrs	x16, tpidr_el1
	ldr	x16, [x16, #CPU_STACK_LIMIT]
	sub	x16, sp, x16
	lsr	x16, x16, #STACK_SHIFT
	cbnz	x16, stack_overflow
	mrs	x16, tpidrro_el0
	msr	tpidrro_el0, xzr
.endm

.macro vector label
	.balign	128
	b	\label
.endm

	.text
	.balign	2048
	.globl	vectors
vectors:
	/* EL1 with SP_EL0: never used */
	vector	odd_0
	vector	odd_1
	vector	odd_2
	vector	odd_3
	/* EL1 */
	vector	kernel_sync
	vector	kernel_irq
	vector	odd_6
	vector	odd_7
	/* EL0 */
	.balign	128
	sub	sp, sp, #TF_SIZE
	stp	x0, x1, [sp, #0]
	mrs	x0, esr_el1
	tbnz	x0, #ESR_ABORT_BIT, user_abort
	save_scratch
	save_callee
	save_state
	mrs	x1, esr_el1
	bl	trap_user_sync
	b	return_to_user
	vector	user_irq
	.balign	128
	save_user
	mov	x1, #10
	b	odd_vector
	.balign	128
	save_user
	mov	x1, #11
	b	odd_vector
	/* EL0 in AArch32: never entered */
	.rept	4
	.balign	128
	save_user
	mov	x1, #12
	b	odd_vector
	.endr
	.balign	128

	/* What cannot happen: x1 says which. */
	.irp	n, 0, 1, 2, 3, 6, 7
odd_\n:
	check_stack
	save_kernel
	mov	x1, #\n
	b	odd_vector
	.endr

odd_vector:
	mrs	x2, esr_el1
	mrs	x3, far_el1
	bl	trap_odd
	brk	#0

/*
 * A page that was never touched, or only has to be mapped, needs no more than a function call: its caller's registers. If trap_user_abort says that it
 * takes more, the others still are what they were. Where EL0 was stays in ELR_EL1 and SPSR_EL1 meanwhile: no exception
 * may be taken in between, neither an interrupt nor a touch of the kernel's window (kmem_alloc_pageable's).
 */
user_abort:
	save_scratch
	stp	x29, x30, [sp, #TF_ABORT]
	mov	x29, xzr
	bl	trap_user_abort
	ldp	x29, x30, [sp, #TF_ABORT]
	tbz	w0, #0, 1f
	ldp	x0, x1, [sp, #0]
	restore_scratch
	add	sp, sp, #TF_SIZE
	eret
1:	save_callee
	save_state
	mrs	x1, esr_el1
	bl	trap_user_sync
	b	return_to_user

user_irq:
	save_user
	bl	trap_user_irq

return_to_user:
	ldp	x30, x21, [sp, #(TF_SP - 8)]
	ldp	x22, x23, [sp, #TF_PC]
	movz	x24, #(PSR_USER & 0xffff)       /* whatever a frame says, EL0 gets no more than that */
	movk	x24, #(PSR_USER >> 16), lsl #16
	and	x23, x23, x24
	msr	sp_el0, x21
	msr	elr_el1, x22
	msr	spsr_el1, x23
	restore_general
	add	sp, sp, #TF_SIZE
	eret

/* void context_return_to_user(struct trap_frame *tf) */
	.globl	context_return_to_user
context_return_to_user:
	mov	sp, x0
	mov	x29, xzr
	bl	trap_user_enter
	b	return_to_user

kernel_sync:
	check_stack
	save_kernel
	mrs	x1, esr_el1
	mrs	x2, far_el1
	bl	trap_kernel_sync
	b	return_to_kernel

kernel_irq:
	check_stack
	save_kernel
	bl	trap_kernel_irq

return_to_kernel:
	ldr	x30, [sp, #(TF_SP - 8)]
	ldp	x22, x23, [sp, #TF_PC]
	msr	elr_el1, x22
	msr	spsr_el1, x23
	restore_general
	add	sp, sp, #TF_SIZE
	eret

/* SP is not in the stack it should be in: reports on the emergency stack. SP_EL0 was saved at entry from EL0, so it can carry SP. */
stack_overflow:
	mov	x16, sp
	msr	sp_el0, x16
	mrs	x16, tpidr_el1
	ldr	x16, [x16, #CPU_EMERGENCY]
	mov	sp, x16
	mrs	x16, tpidrro_el0
	save_user
	stp	x29, xzr, [sp, #TF_RECORD]
	mrs	x1, esr_el1
	mrs	x2, far_el1
	bl	trap_stack_overflow
	brk	#0

	.section .note.GNU-stack, "", %progbits
