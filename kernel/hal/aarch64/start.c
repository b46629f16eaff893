/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/start.c: from boot.S to kernel_main, in the order in which each
 * step makes the next one possible: tables, tree, a way to report trouble,
 * the rest of the tree, direct map, interrupts, the other CPUs' memory.
 */
#include "start.h"

#include <string.h>

#include "base/print.h"
#include "cpu_table.h"
#include "cpus.h"
#include "fail.h"
#include "features.h"
#include "generic_timer.h"
#include "gic.h"
#include "hal/machine.h"
#include "info.h"
#include "irq.h"
#include "pl011.h"
#include "power.h"
#include "print.h"
#include "psci.h"
#include "random.h"
#include "tables.h"

/* kernel.ld: where QEMU puts the tree when it starts a plain ELF file and so cannot pass its address */
extern char elf_ram_start[];

static struct tree tree;

static bool option_is(const char *key, const char *value)
{
	char text[32];

	return machine_option(key, text, sizeof text) && !strcmp(text, value);
}

static void start_console(void)
{
	bool uart = tree_uart(&tree);

	if (uart) {
		if (tree.uart.size == 0)
			tree.uart.size = PAGE_SIZE;
		pl011_init(tables_map_device(paddr(tree.uart.address), tree.uart.size));
	}
	power_init(option_is("exit", "semihosting"));
	if (!(option_is("kmsg", "semihosting") && print_to_semihosting()) && !print_to_uart())
		machine_fail("the device tree has no PL011 console");
	if (!uart)
		machine_fail("the device tree has no PL011 console");
}

void boot_main(paddr_t at, paddr_t image, paddr_t set_root, paddr_t secondary_entry)
{
	cpus_init_boot();
	features_init();
	tables_init(image, set_root);
	tree_open(&tree, at.pa ? at : paddr((uint64_t)elf_ram_start));
	info_set_command_line(&tree);
	start_console();
	tree_scan(&tree, boot_cpu.mpidr);
	psci_init(tree.psci);
	generic_timer_init(tree.timer_hz);
	random_init(tree.seed, tree.seed_size);
	gic_init(&tree);
	cpus_init(&tree, secondary_entry);
	for (uint32_t i = 0; i < tree.ram.count; i++)
		tables_map_direct(tree.ram.range[i].start, tree.ram.range[i].end, true);
	info_set_memory(&tree);
	irq_init(&tree);
	tables_check();
	if (tree.ignored_cpus)
		kprintf("%u CPUs are left out: the kernel has room for %u\n", tree.ignored_cpus, CPU_MAX);
	if (tree.ignored_ram)
		kprintf("%lu MiB of memory are left out: they lie beyond the direct map\n", tree.ignored_ram >> 20);
	kernel_main();
}
