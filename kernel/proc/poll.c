/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One flag for all queues: whichever wakes the thread sets it. A waiter is on
 * its queue before the file looks at its state, so a change after the look finds
 * it there. A wake-up takes the waiter off its queue; so every round registers
 * anew. file->ops->poll may add one waiter a call.
 */
#include "proc/poll.h"

#include "proc/errno.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "vm/kmalloc.h"

#define POLL_INLINE 8

struct poll_waiter {
	struct waiter waiter;
	struct waitq *queue;
};

struct poll_wait {
	struct wait_flag woken;
	struct poll_waiter *waiter;
	size_t count, room;
};

void poll_wait_add(struct poll_wait *pw, struct waitq *q)
{
	struct poll_waiter *w;

	if (!pw || pw->count == pw->room)
		return;
	w = &pw->waiter[pw->count++];
	w->queue = q;
	wait_prepare_shared(q, &w->waiter, &pw->woken);
}

static unsigned ask(struct file *f, struct poll_wait *pw, unsigned wanted)
{
	if (!f->ops->poll)
		return wanted & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	return f->ops->poll(f, pw, wanted) & (wanted | POLLERR | POLLHUP);
}

unsigned file_poll(struct file *f, unsigned wanted) { return ask(f, NULL, wanted); }

static void leave_queues(struct poll_wait *pw)
{
	while (pw->count > 0) {
		struct poll_waiter *w = &pw->waiter[--pw->count];

		wait_cancel(w->queue, &w->waiter);
	}
}

/* How many items are ready; registers on their queues until the first that is. */
static long look(struct poll_item *items, size_t n, struct poll_wait *pw)
{
	long ready = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].file)
			items[i].ready = ask(items[i].file, ready ? NULL : pw, items[i].wanted);
		ready += items[i].ready != 0;
	}
	return ready;
}

long poll_files(struct vm *vm, struct poll_item *items, size_t n, uint64_t deadline)
{
	struct poll_waiter few[POLL_INLINE];
	struct poll_wait pw = {.waiter = few, .room = POLL_INLINE};
	enum error e = OK;
	long ready;

	if (n > POLL_INLINE) {
		pw.waiter = kmalloc(&vm->kmalloc, n * sizeof *pw.waiter);
		pw.room = n;
		if (!pw.waiter)
			return -ENOMEM;
	}
	for (;;) {
		/* relaxed: on no queue yet */
		atomic_store_relaxed(&pw.woken.set, 0u);
		ready = look(items, n, e == OK ? &pw : NULL);
		if (ready || e != OK)
			break;
		e = sched_block(&pw.woken, WAIT_INTERRUPTIBLE, deadline);
		leave_queues(&pw);
	}
	leave_queues(&pw);
	if (pw.waiter != few)
		kfree(&vm->kmalloc, pw.waiter);
	/* A signal counts before the deadline: programs poll with time-out 0 to let some in. */
	return !ready && (e == ERR_INTR || signal_wants_attention(thread_current())) ? -ERESTARTNOHAND : ready;
}
