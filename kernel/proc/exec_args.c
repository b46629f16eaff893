/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/exec_args.h"

#include <string.h>

#include "hal/uaccess.h"
#include "proc/errno.h"
#include "proc/exec.h"

void args_init(struct exec_args *a, struct kmalloc *k) { *a = (struct exec_args){.k = k}; }

void args_free(struct exec_args *a)
{
	kfree(a->k, a->bytes);
	a->bytes = NULL;
}

/* Strings and the pointers to them stay within the limit. */
static bool fits(const struct exec_args *a, size_t bytes, uint32_t strings)
{
	return a->used + bytes + (a->argc + a->envc + (size_t)strings + 2) * sizeof(uint64_t) <= EXEC_STRINGS_MAX;
}

static long make_room(struct exec_args *a, size_t more)
{
	size_t room = a->room ? a->room : PAGE_SIZE;
	char *bytes;

	while (room < a->used + more)
		room *= 2;
	if (room == a->room)
		return 0;
	bytes = krealloc(a->k, a->bytes, room);
	if (!bytes)
		return -ENOMEM;
	a->bytes = bytes;
	a->room = room;
	return 0;
}

/* One string from user memory, read in pieces: its length is not known before. */
static long add_user_string(struct exec_args *a, uint64_t from)
{
	size_t length, piece = 256, start = a->used;
	long r;

	for (;;) {
		if (a->used - start + piece > EXEC_STRING_MAX || !fits(a, 0, 1))
			return -E2BIG;
		r = make_room(a, piece);
		if (r < 0)
			return r;
		switch (copy_in_string(a->bytes + a->used, vaddr(from), piece, &length)) {
		case OK:
			a->used += length + 1;
			return fits(a, 0, 1) ? 0 : -E2BIG;
		case ERR_LIMIT: /* goes on: all of the piece is string, but its last byte may be undefined */
			a->used += piece - 1;
			from += piece - 1;
			piece = PAGE_SIZE;
			break;
		default:
			return -EFAULT;
		}
	}
}

static long add_user_array(struct exec_args *a, uint64_t array, uint32_t *count)
{
	for (; array; array += sizeof(uint64_t)) {
		uint64_t string;
		long r;

		if (copy_in(&string, vaddr(array), sizeof string) != OK)
			return -EFAULT;
		if (!string)
			break;
		r = add_user_string(a, string);
		if (r < 0)
			return r;
		++*count;
	}
	return 0;
}

long args_from_user(struct exec_args *a, uint64_t argv, uint64_t envp)
{
	long r = add_user_array(a, argv, &a->argc);

	a->env = a->used;
	return r < 0 ? r : add_user_array(a, envp, &a->envc);
}

static long add_kernel_array(struct exec_args *a, const char *const *array, uint32_t *count)
{
	for (; *array; array++, ++*count) {
		size_t n = strlen(*array) + 1;
		long r = fits(a, n, 1) ? make_room(a, n) : -E2BIG;

		if (r < 0)
			return r;
		memcpy(a->bytes + a->used, *array, n);
		a->used += n;
	}
	return 0;
}

long args_from_kernel(struct exec_args *a, const char *const *argv, const char *const *envp)
{
	long r = add_kernel_array(a, argv, &a->argc);

	a->env = a->used;
	return r < 0 ? r : add_kernel_array(a, envp, &a->envc);
}

long args_replace_first(struct exec_args *a, const char *const *strings, uint32_t count)
{
	size_t old = a->argc ? strlen(a->bytes) + 1 : 0, new = 0, at = 0;
	long r;

	for (uint32_t i = 0; i < count; i++)
		new += strlen(strings[i]) + 1;
	if (!fits(a, new, count))
		return -E2BIG;
	r = make_room(a, new);
	if (r < 0)
		return r;
	memmove(a->bytes + new, a->bytes + old, a->used - old);
	for (uint32_t i = 0; i < count; i++) {
		size_t n = strlen(strings[i]) + 1;

		memcpy(a->bytes + at, strings[i], n);
		at += n;
	}
	a->used += new - old;
	a->env += new - old;
	a->argc += count - (old ? 1 : 0);
	return 0;
}
