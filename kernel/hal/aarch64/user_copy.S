/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/user_copy.S: the kernel's accesses to user memory.
 *
 * LDTR and STTR access as EL0 would, whatever PAN says. There are no
 * unprivileged exclusives, so the compare-and-swap lifts PAN for its loop. All
 * addresses were checked to lie below USER_END (uaccess.c).
 *
 * A fault inside a fixup range that cannot be repaired goes on at its target;
 * the functions return 0 when done, else 1. Ranges marked any=1 are for
 * addresses that are not user's and are never repaired.
 */

/* Faults from start to end (not included) go on at target. */
.macro fixup start, end, target, any=0
	.pushsection .fixups, "a"
	.balign	4
	.long	\start - .
	.long	\end - .
	.long	\target - .
	.long	\any
	.popsection
.endm

	.text
/* int user_copy_in(void *to, uint64_t from, size_t n) */
	.globl	user_copy_in
user_copy_in:
	subs	x2, x2, #32
	b.lo	2f
1:	ldtr	x3, [x1]
	ldtr	x4, [x1, #8]
	ldtr	x5, [x1, #16]
	ldtr	x6, [x1, #24]
	add	x1, x1, #32
	stp	x3, x4, [x0]
	stp	x5, x6, [x0, #16]
	add	x0, x0, #32
	subs	x2, x2, #32
	b.hs	1b
2:	tbz	x2, #4, 3f
	ldtr	x3, [x1]
	ldtr	x4, [x1, #8]
	add	x1, x1, #16
	stp	x3, x4, [x0], #16
3:	tbz	x2, #3, 4f
	ldtr	x3, [x1]
	add	x1, x1, #8
	str	x3, [x0], #8
4:	ands	x2, x2, #7
	b.eq	6f
5:	ldtrb	w3, [x1]
	add	x1, x1, #1
	strb	w3, [x0], #1
	subs	x2, x2, #1
	b.ne	5b
6:	mov	w0, #0
	ret
	fixup	user_copy_in, 6b, user_failed

/* int user_copy_out(uint64_t to, const void *from, size_t n) */
	.globl	user_copy_out
user_copy_out:
	subs	x2, x2, #32
	b.lo	2f
1:	ldp	x3, x4, [x1]
	ldp	x5, x6, [x1, #16]
	add	x1, x1, #32
	sttr	x3, [x0]
	sttr	x4, [x0, #8]
	sttr	x5, [x0, #16]
	sttr	x6, [x0, #24]
	add	x0, x0, #32
	subs	x2, x2, #32
	b.hs	1b
2:	tbz	x2, #4, 3f
	ldp	x3, x4, [x1], #16
	sttr	x3, [x0]
	sttr	x4, [x0, #8]
	add	x0, x0, #16
3:	tbz	x2, #3, 4f
	ldr	x3, [x1], #8
	sttr	x3, [x0]
	add	x0, x0, #8
4:	ands	x2, x2, #7
	b.eq	6f
5:	ldrb	w3, [x1], #1
	sttrb	w3, [x0]
	add	x0, x0, #1
	subs	x2, x2, #1
	b.ne	5b
6:	mov	w0, #0
	ret
	fixup	user_copy_out, 6b, user_failed

/* int user_fill_zero(uint64_t to, size_t n) */
	.globl	user_fill_zero
user_fill_zero:
	subs	x1, x1, #32
	b.lo	2f
1:	sttr	xzr, [x0]
	sttr	xzr, [x0, #8]
	sttr	xzr, [x0, #16]
	sttr	xzr, [x0, #24]
	add	x0, x0, #32
	subs	x1, x1, #32
	b.hs	1b
2:	ands	x1, x1, #31
	b.eq	4f
3:	sttrb	wzr, [x0]
	add	x0, x0, #1
	subs	x1, x1, #1
	b.ne	3b
4:	mov	w0, #0
	ret
	fixup	user_fill_zero, 4b, user_failed

/* int64_t user_copy_string(char *to, uint64_t from, size_t size): length, size if there is no NUL, -1 after a fault */
	.globl	user_copy_string
user_copy_string:
	mov	x4, #0
1:	cmp	x4, x2
	b.eq	3f
2:	ldtrb	w3, [x1]
	add	x1, x1, #1
	strb	w3, [x0, x4]
	cbz	w3, 3f
	add	x4, x4, #1
	b	1b
3:	mov	x0, x4
	ret
	fixup	2b, 3b, user_string_failed

/* int user_word_load(uint64_t from, uint32_t *value) */
	.globl	user_word_load
user_word_load:
	ldtr	w2, [x0]
1:	dmb	ishld
	str	w2, [x1]
	mov	w0, #0
	ret
	fixup	user_word_load, 1b, user_failed

/* int user_word_cas(uint64_t at, uint32_t expected, uint32_t value, uint32_t *found, bool pan) */
	.globl	user_word_cas
user_word_cas:
	cbz	w4, 1f
	.inst	0xd500409f                      /* msr pan, #0 */
1:	ldaxr	w5, [x0]
	cmp	w5, w1
	b.ne	2f
	stlxr	w6, w2, [x0]
	cbnz	w6, 1b
	mov	w0, #0
	b	3f
2:	clrex
	mov	w0, #0
3:	cbz	w4, 4f
	.inst	0xd500419f                      /* msr pan, #1 */
4:	str	w5, [x3]
	ret
5:	mov	w0, #1
	cbz	w4, 6f
	.inst	0xd500419f
6:	ret
	fixup	1b, 2b, 5b

user_string_failed:
	mov	x0, #-1
	ret
user_failed:
	mov	w0, #1
	ret

/*
 * int64_t semihosting_trap(uint64_t operation, void *block): -1 also when
 * nobody serves semihosting and HLT is an undefined instruction.
 */
	.globl	semihosting_trap
semihosting_trap:
	hlt	#0xf000
1:	ret
	fixup	semihosting_trap, 1b, user_string_failed, 1

/* int kernel_peek(uint64_t at, uint64_t *value): a kernel word that may not be there, for backtraces */
	.globl	kernel_peek
kernel_peek:
	ldr	x2, [x0]
1:	str	x2, [x1]
	mov	w0, #0
	ret
	fixup	kernel_peek, 1b, user_failed, 1

	.section .note.GNU-stack, "", %progbits
