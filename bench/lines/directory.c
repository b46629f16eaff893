/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/lines/directory.c: who has which cache line.
 *
 * Purpose. Counts what a machine with caches would have to do: a line moves
 * when a CPU writes it while another one has a copy, or touches it after another
 * one has written it. What all only read moves nothing, however many they are; nor does
 * what one CPU alone touches. Caches here are endless, so nothing is counted
 * that is a matter of their size.
 *
 * Structure. A hash table, open addressing, of lines that were touched:
 *
 *	line -> holders (one bit a CPU), writer (the last one, or none), where it wrote or read last
 *
 *	read  by c   c holds it: nothing. Else, if somebody has written it: it moves, and the writer's copy is shared
 *now. write by c   c alone holds it: nothing. Else, if anybody else holds or has written it: it moves. Then c alone
 *holds it.
 *
 * A second table counts moves by line and the two places in the code.
 *
 * Failure. A table that is full ends the program: TABLE is a hundred times what is used.
 */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE (1u << 20)
#define MOVES (1u << 16)
#define NOBODY UINT8_MAX

struct entry {
	uintptr_t line; /* 0: unused */
	uint64_t holders;
	const void *last; /* code that wrote it last, or took it from who did */
	uint8_t writer;
};
static struct entry table[TABLE];
static struct line_move moves[MOVES];
static unsigned used;
static uint64_t moved;
static bool following, counting_now;

static void full(void)
{
	fprintf(stderr, "lines: a table is full\n");
	exit(2);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 29;
	return x;
}

void lines_reset(void)
{
	memset(table, 0, sizeof table);
	memset(moves, 0, sizeof moves);
	used = 0;
	moved = 0;
}

void lines_follow(bool on, bool counting)
{
	following = on;
	counting_now = counting;
}

uint64_t lines_moved(void) { return moved; }

static struct entry *find(uintptr_t line)
{
	unsigned i = (unsigned)mix(line) & (TABLE - 1);

	while (table[i].line && table[i].line != line)
		i = (i + 1) & (TABLE - 1);
	if (!table[i].line) {
		if (++used == TABLE - 1)
			full();
		table[i].line = line;
		table[i].writer = NOBODY;
	}
	return &table[i];
}

static void count(const struct entry *e, bool write, const void *pc)
{
	unsigned i = (unsigned)mix(e->line ^ mix((uintptr_t)pc) ^ (uintptr_t)e->last << 7) & (MOVES - 1), tries = 0;
	struct line_move *m;

	if (!counting_now)
		return;
	moved++;
	for (;; i = (i + 1) & (MOVES - 1)) {
		m = &moves[i];
		if (m->count == 0 || (m->line == e->line && m->from == e->last && m->to == pc && m->written == write))
			break;
		if (++tries == MOVES)
			full();
	}
	m->line = e->line;
	m->from = e->last;
	m->to = pc;
	m->written = write;
	m->count++;
}

static void touch(unsigned cpu, uintptr_t line, bool write, const void *pc)
{
	struct entry *e = find(line);
	uint64_t own = UINT64_C(1) << cpu;

	if (write) {
		if ((e->holders & ~own) || (e->writer != NOBODY && e->writer != cpu))
			count(e, true, pc);
		e->holders = own;
		e->writer = (uint8_t)cpu;
		e->last = pc;
		return;
	}
	if (!(e->holders & own) && e->writer != NOBODY && e->writer != cpu)
		count(e, false, pc);
	e->holders |= own;
}

void lines_access(unsigned cpu, const void *p, size_t n, bool write, const void *pc)
{
	if (!following)
		return;
	for (uintptr_t line = (uintptr_t)p / LINE_BYTES; line <= ((uintptr_t)p + n - 1) / LINE_BYTES; line++)
		touch(cpu, line, write, pc);
}

static int by_count(const void *a, const void *b)
{
	const struct line_move *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : x->line < y->line ? -1 : x->line > y->line;
}

size_t lines_moves(struct line_move *out, size_t n)
{
	struct line_move *all = malloc(sizeof moves);
	size_t found = 0;

	if (!all)
		return 0;
	for (unsigned i = 0; i < MOVES; i++)
		if (moves[i].count)
			all[found++] = moves[i];
	qsort(all, found, sizeof *all, by_count);
	n = n < found ? n : found;
	memcpy(out, all, n * sizeof *out);
	free(all);
	return n;
}
