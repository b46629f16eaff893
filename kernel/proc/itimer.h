/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/itimer.h: setitimer(ITIMER_REAL), alarm. Thread context, no lock. */
#ifndef PROC_ITIMER_H
#define PROC_ITIMER_H

#include "proc/process.h"

/* For a new process. */
void process_init_alarm(struct process *p);

/* Times in ns from now, 0: off; what was left before into *old_in and *old_interval (either may be NULL). */
void process_set_alarm(struct process *p, uint64_t in, uint64_t interval, uint64_t *old_in, uint64_t *old_interval);
void process_get_alarm(struct process *p, uint64_t *in, uint64_t *interval);

#endif
