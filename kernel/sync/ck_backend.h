/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/ck_backend.h: Concurrency Kit's primitives over the compiler's atomics.
 *
 * Takes the place of CK's own ck_pr.h. Its assembly backends are invisible to
 * ThreadSanitizer, its amd64 package is wrong for aarch64, and its builtins
 * mode uses plain accesses with stand-alone fences. Here every load is acquire,
 * every store release, every read-modify-write acq_rel: stronger than CK asks
 * in places, never weaker. Only CK's structures use it; ours use base/atomic.h
 * with exact orders.
 */
#ifndef CK_PR_H
#define CK_PR_H

#define CK_USE_CC_BUILTINS 1

#include <ck_cc.h>
#include <ck_limits.h>
#include <ck_stdbool.h>
#include <ck_stddef.h>
#include <ck_stdint.h>

#include "base/cpu.h"

#define CK_PR_ALL_(M) \
	M(char, char) M(int, int) M(uint, unsigned int) M(8, uint8_t) M(16, uint16_t) M(32, uint32_t) M(64, uint64_t)

#define ck_pr_md_load_ptr(src) ((void *)__atomic_load_n((void *const *)(const void *)(src), __ATOMIC_ACQUIRE))
#define ck_pr_load_ptr(src) ((__typeof__(*(src)))ck_pr_md_load_ptr(src))
#define ck_pr_store_ptr(dst, v) __atomic_store_n((void **)(void *)(dst), (void *)(v), __ATOMIC_RELEASE)
#define ck_pr_store_ptr_unsafe(dst, v) ck_pr_store_ptr(dst, v)

static inline void *ck_pr_fas_ptr(void *dst, void *v)
{
	return __atomic_exchange_n((void **)dst, v, __ATOMIC_ACQ_REL);
}
static inline bool ck_pr_cas_ptr(void *dst, void *old, void *v)
{
	return __atomic_compare_exchange_n((void **)dst, &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline bool ck_pr_cas_ptr_value(void *dst, void *old, void *v, void *seen)
{
	bool won = __atomic_compare_exchange_n((void **)dst, &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);

	*(void **)seen = old;
	return won;
}

#define CK_PR_DEFINE_(S, T) \
	static inline T ck_pr_load_##S(const T *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); } \
	static inline void ck_pr_store_##S(T *p, T v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); } \
	static inline T ck_pr_fas_##S(T *p, T v) { return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); } \
	static inline T ck_pr_faa_##S(T *p, T v) { return (T)__atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_add_##S(T *p, T v) { (void)__atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_sub_##S(T *p, T v) { (void)__atomic_fetch_sub(p, v, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_inc_##S(T *p) { (void)__atomic_fetch_add(p, (T)1, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_dec_##S(T *p) { (void)__atomic_fetch_sub(p, (T)1, __ATOMIC_ACQ_REL); } \
	static inline bool ck_pr_dec_is_zero_##S(T *p) { return __atomic_fetch_sub(p, (T)1, __ATOMIC_ACQ_REL) == (T)1; } \
	static inline void ck_pr_dec_##S##_zero(T *p, bool *z) { *z = ck_pr_dec_is_zero_##S(p); } \
	static inline void ck_pr_and_##S(T *p, T v) { (void)__atomic_fetch_and(p, v, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_or_##S(T *p, T v) { (void)__atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); } \
	static inline void ck_pr_xor_##S(T *p, T v) { (void)__atomic_fetch_xor(p, v, __ATOMIC_ACQ_REL); } \
	static inline bool ck_pr_cas_##S(T *p, T old, T v) \
	{ \
		return __atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
	} \
	static inline bool ck_pr_cas_##S##_value(T *p, T old, T v, T *seen) \
	{ \
		bool won = __atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
		*seen = old; \
		return won; \
	}
CK_PR_ALL_(CK_PR_DEFINE_)

static inline void ck_pr_stall(void) { cpu_relax(); }

/* Orders ride on the accesses above; the two fences that no access can carry are full. */
#define CK_PR_FENCE_NONE_(name) \
	static inline void ck_pr_fence_##name(void) { __asm__ __volatile__("" ::: "memory"); } \
	static inline void ck_pr_fence_strict_##name(void) { __asm__ __volatile__("" ::: "memory"); }
CK_PR_FENCE_NONE_(load) CK_PR_FENCE_NONE_(store) CK_PR_FENCE_NONE_(load_store) CK_PR_FENCE_NONE_(atomic)
CK_PR_FENCE_NONE_(atomic_store) CK_PR_FENCE_NONE_(atomic_load) CK_PR_FENCE_NONE_(store_atomic)
CK_PR_FENCE_NONE_(load_atomic) CK_PR_FENCE_NONE_(load_depends) CK_PR_FENCE_NONE_(acquire)
CK_PR_FENCE_NONE_(release) CK_PR_FENCE_NONE_(acqrel) CK_PR_FENCE_NONE_(lock) CK_PR_FENCE_NONE_(unlock)
static inline void ck_pr_fence_store_load(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void ck_pr_fence_strict_store_load(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void ck_pr_fence_memory(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void ck_pr_fence_strict_memory(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void ck_pr_barrier(void) { __asm__ __volatile__("" ::: "memory"); }

#define CK_F_PR

#endif
