/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a place in guest memory is, in our kernel: its image, the vm_page array, an object of a zone, a frame by its owner. Looked
 * up when it is asked for; tools/plugin/layout.c says where to look. lines.c describes the names.
 */
#ifndef PLUGIN_NAMES_H
#define PLUGIN_NAMES_H

#include "common.h"

#define PAGE_SHIFT 12
#define NAME_BYTES 24

/* QEMU's own */
void cpu_physical_memory_rw(uint64_t address, void *bytes, uint64_t n, bool write);

struct what {
	char name[NAME_BYTES + 16];
	uint64_t number, offset;
};

/* What layout says; all 0 without. */
static struct layout {
	uint64_t direct_base, direct_size, image_base, image_size, pages, first, count, page_size, owner, order, home,
		name, stride, block, zone_owner;
} layout;
static uint64_t image_delta; /* virtual less physical address of the kernel's image, once seen */

/* Somebody has used physical by that address. */
static void names_seen(uint64_t address, uint64_t physical)
{
	if (layout.image_base && !image_delta && address >= layout.image_base &&
	    address - layout.image_base < layout.image_size)
		image_delta = address - physical;
}

static bool read_guest(uint64_t address, void *bytes, size_t n)
{
	uint64_t physical;

	if (address - layout.direct_base < layout.direct_size)
		physical = address - layout.direct_base;
	else if (image_delta && address >= layout.image_base)
		physical = address - image_delta;
	else
		return false;
	cpu_physical_memory_rw(physical, bytes, n, false);
	return true;
}

static uint64_t word_at(uint64_t address, unsigned bytes)
{
	uint64_t word = 0;

	return read_guest(address, &word, bytes) ? word : 0;
}

/* The slab's zone and the place in its object. */
static bool name_slab(struct what *m, uint64_t page, uint64_t physical)
{
	uint64_t zone = word_at(page + layout.home, 8), stride = word_at(zone + layout.stride, 4), start;
	char text[NAME_BYTES] = "", of[NAME_BYTES] = "";

	if (!zone || !stride || !read_guest(word_at(zone + layout.name, 8), text, sizeof text - 1))
		return false;
	start = physical >> PAGE_SHIFT >> word_at(zone + layout.block, 4)
						  << word_at(zone + layout.block, 4) << PAGE_SHIFT;
	m->number = stride;
	m->offset = (physical - start) % stride;
	/* A zone's own description says which zone that is. */
	if (strcmp(text, "zone") == 0 &&
	    read_guest(word_at(layout.direct_base + physical - m->offset + layout.name, 8), of, sizeof of - 1))
		snprintf(m->name, sizeof m->name, "zone:zone(%s)", of);
	else
		snprintf(m->name, sizeof m->name, "zone:%s", text);
	for (char *c = m->name; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '_';
	return true;
}

/* What lies at these addresses of one place. */
static void name_line(struct what *m, uint64_t physical, uint64_t address)
{
	uint64_t pages, first, frame, page;

	snprintf(m->name, sizeof m->name, "unknown");
	if (!layout.pages)
		return;
	if (address >= layout.image_base && address - layout.image_base < layout.image_size) {
		snprintf(m->name, sizeof m->name, "image");
		m->offset = address - layout.image_base;
		return;
	}
	pages = word_at(layout.pages, 8);
	first = word_at(layout.first, 8);
	frame = (physical >> PAGE_SHIFT) - first;
	if (!pages || frame >= word_at(layout.count, 8))
		return;
	if (physical - (pages - layout.direct_base) < word_at(layout.count, 8) * layout.page_size) {
		uint64_t offset = physical - (pages - layout.direct_base);

		snprintf(m->name, sizeof m->name, "page");
		m->number = word_at(pages + offset / layout.page_size * layout.page_size + layout.owner, 1);
		m->offset = offset % layout.page_size;
		return;
	}
	/* The head of the block says who owns it. */
	for (unsigned order = 0; order < 10; order++) {
		uint64_t head = frame >> order << order;

		page = pages + head * layout.page_size;
		m->number = word_at(page + layout.owner, 1);
		if (m->number && head + (1ull << word_at(page + layout.order, 1)) > frame)
			break;
	}
	if (m->number == layout.zone_owner && name_slab(m, pages + frame * layout.page_size, physical))
		return;
	snprintf(m->name, sizeof m->name, "frame");
	m->offset = physical & ((1u << PAGE_SHIFT) - 1);
}

/* Lines "NAME number". */
static void read_layout(const char *name)
{
	static const struct {
		const char *name;
		uint64_t *value;
	} known[] = {
		{"DIRECT_BASE", &layout.direct_base},
		{"DIRECT_SIZE", &layout.direct_size},
		{"IMAGE_BASE", &layout.image_base},
		{"IMAGE_SIZE", &layout.image_size},
		{"PAGES", &layout.pages},
		{"FIRST", &layout.first},
		{"COUNT", &layout.count},
		{"PAGE_BYTES", &layout.page_size},
		{"OWNER", &layout.owner},
		{"ORDER", &layout.order},
		{"HOME", &layout.home},
		{"NAME", &layout.name},
		{"STRIDE", &layout.stride},
		{"BLOCK", &layout.block},
		{"ZONE_OWNER", &layout.zone_owner},
	};
	FILE *f = fopen(name, "r");
	char key[64], number[64];
	unsigned found = 0;

	if (!f)
		fail("cannot read the layout");
	while (fscanf(f, "%63s %63s", key, number) == 2)
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (strcmp(key, known[i].name) == 0) {
				*known[i].value = strtoull(number, NULL, 0);
				found++;
			}
	fclose(f);
	if (found != sizeof known / sizeof *known)
		fail("the layout is not complete");
}

#endif
