/* SPDX-License-Identifier: BSD-2-Clause */
/* test/gate.c: the owner of a gate and its visitors are never inside together. */
#include "vm/gate.h"
#include "test_machine.h"

#define OWNER_TURNS 200000
#define VISITS 2000

struct scene {
	struct test_machine t;
	struct gate gate;
	uint64_t plain; /* guarded by the gate alone */
	ATOMIC(uint32_t) turns; /* of the owner so far */
	ATOMIC(uint64_t) visits;
};

static void owner_and_visitors(uint32_t cpu, void *arg)
{
	struct scene *s = arg;

	if (cpu == 0) {
		for (unsigned i = 0; i < OWNER_TURNS; i++) {
			uint64_t before;

			gate_enter(&s->gate, RANK_FRAME_CACHE);
			before = s->plain;
			if (i % 128 == 0)
				cpu_relax(); /* the core goes to a visitor while we are inside */
			s->plain = before + 1;
			gate_leave(&s->gate);
			atomic_store_relaxed(&s->turns, i + 1); /* paces the visitors, and orders nothing */
			if (i % 1024 == 0)
				cpu_relax();
		}
		return;
	}
	for (unsigned i = 0; i < VISITS; i++) {
		uint64_t before;

		/* spread over the owner's turns, so that all of them end however long each gets to run */
		while (atomic_load_relaxed(&s->turns) < i * (OWNER_TURNS / VISITS))
			cpu_relax();
		gate_visit(&s->gate, RANK_FRAME_CACHE);
		before = s->plain;
		if (i % 2)
			cpu_relax();
		s->plain = before + 1;
		gate_visit_end(&s->gate);
		atomic_add_relaxed(&s->visits, UINT64_C(1));
		if (i % 8 == 0)
			cpu_relax();
	}
}

static void meet(bool barrier_all)
{
	const struct host_config config = {.seed = TEST_SEED, .no_barrier_all = !barrier_all};
	struct scene s = {0};

	test_machine_init(&s.t, &config);
	assert_int_equal(cpu_barrier_all_works(), barrier_all);
	gate_init(&s.gate);
	run_on_cpus(s.t.m, 4, owner_and_visitors, &s);
	assert_int_equal(s.plain, OWNER_TURNS + atomic_load_relaxed(&s.visits));
	test_machine_destroy(&s.t);
}

static void nobody_is_lost(void **state)
{
	(void)state;
	meet(true);
}

static void nor_without_a_barrier_of_all(void **state)
{
	(void)state;
	meet(false);
}

/* The owning CPU may visit its own gate while it is outside; a gate counts as a held lock. */
static void own_visit_and_rank(void **state)
{
	struct scene s = {0};

	(void)state;
	test_machine_init(&s.t, NULL);
	gate_init(&s.gate);
	gate_visit(&s.gate, RANK_FRAME_CACHE);
	assert_int_equal(cpu_debug()->held_count, 1);
	gate_visit_end(&s.gate);
	gate_enter(&s.gate, RANK_FRAME_CACHE);
	gate_leave(&s.gate);
	assert_int_equal(cpu_debug()->held_count, 0);
	EXPECT_PANIC("taken twice", gate_enter(&s.gate, RANK_FRAME_CACHE); gate_visit(&s.gate, RANK_FRAME_CACHE));
	test_machine_destroy(&s.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_lost),
		cmocka_unit_test(nor_without_a_barrier_of_all),
		cmocka_unit_test(own_visit_and_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
