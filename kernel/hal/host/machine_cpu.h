/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/machine_cpu.h: base/cpu.h on the simulated machine, where a vCPU is
 * whatever host thread has attached itself to it (host.h, host_attach).
 */
#ifndef HAL_HOST_MACHINE_CPU_H
#define HAL_HOST_MACHINE_CPU_H

#include <sched.h>

#include "base/compiler.h"

struct host_machine;

/* For what knows which vCPU a thread is: with fibers, one thread is several, and a sanitizer sees each as a thread of its own. */
#define HOST_UNSEEN __attribute__((no_sanitize_thread))

/* The part of a vCPU that the functions below need; owned by the attached thread, constant but for debug. */
struct host_cpu {
	struct host_machine *machine;
	uint32_t id;
	uint64_t ram_start, ram_end; /* physical span of all banks, holes included */
	char *arena;                 /* host address of ram_start */
	struct cpu_debug debug;
	void *current;
};

/* The vCPU that this thread is; NULL when it is none. */
extern _Thread_local struct host_cpu *host_self;

/* Called at every cpu_point() of this thread unless NULL: an explorer's chance to run another vCPU. */
extern _Thread_local void (*host_point)(void);
/* Called in the place of all that cpu_relax() does unless NULL: this vCPU waits for another one. */
extern _Thread_local void (*host_relax)(void);

/* Called in the place of cpu_barrier_all's system call unless NULL: an explorer's model of it. */
extern _Thread_local void (*host_barrier_all)(void);

/* Panics: the thread is no vCPU / the address is not RAM. */
void NORETURN host_not_attached(void);
void NORETURN host_not_ram(uint64_t address);

static inline HOST_UNSEEN struct host_cpu *host_cpu_self(void)
{
	if (UNLIKELY(!host_self))
		host_not_attached();
	return host_self;
}

/* cpu_id() * CPU_STRIDE of the vCPU that this thread is; SIZE_MAX when it is none. Goes with host_self. */
extern _Thread_local size_t host_offset;

static inline HOST_UNSEEN size_t cpu_offset(void)
{
#if STRATA_CHECKED
	if (UNLIKELY(!host_self))
		host_not_attached();
#endif
	return host_offset;
}

static inline uint32_t cpu_id(void) { return host_cpu_self()->id; }
static inline void *cpu_current(void) { return host_cpu_self()->current; }
static inline void cpu_set_current(void *thread) { host_cpu_self()->current = thread; }
static inline struct cpu_debug *cpu_debug(void) { return &host_cpu_self()->debug; }

/* As on a real machine, nothing in a build that checks nothing: what is measured there are the kernel's own instructions. */
static inline void cpu_point(void)
{
#if STRATA_CHECKED
	if (UNLIKELY(host_point != NULL))
		host_point();
#endif
}

/*
 * A plain store and a plain load on x86: the host's kernel interrupts the process's other running threads when a visitor
 * asks for it (membarrier). host_machine.c.
 */
#define CPU_OWNER_STORE __ATOMIC_RELEASE
#define CPU_OWNER_LOAD __ATOMIC_ACQUIRE
void cpu_barrier_all(void);
bool cpu_barrier_all_works(void);

/* Whoever holds what we wait for may have no host core: always let go of ours. */
static inline void cpu_relax(void)
{
	if (UNLIKELY(host_relax != NULL)) {
		host_relax();
		return;
	}
	cpu_point();
	sched_yield();
}

/* Nothing interrupts a vCPU thread. */
static inline uint64_t cpu_irq_save(void) { return 0; }
static inline void cpu_irq_restore(uint64_t state) { (void)state; }

static inline void *phys_to_virt(paddr_t p)
{
	const struct host_cpu *c = host_cpu_self();

	if (UNLIKELY(p.pa < c->ram_start || p.pa >= c->ram_end))
		host_not_ram(p.pa);
	return c->arena + (p.pa - c->ram_start);
}

static inline paddr_t virt_to_phys(const void *p)
{
	const struct host_cpu *c = host_cpu_self();
	uint64_t offset = (uint64_t)(uintptr_t)p - (uint64_t)(uintptr_t)c->arena;

	if (UNLIKELY(offset >= c->ram_end - c->ram_start))
		host_not_ram((uint64_t)(uintptr_t)p);
	return paddr(c->ram_start + offset);
}

#endif
