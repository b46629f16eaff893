/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/vm_adversary.c: interleavings that the protocols of address spaces must bear; each once went wrong.
 * They are forced through host_point, so that each fails every time.
 */
#include "test_vm.h"
#include "vm/amap.h"

static struct test_vm v;
static struct vm_map *m;

static int setup(void **state)
{
	(void)state;
	test_vm_init(&v, NULL);
	assert_int_equal(vm_map_create(v.vm, &m), OK);
	pmap_activate(&m->pmap);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pmap_deactivate(v.pmaps);
	vm_map_release(m);
	test_vm_destroy(&v);
	return 0;
}

static uint64_t load(uint64_t va)
{
	uint64_t x = 0xdead;

	CHECK(test_load(m, va, &x) == OK);
	return x;
}

static const struct vm_mapping anon = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };

/* --- a hook that hands the next step to another vCPU and waits for it --- */

static ATOMIC(uint32_t) turn; /* 0: the hooked vCPU's; 1: the other's; 2: over */

static void hand_over(void)
{
	atomic_store_release(&turn, 1u);
	while (atomic_load_acquire(&turn) == 1)
		cpu_relax();
}

/* The other's side: true when it is its turn, false when all is over. */
static bool my_turn(void)
{
	while (atomic_load_acquire(&turn) == 0)
		cpu_relax();
	return atomic_load_acquire(&turn) == 1;
}

/* --- a leaf's other owner goes away while the leaf is copied --- */

#define LEAF (AMAP_FANOUT * PAGE_SIZE)

static struct {
	struct amap_node *leaf; /* shared by m and child, and then by m alone */
	struct vm_map *child;
	uint64_t base;
	bool locked, done;
} copy;

/* Steps in when the hooked vCPU has held the leaf's lock, for the first time, and let go of it. */
static void after_leaf_copy(void)
{
	host_point = NULL;
	if (spin_held(&copy.leaf->lock)) {
		copy.locked = true;
	} else if (copy.locked && !copy.done) {
		copy.done = true;
		hand_over();
	}
	host_point = after_leaf_copy;
}

static void child_exits_and_thread_writes(void)
{
	CHECK(my_turn());
	vm_map_release(copy.child);
	pmap_activate(&m->pmap);
	CHECK(test_store(m, copy.base + 2 * PAGE_SIZE, 77) == OK);
	pmap_deactivate(v.pmaps);
	atomic_store_release(&turn, 0u);
}

static void leaf_copied_by_fault(uint32_t cpu, void *arg)
{
	(void)arg;
	if (cpu == 1) {
		child_exits_and_thread_writes();
		return;
	}
	host_point = after_leaf_copy;
	CHECK(test_store(m, copy.base + PAGE_SIZE, 66) == OK);
	host_point = NULL;
	CHECK(copy.done);
}

static void leaf_copied_by_trim(uint32_t cpu, void *arg)
{
	(void)arg;
	if (cpu == 1) {
		child_exits_and_thread_writes();
		return;
	}
	host_point = after_leaf_copy;
	CHECK(vm_map_discard(m, vrange(copy.base + PAGE_SIZE, copy.base + 2 * PAGE_SIZE)) == OK);
	host_point = NULL;
	CHECK(copy.done);
}

/* Two leaves; a fork; the root is copied by a write in the second leaf, so that only the first leaf is shared. */
static void share_one_leaf(void)
{
	bool exclusive;
	struct vm_entry *e;

	copy.base = UINT64_C(0x40000000);
	copy.locked = copy.done = false;
	atomic_store_relaxed(&turn, 0u);
	assert_int_equal(vm_map_enter(m, &copy.base, 2 * LEAF, &anon, MAP_AT_FREE), OK);
	assert_int_equal(test_store(m, copy.base, 1), OK);
	assert_int_equal(test_store(m, copy.base + LEAF, 2), OK);
	assert_int_equal(vm_map_fork(m, &copy.child), OK);
	assert_int_equal(test_store(m, copy.base + LEAF, 3), OK);
	epoch_enter(&v.vm->epoch);
	e = entry_list_find(&m->main.list, copy.base);
	copy.leaf = amap_find(e->amap, copy.base, &exclusive);
	assert_false(exclusive);
	epoch_leave(&v.vm->epoch);
}

