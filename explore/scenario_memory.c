/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_memory.c: the protocols under kernel memory by themselves: grace periods with several writers,
 * gates, waiting, references. What they guard is plain, so that the race detector is a judge too.
 */
#include "base/atomic.h"
#include "explore.h"
#include "sync/epoch.h"
#include "sync/mutex.h"
#include "test_machine.h"
#include "vm/gate.h"

static struct test_machine t;
static struct host_machine *machine(void) { return t.m; }

static void setup_machine_with(bool barrier_all)
{
	const struct host_config config = {
		.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED, .no_barrier_all = !barrier_all};

	test_machine_init(&t, &config);
}

static void setup_machine(void) { setup_machine_with(true); }

static void nothing(void) {}

/* --- epoch: CPUs replace an object in turn and read the current one --- */

#define OBJECTS 12u

struct object {
	struct epoch_item item;
	uint64_t value; /* 0: freed */
};

static struct epoch epoch;
static struct object object[OBJECTS];
static ATOMIC(struct object *) head;
static uint32_t how, freed;
enum { UNLINK_SEQ_CST, UNLINK_RELEASE, UNLINK_IN_SECTION, UNLINK_BY_SWAP };

static void object_free(struct epoch_item *item)
{
	struct object *o = CONTAINER_OF(item, struct object, item);

	CHECK(o->value);
	o->value = 0;
}

static void epoch_setup(uint32_t variant)
{
	setup_machine();
	how = variant;
	epoch_init(&epoch, EXPLORE_CPUS);
	for (unsigned i = 0; i < OBJECTS; i++)
		object[i].value = i + 1;
	atomic_store_relaxed(&head, &object[0]); /* nobody else runs */
}

static void replace(struct object *new)
{
	struct object *old;

	if (how == UNLINK_IN_SECTION) {
		/* release: epoch_retire sees to it that it is seen before the epoch is read */
		epoch_enter(&epoch);
		old = atomic_load_relaxed(&head); /* our own store */
		atomic_store_release(&head, new);
		epoch_retire(&epoch, &old->item, object_free);
		epoch_leave(&epoch);
		return;
	}
	if (how == UNLINK_BY_SWAP) {
		old = atomic_swap_seq_cst(&head, new);
	} else {
		old = atomic_load_relaxed(&head); /* our own store */
		if (how == UNLINK_RELEASE)
			atomic_store_release(&head, new); /* as above */
		else
			atomic_store_seq_cst(&head, new);
	}
	epoch_retire(&epoch, &old->item, object_free);
}

static void look(void)
{
	struct object *o;

	epoch_enter(&epoch);
	o = atomic_load_acquire(&head); /* pairs with the unlink, whose store it may be */
	CHECK(o->value);
	cpu_point();
	CHECK(o->value);
	epoch_leave(&epoch);
}

static void epoch_run(uint32_t cpu)
{
	bool writes = cpu == 0 || (how == UNLINK_BY_SWAP && cpu == 1);

	for (unsigned i = 0; i < 2; i++) {
		if (writes)
			replace(&object[1 + 2 * cpu + i]);
		else
			look();
		epoch_poll(&epoch);
		if (writes)
			epoch_tidy(&epoch); /* others may have advanced it */
	}
	look();
}

static void epoch_judge(void)
{
	for (unsigned turn = 0; turn < 4; turn++)
		for (uint32_t i = 0; i < EXPLORE_CPUS; i++) {
			host_detach();
			host_attach(t.m, i);
			epoch_poll(&epoch);
		}
	host_detach();
	host_attach(t.m, 0);
	freed = 0;
	for (unsigned i = 0; i < OBJECTS; i++)
		freed += !object[i].value;
	CHECK(epoch_pending(&epoch) == 0 && freed == (how == UNLINK_BY_SWAP ? 4 : 2));
	CHECK(atomic_load_relaxed(&head)->value);
}

/* --- gate: CPU 0 owns it, the others visit --- */

static struct gate gate;
static uint64_t pair[2];

/* Variant 1: the machine has no cpu_barrier_all. */
static void gate_setup(uint32_t variant)
{
	setup_machine_with(variant == 0);
	gate_init(&gate);
}

static void write_pair(void)
{
	CHECK(pair[0] == pair[1]);
	pair[0]++;
	cpu_point();
	pair[1]++;
}

/* Three times each, so that the owner waits for a visit and meets the next one on its way in. */
static void gate_run(uint32_t cpu)
{
	for (unsigned i = 0; i < 3; i++)
		if (cpu == 0) {
			gate_enter(&gate, RANK_FRAME_CACHE);
			write_pair();
			gate_leave(&gate);
		} else {
			gate_visit(&gate, RANK_FRAME_CACHE);
			write_pair();
			gate_visit_end(&gate);
		}
}

