/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/guest_shared.c: what threads fight over: a window of all threads of a process, memory and a file of all
 * processes. Nobody knows what is there; values carry a tag, and a value with another tag has come from where it must
 * not.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIGHT UINT64_C(0x1100000000)
#define COMMON UINT64_C(0x1200000000) /* shared memory */
#define COMMON_FILE UINT64_C(0x1300000000)
#define FIGHT_PAGES 24u
#define COMMON_PAGES 16u

/* Written values: who may be seen where. */
#define FIGHT_TAG UINT64_C(0xf1)
#define COMMON_TAG UINT64_C(0xc0)

static int common_file;

bool shared_open(void)
{
	common_file = memfd_create("common", MFD_CLOEXEC);
	return common_file >= 0 && !ftruncate(common_file, COMMON_PAGES * PAGE_BYTES) &&
	       mmap((void *)COMMON, COMMON_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void expect(struct worker *w, const char *what, long got, const int *allowed, unsigned n)
{
	if (got >= 0)
		return;
	for (unsigned i = 0; i < n; i++)
		if (got == -allowed[i])
			return;
	failf(w, "%s in the window of all gives %ld", what, got);
}

#define EXPECT(what, got, ...) \
	expect(w, what, got, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void fight_access(struct worker *w, uint64_t va, uint64_t tag, bool may_end)
{
	uint64_t value = 0;
	enum access a;

	if (below(w, 2)) {
		a = access_store(w, va, tag << 48 | below(w, 1u << 24));
	} else {
		a = access_load(w, va, &value);
		if (a == ACCESS_OK && value && value >> 48 != tag)
			failf(w, "%#lx, which all fight over, holds %#lx", (unsigned long)va, (unsigned long)value);
	}
	if (a == ACCESS_ODD || (a == ACCESS_BUS && !may_end))
		access_odd(w, va);
}

void shared_fight(struct worker *w)
{
	uint64_t first = below(w, FIGHT_PAGES), n = 1 + below(w, FIGHT_PAGES - (uint32_t)first),
		 va = FIGHT + first * PAGE_BYTES;
	uint64_t size = n * PAGE_BYTES, to = FIGHT + below(w, FIGHT_PAGES) * (uint64_t)PAGE_BYTES;
	/* Children may keep what they have from the parent, and see it; the parent never sees theirs. */
	uint64_t tag = FIGHT_TAG << 8 | w->process;
	uint32_t flags =
		MAP_PRIVATE | MAP_ANONYMOUS | (below(w, 16) ? 0 : MAP_GROWSDOWN) | (below(w, 8) ? 0 : MAP_POPULATE);
	static const uint8_t prots[] = {R | W, R | W, R | W, R, 0, R | X};

	w->fights++;
	switch (below(w, 20)) {
	case 0:
	case 1:
	case 2:
		EXPECT("mmap",
		       access_call(CALL_MMAP,
				   (uint64_t[6]){va, size, prots[below(w, 6)],
						 flags | (below(w, 3) ? MAP_FIXED : 0x100000), UINT64_MAX, 0}),
		       EEXIST);
		break;
	case 3:
		EXPECT("munmap", access_call(CALL_MUNMAP, (uint64_t[6]){va, size}), 0);
		break;
	case 4:
	case 5:
		EXPECT("mprotect", access_call(CALL_MPROTECT, (uint64_t[6]){va, size, prots[below(w, 6)]}), ENOMEM);
		break;
	case 6:
	case 7:
		EXPECT("madvise",
		       access_call(CALL_MADVISE,
				   (uint64_t[6]){va, size, (uint64_t[]){4, 4, 8, 10, 11, 22, 23}[below(w, 7)]}),
		       ENOMEM, EINVAL, EFAULT);
		break;
	case 8:
		EXPECT("mremap",
		       access_call(CALL_MREMAP, (uint64_t[6]){va, PAGE_BYTES * (1 + below(w, 3)),
							      PAGE_BYTES * (1 + below(w, 3)), 3, to}),
		       EFAULT, EINVAL, ENOMEM);
		break;
	case 9:
		EXPECT("mlock", access_call(below(w, 2) ? CALL_MLOCK : CALL_MUNLOCK, (uint64_t[6]){va, size}), ENOMEM,
		       EAGAIN, EPERM);
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			fight_access(w, FIGHT + below(w, FIGHT_PAGES) * (uint64_t)PAGE_BYTES + 8 * below(w, 4), tag,
				     false);
	}
}

void shared_common(struct worker *w)
{
	bool file = below(w, 2);
	uint64_t base = file ? COMMON_FILE : COMMON, page = below(w, COMMON_PAGES), va = base + page * PAGE_BYTES;
	uint64_t size = (1 + below(w, COMMON_PAGES - (uint32_t)page)) * (uint64_t)PAGE_BYTES;
	uint64_t tag = COMMON_TAG << 8 | file;

	w->fights++;
	switch (below(w, 16)) {
	case 0:
		if (file)
			EXPECT("mmap",
			       access_call(CALL_MMAP,
					   (uint64_t[6]){va, size, below(w, 4) ? R | W : R,
							 MAP_FIXED | (below(w, 4) ? MAP_SHARED : MAP_PRIVATE),
							 (uint64_t)common_file, page * PAGE_BYTES}),
			       0);
		break;
	case 1:
		if (file)
			EXPECT("ftruncate",
			       access_call(CALL_FTRUNCATE, (uint64_t[6]){(uint64_t)common_file,
									 below(w, COMMON_PAGES + 1) * PAGE_BYTES}),
			       0);
		break;
	case 2:
		EXPECT("madvise", access_call(CALL_MADVISE, (uint64_t[6]){va, size, 4}), ENOMEM, EINVAL);
		break;
	case 3:
		EXPECT("mprotect", access_call(CALL_MPROTECT, (uint64_t[6]){va, size, below(w, 4) ? R | W : R}),
		       ENOMEM);
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			fight_access(w, base + below(w, COMMON_PAGES) * (uint64_t)PAGE_BYTES + 8 * below(w, 4), tag,
				     file);
	}
}
