/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/seqcount.h: read a few words that belong together without a lock.
 * One writer at a time (its own lock sees to that). The payload is ATOMIC and
 * accessed relaxed by both sides; the count carries the order.
 *
 *   do { s = seq_read_begin(&c); ...relaxed loads... } while (seq_read_retry(&c, s));
 */
#ifndef SYNC_SEQCOUNT_H
#define SYNC_SEQCOUNT_H

#include <ck_sequence.h>

#include "base/cpu.h"

struct seqcount {
	ck_sequence_t seq;
};

static inline void seq_init(struct seqcount *c) { ck_sequence_init(&c->seq); }
static inline unsigned seq_read_begin(struct seqcount *c) { return ck_sequence_read_begin(&c->seq); }
static inline bool seq_read_retry(struct seqcount *c, unsigned start) { return ck_sequence_read_retry(&c->seq, start); }
static inline void seq_write_begin(struct seqcount *c) { ck_sequence_write_begin(&c->seq); }
static inline void seq_write_end(struct seqcount *c) { ck_sequence_write_end(&c->seq); }

#endif
