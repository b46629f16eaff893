/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/library/library.h: between the machine of the library and the library itself. */
#ifndef HAL_LIBRARY_LIBRARY_H
#define HAL_LIBRARY_LIBRARY_H

#include <stdbool.h>

/* Before a machine's CPUs are used: whether cpu_barrier_all will work in this process. Any thread, any number of times.
 */
bool library_barrier_all_register(void);

/* Tells the program of a panic: the text to its own function, or to standard error. Defined by lib/strata.c. Any
 * thread. */
void library_panic(const char *text);

#endif
