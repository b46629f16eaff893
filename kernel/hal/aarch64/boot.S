/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/boot.S: from the reset vector to C in the upper half.
 *
 * Entered with MMU off, at EL1 or EL2, in one of two ways: as an arm64 Image
 * (x0 = device tree) or as a plain ELF (x0 = 0: the tree lies at the start of
 * RAM). Other CPUs come by PSCI CPU_ON with x0 = their id.
 *
 *	boot CPU                                    other CPUs
 *	el1_setup: EL2 -> EL1, known SCTLR          el1_setup
 *	early tables: TTBR0 identity of the first
 *	  2 MiB of the image, TTBR1 the image, RWX
 *	enable_mmu, jump to the upper half          enable_mmu with the final tables
 *	clear .bss, stack in it, boot_main          own stack, secondary_main
 *
 * Until the MMU is on nothing but the early tables is written and no memory is
 * read that another CPU wrote with its caches on: the tables are invalidated from the caches
 * after writing, other CPUs find all they need relative to their PC.
 *
 * Everything up to the jump runs in the image's first 2 MiB, which the identity
 * map covers read-only and executable. The C code then builds the final tables
 * and changes to them through idmap_set_root (break before make: the empty
 * table comes in between).
 */
#include "asm_layout.h"

#define SCTLR_RES1 0x30500800     /* EOS, TSCXT, EIS, nTLSMD, LSMAOE as the architecture wants them */
#define SCTLR_SPAN (1 << 23)      /* set: PAN untouched by exceptions; RES1 without PAN */
#define SCTLR_RUN 0x0405d19d      /* M C SA SA0 ITD SED I DZE UCT nTWI nTWE UCI; WXN stays 0: programs may map W+X */

/* T0SZ = T1SZ = 16, 4 KiB granules, walks write-back inner-shareable, TBI0 as Linux has it; A1, EPDx, HPDx 0. */
#define TCR_BASE ((16 << 0) | (1 << 8) | (1 << 10) | (3 << 12) | (16 << 16) | (1 << 24) | (1 << 26) | \
	(3 << 28) | (2 << 30) | (1 << 37))

#define DESC_TABLE 3
#define BLOCK_ID 0x0040000000000781     /* valid block, AF, inner shareable, read-only, attribute 0; UXN */
#define BLOCK_EARLY 0x0040000000000701  /* the same, writable */

	.section .head.text, "ax"
	.globl _start
_start:
	b	boot_entry
	.long	0
	.quad	0                       /* offset from a multiple of 2 MiB */
	.quad	image_size
	.quad	0xa                     /* little endian, 4 KiB pages, anywhere in RAM */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

boot_entry:
	mov	x21, x0
	adrp	x22, _start
	bl	el1_setup
	bl	early_tables_build
	adrp	x1, early_upper_l0
	ldr	x30, =boot_upper
	b	enable_mmu

secondary_entry:
	mov	x21, x0
	bl	el1_setup
	adrp	x1, kernel_root
	ldr	x30, =secondary_upper
	b	enable_mmu

/* => at EL1, MMU and caches off, interrupts masked. Uses x1, x2, x30. */
el1_setup:
	msr	daifset, #0xf
	mrs	x1, CurrentEL
	cmp	x1, #(2 << 2)
	b.hi	entered_at_el3
	ldr	x2, =(SCTLR_RES1 | SCTLR_SPAN)
	b.eq	from_el2
	msr	sctlr_el1, x2
	isb
	ret

from_el2:
	msr	sctlr_el1, x2
	ldr	x1, =0x30c50830                 /* SCTLR_EL2: RES1 bits, MMU off */
	msr	sctlr_el2, x1
	ldr	x1, =((1 << 31) | (1 << 40) | (1 << 41)) /* EL1 is AArch64; pointer authentication is not trapped */
	msr	hcr_el2, x1
	isb
	mov	x1, #0x33ff                     /* FP is not trapped */
	msr	cptr_el2, x1
	msr	hstr_el2, xzr
	msr	vttbr_el2, xzr
	mov	x1, #3                          /* EL1 may use the physical counter and timer */
	msr	cnthctl_el2, x1
	msr	cntvoff_el2, xzr
	mrs	x1, midr_el1
	msr	vpidr_el2, x1
	mrs	x1, mpidr_el1
	msr	vmpidr_el2, x1
	mrs	x1, id_aa64dfr0_el1             /* all performance counters belong to EL1, if there are any */
	ubfx	x1, x1, #8, #4
	sub	x2, x1, #1
	cmp	x2, #14
	mov	x1, xzr
	b.hs	1f
	mrs	x1, pmcr_el0
	ubfx	x1, x1, #11, #5
