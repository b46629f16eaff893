/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of the initrd: open and its errors, read, pread, readv, lseek, stat, directories, paths,
 * the working directory, threads that read one file at once.
 */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PATH "/etc/strata/testfile"
#define SIZE 100003L

static unsigned char byte_at(long i) { return (unsigned char)(i * 7 + i / 251); }

static void compare(const unsigned char *p, long from, long bytes)
{
	for (long i = 0; i < bytes; i++)
		if (p[i] != byte_at(from + i)) {
			check_failed(__FILE__, __LINE__, "byte %ld: expected %d, got %d", from + i, byte_at(from + i),
				     p[i]);
			return;
		}
}

static void reading(void)
{
	static unsigned char buffer[SIZE + 100];
	int fd = open(PATH, O_RDONLY);
	long at = 0, n;

	REQUIRE(fd >= 0);
	for (long size = 1; (n = read(fd, buffer + at, (size_t)size)) > 0; size = size * 3 % 10007)
		at += n;
	CHECK_EQ(SIZE, at);
	compare(buffer, 0, SIZE);
	CHECK_EQ(0, read(fd, buffer, 10)); /* at the end */
	CHECK_EQ(SIZE, lseek(fd, 0, SEEK_CUR));
	CHECK_EQ(SIZE - 3, lseek(fd, -3, SEEK_END));
	CHECK_EQ(3, read(fd, buffer, 10));
	compare(buffer, SIZE - 3, 3);
	CHECK_EQ(10, lseek(fd, 10, SEEK_SET));
	CHECK_EQ(15, lseek(fd, 5, SEEK_CUR));
	CHECK_EQ(4, pread(fd, buffer, 4, 50000));
	compare(buffer, 50000, 4);
	CHECK_EQ(15, lseek(fd, 0, SEEK_CUR)); /* pread does not move it */
	CHECK_EQ(0, pread(fd, buffer, 4, SIZE + 10));
	CHECK_EQ(SIZE + 1000, lseek(fd, SIZE + 1000, SEEK_SET)); /* beyond the end is a place */
	CHECK_EQ(0, read(fd, buffer, 4));
	CHECK_ERR(EINVAL, lseek(fd, -1, SEEK_SET));
	CHECK_ERR(EINVAL, lseek(fd, 0, 99));
	CHECK_ERR(EINVAL, pread(fd, buffer, 4, -1));
	lseek(fd, 4090, SEEK_SET);
	struct iovec in[3] = {{buffer, 5}, {buffer + 5, 5000}, {buffer + 5005, 1}};
	CHECK_EQ(5006, readv(fd, in, 3));
	compare(buffer, 4090, 5006);
	CHECK_ERR(EINVAL, syscall(SYS_readv, fd, in, -1));
	CHECK_ERR(EINVAL, syscall(SYS_readv, fd, in, 1025));
	close(fd);
}

static void opening(void)
{
	int fd;

	CHECK_ERR(ENOENT, open("/etc/strata/nothing", O_RDONLY));
	CHECK_ERR(ENOENT, open("/nowhere/at/all", O_RDONLY));
	CHECK_ERR(ENOENT, open("", O_RDONLY));
	CHECK_ERR(ENOTDIR, open(PATH "/x", O_RDONLY));
	CHECK_ERR(ENOTDIR, open(PATH, O_RDONLY | O_DIRECTORY));
	CHECK_ERR(EISDIR, open("/etc", O_WRONLY));
	char name[5000];
	memset(name, 'n', sizeof name - 1);
	name[0] = '/', name[sizeof name - 1] = '\0';
	CHECK_ERR(ENAMETOOLONG, open(name, O_RDONLY));
	name[300] = '\0';
	CHECK_ERR(ENAMETOOLONG, open(name, O_RDONLY));
	static const char *const same[] = {"/etc/strata/testfile", "//etc///strata/testfile",
					   "/etc/./strata/../strata/testfile", "/../etc/strata/testfile",
					   "/etc/strata/exec/../testfile"};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		struct stat st;
		fd = open(same[i], O_RDONLY);
		CHECK(fd >= 0);
		CHECK_OK(fstat(fd, &st));
		CHECK_EQ(SIZE, st.st_size);
		CHECK_ERR(EBADF, write(fd, "x", 1));
		close(fd);
	}
	fd = open("/etc", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	CHECK_ERR(EISDIR, read(fd, name, 10));
	int below = openat(fd, "strata/testfile", O_RDONLY);
	CHECK(below >= 0);
	CHECK_ERR(ENOTDIR, openat(below, "x", O_RDONLY));
	CHECK_ERR(EBADF, openat(99, "x", O_RDONLY));
	close(below), close(fd);
	CHECK_OK(access(PATH, R_OK));
	CHECK_ERR(ENOENT, access("/etc/nothing", F_OK));
	/* descriptors: the lowest first, and an end to them */
	int first = open(PATH, O_RDONLY), count = 0, last = first;
	while (count < 5000 && (fd = open(PATH, O_RDONLY)) >= 0) {
		CHECK_EQ(last + 1, fd);
		last = fd, count++;
	}
	CHECK(count < 5000 && errno == EMFILE);
	for (; last >= first; last--)
		close(last);
}

