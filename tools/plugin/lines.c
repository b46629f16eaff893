/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tools/plugin/lines.c: counts the cache lines that vCPUs take from each other between a program's marks
 * (user/lib/marker.h), and says which ones, who had them, who takes them. For QEMU's TCG with thread=single and
 * -icount, where counts repeat.
 *
 *   -plugin lines.so,out=FILE,moves=FILE[,layout=FILE][,slice=100][,seed=1]
 *
 * A directory of 64-byte lines by physical address, as a machine with endless caches would have one:
 *
 *	line -> holders (one bit a vCPU), who wrote it last, who else came last to read it
 *
 *	read  by c   c holds it: nothing. Else, if another one has written it: it moves; the writer keeps a copy.
 *	write by c   c alone holds it: nothing. Else, if anybody else holds or has written it: it moves. Then c alone
 *	             holds it.
 *
 * The directory follows all vCPUs from the first mark on. A move is counted when the vCPU that takes the line is in a
 * window: its own, from the mark that begins a region on it to the one that ends it. It is the kernel's when the
 * kernel's code takes it by one of the kernel's addresses; copies to and from a program's memory, and what programs
 * take themselves, are counted apart.
 *
 * Slices. With thread=single a vCPU runs until it waits or a timer is due: lines would hardly ever move. So while a
 * window is open a vCPU gives the turn to the next after `slice` instructions, give or take a half by a generator that
 * `seed` starts, at the end of the block that it is in. QEMU's interface for plugins has no call for that, nor for
 * reading memory: the functions declared below and in names.h are QEMU's own, which Debian's QEMU exports as it exports all.
 *
 * Names. With layout (tools/plugin/layout.c) of our kernel the page of the frame is looked up in guest memory when a
 * line is first counted: who owns the frame, and the zone and place in its object if it is a slab's.
 *
 * out: a JSON line a region, {"region":n,"windows":how many ended,"kernel":…,"copies":…,"user":…,"outside":…}: moves;
 * outside: those of the kernel's from a vCPU that was in no window just then. moves: a line each, most frequent last,
 *
 *	region count read|write physical virtual from-pc to-pc what number offset
 *
 * what: image (of the kernel; offset from its start), page (the vm_page array; number: the frame's owner; offset in
 * the page), zone:NAME (number: bytes of an object; offset in it), frame (number: owner; offset in the frame),
 * unknown. Offsets are of what was touched, in the line.
 *
 * Not seen: page walks, instruction fetches, DC ZVA; nothing is a matter of a cache's size.
 */
#define PLUGIN "lines"
#include <inttypes.h>

#include "common.h"
#include "names.h"

#define VCPUS_MAX 128
#define LINE_SHIFT 6
#define PAGE_LINES (1u << (PAGE_SHIFT - LINE_SHIFT))
#define BUCKETS 65536u /* a power of two */
#define NO_REGION (-1)

/* QEMU's own */
struct CPUState;
struct CPUState *qemu_get_cpu(int index);
void cpu_exit(struct CPUState *cpu);

typedef unsigned __int128 vcpu_set;

/* An access: a vCPU, counted from 1, in the high byte, and the address of the instruction below. 0: none. */
typedef uint64_t access_t;
static inline access_t access_of(unsigned vcpu, uint64_t pc)
{
	return (uint64_t)(vcpu + 1) << 56 | (pc & UINT64_MAX >> 8);
}
static inline unsigned access_vcpu(access_t a) { return (unsigned)(a >> 56) - 1; }
static inline uint64_t access_pc(access_t a) { return (uint64_t)((int64_t)(a << 8) >> 8); }

struct line {
	vcpu_set holders;
	access_t written; /* the last time */
	access_t read;    /* the last time that somebody fetched it to read it */
};

struct page {
	uint64_t number;
	struct page *next; /* in its bucket */
	struct line line[PAGE_LINES];
};

struct move {
	struct move *next; /* in its bucket */
	uint64_t count, line, address, from, to;
	int region;
	bool write;
	struct what what;
};

enum kind { KERNEL, COPY, USER, KINDS };

static struct region {
	uint64_t windows, moves[KINDS], outside;
} regions[MARKER_REGIONS];

