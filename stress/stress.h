/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress/stress.h: random memory operations on every vCPU at once, judged.
 *
 * Threads share address spaces (roots). In a root each thread has a window of
 * pages of its own, next to those of the others so that leaf tables, amap nodes
 * and merged entries are shared, and of its own window it knows exactly what
 * every page holds and allows: the reference. Besides there is a window that
 * all fight over, and a shared object mapped shared and private; there each
 * word says which page it belongs to, so a wrong frame is seen at once.
 * Spaces are forked, used and dropped at random, three deep.
 */
#ifndef STRESS_H
#define STRESS_H

#include "test_vm.h"

#define WINDOW 150u        /* pages of a thread's window: not a multiple of anything */
#define FIGHT 12u          /* pages of the window of all */
#define FILE_PAGES 24u     /* pages of the shared object */
#define DEPTH 3u           /* forks below a root */
#define ROOTS 2u

/* The reference for one page of a thread's own window. */
struct page_model {
	bool mapped, unsure;   /* unsure: value or 0, a discard ran out of memory half-way */
	uint8_t prot, inherit;
	uint64_t value;        /* the page's first word; all others are 0 */
};

struct root {
	struct vm_map *map;
	struct vm_object *object;
	uint32_t number;
	uint64_t windows, fight, shared, private; /* where they start */
};

/* A space as one thread sees it. */
struct space {
	struct vm_map *map;
	struct page_model page[WINDOW];
};

struct worker {
	uint32_t cpu;
	struct stress *stress;
	struct root *root;
	struct space space[DEPTH + 1];
	unsigned depth;
	uint64_t base;         /* own window */
	uint64_t random;
	uint64_t operations, faults_refused, no_memory;
};

struct stress {
	struct test_vm v;
	struct root root[ROOTS];
	struct worker *worker;
	uint32_t threads;
	uint64_t seed, end;    /* ns */
	ATOMIC(uint64_t) done; /* operations; relaxed, for progress */
};

uint64_t stress_random(struct worker *w);
static inline uint64_t below(struct worker *w, uint64_t n) { return stress_random(w) % n; }

/* One random operation on the thread's current space. */
void stress_operation(struct worker *w);
/* Leaves all forks; verifies the own window on the way. */
void stress_unwind(struct worker *w);

#endif
