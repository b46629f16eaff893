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
 *     consumer (who set serving). Before it is full the device is told to keep its
 *     bytes (throttled), so that a pipe at the other end loses none.
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
#include "proc/console_private.h"

#include <string.h>

#include "hal/machine.h"
#include "proc/proc.h"
#include "proc/signal.h"
#include "vm/kmalloc.h"

bool console_input(struct console *c, uint8_t byte)
{
	/* relaxed: only this side writes it */
	uint32_t head = atomic_load_relaxed(&c->raw_head);
	/* acquire: pairs with the consumer's release; the slot has been read */
	uint32_t used = head - atomic_load_acquire(&c->raw_tail);

	if (used < RAW) {
		c->raw[head % RAW] = byte;
		/* seq_cst: release for the consumer's acquire (the byte is there), and before the look at serving */
		atomic_store_seq_cst(&c->raw_head, head + 1);
	}
	if (used + 1 >= RAW - RAW_RESERVE) {
		machine_console_receive(false);
		/* seq_cst: before the look at serving, as above; serve_some lets bytes in again */
		atomic_store_seq_cst(&c->throttled, 1u);
	}
	return true;
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
	char control[2] = {'^', (char)(byte ^ 0x40)}, plain = (char)byte;

	if ((byte < 32 && byte != '\n' && byte != '\t') || byte == 127)
		echo_locked(c, control, 2);
	else
		echo_locked(c, &plain, 1);
}

void console_ready_locked(struct console *c, uint16_t element)
{
	if (c->ready_head - c->ready_tail < RING)
		c->ready[c->ready_head++ % RING] = element;
}

/* The line, complete or ended by ^D, becomes readable. */
static void line_done_locked(struct console *c, struct effect *x, uint16_t end)
{
	/* has_room_locked has seen to it that all fits */
	for (uint32_t i = 0; i < c->line_length; i++)
		console_ready_locked(c, c->line[i]);
	console_ready_locked(c, end);
	c->lines++;
	x->wake = true;
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
	return byte == c->set.cc[VINTR]   ? SIGINT
	       : byte == c->set.cc[VQUIT] ? SIGQUIT
	       : byte == c->set.cc[VSUSP] ? SIGTSTP
					  : 0;
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
	if (byte == '\n') {
		line_done_locked(c, x, '\n');
		return;
	}
	c->line[c->line_length++] = byte;
	if (c->line_length == sizeof c->line) /* too long to edit further: readable as far as it goes */
		line_done_locked(c, x, END_MARK);
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
		console_ready_locked(c, byte);
		x->wake = true;
	}
}

/* Whether the rings can take whatever one more byte leads to. */
static bool has_room_locked(const struct console *c)
{
	return RING - (c->ready_head - c->ready_tail) > c->line_length + 1;
}

static bool has_room(struct console *c)
{
	bool room;

	console_lock(c);
	room = has_room_locked(c);
	console_unlock(c);
	return room;
}

/* Takes one byte. False: none is there, or no room for it. */
static bool serve_one(struct console *c)
{
	struct effect x = {0, 0, false};
	/* relaxed: only who serves writes it */
	uint32_t tail = atomic_load_relaxed(&c->raw_tail);
	bool room;

	/* acquire: pairs with the producer's release */
	if (tail == atomic_load_acquire(&c->raw_head))
		return false;
	console_lock(c);
	room = has_room_locked(c);
	if (room)
		take_byte_locked(c, &x, c->raw[tail % RAW]);
	console_unlock(c);
	if (!room)
		return false;
	/* release: pairs with the producer's acquire; the slot is free */
	atomic_store_release(&c->raw_tail, tail + 1);
	if (x.signal) {
		struct siginfo info = {.si_signo = x.signal, .si_code = SI_KERNEL};

		(void)signal_send_group(c->ps, x.group, &info);
	}
	if (x.wake)
		(void)waitq_wake_all(&c->readers);
	return true;
}

/* The device keeps its bytes, and there is room for them by now. */
static bool may_receive_again(const struct console *c)
{
	/* seq_cst: pairs with console_input's store. relaxed: half the ring is room enough for what is not seen yet */
	return atomic_load_seq_cst(&c->throttled) &&
	       atomic_load_relaxed(&c->raw_head) - atomic_load_relaxed(&c->raw_tail) < RAW / 2;
}

bool console_pending(struct console *c)
{
	if (may_receive_again(c))
		return true;
	/*
	 * seq_cst, with the store of serving before it in console_service: either the one that stops serving sees
	 * the byte, or the one that comes with it sees that nobody serves. raw_tail relaxed: a server's own.
	 * Bytes for which there is no room stay: the next reader calls again.
	 */
	return atomic_load_seq_cst(&c->raw_head) != atomic_load_relaxed(&c->raw_tail) && has_room(c);
}

static void serve_some(struct console *c)
{
	while (serve_one(c))
		;
	if (may_receive_again(c)) {
		atomic_store_seq_cst(&c->throttled, 0u);
		machine_console_receive(true);
	}
}

void console_service(struct console *c)
{
	while (console_pending(c)) {
		/* seq_cst: acquire of what the server before us did, and after our byte (console_pending) */
		if (atomic_swap_seq_cst(&c->serving, 1u))
			return; /* that one looks again after it has left */
		serve_some(c);
		atomic_store_seq_cst(&c->serving, 0u); /* pairs with the swap; see console_pending */
	}
}

long console_create(struct proc_system *ps, struct console **out)
{
	static const uint8_t keys[CC_COUNT] = {[VINTR] = 3, [VQUIT] = 28, [VERASE] = 127,  [VKILL] = 21,  [VEOF] = 4,
					       [VMIN] = 1,  [VSUSP] = 26, [VREPRINT] = 18, [VWERASE] = 23};
	struct console *c = kmalloc_zero(&ps->vm->kmalloc, sizeof *c);
	char value[8];

	if (!c)
		return -ENOMEM;
	c->ps = ps;
	spin_init(&c->lock);
	waitq_init(&c->readers);
	c->set = (struct termios){
		.iflag = ICRNL, .oflag = OPOST, .cflag = B38400_CS8_CREAD, .lflag = ISIG | ICANON | IEXTEN};
	memcpy(c->set.cc, keys, sizeof keys);
	if (machine_option("echo", value, sizeof value) && value[0] != '0')
		c->set.lflag |= ECHO | ECHOE | ECHOK | ECHOCTL;
	c->group = 1;
	*out = c;
	return 0;
}
