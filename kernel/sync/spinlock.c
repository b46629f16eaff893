/* SPDX-License-Identifier: BSD-2-Clause */
#include "sync/spinlock.h"

/* Not in line: so that whoever takes a free lock saves no registers for it. */
void spin_wait(struct spinlock *l) { ck_spinlock_fas_lock(&l->word); }
