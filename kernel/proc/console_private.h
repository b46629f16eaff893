/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/console_private.h: the console's state, for console.c (input) and console_file.c (what programs do with it). */
#ifndef PROC_CONSOLE_PRIVATE_H
#define PROC_CONSOLE_PRIVATE_H

#include "proc/console.h"

#define RING 4096u
#define RAW 1024u
#define RAW_RESERVE 64u /* for bytes that are on their way when the device is told to stop */
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
	ICRNL = 0400,
	IGNCR = 0200,
	INLCR = 0100,
	OPOST = 1,
	ONLCR = 4,
	ISIG = 1,
	ICANON = 2,
	ECHO = 010,
	ECHOE = 020,
	ECHOK = 040,
	ECHOCTL = 01000,
	IEXTEN = 0100000,
	NOFLSH = 0200,
	B38400_CS8_CREAD = 017 | 060 | 0200,
};

struct winsize {
	uint16_t rows, columns, x, y;
};

struct console {
	struct proc_system *ps;
	ATOMIC(uint32_t) raw_head, raw_tail;
	ATOMIC(uint32_t) throttled; /* 1: the device keeps its bytes */
	ATOMIC(uint32_t) serving;   /* 1: somebody is in console_service */
	uint8_t raw[RAW];

	struct spinlock lock;            /* RANK_PIPE: all below (l) */
	struct termios set;              /* l */
	struct winsize size;             /* l */
	uint32_t group;                  /* l: foreground */
	uint8_t line[RING / 2];          /* l: being edited */
	uint32_t line_length;            /* l */
	uint16_t ready[RING];            /* l */
	uint32_t ready_head, ready_tail; /* l: free running */
	uint32_t lines;                  /* l */
	struct waitq readers;
};

static inline void console_lock(struct console *c) { spin_lock(&c->lock, RANK_PIPE); }
static inline void console_unlock(struct console *c) { spin_unlock(&c->lock); }

/* Appends to the ready ring; what does not fit is dropped. Lock held. */
void console_ready_locked(struct console *c, uint16_t element);

#endif
