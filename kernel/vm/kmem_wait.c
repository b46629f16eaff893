/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmem_wait.c: allocations that may wait for memory.
 *
 * frame_alloc has emptied the caches of frames when it fails. Besides, epochs, zones
 * and pools may hold some: relieve empties them and lets others run. After ATTEMPTS
 * tries the caller is told; whom to take memory from is for it to decide (proc/oom.c).
 */
#include "vm/kmem_private.h"

#define ATTEMPTS 3u

/* Memory that is free and only not in the right place, or will be in a moment. Waits. */
static void relieve(struct kmem *km)
{
	rank_assert_may_wait();
	for (unsigned i = 0; i < 3; i++) { /* an epoch passes after two turns, if nobody is late */
		(void)epoch_poll(km->frames->epoch);
		if (sync_ops)
			sync_ops->yield();
	}
	kmem_drain(km);
	(void)zones_drain(km->zones);
	(void)epoch_poll(km->frames->epoch);
}

static enum error allocate(struct kmem_map *m, uint64_t size, uint64_t align, struct kmem_request *r, bool wait,
			   vaddr_t *out)
{
	for (unsigned attempt = 1;; attempt++) {
		enum error e = kmem_try(m, size, align, r, out);

		if (LIKELY(e != ERR_NOMEM) || !wait || attempt == ATTEMPTS)
			return e;
		relieve(m->kmem);
	}
}

enum error kmem_malloc(struct kmem_map *m, uint64_t size, uint64_t align, unsigned flags, const char *owner,
		       vaddr_t *out)
{
	bool wait = !(flags & KMEM_NOWAIT);
	struct kmem_request r = {.zero = flags & KMEM_ZERO ? FRAME_ZERO : 0,
				 .room = wait && flags & KMEM_ROOM ? KVA_WAIT : 0,
				 .owner = owner};

	return allocate(m, size, align, &r, wait, out);
}

enum error kmem_alloc(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out)
{
	return kmem_malloc(m, size, PAGE_SIZE, KMEM_ZERO, owner, out);
}

enum error kmem_alloc_pageable(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out)
{
	struct kmem_request r = {.absent = true, .owner = owner};

	return allocate(m, size, PAGE_SIZE, &r, false, out);
}

enum error kmem_alloc_wait(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out)
{
	struct kmem_request r = {.room = KVA_WAIT, .absent = true, .owner = owner};

	rank_assert_may_wait();
	return allocate(m, size, PAGE_SIZE, &r, true, out);
}

enum error kmem_fault_in(struct kmem_map *m, vaddr_t va, uint64_t size)
{
	for (uint64_t at = round_down(va.va, PAGE_SIZE); at < va.va + size; at += PAGE_SIZE)
		for (unsigned attempt = 1;; attempt++) {
			enum error e = kmem_fault(m->kmem, vaddr(at));

			if (e == OK)
				break;
			if (e != ERR_NOMEM || attempt == ATTEMPTS)
				return e;
			relieve(m->kmem);
		}
	return OK;
}
