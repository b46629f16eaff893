/* SPDX-License-Identifier: BSD-2-Clause */
/* The persistent treap against a flat model: every version, found, before, gap; failures of allocation in between. */
#include "test_vm.h"
#include "vm/entry_tree.h"

#define PAGES 512u

static struct test_vm v;
static struct entry_tree t;
static struct vm_entry *model[PAGES]; /* which entry covers each page */
static uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (rng >> 33) % n;
}

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	entry_tree_init(&t, v.vm);
	memset(model, 0, sizeof model);
	rng = TEST_SEED;
	return 0;
}

static void retire(struct vm_entry *e)
{
	entry_kill(e);
	entry_retire(v.vm, e);
}

static unsigned ended; /* up to which page entry_tree_destroy has come */

/* The tree's entries come in order, all of them. */
static void end(struct vm *vm, struct vm_entry *e)
{
	while (ended < PAGES && !model[ended])
		ended++;
	assert_true(ended < PAGES);
	assert_ptr_equal(e, model[ended]);
	while (ended < PAGES && model[ended] == e)
		ended++;
	entry_free(vm, e);
}

static int teardown(void **state)
{
	(void)state;
	ended = 0;
	entry_tree_destroy(&t, end);
	while (ended < PAGES && !model[ended])
		ended++;
	assert_int_equal(ended, PAGES);
	assert_true(entry_tree_is_empty(&t));
	test_vm_destroy(&v);
	return 0;
}

static uint64_t at(unsigned page) { return (page + 16) * PAGE_SIZE; }

static struct vm_entry *make(unsigned first, unsigned end)
{
	struct vm_entry e = { .range = vrange(at(first), at(end)), .floor = at(first), .prot = PROT_R };

	return entry_new(v.vm, &e, e.range);
}

static void compare(void)
{
	unsigned free_run = 0, best = 0;
	uint64_t where;

	entry_tree_check(&t);
	epoch_enter(&v.vm->epoch);
	for (unsigned i = 0; i < PAGES; i++) {
		struct vm_entry *e = entry_tree_find(&t, at(i));

		if (model[i])
			assert_ptr_equal(e, model[i]);
		else
			assert_true(!e || e->range.start.va > at(i));
		e = entry_tree_before(&t, at(i) + 1);
		if (model[i])
			assert_ptr_equal(e, model[i]);
		free_run = model[i] ? 0 : free_run + 1;
		if (free_run > best)
			best = free_run;
	}
	for (unsigned n = 1; n <= PAGES; n += 1 + n / 4) {
		bool found = entry_tree_gap(&t, vrange(at(0), at(PAGES)), n * PAGE_SIZE, &where);

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
	epoch_leave(&v.vm->epoch);
}

static bool fail_some(void *arg) { return rnd(*(uint64_t *)arg) == 0; }

static unsigned swaps;

/* olds out, news in; what starts at the same address is sometimes changed, sometimes cut and put. */
static void exchange(struct tree_txn *x, struct vm_entry **olds, unsigned n, struct vm_entry **news, unsigned m)
{
	bool done[3] = { false };

	for (unsigned i = 0; i < n; i++) {
		bool changed = false;

		for (unsigned k = 0; k < m; k++)
			if (news[k]->range.start.va == olds[i]->range.start.va && rnd(2)) {
				entry_tree_change(x, news[k]);
				changed = done[k] = true;
			}
		if (!changed)
			entry_tree_cut(x, olds[i]->range.start.va, olds[i]->range.start.va + 1);
	}
	for (unsigned k = 0; k < m; k++)
		if (!done[k])
			entry_tree_put(x, news[k]);
}

/* Puts [a, b) in, or takes it out, cutting what overlaps; all or nothing. */
static void step(bool put)
{
	unsigned a = (unsigned)rnd(PAGES), b = a + 1 + (unsigned)rnd(24), lo = a, hi;
	struct vm_entry *left = NULL, *mid = NULL, *right = NULL, *olds[PAGES], *news[3];
	unsigned n = 0, m = 0;
	struct tree_txn x;

	if (b > PAGES)
		b = PAGES;
	hi = b;
	while (lo > 0 && model[lo] && model[lo - 1] == model[lo])
		lo--;
	while (hi < PAGES && model[hi - 1] && model[hi] == model[hi - 1])
		hi++;
	if (lo < a)
		left = make(lo, a);
	if (put)
		mid = make(a, b);
	if (hi > b)
		right = make(b, hi);
	for (unsigned i = lo; i < hi; i++)
		if (model[i] && (i == lo || model[i] != model[i - 1]))
			olds[n++] = model[i];
	if (left)
		news[m++] = left;
	if (mid)
		news[m++] = mid;
	if (right)
		news[m++] = right;
	if ((lo >= a || left) && (!put || mid) && (hi <= b || right) && n == 1 && m == 1 &&
	    olds[0]->range.start.va == news[0]->range.start.va && rnd(2)) {
		entry_tree_swap(&t, news[0]);
		retire(olds[0]);
		for (unsigned i = lo; i < hi; i++)
			model[i] = i < a ? left : i < b ? mid : right;
		swaps++;
		return;
	}
	entry_tree_begin(&x, &t, rnd(2));
	if ((lo < a && !left) || (put && !mid) || (hi > b && !right))
		x.failed = true;
	else
		exchange(&x, olds, n, news, m);
	if (entry_tree_ready(&x) != OK) {
		entry_tree_abort(&x);
		if (left)
			entry_free(v.vm, left);
		if (mid)
			entry_free(v.vm, mid);
		if (right)
			entry_free(v.vm, right);
		return;
	}
	entry_tree_commit(&x);
	for (unsigned i = 0; i < n; i++)
		retire(olds[i]);
	for (unsigned i = lo; i < hi; i++)
		model[i] = i < a ? left : i < b ? mid : right;
}

/* Takes out whatever starts in [a, b), with one cut: none, some in the middle, to an end, all. */
static void wide_cut(unsigned a, unsigned b)
{
	struct vm_entry *olds[PAGES];
	struct tree_txn x;
	unsigned n = 0;

	entry_tree_begin(&x, &t, rnd(2));
	entry_tree_cut(&x, at(a), at(b));
	if (entry_tree_ready(&x) != OK) {
		entry_tree_abort(&x);
		return;
	}
	entry_tree_commit(&x);
	for (unsigned i = a; i < b; i++)
		if (model[i] && (i == 0 || model[i] != model[i - 1]))
			olds[n++] = model[i];
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = a; k < PAGES; k++)
			if (model[k] == olds[i])
				model[k] = NULL;
		retire(olds[i]);
	}
}

