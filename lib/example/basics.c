/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/example/basics.c: one thread, each kind of memory once. doc/library.md walks through it. */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

/* Ends the program with a message unless the call went well. */
static void need(enum strata_error e, const char *what)
{
	if (e == STRATA_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, strata_error_text(e));
	exit(1);
}

struct point {
	int x, y;
	unsigned generation; /* set by the constructor, and kept by who frees */
};

static void make_point(void *object) { ((struct point *)object)->generation = 1; }

static void print_zone(struct strata_zone *zone, void *unused)
{
	struct strata_zone_statistics s;

	(void)unused;
	if (strata_zone_statistics(zone, &s) == STRATA_OK && s.frames > 0)
		printf("zone %-12s %5zu bytes: %llu in use, %llu cached\n", s.name, s.size,
		       (unsigned long long)s.in_use, (unsigned long long)s.cached);
}

int main(void)
{
	struct strata_config config = {.cpus = 1, .memory = 64 << 20};
	struct strata_zone_config points = {.name = "point", .size = sizeof(struct point), .ctor = make_point};
	struct strata_statistics statistics;
	struct strata_machine *machine;
	struct strata_zone *zone;
	struct point *point;
	uint64_t frame;
	char *text, problem[128];

	/* A machine of one CPU and 64 MiB; this thread is its CPU 0. */
	need(strata_create(&config, &machine), "create");
	need(strata_attach(machine, 0), "attach");

	/* A block of 2^9 frames, 2 MiB, zeroed. */
	need(strata_frame_alloc(machine, STRATA_ORDER_2M, STRATA_ZERO, &frame), "frame");
	memset(strata_frame_address(machine, frame), 0x5a, STRATA_FRAME_SIZE << STRATA_ORDER_2M);

	/* Objects of one type. */
	need(strata_zone_create(machine, &points, &zone), "zone");
	point = strata_zone_alloc(zone);
	if (!point || point->generation != 1)
		return 1;

	/* Bytes of any number. */
	text = strata_kmalloc(machine, 100);
	if (!text)
		return 1;
	strcpy(text, "kept");
	text = strata_krealloc(machine, text, 1000);
	if (!text || strcmp(text, "kept") != 0 || strata_usable_size(machine, text) < 1000)
		return 1;

	need(strata_statistics(machine, &statistics), "statistics");
	printf("%llu of %llu frames are free, %llu in blocks, %llu in zones\n", (unsigned long long)statistics.free,
	       (unsigned long long)statistics.memory, (unsigned long long)statistics.blocks,
	       (unsigned long long)statistics.zones);
	need(strata_zones(machine, print_zone, NULL), "zones");

	need(strata_kfree(machine, text), "kfree");
	need(strata_zone_free(zone, point), "zone_free");
	need(strata_zone_destroy(machine, zone), "zone_destroy");
	need(strata_frame_free(machine, frame, STRATA_ORDER_2M), "frame_free");
	need(strata_drain(machine), "drain");
	need(strata_check(machine, problem, sizeof problem), problem);
	need(strata_detach(), "detach");
	need(strata_destroy(machine), "destroy");
	return 0;
}
