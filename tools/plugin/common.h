/* SPDX-License-Identifier: BSD-2-Clause */
/* What our plugins for QEMU share: arguments, files, memory, and the marks of programs (user/lib/marker.h). */
#ifndef PLUGIN_COMMON_H
#define PLUGIN_COMMON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/lib/marker.h"
#include "qemu_plugin.h"

/* Each plugin names itself before it includes this. */
#ifndef PLUGIN
#error "PLUGIN is not defined"
#endif

static inline void __attribute__((noreturn)) fail(const char *why)
{
	fprintf(stderr, PLUGIN ": %s\n", why);
	exit(1);
}

/* Zeroed. */
static inline void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		fail("no memory");
	return p;
}

static inline FILE *open_for_writing(const char *name)
{
	FILE *f = fopen(name, "w");

	if (!f) {
		perror(name);
		exit(1);
	}
	return f;
}

/* NULL, or what follows name and '=' */
static inline const char *value(const char *argument, const char *name)
{
	size_t n = strlen(name);

	return strncmp(argument, name, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

/* The number of the mark that an instruction at this address is, or -1. Only programs have marks. */
static inline int mark_of(const struct qemu_plugin_insn *insn)
{
	uint32_t code;
	unsigned number;

	memcpy(&code, qemu_plugin_insn_data(insn), sizeof code);
	if (qemu_plugin_insn_vaddr(insn) >> 63 || (code & MARKER_INSN_MASK) != MARKER_INSN)
		return -1;
	number = MARKER_NUMBER(code);
	if ((number >= MARKER_BEGIN && number < MARKER_BEGIN + MARKER_REGIONS) ||
	    (number >= MARKER_END && number < MARKER_END + MARKER_REGIONS))
		return (int)number;
	return -1;
}

/* => whether the machine is one that our plugins know; says why not */
static inline bool right_machine(const qemu_info_t *info)
{
	if (info->system_emulation && strcmp(info->target_name, "aarch64") == 0)
		return true;
	fprintf(stderr, PLUGIN ": only for a whole aarch64 machine\n");
	return false;
}

#endif
