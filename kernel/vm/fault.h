/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/fault.h: a program touched an address that its tables do not allow, yet. Theory: fault.c. */
#ifndef VM_FAULT_H
#define VM_FAULT_H

#include "vm/map.h"

/*
 * Makes va accessible for that access (PROT_R, PROT_W or PROT_X). Thread
 * context, no lock, no epoch section; may wait for a pager.
 * => OK: try the access again. ERR_FAULT: nothing is mapped there (SEGV_MAPERR).
 * ERR_ACCESS: not allowed (SEGV_ACCERR). ERR_BUS: beyond the end of the object
 * (BUS_ADRERR). ERR_IO: its pager failed. ERR_NOMEM: no memory now; nothing is
 * held, the caller may free memory and try again.
 */
enum error vm_fault(struct vm_map *m, vaddr_t va, enum prot access) MUST_CHECK;

#endif
