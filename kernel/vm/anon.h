/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/anon.h: one page of private memory, wherever its content is. Referenced
 * by the amap leaf nodes whose slots hold it; written in place only by an
 * owner for whom the whole path and the anon itself are at reference 1.
 */
#ifndef VM_ANON_H
#define VM_ANON_H

#include "base/atomic.h"
#include "sync/epoch.h"
#include "vm/vm.h"

struct anon {
	struct refcount refs;       /* leaf slots that hold it, and copiers under way */
	ATOMIC(uint64_t) word;      /* frame number << 1 | busy; release at creation, acquire by readers */
	struct vm *vm;
	struct epoch_item retire;
};

#define ANON_BUSY UINT64_C(1)

/* A new anon that owns frame f (FRAME_ANON), one reference. NULL: no memory, f stays the caller's. Any thread context. */
struct anon *anon_new(struct vm *vm, pfn_t f);

/* The same in bounded work, without a search for memory; interrupts may be masked. NULL: ask anon_new. */
struct anon *anon_new_cached(struct vm *vm, pfn_t f);

/* The frame, or PFN_NONE while it is busy. */
static inline pfn_t anon_frame(const struct anon *a)
{
	uint64_t w = atomic_load_acquire(&a->word); /* pairs with anon_new */

	return w & ANON_BUSY ? PFN_NONE : pfn(w >> 1);
}

/* Drops a reference. The last frees the frame at once: no TLB may lead to it any more. The anon itself goes by epoch. */
void anon_put(struct anon *a);
/* The same for who has a grace period anyway: true: it was the last, and anon_free is his to call after one. */
bool anon_put_late(struct anon *a) MUST_CHECK;
void anon_free(struct anon *a);

enum error anon_module_init(struct vm *vm) MUST_CHECK;

#endif
