/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/console_file.c: reading, writing and setting the console. Theory:
 * console.c. A canonical read gives at most one line; a mark of end of file ends
 * the read that meets it and is swallowed by it, so that ^D behind text is no end
 * of file for the next read.
 */
#include "proc/console_private.h"

#include <string.h>

#include "hal/machine.h"
#include "hal/uaccess.h"
#include "proc/poll.h"
#include "proc/sched.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

/* --- reading --- */

/* How many elements a read of n bytes may take now, without taking them. *bytes: those that are bytes; *ended: the
 * line. */
static uint32_t peek_locked(struct console *c, char *to, size_t n, size_t *bytes, bool *ended)
{
	uint32_t at = c->ready_tail;

	*bytes = 0;
	*ended = false;
	while (at != c->ready_head) {
		uint16_t element = c->ready[at % RING];

		if (element == END_MARK) {
			at++; /* swallowed by the read that it ends, also one that is full */
			*ended = true;
			break;
		}
		if (*bytes == n)
			break;
		at++;
		to[(*bytes)++] = (char)element;
		if (element == '\n' && (c->set.lflag & ICANON)) {
			*ended = true;
			break;
		}
	}
	return at - c->ready_tail;
}

static bool can_read_locked(const struct console *c, size_t n)
{
	uint32_t there = c->ready_head - c->ready_tail, want = c->set.cc[VMIN];

	if (c->set.lflag & ICANON)
		return c->lines > 0;
	if (want > n)
		want = (uint32_t)n;
	return there > 0 && there >= want;
}

static void take_locked(struct console *c, uint32_t elements)
{
	while (elements-- > 0) {
		uint16_t element = c->ready[c->ready_tail++ % RING];

		if ((element == '\n' || element == END_MARK) && c->lines > 0)
			c->lines--;
	}
}

/* Moves what may be read now: bytes, -EAGAIN: nothing, -EFAULT. *ended: and no more belongs to this read. */
static long read_ready(struct console *c, struct io *io, char *buffer, size_t size, bool *ended)
{
	for (;;) {
		struct io cursor = *io;
		size_t n = io->left < size ? io->left : size, bytes, moved;
		uint32_t from, elements;
		enum error e;

		console_lock(c);
		if (!can_read_locked(c, n)) {
			console_unlock(c);
			return -EAGAIN;
		}
		from = c->ready_tail;
		elements = peek_locked(c, buffer, n, &bytes, ended);
		console_unlock(c);
		e = io_put(&cursor, buffer, bytes, &moved);
		console_lock(c);
		if (c->ready_tail == from) {
			take_locked(c, e == OK ? elements : (uint32_t)moved);
			console_unlock(c);
			*io = cursor;
			return moved ? (long)moved : errno_of(e);
		}
		console_unlock(c);
	}
}

static long console_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct console *c = f->data;
	uint64_t deadline = TIMER_NEVER;
	char buffer[512];
	long total = 0;

	(void)pos;
	if (io->left == 0)
		return 0;
	console_lock(c);
	if (!(c->set.lflag & ICANON) && c->set.cc[VMIN] == 0)
		deadline = machine_now() + c->set.cc[VTIME] * UINT64_C(100000000);
	console_unlock(c);
	for (;;) {
		struct waiter w;
		bool ended = false;
		enum error e;
		long n;

		wait_prepare(&c->readers, &w);
		n = read_ready(c, io, buffer, sizeof buffer, &ended);
		if (n >= 0) { /* the rest of a long line is there too */
			wait_cancel(&c->readers, &w);
			total += n;
			if (!ended && io->left > 0)
				continue;
			break;
		}
		if (n != -EAGAIN || total || file_nonblocking(f)) {
			wait_cancel(&c->readers, &w);
			total = total ? total : n;
			break;
		}
		e = sched_wait(&c->readers, &w, WAIT_INTERRUPTIBLE, deadline);
		if (e != OK)
			return e == ERR_TIMEOUT ? 0 : errno_of(e);
	}
	console_service(c); /* there may be room again for what had to wait */
	return total;
}

/* --- writing --- */

/* Sends a piece, with a carriage return before each newline if the program wants that. */
static void send(struct console *c, const char *bytes, size_t n)
{
	bool returns;

	console_lock(c);
	returns = (c->set.oflag & (OPOST | ONLCR)) == (OPOST | ONLCR);
	console_unlock(c);
	while (returns && n > 0) {
		const char *newline = memchr(bytes, '\n', n);
		size_t piece = newline ? (size_t)(newline - bytes) : n;

		machine_console_write(bytes, piece);
		if (newline) {
			machine_console_write("\r\n", 2);
			piece++;
		}
		bytes += piece;
		n -= piece;
	}
	if (n > 0)
		machine_console_write(bytes, n);
}

static long console_write(struct file *f, struct io *io, uint64_t *pos)
{
	struct console *c = f->data;
	char few[256], *buffer = few;
	size_t size = sizeof few, total = 0;
	enum error e = OK;

	(void)pos;
	if (io->left > sizeof few) {
		/* A line in one piece does not mix with other programs' lines; without memory it may. */
		buffer = kmalloc(&f->vm->kmalloc, PAGE_SIZE);
		size = PAGE_SIZE;
		if (!buffer) {
			buffer = few;
			size = sizeof few;
		}
	}
	while (io->left > 0 && e == OK) {
		size_t n = io->left < size ? io->left : size, got;

		e = io_get(io, buffer, n, &got);
		send(c, buffer, got);
		total += got;
	}
	if (buffer != few)
		kfree(&f->vm->kmalloc, buffer);
	return total ? (long)total : errno_of(e);
}

