/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/counters.h"

#include "base/assert.h"

static const struct {
	const char *name, *unit, *meaning;
} counter_list[COUNTER_COUNT] = {
#define X(symbol, unit, meaning) {#symbol, unit, meaning},
	COUNTERS(X)
#undef X
};

uint64_t counter_read(const struct counters *c, enum counter id)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < CPU_MAX; i++)
		sum += atomic_load_relaxed(&c->cpu[i].value[id]); /* a statistic: each value alone counts */
	return sum;
}

const char *counter_name(enum counter id)
{
	ASSERT(id < COUNTER_COUNT);
	return counter_list[id].name;
}

const char *counter_unit(enum counter id)
{
	ASSERT(id < COUNTER_COUNT);
	return counter_list[id].unit;
}

const char *counter_meaning(enum counter id)
{
	ASSERT(id < COUNTER_COUNT);
	return counter_list[id].meaning;
}
