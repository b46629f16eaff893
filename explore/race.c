/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/race.c: data races of plain accesses.
 *
 * Purpose. Two accesses to a byte, one of them a write and one of them plain,
 * must be ordered by happens-before (vector clocks, memory.c). Otherwise the run
 * fails and names both places. That is also why plain accesses need no
 * weak memory: they are ordered or reported.
 *
 * Structure. A map from pages of host memory to records of their 8-byte words:
 *
 *	hash of page number -> struct page: accesses to the whole page
 *	                        word[512]:  up to CELLS accesses: bytes, CPU, its clock then,
 *	                                    read or write, plain or atomic, place
 *	                                    first struct location of atomics there (memory.c)
 *
 * An access takes the place of those that are before it and that it implies: a
 * write of all accesses before it to the same bytes, a read of its own CPU's
 * reads. When a word is full another makes room, reads first: then a race may be
 * missed in this run, never invented. Zeroing and copying of whole pages is one
 * record at the page, so that it costs no memory.
 *
 * What was done before memory_begin is before everything; nothing is kept of it.
 * The thread's own variables (the attached vCPU, the harness) and exempted bytes are
 * not looked at. Fibers' stacks are: what lies there may be shared (waiters).
 *
 * Failure. More pages than PAGES end the run with a message.
 *
 * Source: C. Flanagan, S. Freund, FastTrack (PLDI 2009), for epochs in the place
 * of whole clocks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

#define PAGES 4096
#define HASH (4 * PAGES)
#define WORDS 512
#define CELLS 5
#define EXEMPTIONS 64

/* mask 0: none */
struct cell {
	uint32_t clock;
	uint32_t place; /* return address less that of place_base */
	uint8_t mask;   /* bytes of the word */
	uint8_t cpu, kind;
};

struct page {
	uint64_t number;
	struct cell write;              /* of all bytes */
	struct cell read[EXPLORE_CPUS]; /* likewise */
	uint64_t used[WORDS / 64];      /* words with cells */
	struct location *location[WORDS];
	struct cell cell[WORDS][CELLS];
};

static struct page pages[PAGES];
static uint16_t hash[HASH]; /* index of a page + 1 */
static uint32_t page_count;
static struct page *last;

static struct exemption {
	uintptr_t start, end;
} exemptions[EXEMPTIONS];
static uint32_t exemption_count;

/* --- names --- */

const char *memory_name(const void *p)
{
	static char text[4][64];
	static unsigned turn;
	char *t = text[turn++ % 4];
	Dl_info info;

	if (!dladdr(p, &info) || !info.dli_sname)
		snprintf(t, sizeof text[0], "%p", p);
	else if (p == info.dli_saddr)
		snprintf(t, sizeof text[0], "%s", info.dli_sname);
	else
		snprintf(t, sizeof text[0], "%s+%#lx", info.dli_sname,
			 (unsigned long)((const char *)p - (const char *)info.dli_saddr));
	return t;
}

/* --- what is not looked at --- */

void memory_exempt(const void *p, size_t n)
{
	if (exemption_count == EXEMPTIONS)
		explore_fail("memory model: more than %u exemptions", EXEMPTIONS);
	exemptions[exemption_count++] = (struct exemption){(uintptr_t)p, (uintptr_t)p + n};
}

bool memory_exempted(const void *p)
{
	for (uint32_t i = 0; i < exemption_count; i++)
		if ((uintptr_t)p - exemptions[i].start < exemptions[i].end - exemptions[i].start)
			return true;
	return false;
}

static int exempt_thread(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data)
			memory_exempt(info->dlpi_tls_data, info->dlpi_phdr[i].p_memsz);
	return 0;
}

/* --- the map --- */

static struct page *page_of(uint64_t number, bool make)
{
	uint32_t at = (uint32_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % HASH;

	if (last && last->number == number)
		return last;
	while (hash[at]) {
		if (pages[hash[at] - 1].number == number)
			return last = &pages[hash[at] - 1];
		at = at + 1 == HASH ? 0 : at + 1;
	}
	if (!make)
		return NULL;
	if (page_count == PAGES)
		explore_fail("memory model: more than %u pages are touched", PAGES);
	last = &pages[page_count++];
	last->number = number;
	hash[at] = (uint16_t)page_count;
	return last;
}

struct location **race_word(const void *p, bool make)
{
	struct page *g = page_of((uintptr_t)p / 4096, make);

