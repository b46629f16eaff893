/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/sysrq.h"

#include "base/assert.h"
#include "vm/vm_stat.h"

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
