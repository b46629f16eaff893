/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/sanitizer_none.c: host-explore, where memory.c takes the sanitizer's place and needs no fibers of its own. */
#include "engine.h"

bool sanitizer_here(void) { return false; }
void *sanitizer_fiber(void) { return NULL; }
void *sanitizer_self(void) { return NULL; }
void sanitizer_switch(void *fiber, bool ordered) { (void)fiber, (void)ordered; }
