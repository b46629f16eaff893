/* SPDX-License-Identifier: BSD-2-Clause */
/* test/support/test_vm.h: a simulated machine with a whole memory subsystem, and programs' accesses to it. */
#ifndef TEST_VM_H
#define TEST_VM_H

#include "hal/pmap.h"
#include "test_machine.h"
#include "vm/fault.h"
#include "vm/init.h"
#include "vm/map.h"

struct test_vm {
	struct test_machine t;
	struct vm *vm;
	struct pmap_system *pmaps;
	uint64_t owned[FRAME_OWNER_COUNT]; /* frames by owner when nothing was mapped yet */
};

/* config NULL: as test_machine_init, 32 MiB. The caller is CPU 0. */
void test_vm_init(struct test_vm *v, const struct host_config *config);

/* Drains, audits, and panics unless every frame is back with whom it was after test_vm_init. Then ends the machine. */
void test_vm_destroy(struct test_vm *v);

/* The audit alone, at a quiet point: all CPUs idle. */
void test_vm_quiet(struct test_vm *v);

/* Private anonymous memory, read-write, size bytes; ends the test when it fails. */
uint64_t test_map_anon(struct vm_map *m, uint64_t size);

/*
 * By which way faults are served: as the machine does, the short one first; the long one alone; by page and CPU, one of
 * them. run_both_ways: a group of tests by the first and by the second; returns how many failed.
 */
enum test_way { WAY_SHORT, WAY_LONG, WAY_EITHER, TEST_WAYS };
extern enum test_way test_way;
enum error test_fault(struct vm_map *m, vaddr_t va, enum prot access) MUST_CHECK;
#define run_both_ways(tests) \
	({ \
		int failed_; \
\
		test_way = WAY_SHORT; \
		failed_ = cmocka_run_group_tests_name("the short way first", tests, NULL, NULL); \
		test_way = WAY_LONG; \
		failed_ + cmocka_run_group_tests_name("the long way", tests, NULL, NULL); \
	})

/* A program's access on this CPU, faults served by m, which is active here. => OK, or what the fault ended in. */
enum error test_store(struct vm_map *m, uint64_t va, uint64_t value);
enum error test_load(struct vm_map *m, uint64_t va, uint64_t *value);
enum error test_fetch(struct vm_map *m, uint64_t va);

#endif
