/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/pmap_interleave.c: two operations on the same pages, one of them stopped
 * at each of its points in turn while the other runs.
 *
 * A point is an atomic access or a lock operation (cpu_point). Two vCPUs share a
 * baton: first runs to its n-th point, then second runs to its end, then
 * first goes on; for n = 1, 2, ... until first ends before its n-th point.
 * If second waits for what first holds, it shows by making points and not
 * ending: the baton goes back after PATIENCE of them. So every schedule with one
 * switch is tried, and some with more, always the same ones.
 *
 *      first:   ---- n points ----|                       |---- to the end
 *      second:                    |---- to the end -------|
 *
 * What is checked is in pmap_world.h, after every schedule.
 */
#include <pthread.h>
#include <stdlib.h>

#include "pmap_world.h"

#define PATIENCE 3000u
#define ANON 0u
#define OBJECT 1u

typedef void step(struct cpu *c);

struct duet {
	struct world *w;
	step *prepare, *step[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_barrier_t phase;
	uint32_t turn;       /* who runs */
	bool done[2];
	uint64_t budget;     /* points until the baton goes over */
	bool reached;        /* first was stopped at its n-th point */
	unsigned schedules;
};

static _Thread_local struct duet *duet;

static void pass(uint32_t me)
{
	pthread_mutex_lock(&duet->lock);
	duet->turn = !me;
	duet->budget = PATIENCE;
	pthread_cond_broadcast(&duet->changed);
	while (duet->turn != me)
		pthread_cond_wait(&duet->changed, &duet->lock);
	pthread_mutex_unlock(&duet->lock);
}

/* Only who has the baton gets here, so the fields need no lock. */
static void point(void)
{
	uint32_t me = cpu_id();

	if (duet->done[!me] || --duet->budget)
		return;
	if (me == 0)
		duet->reached = true;
	pass(me);
}

static void play(struct duet *d, uint32_t cpu)
{
	struct cpu c;

	cpu_begin(&c, d->w, TEST_SEED + cpu);
	pm_poll(&d->w->m);
	c.spare = pm_alloc(&d->w->m); /* what needs no schedule is done beforehand */
	pm_fill(&d->w->m, &c.stock);
	pthread_mutex_lock(&d->lock);
	while (d->turn != cpu)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	duet = d;
	host_point = point;
	d->step[cpu](&c);
	host_point = NULL;
	pthread_mutex_lock(&d->lock);
	d->done[cpu] = true;
	d->turn = !cpu;
	d->budget = PATIENCE;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	cpu_end(&c);
}

static void prepare(struct duet *d, uint32_t cpu)
{
	struct cpu c;

	if (!d->prepare)
		return;
	cpu_begin(&c, d->w, TEST_SEED + 9 + cpu);
	d->prepare(&c);
	cpu_end(&c);
}

/* CPU 0 decides, alone between the phases. */
static void conduct(uint32_t cpu, void *arg)
{
	struct duet *d = arg;
	unsigned n = 1;

	do {
		if (cpu == 0)
			prepare(d, 0);
		pthread_barrier_wait(&d->phase);
		if (cpu == 1)
			prepare(d, 1);
		pthread_barrier_wait(&d->phase);
		if (cpu == 0) {
			d->turn = 0;
			d->done[0] = d->done[1] = d->reached = false;
			d->budget = n;
			n += 1 + n / 256; /* far out, every few points do: loops over empty descriptors */
			d->schedules++;
		}
		pthread_barrier_wait(&d->phase);
		play(d, cpu);
		pthread_barrier_wait(&d->phase);
		if (cpu == 0)
			world_clear(d->w, d->schedules % 8 == 0);
	} while (d->reached);
}

/* All schedules of first against second, each from the state that prepare, run on both CPUs, leaves. Returns how many. */
static unsigned explore_order(struct world *w, step *prepare, step *first, step *second)
{
	struct duet d = { .w = w, .prepare = prepare, .step = { first, second } };

	CHECK(!pthread_mutex_init(&d.lock, NULL) && !pthread_cond_init(&d.changed, NULL));
	CHECK(!pthread_barrier_init(&d.phase, NULL, 2));
	run_on_cpus(w->m.t.m, 2, conduct, &d);
	pthread_barrier_destroy(&d.phase);
	pthread_mutex_destroy(&d.lock);
	pthread_cond_destroy(&d.changed);
	return d.schedules;
}

static void explore_with(const char *name, bool hw, step *prepare, step *a, step *b)
{
	const struct host_config config = { .ncpus = 2, .ram = 1 << 20, .junk = true, .seed = TEST_SEED,
					    .hw_access = hw, .hw_dirty = hw, .range_tlbi = hw, .tlbi = HOST_TLBI_LATE,
					    .break_check = 1, .prefetch = UINT32_MAX, .tlb_entries = 64 };
	struct world *w = pm_zalloc(sizeof *w);
	unsigned n;

	world_begin(w, &config);
	n = explore_order(w, prepare, a, b) + (a == b ? 0 : explore_order(w, prepare, b, a));
	assert_in_range(n, 30, 5000);
	print_message("    %s%s: %u schedules\n", name, hw ? ", hardware dirty" : "", n);
	world_end(w);
	free(w);
}

static void explore(const char *name, step *prepare, step *a, step *b) { explore_with(name, false, prepare, a, b); }
static void explore_hw(const char *name, step *prepare, step *a, step *b) { explore_with(name, true, prepare, a, b); }

/* --- the operations, on page 1 of the first anon and the first object window of space 0 --- */

static struct space *space(struct cpu *c) { return &c->w->space[0]; }
static void touch_anon(struct cpu *c) { world_touch(c, space(c), ANON, 1); }
static void touch_object(struct cpu *c) { world_touch(c, space(c), OBJECT, 1); }
static void write_page(struct cpu *c, unsigned window)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&space(c)->p);
	for (int i = 0; i < 3; i++) {
		if (host_user_add64(vaddr(world_va(window, 1) + 8), 3, &v, &f) == OK) {
			atomic_add_relaxed(&c->w->added, UINT64_C(3));
			return;
		}
		world_fault(c, space(c), window, 1, PROT_W);
	}
}
static void write_anon(struct cpu *c) { write_page(c, ANON); }
static void write_object(struct cpu *c) { write_page(c, OBJECT); }
static void fault_object(struct cpu *c)
{
	world_fault(c, space(c), OBJECT, 1, PROT_R);
	touch_object(c); /* sees what a wrong PTE would show */
}
static void unmap_anon(struct cpu *c) { world_unmap(c, space(c), ANON, true); }
static void unmap_object(struct cpu *c) { world_unmap(c, space(c), OBJECT, true); }
static void discard(struct cpu *c) { world_discard(c, space(c), ANON, 0, 2); }
static void copy(struct cpu *c) { world_copy(c, space(c), ANON, 1); }
static void protect_anon(struct cpu *c) { world_protect(c, space(c), ANON, 1); }
static void protect_window(struct cpu *c) { world_protect(c, space(c), ANON, 0); }
static void protect_object(struct cpu *c) { world_protect(c, space(c), OBJECT, 1); }
static void limit(struct cpu *c) { world_limit(c, space(c)); }
static void withdraw(struct cpu *c) { world_withdraw(c, 1); }
static void ask(struct cpu *c) { world_ask(c, 1); }
static void leave(struct cpu *c) { world_live_and_exit(c, 1, 1); }

