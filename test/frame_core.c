/* SPDX-License-Identifier: BSD-2-Clause */
/* test/frame_core.c: the core against a model, one byte a frame; kinds, reservations, runs; a crowd. */
#include <stdlib.h>

#include "test_memory.h"
#include "vm/frame_tree.h"

#define CHUNKS 70u /* trees of four chunks with two CPUs, and half a tree */
#define CPUS 2u
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
	frame_core_init(&s->core, s->tables, CHUNKS, first_chunk, CPUS);
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
		frame_core_put(&s->core, 0, &i, 1, 0);
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

/* With the reservations settled when it fails at first, as a search does. */
static bool get_after_all(struct scene *s, uint32_t cpu, unsigned order, uint32_t *index)
{
	enum frame_kind kind = order & 1;

	if (frame_core_get(&s->core, cpu, kind, order, index))
		return true;
	for (uint32_t i = 0; i < CPUS; i++)
		frame_core_settle(&s->core, i);
	return frame_core_get(&s->core, cpu, kind, order, index);
}

/* Random blocks of all orders come and go; what is refused is not there. */
static void agrees_with_model(void **state)
{
	static struct {
		uint32_t index;
		unsigned order;
	} held[4096];
	unsigned count = 0, refused = 0, large = 0;
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

			if (get_after_all(s, step % CPUS, order, &index)) {
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

			frame_core_put(&s->core, step % CPUS, &held[i].index, 1, held[i].order);
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
	uint32_t out[50];
	unsigned n, total = 0;

	(void)state;
	for (uint32_t i = 5; i < FRAMES; i += 97)
		give(s, i, i + 1);
	while ((n = frame_core_get_singles(&s->core, total % CPUS, total % FRAME_KINDS, out, ARRAY_SIZE(out))) > 0)
		for (unsigned i = 0; i < n; i++, total++)
			expect_get(s, 0, out[i]);
	assert_int_equal(total, (FRAMES - 5 + 96) / 97);
	assert_int_equal(frame_core_free(&s->core), 0);
	frame_core_check(&s->core);
	scene_close(s);
}

/* Small blocks leave whole chunks alone as long as a chunk in use serves. */
static void whole_chunks_are_kept(void **state)
{
	struct scene *s = scene_open(0);
	uint32_t index, whole;

	(void)state;
	give(s, 0, 3 * CHUNK_FRAMES);
	give(s, 3 * CHUNK_FRAMES + 1, 4 * CHUNK_FRAMES); /* in use */
	for (unsigned i = 1; i < CHUNK_FRAMES; i++) {
		assert_true(frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, &index));
		assert_int_equal(index / CHUNK_FRAMES, 3);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(frame_core_get(&s->core, 0, FRAME_MOVABLE, CHUNK_ORDER, &whole));
	assert_false(frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, &index));
	scene_close(s);
}

static uint64_t tree_got(struct scene *s, uint32_t cpu, enum frame_kind kind)
{
	uint32_t index;

	assert_true(frame_core_get(&s->core, cpu, kind, 0, &index));
	expect_get(s, 0, index);
	return tree_of(&s->core, index / CHUNK_FRAMES);
}

/* Each CPU and kind has a tree of its own; a full tree is left for one used in part, then for a new one; then all mix. */
static void kinds_and_cpus_apart(void **state)
{
	struct scene *s = scene_open(0);
	uint64_t tree[CPUS][FRAME_KINDS];
	uint32_t index, in_tree = CHUNK_FRAMES << s->core.tree_shift, cut;

	(void)state;
	assert_int_equal(s->core.trees, 18);
	give(s, 0, 5 * in_tree);
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
			tree[cpu][kind] = tree_got(s, cpu, kind);
			for (unsigned i = 0; i < 2 * cpu + kind; i++)
				assert_int_not_equal(tree[cpu][kind], tree[i / 2][i % 2]);
		}
	for (unsigned i = 1; i < in_tree; i++) /* to its last frame, whatever others do */
		assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), tree[0][FRAME_MOVABLE]);
	assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), 4);
	frame_core_settle(&s->core, 1); /* now two trees are used in part, one of each kind */
	for (unsigned i = 1; i < in_tree; i++)
		assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), 4);
	assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), tree[1][FRAME_MOVABLE]);
	for (unsigned i = 2; i < in_tree; i++)
		assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), tree[1][FRAME_MOVABLE]);
	assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), tree[1][FRAME_FIXED]); /* nothing else is left: the other kind's */
	for (cut = 0; frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, &index); cut++)
		expect_get(s, 0, index);
	assert_int_equal(cut, 2 * (in_tree - 1) - 1); /* its own reservation of the other kind, too */
	frame_core_check(&s->core);
	scene_close(s);
}

