/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_print.c: the kernel's messages and its panic, on the host.
 *
 * A message is formatted whole and written to standard error by one call, so
 * that lines of different vCPUs do not mix and no lock is needed.
 */
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/print.h"
#include "hal/host/host_private.h"
#include "sync/rank.h"

static _Thread_local struct host_catch *catching;
static _Thread_local bool panicking;

static void write_error(const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, text, n);

		if (done <= 0)
			return;
		text += done;
		n -= (size_t)done;
	}
}

void kvprintf(const char *format, va_list args)
{
	char text[2048];
	int n = vsnprintf(text, sizeof text, format, args);

	if (n > 0)
		write_error(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void kprintf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	kvprintf(format, args);
	va_end(args);
}

void host_panic_catch(struct host_catch *c)
{
	catching = c;
	if (c) {
		c->message[0] = 0;
		if (host_self)
			c->debug = host_self->debug;
	}
}

void panic(const char *format, ...)
{
	char text[sizeof catching->message];
	void *frames[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (catching && !panicking) {
		struct host_catch *c = catching;

		catching = NULL;
		memcpy(c->message, text, sizeof text);
		if (host_self)
			host_self->debug = c->debug;
		longjmp(c->env, 1);
	}
	kprintf("panic: %s\n", text);
	if (!panicking) {
		panicking = true;
		if (host_self) {
			const struct cpu_debug *d = &host_self->debug;
			const struct host_ops *ops = &host_self->machine->config.ops;

			kprintf("  on CPU %u, seed %llu, in %u epoch sections, holding:", host_self->id,
				(unsigned long long)host_self->machine->config.seed, d->epoch_depth);
			for (uint32_t i = 0; i < d->held_count && i < CPU_HELD_MAX; i++)
				kprintf(" %s", rank_name((enum lock_rank)d->held_rank[i]));
			kprintf("\n");
			if (ops->panic_info)
				ops->panic_info(ops->context);
		}
		backtrace_symbols_fd(frames, backtrace(frames, (int)ARRAY_SIZE(frames)), STDERR_FILENO);
	}
	abort();
}

void host_not_attached(void)
{
	panic("this thread is no vCPU: host_attach it first");
}

void host_not_ram(uint64_t address)
{
	panic("%#llx is not in the RAM of this machine", (unsigned long long)address);
}

void machine_console_write(const void *bytes, size_t n)
{
	fwrite(bytes, 1, n, stdout);
	fflush(stdout);
}

void machine_power_off(unsigned status)
{
	fflush(NULL);
	exit((int)status);
}
