/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/gic.c: the GICv3, as far as a kernel without devices needs it.
 *
 * Structure. One distributor (shared interrupts, INTID 32 and up), one
 * redistributor per CPU (SGIs 0 to 15, private interrupts 16 to 31), and a CPU
 * interface in system registers. Everything is non-secure group 1, one
 * priority, no preemption. Redistributors lie in one or several regions; each
 * says in GICR_TYPER which CPU it belongs to.
 *
 * Locking. The distributor is written at boot and by gic_enable on the boot
 * CPU only, but for gic_pend, whose register needs no reading; redistributors by their own CPU. The CPU interface is the CPU's.
 *
 * Memory order. An SGI announces stores that its receiver is to see: DSB
 * ISHST before the register write that raises it.
 *
 * Failure. A controller that is not a GICv3, or a CPU without redistributor:
 * machine_fail at boot.
 *
 * Sources: Arm IHI 0069 (GIC architecture, versions 3 and 4).
 */
#include "gic.h"

#include "fail.h"
#include "hal/mmu.h"
#include "sysreg.h"
#include "tables.h"

#define GICD_CTLR 0x0000
#define GICD_CTLR_GROUPS 3u /* group 1, in either security state's view */
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_RWP (1u << 31)
#define GICD_TYPER 0x0004
#define GICD_IGROUPR 0x0080
#define GICD_ISENABLER 0x0100
#define GICD_ICENABLER 0x0180
#define GICD_ISPENDR 0x0200
#define GICD_ICPENDR 0x0280
#define GICD_ICACTIVER 0x0380
#define GICD_IPRIORITYR 0x0400
#define GICD_ICFGR 0x0c00
#define GICD_IGRPMODR 0x0d00
#define GICD_IROUTER 0x6000
#define GICD_PIDR2 0xffe8

#define GICR_CTLR 0x0000
#define GICR_CTLR_RWP (1u << 3)
#define GICR_TYPER 0x0008
#define GICR_TYPER_VLPIS (1u << 1)
#define GICR_TYPER_LAST (1u << 4)
#define GICR_WAKER 0x0014
#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)
#define GICR_SGI 0x10000   /* second page: the distributor's registers for INTID 0 to 31 */
#define GICR_FRAME 0x20000 /* two pages of 64 KiB; four with virtual LPIs */

#define PRIORITY 0xa0u
#define EVERY(priority) ((priority)*0x01010101u)
#define MPIDR_AFFINITY 0xff00ffffffu

static uint64_t distributor;
static uint32_t shared_irqs; /* first INTID that is not there */
static struct {
	uint64_t at, size;
} regions[TREE_GIC_REGIONS];
static uint32_t region_count;
static uint64_t stride;

/* Bounded: the hardware answers in a few cycles or never. */
static void wait_clear(uint64_t at, uint32_t bit, const char *what)
{
	for (unsigned i = 0; mmio_read32(at) & bit; i++)
		if (i == 10000000)
			machine_fail("GIC: %s does not answer", what);
}

static void check_identity(uint64_t at, const char *what, uint64_t physical)
{
	unsigned revision = mmio_read32(at + GICD_PIDR2) >> 4 & 15;

	if (revision != 3 && revision != 4)
		machine_fail("no GICv3 %s at %#lx (revision %u)", what, physical, revision);
}

void gic_init(const struct tree *t)
{
	uint64_t here = sysreg_read(mpidr_el1) & MPIDR_AFFINITY;

	if (id_field(sysreg_read(id_aa64pfr0_el1), 24) == 0)
		machine_fail("the CPU has no GICv3 interface");
	distributor = tables_map_device(paddr(t->distributor.address), t->distributor.size);
	check_identity(distributor, "distributor", t->distributor.address);
	stride = t->redistributor_stride;
	region_count = t->redistributor_regions;
	for (uint32_t i = 0; i < region_count; i++) {
		regions[i].size = t->redistributors[i].size;
		regions[i].at = tables_map_device(paddr(t->redistributors[i].address), regions[i].size);
		check_identity(regions[i].at, "redistributor", t->redistributors[i].address);
	}

	mmio_write32(distributor + GICD_CTLR, 0);
	wait_clear(distributor + GICD_CTLR, GICD_CTLR_RWP, "the distributor");
	shared_irqs = 32 * ((mmio_read32(distributor + GICD_TYPER) & 31) + 1);
	if (shared_irqs > GIC_NONE)
		shared_irqs = GIC_NONE;
	for (uint32_t i = 32; i < shared_irqs; i += 32) {
		mmio_write32(distributor + GICD_ICENABLER + i / 8, ~0u);
		mmio_write32(distributor + GICD_ICPENDR + i / 8, ~0u);
		mmio_write32(distributor + GICD_ICACTIVER + i / 8, ~0u);
		mmio_write32(distributor + GICD_IGROUPR + i / 8, ~0u);
		mmio_write32(distributor + GICD_IGRPMODR + i / 8, 0);
	}
	for (uint32_t i = 32; i < shared_irqs; i += 4)
		mmio_write32(distributor + GICD_IPRIORITYR + i, EVERY(PRIORITY));
	for (uint32_t i = 32; i < shared_irqs; i += 16)
		mmio_write32(distributor + GICD_ICFGR + i / 4, 0);
	wait_clear(distributor + GICD_CTLR, GICD_CTLR_RWP, "the distributor");
	mmio_write32(distributor + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GROUPS);
	wait_clear(distributor + GICD_CTLR, GICD_CTLR_RWP, "the distributor");
	for (uint32_t i = 32; i < shared_irqs; i++)
		mmio_write64(distributor + GICD_IROUTER + 8 * i, here);
}

