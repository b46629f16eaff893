/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/litmus_tests.c: the table of litmus.h.
 *
 * Names and shapes are those of J. Alglave, L. Maranget, M. Tautschnig, Herding cats (TOPLAS 2014): MP message
 * passing, SB store buffering, S, R, 2+2W, IRIW independent reads of independent writes, WRC write to read
 * causality, ISA2, Co* coherence. Behind the name stand the orders that matter: rlx, acq, rel, sc, dmb.
 */
#include "litmus.h"

#include "sync/rwlock.h"
#include "sync/seqcount.h"
#include "sync/spinlock.h"

static ATOMIC(uint64_t) x, y, z;
static uint64_t data;         /* plain */
static uint64_t r[8];         /* registers: each written by one CPU, looked at afterwards */
static struct spinlock lock;
static struct rwlock rwlock;
static struct seqcount seq;

void litmus_reset(void)
{
	__atomic_store_n(&x.x, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&y.x, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&z.x, 0, __ATOMIC_RELAXED);
	data = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = 0;
	spin_init(&lock);
	rwlock_init(&rwlock);
	seq_init(&seq);
}

static uint64_t fetch_add(void *p, int order)
{
	cpu_point();
	return order == __ATOMIC_RELAXED ? __atomic_fetch_add((uint64_t *)p, 1, __ATOMIC_RELAXED) :
					   __atomic_fetch_add((uint64_t *)p, 1, __ATOMIC_ACQ_REL);
}

static void full_fence(void) { memory_drain((uint32_t)explore_cpu()); }

/* One vCPU's part each; a line of the table below uses them by name. */
#define P(name, ...) \
	static void name(void) { __VA_ARGS__ }
#define OUTCOME(name, condition) \
	static bool name(void) { return condition; }

/* --- message passing --- */
P(x_y_rel, atomic_store_relaxed(&x, 1); atomic_store_release(&y, 1);)
P(x_y_rlx, atomic_store_relaxed(&x, 1); atomic_store_relaxed(&y, 1);)
P(x_y_sc, atomic_store_relaxed(&x, 1); atomic_store_seq_cst(&y, 1);)
P(x_dsb_y, atomic_store_relaxed(&x, 1); full_fence(); atomic_store_relaxed(&y, 1);)
P(x_y_rmw, atomic_store_relaxed(&x, 1); (void)fetch_add(&y, __ATOMIC_ACQ_REL);)
P(x_y_rmw_rlx, atomic_store_relaxed(&x, 1); (void)fetch_add(&y, __ATOMIC_RELAXED);)
P(xrmw_y_rlx, (void)fetch_add(&x, __ATOMIC_RELAXED); atomic_store_relaxed(&y, 1);)
P(xrmw_y_rel, (void)fetch_add(&x, __ATOMIC_RELAXED); atomic_store_release(&y, 1);)
P(data_y_rel, data = 1; atomic_store_release(&y, 1);)
P(data_y_rlx, data = 1; atomic_store_relaxed(&y, 1);)
P(read_y_acq_x, r[0] = atomic_load_acquire(&y); r[1] = atomic_load_relaxed(&x);)
P(read_y_sc_x, r[0] = atomic_load_seq_cst(&y); r[1] = atomic_load_relaxed(&x);)
P(read_y_rlx_x, r[0] = atomic_load_relaxed(&y); r[1] = atomic_load_relaxed(&x);)
P(read_y_rlx_x_sc, r[0] = atomic_load_relaxed(&y); r[1] = atomic_load_seq_cst(&x);)
P(read_y_dsb_x, r[0] = atomic_load_relaxed(&y); full_fence(); r[1] = atomic_load_relaxed(&x);)
P(rmw_y_acq_x, r[0] = fetch_add(&y, __ATOMIC_ACQ_REL); r[1] = atomic_load_relaxed(&x);)
P(read_y_acq_data, if (atomic_load_acquire(&y)) r[0] = data;)
P(read_y_rlx_data, if (atomic_load_relaxed(&y)) r[0] = data;)
OUTCOME(flag_no_data, r[0] == 1 && r[1] == 0)
OUTCOME(never, false)

