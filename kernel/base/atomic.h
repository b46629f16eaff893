/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/atomic.h: the only door to memory that several CPUs touch.
 *
 * A shared field is declared ATOMIC(type) name; plain reads and writes of it do
 * not compile, and every access below says its memory order in its name. There
 * is no stand-alone fence: ThreadSanitizer cannot see one, so an ordering rides
 * on the access that needs it (acquire load, release store, seq_cst both ways).
 * Every acquire and release names its pair where it stands; doc/memory-model.md
 * lists the pairs. All work in any context.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"

#define ATOMIC(type) \
	struct { \
		type x; \
	}
#define ATOMIC_INIT(value) { value }

/* Operands first: what they load in turn is over before the point, so that an explorer can come between. */
#define ATOMIC_OP_(a, op) ({ __auto_type a_ = (a); cpu_point(); op; })
#define ATOMIC_OPV_(a, v, op) ({ __auto_type a_ = (a); __auto_type v_ = (v); cpu_point(); op; })

/*
 * Relaxed loads and stores. Where machine_cpu.h says CPU_RELAXED_VOLATILE, an aligned volatile access of at most 8 bytes
 * is one access and no other, which is all that relaxed promises; compilers know an address with an offset for those, and
 * not for __atomic.
 */
#ifdef CPU_RELAXED_VOLATILE
#define ATOMIC_RELAXED_(p) (*({ \
		_Static_assert(sizeof *(p) <= 8, "one access"); \
		(__typeof__(*(p)) volatile *)(p); \
	}))
#define atomic_load_relaxed(a) ATOMIC_OP_(a, ATOMIC_RELAXED_(&a_->x))
#define atomic_store_relaxed(a, v) ATOMIC_OPV_(a, v, (void)(ATOMIC_RELAXED_(&a_->x) = v_))
#else
#define atomic_load_relaxed(a) ATOMIC_OP_(a, __atomic_load_n(&a_->x, __ATOMIC_RELAXED))
#define atomic_store_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_store_n(&a_->x, v_, __ATOMIC_RELAXED))
#endif
#define atomic_load_acquire(a) ATOMIC_OP_(a, __atomic_load_n(&a_->x, __ATOMIC_ACQUIRE))
#define atomic_load_seq_cst(a) ATOMIC_OP_(a, __atomic_load_n(&a_->x, __ATOMIC_SEQ_CST))
#define atomic_store_release(a, v) ATOMIC_OPV_(a, v, __atomic_store_n(&a_->x, v_, __ATOMIC_RELEASE))
#define atomic_store_seq_cst(a, v) ATOMIC_OPV_(a, v, __atomic_store_n(&a_->x, v_, __ATOMIC_SEQ_CST))

/*
 * The cheap side of an asymmetric store-load pair: a word that one CPU, its owner, stores all the time before it loads
 * what a rare visitor has written; the visitor writes, calls cpu_barrier_all (base/cpu.h), and then loads the owner's word.
 * One of the two sees the other. As release and acquire they order like any other; what a machine needs beyond that for
 * the store to be before the load is in CPU_OWNER_STORE and CPU_OWNER_LOAD, or in the visitor's barrier. The signal fence
 * is the compiler's: without it a release store might move behind a later load. No instruction, and nothing that
 * ThreadSanitizer would have to see.
 */
#define atomic_store_owner(a, v) \
	ATOMIC_OPV_(a, v, ({ __atomic_store_n(&a_->x, v_, CPU_OWNER_STORE); __atomic_signal_fence(__ATOMIC_SEQ_CST); }))
#define atomic_load_owner(a) ATOMIC_OP_(a, __atomic_load_n(&a_->x, CPU_OWNER_LOAD))

#define atomic_swap_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_exchange_n(&a_->x, v_, __ATOMIC_RELAXED))
#define atomic_swap_acquire(a, v) ATOMIC_OPV_(a, v, __atomic_exchange_n(&a_->x, v_, __ATOMIC_ACQUIRE))
#define atomic_swap_acq_rel(a, v) ATOMIC_OPV_(a, v, __atomic_exchange_n(&a_->x, v_, __ATOMIC_ACQ_REL))
#define atomic_swap_seq_cst(a, v) ATOMIC_OPV_(a, v, __atomic_exchange_n(&a_->x, v_, __ATOMIC_SEQ_CST))

