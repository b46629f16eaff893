/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/model.h: what a handful of pages in a few address spaces hold and allow: the reference the scenarios of
 * address spaces are judged by. Plain data, stepped one step at a time (explore.h, history_model). Theory: model.c.
 */
#ifndef EXPLORE_MODEL_H
#define EXPLORE_MODEL_H

#include "explore.h"

#define MODEL_SPACES 4
#define MODEL_PAGES 8        /* of a space; neighbours */
#define MODEL_OBJECT_PAGES 4 /* of the one object there is */
#define MODEL_WORDS 2        /* of a page that are used; a value of 8 bits each */
#define MODEL_BOTH MODEL_WORDS
#define MODEL_ANON 0xff /* in place of an index in the object */

/* One page of a space. */
struct model_page {
	uint8_t mapped, prot, inherit, wired; /* what the map says */
	uint8_t index;                        /* of the object's page, or MODEL_ANON */
	uint8_t shared;                       /* stores go to the object */
	uint8_t own;                          /* word is its content; else the object's page or zeros */
	uint8_t word[MODEL_WORDS];
	/* A mutator is between its change of the map and the end of its flush, or holds the page: */
	uint8_t busy;                    /* its CPU + 1 */
	uint8_t old_prot;                /* what translations may still allow, on the content above */
	uint8_t fresh;                   /* the content above goes with the flush, then ... */
	uint8_t next_index, next_shared; /* ... this is what it shows */
};

enum model_object_state { OBJECT_THERE, OBJECT_LEAVING, OBJECT_BEYOND };

struct model {
	struct model_page page[MODEL_SPACES][MODEL_PAGES];
	uint8_t object[MODEL_OBJECT_PAGES][MODEL_WORDS];
	uint8_t object_state[MODEL_OBJECT_PAGES];
};

/*
 * Steps. page, space: on what; count, prot and the like: struct model_range packed in value. result: as the operation
 * returned it. A change of the map is its STEP_MAP, UNMAP or PROTECT, and one STEP_FLUSH for each page of it. A discard
 * is STEP_HOLD and one STEP_DISCARD for each page. A resize is STEP_RESIZE and one STEP_CUT for each page cut.
 */
enum model_what {
	STEP_LOAD,  /* argument: word or MODEL_BOTH; value: what was seen */
	STEP_STORE, /* argument: word; value: what was stored */
	STEP_COPY,  /* the page's private copy is made now; part of a store to a private page of the object */
	STEP_MAP,   /* OK, or ERR_EXISTS */
	STEP_UNMAP,
	STEP_PROTECT, /* OK, or ERR_NOENT: a hole; likewise the next ones */
	STEP_INHERIT,
	STEP_WIRE,
	STEP_POPULATE, /* one page, OK; or a range, of which a page gave that error */
	STEP_FLUSH,
	STEP_HOLD,
	STEP_DISCARD,
	STEP_FORK, /* argument: the child's space */
	STEP_EXIT,
	STEP_MOVE,   /* argument: first page of the destination; ERR_FAULT: a hole */
	STEP_RESIZE, /* value: pages */
	STEP_CUT,    /* page: of the object */
	STEP_READ,   /* page: of the object; argument: word; ERR_NOENT: beyond the end */
	STEP_WRITE,
};

struct model_range {
	uint8_t count;
	uint8_t prot, inherit; /* or any other small argument */
	uint8_t shared, index; /* index of the first page's, or MODEL_ANON */
	uint8_t replace, wired;
	uint8_t pad;
};
uint64_t model_pack(struct model_range r);

/* Applies a step; a history_model. */
bool model_step(void *state, uint32_t cpu, const struct history_step *step);

/* What a load of both words gives with nobody else about: OK and *value, or the error. */
enum error model_peek(const struct model *m, unsigned space, unsigned page, uint64_t *value);

#endif
