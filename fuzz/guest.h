/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/guest.h: what the parts of the guest's side share. Theory: guest.c. */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include "model.h"

#define MAPS_BYTES 262144u

/* A thread of a process. */
struct worker {
	struct space space;
	uint32_t process, thread;
	unsigned depth;
	uint64_t random;
	uint64_t fights, forks, looks, faults;
	char scratch[SCRATCH_PAGES * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	char maps[MAPS_BYTES];
};

/* A random number in [0, n). n >= 1. */
static inline uint32_t below(struct worker *w, uint32_t n)
{
	w->random ^= w->random << 13; /* xorshift64 */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 16) % n);
}

/* --- guest.c --- */
void say(const char *text); /* to standard output; may be called by a signal's handler */
/* Tells what went wrong, and the thread's last operations; ends the process. */
void failed(struct worker *w, const char *what) __attribute__((noreturn));
void failf(struct worker *w, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* --- guest_access.c --- */
void access_install(void); /* handlers of signals, once per process tree */
/* The system call; an error as its negative number. */
long access_call(enum call which, const uint64_t *a);
/* One word at any address. ACCESS_ODD: a signal that tells what cannot be; access_odd fails with it. */
enum access access_load(struct worker *w, uint64_t va, uint64_t *value);
enum access access_store(struct worker *w, uint64_t va, uint64_t value);
void access_odd(struct worker *w, uint64_t va) __attribute__((noreturn));

/* --- guest_maps.c --- */
/* All of /proc/self/maps to w->maps; false: it did not fit, or is not there. */
bool maps_read(struct worker *w);
/* fuzz_machine.look. */
bool maps_look(struct space *s, uint64_t va, unsigned *prot, bool *shared);
/* Every known page against it; fails when one differs. */
void maps_check(struct worker *w);

/* --- guest_shared.c --- */
bool shared_open(void); /* before the first fork; false: errno says why not */
/* One call or a few accesses to what all threads of this process, or all processes, use at once. */
void shared_fight(struct worker *w);
void shared_common(struct worker *w);

#endif
