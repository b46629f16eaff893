/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/asm_layout.h: numbers that assembly and C share. C asserts the
 * offsets beside each struct (machine_cpu.h, trap.c).
 */
#ifndef HAL_AARCH64_ASM_LAYOUT_H
#define HAL_AARCH64_ASM_LAYOUT_H

/*
 * Virtual addresses, upper half (TTBR1, 48 bits):
 *
 *	0xffff800000000000   direct map of RAM, physical address 0 at its start, 2^46 bytes
 *	0xffffd00000000000   kernel window: pages mapped one by one (hal/mmu.h), 2^39 bytes
 *	0xfffff00000000000   devices, handed out upwards
 *	0xffffffff80000000   kernel image (kernel.ld)
 */
#define DIRECT_BASE 0xffff800000000000
#define DIRECT_BITS 46
#define DEVICE_BASE 0xfffff00000000000
#define DEVICE_SIZE 0x0000008000000000
#define IMAGE_BASE 0xffffffff80000000

/* Kernel stacks: aligned to their size, so that the low bits of SP say how much is left (hal/context.h has the size).
 */
#define STACK_SHIFT 14
#define STACK_MARGIN 2048              /* an exception that finds less room than this is reported as an overflow */
#define STACK_CHECK 0x5bd1e995caf3f00d /* at its lowest word; context_switch executes this BRK if it is gone */
#define BRK_STACK_CHECK 0x57ac
#define EMERGENCY_SIZE 8192

/* struct cpu (machine_cpu.h) */
#define CPU_STACK 8
#define CPU_STACK_LIMIT 16
#define CPU_EMERGENCY 24

/* struct trap_frame (hal/context.h) */
#define TF_SP 248
#define TF_PC 256
#define TF_ABORT 232  /* x29, x30, which lie side by side */
#define TF_RECORD 272 /* kernel frames only: a frame record {fp, pc} in place of syscall and orig_x0 */
#define TF_SIZE 288

/* ESR_EL1 (esr.h) */
#define ESR_ABORT_BIT 31 /* of the class: set of aborts and other rarer things, clear of system calls */

/* What EL0 may have in PSTATE: flags, TCO, DIT, SSBS, BTYPE. Mode EL0t, nothing masked. */
#define PSR_USER 0xf3001c00

/* Memory attribute indexes of MAIR_EL1, the same for user and kernel tables. */
#define MAIR_NORMAL 0       /* write-back, inner and outer */
#define MAIR_DEVICE 1       /* Device-nGnRE */
#define MAIR_VALUE 0x4404ff /* index 2: Normal non-cacheable */

#endif
