/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorts memory: so many MiB of 16-byte records by a 32-bit key, with as much scratch memory again.
 *
 *   sort [MiB [threads]]
 *
 * Each thread sorts a slice by a radix of 11 bits in three passes; then slices are merged in
 * pairs. All of it walks over hundreds of MiB in long strides and in order, the work of a page table.
 * Verified: keys in order, equal keys in the order they were made in, and the sum and mixed sum of all records.
 */
#define _GNU_SOURCE
#include "check.h"
#include "lib/machine.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#define RADIX_BITS 11
#define RADIX (1u << RADIX_BITS)
#define THREADS_MAX 64

struct record {
	uint32_t key;
	uint32_t number; /* in what order it was made */
	uint64_t payload;
};
_Static_assert(sizeof(struct record) == 16, "the size in MiB is counted in records of 16 bytes");

struct slice {
	pthread_t thread;
	struct record *records, *scratch;
	size_t count, middle; /* of merge: the second run starts here */
	uint32_t first_number;
};

static uint64_t payload_of(const struct record *r) { return (r->key * 0x9e3779b97f4a7c15u) ^ r->number; }

/* xorshift: the same records on every run */
static void *make(void *argument)
{
	struct slice *slice = argument;
	uint32_t x = slice->first_number * 2654435761u + 1;

	for (size_t i = 0; i < slice->count; i++) {
		struct record *r = &slice->records[i];
		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		r->key = i % 16 ? x : x & 0xff; /* some keys are frequent */
		r->number = slice->first_number + (uint32_t)i;
		r->payload = payload_of(r);
	}
	return NULL;
}

static void pass(const struct record *from, struct record *to, size_t count, unsigned shift)
{
	size_t at[RADIX] = {0}, sum = 0;

	for (size_t i = 0; i < count; i++)
		at[from[i].key >> shift & (RADIX - 1)]++;
	for (size_t d = 0; d < RADIX; d++) {
		size_t n = at[d];
		at[d] = sum;
		sum += n;
	}
	for (size_t i = 0; i < count; i++)
		to[at[from[i].key >> shift & (RADIX - 1)]++] = from[i];
}

/* => the slice sorted, in `scratch`: three passes end on the other side */
static void *sort(void *argument)
{
	struct slice *slice = argument;

	pass(slice->records, slice->scratch, slice->count, 0);
	pass(slice->scratch, slice->records, slice->count, RADIX_BITS);
	pass(slice->records, slice->scratch, slice->count, 2 * RADIX_BITS);
	return NULL;
}

static void *merge(void *argument)
{
	struct slice *slice = argument;
	const struct record *a = slice->records, *b = a + slice->middle, *a_end = b, *b_end = a + slice->count;
	struct record *to = slice->scratch;

	while (a < a_end && b < b_end)
		*to++ = b->key < a->key ? *b++ : *a++;
	memcpy(to, a, (size_t)(a_end - a) * sizeof *a);
	memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof *b);
	return NULL;
}

static void in_threads(struct slice *slices, size_t count, void *(*body)(void *))
{
	for (size_t i = 0; i < count; i++)
		REQUIRE(pthread_create(&slices[i].thread, NULL, body, &slices[i]) == 0);
	for (size_t i = 0; i < count; i++)
		REQUIRE(pthread_join(slices[i].thread, NULL) == 0);
}

/* Merges runs of `run` records until there is one. => which of both holds it */
static struct record *merge_all(struct record *from, struct record *to, size_t count, size_t run)
{
	while (run < count) {
		struct slice slices[THREADS_MAX];
		size_t n = 0;
		for (size_t at = 0; at < count; at += 2 * run, n++) {
			size_t length = count - at < 2 * run ? count - at : 2 * run;
			slices[n] = (struct slice){.records = from + at,
						   .scratch = to + at,
						   .count = length,
						   .middle = length < run ? length : run};
		}
		in_threads(slices, n, merge);
		struct record *swap = from;
		from = to, to = swap;
		run *= 2;
	}
	return from;
}

static struct record *map(size_t bytes)
{
	struct record *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static void verify(const struct record *sorted, size_t count, uint64_t sum, uint64_t mixed)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		const struct record *r = &sorted[i];
		sum -= r->payload, mixed -= r->payload * (r->number | 1);
		wrong += r->payload != payload_of(r);
		if (i > 0 && (r->key < r[-1].key || (r->key == r[-1].key && r->number <= r[-1].number)))
			wrong++;
	}
	CHECK_EQ(0, wrong);
	CHECK_EQ(0, sum);
	CHECK_EQ(0, mixed);
}

int main(int argc, char **argv)
{
	static struct machine machine;
	static struct slice slices[THREADS_MAX];

	REQUIRE(machine_look(&machine));
	size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 0) : 64) << 20;
	size_t threads = argc > 2 ? strtoul(argv[2], NULL, 0) : machine.cpus < 8 ? machine.cpus : 8;
	REQUIRE(bytes > 0 && bytes <= 16UL << 30 && threads > 0 && threads <= THREADS_MAX);
	size_t count = bytes / sizeof(struct record), run = (count + threads - 1) / threads;
	struct record *records = map(bytes), *scratch = map(bytes);
	uint64_t sum = 0, mixed = 0;

	for (size_t i = 0; i < threads; i++) {
		size_t at = i * run < count ? i * run : count;
		slices[i] = (struct slice){.records = records + at,
					   .scratch = scratch + at,
					   .count = count - at < run ? count - at : run,
					   .first_number = (uint32_t)at};
	}
	in_threads(slices, threads, make);
	for (size_t i = 0; i < count; i++)
		sum += records[i].payload, mixed += records[i].payload * (records[i].number | 1);
	in_threads(slices, threads, sort);
	verify(merge_all(scratch, records, count, run), count, sum, mixed);
	munmap(records, bytes), munmap(scratch, bytes);
	return check_end();
}
