/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/armv8/pmap_private.h: what the pmap's files share: descriptors, the
 * machine's pmap state, and the functions between them. Only vm/init and tests
 * include it besides, to allocate a struct pmap_system.
 *
 * Guards: r: read-only after init · a: asid lock (RANK_ASID) · c: chunk lock
 * (RANK_CHUNK) · o: own CPU only · x: atomic, own CPU and others
 */
#ifndef HAL_ARMV8_PMAP_PRIVATE_H
#define HAL_ARMV8_PMAP_PRIVATE_H

#include "base/assert.h"
#include "base/bits.h"
#include "base/list.h"
#include "hal/pmap.h"

/* --- descriptors: ARMv8 stage 1, 4 KiB granule, 48-bit addresses, levels 0 to 3 --- */

#define TABLE_ENTRIES 512u
#define LEAF_LEVEL 3u
#define PTE_VALID BIT(0)
#define PTE_PAGE (BIT(1) | BIT(0))   /* level 3: a page; above: a table */
#define PTE_TABLE BIT(1)             /* above: a table, not a block; of descriptors that are not valid we set it in none */
#define PTE_ATTR(n) ((uint64_t)(n) << 2)
#define PTE_AP_USER BIT(6)           /* AP[1]: EL0 may access */
#define PTE_AP_RO BIT(7)             /* AP[2]: nobody may write; on a DBM page: not written yet */
#define PTE_SH_INNER (UINT64_C(3) << 8)
#define PTE_AF BIT(10)
#define PTE_NG BIT(11)
#define PTE_ADDR BITS(47, 12)
#define PTE_DBM BIT(51)              /* may be written: hardware or the fault path clears AP_RO */
#define PTE_PXN BIT(53)
#define PTE_UXN BIT(54)
#define PTE_SW_UNTRACKED BIT(55)     /* software: not in the reverse map */
#define PTE_SW_DIRTY BIT(56)         /* software: was written before it lost AP_RO = 0 */
#define TABLE_UXN BIT(60)            /* UXNTable: nothing below is executable at EL0 */
#define TABLE_RO BIT(62)             /* APTable[1]: nothing below is writable */
#define TABLE_LIMITS (TABLE_UXN | TABLE_RO)
_Static_assert((PTE_SW_UNTRACKED | PTE_SW_DIRTY) == ((PTE_SW_UNTRACKED | PTE_SW_DIRTY) & BITS(58, 55)),
	       "bits 58:55 are the software's");
_Static_assert((PTE_ADDR & (BITS(11, 0) | BITS(63, 48))) == 0, "48-bit output address");
_Static_assert(PAGE_SHIFT == 12 && BLOCK_SHIFT == 21, "4 KiB granule: a leaf table maps 2 MiB");

/* MAIR_EL1 as hal/aarch64 sets it: 0 Normal write-back, 1 Device-nGnRE, 2 Normal non-cacheable. */
#define MAIR_NORMAL 0
#define MAIR_DEVICE 1

/* The invalid, non-zero descriptors; the low three bits say whose. 0: above the leaves, a table that is out of sight (block.c). */
#define BUSY_BREAK UINT64_C(2)       /* of pmap_leaf_break, until its caller comes back */
#define BUSY_PAGE UINT64_C(6)        /* of pmap_page_remove_all, until its flush */
#define BUSY_GATHER UINT64_C(4)      /* with the gather's address: until that gather's flush; of tables too, so without PTE_TABLE */
#define BUSY_MASK UINT64_C(7)

static inline bool pte_valid(uint64_t d) { return d & PTE_VALID; }
static inline bool pte_is_table(uint64_t d) { return d & PTE_TABLE; } /* of a descriptor above the leaves */
static inline pfn_t pte_frame(uint64_t d) { return pfn((d & PTE_ADDR) >> PAGE_SHIFT); }
static inline bool pte_dirty(uint64_t d) { return !(d & PTE_AP_RO) || (d & PTE_SW_DIRTY); }
static inline bool pte_tracked(uint64_t d) { return !(d & PTE_SW_UNTRACKED); }