uint64_t gic_find_redistributor(uint64_t mpidr)
{
	/* GICR_TYPER has the affinity packed into 32 bits. */
	uint64_t affinity = (mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000);

	for (uint32_t i = 0; i < region_count; i++) {
		for (uint64_t at = 0; at + GICR_FRAME <= regions[i].size;) {
			uint64_t typer = mmio_read64(regions[i].at + at + GICR_TYPER);

			if (typer >> 32 == affinity)
				return regions[i].at + at;
			if (typer & GICR_TYPER_LAST)
				break;
			at += stride ? stride : typer & GICR_TYPER_VLPIS ? 2 * GICR_FRAME : GICR_FRAME;
		}
	}
	machine_fail("GIC: the CPU with MPIDR %#lx has no redistributor", mpidr);
}

void gic_cpu_init(void)
{
	uint64_t r = cpu_self()->redistributor, sgi = r + GICR_SGI;

	mmio_write32(r + GICR_WAKER, mmio_read32(r + GICR_WAKER) & ~GICR_WAKER_SLEEP);
	wait_clear(r + GICR_WAKER, GICR_WAKER_ASLEEP, "a redistributor");
	mmio_write32(sgi + GICD_ICENABLER, ~0u);
	mmio_write32(sgi + GICD_ICPENDR, ~0u);
	mmio_write32(sgi + GICD_ICACTIVER, ~0u);
	mmio_write32(sgi + GICD_IGROUPR, ~0u);
	mmio_write32(sgi + GICD_IGRPMODR, 0);
	for (uint32_t i = 0; i < 32; i += 4)
		mmio_write32(sgi + GICD_IPRIORITYR + i, EVERY(PRIORITY));
	mmio_write32(sgi + GICD_ISENABLER, 1u << GIC_SGI_RESCHEDULE | 1u << GIC_SGI_STOP);
	wait_clear(r + GICR_CTLR, GICR_CTLR_RWP, "a redistributor");

	sysreg_write_x(ICC_SRE_EL1, sysreg_read_x(ICC_SRE_EL1) | 1);
	isb();
	if (!(sysreg_read_x(ICC_SRE_EL1) & 1))
		machine_fail("GIC: CPU %u has no system register interface", cpu_id());
	sysreg_write_x(ICC_PMR_EL1, 0xff);
	sysreg_write_x(ICC_BPR1_EL1, 0);
	sysreg_write_x(ICC_CTLR_EL1, 0); /* one write ends an interrupt */
	sysreg_write_x(ICC_IGRPEN1_EL1, 1);
	isb();
}

void gic_enable(uint32_t irq, bool edge)
{
	uint64_t base = irq < 32 ? cpu_self()->redistributor + GICR_SGI : distributor;
	uint64_t config = base + GICD_ICFGR + irq / 16 * 4;
	uint32_t bit = 2u << irq % 16 * 2;

	if (irq >= shared_irqs)
		machine_fail("GIC: there is no interrupt %u", irq);
	/* The configuration of private interrupts is fixed in most implementations, and right. */
	if (irq >= 32)
		mmio_write32(config, (mmio_read32(config) & ~bit) | (edge ? bit : 0));
	mmio_write32(base + GICD_ISENABLER + irq / 32 * 4, 1u << irq % 32);
}

void gic_pend(uint32_t irq) { mmio_write32(distributor + GICD_ISPENDR + irq / 32 * 4, 1u << irq % 32); }

uint32_t gic_acknowledge(void)
{
	uint32_t irq = (uint32_t)sysreg_read_x(ICC_IAR1_EL1) & 0xffffff;

	/* What the interrupt announces is read after the acknowledgement. */
	dsb_sy();
	return irq;
}

void gic_end(uint32_t irq)
{
	sysreg_write_x(ICC_EOIR1_EL1, irq);
	isb();
}

void gic_send(uint32_t cpu, unsigned sgi)
{
	uint64_t mpidr = cpus[cpu]->mpidr, a0 = mpidr & 0xff;

	mmu_dsb_ishst();
	sysreg_write_x(ICC_SGI1R_EL1, (mpidr >> 32 & 0xff) << 48 | (a0 >> 4) << 44 | (mpidr >> 16 & 0xff) << 32 |
					      (uint64_t)sgi << 24 | (mpidr >> 8 & 0xff) << 16 |
					      UINT64_C(1) << (a0 & 15));
	isb();
}
