/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_tree.h: credits: how they move between trees and CPUs' reservations.
 * Inside the frame core (frame_core.c, frame_run.c). Theory: frame_tree.c.
 *
 * Context: as vm/frame_core.h.
 */
#ifndef VM_FRAME_TREE_H
#define VM_FRAME_TREE_H

#include "vm/frame_core.h"

static inline uint32_t tree_free(uint32_t word) { return word & TREE_FREE; }
static inline bool tree_reserved(uint32_t word) { return word & TREE_RESERVED; }

/* What kind of tree a CPU looks for, best first; see frame_tree.c. */
enum tree_pass { PASS_OWN, PASS_NEW, PASS_OWN_SCRAPS, PASSES };

static inline struct frame_count *count_of(const struct frame_core *c, uint64_t chunk)
{
	uint64_t within = chunk & ((UINT64_C(1) << c->tree_shift) - 1);

	return &c->count[(chunk >> c->tree_shift) * TREE_CHUNKS_MAX + within];
}
static inline uint64_t tree_of(const struct frame_core *c, uint64_t chunk) { return chunk >> c->tree_shift; }
static inline uint64_t tree_first(const struct frame_core *c, uint64_t t) { return t << c->tree_shift; }
static inline uint64_t tree_end(const struct frame_core *c, uint64_t t)
{
	return (t + 1) << c->tree_shift < c->chunks ? (t + 1) << c->tree_shift : c->chunks;
}

/* Takes between least and most credits out of a tree's own word, or of what a reservation holds; returns how many, or 0. */
uint32_t tree_take(struct frame_core *c, uint64_t t, uint32_t least, uint32_t most);
uint32_t reserve_take(struct frame_reserve *r, enum frame_kind kind, uint32_t least, uint32_t most, uint64_t *t);

/* n credits become the tree's. */
void tree_put(struct frame_core *c, uint64_t t, uint32_t n);

/* The same, but into this CPU's reservation where it names the tree. Not during a search. */
void reserve_put(struct frame_core *c, struct frame_reserve *r, uint64_t t, uint32_t n);

/* The tree that a reservation names; false: none. A snapshot. */
bool reserve_tree(const struct frame_reserve *r, enum frame_kind kind, uint64_t *t);

/* What others have put into the tree that is reserved becomes the reservation's. false: nothing. Not during a search. */
bool reserve_refill(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind);

/* Tree t, with at least least credits and free for this kind in that pass, becomes the reservation; the one before is settled. Not during a search. */
bool reserve_move(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind, uint64_t t, enum tree_pass pass,
		  uint32_t least);

/* Takes a reservation apart: its credits go to the tree. */
void reserve_settle(struct frame_core *c, struct frame_reserve *r, enum frame_kind kind);

#define RAISE_BEGUN (UINT64_C(1) << 32) /* of unrest */

/* Whether a tree suits: by its word. */
bool tree_suits(const struct frame_core *c, uint64_t t, enum frame_kind kind, enum tree_pass pass, uint32_t least);

#endif
