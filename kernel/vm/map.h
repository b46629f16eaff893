/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/map.h: address spaces. A map is an ordered tree of entries; an entry says
 * what a range of addresses is. Theory and protocol: map.c.
 */
#ifndef VM_MAP_H
#define VM_MAP_H

#include "base/error.h"
#include "base/types.h"
#include "hal/pmap.h"
#include "sync/mutex.h"
#include "vm/entry_list.h"
#include "vm/object.h"
#include "vm/range_lock.h"
#include "vm/vm.h"

/* Bytes of addresses, aligned: what a table of level 2 maps. */
#define MAP_PART_SHIFT 30
#define MAP_PART (UINT64_C(1) << MAP_PART_SHIFT)

/*
 * A part of an address space, which changes without the others: entries lie in one part or in another. Its lock, short, is that of
 * ranges. Theory: map_part.c.
 */
struct map_part {
	struct range_lock ranges ALIGNED(CACHE_LINE); /* who changes what right now */
	struct range_hold all;                        /* of who holds all parts */
	ATOMIC(uint64_t) size;                        /* bytes mapped; short lock; relaxed by readers */
	struct entry_list list;                       /* short lock: changes by who holds the range lock over them */
};

struct vm_map {
	struct vm *vm;
	struct pmap pmap;
	struct refcount refs;
	uint32_t fault_ahead;            /* the vm's, where a fault has it at hand; fixed */
	uint32_t huge;                   /* likewise */
	struct vrange bounds;            /* user addresses that may be mapped; fixed */
	ATOMIC(uint64_t) part_bytes;     /* 0, or how many addresses part covers: vm_map_spread; release, acquire */
	uint64_t part_low;               /* the first of them; constant when part_bytes is not 0, like part */
	struct map_part *part;           /* one a CPU, a GiB each */
	bool spread;                     /* it was tried; main's short lock */
	struct map_part main;            /* all other addresses */
	struct mutex brk_lock;
	uint64_t brk_start, brk_end;     /* b: heap, set by exec; brk_end is the break, not page aligned */
	uint64_t stack_limit;            /* lowest address that a growing stack entry may reach; set by exec */
	ATOMIC(uint64_t) grow_low;       /* no entry above it grows below it now: vm_map_limit_stack; relaxed, a limit */
	struct epoch_item retire;
};

/* An empty space with one reference. Thread context. => ERR_NOMEM, nothing left behind. */
enum error vm_map_create(struct vm *vm, struct vm_map **out) MUST_CHECK;
void vm_map_reference(struct vm_map *m);
/*
 * The last reference unmaps everything. No CPU has its pmap active then. Thread context, may take long.
 * => how many pages were mapped then; 0 if others still have a reference.
 */
uint64_t vm_map_release(struct vm_map *m);

/*
 * From now on several threads run in m: each CPU gets a part of its own, where it looks first when the caller leaves the address
 * free, so that CPUs that map and unmap share nothing. Thread context. Without memory or room for that all goes on as before.
 */
void vm_map_spread(struct vm_map *m);

/* Bytes mapped; a figure. Any context. */
uint64_t vm_map_size(const struct vm_map *m);

#define MAP_AT 1          /* exactly at *addr, replacing what is there */
#define MAP_AT_FREE 2     /* exactly at *addr; ERR_EXISTS if anything is there */

struct vm_mapping {
	struct vm_object *object;  /* NULL: private anonymous memory. A reference is taken. */
	uint64_t offset;           /* into the object, page aligned */
	bool shared;               /* writes go to the object; else they are private copies. Needs an object. */
	bool grows_down;
	enum prot prot, max;       /* current, and what vm_map_protect may give at most */
	unsigned inherit;          /* enum inherit */
	const char *name;          /* for /proc/self/maps: "[stack]", a path; kept by reference, must live for ever, or NULL */
	uint32_t wired;            /* mlock: filled at once and kept */
	unsigned huge;             /* enum huge */
};

/*
 * Maps size bytes (rounded up to pages). *addr: where, or a hint (0: anywhere);
 * => *addr is where it is. ERR_INVAL, ERR_NOSPACE, ERR_EXISTS, ERR_NOMEM;
 * on error the space is as it was.
 */
enum error vm_map_enter(struct vm_map *m, uint64_t *addr, uint64_t size, const struct vm_mapping *what,
			unsigned flags) MUST_CHECK;

/* All below: r is page aligned and within bounds, else ERR_INVAL. */

/* Unmaps what is there (holes are fine). ERR_NOMEM when splitting an entry has no memory: nothing changed then. */
enum error vm_map_remove(struct vm_map *m, struct vrange r) MUST_CHECK;

