/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/epoch.c: what is retired is freed once, late enough, and in the end.
 *
 * The first tests need no threads: the one thread goes from vCPU to vCPU by
 * detaching and attaching, so each interleaving is exact. The last ones are
 * readers and writers in earnest; there "freed" overwrites the object by plain
 * stores, so that ThreadSanitizer too sees a reader that is still inside.
 */
#include "sync/epoch.h"

#include <stdlib.h>

#include "test_machine.h"

static struct epoch e;

struct object {
	struct epoch_item item;
	uint64_t value, check;    /* check == ~value while alive */
	unsigned freed;
	struct object *again;     /* retired by this one's free */
};

static void object_free(struct epoch_item *item)
{
	struct object *o = CONTAINER_OF(item, struct object, item);

	o->freed++;
	o->value = o->check = 0;
	if (o->again)
		epoch_retire(&e, &o->again->item, object_free);
}

static void retire(struct object *o) { epoch_retire(&e, &o->item, object_free); }

static void be(struct test_machine *t, uint32_t cpu)
{
	host_detach();
	host_attach(t->m, cpu);
}

static void poll_all(struct test_machine *t, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		for (uint32_t cpu = 0; cpu < 3; cpu++) {
			be(t, cpu);
			epoch_poll(&e);
		}
}

static void setup(struct test_machine *t)
{
	test_machine_init(t, NULL);
	epoch_init(&e, 3);
}

static void teardown(struct test_machine *t)
{
	be(t, 0);
	test_machine_destroy(t);
}

static void waits_for_readers(void **state)
{
	struct object o = { .value = 1 }, early = { .value = 2 };
	struct test_machine t;

	(void)state;
	setup(&t);
	be(&t, 1);
	epoch_enter(&e);
	be(&t, 0);
	retire(&o);
	assert_int_equal(epoch_pending(&e), 1);
	poll_all(&t, 8);
	assert_int_equal(o.freed, 0); /* CPU 1 may be looking at it */
	be(&t, 2);
	epoch_enter(&e); /* sections that come later do not count */
	be(&t, 1);
	epoch_leave(&e);
	be(&t, 2);
	epoch_leave(&e);
	epoch_enter(&e);
	be(&t, 0);
	poll_all(&t, 1);
	be(&t, 2);
	epoch_leave(&e);
	poll_all(&t, 3);
	assert_int_equal(o.freed, 1);
	assert_int_equal(epoch_pending(&e), 0);
	/* nobody inside: two polls of its CPU are enough, one is not */
	be(&t, 0);
	retire(&early);
	epoch_poll(&e);
	assert_int_equal(early.freed, 0);
	epoch_poll(&e);
	assert_int_equal(early.freed, 1);
	teardown(&t);
}

/* Whichever CPU it is that has not left. */
static void waits_for_each_cpu(void **state)
{
	struct test_machine t;

	(void)state;
	for (uint32_t reader = 0; reader < 3; reader++) {
		struct object o = { .value = 1 };

		setup(&t);
		be(&t, reader);
		epoch_enter(&e);
		be(&t, (reader + 1) % 3);
		retire(&o);
		for (unsigned i = 0; i < 6; i++)
			epoch_poll(&e);
		assert_int_equal(o.freed, 0);
		be(&t, reader);
		epoch_leave(&e);
		poll_all(&t, 4);
		assert_int_equal(o.freed, 1);
		teardown(&t);
	}
}

/* At every distance between retirement and a section's begin that polls can make. */
static void any_distance(void **state)
{
	struct test_machine t;

	(void)state;
	for (unsigned before = 0; before < 4; before++)
		for (unsigned between = 0; between < 4; between++) {
			struct object o = { .value = 1 };

			setup(&t);
			for (unsigned i = 0; i < before; i++)
				epoch_poll(&e);
			be(&t, 1);
			epoch_enter(&e); /* has it in hand */
			be(&t, 0);
			for (unsigned i = 0; i < between; i++)
				epoch_poll(&e);
			retire(&o);
			poll_all(&t, 6);
			assert_int_equal(o.freed, 0);
			be(&t, 1);
			epoch_leave(&e);
			poll_all(&t, 6);
			assert_int_equal(o.freed, 1);
			teardown(&t);
		}
}

