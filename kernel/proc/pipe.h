/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/pipe.h: bytes from writers to readers; and eventfd's counter. Theory: pipe.c. Thread context, nothing held. */
#ifndef PROC_PIPE_H
#define PROC_PIPE_H

#include "proc/fs.h"

#define PIPE_BYTES 65536
#define PIPE_ATOMIC 4096 /* writes up to this size are not mixed with others' */

/* Both ends, open. => -ENOMEM, nothing left behind. */
long pipe_create(struct fs *fs, uint32_t flags, struct file **reader, struct file **writer) MUST_CHECK;

/* eventfd2(2). */
#define EFD_SEMAPHORE 1
long eventfd_create(struct fs *fs, uint64_t value, bool semaphore, uint32_t flags, struct file **out) MUST_CHECK;

#endif
