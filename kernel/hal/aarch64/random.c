/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/random.c: ChaCha20 keyed at boot (RFC 8439's block function),
 * one block of its stream per call of block(); what the CPU's own generator
 * gives is mixed in. The block counter is one atomic word, so there is no lock.
 */
#include "random.h"

#include <string.h>

#include "base/atomic.h"
#include "features.h"
#include "hal/machine.h"
#include "sysreg.h"

static uint32_t key[8]; /* constant after random_init */
static ATOMIC(uint64_t) counter;

/* RNDR says by Z that it has nothing at the moment. */
static uint64_t cpu_random(void)
{
	uint64_t v = 0;

	if (features()->random)
		__asm__ __volatile__("mrs %0, S3_3_C2_C4_0\n\tcsel %0, xzr, %0, eq" : "=r"(v)::"cc");
	return v;
}

static uint32_t rotate(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }

static void quarter(uint32_t s[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rotate(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rotate(s[b] ^ s[c], 7);
}

static void block(uint32_t out[16])
{
	/* relaxed: only that no two calls get the same number matters */
	uint64_t n = atomic_add_relaxed(&counter, UINT64_C(1)), hardware = cpu_random();
	const uint32_t input[16] = {
		0x61707865,
		0x3320646e,
		0x79622d32,
		0x6b206574,
		key[0],
		key[1],
		key[2],
		key[3],
		key[4],
		key[5],
		key[6],
		key[7],
		(uint32_t)n,
		(uint32_t)(n >> 32),
		(uint32_t)hardware,
		(uint32_t)(hardware >> 32),
	};

	memcpy(out, input, sizeof input);
	for (unsigned i = 0; i < 10; i++) {
		quarter(out, 0, 4, 8, 12);
		quarter(out, 1, 5, 9, 13);
		quarter(out, 2, 6, 10, 14);
		quarter(out, 3, 7, 11, 15);
		quarter(out, 0, 5, 10, 15);
		quarter(out, 1, 6, 11, 12);
		quarter(out, 2, 7, 8, 13);
		quarter(out, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < 16; i++)
		out[i] += input[i];
}

void random_init(const uint8_t *seed, uint32_t size)
{
	uint32_t mixed[16];
	uint64_t now = sysreg_read(cntvct_el0);

	/* A whole key of a seed needs no help, and what follows from it then repeats with it. */
	if (size < sizeof key)
		memcpy(key, &now, sizeof now);
	/* Fold the seed in a key's length at a time, each time through the block function. */
	for (uint32_t at = 0; at < size; at += sizeof key) {
		for (uint32_t i = at; i < size && i < at + sizeof key; i++)
			((uint8_t *)key)[i - at] ^= seed[i];
		block(mixed);
		memcpy(key, mixed, sizeof key);
	}
}

void machine_random(void *bytes, size_t n)
{
	uint32_t out[16];

	for (char *p = bytes; n > 0;) {
		size_t now = n < sizeof out ? n : sizeof out;

		block(out);
		memcpy(p, out, now);
		p += now;
		n -= now;
	}
	memset(out, 0, sizeof out);
}