1:	msr	mdcr_el2, x1
	mrs	x1, id_aa64pfr0_el1             /* GIC by system registers: EL1 may use them */
	ubfx	x1, x1, #24, #4
	cbz	x1, 2f
	mrs	x1, S3_4_C12_C9_5               /* ICC_SRE_EL2: SRE, Enable */
	orr	x1, x1, #1
	orr	x1, x1, #8
	msr	S3_4_C12_C9_5, x1
	isb
	msr	S3_4_C12_C11_0, xzr             /* ICH_HCR_EL2 */
2:	mrs	x1, S3_0_C0_C7_0                /* ID_AA64MMFR0_EL1.FGT: no fine-grained traps */
	ubfx	x1, x1, #56, #4
	cbz	x1, 3f
	msr	S3_4_C1_C1_4, xzr               /* HFGRTR_EL2 */
	msr	S3_4_C1_C1_5, xzr               /* HFGWTR_EL2 */
	msr	S3_4_C1_C1_6, xzr               /* HFGITR_EL2 */
	msr	S3_4_C3_C1_4, xzr               /* HDFGRTR_EL2 */
	msr	S3_4_C3_C1_5, xzr               /* HDFGWTR_EL2 */
3:	mov	x1, #0x3c5                      /* EL1h, all masked */
	msr	spsr_el2, x1
	msr	elr_el2, x30
	eret

/* No way to go on, and no console: say so by semihosting if it is there. */
entered_at_el3:
	mov	x0, #4                          /* SYS_WRITE0 */
	adr	x1, el3_message
	hlt	#0xf000
	mov	x0, #0x20                       /* SYS_EXIT_EXTENDED */
	adr	x1, el3_status
	hlt	#0xf000
1:	wfi
	b	1b
	.balign	8
el3_status:
	.quad	0x20026, 125
el3_message:
	.asciz	"panic: entered at EL3; start the kernel at EL1 or EL2\n"
	.balign	4

/* Tables that lead from the reset vector into the upper half. Uses x0 to x5. */
early_tables_build:
	adrp	x0, early_tables
	adrp	x1, early_tables_end
1:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.lo	1b
	adrp	x2, _start                      /* physical start of the image */
	mov	x5, #DESC_TABLE

	adrp	x0, early_id_l0
	adrp	x1, early_id_l1
	ubfx	x3, x2, #39, #9
	orr	x4, x1, x5
	str	x4, [x0, x3, lsl #3]
	adrp	x0, early_id_l2
	ubfx	x3, x2, #30, #9
	orr	x4, x0, x5
	str	x4, [x1, x3, lsl #3]
	ubfx	x3, x2, #21, #9
	ldr	x4, =BLOCK_ID
	orr	x4, x4, x2
	str	x4, [x0, x3, lsl #3]

	adrp	x0, early_upper_l0
	adrp	x1, early_upper_l1
	orr	x4, x1, x5
	str	x4, [x0, #(511 * 8)]            /* IMAGE_BASE: top 512 GiB, ... */
	adrp	x0, early_upper_l2
	orr	x4, x0, x5
	str	x4, [x1, #(510 * 8)]            /* ... last but one GiB */
	ldr	x4, =BLOCK_EARLY
	orr	x4, x4, x2
	adrp	x1, image_end
2:	str	x4, [x0], #8
	add	x4, x4, #0x200000
	add	x2, x2, #0x200000
	cmp	x2, x1
	b.lo	2b

	/* Stale lines of the tables must not hide what was written past the caches. */
	dsb	sy
	adrp	x0, early_tables
	adrp	x1, early_tables_end
	mrs	x3, ctr_el0
	ubfx	x3, x3, #16, #4
	mov	x4, #4
	lsl	x4, x4, x3
3:	dc	ivac, x0
	add	x0, x0, x4
	cmp	x0, x1
	b.lo	3b
	dsb	sy
	ret

/* x1: physical root for TTBR1; x30: where to go on. Uses x2 to x4. The same code on all CPUs: the same TCR on equal CPUs. */
enable_mmu:
	ldr	x2, =MAIR_VALUE
	msr	mair_el1, x2
	ldr	x2, =TCR_BASE
	mrs	x3, id_aa64mmfr0_el1
	and	x4, x3, #0xf                    /* physical address size; 52 bits need other tables */
	cmp	x4, #5
	mov	x3, #5
	csel	x4, x4, x3, lo
	bfi	x2, x4, #32, #3
	mrs	x3, id_aa64mmfr0_el1
	ubfx	x4, x3, #4, #4
	cmp	x4, #2
	b.lo	1f
	orr	x2, x2, #(1 << 36)              /* AS: 16-bit ASIDs */
1:	mrs	x3, id_aa64mmfr1_el1
	and	x4, x3, #0xf
	cbz	x4, 2f
	orr	x2, x2, #(1 << 39)              /* HA */
	cmp	x4, #2
	b.lo	2f
	orr	x2, x2, #(1 << 40)              /* HD */
2:	msr	tcr_el1, x2
	adrp	x2, early_id_l0
	msr	ttbr0_el1, x2
	msr	ttbr1_el1, x1
	mov	x2, #(3 << 20)                  /* FP for EL0, fp.S and memops.S */
	msr	cpacr_el1, x2
	mov	x2, #2                          /* EL0 reads the virtual counter */
	msr	cntkctl_el1, x2
	mov	x2, #(1 << 12)                  /* EL0 has no debug channel; no single step */
	msr	mdscr_el1, x2
	msr	oslar_el1, xzr
	mrs	x4, id_aa64dfr0_el1             /* EL0 has no performance counters, if there are any */
	ubfx	x4, x4, #8, #4
	sub	x4, x4, #1
	cmp	x4, #14
	b.hs	4f
	msr	pmuserenr_el0, xzr
4:	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	ldr	x2, =(SCTLR_RES1 | SCTLR_RUN)
	ubfx	x4, x3, #20, #4
	cbnz	x4, 3f
	orr	x2, x2, #SCTLR_SPAN
3:	msr	sctlr_el1, x2
	isb
	ret

/*
 * void idmap_set_root(uint64_t root, uint64_t empty): called at its identity
 * address, from the upper half, interrupts masked: changes TTBR1, with the empty table in between.
 */
idmap_set_root:
	msr	ttbr1_el1, x1
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	msr	ttbr1_el1, x0
	isb
	ret

	.ltorg
	.globl idmap_end
idmap_end:

/* --- upper half from here on --- */

boot_upper:
	ldr	x0, =bss_start
	ldr	x1, =bss_end
1:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.lo	1b
	ldr	x4, =boot_cpu
	ldr	x5, =boot_main
	mov	x0, x21
	mov	x1, x22                         /* physical: the image, and two places in it */
	ldr	x6, =image_start
	ldr	x2, =idmap_set_root
	sub	x2, x2, x6
	add	x2, x2, x22
	ldr	x3, =secondary_entry
	sub	x3, x3, x6
	add	x3, x3, x22
	b	enter_c

secondary_upper:
	ldr	x4, =cpus
	ldr	x4, [x4, x21, lsl #3]
	ldr	x5, =secondary_main

/* x4: this CPU's struct cpu, x5: C function, x0 to x3: its arguments */
enter_c:
	msr	tpidr_el1, x4
	ldr	x6, [x4, #CPU_STACK]
	add	x6, x6, #(1 << STACK_SHIFT)
	sub	x6, x6, #16
	mov	sp, x6
	ldr	x6, =vectors
	msr	vbar_el1, x6
	msr	tpidr_el0, xzr
	msr	tpidrro_el0, xzr
	mrs	x6, id_aa64mmfr1_el1
	ubfx	x6, x6, #20, #4
	cbz	x6, 1f
	.inst	0xd500419f                      /* msr pan, #1 */
1:	isb
	mov	x29, xzr
	mov	x30, xzr
	br	x5
	.ltorg

	.section .boot, "aw", %nobits
	.balign	4096
early_tables:
early_id_l0:
	.space	4096
early_id_l1:
	.space	4096
early_id_l2:
	.space	4096
early_upper_l0:
	.space	4096
early_upper_l1:
	.space	4096
early_upper_l2:
	.space	4096
early_tables_end:

	.section .note.GNU-stack, "", %progbits
