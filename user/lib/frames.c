/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "lib/frames.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

void frames_touch_program(void)
{
	const Elf64_Phdr *segment = (const Elf64_Phdr *)getauxval(AT_PHDR);
	extern char data_start[]; /* what lies before it is read-only by now */
	volatile char stack[64 << 10], *at;

	for (size_t i = 0; i < getauxval(AT_PHNUM); i++)
		for (size_t j = 0; segment[i].p_type == PT_LOAD && j < segment[i].p_memsz; j += 64) {
			at = (volatile char *)segment[i].p_vaddr + j;
			if (at >= data_start)
				*at = *at;
			else
				(void)*at;
		}
	for (size_t i = 0; i < sizeof stack; i += 4096)
		stack[i] = 0;
}

/* A file of /proc, without stdio: a buffer from malloc would be a frame more in one of two counts. */
static bool read_text(const char *path, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	text[have] = '\0';
	return n == 0;
}

/* Kernel stacks that wait for reuse are wired, and go when memory is short: they count as cached. */
static bool move_pooled(struct frames *frames)
{
	char text[1024];
	unsigned long pooled;
	const char *line;

	if (!read_text("/proc/kva", text, sizeof text) || !(line = strstr(text, "\npooled ")) ||
	    sscanf(line, " pooled %lu", &pooled) != 1)
		return false;
	pooled = pooled < frames->wired ? pooled : frames->wired; /* read a moment later */
	frames->wired -= pooled;
	frames->cached += pooled;
	return true;
}

bool frames_read(struct frames *frames)
{
	char text[4096], owner[32];
	unsigned long count;
	unsigned seen = 0;

	if (!read_text("/proc/frames", text, sizeof text))
		return false;
	*frames = (struct frames){0};
	for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (*line == '#' || sscanf(line, "%31s %lu", owner, &count) != 2)
			continue;
#define FRAMES_TAKE(name) \
	if (strcmp(owner, #name) == 0) \
		frames->name = count, seen++;
		FRAMES_OWNERS(FRAMES_TAKE)
#undef FRAMES_TAKE
	}
#define FRAMES_ONE(name) +1
	errno = ENODATA;
	return seen == 0 FRAMES_OWNERS(FRAMES_ONE) && move_pooled(frames);
#undef FRAMES_ONE
}

bool frames_same(const struct frames *a, const struct frames *b)
{
	return a->table == b->table && a->anon == b->anon && a->object == b->object && a->wired == b->wired &&
	       a->reserved == b->reserved && a->free + a->cached + a->zone == b->free + b->cached + b->zone;
}

bool frames_settle(const struct frames *before, struct frames *after)
{
	const struct timespec pause = {0, 50 * 1000 * 1000};

	for (int tries = 0; tries < 40; tries++) {
		if (!frames_read(after))
			return false;
		if (frames_same(before, after))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

void frames_print(const char *prefix, const struct frames *before, const struct frames *after)
{
	unsigned long sum_before = 0, sum_after = 0;

	printf("%s%-10s %10s %10s\n", prefix, "frames", "before", "after");
#define FRAMES_LINE(name) \
	printf("%s%-10s %10lu %10lu\n", prefix, #name, before->name, after->name); \
	sum_before += before->name, sum_after += after->name;
	FRAMES_OWNERS(FRAMES_LINE)
#undef FRAMES_LINE
	printf("%s%-10s %10lu %10lu\n", prefix, "all", sum_before, sum_after);
}
