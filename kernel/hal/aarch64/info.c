/* SPDX-License-Identifier: BSD-2-Clause */
#include "info.h"

#include <string.h>

#include "fail.h"
#include "hal/machine.h"
#include "tables.h"

static struct machine_info info;

const struct machine_info *machine_info(void) { return &info; }

bool machine_option(const char *key, char *value, size_t size)
{
	size_t n = strlen(key);

	for (const char *p = info.command_line; *p;) {
		size_t word = strcspn(p, " \t\n");

		if (word >= n && !strncmp(p, key, n) && (word == n || p[n] == '=')) {
			const char *from = p + n + (word > n);
			size_t length = (size_t)(p + word - from);

			if (size > 0) {
				if (length >= size)
					length = size - 1;
				memcpy(value, from, length);
				value[length] = 0;
			}
			return true;
		}
		p += word;
		p += strspn(p, " \t\n");
	}
	return false;
}

void info_set_command_line(const struct tree *t)
{
	memcpy(info.command_line, t->command_line, sizeof info.command_line);
}
void info_set_cpus(uint32_t n) { info.ncpus = n; }

static bool parse_number(const char **text, uint64_t *value)
{
	const char *p = *text;
	unsigned base = 10, digits = 0;

	if (p[0] == '0' && (p[1] | 32) == 'x') {
		base = 16;
		p += 2;
	}
	for (*value = 0;; p++, digits++) {
		unsigned c = (unsigned char)*p | 32, d = c >= '0' && c <= '9'   ? c - '0'
							 : c >= 'a' && c <= 'f' ? c - 'a' + 10
										: 99;

		if (d >= base)
			break;
		if (*value > (UINT64_MAX - d) / base)
			return false;
		*value = *value * base + d;
	}
	*text = p;
	return digits > 0;
}

/* initrd=address,size on the command line, for loaders that cannot say it in the tree. */
static void initrd_option(struct tree *t)
{
	char text[64];
	const char *p = text;
	uint64_t start, size;

	if (!machine_option("initrd", text, sizeof text))
		return;
	if (!parse_number(&p, &start) || *p++ != ',' || !parse_number(&p, &size) || *p || start + size < start)
		machine_fail("initrd=%s: write initrd=address,size", text);
	t->initrd_start = start;
	t->initrd_end = start + size;
}

static void reserve(struct regions *r, uint64_t start, uint64_t end)
{
	if (regions_add(r, round_down(start, PAGE_SIZE), round_up(end, PAGE_SIZE)) != OK)
		machine_fail("more than %u ranges of memory are reserved", MACHINE_BANKS);
}

void info_set_memory(struct tree *t)
{
	uint64_t start = image_physical_start().pa, end = image_physical_end().pa;
	struct regions taken = t->reserved;

	initrd_option(t);
	if (!regions_hold(&t->ram, start, end))
		machine_fail("the kernel lies at %#lx to %#lx, where the device tree has no memory", start, end);
	if (t->initrd_start != 0 || t->initrd_end != 0) {
		if (t->initrd_start >= t->initrd_end)
			machine_fail("the initrd's range %#lx to %#lx makes no sense", t->initrd_start, t->initrd_end);
		if (!regions_hold(&t->ram, t->initrd_start, t->initrd_end))
			machine_fail("the initrd at %#lx to %#lx does not lie in memory", t->initrd_start,
				     t->initrd_end);
		if (t->initrd_start < end && start < t->initrd_end)
			machine_fail("the initrd at %#lx to %#lx overlaps the kernel at %#lx to %#lx", t->initrd_start,
				     t->initrd_end, start, end);
		reserve(&taken, t->initrd_start, t->initrd_end);
	}
	if (t->blob.start.pa < end && start < t->blob.end.pa)
		machine_fail("the device tree at %#lx overlaps the kernel at %#lx to %#lx", t->blob.start.pa, start,
			     end);
	reserve(&taken, start, end);
	reserve(&taken, t->blob.start.pa, t->blob.end.pa);

	info.ncpus = t->ncpus;
	info.banks = t->ram.count;
	memcpy(info.bank, t->ram.range, sizeof info.bank);
	info.reserved = taken.count;
	memcpy(info.reserve, taken.range, sizeof info.reserve);
	info.initrd_start = paddr(t->initrd_start);
	info.initrd_end = paddr(t->initrd_end);
}
