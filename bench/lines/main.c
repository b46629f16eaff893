/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/lines/main.c: how many cache lines CPUs take from each other while they
 * allocate and free, each its own objects. A table on standard error, JSON lines on standard output.
 *
 *	main TURN OPERATIONS PATTERN CPUS...    PATTERN: loads with that in their names, and the controls
 *
 * Structure. One thread plays all CPUs, each a fiber with a stack of its own; after
 * TURN accesses to memory, or when it waits, a CPU gives the turn to the next one,
 * always in the same order. So lines travel as often as they can, and every run
 * counts the same. The library's sources are compiled as instrumented code
 * (tsan.c), this file is not.
 *
 * A load runs OPERATIONS a CPU to warm up, which is not counted, then as many that
 * are. Two controls frame the loads: private lines, which must count nothing, and
 * a counter of all, which must count nearly one a turn.
 *
 * Exit status 1: a control is wrong, a pair moved any line, or a batch more than
 * BATCH_LIMIT an operation. An operation is one allocation or one free.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "lines.h"
#include "private.h"
#include "vm/kva.h"

#define STACK_BYTES (64u << 10)
#define BATCH 256u
#define BATCH_LIMIT 0.02
#define ARENA_START (UINT64_C(1) << 40) /* nothing is there: an arena knows numbers only */
#define ARENA_BYTES (UINT64_C(1) << 32)
#define SHOWN 6 /* moves that are explained */

enum expected { EXPECT_NONE, EXPECT_BATCH, EXPECT_MANY };

struct load {
	const char *name;
	void (*run)(unsigned cpu, unsigned operations);
	enum expected expected;
	unsigned less; /* runs so many times fewer operations */
};

static struct strata_machine *machine;
static struct strata_zone *zone;
static struct zone *segments;
static struct kva arena;
static unsigned cpus, turn;
static struct control_line own_line[LINE_CPUS], shared_line;
static uint64_t objects[LINE_CPUS][BATCH] __attribute__((aligned(4096)));

static void need(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "lines: %s\n", what);
	exit(2);
}

/* --- fibers --- */

static struct fiber {
	ucontext_t context; /* to begin with */
	jmp_buf at;         /* from then on: without a system call */
	char *stack;
	bool begun, over;
} fiber[LINE_CPUS];
static ucontext_t home;
static const struct load *load;
static unsigned operations, running;

/* The next CPU that has something to do goes on. */
void lines_turn(void)
{
	unsigned from = (unsigned)lines_cpu, to = from;

	lines_left = (int)turn;
	do
		to = (to + 1) % cpus;
	while (fiber[to].over && to != from);
	if (to == from)
		return;
	lines_cpu = (int)to;
	library_self = machine->cpu[to].self;
	if (_setjmp(fiber[from].at))
		return;
	if (fiber[to].begun)
		_longjmp(fiber[to].at, 1);
	fiber[to].begun = true;
	setcontext(&fiber[to].context);
}

static void fiber_main(void)
{
	unsigned cpu = (unsigned)lines_cpu;

	load->run(cpu, operations);
	cpu = (unsigned)lines_cpu;
	fiber[cpu].over = true;
	if (--running > 0)
		lines_turn();
	lines_cpu = -1;
	setcontext(&home);
}

/* All CPUs run the load. */
static void run(const struct load *l, unsigned n)
{
	load = l;
	operations = n;
	running = cpus;
	for (unsigned i = 0; i < cpus; i++) {
		getcontext(&fiber[i].context);
		fiber[i].context.uc_stack.ss_sp = fiber[i].stack;
		fiber[i].context.uc_stack.ss_size = STACK_BYTES;
		fiber[i].begun = fiber[i].over = false;
		makecontext(&fiber[i].context, fiber_main, 0);
	}
	lines_cpu = 0;
	lines_left = (int)turn;
	library_self = machine->cpu[0].self;
	fiber[0].begun = true;
	swapcontext(&home, &fiber[0].context);
}

/* --- loads; an operation is an allocation or a free --- */

static void run_private(unsigned cpu, unsigned n)
{
	while (n-- > 0)
		control_private(&own_line[cpu]);
}