static unsigned console_poll(struct file *f, struct poll_wait *pw, unsigned wanted)
{
	struct console *c = f->data;
	unsigned ready = POLLOUT | POLLWRNORM;

	(void)wanted;
	poll_wait_add(pw, &c->readers);
	console_lock(c);
	if (can_read_locked(c, 1))
		ready |= POLLIN | POLLRDNORM;
	console_unlock(c);
	return ready;
}

/* --- settings --- */

enum {
	TCGETS = 0x5401,
	TCSETS,
	TCSETSW,
	TCSETSF,
	TCSBRK = 0x5409,
	TCXONC,
	TCFLSH,
	TIOCSCTTY = 0x540e,
	TIOCGPGRP,
	TIOCSPGRP,
	TIOCOUTQ,
	TIOCGWINSZ = 0x5413,
	TIOCSWINSZ,
	FIONREAD = 0x541b,
	TIOCNOTTY = 0x5422,
	TIOCGSID = 0x5429,
};

static void flush_input_locked(struct console *c)
{
	c->ready_tail = c->ready_head;
	c->line_length = 0;
	c->lines = 0;
}

/* What was typed so far can be read at once. It fits: see has_room_locked. */
static void leave_canonical_locked(struct console *c)
{
	for (uint32_t i = 0; i < c->line_length; i++)
		console_ready_locked(c, c->line[i]);
	c->line_length = 0;
}

/* What lies ready are lines from now on; what follows the last of them can be edited. */
static void enter_canonical_locked(struct console *c)
{
	uint32_t rest = 0, at;

	c->lines = 0;
	for (at = c->ready_tail; at != c->ready_head; at++) {
		bool end = c->ready[at % RING] == '\n' || c->ready[at % RING] == END_MARK;

		c->lines += end;
		rest = end ? 0 : rest + 1;
	}
	if (rest >= sizeof c->line) { /* too long to edit: as one line without end */
		console_ready_locked(c, END_MARK);
		c->lines++;
		return;
	}
	c->ready_head -= rest;
	c->line_length = rest;
	for (at = 0; at < rest; at++)
		c->line[at] = (uint8_t)c->ready[(c->ready_head + at) % RING];
}

static long set_termios(struct console *c, uint64_t argument, bool flush)
{
	struct termios t;

	if (copy_in(&t, vaddr(argument), sizeof t) != OK)
		return -EFAULT;
	console_lock(c);
	if (flush)
		flush_input_locked(c);
	if ((c->set.lflag & ICANON) && !(t.lflag & ICANON))
		leave_canonical_locked(c);
	else if (!(c->set.lflag & ICANON) && (t.lflag & ICANON))
		enter_canonical_locked(c);
	c->set = t;
	console_unlock(c);
	(void)waitq_wake_all(&c->readers);
	console_service(c); /* flushed: there may be room again */
	return 0;
}

static uint32_t readable_locked(struct console *c)
{
	uint32_t n = 0;

	if (!(c->set.lflag & ICANON))
		return c->ready_head - c->ready_tail;
	for (uint32_t at = c->ready_tail; at != c->ready_head; at++)
		n += c->ready[at % RING] != END_MARK;
	return n;
}

/* Commands that give a value out. => its size, 0 when it is none of these. */
static size_t get_setting(struct console *c, unsigned command, void *value)
{
	size_t size = sizeof(uint32_t);
	uint32_t word = 0;

	console_lock(c);
	switch (command) {
	case TCGETS:
		memcpy(value, &c->set, size = sizeof c->set);
		break;
	case TIOCGWINSZ:
		memcpy(value, &c->size, size = sizeof c->size);
		break;
	case TIOCGPGRP:
		memcpy(value, &c->group, size);
		break;
	case TIOCGSID:
		word = 1, memcpy(value, &word, size);
		break;
	case TIOCOUTQ:
		memcpy(value, &word, size);
		break;
	case FIONREAD:
		word = readable_locked(c), memcpy(value, &word, size);
		break;
	default:
		size = 0;
	}
	console_unlock(c);
	return size;
}

static long console_ioctl(struct file *f, unsigned command, uint64_t argument)
{
	struct console *c = f->data;
	unsigned char value[sizeof(struct termios)];
	size_t size = get_setting(c, command, value);
	struct winsize window;
	uint32_t group;

	if (size)
		return errno_of(copy_out(vaddr(argument), value, size));
	switch (command) {
	case TCSETS:
	case TCSETSW:
		return set_termios(c, argument, false);
	case TCSETSF:
		return set_termios(c, argument, true);
	case TCSBRK:
	case TCXONC:
	case TIOCSCTTY:
	case TIOCNOTTY:
		return 0;
	case TCFLSH:
		console_lock(c);
		flush_input_locked(c);
		console_unlock(c);
		return 0;
	case TIOCSPGRP:
		if (copy_in(&group, vaddr(argument), sizeof group) != OK)
			return -EFAULT;
		if ((int32_t)group <= 0)
			return -EINVAL;
		console_lock(c);
		c->group = group;
		console_unlock(c);
		return 0;
	case TIOCSWINSZ:
		if (copy_in(&window, vaddr(argument), sizeof window) != OK)
			return -EFAULT;
		console_lock(c);
		c->size = window;
		console_unlock(c);
		return 0;
	default:
		return -ENOTTY;
	}
}

const struct file_ops console_file_ops = {
	.name = "console",
	.read = console_read,
	.write = console_write,
	.poll = console_poll,
	.ioctl = console_ioctl,
};
