/* SPDX-License-Identifier: BSD-2-Clause */
#include "test_machine.h"

#include <pthread.h>
#include <stdlib.h>

void test_machine_init(struct test_machine *t, const struct host_config *config)
{
	static const struct host_config plain = { .ncpus = 4, .ram = 16 << 20, .junk = true, .seed = TEST_SEED };
	enum error e = host_machine_create(config ? config : &plain, &t->m);

	if (e)
		panic("no machine: %s", error_name(e));
	host_attach(t->m, 0);
	t->next_frame = machine_info()->bank[0].start.pa;
	t->end_frame = machine_info()->bank[0].end.pa;
}

void test_machine_destroy(struct test_machine *t)
{
	host_detach();
	host_machine_destroy(t->m);
}

paddr_t test_frame(struct test_machine *t)
{
	paddr_t f = paddr(t->next_frame);

	CHECK(t->next_frame < t->end_frame);
	t->next_frame += PAGE_SIZE;
	machine_zero_frame(f);
	return f;
}

struct crew {
	struct host_machine *m;
	void (*fn)(uint32_t cpu, void *arg);
	void *arg;
	pthread_barrier_t arrived;
};

struct member {
	struct crew *crew;
	uint32_t cpu;
	pthread_t thread;
};

static void *member_main(void *arg)
{
	struct member *w = arg;

	host_attach(w->crew->m, w->cpu);
	pthread_barrier_wait(&w->crew->arrived);
	w->crew->fn(w->cpu, w->crew->arg);
	host_detach();
	return NULL;
}

void run_on_cpus(struct host_machine *m, uint32_t n, void (*fn)(uint32_t cpu, void *arg), void *arg)
{
	struct crew crew = { .m = m, .fn = fn, .arg = arg };
	struct member member[CPU_MAX];

	CHECK(n >= 1 && n <= CPU_MAX && cpu_id() == 0 && host_machine() == m);
	CHECK(!pthread_barrier_init(&crew.arrived, NULL, n));
	for (uint32_t i = 1; i < n; i++) {
		member[i] = (struct member){ .crew = &crew, .cpu = i };
		CHECK(!pthread_create(&member[i].thread, NULL, member_main, &member[i]));
	}
	pthread_barrier_wait(&crew.arrived);
	fn(0, arg);
	for (uint32_t i = 1; i < n; i++)
		CHECK(!pthread_join(member[i].thread, NULL));
	pthread_barrier_destroy(&crew.arrived);
}
