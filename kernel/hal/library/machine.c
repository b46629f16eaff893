/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/library/machine.c: what frames, zones and kmalloc need of a machine, out of the host's C library. */
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/print.h"
#include "hal/library/library.h"
#include "hal/machine.h"

/* Addresses that no machine has. */
#define NOBODY {.machine = (const struct strata_machine *)&library_nobody, .zones = &library_nobody}
const struct library_self library_nobody = NOBODY;
_Thread_local struct library_self library_self = NOBODY;
_Thread_local void (*library_relax)(void);

static long membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

bool library_barrier_all_register(void) { return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0; }

/* CPUs are threads of this process: who runs is interrupted, and who does not run has had its barrier by being
 * switched. */
void cpu_barrier_all(void)
{
	if (library_self.barrier_all)
		ASSERT(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0); /* registered: cannot fail */
}

void kvprintf(const char *format, va_list args) { vfprintf(stderr, format, args); }

void kprintf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	kvprintf(format, args);
	va_end(args);
}

void panic(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	library_panic(text);
	abort();
}

void machine_zero_frame(paddr_t frame) { memset(phys_to_virt(frame), 0, PAGE_SIZE); }

/* There is no command line. */
bool machine_option(const char *key, char *value, size_t size)
{
	(void)key;
	(void)value;
	(void)size;
	return false;
}
