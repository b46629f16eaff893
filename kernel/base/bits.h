/* SPDX-License-Identifier: BSD-2-Clause */
/* base/bits.h: bit arithmetic on 64-bit words. Any context. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))
#define BITS(hi, lo) ((~UINT64_C(0) >> (63 - (hi))) & (~UINT64_C(0) << (lo)))

/* Index of the lowest / highest set bit. The word must not be 0. */
static inline unsigned bit_lowest(uint64_t w) { return (unsigned)__builtin_ctzll(w); }
static inline unsigned bit_highest(uint64_t w) { return 63u - (unsigned)__builtin_clzll(w); }
static inline unsigned bit_count(uint64_t w) { return (unsigned)__builtin_popcountll(w); }

/* The smallest n with 2^n >= x; 0 for x <= 1. */
static inline unsigned log2_ceil(uint64_t x) { return x <= 1 ? 0 : bit_highest(x - 1) + 1; }

#endif