static void owner_leaves_during_fault(void **state)
{
	(void)state;
	share_one_leaf();
	run_on_cpus(v.t.m, 2, leaf_copied_by_fault, NULL);
	assert_int_equal(load(copy.base), 1);
	assert_int_equal(load(copy.base + PAGE_SIZE), 66);
	assert_int_equal(load(copy.base + 2 * PAGE_SIZE), 77);
	vm_map_check(m);
}

static void owner_leaves_during_trim(void **state)
{
	(void)state;
	share_one_leaf();
	assert_int_equal(test_store(m, copy.base + PAGE_SIZE, 5), OK); /* a leaf of its own again ... */
	vm_map_release(copy.child);
	assert_int_equal(vm_map_fork(m, &copy.child), OK); /* ... shared with another child */
	assert_int_equal(test_store(m, copy.base + LEAF, 3), OK);
	epoch_enter(&v.vm->epoch);
	{
		bool exclusive;

		copy.leaf = amap_find(entry_list_find(&m->main.list, copy.base)->amap, copy.base, &exclusive);
	}
	epoch_leave(&v.vm->epoch);
	run_on_cpus(v.t.m, 2, leaf_copied_by_trim, NULL);
	assert_int_equal(load(copy.base), 1);
	assert_int_equal(load(copy.base + PAGE_SIZE), 0);
	assert_int_equal(load(copy.base + 2 * PAGE_SIZE), 77);
	vm_map_check(m);
}

/* --- a thread writes on while another forks --- */

static struct {
	uint64_t base;
	const struct vm_entry *entry;
	bool dead; /* it was seen so */
} forking;

/* Steps in when the forking vCPU has revived the parent's entries. */
static void after_revival(void)
{
	host_point = NULL;
	if (!entry_live(forking.entry)) {
		forking.dead = true;
	} else if (forking.dead && cpu_debug()->held_count == 0) {
		hand_over();
		return;
	}
	host_point = after_revival;
}

static void fork_and_write(uint32_t cpu, void *arg)
{
	struct vm_map *c;
	uint64_t x, y;

	(void)arg;
	if (cpu == 1) {
		pmap_activate(&m->pmap);
		CHECK(test_store(m, forking.base, 0) == OK); /* now its TLB knows the page as writable */
		atomic_store_release(&turn, 0u);
		CHECK(my_turn());
		CHECK(test_store(m, forking.base + PAGE_SIZE, 1) == OK); /* a page never touched before ... */
		CHECK(test_store(m, forking.base, 1) == OK);             /* ... and then the other */
		pmap_deactivate(v.pmaps);
		atomic_store_release(&turn, 0u);
		return;
	}
	while (atomic_load_acquire(&turn) != 0)
		cpu_relax();
	epoch_enter(&v.vm->epoch);
	forking.entry = entry_list_find(&m->main.list, forking.base);
	epoch_leave(&v.vm->epoch);
	forking.dead = false;
	host_point = after_revival;
	CHECK(vm_map_fork(m, &c) == OK);
	CHECK(host_point == NULL);
	pmap_activate(&c->pmap);
	CHECK(test_load(c, forking.base, &y) == OK);
	CHECK(test_load(c, forking.base + PAGE_SIZE, &x) == OK);
	pmap_activate(&m->pmap);
	vm_map_release(c);
	/* Who sees the later write sees the earlier one. */
	CHECK(y == 0 || x == 1);
}

static void fork_is_one_moment(void **state)
{
	(void)state;
	forking.base = UINT64_C(0x40000000);
	assert_int_equal(vm_map_enter(m, &forking.base, 2 * PAGE_SIZE, &anon, MAP_AT_FREE), OK);
	atomic_store_relaxed(&turn, 1u);
	run_on_cpus(v.t.m, 2, fork_and_write, NULL);
	assert_int_equal(load(forking.base), 1);
	assert_int_equal(load(forking.base + PAGE_SIZE), 1);
	vm_map_check(m);
}

/* --- somebody else is always quicker --- */

static void steal(void)
{
	host_point = NULL;
	/* Not once a range is locked: the thief would wait for it, and it for the thief. */
	if (cpu_debug()->held_count == 0 && list_empty(&m->main.ranges.held))
		hand_over();
	host_point = steal;
}