/* The rights of a valid descriptor below table descriptors; parent: the last one, with the limits of all. */
static inline enum prot pte_prot(uint64_t d, uint64_t parent)
{
	return PROT_R | (d & PTE_DBM && !(parent & TABLE_RO) ? PROT_W : 0) |
	       (!(d & PTE_UXN) && !(parent & TABLE_UXN) ? PROT_X : 0);
}

/* d without the rights that prot does not have; remembers that it was written. */
static inline uint64_t pte_restrict(uint64_t d, enum prot prot)
{
	if (!(prot & PROT_W)) {
		if (!(d & PTE_AP_RO))
			d |= PTE_SW_DIRTY;
		d = (d | PTE_AP_RO) & ~PTE_DBM;
	}
	return prot & PROT_X ? d : d | PTE_UXN;
}

/* Bytes that one descriptor of a level spans, and its index in its table. */
static inline uint64_t level_span(unsigned level) { return PAGE_SIZE << (9 * (LEAF_LEVEL - level)); }
static inline unsigned level_index(uint64_t va, unsigned level)
{
	return va >> (PAGE_SHIFT + 9 * (LEAF_LEVEL - level)) & (TABLE_ENTRIES - 1);
}

/* --- the machine's pmap state --- */

#define ASID_BITS_MAX 16
#define ASID_MASK (BIT(ASID_BITS_MAX) - 1)

struct asid_cpu {
	ATOMIC(uint64_t) active;  /* x: generation and ASID in TTBR0; ASID 0: none; 0: rolled over since */
	uint64_t reserved;        /* a: what this CPU ran at the last rollover and may still run, or 0 */
	bool flush_pending;       /* a: its TLB may hold entries of an older generation */
	bool empty;               /* o: TTBR0 holds the empty table */
	struct pmap *current;     /* o: whose tables TTBR0 holds */
} ALIGNED(CACHE_LINE);

struct pmap_asids {
	ATOMIC(uint64_t) generation; /* a to write: in the bits above ASID_BITS_MAX, from 1 */
	uint32_t bits;               /* r */
	uint32_t ncpus;              /* r */
	struct spinlock lock ALIGNED(CACHE_LINE); /* apart from generation, which every switch reads */
	uint32_t next;               /* a: where to look for a free one */
	uint64_t used[BIT(ASID_BITS_MAX) / 64]; /* a: bit n: n is taken in this generation */
	struct asid_cpu cpu[CPU_MAX];
};

struct rmap_frame;
struct rmap_chunk_cpu {
	ATOMIC(struct rmap_frame *) current; /* x: the frame it carves chunks from; see rmap_chunk.c */
} ALIGNED(CACHE_LINE);

struct rmap_chunks {
	struct spinlock lock;
	struct list partial;         /* c: frames that no CPU owns, with free and used chunks */
	struct frame_list empty;     /* c: frames on their way back to the caller */
	ATOMIC(uint64_t) frames;     /* c to write; x: frames held, without the empty ones */
	ATOMIC(uint64_t) empty_count ALIGNED(CACHE_LINE); /* c to write; x: every flush peeks, so apart from the lock */
	struct rmap_chunk_cpu cpu[CPU_MAX];
};

struct gather_cpu {
	ATOMIC(struct pmap *) unflushed; /* x: whose PTEs this CPU took out of reverse maps and has not flushed yet */
	uint32_t depth;                  /* o: open gathers of that pmap */
} ALIGNED(CACHE_LINE);

struct pmap_system {
	struct pmap_config config;  /* r */
	bool hw_updates;            /* r: hardware may write to a valid descriptor */
	bool hw_dirty, range_tlbi;  /* r */
	bool page_by_page;          /* r: each PTE is invalidated as it is cleared */
	bool local;                 /* r: an address space on one CPU is flushed there only */
	struct pmap_asids asids;
	struct rmap_chunks chunks;
	struct gather_cpu gathers[CPU_MAX];
};

/* --- frames --- */

static inline bool pmap_has_page(const struct pmap_system *ps, pfn_t f)
{
	return f.fn - ps->config.first.fn < ps->config.count;
}

/* pmap_page, in line. */
static inline struct pmap_page *pmap_page_at(const struct pmap_system *ps, pfn_t f)
{
	ASSERT_CHECKED(pmap_has_page(ps, f));
	return (struct pmap_page *)((char *)ps->config.pages + (f.fn - ps->config.first.fn) * ps->config.page_stride);
}

