/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/litmus.h: small programs whose outcomes are known, to test the memory model itself.
 *
 * What is forbidden must never be seen, what is allowed and weak must be seen: else the explorer would
 * report bugs that are none, or miss those that it is there for.
 */
#ifndef EXPLORE_LITMUS_H
#define EXPLORE_LITMUS_H

#include "explore.h"

enum litmus_verdict {
	LITMUS_FORBIDDEN, /* the outcome must not be seen */
	LITMUS_REQUIRED,  /* it must be seen */
	LITMUS_ARMV8,     /* it must be seen in portable runs, and in no others */
	LITMUS_RACE,      /* a data race must be reported in some run; in all others no run may report one */
};

struct litmus {
	const char *name; /* as in the literature: MP, SB, ...; + orders */
	enum litmus_verdict verdict;
	uint32_t cpus;
	void (*run[EXPLORE_CPUS])(void);
	bool (*outcome)(void); /* has it happened? */
};

extern const struct litmus litmus_tests[];
extern const unsigned litmus_count;
#define LITMUS_FORBIDDEN_COUNT 25 /* so many of them are, everywhere; */
#define LITMUS_ARMV8_COUNT 2      /* and by Armv8 */

/* Everything to 0, by plain stores. Before a run. */
void litmus_reset(void);

#endif
