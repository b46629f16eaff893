/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/memory.c: the memory model: what each atomic access may see.
 *
 * Purpose. Kernel code on fibers of one host thread would be sequentially
 * consistent. Here it is as weak as C11 or Armv8 allow, so that an order that is
 * weaker than the algorithm needs leads to a wrong result in some run.
 *
 * Machine. All CPUs share one memory, in which every store has its moment (time
 * stamp): other-multi-copy atomic, as Armv8 is. Between a CPU and that memory:
 *
 *	store buffer   a store waits; who waits is the schedule's choice
 *	               (CHOOSE_DRAIN). The own CPU sees it at once, others not.
 *	old values     a load that is not ordered may have been satisfied earlier: it
 *	               returns one of the last HISTORY values (CHOOSE_STALE).
 *
 *	      CPU 0: x = 1 ----waits----+ leaves
 *	memory of x:  0   0   0   0   0 | 1   1   1   2   2
 *	      CPU 1:                         load: 1, or 0 as of before
 *	                floor ^ an acquire load read something this old: not older
 *
 * Rules.
 *  1. Per location, stores leave a buffer in program order. A release (or
 *     stronger) store leaves after all stores before it. Else in any order.
 *  2. A load sees its own CPU's waiting store to the location first. Otherwise
 *     a value not older than: what this CPU has read or written there (coherence);
 *     the last store to that place up to the CPU's floor; if it is seq_cst,
 *     the last seq_cst store to the place that has left its buffer.
 *  3. An acquire load (or read-modify-write) raises the floor to the moment of the
 *     store that it read, unless that is its CPU's own and the load not seq_cst.
 *     So what happens-before a load is never hidden from it: whatever is before a
 *     release store left its buffer before it.
 *  4. A seq_cst load first empties its CPU's buffer up to the last seq_cst store.
 *     Not a release store, though Armv8's LDAR would wait for STLR: by
 *     C11 it need not, and LDAPR does not. So a seq_cst weakened to release shows.
 *     A seq_cst load of its CPU's own store orders later loads after that store, as LDAR
 *     does (rule 3); C11 would not, and with that no reader who advances an epoch by
 *     itself could trust what it finds.
 *  5. A read-modify-write reads the newest value and is at once the newest.
 *     With release it empties the buffer, else what waits for its location.
 *     Without release, others need not see it before it "leaves": its entry in the
 *     buffer holds no value but the moment from which it must be seen.
 *     A compare-and-swap may fail on an old value, as a load.
 *  6. A seq_cst fence, DSB, and the end of a CPU's part empty the buffer and
 *     raise the floor to now. Acquire and release fences as C11 has them.
 *     cpu_barrier_all is one such fence of each CPU, one after the other, with other steps between: so an owner's store,
 *     which is a release (atomic_store_owner), waits like any other until a visitor's barrier comes to its CPU.
 *  7. A store waits at most WAIT_OWN points of its CPU and WAIT_ALL points of
 *     all; a value is seen at most OLD_STEPS points after its successor, and
 *     at most OLD_LOADS times in a row. When all CPUs spin, everything leaves.
 *  8. In a portable run (explore_portable) rule 3 raises no floor: a load sees what happens-before it by the clocks of rule 9,
 *     be it written or only read by another CPU, and else what it likes: C11 without multi-copy atomicity. Fences
 *     and rule 4 still raise the floor.
 *  9. Clocks: a release store carries its CPU's clock, an acquire load joins that
 *     of what it read. A read-modify-write passes on the clock of what it replaced
 *     (release sequences as in C++20: the same CPU's plain stores are in none). Relaxed
 *     stores carry the clock of the last release fence.
 *
 * Why all of that is allowed. Take the moment a store leaves, of a seq_cst load the
 * moment it is made, for C11's order S, and the order of leaving for the
 * modification order mo. Then
 *   - coherence holds by rule 1 and 2 (CoWW, CoRR, CoWR, CoRW), between CPUs too: what
 *     a CPU read or wrote before a release has a moment before it, hence is below the
 *     floor of who acquires it;
 *   - S agrees with program order (rule 4), with mo, and with reads-before: a seq_cst
 *     load misses no seq_cst store before it. Happens-before between seq_cst accesses
 *     agrees with moments. That is what RC11 asks (O. Lahav et al., Repairing
 *     sequential consistency in C/C++11, PLDI 2017).
 * So each run is a C11 execution, and one without load buffering; and but for rule 4
 * and a stale failing compare-and-swap an Armv8 one (C. Pulte et al., Simplifying ARM
 * concurrency, POPL 2018), acquire loads being LDAPR.
 *
 * Not shown. Load buffering (a load that sees a store which depends on a later
 * one): stores do not pass earlier loads. Time that differs from CPU to CPU (IRIW with acquire loads), but in portable
 * runs: Armv8 forbids it. Address, data
 * and control dependencies order nothing here, as in C11: a pointer loaded relaxed
 * leads to old bytes, though Armv8 hardware would not do that. DSB ISHST is
 * taken for DSB ISH. Accesses at EL0 are sequentially consistent; they are
 * after what was before the descriptors that this CPU has walked, all of them, and before
 * what follows any DSB. Plain accesses are sequentially
 * consistent: that is enough, since race.c proves them ordered.
 *
 * Structure. memory_buffer.c keeps locations and store buffers, race.c judges plain accesses, memory_tsan.c
 * answers the compiler.
 */
#include <string.h>

#include "memory_private.h"

#define OLD_STEPS 400
#define OLD_LOADS 4

struct clock memory_clock[EXPLORE_CPUS], memory_walk[EXPLORE_CPUS];
bool memory_on, memory_portable;

static const char *const order_name[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

/* --- clocks --- */

/*
 * The moment before which nothing is hidden from who acquires v. A CPU's own store says nothing about others';
 * its own read-modify-write only what it read.
 */
static uint64_t acquired(uint32_t cpu, const struct value *v) { return v->cpu == cpu ? v->inherited : v->moment; }

static void acquire(uint32_t cpu, const struct value *v)
{
	struct cpu *c = &memory_cpu[cpu];

	clock_join(&memory_clock[cpu], &v->released);
	if (!memory_portable && c->floor < acquired(cpu, v))
		c->floor = acquired(cpu, v);
}

/* What was read may be acquired by a fence later. */
static void note_read(uint32_t cpu, const struct value *v)
{
	struct cpu *c = &memory_cpu[cpu];

	clock_join(&c->read, &v->released);
	if (!memory_portable && c->read_moment < acquired(cpu, v))
		c->read_moment = acquired(cpu, v);
}

/* The clock that a store of that order carries. */
static struct clock release(uint32_t cpu, int order)
{
	struct clock k = memory_cpu[cpu].fence_released;

	if (order_releases(order)) {
		k = memory_clock[cpu];
		memory_clock[cpu].c[cpu]++;
	}
	return k;
}

static void read_done(uint32_t cpu, struct location *l, uint64_t number, int order)
{
	struct value *v = &l->h[number - l->base];

	value_seen(cpu, v);
	location_seen(l, cpu, number, memory_clock[cpu].c[cpu]);
	if (order_acquires(order))
		acquire(cpu, v);
	if (order == __ATOMIC_SEQ_CST && v->moment != NEVER && memory_cpu[cpu].floor < v->moment)
		memory_cpu[cpu].floor = v->moment; /* its own store, which has left */
	note_read(cpu, v);
}

/* --- accesses --- */

/* What other CPUs have seen before what this one does now, by its clock: the number of the newest. */
static uint64_t seen_before(uint32_t cpu, const struct location *l)
{
	uint64_t number = 0;

	for (uint32_t by = 0; memory_portable && by < memory_cpus; by++)
		for (uint32_t i = 0; i < l->sights[by].n; i++) {
			const struct sight *s = &l->sights[by].s[i];

			if (by != cpu && s->epoch <= memory_clock[cpu].c[by] && s->number > number)
				number = s->number;
		}
	return number;
}

/* The oldest value that a load may see: its number. */
static uint64_t oldest(uint32_t cpu, const struct location *l, int order)
{
	uint64_t least = l->base, before = seen_before(cpu, l), step = explore_step();

	if (l->old_loads[cpu] >= OLD_LOADS)
		return value_last(l);
	if (least < l->seen[cpu])
		least = l->seen[cpu];
	if (least < before)
		least = before;
	if (order == __ATOMIC_SEQ_CST && least < l->last_sc)
		least = l->last_sc;
	for (uint64_t i = value_last(l); i > least; i--) {
		const struct value *v = &l->h[i - l->base];

		if (v->moment != NEVER && (v->moment <= memory_cpu[cpu].floor || v->step + OLD_STEPS < step))
			return i;
	}
	return least;
}

/* Which value a load sees: its number. */
static uint64_t pick(uint32_t cpu, struct location *l, int order)
{
	uint64_t last = value_last(l), n = last - oldest(cpu, l, order) + 1, back;

	back = n > 1 ? explore_choose(CHOOSE_STALE, (unsigned)n) : 0;
	if (back)
		l->old_loads[cpu]++;
	else
		l->old_loads[cpu] = 0;
	return last - back;
}

uint64_t memory_load(uint32_t cpu, const void *p, unsigned size, int order, const void *pc)
{
	struct cpu *c = &memory_cpu[cpu];
	struct location *l;
	uint64_t number, v;

	race_access(cpu, p, size, RACE_ATOMIC, pc);
	if (order == __ATOMIC_SEQ_CST)
		buffer_force_seq_cst(cpu);
	l = location_find(p, size, false);
	if (!l) {
		v = value_get((uint64_t)(uintptr_t)p, size);
		TRACE(pc, "load %s: %s is %#lx", order_name[order], memory_name(p), (unsigned long)v);
		return v;
	}
	for (uint32_t i = l->waiting ? c->n : 0; i-- > 0;)
		if (c->buffer[i].at == l && !c->buffer[i].settle) {
			TRACE(pc, "load %s: %s is %#lx, from the own buffer", order_name[order], memory_name(p),
			      (unsigned long)c->buffer[i].v);
			return c->buffer[i].v;
		}
	number = pick(cpu, l, order);
	v = l->h[number - l->base].v;
	if (number == value_last(l))
		TRACE(pc, "load %s: %s is %#lx", order_name[order], memory_name(p), (unsigned long)v);
	else
		TRACE(pc, "load %s: %s is %#lx, stale by %lu", order_name[order], memory_name(p), (unsigned long)v,
		      (unsigned long)(value_last(l) - number));
	read_done(cpu, l, number, order);
	return v;
}

void memory_store(uint32_t cpu, void *p, unsigned size, uint64_t value, int order, const void *pc)
{
	struct location *l;
	struct entry e = {.v = value_cut(value, size), .order = (uint8_t)order, .pc = pc};

	race_access(cpu, p, size, RACE_ATOMIC | RACE_WRITE, pc);
	l = location_find(p, size, true);
	e.epoch = memory_clock[cpu].c[cpu];
	e.released = release(cpu, order);
	TRACE(pc, "store %s: %s = %#lx", order_name[order], memory_name(p), (unsigned long)e.v);
	if (buffer_put(cpu, l, &e))
		TRACE(pc, "  waits in the store buffer");
}

static uint64_t compute(enum rmw op, uint64_t a, uint64_t b)
{
	switch (op) {
	case RMW_SWAP:
		return b;
	case RMW_ADD:
		return a + b;
	case RMW_SUB:
		return a - b;
	case RMW_AND:
		return a & b;
	case RMW_OR:
		return a | b;
	case RMW_XOR:
		return a ^ b;
	case RMW_NAND:
		return ~(a & b);
	}
	__builtin_unreachable();
}

/* The newest value is replaced; own stores to the location have left. */
static void replace(uint32_t cpu, struct location *l, uint64_t value, int order, const void *pc)
{
	struct clock inherited, k;
	uint32_t epoch = memory_clock[cpu].c[cpu];
	struct value *v;
	uint64_t moment;

	if (order_releases(order))
		buffer_force_all(cpu);
	read_done(cpu, l, value_last(l), order);
	inherited = value_newest(l)->released;
	moment = acquired(cpu, value_newest(l));
	k = release(cpu, order);
	v = location_push(l, value_cut(value, l->size), cpu, order, epoch);
	clock_join(&k, &inherited);
	v->released = k;
	v->inherited = moment;
	if (!order_releases(order)) {
		struct entry e = {.settle = true, .number = value_last(l), .order = (uint8_t)order, .pc = pc};

		v->moment = NEVER;
		buffer_put(cpu, l, &e);
	}
}

uint64_t memory_rmw(uint32_t cpu, void *p, unsigned size, enum rmw op, uint64_t operand, int order, const void *pc)
{
	struct location *l;
	uint64_t old;

	race_access(cpu, p, size, RACE_ATOMIC | RACE_WRITE, pc);
	l = location_find(p, size, true);
	buffer_force_place(cpu, l);
	old = value_newest(l)->v;
	TRACE(pc, "read-modify-write %s: %s was %#lx, is %#lx", order_name[order], memory_name(p), (unsigned long)old,
	      (unsigned long)value_cut(compute(op, old, operand), size));
	replace(cpu, l, compute(op, old, operand), order, pc);
	return old;
}

bool memory_cas(uint32_t cpu, void *p, unsigned size, uint64_t *expected, uint64_t value, int order, int failure,
		const void *pc)
{
	struct location *l;
	uint64_t number, found;

	race_access(cpu, p, size, RACE_ATOMIC, pc);
	if (failure == __ATOMIC_SEQ_CST)
		buffer_force_seq_cst(cpu);
	l = location_find(p, size, true);
	buffer_force_place(cpu, l);
	number = pick(cpu, l, failure);
	found = l->h[number - l->base].v;
	if (found == *expected && number != value_last(l)) {
		number = value_last(l); /* success is always with the newest */
		found = value_newest(l)->v;
	}
	if (found != *expected) {
		TRACE(pc, "compare-and-swap %s: %s is %#lx, not %#lx%s", order_name[failure], memory_name(p),
		      (unsigned long)found, (unsigned long)*expected, number == value_last(l) ? "" : ", stale");
		read_done(cpu, l, number, failure);
		*expected = found;
		return false;
	}
	TRACE(pc, "compare-and-swap %s: %s was %#lx, is %#lx", order_name[order], memory_name(p), (unsigned long)found,
	      (unsigned long)value_cut(value, size));
	race_access(cpu, p, size, RACE_ATOMIC | RACE_WRITE, pc);
	replace(cpu, l, value, order, pc);
	return true;
}

void memory_fence(uint32_t cpu, int order, const void *pc)
{
	struct cpu *c = &memory_cpu[cpu];

	TRACE(pc, "fence %s", order_name[order]);
	if (order == __ATOMIC_SEQ_CST) {
		buffer_force_all(cpu);
		c->floor = memory_now;
	}
	if (order_acquires(order)) {
		clock_join(&memory_clock[cpu], &c->read);
		if (c->floor < c->read_moment)
			c->floor = c->read_moment;
	}
	if (order_releases(order)) {
		c->fence_released = memory_clock[cpu];
		memory_clock[cpu].c[cpu]++;
		c->fences++;
	}
}

/* --- explore.h --- */

void explore_portable(bool on) { memory_portable = on; }

void memory_begin(uint32_t n)
{
	buffer_begin(n);
	memset(memory_clock, 0, sizeof memory_clock);
	memset(memory_walk, 0, sizeof memory_walk);
	for (uint32_t i = 0; i < n; i++)
		memory_clock[i].c[i] = 1;
	race_begin();
	memory_on = true;
}

void memory_end(void)
{
	memory_idle();
	memory_on = false;
}

void memory_drain(uint32_t cpu)
{
	if (!memory_on)
		return;
	memory_fence(cpu, __ATOMIC_SEQ_CST, __builtin_return_address(0));
	for (uint32_t i = 0; i < memory_cpus; i++)
		memory_clock[cpu].c[EXPLORE_CPUS + i] = memory_clock[i].c[i]++;
}

/* Of that CPU's hardware alone: ThreadSanitizer would not see it either, so it orders no plain accesses (no clocks). */
static void hardware_barrier(uint32_t cpu)
{
	buffer_force_all(cpu);
	memory_cpu[cpu].floor = memory_now;
}

/*
 * One after the other, with points between, the caller first and last: no CPU's barrier is at the same moment as another's.
 * The first to be met is a choice, so that neither end of the order is always the early one.
 */
void memory_barrier_all(void)
{
	const void *pc = __builtin_return_address(0);
	uint32_t self = (uint32_t)explore_cpu(), from;

	if (!memory_on || explore_cpu() < 0)
		return;
	from = explore_choose(CHOOSE_DRAIN, memory_cpus);
	hardware_barrier(self);
	for (uint32_t i = 0; i < memory_cpus; i++) {
		uint32_t cpu = (from + i) % memory_cpus;

		if (cpu == self)
			continue;
		cpu_point();
		TRACE(pc, "barrier of CPU %u", cpu);
		hardware_barrier(cpu);
	}
	cpu_point();
	hardware_barrier(self);
}

uint64_t memory_stamp(uint32_t cpu) { return memory_on ? memory_clock[cpu].c[cpu] : 0; }

bool memory_before(uint32_t by, uint64_t stamp, uint32_t cpu)
{
	return !memory_on || by == cpu || memory_clock[cpu].c[by] >= stamp;
}

void memory_walked(uint32_t cpu, const void *p, uint64_t value)
{
	struct location *l = memory_on ? location_find(p, sizeof value, false) : NULL;

	if (!l)
		return;
	for (uint64_t i = value_last(l) + 1; i-- > l->base;)
		if (l->h[i - l->base].v == value) {
			value_seen(EXPLORE_CPUS, &l->h[i - l->base]);
			clock_join(&memory_walk[cpu], &l->h[i - l->base].released);
			return;
		}
}

bool memory_hardware_cas(int cpu, uint64_t *p, uint64_t *expected, uint64_t want)
{
	const void *pc = __builtin_return_address(0);
	struct location *l;
	struct clock inherited;
	uint64_t found;

	if (!memory_on || cpu < 0)
		return __atomic_compare_exchange_n(p, expected, want, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
	race_access((uint32_t)cpu, p, sizeof *p, RACE_USER | RACE_ATOMIC | RACE_WRITE, pc);
	l = location_find(p, sizeof *p, true);
	found = value_newest(l)->v;
	if (found != *expected) {
		*expected = found;
		return false;
	}
	/* Any walker may be first to see the value that it replaces. */
	value_seen(EXPLORE_CPUS, value_newest(l));
	inherited = value_newest(l)->released;
	TRACE(pc, "hardware updates %s from %#lx to %#lx", memory_name(p), (unsigned long)found, (unsigned long)want);
	location_push(l, want, (uint32_t)cpu, __ATOMIC_RELAXED, memory_clock[cpu].c[cpu])->released = inherited;
	return true;
}

void memory_user_access(uint32_t cpu, const void *p, size_t n, bool write)
{
	if (!memory_on)
		return;
	race_access(cpu, p, n, RACE_USER | RACE_ATOMIC | (write ? RACE_WRITE : 0), NULL);
	memory_plain(cpu, p, n, write);
}