static void run_shared(unsigned cpu, unsigned n)
{
	(void)cpu;
	while (n-- > 0)
		control_shared(&shared_line);
}

static void run_zone_pairs(unsigned cpu, unsigned n)
{
	(void)cpu;
	for (; n > 0; n -= 2)
		strata_zone_free(zone, strata_zone_alloc(zone));
}

static void run_kmalloc_pairs(unsigned cpu, unsigned n)
{
	(void)cpu;
	for (; n > 0; n -= 2)
		strata_kfree(machine, strata_kmalloc(machine, n % 3 ? 64 : 1024));
}

static void frame_pairs(unsigned order, unsigned n)
{
	for (; n > 0; n -= 2) {
		uint64_t frame;

		need(strata_frame_alloc(machine, order, 0, &frame) == STRATA_OK, "no memory");
		strata_frame_free(machine, frame, order);
	}
}
static void run_frame_pairs(unsigned cpu, unsigned n)
{
	(void)cpu;
	frame_pairs(0, n);
}
static void run_block_pairs(unsigned cpu, unsigned n)
{
	(void)cpu;
	frame_pairs(STRATA_ORDER_2M, n);
}

static void run_zone_batches(unsigned cpu, unsigned n)
{
	for (; n >= 2 * BATCH; n -= 2 * BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			objects[cpu][i] = (uint64_t)(uintptr_t)strata_zone_alloc(zone);
		for (unsigned i = 0; i < BATCH; i++)
			strata_zone_free(zone, (void *)(uintptr_t)objects[cpu][i]);
	}
}

/* Sizes of four classes. */
static void run_kmalloc_batches(unsigned cpu, unsigned n)
{
	for (; n >= 2 * BATCH; n -= 2 * BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			objects[cpu][i] = (uint64_t)(uintptr_t)strata_kmalloc(machine, 64u << (i & 3));
		for (unsigned i = 0; i < BATCH; i++)
			strata_kfree(machine, (void *)(uintptr_t)objects[cpu][i]);
	}
}

static void run_frame_batches(unsigned cpu, unsigned n)
{
	for (; n >= 2 * BATCH; n -= 2 * BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			need(strata_frame_alloc(machine, 0, 0, &objects[cpu][i]) == STRATA_OK, "no memory");
		for (unsigned i = 0; i < BATCH; i++)
			strata_frame_free(machine, objects[cpu][i], 0);
	}
}

/* Ranges of addresses, of one page and of four. */
static vaddr_t range_alloc(uint64_t pages)
{
	vaddr_t va;

	need(kva_alloc(&arena, pages, 1, 0, &va) == OK, "no addresses");
	return va;
}

static void run_kva_pairs(unsigned cpu, unsigned n)
{
	(void)cpu;
	for (; n > 0; n -= 2) {
		uint64_t pages = n & 2 ? 1 : 4;

		kva_free(&arena, range_alloc(pages), pages);
	}
}

/* As many as a CPU keeps. */
static void run_kva_batches(unsigned cpu, unsigned n)
{
	for (; n >= 2 * KVA_KEEP; n -= 2 * KVA_KEEP) {
		for (unsigned i = 0; i < KVA_KEEP; i++)
			objects[cpu][i] = range_alloc(4).va;
		for (unsigned i = 0; i < KVA_KEEP; i++)
			kva_free(&arena, vaddr(objects[cpu][i]), 4);
	}
}

#define CONTROLS 2 /* the first ones */
static const struct load loads[] = {
	{"private lines", run_private, EXPECT_NONE, 1},
	{"shared counter", run_shared, EXPECT_MANY, 1},
	{"zone pairs", run_zone_pairs, EXPECT_NONE, 1},
	{"kmalloc pairs", run_kmalloc_pairs, EXPECT_NONE, 1},
	{"frame pairs", run_frame_pairs, EXPECT_NONE, 1},
	{"2 MiB frame pairs", run_block_pairs, EXPECT_NONE, 16},
	{"zone batches", run_zone_batches, EXPECT_BATCH, 1},
	{"kmalloc batches", run_kmalloc_batches, EXPECT_BATCH, 1},
	{"frame batches", run_frame_batches, EXPECT_BATCH, 1},
	{"kva pairs", run_kva_pairs, EXPECT_NONE, 1},
	{"kva batches", run_kva_batches, EXPECT_BATCH, 1},
};

