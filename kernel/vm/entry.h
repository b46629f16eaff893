/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/entry.h: one range of an address space and what it is. A published entry
 * never changes; only its life ends, and may begin anew. Whoever wants it different
 * makes a new one and swaps it in the tree.
 */
#ifndef VM_ENTRY_H
#define VM_ENTRY_H

#include "base/atomic.h"
#include "base/types.h"
#include "sync/epoch.h"
#include "vm/vm.h"

struct vm_object;
struct amap;

/*
 * What fork(2) makes of an entry. Shared entries know SHARE and NONE, private ones the others. NONE_ZERO is NONE of an
 * entry that will be ZERO again, not COPY, when the program allows its copy: madvise(2) has two switches.
 */
enum inherit { INHERIT_COPY, INHERIT_SHARE, INHERIT_NONE, INHERIT_ZERO, INHERIT_NONE_ZERO };

/* What a program has said about blocks of 2 MiB for an entry's memory: madvise(2). */
enum huge { HUGE_UNSAID, HUGE_WANTED, HUGE_UNWANTED }; /* VM_HUGE_* has a bit for each */

/* Links of an entry: a quarter of those of a level are on the next one too. */
#define ENTRY_LEVELS 8

/* c: constant once published; k, x: changes under the map's short lock, or on any CPU, as said. Searches look at the first lines alone. */
struct vm_entry {
	struct vrange range;        /* c */
	ATOMIC(struct vm_entry *) next[ENTRY_LEVELS]; /* k, readers without it: entry_list.c */
	uint64_t floor;             /* c: addresses from here to range.start are kept free for growth; else range.start */
	enum prot prot, max;        /* c */
	union {
		struct {
			uint8_t inherit, huge;   /* c */
			bool shared, grows_down; /* c */
		};
		uint32_t manner;    /* all four, to be copied and compared */
	};
	bool wired;                 /* c */
	uint8_t height;             /* c: how many of next are in use; 0: not drawn yet */
	struct vm_object *object;   /* c: a reference, or NULL */
	uint64_t offset;            /* c: of range.start in the object, bytes */
	struct amap *amap;          /* c: private contents, a reference; NULL for shared entries */
	const char *name;           /* c */
	ATOMIC(uint32_t) life;      /* x: odd while it is dead; seq_cst stores by the mutator, seq_cst load in the last check (DESIGN 5.4) */
	uint64_t gap[ENTRY_LEVELS]; /* k: how long a free stretch a link spans: entry_list.c */
	struct vm_entry *edit_next; /* on an edit's list: whoever holds the range lock over it */
	struct vm_entry *edit_twin; /* likewise: which other one starts where it does, of the old and the new */
	struct vm *home;            /* for its end by epoch */
	struct epoch_item retire;
};

/* The object's page index at va. */
static inline uint64_t entry_index(const struct vm_entry *e, uint64_t va)
{
	return (e->offset + (va - e->range.start.va)) >> PAGE_SHIFT;
}

/* Room kept free below the lowest address that a growing entry may reach. */
#define ENTRY_GUARD (256 * PAGE_SIZE)

/*
 * An unpublished entry for r: what model is there (r lies within it), but for its private contents: amap's. It has references of its
 * own. => NULL: no memory.
 */
struct vm_entry *entry_new(struct vm *vm, const struct vm_entry *model, struct vrange r, struct amap *amap);
/* An unpublished one for r, of which the caller sets all else that is constant (c), with its references. => NULL: no memory. */
struct vm_entry *entry_alloc(struct vm *vm, struct vrange r);
/* Sets what does not depend on where e, unpublished, lies, but for the private contents. No reference is taken. */
static inline void entry_be_like(struct vm_entry *e, const struct vm_entry *model)
{
	e->prot = model->prot;
	e->max = model->max;
	e->manner = model->manner;
	e->wired = model->wired;
	e->object = model->object;
	e->name = model->name;
}

/* Frees one that was never published, with its references. */
void entry_free(struct vm *vm, struct vm_entry *e);
/* Likewise one whose map has ended, its PTEs gone and flushed: nobody knows it any more. */
void entry_end(struct vm *vm, struct vm_entry *e);
/*
 * Marks a published entry dead: from now on no fault that has not looked yet, under a leaf lock, installs anything for it. Who takes the
 * leaf locks afterwards comes after those that have.
 */
void entry_kill(struct vm_entry *e);
/*
 * Takes the mark back: only for an entry that is still in the list, by who killed it under the same range lock. It is another life:
 * who has found something in the one before has found it in vain.
 */
void entry_revive(struct vm_entry *e);
/* After its PTEs are gone and flushed: drops its references; the memory goes by epoch. */
void entry_retire(struct vm *vm, struct vm_entry *e);
/* The same for one whose references another entry has taken over. */
void entry_retire_only(struct vm *vm, struct vm_entry *e);
/* Its life, before anything is looked up by it; odd: it is dead. acquire: what is found is of this life or of a later one. */
static inline uint32_t entry_life(const struct vm_entry *e) { return atomic_load_acquire(&e->life); }
/* True when it has not been killed since. The last check: under the leaf lock. */
static inline bool entry_lives_on(const struct vm_entry *e, uint32_t life) { return atomic_load_seq_cst(&e->life) == life; /* see entry_kill */ }
/* True when it is live now. */
static inline bool entry_live(const struct vm_entry *e) { return !(atomic_load_seq_cst(&e->life) & 1); /* likewise */ }
/* True when a followed by b is the same mapping going on, so that one entry can stand for both. */
bool entry_mergeable(const struct vm_entry *a, const struct vm_entry *b);

enum error entry_module_init(struct vm *vm) MUST_CHECK;

#endif
