/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/tree.c: the device tree, read with libfdt.
 *
 * Purpose. Everything that differs between machines comes from here: CPUs,
 * memory, interrupt controller, timer, console, PSCI's conduit, and what the
 * boot loader adds under /chosen.
 *
 * Structure. fdt_check_full goes over the whole blob once, so that later
 * offsets cannot lead outside it. reg() decodes addresses by the cells of the
 * node's parent and takes them up to the root through every ranges property;
 * interrupt() turns the GIC's three cells into an interrupt number. Then one
 * function per topic.
 *
 * Failure. Each thing that the kernel cannot do without ends in machine_fail
 * with a line that names it. Optional things (rng-seed, clock-frequency) are
 * left at 0. libfdt's fdt_addresses.o and fdt_rw.o are not used: Debian's
 * build of them has FP instructions.
 *
 * Sources: Devicetree Specification 0.4; Linux Documentation/devicetree/bindings
 * (arm/cpus, arm,gic-v3, arm,arch_timer, arm/psci, reserved-memory, chosen).
 */
#include "tree.h"

#include <libfdt.h>

#include "fail.h"
#include "tables.h"

#define TREE_MAX (UINT64_C(2) << 20) /* the arm64 boot protocol's limit */

static const void *blob;

static uint64_t cells_value(const fdt32_t *p, unsigned cells)
{
	uint64_t v = 0;

	while (cells-- > 0)
		v = v << 32 | fdt32_ld(p++);
	return v;
}

/* #address-cells and the like; what the specification says when it is absent. */
static unsigned cells_of(int node, const char *name, unsigned absent)
{
	int len;
	const fdt32_t *p = fdt_getprop(blob, node, name, &len);

	return p && len == 4 ? fdt32_ld(p) : absent;
}

static const char *path_of(int node)
{
	static char path[128];

	if (fdt_get_path(blob, node, path, sizeof path) != 0)
		path[0] = 0;
	return path;
}

/* An address on node's bus, seen from the CPU. False: not reachable. */
static bool translate(int bus, uint64_t *address, uint64_t size)
{
	while (bus > 0) {
		int parent = fdt_parent_offset(blob, bus), len;
		const fdt32_t *p = fdt_getprop(blob, bus, "ranges", &len);
		unsigned child = cells_of(bus, "#address-cells", 2), sizes = cells_of(bus, "#size-cells", 1), up, entry;
		bool found = false;

		if (parent < 0 || !p)
			return false;
		up = cells_of(parent, "#address-cells", 2);
		entry = child + up + sizes;
		if (len == 0)
			found = true;
		else if (child > 2 || up > 2 || sizes > 2 || entry == 0)
			return false;
		for (; !found && len >= (int)(entry * 4); len -= (int)(entry * 4), p += entry) {
			uint64_t from = cells_value(p, child), to = cells_value(p + child, up);
			uint64_t bytes = cells_value(p + child + up, sizes);

			if (*address >= from && *address - from < bytes && size <= bytes - (*address - from)) {
				*address = *address - from + to;
				found = true;
			}
		}
		if (!found)
			return false;
		bus = parent;
	}
	return true;
}

/* The index'th address and size of node's reg. False: absent or unusable. */
static bool reg(int node, unsigned index, struct tree_reg *out)
{
	int parent = fdt_parent_offset(blob, node), len;
	const fdt32_t *p = fdt_getprop(blob, node, "reg", &len);
	unsigned address, size;

	if (parent < 0 || !p)
		return false;
	address = cells_of(parent, "#address-cells", 2);
	size = cells_of(parent, "#size-cells", 1);
	if (address == 0 || address > 2 || size > 2 || (uint64_t)len < (uint64_t)(index + 1) * (address + size) * 4)
		return false;
	p += index * (address + size);
	out->address = cells_value(p, address);
	out->size = cells_value(p + address, size);
	return out->address + out->size >= out->address && translate(parent, &out->address, out->size);
}

static bool is_enabled(int node)
{
	const char *status = fdt_getprop(blob, node, "status", NULL);

	return !status || !strcmp(status, "okay") || !strcmp(status, "ok");
}

static int find_compatible(const char *name)
{
	int node = fdt_node_offset_by_compatible(blob, -1, name);

	while (node >= 0 && !is_enabled(node))
		node = fdt_node_offset_by_compatible(blob, node, name);
	return node;
}

/* The index'th interrupt of node as the GIC numbers it; 0: none. */
static uint32_t interrupt(int node, unsigned index, bool *edge)
{
	int gic = find_compatible("arm,gic-v3"), len;
	const fdt32_t *p = fdt_getprop(blob, node, "interrupts", &len);
	unsigned cells = gic < 0 ? 0 : cells_of(gic, "#interrupt-cells", 3);
	uint32_t type, number;

	if (!p || cells < 3 || (uint64_t)len < (uint64_t)(index + 1) * cells * 4)
		return 0;
	p += index * cells;
	type = fdt32_ld(p);
	number = fdt32_ld(p + 1);
	*edge = fdt32_ld(p + 2) & 3;
	if (type == 0 && number < 988)
		return number + 32;
	return type == 1 && number < 16 ? number + 16 : 0;
}

