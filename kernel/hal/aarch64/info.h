/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/info.h: filling in what machine_info returns. Boot CPU. */
#ifndef HAL_AARCH64_INFO_H
#define HAL_AARCH64_INFO_H

#include "tree.h"

/* The command line, so that machine_option works. */
void info_set_command_line(const struct tree *t);

/* Banks, reserved ranges, initrd; everything is allocated by boot_alloc now. machine_fail if they contradict each
 * other. */
void info_set_memory(struct tree *t);

void info_set_cpus(uint32_t n);

#endif
