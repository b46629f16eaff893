/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vm/kmalloc.h"

/* picolibc's formatter without floating point; its header does not declare it. */
int __i_vfprintf(FILE *stream, const char *format, va_list args);

struct text_stream {
	FILE file;
	struct text *text;
};

void text_init(struct text *t, struct vm *vm) { *t = (struct text){.vm = vm}; }

void text_init_fixed(struct text *t, char *bytes, size_t room)
{
	*t = (struct text){.bytes = bytes, .room = room - 1, .fixed = true};
	*bytes = '\0';
}

void text_free(struct text *t)
{
	kfree(&t->vm->kmalloc, t->bytes);
	text_init(t, t->vm);
}

void text_clear(struct text *t)
{
	t->length = 0;
	t->failed = false;
}

void text_reserve(struct text *t, size_t n)
{
	size_t room = t->room ? t->room * 2 : 512;
	char *more;

	if (t->failed || n <= t->room - t->length)
		return;
	t->failed = true;
	if (t->fixed)
		return;
	while (room - t->length < n)
		room *= 2;
	more = krealloc(&t->vm->kmalloc, t->bytes, room);
	if (!more)
		return;
	t->bytes = more;
	t->room = room;
	t->failed = false;
}

void text_bytes(struct text *t, const void *bytes, size_t n)
{
	text_reserve(t, n);
	if (t->failed)
		return;
	memcpy(t->bytes + t->length, bytes, n);
	t->length += n;
	if (t->fixed)
		t->bytes[t->length] = '\0';
}

static int put(char c, FILE *f)
{
	text_bytes(CONTAINER_OF(f, struct text_stream, file)->text, &c, 1);
	return (unsigned char)c;
}

void text_vprintf(struct text *t, const char *format, va_list args)
{
	struct text_stream s = {.file = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE), .text = t};

	__i_vfprintf(&s.file, format, args);
}

void text_printf(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_vprintf(t, format, args);
	va_end(args);
}
