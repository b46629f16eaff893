/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All memory taken. Children touch memory until there is no more: each is told ENOMEM or is killed by
 * SIGKILL. Who holds little is not killed, the parent goes on, the memory comes back, and the
 * next program runs.
 *
 *   oom [hogs]
 *
 * Where the kernel has /proc/frames, the frames by owner must be what they were.
 */
#define _GNU_SOURCE
#include "check.h"
#include "lib/frames.h"
#include "lib/machine.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#define CHUNK (4UL << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Ends by _exit(0) when told ENOMEM with all it wrote intact. */
static void hog(size_t limit)
{
	size_t *previous = NULL, chunks = 0;

	while (chunks * CHUNK < limit) {
		size_t *p = mmap(NULL, CHUNK, RW, ANON | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED) {
			CHECK_EQ(ENOMEM, errno);
			break;
		}
		for (size_t i = CHUNK; i > 0; i -= PAGE)
			p[(i - PAGE) / sizeof *p] = chunks;
		p[1] = (size_t)previous;
		previous = p;
		chunks++;
	}
	while (previous) {
		chunks--;
		for (size_t i = 0; i < CHUNK; i += PAGE)
			CHECK_EQ(chunks, previous[i / sizeof *previous]);
		previous = (size_t *)previous[1];
	}
	_exit(check_end());
}

/* Holds a megabyte, looks at it again and again, and ends when the pipe does. */
static void bystander(int go)
{
	size_t bytes = 1 << 20;
	char *p = mmap(NULL, bytes, RW, ANON, -1, 0), byte;
	struct timespec t = {0, 20000000};

	REQUIRE(p != MAP_FAILED);
	memset(p, 'b', bytes);
	for (int i = 0; i < 25; i++) {
		for (size_t j = 0; j < bytes; j += PAGE)
			CHECK_EQ('b', p[j]);
		nanosleep(&t, NULL);
	}
	(void)!read(go, &byte, 1);
	for (size_t j = 0; j < bytes; j += PAGE)
		CHECK_EQ('b', p[j]);
	_exit(check_end());
}

static void all_gone(size_t hogs)
{
	unsigned long total = machine_meminfo("MemTotal") * 1024;
	pid_t pids[64], watcher;
	int go[2];

	REQUIRE(hogs <= 64 && pipe(go) == 0);
	watcher = check_fork();
	REQUIRE(watcher >= 0);
	if (watcher == 0) {
		close(go[1]);
		bystander(go[0]);
	}
	for (size_t i = 0; i < hogs; i++) {
		pids[i] = check_fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0) {
			close(go[1]);
			hog(2 * total);
		}
	}
	for (size_t i = 0; i < hogs; i++) {
		int status = 0;
		REQUIRE(waitpid(pids[i], &status, 0) == pids[i]);
		if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			check_failed(__FILE__, __LINE__, "hog %zu: expected SIGKILL or ENOMEM, got status 0x%x", i,
				     status);
	}
	CHECK_EQ(0, waitpid(watcher, NULL, WNOHANG)); /* still there */
	close(go[1]);
	CHECK_CHILD(watcher);
	close(go[0]);
}

/* What can never be had is refused at once, and nobody is killed for it. */
static void told_in_time(void)
{
	CHECK_ERR(ENOMEM, mmap(NULL, 1UL << 48, RW, ANON, -1, 0)); /* more than a process has addresses for */
	CHECK(malloc((size_t)1 << 48) == NULL);
}

static void after(char *self)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(self, self, "0", NULL);
		_exit(99);
	}
	CHECK_CHILD(pid);
}

int main(int argc, char **argv)
{
	size_t hogs = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	static struct frames before, now;

	if (hogs == 0) { /* the next program */
		char *p = malloc(1 << 20);
		REQUIRE(p);
		memset(p, 'n', 1 << 20);
		return p[12345] != 'n';
	}
	told_in_time();
	after(argv[0]); /* what stays of running anything at all is there before the first count */
	unsigned long free_before = machine_meminfo("MemFree"), free_after = 0;
	frames_touch_program();
	bool counted = frames_read(&before);
	all_gone(hogs);
	after(argv[0]);
	if (counted && !frames_settle(&before, &now)) {
		check_failed(__FILE__, __LINE__, "frames by owner: expected the same as before, got others");
		frames_print("", &before, &now);
		fflush(stdout);
	}
	for (int i = 0; i < 100 && free_after < free_before / 16 * 15; i++) {
		free_after = machine_meminfo("MemFree");
		usleep(20000);
	}
	CHECK(free_after >= free_before / 16 * 15);
	return check_end();
}