/* Compare and swap: true if *a was *expected and is now v; else *expected holds what was found. */
#define atomic_cas_relaxed(a, expected, v) \
	ATOMIC_OPV_(a, v, __atomic_compare_exchange_n(&a_->x, expected, v_, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#define atomic_cas_acquire(a, expected, v) \
	ATOMIC_OPV_(a, v, __atomic_compare_exchange_n(&a_->x, expected, v_, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
#define atomic_cas_release(a, expected, v) \
	ATOMIC_OPV_(a, v, __atomic_compare_exchange_n(&a_->x, expected, v_, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
#define atomic_cas_acq_rel(a, expected, v) \
	ATOMIC_OPV_(a, v, __atomic_compare_exchange_n(&a_->x, expected, v_, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define atomic_cas_seq_cst(a, expected, v) \
	ATOMIC_OPV_(a, v, __atomic_compare_exchange_n(&a_->x, expected, v_, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))

/* Arithmetic returns the value before. */
#define atomic_add_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_add(&a_->x, v_, __ATOMIC_RELAXED))
#define atomic_add_acq_rel(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_add(&a_->x, v_, __ATOMIC_ACQ_REL))
#define atomic_add_seq_cst(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_add(&a_->x, v_, __ATOMIC_SEQ_CST))
#define atomic_sub_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_sub(&a_->x, v_, __ATOMIC_RELAXED))
#define atomic_sub_acq_rel(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_sub(&a_->x, v_, __ATOMIC_ACQ_REL))
#define atomic_or_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_or(&a_->x, v_, __ATOMIC_RELAXED))
#define atomic_or_acq_rel(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_or(&a_->x, v_, __ATOMIC_ACQ_REL))
#define atomic_or_seq_cst(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_or(&a_->x, v_, __ATOMIC_SEQ_CST))
#define atomic_and_relaxed(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_and(&a_->x, v_, __ATOMIC_RELAXED))
#define atomic_and_acq_rel(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_and(&a_->x, v_, __ATOMIC_ACQ_REL))
#define atomic_and_seq_cst(a, v) ATOMIC_OPV_(a, v, __atomic_fetch_and(&a_->x, v_, __ATOMIC_SEQ_CST))

/* A counter that one CPU writes and others read: no read-modify-write, may be read a little late. */
#define atomic_bump(a, v) ({ __auto_type bump_ = (a); atomic_store_relaxed(bump_, atomic_load_relaxed(bump_) + (v)); })

/* References. A count that has reached 0 stays there: its holder is on the way out. */
struct refcount {
	ATOMIC(uint32_t) n;
};

static inline void ref_init(struct refcount *r, uint32_t n) { atomic_store_relaxed(&r->n, n); }

/* One more reference for someone who holds one already. Relaxed: the holder's own reference keeps the object. */
static inline void ref_get(struct refcount *r) { atomic_add_relaxed(&r->n, 1u); }

/* A reference for an epoch reader that holds none: false when the object is already on the way out. */
static inline bool ref_get_unless_zero(struct refcount *r)
{
	uint32_t n = atomic_load_relaxed(&r->n);

	do {
		if (n == 0)
			return false;
		/* acquire: pairs with the release in ref_put of the holder before us */
	} while (!atomic_cas_acquire(&r->n, &n, n + 1));
	return true;
}

/*
 * Drops a reference; true when it was the last and the caller must dispose of
 * the object. acq_rel: what every holder did to the object is before its end.
 */
static inline bool ref_put(struct refcount *r) { return atomic_sub_acq_rel(&r->n, 1u) == 1; }

/* acquire: pairs with ref_put, so that who sees 1 sees what the other holders did before they left. */
static inline uint32_t ref_count(const struct refcount *r) { return atomic_load_acquire(&r->n); }

#endif
