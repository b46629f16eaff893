/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/counters.h: how often what happened. One list, with unit and meaning; each
 * CPU writes its own, readers add them up.
 */
#ifndef VM_COUNTERS_H
#define VM_COUNTERS_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/cpu.h"

/* X(symbol, unit, meaning). Append here; nothing else needs to know. */
#define COUNTERS(X) \
	X(faults, "faults", "page faults, all kinds") \
	X(faults_zero, "faults", "anonymous memory touched first, zero-filled") \
	X(faults_zero_read, "faults", "anonymous memory read first, the shared zero page mapped") \
	X(faults_cow, "faults", "private page copied on write") \
	X(faults_reuse, "faults", "private page written in place, the last reference") \
	X(faults_file, "faults", "object's page mapped") \
	X(faults_block, "faults", "resolved with a 2 MiB block") \
	X(faults_spurious, "faults", "translation was there already") \
	X(faults_stale, "retries", "entry or page changed under the fault") \
	X(faults_busy, "retries", "translation or page in transit") \
	X(faults_nomem, "retries", "no frame or no zone object") \
	X(faults_refused, "faults", "ended in an error to the program") \
	X(tlb_flushes, "flushes", "TLB gathers that had something to flush") \
	X(maps, "calls", "ranges mapped") \
	X(unmaps, "calls", "ranges unmapped") \
	X(protects, "calls", "ranges whose protection was changed") \
	X(forks, "calls", "address spaces forked") \
	X(syscalls, "calls", "system calls") \
	X(syscalls_unknown, "calls", "system calls that answered ENOSYS") \
	X(oom_kills, "processes", "killed for want of memory") \
	X(pages_around, "pages", "mapped with the page that a fault was for") \
	X(pages_ahead, "pages", "anonymous memory made with the page that a fault was for")

enum counter {
#define X(symbol, unit, meaning) COUNTER_##symbol,
	COUNTERS(X)
#undef X
	COUNTER_COUNT
};

/* x: written by its own CPU, read by others */
struct counters_cpu {
	ATOMIC(uint64_t) value[COUNTER_COUNT]; /* x */
} ALIGNED(CACHE_LINE);

/* All zeros is the initial state. */
struct counters {
	struct counters_cpu cpu[CPU_MAX];
};

/* This CPU's own, for who counts several things at once: by atomic_bump. */
static inline struct counters_cpu *counters_here(struct counters *c) { return &c->cpu[cpu_id()]; }

/* Counts n more on this CPU. Thread context (an interrupt handler would need counters of its own). */
static inline void counter_add(struct counters *c, enum counter id, uint64_t n)
{
	atomic_bump(&c->cpu[cpu_id()].value[id], n);
}

/* Sum over all CPUs; may miss what is being counted at the moment. Any context. */
uint64_t counter_read(const struct counters *c, enum counter id);

const char *counter_name(enum counter id);
const char *counter_unit(enum counter id);
const char *counter_meaning(enum counter id);

#endif
