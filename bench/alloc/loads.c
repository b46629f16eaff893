/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/loads.c: what is done with an allocator.
 *
 * Structure. Each pattern is one inline function over a style; the table
 * `patterns` has a copy for each style, so that the loop of a pattern calls the
 * allocator's own functions by pointer and nothing else differs. Sizes and orders of
 * freeing are made beforehand, from the seed, the same for all allocators.
 *
 * Threads. Worker threads are made once and wait for work; the caller is thread
 * 0. A run:
 *
 *	enter | a warm-up of n pairs | barrier | counted, clock | n pairs | clock, barrier | leave
 *
 * Threads meet at barriers (pthread_barrier_t: who waits sleeps, and counts no
 * instructions); patterns with two threads meet once or twice a batch, which the
 * allocator that does nothing pays as well.
 *
 * The first word of each object is written when it is allocated.
 */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX 16384u
#define MIXED_SIZES 4096u /* a power of two */

const struct load loads[] = {
	{"pair 64", PATTERN_PAIR, 1, 64, 1, false},
	{"pair 192", PATTERN_PAIR, 1, 192, 1, false},
	{"pair 1024", PATTERN_PAIR, 1, 1024, 1, false},
	{"batch LIFO 64", PATTERN_LIFO, 1, 64, 512, false},
	{"batch LIFO 192", PATTERN_LIFO, 1, 192, 512, false},
	{"batch LIFO 1024", PATTERN_LIFO, 1, 1024, 512, false},
	{"batch random 64", PATTERN_RANDOM, 1, 64, 512, false},
	{"batch random 192", PATTERN_RANDOM, 1, 192, 512, false},
	{"batch random 1024", PATTERN_RANDOM, 1, 1024, 512, false},
	{"mixed sizes", PATTERN_REPLACE, 1, 0, 1024, false},
	{"larson", PATTERN_LARSON, 1, 0, 1024, false},
	{"pair 64", PATTERN_PAIR, 2, 64, 1, false},
	{"pair 192", PATTERN_PAIR, 2, 192, 1, false},
	{"pair 1024", PATTERN_PAIR, 2, 1024, 1, false},
	{"batch LIFO 64", PATTERN_LIFO, 2, 64, 512, false},
	{"batch LIFO 192", PATTERN_LIFO, 2, 192, 512, false},
	{"batch LIFO 1024", PATTERN_LIFO, 2, 1024, 512, false},
	{"batch random 64", PATTERN_RANDOM, 2, 64, 512, false},
	{"batch random 192", PATTERN_RANDOM, 2, 192, 512, false},
	{"batch random 1024", PATTERN_RANDOM, 2, 1024, 512, false},
	{"mixed sizes", PATTERN_REPLACE, 2, 0, 1024, false},
	{"larson", PATTERN_LARSON, 2, 0, 1024, false},
	{"freed by another 64", PATTERN_ONE_WAY, 2, 64, 4096, false},
	{"freed by another 192", PATTERN_ONE_WAY, 2, 192, 4096, false},
	{"freed by another 1024", PATTERN_ONE_WAY, 2, 1024, 4096, false},
	{"exchange 64", PATTERN_EXCHANGE, 2, 64, 4096, false},
	{"exchange 192", PATTERN_EXCHANGE, 2, 192, 4096, false},
	{"exchange 1024", PATTERN_EXCHANGE, 2, 1024, 4096, false},
	{"order 0 repeat", PATTERN_PAIR, 1, 0, 1, true},
	{"order 0 bulk", PATTERN_FIFO, 1, 0, 16384, true},
	{"order 0 random", PATTERN_RANDOM, 1, 0, 16384, true},
	{"order 0 repeat", PATTERN_PAIR, 2, 0, 1, true},
	{"order 0 bulk", PATTERN_FIFO, 2, 0, 16384, true},
	{"order 0 random", PATTERN_RANDOM, 2, 0, 16384, true},
	{"order 0 other CPU", PATTERN_ONE_WAY, 2, 0, 4096, true},
	{"order 0 exchange", PATTERN_EXCHANGE, 2, 0, 4096, true},
	{"order 9 repeat", PATTERN_PAIR, 1, 9, 1, true},
	{"order 9 bulk", PATTERN_FIFO, 1, 9, 128, true},
	{"order 9 random", PATTERN_RANDOM, 1, 9, 128, true},
	{"order 9 repeat", PATTERN_PAIR, 2, 9, 1, true},
	{"order 9 bulk", PATTERN_FIFO, 2, 9, 128, true},
	{"order 9 random", PATTERN_RANDOM, 2, 9, 128, true},
	{"order 9 other CPU", PATTERN_ONE_WAY, 2, 9, 128, true},
	{"order 9 exchange", PATTERN_EXCHANGE, 2, 9, 128, true},
};
const unsigned load_count = sizeof loads / sizeof loads[0];

