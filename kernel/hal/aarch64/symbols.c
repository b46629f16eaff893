/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbols.h"

#include <stddef.h>

#include "hal/machine.h"

/* Sorted by offset; made by tools/symbols. */
struct symbol {
	uint32_t offset; /* of the function, from image_start */
	uint32_t name;   /* of its name, from symbols_names */
};
_Static_assert(sizeof(struct symbol) == 8, "tools/symbols");

/* kernel.ld */
extern const char image_start[], text_end[], symbols_names[];
extern const struct symbol symbols_start[], symbols_end[];

const char *symbol_of(uint64_t address, uint64_t *offset)
{
	size_t low = 0, high = (size_t)(symbols_end - symbols_start);
	uint64_t at = address - (uint64_t)image_start;

	if (address < (uint64_t)image_start || address >= (uint64_t)text_end || high == 0 ||
	    at < symbols_start[0].offset)
		return NULL;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (symbols_start[middle].offset <= at)
			low = middle;
		else
			high = middle;
	}
	*offset = at - symbols_start[low].offset;
	return symbols_names + symbols_start[low].name;
}

const char *machine_symbol(uint64_t address, uint64_t *offset) { return symbol_of(address, offset); }
