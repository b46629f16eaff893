/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_pte.c: the accessors of hal/mmu.h to descriptors, each one
 * atomic operation of the order that mmu.h states.
 *
 * Nothing else is in this file, so that it can be compiled for a memory model
 * while the rest of the simulator, which is hardware, is not. Nobody gets a turn
 * between cpu_point and what is told of the access, so for fibers the access and the
 * simulator's record of it are one step. For threads a store, and any loss of
 * rights, is told before it happens, so that whoever walks into the new value
 * finds it told.
 */
#include "hal/host/host_private.h"

uint64_t mmu_pte_load(const struct pte *p)
{
	uint64_t v = atomic_load_acquire(&p->word);

	host_pte_was_read(p, v);
	return v;
}

uint64_t mmu_pte_load_seq_cst(const struct pte *p)
{
	uint64_t v = atomic_load_seq_cst(&p->word);

	host_pte_was_read(p, v);
	return v;
}

static void tell_store(const struct pte *p, uint64_t v)
{
	uint64_t old = host_pte_newest(p);

	host_pte_changes(p, host_pte_begins(p, old, v), old, v, false);
}

void mmu_pte_store(struct pte *p, uint64_t v)
{
	cpu_point();
	tell_store(p, v);
	__atomic_store_n(&p->word.x, v, __ATOMIC_RELEASE);
}

void mmu_pte_store_seq_cst(struct pte *p, uint64_t v)
{
	cpu_point();
	tell_store(p, v);
	__atomic_store_n(&p->word.x, v, __ATOMIC_SEQ_CST);
}

bool mmu_pte_cas(struct pte *p, uint64_t *expected, uint64_t v)
{
	uint64_t old = *expected, number;

	cpu_point();
	number = host_pte_begins(p, old, v);
	if (__atomic_compare_exchange_n(&p->word.x, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		host_pte_changes(p, number, old, v, true);
		return true;
	}
	host_pte_was_read(p, *expected);
	return false;
}

uint64_t mmu_pte_swap(struct pte *p, uint64_t v)
{
	uint64_t old, number;

	cpu_point();
	number = host_pte_begins(p, host_pte_newest(p), v);
	old = __atomic_exchange_n(&p->word.x, v, __ATOMIC_SEQ_CST);
	host_pte_changes(p, number, old, v, true);
	return old;
}

uint64_t mmu_pte_and(struct pte *p, uint64_t mask)
{
	uint64_t old, number;

	cpu_point();
	old = host_pte_newest(p);
	number = host_pte_begins(p, old, old & mask);
	old = __atomic_fetch_and(&p->word.x, mask, __ATOMIC_SEQ_CST);
	host_pte_changes(p, number, old, old & mask, true);
	return old;
}

uint64_t mmu_pte_or(struct pte *p, uint64_t mask)
{
	uint64_t old, number;

	cpu_point();
	old = host_pte_newest(p);
	number = host_pte_begins(p, old, old | mask);
	old = __atomic_fetch_or(&p->word.x, mask, __ATOMIC_SEQ_CST);
	host_pte_changes(p, number, old, old | mask, true);
	return old;
}
