/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault.h: a program touched an address that its tables do not allow, yet. Theory: fault.c. */
#ifndef VM_FAULT_H
#define VM_FAULT_H

#include "vm/map.h"

/*
 * The short way of a first write to private anonymous memory, for who comes by an exception: from CPUs' own caches, with
 * spinlocks, without a wait; interrupts may be masked. => true: try the access again. false: nothing was
 * done or counted; vm_fault_slow knows what to do. mapped: for whom the machine has found a page there.
 */
bool vm_fault_quick(struct vm_map *m, vaddr_t va) MUST_CHECK;
bool vm_fault_quick_mapped(struct vm_map *m, vaddr_t va) MUST_CHECK;

/*
 * For a write that meets fork's limit over a GiB (armv8/limit.c): lifts it while e is in that life; then it is of a fork that is over. => OK:
 * it is gone. ERR_STALE. Inside an epoch section, no lock held.
 */
enum error fault_lift_limit(struct vm_map *m, vaddr_t va, const struct vm_entry *e, uint32_t life) MUST_CHECK;

/* As vm_fault_quick, of a read or a fetch (PROT_R, PROT_X) of a page that is there. */
bool vm_fault_quick_read(struct vm_map *m, vaddr_t va, enum prot access) MUST_CHECK;

/*
 * Makes va accessible for that access (PROT_R, PROT_W or PROT_X). Thread
 * context, no lock, no epoch section; may wait for a pager.
 * => OK: try the access again. ERR_FAULT: nothing is mapped there (SEGV_MAPERR).
 * ERR_ACCESS: not allowed (SEGV_ACCERR). ERR_BUS: beyond the end of the object
 * (BUS_ADRERR). ERR_IO: its pager failed. ERR_NOMEM: no memory now; nothing is
 * held, the caller may free memory and try again.
 */
enum error vm_fault(struct vm_map *m, vaddr_t va, enum prot access) MUST_CHECK;

/* The same for who has tried vm_fault_quick or vm_fault_quick_read. */
enum error vm_fault_slow(struct vm_map *m, vaddr_t va, enum prot access) MUST_CHECK;

#endif
