/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/kmem_private.h: what the files of kmem share. */
#ifndef VM_KMEM_PRIVATE_H
#define VM_KMEM_PRIVATE_H

#include "vm/kmem.h"

/* What is wanted. */
struct kmem_request {
	uint64_t pages, guard; /* set by kmem_try */
	unsigned zero;         /* FRAME_ZERO or 0 */
	unsigned room;         /* KVA_WAIT or 0 */
	bool absent;           /* pages come later */
	const char *owner;
};

/* One try: waits for nothing, but for room with KVA_WAIT. Errors as kmem_malloc with KMEM_NOWAIT. */
enum error kmem_try(struct kmem_map *m, uint64_t size, uint64_t align, struct kmem_request *r, vaddr_t *out) MUST_CHECK;

#endif
