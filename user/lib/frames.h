/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's frames by owner, from /proc/frames: lines of `owner count`, lines with '#' in front
 * are headings. Reading the file makes the kernel drain its per-CPU caches and epochs first.
 *
 * The rule by which two counts are the same, when everything that was started in between has ended:
 *
 *     table, anon, object, wired, reserved   each the same
 *     free + cached + zone                   the same sum
 *
 * free, cached and zone are taken together because a slab that was grown for a process may stay
 * with its zone after that process has gone. A frame that one of the five keeps, or that none of the
 * eight has any more, is seen.
 */
#ifndef USER_LIB_FRAMES_H
#define USER_LIB_FRAMES_H

#include <stdbool.h>

#define FRAMES_OWNERS(X) X(free) X(cached) X(zone) X(table) X(anon) X(object) X(wired) X(reserved)

struct frames {
#define FRAMES_FIELD(owner) unsigned long owner;
	FRAMES_OWNERS(FRAMES_FIELD)
#undef FRAMES_FIELD
};

/*
 * Reads every page of the calling program, writes every page of its data and of 64 KiB of stack: pages that
 * it would else touch for the first time between two counts.
 */
void frames_touch_program(void);

/* => false, with errno, when the file is not there or lacks an owner (ENODATA) */
bool frames_read(struct frames *frames);

bool frames_same(const struct frames *before, const struct frames *after);

/*
 * Reads until the counts are the same as before, for at most two seconds: what a process held is
 * freed by the last of its threads, which may still be leaving its CPU when wait returns.
 * => whether they are; *after holds the last count
 */
bool frames_settle(const struct frames *before, struct frames *after);

/* Prints the table of both, one line an owner, each line after `prefix`. */
void frames_print(const char *prefix, const struct frames *before, const struct frames *after);

#endif
