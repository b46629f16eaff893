/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/tree.h: what the device tree says about this machine. Boot CPU,
 * once, in this order; a tree that cannot be used ends in machine_fail with one
 * line that says why. Everything found is copied: the tree is not read later.
 */
#ifndef HAL_AARCH64_TREE_H
#define HAL_AARCH64_TREE_H

#include "base/cpu.h"
#include "psci.h"
#include "regions.h"

#define TREE_GIC_REGIONS 8
#define TREE_SEED 64

/* A physical address and a size. */
struct tree_reg {
	uint64_t address, size;
};

struct tree {
	/* tree_open */
	struct machine_range blob; /* the tree itself */
	char command_line[sizeof((struct machine_info *)0)->command_line];
	uint64_t initrd_start, initrd_end; /* both 0: none */
	uint8_t seed[TREE_SEED];           /* /chosen/rng-seed */
	uint32_t seed_size;
	/* tree_uart */
	struct tree_reg uart;
	uint32_t uart_irq; /* GIC interrupt number; 0: none */
	bool uart_edge;
	/* tree_scan */
	uint32_t ncpus;
	uint64_t mpidr[CPU_MAX]; /* [0] is the CPU that booted */
	bool startable[CPU_MAX]; /* its enable-method is psci */
	uint32_t ignored_cpus;   /* more than CPU_MAX */
	struct regions ram;      /* page aligned; what the tree says no-map is cut out */
	struct regions reserved; /* page aligned: /memreserve/ and /reserved-memory */
	uint64_t ignored_ram;    /* bytes beyond the direct map */
	struct tree_reg distributor;
	struct tree_reg redistributors[TREE_GIC_REGIONS];
	uint32_t redistributor_regions;
	uint64_t redistributor_stride; /* 0: by GICR_TYPER */
	uint32_t timer_irq;            /* virtual timer's GIC interrupt number */
	uint32_t doze_irq;             /* physical timer's; 0: none */
	uint32_t timer_hz;             /* the tree's idea; 0: ask CNTFRQ_EL0 */
	enum psci_conduit psci;
};

/* Maps the tree at that physical address, checks its structure, reads /chosen. */
void tree_open(struct tree *t, paddr_t at);

/* Finds the console: stdout-path if it is a PL011, else the first PL011. False: there is none. */
bool tree_uart(struct tree *t);

/* Everything else. boot_mpidr: affinity of the CPU that asks. */
void tree_scan(struct tree *t, uint64_t boot_mpidr);

#endif
