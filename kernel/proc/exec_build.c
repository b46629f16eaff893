/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/exec_build.c: the address space of a new program. From the top:
 *
 *	stack          grows down to RLIMIT_STACK, a guard below it (vm/map)
 *	[vdso]         one page with the return from signal handlers
 *	interpreter    if any; and what mmap puts anywhere, downwards
 *	...
 *	break          behind the program's last segment, upwards
 *	program        where it was linked to, or at PIE_BASE
 *
 * Segments are private mappings of the file's object: no page is copied but those
 * that end in zeros. The stack holds, from the top: the path, environment and argument
 * strings, platform, 16 random bytes; then, 16-aligned at sp: argc, argv, envp, auxv.
 *
 * The thread runs in the new space while it clears the segments' tails and writes the
 * stack, by the same fault-safe copies as everywhere; then it is back in its own.
 *
 * Sources: System V ABI for AArch64; getauxval(3); Linux's fs/binfmt_elf.c for the
 * order of strings, which some programs rely on.
 */
#include <string.h>

#include "hal/context.h"
#include "hal/uaccess.h"
#include "proc/exec_private.h"
#include "proc/fs.h"
#include "proc/sched.h"
#include "proc/thread.h"
#include "vm/map.h"

#define PIE_BASE UINT64_C(0xaaaaaaaa0000)
#define STACK_FIRST UINT64_C(0x20000) /* mapped from the start, besides the strings */
#define STACK_MIN UINT64_C(0x40000)
#define STACK_MAX UINT64_C(0x40000000)
#define SIGRETURN_STACK 4720 /* a signal frame with its frame record, 16-aligned: AT_MINSIGSTKSZ */

enum {
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_HWCAP2 = 26,
	AT_EXECFN = 31,
	AT_MINSIGSTKSZ = 51,
};
#define AUX_PAIRS 20

/* mov x8, #139 (rt_sigreturn); svc #0. Debuggers know these two words. */
static const uint32_t trampoline_code[2] = {0xd2801168, 0xd4000001};

enum error exec_init(struct proc_system *ps)
{
	return object_create(ps->vm, (struct oid){0, 0}, &pager_initrd, trampoline_code, sizeof trampoline_code,
			     PAGE_SIZE, &ps->trampoline);
}

static enum error enter(struct vm_map *map, uint64_t at, uint64_t size, const struct vm_mapping *what)
{
	enum error e = vm_map_enter(map, &at, size, what, MAP_AT_FREE);

	/* An address that is not to be had is the file's fault. */
	return e == OK || e == ERR_NOMEM ? e : ERR_NOEXEC;
}

static enum error map_image(struct vm_map *map, const struct elf_image *im, struct vm_object *object, uint64_t bias)
{
	enum error e = OK;

	for (uint32_t i = 0; i < im->segments && e == OK; i++) {
		const struct elf_segment *s = &im->segment[i];
		struct vm_mapping what = {.prot = s->prot, .max = PROT_ALL, .inherit = INHERIT_COPY};
		uint64_t start = round_down(s->va, PAGE_SIZE), end = round_up(s->va + s->mem_size, PAGE_SIZE);
		uint64_t file_end = s->file_size ? round_up(s->va + s->file_size, PAGE_SIZE) : start;

		if (end > file_end)
			e = enter(map, bias + file_end, end - file_end, &what);
		what.object = object;
		what.offset = round_down(s->offset, PAGE_SIZE);
		if (file_end > start && e == OK)
			e = enter(map, bias + start, file_end - start, &what);
	}
	return e;
}

/* A free place for an image that may lie anywhere, with the first address that fits its alignment. */
static enum error place_anywhere(struct vm_map *map, const struct elf_image *im, uint64_t *bias)
{
	struct vm_mapping nothing = {.prot = PROT_NONE_, .max = PROT_NONE_, .inherit = INHERIT_COPY};
	uint64_t size = im->end - im->start + im->align, at = 0;
	enum error e = vm_map_enter(map, &at, size, &nothing, 0);

	if (e != OK)
		return e;
	*bias = round_up(at, im->align) - round_down(im->start, im->align);
	return vm_map_remove(map, vrange(at, at + size));
}

static enum error map_files(struct exec *x)
{
	struct elf_image *im = &x->image;
	uint64_t heap;
	enum error e;

	x->bias = im->position_independent ? round_up(PIE_BASE, im->align) - round_down(im->start, im->align) : 0;
	e = map_image(x->map, im, x->file->object, x->bias);
	if (e == OK && x->interp) {
		e = place_anywhere(x->map, &x->interp_image, &x->interp_bias);
		if (e == OK)
			e = map_image(x->map, &x->interp_image, x->interp->object, x->interp_bias);
	}
	heap = x->bias + round_up(im->brk, PAGE_SIZE);
	x->map->brk_start = x->map->brk_end = heap;
	return e;
}

static uint64_t strings_size(const struct exec *x)
{
	return x->args.used + strlen(x->path) + 1 + (x->args.argc + x->args.envc + 3) * sizeof(uint64_t) +
	       AUX_PAIRS * 16 + 256;
}

static enum error map_stack(struct exec *x)
{
	struct vm_mapping stack = {.grows_down = true,
				   .prot = PROT_R | PROT_W,
				   .max = PROT_ALL,
				   .inherit = INHERIT_COPY,
				   .name = "[stack]"};
	struct vm_mapping code = {.object = x->t->ps->trampoline,
				  .prot = PROT_R | PROT_X,
				  .max = PROT_R | PROT_X,
				  .inherit = INHERIT_COPY,
				  .name = "[vdso]"};
	uint64_t first = round_up(strings_size(x) + STACK_FIRST, PAGE_SIZE);
	uint64_t limit = x->t->proc->limits[RLIMIT_STACK].soft;
	enum error e;

