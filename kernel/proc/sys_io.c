/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_io.c: bytes in and out of descriptors.
 *
 * All of read, readv, pread64, preadv, preadv2 and their writing twins end in
 * one function: it takes the file, copies the vector in, checks lengths, and lets
 * file_read or file_write move the bytes. No length is trusted: a single one is
 * cut to IO_MAX, a vector's sum must not pass 2^63 - 1 and is cut likewise.
 *
 * A write that finds no reader sends SIGPIPE here, where the thread is known.
 */
#include "proc/linux_abi.h"
#include "proc/poll.h"
#include "proc/signal.h"
#include "proc/sys.h"
#include "vm/kmalloc.h"

#define VEC_INLINE 8
#define AT_OFFSET UINT64_MAX /* the file's own position */

/* Flags of preadv2 and pwritev2 that change nothing here: RWF_HIPRI, DSYNC, SYNC. */
#define RWF_HARMLESS 7u

static void broken_pipe(struct thread *t)
{
	struct siginfo info = {.si_signo = SIGPIPE, .si_code = SI_USER};

	info.kill.pid = (int32_t)t->proc->pid;
	(void)!signal_send_thread(t, &info); /* SIGPIPE is not queued twice: cannot fail */
}

/* One transfer. offset: AT_OFFSET or where. */
static long move(struct thread *t, uint64_t fd, struct io *io, uint64_t offset, bool write)
{
	struct file *f = file_get(t, fd);
	uint64_t *pos = offset == AT_OFFSET ? NULL : &offset;
	long n;

	if (!f)
		return -EBADF;
	n = write ? file_write(f, io, pos) : file_read(f, io, pos);
	file_release(f);
	if (n == -EPIPE && write)
		broken_pipe(t);
	return n;
}

static long move_one(struct thread *t, const uint64_t *a, uint64_t offset, bool write)
{
	struct iovec v;
	struct io io;

	if ((int64_t)a[2] < 0)
		return -EINVAL;
	io_init_user(&io, &v, a[1], a[2] < IO_MAX ? a[2] : IO_MAX);
	return move(t, a[0], &io, offset, write);
}

/* Copies the vector in and sums it up, cut to IO_MAX. */
static long vector_get(struct iovec *vec, uint64_t user, uint32_t count, struct io *io)
{
	uint64_t sum = 0;

	if (user_get(vec, user, count * sizeof *vec))
		return -EFAULT;
	for (uint32_t i = 0; i < count; i++) {
		if (vec[i].length > INT64_MAX || vec[i].length + sum > INT64_MAX)
			return -EINVAL;
		sum += vec[i].length;
	}
	*io = (struct io){.vec = vec, .count = count, .left = sum < IO_MAX ? sum : IO_MAX};
	return 0;
}

static long move_vector(struct thread *t, const uint64_t *a, uint64_t offset, bool write)
{
	struct iovec few[VEC_INLINE], *vec = few;
	struct io io;
	long n;

	if (a[2] > IO_VECTORS)
		return -EINVAL;
	if (a[2] > VEC_INLINE) {
		vec = kmalloc(&t->ps->vm->kmalloc, a[2] * sizeof *vec);
		if (!vec)
			return -ENOMEM;
	}
	n = vector_get(vec, a[1], (uint32_t)a[2], &io);
	if (!n)
		n = move(t, a[0], &io, offset, write);
	if (vec != few)
		kfree(&t->ps->vm->kmalloc, vec);
	return n;
}

long sys_read(struct thread *t, const uint64_t *a) { return move_one(t, a, AT_OFFSET, false); }
long sys_write(struct thread *t, const uint64_t *a) { return move_one(t, a, AT_OFFSET, true); }
long sys_readv(struct thread *t, const uint64_t *a) { return move_vector(t, a, AT_OFFSET, false); }
long sys_writev(struct thread *t, const uint64_t *a) { return move_vector(t, a, AT_OFFSET, true); }

static bool offset_bad(uint64_t offset) { return (int64_t)offset < 0; }

long sys_pread64(struct thread *t, const uint64_t *a)
{
	return offset_bad(a[3]) ? -EINVAL : move_one(t, a, a[3], false);
}
long sys_pwrite64(struct thread *t, const uint64_t *a)
{
	return offset_bad(a[3]) ? -EINVAL : move_one(t, a, a[3], true);
}
long sys_preadv(struct thread *t, const uint64_t *a)
{
	return offset_bad(a[3]) ? -EINVAL : move_vector(t, a, a[3], false);
}
long sys_pwritev(struct thread *t, const uint64_t *a)
{
	return offset_bad(a[3]) ? -EINVAL : move_vector(t, a, a[3], true);
}

