/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tools/plugin/walk.c: what a kernel does between two instructions of a program, step by step: which instructions, which
 * cache lines it writes. In each region of a program (user/lib/marker.h) stays at EL1 are told apart by their length, and
 * the first one of the most frequent length is what is shown. For QEMU's TCG with one CPU and -icount, where runs repeat.
 *
 *   -plugin walk.so,steps=FILE,writes=FILE[,layout=FILE]
 *
 * steps: for each region a line "region stays of-that-length instructions" after a '#', then a line "region pc" for each
 * instruction, in order. writes: the stores, in order, each as lines.c writes a move with itself. layout: as for lines.c.
 *
 * Not seen: page walks, DC ZVA.
 */
#define PLUGIN "walk"
#include <inttypes.h>

#include "common.h"
#include "names.h"

#define STEPS_MAX 16384u /* of a stay; a longer one is not looked at */
#define LENGTHS_MAX 512u /* different ones in a region; what comes later is not looked at */
#define NO_REGION (-1)

struct store {
	uint64_t pc, physical, address;
	struct what what;
};

struct stay {
	size_t steps, stores, times;
	uint64_t *pc;
	struct store *store;
};

static struct region {
	uint64_t stays;
	size_t lengths;
	struct stay length[LENGTHS_MAX];
} regions[MARKER_REGIONS];

/* Under way. */
static struct store store[STEPS_MAX];
static uint64_t step[STEPS_MAX];
static size_t steps, stores;
static int now = NO_REGION;
static const char *steps_name, *writes_name;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

static void *copy_of(const void *from, size_t n, size_t size)
{
	return memcpy(allocate(n + 1, size), from, n * size);
}

/* The stay is over. */
static void left(void)
{
	struct region *r = &regions[now];
	struct stay *s = r->length;

	r->stays++;
	while (s < r->length + r->lengths && s->steps != steps)
		s++;
	if (s == r->length + r->lengths && steps < STEPS_MAX && r->lengths < LENGTHS_MAX) {
		r->lengths++;
		*s = (struct stay){steps, stores, 0, copy_of(step, steps, sizeof *step),
				   copy_of(store, stores, sizeof *store)};
		/* While what they lie in is what it was; at the end of the run it may not be. */
		for (size_t i = 0; i < stores; i++)
			name_line(&s->store[i].what, store[i].physical, store[i].address);
	}
	if (s < r->length + r->lengths)
		s->times++;
	steps = stores = 0;
}

static void executed(unsigned vcpu, void *argument)
{
	uint64_t pc = (uint64_t)(uintptr_t)argument;

	(void)vcpu;
	if (now == NO_REGION)
		return;
	if (!(pc >> 63)) {
		if (steps)
			left();
		return;
	}
	if (steps < STEPS_MAX)
		step[steps++] = pc;
}

static void stored(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *argument)
{
	const struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
	uint64_t physical;

	(void)vcpu;
	if (!qemu_plugin_mem_is_store(info) || !where || qemu_plugin_hwaddr_is_io(where))
		return;
	physical = qemu_plugin_hwaddr_phys_addr(where);
	names_seen(address, physical);
	if (now != NO_REGION && steps && stores < STEPS_MAX)
		store[stores++] = (struct store){(uint64_t)(uintptr_t)argument, physical, address, {"", 0, 0}};
}

static void marked(unsigned vcpu, void *argument)
{
	int number = (int)(intptr_t)argument;

	(void)vcpu;
	steps = stores = 0;
	now = number >= MARKER_END ? NO_REGION : number - MARKER_BEGIN;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t pc = qemu_plugin_insn_vaddr(insn);
		int mark = mark_of(insn);

		qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)pc);
		if (mark >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(intptr_t)mark);
		if (pc >> 63)
			qemu_plugin_register_vcpu_mem_cb(insn, stored, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
							 (void *)(uintptr_t)pc);
	}
}

static void leaving(qemu_plugin_id_t id, void *argument)
{
	FILE *f = open_for_writing(steps_name), *w = open_for_writing(writes_name);

	(void)id, (void)argument;
	for (int i = 0; i < MARKER_REGIONS; i++) {
		const struct region *r = &regions[i];
		const struct stay *best = r->length;

		if (!r->lengths)
			continue;
		for (size_t k = 1; k < r->lengths; k++)
			if (r->length[k].times > best->times)
				best = &r->length[k];
		fprintf(f, "# %d %" PRIu64 " %zu %zu\n", i, r->stays, best->times, best->steps);
		for (size_t k = 0; k < best->steps; k++)
			fprintf(f, "%d %" PRIx64 "\n", i, best->pc[k]);
		for (size_t k = 0; k < best->stores; k++) {
			const struct store *s = &best->store[k];

			fprintf(w, "%d 1 write %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %s %" PRIu64 " %" PRIu64 "\n", i,
				s->physical >> 6 << 6, s->address, s->pc, s->pc, s->what.name, s->what.number, s->what.offset);
		}
	}
	fclose(f);
	fclose(w);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!right_machine(info))
		return 1;
	if (info->system.max_vcpus != 1) {
		fprintf(stderr, "walk: one vCPU only\n");
		return 1;
	}
	for (int i = 0; i < argc; i++) {
		const char *v;

		if ((v = value(argv[i], "steps")))
			steps_name = strdup(v);
		else if ((v = value(argv[i], "writes")))
			writes_name = strdup(v);
		else if ((v = value(argv[i], "layout")))
			read_layout(v);
		else {
			fprintf(stderr, "walk: unknown argument '%s'\n", argv[i]);
			return 1;
		}
	}
	if (!steps_name || !writes_name) {
		fprintf(stderr, "walk: say steps=FILE,writes=FILE\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, leaving, NULL);
	return 0;
}