static void read_chosen(struct tree *t)
{
	int chosen = fdt_path_offset(blob, "/chosen"), len, len2;
	const void *p, *q;

	if (chosen < 0)
		return;
	p = fdt_getprop(blob, chosen, "bootargs", &len);
	if (p && len > 0) {
		size_t n = strnlen(p, (size_t)len);

		if (n >= sizeof t->command_line)
			n = sizeof t->command_line - 1;
		memcpy(t->command_line, p, n);
		t->command_line[n] = 0;
	}
	p = fdt_getprop(blob, chosen, "rng-seed", &len);
	if (p && len > 0) {
		t->seed_size = len < TREE_SEED ? (uint32_t)len : TREE_SEED;
		memcpy(t->seed, p, t->seed_size);
	}
	p = fdt_getprop(blob, chosen, "linux,initrd-start", &len);
	q = fdt_getprop(blob, chosen, "linux,initrd-end", &len2);
	if (p && q && (len == 4 || len == 8) && (len2 == 4 || len2 == 8)) {
		t->initrd_start = cells_value(p, (unsigned)len / 4);
		t->initrd_end = cells_value(q, (unsigned)len2 / 4);
	}
}

void tree_open(struct tree *t, paddr_t at)
{
	const uint64_t limit = UINT64_C(1) << DIRECT_BITS;
	paddr_t page = paddr(round_down(at.pa, PAGE_SIZE)), end;
	uint64_t size;
	int e;

	if (at.pa == 0 || at.pa & 7 || at.pa > limit - TREE_MAX - PAGE_SIZE)
		machine_fail("no device tree: its address is %#lx", at.pa);
	/* One page more than the header needs, since it need not start on one. */
	tables_map_direct(page, paddr(page.pa + PAGE_SIZE), false);
	blob = phys_to_virt(at);
	e = fdt_check_header(blob);
	if (e)
		machine_fail("no device tree at %#lx: %s", at.pa, fdt_strerror(e));
	size = fdt_totalsize(blob);
	if (size > TREE_MAX)
		machine_fail("the device tree at %#lx says that it has %lu bytes, more than %lu", at.pa, size,
			     TREE_MAX);
	end = paddr(round_up(at.pa + size, PAGE_SIZE));
	tables_map_direct(page, end, false);
	e = fdt_check_full(blob, size);
	if (e)
		machine_fail("the device tree at %#lx is broken: %s", at.pa, fdt_strerror(e));
	t->blob = (struct machine_range){page, end};
	read_chosen(t);
}

bool tree_uart(struct tree *t)
{
	int chosen = fdt_path_offset(blob, "/chosen"), node = -1, len;
	const char *path = chosen < 0 ? NULL : fdt_getprop(blob, chosen, "stdout-path", &len);

	if (path && len > 0) {
		/* "path:options" or "alias:options" */
		const char *colon = memchr(path, ':', (size_t)len);

		node = fdt_path_offset_namelen(blob, path,
					       colon ? (int)(colon - path) : (int)strnlen(path, (size_t)len));
		if (node >= 0 && fdt_node_check_compatible(blob, node, "arm,pl011") != 0)
			node = -1;
	}
	if (node < 0)
		node = find_compatible("arm,pl011");
	if (node < 0 || !reg(node, 0, &t->uart))
		return false;
	t->uart_irq = interrupt(node, 0, &t->uart_edge);
	return true;
}

static void scan_cpus(struct tree *t, uint64_t boot_mpidr)
{
	int cpus = fdt_path_offset(blob, "/cpus"), node;
	unsigned cells = cpus < 0 ? 0 : cells_of(cpus, "#address-cells", 1);
	bool boot_found = false;

	if (cpus < 0 || cells == 0 || cells > 2)
		machine_fail("the device tree has no CPU node");
	t->ncpus = 1;
	t->mpidr[0] = boot_mpidr;
	fdt_for_each_subnode(node, blob, cpus)
	{
		int len;
		const char *type = fdt_getprop(blob, node, "device_type", NULL);
		const char *method = fdt_getprop(blob, node, "enable-method", NULL);
		const char *status = fdt_getprop(blob, node, "status", NULL);
		const fdt32_t *p = fdt_getprop(blob, node, "reg", &len);
		uint64_t mpidr;

		if (!type || strcmp(type, "cpu") || !p || len != (int)cells * 4 ||
		    (status && !strncmp(status, "fail", 4)))
			continue;
		mpidr = cells_value(p, cells);
		if (mpidr == boot_mpidr) {
			boot_found = true;
		} else if (t->ncpus == CPU_MAX) {
			t->ignored_cpus++;
		} else {
			t->startable[t->ncpus] = method && !strcmp(method, "psci");
			t->mpidr[t->ncpus++] = mpidr;
		}
	}
	if (!boot_found && t->ncpus == 1)
		machine_fail("the device tree has no CPU node");
	if (!boot_found)
		machine_fail("the device tree has no node for the CPU that booted (MPIDR %#lx)", boot_mpidr);
}

