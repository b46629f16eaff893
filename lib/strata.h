/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * strata.h: Strata's page frames, zones and kmalloc as a library.
 *
 * A machine is so many bytes of memory and so many CPUs. A thread attaches
 * itself to a CPU and may then allocate and free on that machine; each CPU has
 * its own caches, so that threads on different CPUs write no cache line in
 * common on the usual way. Several machines may live in one process.
 * Guide, with examples: doc/library.md.
 *
 * Rules for all calls, unless they say otherwise:
 *   - The calling thread is attached to a CPU of the machine in question. If
 *     not, the call does nothing and answers STRATA_UNATTACHED, or NULL where it
 *     returns a pointer.
 *   - An argument that makes no sense is answered by STRATA_INVAL or NULL, and
 *     nothing has changed.
 *   - Nothing waits for memory: what cannot be had fails with STRATA_NOMEM or
 *     NULL, after the caches of all CPUs were looked at.
 *   - Any thread may free what any other allocated.
 *   - No call from a signal handler.
 * What no call can judge cheaply is the caller's affair: an object freed twice,
 * or to another zone than its own. The checked library (make lib CHECKED=1) sees
 * these, names the zone, and ends the process (strata_config.panic).
 */
#ifndef STRATA_H
#define STRATA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STRATA_API __attribute__((visibility("default")))

#define STRATA_CPUS_MAX 128
#define STRATA_FRAME_SIZE 4096u
#define STRATA_ORDER_MAX 18u     /* largest block: 2^18 frames, 1 GiB */
#define STRATA_ORDER_2M 9u       /* the order that the CPUs' caches know besides 0 */
#define STRATA_OBJECT_MAX 32768u /* bytes, largest object of a zone */

enum strata_error {
	STRATA_OK = 0,
	STRATA_NOMEM,      /* no memory at this moment */
	STRATA_INVAL,      /* an argument makes no sense */
	STRATA_BUSY,       /* it is in use: the CPU has a thread, the machine has threads, the zone has objects */
	STRATA_UNATTACHED, /* the calling thread is no CPU of that machine */
	STRATA_CORRUPT,    /* strata_check found a contradiction */
};

/* The error in a few words, for messages. Any thread. */
STRATA_API const char *strata_error_text(enum strata_error error);

/* --- machines --- */

struct strata_machine;

struct strata_config {
	unsigned cpus; /* 1 .. STRATA_CPUS_MAX */
	size_t memory; /* bytes, rounded up to 2 MiB; at least 4 MiB. Bookkeeping comes out of it: 64 bytes a frame */
	/*
	 * Called when the library finds its own structures or the caller's objects broken (the checked one finds more),
	 * on the thread that found it; text is a line without its end. NULL: the text goes to standard error. When it
	 * returns, the process is aborted.
	 */
	void (*panic)(void *context, const char *text);
	void *context;
};

/* A machine; its memory is reserved and takes host memory only as it is used. Any thread. NOMEM, INVAL. */
STRATA_API enum strata_error strata_create(const struct strata_config *config, struct strata_machine **machine);

/* All its memory goes at once, whatever is still allocated. BUSY: a thread is attached. Any thread, NULL too. */
STRATA_API enum strata_error strata_destroy(struct strata_machine *machine);

/*
 * The calling thread, which is attached to nothing (else BUSY), becomes that CPU, which has no thread (else BUSY).
 * A thread that ends should have detached itself: the CPU is in use until then.
 */
STRATA_API enum strata_error strata_attach(struct strata_machine *machine, unsigned cpu);

/* The same with the first CPU that is free; *cpu (may be NULL) is which. BUSY: none. */
STRATA_API enum strata_error strata_attach_any(struct strata_machine *machine, unsigned *cpu);

/* UNATTACHED if it was not attached. */
STRATA_API enum strata_error strata_detach(void);

/* The CPU that the calling thread is of that machine, or -1. Any thread. */
STRATA_API int strata_cpu(const struct strata_machine *machine);

/* --- frames: 4 KiB each, in blocks of 2^order, aligned to their size --- */

#define STRATA_ZERO 1u /* strata_frame_alloc: filled with zeros */

/* => OK: *frame is the number of the block's first frame. order: 0 .. STRATA_ORDER_MAX. */
STRATA_API enum strata_error strata_frame_alloc(struct strata_machine *machine, unsigned order, unsigned flags,
						uint64_t *frame);

/* INVAL: no such block is allocated by strata_frame_alloc. (Two threads that free one block at once are not seen.) */
STRATA_API enum strata_error strata_frame_free(struct strata_machine *machine, uint64_t frame, unsigned order);

