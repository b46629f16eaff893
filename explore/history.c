/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/history.c: was there a sequential order of the operations that explains their results?
 *
 * Purpose. A run leaves a history: per CPU the operations, when each was called and returned, and the steps it
 * consists of with their results. The run is right when all steps can be put in one order, such that each lies between
 * call and return of its operation, and a sequential model gives just those results (linearizability, with operations
 * that may consist of several steps).
 *
 * Structure. Depth-first search over positions. A position says, per CPU, which operation is next and which of its
 * steps are done, and it has the model's state. From there, every step that may be next is tried on a copy of the
 * state.
 *
 *      CPU 0   [ a1 a2 ]   [ b1 ]            a step may be next when no other CPU has an operation
 *      CPU 1        [ c1 ]        [ d1 ]     that is not over and returned before this one was called:
 *             ------------------------> time  a1, a2, c1; then b1; d1 only when b is over
 *
 * Whether a position has an explanation depends on the position and the state alone. So those that had none are
 * remembered, by a 128-bit hash, and not tried again. A collision would call a right run wrong once in about 2^90 runs,
 * and never a wrong one right.
 *
 * A step that only looks (a load, say) is taken as soon as it fits, without trying the others: whatever order has it
 * later has it as well now, since nothing follows from it, and it only lets more steps be next. That a step happens to
 * leave this state as it is would not do: later it may not (a fork of a space in which nothing is mapped yet).
 *
 * Invariants.
 *  1. Steps of an ordered operation are taken by rising index; an optional one that is passed over is not taken later.
 *  2. An operation is over when its steps are done, or by a move of its own when only optional ones are left; until
 *     then it stands in the way of those called after its return.
 *  3. An operation that never returned may have any of its steps, or none.
 *
 * Failure. No order: the history is printed, with how far the longest attempt came. A history that is too hard (more
 * positions than POSITIONS_MAX) fails as well: better than to pass without a verdict.
 *
 * Sources: J. Wing and C. Gong, Testing and verifying concurrent objects (1993); G. Lowe, Testing for linearizability
 * (2017), for remembering positions with their state.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/print.h"
#include "explore.h"

#define POSITIONS_MAX (UINT64_C(1) << 22)

_Static_assert(HISTORY_STEPS <= 8, "the steps done are bits of a byte");

struct position {
	uint8_t op[EXPLORE_CPUS];   /* next, or under way */
	uint8_t done[EXPLORE_CPUS]; /* its steps: a bit each */
};

struct hash {
	uint64_t a, b;
};

struct search {
	const struct history *h;
	size_t size;
	history_model *model;
	bool (*final)(const void *state, void *arg);
	void *arg;
	struct hash *seen;       /* open addressing; a == b == 0: empty */
	uint64_t buckets, count; /* buckets is a power of two */
	struct position best;    /* where the most steps are done */
	unsigned best_steps;
	bool ended; /* some order took all steps; only the final state did not fit */
};

/* --- recording --- */

struct history_op *history_begin(struct history *h, uint32_t cpu, const char *name)
{
	struct history_op *op;

	if (cpu >= EXPLORE_CPUS || h->count[cpu] == HISTORY_OPS)
		explore_fail("history: CPU %u has no room for another operation", (unsigned)cpu);
	op = &h->op[cpu][h->count[cpu]++];
	memset(op, 0, sizeof *op);
	op->name = name;
	op->called = explore_step();
	return op;
}

void history_end(struct history_op *op)
{
	uint64_t now = explore_step();

	op->returned = now ? now : 1; /* 0 means never */
}

/* --- positions seen --- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

static void hash_bytes(struct hash *h, const void *p, size_t n)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t w = 0;

		memcpy(&w, c + i, n - i < 8 ? n - i : 8);
		h->a = mix(h->a ^ w) * 3;
		h->b = mix(h->b + w) * 5 + 1;
	}
}

/* True when it was not there. */
static bool insert(struct search *s, struct hash h)
{
	uint64_t i = h.a & (s->buckets - 1);

	for (; s->seen[i].a | s->seen[i].b; i = (i + 1) & (s->buckets - 1))
		if (s->seen[i].a == h.a && s->seen[i].b == h.b)
			return false;
	s->seen[i] = h;
	return true;
}

