/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/host.c: the same calls through the same functions on the simulated
 * machine, made up by libFuzzer.
 *
 * Purpose. Find inputs that take kernel/vm and the system calls above it where no
 * test went, with every allocation able to fail, and with judges that EL0 does
 * not have: the simulated MMU, whole-structure checks, the frame audit,
 * AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * Structure. An input is a list of choices (model.c's choose): first the machine, then steps. A
 * step picks one of up to three processes and one of two CPUs, so that each
 * process has a thread on both and what one did meets the other's TLB; then a
 * fork, an exit, or a step of the model. What runs is compiled from kernel/: proc/sys_memory.c,
 * sys_advice.c, sys_io.c, sys_file.c and the files beneath them; struct thread
 * and struct process are the kernel's own, filled in as exec and fork do. What is not there is in environment.c.
 *
 *   open     machine, memory subsystem, files (host_setup.c); audit
 *   steps    until the input is used up
 *   close    verify and check each space, release it; audit: every frame is back
 *
 * Failure. A choice makes the n-th allocation of a call fail. Only then may the
 * call answer ENOMEM. A crash prints all operations, oldest first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "host_setup.h"
#include "proc/sys.h"
#include "vm/entry.h"
#include "vm/fault.h"
#include "vm/map.h"

#define STEPS_MAX 400u
#define WINDOW_START (UINT64_C(0x100000000) - 37 * PAGE_SIZE)
#define BREAK_START UINT64_C(0x10000123)
#define SCRATCH_START UINT64_C(0x2000000)
#define STACK_LIMIT UINT64_C(0x7fff00000000)

struct run *run;

/* --- choices --- */

static uint32_t take(uint32_t n)
{
	uint32_t v = 0;

	for (uint32_t range = 1; range < n && run->left > 0; range <<= 8) {
		v = v << 8 | *run->input++;
		run->left--;
		if (range >= UINT32_C(1) << 16)
			break;
	}
	return n > 1 ? v % n : 0;
}

static uint32_t choose_space(struct space *s, uint32_t n)
{
	(void)s;
	return run->closing ? 0 : take(n);
}

/* --- telling --- */

static void print_log(void *unused)
{
	unsigned at[PROCESSES] = {0};
	char text[300];

	(void)unused;
	if (!run)
		return;
	for (unsigned i = 0; i < PROCESSES; i++)
		at[i] = run->member[i].space.logged < LOG_OPS ? run->member[i].space.logged : LOG_OPS;
	for (;;) { /* oldest first over all processes */
		struct space *best = NULL;
		unsigned which = 0;
		uint64_t order = UINT64_MAX;

		for (unsigned i = 0; i < PROCESSES; i++) {
			struct space *s = &run->member[i].space;
			const struct log *l = at[i] ? &s->log[(s->logged - at[i]) % LOG_OPS] : NULL;

			if (l && l->order < order) {
				best = s;
				which = i;
				order = l->order;
			}
		}
		if (!best)
			break;
		if (space_logged(best, --at[which], text, sizeof text))
			fprintf(stderr, "  process %c%c CPU %s\n", ' ', text[0], text + 1);
	}
}

static void __attribute__((noreturn)) fail_space(struct space *s, const char *text)
{
	(void)s;
	panic("fuzz: %s", text);
}

/* --- being a thread --- */

static void become(struct member *m, uint32_t cpu)
{
	if (cpu_id() != cpu) {
		host_detach();
		host_attach(run->machine, cpu);
	}
	run->current = m;
	m->space.where = (uint8_t)((m - run->member) << 4 | cpu);
	if (run->active[cpu] != m->process.map) {
		pmap_activate(&m->process.map->pmap);
		run->active[cpu] = m->process.map;
	}
}

static bool fail_allocation(void *unused)
{
	(void)unused;
	if (run->fail_in == 0 || --run->fail_in > 0)
		return false;
	run->failed = true;
	return true;
}

static long call_space(struct space *s, enum call which, const uint64_t *a)
{
	static long (*const function[CALLS])(struct thread *, const uint64_t *) = {
		[CALL_MMAP] = sys_mmap,       [CALL_MUNMAP] = sys_munmap,     [CALL_MPROTECT] = sys_mprotect,
		[CALL_MADVISE] = sys_madvise, [CALL_MREMAP] = sys_mremap,     [CALL_MINCORE] = sys_mincore,
		[CALL_MSYNC] = sys_msync,     [CALL_MLOCK] = sys_mlock,       [CALL_MUNLOCK] = sys_munlock,
		[CALL_MLOCK2] = sys_mlock2,   [CALL_MLOCKALL] = sys_mlockall, [CALL_BRK] = sys_brk,
		[CALL_PREAD] = sys_pread64,   [CALL_PWRITE] = sys_pwrite64,   [CALL_FTRUNCATE] = sys_ftruncate};
	struct member *m = s->context;
	long got;

	run->failed = false;
	run->fail_in = take(8) == 1 ? 1 + take(16) : 0;
	got = function[which](&m->thread[cpu_id()], a);
	run->fail_in = 0;
	m->machine.short_of_memory = run->failed;
	return got;
}

/* After a fault: true: try again. */
static bool served(uint64_t va, enum prot access, enum access *result)
{
	struct vm_map *m = run->current->process.map;

	/* Every second page by the long way alone. */
	switch (va / PAGE_SIZE % 2 ? vm_fault_slow(m, vaddr(va), access) : vm_fault(m, vaddr(va), access)) {
	case OK:
	case ERR_NOMEM: /* the injected failure has passed */
		return true;
	case ERR_FAULT:
		*result = ACCESS_MAPERR;
		return false;
	case ERR_ACCESS:
		*result = ACCESS_ACCERR;
		return false;
	case ERR_BUS:
		*result = ACCESS_BUS;
		return false;
	default:
		*result = ACCESS_ODD;
		return false;
	}
}

static bool copy_fault(void *unused, const struct host_fault *f)
{
	enum access result;

	(void)unused;
	return served(f->va, f->access, &result);
}

static enum access load_space(struct space *s, uint64_t va, uint64_t *value)
{
	enum access result = ACCESS_MAPERR;
	struct host_fault f;

	(void)s;
	run->fail_in = !run->closing && take(8) == 1 ? 1 + take(8) : 0;
	while (host_user_load64(vaddr(va), value, &f) != OK)
		if (f.kind == HOST_FAULT_ADDRESS || !served(va, PROT_R, &result))
			return result;
	run->fail_in = 0;
	return ACCESS_OK;
}

static enum access store_space(struct space *s, uint64_t va, uint64_t value)
{
	enum access result = ACCESS_MAPERR;
	struct host_fault f;

	(void)s;
	run->fail_in = take(4) == 1 ? 1 + take(8) : 0;
	while (host_user_store64(vaddr(va), value, &f) != OK)
		if (f.kind == HOST_FAULT_ADDRESS || !served(va, PROT_W, &result))
			return result;
	run->fail_in = 0;
	return ACCESS_OK;
}

static bool look_space(struct space *s, uint64_t va, unsigned *prot, bool *shared)
{
	struct member *m = s->context;
	struct vm_entry_info info;

	if (!vm_map_lookup(m->process.map, va, &info) || info.range.start.va > va)
		return false;
	*prot = info.prot;
	*shared = info.shared;
	return true;
}

static void make_member(struct member *m, struct vm_map *map)
{
	setup_member(m, map);
	m->machine = (struct fuzz_machine){.call = call_space,
					   .load = load_space,
					   .store = store_space,
					   .look = look_space,
					   .choose = choose_space,
					   .fail = fail_space,
					   .low = 0x10000,
					   .high = UINT64_C(1) << 48,
					   .strata = true,
					   .look_cheap = true};
	m->space.m = &m->machine;
	m->space.context = m;
}

static void open_run(void)
{
	static const struct host_ops ops = {.user_copy_fault = copy_fault, .panic_info = print_log};
	uint32_t seed = 1 + take(1u << 16), kind = take(256);
	struct member *first = &run->member[0];
	struct vm_map *map;

	setup_open(seed, kind, &ops);
	world_init(&run->world);
	MUST(vm_map_create(run->vm, &map));
	map->brk_start = map->brk_end = BREAK_START;
	map->stack_limit = STACK_LIMIT;
	make_member(first, map);
	first->space.world = &run->world;
	first->space.tag = UINT64_C(1) << 48;
	first->space.scratch = SCRATCH_START;
	first->space.brk = first->space.brk_low = BREAK_START;
	space_init(&first->space, WINDOW_START);
	become(first, 0);
	if (sys_mmap(&first->thread[0], (uint64_t[6]){SCRATCH_START, SCRATCH_PAGES * PAGE_SIZE, PROT_R | PROT_W, 0x32,
						      UINT64_MAX, 0}) != (long)SCRATCH_START)
		panic("set-up: no scratch page");
	frames_fail_by(&run->vm->frames, fail_allocation, NULL);
}

/* --- steps --- */

static void do_fork(struct member *m)
{
	struct vm_map *map;
	struct log *l;
	enum error e;

	for (unsigned i = 0; i < PROCESSES; i++) {
		struct member *child = &run->member[i];

		if (child->used)
			continue;
		l = log_next(&m->space, LOG_FORK);
		l->a[0] = i;
		run->failed = false;
		run->fail_in = take(4) == 1 ? 1 + take(24) : 0;
		e = vm_map_fork(m->process.map, &map);
		run->fail_in = 0;
		l->result = errno_of(e);
		if (e == ERR_NOMEM && run->failed)
			return;
		if (e != OK)
			panic("fuzz: fork gives %s", error_name(e));
		space_fork(&child->space, &m->space);
		child->space.logged = 0; /* the parent's log has that */
		make_member(child, map);
		child->space.tag = (uint64_t)(i + 1) << 48 | (m->space.tag & 0xffffffffffff);
		return;
	}
}

static void do_exit(struct member *m)
{
	struct vm_map *map = m->process.map;
	uint32_t cpu = cpu_id();

	space_verify(&m->space);
	(void)log_next(&m->space, LOG_EXIT);
	vm_map_check(map);
	for (uint32_t i = 0; i < CPUS; i++)
		if (run->active[i] == map) {
			host_detach();
			host_attach(run->machine, i);
			pmap_deactivate(run->pmaps);
			run->active[i] = NULL;
		}
	if (cpu_id() != cpu) {
		host_detach();
		host_attach(run->machine, cpu);
	}
	vm_map_release(map);
	m->used = false;
}

/* The map's size is what the model has, and the scratch page. */
static void check_size(struct member *m)
{
	uint64_t pages = SCRATCH_PAGES, size = vm_map_size(m->process.map);

	for (unsigned a = 0; a < AREAS; a++)
		for (uint32_t k = 0; k < m->space.area[a].pages; k++)
			pages += m->space.area[a].page[k].known && m->space.area[a].page[k].mapped;
	if (size != pages * PAGE_SIZE)
		panic("fuzz: %lu pages are mapped, not %lu", (unsigned long)(size >> PAGE_SHIFT), (unsigned long)pages);
}

static void sweep(void)
{
	struct space *all[PROCESSES];
	unsigned n = 0;

	for (unsigned i = 0; i < PROCESSES; i++)
		if (run->member[i].used)
			all[n++] = &run->member[i].space;
	world_sweep(&run->world, all, n);
}

static void step(void)
{
	uint32_t pick = take(PROCESSES * CPUS * 4), others = 0;
	struct member *m = &run->member[pick / CPUS % PROCESSES];
	uint32_t what = take(32);

	if (!m->used)
		m = &run->member[0];
	for (unsigned i = 0; i < PROCESSES; i++)
		others += run->member[i].used && &run->member[i] != m;
	if (!m->used)
		return;
	become(m, pick % CPUS);
	if (what == 0)
		do_fork(m);
	else if (what == 1 && others && m != &run->member[0])
		do_exit(m);
	else if (what == 2)
		sweep();
	else
		space_step(&m->space);
	if (m->used)
		check_size(m);
	(void)epoch_poll(&run->vm->epoch);
}

/* --- close --- */

static void close_run(void)
{
	run->closing = true;
	run->fail_in = 0;
	frames_fail_by(&run->vm->frames, NULL, NULL);
	for (unsigned i = PROCESSES; i-- > 0;)
		if (run->member[i].used) {
			become(&run->member[i], 0);
			do_exit(&run->member[i]);
		}
	setup_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run the_run;

	if (size < 8)
		return 0;
	memset(&the_run, 0, sizeof the_run);
	run = &the_run;
	run->input = data;
	run->left = size;
	open_run();
	for (unsigned i = 0; i < STEPS_MAX && run->left > 0; i++)
		step();
	close_run();
	if (getenv("FUZZ_PRINT"))
		print_log(NULL);
	run = NULL;
	return 0;
}
