/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/support/tables.h: translation tables built by hand, for tests of the
 * simulated MMU itself. Descriptor bits are written out here a second time, so
 * that a slip in the simulator's own list shows.
 */
#ifndef TEST_TABLES_H
#define TEST_TABLES_H

#include "hal/mmu.h"
#include "test_machine.h"

#define D_PAGE UINT64_C(0x3)
#define D_BLOCK UINT64_C(0x1)
#define D_TABLE UINT64_C(0x3)
#define D_USER (UINT64_C(1) << 6)   /* AP[1]: EL0 may */
#define D_RO (UINT64_C(1) << 7)     /* AP[2] */
#define D_SH (UINT64_C(3) << 8)
#define D_AF (UINT64_C(1) << 10)
#define D_NG (UINT64_C(1) << 11)
#define D_DBM (UINT64_C(1) << 51)
#define D_PXN (UINT64_C(1) << 53)
#define D_UXN (UINT64_C(1) << 54)
#define D_UXN_BELOW (UINT64_C(1) << 60)
#define D_NO_EL0_BELOW (UINT64_C(1) << 61)
#define D_RO_BELOW (UINT64_C(1) << 62)

/* What an ordinary data page has, without type bits: EL0 reads and writes, no execution. */
#define D_DATA (D_USER | D_SH | D_AF | D_NG | D_PXN | D_UXN)
#define D_CODE (D_USER | D_RO | D_SH | D_AF | D_NG | D_PXN)

/* The descriptor of va at that level, with missing tables above it linked in. */
struct pte *table_slot(struct test_machine *t, paddr_t root, uint64_t va, unsigned level);

/* Stores a level-3 page descriptor of frame for va. */
void table_map(struct test_machine *t, paddr_t root, uint64_t va, paddr_t frame, uint64_t bits);

/* Invalidates: DSB, TLBI of the page, DSB. */
void table_flush(uint32_t asid, uint64_t va, bool last_level);

#endif
