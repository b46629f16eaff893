/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/self/maps and /proc/meminfo in Linux's format: every line parsed, ranges in order and
 * apart, and what was mapped, protected, moved and unmapped is what the file says.
 */
#define _GNU_SOURCE
#include "check.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

struct line {
	uintptr_t start, end;
	char prot[5];
	unsigned long offset, inode;
	char name[128];
};

static struct line lines[2000];
static size_t count;
static const char *maps_path = "/proc/self/maps";

static char *slurp(const char *path)
{
	static char text[400000];
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY);

	REQUIRE(fd >= 0);
	while ((n = read(fd, text + have, sizeof text - 1 - have)) > 0)
		have += (size_t)n;
	REQUIRE(n == 0 && have > 0);
	text[have] = '\0';
	close(fd);
	return text;
}

/* "start-end rwxp offset dev:dev inode" and, at column 73, the name if there is one. */
static void read_maps(void)
{
	uintptr_t before = 0;

	count = 0;
	for (char *line = slurp(maps_path), *next; *line; line = next) {
		struct line *l = &lines[count++];
		unsigned major, minor;
		int used = 0;

		REQUIRE(count < sizeof lines / sizeof *lines);
		next = strchr(line, '\n');
		REQUIRE(next); /* every line is ended */
		*next++ = '\0';
		*l = (struct line){0};
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%n", &l->start, &l->end, l->prot, &l->offset, &major, &minor,
			   &l->inode, &used) != 7) {
			check_failed(__FILE__, __LINE__, "a line of %s: expected Linux's format, got \"%s\"", maps_path,
				     line);
			continue;
		}
		const char *name = line + used;
		name += strspn(name, " ");
		if (*name)
			CHECK_EQ(73, name - line);
		snprintf(l->name, sizeof l->name, "%s", name);
		CHECK(isxdigit(line[0]) && strchr(line, '-') - line >= 8); /* eight digits at least */
		CHECK(l->start < l->end && l->start % PAGE == 0 && l->end % PAGE == 0);
		CHECK(l->start >= before); /* in order, no overlap */
		CHECK_EQ(4, strlen(l->prot));
		CHECK(strchr("r-", l->prot[0]) && strchr("w-", l->prot[1]) && strchr("x-", l->prot[2]) &&
		      strchr("ps", l->prot[3]));
		CHECK_EQ(0, l->offset % PAGE);
		CHECK(!(l->prot[1] == 'w' && l->prot[2] == 'x'));
		before = l->end;
	}
}

static const struct line *find(const void *at)
{
	for (size_t i = 0; i < count; i++)
		if (lines[i].start <= (uintptr_t)at && (uintptr_t)at < lines[i].end)
			return &lines[i];
	return NULL;
}

/* From p on, `pages` pages are mapped with this protection, in however many lines. */
static void expect(int where, const char *p, size_t pages, const char *prot)
{
	for (size_t i = 0; i < pages; i++) {
		const struct line *l = find(p + i * PAGE);
		const char *got = l ? l->prot : "nothing";
		if (strcmp(got, prot) != 0) {
			check_failed(__FILE__, where, "page %zu at %p: expected %s, got %s", i,
				     (const void *)(p + i * PAGE), prot, got);
			return;
		}
	}
}
#define EXPECT(p, pages, prot) expect(__LINE__, p, pages, prot)