static inline void pmap_list_push(struct pmap_system *ps, struct frame_list *l, pfn_t f)
{
	pmap_page_at(ps, f)->next = l->head;
	l->head = f;
	l->count++;
}

/* --- table.c: descent and leaf locks --- */

static inline struct pte *table_at(pfn_t f) { return phys_to_virt(pfn_to_paddr(f)); }
static inline struct pte *leaf_pte(const struct pmap_leaf *leaf, uint64_t va)
{
	return &leaf->table[level_index(va, LEAF_LEVEL)];
}

/*
 * The first leaf table at or above *va and below end, locked. *va moves up to
 * the first address that it maps. Inside an epoch section. false: none left.
 */
bool table_next_lock(struct pmap *pm, uint64_t *va, uint64_t end, struct pmap_leaf *leaf) MUST_CHECK;

/* The first level-2 table at or above *va and below end; *va moves up as above. Inside an epoch section; it stays with the pmap. */
bool table_next_upper(struct pmap *pm, uint64_t *va, uint64_t end, pfn_t *upper) MUST_CHECK;

/* table_next_lock below one level-2 table, which maps all from *va to end. */
bool table_next_below_lock(struct pmap *pm, pfn_t upper, uint64_t *va, uint64_t end, struct pmap_leaf *leaf) MUST_CHECK;

/* The leaf table of va if there is one, locked. Inside an epoch section. */
bool table_find_lock(struct pmap *pm, uint64_t va, struct pmap_leaf *leaf) MUST_CHECK;

/* The descriptor of va without a lock; the one of its table, with the limits of those above; 0 without a table. Inside an epoch section. */
struct pte *table_peek(struct pmap *pm, uint64_t va, uint64_t *d, uint64_t *parent);

/* Takes the empty leaf table out of its parent, for g to give back. Leaf lock held. */
void table_unlink_locked(struct pmap_leaf *leaf, struct tlb_gather *g);

/*
 * Which cache lines of a table may hold something: pmap_page.lines, table.c. A line has LINE_ENTRIES descriptors.
 * Relaxed where leaf tables are meant: under the leaf lock.
 */
#define LINE_ENTRIES 8u
#define LINE_SPAN (LINE_ENTRIES * PAGE_SIZE) /* of addresses, in a leaf table */
_Static_assert(LINE_ENTRIES * sizeof(struct pte) == CACHE_LINE && TABLE_ENTRIES / LINE_ENTRIES == 64, "a bit each in a word");

static inline uint64_t line_bit(unsigned index) { return BIT(index / LINE_ENTRIES); }

/* The first index from i on in a line whose bit is set; TABLE_ENTRIES or more: none. i is in the table. */
static inline unsigned lines_next(uint64_t lines, unsigned i)
{
	uint64_t rest = lines >> i / LINE_ENTRIES;

	if (rest & 1)
		return i;
	return rest ? (i / LINE_ENTRIES + bit_lowest(rest)) * LINE_ENTRIES : TABLE_ENTRIES;
}

/* The first address from va on and below end whose line may hold something; end: none. In the leaf table's window. Leaf lock held. */
static inline uint64_t leaf_occupied(const struct pmap_leaf *leaf, uint64_t va, uint64_t end)
{
	unsigned i = level_index(va, LEAF_LEVEL);
	uint64_t at;

	if (va >= end)
		return end;
	at = va + (lines_next(atomic_load_relaxed(&leaf->page->lines), i) - i) * PAGE_SIZE;
	return at < end ? at : end;
}

/* The next address that may hold something, after va, likewise. */
static inline uint64_t leaf_step(const struct pmap_leaf *leaf, uint64_t va, uint64_t end)
{
	va += PAGE_SIZE;
	return va % LINE_SPAN ? va : leaf_occupied(leaf, va, end);
}

/* The PTE of va is about to be no longer 0. Leaf lock held. */
static inline void table_fill_locked(struct pmap_leaf *leaf, uint64_t va)
{
	struct pmap_page *page = leaf->page;

	/* relaxed: written under the leaf lock; others read live for statistics */
	atomic_store_relaxed(&page->live, (uint16_t)(atomic_load_relaxed(&page->live) + 1));
	atomic_store_relaxed(&page->lines, atomic_load_relaxed(&page->lines) | line_bit(level_index(va, LEAF_LEVEL)));
}

