/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_user.c: user memory, as programs at EL0 and the kernel's user
 * copies touch it.
 *
 * Every access goes page by page through host_access_begin, so that
 * translation and touch are one step for the hardware. Bytes are moved by
 * relaxed atomics, eight at a time where aligned: programs that race are no
 * data race of the simulator's, and their accesses order nothing, as on the
 * machine; but a frame that the kernel clears or frees too early is one, and
 * ThreadSanitizer says so.
 */
#include <string.h>

#include "hal/host/host_private.h"
#include "hal/uaccess.h"
#include "sync/rank.h"

static void tell(const struct host_access *a, size_t n, bool write)
{
	const struct host_ops *ops = &a->v->cpu.machine->config.ops;

	if (ops->user_access)
		ops->user_access(ops->context, a->bytes, n, write);
}

/* relaxed throughout: see above */
static void load_bytes(char *to, const char *from, size_t n)
{
	while (n > 0) {
		if (n >= 8 && !((uintptr_t)from & 7)) {
			uint64_t w = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);

			memcpy(to, &w, 8);
			to += 8, from += 8, n -= 8;
		} else {
			*to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
			n--;
		}
	}
}

/* from NULL: zeros */
static void store_bytes(char *to, const char *from, size_t n)
{
	while (n > 0) {
		size_t part = n >= 8 && !((uintptr_t)to & 7) ? 8 : 1;
		uint64_t w = 0;

		if (from) {
			memcpy(&w, from, part);
			from += part;
		}
		if (part == 8)
			__atomic_store_n((uint64_t *)(void *)to, w, __ATOMIC_RELAXED);
		else
			__atomic_store_n(to, *(char *)&w, __ATOMIC_RELAXED);
		to += part;
		n -= part;
	}
}

/* What was written is not what the instruction side may have fetched. Stored only when it changes: pages are shared. */
static void now_incoherent(struct host_access *a)
{
	uint8_t *coherent = host_coherent(a->v->cpu.machine, a->pa);

	if (__atomic_load_n(coherent, __ATOMIC_RELAXED))
		__atomic_store_n(coherent, 0, __ATOMIC_RELAXED);
}

static size_t part_of(uint64_t va, size_t n)
{
	size_t left = PAGE_SIZE - (va & PAGE_MASK);

	return n < left ? n : left;
}

size_t host_user_get(uint64_t va, void *to, size_t n, struct host_fault *fault)
{
	struct host_access a;
	size_t done = 0;

	while (done < n) {
		size_t part = part_of(va + done, n - done);

		if (!host_access_begin(&a, va + done, PROT_R, fault))
			break;
		tell(&a, part, false);
		load_bytes((char *)to + done, a.bytes, part);
		host_access_end(&a);
		done += part;
	}
	return done;
}

size_t host_user_put(uint64_t va, const void *from, size_t n, struct host_fault *fault)
{
	struct host_access a;
	size_t done = 0;

	while (done < n) {
		size_t part = part_of(va + done, n - done);

		if (!host_access_begin(&a, va + done, PROT_W, fault))
			break;
		tell(&a, part, true);
		store_bytes(a.bytes, from ? (const char *)from + done : NULL, part);
		now_incoherent(&a);
		host_access_end(&a);
		done += part;
	}
	return done;
}

/* --- programs --- */

enum error host_user_read(vaddr_t va, void *to, size_t n, struct host_fault *fault)
{
	host_returned();
	return host_user_get(va.va, to, n, fault) == n ? OK : ERR_FAULT;
}

enum error host_user_write(vaddr_t va, const void *from, size_t n, struct host_fault *fault)
{
	host_returned();
	return host_user_put(va.va, from, n, fault) == n ? OK : ERR_FAULT;
}

static bool word_begin(struct host_access *a, vaddr_t va, unsigned size, enum prot access, struct host_fault *fault)
{
	if (va.va & (size - 1)) {
		*fault = (struct host_fault){ va.va, access, HOST_FAULT_ALIGNMENT, 0 };
		return false;
	}
	if (!host_access_begin(a, va.va, access, fault))
		return false;
	tell(a, size, access == PROT_W);
	if (access == PROT_W)
		now_incoherent(a);
	return true;
}

enum error host_user_load64(vaddr_t va, uint64_t *value, struct host_fault *fault)
{
	struct host_access a;

