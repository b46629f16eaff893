/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/string.S: memcpy, memmove, memset, memcmp by words.
 *
 * The C library for freestanding programs does them a byte at a time: five
 * instructions a byte, for every struct that the compiler copies or clears by a
 * call. Here: 16 or 64 bytes a turn where both pointers agree modulo 8, which
 * structs do; bytes otherwise. No access is unaligned, so that they also work
 * before the MMU is on, and none goes beyond what was asked for. General
 * registers only.
 */
	.text

/* void *memcpy(void *to, const void *from, size_t n), also for memmove when to is below from or far from it */
	.globl	memcpy
memcpy:
	mov	x3, x0
	eor	x4, x0, x1
	tst	x4, #7
	b.ne	6f
1:	tst	x3, #7			/* bytes up to a word */
	b.eq	2f
	cbz	x2, 9f
	ldrb	w4, [x1], #1
	strb	w4, [x3], #1
	sub	x2, x2, #1
	b	1b
2:	subs	x2, x2, #64
	b.lo	4f
3:	ldp	x4, x5, [x1], #64
	ldp	x6, x7, [x1, #-48]
	ldp	x8, x9, [x1, #-32]
	ldp	x10, x11, [x1, #-16]
	stp	x4, x5, [x3], #64
	stp	x6, x7, [x3, #-48]
	stp	x8, x9, [x3, #-32]
	stp	x10, x11, [x3, #-16]
	subs	x2, x2, #64
	b.hs	3b
4:	tbz	x2, #5, 10f
	ldp	x4, x5, [x1], #32
	ldp	x6, x7, [x1, #-16]
	stp	x4, x5, [x3], #32
	stp	x6, x7, [x3, #-16]
10:	tbz	x2, #4, 5f
	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x3], #16
5:	tbz	x2, #3, 7f
	ldr	x4, [x1], #8
	str	x4, [x3], #8
7:	and	x2, x2, #7
6:	cbz	x2, 9f			/* what is left, or all of it: bytes */
8:	ldrb	w4, [x1], #1
	strb	w4, [x3], #1
	subs	x2, x2, #1
	b.ne	8b
9:	ret

/* void *memmove(void *to, const void *from, size_t n) */
	.globl	memmove
memmove:
	sub	x3, x0, x1
	cmp	x3, x2
	b.hs	memcpy			/* to is below from, or behind its end */
	add	x1, x1, x2		/* they overlap: from the end */
	add	x3, x0, x2
	eor	x4, x3, x1
	tst	x4, #7
	b.ne	5f
1:	tst	x3, #7
	b.eq	2f
	cbz	x2, 7f
	ldrb	w4, [x1, #-1]!
	strb	w4, [x3, #-1]!
	sub	x2, x2, #1
	b	1b
2:	subs	x2, x2, #16
	b.lo	4f
3:	ldp	x4, x5, [x1, #-16]!
	stp	x4, x5, [x3, #-16]!
	subs	x2, x2, #16
	b.hs	3b
4:	and	x2, x2, #15
5:	cbz	x2, 7f
6:	ldrb	w4, [x1, #-1]!
	strb	w4, [x3, #-1]!
	subs	x2, x2, #1
	b.ne	6b
7:	ret

/* void *memset(void *to, int byte, size_t n) */
	.globl	memset
memset:
	mov	x3, x0
	and	x1, x1, #0xff
1:	tst	x3, #7
	b.eq	2f
	cbz	x2, 8f
	strb	w1, [x3], #1
	sub	x2, x2, #1
	b	1b
2:	orr	x4, x1, x1, lsl #8
	orr	x4, x4, x4, lsl #16
	orr	x4, x4, x4, lsl #32
	subs	x2, x2, #64
	b.lo	4f
3:	stp	x4, x4, [x3], #64
	stp	x4, x4, [x3, #-48]
	stp	x4, x4, [x3, #-32]
	stp	x4, x4, [x3, #-16]
	subs	x2, x2, #64
	b.hs	3b
4:	tbz	x2, #5, 9f
	stp	x4, x4, [x3], #32
	stp	x4, x4, [x3, #-16]
9:	tbz	x2, #4, 5f
	stp	x4, x4, [x3], #16
5:	tbz	x2, #3, 6f
	str	x4, [x3], #8
6:	ands	x2, x2, #7
	b.eq	8f
7:	strb	w1, [x3], #1
	subs	x2, x2, #1
	b.ne	7b
8:	ret

/* int memcmp(const void *a, const void *b, size_t n) */
	.globl	memcmp
memcmp:
	orr	x3, x0, x1
	tst	x3, #7
	b.ne	2f
1:	cmp	x2, #8
	b.lo	2f
	ldr	x3, [x0]
	ldr	x4, [x1]
	cmp	x3, x4
	b.ne	2f			/* the difference is in these bytes */
	add	x0, x0, #8
	add	x1, x1, #8
	sub	x2, x2, #8
	b	1b
2:	cbz	x2, 3f
	ldrb	w3, [x0], #1
	ldrb	w4, [x1], #1
	sub	x2, x2, #1
	subs	w3, w3, w4
	b.eq	2b
	mov	w0, w3
	ret
3:	mov	w0, #0
	ret

	.section .note.GNU-stack, "", %progbits