	limit = limit < STACK_MIN ? STACK_MIN : limit > STACK_MAX ? STACK_MAX : round_up(limit, PAGE_SIZE);
	if (first > limit - limit / 4)
		return ERR_LIMIT; /* as Linux: strings leave room on the stack */
	if (x->image.exec_stack)
		stack.prot |= PROT_X;
	x->stack_top = x->map->bounds.end.va;
	x->map->stack_limit = x->stack_top - limit;
	e = enter(x->map, x->stack_top - first, first, &stack);
	if (e == OK)
		e = vm_map_enter(x->map, &x->trampoline, PAGE_SIZE, &code, 0);
	return e;
}

/* The bytes behind a segment's file part, up to the page's end, are zeros. In the new space. */
static enum error clear_tails(const struct elf_image *im, uint64_t bias)
{
	for (uint32_t i = 0; i < im->segments; i++) {
		const struct elf_segment *s = &im->segment[i];
		uint64_t end = s->va + s->file_size;

		if (s->file_size && s->mem_size > s->file_size && end & PAGE_MASK &&
		    user_zero(vaddr(bias + end), PAGE_SIZE - (end & PAGE_MASK)) != OK)
			return ERR_FAULT;
	}
	return OK;
}

/* A growing table of words on the stack. */
struct words {
	uint64_t at;
	enum error e;
};

static void put(struct words *w, uint64_t v)
{
	if (w->e == OK)
		w->e = copy_out(vaddr(w->at), &v, sizeof v);
	w->at += sizeof v;
}

static void put_pointers(struct words *w, const char *strings, uint32_t count, uint64_t at)
{
	for (; count > 0; count--) {
		size_t n = strlen(strings) + 1;

		put(w, at);
		strings += n;
		at += n;
	}
	put(w, 0);
}

static void put_aux(struct words *w, const struct exec *x, uint64_t platform, uint64_t random)
{
	const struct elf_image *im = &x->image;
	const uint64_t aux[AUX_PAIRS][2] = {
		{AT_HWCAP, context_hwcap()},
		{AT_PAGESZ, PAGE_SIZE},
		{AT_CLKTCK, CLK_TCK},
		{AT_PHDR, im->headers ? x->bias + im->headers : 0},
		{AT_PHENT, 56},
		{AT_PHNUM, im->header_count},
		{AT_BASE, x->interp_bias},
		{AT_FLAGS, 0},
		{AT_ENTRY, x->bias + im->entry},
		{AT_UID, 0},
		{AT_EUID, 0},
		{AT_GID, 0},
		{AT_EGID, 0},
		{AT_SECURE, 0},
		{AT_RANDOM, random},
		{AT_HWCAP2, 0},
		{AT_EXECFN, x->path_at},
		{AT_PLATFORM, platform},
		{AT_MINSIGSTKSZ, SIGRETURN_STACK},
		{AT_NULL, 0},
	};

	for (unsigned i = 0; i < AUX_PAIRS; i++) {
		put(w, aux[i][0]);
		put(w, aux[i][1]);
	}
}

/* In the new space. */
static enum error write_stack(struct exec *x)
{
	static const char platform_name[] = "aarch64";
	struct exec_args *a = &x->args;
	size_t path_size = strlen(x->path) + 1;
	uint64_t at = x->stack_top - 16, platform, random, words;
	unsigned char bytes[16];
	struct words w;
	enum error e;

	at -= path_size;
	x->path_at = at;
	e = copy_out(vaddr(at), x->path, path_size);
	at -= a->used;
	x->arg_start = at;
	x->env_start = at + a->env;
	x->env_end = at + a->used;
	if (e == OK && a->used)
		e = copy_out(vaddr(at), a->bytes, a->used);
	at = platform = round_down(at - sizeof platform_name, 16);
	if (e == OK)
		e = copy_out(vaddr(at), platform_name, sizeof platform_name);
	at = random = at - sizeof bytes;
	machine_random(bytes, sizeof bytes);
	if (e == OK)
		e = copy_out(vaddr(at), bytes, sizeof bytes);
	words = 1 + a->argc + 1 + a->envc + 1 + 2 * AUX_PAIRS;
	x->sp = round_down(at - words * sizeof(uint64_t), 16);
	w = (struct words){x->sp, e};
	put(&w, a->argc);
	put_pointers(&w, a->bytes, a->argc, x->arg_start);
	put_pointers(&w, a->bytes + a->env, a->envc, x->env_start);
	put_aux(&w, x, platform, random);
	return w.e;
}

long exec_build(struct exec *x)
{
	struct vm_map *old = x->t->map;
	enum error e = vm_map_create(x->t->ps->vm, &x->map);

	if (e == OK)
		e = map_stack(x);
	if (e == OK)
		e = map_files(x);
	if (e == ERR_LIMIT)
		return -E2BIG;
	if (e != OK)
		return errno_of(e);
	sched_use_map(x->map);
	e = clear_tails(&x->image, x->bias);
	if (e == OK && x->interp)
		e = clear_tails(&x->interp_image, x->interp_bias);
	if (e == OK)
		e = write_stack(x);
	sched_use_map(old);
	return e == OK ? 0 : -ENOMEM; /* the pages are mapped: only memory can be missing, or the file unreadable */
}
