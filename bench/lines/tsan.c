/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/lines/tsan.c: the compiler's ThreadSanitizer interface, answered by the
 * directory: each access of instrumented code is noted, then made, then the turn
 * may go to the next CPU. One thread plays all CPUs, so atomics are made as they are.
 */
#include "lines.h"

#include <string.h>

#define PC __builtin_return_address(0)
#define EXEMPT_MAX 4

int lines_cpu = -1;
int lines_left;

static struct {
	uintptr_t start, end;
} exempt[EXEMPT_MAX];
static unsigned exempts;

void lines_exempt(const void *p, size_t n)
{
	if (exempts == EXEMPT_MAX)
		__builtin_trap();
	exempt[exempts].start = (uintptr_t)p;
	exempt[exempts++].end = (uintptr_t)p + n;
}

static void note(const volatile void *p, size_t n, bool write, const void *pc)
{
	if (lines_cpu < 0 || n == 0)
		return;
	for (unsigned i = 0; i < exempts; i++)
		if ((uintptr_t)p - exempt[i].start < exempt[i].end - exempt[i].start)
			return;
	lines_access((unsigned)lines_cpu, (const void *)p, n, write, pc);
	if (--lines_left <= 0)
		lines_turn();
}

/* --- plain accesses, which the code makes itself after the call --- */

#define PLAIN_(name, size) \
	void __tsan_##name##read##size(void *p); \
	void __tsan_##name##read##size(void *p) { note(p, size, false, PC); } \
	void __tsan_##name##write##size(void *p); \
	void __tsan_##name##write##size(void *p) { note(p, size, true, PC); }
#define PLAIN(size) PLAIN_(, size) PLAIN_(volatile_, size) PLAIN_(unaligned_, size)
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { note(p, n, false, PC); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { note(p, n, true, PC); }
void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}

void *lines_memset(void *p, int c, size_t n);
void *lines_memset(void *p, int c, size_t n)
{
	note(p, n, true, PC);
	return memset(p, c, n);
}

void *lines_memcpy(void *restrict to, const void *restrict from, size_t n);
void *lines_memcpy(void *restrict to, const void *restrict from, size_t n)
{
	note(from, n, false, PC);
	note(to, n, true, PC);
	return memcpy(to, from, n);
}

void *lines_memmove(void *to, const void *from, size_t n);
void *lines_memmove(void *to, const void *from, size_t n)
{
	note(from, n, false, PC);
	note(to, n, true, PC);
	return memmove(to, from, n);
}

/* --- atomic accesses. A compare-and-swap that fails has taken the line all the same. --- */

#define RMW(bits, name, builtin) \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order) \
	{ \
		(void)order; \
		note(p, bits / 8, true, PC); \
		return builtin(p, v, __ATOMIC_SEQ_CST); \
	}
#define CAS(bits, name) \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failure); \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failure) \
	{ \
		(void)order, (void)failure; \
		note(p, bits / 8, true, PC); \
		return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	}
#define ATOMIC_OF(bits) \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order); \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order) \
	{ \
		(void)order; \
		note(p, bits / 8, false, PC); \
		return __atomic_load_n(p, __ATOMIC_SEQ_CST); \
	} \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order) \
	{ \
		(void)order; \
		note(p, bits / 8, true, PC); \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST); \
	} \
	RMW(bits, exchange, __atomic_exchange_n) \
	RMW(bits, fetch_add, __atomic_fetch_add) \
	RMW(bits, fetch_sub, __atomic_fetch_sub) \
	RMW(bits, fetch_and, __atomic_fetch_and) \
	RMW(bits, fetch_or, __atomic_fetch_or) \
	RMW(bits, fetch_xor, __atomic_fetch_xor) \
	CAS(bits, strong) \
	CAS(bits, weak) \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile uint##bits##_t *p, uint##bits##_t e, \
								  uint##bits##_t v, int order, int failure); \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile uint##bits##_t *p, uint##bits##_t e, \
								  uint##bits##_t v, int order, int failure) \
	{ \
		(void)__tsan_atomic##bits##_compare_exchange_strong(p, &e, v, order, failure); \
		return e; \
	}
ATOMIC_OF(8)
ATOMIC_OF(16)
ATOMIC_OF(32)
ATOMIC_OF(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) { (void)order; }
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) { (void)order; }
