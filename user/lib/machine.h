/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs here ask of the machine that they run on: which CPUs they may use, what time
 * it is, how much memory is free. All of it by ordinary Linux interfaces.
 */
#ifndef USER_LIB_MACHINE_H
#define USER_LIB_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#define MACHINE_PAGE 4096UL
#define MACHINE_CPUS_MAX 256

struct machine {
	size_t cpus;               /* how many this process may use, at least 1 */
	int cpu[MACHINE_CPUS_MAX]; /* their numbers */
};

/* Asks the kernel for the CPUs. => false, with errno, when it does not say */
bool machine_look(struct machine *machine);

/* Binds the calling thread to the n-th CPU, counted round and round. => false, with errno, unless it then runs there */
bool machine_pin(const struct machine *machine, size_t n);

/* Nanoseconds of CLOCK_MONOTONIC. */
unsigned long machine_now(void);

/* A line of /proc/meminfo, as "MemFree". => KiB, 0 when there is none */
unsigned long machine_meminfo(const char *name);

#endif
