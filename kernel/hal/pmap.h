/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/pmap.h: translation of one user address space, and what is kept for each
 * frame. Implemented by hal/armv8 (and hal/flat).
 *
 * pmap never allocates and never frees. Table frames come from a stock that the
 * caller fills beforehand; emptied ones go back through the TLB gather. A PTE
 * holds no reference to its frame: the anon or object page does.
 *
 * The fault path installs a PTE in three steps, so that the caller's last check
 * (DESIGN 5.6) is made where nobody can pass it:
 *
 *	pmap_leaf_lock(pm, va, stock, &leaf);      links missing tables, takes the leaf lock
 *	    the caller looks: entry live? the slot still as it was found?
 *	pmap_leaf_set(&leaf, va, pfn, prot, flags, stock, check);
 *	    check->still(): page still the one? then reverse map, then the PTE
 *	pmap_leaf_unlock(&leaf);
 *
 * What is withdrawn by its address (an entry, a slot) is changed first, and then
 * pmap_remove or pmap_protect take the leaf lock of every table there: so it is
 * enough to look once under it (pmap_limit_writes takes none: armv8/limit.c). What is withdrawn through the reverse map (an object's
 * page: first the slot, then pmap_page_remove_all) must be checked by still(),
 * which is called under the lock of the frame's reverse map: either the withdrawer
 * finds the mapping there, or it held that lock before us and still() sees what
 * it stored.
 *
 * A mutator marks entries dead (seq_cst) and then calls pmap_remove, which loads
 * table pointers seq_cst; pmap_leaf_lock links tables by seq_cst compare-and-swap
 * before the caller's seq_cst load of dead. One of the two sees the other.
 */
#ifndef HAL_PMAP_H
#define HAL_PMAP_H

#include "base/error.h"
#include "base/types.h"
#include "hal/mmu.h"
#include "sync/epoch.h"
#include "sync/spinlock.h"

struct pmap;
struct pmap_system;

/*
 * The pmap's part of each frame's vm_page, at its offset 0; an array of vm_page
 * is handed over at boot with its stride. The lock is never reinitialised: a
 * late walker may still be spinning on the lock of a table that was freed.
 * t: the frame is a leaf table, guarded by lock as RANK_LEAF
 * u: the frame is a table above the leaves, atomic; of level 2: lock as RANK_UPPER guards the limit above it
 * d: the frame holds data, guarded by lock as RANK_RMAP
 */
#define PMAP_PAGE_EXEC_CLEAN 1 /* d: flags: instruction fetch is coherent with its bytes */
#define PMAP_PAGE_LINKED 2     /* t: flags: the table hangs in a pmap */
#define PMAP_PAGE_RMAP_CHUNK 4 /* d: flags: rmap_word leads to a chunk */
#define PMAP_PAGE_REFERENCED 8 /* d: flags: access noted when a mapping was removed */
#define PMAP_PAGE_MODIFIED 16  /* d: flags: likewise a write */
#define PMAP_PAGE_BLOCK 32     /* t: flags, with LINKED: a block descriptor stands where the table would */
struct pmap_page {
	struct spinlock lock;
	ATOMIC(uint16_t) live;    /* t: PTEs that are not 0 (BUSY ones count) */
	ATOMIC(uint16_t) flags;   /* PMAP_PAGE_* */
	ATOMIC(uint32_t) shadow;  /* u: of level 2: number in the array, plus 1, of the frame that says which table each block stands for; 0: none */
	union {
		struct pmap *rmap_pmap; /* d: who maps it; NULL: nobody, or see the chunk */
		struct pte *parent;     /* t, u: the descriptor that leads to the table, until its unlinking was flushed */
	};
	union {
		uint64_t rmap_word;   /* d: at which address, or the chunk with all mappings */
		ATOMIC(uint64_t) lines; /* t, u: bit n: entries 8n to 8n + 7, a cache line, may not all be 0 */
		pfn_t next;           /* free or withdrawn: next in a frame list */
	};
};
_Static_assert(sizeof(struct pmap_page) == 32, "half a vm_page");

