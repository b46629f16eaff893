/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/environment.c: what the part of kernel/proc that is compiled for the host
 * asks of the rest, which is not there. All of it lies outside of memory calls:
 *
 *   sched_point, sched_yield         nobody else wants the CPU
 *   text_init_fixed, text_vprintf    the host's printf in place of picolibc's; names of files
 *   eventfd_create, pipe_create      other files; never called
 *   poll_files                       likewise
 *   signal_mask_for_call, signal_mask_call_done, signal_send_thread   likewise
 */
#include <stdio.h>

#include "base/assert.h"
#include "proc/errno.h"
#include "proc/pipe.h"
#include "proc/poll.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "proc/text.h"

#undef sched_yield
void kernel_sched_yield(void) { sched_yield(); }

void sched_point(void) {}

void text_init_fixed(struct text *t, char *bytes, size_t room)
{
	*t = (struct text){.bytes = bytes, .room = room, .fixed = true};
	bytes[0] = 0;
}

void text_vprintf(struct text *t, const char *format, va_list args) { vsnprintf(t->bytes, t->room, format, args); }

/* Never called: no memory call makes such a file, waits for one, or sends a signal. */
long pipe_create(struct fs *fs, uint32_t flags, struct file **reader, struct file **writer)
{
	(void)fs, (void)flags, (void)reader, (void)writer;
	panic("a pipe");
}

long eventfd_create(struct fs *fs, uint64_t value, bool semaphore, uint32_t flags, struct file **out)
{
	(void)fs, (void)value, (void)semaphore, (void)flags, (void)out;
	panic("an eventfd");
}

long poll_files(struct vm *vm, struct poll_item *items, size_t n, uint64_t deadline)
{
	(void)vm, (void)items, (void)n, (void)deadline;
	panic("a poll");
}

enum error signal_send_thread(struct thread *t, const struct siginfo *info)
{
	(void)t, (void)info;
	panic("a signal");
}

void signal_mask_for_call(struct thread *t, uint64_t mask)
{
	(void)t, (void)mask;
	panic("a signal mask");
}

void signal_mask_call_done(struct thread *t)
{
	(void)t;
	panic("a signal mask");
}
