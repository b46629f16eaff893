/* SPDX-License-Identifier: BSD-2-Clause */
/* A 64-bit counter that is read and written as a file. Lock: RANK_PIPE; waiting as in pipe.c. */
#include "proc/pipe.h"

#include "proc/poll.h"
#include "proc/sched.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

#define EVENTFD_MAX (UINT64_MAX - 1)

struct eventfd {
	struct spinlock lock; /* RANK_PIPE */
	uint64_t value;       /* l */
	bool semaphore;
	struct waitq queue;
};

static long eventfd_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct eventfd *v = f->data;
	uint64_t got = 0;
	size_t moved;

	(void)pos;
	if (io->left < sizeof got)
		return -EINVAL;
	for (;;) {
		struct waiter w;
		long e;

		wait_prepare(&v->queue, &w);
		spin_lock(&v->lock, RANK_PIPE);
		got = v->semaphore && v->value ? 1 : v->value;
		v->value -= got;
		spin_unlock(&v->lock);
		if (got || file_nonblocking(f)) {
			wait_cancel(&v->queue, &w);
			break;
		}
		e = errno_of(sched_wait(&v->queue, &w, WAIT_INTERRUPTIBLE, TIMER_NEVER));
		if (e)
			return e;
	}
	if (!got)
		return -EAGAIN;
	(void)waitq_wake_all(&v->queue);
	return io_put(io, &got, sizeof got, &moved) == OK ? (long)sizeof got : -EFAULT;
}

static long eventfd_write(struct file *f, struct io *io, uint64_t *pos)
{
	struct eventfd *v = f->data;
	uint64_t add;
	size_t moved;

	(void)pos;
	if (io->left < sizeof add)
		return -EINVAL;
	if (io_get(io, &add, sizeof add, &moved) != OK)
		return -EFAULT;
	if (add > EVENTFD_MAX)
		return -EINVAL;
	for (;;) {
		struct waiter w;
		bool fits;
		long e;

		wait_prepare(&v->queue, &w);
		spin_lock(&v->lock, RANK_PIPE);
		fits = add <= EVENTFD_MAX - v->value;
		if (fits)
			v->value += add;
		spin_unlock(&v->lock);
		if (fits || file_nonblocking(f)) {
			wait_cancel(&v->queue, &w);
			if (!fits)
				return -EAGAIN;
			(void)waitq_wake_all(&v->queue);
			return sizeof add;
		}
		e = errno_of(sched_wait(&v->queue, &w, WAIT_INTERRUPTIBLE, TIMER_NEVER));
		if (e)
			return e;
	}
}

static unsigned eventfd_poll(struct file *f, struct poll_wait *pw, unsigned wanted)
{
	struct eventfd *v = f->data;
	unsigned ready = 0;

	(void)wanted;
	poll_wait_add(pw, &v->queue);
	spin_lock(&v->lock, RANK_PIPE);
	if (v->value > 0)
		ready |= POLLIN | POLLRDNORM;
	if (v->value < EVENTFD_MAX)
		ready |= POLLOUT | POLLWRNORM;
	spin_unlock(&v->lock);
	return ready;
}

static void eventfd_close(struct file *f) { kfree(&f->vm->kmalloc, f->data); }

static const struct file_ops eventfd_ops = {
	.name = "eventfd",
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.close = eventfd_close,
};

long eventfd_create(struct fs *fs, uint64_t value, bool semaphore, uint32_t flags, struct file **out)
{
	struct eventfd *v = kmalloc_zero(&fs->vm->kmalloc, sizeof *v);
	struct vnode *node;
	long e;

	if (!v)
		return -ENOMEM;
	spin_init(&v->lock);
	v->value = value;
	v->semaphore = semaphore;
	waitq_init(&v->queue);
	e = vnode_create(fs, VNODE_ANON, 0600, &node);
	if (!e) {
		vnode_name(node, "anon_inode:[eventfd]");
		e = file_create(fs->vm, fs, node, &eventfd_ops, v, O_RDWR | (flags & O_NONBLOCK), out);
	}
	if (e)
		kfree(&fs->vm->kmalloc, v);
	return e;
}
