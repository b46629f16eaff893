/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/entry_list.h: the entries of a map in order of address: a skip list that is
 * changed in place, and that readers walk without a lock. Theory: entry_list.c.
 */
#ifndef VM_ENTRY_LIST_H
#define VM_ENTRY_LIST_H

#include "vm/entry.h"

/* k: changes under the lock that its owner keeps for it (map.h); readers as said */
struct entry_list {
	ATOMIC(uint32_t) levels ALIGNED(CACHE_LINE); /* k: that are in use, never fewer; relaxed by readers: a higher one saves time only */
	uint64_t secret;       /* constant: of the heights */
	struct vm_entry head;  /* k: stands before all entries; covers nothing */
	uint64_t end;          /* constant: where the space ends; the last stretch that can be free ends here */
	uint64_t version;      /* k: changes so far */
	ATOMIC(uint64_t) entries; /* k; relaxed readers want a figure */
};

/* Where in the list a start address belongs: on each level the last entry that starts before it, the head included. */
struct entry_place {
	uint64_t start, version; /* of the list, when it was looked for; 0: never */
	struct vm_entry *before[ENTRY_LEVELS];
};

/* An empty list for addresses below end. */
void entry_list_init(struct entry_list *l, uint64_t secret, uint64_t end);

/* --- inside an epoch section, or with the lock --- */

/* The first entry that ends after va, or NULL. */
static inline struct vm_entry *entry_list_find(const struct entry_list *l, uint64_t va)
{
	unsigned i = atomic_load_relaxed(&l->levels) - 1; /* see levels */
	const struct vm_entry *p = &l->head;
	struct vm_entry *n;

	for (;;) {
		/* seq_cst: of a section the first pointer load, which the epoch needs so; pairs with link, unlink and replace */
		n = atomic_load_seq_cst(&p->next[i]);
		if (n && n->range.start.va <= va)
			p = n;
		else if (i-- == 0)
			break;
	}
	return p->range.end.va > va ? (struct vm_entry *)p : n;
}

/* The one after e, or NULL. */
static inline struct vm_entry *entry_list_after(const struct vm_entry *e)
{
	return atomic_load_acquire(&e->next[0]); /* pairs with link, unlink and replace */
}

/* --- with the lock --- */

/* Sets *p for start. Nothing is done when p says already what is true. */
void entry_list_seek(const struct entry_list *l, uint64_t start, struct entry_place *p);

/* The place's entry before, or NULL. */
static inline struct vm_entry *entry_list_before(const struct entry_list *l, const struct entry_place *p)
{
	return p->before[0] == &l->head ? NULL : p->before[0];
}

/* Highest address at which size bytes are free within bounds, growth room respected; false when none. */
bool entry_list_gap(const struct entry_list *l, struct vrange bounds, uint64_t size, uint64_t *addr);

/*
 * Changes the list from old to new, both ascending by edit_next: readers find, for an address that an entry of each covers, one of
 * the two at any moment. Changes of other ranges may have come before; the caller's range lock keeps these for him. The old entries
 * are then his: dead, later gone by epoch.
 */
void entry_list_exchange(struct entry_list *l, struct vm_entry *old, struct vm_entry *new, struct entry_place *p);

/* Before anybody else knows the list, which is empty: fills it with what new has, ascending by edit_next. */
void entry_list_fill(struct entry_list *l, struct vm_entry *new);

/* Panics unless order, levels and gaps are right, and all entries live. Quiet point. */
void entry_list_check(const struct entry_list *l);

#endif
