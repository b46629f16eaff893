/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/thread.c: a scenario on free-running threads, for the real ThreadSanitizer; and who runs, in either world.
 *
 * Nothing replays here. Threads start together, and give way at random points, so that short parts overlap also where
 * host cores are few.
 */
#include <err.h>
#include <pthread.h>
#include <sched.h>

#include "engine.h"

struct member {
	const struct scenario *scenario;
	uint32_t cpu;
	uint64_t seed;
	pthread_t thread;
};

static pthread_barrier_t arrived;
static uint64_t clock_now;
static _Thread_local int thread_cpu = -1;
static _Thread_local uint64_t jitter;
static uint32_t one_in;

bool explore_parallel(void) { return options.engine == ENGINE_THREADS; }
bool explore_modelled(void) { return !sanitizer_here(); }
int explore_cpu(void) { return explore_parallel() ? thread_cpu : fiber_cpu(); }

uint64_t explore_step(void)
{
	if (!explore_parallel())
		return fiber_step();
	return __atomic_add_fetch(&clock_now, 1, __ATOMIC_SEQ_CST);
}

static void point(void)
{
	if (next_random(&jitter) % one_in == 0)
		sched_yield();
}

static void *member_main(void *arg)
{
	struct member *m = arg;

	if (m->cpu)
		host_attach(m->scenario->machine(), m->cpu);
	thread_cpu = (int)m->cpu;
	jitter = mix(m->seed + m->cpu);
	host_point = point;
	pthread_barrier_wait(&arrived);
	m->scenario->run(m->cpu);
	host_point = NULL;
	thread_cpu = -1;
	if (m->cpu)
		host_detach();
	return NULL;
}

void thread_run(const struct scenario *s, uint64_t seed)
{
	struct member member[EXPLORE_CPUS];

	one_in = 2u << mix(seed) % 7;
	if (pthread_barrier_init(&arrived, NULL, s->cpus))
		errx(2, "no barrier");
	for (uint32_t i = 0; i < s->cpus; i++)
		member[i] = (struct member){.scenario = s, .cpu = i, .seed = seed};
	for (uint32_t i = 1; i < s->cpus; i++)
		if (pthread_create(&member[i].thread, NULL, member_main, &member[i]))
			errx(2, "no thread for a vCPU");
	member_main(&member[0]);
	for (uint32_t i = 1; i < s->cpus; i++)
		pthread_join(member[i].thread, NULL);
	pthread_barrier_destroy(&arrived);
}
