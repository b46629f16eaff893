/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/host_setup.h: one input's run: the machine, the memory subsystem and the files that host.c makes its calls on.
 */
#ifndef FUZZ_HOST_SETUP_H
#define FUZZ_HOST_SETUP_H

#include "hal/host/host.h"
#include "model.h"
#include "proc/sys.h"

#define CPUS 2u
#define PROCESSES 3u

/* A process with a thread on each CPU, and its model. */
struct member {
	bool used;
	struct process process;
	struct thread thread[CPUS];
	struct space space;
	struct fuzz_machine machine;
};

/* One input's run. */
struct run {
	struct host_machine *machine;
	struct vm *vm;
	struct pmap_system *pmaps;
	struct proc_system ps;
	struct fs fs;
	struct fd_table *files;
	struct world world;
	struct member member[PROCESSES];
	struct member *current;
	struct vm_map *active[CPUS];
	uint64_t owned[FRAME_OWNER_COUNT]; /* frames after setup_open */
	const uint8_t *input;
	size_t left;
	uint32_t fail_in; /* the allocation after so many fails; 0: none */
	bool failed;      /* one did, in this call */
	bool closing;
};
extern struct run *run;

#define MUST(x) \
	do { \
		if (x) \
			panic("set-up: %s", #x); \
	} while (0)

/*
 * Machine, memory subsystem and files, as host CPU 0; descriptors to the first member's space. kind: bits that pick the
 * machine's features. ops: frame_free is set here.
 */
void setup_open(uint32_t seed, uint32_t kind, const struct host_ops *ops);
/* A process around a map, as fork leaves one; its model's functions are the caller's. */
void setup_member(struct member *m, struct vm_map *map);
/* After the last process's exit: every frame must be back (panics); takes all apart. */
void setup_close(void);

#endif
