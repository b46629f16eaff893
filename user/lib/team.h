/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A team: the same body run as several tasks, each pinned to a CPU, that start together. As threads
 * they share this address space; as processes each has a copy.
 */
#ifndef USER_LIB_TEAM_H
#define USER_LIB_TEAM_H

#include "lib/machine.h"

#include <stdbool.h>
#include <stddef.h>

#define TEAM_MAX MACHINE_CPUS_MAX

typedef void team_body(size_t task, void *argument);

/* Task n runs on the n-th CPU, counted round and round. Threads have small stacks (64 KiB).
 * => when all have ended. false when one could not be started or pinned (it is said on stderr), or,
 *    for processes, when one ended otherwise than with status 0 */
bool team_threads(const struct machine *machine, size_t tasks, team_body *body, void *argument);
bool team_processes(const struct machine *machine, size_t tasks, team_body *body, void *argument);

#endif
