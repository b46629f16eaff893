/* SPDX-License-Identifier: BSD-2-Clause */
/* test/frame_core.c: the bitfield against a model, one byte a frame. */
#include <stdlib.h>

#include "test_machine.h"
#include "vm/frame_core.h"

#define CHUNKS 70u /* two trees and a part of a third */
#define FRAMES (CHUNKS * CHUNK_FRAMES)

struct scene {
	struct test_machine t;
	struct frame_core core;
	void *tables;
	uint8_t taken[FRAMES]; /* model: 1 in use, 2 never free */
	unsigned seed;
};

static struct scene *scene_open(uint64_t first_chunk)
{
	struct scene *s = calloc(1, sizeof *s);

	test_machine_init(&s->t, NULL);
	s->tables = aligned_alloc(64, round_up(frame_core_size(CHUNKS), 64));
	frame_core_init(&s->core, s->tables, CHUNKS, first_chunk);
	s->seed = TEST_SEED;
	memset(s->taken, 2, sizeof s->taken);
	return s;
}

static void scene_close(struct scene *s)
{
	test_machine_destroy(&s->t);
	free(s->tables);
	free(s);
}

static void give(struct scene *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		frame_core_put(&s->core, &i, 1, 0);
		s->taken[i] = 0;
	}
}

/* Is there an aligned free run of that order in the model? */
static bool model_has(const struct scene *s, unsigned order)
{
	uint64_t n = UINT64_C(1) << order, first = s->core.first_chunk * CHUNK_FRAMES;

	for (uint64_t i = round_up(first, n) - first; i + n <= FRAMES; i += n) {
		uint64_t k = 0;

		while (k < n && s->taken[i + k] == 0)
			k++;
		if (k == n)
			return true;
	}
	return false;
}

static void expect_get(struct scene *s, unsigned order, uint32_t index)
{
	uint64_t n = UINT64_C(1) << order;

	assert_int_equal((s->core.first_chunk * CHUNK_FRAMES + index) & (n - 1), 0);
	assert_true(index + n <= FRAMES);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(s->taken[index + i], 0);
		s->taken[index + i] = 1;
	}
}

/* Random blocks of all orders come and go; what is refused is not there. */
static void agrees_with_model(void **state)
{
	static struct {
		uint32_t index;
		unsigned order;
	} held[4096];
	unsigned count = 0, refused = 0, large = 0;
	uint64_t hint = 0;
	struct scene *s = scene_open(3); /* not aligned to a large block */

	(void)state;
	give(s, 100, 9 * CHUNK_FRAMES + 7); /* a hole up to the next line */
	give(s, 11 * CHUNK_FRAMES, FRAMES - 33);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned r = (unsigned)rand_r(&s->seed);
		/* singles mostly, every order sometimes; the tide turns every 2000 steps */
		unsigned order = r % 4 ? r / 4 % 4 : r / 4 % 13;
		bool grow = (step / 2000) % 2 ? r / 64 % 8 < 3 : r / 64 % 8 < 6;

		if (grow && count < ARRAY_SIZE(held)) {
			uint32_t index;

			if (frame_core_get(&s->core, &hint, order, &index)) {
				expect_get(s, order, index);
				held[count].index = index;
				held[count++].order = order;
				large += order > CHUNK_ORDER;
			} else {
				assert_false(model_has(s, order));
				refused++;
			}
		} else if (count > 0) {
			unsigned i = r / 64 % count;

			frame_core_put(&s->core, &held[i].index, 1, held[i].order);
			memset(&s->taken[held[i].index], 0, (size_t)1 << held[i].order);
			held[i] = held[--count];
		}
		if (step % 500 == 0)
			frame_core_check(&s->core);
	}
	frame_core_check(&s->core);
	assert_true(refused > 0);
	assert_true(large > 0);
	for (uint32_t c = 0; c < CHUNKS; c++) {
		struct frame_chunk bits;
		uint32_t n = frame_core_look(&s->core, c, &bits), k = 0;

		for (unsigned i = 0; i < CHUNK_FRAMES; i++) {
			bool free = bits.word[i / 64] >> (i % 64) & 1;

			assert_int_equal(free, s->taken[c * CHUNK_FRAMES + i] == 0);
			k += free;
		}
		assert_int_equal(n, k);
	}
	scene_close(s);
}