	return g ? &g->location[(uintptr_t)p / 8 % WORDS] : NULL;
}

void race_begin(void)
{
	static bool thread_exempted;

	if (!thread_exempted)
		dl_iterate_phdr(exempt_thread, NULL);
	thread_exempted = true;
	memset(pages, 0, page_count * sizeof pages[0]);
	memset(hash, 0, page_count ? sizeof hash : 0);
	page_count = 0;
	last = NULL;
}

/* --- the check --- */

/* Places are kept as distances from here: 32 bits reach all of one program. */
static const char *place_base(void) { return (const char *)(uintptr_t)race_access; }
static uint32_t place_of(const void *pc) { return pc ? (uint32_t)((const char *)pc - place_base()) : 0; }
static const void *place_pc(uint32_t place) { return place ? place_base() + (int32_t)place : NULL; }

static const char *kind_name(unsigned kind)
{
	static const char *const names[] = {"plain read", "plain write", "atomic read", "atomic write"};

	return kind & RACE_USER ? (kind & RACE_WRITE ? "write at EL0" : "read at EL0") : names[kind];
}

static void __attribute__((noreturn)) report(const void *p, const struct cell *old, const struct cell *new)
{
	trace_note(place_pc(old->place), "race: %s by CPU %u", kind_name(old->kind), old->cpu);
	trace_note(place_pc(new->place), "race: %s by CPU %u, not ordered after it", kind_name(new->kind), new->cpu);
	explore_fail("data race at %s: %s by CPU %u at pc:%lx, then %s by CPU %u at pc:%lx", memory_name(p),
		     kind_name(old->kind), old->cpu, (unsigned long)(uintptr_t)place_pc(old->place),
		     kind_name(new->kind), new->cpu, (unsigned long)(uintptr_t)place_pc(new->place));
}

/* old is before what CPU new->cpu does now. */
static bool is_before(const struct cell *old, const struct cell *new)
{
	const struct clock *k = &memory_clock[new->cpu], *w = &memory_walk[new->cpu];

	if (old->cpu == new->cpu || old->clock <= k->c[old->cpu])
		return true;
	if (old->kind & RACE_USER && old->clock <= k->c[EXPLORE_CPUS + old->cpu])
		return true;
	return new->kind &RACE_USER && old->clock <= w->c[old->cpu];
}

static void check(const void *p, const struct cell *old, const struct cell *new)
{
	if (old->mask & new->mask && (old->kind | new->kind) & RACE_WRITE && !(old->kind & new->kind &RACE_ATOMIC) &&
	    !is_before(old, new))
		report(p, old, new);
}

/* The new access makes the old one superfluous: whoever is ordered after the new one is after the old one too. */
static bool implies(const struct cell *new, const struct cell *old)
{
	if (old->mask & ~new->mask || !is_before(old, new))
		return false;
	/* What conflicts with the old one must conflict with the new one. */
	return (new->kind &RACE_WRITE || !(old->kind & RACE_WRITE)) &&
	       (!(new->kind &RACE_ATOMIC) || old->kind & RACE_ATOMIC);
}

static void access_word(struct page *g, uint32_t w, const struct cell *new)
{
	struct cell *cell = g->cell[w], *place = NULL;
	const void *p = (const void *)(uintptr_t)(g->number * 4096 + w * 8);

	if (g->write.mask)
		check(p, &g->write, new);
	for (uint32_t i = 0; new->kind &RACE_WRITE &&i < EXPLORE_CPUS; i++)
		check(p, &g->read[i], new);
	for (uint32_t i = 0; i < CELLS; i++) {
		if (!cell[i].mask) {
			place = place ? place : &cell[i];
			continue;
		}
		check(p, &cell[i], new);
		if (implies(new, &cell[i])) {
			cell[i].mask = 0;
			place = place ? place : &cell[i];
		}
	}
	for (uint32_t i = 0; !place && i < CELLS; i++)
		if (!(cell[i].kind & RACE_WRITE))
			place = &cell[i];
	if (!place)
		place = &cell[new->clock % CELLS];
	*place = *new;
	g->used[w / 64] |= UINT64_C(1) << w % 64;
}

/* A plain access to a whole page. */
static void access_page(struct page *g, const struct cell *new)
{
	const void *p = (const void *)(uintptr_t)(g->number * 4096);

	check(p, &g->write, new);
	for (uint32_t i = 0; new->kind &RACE_WRITE &&i < EXPLORE_CPUS; i++)
		check(p, &g->read[i], new);
	for (uint32_t k = 0; k < WORDS / 64; k++)
		for (uint64_t bits = g->used[k]; bits; bits &= bits - 1) {
			uint32_t w = k * 64 + (uint32_t)__builtin_ctzll(bits);

			for (uint32_t i = 0; i < CELLS; i++) {
				check((const char *)p + w * 8, &g->cell[w][i], new);
				if (implies(new, &g->cell[w][i]))
					g->cell[w][i].mask = 0;
			}
		}
	if (new->kind & RACE_WRITE) {
		g->write = *new;
		memset(g->read, 0, sizeof g->read);
		memset(g->used, 0, sizeof g->used);
	} else {
		g->read[new->cpu] = *new;
	}
}

void race_access(uint32_t cpu, const void *p, size_t n, unsigned kind, const void *pc)
{
	uintptr_t a = (uintptr_t)p, end = a + n;
	struct cell new = {memory_clock[cpu].c[cpu], place_of(pc), 0xff, (uint8_t)cpu, (uint8_t)kind};

	while (a < end) {
		struct page *g = page_of(a / 4096, true);
		uintptr_t stop = (a | 7) + 1;

		if (a % 4096 == 0 && end - a >= 4096 && !(kind & RACE_ATOMIC)) {
			new.mask = 0xff;
			access_page(g, &new);
			a += 4096;
			continue;
		}
		stop = stop < end ? stop : end;
		new.mask = (uint8_t)(0xff << (a & 7) & 0xff >> (7 - ((stop - 1) & 7)));
		access_word(g, (uint32_t)(a / 8 % WORDS), &new);
		a = stop;
	}
}
