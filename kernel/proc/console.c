/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/console.c: a terminal on the serial line.
 *
 *	interrupt --> raw ring --> service: signals, editing, echo --> line (being edited)
 *	                                                                  | newline, ^D, or not canonical
 *	                                        read(2) <-- ready ring <--+
 *
 * The interrupt handler only stores the byte, since it may neither wake by a
 * wait queue nor send signals. console_service edits: any CPU on its way to EL0 or
 * idle, one at a time. The ready
 * ring holds what programs may read; an end of file (^D) is a mark in it, so that
 * "abc^D" gives "abc" to one read, and a ^D of its own gives 0 bytes to one.
 *
 * Output goes out as it is: what a program prints is what arrives outside, byte
 * for byte, unless the program itself asks for ONLCR. Echo is on when the boot
 * option `echo` says so or a program sets ECHO: with a file or a pipe at the other
 * end it would mix input into what the program prints.
 *
 * Invariants
 *  1. raw: one producer (the interrupt handler of one CPU at a time), one
 *     consumer (who set serving); full means that bytes are dropped.
 *  2. ready_head - ready_tail <= RING; lines = complete lines and marks in it.
 *
 * Locking: lock (spin, RANK_PIPE) guards settings, line and ready ring. The raw
 * ring is atomics: the producer's release of raw_head pairs with the consumer's
 * acquire, the consumer's release of raw_tail with the producer's acquire; who
 * serves is decided by a swap of serving. Reading
 * a program's bytes into its memory is done as in pipe.c: look, copy, take.
 *
 * Caveats: one session; background groups read and write freely (no SIGTTIN).
 */
#include "proc/console.h"

#include <string.h>

#include "hal/machine.h"
#include "hal/uaccess.h"
#include "proc/poll.h"
#include "proc/process.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "vm/kmalloc.h"

#define RING 4096u
#define RAW 1024u
#define END_MARK 0x100u /* in the ready ring: end of file */

/* termios, as Linux/arm64 lays it out */
#define CC_COUNT 19
struct termios {
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, cc[CC_COUNT];
};
_Static_assert(sizeof(struct termios) == 36, "Linux's struct termios");

enum { VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSUSP = 10, VREPRINT = 12, VWERASE = 14 };
enum {
	ICRNL = 0400, IGNCR = 0200, INLCR = 0100, OPOST = 1, ONLCR = 4, ISIG = 1, ICANON = 2, ECHO = 010, ECHOE = 020,
	ECHOK = 040, ECHOCTL = 01000, IEXTEN = 0100000, NOFLSH = 0200, B38400_CS8_CREAD = 017 | 060 | 0200,
};

struct winsize {
	uint16_t rows, columns, x, y;
};

struct console {
	struct proc_system *ps;
	ATOMIC(uint32_t) raw_head, raw_tail;
	ATOMIC(uint32_t) serving;     /* 1: somebody is in console_service */
	uint8_t raw[RAW];

	struct spinlock lock;         /* RANK_PIPE: all below (l) */
	struct termios set;           /* l */
	struct winsize size;          /* l */
	uint32_t group;               /* l: foreground */
	uint8_t line[RING / 2];       /* l: being edited */
	uint32_t line_length;         /* l */
	uint16_t ready[RING];         /* l */
	uint32_t ready_head, ready_tail; /* l: free running */
	uint32_t lines;               /* l */
	struct waitq readers;
};

static void lock(struct console *c) { spin_lock(&c->lock, RANK_PIPE); }
static void unlock(struct console *c) { spin_unlock(&c->lock); }

bool console_input(struct console *c, uint8_t byte)
{
	/* relaxed: only this side writes it */
	uint32_t head = atomic_load_relaxed(&c->raw_head);

	/* acquire: pairs with the consumer's release; the slot has been read */
	if (head - atomic_load_acquire(&c->raw_tail) < RAW) {
		c->raw[head % RAW] = byte;
		/* seq_cst: release for the consumer's acquire (the byte is there), and before the look at serving */
		atomic_store_seq_cst(&c->raw_head, head + 1);
	}
	return true;
}

