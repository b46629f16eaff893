/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of entries against a flat model: found, before, gap, after every change; and in the middle of each, at every access that others
 * can see: what is covered before and after is covered then.
 */
#include "test_vm.h"
#include "vm/entry_list.h"

#define PAGES 512u

static struct test_vm v;
static struct entry_list t;
static struct vm_entry *model[PAGES]; /* which entry covers each page */
static uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (rng >> 33) % n;
}

static uint64_t at(unsigned page) { return (page + 16) * PAGE_SIZE; }

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	entry_list_init(&t, TEST_SEED, at(PAGES + 16));
	memset(model, 0, sizeof model);
	rng = TEST_SEED;
	return 0;
}

static void retire(struct vm_entry *e)
{
	entry_kill(e);
	entry_retire(v.vm, e);
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PAGES; i++)
		if (model[i] && (i == 0 || model[i] != model[i - 1]))
			retire(model[i]);
	test_vm_destroy(&v);
	return 0;
}

static const struct vm_entry plain = { .prot = PROT_R, .max = PROT_R };

static struct vm_entry *make(unsigned first, unsigned end)
{
	struct vm_entry *e = entry_alloc(v.vm, vrange(at(first), at(end)));

	assert_non_null(e);
	entry_be_like(e, &plain);
	e->offset = 0;
	e->amap = NULL;
	return e;
}

static void compare(void)
{
	unsigned free_run = 0, best = 0;
	uint64_t where;

	entry_list_check(&t);
	epoch_enter(&v.vm->epoch);
	for (unsigned i = 0; i < PAGES; i++) {
		struct vm_entry *e = entry_list_find(&t, at(i));

		if (model[i])
			assert_ptr_equal(e, model[i]);
		else
			assert_true(!e || e->range.start.va > at(i));
		e = entry_list_before(&t, at(i) + 1);
		if (model[i])
			assert_ptr_equal(e, model[i]);
		free_run = model[i] ? 0 : free_run + 1;
		if (free_run > best)
			best = free_run;
	}
	for (unsigned n = 1; n <= PAGES; n += 1 + n / 4) {
		bool found;

		/* what is remembered of other bounds is of no use */
		(void)entry_list_gap(&t, vrange(at(0), at(PAGES / 2)), n * PAGE_SIZE, &where);
		found = entry_list_gap(&t, vrange(at(0), at(PAGES)), n * PAGE_SIZE, &where);

		assert_int_equal(found, n <= best);
		if (!found)
			continue;
		/* It is free, and nothing higher would do. */
		for (unsigned i = 0; i < PAGES; i++) {
			unsigned run = 0;

			if (at(i) >= where && at(i) < where + n * PAGE_SIZE)
				assert_null(model[i]);
			if (at(i) <= where)
				continue;
			while (run < n && i + run < PAGES && !model[i + run])
				run++;
			assert_true(run < n);
		}
	}
	for (unsigned i = 0; i < PAGES; i += 7)
		for (unsigned n = 1; n < 20 && i + n <= PAGES; n += 3) {
			bool is_free = true;

			for (unsigned k = i; k < i + n; k++)
				is_free &= !model[k];
			assert_int_equal(entry_list_is_free(&t, vrange(at(i), at(i + n))), is_free);
		}
	epoch_leave(&v.vm->epoch);
}

/* --- in the middle of a change --- */

static bool covered[PAGES]; /* before and after */
static unsigned long looks;
static bool looking; /* it takes most of the time */

/* As a fault on another CPU would: at every access to what others can see. */
static void look(void)
{
	host_point = NULL;
	for (unsigned i = 0; i < PAGES; i++) {
		const struct vm_entry *e;

		if (!covered[i])
			continue;
		e = entry_list_find(&t, at(i));
		assert_true(e && e->range.start.va <= at(i) && e->range.end.va > at(i));
		looks++;
	}
	host_point = look;
}

static void exchange(struct vm_entry **olds, unsigned n, struct vm_entry **news, unsigned m)
{
	for (unsigned i = 0; i < n; i++)
		olds[i]->edit_next = i + 1 < n ? olds[i + 1] : NULL;
	for (unsigned i = 0; i < m; i++)
		news[i]->edit_next = i + 1 < m ? news[i + 1] : NULL;
	for (unsigned i = 0; i < PAGES; i++) {
		covered[i] = model[i];
		for (unsigned k = 0; k < n; k++)
			if (model[i] == olds[k])
				covered[i] = false;
		for (unsigned k = 0; k < m && model[i]; k++)
			if (news[k]->range.start.va <= at(i) && news[k]->range.end.va > at(i))
				covered[i] = true;
	}
	epoch_enter(&v.vm->epoch);
	host_point = looking ? look : NULL;
	entry_list_arrive(&t, n ? olds[0] : NULL, m ? news[0] : NULL);
	entry_list_leave(&t, n ? olds[0] : NULL);
	host_point = NULL;
	epoch_leave(&v.vm->epoch);
	for (unsigned i = 0; i < n; i++)
		retire(olds[i]);
}

