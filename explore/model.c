/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/model.c: the reference for address spaces.
 *
 * Purpose. To say, for one step in one state, whether its result is right, and what holds afterwards. It is written from
 * the contracts (vm/map.h, vm/fault.h, vm/object.h) and shares nothing with the kernel's sources but their constants.
 *
 * Structure. Flat arrays: pages of spaces, pages of one object. A page has what the map says (mapped, protection,
 * inheritance) and content: of its own, the object's, or zeros.
 *
 * What is exact, and what is not.
 *  1. The map changes at one moment for all pages of a call: STEP_MAP, UNMAP, PROTECT, INHERIT. So does a fork, for all
 *     of the space, content and map alike; and a move, what it replaces included.
 *  2. From that moment an access may be refused by the new map; until the page's flush one through a translation that is
 *     there already may still succeed by the old rights on the old content (old_prot): page by page, since so is the
 *     flush. A call has returned only after all its flushes.
 *  3. Content that replaces other content (MAP over something) can be reached only after the page's flush: one page of
 *     one space never has two contents at the same time.
 *  4. Two calls that change overlapping pages follow each other (busy): the range lock. A fork or a move follows all.
 *  5. A discard changes each page's content at one moment of its own.
 *  6. A resize that shortens changes the size at one moment; each page goes at a later one. In between it may be there
 *     or not, as resident pages are.
 *  7. A private page of the object is copied at some moment before the store that made it private: STEP_COPY.
 *  8. What may be written or executed may be read. A refused access leaves nothing.
 * A call without memory changes nothing and so has no steps; where its contract lets part of it stand, those steps are
 * optional (explore.h).
 */
#include "model.h"

#include <string.h>

#include "vm/entry.h"

_Static_assert(sizeof(struct model) <= HISTORY_STATE, "the model fits the judge's states");
_Static_assert(sizeof(struct model_range) == 8, "packed in a step's value");

uint64_t model_pack(struct model_range r)
{
	uint64_t v;

	memcpy(&v, &r, sizeof v);
	return v;
}

static struct model_range unpack(uint64_t v)
{
	struct model_range r;

	memcpy(&r, &v, sizeof r);
	return r;
}

/* --- accesses --- */

static bool allows(unsigned prot, enum prot access) { return access == PROT_R ? prot != 0 : (prot & access) != 0; }

/* Can the object's page behind p be reached (also) / be missing (also)? Pages without an object are always there. */
static bool may_be_there(const struct model *m, const struct model_page *p)
{
	return p->own || p->index == MODEL_ANON || m->object_state[p->index] != OBJECT_BEYOND;
}

static bool may_be_missing(const struct model *m, uint8_t index)
{
	return index != MODEL_ANON && m->object_state[index] != OBJECT_THERE;
}

static const uint8_t *content(const struct model *m, const struct model_page *p)
{
	static const uint8_t zeros[MODEL_WORDS];

	return p->own ? p->word : p->index == MODEL_ANON ? zeros : m->object[p->index];
}

static uint64_t both(const uint8_t *word) { return word[0] | (uint64_t)word[1] << 8; }

static void make_own(const struct model *m, struct model_page *p)
{
	if (!p->own)
		memmove(p->word, content(m, p), sizeof p->word);
	p->own = 1;
}

/* Is it possible that an access is refused with that error? By the map as it is. */
static bool refused(const struct model *m, const struct model_page *p, enum prot access, enum error e)
{
	switch (e) {
	case ERR_FAULT:
		return !p->mapped;
	case ERR_ACCESS:
		return p->mapped && !allows(p->prot, access);
	case ERR_BUS:
		if (!p->mapped || !allows(p->prot, access))
			return false;
		return p->fresh ? may_be_missing(m, p->next_index) : !p->own && may_be_missing(m, p->index);
	default:
		return false;
	}
}

/* Is it possible that an access succeeds? By the map as it is, or by a translation that is still to be flushed. */
static bool granted(const struct model *m, const struct model_page *p, enum prot access)
{
	bool new = p->mapped && !p->fresh && allows(p->prot, access);
	bool old = p->busy && allows(p->old_prot, access);

	return (new || old) && may_be_there(m, p);
}

static bool step_load(const struct model *m, const struct model_page *p, const struct history_step *s)
{
	const uint8_t *word;

	if (s->result != OK)
		return refused(m, p, PROT_R, (enum error)s->result);
	if (!granted(m, p, PROT_R))
		return false;
	word = content(m, p);
	return s->value == (s->argument == MODEL_BOTH ? both(word) : word[s->argument]);
}

static bool step_store(struct model *m, struct model_page *p, const struct history_step *s)
{
	if (s->result != OK)
		return refused(m, p, PROT_W, (enum error)s->result);
	if (!granted(m, p, PROT_W))
		return false;
	if (p->shared) {
		m->object[p->index][s->argument] = (uint8_t)s->value;
		return true;
	}
	make_own(m, p);
	p->word[s->argument] = (uint8_t)s->value;
	return true;
}

