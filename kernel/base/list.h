/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/list.h: a doubly linked circular list of members embedded in structs.
 * No locking of its own: the owner's lock guards head and members.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

static inline void list_insert(struct list *after, struct list *m)
{
	m->next = after->next;
	m->prev = after;
	after->next->prev = m;
	after->next = m;
}
static inline void list_push(struct list *head, struct list *m) { list_insert(head, m); }
static inline void list_append(struct list *head, struct list *m) { list_insert(head->prev, m); }

/* Unlinks m and leaves it a list of itself, so that removing twice is harmless. */
static inline void list_remove(struct list *m)
{
	m->next->prev = m->prev;
	m->prev->next = m->next;
	list_init(m);
}

/* First member unlinked and returned, or NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *m = head->next;

	if (m == head)
		return NULL;
	list_remove(m);
	return m;
}

#define LIST_FOR(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The same when the body may unlink or free it. */
#define LIST_FOR_SAFE(it, tmp, head) \
	for (struct list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)

#endif
