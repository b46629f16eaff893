/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/sysrq.h"

#include "base/assert.h"
#include "proc/thread.h"
#include "vm/vm_stat.h"

/* The word below the caller's kernel stack: the page there is guard, so this does not return. */
static void touch_guard(void)
{
	(void)atomic_load_relaxed((ATOMIC(uint64_t) *)(uintptr_t)(thread_current()->stack.va - sizeof(uint64_t)));
	panic("the guard page of a kernel stack is mapped");
}

static long write(struct file *f, struct io *io, uint64_t *pos)
{
	long n = (long)io->left;
	size_t moved;
	char letter;

	(void)pos;
	if (n == 0)
		return 0;
	if (io_get(io, &letter, 1, &moved) != OK)
		return -EFAULT;
	io->left = 0;
	if (letter == 'c')
		panic("crash asked for by /proc/sysrq-trigger");
	if (letter == 'G')
		touch_guard();
	if (letter == 'm')
		vm_stat_print(&f->vm->frames, &f->vm->zones);
	return n;
}

static const struct file_ops sysrq_ops = {.name = "sysrq-trigger", .write = write};

static long open(struct vnode *v, const struct file_ops **ops, void **data)
{
	(void)v, (void)data;
	*ops = &sysrq_ops;
	return 0;
}

const struct vnode_ops sysrq_vnode_ops = {.open = open};