static struct page *bucket[BUCKETS];
static struct move *move_bucket[BUCKETS];
static size_t moves;
static int window[VCPUS_MAX];
static unsigned open_windows;
static bool following;
static const char *out, *moves_name;
static uint64_t slice = 100, seed = 1, state;
static int64_t left;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 29;
	return x;
}

/* --- the directory --- */

static struct line *line_of(uint64_t physical)
{
	uint64_t number = physical >> PAGE_SHIFT;
	struct page **head = &bucket[mix(number) % BUCKETS], *p;

	for (p = *head; p && p->number != number; p = p->next)
		;
	if (!p) {
		p = allocate(1, sizeof *p);
		p->number = number;
		p->next = *head;
		*head = p;
	}
	return &p->line[physical >> LINE_SHIFT & (PAGE_LINES - 1)];
}

static void record(unsigned vcpu, uint64_t physical, uint64_t address, access_t from, uint64_t to, bool write)
{
	struct move **head, *m;
	uint64_t line = physical >> LINE_SHIFT;
	int region = window[vcpu];

	head = &move_bucket[mix(line ^ mix(access_pc(from)) ^ mix(to) << 1 ^ (uint64_t)region << 40 ^ write) % BUCKETS];
	for (m = *head; m; m = m->next)
		if (m->line == line && m->from == access_pc(from) && m->to == to && m->region == region &&
		    m->write == write)
			break;
	if (!m) {
		m = allocate(1, sizeof *m);
		*m = (struct move){*head, 0, line, address, access_pc(from), to, region, write, {"", 0, 0}};
		name_line(&m->what, physical, address);
		*head = m;
		moves++;
	}
	m->count++;
}

static void moved(unsigned vcpu, uint64_t physical, uint64_t address, access_t from, uint64_t pc, bool write)
{
	struct region *r;
	enum kind kind = !(pc >> 63) ? USER : address >> 63 ? KERNEL : COPY;

	if (window[vcpu] == NO_REGION)
		return;
	r = &regions[window[vcpu]];
	r->moves[kind]++;
	if (kind != KERNEL)
		return;
	if (window[access_vcpu(from)] == NO_REGION)
		r->outside++;
	record(vcpu, physical, address, from, pc, write);
}

static void touch(unsigned vcpu, uint64_t physical, uint64_t address, uint64_t pc, bool write)
{
	struct line *l = line_of(physical);
	vcpu_set own = (vcpu_set)1 << vcpu;
	bool written_elsewhere = l->written && access_vcpu(l->written) != vcpu;

	if (write) {
		if (l->holders & ~own || written_elsewhere)
			moved(vcpu, physical, address, written_elsewhere ? l->written : l->read, pc, true);
		l->holders = own;
		l->written = access_of(vcpu, pc);
		return;
	}
	if (l->holders & own)
		return;
	if (written_elsewhere)
		moved(vcpu, physical, address, l->written, pc, false);
	l->holders |= own;
	l->read = access_of(vcpu, pc);
}

static void accessed(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *argument)
{
	const struct qemu_plugin_hwaddr *where;
	uint64_t physical, last, pc = (uint64_t)(uintptr_t)argument;
	bool write = qemu_plugin_mem_is_store(info);

	if (!following)
		return;
	where = qemu_plugin_get_hwaddr(info, address);
	if (!where || qemu_plugin_hwaddr_is_io(where))
		return;
	physical = qemu_plugin_hwaddr_phys_addr(where);
	names_seen(address, physical);
	touch(vcpu, physical, address, pc, write);
	/* An access that is not aligned may reach into the next line; a page's last one is left alone. */
	last = physical + (UINT64_C(1) << qemu_plugin_mem_size_shift(info)) - 1;
	if (last >> LINE_SHIFT != physical >> LINE_SHIFT && last >> PAGE_SHIFT == physical >> PAGE_SHIFT)
		touch(vcpu, last, address + (last - physical), pc, write);
}

/* --- windows and slices --- */