/* a release sequence: the acquirer reads a read-modify-write that read the release */
P(y_rmw_rlx, while (!atomic_load_relaxed(&y)) cpu_relax(); (void)fetch_add(&y, __ATOMIC_RELAXED);)
P(y_2_rlx, while (!atomic_load_relaxed(&y)) cpu_relax(); atomic_store_relaxed(&y, 2);)
P(read_y2_acq_x, r[0] = atomic_load_acquire(&y); r[1] = atomic_load_relaxed(&x);)
P(read_y2_acq_data, if (atomic_load_acquire(&y) == 2) r[1] = data;)
OUTCOME(two_no_data, r[0] == 2 && r[1] == 0)

/* --- store buffering --- */
P(x_sc_read_y_sc, atomic_store_seq_cst(&x, 1); r[0] = atomic_load_seq_cst(&y);)
P(y_sc_read_x_sc, atomic_store_seq_cst(&y, 1); r[1] = atomic_load_seq_cst(&x);)
P(x_rel_read_y_sc, atomic_store_release(&x, 1); r[0] = atomic_load_seq_cst(&y);)
P(x_sc_read_y_acq, atomic_store_seq_cst(&x, 1); r[0] = atomic_load_acquire(&y);)
P(x_rlx_read_y_rlx, atomic_store_relaxed(&x, 1); r[0] = atomic_load_relaxed(&y);)
P(y_rlx_read_x_rlx, atomic_store_relaxed(&y, 1); r[1] = atomic_load_relaxed(&x);)
P(x_dsb_read_y, atomic_store_relaxed(&x, 1); full_fence(); r[0] = atomic_load_relaxed(&y);)
P(y_dsb_read_x, atomic_store_relaxed(&y, 1); full_fence(); r[1] = atomic_load_relaxed(&x);)
P(x_swap_sc_read_y_sc, (void)atomic_swap_seq_cst(&x, 1); r[0] = atomic_load_seq_cst(&y);)
P(x_swap_acq_rel_read_y_sc, (void)atomic_swap_acq_rel(&x, 1); r[0] = atomic_load_seq_cst(&y);)
P(x_swap_sc_read_y_acq, (void)atomic_swap_seq_cst(&x, 1); r[0] = atomic_load_acquire(&y);)
/* An owner and a visitor (atomic_store_owner): x is the owner's word, y the visitor's. */
P(x_own_read_y_own, atomic_store_owner(&x, 1); r[0] = atomic_load_owner(&y);)
P(y_all_read_x, atomic_store_relaxed(&y, 1); cpu_barrier_all(); r[1] = atomic_load_relaxed(&x);)
P(y_dsb_read_x_rlx, atomic_store_relaxed(&y, 1); full_fence(); r[1] = atomic_load_relaxed(&x);)
P(all_y_read_x, cpu_barrier_all(); atomic_store_relaxed(&y, 1); r[1] = atomic_load_relaxed(&x);)
P(y_read_x_all, atomic_store_relaxed(&y, 1); r[1] = atomic_load_relaxed(&x); cpu_barrier_all();)
P(x_data_own, data = 1; atomic_store_owner(&x, 1);)
P(all_read_x_data, cpu_barrier_all(); if (atomic_load_relaxed(&x)) r[0] = data;)
OUTCOME(both_zero, r[0] == 0 && r[1] == 0)

