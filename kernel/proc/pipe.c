/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/pipe.c: pipes.
 *
 * A ring of 16 pages, each allocated when it is first written to and kept until
 * the pipe ends. head and tail count bytes since the beginning; head - tail is
 * what lies in the ring.
 *
 *	writer: user --copy--> 4 KiB buffer --lock--> ring at head     wakes readers
 *	reader: ring at tail --lock--> 4 KiB buffer --copy--> user --lock--> tail moves, wakes writers
 *
 * No user memory is touched under the lock. A reader must not lose bytes when
 * its own buffer turns out to be bad, so it takes them only after they have
 * arrived: it looks, copies, and then moves the tail if the tail is still where
 * it looked. If another reader was faster, it starts over and overwrites what it
 * had stored, which nobody was told about yet.
 *
 * Invariants
 *  1. tail <= head <= tail + PIPE_BYTES; every page that holds bytes is there.
 *  2. A write of at most PIPE_ATOMIC bytes goes in under one hold of the lock.
 *  3. readers and writers count the open files of each end; the pipe is freed
 *     when both are 0.
 *
 * Locking: lock (spin, RANK_PIPE) for ring and counts; pages are allocated under
 * it (zones rank above). A thread that waits is on the queue before it looks.
 *
 * Errors: no reader: -EPIPE, and the caller of write sends SIGPIPE; no writer and
 * nothing left: 0; -EAGAIN when it may not wait; -ERESTARTSYS by a signal.
 */
#include "proc/pipe.h"

#include <string.h>

#include "hal/uaccess.h"
#include "proc/poll.h"
#include "proc/sched.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

#define PIPE_PAGES (PIPE_BYTES / PAGE_SIZE)
#define FIONREAD 0x541b

struct pipe {
	struct vm *vm;
	struct spinlock lock;      /* RANK_PIPE: all below */
	uint64_t head, tail;       /* l */
	uint32_t readers, writers; /* l */
	char *page[PIPE_PAGES];    /* l */
	struct waitq can_read, can_write;
};

/* Copies n bytes between the ring at position `at` and buffer. */
static void ring_copy_locked(struct pipe *p, uint64_t at, char *buffer, size_t n, bool in)
{
	while (n > 0) {
		char *place = p->page[at / PAGE_SIZE % PIPE_PAGES] + at % PAGE_SIZE;
		size_t piece = PAGE_SIZE - at % PAGE_SIZE;

		if (piece > n)
			piece = n;
		if (in)
			memcpy(place, buffer, piece);
		else
			memcpy(buffer, place, piece);
		buffer += piece;
		at += piece;
		n -= piece;
	}
}

/* Pages for n bytes at head. */
static bool ring_prepare_locked(struct pipe *p, size_t n)
{
	for (uint64_t at = round_down(p->head, PAGE_SIZE); at < p->head + n; at += PAGE_SIZE) {
		char **page = &p->page[at / PAGE_SIZE % PIPE_PAGES];

		if (!*page)
			*page = kmalloc(&p->vm->kmalloc, PAGE_SIZE);
		if (!*page)
			return false;
	}
	return true;
}

static void lock(struct pipe *p) { spin_lock(&p->lock, RANK_PIPE); }
static void unlock(struct pipe *p) { spin_unlock(&p->lock); }

/* Moves what is there now into io: bytes, 0 when empty, -EFAULT. *ended: no writer was left. */
static long read_some(struct pipe *p, struct io *io, char *buffer, bool *ended)
{
	for (;;) {
		struct io cursor = *io;
		size_t n, moved;
		uint64_t from;
		enum error e;

		lock(p);
		from = p->tail;
		n = p->head - p->tail;
		*ended = p->writers == 0;
		if (n > io->left)
			n = io->left;
		if (n > PAGE_SIZE)
			n = PAGE_SIZE;
		ring_copy_locked(p, from, buffer, n, false);
		unlock(p);
		if (n == 0)
			return 0;
		e = io_put(&cursor, buffer, n, &moved);
		lock(p);
		if (p->tail == from) {
			p->tail += moved;
			unlock(p);
			*io = cursor;
			if (moved)
				(void)waitq_wake_all(&p->can_write);
			return moved ? (long)moved : errno_of(e);
		}
		unlock(p);
	}
}

static long pipe_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct pipe *p = f->data;
	long total = 0, n = 0;
	char *buffer;

	(void)pos;
	if (io->left == 0)
		return 0;
	buffer = kmalloc(&f->vm->kmalloc, PAGE_SIZE);
	if (!buffer)
		return -ENOMEM;
	while (io->left > 0) {
		struct waiter w;
		bool ended;

		wait_prepare(&p->can_read, &w);
		n = read_some(p, io, buffer, &ended);
		if (n > 0)
			total += n;
		if (n == 0 && !total && !ended && !file_nonblocking(f)) {
			n = errno_of(sched_wait(&p->can_read, &w, WAIT_INTERRUPTIBLE, TIMER_NEVER));
			if (n == 0)
				continue;
		} else {
			wait_cancel(&p->can_read, &w);
			if (n == 0 && !total && !ended)
				n = -EAGAIN;
		}
		if (n <= 0)
			break;
	}
	kfree(&f->vm->kmalloc, buffer);
	return total ? total : n;
}

/* Puts n bytes in, or as many as fit unless they must stay together. => bytes, 0: no room, -EPIPE, -ENOMEM. */
static long write_some(struct pipe *p, char *buffer, size_t n, bool together)
{
	size_t room;
	long result;

	lock(p);
	room = PIPE_BYTES - (p->head - p->tail);
	if (n > room)
		n = together ? 0 : room;
	if (p->readers == 0) {
		result = -EPIPE;
	} else if (!ring_prepare_locked(p, n)) {
		result = -ENOMEM;
	} else {
		ring_copy_locked(p, p->head, buffer, n, true);
		p->head += n;
		result = (long)n;
	}
	unlock(p);
	if (result > 0)
		(void)waitq_wake_all(&p->can_read);
	return result;
}