static void wide_cuts(void **state)
{
	uint64_t one_in = 12;

	(void)state;
	for (unsigned round = 0; round < 24; round++) {
		unsigned a = (unsigned)rnd(PAGES), b = a + (unsigned)rnd(PAGES - a) + 1;

		for (unsigned i = 0; i < 60; i++)
			step(rnd(4) != 0);
		if (round % 4 == 3) /* a cut that lacks memory changes nothing */
			frames_fail_by(&v.vm->frames, fail_some, &one_in);
		switch (round / 4 % 4) {
		case 0:
			wide_cut(a, b);
			break;
		case 1:
			wide_cut(a, PAGES);
			break;
		case 2:
			wide_cut(0, b);
			break;
		default:
			wide_cut(0, PAGES);
		}
		frames_fail_by(&v.vm->frames, NULL, NULL);
		compare();
		epoch_poll(&v.vm->epoch);
	}
}

static void random_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		step(rnd(3) != 0);
		if (i % 4 == 0)
			compare();
		if (i % 16 == 0)
			epoch_poll(&v.vm->epoch);
	}
	assert_true(swaps > 5);
}

static void steps_that_fail(void **state)
{
	uint64_t one_in = 12;

	(void)state;
	frames_fail_by(&v.vm->frames, fail_some, &one_in);
	for (unsigned i = 0; i < 400; i++) {
		step(rnd(3) != 0);
		if (i % 8 == 0)
			compare();
	}
	frames_fail_by(&v.vm->frames, NULL, NULL);
}

/* The same ranges, other entries; without memory nothing. */
static void copied(void **state)
{
	struct vm_entry *first = NULL, **tail = &first;
	struct entry_tree other;
	uint64_t often = 2;
	struct tree_txn x;
	unsigned n = 0;

	for (unsigned i = 0; i < 60; i++)
		step(true);
	for (unsigned i = 0; i < PAGES; i++)
		if (model[i] && (i == 0 || model[i] != model[i - 1])) {
			*tail = entry_new(v.vm, model[i], model[i]->range);
			tail = &(*tail)->edit_next;
			n++;
		}
	assert_true(n > 3);
	entry_tree_init(&other, v.vm);
	entry_tree_begin(&x, &other, false);
	frames_fail_by(&v.vm->frames, fail_some, &often);
	entry_tree_copy(&x, &t, first);
	frames_fail_by(&v.vm->frames, NULL, NULL);
	assert_int_equal(entry_tree_ready(&x), ERR_NOMEM);
	entry_tree_abort(&x);
	entry_tree_begin(&x, &other, false);
	entry_tree_copy(&x, &t, first);
	assert_int_equal(entry_tree_ready(&x), OK);
	entry_tree_commit(&x);
	entry_tree_check(&other);
	assert_int_equal(atomic_load_relaxed(&other.entries), n);
	epoch_enter(&v.vm->epoch);
	for (unsigned i = 0; i < PAGES; i++) {
		struct vm_entry *e = entry_tree_find(&other, at(i));

		assert_int_equal(model[i] != NULL, e && e->range.start.va <= at(i));
		assert_true(!model[i] || (e != model[i] && e->range.start.va == model[i]->range.start.va));
	}
	epoch_leave(&v.vm->epoch);
	entry_tree_destroy(&other, entry_free);
	(void)state;
}

/* A reader that entered its section before a change sees the old version whole, until it leaves. */
static void old_version_stays(void **state)
{
	struct vm_entry *a = make(0, 4), *b = make(4, 8), *c;
	struct tree_txn x;

	(void)state;
	entry_tree_begin(&x, &t, true);
	entry_tree_put(&x, a);
	entry_tree_put(&x, b);
	assert_int_equal(entry_tree_ready(&x), OK);
	entry_tree_commit(&x);
	epoch_enter(&v.vm->epoch);
	c = entry_tree_find(&t, at(1));
	entry_tree_begin(&x, &t, true);
	entry_tree_cut(&x, at(0), at(1));
	assert_int_equal(entry_tree_ready(&x), OK);
	entry_tree_commit(&x);
	retire(a);
	assert_int_equal(epoch_poll(&v.vm->epoch), 0); /* inside a section: nothing may go */
	assert_int_equal(c->range.end.va, at(4));
	assert_ptr_equal(entry_tree_find(&t, at(0)), b);
	epoch_leave(&v.vm->epoch);
	for (unsigned i = 4; i < 8; i++)
		model[i] = b;
	compare();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(random_steps), T(steps_that_fail), T(wide_cuts), T(copied), T(old_version_stays) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