/* --- S, R, 2+2W --- */
P(x2_y_rel, atomic_store_relaxed(&x, 2); atomic_store_release(&y, 1);)
P(x2_y_rlx, atomic_store_relaxed(&x, 2); atomic_store_relaxed(&y, 1);)
P(read_y_acq_x1, r[0] = atomic_load_acquire(&y); atomic_store_relaxed(&x, 1);)
OUTCOME(s_outcome, r[0] == 1 && atomic_load_relaxed(&x) == 2)
P(x_y1_sc, atomic_store_seq_cst(&x, 1); atomic_store_seq_cst(&y, 1);)
P(y2_read_x_sc, atomic_store_seq_cst(&y, 2); r[0] = atomic_load_seq_cst(&x);)
P(y2_rel_read_x, atomic_store_release(&y, 2); r[0] = atomic_load_acquire(&x);)
P(x_y1_rel, atomic_store_release(&x, 1); atomic_store_release(&y, 1);)
OUTCOME(r_outcome, r[0] == 0 && atomic_load_relaxed(&y) == 2)
P(x1_y2_rlx, atomic_store_relaxed(&x, 1); atomic_store_relaxed(&y, 2);)
P(y1_x2_rlx, atomic_store_relaxed(&y, 1); atomic_store_relaxed(&x, 2);)
P(x1_y2_rel, atomic_store_relaxed(&x, 1); atomic_store_release(&y, 2);)
P(y1_x2_rel, atomic_store_relaxed(&y, 1); atomic_store_release(&x, 2);)
OUTCOME(ww_outcome, atomic_load_relaxed(&x) == 1 && atomic_load_relaxed(&y) == 1)

/* --- several observers --- */
P(x1_rlx, atomic_store_relaxed(&x, 1);)
P(y1_rlx, atomic_store_relaxed(&y, 1);)
P(x1_rel, atomic_store_release(&x, 1);)
P(y1_rel, atomic_store_release(&y, 1);)
P(acq_xy, r[0] = atomic_load_acquire(&x); r[1] = atomic_load_acquire(&y);)
P(acq_yx, r[2] = atomic_load_acquire(&y); r[3] = atomic_load_acquire(&x);)
P(rlx_xy, r[0] = atomic_load_relaxed(&x); r[1] = atomic_load_relaxed(&y);)
P(rlx_yx, r[2] = atomic_load_relaxed(&y); r[3] = atomic_load_relaxed(&x);)
OUTCOME(iriw, r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0)
P(read_x_y_rel, r[0] = atomic_load_relaxed(&x); atomic_store_release(&y, r[0]);)
P(read_x_y_rlx, r[0] = atomic_load_relaxed(&x); atomic_store_relaxed(&y, r[0]);)
P(acq_y_x, r[1] = atomic_load_acquire(&y); r[2] = atomic_load_relaxed(&x);)
P(rlx_y_x, r[1] = atomic_load_relaxed(&y); r[2] = atomic_load_relaxed(&x);)
OUTCOME(wrc, r[0] == 1 && r[1] == 1 && r[2] == 0)
P(acq_y_z_rel, r[0] = atomic_load_acquire(&y); atomic_store_release(&z, r[0]);)
P(acq_z_x, r[1] = atomic_load_acquire(&z); r[2] = atomic_load_relaxed(&x);)
OUTCOME(isa2, r[0] == 1 && r[1] == 1 && r[2] == 0)

/* --- coherence, atomicity --- */
P(x_1_2, atomic_store_relaxed(&x, 1); atomic_store_relaxed(&x, 2);)
P(read_x_x, r[0] = atomic_load_relaxed(&x); r[1] = atomic_load_relaxed(&x);)
OUTCOME(corr, r[0] > r[1])
P(read_x_then_y_rel, r[0] = atomic_load_relaxed(&x); atomic_store_release(&y, 1);)
OUTCOME(corr_later, r[0] == 2 && r[1] == 1 && r[2] < 2)
P(x3, atomic_store_relaxed(&x, 3);)
P(x1_read_x, atomic_store_relaxed(&x, 1); r[0] = atomic_load_relaxed(&x);)
OUTCOME(cowr, r[0] == 0)
P(read_x_x1, r[0] = atomic_load_relaxed(&x); atomic_store_relaxed(&x, 1);)
OUTCOME(corw, r[0] == 3 && atomic_load_relaxed(&x) == 3)
P(add_x, for (int i = 0; i < 3; i++) (void)fetch_add(&x, __ATOMIC_RELAXED);)
OUTCOME(lost_add, atomic_load_relaxed(&x) != 9)

