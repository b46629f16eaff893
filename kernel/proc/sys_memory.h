/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/sys_memory.h: what the calls about memory share: addresses and lengths as programs give them. */
#ifndef PROC_SYS_MEMORY_H
#define PROC_SYS_MEMORY_H

#include "vm/map.h"

static inline uint64_t page_up(uint64_t n) { return round_up(n, PAGE_SIZE); }
static inline bool page_aligned(uint64_t n) { return (n & PAGE_MASK) == 0; }

/* [at, at + size) lies in user space, no wrap-around. size is in whole pages. */
static inline bool in_space(const struct vm_map *m, uint64_t at, uint64_t size)
{
	return at >= m->bounds.start.va && at <= m->bounds.end.va && size <= m->bounds.end.va - at;
}

/* The entry that holds va; its part of [va, end) in *piece. False: a hole. Any thread context. */
static inline bool piece_at(struct vm_map *m, uint64_t va, uint64_t end, struct vm_entry_info *info,
			    struct vrange *piece)
{
	if (!vm_map_lookup(m, va, info) || info->range.start.va > va)
		return false;
	*piece = vrange(va, info->range.end.va < end ? info->range.end.va : end);
	return true;
}

#endif
