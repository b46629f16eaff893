/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/scenario_planted.c: small programs with a bug each, which the explorer must find. Run only when asked for. */
#include "base/atomic.h"
#include "explore.h"
#include "sync/spinlock.h"
#include "test_machine.h"

static struct test_machine t;
static ATOMIC(uint64_t) x, y;
static uint64_t seen[2], plain;
static struct spinlock a, b;

static struct host_machine *machine(void) { return t.m; }

static void setup(uint32_t variant)
{
	const struct host_config config = {.ncpus = 2, .ram = 1 << 20, .seed = TEST_SEED};

	(void)variant;
	test_machine_init(&t, &config);
	spin_init(&a);
	spin_init(&b);
}

/* A counter that is loaded and stored, by two CPUs. */
static void lost_update_run(uint32_t cpu)
{
	(void)cpu;
	/* relaxed: wrong on purpose */
	atomic_store_relaxed(&x, atomic_load_relaxed(&x) + 1);
}
static void lost_update_judge(void) { CHECK(atomic_load_relaxed(&x) == 2); }

/* Store buffering: release and acquire where seq_cst is needed. */
static void store_buffer_run(uint32_t cpu)
{
	if (cpu == 0) {
		atomic_store_release(&x, UINT64_C(1));
		seen[0] = atomic_load_acquire(&y);
	} else {
		atomic_store_release(&y, UINT64_C(1));
		seen[1] = atomic_load_acquire(&x);
	}
}
static void store_buffer_judge(void) { CHECK(seen[0] || seen[1]); }

/* Message passing: the flag is stored relaxed. */
static void message_run(uint32_t cpu)
{
	if (cpu == 0) {
		atomic_store_relaxed(&x, UINT64_C(1));
		atomic_store_relaxed(&y, UINT64_C(1));
	} else {
		seen[0] = atomic_load_relaxed(&y);
		seen[1] = atomic_load_relaxed(&x);
	}
}
static void message_judge(void) { CHECK(!seen[0] || seen[1]); }

/* One of two takes the lock. */
static void no_lock_run(uint32_t cpu)
{
	uint64_t n;

	if (cpu == 0)
		spin_lock(&a, RANK_NODE);
	n = atomic_load_relaxed(&x);
	cpu_point();
	atomic_store_relaxed(&x, n + 1);
	if (cpu == 0)
		spin_unlock(&a);
}

/* Two locks in two orders, behind the back of the ranks. */
static void deadlock_run(uint32_t cpu)
{
	struct spinlock *first = cpu ? &b : &a, *second = cpu ? &a : &b;

	spin_lock(first, RANK_NODE);
	spin_lock(second, RANK_LEAF);
	spin_unlock(second);
	spin_unlock(first);
}

/* A plain variable that two CPUs write: no result is wrong, but the race is one. */
static void race_run(uint32_t cpu)
{
	cpu_point();
	plain += cpu;
}
static void race_judge(void) { CHECK(plain <= 1); }

static void crash_run(uint32_t cpu)
{
	/* relaxed: wrong on purpose */
	if (cpu == 0)
		atomic_store_relaxed(&x, UINT64_C(8));
	else if (atomic_load_relaxed(&x))
		*(volatile uint64_t *)(uintptr_t)atomic_load_relaxed(&x) = 1;
}

static void nothing(void) {}

const struct scenario scenario_planted[] = {
	{"planted-lost-update", "a counter loaded and stored", 2, 1, true, setup, machine, lost_update_run,
	 lost_update_judge},
	{"planted-store-buffer", "release where seq_cst is needed", 2, 1, true, setup, machine, store_buffer_run,
	 store_buffer_judge},
	{"planted-message", "relaxed where release is needed", 2, 1, true, setup, machine, message_run, message_judge},
	{"planted-no-lock", "a lock that is not taken", 2, 1, true, setup, machine, no_lock_run, lost_update_judge},
	{"planted-deadlock", "two locks in two orders", 2, 1, true, setup, machine, deadlock_run, nothing},
	{"planted-race", "a plain variable written by two", 2, 1, true, setup, machine, race_run, race_judge},
	{"planted-crash", "a wild pointer in one of two orders", 2, 1, true, setup, machine, crash_run, nothing},
};
const unsigned scenario_planted_count = ARRAY_SIZE(scenario_planted);