bool console_pending(const struct console *c)
{
	/*
	 * seq_cst, with the store of serving before it in console_service: either the one that stops serving sees
	 * the byte, or the one that comes with it sees that nobody serves. raw_tail relaxed: a server's own.
	 */
	return atomic_load_seq_cst(&c->raw_head) != atomic_load_relaxed(&c->raw_tail);
}

/* --- input --- */

/* What one byte asks for when the lock is dropped. */
struct effect {
	int signal;
	uint32_t group;
	bool wake;
};

/* The console's own lock ranks above ours. */
static void echo_locked(struct console *c, const char *text, size_t n)
{
	if (c->set.lflag & ECHO)
		machine_console_write(text, n);
}

static void echo_byte_locked(struct console *c, uint8_t byte)
{
	char control[2] = { '^', (char)(byte ^ 0x40) }, plain = (char)byte;

	if ((byte < 32 && byte != '\n' && byte != '\t') || byte == 127)
		echo_locked(c, control, 2);
	else
		echo_locked(c, &plain, 1);
}

static void make_ready_locked(struct console *c, uint16_t element)
{
	if (c->ready_head - c->ready_tail < RING)
		c->ready[c->ready_head++ % RING] = element;
}

/* The line, complete or ended by ^D, becomes readable. */
static void line_done_locked(struct console *c, struct effect *x, uint16_t end)
{
	/* A line that does not fit is dropped whole: half a line would be a different one. */
	if (RING - (c->ready_head - c->ready_tail) > c->line_length) {
		for (uint32_t i = 0; i < c->line_length; i++)
			make_ready_locked(c, c->line[i]);
		make_ready_locked(c, end);
		c->lines++;
		x->wake = true;
	}
	c->line_length = 0;
}

static void erase_locked(struct console *c, bool all)
{
	while (c->line_length > 0) {
		uint8_t byte = c->line[--c->line_length];

		if ((byte & 0xc0) == 0x80) /* inside a UTF-8 character: one column with what precedes it */
			continue;
		echo_locked(c, "\b \b", 3);
		if (byte < 32 || byte == 127)
			echo_locked(c, "\b \b", 3);
		if (!all)
			return;
	}
}

static int key_signal(const struct console *c, uint8_t byte)
{
	if (!(c->set.lflag & ISIG) || byte == 0)
		return 0;
	return byte == c->set.cc[VINTR] ? SIGINT : byte == c->set.cc[VQUIT] ? SIGQUIT : byte == c->set.cc[VSUSP] ? SIGTSTP : 0;
}

static void edit_locked(struct console *c, struct effect *x, uint8_t byte)
{
	const uint8_t *cc = c->set.cc;

	if (byte == 0) {
		/* no key */
	} else if (byte == cc[VERASE] || byte == '\b') {
		erase_locked(c, false);
		return;
	} else if (byte == cc[VKILL]) {
		erase_locked(c, true);
		return;
	} else if (byte == cc[VEOF]) {
		line_done_locked(c, x, END_MARK);
		return;
	}
	echo_byte_locked(c, byte);
	if (byte == '\n')
		line_done_locked(c, x, '\n');
	else if (c->line_length < sizeof c->line)
		c->line[c->line_length++] = byte;
}

static void take_byte_locked(struct console *c, struct effect *x, uint8_t byte)
{
	x->signal = key_signal(c, byte);
	if (x->signal) {
		x->group = c->group;
		echo_byte_locked(c, byte);
		echo_locked(c, "\n", 1);
		if (!(c->set.lflag & NOFLSH)) {
			c->line_length = 0;
			c->ready_tail = c->ready_head;
			c->lines = 0;
		}
		return;
	}
	if (byte == '\r' && (c->set.iflag & IGNCR))
		return;
	if (byte == '\r' && (c->set.iflag & ICRNL))
		byte = '\n';
	else if (byte == '\n' && (c->set.iflag & INLCR))
		byte = '\r';
	if (c->set.lflag & ICANON) {
		edit_locked(c, x, byte);
	} else {
		echo_byte_locked(c, byte);
		make_ready_locked(c, byte);
		x->wake = true;
	}
}