/* --- who shares what --- */

/* The zone whose descriptor, with the caches of its CPUs, lies at an address; or NULL. */
static struct zone *zone_at(uintptr_t at)
{
	LIST_FOR(it, &machine->zones.all) {
		struct zone *z = CONTAINER_OF(it, struct zone, link);

		if (at + LINE_BYTES > (uintptr_t)z && at < (uintptr_t)(z->cache + cpus))
			return z;
	}
	return NULL;
}

/* What lies at an address, as far as the structures tell. */
static void describe_line(uintptr_t line, char *text, size_t room)
{
	static const struct {
		const char *name;
		size_t start, end;
	} part[] = {
#define PART(member) \
	{#member, offsetof(struct strata_machine, member), \
	 offsetof(struct strata_machine, member) + sizeof(((struct strata_machine *)0)->member)}
		PART(kmalloc), PART(zones), PART(config), PART(frames), PART(epoch), PART(cpu),
	};
	uintptr_t at = line * LINE_BYTES, offset = at - (uintptr_t)machine, pages = (uintptr_t)machine->frames.pages;
	struct zone *z;

	for (unsigned i = 0; i < sizeof part / sizeof part[0]; i++)
		if (offset < sizeof *machine && offset + LINE_BYTES > part[i].start && offset < part[i].end) {
			snprintf(text, room, "machine.%s+%#zx", part[i].name,
				 offset > part[i].start ? offset - part[i].start : 0);
			return;
		}
	if (at - pages < machine->frames.count * sizeof(struct vm_page)) {
		const struct vm_page *p = (const struct vm_page *)at;

		snprintf(text, room, "vm_page of a frame of %s, order %u", frame_owner_name(page_owner(p)),
			 page_order(p));
		return;
	}
	if (!in_memory(machine, (void *)at)) {
		snprintf(text, room,
			 at == (uintptr_t)&shared_line                      ? "the shared counter"
			 : at - (uintptr_t)&arena < sizeof arena ? "the arena of addresses"
								 : "outside the machine");
		return;
	}
	z = zone_at(at);
	if (z) {
		snprintf(text, room, "zone %s+%#zx", z->slabs.name,
			 (size_t)(at > (uintptr_t)z ? at - (uintptr_t)z : 0));
		return;
	}
	z = zone_of(&machine->zones, (void *)at);
	if (z)
		snprintf(text, room, "an object of zone %s", z->slabs.name);
	else if (page_owner(frame_page(&machine->frames, frame_of_bytes((void *)at))) == FRAME_RESERVED)
		snprintf(text, room, "the frame tables, behind the pages +%#zx",
			 (size_t)(at - pages - machine->frames.count * sizeof(struct vm_page)));
	else
		snprintf(text, room, "a magazine, +%#zx in its frame", (size_t)(at & 4095));
}

/* Function and line, and who inlined it: at most three. */
static void describe_code(const void *pc, char *text, size_t room)
{
	char command[512], exe[256], function[128], place[256];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	size_t used = 0;
	FILE *in;

	snprintf(text, room, "?");
	if (n <= 0 || !pc)
		return;
	exe[n] = 0;
	snprintf(command, sizeof command, "addr2line -f -i -e '%s' %#lx 2>/dev/null", exe,
		 (unsigned long)(uintptr_t)pc - 1);
	in = popen(command, "r");
	for (unsigned i = 0; in && i < 3 && fscanf(in, "%127s %255[^\n]", function, place) == 2; i++) {
		char *base = strrchr(place, '/'), *note = strchr(base ? base : place, ' ');

		if (note)
			*note = 0;
		used += (size_t)snprintf(text + used, used < room ? room - used : 0, "%s%s %s", i ? " < " : "",
					 function, base ? base + 1 : place);
	}
	if (in)
		pclose(in);
}

static void explain(void)
{
	struct line_move m[SHOWN];
	size_t n = lines_moves(m, SHOWN);

	for (size_t i = 0; i < n; i++) {
		char what[160], from[400], to[400];

		describe_line(m[i].line, what, sizeof what);
		describe_code(m[i].from, from, sizeof from);
		describe_code(m[i].to, to, sizeof to);
		fprintf(stderr, "  %8llu  %s\n            %s by  %s\n            from        %s\n",
			(unsigned long long)m[i].count, what, m[i].written ? "written" : "read   ", to, from);
	}
}