static void too_many(enum error e, const char *what)
{
	if (e != OK)
		machine_fail("the device tree has more than %u %s", MACHINE_BANKS, what);
}

static void scan_memory(struct tree *t)
{
	const uint64_t limit = UINT64_C(1) << DIRECT_BITS;
	int node, reserved = fdt_path_offset(blob, "/reserved-memory");
	struct tree_reg r;

	fdt_for_each_subnode(node, blob, 0)
	{
		const char *type = fdt_getprop(blob, node, "device_type", NULL);

		if (!type || strcmp(type, "memory") || !is_enabled(node))
			continue;
		for (unsigned i = 0; reg(node, i, &r); i++) {
			uint64_t start = round_up(r.address, PAGE_SIZE),
				 end = round_down(r.address + r.size, PAGE_SIZE);

			if (end > limit) {
				t->ignored_ram += end - (start > limit ? start : limit);
				end = limit;
			}
			too_many(regions_add(&t->ram, start, end), "banks of memory");
		}
	}
	if (t->ram.count == 0)
		machine_fail("the device tree has no memory node");
	for (int i = 0; i < fdt_num_mem_rsv(blob); i++)
		if (fdt_get_mem_rsv(blob, i, &r.address, &r.size) == 0 && r.address + r.size >= r.address)
			too_many(regions_add(&t->reserved, round_down(r.address, PAGE_SIZE),
					     round_up(r.address + r.size, PAGE_SIZE)),
				 "reserved ranges");
	if (reserved < 0)
		return;
	fdt_for_each_subnode(node, blob, reserved)
	{
		bool no_map = fdt_getprop(blob, node, "no-map", NULL);

		if (!is_enabled(node))
			continue;
		for (unsigned i = 0; reg(node, i, &r); i++) {
			uint64_t start = round_down(r.address, PAGE_SIZE),
				 end = round_up(r.address + r.size, PAGE_SIZE);

			if (no_map)
				too_many(regions_remove(&t->ram, start, end), "banks of memory");
			else
				too_many(regions_add(&t->reserved, start, end), "reserved ranges");
		}
	}
}

static void scan_gic(struct tree *t)
{
	int node = find_compatible("arm,gic-v3"), len;
	const fdt32_t *stride;

	if (node < 0) {
		if (find_compatible("arm,cortex-a15-gic") >= 0 || find_compatible("arm,gic-400") >= 0)
			machine_fail(
				"the interrupt controller is a GICv2; a GICv3 is needed (QEMU: -M virt,gic-version=3)");
		machine_fail("the device tree has no GICv3 interrupt controller");
	}
	t->redistributor_regions = cells_of(node, "#redistributor-regions", 1);
	if (t->redistributor_regions == 0 || t->redistributor_regions > TREE_GIC_REGIONS)
		machine_fail("%s has %u redistributor regions, more than %u", path_of(node), t->redistributor_regions,
			     TREE_GIC_REGIONS);
	if (!reg(node, 0, &t->distributor) || t->distributor.size < 0x10000)
		machine_fail("%s has no usable distributor address", path_of(node));
	for (unsigned i = 0; i < t->redistributor_regions; i++)
		if (!reg(node, i + 1, &t->redistributors[i]) || t->redistributors[i].size < 0x20000)
			machine_fail("%s has no usable address for redistributor region %u", path_of(node), i);
	stride = fdt_getprop(blob, node, "redistributor-stride", &len);
	if (stride && (len == 4 || len == 8))
		t->redistributor_stride = cells_value(stride, (unsigned)len / 4);
}

static void scan_timer(struct tree *t)
{
	int node = find_compatible("arm,armv8-timer");
	bool edge;

	if (node < 0)
		machine_fail("the device tree has no armv8 timer");
	/* secure, non-secure, virtual, hypervisor */
	t->timer_irq = interrupt(node, 2, &edge);
	if (t->timer_irq < 16 || t->timer_irq >= 32)
		machine_fail("%s has no interrupt for the virtual timer", path_of(node));
	t->doze_irq = interrupt(node, 1, &edge);
	if (t->doze_irq < 16 || t->doze_irq >= 32)
		t->doze_irq = 0;
	t->timer_hz = cells_of(node, "clock-frequency", 0);
}

static void scan_psci(struct tree *t)
{
	static const char *const names[] = {"arm,psci-1.0", "arm,psci-0.2"};
	int node = -1;
	const char *method;

	for (size_t i = 0; i < ARRAY_SIZE(names) && node < 0; i++)
		node = find_compatible(names[i]);
	method = node < 0 ? NULL : fdt_getprop(blob, node, "method", NULL);
	if (method && !strcmp(method, "hvc"))
		t->psci = PSCI_HVC;
	else if (method && !strcmp(method, "smc"))
		t->psci = PSCI_SMC;
	else if (t->ncpus > 1)
		machine_fail("the device tree has %u CPUs but no PSCI 0.2 to start them", t->ncpus);
}

void tree_scan(struct tree *t, uint64_t boot_mpidr)
{
	scan_cpus(t, boot_mpidr);
	scan_memory(t);
	scan_gic(t);
	scan_timer(t);
	scan_psci(t);
}