	host_returned();
	if (!word_begin(&a, va, 8, PROT_R, fault))
		return ERR_FAULT;
	*value = __atomic_load_n((uint64_t *)(void *)a.bytes, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

enum error host_user_store64(vaddr_t va, uint64_t value, struct host_fault *fault)
{
	struct host_access a;

	host_returned();
	if (!word_begin(&a, va, 8, PROT_W, fault))
		return ERR_FAULT;
	__atomic_store_n((uint64_t *)(void *)a.bytes, value, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

enum error host_user_add64(vaddr_t va, uint64_t add, uint64_t *before, struct host_fault *fault)
{
	struct host_access a;

	host_returned();
	if (!word_begin(&a, va, 8, PROT_W, fault))
		return ERR_FAULT;
	*before = __atomic_fetch_add((uint64_t *)(void *)a.bytes, add, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

enum error host_user_exec(vaddr_t va, uint32_t *insn, struct host_fault *fault)
{
	struct host_access a;
	uint32_t word;

	host_returned();
	if (!word_begin(&a, va, 4, PROT_X, fault))
		return ERR_FAULT;
	if (!__atomic_load_n(host_coherent(a.v->cpu.machine, a.pa), __ATOMIC_RELAXED)) {
		struct tlb_entry e = { .va = va.va, .root = a.v->root, .asid = a.v->asid };

		judge_note(&a.verdict, HOST_INCOHERENT, a.v->cpu.id, &e, va.va, a.pa,
			   "code is fetched from a frame written after its last mmu_sync_icache");
	}
	word = __atomic_load_n((uint32_t *)(void *)a.bytes, __ATOMIC_RELAXED);
	host_access_end(&a);
	if (insn)
		*insn = word;
	return OK;
}

enum error host_user_sync_icache(vaddr_t va, struct host_fault *fault)
{
	struct host_access a;

	host_returned();
	/* cache maintenance by address needs read permission at EL0 */
	if (!host_access_begin(&a, va.va, PROT_R, fault))
		return ERR_FAULT;
	__atomic_store_n(host_coherent(a.v->cpu.machine, a.pa), 1, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

/* --- the kernel at its window --- */

static bool kernel_word_begin(struct host_access *a, vaddr_t va, enum prot access, struct host_fault *fault)
{
	if (va.va & 7) {
		*fault = (struct host_fault){ va.va, access, HOST_FAULT_ALIGNMENT, 0 };
		return false;
	}
	if (!host_access_begin_kernel(a, va.va, access, fault))
		return false;
	tell(a, 8, access == PROT_W);
	return true;
}

enum error host_kernel_load64(vaddr_t va, uint64_t *value, struct host_fault *fault)
{
	struct host_access a;

	if (!kernel_word_begin(&a, va, PROT_R, fault))
		return ERR_FAULT;
	*value = __atomic_load_n((uint64_t *)(void *)a.bytes, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

enum error host_kernel_store64(vaddr_t va, uint64_t value, struct host_fault *fault)
{
	struct host_access a;

	if (!kernel_word_begin(&a, va, PROT_W, fault))
		return ERR_FAULT;
	__atomic_store_n((uint64_t *)(void *)a.bytes, value, __ATOMIC_RELAXED);
	host_access_end(&a);
	return OK;
}

/* --- the kernel's copies: hal/uaccess.h --- */

/* Maps what was missing, or says no. A fault that comes back after that is a new one: others may have unmapped. */
static bool resolve(const struct host_fault *fault)
{
	const struct host_ops *ops = &host_machine()->config.ops;

	return fault->kind != HOST_FAULT_ADDRESS && ops->user_copy_fault && ops->user_copy_fault(ops->context, fault);
}

static bool range_ok(vaddr_t va, size_t n) { return va.va <= USER_END && n <= USER_END - va.va; }

enum error copy_in(void *to, vaddr_t from, size_t n)
{
	struct host_fault fault;
	size_t done = 0;

	rank_assert_may_wait();
	if (!range_ok(from, n))
		return ERR_FAULT;
	while ((done += host_user_get(from.va + done, (char *)to + done, n - done, &fault)) < n)
		if (!resolve(&fault))
			return ERR_FAULT;
	return OK;
}

static enum error put(vaddr_t to, const void *from, size_t n)
{
	struct host_fault fault;
	size_t done = 0;

	rank_assert_may_wait();
	if (!range_ok(to, n))
		return ERR_FAULT;
	while ((done += host_user_put(to.va + done, from ? (const char *)from + done : NULL, n - done, &fault)) < n)
		if (!resolve(&fault))
			return ERR_FAULT;
	return OK;
}

enum error copy_out(vaddr_t to, const void *from, size_t n) { return put(to, from, n); }
enum error user_zero(vaddr_t to, size_t n) { return put(to, NULL, n); }

enum error copy_in_string(char *to, vaddr_t from, size_t size, size_t *length)
{
	size_t done = 0;

	while (done < size) {
		size_t part = part_of(from.va + done, size - done);
		char *nul;
		enum error e;

		/* page by page: what lies behind the page of the NUL need not exist */
		e = range_ok(vaddr(from.va + done), part) ? copy_in(to + done, vaddr(from.va + done), part) : ERR_FAULT;
		if (e)
			return e;
		nul = memchr(to + done, 0, part);
		if (nul) {
			*length = (size_t)(nul - to);
			return OK;
		}
		done += part;
	}
	return ERR_LIMIT;
}

static enum error word32(vaddr_t va, enum prot access, struct host_access *a)
{
	struct host_fault fault;

	rank_assert_may_wait();
	if (va.va & 3)
		return ERR_INVAL;
	while (!word_begin(a, va, 4, access, &fault))
		if (!resolve(&fault))
			return ERR_FAULT;
	return OK;
}

enum error user_load32(vaddr_t from, uint32_t *value)
{
	struct host_access a;
	enum error e = word32(from, PROT_R, &a);

	if (e)
		return e;
	/* acquire: pairs with user_cas32 of another waiter, and programs' own releases */
	*value = __atomic_load_n((uint32_t *)(void *)a.bytes, __ATOMIC_ACQUIRE);
	host_access_end(&a);
	return OK;
}

enum error user_cas32(vaddr_t at, uint32_t *expected, uint32_t value, bool *swapped)
{
	struct host_access a;
	enum error e = word32(at, PROT_W, &a);

	if (e)
		return e;
	*swapped = __atomic_compare_exchange_n((uint32_t *)(void *)a.bytes, expected, value, false, __ATOMIC_ACQ_REL,
					       __ATOMIC_ACQUIRE);
	host_access_end(&a);
	return OK;
}
