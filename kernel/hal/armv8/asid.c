/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/asid.c: which ASID a pmap runs under, and what TTBR0 holds.
 *
 * Purpose. TLB entries of different pmaps are told apart by a number of 8 or 16
 * bits (4 in tests), and there are more pmaps than numbers. Numbers are given
 * out in generations: when all of one are taken, the next begins (rollover) and
 * every CPU owes a flush of its own TLB before it runs anything of the new
 * generation. No CPU is interrupted for it.
 *
 * Structure. pm->asid = generation << 16 | number, 0 before the first
 * activation. Per CPU: active, what it runs now; reserved, what it ran when the
 * generation ended and goes on running; flush_pending.
 *
 *      activate:  active != 0, same generation:   cas active -> pm->asid, load TTBR0
 *                 otherwise under the lock:       renew pm->asid, flush if pending, store active, load TTBR0
 *      rollover (under the lock): generation + 1; for each CPU: v = swap(active, 0),
 *                 reserved = v if v != 0; its number is taken at once; flush_pending = true
 *
 * Invariants.
 *  1. A number belongs to at most one pmap per generation: bit in used.
 *  2. If a CPU runs pm, then (a) its active is pm->asid of the current
 *     generation, or (b) its active is 0 and its reserved is pm->asid or what
 *     pm->asid will be renewed to with the same number. So a running pmap keeps
 *     its number through any number of rollovers.
 *     To keep this between the change of active and of TTBR0, TTBR0 is empty then.
 *  3. active = 0 means: a rollover has happened since the last activation; the
 *     next one takes the lock. Only the own CPU makes it non-zero again.
 *  4. A CPU loads a number of this generation only after it has flushed its TLB
 *     in this generation. So old entries under that number are gone.
 *  5. Number 0 is no pmap's: the empty table runs under it. active with number
 *     0 (generation above it) says that the CPU runs no user space.
 *
 * The fast path and a rollover. Both are atomic read-modify-writes of active, so
 * they are ordered. cas first: rollover's swap returns pm->asid and reserves
 * it; it does not matter that the generation read before is outdated. swap
 * first: the cas fails, since it expects a value that is not 0. Nobody else
 * writes a non-zero value, so there is no ABA.
 *
 * A flush and a new number. A flusher F clears a PTE, DSB ISH, reads pm->asid =
 * a, invalidates a. Meanwhile CPU C renews pm->asid to b: store, DSB ISH, load
 * TTBR0, walk. Claim: no entry of the old PTE survives where it can be used.
 *   F read b: entries under b are invalidated. Those under a ≠ b belong to an
 *     older generation, in which, at the rollover, no CPU was running pm (2), and
 *     none runs under a until it has flushed (4).
 *   F read a: F's read came before C's store, F's clear before F's read (DSB),
 *     C's store before C's walks (DSB). So all walks under b see the PTE
 *     cleared. A third CPU that reads b from pm->asid walks later still (its
 *     TTBR0 write depends on that read).
 *   F read 0: as "F read a": nothing was ever walked before, nothing to flush.
 * With either DSB gone this is the store-buffering pattern, and both may miss.
 * An outdated number is invalidated in vain, perhaps of another pmap: harmless.
 *
 * Where. pm->where says which CPUs may have entries under pm->asid: one, or many. Who flushes pm on that one CPU flushes its TLB
 * only. A lone thread that comes to another CPU takes another number along, and leaves its entries where nobody can use them: the old
 * number is nobody's until the next generation, which begins with a flush (4). Where that cannot be, since pm runs on the other
 * CPU as well, or has moved MOVES times in this generation, many CPUs have it, until a generation in which it is not running elsewhere.
 *
 *      activate on CPU c, where = c or many:   the fast path
 *      where = o:   under the lock:  where = none;  does o run pm?  yes: where = many   no: another number, where = c
 *      another generation:           where = c, or many if another CPU runs pm through the rollover
 *
 * Against o's fast path, which takes no lock: o puts pm->asid into active, then looks at where, and then whether pm->asid is still
 * that; c stores none, then looks at o's active. All are seq_cst, so one of them sees the other: c sees pm running, or o goes under the
 * lock. pm->asid too, since where may say many again, of another number.
 *
 * Flusher F on CPU f clears a PTE, DSB ISH, reads where = f. Every other CPU that walks pm's tables under a number that can be used
 * has stored where, DSB ISH, and then loaded TTBR0; that store came after F's read, so its walks see the PTE cleared. f itself is F's:
 * nothing else runs there meanwhile. With either DSB gone both may miss, as above. If F reads anything else it flushes all CPUs, and the argument
 * is the one above; a number that was left in this generation is like one of an older generation.
 *
 * Locking. lock (RANK_ASID) for all of the slow path; the fast path takes none
 * and writes only its own CPU's line.
 *
 * Failure. None: more numbers than CPUs (asserted at boot) leave one free after
 * each rollover.
 *
 * Sources: Linux arch/arm64/mm/context.c, whose TLA+ model (asidalloc.tla, W.
 * Deacon and C. Marinas) checks the same algorithm; FreeBSD's vmid_cookie.
 */
