/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls on files, pipes, names, and the files of /proc, each allocation refused in turn (fail.h). */
#define _GNU_SOURCE
#include "fail.h"

#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#define DIRECTORY "/tmp/fail"
#define MANY 12 /* pieces or descriptors: more than the kernel's stack has room for */

static char buffer[80 << 10], zeros[80 << 10];
static int ends[2] = {-1, -1}, one = -1, other = -1;

static void close_result(long fd) { REQUIRE(close((int)fd) == 0); }

static bool is_there(const char *name)
{
	struct stat s;
	return lstat(name, &s) == 0;
}

static void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void file_is(const char *name, const char *text)
{
	char got[64] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	REQUIRE(fd >= 0 && read(fd, got, sizeof got - 1) >= 0);
	close(fd);
	if (strcmp(text, got) != 0)
		check_failed(__FILE__, __LINE__, "%s: expected \"%s\", got \"%s\"", name, text, got);
}

/* --- names: "old" is a file, "link" a link to it, "dir" a directory; "new" is not there --- */

static void names(void)
{
	(void)unlink("new");
	(void)rmdir("new");
	write_file("old", "old");
	(void)unlink("link");
	REQUIRE(symlink("old", "link") == 0);
	(void)mkdir("dir", 0755);
}
static void no_new(void)
{
	CHECK(!is_there("new"));
	file_is("old", "old");
	file_is("link", "old");
}
static void new_there(long r)
{
	(void)r;
	CHECK(is_there("new"));
}
static void new_open(long fd)
{
	CHECK(is_there("new"));
	close_result(fd);
}
static long make_new(void) { return RESULT(open("new", O_RDWR | O_CREAT, 0600)); }
static long make_only(void) { return RESULT(open("dir/../new", O_RDWR | O_CREAT | O_EXCL, 0600)); }
static long open_old(void) { return RESULT(open("link", O_RDWR)); }
static long open_cut(void) { return RESULT(open("old", O_RDWR | O_TRUNC)); }
static void cut(long fd)
{
	file_is("old", "");
	close_result(fd);
}
static long open_place(void) { return RESULT(open("dir", O_PATH)); }
static long make_dir(void) { return RESULT(mkdir("new", 0755)); }
static long make_link(void) { return RESULT(symlink("a/rather/long/target/of/a/symbolic/link", "new")); }
static long make_name(void) { return RESULT(link("old", "new")); }
static long make_node(void) { return RESULT(mknod("new", S_IFREG | 0600, 0)); }
static long rename_old(void) { return RESULT(rename("old", "new")); }
static void renamed(long r)
{
	(void)r;
	CHECK(!is_there("old"));
	file_is("new", "old");
}
static void two_names(void)
{
	names();
	write_file("new", "new");
}
static void both(void)
{
	file_is("old", "old");
	file_is("new", "new");
}
static long swap_names(void) { return RESULT(syscall(SYS_renameat2, AT_FDCWD, "old", AT_FDCWD, "new", 2)); }
static void swapped(long r)
{
	(void)r;
	file_is("old", "new");
	file_is("new", "old");
}
static long remove_new(void) { return RESULT(unlink("new")); }
static void removed(long r)
{
	(void)r;
	no_new();
}
static long remove_dir(void) { return RESULT(rmdir("dir")); }
static void dir_there(void) { CHECK(is_there("dir")); }
static void dir_gone(long r)
{
	(void)r;
	CHECK(!is_there("dir"));
}
static long read_link(void) { return RESULT(readlink("link", buffer, sizeof buffer)); }
static long stat_path(void)
{
	struct stat s;
	return RESULT(stat("dir/../link", &s));
}
static long statx_path(void)
{
	struct statx s;
	return RESULT(statx(AT_FDCWD, "old", 0, STATX_BASIC_STATS, &s));
}
static long stat_system(void)
{
	struct statfs s;
	return RESULT(statfs("old", &s));
}
static long may_access(void) { return RESULT(access("link", R_OK)); }
static long change_mode(void) { return RESULT(chmod("old", 0600)); }
static long change_owner(void) { return RESULT(chown("old", 0, 0)); }
static long change_times(void) { return RESULT(utimensat(AT_FDCWD, "old", NULL, 0)); }
static long change_dir(void) { return RESULT(chdir("dir")); }
static void back(long r)
{
	(void)r;
	REQUIRE(chdir(DIRECTORY) == 0);
}
static long where(void) { return RESULT(syscall(SYS_getcwd, buffer, sizeof buffer)); }
static void where_right(long r)
{
	(void)r;
	CHECK(strcmp(buffer, DIRECTORY) == 0);
}
static long cut_path(void) { return RESULT(truncate("old", 1)); }
static void was_cut(long r)
{
	(void)r;
	file_is("old", "o");
}
static long list(void)
{
	int fd = open("/etc", O_RDONLY | O_DIRECTORY);
	long n = fd < 0 ? -errno : RESULT(syscall(SYS_getdents64, fd, buffer, sizeof buffer));

	if (fd >= 0)
		close(fd);
	return n;
}