static void status(void)
{
	struct stat st, by_fd;
	int fd = open(PATH, O_RDONLY);

	CHECK_OK(stat(PATH, &st));
	CHECK_OK(fstat(fd, &by_fd));
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(0644, st.st_mode & 07777);
	CHECK_EQ(SIZE, st.st_size);
	CHECK_EQ(st.st_ino, by_fd.st_ino);
	CHECK_EQ(st.st_dev, by_fd.st_dev);
	CHECK(st.st_nlink >= 1 && st.st_blksize > 0);
	CHECK_EQ(0, st.st_uid);
	CHECK_OK(stat("/etc/strata", &st));
	CHECK(S_ISDIR(st.st_mode) && st.st_ino != by_fd.st_ino);
	CHECK_OK(stat("/etc/strata/exec/good", &st));
	CHECK_EQ(0755, st.st_mode & 07777);
	CHECK_EQ(132, st.st_size);
	CHECK_ERR(ENOENT, stat("/etc/strata/nothing", &st));
	CHECK_ERR(EBADF, fstat(99, &st));
	close(fd);
}

/* All names of a directory, each once, with . and .., however small the buffer. */
static void directories(void)
{
	struct {
		uint64_t inode;
		int64_t offset;
		unsigned short length;
		unsigned char type;
		char name[];
	} * entry;
	_Alignas(8) char buffer[64];
	static bool found[64];
	static char names[64][64];
	int fd = open("/etc/strata/exec", O_RDONLY | O_DIRECTORY), total = 0, good = 0;
	long n;

	REQUIRE(fd >= 0);
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < n; at += entry->length) {
			entry = (void *)(buffer + at);
			REQUIRE(entry->length >= 20 && entry->length % 8 == 0 && at + entry->length <= n && total < 64);
			snprintf(names[total++], 64, "%s", entry->name);
			good += strcmp(entry->name, "good") == 0 && entry->type == DT_REG && entry->inode != 0;
			found[0] = found[0] || (strcmp(entry->name, ".") == 0 && entry->type == DT_DIR);
			found[1] = found[1] || (strcmp(entry->name, "..") == 0 && entry->type == DT_DIR);
		}
	CHECK_EQ(0, n);
	CHECK(found[0] && found[1]);
	CHECK_EQ(1, good);
	CHECK(total > 30);
	for (int i = 0; i < total; i++)
		for (int j = 0; j < i; j++)
			CHECK(strcmp(names[i], names[j]) != 0);
	CHECK_EQ(0, lseek(fd, 0, SEEK_SET));
	CHECK_ERR(EINVAL, syscall(SYS_getdents64, fd, buffer, 10)); /* too small for any */
	close(fd);
	fd = open(PATH, O_RDONLY);
	CHECK_ERR(ENOTDIR, syscall(SYS_getdents64, fd, buffer, sizeof buffer));
	close(fd);
	DIR *dir = opendir("/");
	int seen = 0;
	REQUIRE(dir);
	for (struct dirent *d; (d = readdir(dir));)
		seen += strcmp(d->d_name, "etc") == 0 || strcmp(d->d_name, "bin") == 0;
	CHECK_EQ(2, seen);
	closedir(dir);
}

static void working_directory(void)
{
	char path[100];
	int fd;

	CHECK(getcwd(path, sizeof path) && strcmp(path, "/") == 0);
	CHECK_OK(chdir("/etc/strata"));
	CHECK(getcwd(path, sizeof path) && strcmp(path, "/etc/strata") == 0);
	fd = open("testfile", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_OK(chdir(".."));
		CHECK_OK(chdir("./strata/exec"));
		CHECK(getcwd(path, sizeof path) && strcmp(path, "/etc/strata/exec") == 0);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK(getcwd(path, sizeof path) && strcmp(path, "/etc/strata") == 0); /* each process its own */
	CHECK_ERR(ERANGE, syscall(SYS_getcwd, path, 3));
	CHECK_ERR(ENOENT, chdir("nowhere"));
	CHECK_ERR(ENOTDIR, chdir("testfile"));
	CHECK_OK(chdir("/"));
}

static void *reader(void *start)
{
	unsigned char buffer[1000];
	int fd = open(PATH, O_RDONLY);

	for (long i = 0; i < 150; i++) {
		long at = ((long)(intptr_t)start * 7919 + i * 4099) % (SIZE - 1000);
		CHECK_EQ(1000, pread(fd, buffer, 1000, at));
		compare(buffer, at, 1000);
	}
	close(fd);
	return NULL;
}

static void from_threads(void)
{
	pthread_t threads[8];

	for (intptr_t i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, reader, (void *)i) == 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	reading();
	opening();
	status();
	directories();
	working_directory();
	from_threads();
	return check_end();
}
