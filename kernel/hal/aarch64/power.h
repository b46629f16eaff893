/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/power.h: how machine_power_off ends. */
#ifndef HAL_AARCH64_POWER_H
#define HAL_AARCH64_POWER_H

#include <stdbool.h>

/* Boot: exit=semihosting was given on the command line; false: no. Before that is known, semihosting is tried. */
void power_init(bool semihosting);

#endif
