/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "lib/machine.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool machine_look(struct machine *machine)
{
	cpu_set_t set;

	machine->cpus = 0;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return false;
	for (int i = 0; i < CPU_SETSIZE && machine->cpus < MACHINE_CPUS_MAX; i++)
		if (CPU_ISSET(i, &set))
			machine->cpu[machine->cpus++] = i;
	errno = ENODEV;
	return machine->cpus > 0;
}

bool machine_pin(const struct machine *machine, size_t n)
{
	int cpu = machine->cpu[n % machine->cpus];
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		return false;
	errno = EXDEV; /* it said yes and did not move us */
	return sched_getcpu() == cpu;
}

unsigned long machine_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long)t.tv_sec * 1000000000UL + (unsigned long)t.tv_nsec;
}

unsigned long machine_meminfo(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	size_t length = strlen(name);
	unsigned long kib = 0;
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof line, file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			sscanf(line + length + 1, "%lu", &kib);
	fclose(file);
	return kib;
}
