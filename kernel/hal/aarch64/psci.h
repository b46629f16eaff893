/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/psci.h: the firmware's power calls. */
#ifndef HAL_AARCH64_PSCI_H
#define HAL_AARCH64_PSCI_H

#include "base/types.h"

enum psci_conduit { PSCI_NONE, PSCI_HVC, PSCI_SMC };

void psci_init(enum psci_conduit conduit);

/* Starts the CPU with that MPIDR at a physical address with x0 = argument. Returns PSCI's status, 0: it is coming. */
int32_t psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t argument);

/* Turns the machine off; returns only if there is no PSCI. Any context. */
void psci_system_off(void);

#endif
