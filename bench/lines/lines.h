/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/lines/lines.h: which cache lines CPUs take from each other. Theory: directory.c.
 * One thread plays all CPUs; nothing here is for several threads.
 */
#ifndef BENCH_LINES_LINES_H
#define BENCH_LINES_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_CPUS 64
#define LINE_BYTES 64u

/* --- directory.c --- */

/* Forgets everything. */
void lines_reset(void);

/* From now on accesses are followed; those that move a line are counted when counting too. */
void lines_follow(bool on, bool counting);

/* One access by a CPU, of code at pc. Called for what the compiler instrumented. */
void lines_access(unsigned cpu, const void *p, size_t n, bool write, const void *pc);

/* Lines moved since lines_reset, while counting. */
uint64_t lines_moved(void);

/* One pair of places between which a line moved. */
struct line_move {
	uintptr_t line;        /* address / LINE_BYTES */
	const void *from, *to; /* code: the access that had it before, and the one that took it */
	bool written;          /* the second one is a write */
	uint64_t count;
};

/* The up to n most frequent ones, most frequent first. Returns how many. */
size_t lines_moves(struct line_move *out, size_t n);

/* --- tsan.c: what instrumented code calls --- */

/* The CPU whose code runs, or -1: nobody's. */
extern int lines_cpu;
/* Accesses until the next turn; at 0 lines_turn is called. */
extern int lines_left;
void lines_turn(void);

/* Accesses to these n bytes are of the harness, not of the machine. */
void lines_exempt(const void *p, size_t n);

/* --- control.c: instrumented --- */

struct control_line {
	uint64_t count;
	char pad[LINE_BYTES - sizeof(uint64_t)];
} __attribute__((aligned(LINE_BYTES)));
void control_private(struct control_line *own);
void control_shared(struct control_line *one);

#endif