static void mapper_and_thief(uint32_t cpu, void *arg)
{
	uint64_t at = 0;

	(void)arg;
	if (cpu == 1) {
		while (my_turn()) {
			at = 0;
			CHECK(vm_map_enter(m, &at, PAGE_SIZE, &anon, 0) == OK);
			atomic_store_release(&turn, 0u);
		}
		return;
	}
	host_point = steal;
	CHECK(vm_map_enter(m, &at, PAGE_SIZE, &anon, 0) == OK);
	host_point = NULL;
	atomic_store_release(&turn, 2u);
}

static void map_among_thieves(void **state)
{
	(void)state;
	atomic_store_relaxed(&turn, 0u);
	run_on_cpus(v.t.m, 2, mapper_and_thief, NULL);
	vm_map_check(m);
}

/* --- a range lock over everything among short ones --- */

#define RELAY_NS UINT64_C(3000000000)
#define STEP_NS UINT64_C(300000000)

static struct {
	struct range_lock lock;
	ATOMIC(uint32_t) taken[3]; /* how often CPU 1 and CPU 2 have taken their range */
	ATOMIC(uint32_t) got, ended;
} relay;

/*
 * CPU 1 drops its i-th hold when CPU 2 has its i-th, CPU 2 drops that when CPU 1 has its next: somebody always holds.
 * When CPU 0, who wants everything, stands between them, the wait for the other ends by time.
 */
static void relay_race(uint32_t cpu, void *arg)
{
	uint64_t end = machine_now() + RELAY_NS;
	struct range_hold h;

	(void)arg;
	if (cpu == 0) {
		while (atomic_load_acquire(&relay.taken[1]) < 2)
			cpu_relax();
		range_lock_take(&relay.lock, &h, RANGE_ALL);
		CHECK(atomic_load_acquire(&relay.ended) == 0);
		atomic_store_release(&relay.got, 1u);
		range_lock_drop(&relay.lock, &h);
		return;
	}
	for (uint32_t i = 1; i <= 2 || (!atomic_load_acquire(&relay.got) && machine_now() < end); i++) {
		uint64_t late;

		while (cpu == 2 && atomic_load_acquire(&relay.taken[1]) < i && !atomic_load_acquire(&relay.ended))
			cpu_relax();
		range_lock_take(&relay.lock, &h, vrange(cpu * PAGE_SIZE, (cpu + 1) * PAGE_SIZE));
		atomic_store_release(&relay.taken[cpu], i);
		late = machine_now() + STEP_NS;
		while (atomic_load_acquire(&relay.taken[3 - cpu]) < i + cpu - 1 && !atomic_load_acquire(&relay.ended) &&
		       machine_now() < late)
			cpu_relax();
		range_lock_drop(&relay.lock, &h);
	}
	atomic_add_acq_rel(&relay.ended, 1u);
}

static void fork_among_mappers(void **state)
{
	(void)state;
	memset(&relay, 0, sizeof relay);
	range_lock_init(&relay.lock);
	run_on_cpus(v.t.m, 3, relay_race, NULL);
}

/* --- a file is cut while a page of it is read --- */

static unsigned cuts;

static enum error get_and_cut(struct vm_object *o, uint64_t index, paddr_t frame)
{
	(void)index;
	memset(phys_to_virt(frame), 0x55, PAGE_SIZE);
	if (cuts++ == 0) { /* another CPU's ftruncate(100), ftruncate(4096), while the pager is at work */
		CHECK(object_resize(o, 100) == OK);
		CHECK(object_resize(o, PAGE_SIZE) == OK);
	}
	return OK;
}

static void cut_under_fill(void **state)
{
	static const struct pager_ops pager = { .name = "cutting", .get = get_and_cut };
	static unsigned char bytes[PAGE_SIZE];
	struct vm_object *o;
	size_t done;

	(void)state;
	cuts = 0;
	assert_int_equal(object_create(v.vm, (struct oid){ 0, 1 }, &pager, NULL, PAGE_SIZE, PAGE_SIZE, &o), OK);
	assert_int_equal(object_read(o, 0, bytes, sizeof bytes, &done), OK);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(bytes[i], i < 100 ? 0x55 : 0);
	object_release(o);
}

/* --- two threads move the break while a third forks --- */

#define BREAK_ROUNDS 150
#define BREAK_PAGES 6
#define BREAK_START UINT64_C(0x50000000)