/* --- runs --- */

static void open_machine(void)
{
	struct strata_config config = {
		.cpus = cpus, .memory = (size_t)cpus << 25 > (size_t)1 << 30 ? (size_t)cpus << 25 : (size_t)1 << 30};
	struct strata_zone_config objects_of = {.name = "bench", .size = 64};

	need(strata_create(&config, &machine) == STRATA_OK && strata_attach(machine, 0) == STRATA_OK, "no machine");
	need(strata_zone_create(machine, &objects_of, &zone) == STRATA_OK, "no zone");
	segments = kva_segment_zone(&machine->zones);
	need(segments && kva_init(&arena, "bench", vaddr(ARENA_START), ARENA_BYTES, 0, segments, &machine->kmalloc) == OK,
	     "no arena");
	for (unsigned i = 0; i < cpus; i++)
		need(fiber[i].stack || (fiber[i].stack = aligned_alloc(4096, STACK_BYTES)), "no stack");
}

static void close_machine(void)
{
	char problem[128];

	library_self = machine->cpu[0].self;
	kva_fini(&arena);
	zone_destroy(segments);
	need(strata_zone_destroy(machine, zone) == STRATA_OK, "objects were lost");
	need(strata_check(machine, problem, sizeof problem) == STRATA_OK, problem);
	need(strata_detach() == STRATA_OK && strata_destroy(machine) == STRATA_OK, "cannot destroy the machine");
}

/* => whether it is as expected */
static bool measure(const struct load *l, unsigned n)
{
	double each;
	bool fine;

	n /= l->less;
	lines_reset();
	lines_follow(true, false);
	run(l, n);
	lines_follow(true, true);
	run(l, n);
	lines_follow(false, false);
	each = (double)lines_moved() / ((double)n * cpus);
	fine = l->expected == EXPECT_NONE    ? lines_moved() == 0
	       : l->expected == EXPECT_BATCH ? each <= BATCH_LIMIT
					     : each * turn > 0.9;
	printf("{\"bench\":\"conflicts-alloc\",\"load\":\"%s\",\"cpus\":%u,\"turn\":%u,\"operations\":%llu,\"moved\":%"
	       "llu,"
	       "\"per_operation\":%.5f,\"fine\":%s}\n",
	       l->name, cpus, turn, (unsigned long long)n * cpus, (unsigned long long)lines_moved(), each,
	       fine ? "true" : "false");
	fprintf(stderr, "%-20s %4u %12llu %10.4f  %s\n", l->name, cpus, (unsigned long long)lines_moved(), each,
		fine                         ? "ok"
		: l->expected == EXPECT_MANY ? "FAIL: too few"
					     : "FAIL: too many");
	if (l->expected != EXPECT_MANY)
		explain();
	return fine;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) / (2 * BATCH) * 2 * BATCH : 0;
	bool fine = true;

	turn = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	if (argc < 5 || turn < 1 || n == 0) {
		fprintf(stderr, "usage: main TURN OPERATIONS PATTERN CPUS...: OPERATIONS at least %u\n", 2 * BATCH);
		return 2;
	}
	/* Which CPU a thread is changes with the turn. */
	lines_exempt(&library_self, sizeof library_self);
	lines_exempt(&library_relax, sizeof library_relax);
	fprintf(stderr, "%-20s %4s %12s %10s\n", "load", "CPUs", "lines moved", "each op.");
	for (int i = 4; i < argc; i++) {
		cpus = (unsigned)strtoul(argv[i], NULL, 10);
		need(cpus >= 1 && cpus <= LINE_CPUS, "CPUS must be 1 to 64");
		open_machine();
		library_relax = lines_turn;
		for (unsigned l = 0; l < sizeof loads / sizeof loads[0]; l++)
			if (l < CONTROLS || strstr(loads[l].name, argv[3]))
				fine &= measure(&loads[l], n);
		library_relax = NULL;
		close_machine();
	}
	return !fine;
}
