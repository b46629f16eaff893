/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One fault against one change of the same page, at every place where the fault can be overtaken: it is stopped at its
 * first point without a lock, then its second, and so on, and each time the change runs from end to end meanwhile.
 * Afterwards the page must be what the change made it. The frame audit and the simulated MMU judge the rest.
 */
#include "test_vm.h"
#include "vm/amap.h"

#define LEAF (AMAP_FANOUT * PAGE_SIZE)
#define WINDOW (4 * LEAF)

static struct test_vm v;
static struct vm_map *m;
static const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

enum change { DISCARD_LEAF, DISCARD_ONE_LEAF, DISCARD_PAGE, REMOVE, READ_ONLY, NOTHING_ALLOWED, REPLACE, FORK, CHANGES, CUT = CHANGES };
/*
 * NEIGHBOUR: untouched, but node and table are there; OWN_PATH: shared and mapped, the node is the map's own. For the short way.
 * SEQUENCE: likewise, and the page before is mapped: the page behind is made ahead, and is the one that changes.
 */
enum before { UNTOUCHED, NEIGHBOUR, SEQUENCE, TOUCHED, SHARED, SHARED_MAPPED, OWN_PATH, BEFORES };

static struct {
	uint64_t base, va, page; /* where the fault is, and what changes */
	enum change change;
	bool write;
	unsigned at, count;
	bool stopped;
	enum error result;
	struct vm_map *child;
	struct vm_object *object; /* that CUT cuts */
	enum error seen;          /* by a read after it */
	ATOMIC(uint32_t) turn; /* 0: the fault's; 1: the change's; 2: over */
} duet;

static void stop_at(void)
{
	host_point = NULL;
	if (cpu_debug()->held_count == 0 && ++duet.count == duet.at) {
		duet.stopped = true;
		atomic_store_release(&duet.turn, 1u);
		while (atomic_load_acquire(&duet.turn) == 1)
			sched_yield();
	}
	host_point = stop_at;
}

static void change(void)
{
	struct vrange page = vrange(duet.page, duet.page + PAGE_SIZE), leaf = vrange(duet.base, duet.base + WINDOW);
	uint64_t at = duet.page;

	switch (duet.change) {
	case DISCARD_LEAF:
		CHECK(vm_map_discard(m, leaf) == OK);
		break;
	case DISCARD_ONE_LEAF:
		CHECK(vm_map_discard(m, vrange(duet.base + LEAF, duet.base + 2 * LEAF)) == OK);
		break;
	case DISCARD_PAGE:
		CHECK(vm_map_discard(m, page) == OK);
		break;
	case REMOVE:
		CHECK(vm_map_remove(m, leaf) == OK);
		break;
	case READ_ONLY:
		CHECK(vm_map_protect(m, page, PROT_R) == OK);
		break;
	case NOTHING_ALLOWED:
		CHECK(vm_map_protect(m, leaf, PROT_NONE_) == OK);
		break;
	case REPLACE:
		CHECK(vm_map_enter(m, &at, PAGE_SIZE, &anon, MAP_AT) == OK);
		break;
	case FORK:
		CHECK(vm_map_fork(m, &duet.child) == OK);
		break;
	case CUT:
		CHECK(object_resize(duet.object, 0) == OK);
		duet.seen = test_fault(m, vaddr(duet.va), PROT_R);
		break;
	default:
		panic("no such change");
	}
}

static void play(uint32_t cpu, void *arg)
{
	(void)arg;
	if (cpu == 1) {
		while (atomic_load_acquire(&duet.turn) == 0)
			cpu_relax();
		if (atomic_load_acquire(&duet.turn) == 1) {
			change();
			atomic_store_release(&duet.turn, 0u);
		}
		return;
	}
	host_point = stop_at;
	duet.result = test_fault(m, vaddr(duet.va), duet.write ? PROT_W : PROT_R);
	host_point = NULL;
	if (!duet.stopped)
		atomic_store_release(&duet.turn, 2u);
}

/* The page as the next access finds it, by what had been there and what was done. */
static void judge(enum before before)
{
	uint64_t x = 0xdead, there = before <= SEQUENCE ? 0 : 5;
	enum error e = test_load(m, duet.page, &x);

	switch (duet.change) {
	case DISCARD_LEAF:
	case DISCARD_ONE_LEAF:
	case DISCARD_PAGE:
	case REPLACE:
		assert_int_equal(e, OK);
		assert_int_equal(x, 0);
		break;
	case REMOVE:
		assert_int_equal(e, ERR_FAULT);
		break;
	case NOTHING_ALLOWED:
		assert_int_equal(e, ERR_ACCESS);
		break;
	case READ_ONLY:
		assert_int_equal(x, there);
		assert_int_equal(test_store(m, duet.page, 6), ERR_ACCESS);
		break;
	case FORK:
		/* What the parent writes from now on is its own. */
		assert_int_equal(x, there);
		assert_int_equal(test_store(m, duet.page, 7), OK);
		pmap_activate(&duet.child->pmap);
		assert_int_equal(test_load(duet.child, duet.page, &x), OK);
		assert_int_equal(x, there);
		pmap_activate(&m->pmap);
		vm_map_release(duet.child);
		break;
	default:
		break;
	}
}

