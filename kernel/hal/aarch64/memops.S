/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/memops.S: whole frames through the direct map, in general registers. */
#include "asm_layout.h"

	.text
/* void machine_zero_frame(paddr_t frame): DC ZVA where EL1 may use it, by far the fewest instructions; else STP */
	.globl	machine_zero_frame
machine_zero_frame:
	mov	x9, #DIRECT_BASE
	add	x0, x0, x9
	add	x3, x0, #4096
	mrs	x1, dczid_el0
	tbnz	x1, #4, 3f
	and	x1, x1, #15
	cmp	x1, #4
	b.ne	2f
1:	.rept	16
	dc	zva, x0
	add	x0, x0, #64
	.endr
	cmp	x0, x3
	b.lo	1b
	ret
2:	cmp	x1, #10                         /* other block sizes, up to a frame */
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

/* void machine_copy_frame(paddr_t to, paddr_t from) */
	.globl	machine_copy_frame
machine_copy_frame:
	mov	x9, #DIRECT_BASE
	add	x0, x0, x9
	add	x1, x1, x9
	add	x18, x0, #4096
1:	ldp	x2, x3, [x1]
	ldp	x4, x5, [x1, #16]
	ldp	x6, x7, [x1, #32]
	ldp	x8, x9, [x1, #48]
	ldp	x10, x11, [x1, #64]
	ldp	x12, x13, [x1, #80]
	ldp	x14, x15, [x1, #96]
	ldp	x16, x17, [x1, #112]
	add	x1, x1, #128
	stp	x2, x3, [x0]
	stp	x4, x5, [x0, #16]
	stp	x6, x7, [x0, #32]
	stp	x8, x9, [x0, #48]
	stp	x10, x11, [x0, #64]
	stp	x12, x13, [x0, #80]
	stp	x14, x15, [x0, #96]
	stp	x16, x17, [x0, #112]
	add	x0, x0, #128
	cmp	x0, x18
	b.lo	1b
	ret

	.section .note.GNU-stack, "", %progbits