/* Of trees used in part, those of one's own kind, whichever comes first. */
static void own_kind_first(void **state)
{
	(void)state;
	for (unsigned first = 0; first < FRAME_KINDS; first++) {
		struct scene *s = scene_open(0);
		uint64_t tree[FRAME_KINDS];
		uint32_t in_tree = CHUNK_FRAMES << s->core.tree_shift;

		give(s, 0, 3 * in_tree);
		tree[first] = tree_got(s, 1, first);
		tree[!first] = tree_got(s, 1, !first);
		for (unsigned i = 0; i < in_tree; i++) /* a tree that nobody has used */
			assert_true(tree_got(s, 0, FRAME_FIXED) != tree[FRAME_FIXED]);
		frame_core_settle(&s->core, 1);
		assert_int_equal(tree_got(s, 0, FRAME_FIXED), tree[FRAME_FIXED]);
		assert_int_equal(tree_got(s, 0, FRAME_MOVABLE), tree[FRAME_MOVABLE]);
		scene_close(s);
	}
}

static void batches_over_chunks(void **state)
{
	const uint32_t index[] = {10, CHUNK_FRAMES + 10, CHUNK_FRAMES + 74, 2 * CHUNK_FRAMES};
	struct scene *s = scene_open(0);

	(void)state;
	frame_core_put(&s->core, 0, index, ARRAY_SIZE(index), 0);
	assert_int_equal(frame_core_free(&s->core), ARRAY_SIZE(index));
	frame_core_check(&s->core);
	scene_close(s);
}

/* What others free into a tree is its CPU's when it needs it; what another CPU has reserved is anybody's at last. */
static void reservations_hide_nothing(void **state)
{
	struct scene *s = scene_open(0);
	uint32_t in_tree = CHUNK_FRAMES << s->core.tree_shift, index, mine[3], word;

	(void)state;
	give(s, 0, in_tree);
	for (unsigned i = 0; i < in_tree; i++)
		assert_true(frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, i < 3 ? &mine[i] : &index));
	word = atomic_load_relaxed(&s->core.tree[0].word);
	assert_int_equal(tree_free(word), 0);
	frame_core_put(&s->core, 0, &mine[0], 1, 0); /* into its own reservation: the tree's word is not touched */
	assert_int_equal(atomic_load_relaxed(&s->core.tree[0].word), word);
	frame_core_put(&s->core, 1, &mine[1], 1, 0);
	frame_core_put(&s->core, 1, &mine[2], 1, 0);
	assert_int_equal(atomic_load_relaxed(&s->core.tree[0].word), word + 2);
	assert_int_equal(frame_core_free(&s->core), 3);
	for (unsigned i = 0; i < 2; i++)
		assert_true(frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, &index));
	assert_true(frame_core_get(&s->core, 1, FRAME_FIXED, 0, &index)); /* stolen out of the reservation */
	assert_false(frame_core_get(&s->core, 0, FRAME_MOVABLE, 0, &index));
	frame_core_check(&s->core);
	frame_core_put(&s->core, 1, mine, 3, 0);
	frame_core_check(&s->core);
	frame_core_settle(&s->core, 0);
	assert_int_equal(atomic_load_relaxed(&s->core.tree[0].word) & (TREE_FREE | TREE_RESERVED), 3);
	frame_core_check(&s->core);
	scene_close(s);
}