/* A list of frames through pmap_page.next; PFN_NONE ends it. */
struct frame_list {
	pfn_t head;
	uint64_t count;
};

/* Prepared memory for one pmap_leaf_lock + pmap_leaf_set: filled by the caller while it may still wait. */
#define PMAP_STOCK_TABLES 3 /* levels below the root */
struct pmap_stock {
	pfn_t table[PMAP_STOCK_TABLES]; /* zeroed frames */
	uint32_t tables;                /* how many are there */
	uint32_t missing;               /* out, with pmap_leaf_lock's ERR_STOCK: how many it takes */
	pfn_t chunk;                    /* a frame for reverse-map chunks, or PFN_NONE; see pmap_page.c */
};

/* ASIDs of one machine; see armv8/asid.c for the protocol and guards. */
struct pmap_asids;

/* One user address space. Embedded in vm_map; freed by epoch after pmap_destroy. */
struct pmap {
	struct pmap_system *sys;
	pfn_t root;
	ATOMIC(uint64_t) asid;          /* generation and ASID; see armv8/asid.c */
	ATOMIC(uint32_t) where;         /* which CPUs may have TLB entries under it; see armv8/asid.c */
	uint32_t moves;                 /* guarded by the asid lock: ASIDs it has taken to move, in this generation */
	ATOMIC(uint64_t) tables;        /* table frames below the root: relaxed add; not written in steady state */
};

/* One machine's pmap state. */
struct pmap_config {
	void *pages;            /* array of structs that begin with a pmap_page */
	size_t page_stride;     /* bytes from one to the next */
	pfn_t first;            /* frame of pages[0] */
	uint64_t count;         /* frames in the array */
	uint32_t ncpus;
	struct epoch *epoch;
};

/* Boot, one CPU. The state is allocated by the caller: sizeof from armv8/pmap_private.h. */
void pmap_system_init(struct pmap_system *ps, const struct pmap_config *config);
struct pmap_page *pmap_page(struct pmap_system *ps, pfn_t f);

/* root: a zeroed frame that now belongs to the pmap until pmap_destroy gives it back. Any thread context. */
void pmap_init(struct pmap_system *ps, struct pmap *pm, pfn_t root);

/* PTEs that are not empty, summed over the leaf tables (so that no fault writes a shared counter); a snapshot. Any thread context. */
uint64_t pmap_resident(struct pmap *pm);

/*
 * Takes away all mappings and all tables. No CPU has it active, no other user is left. Notes dirty and referenced in the
 * frames' flags, and flushes: what was mapped may be freed afterwards. Puts all its frames, the root included, on tables, empty
 * before (which epoch readers may still walk: free them by epoch). Thread context, no spinlock held; time as pmap_remove.
 * => PTEs that were not empty, as pmap_resident.
 */
uint64_t pmap_destroy(struct pmap *pm, struct frame_list *tables);

/*
 * Puts the frames on l, empty before, that are kept for reverse maps to come, one a CPU at most. Free them by epoch. Thread
 * context, no spinlock held.
 */
void pmap_drain(struct pmap_system *ps, struct frame_list *l);

/* This CPU runs in pm from now on / in no user space (idle, kernel threads, before the last reference is dropped). */
void pmap_activate(struct pmap *pm);
void pmap_deactivate(struct pmap_system *ps);

/* --- installing --- */

struct pmap_leaf {
	struct pmap *pm;
	struct pte *table;          /* 512 descriptors */
	uint64_t upper;             /* the descriptor above the one that leads to it, as pmap_leaf_lock saw it; else 0 */
	struct pmap_page *page;     /* the table's own: its lock is held */
};