/* Where a frame's bytes are, and whose bytes those are. NULL, UINT64_MAX: not in the machine's memory. Any thread. */
STRATA_API void *strata_frame_address(const struct strata_machine *machine, uint64_t frame);
STRATA_API uint64_t strata_frame_number(const struct strata_machine *machine, const void *address);

/* --- zones: objects of one size --- */

struct strata_zone;

struct strata_zone_config {
	const char *name; /* must outlive the zone */
	size_t size;      /* bytes of an object, 1 .. STRATA_OBJECT_MAX */
	size_t align;     /* a power of two up to 4096, or 0: 8, from 16 bytes on 16 */
	/*
	 * Run once for each object when its memory is made and when it goes back to the frames, not at each allocation:
	 * what ctor sets must be so again when the object is freed. They may not allocate, free or fail. NULL: none.
	 */
	void (*ctor)(void *object);
	void (*dtor)(void *object);
	unsigned flags; /* STRATA_NO_CACHE */
};
#define STRATA_NO_CACHE 1u /* no caches of the CPUs: for what is rare or large */

STRATA_API enum strata_error strata_zone_create(struct strata_machine *machine, const struct strata_zone_config *config,
						struct strata_zone **zone);

/* BUSY: objects are in use. No other thread may be using the zone. */
STRATA_API enum strata_error strata_zone_destroy(struct strata_machine *machine, struct strata_zone *zone);

/* An object, constructed if there is a ctor, else with any content. NULL: no memory (or bad arguments, as above). */
STRATA_API void *strata_zone_alloc(struct strata_zone *zone);

/* object NULL: nothing. */
STRATA_API enum strata_error strata_zone_free(struct strata_zone *zone, void *object);

/* --- memory of any size --- */

/* Aligned to 16 bytes, to a page beyond 32 KiB. size 0: a pointer all the same. NULL as above, or more than 1 GiB. */
STRATA_API void *strata_kmalloc(struct strata_machine *machine, size_t size);
STRATA_API void *strata_kmalloc_zero(struct strata_machine *machine, size_t size);

/*
 * Another size, the content kept up to the smaller of both. p NULL: kmalloc; size 0: kfree, returns NULL. NULL
 * otherwise: p is as before.
 */
STRATA_API void *strata_krealloc(struct strata_machine *machine, void *p, size_t size);

/* p NULL: nothing. INVAL: p lies outside the machine's memory. */
STRATA_API enum strata_error strata_kfree(struct strata_machine *machine, void *p);

/* Bytes that may be used at p: at least what was asked for. 0: p is NULL or outside the machine's memory. */
STRATA_API size_t strata_usable_size(struct strata_machine *machine, const void *p);

/* --- looking inside --- */

/*
 * The caches of all CPUs and zones go back to the frames. At any time; while others go on it empties what it finds.
 * Zones' empty memory is given back too.
 */
STRATA_API enum strata_error strata_drain(struct strata_machine *machine);

/* In frames, but for what says bytes. A snapshot: exact when nobody allocates meanwhile. */
struct strata_statistics {
	uint64_t memory;   /* frames in all */
	uint64_t reserved; /* bookkeeping */
	uint64_t free;     /* in no cache */
	uint64_t cached;   /* in the CPUs' caches of frames */
	uint64_t blocks;   /* allocated by strata_frame_alloc */
	uint64_t zones;    /* memory of zones, of kmalloc's too */
	uint64_t large;    /* allocated by kmalloc beyond 32 KiB */
	uint64_t free_blocks[STRATA_ORDER_MAX +
			     1]; /* what is free, as the largest aligned blocks it makes: how many of each order */
};
STRATA_API enum strata_error strata_statistics(struct strata_machine *machine, struct strata_statistics *statistics);

struct strata_zone_statistics {
	const char *name;
	size_t size;       /* bytes of an object */
	uint64_t in_use;   /* objects out */
	uint64_t cached;   /* objects in the CPUs' caches */
	uint64_t frames;   /* that the zone holds */
	uint64_t waste;    /* bytes of those that no object can have */
	uint64_t failures; /* allocations that failed */
};
STRATA_API enum strata_error strata_zone_statistics(struct strata_zone *zone,
						    struct strata_zone_statistics *statistics);

/* Calls fn for each zone, kmalloc's included. fn may ask (strata_zone_statistics), not create, destroy, allocate or
 * free. */
STRATA_API enum strata_error strata_zones(struct strata_machine *machine,
					  void (*fn)(struct strata_zone *zone, void *context), void *context);

/*
 * Checks every frame, cache and zone against each other. At a quiet point: no other thread allocates or frees.
 * CORRUPT: text (may be NULL) of at most room bytes says what; what a zone finds wrong in itself ends in
 * strata_config.panic instead. Reads all bookkeeping: slow.
 */
STRATA_API enum strata_error strata_check(struct strata_machine *machine, char *text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
