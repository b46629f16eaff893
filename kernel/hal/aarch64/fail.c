/* SPDX-License-Identifier: BSD-2-Clause */
#include "fail.h"

#include "base/print.h"
#include "hal/machine.h"
#include "print.h"

void machine_fail(const char *format, ...)
{
	va_list args;

	print_panic_mode();
	kprintf("panic: ");
	va_start(args, format);
	kvprintf(format, args);
	va_end(args);
	kprintf("\n");
	machine_power_off(STATUS_PANIC);
}
