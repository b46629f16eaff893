/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/zones and /proc/frames: each line parsed, sums that must come out, and what a program takes and gives back
 * shows.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "lib/frames.h"

#define ORDERS 19
#define ZONES 300
#define MIB (1UL << 20)

static char *slurp(const char *path)
{
	static char text[65536];
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY);

	REQUIRE(fd >= 0);
	while ((n = read(fd, text + have, sizeof text - 1 - have)) > 0)
		have += (size_t)n;
	REQUIRE(n == 0 && have > 0 && have < sizeof text - 1);
	text[have] = '\0';
	close(fd);
	return text;
}

/* --- zones --- */

struct zone {
	char name[64];
	unsigned long size, in_use, cached, slabs, frames, waste, failures;
};
static struct zone zones[ZONES];
static size_t zone_count;

static void read_zones(void)
{
	char *line = slurp("/proc/zones"), *next = strchr(line, '\n');

	REQUIRE(next);
	*next = '\0';
	CHECK_EQ(0, strcmp(line, "# zone size in_use cached slabs frames waste failures"));
	for (zone_count = 0, line = next + 1; *line; line = next + 1, zone_count++) {
		struct zone *z = &zones[zone_count];
		int used = 0;

		next = strchr(line, '\n');
		REQUIRE(next && zone_count < ZONES);
		*next = '\0';
		if (sscanf(line, "%63s %lu %lu %lu %lu %lu %lu %lu%n", z->name, &z->size, &z->in_use, &z->cached,
			   &z->slabs, &z->frames, &z->waste, &z->failures, &used) != 8 ||
		    line[used] != '\0')
			check_failed(__FILE__, __LINE__,
				     "a line of /proc/zones: expected a name and 7 numbers, got \"%s\"", line);
	}
}

static struct zone *find(const char *name)
{
	for (size_t i = 0; i < zone_count; i++)
		if (strcmp(zones[i].name, name) == 0)
			return &zones[i];
	check_failed(__FILE__, __LINE__, "/proc/zones: expected a zone %s, got none", name);
	_exit(1);
}

/* What is out and what is wasted fits into what is held; nothing is held twice. */
static void zones_add_up(void)
{
	read_zones();
	CHECK(zone_count > 20);
	for (size_t i = 0; i < zone_count; i++) {
		const struct zone *z = &zones[i];

		CHECK(z->size > 0 && z->size <= 32768);
		if ((z->in_use + z->cached) * z->size + z->waste > z->frames * PAGE)
			check_failed(__FILE__, __LINE__,
				     "zone %s: expected at most %lu bytes, got %lu in objects and %lu of waste",
				     z->name, z->frames * PAGE, (z->in_use + z->cached) * z->size, z->waste);
		CHECK(z->frames >= z->slabs);
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(z->name, zones[j].name) != 0);
	}
	CHECK(find("thread")->in_use >= 1);
	CHECK(find("process")->in_use >= 1);
}

static pthread_barrier_t all_there, may_go;

static void *wait_there(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&all_there);
	pthread_barrier_wait(&may_go);
	return NULL;
}

/* Eight threads are eight objects of the zone "thread". */
static void threads_show(void)
{
	pthread_t thread[8];
	unsigned long before, during, after = 0;

	read_zones();
	before = find("thread")->in_use;
	pthread_barrier_init(&all_there, NULL, 9);
	pthread_barrier_init(&may_go, NULL, 9);
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_create(&thread[i], NULL, wait_there, NULL) == 0);
	pthread_barrier_wait(&all_there);
	read_zones();
	during = find("thread")->in_use;
	CHECK(during >= before + 8);
	pthread_barrier_wait(&may_go);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	/* The last of a thread goes a little after its end is known. */
	for (int tries = 0; tries < 100; tries++) {
		read_zones();
		after = find("thread")->in_use;
		if (after <= before)
			break;
		usleep(20000);
	}
	CHECK(after <= before);
}

/* --- frames --- */

static unsigned long blocks[ORDERS];

/* Lines `order K N` of /proc/frames. => frames in all these blocks */
static unsigned long read_orders(void)
{
	unsigned long sum = 0, n;
	unsigned order, seen = 0;

	for (char *line = slurp("/proc/frames"); *line; line = strchr(line, '\n') + 1) {
		REQUIRE(strchr(line, '\n'));
		if (sscanf(line, "order %u %lu\n", &order, &n) != 2)
			continue;
		CHECK_EQ(seen, order); /* each once, in order */
		REQUIRE(order < ORDERS);
		blocks[order] = n;
		sum += n << order;
		seen++;
	}
	CHECK_EQ(ORDERS, seen);
	return sum;
}

static unsigned long all_of(const struct frames *f)
{
#define FRAMES_ADD(owner) +f->owner
	return 0 FRAMES_OWNERS(FRAMES_ADD);
#undef FRAMES_ADD
}

/* What is free is what the orders say, within what the readers themselves take and give back; RAM stays as it is. */
static void frames_add_up(void)
{
	struct frames f;
	unsigned long free = 0, total;
	bool same = false;

	REQUIRE(frames_read(&f));
	total = all_of(&f);
	for (int tries = 0; tries < 50 && !same; tries++) {
		free = read_orders();
		REQUIRE(frames_read(&f));
		same = free == f.free; /* the kernel's own threads may take a frame in between */
	}
	CHECK_EQ(f.free, free);
	CHECK_EQ(total, all_of(&f));
	CHECK(f.reserved > 0 && f.zone > 0 && f.anon > 0 && f.table > 0);
}

static void memory_shows(void)
{
	enum { PAGES = 4096 };
	struct frames before, during, after;
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	frames_touch_program();
	REQUIRE(frames_read(&before));
	for (size_t i = 0; i < PAGES; i++)
		p[i * PAGE] = 1;
	REQUIRE(frames_read(&during));
	CHECK_EQ(before.anon + PAGES, during.anon);
	CHECK(during.free + during.cached + PAGES <= before.free + before.cached);
	CHECK_EQ(all_of(&before), all_of(&during));
	REQUIRE(munmap(p, PAGES * PAGE) == 0);
	frames_settle(&before, &after);
	CHECK_EQ(before.anon, after.anon);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "panic") == 0) {
		int fd = open("/proc/sysrq-trigger", O_WRONLY);
		char *volatile nowhere = (char *)8;

		REQUIRE(fd >= 0);
		CHECK_EQ(0, write(fd, "", 0));
		CHECK_EQ(2, write(fd, "m\n", 2)); /* the report; we go on */
		CHECK_EQ(1, write(fd, "?", 1));   /* nothing */
		CHECK_ERR(EFAULT, write(fd, nowhere, 1));
		CHECK_EQ(1, write(fd, "c", 1)); /* does not return */
		return 1;
	}
	if (argc > 1 && strcmp(argv[1], "guard") == 0) {
		int fd = open("/proc/sysrq-trigger", O_WRONLY);

		REQUIRE(fd >= 0);
		CHECK_EQ(1, write(fd, "G", 1)); /* does not return */
		return 1;
	}
	zones_add_up();
	threads_show();
	frames_add_up();
	memory_shows();
	return check_end();
}
