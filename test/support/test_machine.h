/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/support/test_machine.h: what unit tests over the simulated machine share.
 *
 * The cmocka thread is vCPU 0. cmocka's assert_* jump out of the test and so
 * may be used there only; code that runs on other vCPUs uses CHECK, which ends
 * the process with a message.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

/* cmocka.h wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/assert.h"
#include "hal/host/host.h"

#define TEST_SEED 20260101

struct test_machine {
	struct host_machine *m;
	uint64_t next_frame, end_frame; /* test_frame: frames of the first bank not handed out yet */
};

/* Creates a machine and attaches the caller to its CPU 0. config NULL: 4 CPUs, 16 MiB full of junk, TEST_SEED. */
void test_machine_init(struct test_machine *t, const struct host_config *config);
void test_machine_destroy(struct test_machine *t);

/* A zeroed frame of RAM, for tests without a frame allocator; they are not given back. */
paddr_t test_frame(struct test_machine *t);

/*
 * Calls fn(cpu, arg) on CPUs 0..n-1 at once, each in a thread attached to it,
 * CPU 0 in the calling one; all have arrived before the first starts. Returns when all have ended.
 */
void run_on_cpus(struct host_machine *m, uint32_t n, void (*fn)(uint32_t cpu, void *arg), void *arg);

#define CHECK(x) \
	do { \
		if (UNLIKELY(!(x))) \
			panic("%s:%d: check failed: %s", __FILE__, __LINE__, #x); \
	} while (0)

/* Runs the statement on the cmocka thread and fails unless it panics with that text in its message. */
#define EXPECT_PANIC(text, ...) \
	do { \
		struct host_catch catch_; \
		if (!setjmp(catch_.env)) { \
			host_panic_catch(&catch_); \
			__VA_ARGS__; \
			host_panic_catch(NULL); \
			fail_msg("no panic, wanted \"%s\"", text); \
		} \
		if (!strstr(catch_.message, text)) \
			fail_msg("panic \"%s\", wanted \"%s\"", catch_.message, text); \
	} while (0)

#endif
