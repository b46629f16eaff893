/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_judge.c: what the simulator reports, and what led to it.
 *
 * Offences are noticed under hardware locks and delivered after they are
 * dropped, since a report may end in a panic that a test catches.
 *
 * Each vCPU keeps its last table stores, invalidations and TTBR0 loads in a
 * ring, numbered in one order for the whole machine. The ring's words are
 * relaxed atomics written by the vCPU alone and read when a report is printed:
 * an event that is being overwritten then may come out garbled, which
 * harms nobody but the reader, and noting one orders nothing, so that it hides
 * no data race from ThreadSanitizer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/print.h"
#include "hal/host/host_private.h"

#define REPORT_EVENTS 16

static uint64_t get(const uint64_t *x) { return __atomic_load_n(x, __ATOMIC_RELAXED); }
static void put(uint64_t *x, uint64_t v) { __atomic_store_n(x, v, __ATOMIC_RELAXED); }

uint64_t event_number(struct host_machine *m) { return __atomic_add_fetch(&m->events, 1, __ATOMIC_RELAXED); }

void event_note(struct host_vcpu *v, uint64_t number, enum event_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
	struct event *e = &v->event[v->next_event++ % EVENTS];

	put(&e->number, number);
	put(&e->kind, kind);
	put(&e->a, a);
	put(&e->b, b);
	put(&e->c, c);
}

void judge_note(struct verdict *v, enum host_offence what, uint32_t cpu, const struct tlb_entry *e, uint64_t va,
		uint64_t pa, const char *why)
{
	if (v->guilty)
		return; /* the first is the cause */
	*v = (struct verdict){ .guilty = true, .what = what, .cpu = cpu, .entry = *e, .va = va, .pa = pa, .why = why };
}

enum host_frame judge_frame(struct host_machine *m, uint64_t pa)
{
	const struct host_ops *ops = &m->config.ops;
	void (*point)(void) = host_point;
	pfn_t f = paddr_to_pfn(paddr(pa));
	enum host_frame kind = HOST_FRAME_UNKNOWN;

	host_point = NULL; /* under a hardware lock no vCPU gives way */
	if (ops->frame_kind)
		kind = ops->frame_kind(ops->context, f);
	else if (ops->frame_free && ops->frame_free(ops->context, f))
		kind = HOST_FRAME_FREE;
	host_point = point;
	return kind;
}

struct note {
	uint32_t cpu;
	struct event e;
};

static bool concerns(const struct event *e, const struct verdict *v)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_PTE:
		return e->a == v->entry.desc_pa || (v->culprit_pa && e->a == v->culprit_pa);
	case EVENT_TLBI:
	case EVENT_TLBI_DONE:
		if (e->c & EVENT_GLOBAL ? v->entry.asid != HOST_GLOBAL && !(e->c & EVENT_ALL_ASIDS)
					: !(e->c & EVENT_ALL_ASIDS) && (e->c & UINT16_MAX) != v->entry.asid)
			return false;
		return e->a <= v->va && v->va < e->b;
	case EVENT_LOAD:
		return e->b == v->entry.asid;
	default:
		return false;
	}
}

static int by_number(const void *a, const void *b)
{
	const struct note *x = a, *y = b;

	return x->e.number < y->e.number ? -1 : x->e.number > y->e.number;
}

/* The events that concern this translation, oldest first; returns how many. */
static unsigned gather_events(struct host_machine *m, const struct verdict *v, struct note *note, unsigned max)
{
	unsigned n = 0;

	for (uint32_t cpu = 0; cpu < m->config.ncpus; cpu++)
		for (unsigned i = 0; i < EVENTS && n < max; i++) {
			const struct event *p = &m->vcpu[cpu].event[i];
			struct event e = { get(&p->number), get(&p->kind), get(&p->a), get(&p->b), get(&p->c) };

			if (e.number && concerns(&e, v))
				note[n++] = (struct note){ cpu, e };
		}
	qsort(note, n, sizeof *note, by_number);
	return n;
}