/* n PTEs have become 0. Leaf lock held. */
static inline void table_empty_locked(struct pmap_leaf *leaf, unsigned n)
{
	unsigned live = atomic_load_relaxed(&leaf->page->live) - n; /* relaxed: as above */

	atomic_store_relaxed(&leaf->page->live, (uint16_t)live);
	if (live == 0)
		atomic_store_relaxed(&leaf->page->lines, UINT64_C(0));
}

/* All PTEs of va's line are 0. Leaf lock held. */
static inline void table_line_empty_locked(struct pmap_leaf *leaf, uint64_t va)
{
	atomic_store_relaxed(&leaf->page->lines, /* relaxed: as above */
			     atomic_load_relaxed(&leaf->page->lines) & ~line_bit(level_index(va, LEAF_LEVEL)));
}

/* --- block.c: 2 MiB by one descriptor --- */

/*
 * The descriptor of the leaf table that d stands for, which is none of a table itself and was loaded from p, of level 2: the one
 * behind a block, or out of sight for the moment; 0: there is none, or it is being unlinked. Inside an epoch section.
 */
uint64_t block_table(const struct pmap *pm, const struct pte *p, uint64_t d);

/* *d, loaded from p above the leaves, becomes the descriptor of the table that it stands for. false: there is none. Likewise. */
static ALWAYS_INLINE bool table_below(const struct pmap *pm, const struct pte *p, uint64_t *d)
{
	if (LIKELY(pte_is_table(*d)))
		return true;
	if (*d == 0)
		return false;
	*d = block_table(pm, p, *d);
	return *d;
}

static inline bool leaf_is_block(const struct pmap_leaf *leaf)
{
	return atomic_load_relaxed(&leaf->page->flags) & PMAP_PAGE_BLOCK; /* relaxed: under the leaf lock */
}

/* Puts the table in the place of the block, if one stands there. va: in it. Leaf lock held; invalidates, and waits for that. */
void block_split(struct pmap_leaf *leaf, uint64_t va);
static inline void block_split_locked(struct pmap_leaf *leaf, uint64_t va)
{
	if (UNLIKELY(leaf_is_block(leaf)))
		block_split(leaf, va);
}

/* Takes these rights from all that the table maps. Leaf lock held; the caller flushes. */
void block_limit(struct pmap_leaf *leaf, uint64_t limits);
static inline void leaf_limit_locked(struct pmap_leaf *leaf, uint64_t limits)
{
	if (UNLIKELY(leaf_is_block(leaf)))
		block_limit(leaf, limits);
	else
		mmu_pte_or(leaf->page->parent, limits);
}

/* The frame with what a table of level 2 knows of its blocks, or PFN_NONE: for its end. */
pfn_t block_shadow(const struct pmap_system *ps, pfn_t upper);

/* What pmap_leaf_fill says in a PTE, but for the frame. */
#define PTE_FILLED (PTE_PAGE | PTE_AF | PTE_NG | PTE_PXN | PTE_UXN | PTE_AP_USER | PTE_ATTR(MAIR_NORMAL) | PTE_SH_INNER | PTE_DBM)

/* f's reverse map: va of pm alone. The frame is the caller's alone. */
static inline void rmap_first(struct pmap *pm, uint64_t va, pfn_t f)
{
	struct pmap_page *page = pmap_page_at(pm->sys, f);

	/*
	 * Whoever takes the lock of the frame's page now does so by mistake, for what the frame was before, finds that out by flags or
	 * by his last check, and looks at nothing else of it (rmap.c, 4). So the reverse map is written without it.
	 * relaxed: the frame is the caller's alone
	 */
	ASSERT_CHECKED(!page->rmap_pmap && !(atomic_load_relaxed(&page->flags) & PMAP_PAGE_RMAP_CHUNK));
	page->rmap_pmap = pm;
	page->rmap_word = va;
}

/* --- limit.c: limits of table descriptors --- */

#define UPPER_SPAN PMAP_LIMIT_SPAN /* of addresses, below one level-2 table */
_Static_assert(UPPER_SPAN == BLOCK_SIZE * TABLE_ENTRIES, "a level-2 table's");