/* --- locks --- */
P(locked_add, for (int i = 0; i < 2; i++) { spin_lock(&lock, RANK_FRAME); data++; spin_unlock(&lock); })
OUTCOME(lost_data, data != 6)
P(write_locked, rwlock_write(&rwlock, RANK_FRAME); data++; cpu_point(); data++; rwlock_write_done(&rwlock);)
P(read_locked, rwlock_read(&rwlock, RANK_FRAME); r[explore_cpu()] = data; rwlock_read_done(&rwlock);)
OUTCOME(half_written, (r[0] | r[1] | r[2]) & 1)
P(seq_write, for (uint64_t i = 1; i <= 2; i++) {
	seq_write_begin(&seq);
	atomic_store_release(&x, i);
	atomic_store_release(&y, i);
	seq_write_end(&seq);
})
P(seq_write_rlx, for (uint64_t i = 1; i <= 2; i++) {
	seq_write_begin(&seq);
	atomic_store_relaxed(&x, i);
	atomic_store_relaxed(&y, i);
	seq_write_end(&seq);
})
P(seq_read, unsigned s; do {
	s = seq_read_begin(&seq);
	r[0] = atomic_load_acquire(&x);
	r[1] = atomic_load_acquire(&y);
} while (seq_read_retry(&seq, s));)
P(seq_read_rlx, unsigned s; do {
	s = seq_read_begin(&seq);
	r[0] = atomic_load_relaxed(&x);
	r[1] = atomic_load_relaxed(&y);
} while (seq_read_retry(&seq, s));)
OUTCOME(torn, r[0] != r[1])