#include "hal/armv8/pmap_private.h"

#define GENERATION_ONE BIT(ASID_BITS_MAX)
#define MOVES 8u /* so that a program that is sent to and fro does not use up the numbers */

static bool same_generation(uint64_t a, uint64_t b) { return (a ^ b) >> ASID_BITS_MAX == 0; }
static bool used_test(const struct pmap_asids *as, uint32_t n) { return as->used[n / 64] >> (n % 64) & 1; }
static void used_set(struct pmap_asids *as, uint32_t n) { as->used[n / 64] |= BIT(n % 64); }

void asid_init(struct pmap_asids *as, uint32_t bits, uint32_t ncpus)
{
	__builtin_memset(as, 0, sizeof *as);
	ASSERT(bits >= 1 && bits <= ASID_BITS_MAX);
	ASSERT(BIT(bits) - 1 > ncpus); /* a rollover leaves at least one number free */
	as->bits = bits;
	as->ncpus = ncpus;
	as->next = 1;
	spin_init(&as->lock);
	used_set(as, 0);
	atomic_store_relaxed(&as->generation, GENERATION_ONE);
}

/* A free number, or 0. */
static uint32_t find_free_locked(struct pmap_asids *as)
{
	uint32_t n = as->next;

	for (uint32_t i = 0; i < BIT(as->bits); i++, n = n + 1 == BIT(as->bits) ? 1 : n + 1) {
		if (n % 64 == 0 && as->used[n / 64] == ~UINT64_C(0) && i + 64 < BIT(as->bits)) {
			n += 63; /* a full word; the loop's step wraps */
			i += 63;
			continue;
		}
		if (!used_test(as, n)) {
			as->next = n;
			return n;
		}
	}
	return 0;
}

static void roll_over_locked(struct pmap_asids *as)
{
	/* relaxed: a fast path that still reads the old one is caught by the swap below */
	atomic_store_relaxed(&as->generation, atomic_load_relaxed(&as->generation) + GENERATION_ONE);
	__builtin_memset(as->used, 0, sizeof as->used);
	used_set(as, 0);
	as->next = 1;
	for (uint32_t i = 0; i < as->ncpus; i++) {
		struct asid_cpu *c = &as->cpu[i];
		/* acq_rel: pairs with the fast path's cas; one of the two is first */
		uint64_t v = atomic_swap_acq_rel(&c->active, UINT64_C(0));

		if (v != 0)
			c->reserved = v & ASID_MASK ? v : 0;
		/* else it has not switched since the last rollover and still runs what is reserved */
		used_set(as, c->reserved & ASID_MASK);
		c->flush_pending = true;
	}
}

/* Carries a reserved number over to this generation, on every CPU that has it. */
static bool renew_reserved_locked(struct pmap_asids *as, uint64_t old, uint64_t new)
{
	bool found = false;

	for (uint32_t i = 0; i < as->ncpus; i++) {
		if (as->cpu[i].reserved != old)
			continue;
		as->cpu[i].reserved = new;
		found = true;
	}
	return found;
}

static uint64_t new_asid_locked(struct pmap_asids *as, uint64_t old)
{
	uint64_t generation = atomic_load_relaxed(&as->generation); /* written under this lock */
	uint32_t n;

	if (old != 0) {
		uint64_t same = generation | (old & ASID_MASK);

		if (renew_reserved_locked(as, old, same))
			return same;
		/* Nobody took its old number in this generation: it may have it again. */
		if (!used_test(as, old & ASID_MASK)) {
			used_set(as, old & ASID_MASK);
			return same;
		}
	}
	n = find_free_locked(as);
	if (n == 0) {
		roll_over_locked(as);
		generation = atomic_load_relaxed(&as->generation);
		n = find_free_locked(as);
		ASSERT(n != 0);
	}
	used_set(as, n);
	return generation | n;
}

/* CPU i runs pm under that number, or may be about to; or has, since a rollover. */
static bool runs_locked(const struct pmap_asids *as, uint32_t i, uint64_t asid)
{
	/* seq_cst: pairs with the fast path's cas */
	uint64_t active = atomic_load_seq_cst(&as->cpu[i].active);

	return active == asid || (active == 0 && as->cpu[i].reserved == asid);
}

static bool runs_elsewhere_locked(const struct pmap_asids *as, uint64_t asid)
{
	for (uint32_t i = 0; i < as->ncpus; i++)
		if (i != cpu_id() && runs_locked(as, i, asid))
			return true;
	return false;
}