/*
 * Finds the leaf table of va, links missing tables out of the stock, takes its
 * lock. Inside an epoch section that stays open until pmap_leaf_unlock;
 * spinlocks below RANK_LEAF may be held.
 * => OK: leaf lock held. ERR_STOCK: a table is missing and the stock is empty;
 * ERR_BUSY: the table was just unlinked and its flush is not over: drop all
 * locks, let others run, start over. Without a stock (NULL) also: a block stands there, unless it has just come: all
 * PTEs are valid then, and the caller must change none.
 * After an error nothing is held; what was linked stays.
 */
enum error pmap_leaf_lock(struct pmap *pm, vaddr_t va, struct pmap_stock *stock, struct pmap_leaf *leaf) MUST_CHECK;
/* Whether va's leaf table is there, at a glance. Inside an epoch section. */
bool pmap_has_leaf(struct pmap *pm, vaddr_t va);
static inline void pmap_leaf_unlock(struct pmap_leaf *leaf) { spin_unlock(&leaf->page->lock); }

enum pmap_pte_state { PMAP_EMPTY, PMAP_BUSY, PMAP_VALID };
struct pmap_pte {
	enum pmap_pte_state state;
	pfn_t frame;       /* VALID */
	enum prot prot;    /* VALID: what it allows now; W also while it is clean and the first write will be noted */
	bool dirty;        /* VALID: written through this PTE */
	bool block;        /* by pmap_extract: one descriptor maps all 2 MiB around */
};
/* A limit of pmap_limit_writes counts as pmap_leaf_lock saw it. */
struct pmap_pte pmap_leaf_get(const struct pmap_leaf *leaf, vaddr_t va);
/*
 * How many PTEs in a row are PMAP_EMPTY from va's on, at most max, which does not lead out of the table; how many are PMAP_VALID just
 * before va's, at most max, in the table. In the section in which the leaf was locked: without the lock both are a glance.
 */
unsigned pmap_leaf_empty(const struct pmap_leaf *leaf, vaddr_t va, unsigned max);
unsigned pmap_leaf_valid_before(const struct pmap_leaf *leaf, vaddr_t va, unsigned max);

#define PMAP_WRITTEN 1    /* the access that faulted is a write: dirty from the start */
#define PMAP_UNTRACKED 2  /* no reverse map: the shared zero page, device memory */
#define PMAP_DEVICE 4     /* Device-nGnRE memory */
#define PMAP_OWN_BUSY 8   /* the PTE is BUSY by the caller's own pmap_leaf_break */

/*
 * Maps va to frame f. prot is not empty; what is mapped can be read. Without
 * hw_dirty the first write to a clean writable page faults: the fault path calls
 * this again with PMAP_WRITTEN. The PTE must be empty, or map the same frame (rights are
 * then only added), or be the caller's own BUSY one. => OK; ERR_BUSY: another's
 * BUSY; ERR_EXISTS: another frame is mapped there (break it first); ERR_STOCK:
 * the reverse map needs a chunk; ERR_STALE: check->still said no. On error
 * nothing changed. check (may be NULL: the caller's locks keep f) is asked
 * before anything is written, f's pmap_page included, under the leaf lock and, if
 * tracked, the lock of f's reverse map; several times when that one is contended.
 * Adding rights leaves stale entries in TLBs, which fault spuriously once:
 * pmap_spurious.
 */
struct pmap_last_check {
	/* The last check of DESIGN 5.6: is what may be withdrawn by the reverse map still there? Takes no lock, waits for nothing. */
	bool (*still)(void *arg);
	void *arg;
};
enum error pmap_leaf_set(struct pmap_leaf *leaf, vaddr_t va, pfn_t f, enum prot prot, unsigned flags,
			 struct pmap_stock *stock, const struct pmap_last_check *check) MUST_CHECK;

/*
 * pmap_leaf_set for what is commonest, PROT_R | PROT_W and PMAP_WRITTEN where nothing is mapped, of a frame that
 * nobody but the caller knows: it came from the allocator, and is mapped nowhere. => false: the PTE is not empty, or its table
 * has limits; nothing was done.
 */
