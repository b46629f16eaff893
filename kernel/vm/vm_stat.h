/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/vm_stat.h: what memory is used for, for who asks: /proc, a panic, the
 * library. Nothing here takes a lock or visits a cache unless it says so, so
 * that it also answers when a CPU has died with locks held.
 */
#ifndef VM_VM_STAT_H
#define VM_VM_STAT_H

#include "vm/frame.h"
#include "vm/zone.h"

struct frame_stats {
	uint64_t owned[FRAME_OWNER_COUNT];         /* frames, by owner */
	uint64_t free_blocks[FRAME_ORDER_MAX + 1]; /* FRAME_FREE, as the largest aligned blocks it makes, by order */
};

/*
 * Counts every frame. Exact at a quiet point, approximate at any other: of a block that changes hands meanwhile either
 * owner may be counted. Reads every page: slow. Any context; no lock.
 */
void frame_stats(const struct frames *f, struct frame_stats *s);

/*
 * By kprintf, for a panic: frames by owner and by order, then each zone that has slabs. Every other CPU is stopped
 * wherever it was: takes no lock, follows only pointers that lead into RAM or to zs, and ends whatever it finds.
 */
void vm_stat_print(const struct frames *f, const struct zones *zs);

#endif
