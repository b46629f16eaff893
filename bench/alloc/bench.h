/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/bench.h: allocators as tables of functions, and what is done with
 * them. doc/bench-alloc.md says what is measured and how.
 */
#ifndef BENCH_ALLOC_BENCH_H
#define BENCH_ALLOC_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS_MAX 2
#define SINGLE_OWNER 2u /* whose frame_get's frames are: an anon's, as the library's; bare.c */

/*
 * How an allocator's own functions want to be called. Each style has its copy of the same loops and its own allocator
 * that does nothing, whose cost is subtracted, so that no allocator pays for an adapter.
 */
enum style {
	STYLE_MALLOC,  /* alloc(size), free(p) */
	STYLE_CONTEXT, /* alloc(context, size), free(context, p) */
	STYLE_OBJECT,  /* alloc(context), free(context, p): context is a zone of that size */
	STYLE_FRAME,   /* strata_frame_alloc, strata_frame_free */
	STYLE_SINGLE,  /* get(context, owner), put(context, frame): frame_get, frame_put */
	STYLES
};

typedef void function_fn(void); /* any of the below, cast back by style */
typedef void *malloc_fn(size_t size);
typedef void free_fn(void *p);
typedef void *context_alloc_fn(void *context, size_t size);
typedef int context_free_fn(void *context, void *p);
typedef void *object_alloc_fn(void *context);
typedef int frame_alloc_fn(void *context, unsigned order, unsigned flags, uint64_t *frame);
typedef int frame_free_fn(void *context, uint64_t frame, unsigned order);
typedef uint64_t single_get_fn(void *context, unsigned owner);
typedef void single_put_fn(void *context, uint64_t frame);

struct allocator {
	const char *name;
	enum style style;
	bool null; /* does nothing: the harness */
	function_fn *alloc, *free;
	void *context;
	/* For STYLE_OBJECT: the context for objects of that size; NULL: there is none. */
	void *(*context_of)(size_t size);
	/* The calling thread, number i, is about to use it / has used it. NULL: nothing to do. */
	void (*enter)(unsigned i);
	void (*leave)(void);
};

enum pattern {
	PATTERN_PAIR,     /* allocate, free */
	PATTERN_LIFO,     /* a batch; freed last first */
	PATTERN_FIFO,     /* a batch; freed in order */
	PATTERN_RANDOM,   /* a batch; freed in random order */
	PATTERN_REPLACE,  /* a set of live objects, random ones of which are replaced */
	PATTERN_LARSON,   /* the same, and the sets go on to the next thread after each batch */
	PATTERN_ONE_WAY,  /* thread 0 allocates batches, thread 1 frees them */
	PATTERN_EXCHANGE, /* each thread allocates a batch and frees the other one's */
};

struct load {
	const char *name;
	enum pattern pattern;
	unsigned threads;
	size_t size;    /* bytes, or the order for frames; 0: mixed sizes */
	unsigned batch; /* objects */
	bool frames;
};

extern const struct load loads[];
extern const unsigned load_count;
extern struct allocator allocators[];
extern const unsigned allocator_count;

/* allocators.c: loads the others' libraries and makes our machine. Ends the program with a message when one is missing.
 */
void allocators_open(void);

/* loads.c. The threads that run loads are made once. */
void loads_open(uint64_t seed);

/* Whether that allocator can run that load. */
bool load_fits(const struct load *l, const struct allocator *a);

struct run {
	uint64_t pairs; /* of all threads */
	double wall,
		cpu; /* nanoseconds a pair: from the first thread's start to the last one's end / threads' own time */
};

/*
 * At least n pairs a thread. During the timed part counted(true) has been called, counted(false) not yet: both by the
 * calling thread, while the others stand still; NULL: neither.
 */
struct run load_run(const struct load *l, const struct allocator *a, uint64_t n, void (*counted)(bool on));

/* xorshift; for all that is random here */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

#endif
