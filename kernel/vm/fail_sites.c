/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/fail_sites.h"

#include "base/compiler.h"

/* Frames are shorter than this; what lies further away is no frame record. */
#define FRAME_BYTES_MAX 32768u

static void note(struct fail_sites *s, uint64_t address)
{
	uint64_t at = address >> 2;

	for (unsigned i = 0; i < FAIL_SITES_MAX; i++) {
		struct fail_site *slot = &s->site[(at + i) % FAIL_SITES_MAX];
		/* relaxed: an address says all, nothing else is published by it */
		uint64_t found = atomic_load_relaxed(&slot->address);

		while (found == 0 && !atomic_cas_acq_rel(&slot->address, &found, address))
			; /* a spurious failure leaves 0 */
		if (found == 0 || found == address) {
			atomic_add_relaxed(&slot->hits, UINT64_C(1)); /* a statistic */
			return;
		}
	}
	atomic_add_relaxed(&s->lost, UINT64_C(1)); /* a statistic */
}

NOINLINE void fail_sites_note(struct fail_sites *s)
{
	const uintptr_t *record = __builtin_frame_address(0);

	for (unsigned i = 0; i < FAIL_SITES_DEPTH; i++) {
		const uintptr_t *next = (const uintptr_t *)record[0];
		uintptr_t address = record[1];

		if (address == 0)
			return;
		note(s, address);
		if ((uintptr_t)next <= (uintptr_t)record || (uintptr_t)next - (uintptr_t)record > FRAME_BYTES_MAX)
			return;
		record = next;
	}
}
