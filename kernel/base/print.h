/* SPDX-License-Identifier: BSD-2-Clause */
/* base/print.h: kernel messages. Defined by the machine; any context, any CPU; integer formats only. */
#ifndef BASE_PRINT_H
#define BASE_PRINT_H

#include <stdarg.h>

#include "base/compiler.h"

/* One message to the kernel's log. Lines of different CPUs do not mix. */
void kprintf(const char *format, ...) PRINTF_LIKE(1, 2);
void kvprintf(const char *format, va_list args) PRINTF_LIKE(1, 0);

#endif