/* Offset -1 means the file's own position. */
static long move_vector2(struct thread *t, const uint64_t *a, bool write)
{
	if (flags_unknown(a[5], RWF_HARMLESS))
		return -EOPNOTSUPP;
	if (a[3] != AT_OFFSET && offset_bad(a[3]))
		return -EINVAL;
	return move_vector(t, a, a[3], write);
}

long sys_preadv2(struct thread *t, const uint64_t *a) { return move_vector2(t, a, false); }
long sys_pwritev2(struct thread *t, const uint64_t *a) { return move_vector2(t, a, true); }

long sys_lseek(struct thread *t, const uint64_t *a)
{
	struct file *f = file_get(t, a[0]);
	long n;

	if (!f)
		return -EBADF;
	n = file_seek(f, (int64_t)a[1], (int)a[2]);
	file_release(f);
	return n;
}

/* --- sendfile --- */

#define SEND_BYTES (size_t)16384

/* Moves up to n bytes from in at *pos to out; *pos: behind the last that arrived. */
static long send(struct thread *t, struct file *out, struct file *in, uint64_t *pos, size_t n)
{
	char *buffer = kmalloc(&t->ps->vm->kmalloc, SEND_BYTES);
	long total = 0, result = 0;

	if (!buffer)
		return -ENOMEM;
	while (n > 0) {
		uint64_t at = *pos;
		struct iovec v;
		struct io io;
		long got;

		io_init_kernel(&io, &v, buffer, n < SEND_BYTES ? n : SEND_BYTES);
		got = result = file_read(in, &io, &at);
		if (got <= 0)
			break;
		io_init_kernel(&io, &v, buffer, (size_t)got);
		result = file_write(out, &io, NULL);
		if (result <= 0)
			break;
		*pos += (uint64_t)result;
		total += result;
		n -= (size_t)result;
		if (result < got)
			break;
		sched_point();
	}
	kfree(&t->ps->vm->kmalloc, buffer);
	return total ? total : result;
}

static long send_between(struct thread *t, struct file *out, struct file *in, uint64_t user_offset, size_t n)
{
	uint64_t pos;
	long result;

	if (!file_can_read(in) || !file_can_write(out))
		return -EBADF;
	if (!in->ops->seekable || in->vnode->kind == VNODE_DIRECTORY || out == in)
		return -EINVAL;
	if (user_offset) {
		if (user_get(&pos, user_offset, sizeof pos))
			return -EFAULT;
		if (offset_bad(pos))
			return -EINVAL;
		result = send(t, out, in, &pos, n);
		return user_put(user_offset, &pos, sizeof pos) ? -EFAULT : result;
	}
	/* The lock of only one of the two positions may be held: file_write takes the other's. */
	mutex_lock(&in->pos_lock);
	pos = in->pos;
	mutex_unlock(&in->pos_lock);
	result = send(t, out, in, &pos, n);
	mutex_lock(&in->pos_lock);
	in->pos = pos;
	mutex_unlock(&in->pos_lock);
	return result;
}

long sys_sendfile(struct thread *t, const uint64_t *a)
{
	struct file *out = file_get(t, a[0]), *in = file_get(t, a[1]);
	long n = -EBADF;

	if (out && in)
		n = send_between(t, out, in, a[2], a[3] < IO_MAX ? a[3] : IO_MAX);
	file_release(out);
	file_release(in);
	if (n == -EPIPE)
		broken_pipe(t);
	return n;
}

/* --- poll and select --- */

struct pollfd {
	int32_t fd;
	int16_t events, revents;
};

static void items_release(struct poll_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		file_release(items[i].file);
}

/* Puts what is left of a relative time-out back, as Linux does. */
static void time_left_put(uint64_t user, uint64_t deadline)
{
	uint64_t now = machine_now();
	struct timespec left;

	if (!user || deadline == TIMER_NEVER)
		return;
	left = timespec_of(deadline > now ? deadline - now : 0);
	(void)!copy_out(vaddr(user), &left, sizeof left); /* its place may be read-only: no harm */
}

/* Waits with another signal mask, if one is given. */
static long wait_masked(struct thread *t, struct poll_item *items, size_t n, uint64_t deadline, uint64_t user_mask,
			uint64_t mask_size)
{
	uint64_t mask;
	long ready;

	if (user_mask) {
		if (mask_size != sizeof mask)
			return -EINVAL;
		if (user_get(&mask, user_mask, sizeof mask))
			return -EFAULT;
		signal_mask_for_call(t, mask);
	}
	ready = poll_files(t->ps->vm, items, n, deadline);
	if (user_mask && ready != -ERESTARTNOHAND)
		signal_mask_call_done(t);
	return ready;
}

