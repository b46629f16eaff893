/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/print.c: kernel messages and programs' console output.
 *
 * A message is formatted into a buffer on the caller's stack by picolibc's
 * integer-only vfprintf (the plain one uses FP registers), then goes out under
 * the console lock with interrupts masked, so that lines of different CPUs do
 * not mix. What does not fit is cut, and shows that it was.
 */
#include "print.h"

#include <stdio.h>

#include "base/print.h"
#include "hal/machine.h"
#include "pl011.h"
#include "semihosting.h"
#include "sync/spinlock.h"

#define MESSAGE_MAX 512
#define CONSOLE_CHUNK 64 /* bytes written under the lock at a time */

int __i_vfprintf(FILE *stream, const char *format, va_list args);

static struct spinlock console_lock;                         /* RANK_CONSOLE: the UART, the order of messages */
static enum { SINK_NONE, SINK_UART, SINK_SEMIHOSTING } sink; /* constant after boot */
static ATOMIC(bool) panicking;

struct message {
	FILE file;
	uint32_t length;
	char text[MESSAGE_MAX];
};

static int message_put(char c, FILE *file)
{
	struct message *m = CONTAINER_OF(file, struct message, file);

	if (m->length < sizeof m->text)
		m->text[m->length++] = c;
	else
		__builtin_memcpy(m->text + sizeof m->text - 5, "...\n", 4);
	return (unsigned char)c;
}

static void emit(const char *text, size_t n)
{
	if (sink == SINK_UART)
		pl011_write(text, n);
	else if (sink == SINK_SEMIHOSTING)
		semihosting_write(text, n);
}

static uint64_t console_take(bool *taken)
{
	/* relaxed: set by this CPU's own panic, or the others are about to be stopped anyway */
	*taken = !atomic_load_relaxed(&panicking);
	return *taken ? spin_lock_irq(&console_lock, RANK_CONSOLE) : 0;
}

static void console_drop(bool taken, uint64_t state)
{
	if (taken)
		spin_unlock_irq(&console_lock, state);
}

bool print_to_semihosting(void)
{
	if (!semihosting_open())
		return false;
	sink = SINK_SEMIHOSTING;
	return true;
}

bool print_to_uart(void)
{
	if (!pl011_present())
		return false;
	sink = SINK_UART;
	return true;
}

void print_panic_mode(void)
{
	atomic_store_relaxed(&panicking, true);
	if (sink == SINK_NONE && !print_to_semihosting())
		(void)print_to_uart();
}

void kvprintf(const char *format, va_list args)
{
	struct message m;
	bool taken;
	uint64_t state;

	m.file = (FILE)FDEV_SETUP_STREAM(message_put, NULL, NULL, _FDEV_SETUP_WRITE);
	m.length = 0;
	(void)__i_vfprintf(&m.file, format, args);
	state = console_take(&taken);
	emit(m.text, m.length);
	console_drop(taken, state);
}

void kprintf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	kvprintf(format, args);
	va_end(args);
}

void machine_console_write(const void *bytes, size_t n)
{
	for (const char *p = bytes; n > 0;) {
		size_t now = n < CONSOLE_CHUNK ? n : CONSOLE_CHUNK;
		bool taken;
		uint64_t state = console_take(&taken);

		if (pl011_present())
			pl011_write(p, now);
		console_drop(taken, state);
		p += now;
		n -= now;
	}
}

void print_receive(bool on)
{
	bool taken;
	uint64_t state = console_take(&taken);

	if (pl011_present())
		pl011_receive(on);
	console_drop(taken, state);
}