/* --- one allocation, one free --- */

struct target {
	function_fn *alloc, *free;
	void *context;
	size_t size; /* or order */
};

static void __attribute__((noinline, noreturn)) failed(void)
{
	fprintf(stderr, "bench-alloc: an allocation failed\n");
	exit(1);
}

static inline __attribute__((always_inline)) void *get(enum style style, const struct target *t, size_t size)
{
	void *p;

	if (style == STYLE_FRAME) {
		uint64_t frame;

		if (__builtin_expect(((frame_alloc_fn *)t->alloc)(t->context, (unsigned)size, 0, &frame), 0))
			failed();
		return (void *)(uintptr_t)frame;
	}
	if (style == STYLE_SINGLE) {
		uint64_t frame = ((single_get_fn *)t->alloc)(t->context, SINGLE_OWNER);

		if (__builtin_expect(frame == UINT64_MAX, 0))
			failed();
		return (void *)(uintptr_t)frame;
	}
	p = style == STYLE_MALLOC    ? ((malloc_fn *)t->alloc)(size)
	    : style == STYLE_CONTEXT ? ((context_alloc_fn *)t->alloc)(t->context, size)
				     : ((object_alloc_fn *)t->alloc)(t->context);
	if (__builtin_expect(!p, 0))
		failed();
	*(volatile uint64_t *)p = size;
	return p;
}

static inline __attribute__((always_inline)) void put(enum style style, const struct target *t, void *p)
{
	if (style == STYLE_MALLOC)
		((free_fn *)t->free)(p);
	else if (style == STYLE_SINGLE)
		((single_put_fn *)t->free)(t->context, (uint64_t)(uintptr_t)p);
	else if (style == STYLE_FRAME)
		(void)((frame_free_fn *)t->free)(t->context, (uint64_t)(uintptr_t)p, (unsigned)t->size);
	else
		(void)((context_free_fn *)t->free)(t->context, p);
}

/* --- what all runs share --- */

static uint32_t order_of[2 * BATCH_MAX]; /* from n on, for each power of two n: a permutation of 0 .. n - 1 */
static uint32_t mixed[MIXED_SIZES];      /* sizes */
static uint32_t replaced[MIXED_SIZES];   /* random numbers */
static void *objects[THREADS_MAX][2][BATCH_MAX];
static pthread_barrier_t meet; /* of the threads of the run */

/* --- patterns: pairs of thread i, at least n; returns how many --- */

#define PATTERN static inline __attribute__((always_inline)) uint64_t

PATTERN pair(enum style style, const struct target *t, const struct load *l, unsigned i, uint64_t n)
{
	(void)l, (void)i;
	for (uint64_t k = 0; k < n; k++)
		put(style, t, get(style, t, t->size));
	return n;
}

PATTERN batch(enum style style, const struct target *t, const struct load *l, unsigned i, uint64_t n)
{
	void **p = objects[i][0];
	uint64_t done;

	for (done = 0; done < n; done += l->batch) {
		for (unsigned k = 0; k < l->batch; k++)
			p[k] = get(style, t, t->size);
		if (l->pattern == PATTERN_LIFO)
			for (unsigned k = l->batch; k-- > 0;)
				put(style, t, p[k]);
		else if (l->pattern == PATTERN_FIFO)
			for (unsigned k = 0; k < l->batch; k++)
				put(style, t, p[k]);
		else
			for (unsigned k = 0; k < l->batch; k++)
				put(style, t, p[order_of[l->batch + k]]);
	}
	return done;
}

