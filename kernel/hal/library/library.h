/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/library/library.h: what the machine of the library needs of the library itself. */
#ifndef HAL_LIBRARY_LIBRARY_H
#define HAL_LIBRARY_LIBRARY_H

/* Tells the program of a panic: the text to its own function, or to standard error. Defined by lib/strata.c. Any
 * thread. */
void library_panic(const char *text);

#endif
