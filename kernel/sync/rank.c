/* SPDX-License-Identifier: BSD-2-Clause */
#include "sync/rank.h"

#include "base/assert.h"
#include "base/cpu.h"

const char *rank_name(enum lock_rank rank)
{
	static const char *const names[RANK_MAX] = {
		"none", "proc-table", "proc", "files", "pipe", "futex", "futex2", "signal", "range", "amap", "node",
		"object", "upper", "leaf", "rmap", "chunk", "asid", "kmem", "kva-cache", "kva", "epoch", "zones", "zone-cache",
		"zone", "frame-cache", "frame", "mutex", "waitq", "timer", "work", "runq", "console",
	};

	return rank < RANK_MAX ? names[rank] : "unknown";
}

void rank_take(const void *lock, enum lock_rank rank, bool trylock)
{
	struct cpu_debug *d = cpu_debug();

	if (d->held_count == CPU_HELD_MAX)
		panic("lock rank: %u locks held at once", d->held_count);
	for (uint32_t i = 0; i < d->held_count; i++) {
		if (d->held_lock[i] == lock)
			panic("lock rank: %s lock %p taken twice by CPU %u", rank_name(rank), lock, cpu_id());
		if (!trylock && d->held_rank[i] >= rank)
			panic("lock rank: CPU %u takes %s while it holds %s", cpu_id(), rank_name(rank),
			      rank_name((enum lock_rank)d->held_rank[i]));
	}
	d->held_rank[d->held_count] = (uint8_t)rank;
	d->held_lock[d->held_count++] = lock;
}

void rank_drop(const void *lock)
{
	struct cpu_debug *d = cpu_debug();

	for (uint32_t i = d->held_count; i-- > 0;) {
		if (d->held_lock[i] != lock)
			continue;
		for (uint32_t j = i + 1; j < d->held_count; j++) {
			d->held_lock[j - 1] = d->held_lock[j];
			d->held_rank[j - 1] = d->held_rank[j];
		}
		d->held_count--;
		return;
	}
	panic("lock rank: CPU %u drops lock %p that it does not hold", cpu_id(), lock);
}

void rank_assert_held(const void *lock)
{
	const struct cpu_debug *d = cpu_debug();

	for (uint32_t i = 0; i < d->held_count; i++)
		if (d->held_lock[i] == lock)
			return;
	panic("lock %p is not held by CPU %u", lock, cpu_id());
}

#if STRATA_CHECKED
void rank_assert_may_wait(void)
{
	const struct cpu_debug *d = cpu_debug();

	if (d->held_count)
		panic("CPU %u waits while it holds a %s lock", cpu_id(), rank_name((enum lock_rank)d->held_rank[0]));
	if (d->epoch_depth)
		panic("CPU %u waits inside an epoch section", cpu_id());
}
#endif
