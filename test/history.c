/* SPDX-License-Identifier: BSD-2-Clause */
/* test/history.c: histories of which it is known whether an order explains them. */
#include "explore.h"

#include "test_machine.h"

/* --- what the recorder asks of the explorer --- */

static uint64_t now;

uint64_t explore_step(void) { return now; }

void explore_fail(const char *format, ...) { panic("explore_fail: %s", format); }

/* --- the model: four registers, and a counter of all that was written --- */

enum { READ, WRITE, ADD, SWAP_IF, COPY };

struct registers {
	uint64_t r[4];
};

static unsigned steps_tried;

static bool registers(void *state, uint32_t cpu, const struct history_step *s)
{
	struct registers *m = state;

	(void)cpu;
	steps_tried++;
	switch (s->what) {
	case READ:
		return m->r[s->page] == s->value;
	case WRITE:
		m->r[s->page] = s->value;
		return true;
	case COPY: /* register 0 to page */
		m->r[s->page] = m->r[0];
		return true;
	case ADD: /* value is what was there before */
		return m->r[s->page]++ == s->value;
	case SWAP_IF: /* 0 becomes value; result tells whether it was 0 */
		if (s->result != (m->r[s->page] ? ERR_EXISTS : OK))
			return false;
		if (s->result == OK)
			m->r[s->page] = s->value;
		return true;
	default:
		return false;
	}
}

static struct history h;
static const struct registers zero;

/* An operation of one step. */
static struct history_op *op(uint32_t cpu, uint64_t called, uint64_t returned, uint8_t what, uint8_t page,
			     uint64_t value)
{
	struct history_op *o;

	now = called;
	o = history_begin(&h, cpu, "op");
	o->steps = 1;
	o->step[0] = (struct history_step){.what = what, .page = page, .looks = what == READ, .value = value};
	if (returned) {
		now = returned;
		history_end(o);
	}
	return o;
}

static void more(struct history_op *o, uint8_t what, uint8_t page, uint64_t value)
{
	o->step[o->steps++] = (struct history_step){.what = what, .page = page, .looks = what == READ, .value = value};
}

static void clear(uint32_t cpus)
{
	memset(&h, 0, sizeof h);
	h.cpus = cpus;
}

static bool good(void) { return history_explained(&h, &zero, sizeof zero, registers, NULL, NULL); }

/* --- operations of one step --- */

static void sequential(void **state)
{
	(void)state;
	clear(1);
	op(0, 1, 2, WRITE, 0, 5);
	op(0, 3, 4, READ, 0, 5);
	assert_true(good());
	op(0, 5, 6, READ, 0, 6);
	assert_false(good());
}

static void real_time(void **state)
{
	(void)state;
	/* Overlapping: old or new. */
	clear(2);
	op(0, 1, 10, WRITE, 0, 5);
	op(1, 2, 3, READ, 0, 5);
	op(1, 4, 5, READ, 0, 5);
	assert_true(good());
	clear(2);
	op(0, 1, 10, WRITE, 0, 5);
	op(1, 2, 3, READ, 0, 0);
	op(1, 4, 5, READ, 0, 5);
	assert_true(good());
	/* New and then old again. */
	clear(2);
	op(0, 1, 10, WRITE, 0, 5);
	op(1, 2, 3, READ, 0, 5);
	op(1, 4, 5, READ, 0, 0);
	assert_false(good());
	/* Old after the write has returned. */
	clear(2);
	op(0, 1, 3, WRITE, 0, 5);
	op(1, 4, 5, READ, 0, 0);
	assert_false(good());
	/* The same moment is no order. */
	clear(2);
	op(0, 1, 4, WRITE, 0, 5);
	op(1, 4, 5, READ, 0, 0);
	assert_true(good());
}