static void gate_judge_2(void) { CHECK(pair[0] == 6 && pair[1] == 6); }
static void gate_judge_3(void) { CHECK(pair[0] == 9 && pair[1] == 9); }

/* --- waiting: CPU 0 makes conditions true, the others wait for them --- */

static struct waitq queue;
static ATOMIC(uint32_t) turns;
static uint64_t gift[3];

static void wait_setup(uint32_t variant)
{
	how = variant;
	setup_machine();
	waitq_init(&queue);
}

static void wait_for(uint32_t n)
{
	struct waiter w;

	for (;;) {
		wait_prepare(&queue, &w);
		if (atomic_load_acquire(&turns) >= n) { /* pairs with the store in wait_run */
			wait_cancel(&queue, &w);
			return;
		}
		if (wait_block(&queue, &w, false) != OK)
			panic("interrupted");
	}
}

static void wait_run(uint32_t cpu)
{
	for (uint32_t i = 1; i <= 2; i++)
		if (cpu == 0) {
			gift[i] = i;
			atomic_store_release(&turns, i); /* pairs with the load in wait_for */
			if (how == 0 || i == 2)
				waitq_wake_all(&queue);
			else
				waitq_wake_one(&queue);
		} else if (how == 0 || i == 2) {
			wait_for(i);
			CHECK(gift[i] == i);
		}
}

/* --- references: the last one out frees; CPU 0 hands out, the others find it or not --- */

static struct counted {
	struct epoch_item item;
	struct refcount refs;
	uint64_t value;
	uint64_t part[EXPLORE_CPUS]; /* each holder's plain note */
} counted;
static ATOMIC(struct counted *) found;
static ATOMIC(uint32_t) ends;

static void ref_setup(uint32_t variant)
{
	how = variant;
	setup_machine();
	epoch_init(&epoch, EXPLORE_CPUS);
	ref_init(&counted.refs, how == 0 ? 3 : 1);
	counted.value = 1;
	atomic_store_relaxed(&found, &counted); /* nobody else runs */
}

static void drop(struct counted *c)
{
	if (!ref_put(&c->refs))
		return;
	CHECK(c->value == 1);
	c->value = 0;
	for (unsigned i = 0; i < EXPLORE_CPUS; i++)
		c->part[i] = 0;
	atomic_add_relaxed(&ends, 1u); /* counted, no more */
}

static void ref_run(uint32_t cpu)
{
	struct counted *c;
	bool got;

	if (how == 0) { /* each has one from the start */
		ref_get(&counted.refs);
		counted.part[cpu] = counted.value;
		drop(&counted);
		CHECK(counted.value == 1);
		drop(&counted);
		return;
	}
	if (cpu == 0) { /* the one reference goes, and with it the way to the object */
		atomic_store_seq_cst(&found, NULL);
		counted.part[0] = counted.value;
		drop(&counted);
		return;
	}
	epoch_enter(&epoch);
	c = atomic_load_seq_cst(&found);
	got = c && ref_get_unless_zero(&c->refs);
	epoch_leave(&epoch);
	if (got) {
		CHECK(c->value == 1);
		c->part[cpu] = 1;
		drop(c);
	}
}

static void ref_judge(void)
{
	CHECK(atomic_load_relaxed(&ends) == 1 && counted.value == 0);
	for (unsigned i = 0; i < EXPLORE_CPUS; i++)
		CHECK(counted.part[i] == 0);
}

const struct scenario scenario_memory[] = {
	{"memory-epoch", "objects unlinked by seq_cst or release, in a section, by swap; readers", 3, 4, true,
	 epoch_setup, machine, epoch_run, epoch_judge},
	{"memory-epoch-two", "the same with one reader or writer beside the writer", 2, 4, true, epoch_setup, machine,
	 epoch_run, epoch_judge},
	{"memory-gate", "a gate's owner and one visitor, with and without a barrier of all CPUs", 2, 2, true, gate_setup, machine, gate_run, gate_judge_2},
	{"memory-gate-two", "a gate's owner and two visitors, likewise", 3, 2, true, gate_setup, machine, gate_run, gate_judge_3},
	{"memory-wait", "conditions made true under waiters, wake all or one", 3, 2, true, wait_setup, machine,
	 wait_run, nothing},
	{"memory-refs", "references dropped by all, or taken in a section while the last one goes", 3, 2, true,
	 ref_setup, machine, ref_run, ref_judge},
};
const unsigned scenario_memory_count = ARRAY_SIZE(scenario_memory);
