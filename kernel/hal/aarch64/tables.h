/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/tables.h: the kernel's own translation tables, and memory taken
 * at boot. Boot CPU only, before the others run, unless said otherwise; what
 * cannot be done ends in machine_fail.
 */
#ifndef HAL_AARCH64_TABLES_H
#define HAL_AARCH64_TABLES_H

#include "base/types.h"

/* Builds the final tables with the image in them, and goes over to them. image, set_root: as start.h has them. */
void tables_init(paddr_t image, paddr_t set_root);

/* Direct map of a range of RAM (page aligned, below 2^DIRECT_BITS): what is mapped already stays as it is. */
void tables_map_direct(paddr_t start, paddr_t end, bool writable);

/* Device registers; returns the virtual address of start, which need not be aligned. Uncached, never executable. */
uint64_t tables_map_device(paddr_t start, uint64_t size);

/* The table of level 1 that translates from va on, the start of one that none does yet. Zeroed memory of the direct map. */
void tables_hang(vaddr_t va, paddr_t table);

/* Zeroed memory that is never given back; align is a power of two. */
void *boot_alloc(size_t size, size_t align);

/* First physical byte of the image, and one past the last that is in use: grows with boot_alloc. Any time. */
paddr_t image_physical_start(void);
paddr_t image_physical_end(void);

/* Physical address of something in the image (not of the direct map). Any time. */
paddr_t image_to_phys(const void *p);

/* What TTBR0 holds when no program runs. Any time, any CPU. */
paddr_t tables_empty(void);

/* Walks all kernel tables but the window's: panics if anything is writable and executable, or executable at EL0. Any time. */
void tables_check(void);

#endif
