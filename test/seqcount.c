/* SPDX-License-Identifier: BSD-2-Clause */
/* test/seqcount.c: a reader gets words that belong together, and gets them although the writer never stops for long. */
#include "sync/seqcount.h"

#include "base/atomic.h"
#include "test_machine.h"

#define ROUNDS 20000u

static struct {
	struct seqcount count;
	ATOMIC(uint64_t) a, b;
	uint64_t reads[4];
} s;

static void read_and_write(uint32_t cpu, void *arg)
{
	uint64_t last = 0;

	(void)arg;
	if (cpu == 0) {
		for (uint64_t i = 1; i <= ROUNDS; i++) {
			seq_write_begin(&s.count);
			/* release, both: pair with the acquire loads below (sync/seqcount.h) */
			atomic_store_release(&s.a, i);
			if (i % 32 == 0)
				cpu_relax();
			atomic_store_release(&s.b, ~i);
			seq_write_end(&s.count);
		}
		return;
	}
	while (last < ROUNDS) {
		uint64_t a, b;
		unsigned start;

		do {
			start = seq_read_begin(&s.count);
			a = atomic_load_acquire(&s.a);
			b = atomic_load_acquire(&s.b);
		} while (seq_read_retry(&s.count, start));
		CHECK(a == ~b && a >= last);
		last = a;
		s.reads[cpu]++;
	}
}

static void words_belong_together(void **state)
{
	struct test_machine t;

	(void)state;
	test_machine_init(&t, NULL);
	seq_init(&s.count);
	atomic_store_relaxed(&s.b, ~UINT64_C(0));
	run_on_cpus(t.m, 4, read_and_write, NULL);
	for (unsigned i = 1; i < 4; i++)
		assert_true(s.reads[i] > 0);
	test_machine_destroy(&t);
}

static void says_retry(void **state)
{
	unsigned start;

	(void)state;
	seq_init(&s.count);
	start = seq_read_begin(&s.count);
	assert_false(seq_read_retry(&s.count, start));
	seq_write_begin(&s.count);
	assert_true(seq_read_retry(&s.count, start));
	seq_write_end(&s.count);
	assert_true(seq_read_retry(&s.count, start));
	start = seq_read_begin(&s.count);
	assert_false(seq_read_retry(&s.count, start));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_retry),
		cmocka_unit_test(words_belong_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
