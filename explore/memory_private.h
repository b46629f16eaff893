/* SPDX-License-Identifier: BSD-2-Clause */
/* explore/memory_private.h: what memory.c and memory_buffer.c share. Theory there. */
#ifndef EXPLORE_MEMORY_PRIVATE_H
#define EXPLORE_MEMORY_PRIVATE_H

#include <string.h>

#include "memory.h"

#define HISTORY 8
#define BUFFER 32
#define NEVER UINT64_MAX

struct value {
	uint64_t v;
	uint64_t moment;       /* when it left the buffer; NEVER: an unsettled read-modify-write */
	uint64_t step;         /* point of the run then */
	uint64_t inherited;    /* of a read-modify-write: the moment that its own CPU acquires by reading it */
	struct clock released; /* what is before, for who acquires it */
	uint8_t cpu;           /* whose */
};

/* That a CPU had read or written value number when its own clock stood at epoch. */
#define SIGHTS 4
struct sights {
	uint32_t n;
	struct sight {
		uint64_t number;
		uint32_t epoch;
	} s[SIGHTS]; /* both rise */
};

struct location {
	struct location *next; /* at the same word */
	uint64_t address;
	struct value *h;             /* the last n values, oldest first */
	uint64_t base;               /* number of h[0]; numbers count all values ever */
	uint64_t last_sc;            /* number of the newest seq_cst store; 0: none. Numbers begin at 1 */
	uint64_t seen[EXPLORE_CPUS]; /* number of the newest that this CPU has read or written */
	struct sights *sights;       /* of each CPU; portable runs only */
	uint16_t waiting;
	uint8_t size, n;
	uint8_t old_loads[EXPLORE_CPUS]; /* in a row */
};

struct entry {
	struct location *at;
	uint64_t v;
	uint64_t number;         /* settle: of which value */
	uint64_t own_step, step; /* when it was made */
	struct clock released;
	const void *pc;
	uint32_t fence; /* release fences of its CPU before it */
	uint32_t epoch; /* its CPU's own clock then */
	uint8_t order;
	bool settle; /* no store but a read-modify-write to be settled */
};

struct cpu {
	struct entry buffer[BUFFER];
	uint32_t n;
	uint32_t fences;
	uint64_t floor;
	uint64_t own_step;
	struct clock fence_released; /* last release fence */
	struct clock read;           /* of all that was read relaxed: an acquire fence joins it */
	uint64_t read_moment;
};

extern struct cpu memory_cpu[EXPLORE_CPUS];
extern uint32_t memory_cpus; /* how many of them run */
extern uint64_t memory_now;  /* the last moment */

static inline uint64_t value_cut(uint64_t v, unsigned size)
{
	return size == 8 ? v : v & ((UINT64_C(1) << size * 8) - 1);
}
/* What memory holds. */
static inline uint64_t value_get(uint64_t address, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)(uintptr_t)address, size);
	return v;
}
static inline struct value *value_newest(const struct location *l) { return &l->h[l->n - 1]; }
/* Its number. */
static inline uint64_t value_last(const struct location *l) { return l->base + l->n - 1; }

/* Another CPU sees that value: if it is a read-modify-write's, it is settled. */
void value_seen(uint32_t cpu, struct value *v);

/*
 * The location for an access, with its history; NULL when there is none and make is false. Ends those that do
 * not fit.
 */
struct location *location_find(const void *p, unsigned size, bool make);

/* That CPU has seen value number, at that epoch. */
void location_seen(struct location *l, uint32_t cpu, uint64_t number, uint32_t epoch);

/* That value is the newest from now on, stored at that epoch. => it, without a clock. */
struct value *location_push(struct location *l, uint64_t v, uint32_t cpu, int order, uint32_t epoch);

/* Puts an entry into the buffer; true when it stays there: the schedule's choice. */
bool buffer_put(uint32_t cpu, struct location *l, const struct entry *e);

/* What must leave the buffer now, each with all that must leave before it. */
void buffer_force_all(uint32_t cpu);
void buffer_force_place(uint32_t cpu, const struct location *l); /* what waits for that location */
void buffer_force_seq_cst(uint32_t cpu);                         /* up to the last seq_cst store */

/* Everything is forgotten; n CPUs. */
void buffer_begin(uint32_t n);

#endif
