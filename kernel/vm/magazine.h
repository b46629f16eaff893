/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/magazine.h: magazines of objects on their way round, and lists of them. Whoever holds a magazine has all of it to
 * himself, and a list is its holder's: nothing here is atomic. For zone_cache.c.
 */
#ifndef VM_MAGAZINE_H
#define VM_MAGAZINE_H

#include "base/types.h"

#define MAGAZINE_MAX 62u   /* rounds: magazines of 512 bytes */
#define MAGAZINE_SMALL 14u /* of 128, where memory for a CPU is short */

struct magazine {
	struct magazine *next; /* on its list */
	uint32_t count;        /* objects; outdated while it is loaded */
	uint32_t depth;        /* on a CPU's list: magazines from here to its end */
	void *round[];         /* MAGAZINE_SMALL or MAGAZINE_MAX; zone.rounds of them are used */
};
_Static_assert(sizeof(struct magazine) + MAGAZINE_SMALL * sizeof(void *) == 128, "no waste in their slabs");
_Static_assert(sizeof(struct magazine) + MAGAZINE_MAX * sizeof(void *) == 512, "likewise");

static inline void magazine_push(struct magazine **list, struct magazine *m)
{
	m->next = *list;
	m->depth = m->next ? m->next->depth + 1 : 1;
	*list = m;
}

/* NULL: the list is empty. */
static inline struct magazine *magazine_pop(struct magazine **list)
{
	struct magazine *m = *list;

	if (m)
		*list = m->next;
	return m;
}

/* How many there are. Not of what magazine_cut returned. */
static inline uint32_t magazine_depth(const struct magazine *list) { return list ? list->depth : 0; }

/* The first n >= 1 magazines of a list, or all that there are, as a list of their own; NULL: there are none. */
static inline struct magazine *magazine_cut(struct magazine **list, uint32_t n)
{
	struct magazine *first = *list, *last = first;

	if (!first)
		return NULL;
	while (--n > 0 && last->next)
		last = last->next;
	*list = last->next;
	last->next = NULL;
	return first;
}

/* All of bundle is put onto list. */
static inline void magazine_join(struct magazine **list, struct magazine *bundle)
{
	for (struct magazine *m; (m = magazine_pop(&bundle));)
		magazine_push(list, m);
}

#endif
