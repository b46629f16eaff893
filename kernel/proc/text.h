/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/text.h: a string that grows while it is written, for the files of /proc. Owned by one thread at a time. */
#ifndef PROC_TEXT_H
#define PROC_TEXT_H

#include <stdarg.h>

#include "base/compiler.h"
#include "vm/vm.h"

struct text {
	struct vm *vm;
	char *bytes; /* not NUL-terminated */
	size_t length, room;
	bool failed; /* no memory, or fixed and full: what follows is dropped */
	bool fixed;  /* bytes is the caller's and does not grow */
};

void text_init(struct text *t, struct vm *vm);
/* Writes into the caller's memory, with a NUL behind it. */
void text_init_fixed(struct text *t, char *bytes, size_t room);
void text_free(struct text *t);
void text_clear(struct text *t); /* keeps the memory */
/* Makes sure that n more bytes fit without allocation. */
void text_reserve(struct text *t, size_t n);
/* Integer formats only. Thread context. */
void text_printf(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_vprintf(struct text *t, const char *format, va_list args) PRINTF_LIKE(2, 0);
void text_bytes(struct text *t, const void *bytes, size_t n);

#endif
