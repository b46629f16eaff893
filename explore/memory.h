/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/memory.h: what the parts of the memory model know of each other.
 *
 *   memory_tsan.c    what the compiler calls: every access of instrumented code
 *   memory.c         what an atomic access sees
 *   memory_buffer.c  when its store is seen
 *   race.c           whether plain accesses are ordered
 *
 * One thread runs all of it. cpu is the vCPU whose fiber makes the access.
 */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include "explore.h"

/*
 * Vector clocks: c[i] counts the releases of CPU i that are before; c[EXPLORE_CPUS + i] those up to which CPU i's
 * accesses at EL0 are before, by a DSB: after an invalidation those through old translations are over.
 */
#define CLOCKS (2 * EXPLORE_CPUS)
struct clock {
	uint32_t c[CLOCKS];
};
static inline void clock_join(struct clock *to, const struct clock *from)
{
	for (unsigned i = 0; i < CLOCKS; i++)
		if (to->c[i] < from->c[i])
			to->c[i] = from->c[i];
}

/* What is before each CPU's next access. memory.c moves it, race.c compares with it. */
extern struct clock memory_clock[EXPLORE_CPUS];
/* What is before its accesses at EL0 in addition: what was before the descriptors that it walked. */
extern struct clock memory_walk[EXPLORE_CPUS];

/* A run is on: memory_begin to memory_end. */
extern bool memory_on;
/* explore_portable. */
extern bool memory_portable;

/* C11's orders as the compiler numbers them. */
static inline bool order_acquires(int order) { return order == __ATOMIC_ACQUIRE || order >= __ATOMIC_ACQ_REL; }
static inline bool order_releases(int order) { return order >= __ATOMIC_RELEASE; }

/* --- memory.c: atomic accesses of 1, 2, 4 or 8 aligned bytes --- */
uint64_t memory_load(uint32_t cpu, const void *p, unsigned size, int order, const void *pc);
void memory_store(uint32_t cpu, void *p, unsigned size, uint64_t value, int order, const void *pc);

enum rmw { RMW_SWAP, RMW_ADD, RMW_SUB, RMW_AND, RMW_OR, RMW_XOR, RMW_NAND };
/* => the value before. */
uint64_t memory_rmw(uint32_t cpu, void *p, unsigned size, enum rmw op, uint64_t operand, int order, const void *pc);
/* => true: *expected was found and is value now; else *expected is what was found. */
bool memory_cas(uint32_t cpu, void *p, unsigned size, uint64_t *expected, uint64_t value, int order, int failure,
		const void *pc);
void memory_fence(uint32_t cpu, int order, const void *pc);

/*
 * A plain access is about to happen: this CPU's stores to those bytes leave its buffer first. A plain write ends the
 * history of the atomics there.
 */
void memory_plain(uint32_t cpu, const void *p, size_t n, bool write);

/* --- race.c --- */
enum { RACE_WRITE = 1, RACE_ATOMIC = 2, RACE_USER = 4 }; /* user: at EL0, atomic too */
/* Checks an access against all that are not before it, and notes it. Fails the run on a race. */
void race_access(uint32_t cpu, const void *p, size_t n, unsigned kind, const void *pc);
/* Forgets everything: what was done so far is before all that comes. */
void race_begin(void);
/* Histories of atomics hang at the words of race.c's map: first location of the word at p; NULL when there is none. */
struct location;
struct location **race_word(const void *p, bool make);

/*
 * Bytes that are no kernel memory: the simulator's own state, which stands for hardware. Accesses to them are neither
 * checked nor weakened. Before the run.
 */
void memory_exempt(const void *p, size_t n);
bool memory_exempted(const void *p);

/* "symbol+offset" or a number; good until the fourth call from now. */
const char *memory_name(const void *p);

#endif