/* Sequentially consistent, but not linearizable; and the store buffer case, which is neither. */
static void two_registers(void **state)
{
	(void)state;
	clear(2);
	op(0, 1, 2, WRITE, 0, 1);
	op(1, 3, 4, READ, 0, 0);
	op(1, 5, 6, READ, 0, 1);
	assert_false(good());
	clear(2);
	op(0, 1, 5, WRITE, 0, 1);
	op(1, 1, 5, WRITE, 1, 1);
	op(0, 6, 9, READ, 1, 0);
	op(1, 6, 9, READ, 0, 0);
	assert_false(good());
	/* Readers that disagree about the order of two writes. */
	clear(4);
	op(0, 1, 20, WRITE, 0, 1);
	op(1, 1, 20, WRITE, 1, 1);
	op(2, 2, 3, READ, 0, 1);
	op(2, 4, 9, READ, 1, 0);
	op(3, 2, 7, READ, 1, 1);
	op(3, 8, 9, READ, 0, 0);
	assert_false(good());
	h.op[3][1].step[0].value = 1;
	assert_true(good());
}

static void lost_update(void **state)
{
	(void)state;
	clear(3);
	op(0, 1, 9, ADD, 0, 0);
	op(1, 1, 9, ADD, 0, 1);
	op(2, 1, 9, ADD, 0, 2);
	assert_true(good());
	h.op[2][0].step[0].value = 1;
	assert_false(good());
}

static void results(void **state)
{
	(void)state;
	clear(2);
	op(0, 1, 9, SWAP_IF, 0, 7);
	op(1, 1, 9, SWAP_IF, 0, 8);
	assert_false(good()); /* both won */
	h.op[1][0].step[0].result = ERR_EXISTS;
	assert_true(good());
	h.op[0][0].step[0].result = ERR_EXISTS;
	assert_false(good()); /* nobody did */
}

/* --- operations of several steps --- */

static void steps_in_any_order(void **state)
{
	struct history_op *o;

	(void)state;
	clear(2);
	o = op(0, 1, 20, WRITE, 0, 1);
	more(o, WRITE, 1, 1);
	op(1, 2, 3, READ, 1, 1);
	op(1, 4, 5, READ, 0, 0);
	op(1, 6, 7, READ, 0, 1);
	assert_true(good());
	o->ordered = true;
	assert_false(good());
	o->ordered = false;
	/* All steps lie before the return. */
	o->returned = 3;
	assert_false(good());
}

static void steps_interleave(void **state)
{
	struct history_op *a, *b;

	(void)state;
	/* Two operations of two ordered steps each that must alternate. */
	clear(2);
	a = op(0, 1, 9, ADD, 0, 0);
	more(a, ADD, 0, 2);
	b = op(1, 1, 9, ADD, 0, 1);
	more(b, ADD, 0, 3);
	a->ordered = b->ordered = true;
	assert_true(good());
	b->called = 10;
	b->returned = 12;
	assert_false(good());
}

static void optional_steps(void **state)
{
	struct history_op *o;

	(void)state;
	for (unsigned seen = 0; seen < 2; seen++) {
		clear(2);
		o = op(0, 1, 5, WRITE, 0, 1);
		o->step[0].optional = true;
		op(1, 6, 7, READ, 0, seen);
		assert_true(good());
	}
	/* Not after its operation's return. */
	op(1, 8, 9, READ, 0, 0);
	assert_false(good());
	clear(2);
	o = op(0, 1, 5, WRITE, 0, 1);
	o->step[0].optional = true;
	op(1, 6, 7, READ, 0, 0);
	op(1, 8, 9, READ, 0, 1);
	assert_false(good());
	/* Ordered: not after one that comes later. */
	clear(2);
	o = op(0, 1, 9, WRITE, 0, 1);
	o->step[0].optional = true;
	more(o, WRITE, 1, 1);
	o->ordered = true;
	op(1, 2, 3, READ, 1, 1);
	op(1, 4, 5, READ, 0, 0);
	assert_true(good());
	op(1, 6, 7, READ, 0, 1);
	assert_false(good());
}

static void never_returned(void **state)
{
	(void)state;
	for (unsigned seen = 0; seen < 2; seen++) {
		clear(2);
		op(0, 1, 0, WRITE, 0, 1);
		op(1, 5, 6, READ, 0, seen);
		assert_true(good());
	}
	clear(2);
	op(0, 7, 0, WRITE, 0, 1);
	op(1, 5, 6, READ, 0, 1); /* before it was called */
	op(1, 8, 9, READ, 0, 1);
	assert_false(good());
	h.op[1][0].step[0].value = 0;
	assert_true(good());
}

