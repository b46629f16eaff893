/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/memory_tsan.c: the compiler's ThreadSanitizer interface, answered by the memory model.
 *
 * Code that is compiled with -fsanitize=thread calls these functions at each access. Linked without
 * the library, they lead to memory.c and race.c while a run of fibers is on; at any other time they do
 * what the access says, atomically, for setup, judge and free-running threads. Accesses to what is exempted (the
 * simulated hardware, thread-local variables of the harness) are never modelled.
 *
 * Plain accesses are made by the code itself, after the call. Functions' entries and exits mean nothing here.
 */
#include <string.h>

#include "memory.h"

#define PC __builtin_return_address(0)

/* The CPU whose access is to be modelled, or -1. */
static inline int modelled(const volatile void *p)
{
	int cpu;

	if (!memory_on)
		return -1;
	cpu = explore_cpu();
	return cpu < 0 || memory_exempted((const void *)p) ? -1 : cpu;
}

static void plain(const void *p, size_t n, bool write, const void *pc)
{
	int cpu = modelled(p);

	if (cpu < 0 || n == 0)
		return;
	race_access((uint32_t)cpu, p, n, write ? RACE_WRITE : 0, pc);
	memory_plain((uint32_t)cpu, p, n, write);
}

/* --- plain accesses --- */

#define PLAIN(size) \
	void __tsan_read##size(void *p); \
	void __tsan_read##size(void *p) { plain(p, size, false, PC); } \
	void __tsan_write##size(void *p); \
	void __tsan_write##size(void *p) { plain(p, size, true, PC); } \
	void __tsan_volatile_read##size(void *p); \
	void __tsan_volatile_read##size(void *p) { plain(p, size, false, PC); } \
	void __tsan_volatile_write##size(void *p); \
	void __tsan_volatile_write##size(void *p) { plain(p, size, true, PC); }
#define UNALIGNED(size) \
	void __tsan_unaligned_read##size(void *p); \
	void __tsan_unaligned_read##size(void *p) { plain(p, size, false, PC); } \
	void __tsan_unaligned_write##size(void *p); \
	void __tsan_unaligned_write##size(void *p) { plain(p, size, true, PC); }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)

void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { plain(p, n, false, PC); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { plain(p, n, true, PC); }

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void **p, void *v);
void __tsan_vptr_update(void **p, void *v) { (void)p, (void)v; }

void *explore_memset(void *p, int c, size_t n);
void *explore_memset(void *p, int c, size_t n)
{
	plain(p, n, true, PC);
	return memset(p, c, n);
}

void *explore_memcpy(void *restrict to, const void *restrict from, size_t n);
void *explore_memcpy(void *restrict to, const void *restrict from, size_t n)
{
	plain(from, n, false, PC);
	plain(to, n, true, PC);
	return memcpy(to, from, n);
}

void *explore_memmove(void *to, const void *from, size_t n);
void *explore_memmove(void *to, const void *from, size_t n)
{
	plain(from, n, false, PC);
	plain(to, n, true, PC);
	return memmove(to, from, n);
}

int explore_memcmp(const void *a, const void *b, size_t n);
int explore_memcmp(const void *a, const void *b, size_t n)
{
	plain(a, n, false, PC);
	plain(b, n, false, PC);
	return memcmp(a, b, n);
}

/* --- atomic accesses --- */

#define RMW(bits, name, NAME, builtin) \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *p, uint##bits##_t v, int order) \
	{ \
		int cpu = modelled(p); \
\
		if (cpu < 0) \
			return builtin(p, v, __ATOMIC_SEQ_CST); \
		return (uint##bits##_t)memory_rmw((uint32_t)cpu, (void *)p, bits / 8, NAME, v, order, PC); \
	}

#define CAS(bits, name) \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failure); \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *p, uint##bits##_t *expected, \
							  uint##bits##_t v, int order, int failure) \
	{ \
		int cpu = modelled(p); \
		uint64_t e = *expected; \
		bool won; \
\
		if (cpu < 0) \
			return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		won = memory_cas((uint32_t)cpu, (void *)p, bits / 8, &e, v, order, failure, PC); \
		*expected = (uint##bits##_t)e; \
		return won; \
	}

#define ATOMIC_OF(bits) \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order); \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *p, int order) \
	{ \
		int cpu = modelled(p); \
\
		if (cpu < 0) \
			return __atomic_load_n(p, __ATOMIC_SEQ_CST); \
		return (uint##bits##_t)memory_load((uint32_t)cpu, (const void *)p, bits / 8, order, PC); \
	} \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order); \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *p, uint##bits##_t v, int order) \
	{ \
		int cpu = modelled(p); \
\
		if (cpu < 0) \
			__atomic_store_n(p, v, __ATOMIC_SEQ_CST); \
		else \
			memory_store((uint32_t)cpu, (void *)p, bits / 8, v, order, PC); \
	} \
	RMW(bits, exchange, RMW_SWAP, __atomic_exchange_n) \
	RMW(bits, fetch_add, RMW_ADD, __atomic_fetch_add) \
	RMW(bits, fetch_sub, RMW_SUB, __atomic_fetch_sub) \
	RMW(bits, fetch_and, RMW_AND, __atomic_fetch_and) \
	RMW(bits, fetch_or, RMW_OR, __atomic_fetch_or) \
	RMW(bits, fetch_xor, RMW_XOR, __atomic_fetch_xor) \
	RMW(bits, fetch_nand, RMW_NAND, __atomic_fetch_nand) \
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
ATOMIC_OF(16) ATOMIC_OF(32) ATOMIC_OF(64)

	void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	int cpu = memory_on ? explore_cpu() : -1;

	if (cpu < 0)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		memory_fence((uint32_t)cpu, order, PC);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) { (void)order; }
