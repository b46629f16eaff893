/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/machine_cpu.h: base/cpu.h on real CPUs. TPIDR_EL1 leads to the
 * CPU's own struct cpu; kernel mode is not preempted, so what it leads to stays
 * the same until the caller blocks or yields.
 */
#ifndef HAL_AARCH64_MACHINE_CPU_H
#define HAL_AARCH64_MACHINE_CPU_H

#include "asm_layout.h"

#define MACHINE_PTE_PLAIN /* a descriptor is a word in memory: hal/mmu.h */
#define CPU_RELAXED_VOLATILE /* base/atomic.h */

/* o: touched by its own CPU only; c: constant once the CPU runs. Assembly knows the first four fields after id. */
struct cpu {
	uint32_t id;            /* c: 0 is the CPU that booted */
	uint32_t work;          /* o: an interrupt came that may have left something to do before EL0 (trap.c) */
	uint64_t stack;         /* o: lowest byte of the kernel stack that is in use */
	uint64_t stack_limit;   /* o: stack + STACK_MARGIN */
	uint64_t emergency;     /* c: top of the stack for reports of stack overflow */
	void *current;          /* o: the scheduler's word */
	void *user_stack;       /* o: what context_set_kernel_stack said */
	uint64_t mpidr;         /* c: affinity fields of MPIDR_EL1 */
	uint64_t redistributor; /* c: virtual address of this CPU's GICv3 redistributor */
	uint32_t spins;         /* o: turns of spin loops, for cpu_relax */
	bool can_doze;          /* o: cpu_doze works */
	struct cpu_debug debug; /* o */
} __attribute__((aligned(64)));
_Static_assert(__builtin_offsetof(struct cpu, stack) == CPU_STACK, "vectors.S");
_Static_assert(__builtin_offsetof(struct cpu, stack_limit) == CPU_STACK_LIMIT, "vectors.S");
_Static_assert(__builtin_offsetof(struct cpu, emergency) == CPU_EMERGENCY, "vectors.S");

/* All CPUs by id; NULL where there is none. Written by the boot CPU before it starts the others. */
extern struct cpu *cpus[CPU_MAX];

/* volatile: the answer differs before and after a switch of threads. */
static inline struct cpu *cpu_self(void)
{
	struct cpu *c;

	__asm__ __volatile__("mrs %0, tpidr_el1" : "=r"(c));
	return c;
}

static inline uint32_t cpu_id(void) { return cpu_self()->id; }
static inline size_t cpu_offset(void) { return (size_t)cpu_self()->id << CPU_STRIDE_SHIFT; }
static inline void *cpu_current(void) { return cpu_self()->current; }
static inline void cpu_set_current(void *thread) { cpu_self()->current = thread; }
static inline struct cpu_debug *cpu_debug(void) { return &cpu_self()->debug; }

/*
 * A CPU of a virtual machine may spin for one that its host does not run at the
 * moment, perhaps because of this spinning. So a spinner sleeps now and then, for
 * about as long as it has spun.
 */
#define CPU_SPINS 1024
void cpu_doze(void); /* irq.c */
static inline void cpu_relax(void)
{
	__asm__ __volatile__("yield" ::: "memory");
	if (__builtin_expect(++cpu_self()->spins % CPU_SPINS == 0, 0))
		cpu_doze();
}
static inline void cpu_point(void) {}

/*
 * STLR and LDAR are cheap and keep their order, so owners use them and visitors need no more than their own seq_cst
 * accesses. The alternative, an interrupt to every CPU for each visit, would pay for a pair of plain instructions.
 */
#define CPU_OWNER_STORE __ATOMIC_SEQ_CST
#define CPU_OWNER_LOAD __ATOMIC_SEQ_CST
static inline void cpu_barrier_all(void) {}
static inline bool cpu_barrier_all_works(void) { return true; }

static inline uint64_t cpu_irq_save(void)
{
	uint64_t daif;

	__asm__ __volatile__("mrs %0, daif\n\tmsr daifset, #2" : "=r"(daif)::"memory");
	return daif;
}
static inline void cpu_irq_restore(uint64_t daif) { __asm__ __volatile__("msr daif, %0" ::"r"(daif) : "memory"); }
static inline void cpu_irq_enable(void) { __asm__ __volatile__("msr daifclr, #2" ::: "memory"); }
static inline void cpu_irq_disable(void) { __asm__ __volatile__("msr daifset, #2" ::: "memory"); }

/* The direct map begins with physical address 0. */
static inline void *phys_to_virt(paddr_t p) { return (void *)(uintptr_t)(p.pa + DIRECT_BASE); }
static inline paddr_t virt_to_phys(const void *v) { return (paddr_t){(uintptr_t)v - DIRECT_BASE}; }

#endif
