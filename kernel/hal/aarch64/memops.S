/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/memops.S: whole frames through the direct map. */
#include "asm_layout.h"

	.text
/* void machine_zero_frame(paddr_t frame): DC ZVA where EL1 may use it, by far the fewest instructions; else STP */
	.globl	machine_zero_frame
machine_zero_frame:
	mov	x9, #DIRECT_BASE
	add	x0, x0, x9
	mrs	x1, dczid_el0
	cmp	x1, #4                          /* 64 bytes, and not prohibited: bit 4 */
	b.ne	2f
	.rept	4096 / 64
	dc	zva, x0
	add	x0, x0, #64
	.endr
	ret
2:	add	x3, x0, #4096
	cmp	x1, #10                         /* other block sizes, up to a frame; prohibited is beyond */
	b.hi	3f
	mov	x2, #4
	lsl	x2, x2, x1
4:	dc	zva, x0
	add	x0, x0, x2
	cmp	x0, x3
	b.lo	4b
	ret
3:	stp	xzr, xzr, [x0]
	stp	xzr, xzr, [x0, #16]
	stp	xzr, xzr, [x0, #32]
	stp	xzr, xzr, [x0, #48]
	stp	xzr, xzr, [x0, #64]
	stp	xzr, xzr, [x0, #80]
	stp	xzr, xzr, [x0, #96]
	stp	xzr, xzr, [x0, #112]
	add	x0, x0, #128
	cmp	x0, x3
	b.lo	3b
	ret

/*
 * void machine_copy_frame(paddr_t to, paddr_t from)
 * By SIMD registers, half as many instructions. They may be EL0's, of whoever ran here last: so they are as before at the end,
 * and nobody is switched to meanwhile, since the kernel is not preempted.
 */
	.globl	machine_copy_frame
machine_copy_frame:
	mov	x9, #DIRECT_BASE
	add	x0, x0, x9
	add	x1, x1, x9
	add	x3, x0, #4096
	sub	sp, sp, #128
	stp	q0, q1, [sp]
	stp	q2, q3, [sp, #32]
	stp	q4, q5, [sp, #64]
	stp	q6, q7, [sp, #96]
1:	.set	at, 0
	.rept	8
	ldp	q0, q1, [x1, #at]
	ldp	q2, q3, [x1, #at + 32]
	ldp	q4, q5, [x1, #at + 64]
	ldp	q6, q7, [x1, #at + 96]
	stp	q0, q1, [x0, #at]
	stp	q2, q3, [x0, #at + 32]
	stp	q4, q5, [x0, #at + 64]
	stp	q6, q7, [x0, #at + 96]
	.set	at, at + 128
	.endr
	add	x0, x0, #1024
	add	x1, x1, #1024
	cmp	x0, x3
	b.lo	1b
	ldp	q0, q1, [sp]
	ldp	q2, q3, [sp, #32]
	ldp	q4, q5, [sp, #64]
	ldp	q6, q7, [sp, #96]
	add	sp, sp, #128
	ret

	.section .note.GNU-stack, "", %progbits