bool pmap_leaf_fill(struct pmap_leaf *leaf, vaddr_t va, pfn_t f) MUST_CHECK;

/* Whether nothing is mapped, nor BUSY, in the 2 MiB around va, at a glance: pmap_leaf_set_block may find it so. Inside an epoch section. */
bool pmap_block_room(struct pmap *pm, vaddr_t va);

/*
 * pmap_leaf_fill for all 512 pages of leaf's table at once, by one descriptor: f is the first of 512 frames in a row, aligned to
 * 2 MiB, each the caller's alone and mapped nowhere. To all other calls they are 512 PTEs; who changes one splits the
 * block before. Invalidates one address on all CPUs and waits for that, with the lock held.
 * => OK; ERR_EXISTS: something is mapped in the table, or BUSY; ERR_STOCK: stock lacks a frame, stock->missing. After an error
 * nothing was done.
 */
enum error pmap_leaf_set_block(struct pmap_leaf *leaf, pfn_t f, vaddr_t va, struct pmap_stock *stock) MUST_CHECK;

/*
 * The same where the page that is mapped, if one is, has to be copied first, under one hold of the leaf lock:
 *
 *	pmap_leaf_withdraw(&leaf, va, old, &was)     old's translation leaves the table and all TLBs
 *	    the caller copies old to f: nobody can write to old through this address any more
 *	pmap_leaf_replace(&leaf, va, old, was, f)    old's reverse map, f's, the PTE
 *
 * withdraw => false: something else than old is mapped, the PTE is BUSY, or its table has limits and too much in it to push them
 * down here; nothing was done. After true, replace must follow. It invalidates one page on all CPUs and waits for that, with the lock held.
 */
bool pmap_leaf_withdraw(struct pmap_leaf *leaf, vaddr_t va, pfn_t old, uint64_t *was) MUST_CHECK;
void pmap_leaf_replace(struct pmap_leaf *leaf, vaddr_t va, pfn_t old, uint64_t was, pfn_t f);

/* What TLBs may still hold, and what must wait for them. */
#define GATHER_RANGES 8
struct tlb_gather {
	struct pmap *pm;
	struct vrange range[GATHER_RANGES]; /* to invalidate */
	uint32_t ranges;
	bool whole;                /* too many: the whole ASID */
	bool tables;               /* a table was unlinked or restricted: not last-level only */
	/*
	 * Set by the caller after gather_init: nobody can install anything in the
	 * ranges that pmap_remove gets until gather_flush has returned (munmap,
	 * exec, exit: entries dead, range lock held). PTEs then go to 0 at once.
	 * Otherwise (entries stay live: MADV_DONTNEED, truncate) they stay BUSY
	 * until gather_flush has flushed and then empties them.
	 */
	bool exclusive;
	bool open;                  /* frames were taken out of their reverse maps and not flushed yet */
	struct vrange busy;         /* hull of the PTEs that are BUSY until the flush */
	struct frame_list unlinked; /* table and reverse-map frames, free by epoch after the flush */
};
void gather_init(struct tlb_gather *g, struct pmap *pm);

/*
 * Invalidates what was gathered on all CPUs and waits. Thread context, no
 * spinlock held (its caller frees frames only after this returns). => g empty
 * but for unlinked, which the caller takes. Must follow whatever filled g,
 * whether or not a frame is freed: BUSY descriptors and pmap_page_remove_all
 * count on it. Between the first pmap_remove or pmap_leaf_break and the flush the
 * caller does not wait and calls no sched_point (asserted as far as possible: the
 * flush is on the same CPU), and the gather does not move in memory.
 */
void gather_flush(struct tlb_gather *g);

/* Break before make: makes a VALID PTE BUSY, drops its reverse map, gathers it. The caller flushes with no spinlock held,
 * then comes back with pmap_leaf_lock and either pmap_leaf_set(PMAP_OWN_BUSY) or pmap_leaf_abandon. */
