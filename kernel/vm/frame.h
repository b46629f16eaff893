/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame.h: page frames: all of RAM, who owns which frame, and allocation.
 *
 * In front of the frame core (vm/frame_core.h) each CPU has small caches of
 * single frames, of 2 MiB blocks and of zeroed frames, so that the usual allocation writes only
 * lines of its own CPU. A frame's content, unless FRAME_ZERO is asked for, is
 * whatever was there. Allocation never waits and never reclaims: it fails.
 *
 * Context: thread or boot, never an interrupt handler. Spinlocks below
 * RANK_FRAME_CACHE may be held; epoch sections too.
 */
#ifndef VM_FRAME_H
#define VM_FRAME_H

#include "base/error.h"
#include "hal/machine.h"
#include "sync/spinlock.h"
#include "vm/frame_core.h"
#include "vm/page.h"

#define FRAME_ZERO 1u /* frame_alloc: the content is zeros */

#define FRAME_ORDER_MAX FRAME_CORE_ORDER_MAX /* largest block: 2^18 frames, 1 GiB */
#define FRAME_CACHE_MAX 62u                  /* single frames of one kind that a CPU may keep */
#define FRAME_STACK 64u                      /* places for them */
#define FRAME_BLOCKS_MAX 2u                  /* 2 MiB blocks a CPU may keep */
#define FRAME_ZERO_BATCH 16u                 /* zeroed frames that go to or from the stock at once */
#define FRAME_ZERO_LINES 64u                 /* such batches in the stock */

/* A CPU's stacks: single frames of each kind, zeroed ones, which are of movable trees, and 2 MiB blocks. */
enum { FRAME_ZEROED = FRAME_KINDS, FRAME_WHOLE, FRAME_STACKS };
_Static_assert(2 * FRAME_ZERO_BATCH <= FRAME_STACK, "two batches of zeroed frames fit");

/*
 * Frames by index (frame number - frames.first). low, high: one or both closed against the fast path, see frame_cache.c.
 * c: under the cache's lock; g: in the gate of its own CPU, or under the lock with the cache closed or by its own
 * CPU; x: also read by anyone for statistics.
 */
struct frame_stack {
	ATOMIC(uint32_t) inside; /* 1: the CPU is on the fast path; written by it alone */
	uint32_t places;         /* bytes from here to the first place, in frame_rounds; fixed */
	ATOMIC(uint32_t *) low;  /* c: the first place; FRAME_CLOSED_LOW */
	ATOMIC(uint32_t *) high; /* c: behind the last place; FRAME_CLOSED_HIGH */
	ATOMIC(uint32_t *) top;  /* g, x: behind the last frame */
};

/* One CPU's cache: what the fast path touches. */
struct frame_cache {
	struct frame_stack stack[FRAME_STACKS];
} ALIGNED(CPU_STRIDE);
_Static_assert(sizeof(struct frame_cache) == CPU_STRIDE, "found by cpu_offset");

/* What its stacks stand on, and its lock. */
struct frame_rounds {
	struct spinlock lock;                                          /* RANK_FRAME_CACHE */
	uint32_t frame[FRAME_STACKS][FRAME_STACK] ALIGNED(CACHE_LINE); /* g */
} ALIGNED(CACHE_LINE);

struct frame_lines {
	ATOMIC(uint64_t) bits; /* x */
};

/* Batches of zeroed frames, from whoever was idle for whoever needs them. A batch is its filler's, then its taker's. */
struct frame_zeros {
	struct frame_lines full;  /* a bit a batch that may be taken */
	struct frame_lines empty; /* one that may be filled; in neither: somebody is at it, under his cache's lock */
	uint32_t batch;           /* frames a batch; 0: the stock is switched off; fixed */
	bool at_free;             /* whoever frees an anon's frame fills it, not idle CPUs; fixed */
	uint32_t lines;           /* batches; fixed */
	uint32_t frame[FRAME_ZERO_LINES][FRAME_ZERO_BATCH] ALIGNED(CACHE_LINE);
};
_Static_assert(FRAME_ZERO_BATCH * sizeof(uint32_t) == CACHE_LINE, "a line a batch");

/* Asked before an allocation; true: it fails, as if there were no memory. In the allocation's context: any lock may be held. */
typedef bool frames_fail_fn(void *arg);

