/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux starts first when it runs one of our programs beside us (tools/bench-linux): opens the console, runs
 * /program with the arguments in /argv (each ends with a 0 byte), says "linux_init: status N", switches the machine
 * off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64

static char text[4096];
static char *arguments[ARGUMENTS_MAX + 1] = {"/program"};

static void read_arguments(void)
{
	int fd = open("/argv", O_RDONLY | O_CLOEXEC), n = 1;
	ssize_t bytes = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	for (ssize_t i = 0; i < bytes && n < ARGUMENTS_MAX; i += (ssize_t)strlen(text + i) + 1)
		arguments[n++] = text + i;
	close(fd);
}

int main(void)
{
	int console, status = 0xff00;
	pid_t pid;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	console = open("/dev/console", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(console, fd);
	read_arguments();
	pid = fork();
	if (pid == 0) {
		execv("/program", arguments);
		perror("/program");
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) != pid)
		;
	printf("linux_init: status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
