/* SPDX-License-Identifier: BSD-2-Clause */
/* Zeroed frames: who gets those of the stock, and when the next batch is fetched. One CPU. */
#include "test_memory.h"
#include "vm/frame_cache.h"

static struct test_memory *m;

static int setup(void **state)
{
	pfn_t f;

	(void)state;
	m = memory_open(1, 64 << 20);
	while (frames_zero_idle(&m->frames))
		;
	/* The cache has others, which are not zeroed. */
	assert_int_equal(frame_alloc(&m->frames, 0, 0, FRAME_ANON, &f), OK);
	memset(phys_to_virt(pfn_to_paddr(f)), 0x5a, PAGE_SIZE);
	frame_free(&m->frames, f, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memory_close(m);
	return 0;
}

static uint32_t own(void) { return frame_stack_count(&frame_own_cache(&m->frames)->stack[FRAME_ZEROED]); }

static pfn_t zeroed(enum frame_owner owner)
{
	const uint64_t *bytes;
	pfn_t f;

	assert_int_equal(frame_alloc(&m->frames, 0, FRAME_ZERO, owner, &f), OK);
	bytes = phys_to_virt(pfn_to_paddr(f));
	for (unsigned i = 0; i < PAGE_SIZE / sizeof *bytes; i++)
		assert_int_equal(bytes[i], 0);
	return f;
}

/* Movable owners are served from the stock, a batch at a time, as long as there is one. */
static void movable(void **state)
{
	static pfn_t f[4 * FRAME_ZERO_BATCH];
	uint32_t batch = m->frames.zeros.batch, n = 0;

	(void)state;
	assert_true(batch > 0 && frame_zeros_there(&m->frames));
	while (own() > 0) {
		assert_true(n < ARRAY_SIZE(f) - 1);
		f[n++] = zeroed(FRAME_ANON);
	}
	f[n++] = zeroed(FRAME_OBJECT);
	assert_int_equal(own(), batch - 1);
	while (n > 0)
		frame_free(&m->frames, f[--n], 0);
}

/* The kernel's are not: they would stand among movable ones. */
static void kernel(void **state)
{
	uint32_t before = own();
	pfn_t f = zeroed(FRAME_TABLE);

	(void)state;
	assert_int_equal(own(), before);
	frame_free(&m->frames, f, 0);
}

/* Without a stock, and with frames that hold something. */
static void without_stock(void **state)
{
	static pfn_t f[64];

	(void)state;
	frames_drain(&m->frames);
	assert_int_equal(own(), 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
			f[i] = zeroed(i % 2 ? FRAME_ANON : FRAME_TABLE);
			memset(phys_to_virt(pfn_to_paddr(f[i])), 0x5a, PAGE_SIZE);
		}
		for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
			frame_free(&m->frames, f[i], 0);
	}
}

static bool fails(void *arg)
{
	(void)arg;
	return true;
}

/* As the command line would at boot: caches are closed, and open again. */
static void set_at_free(bool at_free)
{
	frames_fail_by(&m->frames, fails, NULL);
	m->frames.zeros.at_free = at_free;
	frames_fail_by(&m->frames, NULL, NULL);
}

/* `zero=free`: what is freed comes back as zeros, until the stock is full; idle CPUs do nothing. */
static void at_free(void **state)
{
	uint32_t most = m->frames.zeros.batch * (m->frames.zeros.lines + 2), n = 0, got = 0;
	static pfn_t f[8192], g[8192];

	(void)state;
	frames_drain(&m->frames);
	set_at_free(true);
	assert_false(frames_zero_idle(&m->frames));
	assert_true(most + 10 < ARRAY_SIZE(f));
	for (; n < most + 10; n++) {
		assert_int_equal(frame_alloc(&m->frames, 0, 0, FRAME_ANON, &f[n]), OK);
		memset(phys_to_virt(pfn_to_paddr(f[n])), 0x5a, PAGE_SIZE);
	}
	for (uint32_t i = 0; i < n; i++)
		frame_put(&m->frames, f[i]);
	assert_int_equal(own(), 2 * m->frames.zeros.batch);
	while (own() > 0 || frame_zeros_there(&m->frames))
		g[got++] = zeroed(FRAME_ANON);
	assert_int_equal(got, most);
	while (got > 0)
		frame_put(&m->frames, g[--got]);
	set_at_free(false);
	frames_drain(&m->frames);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(movable), T(kernel), T(without_stock), T(at_free) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
