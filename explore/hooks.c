/* SPDX-License-Identifier: BSD-2-Clause */
#include "hooks.h"

static unsigned choose(void *context, enum host_whim whim, unsigned n)
{
	static const enum choice kind[HOST_WHIMS] = {
		[HOST_WHIM_TLBI] = CHOOSE_TLBI,         [HOST_WHIM_WALKER] = CHOOSE_WALKER,
		[HOST_WHIM_PREFETCH] = CHOOSE_PREFETCH, [HOST_WHIM_EVICT] = CHOOSE_EVICT,
		[HOST_WHIM_SPURIOUS] = CHOOSE_SPURIOUS,
	};

	(void)context;
	return explore_choose(kind[whim], n);
}

static void walked(void *context, uint32_t cpu, const void *p, uint64_t value)
{
	(void)context;
	if (explore_cpu() >= 0)
		memory_walked(cpu, p, value);
}

static bool hardware_cas(void *context, uint64_t *p, uint64_t *expected, uint64_t want)
{
	(void)context;
	return memory_hardware_cas(explore_cpu(), p, expected, want);
}

static void user_access(void *context, const void *bytes, size_t n, bool write)
{
	int cpu = explore_cpu();

	(void)context;
	if (cpu >= 0)
		memory_user_access((uint32_t)cpu, bytes, n, write);
}

static void barrier(void *context)
{
	int cpu = explore_cpu();

	(void)context;
	if (cpu >= 0)
		memory_drain((uint32_t)cpu);
}

static uint64_t stamp(void *context)
{
	int cpu = explore_cpu();

	(void)context;
	return cpu >= 0 ? memory_stamp((uint32_t)cpu) : 0;
}

static bool before(void *context, uint32_t by, uint64_t when)
{
	int cpu = explore_cpu();

	(void)context;
	return cpu < 0 || memory_before(by, when, (uint32_t)cpu);
}

static uint64_t now(void *context)
{
	(void)context;
	return explore_step() * 1000;
}

const struct host_ops hooks = {.choose = choose,
			       .walked = walked,
			       .hardware_cas = hardware_cas,
			       .user_access = user_access,
			       .barrier = barrier,
			       .stamp = stamp,
			       .before = before,
			       .now = now};
