/* SPDX-License-Identifier: BSD-2-Clause */
#include "test_vm.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/print.h"
#include "hal/armv8/pmap_private.h"

/* The simulator's judge asks what is so, not what a CPU with old values may see: no memory model's business. */
static enum host_frame __attribute__((no_sanitize("thread"))) frame_kind(void *context, pfn_t f)
{
	const struct frames *frames = &((struct test_vm *)context)->vm->frames;
	uint64_t n = f.fn - frames->first.fn;

	if (n >= frames->count || __atomic_load_n(&frames->pages[n].flags.x, __ATOMIC_RELAXED) & PAGE_HOLE)
		return HOST_FRAME_FREE;
	switch ((enum frame_owner)__atomic_load_n(&frames->pages[n].owner.x, __ATOMIC_RELAXED)) {
	case FRAME_FREE:
		return HOST_FRAME_FREE;
	case FRAME_TABLE:
		return HOST_FRAME_TABLE;
	case FRAME_ANON:
	case FRAME_OBJECT:
	case FRAME_WIRED: /* the shared zero page */
		return HOST_FRAME_DATA;
	default:
		return HOST_FRAME_KERNEL;
	}
}

enum test_way test_way;

static void take_stock(struct test_vm *v, uint64_t owned[FRAME_OWNER_COUNT])
{
	struct frame_audit a;

	/* Every CPU polls its own retirements; here one thread plays each of them in turn. */
	for (unsigned round = 0; round < 8; round++)
		for (uint32_t cpu = 0; cpu < machine_info()->ncpus; cpu++) {
			struct host_machine *m = host_machine();

			host_detach();
			host_attach(m, cpu);
			(void)epoch_poll(&v->vm->epoch);
			host_detach();
			host_attach(m, 0);
		}
	vm_drain(v->vm);
	if (!frame_audit(&v->vm->frames, &a))
		panic("frame audit failed");
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		owned[i] = a.owned[i];
}

void test_vm_init(struct test_vm *v, const struct host_config *config)
{
	struct host_config c = { .ram = 32 << 20, .junk = true, .seed = TEST_SEED };
	char line[256];

	if (config)
		c = *config;
	/* Unless a test says otherwise: many have one CPU only, and are of what others would still use. */
	if (!c.command_line || !strstr(c.command_line, "tlb-scope=")) {
		snprintf(line, sizeof line, "%s tlb-scope=broadcast", c.command_line ? c.command_line : "");
		c.command_line = line;
	}
	c.ops.frame_kind = frame_kind;
	c.ops.context = v;
	v->vm = calloc(1, sizeof *v->vm);
	v->pmaps = calloc(1, sizeof *v->pmaps);
	if (!v->vm || !v->pmaps)
		abort();
	test_machine_init(&v->t, &c);
	vm_init(v->vm, machine_info(), v->pmaps);
	v->vm->map_quick &= test_way != WAY_LONG;
	take_stock(v, v->owned);
}

void test_vm_quiet(struct test_vm *v)
{
	uint64_t now[FRAME_OWNER_COUNT];

	take_stock(v, now);
	CHECK(epoch_pending(&v->vm->epoch) == 0);
	if (!memcmp(now, v->owned, sizeof now))
		return;
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		kprintf("%-10s %8lu frames at the start, %8lu now\n", frame_owner_name((enum frame_owner)i),
			(unsigned long)v->owned[i], (unsigned long)now[i]);
	panic("frames have changed owner for good");
}

void test_vm_destroy(struct test_vm *v)
{
	test_vm_quiet(v);
	CHECK(host_offences(v->t.m, HOST_OFFENCES) == 0);
	test_machine_destroy(&v->t);
	free(v->vm);
	free(v->pmaps);
}

uint64_t test_map_anon(struct vm_map *m, uint64_t size)
{
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY };
	uint64_t va = 0;

	CHECK(vm_map_enter(m, &va, size, &w, 0) == OK);
	return va;
}

enum error test_fault(struct vm_map *m, vaddr_t va, enum prot access)
{
	bool slow = test_way == WAY_LONG || (test_way == WAY_EITHER && (va.va / PAGE_SIZE + cpu_id()) % 2);

	return slow ? vm_fault_slow(m, va, access) : vm_fault(m, va, access);
}

/* After a fault: OK, the access can be tried again. */
static enum error serve(struct vm_map *m, const struct host_fault *f)
{
	return test_fault(m, vaddr(f->va), f->access);
}

enum error test_store(struct vm_map *m, uint64_t va, uint64_t value)
{
	struct host_fault f;
	enum error e = OK;

	while (e == OK && host_user_store64(vaddr(va), value, &f) != OK)
		e = serve(m, &f);
	return e;
}

enum error test_load(struct vm_map *m, uint64_t va, uint64_t *value)
{
	struct host_fault f;
	enum error e = OK;

	while (e == OK && host_user_load64(vaddr(va), value, &f) != OK)
		e = serve(m, &f);
	return e;
}

enum error test_fetch(struct vm_map *m, uint64_t va)
{
	struct host_fault f;
	enum error e = OK;

	while (e == OK && host_user_exec(vaddr(va), NULL, &f) != OK)
		e = serve(m, &f);
	return e;
}
