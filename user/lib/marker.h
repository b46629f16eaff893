/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks in a program for who counts its instructions from outside (tools/plugin/count.c). A mark moves a number into
 * the zero register: it changes nothing, on any machine, and no compiler writes it.
 */
#ifndef USER_LIB_MARKER_H
#define USER_LIB_MARKER_H

#define MARKER_REGIONS 64
#define MARKER_BEGIN 0x4100 /* + region */
#define MARKER_END 0x4200

/* movz xzr, #n */
#define MARKER_INSN 0xd280001fu
#define MARKER_INSN_MASK 0xffe0001fu
#define MARKER_NUMBER(insn) ((insn) >> 5 & 0xffff)

#if defined(__aarch64__)
#define MARKER_(n) __asm__ volatile(".inst %c0" ::"i"(MARKER_INSN | (unsigned)(n) << 5) : "memory")
/* What follows, on all CPUs and in the kernel, counts for that region (a constant below MARKER_REGIONS), until its end.
 */
#define marker_begin(region) MARKER_(MARKER_BEGIN + (region))
#define marker_end(region) MARKER_(MARKER_END + (region))
#endif

#endif
