/* SPDX-License-Identifier: BSD-2-Clause */
/* bench/lines/control.c: what must count nothing, and what must not. */
#include "lines.h"

void control_private(struct control_line *own) { __atomic_fetch_add(&own->count, 1, __ATOMIC_RELAXED); }
void control_shared(struct control_line *one) { __atomic_fetch_add(&one->count, 1, __ATOMIC_RELAXED); }
