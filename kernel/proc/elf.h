/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/elf.h: what an ELF file wants to be in memory. Decoding reads and judges
 * the file and changes nothing; what it lets through can be mapped without a look
 * back at the file's headers.
 */
#ifndef PROC_ELF_H
#define PROC_ELF_H

#include "base/error.h"
#include "base/types.h"

struct vm_object;

#define ELF_SEGMENTS_MAX 32
#define ELF_INTERP_MAX 256

/* One PT_LOAD that is not empty; addresses relative to the load bias. */
struct elf_segment {
	uint64_t va, file_size, mem_size, offset; /* va and offset agree modulo PAGE_SIZE */
	enum prot prot;
};

struct elf_image {
	bool position_independent; /* ET_DYN: va's count from 0, a bias is to be chosen */
	uint64_t align;            /* what the bias must be a multiple of; >= PAGE_SIZE */
	uint64_t start, end;       /* lowest address, page aligned; end of the highest segment, page aligned */
	uint64_t brk;              /* end of the highest segment's bytes */
	uint64_t entry;
	uint64_t headers; /* where the program headers will be, 0: nowhere */
	uint16_t header_count;
	bool exec_stack; /* PT_GNU_STACK asks for it */
	uint32_t segments;
	struct elf_segment segment[ELF_SEGMENTS_MAX]; /* ascending, no page in two of them */
	char interp[ELF_INTERP_MAX];                  /* PT_INTERP, or "" */
};

/* Addresses that images may use: below this. */
#define ELF_TOP (UINT64_C(1) << 47)

/*
 * Thread context, may wait for the file. => ERR_NOEXEC: not an ELF file that can
 * run here (truncated, wrong class or machine, segments that overlap, wrap, lie
 * beyond the file or in the kernel's half, entry in no executable segment ...);
 * ERR_NOMEM; ERR_IO.
 */
enum error elf_decode(struct vm_object *file, struct elf_image *image) MUST_CHECK;

#endif
