/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pid 1: runs what the initrd says and ends with its status.
 *
 * /etc/strata/argv holds the argument vector of the program to run, each argument ended by a NUL;
 * argv[0] is the path. An empty argument separates programs, which run in turn: so no argument
 * can be empty. The kernel powers the machine off with the status that pid 1 exits with:
 * the first program's that was not 0 (128 + signal for one that was killed), else 0. A program that cannot be
 * started is 127 (not there) or 126 (there, but not to be run), a broken argv file 125.
 *
 * Orphans become children of pid 1 and are reaped while it waits; those still alive at the end
 * die with the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV_PATH "/etc/strata/argv"
#define ARGV_BYTES 65536
#define ARGV_COUNT 1024

static char *const environment[] = {"PATH=/bin", "HOME=/", NULL};

/* => bytes read, with two NULs behind them; -1 with a line on stderr */
static ssize_t read_argv(char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;
	int fd = open(ARGV_PATH, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "init: %s: %s\n", ARGV_PATH, strerror(errno));
		return -1;
	}
	while ((n = read(fd, text + have, size - 2 - have)) > 0)
		have += (size_t)n;
	close(fd);
	if (n < 0 || have == 0 || have == size - 2) {
		fprintf(stderr, "init: %s: %s\n", ARGV_PATH, n < 0 ? strerror(errno) : have ? "too long" : "empty");
		return -1;
	}
	text[have] = text[have + 1] = '\0'; /* the last argument may lack its NUL */
	return (ssize_t)have;
}

/* Runs one program to its end and reaps whatever else ends meanwhile. */
static int run(char *const *argv)
{
	pid_t child = fork();

	if (child < 0) {
		fprintf(stderr, "init: fork: %s\n", strerror(errno));
		return 126;
	}
	if (child == 0) {
		execve(argv[0], argv, environment);
		int error = errno;
		fprintf(stderr, "init: %s: %s\n", argv[0], strerror(error));
		_exit(error == ENOENT || error == ENOTDIR ? 127 : 126);
	}
	for (;;) {
		int status = 0;
		pid_t ended = wait(&status);

		if (ended < 0 && errno != EINTR) {
			fprintf(stderr, "init: wait: %s\n", strerror(errno));
			return 126;
		}
		if (ended == child)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

int main(void)
{
	static char text[ARGV_BYTES];
	static char *argv[ARGV_COUNT + 1];
	ssize_t bytes = read_argv(text, sizeof text);
	int argc = 0, result = 0;

	if (bytes < 0)
		return 125;
	for (char *at = text; at <= text + bytes + 1; at += strlen(at) + 1) {
		if (*at != '\0' && argc == ARGV_COUNT) {
			fprintf(stderr, "init: %s: more than %d arguments\n", ARGV_PATH, ARGV_COUNT);
			return 125;
		}
		if (*at != '\0') {
			argv[argc++] = at;
		} else if (argc > 0) {
			argv[argc] = NULL;
			argc = 0;
			int status = run(argv);
			if (result == 0)
				result = status;
		}
	}
	return result;
}