void pmap_leaf_break(struct pmap_leaf *leaf, vaddr_t va, struct tlb_gather *g);
void pmap_leaf_abandon(struct pmap_leaf *leaf, vaddr_t va);

/* --- removing --- */

/*
 * Clears every PTE in r (page aligned), notes dirty and referenced in the
 * frames' flags, unlinks tables that r covers whole and that are empty.
 * BUSY PTEs are left to whoever made them so. Inside no epoch section, takes
 * leaf locks one after the other. Cannot fail. The caller then flushes. Its time
 * grows with the tables and pages in r: whoever removes much does it in pieces.
 */
void pmap_remove(struct pmap *pm, struct vrange r, struct tlb_gather *g);

/*
 * Takes from every PTE in r the rights that prot does not have; whole 2 MiB
 * windows by one descriptor each (APTable), which the first fault that may write
 * there pushes down. PROT_NONE_ is pmap_remove's business. Locks as pmap_remove.
 * The caller then flushes.
 */
void pmap_protect(struct pmap *pm, struct vrange r, enum prot prot, struct tlb_gather *g);

/*
 * pmap_protect for fork: takes the right to write from r, rounded out to whole windows of 1 GiB, by one descriptor each, whatever
 * is mapped there. What else lies in them may be written again after a fault that finds nothing to do but that. Takes no
 * leaf lock: a fault that has found its entry live may go on and store its PTE, but nobody can write through it
 * (armv8/limit.c). Cannot fail. The caller then flushes, before anybody may find a live entry there.
 */
#define PMAP_LIMIT_SPAN (UINT64_C(1) << 30)
void pmap_limit_writes(struct pmap *pm, struct vrange r, struct tlb_gather *g);

/*
 * Is a limit of pmap_limit_writes over va? A write fault that sees one lifts it: from all of the window, down to what
 * pmap_leaf_set deals with; then it takes the leaf lock and looks whether its entry is live, as always. Not if check says no, which
 * is asked where no limit comes: is the entry live, so that the limit is of a fork that is over? => OK: there is none, or was
 * none for a moment; ERR_STALE. Inside an epoch section, no lock of RANK_UPPER or above held.
 */
bool pmap_limited(struct pmap *pm, vaddr_t va) MUST_CHECK;
enum error pmap_lift_limit(struct pmap *pm, vaddr_t va, const struct pmap_last_check *check) MUST_CHECK;

/* --- asking --- */

/* The translation of va now, or state EMPTY/BUSY. Any thread context. */
struct pmap_pte pmap_extract(struct pmap *pm, vaddr_t va);

/* A fault that the PTE allows by now: sets its access flag and drops this CPU's stale entries. Any thread context. */
void pmap_spurious(struct pmap *pm, vaddr_t va);

/*
 * --- by frame, through the reverse map; thread context, no spinlock held ---
 * referenced, modified: since the last clear, through any mapping, present or
 * past. After a modified(clear) has returned, the next write is noted again.
 * A mapping that comes or goes meanwhile may be missed, its dirty state is then
 * found by the next question and never lost.
 */
bool pmap_page_referenced(struct pmap_system *ps, pfn_t f, bool clear);
bool pmap_page_modified(struct pmap_system *ps, pfn_t f, bool clear);
/* Removes f from every address space. Flushes. Whoever calls has withdrawn the frame before (DESIGN 5.6). */
void pmap_page_remove_all(struct pmap_system *ps, pfn_t f);
uint32_t pmap_page_mappings(struct pmap_system *ps, pfn_t f);
/* The frame is about to hold something else: forgets its flags. No mapping may be left (asserted). */
void pmap_page_reset(struct pmap_system *ps, pfn_t f);

/* Whole-structure check at a quiet point: tables, live counts, reverse maps agree. Panics when not. */
void pmap_check(struct pmap *pm);

#endif
