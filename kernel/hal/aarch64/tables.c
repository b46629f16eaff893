/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/tables.c: the kernel's half of the address space.
 *
 * Purpose. One set of tables under TTBR1, shared by all CPUs, built at boot and
 * only ever added to:
 *
 *	direct map    RAM, largest blocks that fit, RW; the image's text and
 *	              read-only data and the device tree appear there read-only
 *	window        one table of level 1 that hangs in the root for ever; what is
 *	              below is hal/armv8/kmap.c's, which does take mappings away
 *	devices       Device-nGnRE, RW
 *	image         4 KiB pages: text RX, read-only data R, everything else RW
 *
 * Invariants.
 *  1. No descriptor is writable and executable, none is executable at EL0
 *     (tables_check).
 *  2. Outside the window a valid descriptor is never changed, so no break-before-make and no TLB
 *     invalidation is needed: an addition takes DSB ISHST and ISB.
 *  3. All are global (nG = 0) and marked accessed.
 *
 * boot.S's early tables map the image writable and executable; tables_init
 * leaves them for good by way of the identity map, with an empty TTBR1 in
 * between. Then TTBR0 becomes empty on the boot CPU; others pass through the
 * identity map only to turn their MMU on.
 *
 * Memory. Tables, stacks of the other CPUs and the like come from a pool at the
 * image's end, which the loader keeps free because the Image header (ELF: the
 * program header) counts it in. What boot leaves over is ordinary RAM:
 * image_physical_end says where it begins.
 *
 * Locking. None: one CPU, at boot. Failure: machine_fail, before any program.
 */
#include "tables.h"

#include "asm_layout.h"
#include "base/assert.h"
#include "base/bits.h"
#include "fail.h"
#include "hal/machine.h"
#include "hal/mmu.h"
#include "sysreg.h"

_Static_assert(DIRECT_BASE + (UINT64_C(1) << DIRECT_BITS) <= MMU_KERNEL_START &&
		       MMU_KERNEL_START + MMU_KERNEL_SIZE <= DEVICE_BASE,
	       "asm_layout.h: the window lies between the direct map and devices");

#define DESC_VALID BIT(0)
#define DESC_TABLE 3 /* at levels 0 to 2 */
#define DESC_PAGE 3  /* at level 3 */
#define DESC_BLOCK 1 /* at levels 1 and 2 */
#define DESC_ATTR(n) ((uint64_t)(n) << 2)
#define DESC_READ_ONLY BIT(7)
#define DESC_INNER (3 << 8)
#define DESC_ACCESSED BIT(10)
#define DESC_PXN BIT(53)
#define DESC_UXN BIT(54)
#define DESC_ADDRESS BITS(47, 12)

#define MAP_NORMAL (DESC_ATTR(MAIR_NORMAL) | DESC_INNER | DESC_ACCESSED | DESC_UXN)
#define MAP_RX (MAP_NORMAL | DESC_READ_ONLY)
#define MAP_R (MAP_NORMAL | DESC_READ_ONLY | DESC_PXN)
#define MAP_RW (MAP_NORMAL | DESC_PXN)
#define MAP_DEVICE (DESC_ATTR(MAIR_DEVICE) | DESC_ACCESSED | DESC_UXN | DESC_PXN)

/* kernel.ld */
extern char image_start[], text_end[], rodata_end[], image_end[], pool_start[];

/* The root, which boot.S gives to the other CPUs, and the table of nobody. */
struct pte kernel_root[512] ALIGNED(PAGE_SIZE);
static struct pte empty_table[512] ALIGNED(PAGE_SIZE);

static uint64_t image_offset; /* virtual minus physical address of the image */
static uint64_t pool_next;    /* virtual */
static uint64_t device_next = DEVICE_BASE;

paddr_t image_to_phys(const void *p) { return paddr((uint64_t)p - image_offset); }
paddr_t image_physical_start(void) { return image_to_phys(image_start); }
paddr_t image_physical_end(void) { return paddr(round_up(pool_next, PAGE_SIZE) - image_offset); }
paddr_t tables_empty(void) { return image_to_phys(empty_table); }

void *boot_alloc(size_t size, size_t align)
{
	uint64_t start = round_up(pool_next, align);

	if (size > (uint64_t)image_end - start)
		machine_fail("out of boot memory (%zu bytes more; see pool_size in kernel.ld)", size);
	pool_next = start + size;
	return __builtin_memset((void *)start, 0, size);
}

/* Tables are reached through the image's mapping, since they come from the pool. */
static struct pte *table_of(uint64_t descriptor) { return (struct pte *)((descriptor & DESC_ADDRESS) + image_offset); }

