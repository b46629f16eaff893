/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation that a call makes in the kernel fails in turn: the first, the second, ... until the call gets
 * through with none refused (/proc/self/fail-nth). For each number:
 *
 *	prepare; what there is: mappings, descriptors
 *	the call, its n-th allocation refused
 *	  it failed:    with ENOMEM or EAGAIN, and what there is has not changed; now the same call works
 *	  it worked:    it did without, or nothing was refused any more: then this was the last number
 *	the result is right; undo
 *
 * And once more for each number: fail_each says why.
 *
 * A page fault has nobody to tell: the kernel tries it again once (kernel/proc/oom.c), and since only one allocation
 * is refused, it works. Such operations are marked NEVER_FAILS.
 *
 * Nothing here allocates while it runs: no malloc, no stdio; what is touched has been touched before.
 * On a kernel without the file the tests end at once, with a line that says so and status 0.
 */
#ifndef FAIL_H
#define FAIL_H

#include "check.h"
#include "lib/frames.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define FAIL_MOST 3000 /* more allocations than any of these calls makes */

enum { NEVER_FAILS = 1, CHILD = 2 /* each attempt in a process of its own, which may change what cannot be undone */ };

struct operation {
	const char *name;
	void (*prepare)(void);      /* NULL: nothing to do */
	long (*run)(void);          /* a result or -errno */
	void (*right)(long result); /* NULL: any result that is no error is right */
	void (*same)(void);         /* after a failure: more that must not have changed */
	void (*undo)(long result);
	unsigned flags;
	int times; /* so many in a row are refused, 0 as 1: for what tries a second time by itself */
};

static int fail_control = -1;
static long fail_operations, fail_refused;

static void fail_arm(unsigned long n, int times)
{
	char text[40];
	int length = snprintf(text, sizeof text, "%lu %d", n, times);

	REQUIRE(pwrite(fail_control, text, (size_t)length, 0) == length);
}

/* What is left to count down. */
static unsigned long fail_left(void)
{
	char text[24] = "";

	REQUIRE(pread(fail_control, text, sizeof text - 1, 0) > 0);
	return strtoul(text, NULL, 10);
}

/* A child's count is its own. */
__attribute__((unused)) static void fail_open(void)
{
	if (fail_control >= 0)
		close(fail_control);
	fail_control = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	REQUIRE(fail_control >= 0);
}

/* The result of a call as a system call gives it. */
#define RESULT(call) \
	({ \
		long result_ = (long)(call); \
		result_ == -1 ? -(long)errno : result_; \
	})

/* --- what there is --- */

struct fail_state {
	char maps[16384];
	size_t length;
	unsigned long descriptors[4];
};

static void fail_look(struct fail_state *s)
{
	ssize_t n;
	int fd;

	memset(s->descriptors, 0, sizeof s->descriptors);
	for (int i = 0; i < 256; i++)
		if (fcntl(i, F_GETFD) >= 0)
			s->descriptors[i / 64] |= 1UL << (i % 64);
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	s->length = 0;
	while ((n = read(fd, s->maps + s->length, sizeof s->maps - s->length)) > 0)
		s->length += (size_t)n;
	REQUIRE(n == 0 && s->length < sizeof s->maps);
	close(fd);
}

static void fail_compare(const struct operation *o, unsigned long n, const struct fail_state *a,
			 const struct fail_state *b)
{
	size_t i = 0, line = 0;

	if (memcmp(a->descriptors, b->descriptors, sizeof a->descriptors) != 0)
		check_failed(__FILE__, __LINE__, "%s without its allocation %lu: other descriptors are open", o->name,
			     n);
	if (a->length == b->length && memcmp(a->maps, b->maps, a->length) == 0)
		return;
	for (; i < a->length && i < b->length && a->maps[i] == b->maps[i]; i++)
		if (a->maps[i] == '\n')
			line = i + 1;
	check_failed(__FILE__, __LINE__, "%s without its allocation %lu: mappings have changed:\n  %.*s\n  %.*s",
		     o->name, n, (int)strcspn(a->maps + line, "\n"), a->maps + line, (int)strcspn(b->maps + line, "\n"),
		     b->maps + line);
}

/* --- attempts --- */

static void fail_finish(const struct operation *o, long result)
{
	if (o->right)
		o->right(result);
	if (o->undo)
		o->undo(result);
}