static bool serve_one(struct console *c)
{
	struct effect x = { 0, 0, false };
	/* relaxed: only who serves writes it */
	uint32_t tail = atomic_load_relaxed(&c->raw_tail);

	/* acquire: pairs with the producer's release */
	if (tail == atomic_load_acquire(&c->raw_head))
		return false;
	lock(c);
	take_byte_locked(c, &x, c->raw[tail % RAW]);
	unlock(c);
	/* release: pairs with the producer's acquire; the slot is free */
	atomic_store_release(&c->raw_tail, tail + 1);
	if (x.signal) {
		struct siginfo info = { .si_signo = x.signal, .si_code = SI_KERNEL };

		(void)signal_send_group(c->ps, x.group, &info);
	}
	if (x.wake)
		(void)waitq_wake_all(&c->readers);
	return true;
}

void console_service(struct console *c)
{
	while (console_pending(c)) {
		/* seq_cst: acquire of what the server before us did, and after our byte (console_pending) */
		if (atomic_swap_seq_cst(&c->serving, 1u))
			return; /* that one looks again after it has left */
		while (serve_one(c))
			;
		atomic_store_seq_cst(&c->serving, 0u); /* pairs with the swap; see console_pending */
	}
}

/* --- reading --- */

/* How many elements a read of n bytes may take now, without taking them. *bytes: those that are bytes. */
static uint32_t peek_locked(struct console *c, char *to, size_t n, size_t *bytes)
{
	uint32_t at = c->ready_tail;

	*bytes = 0;
	while (at != c->ready_head) {
		uint16_t element = c->ready[at % RING];

		if (element == END_MARK) {
			at++; /* swallowed by the read that it ends, also one that is full */
			break;
		}
		if (*bytes == n)
			break;
		at++;
		to[(*bytes)++] = (char)element;
		if (element == '\n' && (c->set.lflag & ICANON))
			break;
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

/* Moves what may be read now: bytes, -EAGAIN: nothing, -EFAULT. */
static long read_ready(struct console *c, struct io *io, char *buffer, size_t size)
{
	for (;;) {
		struct io cursor = *io;
		size_t n = io->left < size ? io->left : size, bytes, moved;
		uint32_t from, elements;
		enum error e;

		lock(c);
		if (!can_read_locked(c, n)) {
			unlock(c);
			return -EAGAIN;
		}
		from = c->ready_tail;
		elements = peek_locked(c, buffer, n, &bytes);
		unlock(c);
		e = io_put(&cursor, buffer, bytes, &moved);
		lock(c);
		if (c->ready_tail == from) {
			take_locked(c, e == OK ? elements : (uint32_t)moved);
			unlock(c);
			*io = cursor;
			return moved ? (long)moved : errno_of(e);
		}
		unlock(c);
	}
}

static long console_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct console *c = f->data;
	uint64_t deadline = TIMER_NEVER;
	char buffer[512];

	(void)pos;
	if (io->left == 0)
		return 0;
	lock(c);
	if (!(c->set.lflag & ICANON) && c->set.cc[VMIN] == 0)
		deadline = machine_now() + c->set.cc[VTIME] * UINT64_C(100000000);
	unlock(c);
	for (;;) {
		struct waiter w;
		enum error e;
		long n;

		wait_prepare(&c->readers, &w);
		n = read_ready(c, io, buffer, sizeof buffer);
		if (n != -EAGAIN || file_nonblocking(f)) {
			wait_cancel(&c->readers, &w);
			return n;
		}
		e = sched_wait(&c->readers, &w, WAIT_INTERRUPTIBLE, deadline);
		if (e != OK)
			return e == ERR_TIMEOUT ? 0 : errno_of(e);
	}
}

/* --- writing --- */

/* Sends a piece, with a carriage return before each newline if the program wants that. */
static void send(struct console *c, const char *bytes, size_t n)
{
	bool returns;

	lock(c);
	returns = (c->set.oflag & (OPOST | ONLCR)) == (OPOST | ONLCR);
	unlock(c);
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
	lock(c);
	if (can_read_locked(c, 1))
		ready |= POLLIN | POLLRDNORM;
	unlock(c);
	return ready;
}

/* --- settings --- */

enum {
	TCGETS = 0x5401, TCSETS, TCSETSW, TCSETSF, TCSBRK = 0x5409, TCXONC, TCFLSH, TIOCSCTTY = 0x540e, TIOCGPGRP,
	TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ = 0x5413, TIOCSWINSZ, FIONREAD = 0x541b, TIOCNOTTY = 0x5422, TIOCGSID = 0x5429,
};

static void flush_input_locked(struct console *c)
{
	c->ready_tail = c->ready_head;
	c->line_length = 0;
	c->lines = 0;
}

static long set_termios(struct console *c, uint64_t argument, bool flush)
{
	struct termios t;

	if (copy_in(&t, vaddr(argument), sizeof t) != OK)
		return -EFAULT;
	lock(c);
	if ((c->set.lflag & ICANON) && !(t.lflag & ICANON)) {
		/* What was typed so far can be read at once. */
		for (uint32_t i = 0; i < c->line_length; i++)
			make_ready_locked(c, c->line[i]);
		c->line_length = 0;
	} else if (!(c->set.lflag & ICANON) && (t.lflag & ICANON) && c->ready_head != c->ready_tail) {
		/* What lies ready counts as a line, else no canonical read would ever give it out. */
		make_ready_locked(c, END_MARK);
		c->lines = 1;
		for (uint32_t at = c->ready_tail; at != c->ready_head; at++)
			c->lines += c->ready[at % RING] == '\n';
	}
	c->set = t;
	if (flush)
		flush_input_locked(c);
	unlock(c);
	(void)waitq_wake_all(&c->readers);
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

	lock(c);
	switch (command) {
	case TCGETS: memcpy(value, &c->set, size = sizeof c->set); break;
	case TIOCGWINSZ: memcpy(value, &c->size, size = sizeof c->size); break;
	case TIOCGPGRP: memcpy(value, &c->group, size); break;
	case TIOCGSID: word = 1, memcpy(value, &word, size); break;
	case TIOCOUTQ: memcpy(value, &word, size); break;
	case FIONREAD: word = readable_locked(c), memcpy(value, &word, size); break;
	default: size = 0;
	}
	unlock(c);
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
	case TCSETSW: return set_termios(c, argument, false);
	case TCSETSF: return set_termios(c, argument, true);
	case TCSBRK:
	case TCXONC:
	case TIOCSCTTY:
	case TIOCNOTTY: return 0;
	case TCFLSH:
		lock(c);
		flush_input_locked(c);
		unlock(c);
		return 0;
	case TIOCSPGRP:
		if (copy_in(&group, vaddr(argument), sizeof group) != OK)
			return -EFAULT;
		if ((int32_t)group <= 0)
			return -EINVAL;
		lock(c);
		c->group = group;
		unlock(c);
		return 0;
	case TIOCSWINSZ:
		if (copy_in(&window, vaddr(argument), sizeof window) != OK)
			return -EFAULT;
		lock(c);
		c->size = window;
		unlock(c);
		return 0;
	default: return -ENOTTY;
	}
}

const struct file_ops console_file_ops = {
	.name = "console",
	.read = console_read,
	.write = console_write,
	.poll = console_poll,
	.ioctl = console_ioctl,
};

long console_create(struct proc_system *ps, struct console **out)
{
	static const uint8_t keys[CC_COUNT] = { [VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
						[VMIN] = 1, [VSUSP] = 26, [VREPRINT] = 18, [VWERASE] = 23 };
	struct console *c = kmalloc_zero(&ps->vm->kmalloc, sizeof *c);
	char value[8];

	if (!c)
		return -ENOMEM;
	c->ps = ps;
	spin_init(&c->lock);
	waitq_init(&c->readers);
	c->set = (struct termios){ .iflag = ICRNL, .oflag = OPOST, .cflag = B38400_CS8_CREAD, .lflag = ISIG | ICANON | IEXTEN };
	memcpy(c->set.cc, keys, sizeof keys);
	if (machine_option("echo", value, sizeof value) && value[0] != '0')
		c->set.lflag |= ECHO | ECHOE | ECHOK | ECHOCTL;
	c->group = 1;
	*out = c;
	return 0;
}
