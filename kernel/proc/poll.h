/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/poll.h: waiting until one of several files is ready. Thread context, nothing held. */
#ifndef PROC_POLL_H
#define PROC_POLL_H

#include "proc/file.h"

struct poll_wait;

/*
 * For a file's poll operation: the poll that is going on wants to be woken by q.
 * Called before the operation looks at its state. pw NULL: nothing to do.
 */
void poll_wait_add(struct poll_wait *pw, struct waitq *q);

struct poll_item {
	struct file *file; /* NULL: none, revents is what the caller put there */
	unsigned wanted;   /* POLL*; POLLERR, POLLHUP always */
	unsigned ready;    /* answer */
};

/* Events that are there now. */
unsigned file_poll(struct file *f, unsigned wanted);

/*
 * Until an item is ready, or the deadline (ns since boot). => how many are ready
 * (0: deadline), -ENOMEM, -ERESTARTNOHAND.
 */
long poll_files(struct vm *vm, struct poll_item *items, size_t n, uint64_t deadline);

#endif
