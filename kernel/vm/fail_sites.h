/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fail_sites.h: where allocations were made to fail: the return addresses
 * that were on the stack, so that a list of all calls of the allocation
 * functions can be compared with it. For who is asked by frames_fail_by.
 *
 *	fail's caller, zone_alloc, kmalloc, entry_new, map_edit_add, ...
 *	<------------- FAIL_SITES_DEPTH return addresses --------------->
 *
 * An address that follows a call of an allocation function says that this very
 * call, or one made inside it, has failed.
 *
 * Needs frame records: {caller's frame record, return address} where the frame
 * pointer points to, as both AArch64 and x86-64 have them with
 * -fno-omit-frame-pointer.
 */
#ifndef VM_FAIL_SITES_H
#define VM_FAIL_SITES_H

#include "base/atomic.h"
#include "base/types.h"

#define FAIL_SITES_MAX 2048 /* a power of two */
#define FAIL_SITES_DEPTH 7

/* One return address. x: any context, any CPU at once. */
struct fail_site {
	ATOMIC(uint64_t) address; /* x: 0: unused; once set it stays */
	ATOMIC(uint64_t) hits;    /* x: relaxed, a statistic */
};

/* All zeros: empty. */
struct fail_sites {
	struct fail_site site[FAIL_SITES_MAX]; /* open addressing, linear */
	ATOMIC(uint64_t) lost;                 /* x: found no room; relaxed, a statistic */
};

/* Notes the caller's return address and those above it. Any context; takes no lock, allocates nothing. */
void fail_sites_note(struct fail_sites *s);

#endif