static void print_history(FILE *f, struct host_machine *m, const struct verdict *v)
{
	unsigned max = m->config.ncpus * EVENTS, n;
	struct note *note = calloc(max, sizeof *note);

	if (!note)
		return;
	n = gather_events(m, v, note, max);
	for (unsigned i = n > REPORT_EVENTS ? n - REPORT_EVENTS : 0; i < n; i++) {
		const struct event *e = &note[i].e;

		fprintf(f, "  #%llu CPU %u: ", (unsigned long long)e->number, note[i].cpu);
		switch ((enum event_kind)e->kind) {
		case EVENT_PTE:
			fprintf(f, "descriptor at %#llx: %s %#llx\n", (unsigned long long)e->a,
				e->c == EVENT_PTE_HARDWARE ? "hardware makes" : e->c ? "read-modify-write gives" : "stored",
				(unsigned long long)e->b);
			break;
		case EVENT_TLBI:
		case EVENT_TLBI_DONE:
			fprintf(f, "%s of ASID %llu, %#llx to %#llx%s%s\n",
				e->kind == EVENT_TLBI ? "TLBI issued" : "TLBI complete",
				(unsigned long long)(e->c & UINT16_MAX), (unsigned long long)e->a,
				(unsigned long long)e->b, e->c & EVENT_LAST_LEVEL ? ", last level" : "",
				e->c & EVENT_LOCAL    ? ", this CPU only"
				: e->c & EVENT_GLOBAL ? ", what is global"
						      : "");
			break;
		default:
			fprintf(f, "TTBR0 loaded: root %#llx, ASID %llu\n", (unsigned long long)e->a,
				(unsigned long long)e->b);
		}
	}
	free(note);
}

void judge_deliver(struct host_machine *m, struct verdict *v)
{
	static const char *const title[HOST_OFFENCES] = {
		[HOST_FREED_FRAME] = "freed frame reached", [HOST_FREED_TABLE] = "freed table walked",
		[HOST_NO_BREAK] = "no break before make", [HOST_ASID_SHARED] = "ASID live for two root tables",
		[HOST_INCOHERENT] = "incoherent code fetched", [HOST_BAD_TABLE] = "senseless descriptor",
		[HOST_STALE] = "stale rights", [HOST_ALIEN_FRAME] = "frame of another owner reached",
	};
	const struct host_ops *ops = &m->config.ops;
	char *text = NULL;
	size_t size;
	FILE *f;

	if (!v->guilty)
		return;
	v->guilty = false;
	__atomic_add_fetch(&m->offences[v->what], 1, __ATOMIC_RELAXED);
	f = open_memstream(&text, &size);
	if (!f)
		panic("simulated MMU: %s", title[v->what]);
	fprintf(f, "%s: %s\n  CPU %u, va %#llx, pa %#llx, ASID %u, root %#llx\n", title[v->what], v->why, v->cpu,
		(unsigned long long)v->va, (unsigned long long)v->pa, v->entry.asid, (unsigned long long)v->entry.root);
	fprintf(f, "  level %u descriptor %#llx at %#llx, cached at event #%llu\n", v->entry.level,
		(unsigned long long)v->entry.desc, (unsigned long long)v->entry.desc_pa,
		(unsigned long long)v->entry.filled);
	if (v->culprit_pa)
		fprintf(f, "  CPU %u took rights away at event #%llu, by the descriptor at %#llx, and has returned since\n",
			v->culprit, (unsigned long long)v->culprit_event, (unsigned long long)v->culprit_pa);
	print_history(f, m, v);
	fclose(f);
	if (ops->report) {
		ops->report(ops->context, v->what, text);
		free(text);
		return;
	}
	kprintf("%s", text);
	free(text);
	panic("simulated MMU: %s: %s", title[v->what], v->why);
}

uint64_t host_offences(struct host_machine *m, enum host_offence what)
{
	uint64_t n = 0;

	if (what < HOST_OFFENCES)
		return get(&m->offences[what]);
	for (unsigned i = 0; i < HOST_OFFENCES; i++)
		n += get(&m->offences[i]);
	return n;
}

struct host_stats host_stats(struct host_machine *m)
{
	struct host_stats sum = { 0 };

	for (uint32_t i = 0; i < m->config.ncpus; i++) {
		const struct host_stats *s = &m->vcpu[i].stats;

		sum.hits += get(&s->hits);
		sum.misses += get(&s->misses);
		sum.faults += get(&s->faults);
		sum.invalidations += get(&s->invalidations);
	}
	return sum;
}