long sys_ppoll(struct thread *t, const uint64_t *a)
{
	struct kmalloc *k = &t->ps->vm->kmalloc;
	uint64_t n = (uint32_t)a[1], deadline;
	struct pollfd *fds = NULL;
	struct poll_item *items = NULL;
	long ready = deadline_get(a[2], &deadline);

	if (ready)
		return ready;
	if (n > limit_soft(t, RLIMIT_NOFILE) || n > FD_MAX)
		return -EINVAL;
	fds = kmalloc(k, n * sizeof *fds);
	items = kmalloc_zero(k, n * sizeof *items);
	if (!fds || !items)
		ready = -ENOMEM;
	else if (user_get(fds, a[0], n * sizeof *fds))
		ready = -EFAULT;
	if (ready)
		goto out;
	for (uint64_t i = 0; i < n; i++) {
		items[i].wanted = (uint16_t)fds[i].events;
		if (fds[i].fd >= 0) {
			items[i].file = file_get(t, (uint32_t)fds[i].fd);
			items[i].ready = items[i].file ? 0 : POLLNVAL;
		}
	}
	ready = wait_masked(t, items, n, deadline, a[3], a[4]);
	for (uint64_t i = 0; i < n; i++)
		fds[i].revents = (int16_t)items[i].ready;
	items_release(items, n);
	if (ready >= 0 && user_put(a[0], fds, n * sizeof *fds))
		ready = -EFAULT;
	time_left_put(a[2], deadline);
out:
	kfree(k, items);
	kfree(k, fds);
	return ready;
}

#define SET_WORDS (FD_MAX / 64)
enum { SET_READ, SET_WRITE, SET_EXCEPT, SETS };

/* What select's three sets mean in poll's terms. */
static const unsigned set_wants[SETS] = {POLLIN, POLLOUT, POLLPRI};
static const unsigned set_takes[SETS] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

struct select {
	uint64_t set[SETS][SET_WORDS];
	struct poll_item item[FD_MAX];
};

static long select_prepare(struct thread *t, struct select *s, uint32_t n, const uint64_t *user)
{
	size_t bytes = round_up(n, 64) / 8;

	for (unsigned k = 0; k < SETS; k++)
		if (user[k] && user_get(s->set[k], user[k], bytes))
			return -EFAULT;
	for (uint32_t fd = 0; fd < n; fd++) {
		for (unsigned k = 0; k < SETS; k++)
			if (s->set[k][fd / 64] >> (fd % 64) & 1)
				s->item[fd].wanted |= set_wants[k];
		if (!s->item[fd].wanted)
			continue;
		s->item[fd].file = file_get(t, fd);
		if (!s->item[fd].file)
			return -EBADF;
	}
	return 0;
}

/* Turns what is ready into the sets. => bits set. */
static long select_finish(struct select *s, uint32_t n, const uint64_t *user)
{
	long count = 0;

	for (unsigned k = 0; k < SETS; k++) {
		for (uint32_t fd = 0; fd < n; fd++) {
			uint64_t bit = UINT64_C(1) << (fd % 64);

			if (!(s->set[k][fd / 64] & bit))
				continue;
			if (s->item[fd].ready & set_takes[k])
				count++;
			else
				s->set[k][fd / 64] &= ~bit;
		}
		if (user[k] && user_put(user[k], s->set[k], round_up(n, 64) / 8))
			return -EFAULT;
	}
	return count;
}

long sys_pselect6(struct thread *t, const uint64_t *a)
{
	struct kmalloc *k = &t->ps->vm->kmalloc;
	uint32_t n = (uint32_t)a[0] < FD_MAX ? (uint32_t)a[0] : FD_MAX;
	struct {
		uint64_t mask, size;
	} sigmask = {0, 0};
	struct select *s;
	uint64_t deadline;
	long ready;

	if ((int)a[0] < 0)
		return -EINVAL;
	if (a[5] && user_get(&sigmask, a[5], sizeof sigmask))
		return -EFAULT;
	ready = deadline_get(a[4], &deadline);
	if (ready)
		return ready;
	s = kmalloc_zero(k, sizeof *s);
	if (!s)
		return -ENOMEM;
	ready = select_prepare(t, s, n, a + 1);
	if (!ready)
		ready = wait_masked(t, s->item, n, deadline, sigmask.mask, sigmask.size);
	items_release(s->item, n);
	if (ready >= 0)
		ready = select_finish(s, n, a + 1);
	kfree(k, s);
	time_left_put(a[4], deadline);
	return ready;
}