static void grow(struct search *s)
{
	struct hash *old = s->seen;
	uint64_t n = s->buckets;

	s->buckets = n ? 2 * n : 256;
	s->seen = calloc(s->buckets, sizeof *s->seen);
	if (!s->seen)
		explore_fail("history: no memory for %" PRIu64 " positions", s->buckets);
	for (uint64_t i = 0; i < n; i++)
		if (old[i].a | old[i].b)
			(void)insert(s, old[i]);
	free(old);
}

static bool is_new(struct search *s, const struct position *p, const void *state)
{
	struct hash h = {UINT64_C(0x243f6a8885a308d3), UINT64_C(0x13198a2e03707344)};

	hash_bytes(&h, p, sizeof *p);
	hash_bytes(&h, state, s->size);
	h.b |= 1; /* never empty */
	if (!insert(s, h))
		return false;
	if (++s->count > POSITIONS_MAX)
		explore_fail("history: too hard, more than %" PRIu64 " positions", POSITIONS_MAX);
	if (2 * s->count > s->buckets)
		grow(s);
	return true;
}

/* --- which steps may be next --- */

static uint8_t all_steps(const struct history_op *op) { return (uint8_t)((1u << op->steps) - 1); }

/* Steps without which the operation has not happened as it says. */
static uint8_t needed(const struct history_op *op)
{
	uint8_t mask = 0;

	for (uint32_t i = 0; op->returned && i < op->steps; i++)
		if (!op->step[i].optional)
			mask |= (uint8_t)(1u << i);
	return mask;
}

/* The operation CPU cpu is at, or NULL when it has done all. */
static const struct history_op *current(const struct search *s, const struct position *p, uint32_t cpu)
{
	return p->op[cpu] < s->h->count[cpu] ? &s->h->op[cpu][p->op[cpu]] : NULL;
}

static bool blocked(const struct search *s, const struct position *p, uint32_t cpu)
{
	uint64_t called = current(s, p, cpu)->called;

	for (uint32_t c = 0; c < s->h->cpus; c++) {
		const struct history_op *other = c == cpu ? NULL : current(s, p, c);

		if (other && other->returned && other->returned < called)
			return true;
	}
	return false;
}

/* What is done after step i, or 0 when step i may not be next. */
static uint8_t after(const struct history_op *op, uint8_t done, uint32_t i)
{
	uint8_t bit = (uint8_t)(1u << i), before = (uint8_t)(bit - 1);

	if (done & bit)
		return 0;
	if (!op->ordered)
		return done | bit;
	/* What is passed over counts as done; only optional steps may be. */
	return needed(op) & before & ~done ? 0 : (uint8_t)(done | before | bit);
}

/* Goes on to the next operation wherever all steps are done. False: all is done. */
static bool settle(const struct search *s, struct position *p)
{
	bool more = false;

	for (uint32_t c = 0; c < s->h->cpus; c++) {
		const struct history_op *op;

		while ((op = current(s, p, c)) && p->done[c] == all_steps(op)) {
			p->op[c]++;
			p->done[c] = 0;
		}
		more = more || op;
	}
	return more;
}

static void note_progress(struct search *s, const struct position *p)
{
	unsigned n = 0;

	for (uint32_t c = 0; c < s->h->cpus; c++) {
		for (unsigned k = 0; k < p->op[c]; k++)
			n += s->h->op[c][k].steps + 1;
		n += (unsigned)__builtin_popcount(p->done[c]);
	}
	if (n >= s->best_steps) {
		s->best_steps = n;
		s->best = *p;
	}
}

/* --- the search --- */