/* One fault, stopped at its n-th point; false: it has fewer. */
static bool round_of(enum before before, unsigned n)
{
	struct vm_map *sharer = NULL;
	uint64_t at = UINT64_C(0x40000000), x;

	assert_int_equal(vm_map_enter(m, &at, WINDOW, &anon, MAP_AT), OK);
	duet.base = at;
	duet.va = at + LEAF + 3 * PAGE_SIZE;
	duet.page = before == SEQUENCE ? duet.va + PAGE_SIZE : duet.va;
	duet.at = n;
	duet.count = 0;
	duet.stopped = false;
	atomic_store_relaxed(&duet.turn, 0u);
	if (before > SEQUENCE)
		assert_int_equal(test_store(m, duet.va, 5), OK);
	if (before >= SHARED)
		assert_int_equal(vm_map_fork(m, &sharer), OK);
	if (before == SEQUENCE)
		assert_int_equal(test_store(m, duet.va - PAGE_SIZE, 6), OK);
	if (before == NEIGHBOUR || before == OWN_PATH)
		assert_int_equal(test_store(m, duet.va + PAGE_SIZE, 6), OK);
	if (before == NEIGHBOUR || before == SEQUENCE || before == OWN_PATH)
		assert_int_equal(test_store(m, at + 3 * LEAF, 6), OK); /* another leaf, which DISCARD_ONE_LEAF leaves */
	/* No PTE, so that there is something to fault for. */
	assert_int_equal(vm_map_protect(m, vrange(at, at + WINDOW), PROT_NONE_), OK);
	assert_int_equal(vm_map_protect(m, vrange(at, at + WINDOW), PROT_R | PROT_W), OK);
	/* Or the old page's, read-only: a write has to break it. */
	if (before >= SHARED_MAPPED)
		assert_int_equal(test_load(m, duet.va, &x), OK);
	if (before == SEQUENCE)
		assert_int_equal(test_load(m, duet.va - PAGE_SIZE, &x), OK);
	run_on_cpus(v.t.m, 2, play, NULL);
	if (duet.stopped) {
		assert_true(duet.result == OK || duet.result == ERR_FAULT || duet.result == ERR_ACCESS);
		judge(before);
	}
	if (sharer)
		vm_map_release(sharer);
	vm_map_check(m);
	(void)epoch_poll(&v.vm->epoch);
	return duet.stopped;
}

static void every_point(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	for (unsigned b = 0; b < BEFORES; b++)
		for (unsigned c = 0; c < CHANGES; c++)
			for (unsigned w = 0; w < 2; w++) {
				uint64_t ahead = counter_read(&v.vm->counters, COUNTER_pages_ahead);
				unsigned n = 1;

				duet.change = (enum change)c;
				duet.write = w;
				while (round_of((enum before)b, n))
					n++;
				assert_true(n > (b >= SHARED_MAPPED ? 5 : 10)); /* it has been stopped in many places */
				if (b == SEQUENCE && w)
					assert_true(counter_read(&v.vm->counters, COUNTER_pages_ahead) > ahead);
			}
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
}

/* A private copy of an object's page is made, or the object was cut before: who has seen that sees no copy later. */
static bool cut_round(unsigned n)
{
	struct vm_mapping file = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t at = UINT64_C(0x40000000);
	size_t done;

	CHECK(object_create(v.vm, (struct oid){ 0, 1 }, &pager_zero, NULL, 0, PAGE_SIZE, &duet.object) == OK);
	CHECK(object_write(duet.object, 0, "content", 8, &done) == OK);
	file.object = duet.object;
	CHECK(vm_map_enter(m, &at, PAGE_SIZE, &file, MAP_AT) == OK);
	duet.va = duet.page = at;
	duet.at = n;
	duet.count = 0;
	duet.stopped = false;
	atomic_store_relaxed(&duet.turn, 0u);
	run_on_cpus(v.t.m, 2, play, NULL);
	if (duet.stopped)
		assert_int_equal(duet.result, duet.seen);
	object_release(duet.object);
	vm_map_check(m);
	(void)epoch_poll(&v.vm->epoch);
	return duet.stopped;
}

static void every_point_of_a_private_copy(void **state)
{
	uint64_t at = UINT64_C(0x40000000) + PAGE_SIZE;
	unsigned n = 1;

	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	/* The table is there, so that all rounds have the same points. */
	assert_int_equal(vm_map_enter(m, &at, PAGE_SIZE, &anon, MAP_AT), OK);
	assert_int_equal(test_store(m, at, 1), OK);
	duet.change = CUT;
	duet.write = true;
	while (cut_round(n))
		n++;
	assert_true(n > 10);
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_point), cmocka_unit_test(every_point_of_a_private_copy) };

	return run_both_ways(tests);
}
