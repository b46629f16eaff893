/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/types.h: addresses and counts of memory, each a type of its own.
 *
 * A physical address, a virtual address, a frame number and a page count are
 * all 64-bit numbers, and mixing them up is the classic bug of a memory
 * subsystem. Here the compiler refuses to: each is a struct of one word. Byte
 * counts are plain size_t / uint64_t.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE (UINT64_C(1) << PAGE_SHIFT)
#define PAGE_MASK (PAGE_SIZE - 1)
#define BLOCK_SHIFT 21 /* what one leaf table maps: 2 MiB */
#define BLOCK_SIZE (UINT64_C(1) << BLOCK_SHIFT)
#define BLOCK_ORDER (BLOCK_SHIFT - PAGE_SHIFT)

typedef struct paddr { uint64_t pa; } paddr_t;    /* physical address, bytes */
typedef struct vaddr { uint64_t va; } vaddr_t;    /* virtual address, bytes */
typedef struct pfn { uint64_t fn; } pfn_t;        /* frame number: physical address / PAGE_SIZE */
typedef struct npages { uint64_t np; } npages_t;  /* count of pages */

static inline paddr_t paddr(uint64_t a) { return (paddr_t){ a }; }
static inline vaddr_t vaddr(uint64_t a) { return (vaddr_t){ a }; }
static inline pfn_t pfn(uint64_t n) { return (pfn_t){ n }; }
static inline npages_t npages(uint64_t n) { return (npages_t){ n }; }

static inline paddr_t pfn_to_paddr(pfn_t f) { return paddr(f.fn << PAGE_SHIFT); }
static inline pfn_t paddr_to_pfn(paddr_t p) { return pfn(p.pa >> PAGE_SHIFT); }
static inline uint64_t npages_bytes(npages_t n) { return n.np << PAGE_SHIFT; }

static inline uint64_t round_down(uint64_t x, uint64_t align) { return x & ~(align - 1); }
static inline uint64_t round_up(uint64_t x, uint64_t align) { return (x + align - 1) & ~(align - 1); }

/* A half-open range of virtual addresses [start, end). */
struct vrange {
	vaddr_t start, end;
};

static inline struct vrange vrange(uint64_t start, uint64_t end)
{
	return (struct vrange){ vaddr(start), vaddr(end) };
}
static inline uint64_t vrange_size(struct vrange r) { return r.end.va - r.start.va; }
static inline bool vrange_overlaps(struct vrange a, struct vrange b)
{
	return a.start.va < b.end.va && b.start.va < a.end.va;
}
static inline bool vrange_has(struct vrange r, uint64_t va) { return r.start.va <= va && va < r.end.va; }

/* "No frame": an impossible frame number. */
#define PFN_NONE ((pfn_t){ UINT64_MAX })
static inline bool pfn_is_none(pfn_t f) { return f.fn == UINT64_MAX; }

/* Memory access rights, for entries, page-table entries and faults. */
enum prot {
	PROT_NONE_ = 0,
	PROT_R = 1, /* values are POSIX's PROT_READ, PROT_WRITE, PROT_EXEC */
	PROT_W = 2,
	PROT_X = 4,
	PROT_ALL = 7,
};

#endif
