/* SPDX-License-Identifier: BSD-2-Clause */
#include "test_memory.h"

#include <sched.h>
#include <stdlib.h>

#include "base/print.h"

struct test_memory *memory_open(uint32_t ncpus, uint64_t ram) { return memory_open_with(ncpus, ram, false); }

struct test_memory *memory_open_with(uint32_t ncpus, uint64_t ram, bool no_barrier_all)
{
	struct host_config config = {
		.ncpus = ncpus, .ram = ram, .junk = true, .seed = TEST_SEED, .no_barrier_all = no_barrier_all};
	struct test_memory *m = aligned_alloc(CACHE_LINE, round_up(sizeof *m, CACHE_LINE));

	memset(m, 0, sizeof *m);
	test_machine_init(&m->t, &config);
	epoch_init(&m->epoch, ncpus);
	CHECK(frames_init(&m->frames, machine_info(), ncpus, &m->epoch) == OK);
	zones_init(&m->zones, &m->frames);
	CHECK(frame_audit(&m->frames, &m->before));
	return m;
}

void become_cpu(struct test_memory *m, uint32_t cpu)
{
	host_detach();
	host_attach(m->t.m, cpu);
}

/* Grace periods for what every CPU retired; each frees its own. */
static void drain_epochs(struct test_memory *m)
{
	uint32_t self = cpu_id();

	for (unsigned turn = 0; turn < 4 || epoch_pending(&m->epoch); turn++) {
		CHECK(turn < 64);
		for (uint32_t i = 0; i < m->frames.ncpus; i++) {
			become_cpu(m, i);
			epoch_poll(&m->epoch);
		}
	}
	become_cpu(m, self);
}

void memory_empty(struct test_memory *m)
{
	drain_epochs(m);
	zones_drain(&m->zones);
	drain_epochs(m);
	frames_drain(&m->frames);
}

void memory_check(struct test_memory *m)
{
	struct frame_audit now;

	memory_empty(m);
	frame_core_check(&m->frames.core);
	if (!frame_audit(&m->frames, &now))
		panic("frame audit: %s at frame %#lx", now.problem, (unsigned long)now.where.fn);
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		if (now.owned[i] != m->before.owned[i])
			panic("frame audit: %lu frames are %s, %lu were", (unsigned long)now.owned[i],
			      frame_owner_name((enum frame_owner)i), (unsigned long)m->before.owned[i]);
}

void memory_abandon(struct test_memory *m)
{
	test_machine_destroy(&m->t);
	free(m);
}

void memory_close(struct test_memory *m)
{
	memory_check(m);
	memory_abandon(m);
}

static _Thread_local uint64_t jitter_state, jitter_one_in;

static void jitter_point(void)
{
	jitter_state = jitter_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	if ((jitter_state >> 33) % jitter_one_in == 0)
		sched_yield();
}

void jitter(unsigned one_in)
{
	jitter_state = TEST_SEED + cpu_id();
	jitter_one_in = one_in;
	host_point = one_in ? jitter_point : NULL;
}

static bool fail_some(void *arg)
{
	struct test_memory *m = arg;

	return atomic_add_relaxed(&m->turn, UINT64_C(1)) % m->fail_one_in == m->fail_one_in - 1;
}

void memory_fail(struct test_memory *m, uint64_t one_in)
{
	m->fail_one_in = one_in;
	atomic_store_relaxed(&m->turn, UINT64_C(0)); /* nobody allocates now */
	frames_fail_by(&m->frames, one_in ? fail_some : NULL, m);
}
