/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/rmap.c: which PTEs lead to a frame.
 *
 * Structure. In the frame's pmap_page, under its lock (RANK_RMAP):
 *
 *      rmap_pmap = NULL, flag clear      nobody
 *      rmap_pmap, rmap_word = address    one mapping
 *      RMAP_CHUNK: rmap_word -> chunk -> chunk ...    two or more; only the first chunk may have room
 *
 * Invariants.
 *  1. A tracked PTE of an address space is entered exactly once: before the PTE
 *     is stored, out after it was cleared, both within one hold of its leaf lock.
 *     So under the leaf lock and outside of set, break and remove the two agree.
 *  2. What a PTE knew (accessed, written) is noted in the frame's flags in the
 *     same hold of the frame's lock that takes the entry out.
 *  3. EXEC_CLEAN is set before any executable PTE of the frame is visible, and
 *     its instruction lines are coherent before it is set.
 *  4. Nothing but the lock of a frame's pmap_page is written for a frame that was
 *     withdrawn. A fault may bring one: it trusts no frame before its last check,
 *     and a withdrawn frame is reused at once, perhaps as a table. So the check
 *     is made under the frame's lock, before the entry. A withdrawer changes what
 *     the check looks at (W1), then reads the reverse map under the lock (W2). If W2 is
 *     before our hold of the lock, the lock orders W1 before our check: STALE. Else
 *     W2 finds the entry, and waits at the leaf lock until its PTE is there.
 *     The lock itself may belong to anything by then, even to a leaf table whose
 *     holder waits for the leaf lock that we hold, by the same mistake. So we try
 *     it and check between the tries, and do not queue.
 *
 * Locking. The frame's lock; chunks are taken and freed under it (RANK_CHUNK).
 * All flags of a data frame are guarded by the lock: relaxed accesses.
 *
 * Failure. rmap_add without a chunk changes nothing.
 */
#include "hal/armv8/pmap_private.h"

static struct rmap_chunk *first_chunk(const struct pmap_page *page)
{
	return (struct rmap_chunk *)(uintptr_t)page->rmap_word;
}

/* Sets and clears flags; the frame's lock is held. */
static void change_flags_locked(struct pmap_page *page, unsigned set, unsigned clear)
{
	/* relaxed: under the lock */
	atomic_store_relaxed(&page->flags, (uint16_t)((atomic_load_relaxed(&page->flags) | set) & ~clear));
}

static bool flag_locked(const struct pmap_page *page, unsigned flag)
{
	return atomic_load_relaxed(&page->flags) & flag; /* relaxed: under the lock */
}

static bool same(struct rmap_entry a, struct rmap_entry b) { return a.pm == b.pm && a.va == b.va; }

static enum error add_locked(struct pmap_system *ps, struct pmap_page *page, struct rmap_entry e, struct pmap_stock *stock)
{
	struct rmap_chunk *c;
	uint64_t at;

	if (!flag_locked(page, PMAP_PAGE_RMAP_CHUNK)) {
		if (!page->rmap_pmap) {
			page->rmap_pmap = e.pm;
			page->rmap_word = e.va;
			return OK;
		}
		c = rmap_chunk_alloc(ps, stock);
		if (!c)
			return ERR_STOCK;
		c->next = NULL;
		at = 1;
		c->entry[0] = (struct rmap_entry){ page->rmap_pmap, page->rmap_word };
		change_flags_locked(page, PMAP_PAGE_RMAP_CHUNK, 0);
		page->rmap_pmap = NULL;
	} else {
		c = first_chunk(page);
		at = c->used;
		if (at == RMAP_PER_CHUNK) {
			c = rmap_chunk_alloc(ps, stock);
			if (!c)
				return ERR_STOCK;
			c->next = first_chunk(page);
			at = 0;
		}
	}
	c->entry[at] = e;
	c->used = at + 1;
	page->rmap_word = (uint64_t)(uintptr_t)c;
	return OK;
}

static void exec_locked(struct pmap_page *page, pfn_t f)
{
	if (flag_locked(page, PMAP_PAGE_EXEC_CLEAN))
		return;
	mmu_sync_icache(pfn_to_paddr(f));
	change_flags_locked(page, PMAP_PAGE_EXEC_CLEAN, 0);
}