#define F LITMUS_FORBIDDEN
#define R LITMUS_REQUIRED
#define RACE LITMUS_RACE
const struct litmus litmus_tests[] = {
	{ "MP+rel+acq", F, 2, { x_y_rel, read_y_acq_x }, flag_no_data },
	{ "MP+sc+sc", F, 2, { x_y_sc, read_y_sc_x }, flag_no_data },
	{ "MP+dsb+dsb", F, 2, { x_dsb_y, read_y_dsb_x }, flag_no_data },
	{ "MP+rmw+rmw", F, 2, { x_y_rmw, rmw_y_acq_x }, flag_no_data },
	{ "MP+data-rmw+rel+acq", F, 2, { xrmw_y_rel, read_y_acq_x }, flag_no_data },
	{ "MP+rlx+acq", R, 2, { x_y_rlx, read_y_acq_x }, flag_no_data },
	{ "MP+rel+rlx", R, 2, { x_y_rel, read_y_rlx_x }, flag_no_data },
	{ "MP+rel+rlx-sc", R, 2, { x_y_rel, read_y_rlx_x_sc }, flag_no_data },
	{ "MP+rmw-rlx+acq", R, 2, { x_y_rmw_rlx, read_y_acq_x }, flag_no_data },
	{ "MP+data-rmw+rlx+acq", R, 2, { xrmw_y_rlx, read_y_acq_x }, flag_no_data },
	{ "MP+plain+rel+acq", F, 2, { data_y_rel, read_y_acq_data }, never },
	{ "MP+plain+rlx+acq", RACE, 2, { data_y_rlx, read_y_acq_data }, never },
	{ "MP+plain+rel+rlx", RACE, 2, { data_y_rel, read_y_rlx_data }, never },
	{ "MP+relseq", F, 3, { x_y_rel, y_rmw_rlx, read_y2_acq_x }, two_no_data },
	{ "MP+plain+relseq", F, 3, { data_y_rel, y_rmw_rlx, read_y2_acq_data }, never },
	{ "MP+plain+store-no-relseq", RACE, 3, { data_y_rel, y_2_rlx, read_y2_acq_data }, never },
	{ "SB+sc", F, 2, { x_sc_read_y_sc, y_sc_read_x_sc }, both_zero },
	{ "SB+dsb", F, 2, { x_dsb_read_y, y_dsb_read_x }, both_zero },
	{ "SB+swap-sc", F, 2, { x_swap_sc_read_y_sc, y_sc_read_x_sc }, both_zero },
	{ "SB+rel", R, 2, { x_rel_read_y_sc, y_sc_read_x_sc }, both_zero },
	{ "SB+acq", R, 2, { x_sc_read_y_acq, y_sc_read_x_sc }, both_zero },
	{ "SB+swap-acq_rel", R, 2, { x_swap_acq_rel_read_y_sc, y_sc_read_x_sc }, both_zero },
	{ "SB+swap-sc-acq", R, 2, { x_swap_sc_read_y_acq, y_sc_read_x_sc }, both_zero },
	{ "SB+rlx", R, 2, { x_rlx_read_y_rlx, y_rlx_read_x_rlx }, both_zero },
	{ "SB+own+all", F, 2, { x_own_read_y_own, y_all_read_x }, both_zero },
	{ "SB+own+dsb", R, 2, { x_own_read_y_own, y_dsb_read_x_rlx }, both_zero },
	{ "SB+own+all-early", R, 2, { x_own_read_y_own, all_y_read_x }, both_zero },
	{ "SB+own+all-late", R, 2, { x_own_read_y_own, y_read_x_all }, both_zero },
	{ "MP+plain+own+all-rlx", RACE, 2, { x_data_own, all_read_x_data }, never },
	{ "S+rel+acq", F, 2, { x2_y_rel, read_y_acq_x1 }, s_outcome },
	{ "S+rlx+acq", R, 2, { x2_y_rlx, read_y_acq_x1 }, s_outcome },
	{ "R+sc", F, 2, { x_y1_sc, y2_read_x_sc }, r_outcome },
	{ "R+rel+acq", R, 2, { x_y1_rel, y2_rel_read_x }, r_outcome },
	{ "2+2W+rel", F, 2, { x1_y2_rel, y1_x2_rel }, ww_outcome },
	{ "2+2W+rlx", R, 2, { x1_y2_rlx, y1_x2_rlx }, ww_outcome },
	{ "IRIW+acq", LITMUS_ARMV8, 4, { x1_rel, y1_rel, acq_xy, acq_yx }, iriw },
	{ "IRIW+rlx", R, 4, { x1_rlx, y1_rlx, rlx_xy, rlx_yx }, iriw },
	{ "WRC+rel+acq", F, 3, { x1_rlx, read_x_y_rel, acq_y_x }, wrc },
	{ "WRC+rel+rlx", R, 3, { x1_rlx, read_x_y_rel, rlx_y_x }, wrc },
	{ "WRC+rlx+acq", LITMUS_ARMV8, 3, { x1_rlx, read_x_y_rlx, acq_y_x }, wrc },
	{ "ISA2+rel+acq", F, 3, { x_y_rel, acq_y_z_rel, acq_z_x }, isa2 },
	{ "CoRR", F, 2, { x_1_2, read_x_x }, corr },
	{ "CoRR+rel+acq", F, 3, { x_1_2, read_x_then_y_rel, acq_y_x }, corr_later },
	{ "CoWR", F, 2, { x3, x1_read_x }, cowr },
	{ "CoRW", F, 2, { x3, read_x_x1 }, corw },
	{ "RMW-atomic", F, 3, { add_x, add_x, add_x }, lost_add },
	{ "spinlock", F, 3, { locked_add, locked_add, locked_add }, lost_data },
	{ "rwlock", F, 3, { write_locked, write_locked, read_locked }, half_written },
	{ "seqcount", F, 2, { seq_write, seq_read }, torn },
	{ "seqcount+rlx-stores", R, 2, { seq_write_rlx, seq_read }, torn },
	{ "seqcount+rlx-loads", R, 2, { seq_write, seq_read_rlx }, torn },
};
const unsigned litmus_count = ARRAY_SIZE(litmus_tests);