static void sections_nest(void **state)
{
	struct object o = { .value = 1 }, other = { .value = 2 };
	struct test_machine t;

	(void)state;
	setup(&t);
	assert_false(epoch_inside(&e));
	epoch_enter(&e);
	epoch_enter(&e);
	retire(&o);
	epoch_leave(&e);
	assert_true(epoch_inside(&e));
	assert_int_equal(cpu_debug()->epoch_depth, 1);
	assert_int_equal(epoch_poll(&e), 0); /* not inside one */
	be(&t, 1);
	retire(&other);
	for (int i = 0; i < 5; i++)
		epoch_poll(&e);
	assert_int_equal(other.freed, 0); /* the outer section is still open */
	be(&t, 0);
	assert_int_equal(o.freed, 0);
	epoch_leave(&e);
	assert_false(epoch_inside(&e));
	EXPECT_PANIC("depth", epoch_leave(&e));
	poll_all(&t, 4);
	assert_int_equal(o.freed, 1);
	assert_int_equal(other.freed, 1);
	teardown(&t);
}

/* An inner section says nothing about the outer one's age. */
static void inner_sections_are_as_old_as_the_outer(void **state)
{
	struct object o = { .value = 1 };
	struct test_machine t;

	(void)state;
	setup(&t);
	be(&t, 1);
	epoch_enter(&e); /* has it in hand */
	be(&t, 0);
	retire(&o);
	epoch_poll(&e);
	be(&t, 1);
	epoch_enter(&e);
	epoch_leave(&e);
	epoch_enter(&e);
	be(&t, 0);
	for (unsigned i = 0; i < 6; i++)
		epoch_poll(&e);
	assert_int_equal(o.freed, 0);
	be(&t, 1);
	epoch_leave(&e);
	be(&t, 0);
	for (unsigned i = 0; i < 6; i++)
		epoch_poll(&e);
	assert_int_equal(o.freed, 0);
	be(&t, 1);
	epoch_leave(&e);
	poll_all(&t, 4);
	assert_int_equal(o.freed, 1);
	teardown(&t);
}

/* A CPU that has not polled for long has items of one remainder modulo 3 on one list, the new with the old. */
static void new_items_do_not_go_with_old_ones(void **state)
{
	struct object old = { .value = 1 }, new = { .value = 2 };
	struct test_machine t;

	(void)state;
	setup(&t);
	retire(&old);
	be(&t, 1);
	for (unsigned i = 0; i < EPOCH_LISTS; i++)
		epoch_poll(&e);
	epoch_enter(&e); /* has the new one in hand */
	be(&t, 0);
	retire(&new);
	for (unsigned i = 0; i < 6; i++)
		epoch_poll(&e);
	assert_int_equal(new.freed, 0);
	be(&t, 1);
	epoch_leave(&e);
	poll_all(&t, 4);
	assert_int_equal(old.freed, 1);
	assert_int_equal(new.freed, 1);
	teardown(&t);
}

static void destructors_may_retire(void **state)
{
	struct object second = { .value = 1 }, first = { .value = 2, .again = &second };
	struct test_machine t;

	(void)state;
	setup(&t);
	retire(&first);
	poll_all(&t, 2);
	assert_int_equal(first.freed, 1);
	poll_all(&t, 4);
	assert_int_equal(second.freed, 1);
	assert_int_equal(epoch_pending(&e), 0);
	teardown(&t);
}

/* A CPU that retires frees what others' tries have made free, and tries itself only when that is nothing. */
static void tidies(void **state)
{
	struct object first = { .value = 1 }, second = { .value = 2 };
	struct test_machine t;
	uint64_t now;

	(void)state;
	setup(&t);
	retire(&first);
	be(&t, 1);
	epoch_enter(&e); /* in the epoch in which first was retired */
	be(&t, 0);
	assert_int_equal(epoch_tidy(&e), 0); /* advances once, for nothing is free */
	now = atomic_load_relaxed(&e.now);
	assert_int_equal(epoch_tidy(&e), 0);
	assert_int_equal(atomic_load_relaxed(&e.now), now);
	be(&t, 1);
	epoch_leave(&e);
	(void)epoch_poll(&e);
	be(&t, 0);
	assert_int_equal(first.freed, 0);
	retire(&second);
	epoch_enter(&e);
	assert_int_equal(epoch_tidy(&e), 0); /* not inside a section */
	epoch_leave(&e);
	now = atomic_load_relaxed(&e.now);
	assert_int_equal(epoch_tidy(&e), 1); /* what CPU 1 made free */
	assert_int_equal(first.freed, 1);
	assert_int_equal(atomic_load_relaxed(&e.now), now);
	assert_int_equal(second.freed, 0);
	assert_int_equal(epoch_tidy(&e) + epoch_tidy(&e), 1);
	assert_int_equal(second.freed, 1);
	teardown(&t);
}