/* => whether an allocation was refused: there may be another one to refuse */
static bool fail_attempt_once(const struct operation *o, unsigned long n)
{
	static struct fail_state before, after;
	bool refused;
	long r;

	if (o->prepare)
		o->prepare();
	fail_look(&before);
	fail_arm(n, o->times ? o->times : 1);
	r = o->run();
	refused = fail_left() == 0;
	fail_arm(0, 1);
	if (r >= 0 || r < -4095) {
		fail_finish(o, r);
		return refused;
	}
	if (!refused || (o->flags & NEVER_FAILS) || (r != -ENOMEM && r != -EAGAIN))
		check_failed(__FILE__, __LINE__, "%s without its allocation %lu%s: %s", o->name, n,
			     refused ? "" : ", which it does not make", strerrorname_np((int)-r));
	fail_look(&after);
	fail_compare(o, n, &before, &after);
	if (o->same)
		o->same();
	r = o->run();
	if (r < 0 && r >= -4095)
		check_failed(__FILE__, __LINE__, "%s, after it had no memory for allocation %lu: %s", o->name, n,
			     strerrorname_np((int)-r));
	else
		fail_finish(o, r);
	return refused;
}

static bool fail_attempt(const struct operation *o, unsigned long n)
{
	int failures = check_failures;
	bool refused = fail_attempt_once(o, n);

	if (check_failures != failures)
		check_failed(__FILE__, __LINE__, "the above: %s without its allocation %lu", o->name, n);
	return refused;
}

#define FAIL_REFUSED 77 /* a child's exit status */

static bool fail_attempt_in_child(const struct operation *o, unsigned long n)
{
	int status = 0;
	pid_t pid = check_fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		fail_open();
		bool refused = fail_attempt(o, n);
		_exit(check_end() ? 1 : refused ? FAIL_REFUSED : 0);
	}
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (status != 0 && status != W_EXIT(FAIL_REFUSED))
		check_failed(__FILE__, __LINE__, "%s without its allocation %lu, in a child: status 0x%x", o->name, n,
			     status);
	return status == W_EXIT(FAIL_REFUSED);
}

/*
 * Each number twice: what one allocation asks for depends on what its zone has left on this CPU. If the n-th to be refused was
 * a new slab, then the slab is there after the call that follows, all later ones have moved up, and n is the next one's number.
 */
static void fail_each(const struct operation *o)
{
	bool (*attempt)(const struct operation *, unsigned long) = o->flags & CHILD ? fail_attempt_in_child : fail_attempt;
	unsigned long n = 1;

	for (; n < FAIL_MOST && attempt(o, n); n++)
		fail_refused += 1 + attempt(o, n);
	if (n == FAIL_MOST)
		check_failed(__FILE__, __LINE__, "%s: has no last allocation", o->name);
	fail_operations++;
}

/* --- the program --- */

/* => false: this kernel has no such file */
__attribute__((unused)) static bool fail_begin(void)
{
	if (access("/proc/self/fail-nth", F_OK) != 0) {
		dprintf(STDOUT_FILENO, "no /proc/self/fail-nth here\n");
		return false;
	}
	fail_open();
	fail_arm(0, 1); /* the kernel's own table is there from now on */
	frames_touch_program();
	return true;
}

/* Where allocations have failed, for tools/test/fail-sites. */
__attribute__((unused)) static void fail_print_sites(void)
{
	static char text[65536];
	size_t length = 0;
	ssize_t n;
	int fd = open("/proc/fail-sites", O_RDONLY | O_CLOEXEC);

	REQUIRE(fd >= 0);
	while ((n = read(fd, text + length, sizeof text - length)) > 0)
		length += (size_t)n;
	close(fd);
	dprintf(STDOUT_FILENO, "%ld operations, %ld allocations refused\n", fail_operations, fail_refused);
	for (size_t at = 0; at < length;) {
		size_t end = strcspn(text + at, "\n");

		dprintf(STDOUT_FILENO, "site %.*s\n", (int)end, text + at);
		at += end + 1;
	}
}

/* All operations, frames by owner as before them; then the list of sites. */
__attribute__((unused)) static void fail_all(const struct operation *o, size_t count)
{
	static struct frames before, after;
	bool counted;

	/* Once without failures: what is made only once is there then. */
	for (size_t i = 0; i < count; i++) {
		long r;

		if (o[i].flags & CHILD) {
			(void)fail_attempt_in_child(&o[i], 1UL << 40);
			continue;
		}
		if (o[i].prepare)
			o[i].prepare();
		r = o[i].run();
		if (r < 0 && r >= -4095)
			check_failed(__FILE__, __LINE__, "%s: %s", o[i].name, strerrorname_np((int)-r));
		else
			fail_finish(&o[i], r);
	}
	counted = frames_read(&before);
	for (size_t i = 0; i < count; i++)
		fail_each(&o[i]);
	if (counted && !frames_settle(&before, &after)) {
		check_failed(__FILE__, __LINE__, "frames have another owner than before");
		frames_print("  ", &before, &after);
	}
	fail_print_sites();
}

#endif