/* Both CPUs' TLBs know the pages. */
static void warm(struct cpu *c)
{
	write_anon(c);
	write_object(c);
}

/* The same, and a limit is over them. */
static void limited(struct cpu *c)
{
	warm(c);
	limit(c);
}

/* Both pages are mapped writable, and clean. */
static void clean(struct cpu *c)
{
	world_fault(c, space(c), ANON, 1, PROT_R);
	world_fault(c, space(c), OBJECT, 1, PROT_R);
}

/* One table is there, empty of page 1. */
static void tables(struct cpu *c)
{
	world_touch(c, space(c), ANON, 2);
	world_touch(c, space(c), OBJECT, 2);
}

/* The object's page is mapped in a second space too, so that its reverse map has a chunk. */
static void shared(struct cpu *c)
{
	warm(c);
	world_touch(c, &c->w->space[1], OBJECT, 1);
}

static void test_fault(void **state)
{
	(void)state;
	explore("two first faults", NULL, touch_anon, touch_object);
	explore("two faults on a page", tables, write_object, touch_object);
	explore("link against unmap", NULL, fault_object, unmap_object);
	explore("fault against unmap", tables, fault_object, unmap_object);
	explore("fault against unlink and link", warm, touch_object, unmap_object);
	explore("anon fault against unmap", tables, write_anon, unmap_anon);
	explore("fault against withdrawal", tables, fault_object, withdraw);
	explore("shared fault against withdrawal", shared, leave, withdraw);
}

static void test_write(void **state)
{
	(void)state;
	explore("write against unmap", warm, write_anon, unmap_anon);
	explore("write against discard", warm, write_anon, discard);
	explore("write against copy", warm, write_anon, copy);
	explore("write against protect", warm, write_anon, protect_anon);
	explore("write against protect of the window", warm, write_anon, protect_window);
	explore("write against withdrawal", warm, write_object, withdraw);
	explore("write against questions", warm, write_object, ask);
	explore_hw("first write against unmap", clean, write_anon, unmap_anon);
	explore_hw("first write against discard", clean, write_anon, discard);
	explore_hw("first write against copy", clean, write_anon, copy);
	explore_hw("first write against protect", clean, write_anon, protect_anon);
	explore_hw("first write against protect of the window", clean, write_anon, protect_window);
	explore_hw("first write against withdrawal", clean, write_object, withdraw);
	explore_hw("first write against questions", clean, write_object, ask);
}

static void test_limits(void **state)
{
	(void)state;
	explore("limit against write", warm, limit, write_anon);
	explore("limit against link", NULL, limit, write_anon);
	explore("two lifts", limited, write_anon, write_object);
	explore("lift against limit", limited, write_anon, limit);
	explore("lift against unmap", limited, write_object, unmap_anon);
	explore("lift against copy", limited, write_object, copy);
	explore("lift against protect of a window", limited, write_object, protect_window);
	explore_hw("limit against first write", clean, limit, write_anon);
	explore_hw("lift against limit", limited, write_anon, limit);
	explore_hw("lift against a read", limited, write_object, touch_anon);
}

static void test_mutators(void **state)
{
	(void)state;
	explore("copy against unmap", warm, copy, unmap_anon);
	explore("copy against discard", warm, copy, discard);
	explore("copy against protect", warm, copy, protect_anon);
	explore("two copies", warm, copy, copy);
	explore("unmap against withdrawal", warm, unmap_object, withdraw);
	explore("unmap against withdrawal of a shared page", shared, unmap_object, withdraw);
	explore("protect against withdrawal", warm, protect_object, withdraw);
	explore("questions against withdrawal", shared, ask, withdraw);
	explore("questions against unmap", shared, ask, unmap_object);
	explore("exit against withdrawal", shared, leave, withdraw);
	explore("exit against unmap", shared, leave, unmap_object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault), cmocka_unit_test(test_write), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_mutators),
	};

	return run_both_scopes(tests);
}