/* Maps [va, va+size) to pa with the largest blocks that fit. Everything is page aligned. What is valid stays. */
static void map(uint64_t va, uint64_t pa, uint64_t size, uint64_t attributes)
{
	while (size > 0) {
		struct pte *table = kernel_root;
		uint64_t step = PAGE_SIZE;

		for (unsigned level = 0;; level++) {
			unsigned shift = 39 - 9 * level;
			struct pte *entry = &table[va >> shift & 511];
			uint64_t old = mmu_pte_load(entry), span = BIT(shift);

			if (level == 3 || (old & 3) == DESC_BLOCK) {
				if (!(old & DESC_VALID))
					mmu_pte_store(entry, pa | attributes | DESC_PAGE);
				step = span - (va & (span - 1));
				break;
			}
			if (level > 0 && !(old & DESC_VALID) && ((va | pa) & (span - 1)) == 0 && size >= span) {
				mmu_pte_store(entry, pa | attributes | DESC_BLOCK);
				step = span;
				break;
			}
			if (!(old & DESC_VALID)) {
				old = image_to_phys(boot_alloc(PAGE_SIZE, PAGE_SIZE)).pa | DESC_TABLE;
				mmu_pte_store(entry, old);
			}
			table = table_of(old);
		}
		if (step >= size)
			break;
		va += step;
		pa += step;
		size -= step;
	}
	mmu_dsb_ishst();
	isb();
}

static void map_image(const char *start, const char *end, uint64_t attributes)
{
	map((uint64_t)start, image_to_phys(start).pa, (uint64_t)(end - start), attributes);
}

void tables_init(paddr_t image, paddr_t set_root)
{
	image_offset = (uint64_t)image_start - image.pa;
	pool_next = (uint64_t)pool_start;
	map_image(image_start, text_end, MAP_RX);
	map_image(text_end, rodata_end, MAP_R);
	map_image(rodata_end, image_end, MAP_RW);
	((void (*)(uint64_t, uint64_t))set_root.pa)(image_to_phys(kernel_root).pa, tables_empty().pa);
	mmu_clear_user();
	mmu_tlbi_local_all();
	/* The direct map's view of what must not be written. */
	tables_map_direct(image_to_phys(image_start), image_to_phys(rodata_end), false);
}

void tables_map_direct(paddr_t start, paddr_t end, bool writable)
{
	ASSERT(start.pa <= end.pa && end.pa <= BIT(DIRECT_BITS));
	map(DIRECT_BASE + start.pa, start.pa, end.pa - start.pa, writable ? MAP_RW : MAP_R);
}

uint64_t tables_map_device(paddr_t start, uint64_t size)
{
	uint64_t first = round_down(start.pa, PAGE_SIZE), end = round_up(start.pa + size, PAGE_SIZE), va;

	/* The same place within 2 MiB as the physical address, so that blocks can be used; a hole behind. */
	va = round_up(device_next, BLOCK_SIZE) + (first & (BLOCK_SIZE - 1));
	if (size == 0 || end < first || end - first > DEVICE_BASE + DEVICE_SIZE - va)
		machine_fail("cannot map device registers at %#lx (%#lx bytes)", start.pa, size);
	map(va, first, end - first, MAP_DEVICE);
	device_next = va + (end - first) + PAGE_SIZE;
	return va + (start.pa - first);
}

void tables_hang(vaddr_t va, paddr_t table)
{
	struct pte *entry = &kernel_root[va.va >> 39 & 511];

	ASSERT(!(mmu_pte_load(entry) & DESC_VALID));
	mmu_pte_store(entry, table.pa | DESC_TABLE);
	mmu_dsb_ishst();
	isb();
}

static uint64_t check_table(const struct pte *table, unsigned level)
{
	uint64_t leaves = 0;

	for (unsigned i = 0; i < 512; i++) {
		uint64_t d = mmu_pte_load(&table[i]);

		if (!(d & DESC_VALID) || (level == 0 && i == (MMU_KERNEL_START >> 39 & 511)))
			continue; /* the window: kmap_check */
		if (level < 3 && (d & 3) == DESC_TABLE) {
			leaves += check_table(table_of(d), level + 1);
			continue;
		}
		leaves++;
		if ((!(d & DESC_READ_ONLY) && !(d & DESC_PXN)) || !(d & DESC_UXN))
			panic("kernel tables: descriptor %#lx at level %u is writable and executable", d, level);
	}
	return leaves;
}

void tables_check(void)
{
	if (check_table(kernel_root, 0) == 0)
		panic("kernel tables: nothing is mapped");
}
