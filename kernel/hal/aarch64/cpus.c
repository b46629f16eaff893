/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/cpus.c: one CPU to all CPUs.
 *
 * The boot CPU prepares a struct cpu with stacks for every other CPU of the
 * tree while there is boot memory to take. machine_start_cpus asks PSCI for one
 * after the other; each enters boot.S with its id in x0, turns its MMU on with
 * the final tables, joins (features, interrupt controller, timer) and reports.
 * Ids are dense: an id whose CPU the firmware refuses goes to the next one.
 *
 * Memory order. The boot CPU stores everything before psci_cpu_on (DSB SY, then
 * a call into the firmware that starts the CPU: nothing is earlier than that
 * for the new CPU). arrived: the new CPU adds acq_rel, the boot CPU loads acquire.
 *
 * Failure. A CPU that the firmware refuses is left out, with a message. One
 * that was accepted and does not report is a panic: it may come at any moment.
 */
#include "cpus.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/print.h"
#include "context_private.h"
#include "cpu_table.h"
#include "features.h"
#include "gic.h"
#include "hal/context.h"
#include "hal/machine.h"
#include "hal/mmu.h"
#include "info.h"
#include "irq.h"
#include "psci.h"
#include "sysreg.h"
#include "tables.h"

#define START_WAIT UINT64_C(60000000000) /* ns; an emulator may have many CPUs on few cores */

static paddr_t secondary_entry;
static uint32_t prepared;
static bool startable[CPU_MAX];
static void (*secondary_function)(void);
static ATOMIC(uint32_t) arrived = ATOMIC_INIT(1);

void cpus_init_boot(void)
{
	context_stack_mark((void *)boot_cpu.stack);
	boot_cpu.mpidr = sysreg_read(mpidr_el1) & UINT64_C(0xff00ffffff);
	cpus[0] = &boot_cpu;
}

void cpus_init(const struct tree *t, paddr_t entry)
{
	secondary_entry = entry;
	boot_cpu.redistributor = gic_find_redistributor(boot_cpu.mpidr);
	for (uint32_t i = 1; i < t->ncpus; i++) {
		struct cpu *c = boot_alloc(sizeof *c, _Alignof(struct cpu));

		c->id = i;
		c->mpidr = t->mpidr[i];
		c->redistributor = gic_find_redistributor(c->mpidr);
		c->stack = (uint64_t)boot_alloc(KSTACK_SIZE, KSTACK_SIZE);
		c->stack_limit = c->stack + STACK_MARGIN;
		context_stack_mark((void *)c->stack);
		c->emergency = (uint64_t)boot_alloc(EMERGENCY_SIZE, 16) + EMERGENCY_SIZE;
		startable[i] = t->startable[i];
		cpus[i] = c;
	}
	prepared = t->ncpus;
}

void secondary_main(void)
{
	mmu_clear_user();
	mmu_tlbi_local_all();
	features_join();
	irq_cpu_init();
	/* release: pairs with machine_start_cpus */
	atomic_add_acq_rel(&arrived, 1u);
	secondary_function();
	panic("CPU %u has nothing more to do", cpu_id());
}

void machine_start_cpus(void (*entry)(void))
{
	uint64_t until = machine_now() + START_WAIT;
	uint32_t id = 1;

	secondary_function = entry;
	for (uint32_t i = 1; i < prepared; i++) {
		struct cpu *c = cpus[id], *next = cpus[i];
		int32_t status;

		/* The next CPU of the tree takes the first id that is free. */
		c->mpidr = next->mpidr;
		c->redistributor = next->redistributor;
		dsb_sy();
		cpus_set_online(id + 1);
		status = startable[i] ? psci_cpu_on(c->mpidr, secondary_entry, id) : -1;
		if (status == 0)
			id++;
		else
			kprintf("CPU with MPIDR %#lx does not start (%s %d)\n", c->mpidr,
				startable[i] ? "PSCI says" : "its enable-method is not psci:", status);
	}
	cpus_set_online(id);
	/* acquire: pairs with secondary_main */
	while (atomic_load_acquire(&arrived) < id) {
		if (machine_now() > until)
			panic("%u of %u CPUs have not come up", id - atomic_load_relaxed(&arrived), id);
		cpu_relax();
	}
	info_set_cpus(id);
}