/* Puts pieces in [a, b), or takes out what is there, cutting what overlaps. */
static void step(unsigned pieces)
{
	unsigned a = (unsigned)rnd(PAGES), b = a + 1 + (unsigned)rnd(24), lo = a, hi, n = 0, m = 0;
	struct vm_entry *olds[PAGES], *news[5];

	if (b > PAGES)
		b = PAGES;
	hi = b;
	while (lo > 0 && model[lo] && model[lo - 1] == model[lo])
		lo--;
	while (hi < PAGES && model[hi - 1] && model[hi] == model[hi - 1])
		hi++;
	for (unsigned i = lo; i < hi; i++)
		if (model[i] && (i == lo || model[i] != model[i - 1]))
			olds[n++] = model[i];
	if (lo < a)
		news[m++] = make(lo, a);
	for (unsigned i = 0; i < pieces; i++) {
		unsigned from = a + (b - a) * i / pieces, to = a + (b - a) * (i + 1) / pieces;

		if (from < to)
			news[m++] = make(from, to);
	}
	if (hi > b)
		news[m++] = make(b, hi);
	exchange(olds, n, news, m);
	for (unsigned i = lo; i < hi; i++)
		model[i] = NULL;
	for (unsigned k = 0; k < m; k++)
		for (unsigned i = lo; i < hi; i++)
			if (news[k]->range.start.va <= at(i) && news[k]->range.end.va > at(i))
				model[i] = news[k];
}

static void random_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 850; i++) {
		looking = i < 150;
		step((unsigned)rnd(4)); /* 0: takes out */
		if (i % 4 == 0)
			compare();
		if (i % 16 == 0)
			(void)epoch_poll(&v.vm->epoch);
	}
	assert_true(looks > 50000);
}

/* All that lies in a wide range becomes one, or nothing. */
static void wide_steps(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 24; round++) {
		unsigned a = (unsigned)rnd(PAGES), b = a + (unsigned)rnd(PAGES - a) + 1, n = 0;
		struct vm_entry *olds[PAGES], *one;

		looking = false;
		for (unsigned i = 0; i < 60; i++)
			step(1 + (unsigned)rnd(3));
		looking = true;
		while (a > 0 && model[a] && model[a - 1] == model[a])
			a--;
		while (b < PAGES && model[b] && model[b - 1] == model[b])
			b++;
		for (unsigned i = a; i < b; i++)
			if (model[i] && (i == a || model[i] != model[i - 1]))
				olds[n++] = model[i];
		one = make(a, b);
		exchange(olds, n, &one, round % 2);
		for (unsigned i = a; i < b; i++)
			model[i] = round % 2 ? one : NULL;
		if (round % 2 == 0)
			entry_free(v.vm, one);
		compare();
		(void)epoch_poll(&v.vm->epoch);
	}
}

/* A list that is filled is as one that has grown, gaps and levels included. */
static void filled_at_once(void **state)
{
	struct entry_list other;
	struct vm_entry *first = NULL, **tail = &first, *next;

	(void)state;
	looking = false;
	for (unsigned i = 0; i < 200; i++)
		step(1 + (unsigned)rnd(3));
	for (const struct vm_entry *e = entry_list_after(&t.head); e; e = entry_list_after(e)) {
		*tail = entry_new(v.vm, e, e->range, NULL);
		assert_non_null(*tail);
		tail = &(*tail)->edit_next;
	}
	*tail = NULL;
	entry_list_init(&other, TEST_SEED, at(PAGES + 16));
	entry_list_fill(&other, first);
	entry_list_check(&other);
	assert_int_equal(atomic_load_relaxed(&other.entries), atomic_load_relaxed(&t.entries));
	for (unsigned i = 0; i < PAGES; i++) {
		const struct vm_entry *e = entry_list_find(&other, at(i)), *same = entry_list_find(&t, at(i));

		assert_true(!e == !same && (!e || e->range.start.va == same->range.start.va));
	}
	for (; first; first = next) {
		next = first->edit_next;
		entry_free(v.vm, first);
	}
}