/* So many that a retirement's share of a try is the same on any machine, but never more than may wait. */
static void batches(void **state)
{
	static struct epoch many;

	(void)state;
	for (uint32_t n = 1; n <= CPU_MAX; n++) {
		epoch_init(&many, n);
		assert_int_equal(many.due, n * EPOCH_BATCH < EPOCH_BATCH_MAX ? n * EPOCH_BATCH : EPOCH_BATCH_MAX);
	}
	/* Small memory: fewer, but not for each item. */
	epoch_limit(&many, EPOCH_BATCH_MAX + 1);
	assert_int_equal(many.due, EPOCH_BATCH_MAX);
	epoch_limit(&many, 200);
	assert_int_equal(many.due, 200);
	epoch_limit(&many, 300);
	assert_int_equal(many.due, 200);
	epoch_limit(&many, 0);
	assert_int_equal(many.due, EPOCH_BATCH_MIN);
}

static void says_when_to_poll(void **state)
{
	static struct object o[3 * EPOCH_BATCH]; /* a batch for each CPU that a try has to look at */
	struct test_machine t;

	(void)state;
	memset(o, 0, sizeof o);
	setup(&t);
	for (unsigned i = 0; i < ARRAY_SIZE(o); i++) {
		assert_false(epoch_should_poll(&e));
		retire(&o[i]);
	}
	assert_true(epoch_should_poll(&e));
	assert_int_equal(epoch_pending(&e), ARRAY_SIZE(o));
	be(&t, 1);
	assert_false(epoch_should_poll(&e)); /* its own business only */
	be(&t, 0);
	assert_int_equal(epoch_poll(&e) + epoch_poll(&e) + epoch_poll(&e), ARRAY_SIZE(o));
	assert_false(epoch_should_poll(&e));
	for (unsigned i = 0; i < ARRAY_SIZE(o); i++)
		assert_int_equal(o[i].freed, 1);
	teardown(&t);
}

/*
 * The end of a section alone orders its reads before the reuse of what it read: the two CPUs hand over by relaxed
 * flags, so that ThreadSanitizer sees the plain read and the plain write race if epoch.c does not order them.
 */
static struct {
	struct object o;
	ATOMIC(uint32_t) step;
} hand_over;

static void read_and_reuse(uint32_t cpu, void *arg)
{
	(void)arg;
	if (cpu == 1) {
		epoch_enter(&e);
		atomic_store_relaxed(&hand_over.step, 1u);
		while (atomic_load_relaxed(&hand_over.step) < 2)
			cpu_relax();
		CHECK(hand_over.o.value == 5);
		epoch_leave(&e);
		atomic_store_relaxed(&hand_over.step, 3u);
		return;
	}
	while (atomic_load_relaxed(&hand_over.step) < 1)
		cpu_relax();
	retire(&hand_over.o);
	atomic_store_relaxed(&hand_over.step, 2u);
	while (atomic_load_relaxed(&hand_over.step) < 3)
		epoch_poll(&e);
	for (unsigned i = 0; i < 3; i++)
		epoch_poll(&e);
	CHECK(hand_over.o.freed == 1);
}

static void a_section_is_over_before_reuse(void **state)
{
	struct test_machine t;

	(void)state;
	setup(&t);
	hand_over.o.value = 5;
	run_on_cpus(t.m, 2, read_and_reuse, NULL);
	teardown(&t);
}

/* --- in earnest --- */

#define SLOTS 4
#define ROUNDS 1500u

static struct {
	ATOMIC(struct object *) slot[SLOTS];
	ATOMIC(uint64_t) freed, reads;
	ATOMIC(uint32_t) writers;
} shared;

