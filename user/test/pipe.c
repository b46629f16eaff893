/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pipes, descriptors and poll: order and atomicity of bytes, full and empty pipes, ends that are
 * closed, dup and its relatives, what poll says when.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

static void bytes(void)
{
	int p[2];
	char buffer[100];
	struct stat st;

	REQUIRE(pipe(p) == 0);
	CHECK_EQ(5, write(p[1], "hello", 5));
	CHECK_EQ(6, write(p[1], " world", 6));
	CHECK_EQ(3, read(p[0], buffer, 3));
	CHECK_EQ(8, read(p[0], buffer + 3, 97)); /* what is there, not what was asked for */
	CHECK_EQ(0, memcmp(buffer, "hello world", 11));
	CHECK_ERR(ESPIPE, lseek(p[0], 0, SEEK_SET));
	CHECK_ERR(ESPIPE, pread(p[0], buffer, 1, 0));
	CHECK_ERR(EBADF, write(p[0], "x", 1));
	CHECK_ERR(EBADF, read(p[1], buffer, 1));
	CHECK_OK(fstat(p[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buffer, 4}, {buffer + 50, 10}};
	CHECK_EQ(5, writev(p[1], out, 3));
	CHECK_EQ(5, readv(p[0], in, 2));
	CHECK_EQ(0, memcmp(buffer, "abcd", 4));
	CHECK_EQ('e', buffer[50]);
	close(p[1]);
	CHECK_EQ(0, read(p[0], buffer, 10)); /* the end, again and again */
	CHECK_EQ(0, read(p[0], buffer, 10));
	close(p[0]);
	CHECK_ERR(EBADF, close(p[0]));
	CHECK_ERR(EBADF, read(p[0], buffer, 1));
}

static void non_blocking(void)
{
	static char chunk[4096], back[4096];
	size_t capacity = 0;
	int p[2];
	ssize_t n;

	REQUIRE(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK_EQ(FD_CLOEXEC, fcntl(p[0], F_GETFD));
	CHECK_EQ(O_NONBLOCK, fcntl(p[0], F_GETFL) & O_NONBLOCK);
	CHECK_ERR(EAGAIN, read(p[0], back, 1));
	while ((n = write(p[1], chunk, sizeof chunk)) > 0)
		capacity += (size_t)n;
	CHECK_EQ(-1, n);
	CHECK_EQ(EAGAIN, errno);
	CHECK(capacity >= 4096);
	CHECK_EQ(4096, read(p[0], back, 4096));
	CHECK_EQ(4096, write(p[1], chunk, 4096));
	CHECK_OK(fcntl(p[0], F_SETFL, 0));
	CHECK_EQ(0, fcntl(p[0], F_GETFL) & O_NONBLOCK);
	close(p[0]), close(p[1]);
	CHECK_ERR(EINVAL, pipe2(p, 0x40));
}

/* One process writes 300,000 bytes, another reads them in odd pieces: the order is kept. */
static void through_processes(void)
{
	enum { TOTAL = 300000 };
	static unsigned char buffer[7001];
	size_t at = 0;
	ssize_t n;
	int p[2];

	REQUIRE(pipe(p) == 0);
	pid_t pid = check_fork();
	if (pid == 0) {
		close(p[0]);
		while (at < TOTAL) {
			size_t size = 1 + at % 6999;
			size = size > TOTAL - at ? TOTAL - at : size;
			for (size_t i = 0; i < size; i++)
				buffer[i] = (unsigned char)((at + i) * 13 >> 3);
			CHECK_EQ(size, write(p[1], buffer, size)); /* blocks, and writes all */
			at += size;
		}
		_exit(check_end());
	}
	close(p[1]);
	while ((n = read(p[0], buffer, 1 + at % 5003)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (buffer[i] != (unsigned char)((at + (size_t)i) * 13 >> 3)) {
				CHECK_EQ((unsigned char)((at + (size_t)i) * 13 >> 3), buffer[i]);
				break;
			}
		at += (size_t)n;
	}
	CHECK_EQ(TOTAL, at);
	CHECK_CHILD(pid);
	close(p[0]);
}

/* Writes of up to PIPE_BUF bytes are not mixed with those of others. */
static void atomic_writes(void)
{
	enum { WRITERS = 5, EACH = 150, SIZE = 501 };
	static unsigned char record[SIZE];
	int p[2], seen[WRITERS] = {0};
	pid_t pids[WRITERS];

	REQUIRE(pipe(p) == 0);
	for (int w = 0; w < WRITERS; w++) {
		pids[w] = check_fork();
		if (pids[w] == 0) {
			memset(record, w, SIZE);
			for (int i = 0; i < EACH; i++)
				CHECK_EQ(SIZE, write(p[1], record, SIZE));
			_exit(check_end());
		}
	}
	close(p[1]);
	for (int i = 0; i < WRITERS * EACH; i++) {
		size_t have = 0;
		while (have < SIZE) {
			ssize_t n = read(p[0], record + have, SIZE - have);
			REQUIRE(n > 0);
			have += (size_t)n;
		}
		for (size_t j = 1; j < SIZE; j++)
			REQUIRE(record[j] == record[0]);
		seen[record[0]]++;
	}
	for (int w = 0; w < WRITERS; w++) {
		CHECK_EQ(EACH, seen[w]);
		CHECK_CHILD(pids[w]);
	}
	close(p[0]);
}

static void duplicates(void)
{
	int fd = open("/etc/strata/testfile", O_RDONLY), a, b;
	unsigned char byte;

	REQUIRE(fd >= 0);
	a = dup(fd);
	CHECK(a >= 0 && a != fd);
	CHECK_EQ(1, read(fd, &byte, 1));
	CHECK_EQ(1, read(a, &byte, 1)); /* one offset for both */
	CHECK_EQ(7, byte);
	CHECK_EQ(40, dup2(fd, 40));
	CHECK_EQ(2, lseek(40, 0, SEEK_CUR));
	CHECK_EQ(fd, dup2(fd, fd));
	CHECK_EQ(41, dup3(fd, 41, O_CLOEXEC));
	CHECK_EQ(FD_CLOEXEC, fcntl(41, F_GETFD));
	CHECK_ERR(EINVAL, dup3(fd, fd, 0));
	CHECK_ERR(EINVAL, dup3(fd, 42, 0x40));
	CHECK_ERR(EBADF, dup(-1));
	CHECK_ERR(EBADF, dup2(99, 50));
	CHECK_ERR(EBADF, dup2(fd, -1));
	b = fcntl(fd, F_DUPFD, 60);
	CHECK_EQ(60, b);
	CHECK_EQ(61, fcntl(fd, F_DUPFD_CLOEXEC, 60));
	CHECK_EQ(FD_CLOEXEC, fcntl(61, F_GETFD));
	close(fd);
	CHECK_EQ(2, lseek(a, 0, SEEK_CUR)); /* lives on */
	CHECK_EQ(fd, dup(a));               /* the lowest that is free */
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_EQ(500, lseek(a, 500, SEEK_SET)); /* shared over fork as well */
		close(40);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(500, lseek(40, 0, SEEK_CUR));
	close(fd), close(a), close(40), close(41), close(60), close(61);
	CHECK_ERR(EBADF, fcntl(60, F_GETFD));
	CHECK_ERR(EINVAL, fcntl(1, 9999));
}

/* ---- poll ---- */

static void *write_soon(void *fd)
{
	struct timespec t = {0, 50000000};

	nanosleep(&t, NULL);
	CHECK_EQ(1, write((int)(intptr_t)fd, "x", 1));
	return NULL;
}

static void polls(void)
{
	int p[2], q[2];
	char byte;
	pthread_t thread;

	REQUIRE(pipe(p) == 0 && pipe(q) == 0);
	struct pollfd fds[4] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {q[0], POLLIN, 0}, {-1, POLLIN, 99}};
	CHECK_EQ(1, poll(fds, 4, 0));
	CHECK_EQ(0, fds[0].revents);
	CHECK_EQ(POLLOUT, fds[1].revents);
	CHECK_EQ(0, fds[3].revents); /* negative: left out */
	CHECK_EQ(0, poll(fds, 1, 20));
	struct pollfd none = {77, POLLIN, 0};
	CHECK_EQ(1, poll(&none, 1, -1));
	CHECK_EQ(POLLNVAL, none.revents);
	REQUIRE(pthread_create(&thread, NULL, write_soon, (void *)(intptr_t)q[1]) == 0);
	fds[1].fd = -1;
	CHECK_EQ(1, poll(fds, 3, 10000)); /* waits for two, the second becomes ready */
	CHECK_EQ(0, fds[0].revents);
	CHECK_EQ(POLLIN, fds[2].revents);
	pthread_join(thread, NULL);
	CHECK_EQ(1, read(q[0], &byte, 1));
	close(p[1]);
	CHECK_EQ(1, poll(fds, 1, -1));
	CHECK_EQ(POLLHUP, fds[0].revents);
	close(q[0]);
	struct pollfd out = {q[1], POLLOUT, 0};
	CHECK_EQ(1, poll(&out, 1, -1));
	CHECK(out.revents & POLLERR);
	CHECK_EQ(0, poll(NULL, 0, 10));
	close(p[0]), close(q[1]);
}

/* A reader that waits is woken by data and by the end. */
static void *reader(void *fd)
{
	char byte;

	CHECK_EQ(1, read((int)(intptr_t)fd, &byte, 1));
	CHECK_EQ(0, read((int)(intptr_t)fd, &byte, 1));
	return NULL;
}

static void waiting(void)
{
	struct timespec t = {0, 30000000};
	pthread_t thread;
	int p[2];

	for (int i = 0; i < 5; i++) {
		REQUIRE(pipe(p) == 0);
		REQUIRE(pthread_create(&thread, NULL, reader, (void *)(intptr_t)p[0]) == 0);
		nanosleep(&t, NULL);
		CHECK_EQ(1, write(p[1], "x", 1));
		nanosleep(&t, NULL);
		close(p[1]);
		pthread_join(thread, NULL);
		close(p[0]);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	bytes();
	non_blocking();
	through_processes();
	atomic_writes();
	duplicates();
	polls();
	waiting();
	return check_end();
}
