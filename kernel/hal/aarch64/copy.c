/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/copy.c: bytes that programs may write meanwhile are to this machine bytes like all others. */
#include <string.h>

#include "hal/machine.h"

void machine_copy_shared(void *to, const void *from, size_t n) { memcpy(to, from, n); }
void machine_zero_shared(void *to, size_t n) { memset(to, 0, n); }
