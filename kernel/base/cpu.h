/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/cpu.h: what the ground needs of a CPU. Defined by each machine: the
 * inline parts in hal/<machine>/machine_cpu.h, which must supply
 *
 *   uint32_t cpu_id(void)           this CPU's index, 0 .. CPU_MAX-1; stable, since kernel
 *                                   mode is not preempted, until the caller blocks or yields
 *   size_t cpu_offset(void)         cpu_id() * CPU_STRIDE, in as few instructions as the machine has for it
 *   void cpu_relax(void)            one turn of a spin loop: yields the core to whoever holds what we wait for
 *   void cpu_barrier_all(void)      for the visitor of what has an owner (atomic.h, atomic_store_owner): between call and
 *                                   return every CPU of this machine has executed a full barrier. Slow: microseconds
 *   bool cpu_barrier_all_works(void)   false: it does nothing, and atomic_store_owner orders nothing; fixed at boot
 *   CPU_OWNER_STORE, CPU_OWNER_LOAD the C11 orders of atomic_store_owner and atomic_load_owner
 *   CPU_RELAXED_VOLATILE            defined where atomic.h may use volatile accesses as relaxed ones
 *   void cpu_point(void)            a point at which an explorer may switch CPUs; nothing on real machines
 *   uint64_t cpu_irq_save(void)     masks interrupts, returns the state before
 *   void cpu_irq_restore(uint64_t)  back to that state
 *   void cpu_irq_enable(void), cpu_irq_disable(void)  only where there are interrupts: real machines
 *   void *cpu_current(void)         the scheduler's word, its current thread; what cpu_set_current(void *) said here last
 *   struct cpu_debug *cpu_debug(void)  this CPU's record of held locks and epoch sections
 *   void *phys_to_virt(paddr_t)     where the kernel reaches a frame's bytes (direct map)
 *   paddr_t virt_to_phys(const void *)   the way back, for direct-map addresses only
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include "base/types.h"

#define CPU_MAX 128
#define CPU_HELD_MAX 16
/* Bytes from one CPU's part of a per-CPU array to the next, where the way to it counts: two lines, fetched as a pair. */
#define CPU_STRIDE_SHIFT 7
#define CPU_STRIDE (1u << CPU_STRIDE_SHIFT)

/* What this CPU holds, for lock ranks and sleep checks. Touched by its own CPU only. */
struct cpu_debug {
	uint32_t held_count;               /* spinlocks held */
	uint32_t epoch_depth;              /* epoch sections entered */
	uint8_t held_rank[CPU_HELD_MAX];   /* their ranks, in order of taking */
	const void *held_lock[CPU_HELD_MAX];
};

#include "machine_cpu.h"

#endif
