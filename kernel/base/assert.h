/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/assert.h: assertions in three levels, for our own bugs only. What the
 * caller's world can cause (arguments from programs, images, memory running
 * out) is an enum error, never an assertion.
 *   ASSERT            always compiled in
 *   ASSERT_CHECKED    checked builds (STRATA_CHECKED >= 1)
 *   ASSERT_EXPENSIVE  whole-structure checks (STRATA_CHECKED >= 2)
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/compiler.h"

#ifndef STRATA_CHECKED
#define STRATA_CHECKED 0
#endif

/* Stops the machine with a message, every CPU's stack and exit status 125. Any context. Defined by the machine. */
void NORETURN panic(const char *format, ...) PRINTF_LIKE(1, 2);

#define ASSERT(x) \
	do { \
		if (UNLIKELY(!(x))) \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #x); \
	} while (0)

#if STRATA_CHECKED >= 1
#define ASSERT_CHECKED(x) ASSERT(x)
#else
#define ASSERT_CHECKED(x) ((void)sizeof(x))
#endif

#if STRATA_CHECKED >= 2
#define ASSERT_EXPENSIVE(x) ASSERT(x)
#else
#define ASSERT_EXPENSIVE(x) ((void)sizeof(x))
#endif

#endif