/* The sets of larson rotate: thread i works on set (i + turn) % threads. */
PATTERN replace(enum style style, const struct target *t, const struct load *l, unsigned i, uint64_t n)
{
	unsigned turn = 0, set = i;
	uint64_t done;

	for (unsigned k = 0; k < l->batch; k++)
		objects[i][0][k] = get(style, t, mixed[k]);
	for (done = 0; done < n; done += MIXED_SIZES) {
		void **p = objects[set][0];

		for (unsigned k = 0; k < MIXED_SIZES; k++) {
			unsigned slot = replaced[k] & (l->batch - 1);

			put(style, t, p[slot]);
			p[slot] = get(style, t, mixed[k]);
		}
		if (l->pattern == PATTERN_LARSON && l->threads > 1) {
			pthread_barrier_wait(&meet);
			set = (i + ++turn) % l->threads;
		}
	}
	for (unsigned k = 0; k < l->batch; k++)
		put(style, t, objects[set][0][k]);
	return done + l->batch;
}

/* In step s thread 0 fills half s % 2 while thread 1 frees what the step before filled. */
PATTERN one_way(enum style style, const struct target *t, const struct load *l, unsigned i, uint64_t n)
{
	uint64_t done;
	unsigned step = 0;

	for (done = 0; done < n; done += l->batch, step++) {
		if (i == 0)
			for (unsigned k = 0; k < l->batch; k++)
				objects[0][step % 2][k] = get(style, t, t->size);
		else if (step > 0)
			for (unsigned k = 0; k < l->batch; k++)
				put(style, t, objects[0][1 - step % 2][k]);
		pthread_barrier_wait(&meet);
	}
	if (i == 1)
		for (unsigned k = 0; k < l->batch; k++)
			put(style, t, objects[0][1 - step % 2][k]);
	return i == 0 ? done : 0;
}

PATTERN exchange(enum style style, const struct target *t, const struct load *l, unsigned i, uint64_t n)
{
	uint64_t done;

	for (done = 0; done < n; done += l->batch) {
		for (unsigned k = 0; k < l->batch; k++)
			objects[i][0][k] = get(style, t, t->size);
		pthread_barrier_wait(&meet);
		for (unsigned k = 0; k < l->batch; k++)
			put(style, t, objects[1 - i][0][k]);
		pthread_barrier_wait(&meet);
	}
	return done;
}

typedef uint64_t pattern_fn(const struct target *t, const struct load *l, unsigned i, uint64_t n);

#define COPY(name, style) \
	static __attribute__((noinline)) \
	uint64_t name##_##style(const struct target *t, const struct load *l, unsigned i, uint64_t n) \
	{ \
		return name(style, t, l, i, n); \
	}
#define COPIES(name) COPY(name, STYLE_MALLOC) COPY(name, STYLE_CONTEXT) COPY(name, STYLE_OBJECT) \
	COPY(name, STYLE_FRAME) COPY(name, STYLE_SINGLE)
COPIES(pair)
COPIES(batch)
COPIES(replace)
COPIES(one_way)
COPIES(exchange)

#define ROW(name) \
	{ \
		name##_STYLE_MALLOC, name##_STYLE_CONTEXT, name##_STYLE_OBJECT, name##_STYLE_FRAME, \
			name##_STYLE_SINGLE \
	}
static pattern_fn *const patterns[][STYLES] = {
	[PATTERN_PAIR] = ROW(pair),       [PATTERN_LIFO] = ROW(batch),        [PATTERN_FIFO] = ROW(batch),
	[PATTERN_RANDOM] = ROW(batch),    [PATTERN_REPLACE] = ROW(replace),   [PATTERN_LARSON] = ROW(replace),
	[PATTERN_ONE_WAY] = ROW(one_way), [PATTERN_EXCHANGE] = ROW(exchange),
};

/* --- threads --- */