/* Moves the limits of the level-2 descriptor down to the PTEs of its leaf table. Leaf lock held. */
void limit_push_down_locked(struct pmap_leaf *leaf, uint64_t va);

/* --- asid.c --- */

void asid_init(struct pmap_asids *as, uint32_t bits, uint32_t ncpus);

/*
 * The ASID under which TLBs may hold entries of pm, or 0 when none can. To be
 * read after the DSB that follows the descriptors' change; asid.c has the proof.
 */
static inline uint32_t asid_to_flush(const struct pmap *pm)
{
	/* seq_cst: pairs with asid_renew's store */
	return (uint32_t)(atomic_load_seq_cst(&pm->asid) & ASID_MASK);
}

/* pmap.where: a CPU's number plus 1, or */
#define WHERE_NONE 0u          /* nowhere yet, or about to change */
#define WHERE_MANY UINT32_MAX

/* Of what asid_to_flush says, this CPU alone may have entries. Likewise read after the DSB. The caller stays on this CPU. */
static inline bool asid_is_local(const struct pmap *pm)
{
	/* seq_cst: pairs with asid.c's stores */
	return atomic_load_seq_cst(&pm->where) == cpu_id() + 1;
}

/* --- gather.c --- */

void gather_add(struct tlb_gather *g, uint64_t start, uint64_t end);

/* Before the first mapping is taken out of a reverse map. */
void gather_open(struct tlb_gather *g);

/*
 * Invalidates whatever other CPUs took out of reverse maps and have not flushed
 * yet. Inside an epoch section, no spinlock held.
 */
void gather_flush_others(struct pmap_system *ps);
static inline uint64_t gather_tag(const struct tlb_gather *g) { return (uint64_t)(uintptr_t)g | BUSY_GATHER; }
_Static_assert(_Alignof(struct tlb_gather) >= 8, "its address leaves three bits to the tag");

/* --- rmap.c: the reverse map of one frame --- */

struct rmap_entry {
	struct pmap *pm;
	uint64_t va;
};

static inline bool pmap_still(const struct pmap_last_check *check) { return !check || check->still(check->arg); }

/*
 * Enters a mapping, unless the last check says no: ERR_STALE. exec: makes the frame's bytes fetchable first.
 * ERR_STOCK: a chunk is missing. Leaf lock held; takes RANK_RMAP.
 */
enum error rmap_add(struct pmap_system *ps, pfn_t f, struct rmap_entry e, bool exec, struct pmap_stock *stock,
		    const struct pmap_last_check *check) MUST_CHECK;
/* Takes it out, and notes in the frame what its last descriptor d says. */
void rmap_drop(struct pmap_system *ps, pfn_t f, struct rmap_entry e, uint64_t d);
/* Makes the frame's bytes fetchable, once. */
void rmap_exec(struct pmap_system *ps, pfn_t f);
/* Copies up to max entries, the first skip left out. Returns how many. */
unsigned rmap_copy(struct pmap_system *ps, pfn_t f, unsigned skip, struct rmap_entry *to, unsigned max);
/* How often e is entered (for checks). */
unsigned rmap_count(struct pmap_system *ps, pfn_t f, struct rmap_entry e);

/* --- rmap_chunk.c --- */

#define RMAP_PER_CHUNK 3
struct rmap_chunk {
	struct rmap_chunk *next;
	uint64_t used;              /* entries, from entry[0]; all but a list's first chunk are full */
	struct rmap_entry entry[RMAP_PER_CHUNK];
};
_Static_assert(sizeof(struct rmap_chunk) == 64, "64 to a frame");

void rmap_chunk_init(struct rmap_chunks *rc);
/* A chunk, perhaps by means of stock->chunk; NULL: the stock has none. Inside an epoch section; takes RANK_CHUNK. */
struct rmap_chunk *rmap_chunk_alloc(struct pmap_system *ps, struct pmap_stock *stock);
void rmap_chunk_free(struct pmap_system *ps, struct rmap_chunk *c);
/* Gives up the frames that CPUs carve from and of which nothing is in use. */
void rmap_chunk_drain(struct pmap_system *ps);
/* Moves the frames that became empty to l. */
void rmap_chunk_take_empty(struct pmap_system *ps, struct frame_list *l);

#endif
