/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/elf.c: reading ELF files with distrust. Every number is checked before it is
 * used, by subtractions that cannot wrap; the file may be anything. The checks, in
 * order: the header's identity and sizes; the program headers inside the file; each
 * PT_LOAD by itself; ascending and apart; the entry inside one that may be executed.
 *
 * Source: System V ABI, ELF-64 object file format; ELF for the Arm 64-bit architecture.
 */
#include "proc/elf.h"

#include <string.h>

#include "vm/object.h"

#define ET_EXEC 2
#define ET_DYN 3
#define EM_AARCH64 183
#define PT_LOAD 1
#define PT_INTERP 3
#define PT_GNU_STACK 0x6474e551
#define PF_X 1
#define PF_W 2
#define PF_R 4

#define HEADERS_MAX 64 /* program headers that we read; linkers make about ten */
#define ALIGN_MAX (UINT64_C(1) << 30)

struct elf_header {
	unsigned char ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF-64");

struct program_header {
	uint32_t type, flags;
	uint64_t offset, va, pa, file_size, mem_size, align;
};
_Static_assert(sizeof(struct program_header) == 56, "ELF-64");

static enum error read_exact(struct vm_object *file, uint64_t at, void *to, size_t n)
{
	size_t done = 0;
	enum error e = object_read(file, at, to, n, &done);

	if (e == ERR_NOMEM || e == ERR_IO)
		return e;
	return e == OK && done == n ? OK : ERR_NOEXEC;
}

static enum error check_header(const struct elf_header *h, uint64_t file_size)
{
	static const unsigned char ident[7] = {0x7f, 'E', 'L', 'F', 2 /* 64 bit */, 1 /* little endian */, 1};

	if (memcmp(h->ident, ident, sizeof ident) != 0 || h->version != 1 || h->machine != EM_AARCH64 ||
	    (h->type != ET_EXEC && h->type != ET_DYN) || h->phentsize != sizeof(struct program_header))
		return ERR_NOEXEC;
	if (h->phnum == 0 || h->phnum > HEADERS_MAX)
		return ERR_NOEXEC;
	if (h->phoff > file_size || file_size - h->phoff < (uint64_t)h->phnum * sizeof(struct program_header))
		return ERR_NOEXEC;
	return OK;
}

static enum prot prot_of(uint32_t flags)
{
	return (enum prot)((flags & PF_R ? PROT_R : 0) | (flags & PF_W ? PROT_W : 0) | (flags & PF_X ? PROT_X : 0));
}

static enum error add_segment(struct elf_image *im, const struct program_header *p, uint64_t file_size)
{
	struct elf_segment *s;
	uint64_t align = p->align > PAGE_SIZE ? p->align : PAGE_SIZE;

	if (p->mem_size == 0)
		return p->file_size == 0 ? OK : ERR_NOEXEC;
	if (im->segments == ELF_SEGMENTS_MAX || p->file_size > p->mem_size)
		return ERR_NOEXEC;
	/* Where nothing is taken from the file, the offset means nothing. */
	if (p->file_size &&
	    (p->offset > file_size || file_size - p->offset < p->file_size || (p->va ^ p->offset) & PAGE_MASK))
		return ERR_NOEXEC;
	if (p->va >= ELF_TOP || ELF_TOP - p->va < p->mem_size)
		return ERR_NOEXEC;
	if (align & (align - 1) || align > ALIGN_MAX)
		return ERR_NOEXEC;
	/* Ascending, and no page of the one before. */
	if (im->segments && round_down(p->va, PAGE_SIZE) < im->end)
		return ERR_NOEXEC;
	/* Zeros behind the file's bytes need a page that can be written. */
	if (p->mem_size > p->file_size && (p->va + p->file_size) & PAGE_MASK && p->file_size && !(p->flags & PF_W))
		return ERR_NOEXEC;
	s = &im->segment[im->segments++];
	*s = (struct elf_segment){p->va, p->file_size, p->mem_size, p->offset, prot_of(p->flags)};
	if (im->segments == 1)
		im->start = round_down(p->va, PAGE_SIZE);
	im->end = round_up(p->va + p->mem_size, PAGE_SIZE);
	im->brk = p->va + p->mem_size;
	if (align > im->align)
		im->align = align;
	return OK;
}

static enum error read_interp(struct vm_object *file, const struct program_header *p, struct elf_image *im)
{
	enum error e;

	if (im->interp[0] || p->file_size < 2 || p->file_size > sizeof im->interp)
		return ERR_NOEXEC;
	e = read_exact(file, p->offset, im->interp, p->file_size);
	if (e != OK)
		return e;
	return im->interp[0] == '/' && !im->interp[p->file_size - 1] ? OK : ERR_NOEXEC;
}

static bool entry_is_code(const struct elf_image *im)
{
	for (uint32_t i = 0; i < im->segments; i++) {
		const struct elf_segment *s = &im->segment[i];

		if (s->prot & PROT_X && im->entry >= s->va && im->entry - s->va < s->file_size)
			return im->entry % 4 == 0;
	}
	return false;
}

/* Where the program headers are in memory: the segment that covers their place in the file. */
static uint64_t headers_va(const struct elf_image *im, const struct elf_header *h)
{
	uint64_t size = (uint64_t)h->phnum * sizeof(struct program_header);

	for (uint32_t i = 0; i < im->segments; i++) {
		const struct elf_segment *s = &im->segment[i];

		if (h->phoff >= s->offset && h->phoff - s->offset < s->file_size &&
		    s->file_size - (h->phoff - s->offset) >= size)
			return s->va + (h->phoff - s->offset);
	}
	return 0;
}

enum error elf_decode(struct vm_object *file, struct elf_image *im)
{
	uint64_t file_size = object_size(file);
	struct elf_header h;
	enum error e;

	memset(im, 0, sizeof *im);
	im->align = PAGE_SIZE;
	e = read_exact(file, 0, &h, sizeof h);
	if (e == OK)
		e = check_header(&h, file_size);
	for (uint16_t i = 0; e == OK && i < h.phnum; i++) {
		struct program_header p;

		e = read_exact(file, h.phoff + (uint64_t)i * sizeof p, &p, sizeof p);
		if (e == OK && p.type == PT_LOAD)
			e = add_segment(im, &p, file_size);
		else if (e == OK && p.type == PT_INTERP)
			e = read_interp(file, &p, im);
		else if (e == OK && p.type == PT_GNU_STACK)
			im->exec_stack = p.flags & PF_X;
	}
	if (e != OK)
		return e;
	im->position_independent = h.type == ET_DYN;
	im->entry = h.entry;
	if (!im->segments || !entry_is_code(im))
		return ERR_NOEXEC;
	im->headers = headers_va(im, &h);
	im->header_count = h.phnum;
	return OK;
}
