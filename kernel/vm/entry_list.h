/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/entry_list.h: the entries of a map in order of address: a skip list that is
 * changed in place, and that readers walk without a lock. Theory: entry_list.c.
 */
#ifndef VM_ENTRY_LIST_H
#define VM_ENTRY_LIST_H

#include "vm/entry.h"

/* Where in the list a start address belongs: on each level the last entry that starts before it, the head included. */
struct entry_place {
	uint64_t start;
	struct vm_entry *before[ENTRY_LEVELS];
};

/* k: changes under the lock that its owner keeps for it (map.h); readers as said */
struct entry_list {
	ATOMIC(uint32_t) levels ALIGNED(CACHE_LINE); /* k: that are in use, never fewer; relaxed by readers: a higher one saves time only */
	uint64_t secret;       /* constant: of the heights */
	struct vm_entry head;  /* k: stands before all entries; covers nothing */
	uint64_t end;          /* constant: where the space ends; the last stretch that can be free ends here */
	ATOMIC(uint64_t) entries; /* k; relaxed readers want a figure */
	struct entry_place place; /* k: of the last look or change; every change keeps it true */
	/* k: between room and room_end no stretch of room_size or more begins behind the one after room; room NULL: not known */
	struct vm_entry *room;
	uint64_t room_size, room_end;
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
		/* seq_cst: of a section the first pointer load, which the epoch needs so; pairs with the changes' stores */
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
	return atomic_load_acquire(&e->next[0]); /* pairs with the changes' stores */
}

/* --- with the lock --- */

/* Moves the list's place. */
void entry_list_seek(struct entry_list *l, uint64_t start);

/* The last entry that starts before start; the head, which ends at 0, when there is none. */
static inline struct vm_entry *entry_list_before(struct entry_list *l, uint64_t start)
{
	if (l->place.start != start)
		entry_list_seek(l, start);
	return l->place.before[0];
}

/* Whether nothing lies in r, growth room respected. */
bool entry_list_is_free(struct entry_list *l, struct vrange r);
/* Highest address at which size bytes are free within bounds, growth room respected; false when none. */
bool entry_list_gap(struct entry_list *l, struct vrange bounds, uint64_t size, uint64_t *addr);

/* Puts n in, whose range is free. */
void entry_list_link(struct entry_list *l, struct vm_entry *n);
/* Takes o out. It is then the caller's: dead, later gone by epoch. */
void entry_list_unlink(struct entry_list *l, struct vm_entry *o);
/* Puts n in the place of o, which has the same start; what it covers besides is free. Likewise. */
void entry_list_replace(struct entry_list *l, struct vm_entry *o, struct vm_entry *n);

/*
 * Changes the list from old to new, both ascending by edit_next, in two steps that follow each other: readers find, for an address that
 * an entry of each covers, one of the two at any moment. The caller's range lock keeps the range for him.
 */
void entry_list_arrive(struct entry_list *l, struct vm_entry *old, struct vm_entry *new);
void entry_list_leave(struct entry_list *l, struct vm_entry *old);

/* Before anybody else knows the list, which is empty: fills it with what new has, ascending by edit_next. */
void entry_list_fill(struct entry_list *l, struct vm_entry *new);

/* Panics unless order, levels and gaps are right, and all entries live. Quiet point. */
void entry_list_check(const struct entry_list *l);

#endif
