/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/pmap_leaf.c: one PTE under its leaf lock: set, broken, given up.
 *
 * States of a PTE (leaf lock held for every arrow but the dotted ones):
 *
 *           set                        break
 *      0 ---------> valid ------------------------------> BUSY_BREAK
 *      ^            ^  | : hardware, pmap_spurious:            |  |
 *      |            |  | : AF set, AP_RO cleared on DBM        |  |
 *      |            |  |                                       |  |
 *      |            +--|--------------- set (PMAP_OWN_BUSY) ---+  |
 *      +---------------+-- remove, exclusive                      |
 *      +---------------------------------------------- abandon ---+
 *      (pmap_range.c, pmap_page.c: valid -> BUSY_GATHER or BUSY_PAGE -> 0 after the flush; withdraw, replace: valid -> 0 ->
 *      valid within one hold of the lock, flushed in between)
 *
 * What a valid user PTE says: always readable, nG, PXN, inner shareable; UXN
 * without PROT_X. Writable is DBM; AP_RO = 0 on top of it means written. So a
 * page that may be written and was not is read-only to hardware that does not
 * manage the dirty state, and the fault that follows brings PMAP_WRITTEN.
 *
 * Invariants.
 *  1. The caller's last check, if what it maps can be withdrawn by the reverse map, and
 *     the entry there are made in one hold of the frame's lock, within this hold of the leaf lock,
 *     and before the PTE is valid: rmap.c says why no withdrawn frame can be mapped.
 *  2. An executable PTE is stored after the frame's EXEC_CLEAN.
 *  3. No right is granted under a limit of the level-2 descriptor: it is pushed down first. Under one
 *     of the level-1 descriptor a right is void (limit.c, 2); the short ways are not gone there.
 *
 * Memory order. The store that makes a PTE valid is a release: the frame's bytes
 * are before its mapping (pair: the walker's dependent access). No DSB follows:
 * a CPU that does not see it yet faults once too often.
 *
 * Failure. Errors before anything is changed.
 */
#include "hal/armv8/pmap_private.h"

/*
 * What is the same in all PTEs of a right and flags, without the frame. Made by the compiler, since it takes twenty instructions
 * to make: flags times 8 plus rights is the index.
 */
#define PTE_BITS(i) \
	(PTE_PAGE | PTE_AF | PTE_NG | PTE_PXN | PTE_AP_USER | \
	 ((i) >> 3 & PMAP_DEVICE ? PTE_ATTR(MAIR_DEVICE) : PTE_ATTR(MAIR_NORMAL) | PTE_SH_INNER) | ((i) & PROT_X ? 0 : PTE_UXN) | \
	 ((i) & PROT_W ? PTE_DBM : 0) | ((i) >> 3 & PMAP_WRITTEN ? 0 : PTE_AP_RO) | ((i) >> 3 & PMAP_UNTRACKED ? PTE_SW_UNTRACKED : 0))
#define PTE_BITS_8(i) \
	PTE_BITS(i), PTE_BITS((i) + 1), PTE_BITS((i) + 2), PTE_BITS((i) + 3), PTE_BITS((i) + 4), PTE_BITS((i) + 5), \
		PTE_BITS((i) + 6), PTE_BITS((i) + 7)
#define PTE_FLAGS (PMAP_WRITTEN | PMAP_UNTRACKED | PMAP_DEVICE)
static const uint64_t pte_bits[8 * (PTE_FLAGS + 1)] = { PTE_BITS_8(0),  PTE_BITS_8(8),  PTE_BITS_8(16), PTE_BITS_8(24),
							PTE_BITS_8(32), PTE_BITS_8(40), PTE_BITS_8(48), PTE_BITS_8(56) };
_Static_assert(PTE_FLAGS == 7 && PROT_ALL == 7, "eight rights, eight kinds");

static uint64_t make_pte(pfn_t f, enum prot prot, unsigned flags)
{
	return pfn_to_paddr(f).pa | pte_bits[(flags & PTE_FLAGS) * 8 + prot];
}

/* d with the rights that make_pte would give. */
static uint64_t add_rights(uint64_t d, enum prot prot, unsigned flags)
{
	d |= PTE_AF;
	if (prot & PROT_X)
		d &= ~PTE_UXN;
	if (prot & PROT_W)
		d |= PTE_DBM;
	if (prot & PROT_W && d & PTE_SW_DIRTY) /* noted already: the next write has nothing to bring */
		d &= ~PTE_AP_RO;
	if (flags & PMAP_WRITTEN)
		d &= ~PTE_AP_RO;
	return d;
}

/* True when the level-2 descriptor forbids what is about to be granted. */
static bool limited(const struct pmap_leaf *leaf, enum prot prot)
{
	uint64_t parent = mmu_pte_load(leaf->page->parent);

	return (prot & PROT_W && parent & TABLE_RO) || (prot & PROT_X && parent & TABLE_UXN);
}

/* The same for a write, the level-1 descriptor as pmap_leaf_lock saw it included: who does not see its limit faults once more. */
static bool write_limited(const struct pmap_leaf *leaf)
{
	return (mmu_pte_load(leaf->page->parent) | leaf->upper) & TABLE_RO;
}

static NOINLINE enum error set_again(struct pmap_leaf *leaf, vaddr_t va, struct pte *p, enum prot prot, unsigned flags,
			    const struct pmap_last_check *check)
{
	struct pmap_system *ps = leaf->pm->sys;
	uint64_t d = mmu_pte_load(p);

	if (!pmap_still(check))
		return ERR_STALE;
	block_split_locked(leaf, va.va);
	if (prot & PROT_X && pmap_has_page(ps, pte_frame(d)))
		rmap_exec(ps, pte_frame(d));
	if (limited(leaf, prot)) {
		limit_push_down_locked(leaf, va.va);
		d = mmu_pte_load(p);
	}
	/* The hardware may be writing its bits at the same time. */
	while (add_rights(d, prot, flags) != d && !mmu_pte_cas(p, &d, add_rights(d, prot, flags)))
		;
	return OK;
}

/* Of a frame without a reverse map. */
static NOINLINE enum error prepare_untracked(struct pmap_system *ps, pfn_t f, enum prot prot, const struct pmap_last_check *check)
{
	if (!pmap_still(check))
		return ERR_STALE;
	if (prot & PROT_X) {
		if (pmap_has_page(ps, f))
			rmap_exec(ps, f);
		else
			mmu_sync_icache(pfn_to_paddr(f));
	}
	return OK;
}

static enum error set_new(struct pmap_leaf *leaf, vaddr_t va, struct pte *p, pfn_t f, enum prot prot, unsigned flags,
			  struct pmap_stock *stock, const struct pmap_last_check *check)
{
	struct pmap_system *ps = leaf->pm->sys;
	enum error e = UNLIKELY(flags & PMAP_UNTRACKED)
			       ? prepare_untracked(ps, f, prot, check)
			       : rmap_add(ps, f, (struct rmap_entry){ leaf->pm, va.va }, prot & PROT_X, stock, check);

	if (e != OK)
		return e;
	if (UNLIKELY(limited(leaf, prot)))
		limit_push_down_locked(leaf, va.va);
	if (!(flags & PMAP_OWN_BUSY))
		table_fill_locked(leaf, va.va); /* a BUSY one counts already */
	/* release: see the theory */
	mmu_pte_store(p, make_pte(f, prot, flags));
	return OK;
}

enum error pmap_leaf_set(struct pmap_leaf *leaf, vaddr_t va, pfn_t f, enum prot prot, unsigned flags,
			 struct pmap_stock *stock, const struct pmap_last_check *check)
{
	struct pte *p = leaf_pte(leaf, va.va);
	uint64_t d = mmu_pte_load(p);

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT_CHECKED(epoch_inside(leaf->pm->sys->config.epoch));
	ASSERT_CHECKED(prot != PROT_NONE_);
	ASSERT_CHECKED(!(flags & PMAP_WRITTEN) || prot & PROT_W);
	ASSERT_CHECKED(!(flags & PMAP_DEVICE) || !(prot & PROT_X));
	va.va = round_down(va.va, PAGE_SIZE);
	if (pte_valid(d))
		return pte_frame(d).fn == f.fn ? set_again(leaf, va, p, prot, flags, check) : ERR_EXISTS;
	if (flags & PMAP_OWN_BUSY)
		ASSERT(d == BUSY_BREAK);
	else if (d != 0)
		return ERR_BUSY;
	return set_new(leaf, va, p, f, prot, flags, stock, check);
}

_Static_assert(PTE_FILLED == PTE_BITS(PMAP_WRITTEN << 3 | PROT_W | PROT_R), "as pmap_leaf_set would");

/* PROT_R | PROT_W, written, of a frame that is the caller's alone. */
static inline void fill(struct pmap_leaf *leaf, vaddr_t va, struct pte *p, pfn_t f)
{
	rmap_first(leaf->pm, round_down(va.va, PAGE_SIZE), f);
	/* release: see the theory */
	mmu_pte_store(p, pfn_to_paddr(f).pa | PTE_FILLED);
}

bool pmap_leaf_fill(struct pmap_leaf *leaf, vaddr_t va, pfn_t f)
{
	struct pte *p = leaf_pte(leaf, va.va);

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	if (UNLIKELY(mmu_pte_load(p) || write_limited(leaf)))
		return false;
	table_fill_locked(leaf, va.va);
	fill(leaf, va, p, f);
	return true;
}

/* So many PTEs may be gone through when interrupts are masked. */
#define PUSH_DOWN_QUICKLY 64u

/* The mapping stays in the reverse map until it is flushed, so no gather has to be announced (gather.c). */
bool pmap_leaf_withdraw(struct pmap_leaf *leaf, vaddr_t va, pfn_t old, uint64_t *was)
{
	struct pte *p = leaf_pte(leaf, va.va);
	uint32_t asid;

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT_CHECKED(!leaf_is_block(leaf)); /* one that has come since would have changed the amap: the caller looked (table.c, pmap_leaf_lock) */
	if (UNLIKELY(write_limited(leaf))) {
		/* relaxed: under the leaf lock */
		if (leaf->upper & TABLE_RO || atomic_load_relaxed(&leaf->page->live) > PUSH_DOWN_QUICKLY)
			return false;
		limit_push_down_locked(leaf, va.va);
	}
	*was = mmu_pte_load(p);
	if (*was == 0)
		return true;
	if (UNLIKELY(!pte_valid(*was) || pte_frame(*was).fn != old.fn || !pte_tracked(*was)))
		return false;
	*was = mmu_pte_swap(p, 0); /* a swap: keeps what the hardware noted until now */
	mmu_dsb_ish();
	asid = asid_to_flush(leaf->pm);
	if (asid && asid_is_local(leaf->pm)) {
		mmu_tlbi_local_page(asid, va);
	} else if (asid) {
		mmu_tlbi_page(asid, vaddr(round_down(va.va, PAGE_SIZE)), true);
		mmu_dsb_ish();
	}
	return true;
}

void pmap_leaf_replace(struct pmap_leaf *leaf, vaddr_t va, pfn_t old, uint64_t was, pfn_t f)
{
	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	va.va = round_down(va.va, PAGE_SIZE);
	if (was)
		rmap_drop(leaf->pm->sys, old, (struct rmap_entry){ leaf->pm, va.va }, was);
	else
		table_fill_locked(leaf, va.va);
	fill(leaf, va, leaf_pte(leaf, va.va), f);
}

void pmap_leaf_break(struct pmap_leaf *leaf, vaddr_t va, struct tlb_gather *g)
{
	struct pte *p = leaf_pte(leaf, va.va);
	uint64_t d;

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT_CHECKED(g->pm == leaf->pm);
	block_split_locked(leaf, va.va);
	va.va = round_down(va.va, PAGE_SIZE);
	d = mmu_pte_swap(p, BUSY_BREAK); /* a swap: keeps what the hardware noted until now */
	ASSERT(pte_valid(d));
	gather_open(g);
	if (pte_tracked(d))
		rmap_drop(leaf->pm->sys, pte_frame(d), (struct rmap_entry){ leaf->pm, va.va }, d);
	gather_add(g, va.va, va.va + PAGE_SIZE);
}

void pmap_leaf_abandon(struct pmap_leaf *leaf, vaddr_t va)
{
	struct pte *p = leaf_pte(leaf, va.va);

	ASSERT_CHECKED(spin_held(&leaf->page->lock));
	ASSERT(mmu_pte_load(p) == BUSY_BREAK);
	mmu_pte_store(p, 0);
	table_empty_locked(leaf, 1);
}