/* --- bytes --- */

static void open_one(void)
{
	if (one >= 0)
		close(one);
	one = memfd_create("one", MFD_CLOEXEC);
	REQUIRE(one >= 0);
}
/* Pages of it are there, not all. */
static void open_filled(void)
{
	open_one();
	memset(buffer, 'x', sizeof buffer);
	REQUIRE(ftruncate(one, 1 << 20) == 0 && pwrite(one, buffer, 5000, 0) == 5000);
}
static void size_0(void)
{
	struct stat s;

	CHECK_OK(fstat(one, &s));
	CHECK_EQ(0, s.st_size);
	CHECK_EQ(0, lseek(one, 0, SEEK_CUR));
}
static long write_bytes(void) { return RESULT(write(one, buffer, 30000)); }
/* A part may be written when memory runs out: then the file is that long. */
static void written(long n)
{
	struct stat s;

	CHECK(n > 0 && n <= 30000);
	CHECK_OK(fstat(one, &s));
	CHECK_EQ(n, s.st_size);
	CHECK_EQ(n, lseek(one, 0, SEEK_CUR));
}
static long write_far(void) { return RESULT(pwrite(one, buffer, 10, 1L << 40)); }
static long read_bytes(void) { return RESULT(pread(one, buffer, 30000, 0)); }
static void was_read(long n)
{
	CHECK(n > 0 && n <= 30000);
	CHECK(buffer[0] == 'x' && (n < 5000 || buffer[4999] == 'x'));
	if (n > 5000)
		CHECK_EQ(0, memcmp(buffer + 5000, zeros, (size_t)n - 5000));
}
static long read_pieces(void)
{
	struct iovec v[MANY];

	for (int i = 0; i < MANY; i++)
		v[i] = (struct iovec){buffer + i * 100, 100};
	return RESULT(preadv(one, v, MANY, 0));
}
static void pieces_read(long n) { CHECK_EQ(MANY * 100, n); }
static long write_pieces(void)
{
	struct iovec v[MANY];

	for (int i = 0; i < MANY; i++)
		v[i] = (struct iovec){buffer, 100};
	return RESULT(writev(one, v, MANY));
}
static void two_files(void)
{
	if (other >= 0)
		close(other);
	open_filled();
	other = one;
	one = -1;
	open_one();
	REQUIRE(lseek(other, 0, SEEK_SET) == 0);
}
static long send_file(void) { return RESULT(sendfile(one, other, NULL, 30000)); }
static long resize(void) { return RESULT(ftruncate(one, 12345)); }
static long allocate(void) { return RESULT(fallocate(one, 0, 0, 10000)); }
static long make_memory(void) { return RESULT(memfd_create("another", 0)); }
static long make_event(void) { return RESULT(eventfd(0, 0)); }
static long duplicate(void) { return RESULT(dup(STDOUT_FILENO)); }
static long open_null(void) { return RESULT(open("/dev/null", O_RDWR)); }
static long print(void)
{
	/* More than the kernel takes at a time without memory. */
	static char line[300];

	memset(line, ' ', sizeof line);
	line[sizeof line - 1] = '\n';
	return RESULT(write(STDOUT_FILENO, line, sizeof line));
}
static void printed(long n) { CHECK_EQ(300, n); }

/* In a child: a table that has grown stays so. */
static long duplicate_far(void) { return RESULT(fcntl(STDOUT_FILENO, F_DUPFD, 100)); }
static long duplicate_to(void) { return RESULT(dup3(STDOUT_FILENO, 200, O_CLOEXEC)); }
static void full_table(void)
{
	for (int fd = 0; fd < 63;)
		fd = dup(STDOUT_FILENO);
}
static void full_table_names(void)
{
	names();
	full_table();
}
static long make_pipe(void) { return RESULT(pipe(ends)); }

/* --- pipes, poll --- */