static void marked(unsigned vcpu, void *argument)
{
	int number = (int)(intptr_t)argument;

	following = true;
	if (number >= MARKER_END) {
		if (window[vcpu] != number - MARKER_END)
			fail("a region ends on a vCPU where it has not begun");
		regions[window[vcpu]].windows++;
		window[vcpu] = NO_REGION;
		open_windows--;
		return;
	}
	if (window[vcpu] != NO_REGION)
		fail("a region begins inside another on one vCPU");
	window[vcpu] = number - MARKER_BEGIN;
	if (open_windows++ == 0)
		left = (int64_t)slice;
}

/* A block of so many instructions is run. */
static void executed(unsigned vcpu, void *argument)
{
	if (!open_windows)
		return;
	left -= (int64_t)(intptr_t)argument;
	if (left > 0)
		return;
	state += UINT64_C(0x9e3779b97f4a7c15);
	left = (int64_t)(slice - slice / 2 + mix(mix(state) + state) % (slice / 2 * 2 + 1));
	cpu_exit(qemu_get_cpu((int)vcpu));
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)n);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int mark = mark_of(insn);

		if (mark >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(intptr_t)mark);
		qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
						 (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	}
}

/* --- reports --- */

static int by_count(const void *a, const void *b)
{
	const struct move *x = *(struct move *const *)a, *y = *(struct move *const *)b;

#define BY(field) \
	if (x->field != y->field) \
		return x->field < y->field ? -1 : 1;
	BY(region)
	BY(count)
	BY(line) BY(from) BY(to) BY(write)
#undef BY
		return 0;
}

static void write_moves(void)
{
	struct move **all = allocate(moves + 1, sizeof *all);
	FILE *f = open_for_writing(moves_name);
	size_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct move *m = move_bucket[i]; m; m = m->next)
			all[n++] = m;
	qsort(all, n, sizeof *all, by_count);
	for (size_t i = 0; i < n; i++)
		fprintf(f,
			"%d %" PRIu64 " %s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %s %" PRIu64 " %" PRIu64
			"\n",
			all[i]->region, all[i]->count, all[i]->write ? "write" : "read", all[i]->line << LINE_SHIFT,
			all[i]->address, all[i]->from, all[i]->to, all[i]->what.name, all[i]->what.number,
			all[i]->what.offset);
	fclose(f);
	free(all);
}

static void leaving(qemu_plugin_id_t id, void *argument)
{
	FILE *f = open_for_writing(out);

	(void)id, (void)argument;
	for (unsigned i = 0; i < MARKER_REGIONS; i++)
		if (regions[i].windows)
			fprintf(f,
				"{\"region\":%u,\"windows\":%" PRIu64 ",\"kernel\":%" PRIu64 ",\"copies\":%" PRIu64
				",\"user\":%" PRIu64 ",\"outside\":%" PRIu64 "}\n",
				i, regions[i].windows, regions[i].moves[KERNEL], regions[i].moves[COPY],
				regions[i].moves[USER], regions[i].outside);
	fclose(f);
	write_moves();
}

static uint64_t number_of(const char *text, const char *why)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end || end == text || n < 1 || n > 1000000000)
		fail(why);
	return n;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!right_machine(info))
		return 1;
	if (info->system.max_vcpus > VCPUS_MAX) {
		fprintf(stderr, "lines: at most %d vCPUs\n", VCPUS_MAX);
		return 1;
	}
	for (int i = 0; i < argc; i++) {
		const char *v;

		if ((v = value(argv[i], "out")))
			out = strdup(v);
		else if ((v = value(argv[i], "moves")))
			moves_name = strdup(v);
		else if ((v = value(argv[i], "layout")))
			read_layout(v);
		else if ((v = value(argv[i], "slice")))
			slice = number_of(v, "slice: 1 to 1000000000 instructions");
		else if ((v = value(argv[i], "seed")))
			seed = number_of(v, "seed: 1 to 1000000000");
		else {
			fprintf(stderr, "lines: unknown argument '%s'\n", argv[i]);
			return 1;
		}
	}
	if (!out || !moves_name) {
		fprintf(stderr, "lines: say out=FILE,moves=FILE\n");
		return 1;
	}
	state = mix(seed);
	for (unsigned i = 0; i < VCPUS_MAX; i++)
		window[i] = NO_REGION;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, leaving, NULL);
	return 0;
}
