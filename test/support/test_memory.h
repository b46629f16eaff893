/* SPDX-License-Identifier: BSD-2-Clause */
/* test/support/test_memory.h: a simulated machine with frames, epoch and zones on it, for tests of kernel memory. */
#ifndef TEST_MEMORY_H
#define TEST_MEMORY_H

#include "sync/epoch.h"
#include "test_machine.h"
#include "vm/frame.h"
#include "vm/zone.h"

struct test_memory {
	struct test_machine t;
	struct frames frames;
	struct epoch epoch;
	struct zones zones;
	struct frame_audit before; /* just after boot */
	ATOMIC(uint64_t) turn;     /* fail_some: calls so far */
	uint64_t fail_one_in;
};

/* A machine of ncpus CPUs and ram bytes, full of junk, with everything initialised. */
struct test_memory *memory_open(uint32_t ncpus, uint64_t ram);

/* The same on a machine without cpu_barrier_all. */
struct test_memory *memory_open_with(uint32_t ncpus, uint64_t ram, bool no_barrier_all);

/* Drains zones, epochs and caches; then every frame must be where it was after boot. Any thread of the machine. */
void memory_empty(struct test_memory *m);
void memory_check(struct test_memory *m);

/* memory_check, and the machine is gone. */
void memory_close(struct test_memory *m);

/* The same after a panic that a test provoked: locks may be held, frames lost. */
void memory_abandon(struct test_memory *m);

/* The calling thread becomes another CPU. */
void become_cpu(struct test_memory *m, uint32_t cpu);

/*
 * From now on the calling thread lets others run at random points between its
 * atomic accesses (one_in: the mean number of accesses from one to the next), so
 * that windows of one instruction are met also on few host cores. 0: no more.
 */
void jitter(unsigned one_in);

/* From now on one allocation in n fails; 0: none. */
void memory_fail(struct test_memory *m, uint64_t one_in);

#endif
