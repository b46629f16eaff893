/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tools/plugin/count.c: counts guest instructions between a program's marks (user/lib/marker.h), by exception level
 * and, at EL1, by address. For QEMU's TCG with thread=single and -icount, where counts repeat.
 *
 *   -plugin count.so,out=FILE[,addresses=FILE]
 *
 * out: one JSON line a region, {"region":n,"times":how often it ended,"el0":…,"el1":…}. addresses: lines
 * "region address instructions" of EL1, for symbols. Files are written when QEMU ends.
 *
 * Each instruction that QEMU translates adds to a word of its own, inline, so that what an exception cuts off is not
 * counted. Kernels live at addresses above the gap and run at EL1, programs below it: that is how the level is known.
 * A mark sets all words to 0 or adds them to its region.
 */
#define PLUGIN "count"
#include <inttypes.h>

#include "common.h"

#define BLOCK 4096u    /* words allocated at once; they never move: translated code points to them */
#define BUCKETS 65536u /* a power of two */
#define NO_REGION (-1)

/* An instruction of the kernel's, at one address. */
struct word {
	uint64_t count; /* since the region began */
	uint64_t address;
	struct word *next; /* in its bucket */
	uint64_t *sums;    /* a region; NULL until something was counted here */
};

static struct region {
	uint64_t times, el0, el1;
} regions[MARKER_REGIONS];

static struct word *bucket[BUCKETS], **blocks;
static size_t words;
static uint64_t el0;
static int now = NO_REGION;
static const char *out, *addresses;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

static struct word *word_of(uint64_t address)
{
	struct word **head = &bucket[(address >> 2) % BUCKETS], *w;

	for (w = *head; w; w = w->next)
		if (w->address == address)
			return w;
	if (words % BLOCK == 0) {
		blocks = realloc(blocks, (words / BLOCK + 1) * sizeof *blocks);
		if (!blocks)
			fail("no memory");
		blocks[words / BLOCK] = allocate(BLOCK, sizeof **blocks);
	}
	w = &blocks[words / BLOCK][words % BLOCK];
	words++;
	w->address = address;
	w->next = *head;
	*head = w;
	return w;
}

static struct word *nth(size_t i) { return &blocks[i / BLOCK][i % BLOCK]; }

static void begin(unsigned region)
{
	if (now != NO_REGION)
		fail("a region begins inside another");
	now = (int)region;
	el0 = 0;
	for (size_t i = 0; i < words; i++)
		nth(i)->count = 0;
}

static void end(unsigned region)
{
	struct region *r = &regions[region];

	if (now != (int)region)
		fail("a region ends that has not begun");
	now = NO_REGION;
	r->times++;
	r->el0 += el0;
	for (size_t i = 0; i < words; i++) {
		struct word *w = nth(i);

		if (!w->count)
			continue;
		if (!w->sums)
			w->sums = allocate(MARKER_REGIONS, sizeof *w->sums);
		w->sums[region] += w->count;
		r->el1 += w->count;
	}
}

static void marked(unsigned vcpu, void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;

	(void)vcpu;
	if (number >= MARKER_END)
		end(number - MARKER_END);
	else
		begin(number - MARKER_BEGIN);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		bool kernel = address >> 63;
		int mark = mark_of(insn);

		if (mark >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(intptr_t)mark);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							   kernel ? &word_of(address)->count : &el0, 1);
	}
}

static void leaving(qemu_plugin_id_t id, void *argument)
{
	FILE *f = open_for_writing(out);

	(void)id, (void)argument;
	for (unsigned i = 0; i < MARKER_REGIONS; i++)
		if (regions[i].times)
			fprintf(f, "{\"region\":%u,\"times\":%" PRIu64 ",\"el0\":%" PRIu64 ",\"el1\":%" PRIu64 "}\n", i,
				regions[i].times, regions[i].el0, regions[i].el1);
	fclose(f);
	if (!addresses)
		return;
	f = open_for_writing(addresses);
	for (unsigned r = 0; r < MARKER_REGIONS; r++)
		for (size_t i = 0; regions[r].times && i < words; i++)
			if (nth(i)->sums && nth(i)->sums[r])
				fprintf(f, "%u %" PRIx64 " %" PRIu64 "\n", r, nth(i)->address, nth(i)->sums[r]);
	fclose(f);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!right_machine(info))
		return 1;
	for (int i = 0; i < argc; i++) {
		const char *v;

		if ((v = value(argv[i], "out")))
			out = strdup(v);
		else if ((v = value(argv[i], "addresses")))
			addresses = strdup(v);
		else {
			fprintf(stderr, "count: unknown argument '%s'\n", argv[i]);
			return 1;
		}
	}
	if (!out) {
		fprintf(stderr, "count: say out=FILE\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, leaving, NULL);
	return 0;
}
