/* SPDX-License-Identifier: BSD-2-Clause */
/* base/compiler.h: the compiler's attributes under short names. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define ALIGNED(n) __attribute__((aligned(n)))
#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline)) /* keeps a rare path out of the registers of a frequent one */
#define ALWAYS_INLINE inline __attribute__((always_inline)) /* in a frequent path, though a rare one calls it, too */
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SETTLED(p) __asm__("" : "+r"(p)) /* the address is in a register from here on, and not computed anew at each use */
#define CACHE_LINE 64
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-__builtin_offsetof(type, member)))

#endif