/* Every single frame is found, whatever the hint, and no other. */
static void singles_to_the_last(void **state)
{
	struct scene *s = scene_open(0);
	uint64_t hint = 64;
	uint32_t out[50];
	unsigned n, total = 0;

	(void)state;
	for (uint32_t i = 5; i < FRAMES; i += 97)
		give(s, i, i + 1);
	while ((n = frame_core_get_singles(&s->core, &hint, out, ARRAY_SIZE(out))) > 0)
		for (unsigned i = 0; i < n; i++, total++)
			expect_get(s, 0, out[i]);
	assert_int_equal(total, (FRAMES - 5 + 96) / 97);
	assert_int_equal(atomic_load_relaxed(&s->core.free), 0);
	scene_close(s);
}

/* Small blocks leave whole chunks alone as long as a chunk in use serves. */
static void whole_chunks_are_kept(void **state)
{
	struct scene *s = scene_open(0);
	uint64_t hint = 0;
	uint32_t index, whole;

	(void)state;
	give(s, 0, 4 * CHUNK_FRAMES);
	give(s, 40 * CHUNK_FRAMES + 1, 41 * CHUNK_FRAMES); /* in use, far away */
	for (unsigned i = 0; i < CHUNK_FRAMES; i++)        /* uses up the chunk of the hint */
		assert_true(frame_core_get(&s->core, &hint, 0, &index));
	for (unsigned i = 1; i < CHUNK_FRAMES; i++) {
		assert_true(frame_core_get(&s->core, &hint, 0, &index));
		assert_int_equal(index / CHUNK_FRAMES, 40);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(frame_core_get(&s->core, &hint, CHUNK_ORDER, &whole));
	assert_false(frame_core_get(&s->core, &hint, 0, &index));
	scene_close(s);
}

static void double_put_panics(void **state)
{
	struct scene *s = scene_open(0);
	uint32_t index = 640, inside = 641;

	(void)state;
	give(s, 0, CHUNK_FRAMES);
	frame_core_put(&s->core, &index, 1, 6);
	EXPECT_PANIC("free already", frame_core_put(&s->core, &inside, 1, 0));
	scene_close(s);
	s = scene_open(0);
	frame_core_put(&s->core, &index, 1, 0);
	index = 512;
	EXPECT_PANIC("free already", frame_core_put(&s->core, &index, 1, CHUNK_ORDER));
	scene_close(s);
}

struct crowd {
	struct scene *s;
	ATOMIC(uint32_t) owner[FRAMES]; /* CPU + 1 of whoever holds the frame */
};

static void take_and_put(uint32_t cpu, void *arg)
{
	struct crowd *c = arg;
	struct {
		uint32_t index;
		unsigned order;
	} held[64];
	unsigned count = 0, seed = TEST_SEED + cpu;
	uint64_t hint = cpu * 16;

	for (unsigned step = 0; step < 20000; step++) {
		unsigned r = (unsigned)rand_r(&seed), order = r % 16 == 0 ? CHUNK_ORDER : r / 16 % 4;

		if (r / 256 % 2 && count < ARRAY_SIZE(held)) {
			uint32_t index;

			if (!frame_core_get(&c->s->core, &hint, order, &index))
				continue;
			for (uint32_t i = 0; i < 1u << order; i++)
				CHECK(atomic_swap_acq_rel(&c->owner[index + i], cpu + 1) == 0);
			held[count].index = index;
			held[count++].order = order;
		} else if (count > 0) {
			count--;
			for (uint32_t i = 0; i < 1u << held[count].order; i++)
				CHECK(atomic_swap_acq_rel(&c->owner[held[count].index + i], 0u) == cpu + 1);
			frame_core_put(&c->s->core, &held[count].index, 1, held[count].order);
		}
	}
	while (count-- > 0) {
		for (uint32_t i = 0; i < 1u << held[count].order; i++)
			atomic_store_relaxed(&c->owner[held[count].index + i], 0u);
		frame_core_put(&c->s->core, &held[count].index, 1, held[count].order);
	}
}

static void crowd_never_shares_a_frame(void **state)
{
	struct crowd *c = calloc(1, sizeof *c);

	(void)state;
	c->s = scene_open(0);
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t index = i * CHUNK_FRAMES;

		frame_core_put(&c->s->core, &index, 1, CHUNK_ORDER);
	}
	run_on_cpus(c->s->t.m, 4, take_and_put, c);
	frame_core_check(&c->s->core);
	assert_int_equal(atomic_load_relaxed(&c->s->core.free), 12 * CHUNK_FRAMES);
	scene_close(c->s);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_model),          cmocka_unit_test(singles_to_the_last),
		cmocka_unit_test(whole_chunks_are_kept),      cmocka_unit_test(double_put_panics),
		cmocka_unit_test(crowd_never_shares_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
