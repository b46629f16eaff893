/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/generic_timer.h: the generic timer, its virtual half. machine_now and machine_timer_set are here too. */
#ifndef HAL_AARCH64_GENERIC_TIMER_H
#define HAL_AARCH64_GENERIC_TIMER_H

#include <stdint.h>

/* Boot CPU: starts the clock at 0. hz: what the tree says, 0: what the CPU says; machine_fail without either. */
void generic_timer_init(uint32_t hz);

/* This CPU: nothing armed. */
void generic_timer_cpu_init(void);

/* The interrupt came: disarms, so that the line goes down. */
void generic_timer_acknowledge(void);

/* This CPU's physical timer, which nothing else uses: raises its interrupt in a moment / not at all. */
void generic_timer_doze_begin(void);
void generic_timer_doze_end(void);

#endif
