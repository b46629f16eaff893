/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_sync.c: locks and grace periods by themselves; what they guard is plain. */
#include "base/atomic.h"
#include "explore.h"
#include "sync/epoch.h"
#include "sync/mutex.h"
#include "sync/rwlock.h"
#include "sync/seqcount.h"
#include "sync/spinlock.h"
#include "test_machine.h"

#define TURNS 3u

static struct test_machine t;
static struct host_machine *machine(void) { return t.m; }

static uint64_t now(void *context)
{
	(void)context;
	return explore_step();
}

static void setup_machine(void)
{
	const struct host_config config = {
		.ncpus = EXPLORE_CPUS, .ram = 1 << 20, .seed = TEST_SEED, .ops = {.now = now}};

	test_machine_init(&t, &config);
}

/* --- spinlock, by lock and by trylock --- */

static struct spinlock spin;
static uint64_t pair[2]; /* equal whenever nobody writes */

static void write_pair(void)
{
	CHECK(pair[0] == pair[1]);
	pair[0]++;
	cpu_point();
	pair[1]++;
}

static void spin_setup(uint32_t variant)
{
	(void)variant;
	setup_machine();
	spin_init(&spin);
}

static void spin_run(uint32_t cpu)
{
	for (unsigned i = 0; i < TURNS; i++) {
		if (cpu == 1)
			while (!spin_trylock(&spin, RANK_LEAF))
				cpu_relax();
		else
			spin_lock(&spin, RANK_LEAF);
		write_pair();
		spin_unlock(&spin);
	}
}

static void three_judge(void) { CHECK(pair[0] == 3 * TURNS && pair[1] == 3 * TURNS); }
static void two_judge(void) { CHECK(pair[0] == 2 * TURNS && pair[1] == 2 * TURNS); }

/* --- rwlock: CPU 0 and 1 write, the last one reads --- */

static struct rwlock rw;

static void rw_setup(uint32_t variant)
{
	(void)variant;
	setup_machine();
	rwlock_init(&rw);
}

static void rw_run(uint32_t cpu)
{
	for (unsigned i = 0; i < TURNS; i++)
		if (cpu < 2) {
			rwlock_write(&rw, RANK_OBJECT);
			write_pair();
			rwlock_write_done(&rw);
		} else {
			rwlock_read(&rw, RANK_OBJECT);
			CHECK(pair[0] == pair[1]);
			rwlock_read_done(&rw);
		}
}

/* --- mutex: who waits blocks --- */

static struct mutex mutex;

static void mutex_setup(uint32_t variant)
{
	(void)variant;
	setup_machine();
	mutex_init(&mutex);
}

static void mutex_run(uint32_t cpu)
{
	(void)cpu;
	for (unsigned i = 0; i < TURNS; i++) {
		mutex_lock(&mutex);
		write_pair();
		mutex_unlock(&mutex);
	}
}

/* --- sequence count: CPU 0 writes, the others read --- */

static struct seqcount seq;
static ATOMIC(uint64_t) half[2];

static void seq_setup(uint32_t variant)
{
	(void)variant;
	setup_machine();
	seq_init(&seq);
}

static void seq_run(uint32_t cpu)
{
	for (uint64_t i = 1; i <= TURNS; i++) {
		if (cpu == 0) {
			seq_write_begin(&seq);
			/* release: pairs with the acquire below, as seqcount.h asks */
			atomic_store_release(&half[0], i);
			atomic_store_release(&half[1], i);
			seq_write_end(&seq);
		} else {
			uint64_t a, b;
			unsigned start;

			do {
				start = seq_read_begin(&seq);
				a = atomic_load_acquire(&half[0]);
				b = atomic_load_acquire(&half[1]);
			} while (seq_read_retry(&seq, start));
			CHECK(a == b);
		}
	}
}

static void nothing(void) {}

/* --- epoch: CPU 0 replaces an object and retires the old one, the others read it in a section --- */

struct object {
	struct epoch_item item;
	uint64_t value;
	bool freed;
};

static struct epoch epoch;
static struct object object[TURNS + 1];
static ATOMIC(struct object *) head;

static void object_free(struct epoch_item *item)
{
	struct object *o = CONTAINER_OF(item, struct object, item);

	CHECK(!o->freed);
	o->freed = true;
	o->value = 0;
}

static void epoch_setup(uint32_t variant)
{
	(void)variant;
	setup_machine();
	epoch_init(&epoch, EXPLORE_CPUS);
	for (unsigned i = 0; i <= TURNS; i++)
		object[i].value = i + 1;
	atomic_store_relaxed(&head, &object[0]); /* nobody else runs */
}

static void epoch_run(uint32_t cpu)
{
	for (unsigned i = 0; i < TURNS; i++)
		if (cpu == 0) {
			struct object *old = &object[i];

			/* seq_cst: the unlink, before the retirement reads the epoch; release: pairs with the readers'
			 * acquire */
			atomic_store_seq_cst(&head, &object[i + 1]);
			epoch_retire(&epoch, &old->item, object_free);
			epoch_poll(&epoch);
			epoch_poll(&epoch);
		} else {
			struct object *o;

			epoch_enter(&epoch);
			o = atomic_load_seq_cst(&head); /* pairs with the store above */
			CHECK(o->value);
			cpu_point();
			CHECK(o->value && !o->freed);
			epoch_leave(&epoch);
			epoch_poll(&epoch);
		}
}

static void epoch_judge(void)
{
	for (unsigned i = 0; i < 4; i++)
		epoch_poll(&epoch);
	for (unsigned i = 0; i < TURNS; i++)
		CHECK(object[i].freed);
	CHECK(!object[TURNS].freed && epoch_pending(&epoch) == 0);
}

const struct scenario scenario_sync[] = {
	{"sync-spinlock", "a plain pair under a spinlock, by lock and trylock", 3, 1, true, spin_setup, machine,
	 spin_run, three_judge},
	{"sync-rwlock", "two writers and a reader of a plain pair", 3, 1, true, rw_setup, machine, rw_run, two_judge},
	{"sync-mutex", "a plain pair under a mutex, with waiters", 3, 1, true, mutex_setup, machine, mutex_run,
	 three_judge},
	{"sync-seqcount", "one writer, two readers of a pair", 3, 1, true, seq_setup, machine, seq_run, nothing},
	{"sync-epoch", "an object replaced, retired and freed under its readers", 3, 1, true, epoch_setup, machine,
	 epoch_run, epoch_judge},
};
const unsigned scenario_sync_count = ARRAY_SIZE(scenario_sync);