/* Who stands at an entry that is taken out goes on to what comes after it. */
static void walk_goes_on(void **state)
{
	struct vm_entry *e[3] = { make(0, 4), make(4, 8), make(8, 12) }, *none = NULL;

	(void)state;
	exchange(NULL, 0, e, 3);
	epoch_enter(&v.vm->epoch);
	exchange(&e[0], 1, &none, 0);
	exchange(&e[1], 1, &none, 0);
	assert_int_equal(epoch_poll(&v.vm->epoch), 0); /* inside a section: nothing may go */
	assert_int_equal(e[0]->range.end.va, at(4));
	assert_ptr_equal(entry_list_after(e[0]), e[1]);
	assert_ptr_equal(entry_list_after(e[1]), e[2]);
	assert_ptr_equal(entry_list_find(&t, at(0)), e[2]);
	epoch_leave(&v.vm->epoch);
	for (unsigned i = 8; i < 12; i++)
		model[i] = e[2];
	compare();
}

/* Where there was room last is cut in two: the upper piece is the one. */
static void room_is_cut(void **state)
{
	struct vm_entry *low = make(0, 2), *in = make(40, 42);
	uint64_t where;

	(void)state;
	looking = false;
	exchange(NULL, 0, &low, 1);
	assert_true(entry_list_gap(&t, vrange(at(0), at(100)), 4 * PAGE_SIZE, &where));
	assert_int_equal(where, at(96));
	exchange(NULL, 0, &in, 1);
	assert_true(entry_list_gap(&t, vrange(at(0), at(100)), 4 * PAGE_SIZE, &where));
	assert_int_equal(where, at(96));
	for (unsigned i = 0; i < 2; i++) {
		model[i] = low;
		model[40 + i] = in;
	}
}

/* Room that is kept for growth is not free, while its entry is there; what is mapped in it makes no more of it free. */
static void growth_room(void **state)
{
	struct vm_entry *low = make(0, 2), *stack = make(40, 42), *grown = make(40, 42), *in = make(30, 32);
	uint64_t where;

	(void)state;
	stack->floor = at(10);
	exchange(NULL, 0, (struct vm_entry *[]){ low, stack }, 2);
	entry_list_check(&t);
	assert_true(entry_list_gap(&t, vrange(at(0), at(42)), 8 * PAGE_SIZE, &where));
	assert_int_equal(where, at(2));
	assert_false(entry_list_gap(&t, vrange(at(0), at(42)), 9 * PAGE_SIZE, &where));
	/* a larger limit, then none */
	grown->floor = at(6);
	exchange(&stack, 1, &grown, 1);
	entry_list_check(&t);
	assert_false(entry_list_gap(&t, vrange(at(0), at(42)), 5 * PAGE_SIZE, &where));
	stack = make(40, 42);
	exchange(&grown, 1, &stack, 1);
	entry_list_check(&t);
	assert_true(entry_list_gap(&t, vrange(at(0), at(42)), 38 * PAGE_SIZE, &where));
	grown = make(40, 42);
	grown->floor = at(10);
	exchange(&stack, 1, &grown, 1);
	exchange(NULL, 0, &in, 1);
	entry_list_check(&t);
	assert_true(entry_list_gap(&t, vrange(at(0), at(42)), 28 * PAGE_SIZE, &where)); /* below what is mapped there: as it was */
	exchange(&in, 1, NULL, 0);
	entry_list_check(&t);
	for (unsigned i = 0; i < 2; i++)
		model[i] = low;
	for (unsigned i = 40; i < 42; i++)
		model[i] = grown;
}

/* Heights are what they should be: a quarter of each level on the next; otherwise searches are long. */
static void heights(void **state)
{
	unsigned above[ENTRY_LEVELS] = { 0 };

	(void)state;
	for (unsigned i = 0; i < PAGES; i++) {
		struct vm_entry *e = make(i, i + 1);

		exchange(NULL, 0, &e, 1);
		model[i] = e;
		for (unsigned k = 0; k < e->height; k++)
			above[k]++;
	}
	assert_int_equal(above[0], PAGES);
	assert_true(above[1] > PAGES / 6 && above[1] < PAGES / 3);
	assert_true(above[2] > PAGES / 40 && above[2] < PAGES / 8);
	compare();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(random_steps), T(wide_steps), T(filled_at_once), T(walk_goes_on), T(room_is_cut), T(growth_room),
					  T(heights) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