static void shared_free(struct epoch_item *item)
{
	struct object *o = CONTAINER_OF(item, struct object, item);

	CHECK(!epoch_inside(&e));
	CHECK(o->value == ~o->check);
	o->value = o->check = 0;
	atomic_add_relaxed(&shared.freed, 1u);
	free(o);
}

static struct object *new_object(uint64_t value)
{
	struct object *o = calloc(1, sizeof *o);

	CHECK(o);
	o->value = value;
	o->check = ~value;
	return o;
}

static void read_shared(uint32_t slot)
{
	struct object *o;

	epoch_enter(&e);
	/* seq_cst: the first pointer load of a section; pairs with the swap that unlinks */
	o = atomic_load_seq_cst(&shared.slot[slot]);
	CHECK(o->value == ~o->check && o->value % SLOTS == slot);
	cpu_relax(); /* long enough for it to be retired */
	CHECK(o->value == ~o->check && o->value % SLOTS == slot);
	epoch_leave(&e);
	atomic_add_relaxed(&shared.reads, 1u);
}

static void readers_and_writers(uint32_t cpu, void *arg)
{
	uint64_t seed = cpu;

	(void)arg;
	if (cpu >= 2) {
		while (atomic_load_relaxed(&shared.writers) > 0)
			read_shared(seed++ * 7 % SLOTS);
		return;
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t slot = (i + cpu) % SLOTS;
		struct object *old = atomic_swap_seq_cst(&shared.slot[slot], new_object(i * SLOTS + slot));

		epoch_retire(&e, &old->item, shared_free);
		if (i % 16 == 0)
			epoch_poll(&e);
		else if (epoch_should_poll(&e) || i % 16 == 8)
			epoch_tidy(&e);
		if (i % 16 == 0)
			read_shared(slot);
	}
	atomic_sub_relaxed(&shared.writers, 1u);
}

static void nothing_is_freed_in_a_readers_hands(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	epoch_init(&e, 4);
	for (unsigned i = 0; i < SLOTS; i++)
		atomic_store_relaxed(&shared.slot[i], new_object(i));
	atomic_store_relaxed(&shared.writers, 2u);
	run_on_cpus(t.m, 4, readers_and_writers, NULL);
	for (uint32_t i = 0; i < 4 * 4; i++) {
		be(&t, i % 4);
		epoch_poll(&e);
	}
	assert_int_equal(epoch_pending(&e), 0);
	assert_int_equal(atomic_load_relaxed(&shared.freed), 2 * ROUNDS); /* each once: free() would say twice */
	assert_true(atomic_load_relaxed(&shared.reads) >= 2 * (ROUNDS / 16));
	for (unsigned i = 0; i < SLOTS; i++)
		free(atomic_load_relaxed(&shared.slot[i]));
	teardown(&t);
}

/* Sections of who is in none: as the others, inner ones included; and an item that stands for several brings the look nearer. */
static void outermost(void **state)
{
	struct object o = { .value = 1 };
	struct test_machine t;

	(void)state;
	setup(&t);
	be(&t, 1);
	epoch_enter_first(&e);
	epoch_enter(&e);
	epoch_leave(&e);
	assert_true(epoch_inside(&e));
	be(&t, 0);
	epoch_retire_with(&e, &o.item, object_free, e.due - 1);
	assert_true(epoch_should_poll(&e));
	assert_int_equal(epoch_pending(&e), 1);
	for (unsigned i = 0; i < 4; i++)
		epoch_poll(&e);
	assert_int_equal(o.freed, 0);
	be(&t, 1);
	epoch_leave_last(&e);
	assert_false(epoch_inside(&e));
	poll_all(&t, 4);
	assert_int_equal(o.freed, 1);
	teardown(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_for_readers),      cmocka_unit_test(waits_for_each_cpu),
		cmocka_unit_test(any_distance),           cmocka_unit_test(outermost),
		cmocka_unit_test(sections_nest),          cmocka_unit_test(destructors_may_retire),
		cmocka_unit_test(tidies),                 cmocka_unit_test(batches),
		cmocka_unit_test(says_when_to_poll),      cmocka_unit_test(a_section_is_over_before_reuse),
		cmocka_unit_test(nothing_is_freed_in_a_readers_hands),
		cmocka_unit_test(inner_sections_are_as_old_as_the_outer), cmocka_unit_test(new_items_do_not_go_with_old_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