static void follows_the_mappings(void)
{
	char *p = mmap(NULL, 20 * PAGE, RW, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	read_maps();
	EXPECT(p, 20, "rw-p");
	mprotect(p + 2 * PAGE, 3 * PAGE, PROT_READ);
	mprotect(p + 8 * PAGE, PAGE, PROT_NONE);
	mprotect(p + 9 * PAGE, PAGE, PROT_READ | PROT_EXEC);
	munmap(p + 12 * PAGE, 4 * PAGE);
	read_maps();
	EXPECT(p, 2, "rw-p");
	EXPECT(p + 2 * PAGE, 3, "r--p");
	EXPECT(p + 5 * PAGE, 3, "rw-p");
	EXPECT(p + 8 * PAGE, 1, "---p");
	EXPECT(p + 9 * PAGE, 1, "r-xp");
	EXPECT(p + 10 * PAGE, 2, "rw-p");
	EXPECT(p + 12 * PAGE, 4, "nothing");
	EXPECT(p + 16 * PAGE, 4, "rw-p");
	const struct line *l = find(p + 3 * PAGE);
	REQUIRE(l);
	CHECK_EQ((uintptr_t)(p + 2 * PAGE), l->start); /* different protections are different lines */
	CHECK_EQ((uintptr_t)(p + 5 * PAGE), l->end);
	char *moved = mremap(p + 16 * PAGE, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(moved != MAP_FAILED);
	read_maps();
	EXPECT(moved, 6, "rw-p");
	if (moved != p + 16 * PAGE)
		EXPECT(p + 16 * PAGE, 4, "nothing");
	munmap(moved, 6 * PAGE);
	munmap(p, 12 * PAGE);
	read_maps();
	EXPECT(p, 12, "nothing");
	char *shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	read_maps();
	EXPECT(shared, 2, "rw-s");
	munmap(shared, 2 * PAGE);
}

static void files_and_names(char *self)
{
	int fd = open("/etc/strata/testfile", O_RDONLY), local = 0;
	char *file = mmap(NULL, 5 * PAGE, PROT_READ, MAP_PRIVATE, fd, 3 * PAGE);
	char *shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	static char data[PAGE] = {1};
	const struct line *l;
	struct stat st;
	uintptr_t brk = (uintptr_t)sbrk(PAGE);

	REQUIRE(file != MAP_FAILED && shared != MAP_FAILED && fstat(fd, &st) == 0);
	read_maps();
	l = find(file);
	REQUIRE(l);
	CHECK_EQ((uintptr_t)file, l->start);
	CHECK_EQ((uintptr_t)file + 5 * PAGE, l->end);
	CHECK_EQ(3 * PAGE, l->offset);
	CHECK_EQ(st.st_ino, l->inode);
	CHECK_EQ(0, strcmp(l->name, "/etc/strata/testfile"));
	CHECK_EQ(0, strcmp(l->prot, "r--p"));
	munmap(file + PAGE, PAGE); /* the offset of what is behind the hole */
	read_maps();
	l = find(file + 2 * PAGE);
	REQUIRE(l);
	CHECK_EQ(5 * PAGE, l->offset);
	l = find(shared);
	REQUIRE(l);
	CHECK_EQ(0, strcmp(l->prot, "r--s"));

	l = find((void *)(uintptr_t)&files_and_names);
	REQUIRE(l);
	CHECK_EQ(0, strcmp(l->prot, "r-xp"));
	CHECK_EQ(0, strcmp(l->name, self));
	l = find(data);
	REQUIRE(l);
	CHECK_EQ(0, strcmp(l->prot, "rw-p"));
	l = find(&local);
	REQUIRE(l);
	CHECK_EQ(0, strcmp(l->name, "[stack]"));
	CHECK_EQ(0, strcmp(l->prot, "rw-p"));
	l = find((void *)(brk + PAGE - 1));
	REQUIRE(l);
	CHECK_EQ(0, strcmp(l->name, "[heap]"));
	int stacks = 0, heaps = 0;
	for (size_t i = 0; i < count; i++) {
		stacks += strcmp(lines[i].name, "[stack]") == 0;
		heaps += strcmp(lines[i].name, "[heap]") == 0;
		CHECK(lines[i].end <= 1UL << 48); /* nothing of the kernel's */
	}
	CHECK_EQ(1, stacks);
	CHECK(heaps >= 1);
	munmap(file, 5 * PAGE), munmap(shared, 2 * PAGE);
	close(fd);
}

/* Read in small pieces, the file is the same; and a child's is its own. */
static void in_pieces(void)
{
	static char whole[400000], pieces[400000];
	size_t have = 0;
	ssize_t n;

	memcpy(whole, slurp(maps_path), sizeof whole);
	int fd = open(maps_path, O_RDONLY);
	REQUIRE(fd >= 0);
	while ((n = read(fd, pieces + have, 1 + have % 61)) > 0)
		have += (size_t)n;
	close(fd);
	CHECK_EQ(strlen(whole), have);
	CHECK_EQ(0, memcmp(whole, pieces, have));
	char *p = mmap(NULL, 3 * PAGE, PROT_READ, ANON, -1, 0);
	pid_t pid = check_fork();
	if (pid == 0) {
		munmap(p, 3 * PAGE);
		read_maps();
		EXPECT(p, 3, "nothing");
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	read_maps();
	EXPECT(p, 3, "r--p");
	munmap(p, 3 * PAGE);
}

/* Read while other threads map and unmap: each line whole, the order kept. */
static volatile bool churning_over;

static void *churn(void *unused)
{
	(void)unused;
	while (!churning_over) {
		char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
		mprotect(p + PAGE, PAGE, PROT_READ);
		munmap(p, 4 * PAGE);
	}
	return NULL;
}

static void while_changing(void)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
	for (int i = 0; i < 60; i++)
		read_maps();
	churning_over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* ---- meminfo ---- */

/* "Name:" and a number of KiB, the unit in column 25 */
static unsigned long meminfo(const char *name)
{
	char *text = slurp("/proc/meminfo"), *line, unit[4];
	unsigned long value = 0;
	char key[64];

	snprintf(key, sizeof key, "%s:", name);
	for (line = text; line && strncmp(line, key, strlen(key)) != 0;)
		line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
	if (!line || sscanf(line + strlen(key), "%lu %3s", &value, unit) != 2 || strcmp(unit, "kB") != 0)
		check_failed(__FILE__, __LINE__, "/proc/meminfo: expected a line \"%s <number> kB\", got none", key);
	return value;
}

static void memory(void)
{
	enum { MIB = 16 };
	unsigned long total = meminfo("MemTotal"), free_before = meminfo("MemFree");

	CHECK(total > 16 << 10 && free_before > 0 && free_before < total);
	CHECK(meminfo("MemAvailable") <= total);
	char *p = mmap(NULL, MIB << 20, RW, ANON, -1, 0);
	REQUIRE(p != MAP_FAILED);
	unsigned long mapped = meminfo("MemFree");
	CHECK(mapped + 2048 > free_before); /* a mapping takes no memory */
	for (size_t i = 0; i < MIB << 20; i += PAGE)
		p[i] = 1;
	unsigned long touched = meminfo("MemFree");
	CHECK(touched + (MIB << 10) * 3 / 4 < free_before);
	munmap(p, MIB << 20);
	unsigned long after = 0; /* caches may keep some of it for a while, not most */
	for (int i = 0; i < 100 && after < touched + (MIB << 10) * 3 / 4; i++) {
		after = meminfo("MemFree");
		usleep(10000);
	}
	CHECK(after >= touched + (MIB << 10) * 3 / 4);
	CHECK_EQ(total, meminfo("MemTotal"));
}

int main(int argc, char **argv)
{
	(void)argc;
	follows_the_mappings();
	files_and_names(argv[0]);
	in_pieces();
	while_changing();
	memory();
	CHECK_ERR(ENOENT, open("/proc/nothing", O_RDONLY));
	CHECK_ERR(ENOENT, open("/proc/self/nothing", O_RDONLY));
	return check_end();
}
