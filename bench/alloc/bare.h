/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/bare.h: the kernel's own functions, which the library's calls go on into when they have judged their
 * arguments. They are in the same object as those (mk/lib.mk), under their own names.
 */
#ifndef BENCH_ALLOC_BARE_H
#define BENCH_ALLOC_BARE_H

#include <strata.h>

#include "bench.h"

extern function_fn zone_alloc, zone_free, kmalloc, kfree, frame_get, frame_put;

/* What kmalloc and kfree, and frame_get and frame_put, take as their first argument. A zone is a strata_zone. */
void *bare_kmalloc(struct strata_machine *m);
void *bare_frames(struct strata_machine *m);

#endif
