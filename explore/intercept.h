/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/intercept.h: included ahead of everything (-include) where code is compiled for the memory model.
 *
 * The compiler reports single accesses to ThreadSanitizer's interface, but leaves memset and its kin to interceptors in
 * the library. Here they are calls of memory_tsan.c by name, in every spelling, so that zeroing and copying is seen.
 */
#ifndef EXPLORE_INTERCEPT_H
#define EXPLORE_INTERCEPT_H

#include <string.h>

void *explore_memset(void *p, int c, size_t n);
void *explore_memcpy(void *restrict to, const void *restrict from, size_t n);
void *explore_memmove(void *to, const void *from, size_t n);
int explore_memcmp(const void *a, const void *b, size_t n);

#define memset(p, c, n) explore_memset(p, c, n)
#define memcpy(to, from, n) explore_memcpy(to, from, n)
#define memmove(to, from, n) explore_memmove(to, from, n)
#define memcmp(a, b, n) explore_memcmp(a, b, n)
#define __builtin_memset(p, c, n) explore_memset(p, c, n)
#define __builtin_memcpy(to, from, n) explore_memcpy(to, from, n)
#define __builtin_memmove(to, from, n) explore_memmove(to, from, n)
#define __builtin_memcmp(a, b, n) explore_memcmp(a, b, n)

#endif