/* The heap is mapped up to the break, and not beyond. Nobody changes the map. */
static void check_break(struct vm_map *map)
{
	uint64_t at = map->brk_start, end = round_up(map->brk_end, PAGE_SIZE);
	struct vm_entry_info info;

	while (at < end) {
		CHECK(vm_map_lookup(map, at, &info) && info.range.start.va <= at);
		at = info.range.end.va;
	}
	CHECK(at == end);
	CHECK(!vm_map_lookup(map, end, &info));
}

static void now_and_then(void)
{
	static _Thread_local uint32_t points;

	if (++points % 7 == 0)
		sched_yield();
}

static void move_or_copy_break(uint32_t cpu, void *arg)
{
	(void)arg;
	host_point = now_and_then;
	for (unsigned i = 0; i < BREAK_ROUNDS; i++) {
		uint64_t want = BREAK_START + (i * 5 + cpu * 3) % BREAK_PAGES * PAGE_SIZE + cpu;
		struct vm_map *child;

		if (cpu > 0) {
			(void)vm_map_brk(m, want);
			continue;
		}
		CHECK(vm_map_fork(m, &child) == OK);
		check_break(child);
		vm_map_release(child);
		(void)epoch_poll(&v.vm->epoch);
	}
	host_point = NULL;
}

static void break_among_threads(void **state)
{
	(void)state;
	m->brk_start = m->brk_end = BREAK_START;
	run_on_cpus(v.t.m, 3, move_or_copy_break, NULL);
	check_break(m);
	assert_int_equal(vm_map_brk(m, BREAK_START), BREAK_START);
	check_break(m);
}

/* --- a fault that is overtaken again and again --- */

#define OVERTAKEN 3 /* so often, and the fault takes the range lock */

static struct {
	uint64_t va;
	unsigned left;
	bool seen; /* this turn of the fault has been overtaken */
} overtaken;

/* Steps in, once a turn, when the fault takes its node's lock, so that it finds its entry dead. */
static void overtake(void)
{
	const struct cpu_debug *d = cpu_debug();

	host_point = NULL;
	if (d->epoch_depth == 0) {
		overtaken.seen = false;
	} else if (overtaken.left > 0 && !overtaken.seen && d->held_count == 1 && d->held_rank[0] == RANK_NODE) {
		overtaken.seen = true;
		overtaken.left--;
		hand_over();
	}
	host_point = overtake;
}

static void fault_and_change(uint32_t cpu, void *arg)
{
	(void)arg;
	if (cpu == 1) {
		while (my_turn()) {
			struct vrange page = vrange(overtaken.va, overtaken.va + PAGE_SIZE);

			CHECK(vm_map_protect(m, page, PROT_R) == OK);
			CHECK(vm_map_protect(m, page, PROT_R | PROT_W) == OK);
			atomic_store_release(&turn, 0u);
		}
		return;
	}
	host_point = overtake;
	CHECK(test_fault(m, vaddr(overtaken.va), PROT_W) == OK);
	host_point = NULL;
	atomic_store_release(&turn, 2u);
}

/* It gets through, by the range lock, and gives that back. */
static void overtaken_fault(void **state)
{
	(void)state;
	overtaken.va = test_map_anon(m, 4 * PAGE_SIZE) + PAGE_SIZE;
	/* The node and the table are there, so that no turn ends for want of one. */
	assert_int_equal(test_store(m, overtaken.va - PAGE_SIZE, 1), OK);
	overtaken.left = OVERTAKEN + (test_way == WAY_SHORT); /* the short way gives up at once */
	overtaken.seen = false;
	atomic_store_relaxed(&turn, 0u);
	run_on_cpus(v.t.m, 2, fault_and_change, NULL);
	assert_int_equal(overtaken.left, 0);
	assert_true(counter_read(&v.vm->counters, COUNTER_faults_stale) >= OVERTAKEN);
	assert_true(list_empty(&m->main.ranges.held));
	vm_map_check(m);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(cut_under_fill), T(break_among_threads), T(overtaken_fault),
					    T(map_among_thieves), T(fork_among_mappers), T(fork_is_one_moment),
					    T(owner_leaves_during_fault), T(owner_leaves_during_trim) };

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return run_both_ways(tests);
}
