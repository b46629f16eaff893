/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault_ahead.h: pages that a first write makes besides its own. Theory: fault_ahead.c. */
#ifndef VM_FAULT_AHEAD_H
#define VM_FAULT_AHEAD_H

#include "vm/map.h"

/*
 * A page at va was made for a first write, by e, in leaf, which is unlocked since: makes those that follow, if writes go on from page to
 * page. In the section in which e was found and leaf locked; no spinlock held, interrupts may be masked. Failure: fewer are made, or none.
 */
void fault_ahead(struct vm_map *m, const struct vm_entry *e, vaddr_t va, const struct pmap_leaf *leaf);

#endif