/* One machine's RAM. The first group is fixed after frames_init but for what is said. */
struct frames {
	/* first: so that an allocation reads it without computing an address */
	ATOMIC(frames_fail_fn *) fail; /* x: frames_fail_by; NULL normally. Then all caches are closed */
	void *fail_arg;                /* what fail is given; written before it */
	void (*fail_told)(void *arg);  /* called when fail has changed, by whoever allocates without looking at it; or NULL */
	void *fail_told_arg;
	struct vm_page *pages; /* one a frame from first on, holes between banks included */
	pfn_t first;           /* frame of pages[0]; 2 MiB aligned */
	uint64_t count;        /* of pages */
	uint64_t ram;          /* frames of RAM: all but the holes */
	uint64_t min, low, high; /* watermarks, in frames: frames_below_min, frames_low, frames_above_high */
	uint32_t ncpus;
	uint32_t cache_max;   /* single frames of a kind that a CPU keeps */
	uint32_t cache_batch; /* how many go to or from the core at once */
	uint32_t blocks_max;  /* blocks a CPU keeps */
	bool may_open;        /* caches may: the machine has a barrier of all CPUs */
	struct epoch *epoch;

	struct frame_core core ALIGNED(CACHE_LINE);
	struct frame_zeros zeros ALIGNED(CACHE_LINE);
	struct frame_cache cache[CPU_MAX]; /* by cpu_offset */
	struct frame_rounds rounds[CPU_MAX];
};

/*
 * Boot, one CPU. Finds RAM from the machine's banks less its reserved ranges,
 * carves the vm_page array and the core's tables out of it, frees all the rest.
 * All of the RAM must be reachable by phys_to_virt. ncpus: CPUs that may ever
 * run. epoch: for frame_free_by_epoch; may be initialised later. Banks so far
 * from the others that describing the gap would cost more than they give are
 * left out, with a message. ERR_INVAL: no RAM at all; ERR_NOMEM: no place
 * for the array.
 */
enum error frames_init(struct frames *f, const struct machine_info *mi, uint32_t ncpus, struct epoch *epoch) MUST_CHECK;

/*
 * A block of 2^order frames, aligned to its size, order <= FRAME_ORDER_MAX.
 * => OK: *out is its first frame, its head page belongs to owner, order is set,
 * wire count and the head's pmap flags are 0, the union is not touched, nor are the other
 * frames' pages. ERR_NOMEM: at one moment of the call no such block was
 * free, in the core, in any CPU's cache or in the stock of zeroed frames. Zeroing large blocks takes its
 * time: no lock and no epoch section should be held for order 9.
 */
enum error frame_alloc(struct frames *f, unsigned order, unsigned flags, enum frame_owner owner, pfn_t *out) MUST_CHECK;

/*
 * Gives a block back. head: what frame_alloc returned, and the same order.
 * Nobody may reach it any more, by TLB least of all. Checked builds panic on a
 * double free, a wrong order, a frame that was never allocated, that is mapped
 * or wired.
 */
void frame_free(struct frames *f, pfn_t head, unsigned order);

/* The two for a single frame of any content, without a question; frame_get: PFN_NONE where frame_alloc fails. */
pfn_t frame_get(struct frames *f, enum frame_owner owner) MUST_CHECK;
/* True: this CPU's cache has a single frame for such an owner, perhaps since now. Bounded work: no search. */
bool frame_at_hand(struct frames *f, enum frame_owner owner) MUST_CHECK;

/* A frame of any content, or of zeros, for a movable owner, if frame_at_hand; interrupts may be masked. PFN_NONE: ask frame_alloc. */
pfn_t frame_get_cached(struct frames *f, enum frame_owner owner) MUST_CHECK;
pfn_t frame_get_zeroed(struct frames *f, enum frame_owner owner) MUST_CHECK;
void frame_put(struct frames *f, pfn_t frame);

/*
 * The same, entirely below physical address limit (bytes): for devices that cannot reach all of RAM. Given back
 * by frame_free. A search through the bits of all of RAM below limit: for drivers' start, not for every packet.
 */
enum error frame_alloc_below(struct frames *f, unsigned order, paddr_t limit, unsigned flags, enum frame_owner owner,
			     pfn_t *out) MUST_CHECK;

/*
 * n >= 1 frames in a row, the first at a multiple of align bytes (a power of two, PAGE_SIZE or more), all within
 * [min, max) (bytes). => OK: *out is the first; each is a single frame of its own with that owner, as after frame_split: they may be freed
 * one by one, or by frame_free_range. ERR_INVAL: align is none, or n is 0. ERR_NOMEM: as frame_alloc. Cost as frame_alloc_below.
 */
struct frame_range {
	uint64_t n, align;
	paddr_t min, max;
};
enum error frame_alloc_range(struct frames *f, const struct frame_range *r, unsigned flags, enum frame_owner owner,
			     pfn_t *out) MUST_CHECK;
void frame_free_range(struct frames *f, pfn_t first, uint64_t n);

/* frame_free after a grace period, for what epoch readers may still walk (tables). Overwrites the page's union. */
void frame_free_by_epoch(struct frames *f, pfn_t head);

/*
 * Makes a block of 2^order single frames with the same owner; each then has its own page, wire count and union, and the
 * head's pmap flags EXEC_CLEAN, REFERENCED, MODIFIED.
 */
