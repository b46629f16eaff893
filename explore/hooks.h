/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/hooks.h: what the simulated machine of a scenario asks the explorer: its whims of the schedule; descriptors,
 * barriers and programs' accesses of the memory model; the time of the run's clock, a microsecond a point.
 */
#ifndef EXPLORE_HOOKS_H
#define EXPLORE_HOOKS_H

#include "explore.h"

/* For host_config.ops; a scenario adds what else it wants. In setup and judge all of it is tame. */
extern const struct host_ops hooks;

#endif
