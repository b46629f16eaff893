/* SPDX-License-Identifier: BSD-2-Clause */
#include "regions.h"

static void insert(struct regions *r, uint32_t at, uint64_t start, uint64_t end)
{
	for (uint32_t i = r->count++; i > at; i--)
		r->range[i] = r->range[i - 1];
	r->range[at] = (struct machine_range){paddr(start), paddr(end)};
}

static void delete (struct regions *r, uint32_t at)
{
	r->count--;
	for (uint32_t i = at; i < r->count; i++)
		r->range[i] = r->range[i + 1];
}

enum error regions_add(struct regions *r, uint64_t start, uint64_t end)
{
	uint32_t at = 0, meets = 0;

	if (start >= end)
		return OK;
	while (at < r->count && r->range[at].end.pa < start)
		at++;
	while (at + meets < r->count && r->range[at + meets].start.pa <= end)
		meets++;
	if (meets == 0 && r->count == MACHINE_BANKS)
		return ERR_LIMIT;
	while (meets-- > 0) {
		if (r->range[at].start.pa < start)
			start = r->range[at].start.pa;
		if (r->range[at].end.pa > end)
			end = r->range[at].end.pa;
		delete (r, at);
	}
	insert(r, at, start, end);
	return OK;
}

enum error regions_remove(struct regions *r, uint64_t start, uint64_t end)
{
	if (start >= end)
		return OK;
	for (uint32_t i = 0; i < r->count; i++) {
		uint64_t s = r->range[i].start.pa, e = r->range[i].end.pa;

		if (e <= start || s >= end)
			continue;
		/* Only a range that is cut in two needs more room, and then it is the only one that is met. */
		if (s < start && e > end && r->count == MACHINE_BANKS)
			return ERR_LIMIT;
		delete (r, i);
		if (e > end)
			insert(r, i, end, e);
		if (s < start)
			insert(r, i, s, start);
		else if (e <= end)
			i--; /* nothing is left of it: look at what has moved here */
	}
	return OK;
}

bool regions_hold(const struct regions *r, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->range[i].start.pa <= start && end <= r->range[i].end.pa)
			return true;
	return false;
}

bool regions_touch(const struct regions *r, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->range[i].start.pa < end && start < r->range[i].end.pa)
			return true;
	return false;
}
