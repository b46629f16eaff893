/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/device.h"

#include "hal/machine.h"
#include "proc/sched.h"

static long null_read(struct file *f, struct io *io, uint64_t *pos)
{
	(void)f, (void)io, (void)pos;
	return 0;
}

static long null_write(struct file *f, struct io *io, uint64_t *pos)
{
	long n = (long)io->left;

	(void)f, (void)pos;
	io->left = 0;
	return n;
}

static long zero_read(struct file *f, struct io *io, uint64_t *pos)
{
	size_t moved, total = 0;
	enum error e = OK;

	(void)f, (void)pos;
	while (io->left > 0 && e == OK) {
		e = io_put_zero(io, io->left < BLOCK_SIZE ? io->left : BLOCK_SIZE, &moved);
		total += moved;
		sched_point();
	}
	return total ? (long)total : errno_of(e);
}

static long full_write(struct file *f, struct io *io, uint64_t *pos)
{
	(void)f, (void)pos;
	return io->left ? -ENOSPC : 0;
}

static long random_read(struct file *f, struct io *io, uint64_t *pos)
{
	char bytes[256];
	size_t total = 0, moved;
	enum error e = OK;

	(void)f, (void)pos;
	while (io->left > 0 && e == OK) {
		size_t n = io->left < sizeof bytes ? io->left : sizeof bytes;

		machine_random(bytes, n);
		e = io_put(io, bytes, n, &moved);
		total += moved;
		if (total % BLOCK_SIZE == 0)
			sched_point();
	}
	return total ? (long)total : errno_of(e);
}

static long zero_size(struct file *f)
{
	(void)f;
	return 0;
}

/* Zeros: private ones need no object. */
static long zero_mmap(struct file *f, bool shared, struct mmap_target *target)
{
	(void)f, (void)shared;
	target->object = NULL;
	return 0;
}

static const struct file_ops null_ops = {
	.name = "null", .read = null_read, .write = null_write, .size = zero_size, .seekable = true};
static const struct file_ops zero_ops = {
	.name = "zero", .read = zero_read, .write = null_write, .size = zero_size, .mmap = zero_mmap, .seekable = true};
static const struct file_ops full_ops = {
	.name = "full", .read = zero_read, .write = full_write, .size = zero_size, .seekable = true};
static const struct file_ops random_ops = {
	.name = "random", .read = random_read, .write = null_write, .size = zero_size, .seekable = true};

long device_make(struct fs *fs, const char *path, unsigned major, unsigned minor, const struct file_ops *ops,
		 void *data)
{
	struct vnode *v;
	long e = vnode_create(fs, VNODE_DEVICE, 0666, &v);

	if (e)
		return e;
	v->rdev = (uint64_t)major << 8 | minor;
	v->fops = ops;
	v->data = data;
	e = fs_attach(fs, path, v);
	vnode_release(v);
	return e;
}

long devices_make(struct fs *fs)
{
	static const struct {
		const char *path;
		unsigned minor;
		const struct file_ops *ops;
	} nodes[] = {
		{"/dev/null", 3, &null_ops},     {"/dev/zero", 5, &zero_ops},      {"/dev/full", 7, &full_ops},
		{"/dev/random", 8, &random_ops}, {"/dev/urandom", 9, &random_ops},
	};
	long e = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nodes) && !e; i++)
		e = device_make(fs, nodes[i].path, 1, nodes[i].minor, nodes[i].ops, NULL);
	return e;
}
