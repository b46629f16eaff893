/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/switch.S: one kernel stack to another.
 *
 * The stack that is left must still hold its check value at the bottom; the
 * one that is taken up becomes the CPU's, for the overflow test in vectors.S.
 */
#include "asm_layout.h"

	.text
/* void context_switch(struct context *from, struct context *to) */
	.globl	context_switch
context_switch:
	mov	x9, sp
	mrs	x10, tpidr_el1
	stp	x19, x20, [x0, #0]
	stp	x21, x22, [x0, #16]
	stp	x23, x24, [x0, #32]
	stp	x25, x26, [x0, #48]
	stp	x27, x28, [x0, #64]
	stp	x29, x30, [x0, #80]
	str	x9, [x0, #96]
	ldr	x11, [x10, #CPU_STACK]
	ldr	x12, [x11]
	ldr	x13, =STACK_CHECK
	cmp	x12, x13
	b.ne	1f
	ldr	x9, [x1, #96]
	ldp	x19, x20, [x1, #0]
	ldp	x21, x22, [x1, #16]
	ldp	x23, x24, [x1, #32]
	ldp	x25, x26, [x1, #48]
	ldp	x27, x28, [x1, #64]
	ldp	x29, x30, [x1, #80]
	/*
	 * Another CPU may have mapped this stack a moment ago; its DSB and the run queue's lock are behind us, but a walk
	 * that was made ahead of them is not undone without this.
	 */
	isb
	and	x11, x9, #~((1 << STACK_SHIFT) - 1)
	add	x12, x11, #STACK_MARGIN
	/* An interrupt between these two would find SP on one stack and the limit of the other. */
	mrs	x13, daif
	msr	daifset, #2
	mov	sp, x9
	stp	x11, x12, [x10, #CPU_STACK]
	msr	daif, x13
	ret
1:	brk	#BRK_STACK_CHECK

/* Where a new thread begins: x19 function, x20 argument, x21 where to go should the function return. */
	.globl	context_start
context_start:
	mov	x0, x20
	mov	x29, xzr
	blr	x19
	blr	x21

	.section .note.GNU-stack, "", %progbits