static void no_steps(void **state)
{
	(void)state;
	clear(2);
	op(0, 1, 2, WRITE, 0, 1)->steps = 0;
	op(1, 3, 4, READ, 0, 0);
	assert_true(good());
}

/* --- the final state --- */

static bool last_is(const void *state, void *arg)
{
	return ((const struct registers *)state)->r[0] == *(uint64_t *)arg;
}

static void final_state(void **state)
{
	uint64_t last = 1;

	(void)state;
	clear(2);
	op(0, 1, 9, WRITE, 0, 1);
	op(1, 1, 9, WRITE, 0, 2);
	assert_true(history_explained(&h, &zero, sizeof zero, registers, last_is, &last));
	last = 2;
	assert_true(history_explained(&h, &zero, sizeof zero, registers, last_is, &last));
	last = 3;
	assert_false(history_explained(&h, &zero, sizeof zero, registers, last_is, &last));
	/* The order in time decides. */
	h.op[1][0].called = 10;
	h.op[1][0].returned = 11;
	last = 1;
	assert_false(history_explained(&h, &zero, sizeof zero, registers, last_is, &last));
}

/* What changes nothing now may change something later. */
static void copy_of_nothing(void **state)
{
	(void)state;
	clear(2);
	op(0, 1, 9, COPY, 1, 0);
	op(1, 1, 5, WRITE, 0, 7);
	op(1, 10, 11, READ, 1, 7);
	assert_true(good());
	h.op[1][1].step[0].value = 0;
	assert_true(good());
	h.op[0][0].called = 6;
	assert_false(good());
}

/* Wrong in its last operation only: without memory of what was tried, four CPUs' orders would never end. */
static void hard_and_wrong(void **state)
{
	(void)state;
	clear(4);
	for (uint32_t c = 0; c < 4; c++)
		for (uint64_t k = 0; k < 12; k++)
			op(c, 1 + k, 1000 + k, WRITE, (uint8_t)c, k + 1);
	op(0, 2000, 2001, READ, 1, 99);
	steps_tried = 0;
	assert_false(good());
	assert_true(steps_tried < 32 * 13 * 13 * 13 * 13);
}

/* Histories made by really running: always explained, and never when one value that was read is changed. */
static void made_and_spoilt(void **state)
{
	uint64_t seed = TEST_SEED;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct registers m = zero;
		unsigned left[3] = {6, 6, 6};
		struct history_op *spoil = NULL;

		clear(3);
		now = 1;
		for (unsigned n = 0; n < 18; n++) {
			struct history_op *o;
			uint32_t c;

			do {
				seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
				c = (uint32_t)(seed >> 33) % 3;
			} while (left[c] == 0);
			left[c]--;
			o = history_begin(&h, c, "made");
			o->steps = 1;
			o->step[0] =
				(struct history_step){.what = (seed >> 40) % 2 ? ADD : READ, .page = (seed >> 50) % 2};
			o->step[0].looks = o->step[0].what == READ;
			o->step[0].value = m.r[o->step[0].page];
			(void)registers(&m, c, &o->step[0]);
			/* Called a while before it takes effect, returned a while after. */
			o->called = now > 7 ? now - (seed >> 55) % 4 : 1;
			if (h.count[c] > 1 && o->called < h.op[c][h.count[c] - 2].returned)
				o->called = h.op[c][h.count[c] - 2].returned;
			now += 2;
			history_end(o);
			if (o->step[0].what == ADD)
				spoil = o;
		}
		assert_true(good());
		if (spoil) {
			spoil->step[0].value += 100;
			assert_false(good());
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequential),       cmocka_unit_test(real_time),
		cmocka_unit_test(two_registers),    cmocka_unit_test(lost_update),
		cmocka_unit_test(results),          cmocka_unit_test(steps_in_any_order),
		cmocka_unit_test(steps_interleave), cmocka_unit_test(optional_steps),
		cmocka_unit_test(never_returned),   cmocka_unit_test(no_steps),
		cmocka_unit_test(final_state),      cmocka_unit_test(hard_and_wrong),
		cmocka_unit_test(made_and_spoilt),  cmocka_unit_test(copy_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
