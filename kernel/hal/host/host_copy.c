/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_copy.c: zeroing and copying of hal/machine.h: the kernel's own accesses to frames.
 *
 * Nothing else is in this file, for the same reason as in host_pte.c: under a memory model these are
 * accesses of the kernel's, and the rest of the simulator is hardware.
 */
#include <string.h>

#include "base/assert.h"
#include "hal/host/host_private.h"

void machine_zero_frame(paddr_t frame)
{
	ASSERT_CHECKED(!(frame.pa & PAGE_MASK));
	memset(phys_to_virt(frame), 0, PAGE_SIZE);
	host_frame_written(frame);
}

void machine_copy_frame(paddr_t to, paddr_t from)
{
	ASSERT_CHECKED(!((to.pa | from.pa) & PAGE_MASK));
	memcpy(phys_to_virt(to), phys_to_virt(from), PAGE_SIZE);
	host_frame_written(to);
}

/* Words where both sides are aligned, else bytes; relaxed: see hal/machine.h. */
void machine_copy_shared(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;
	size_t done = 0;

	while (done < n)
		if (n - done >= 8 && (((uintptr_t)(t + done) | (uintptr_t)(f + done)) & 7) == 0) {
			__atomic_store_n((uint64_t *)(t + done),
					 __atomic_load_n((const uint64_t *)(f + done), __ATOMIC_RELAXED),
					 __ATOMIC_RELAXED);
			done += 8;
		} else {
			__atomic_store_n(t + done, __atomic_load_n(f + done, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
			done++;
		}
}

void machine_zero_shared(void *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__atomic_store_n((char *)to + i, 0, __ATOMIC_RELAXED);
}