/* Writes what is in the buffer to the last byte, waiting for room. *done: bytes written. */
static long write_all(struct file *f, struct pipe *p, char *buffer, size_t n, bool together, size_t *done)
{
	long e;

	*done = 0;
	while (*done < n) {
		struct waiter w;

		wait_prepare(&p->can_write, &w);
		e = write_some(p, buffer + *done, n - *done, together);
		if (e != 0) {
			wait_cancel(&p->can_write, &w);
			if (e < 0)
				return e;
			*done += (size_t)e;
			continue;
		}
		if (file_nonblocking(f)) {
			wait_cancel(&p->can_write, &w);
			return -EAGAIN;
		}
		e = errno_of(sched_wait(&p->can_write, &w, WAIT_INTERRUPTIBLE, TIMER_NEVER));
		if (e)
			return e;
	}
	return 0;
}

static long pipe_write(struct file *f, struct io *io, uint64_t *pos)
{
	struct pipe *p = f->data;
	bool together = io->left <= PIPE_ATOMIC;
	long total = 0, e = 0;
	char *buffer;

	(void)pos;
	if (io->left == 0)
		return 0;
	buffer = kmalloc(&f->vm->kmalloc, PAGE_SIZE);
	if (!buffer)
		return -ENOMEM;
	while (io->left > 0 && !e) {
		size_t n = io->left < PAGE_SIZE ? io->left : PAGE_SIZE, got, done;
		enum error copy = io_get(io, buffer, n, &got);

		e = write_all(f, p, buffer, got, together, &done);
		total += (long)done;
		if (!e)
			e = errno_of(copy);
	}
	kfree(&f->vm->kmalloc, buffer);
	return total ? total : e;
}

static unsigned pipe_poll_read(struct file *f, struct poll_wait *pw, unsigned wanted)
{
	struct pipe *p = f->data;
	unsigned ready = 0;

	(void)wanted;
	poll_wait_add(pw, &p->can_read);
	lock(p);
	if (p->head != p->tail)
		ready |= POLLIN | POLLRDNORM;
	if (p->writers == 0)
		ready |= POLLHUP;
	unlock(p);
	return ready;
}

static unsigned pipe_poll_write(struct file *f, struct poll_wait *pw, unsigned wanted)
{
	struct pipe *p = f->data;
	unsigned ready = 0;

	(void)wanted;
	poll_wait_add(pw, &p->can_write);
	lock(p);
	if (PIPE_BYTES - (p->head - p->tail) >= PIPE_ATOMIC)
		ready |= POLLOUT | POLLWRNORM;
	if (p->readers == 0)
		ready |= POLLERR;
	unlock(p);
	return ready;
}

static long pipe_ioctl(struct file *f, unsigned command, uint64_t argument)
{
	struct pipe *p = f->data;
	uint32_t n;

	if (command != FIONREAD)
		return -ENOTTY;
	lock(p);
	n = (uint32_t)(p->head - p->tail);
	unlock(p);
	return errno_of(copy_out(vaddr(argument), &n, sizeof n));
}

static void leave(struct pipe *p, bool reader)
{
	bool last;

	lock(p);
	if (reader)
		p->readers--;
	else
		p->writers--;
	last = p->readers == 0 && p->writers == 0;
	unlock(p);
	if (!last) {
		(void)waitq_wake_all(&p->can_read);
		(void)waitq_wake_all(&p->can_write);
		return;
	}
	for (unsigned i = 0; i < PIPE_PAGES; i++)
		kfree(&p->vm->kmalloc, p->page[i]);
	kfree(&p->vm->kmalloc, p);
}

static void pipe_close_read(struct file *f) { leave(f->data, true); }
static void pipe_close_write(struct file *f) { leave(f->data, false); }

static const struct file_ops pipe_read_ops = {
	.name = "pipe",
	.read = pipe_read,
	.poll = pipe_poll_read,
	.ioctl = pipe_ioctl,
	.close = pipe_close_read,
};
static const struct file_ops pipe_write_ops = {
	.name = "pipe",
	.write = pipe_write,
	.poll = pipe_poll_write,
	.ioctl = pipe_ioctl,
	.close = pipe_close_write,
};

long pipe_create(struct fs *fs, uint32_t flags, struct file **reader, struct file **writer)
{
	struct pipe *p = kmalloc_zero(&fs->vm->kmalloc, sizeof *p);
	struct vnode *v;
	long e = -ENOMEM;

	if (!p)
		return e;
	p->vm = fs->vm;
	spin_init(&p->lock);
	waitq_init(&p->can_read);
	waitq_init(&p->can_write);
	e = vnode_create(fs, VNODE_PIPE, 0600, &v);
	if (e) {
		kfree(&fs->vm->kmalloc, p);
		return e;
	}
	vnode_name(v, "pipe:[%llu]", (unsigned long long)v->ino);
	vnode_reference(v); /* one for each end */
	e = file_create(fs->vm, fs, v, &pipe_read_ops, p, O_RDONLY | (flags & O_NONBLOCK), reader);
	if (e) {
		vnode_release(v);
		kfree(&fs->vm->kmalloc, p);
		return e;
	}
	p->readers = 1;
	e = file_create(fs->vm, fs, v, &pipe_write_ops, p, O_WRONLY | (flags & O_NONBLOCK), writer);
	if (e)
		file_release(*reader); /* frees the pipe: it has no other end */
	else
		p->writers = 1;
	return e;
}