void frame_split(struct frames *f, pfn_t head, unsigned order);

/* Lists through pmap_page.next, of blocks that nobody maps. */
static inline void frame_list_init(struct frame_list *l)
{
	l->head = PFN_NONE;
	l->count = 0;
}
void frame_list_push(struct frames *f, struct frame_list *l, pfn_t frame);
pfn_t frame_list_pop(struct frames *f, struct frame_list *l); /* PFN_NONE: empty */
/* Frees every block on the list, now or after a grace period. => empty. */
void frame_list_free(struct frames *f, struct frame_list *l);
void frame_list_free_by_epoch(struct frames *f, struct frame_list *l);

/* Frame of RAM <-> page. frame_page: the frame must lie in the array (frame_is_ram says so for any number). */
static inline struct vm_page *frame_page(struct frames *f, pfn_t n)
{
	ASSERT_CHECKED(n.fn - f->first.fn < f->count);
	return &f->pages[n.fn - f->first.fn];
}
static inline pfn_t frame_of(const struct frames *f, const struct vm_page *p)
{
	return pfn(f->first.fn + (uint64_t)(p - f->pages));
}
bool frame_is_ram(const struct frames *f, pfn_t n);

/* RAM that belongs to nobody at this moment. For judges (the simulated MMU); no lock, any context. */
bool frame_is_free(const struct frames *f, pfn_t n);

/* Where the kernel reaches a frame's bytes, and back. */
static inline void *frame_bytes(pfn_t n) { return phys_to_virt(pfn_to_paddr(n)); }
static inline pfn_t frame_of_bytes(const void *p) { return paddr_to_pfn(virt_to_phys(p)); }

/* Boot data that is needed no longer (the initrd): reserved RAM becomes free. Whole frames within [start, end). */
void frames_release(struct frames *f, paddr_t start, paddr_t end);

/*
 * From now on asked is called before every allocation of frames and of zone objects; NULL: none. arg stays the
 * same from the first call on, unless nobody allocates at the moment of the change. No spinlock held; other CPUs notice at
 * their next allocation. It closes the CPUs' caches: switched off it costs an allocation nothing.
 */
void frames_fail_by(struct frames *f, frames_fail_fn *asked, void *arg);

/* Whether somebody wants to be asked. */
static inline bool frames_may_fail(const struct frames *f)
{
	return UNLIKELY(atomic_load_relaxed(&f->fail) != NULL); /* frames_must_fail looks again */
}

/* The allocation under way must fail. */
static inline bool frames_must_fail(const struct frames *f)
{
	frames_fail_fn *asked = atomic_load_acquire(&f->fail); /* pairs with frames_fail_by: fail_arg is there */

	return asked && asked(f->fail_arg);
}

/* Empties every CPU's cache, and the stock of zeroed frames, into the core. At any time; other CPUs may go on. */
void frames_drain(struct frames *f);

/*
 * For an idle CPU: zeroes a few frames for the stock, which FRAME_ZERO allocations of single movable frames are
 * served from. Bounded: FRAME_ZERO_STEP frames. => more are wanted. false: the stock is full or off, or less than
 * the high watermark is free. Thread context, nothing held. `zero=idle` on the command line, which is taken without a word; `zero=fault`: nobody
 * zeroes before a fault needs it; `zero=free`: who frees an anon's frame does, as long as there is room in the stock.
 */
#define FRAME_ZERO_STEP 4u
bool frames_zero_idle(struct frames *f);

/* Frames that can be allocated now, caches included; a snapshot: one line read for each CPU, and one for 16 trees. */
uint64_t frames_available(const struct frames *f);

/*
 * Watermarks, of RAM: min a 256th (at least 16 frames): keep the rest for who frees memory. low a 64th (at least 32):
 * time to reclaim. high a 32nd (at least 64): reclaimed enough. Cost as frames_available.
 */
bool frames_below_min(const struct frames *f);
bool frames_low(const struct frames *f);
bool frames_above_high(const struct frames *f);

struct frame_audit {
	uint64_t owned[FRAME_OWNER_COUNT]; /* frames, by owner */
	uint64_t ram;                      /* frames of RAM */
	uint64_t holes;                    /* pages without RAM behind them */
	const char *problem;               /* the first contradiction, or NULL */
	pfn_t where;                       /* its frame */
};

/*
 * Counts every frame by owner, and checks pages, core and caches against each
 * other: every block lies in RAM that the core holds for taken, every free
 * frame is free for both, caches hold what is marked cached, counts add up to
 * all of RAM. => true when so. At a quiet point; at any other moment the counts
 * are approximate and the verdict means nothing. Reads every page: slow.
 */
bool frame_audit(struct frames *f, struct frame_audit *result);

const char *frame_owner_name(enum frame_owner owner);

#endif
