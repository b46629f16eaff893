/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/library/machine_cpu.h: base/cpu.h on a machine that has memory and CPUs
 * and nothing else: no MMU, no interrupts. A CPU is whatever host thread has
 * attached itself to it (lib/strata.h); physical addresses are host addresses.
 */
#ifndef HAL_LIBRARY_MACHINE_CPU_H
#define HAL_LIBRARY_MACHINE_CPU_H

#include <sched.h>

#include "base/compiler.h"

struct strata_machine;

/* What a thread knows of the CPU that it is; a thread that is none: an address that is no machine's, and so on. */
struct library_self {
	const struct strata_machine *machine;
	const void *zones;       /* the machine's struct zones: what an object's zone is compared with */
	size_t offset;           /* cpu_offset */
	struct library_cpu *cpu; /* NULL: it is none */
	uint32_t id;
	bool barrier_all; /* cpu_barrier_all works */
};

/* One CPU. */
struct library_cpu {
	struct library_self self; /* fixed: what its thread is told */
	uint32_t attached;        /* 1: a thread is this CPU; swapped */
	struct cpu_debug debug;   /* own thread only */
} ALIGNED(CACHE_LINE);

/* What a thread is that is attached to nothing: matches no machine and no zone, NULL included. */
extern const struct library_self library_nobody;

/* The CPU that this thread is, by value: the way of every call has one comparison, no test for NULL, and no pointer to follow. */
extern _Thread_local struct library_self library_self;

/* Called in the place of cpu_relax's yield unless NULL: by who runs several CPUs in one thread. */
extern _Thread_local void (*library_relax)(void);

static inline uint32_t cpu_id(void) { return library_self.id; }
static inline size_t cpu_offset(void) { return library_self.offset; }
static inline struct cpu_debug *cpu_debug(void) { return &library_self.cpu->debug; }
static inline void cpu_point(void) {}

/* Whoever holds what we wait for may have no host core: let go of ours. */
static inline void cpu_relax(void)
{
	if (UNLIKELY(library_relax != NULL))
		library_relax();
	else
		sched_yield();
}

/*
 * A plain store and a plain load on x86: the host's kernel interrupts the process's other running threads when a
 * visitor asks for it. machine.c.
 */
#define CPU_OWNER_STORE __ATOMIC_RELEASE
#define CPU_OWNER_LOAD __ATOMIC_ACQUIRE
void cpu_barrier_all(void);
static inline bool cpu_barrier_all_works(void) { return library_self.barrier_all; }

/* Nothing interrupts a thread here. */
static inline uint64_t cpu_irq_save(void) { return 0; }
static inline void cpu_irq_restore(uint64_t state) { (void)state; }

static inline void *phys_to_virt(paddr_t p) { return (void *)(uintptr_t)p.pa; }
static inline paddr_t virt_to_phys(const void *p) { return paddr((uint64_t)(uintptr_t)p); }

#endif