/* Takes one step that only looks, if there is one that fits. */
static bool take_look(struct search *s, struct position *p, const void *state)
{
	unsigned char copy[HISTORY_STATE];

	for (uint32_t c = 0; c < s->h->cpus; c++) {
		const struct history_op *op = current(s, p, c);

		if (!op || blocked(s, p, c))
			continue;
		for (uint32_t i = 0; i < op->steps; i++) {
			uint8_t done = after(op, p->done[c], i);

			/* Passing over optional steps is a choice. */
			if (!op->step[i].looks || !done || done != (p->done[c] | 1u << i))
				continue;
			memcpy(copy, state, s->size);
			if (s->model(copy, c, &op->step[i])) {
				p->done[c] = done;
				return true;
			}
		}
	}
	return false;
}

static bool explained(struct search *s, struct position p, const void *state)
{
	unsigned char copy[HISTORY_STATE];

	do {
		if (!settle(s, &p)) {
			s->ended = true;
			return !s->final || s->final(state, s->arg);
		}
	} while (take_look(s, &p, state));
	note_progress(s, &p);
	if (!is_new(s, &p, state))
		return false;
	for (uint32_t c = 0; c < s->h->cpus; c++) {
		const struct history_op *op = current(s, &p, c);
		struct position next = p;

		if (!op)
			continue;
		/* Left out: optional steps that are still to come. */
		if ((needed(op) & ~p.done[c]) == 0) {
			next.op[c]++;
			next.done[c] = 0;
			if (explained(s, next, state))
				return true;
		}
		if (blocked(s, &p, c))
			continue;
		for (uint32_t i = 0; i < op->steps; i++) {
			next = p;
			next.done[c] = after(op, p.done[c], i);
			if (!next.done[c])
				continue;
			memcpy(copy, state, s->size);
			if (s->model(copy, c, &op->step[i]) && explained(s, next, copy))
				return true;
		}
	}
	return false;
}

/* One line: when, what, each step as what:space.page,argument=value, its result unless OK, ? if it may be left out. */
static void print_op(const struct history_op *op)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "    %6" PRIu64 " .. %6" PRIu64 "  %s%s", op->called, op->returned,
			 op->name ? op->name : "?", op->ordered && op->steps > 1 ? ", in order" : "");

	for (uint32_t i = 0; i < op->steps; i++) {
		const struct history_step *t = &op->step[i];

		n += snprintf(line + n, sizeof line - (size_t)n, "  %u:%u.%u,%u=%" PRIx64 "%s%s%s", t->what, t->space,
			      t->page, t->argument, t->value, t->result ? " " : "",
			      t->result ? error_name((enum error)t->result) : "", t->optional ? "?" : "");
	}
	kprintf("%s\n", line);
}

void history_print(const struct history *h)
{
	for (uint32_t c = 0; c < h->cpus; c++) {
		kprintf("  CPU %u: %u operations\n", c, h->count[c]);
		for (uint32_t k = 0; k < h->count[c]; k++)
			print_op(&h->op[c][k]);
	}
}

static void print_failure(const struct search *s)
{
	kprintf("history: no order of the steps explains the results (%" PRIu64 " positions tried)\n", s->count);
	history_print(s->h);
	if (s->ended)
		kprintf("  some orders explain every result, but none of them leads to the state found in the end\n");
	for (uint32_t c = 0; !s->ended && c < s->h->cpus; c++) {
		const struct history_op *op = current(s, &s->best, c);

		kprintf("  the longest attempt: CPU %u ", c);
		if (op)
			kprintf("stands at operation %u, %s, steps done %#x\n", s->best.op[c],
				op->name ? op->name : "?", s->best.done[c]);
		else
			kprintf("is through\n");
	}
}

bool history_explained(const struct history *h, const void *state, size_t size, history_model *model,
		       bool (*final)(const void *state, void *arg), void *arg)
{
	struct search s = {.h = h, .size = size, .model = model, .final = final, .arg = arg};
	struct position start;
	bool good;

	if (size > HISTORY_STATE)
		explore_fail("history: a state of %zu bytes is too large", size);
	memset(&start, 0, sizeof start);
	s.best = start;
	grow(&s);
	good = explained(&s, start, state);
	if (!good)
		print_failure(&s);
	free(s.seen);
	return good;
}