/* One run. Written before the start barrier, the threads' parts read after the end barrier. */
static struct {
	const struct load *load;
	const struct allocator *allocator;
	void (*counted)(bool on);
	struct target target;
	uint64_t n;
	struct {
		uint64_t pairs;
		uint64_t start, end, cpu; /* ns */
	} thread[THREADS_MAX];
} job;
static pthread_barrier_t start, end; /* of all threads that were made */

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void part(unsigned i)
{
	const struct allocator *a = job.allocator;
	pattern_fn *run = patterns[job.load->pattern][a->style];
	uint64_t cpu;

	if (a->enter)
		a->enter(i);
	run(&job.target, job.load, i, job.n / 4 + 1); /* warm */
	pthread_barrier_wait(&meet);
	if (i == 0 && job.counted)
		job.counted(true);
	pthread_barrier_wait(&meet);
	cpu = now(CLOCK_THREAD_CPUTIME_ID);
	job.thread[i].start = now(CLOCK_MONOTONIC);
	job.thread[i].pairs = run(&job.target, job.load, i, job.n);
	job.thread[i].end = now(CLOCK_MONOTONIC);
	job.thread[i].cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	pthread_barrier_wait(&meet);
	if (i == 0 && job.counted)
		job.counted(false);
	pthread_barrier_wait(&meet);
	if (a->leave)
		a->leave();
}

static void *worker(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	for (;;) {
		pthread_barrier_wait(&start);
		if (i < job.load->threads)
			part(i);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

void loads_open(uint64_t seed)
{
	pthread_t thread;

	seed = seed * 2 + 1;
	for (uint32_t n = 1; n <= BATCH_MAX; n *= 2)
		for (uint32_t i = 0; i < n; i++) {
			uint32_t j = (uint32_t)(random_next(&seed) >> 16) % (i + 1);

			order_of[n + i] = order_of[n + j];
			order_of[n + j] = i;
		}
	/* 16 bytes to 4 KiB, small ones more often: two random numbers' product. */
	for (uint32_t i = 0; i < MIXED_SIZES; i++) {
		uint32_t r = (uint32_t)(random_next(&seed) >> 16);

		mixed[i] = 16 + (r & 63) * (r >> 8 & 63);
		replaced[i] = (uint32_t)(random_next(&seed) >> 16);
	}
	pthread_barrier_init(&start, NULL, THREADS_MAX);
	pthread_barrier_init(&end, NULL, THREADS_MAX);
	for (uintptr_t i = 1; i < THREADS_MAX; i++)
		if (pthread_create(&thread, NULL, worker, (void *)i))
			failed();
}

bool load_fits(const struct load *l, const struct allocator *a)
{
	if (l->frames != (a->style == STYLE_FRAME || a->style == STYLE_SINGLE))
		return false;
	if (a->style == STYLE_SINGLE)
		return l->size == 0;
	return a->style != STYLE_OBJECT || (l->size && a->context_of(l->size));
}

struct run load_run(const struct load *l, const struct allocator *a, uint64_t n, void (*counted)(bool on))
{
	uint64_t first = UINT64_MAX, last = 0, cpu = 0;
	struct run r = {0};

	job.load = l;
	job.allocator = a;
	job.counted = counted;
	job.n = n;
	job.target = (struct target){.alloc = a->alloc,
				     .free = a->free,
				     .context = a->context_of ? a->context_of(l->size) : a->context,
				     .size = l->size};
	pthread_barrier_init(&meet, NULL, l->threads);
	pthread_barrier_wait(&start);
	part(0);
	pthread_barrier_wait(&end);
	pthread_barrier_destroy(&meet);
	for (unsigned i = 0; i < l->threads; i++) {
		first = job.thread[i].start < first ? job.thread[i].start : first;
		last = job.thread[i].end > last ? job.thread[i].end : last;
		cpu += job.thread[i].cpu;
		r.pairs += job.thread[i].pairs;
	}
	/* Of threads that allocate side by side, each has its pairs in that time. */
	r.wall = (double)(last - first) / (double)r.pairs * (l->pattern == PATTERN_ONE_WAY ? 1 : l->threads);
	r.cpu = (double)cpu / (double)r.pairs;
	return r;
}
