/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/init.c: the subsystem comes up bottom first, and gives back what it caches. */
#include "vm/init.h"

#include "base/assert.h"
#include "base/print.h"
#include "vm/amap.h"
#include "vm/anon.h"
#include "vm/map.h"
#include "vm/object.h"

#include <string.h>

static void need(enum error e, const char *what)
{
	if (e != OK)
		panic("memory subsystem: %s: %s", what, error_name(e));
}

/* A number of pages on the command line: `fault-around=N`, that a read may map at once, 0 and 1: only the one; `fault-ahead=N`, that a
 * write may make besides its own. */
static uint64_t pages_option(const char *option, uint64_t otherwise)
{
	char text[8];
	uint64_t n = 0;

	if (!machine_option(option, text, sizeof text))
		return otherwise;
	for (const char *p = text; *p; p++)
		n = *p >= '0' && *p <= '9' ? 10 * n + (uint64_t)(*p - '0') : UINT32_MAX;
	if (*text && n <= AMAP_FANOUT)
		return n;
	kprintf("%s=%s: not a number from 0 to %u, %lu is taken\n", option, text, AMAP_FANOUT, (unsigned long)otherwise);
	return otherwise;
}

/* `map-quick=off` on the command line: changes of maps take the long way only, to compare. */
static bool map_quick(void)
{
	char text[8];

	if (!machine_option("map-quick", text, sizeof text) || strcmp(text, "on") == 0)
		return true;
	if (strcmp(text, "off") == 0)
		return false;
	kprintf("map-quick=%s: neither on nor off, on is taken\n", text);
	return true;
}

/* `huge=never|madvise|always` on the command line: vm.h. */
static uint32_t huge_option(void)
{
	static const struct {
		const char *name;
		uint32_t huge;
	} known[] = {{"never", VM_HUGE_NEVER}, {"madvise", VM_HUGE_MADVISE}, {"always", VM_HUGE_ALWAYS}};
	char text[16];

	if (!machine_option("huge", text, sizeof text))
		return VM_HUGE_MADVISE;
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(text, known[i].name) == 0)
			return known[i].huge;
	kprintf("huge=%s: none of never, madvise, always; madvise is taken\n", text);
	return VM_HUGE_MADVISE;
}

void vm_init(struct vm *vm, const struct machine_info *info, struct pmap_system *pmaps)
{
	struct pmap_config pc;

	epoch_init(&vm->epoch, info->ncpus);
	need(frames_init(&vm->frames, info, info->ncpus, &vm->epoch), "page frames");
	/* Up to three batches wait on each CPU, at worst of frames: three eighths of its share. */
	epoch_limit(&vm->epoch, vm->frames.ram / info->ncpus / 8);
	zones_init(&vm->zones, &vm->frames);
	need(kmalloc_init(&vm->kmalloc, &vm->zones), "kmalloc");
	pc = (struct pmap_config){ .pages = vm->frames.pages, .page_stride = sizeof(struct vm_page),
				   .first = vm->frames.first, .count = vm->frames.count, .ncpus = info->ncpus,
				   .epoch = &vm->epoch };
	vm->pmaps = pmaps;
	vm->fault_around = pages_option("fault-around", FAULT_AROUND);
	vm->fault_ahead = pages_option("fault-ahead", FAULT_AHEAD);
	vm->map_quick = map_quick();
	vm->huge = huge_option();
	pmap_system_init(pmaps, &pc);
	need(kmem_init(&vm->kmem, &vm->kmalloc), "kernel memory");
	need(frame_alloc(&vm->frames, 0, FRAME_ZERO, FRAME_WIRED, &vm->zero_page), "zero page");
	need(anon_module_init(vm), "anons");
	need(amap_module_init(vm), "amaps");
	need(object_module_init(vm), "objects");
	need(entry_module_init(vm), "map entries");
	need(vm_map_module_init(vm), "maps");
}

/*
 * Other CPUs free what they retired when they poll, at their next tick; longer than this nobody waits for them. Long,
 * since a virtual CPU may not run for a while, and the wait is this long only where there is no quiet point at all.
 */
#define DRAIN_NS UINT64_C(2000000000)

/* Until nothing that was retired, on any CPU, is left: destructors may retire more. */
static void drain_epochs(struct vm *vm)
{
	uint64_t end = machine_now() + DRAIN_NS;

	do {
		(void)epoch_poll(&vm->epoch);
		if (sync_ops)
			sync_ops->yield();
	} while (epoch_pending(&vm->epoch) && machine_now() < end);
}

void vm_drain(struct vm *vm)
{
	struct frame_list chunks;

	drain_epochs(vm);
	pmap_drain(vm->pmaps, &chunks);
	frame_list_free_by_epoch(&vm->frames, &chunks);
	kmem_drain(&vm->kmem);
	(void)zones_drain(&vm->zones);
	drain_epochs(vm); /* slabs of type-stable zones, frames of reverse maps */
	frames_drain(&vm->frames);
}
