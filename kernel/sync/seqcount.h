/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync/seqcount.h: read a few words that belong together without a lock.
 * One writer at a time (its own lock sees to that). The payload is ATOMIC; the
 * writer stores it release, readers load it acquire.
 *
 *   do { s = seq_read_begin(&c); ...acquire loads... } while (seq_read_retry(&c, s));
 *
 * Why not relaxed: nothing but a stand-alone fence would keep the payload's stores
 * behind the store of the odd count, and its loads ahead of the second load of the
 * count. A release store of the payload that is seen makes the odd count seen by
 * the load after it. The first load of the count is acquire, its last store
 * release: who sees the even count sees the payload under it.
 */
#ifndef SYNC_SEQCOUNT_H
#define SYNC_SEQCOUNT_H

#include <ck_sequence.h>

#include "base/cpu.h"

struct seqcount {
	ck_sequence_t seq;
};

static inline void seq_init(struct seqcount *c) { ck_sequence_init(&c->seq); }

static inline unsigned seq_read_begin(struct seqcount *c)
{
	cpu_point();
	return ck_sequence_read_begin(&c->seq);
}

static inline bool seq_read_retry(struct seqcount *c, unsigned start)
{
	cpu_point();
	return ck_sequence_read_retry(&c->seq, start);
}

static inline void seq_write_begin(struct seqcount *c)
{
	cpu_point();
	ck_sequence_write_begin(&c->seq);
}

static inline void seq_write_end(struct seqcount *c)
{
	cpu_point();
	ck_sequence_write_end(&c->seq);
}

#endif