static bool step_copy(const struct model *m, struct model_page *p)
{
	if (p->own || p->shared || p->index == MODEL_ANON || !granted(m, p, PROT_W))
		return false;
	make_own(m, p);
	return true;
}

/* --- changes of the map --- */

static bool any_busy(const struct model_page *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i].busy)
			return true;
	return false;
}

static unsigned mapped_pages(const struct model_page *p, unsigned n)
{
	unsigned mapped = 0;

	for (unsigned i = 0; i < n; i++)
		mapped += p[i].mapped;
	return mapped;
}

/* The page is the mutator's until its flush; translations give what they gave. */
static void begin_change(struct model_page *p, uint32_t cpu)
{
	p->busy = (uint8_t)(cpu + 1);
	p->old_prot = p->mapped ? p->prot : 0;
}

static void end_change(struct model_page *p)
{
	if (p->fresh) {
		p->own = 0;
		memset(p->word, 0, sizeof p->word);
		p->index = p->next_index;
		p->shared = p->next_shared;
	}
	p->busy = p->old_prot = p->fresh = p->next_index = p->next_shared = 0;
}

static bool step_map(struct model_page *p, uint32_t cpu, const struct history_step *s)
{
	struct model_range r = unpack(s->value);

	if (any_busy(p, r.count))
		return false;
	if (s->result == ERR_EXISTS)
		return !r.replace && mapped_pages(p, r.count) > 0;
	if (s->result != OK || (!r.replace && mapped_pages(p, r.count) > 0))
		return false;
	for (unsigned i = 0; i < r.count; i++) {
		begin_change(&p[i], cpu);
		p[i].fresh = 1;
		p[i].next_index = r.index == MODEL_ANON ? MODEL_ANON : (uint8_t)(r.index + i);
		p[i].next_shared = r.shared;
		p[i].mapped = 1;
		p[i].prot = r.prot;
		p[i].inherit = r.inherit;
		p[i].wired = r.wired;
	}
	return true;
}

static bool step_unmap(struct model_page *p, uint32_t cpu, const struct history_step *s)
{
	struct model_range r = unpack(s->value);

	if (s->result != OK || any_busy(p, r.count))
		return false;
	for (unsigned i = 0; i < r.count; i++) {
		begin_change(&p[i], cpu);
		p[i].fresh = 1;
		p[i].next_index = MODEL_ANON;
		p[i].next_shared = 0;
		p[i].mapped = p[i].prot = p[i].inherit = p[i].wired = 0;
	}
	return true;
}

/* PROTECT, INHERIT, WIRE: all of the range, or a hole in it. */
static bool step_change(struct model_page *p, uint32_t cpu, const struct history_step *s)
{
	struct model_range r = unpack(s->value);
	bool whole = mapped_pages(p, r.count) == r.count;

	if (any_busy(p, r.count) || s->result != (whole ? OK : ERR_NOENT))
		return false;
	for (unsigned i = 0; whole && i < r.count; i++) {
		if (s->what == STEP_PROTECT) {
			begin_change(&p[i], cpu);
			p[i].prot = r.prot;
		} else if (s->what == STEP_INHERIT) {
			p[i].inherit = r.inherit;
		} else {
			p[i].wired = r.wired;
		}
	}
	return true;
}

static bool step_flush(struct model_page *p, uint32_t cpu)
{
	if (p->busy != cpu + 1)
		return false;
	end_change(p);
	return true;
}

/* A page is touched by the kernel: private writable ones as by a store. */
static enum prot populate_access(const struct model_page *p) { return !p->shared && (p->prot & PROT_W) ? PROT_W : PROT_R; }

static bool step_populate(struct model *m, struct model_page *p, const struct history_step *s)
{
	struct model_range r = unpack(s->value);

	if (s->result == OK) {
		if (!granted(m, p, populate_access(p)))
			return false;
		if (p->index != MODEL_ANON && populate_access(p) == PROT_W)
			make_own(m, p);
		return true;
	}
	for (unsigned i = 0; i < r.count; i++) {
		if (s->result == ERR_NOENT ? !p[i].mapped
					   : refused(m, &p[i], populate_access(&p[i]), (enum error)s->result))
			return true;
	}
	return false;
}

static bool step_hold(struct model_page *p, uint32_t cpu, const struct history_step *s)
{
	struct model_range r = unpack(s->value);

	if (any_busy(p, r.count) || s->result != (mapped_pages(p, r.count) == r.count ? OK : ERR_NOENT))
		return false;
	for (unsigned i = 0; i < r.count; i++)
		p[i].busy = (uint8_t)(cpu + 1);
	return true;
}

