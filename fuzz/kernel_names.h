/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/kernel_names.h: included before everything when kernel/proc is compiled for the host. Some names of kernel/proc
 * are names of the host's libc too, whose headers hal/host needs: the libc's come first, under their own names.
 */
#ifndef FUZZ_KERNEL_NAMES_H
#define FUZZ_KERNEL_NAMES_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef WNOHANG
#undef WUNTRACED
#undef WSTOPPED
#undef WEXITED
#undef WCONTINUED
#undef WNOWAIT
void kernel_sched_yield(void);
#define sched_yield kernel_sched_yield
#define timespec kernel_timespec

#endif
