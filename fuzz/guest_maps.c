/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/guest_maps.c: /proc/self/maps against the model. */
#define _GNU_SOURCE
#include "guest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool maps_read(struct worker *w)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, w->maps + have, MAPS_BYTES - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	w->maps[have] = 0;
	return n == 0 && have < MAPS_BYTES - 1;
}

struct line {
	uint64_t start, end;
	unsigned prot;
	bool shared;
};

/* The next line of maps. False: no more. */
static bool next_line(struct worker *w, const char **at, struct line *l)
{
	char *after;

	if (!**at)
		return false;
	l->start = strtoul(*at, &after, 16);
	l->end = *after == '-' ? strtoul(after + 1, &after, 16) : 0;
	if (l->end <= l->start || *after != ' ')
		failf(w, "/proc/self/maps: no line: %.60s", *at);
	l->prot = (after[1] == 'r' ? R : 0) | (after[2] == 'w' ? W : 0) | (after[3] == 'x' ? X : 0);
	l->shared = after[4] == 's';
	*at = strchr(after, '\n');
	*at = *at ? *at + 1 : "";
	return true;
}

bool maps_look(struct space *s, uint64_t va, unsigned *prot, bool *shared)
{
	struct worker *w = s->context;
	const char *at = w->maps;
	struct line l;

	if (!maps_read(w))
		failed(w, "/proc/self/maps cannot be read");
	while (next_line(w, &at, &l))
		if (va >= l.start && va < l.end) {
			*prot = l.prot;
			*shared = l.shared;
			return true;
		}
	return false;
}

/* Entries of others may change while it is read: only ours count. */
void maps_check(struct worker *w)
{
	struct space *s = &w->space;
	uint64_t mapped = 0, found = 0;
	const char *at = w->maps;
	struct line l;

	if (!maps_read(w))
		failed(w, "/proc/self/maps cannot be read");
	w->looks++;
	for (unsigned a = 0; a < AREAS; a++)
		for (uint32_t k = 0; k < s->area[a].pages; k++)
			mapped += s->area[a].page[k].known && s->area[a].page[k].mapped;
	for (uint64_t last = 0; next_line(w, &at, &l); last = l.end)
		for (uint64_t va = l.start > last ? l.start : last; va < l.end && l.end - l.start < UINT64_C(1) << 32;
		     va += PAGE_BYTES) {
			const struct page *p = page_of(s, va);

			if (!p)
				continue;
			if (!p->mapped || p->prot != l.prot || p->shared != l.shared)
				failf(w, "/proc/self/maps says %#lx is %x%s; it is %x%s%s", (unsigned long)va, l.prot,
				      l.shared ? "s" : "p", p->prot, p->shared ? "s" : "p",
				      p->mapped ? "" : ", a hole");
			found++;
		}
	if (found != mapped)
		failf(w, "/proc/self/maps has %lu of %lu pages", (unsigned long)found, (unsigned long)mapped);
}