static bool step_discard(struct model_page *p, uint32_t cpu, const struct history_step *s)
{
	/* Without memory nobody told which pages are done, and no hold is kept over them. */
	if (s->result != ERR_NOMEM && p->busy != cpu + 1)
		return false;
	if (s->result == ERR_NOMEM && p->busy)
		return false;
	p->busy = p->own = 0;
	memset(p->word, 0, sizeof p->word);
	return true;
}

/* --- whole spaces --- */

static bool step_fork(struct model *m, const struct history_step *s)
{
	const struct model_page *from = m->page[s->space];
	struct model_page *to = m->page[s->argument];

	if (s->result != OK || any_busy(from, MODEL_PAGES))
		return false;
	memcpy(to, from, sizeof m->page[0]);
	for (unsigned i = 0; i < MODEL_PAGES; i++) {
		to[i].wired = 0;
		if (!to[i].mapped || to[i].inherit == INHERIT_NONE)
			memset(&to[i], 0, sizeof to[i]);
		if (to[i].inherit != INHERIT_ZERO)
			continue;
		to[i].own = 0;
		memset(to[i].word, 0, sizeof to[i].word);
	}
	return true;
}

static bool step_move(struct model_page *space, const struct history_step *s)
{
	struct model_range r = unpack(s->value);
	struct model_page *from = &space[s->page], *to = &space[s->argument];

	if (s->result == ERR_FAULT)
		return mapped_pages(from, r.count) < r.count;
	if (s->result != OK || any_busy(space, MODEL_PAGES) || mapped_pages(from, r.count) < r.count)
		return false;
	memcpy(to, from, r.count * sizeof *to);
	memset(from, 0, r.count * sizeof *from);
	return true;
}

/* --- the object --- */

static bool step_resize(struct model *m, const struct history_step *s)
{
	for (unsigned i = 0; i < MODEL_OBJECT_PAGES; i++) {
		if (i >= s->value && m->object_state[i] == OBJECT_THERE)
			m->object_state[i] = OBJECT_LEAVING;
		else if (i < s->value)
			m->object_state[i] = OBJECT_THERE;
	}
	return s->result == OK;
}

static bool step_cut(struct model *m, const struct history_step *s)
{
	memset(m->object[s->page], 0, sizeof m->object[0]);
	if (m->object_state[s->page] == OBJECT_LEAVING)
		m->object_state[s->page] = OBJECT_BEYOND;
	return true;
}

static bool step_transfer(struct model *m, const struct history_step *s)
{
	uint8_t *word = &m->object[s->page][s->argument];
	bool may_miss = may_be_missing(m, s->page), may_be = m->object_state[s->page] != OBJECT_BEYOND;

	if (s->result == ERR_NOENT || s->result == ERR_BUS)
		return may_miss;
	if (s->result != OK || !may_be)
		return false;
	if (s->what == STEP_READ)
		return *word == s->value;
	*word = (uint8_t)s->value;
	return true;
}

bool model_step(void *state, uint32_t cpu, const struct history_step *s)
{
	struct model *m = state;
	struct model_page *p = &m->page[s->space % MODEL_SPACES][s->page % MODEL_PAGES];

	switch ((enum model_what)s->what) {
	case STEP_LOAD:
		return step_load(m, p, s);
	case STEP_STORE:
		return step_store(m, p, s);
	case STEP_COPY:
		return step_copy(m, p);
	case STEP_MAP:
		return step_map(p, cpu, s);
	case STEP_UNMAP:
		return step_unmap(p, cpu, s);
	case STEP_PROTECT:
	case STEP_INHERIT:
	case STEP_WIRE:
		return step_change(p, cpu, s);
	case STEP_POPULATE:
		return step_populate(m, p, s);
	case STEP_FLUSH:
		return step_flush(p, cpu);
	case STEP_HOLD:
		return step_hold(p, cpu, s);
	case STEP_DISCARD:
		return step_discard(p, cpu, s);
	case STEP_FORK:
		return step_fork(m, s);
	case STEP_EXIT:
		memset(m->page[s->space], 0, sizeof m->page[0]);
		return true;
	case STEP_MOVE:
		return step_move(m->page[s->space], s);
	case STEP_RESIZE:
		return step_resize(m, s);
	case STEP_CUT:
		return step_cut(m, s);
	case STEP_READ:
	case STEP_WRITE:
		return step_transfer(m, s);
	}
	return false;
}

enum error model_peek(const struct model *m, unsigned space, unsigned page, uint64_t *value)
{
	const struct model_page *p = &m->page[space][page];

	*value = 0;
	if (!p->mapped)
		return ERR_FAULT;
	if (!allows(p->prot, PROT_R))
		return ERR_ACCESS;
	if (!may_be_there(m, p))
		return ERR_BUS;
	*value = both(content(m, p));
	return OK;
}