static void pipe_gone(long r)
{
	(void)r;
	REQUIRE(close(ends[0]) == 0 && close(ends[1]) == 0);
	ends[0] = ends[1] = -1;
}
static void open_pipe(void)
{
	if (ends[0] >= 0)
		pipe_gone(0);
	REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
}
static long pipe_write(void) { return RESULT(write(ends[1], "twelve bytes", 12)); }
static void pipe_empty(void) { CHECK_ERR(EAGAIN, read(ends[0], buffer, 1)); }
static void pipe_written(long n)
{
	CHECK_EQ(12, n);
	CHECK_EQ(12, read(ends[0], buffer, 100));
}
static long pipe_fill(void) { return RESULT(write(ends[1], buffer, 20000)); }
static void pipe_filled(long n)
{
	CHECK(n > 0 && n <= 20000);
	CHECK_EQ(n, read(ends[0], buffer, sizeof buffer));
}
static void pipe_with_bytes(void)
{
	open_pipe();
	REQUIRE(write(ends[1], "twelve bytes", 12) == 12);
}
static long pipe_read(void) { return RESULT(read(ends[0], buffer, 100)); }
static void pipe_was_read(long n)
{
	CHECK_EQ(12, n);
	pipe_empty();
}
static long poll_many(void)
{
	struct pollfd p[MANY];

	for (int i = 0; i < MANY; i++)
		p[i] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	return RESULT(poll(p, MANY, 1));
}
static long select_one(void)
{
	struct timeval now = {0, 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	return RESULT(select(ends[0] + 1, &set, NULL, NULL, &now));
}
static void none_ready(long n) { CHECK_EQ(0, n); }

/* --- /proc --- */

static const char *proc_name;
static long read_proc(void)
{
	int fd = open(proc_name, O_RDONLY);
	long n, total = 0;

	if (fd < 0)
		return -errno;
	while ((n = RESULT(read(fd, buffer, sizeof buffer))) > 0)
		total += n;
	close(fd);
	return n < 0 ? n : total;
}
static long list_proc(void)
{
	int fd = open(proc_name, O_RDONLY | O_DIRECTORY);
	long n;

	if (fd < 0)
		return -errno;
	while ((n = RESULT(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0)
		;
	close(fd);
	return n;
}
static long link_proc(void) { return RESULT(readlink(proc_name, buffer, sizeof buffer)); }
static long follow_proc(void) { return RESULT(open("/proc/self/fd/1", O_WRONLY)); }

static const struct operation operations[] = {
	{"open, a new file", names, make_new, new_open, no_new, NULL, 0, 0},
	{"open, a new file only", names, make_only, new_open, no_new, NULL, 0, 0},
	{"open by a link", names, open_old, NULL, no_new, close_result, 0, 0},
	{"open and cut", names, open_cut, cut, no_new, NULL, 0, 0},
	{"open a place", names, open_place, NULL, no_new, close_result, 0, 0},
	{"mkdir", names, make_dir, new_there, no_new, NULL, 0, 0},
	{"symlink", names, make_link, new_there, no_new, NULL, 0, 0},
	{"link", names, make_name, new_there, no_new, NULL, 0, 0},
	{"mknod", names, make_node, new_there, no_new, NULL, 0, 0},
	{"rename", names, rename_old, renamed, no_new, NULL, 0, 0},
	{"rename over", two_names, rename_old, renamed, both, NULL, 0, 0},
	{"rename, exchange", two_names, swap_names, swapped, both, NULL, 0, 0},
	{"unlink", two_names, remove_new, removed, both, NULL, 0, 0},
	{"rmdir", names, remove_dir, dir_gone, dir_there, NULL, 0, 0},
	{"readlink", names, read_link, NULL, NULL, NULL, 0, 0},
	{"stat", names, stat_path, NULL, NULL, NULL, 0, 0},
	{"statx", names, statx_path, NULL, NULL, NULL, 0, 0},
	{"statfs", names, stat_system, NULL, NULL, NULL, 0, 0},
	{"access", names, may_access, NULL, NULL, NULL, 0, 0},
	{"chmod", names, change_mode, NULL, NULL, NULL, 0, 0},
	{"chown", names, change_owner, NULL, NULL, NULL, 0, 0},
	{"utimensat", names, change_times, NULL, NULL, NULL, 0, 0},
	{"chdir", names, change_dir, NULL, no_new, back, 0, 0},
	{"getcwd", NULL, where, where_right, NULL, NULL, 0, 0},
	{"truncate", names, cut_path, was_cut, no_new, NULL, 0, 0},
	{"getdents", NULL, list, NULL, NULL, NULL, 0, 0},
	{"write", open_one, write_bytes, written, size_0, NULL, 0, 0},
	{"write far away", open_one, write_far, NULL, size_0, NULL, 0, 0},
	{"write near and far", open_filled, write_far, NULL, NULL, NULL, 0, 0},
	{"write, two refused", open_one, write_bytes, written, size_0, NULL, 0, 2},
	{"read, two refused", open_filled, read_bytes, was_read, NULL, NULL, 0, 2},
	{"writev", open_one, write_pieces, pieces_read, size_0, NULL, 0, 0},
	{"read", open_filled, read_bytes, was_read, NULL, NULL, 0, 0},
	{"readv", open_filled, read_pieces, pieces_read, NULL, NULL, 0, 0},
	{"sendfile", two_files, send_file, written, size_0, NULL, 0, 0},
	{"ftruncate", open_filled, resize, NULL, NULL, NULL, 0, 0},
	{"fallocate", open_one, allocate, NULL, size_0, NULL, 0, 0},
	{"memfd_create", NULL, make_memory, NULL, NULL, close_result, 0, 0},
	{"eventfd", NULL, make_event, NULL, NULL, close_result, 0, 0},
	{"dup", NULL, duplicate, NULL, NULL, close_result, 0, 0},
	{"open of a device", NULL, open_null, NULL, NULL, close_result, 0, 0},
	{"a long line", NULL, print, printed, NULL, NULL, NEVER_FAILS, 0},
	{"dup far", NULL, duplicate_far, NULL, NULL, NULL, CHILD, 0},
	{"dup3 far", NULL, duplicate_to, NULL, NULL, NULL, CHILD, 0},
	{"dup, full", full_table, duplicate, NULL, NULL, NULL, CHILD, 0},
	{"open, full", full_table_names, make_new, new_open, no_new, NULL, CHILD, 0},
	{"open and cut, full", full_table_names, open_cut, cut, no_new, NULL, CHILD, 0},
	{"pipe, full", full_table, make_pipe, NULL, NULL, pipe_gone, CHILD, 0},
	{"pipe", NULL, make_pipe, NULL, NULL, pipe_gone, 0, 0},
	{"write to a pipe", open_pipe, pipe_write, pipe_written, pipe_empty, NULL, 0, 0},
	{"fill a pipe", open_pipe, pipe_fill, pipe_filled, pipe_empty, NULL, 0, 0},
	{"read a pipe", pipe_with_bytes, pipe_read, pipe_was_read, NULL, NULL, 0, 0},
	{"poll", open_pipe, poll_many, none_ready, NULL, NULL, 0, 0},
	{"select", open_pipe, select_one, none_ready, NULL, NULL, 0, 0},
	{"open by /proc", NULL, follow_proc, NULL, NULL, close_result, 0, 0},
};

static struct operation proc_operation(const char *name, long (*run)(void))
{
	proc_name = name;
	return (struct operation){.name = name, .run = run};
}

/* Reading these makes allocations of many sizes; a short read in between is no error of theirs. */
static void proc_files(void)
{
	static const char *const files[] = {
		"/proc/self/maps",    "/proc/self/status", "/proc/self/stat",    "/proc/self/statm",
		"/proc/self/cmdline", "/proc/self/comm",   "/proc/self/environ", "/proc/self/limits",
		"/proc/meminfo",      "/proc/zones",       "/proc/counters",     "/proc/mounts",
		"/proc/cpuinfo",      "/proc/stat",        "/proc/uptime",       "/proc/version",
		"/proc/cmdline",      "/proc/loadavg",     "/proc/filesystems",  "/proc/frames",
		"/proc/fail-sites",   "/proc/kva",
	};
	static const char *const directories[] = {"/proc", "/proc/self", "/proc/self/fd"};
	static const char *const links[] = {"/proc/self/exe", "/proc/self/cwd", "/proc/self/root", "/proc/self",
					    "/proc/self/fd/1"};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct operation o = proc_operation(files[i], read_proc);
		fail_each(&o);
	}
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
		struct operation o = proc_operation(directories[i], list_proc);
		fail_each(&o);
	}
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		struct operation o = proc_operation(links[i], link_proc);
		fail_each(&o);
	}
}

int main(void)
{
	if (!fail_begin())
		return 0;
	REQUIRE(mkdir(DIRECTORY, 0755) == 0 && chdir(DIRECTORY) == 0);
	memset(buffer, 'x', sizeof buffer);
	proc_files();
	fail_all(operations, sizeof operations / sizeof *operations);
	return check_end();
}