enum error rmap_add(struct pmap_system *ps, pfn_t f, struct rmap_entry e, bool exec, struct pmap_stock *stock,
		    const struct pmap_last_check *check)
{
	struct pmap_page *page = pmap_page_at(ps, f);
	enum error result;

	/* Not in line: if f is something else by now, whoever holds its lock may be waiting for a lock of ours. */
	while (!spin_trylock(&page->lock, RANK_RMAP)) {
		if (!pmap_still(check))
			return ERR_STALE;
		cpu_relax();
	}
	result = pmap_still(check) ? add_locked(ps, page, e, stock) : ERR_STALE;
	if (result == OK && exec)
		exec_locked(page, f);
	spin_unlock(&page->lock);
	return result;
}

void rmap_exec(struct pmap_system *ps, pfn_t f)
{
	struct pmap_page *page = pmap_page_at(ps, f);

	spin_lock(&page->lock, RANK_RMAP);
	exec_locked(page, f);
	spin_unlock(&page->lock);
}

/* Where e stands; panics if nowhere: the reverse map and the tables would disagree. */
static struct rmap_entry *find_locked(struct pmap_page *page, struct rmap_entry e)
{
	for (struct rmap_chunk *c = first_chunk(page); c; c = c->next)
		for (unsigned i = 0; i < c->used; i++)
			if (same(c->entry[i], e))
				return &c->entry[i];
	panic("a mapping at %llx is not in its frame's reverse map", (unsigned long long)e.va);
}

static void remove_locked(struct pmap_system *ps, struct pmap_page *page, struct rmap_entry e)
{
	struct rmap_chunk *c;

	if (!flag_locked(page, PMAP_PAGE_RMAP_CHUNK)) {
		ASSERT(page->rmap_pmap == e.pm && page->rmap_word == e.va);
		page->rmap_pmap = NULL;
		return;
	}
	c = first_chunk(page);
	*find_locked(page, e) = c->entry[c->used - 1];
	c->used--;
	if (c->used == 0) {
		ASSERT_CHECKED(c->next); /* a lone chunk goes with its last but one entry */
		page->rmap_word = (uint64_t)(uintptr_t)c->next;
	} else if (c->used == 1 && !c->next) {
		page->rmap_pmap = c->entry[0].pm;
		page->rmap_word = c->entry[0].va;
		change_flags_locked(page, 0, PMAP_PAGE_RMAP_CHUNK);
	} else {
		return;
	}
	rmap_chunk_free(ps, c);
}

void rmap_drop(struct pmap_system *ps, pfn_t f, struct rmap_entry e, uint64_t d)
{
	struct pmap_page *page = pmap_page_at(ps, f);

	spin_lock(&page->lock, RANK_RMAP);
	change_flags_locked(page, (d & PTE_AF ? PMAP_PAGE_REFERENCED : 0) | (pte_dirty(d) ? PMAP_PAGE_MODIFIED : 0), 0);
	remove_locked(ps, page, e);
	spin_unlock(&page->lock);
}

unsigned rmap_copy(struct pmap_system *ps, pfn_t f, unsigned skip, struct rmap_entry *to, unsigned max)
{
	struct pmap_page *page = pmap_page_at(ps, f);
	unsigned n = 0;

	spin_lock(&page->lock, RANK_RMAP);
	if (flag_locked(page, PMAP_PAGE_RMAP_CHUNK)) {
		for (struct rmap_chunk *c = first_chunk(page); c && n < max; c = c->next) {
			if (skip >= c->used) {
				skip -= (unsigned)c->used;
				continue;
			}
			for (; skip < c->used && n < max; skip++)
				to[n++] = c->entry[skip];
			skip = 0;
		}
	} else if (page->rmap_pmap && skip == 0 && max > 0) {
		to[n++] = (struct rmap_entry){ page->rmap_pmap, page->rmap_word };
	}
	spin_unlock(&page->lock);
	return n;
}

unsigned rmap_count(struct pmap_system *ps, pfn_t f, struct rmap_entry e)
{
	struct rmap_entry at[8];
	unsigned skip = 0, found = 0, n;

	do {
		n = rmap_copy(ps, f, skip, at, ARRAY_SIZE(at));
		for (unsigned i = 0; i < n; i++)
			found += same(at[i], e);
		skip += n;
	} while (n == ARRAY_SIZE(at));
	return found;
}
