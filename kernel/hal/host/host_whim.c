/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_whim.c: what hardware does for no reason, as the harness wants it.
 *
 * With ops.choose set, everything that the architecture leaves open is asked:
 * when a broadcast invalidation arrives (host_mmu.c), which value of a descriptor
 * a walker reads (host_late.c), and here: speculative walks, evictions, and
 * accesses that fault although they would be allowed.
 *
 * Speculation. A walk depends on descriptors, on what walkers see of them, on
 * TTBR0 and on what is cached; between changes of these it does not matter when it
 * is made. So it is offered before each such change (a store to a descriptor, a
 * barrier, an invalidation, a load of TTBR0, a frame that is freed) and before each
 * access, and this amounts to: at any moment. Any vCPU that has a root loaded may
 * speculate, whatever it executes, a vCPU included that is in the kernel on behalf
 * of nobody. Addresses are those that were asked for last under the same root; depth is the
 * leaf, or the tables only. What is cached already is not offered.
 *
 * Locking. tlb_lock of the vCPU that speculates. recent is for harnesses with
 * one thread; with several its words are relaxed atomics and a mixed-up pair is an
 * address that nobody asked for.
 */
#include "hal/host/host_private.h"

unsigned whim_ask(struct host_machine *m, enum host_whim whim, unsigned n)
{
	const struct host_ops *ops = &m->config.ops;
	void (*point)(void) = host_point;
	unsigned answer;

	if (n <= 1 || !ops->choose)
		return 0;
	host_point = NULL; /* hardware locks may be held */
	answer = ops->choose(ops->context, whim, n);
	host_point = point;
	return answer < n ? answer : 0;
}

static uint64_t get(const uint64_t *x) { return __atomic_load_n(x, __ATOMIC_RELAXED); }
static void put(uint64_t *x, uint64_t v) { __atomic_store_n(x, v, __ATOMIC_RELAXED); }

void whim_recent(struct host_machine *m, uint64_t root, uint64_t va)
{
	unsigned i = 0;

	if (!whim_asked(m))
		return;
	va = round_down(va, PAGE_SIZE);
	while (i < RECENT - 1 && !(get(&m->recent[i].root) == root && get(&m->recent[i].va) == va))
		i++;
	for (; i > 0; i--) {
		put(&m->recent[i].root, get(&m->recent[i - 1].root));
		put(&m->recent[i].va, get(&m->recent[i - 1].va));
	}
	put(&m->recent[0].root, root);
	put(&m->recent[0].va, va);
}

struct offer {
	struct host_vcpu *v;
	uint64_t va;
	unsigned last_level;
};

/* What v might fetch. Its tlb_lock is held. */
static unsigned offers_of(struct host_vcpu *v, struct offer *offer)
{
	struct host_machine *m = v->cpu.machine;
	unsigned n = 0;

	for (unsigned i = 0; i < RECENT; i++) {
		uint64_t va = get(&m->recent[i].va);
		struct regime r = regime_of(v, va);
		bool leaf = false;

		if (!r.loaded || get(&m->recent[i].root) != r.root)
			continue;
		for (unsigned level = 1; level <= 3; level++)
			leaf |= tlb_find(&v->tlb, r.asid, level, va) != NULL;
		if (!leaf)
			offer[n++] = (struct offer){v, va, 3};
		if (!tlb_find(&v->walks, r.asid, 2, va))
			offer[n++] = (struct offer){v, va, 2};
	}
	return n;
}

void whim_speculate(struct host_machine *m)
{
	struct offer offer[8 * 2 * RECENT];
	struct verdict verdict = {0};
	unsigned n = 0, answer;

	if (!whim_asked(m))
		return;
	for (uint32_t i = 0; i < m->config.ncpus && n + 2 * RECENT <= ARRAY_SIZE(offer); i++) {
		struct host_vcpu *v = &m->vcpu[i];

		pthread_mutex_lock(&v->tlb_lock);
		n += offers_of(v, offer + n);
		pthread_mutex_unlock(&v->tlb_lock);
	}
	answer = whim_ask(m, HOST_WHIM_PREFETCH, n + 1);
	if (answer == 0)
		return;
	pthread_mutex_lock(&offer[answer - 1].v->tlb_lock);
	walk_unasked(offer[answer - 1].v, offer[answer - 1].va, offer[answer - 1].last_level, &verdict);
	pthread_mutex_unlock(&offer[answer - 1].v->tlb_lock);
	judge_deliver(m, &verdict);
}

void whim_evict(struct host_vcpu *v, uint64_t va)
{
	struct {
		struct tlb *t;
		struct tlb_entry *e;
	} held[6];
	struct regime r = regime_of(v, va);
	unsigned n = 0, answer;

	if (!whim_asked(v->cpu.machine) || !r.loaded)
		return;
	for (unsigned level = 0; level <= 3; level++) {
		struct tlb_entry *leaf = level ? tlb_find(&v->tlb, r.asid, level, va) : NULL;
		struct tlb_entry *table = level < 3 ? tlb_find(&v->walks, r.asid, level, va) : NULL;

		if (leaf && n < ARRAY_SIZE(held))
			held[n].t = &v->tlb, held[n++].e = leaf;
		if (table && level == 2 && n < ARRAY_SIZE(held)) /* the others lead to tables that stay */
			held[n].t = &v->walks, held[n++].e = table;
	}
	answer = whim_ask(v->cpu.machine, HOST_WHIM_EVICT, n + 1);
	if (answer)
		tlb_drop(held[answer - 1].t, held[answer - 1].e);
}
