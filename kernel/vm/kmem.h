/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/kmem.h: kernel memory that is mapped page by page in the kernel's window:
 * of any length without a run of frames that long, with a guard page below, or
 * with pages that come when they are touched. Theory: kmem.c.
 *
 * For small things, and where speed counts, there is kmalloc (vm/kmalloc.h): each
 * range here costs its mapping and, when it goes, an invalidation on all CPUs.
 *
 * Addresses are taken from a map: the kernel map, which is the window, or a
 * submap, a range of it with room of its own. On the simulated machine they are
 * reached by host_kernel_* (hal/host/host.h) only.
 *
 * Context, unless said otherwise: thread or boot, never an interrupt handler, no
 * spinlock held. What "waits" is outside any epoch section too.
 */
#ifndef VM_KMEM_H
#define VM_KMEM_H

#include "hal/kmap.h"
#include "vm/kva.h"

#define KMEM_NOWAIT 1u /* never waits: ERR_NOMEM, ERR_NOSPACE at once; spinlocks below RANK_KVA_CACHE may be held */
#define KMEM_ZERO 2u   /* the content is zeros; else anything */
#define KMEM_ROOM 4u   /* waits until the map has room */

struct kmem;

/* One map. Fixed after its creation but for what kva says. */
struct kmem_map {
	struct kmem *kmem;
	struct kmem_map *parent; /* NULL: the kernel map */
	struct kva kva;
};

/* Ranges of one kind that stay mapped while nobody has them. g: inside the gate; else fixed. */
#define KMEM_POOL_KEEP 4u
struct kmem_pool_cpu {
	struct gate gate;             /* RANK_KVA_CACHE */
	uint32_t count;               /* g */
	vaddr_t range[KMEM_POOL_KEEP]; /* g */
} ALIGNED(CACHE_LINE);
struct kmem_pool {
	struct kmem_map *map;
	const char *owner;
	uint64_t size, align;
	struct list link;             /* kmem.lock */
	struct kmem_pool_cpu *cpu;    /* one a CPU */
	void *memory;                 /* what cpu lies in */
};

/* One machine's kernel memory. Fixed after kmem_init, but for kmap's and kva's own. */
struct kmem {
	struct frames *frames;
	struct zones *zones;
	struct kmalloc *kmalloc;
	struct zone *segments;
	struct kmap pages;
	struct kmem_map map;      /* the kernel map */
	ATOMIC(uint64_t) mapped;  /* pages: relaxed, a statistic */
	struct spinlock lock;     /* RANK_KMEM */
	struct list pools;        /* guarded by lock */
};

/* Boot, one CPU, after kmalloc_init. ERR_NOMEM: too little for a start. */
enum error kmem_init(struct kmem *km, struct kmalloc *k) MUST_CHECK;

/* --- maps --- */

/* A submap of size bytes (rounded up to pages). name must outlive it. Waits for nothing. ERR_NOSPACE, ERR_NOMEM: nothing changed. */
enum error kmem_suballoc(struct kmem_map *parent, uint64_t size, const char *name, struct kmem_map **out) MUST_CHECK;

/* Takes it apart. Everything was freed (panics and names it otherwise), nobody uses it. */
void kmem_subfree(struct kmem_map *m);

/* --- memory --- */

/*
 * size bytes, rounded up to pages, zeroed, readable and writable, page aligned. owner: a string that stays, for messages. Waits
 * for frames a while: ERR_NOMEM when there are none even after caches were emptied and others had
 * their turn; ERR_NOSPACE: the map has no such range; ERR_INVAL: size is 0 or larger than the map. After an error nothing has changed.
 */
enum error kmem_alloc(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out) MUST_CHECK;

/* The same with a choice. flags: KMEM_*; align: of the address, a power of two, at least a page: as many bytes below are guard. */
enum error kmem_malloc(struct kmem_map *m, uint64_t size, uint64_t align, unsigned flags, const char *owner,
		       vaddr_t *out) MUST_CHECK;

/*
 * An address range of the map whose pages come, zeroed, with the first access: kmem_fault. Waits for nothing.
 * Errors as kmem_alloc.
 */
enum error kmem_alloc_pageable(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out) MUST_CHECK;

/* The same in a submap that may be full: waits until somebody frees enough. Waits. Never ERR_NOSPACE. */
enum error kmem_alloc_wait(struct kmem_map *m, uint64_t size, const char *owner, vaddr_t *out) MUST_CHECK;

/*
 * Frees what any of these gave: unmapped, flushed on all CPUs, then the frames are freed; wakes
 * who waits for room. size as then. Panics on a range that was not given like this. Does not wait, but for other CPUs' TLBs.
 */
void kmem_free(struct kmem_map *m, vaddr_t va, uint64_t size);

/* BSD's name for the other half of kmem_alloc_wait; kmem_free wakes as well. */
static inline void kmem_free_wakeup(struct kmem_map *m, vaddr_t va, uint64_t size) { kmem_free(m, va, size); }

/*
 * The kernel touched va, and it is not mapped. => OK: it is now, try again. ERR_NOMEM: a pageable page, and
 * no frame for it. ERR_FAULT: not memory (kmem_describe says what). Any thread context, even inside sections and with spinlocks
 * below RANK_FRAME_CACHE held, since it waits for nothing.
 */
enum error kmem_fault(struct kmem *km, vaddr_t va) MUST_CHECK;

/* Makes all pages of a pageable range be there, so that no access faults. ERR_NOMEM: not all came; those that did stay. Waits as kmem_alloc. */
enum error kmem_fault_in(struct kmem_map *m, vaddr_t va, uint64_t size) MUST_CHECK;

/* The frame at va, or PFN_NONE. Any context. */
pfn_t kmem_frame(const struct kmem *km, vaddr_t va);

/* --- pools: for ranges that come and go all the time --- */

/* KMEM_POOL_KEEP ranges a CPU of that size and alignment stay mapped when they are given back. ERR_NOMEM. */
enum error kmem_pool_init(struct kmem_pool *p, struct kmem_map *m, uint64_t size, uint64_t align, const char *owner) MUST_CHECK;
/* Nothing is out, nobody uses it. */
void kmem_pool_fini(struct kmem_pool *p);
/* A range with any content. Errors as kmem_malloc with KMEM_NOWAIT. */
enum error kmem_pool_get(struct kmem_pool *p, vaddr_t *out) MUST_CHECK;
void kmem_pool_put(struct kmem_pool *p, vaddr_t va);

/* Frees what pools keep and empties the caches of the kernel map, while others go on. */
void kmem_drain(struct kmem *km);

/* --- looking --- */

/* What an address of the window is, for a panic: takes no lock. */
struct kmem_place {
	const char *what;    /* "guard page", "memory that nobody has", ... */
	const char *owner;   /* whose, or "" */
	struct vrange range; /* of the owner's memory, or of the page */
};
void kmem_describe(const struct kmem *km, vaddr_t va, struct kmem_place *place);

struct kmem_stats {
	struct kva_stats kva;
	uint64_t pages;      /* mapped, in the kernel map and submaps; pools included */
	uint64_t tables;     /* frames of translation tables */
	uint64_t pooled;     /* pages of ranges that pools keep */
};
void kmem_stats(struct kmem *km, struct kmem_stats *s);

/* Panics unless tables, maps and pools agree. Quiet point. */
void kmem_check(struct kmem *km);

#endif
