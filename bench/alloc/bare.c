/* SPDX-License-Identifier: BSD-2-Clause */
/* bench/alloc/bare.c: the kernel's structures in a machine of the library. Compiled as the library is. */
#include "bench.h"
#include "private.h"

_Static_assert(SINGLE_OWNER == FRAME_ANON, "what the loads pass to frame_get");

void *bare_kmalloc(struct strata_machine *m);
void *bare_frames(struct strata_machine *m);

void *bare_kmalloc(struct strata_machine *m) { return &m->kmalloc; }
void *bare_frames(struct strata_machine *m) { return &m->frames; }