/* ERR_NOENT: r has a hole; ERR_ACCESS: beyond an entry's maximum. Nothing changed on error. */
enum error vm_map_protect(struct vm_map *m, struct vrange r, enum prot prot) MUST_CHECK;
enum error vm_map_inherit(struct vm_map *m, struct vrange r, unsigned inherit) MUST_CHECK;
/* Whether memory that comes from now on shall be mapped by blocks of 2 MiB where it can: enum huge. What is there stays as it is. */
enum error vm_map_huge(struct vm_map *m, struct vrange r, unsigned huge) MUST_CHECK;
enum error vm_map_wire(struct vm_map *m, struct vrange r, bool wire) MUST_CHECK;
/* mlockall(2), munlockall(2): all that is mapped; what allows no access is left as it is when wiring. ERR_NOMEM: nothing changed. */
enum error vm_map_wire_all(struct vm_map *m, bool wire) MUST_CHECK;

/*
 * MADV_DONTNEED: private pages are forgotten, the next touch finds zeros or the object's page. ERR_NOENT: hole (the
 * rest is done). ERR_NOMEM: nothing was done; but when others fault in r meanwhile, and r has several entries, those
 * before one that ran short may have been.
 */
enum error vm_map_discard(struct vm_map *m, struct vrange r) MUST_CHECK;

/*
 * mremap(2): the mapping at old becomes new_size long, in place or elsewhere
 * when may_move; at exactly *addr, replacing what is there, when fixed.
 * => *addr. ERR_FAULT: old is not (wholly in one entry) mapped. ERR_NOMEM:
 * nothing has changed, what is at *addr included.
 */
enum error vm_map_remap(struct vm_map *m, struct vrange old, uint64_t new_size, bool may_move, bool fixed,
			uint64_t *addr) MUST_CHECK;

/*
 * MREMAP_DONTUNMAP: moves the pages of private anonymous memory, and old stays
 * mapped, empty. *addr as for vm_map_remap. Errors likewise; ERR_INVAL: it has an object.
 */
enum error vm_map_move_pages(struct vm_map *m, struct vrange old, bool fixed, uint64_t *addr) MUST_CHECK;

/*
 * mremap(2) with an old size of 0: what the shared mapping at old shows, from
 * there on, also at *addr (exactly there, replacing, when fixed), size bytes; wired if the old one is, and not filled.
 * ERR_FAULT: nothing is mapped at old; ERR_INVAL: it is private. Else as vm_map_enter.
 */
enum error vm_map_view(struct vm_map *m, uint64_t old, uint64_t size, bool fixed, uint64_t *addr) MUST_CHECK;

/* brk(2): moves the break to addr if it can; => the break as it is now. */
uint64_t vm_map_brk(struct vm_map *m, uint64_t addr);

/* RLIMIT_STACK has changed: the stack at the top of the space grows to that many bytes, never below stack_limit. Any thread context. */
void vm_map_limit_stack(struct vm_map *m, uint64_t bytes);

/* fork(2): a copy by entries. => ERR_NOMEM, nothing left behind. */
enum error vm_map_fork(struct vm_map *parent, struct vm_map **child) MUST_CHECK;

/* Faults every page of r in for that access. ERR_NOENT: hole; or the first page's error. */
enum error vm_map_populate(struct vm_map *m, struct vrange r, unsigned access) MUST_CHECK;

/* One entry as /proc/self/maps shows it. */
struct vm_entry_info {
	struct vrange range;
	enum prot prot, max;
	bool shared, grows_down, wired;
	unsigned inherit, huge;
	uint64_t offset;
	struct oid oid;        /* 0,0: anonymous */
	const struct vm_object *object; /* which, for comparing only: no reference comes with it; NULL: anonymous */
	const char *name;
};

/* The entry that covers va, or NULL. Inside an epoch section. */
struct vm_entry *map_find_anew(struct vm_map *m, uint64_t va);

/*
 * The same, perhaps the one that this CPU found last: then it may have been dead for long. For who looks whether it is live, and
 * calls map_find_anew when not. What was found in an earlier section is there still if that was in the same epoch (sync/epoch.h).
 */
static inline struct vm_entry *map_find(struct vm_map *m, uint64_t va)
{
	const struct map_found *f = &m->vm->found[cpu_id()];

	if (LIKELY(f->map == m && f->epoch == epoch_mine(&m->vm->epoch) && vrange_has(f->entry->range, va)))
		return f->entry;
	return map_find_anew(m, va);
}

/* The first entry that ends after addr: false when there is none. Any thread context, no lock needed. */
bool vm_map_lookup(struct vm_map *m, uint64_t addr, struct vm_entry_info *info);

/* mincore(2): one byte per page of r, bit 0: resident. ERR_NOENT: hole. */
enum error vm_map_resident(struct vm_map *m, struct vrange r, uint8_t *vec) MUST_CHECK;

/* Frames that the map's page tables map right now. */
uint64_t vm_map_resident_pages(struct vm_map *m);

/* Whole-structure check at a quiet point. Panics when something is wrong. */
void vm_map_check(struct vm_map *m);

/* Boot. */
enum error vm_map_module_init(struct vm *vm) MUST_CHECK;

#endif
