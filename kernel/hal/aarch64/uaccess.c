/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/uaccess.c: hal/uaccess.h over user_copy.S; checks addresses, which user_copy.S trusts to be below
 * USER_END. */
#include "hal/uaccess.h"

#include "base/assert.h"
#include "base/bits.h"
#include "features.h"
#include "sync/rank.h"

/* user_copy.S */
int user_copy_in(void *to, uint64_t from, size_t n);
int user_copy_out(uint64_t to, const void *from, size_t n);
int user_fill_zero(uint64_t to, size_t n);
int64_t user_copy_string(char *to, uint64_t from, size_t size);
int user_word_load(uint64_t from, uint32_t *value);
int user_word_cas(uint64_t at, uint32_t expected, uint32_t value, uint32_t *found, bool pan);

static void assert_context(void)
{
#if STRATA_CHECKED
	rank_assert_may_wait();
#endif
}

/* The address without its tag (EL0 has TBI). */
static uint64_t untag(vaddr_t a) { return a.va & BIT(55) ? a.va : a.va & BITS(55, 0); }

static bool is_user(uint64_t start, size_t n) { return start < USER_END && n <= USER_END - start; }

enum error copy_in(void *to, vaddr_t from, size_t n)
{
	uint64_t a = untag(from);

	assert_context();
	return is_user(a, n) && user_copy_in(to, a, n) == 0 ? OK : ERR_FAULT;
}

enum error copy_out(vaddr_t to, const void *from, size_t n)
{
	uint64_t a = untag(to);

	assert_context();
	return is_user(a, n) && user_copy_out(a, from, n) == 0 ? OK : ERR_FAULT;
}

enum error user_zero(vaddr_t to, size_t n)
{
	uint64_t a = untag(to);

	assert_context();
	return is_user(a, n) && user_fill_zero(a, n) == 0 ? OK : ERR_FAULT;
}

enum error copy_in_string(char *to, vaddr_t from, size_t size, size_t *length)
{
	uint64_t a = untag(from);
	size_t n = size;
	int64_t got;

	assert_context();
	if (!is_user(a, 0))
		return ERR_FAULT;
	if (n > USER_END - a)
		n = USER_END - a;
	got = user_copy_string(to, a, n);
	if (got < 0 || ((size_t)got == n && n < size))
		return ERR_FAULT;
	if ((size_t)got == n)
		return ERR_LIMIT;
	*length = (size_t)got;
	return OK;
}

enum error user_load32(vaddr_t from, uint32_t *value)
{
	uint64_t a = untag(from);

	assert_context();
	if (a & 3)
		return ERR_INVAL;
	return is_user(a, 4) && user_word_load(a, value) == 0 ? OK : ERR_FAULT;
}

enum error user_cas32(vaddr_t at, uint32_t *expected, uint32_t value, bool *swapped)
{
	uint64_t a = untag(at);
	uint32_t found;

	assert_context();
	if (a & 3)
		return ERR_INVAL;
	if (!is_user(a, 4) || user_word_cas(a, *expected, value, &found, features()->pan) != 0)
		return ERR_FAULT;
	*swapped = found == *expected;
	*expected = found;
	return OK;
}
