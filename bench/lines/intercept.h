/* SPDX-License-Identifier: BSD-2-Clause */
/* bench/lines/intercept.h: included ahead of all instrumented code: memset and its kin, which the compiler reports to
 * nobody. */
#ifndef BENCH_LINES_INTERCEPT_H
#define BENCH_LINES_INTERCEPT_H

#include <string.h>

void *lines_memset(void *p, int c, size_t n);
void *lines_memcpy(void *restrict to, const void *restrict from, size_t n);
void *lines_memmove(void *to, const void *from, size_t n);

#define memset(p, c, n) lines_memset(p, c, n)
#define memcpy(to, from, n) lines_memcpy(to, from, n)
#define memmove(to, from, n) lines_memmove(to, from, n)
#define __builtin_memset(p, c, n) lines_memset(p, c, n)
#define __builtin_memcpy(to, from, n) lines_memcpy(to, from, n)
#define __builtin_memmove(to, from, n) lines_memmove(to, from, n)

#endif
