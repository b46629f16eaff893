/* SPDX-License-Identifier: BSD-2-Clause */
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/print.h"

uint64_t stress_random(struct worker *w)
{
	w->random ^= w->random << 13; /* xorshift64 */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 8;
}

/* One allocation in so many fails. */
#define FAIL_ONE_IN 3000

/* Per thread: allocations fail at random, and always in the same places for the same thread's seed. */
static _Thread_local uint64_t fail_random = 1;

static bool fail_sometimes(void *arg)
{
	(void)arg;
	fail_random = fail_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (fail_random >> 33) % FAIL_ONE_IN == 0;
}

/*
 * A host with two cores runs few interleavings by itself. Here a thread lets go
 * of its core at one shared access in so many, at lengths that change.
 */
static _Thread_local uint64_t point_random = 1;
static _Thread_local uint32_t point_left = 1;

static void point(void)
{
	if (--point_left > 0)
		return;
	point_random = point_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	point_left = 1 + (uint32_t)(point_random >> 33) % (point_random >> 63 ? 40 : 2000);
	sched_yield();
}

static void run(uint32_t cpu, void *arg)
{
	struct stress *s = arg;
	struct worker *w = &s->worker[cpu];
	uint64_t last = machine_now();

	fail_random = s->seed * 1000 + cpu;
	point_random = fail_random;
	host_point = point;
	pmap_activate(&w->space[0].map->pmap);
	while (machine_now() < s->end) {
		for (unsigned i = 0; i < 32; i++)
			stress_operation(w);
		atomic_add_relaxed(&s->done, 32); /* for progress */
		if (cpu == 0 && machine_now() - last > UINT64_C(10000000000)) {
			last = machine_now();
			printf("stress: %lu operations, %lu s to go\n", (unsigned long)atomic_load_relaxed(&s->done),
			       (unsigned long)(s->end > last ? (s->end - last) / 1000000000u : 0));
			fflush(stdout);
		}
	}
	stress_unwind(w);
	host_point = NULL;
	pmap_deactivate(s->v.pmaps);
}

static void make_root(struct stress *s, uint32_t n)
{
	struct root *r = &s->root[n];

	r->number = n + 1;
	CHECK(vm_map_create(s->v.vm, &r->map) == OK);
	/* Not aligned to anything, so that windows share tables and nodes. */
	r->windows = UINT64_C(0x100000000) - 37 * PAGE_SIZE;
	r->fight = r->windows + s->threads * WINDOW * PAGE_SIZE;
	r->shared = UINT64_C(0x200000000) - 5 * PAGE_SIZE;
	r->private = UINT64_C(0x300000000);
	CHECK(object_create(s->v.vm, (struct oid){ 0, r->number }, &pager_zero, NULL, 0, FILE_PAGES * PAGE_SIZE,
			    &r->object) == OK);
}

static uint64_t number(const char *text, uint64_t low, uint64_t high)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*text == 0 || *end != 0 || n < low || n > high) {
		fprintf(stderr, "stress: %s is not a number from %lu to %lu\n", text, (unsigned long)low, (unsigned long)high);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct stress s = { .threads = 8, .seed = 1 };
	uint64_t seconds = 60;
	struct host_config c = { .junk = true };

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seconds"))
			seconds = number(argv[i + 1], 1, 1000000);
		else if (!strcmp(argv[i], "--threads"))
			s.threads = (uint32_t)number(argv[i + 1], 1, 64);
		else if (!strcmp(argv[i], "--seed"))
			s.seed = number(argv[i + 1], 0, UINT64_MAX);
		else
			argc = 0;
	}
	if (argc % 2 == 0) {
		fprintf(stderr, "stress: usage: stress [--seconds N] [--threads N] [--seed N]\n");
		return 2;
	}
	/* The seed also picks the machine: what its hardware can do, how it invalidates. */
	c.ncpus = s.threads;
	c.ram = (UINT64_C(32) + 8 * s.threads) << 20;
	c.seed = s.seed;
	c.asid_bits = s.threads < 8 && s.seed % 2 ? 4 : 8;
	c.hw_access = s.seed / 2 % 2;
	c.hw_dirty = s.seed / 4 % 2;
	c.range_tlbi = s.seed / 8 % 2;
	printf("stress: %lu s, %u threads, seed %lu: %u-bit ASIDs, access flag by %s, dirty by %s, TLBI by %s\n",
	       (unsigned long)seconds, s.threads, (unsigned long)s.seed, c.asid_bits, c.hw_access ? "hardware" : "software",
	       c.hw_dirty ? "hardware" : "software", c.range_tlbi ? "range" : "page");
	fflush(stdout);
	test_way = WAY_EITHER;
	test_vm_init(&s.v, &c);
	s.worker = calloc(s.threads, sizeof *s.worker);
	CHECK(s.worker);
	for (uint32_t n = 0; n < ROOTS; n++)
		make_root(&s, n);
	for (uint32_t i = 0; i < s.threads; i++) {
		struct worker *w = &s.worker[i];

		w->cpu = i;
		w->stress = &s;
		w->root = &s.root[i % ROOTS];
		w->space[0].map = w->root->map;
		w->base = w->root->windows + i / ROOTS * WINDOW * PAGE_SIZE;
		w->random = (s.seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)i << 40) ^ 88172645463325252u;
	}
	frames_fail_by(&s.v.vm->frames, fail_sometimes, NULL);
	s.end = machine_now() + seconds * 1000000000u;
	run_on_cpus(s.v.t.m, s.threads, run, &s);
	frames_fail_by(&s.v.vm->frames, NULL, NULL);
	for (uint32_t n = 0; n < ROOTS; n++) {
		vm_map_check(s.root[n].map);
		vm_map_release(s.root[n].map);
		object_release(s.root[n].object);
	}
	printf("%-14s %12s\n", "what", "count");
	printf("%-14s %12lu\n", "operations", (unsigned long)atomic_load_relaxed(&s.done));
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		uint64_t n = counter_read(&s.v.vm->counters, (enum counter)i);

		if (n)
			printf("%-20s %12lu\n", counter_name((enum counter)i), (unsigned long)n);
	}
	test_vm_destroy(&s.v);
	free(s.worker);
	printf("stress: clean, frame audit exact\n");
	return 0;
}