/* pm runs on this CPU, or on many, as far as others know. */
static bool here(const struct pmap *pm)
{
	uint32_t where = atomic_load_seq_cst(&pm->where); /* pairs with settle_new_locked and move_locked */

	return where == cpu_id() + 1 || where == WHERE_MANY;
}

/* pm has a number that is new in this generation: this CPU has it, or those as well that run it through the rollover. */
static uint64_t settle_new_locked(struct pmap_asids *as, struct pmap *pm, uint64_t asid)
{
	atomic_store_seq_cst(&pm->where, WHERE_NONE);
	atomic_store_seq_cst(&pm->asid, asid);
	pm->moves = 0;
	atomic_store_seq_cst(&pm->where, runs_elsewhere_locked(as, asid) ? WHERE_MANY : cpu_id() + 1);
	return asid;
}

/* Another CPU has pm alone. => its number from now on. */
static uint64_t move_locked(struct pmap_asids *as, struct pmap *pm, uint64_t asid)
{
	uint32_t was = atomic_load_relaxed(&pm->where); /* written under this lock */

	atomic_store_seq_cst(&pm->where, WHERE_NONE);
	if (pm->moves == MOVES || runs_locked(as, was - 1, asid)) {
		atomic_store_seq_cst(&pm->where, WHERE_MANY);
		return asid;
	}
	pm->moves++;
	asid = new_asid_locked(as, 0);
	/* in this order: who sees many, later, sees no older number (here_still) */
	atomic_store_seq_cst(&pm->asid, asid);
	atomic_store_seq_cst(&pm->where, cpu_id() + 1);
	return asid;
}

/* The slow half of pmap_activate: a number of this generation for pm, this CPU's debt paid. */
static uint64_t asid_renew(struct pmap_asids *as, struct asid_cpu *c, struct pmap *pm)
{
	bool changed = false;
	uint64_t asid;

	spin_lock(&as->lock, RANK_ASID);
	asid = atomic_load_relaxed(&pm->asid); /* written under this lock */
	if (!same_generation(asid, atomic_load_relaxed(&as->generation))) {
		asid = new_asid_locked(as, asid);
		if (pm->sys->local)
			asid = settle_new_locked(as, pm, asid);
		else
			/* seq_cst, then DSB ISH below: pairs with asid_to_flush after the flusher's DSB ISH */
			atomic_store_seq_cst(&pm->asid, asid);
		changed = true;
	} else if (!here(pm)) {
		asid = move_locked(as, pm, asid);
		changed = true;
	}
	if (c->flush_pending) {
		c->flush_pending = false;
		mmu_tlbi_local_all();
	}
	/* release: pairs with the rollover's swap */
	atomic_store_release(&c->active, asid);
	spin_unlock(&as->lock);
	if (changed)
		mmu_dsb_ish();
	return asid;
}

/* After active has become asid: it is pm's still, and pm here. In this order: see Where. */
static bool here_still(const struct pmap *pm, uint64_t asid)
{
	return here(pm) && atomic_load_seq_cst(&pm->asid) == asid; /* pairs with move_locked's store */
}

void pmap_activate(struct pmap *pm)
{
	struct pmap_asids *as = &pm->sys->asids;
	struct asid_cpu *c = &as->cpu[cpu_id()];
	/* relaxed: own CPU's value, or 0 by a rollover, in which case the cas below or the next activation finds it */
	uint64_t active = atomic_load_relaxed(&c->active), asid;

	if (c->current == pm && active != 0)
		return; /* TTBR0 holds it, and no rollover has happened since */
	/* While active says what we leave: else a rollover could give its number away under a loaded TTBR0. */
	if (c->current && c->current != pm)
		mmu_clear_user();
	/* acquire: pairs with asid_renew's store */
	asid = atomic_load_acquire(&pm->asid);
	/* relaxed generation: see the theory; seq_cst cas: pairs with the rollover's swap, and with runs_locked */
	if (active == 0 || asid == 0 || !same_generation(asid, atomic_load_relaxed(&as->generation)) ||
	    !atomic_cas_seq_cst(&c->active, &active, asid) || !here_still(pm, asid))
		asid = asid_renew(as, c, pm);
	mmu_load_user(pfn_to_paddr(pm->root), (uint32_t)(asid & ASID_MASK));
	c->current = pm;
	c->empty = false;
}

void pmap_deactivate(struct pmap_system *ps)
{
	struct asid_cpu *c = &ps->asids.cpu[cpu_id()];
	uint64_t active;

	if (c->empty)
		return;
	mmu_clear_user();
	c->current = NULL;
	c->empty = true;
	active = atomic_load_relaxed(&c->active); /* own CPU's value, or 0 */
	/* acq_rel: TTBR0 was cleared before; pairs with the rollover's swap. When it fails, a rollover has
	 * reserved the number once more than needed, and 0 has to stay. */
	if (active != 0)
		(void)atomic_cas_acq_rel(&c->active, &active, active & ~ASID_MASK);
}
