/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/init.h: start-up and draining of a whole memory subsystem. */
#ifndef VM_INIT_H
#define VM_INIT_H

#include "vm/vm.h"

/*
 * Boot, CPU 0: everything of kernel/vm, bottom up. pmaps: room for the pmap's
 * state. Panics, saying why, when the machine has too little memory to start.
 */
void vm_init(struct vm *vm, const struct machine_info *info, struct pmap_system *pmaps);

/* Gives back what caches hold: epochs, zones, frames. Thread context, nothing held. Other CPUs' retirements follow as they poll. */
void vm_drain(struct vm *vm);

#endif