static void runs_of_any_length(void **state)
{
	struct scene *s = scene_open(3);
	struct frame_run r = {.n = 700, .align = 8, .min = 1000, .max = 6000};
	uint32_t index;

	(void)state;
	give(s, 10, 1000 + 5);
	give(s, 1201, 1201 + 706); /* from its first multiple of 8 on one too short */
	give(s, 4000, 8000);
	r = (struct frame_run){.n = 1, .align = 1, .min = 1203, .max = 1204}; /* that very frame */
	assert_true(frame_core_get_run(&s->core, &r, &index));
	assert_int_equal(index, 1203);
	frame_core_put_run(&s->core, 1, index, 1);
	r.min = 1204; /* behind max */
	assert_false(frame_core_get_run(&s->core, &r, &index));
	r = (struct frame_run){.n = 700, .align = 8, .min = 1000, .max = 6000};
	assert_true(frame_core_get_run(&s->core, &r, &index));
	assert_int_equal(index, 4000);
	expect_get(s, 0, index);
	r.max = 4000 + 704 + 700 - 1;
	assert_false(frame_core_get_run(&s->core, &r, &index));
	r.max++;
	assert_true(frame_core_get_run(&s->core, &r, &index));
	assert_int_equal(index, 4000 + 704);
	frame_core_put_run(&s->core, 0, 4000, 700);
	frame_core_put_run(&s->core, 1, 4704, 700);
	frame_core_check(&s->core);
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		frame_core_settle(&s->core, cpu);
	r = (struct frame_run){.n = 4000, .align = 1, .min = 0, .max = UINT64_MAX};
	assert_true(frame_core_get_run(&s->core, &r, &index)); /* three ends in the middle of chunks, whole ones between */
	assert_int_equal(index, 4000);
	r.n = UINT64_MAX / 2;
	assert_false(frame_core_get_run(&s->core, &r, &index));
	frame_core_check(&s->core);
	scene_close(s);
}

static void double_put_panics(void **state)
{
	struct scene *s = scene_open(0);
	uint32_t index = 640, inside = 641, twice[2] = {700, 700};

	(void)state;
	give(s, 0, CHUNK_FRAMES);
	frame_core_put(&s->core, 0, &index, 1, 6);
	EXPECT_PANIC("free already", frame_core_put(&s->core, 0, &inside, 1, 0));
	EXPECT_PANIC("freed twice", frame_core_put(&s->core, 0, twice, 2, 0));
	scene_close(s);
	s = scene_open(0);
	frame_core_put(&s->core, 0, &index, 1, 0);
	index = 512;
	EXPECT_PANIC("free already", frame_core_put(&s->core, 0, &index, 1, CHUNK_ORDER));
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

	jitter(64);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned r = (unsigned)rand_r(&seed), order = r % 16 == 0 ? r / 16 % 3 + CHUNK_ORDER - 1 : r / 16 % 9;

		if (r / 256 % 2 && count < ARRAY_SIZE(held)) {
			uint32_t index;

			if (!frame_core_get(&c->s->core, cpu, r / 512 % 2, order, &index))
				continue;
			for (uint32_t i = 0; i < 1u << order; i++)
				CHECK(atomic_swap_acq_rel(&c->owner[index + i], cpu + 1) == 0);
			held[count].index = index;
			held[count++].order = order;
		} else if (count > 0) {
			count--;
			for (uint32_t i = 0; i < 1u << held[count].order; i++)
				CHECK(atomic_swap_acq_rel(&c->owner[held[count].index + i], 0u) == cpu + 1);
			frame_core_put(&c->s->core, cpu, &held[count].index, 1, held[count].order);
		}
		if (r % 1024 == 77)
			frame_core_settle(&c->s->core, cpu);
	}
	while (count-- > 0) {
		for (uint32_t i = 0; i < 1u << held[count].order; i++)
			atomic_store_relaxed(&c->owner[held[count].index + i], 0u);
		frame_core_put(&c->s->core, cpu, &held[count].index, 1, held[count].order);
	}
	jitter(0);
}

static void crowd_never_shares_a_frame(void **state)
{
	struct crowd *c = calloc(1, sizeof *c);

	(void)state;
	c->s = scene_open(0);
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t index = i * CHUNK_FRAMES;

		frame_core_put(&c->s->core, 0, &index, 1, CHUNK_ORDER);
	}
	c->s->core.ncpus = 4;
	run_on_cpus(c->s->t.m, 4, take_and_put, c);
	frame_core_check(&c->s->core);
	assert_int_equal(frame_core_free(&c->s->core), 12 * CHUNK_FRAMES);
	scene_close(c->s);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_model),          cmocka_unit_test(singles_to_the_last),
		cmocka_unit_test(whole_chunks_are_kept),      cmocka_unit_test(double_put_panics),
		cmocka_unit_test(crowd_never_shares_a_frame), cmocka_unit_test(kinds_and_cpus_apart),
		cmocka_unit_test(own_kind_first),
		cmocka_unit_test(batches_over_chunks),
		cmocka_unit_test(reservations_hide_nothing), cmocka_unit_test(runs_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
