/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_pmap_page.c: pages of a space are faulted in, written, copied, unmapped, discarded, protected,
 * withdrawn and asked for, by two to four CPUs at once.
 */
#include "scenario_pmap.h"

#define ANON 0u
#define OBJECT 1u

/* --- steps on page 1 of the first anon and object windows of space 0 --- */

static struct space *space(struct cpu *c) { return &c->w->space[0]; }

static void add_in(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&s->p);
	for (int i = 0; i < 3; i++) {
		if (host_user_add64(vaddr(world_va(window, page) + 8), 3, &v, &f) == OK) {
			atomic_add_relaxed(&c->w->added, UINT64_C(3));
			return;
		}
		world_fault(c, s, window, page, PROT_W);
	}
}

static void add(struct cpu *c, unsigned window, unsigned page) { add_in(c, space(c), window, page); }

static void touch_anon(struct cpu *c) { world_touch(c, space(c), ANON, 1); }
static void touch_object(struct cpu *c) { world_touch(c, space(c), OBJECT, 1); }
static void touch_object_2(struct cpu *c) { world_touch(c, space(c), OBJECT, 2); }
static void write_anon(struct cpu *c) { add(c, ANON, 1); }
static void write_anon_2(struct cpu *c) { add(c, ANON, 2); }
static void write_object(struct cpu *c) { add(c, OBJECT, 1); }
static void fault_object(struct cpu *c) { world_fault(c, space(c), OBJECT, 1, PROT_R); }
static void fault_object_2(struct cpu *c) { world_fault(c, space(c), OBJECT, 2, PROT_R); }
static void fault_object_3(struct cpu *c) { world_fault(c, space(c), OBJECT, 3, PROT_R); }
static void fault_anon(struct cpu *c) { world_fault(c, space(c), ANON, 1, PROT_R); }
static void unmap_anon(struct cpu *c) { world_unmap(c, space(c), ANON, true); }
static void unmap_object(struct cpu *c) { world_unmap(c, space(c), OBJECT, true); }
static void discard(struct cpu *c) { world_discard(c, space(c), ANON, 0, 2); }
static void write_anon_10(struct cpu *c) { add(c, ANON, PAGES - 2); }
static void discard_two(struct cpu *c) { world_discard(c, space(c), ANON, 2, 3); }
static void write_anon_3(struct cpu *c) { add(c, ANON, 3); }
static void discard_one(struct cpu *c) { world_discard(c, space(c), ANON, 1, 1); }
static void copy(struct cpu *c) { world_copy(c, space(c), ANON, 1); }
static void protect_anon(struct cpu *c) { world_protect(c, space(c), ANON, PAGES - 2); }
static void protect_window(struct cpu *c) { world_protect(c, space(c), ANON, 0); }
static void withdraw(struct cpu *c) { world_withdraw(c, 1); }
static void withdraw_2(struct cpu *c) { world_withdraw(c, 2); }
static void ask(struct cpu *c) { world_ask(c, 1); }
static void ask_clear(struct cpu *c) { world_ask_clear(c, 1); }
static void leave(struct cpu *c) { world_live_and_exit(c, 1, 1); }
static void leave_two(struct cpu *c) { world_live_and_exit(c, 1, 2); }
static void touch_other(struct cpu *c) { world_touch(c, &c->w->space[1], OBJECT, 1); }
static void poll(struct cpu *c) { pm_poll(&c->w->m); }

/* The pages first to last of the object's window are unmapped, by few points. */
static void unmap_pages(struct cpu *c, unsigned first, unsigned last)
{
	struct space *s = space(c);
	struct window *win = &s->window[OBJECT];
	struct tlb_gather g;
	struct host_fault f;
	uint64_t v;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = true;
	for (unsigned i = first; i <= last; i++)
		pmap_remove(&s->p, vrange(world_va(OBJECT, i), world_va(OBJECT, i) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	pmap_activate(&s->p);
	for (unsigned i = first; i <= last; i++) {
		CHECK(pmap_extract(&s->p, vaddr(world_va(OBJECT, i))).state != PMAP_VALID);
		CHECK(host_user_load64(vaddr(world_va(OBJECT, i)), &v, &f) == ERR_FAULT);
	}
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

static void unmap_page(struct cpu *c) { unmap_pages(c, 1, 1); }
static void unmap_two(struct cpu *c) { unmap_pages(c, 1, 2); }

/* Neighbours, the higher one first. */
static void unmap_down(struct cpu *c)
{
	struct space *s = space(c);
	struct window *win = &s->window[OBJECT];
	struct tlb_gather g;

	test_lock(&win->range);
	atomic_store_seq_cst(&win->live, 0u);
	gather_init(&g, &s->p);
	g.exclusive = true;
	for (unsigned i = 3; i >= 2; i--)
		pmap_remove(&s->p, vrange(world_va(OBJECT, i), world_va(OBJECT, i) + PAGE_SIZE), &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	host_returned();
	atomic_store_seq_cst(&win->live, 1u);
	test_unlock(&win->range);
}

/* Execution is granted for what the page maps, if anything. */
static void make_executable(struct cpu *c, struct space *s, unsigned window, unsigned page)
{
	vaddr_t va = vaddr(world_va(window, page));
	struct pmap_leaf leaf;
	struct pmap_pte pte;

	epoch_enter(&c->w->m.epoch);
	CHECK(pmap_leaf_lock(&s->p, va, NULL, &leaf) == OK);
	pte = pmap_leaf_get(&leaf, va);
	if (pte.state == PMAP_VALID)
		CHECK(pmap_leaf_set(&leaf, va, pte.frame, PROT_R | PROT_X, 0, NULL, NULL) == OK);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&c->w->m.epoch);
}

static ATOMIC(uint32_t) taken; /* nobody may execute page 1 any more */

/* Execution is taken from the window by its table, and given back to page 2, for which that is pushed down. */
static void exec_push(struct cpu *c)
{
	struct space *s = space(c);
	struct window *win = &s->window[ANON];
	struct tlb_gather g;

	test_lock(&win->range);
	gather_init(&g, &s->p);
	pmap_protect(&s->p, vrange(world_va(ANON, 0), world_va(ANON, 0) + BLOCK_SIZE), PROT_R | PROT_W, &g);
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	atomic_store_seq_cst(&taken, 1u);
	make_executable(c, s, ANON, 2);
	CHECK(pmap_extract(&s->p, vaddr(world_va(ANON, 2))).prot & PROT_X);
	CHECK(!(pmap_extract(&s->p, vaddr(world_va(ANON, 1))).prot & PROT_X));
	test_unlock(&win->range);
}

/* Once execution is taken away no fetch succeeds, whatever the walker finds while the limit is pushed down. */
static void fetch_anon(struct cpu *c)
{
	struct host_fault f;

	pmap_activate(&space(c)->p);
	for (unsigned i = 0; i < 3; i++) {
		bool must_fault = atomic_load_seq_cst(&taken);
		enum error e = host_user_exec(vaddr(world_va(ANON, 1)), NULL, &f);

		CHECK(e == ERR_FAULT || (e == OK && !must_fault));
	}
}

/* Another mapping of the object's page 1 becomes executable, and is executed. */
static void exec_in(struct cpu *c, struct space *s)
{
	struct host_fault f;
	enum error e;

	pmap_activate(&s->p);
	make_executable(c, s, OBJECT, 1);
	e = host_user_exec(vaddr(world_va(OBJECT, 1)), NULL, &f); /* the machine judges what it fetches */
	CHECK(e == OK || e == ERR_FAULT);
}

static void exec_object(struct cpu *c) { exec_in(c, space(c)); }
static void exec_other(struct cpu *c) { exec_in(c, &c->w->space[1]); }

/* A private write to the object's page that finds no memory for its copy: the mapping is broken, flushed, and gone. */
static void break_object(struct cpu *c)
{
	struct space *s = space(c);
	vaddr_t va = vaddr(world_va(OBJECT, 1));
	struct pmap_leaf leaf;
	struct tlb_gather g;
	bool broken;

	gather_init(&g, &s->p);
	epoch_enter(&c->w->m.epoch);
	CHECK(pmap_leaf_lock(&s->p, va, NULL, &leaf) == OK);
	broken = pmap_leaf_get(&leaf, va).state == PMAP_VALID;
	if (broken)
		pmap_leaf_break(&leaf, va, &g);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&c->w->m.epoch);
	if (!broken)
		return;
	gather_flush(&g);
	pm_free_late(&c->w->m, &g.unlinked);
	epoch_enter(&c->w->m.epoch);
	CHECK(pmap_leaf_lock(&s->p, va, NULL, &leaf) == OK); /* a BUSY PTE keeps its table */
	pmap_leaf_abandon(&leaf, va);
	pmap_leaf_unlock(&leaf);
	epoch_leave(&c->w->m.epoch);
}

/* By the TLB if it can. Nothing is written, so that nobody asks for the frame's dirty state, which flushes too. */
static void read_object(struct cpu *c)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&space(c)->p);
	if (host_user_load64(vaddr(world_va(OBJECT, 1)), &v, &f) != OK)
		world_fault(c, space(c), OBJECT, 1, PROT_R);
}

/* What a fault does that finds the page there. */
static void spurious_object(struct cpu *c) { pmap_spurious(&space(c)->p, vaddr(world_va(OBJECT, 1))); }

/* A program that tries until its write is done. Nobody takes the page away. */
static void insist(struct cpu *c)
{
	struct host_fault f;
	uint64_t v;

	pmap_activate(&space(c)->p);
	while (host_user_add64(vaddr(world_va(ANON, 1) + 8), 3, &v, &f) != OK) {
		world_fault(c, space(c), ANON, 1, PROT_W);
		cpu_relax();
	}
	atomic_add_relaxed(&c->w->added, UINT64_C(3));
}

/* CPU 0 owns a frame of chunks: pages 1 and 3 of the object are mapped in both spaces, page 2 in space 1 only. */
static void chunks_owned(struct cpu *c)
{
	struct space *s = c->w->space;

	if (c != plan_cpu)
		return;
	for (unsigned i = 1; i <= 3; i++) {
		world_touch(c, &s[1], OBJECT, i);
		if (i != 2)
			world_touch(c, &s[0], OBJECT, i);
	}
}

/* The same with one chunk in use: who frees it may find that its owner has taken another meanwhile. */
static void chunk_lone(struct cpu *c)
{
	struct space *s = c->w->space;

	if (c != plan_cpu)
		return;
	for (unsigned i = 1; i <= 3; i++)
		world_touch(c, &s[1], OBJECT, i);
	world_touch(c, &s[0], OBJECT, 1);
}

/*
 * CPU 0's frame of chunks is full: one is page 1's, the others are kept. It gives the frame up with its next chunk; what is
 * freed meanwhile, or afterwards, goes to whoever asks next, and with the last one the frame goes.
 */
#define KEPT 62u
static struct rmap_chunk *kept[KEPT];

static void chunks_full(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	chunk_lone(c);
	epoch_enter(&c->w->m.epoch);
	for (unsigned i = 0; i < KEPT; i++) {
		kept[i] = rmap_chunk_alloc(c->w->m.ps, NULL);
		CHECK(kept[i]);
	}
	epoch_leave(&c->w->m.epoch);
}

static void free_some(struct cpu *c, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		kept[i]->used = 0; /* plain: whoever has it next comes after this */
		rmap_chunk_free(c->w->m.ps, kept[i]);
	}
}
static void free_first(struct cpu *c) { free_some(c, 0, 1); }
static void free_most(struct cpu *c) { free_some(c, 1, KEPT - 1); }
static void free_last(struct cpu *c) { free_some(c, KEPT - 1, KEPT); }

/* Another space's page 1: its chunk is free again. */
static void unmap_other(struct cpu *c)
{
	struct pmap *p = &c->w->space[1].p;

	pm_remove(&c->w->m, p, world_va(OBJECT, 1), world_va(OBJECT, 1) + PAGE_SIZE, true);
}

/* Whatever is kept for reverse maps to come. */
static void drain(struct cpu *c)
{
	struct frame_list l;

	pmap_drain(c->w->m.ps, &l);
	pm_free_late(&c->w->m, &l);
}

/* A frame of chunks that nobody needs waits for whoever flushes next. */
static void chunk_given_up(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	chunk_lone(c);
	unmap_other(c);
	rmap_chunk_drain(c->w->m.ps);
}

static void take_empty(struct cpu *c)
{
	struct frame_list l = { PFN_NONE, 0 };

	rmap_chunk_take_empty(c->w->m.ps, &l);
	pm_free_late(&c->w->m, &l);
}

/* --- what is there before --- */

/* TLBs know both pages, written. */
static void warm(struct cpu *c)
{
	add(c, ANON, 1);
	add(c, OBJECT, 1);
}

static void warm_more(struct cpu *c)
{
	warm(c);
	for (unsigned i = 2; i <= 3; i++) {
		add(c, ANON, i);
		world_touch(c, space(c), OBJECT, i);
	}
	add(c, ANON, PAGES - 1);
}

/* Mapped writable, and clean. */
static void clean(struct cpu *c)
{
	world_fault(c, space(c), ANON, 1, PROT_R);
	world_fault(c, space(c), OBJECT, 1, PROT_R);
	pmap_activate(&space(c)->p);
}

/* Clean and executable. */
static void clean_exec(struct cpu *c)
{
	clean(c);
	world_fault(c, space(c), ANON, 2, PROT_R);
	make_executable(c, space(c), ANON, 1);
	make_executable(c, space(c), ANON, 2);
}

/* The page is clean, and so it stands in the TLB. */
static void clean_read(struct cpu *c)
{
	struct host_fault f;
	uint64_t v;

	clean(c);
	CHECK(host_user_load64(vaddr(world_va(ANON, 1)), &v, &f) == OK);
}

static void clean_10(struct cpu *c)
{
	world_fault(c, space(c), ANON, PAGES - 2, PROT_R);
	pmap_activate(&space(c)->p);
}

/* The tables are there, empty of page 1. */
static void tables(struct cpu *c)
{
	world_touch(c, space(c), ANON, 2);
	world_touch(c, space(c), OBJECT, 2);
}

/* The upper tables are there, the leaf table not; the space is loaded. */
static void upper(struct cpu *c) { world_touch(c, space(c), OBJECT + 2, 1); }

/* The object's page is mapped in two spaces, so that its reverse map has a chunk. */
static void shared(struct cpu *c)
{
	world_touch(c, &c->w->space[1], OBJECT, 1);
	warm(c);
}

/* Written in space 1, mapped for reading in space 0. */
static void shared_clean(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	add_in(c, &c->w->space[1], OBJECT, 1);
	world_fault(c, space(c), OBJECT, 1, PROT_R);
}

/* A write through a mapping that is gone is noted in the frame; another space maps it, clean. */
static void noted(struct cpu *c)
{
	if (c != plan_cpu)
		return;
	add(c, OBJECT, 1);
	pm_remove(&c->w->m, &space(c)->p, world_va(OBJECT, 1), world_va(OBJECT, 1) + PAGE_SIZE, true);
	world_fault(c, &c->w->space[1], OBJECT, 1, PROT_R);
}

/* --- random steps --- */

static void any(struct cpu *c)
{
	static step *const all[] = {
		touch_anon,   touch_object, touch_object_2, write_anon,   write_anon_2,   write_object, unmap_anon,
		unmap_object, discard,      copy,           protect_anon, protect_window, withdraw,     withdraw_2,
		ask,          leave,        leave_two,      touch_other,  poll,           unmap_page,   unmap_two,
		unmap_down,   discard_two,  write_anon_3,   ask_clear,
	};

	all[explore_choose(CHOOSE_SCENARIO, ARRAY_SIZE(all))](c);
}

/* --- the plans --- */

PLAN(link_unmap, .cpus = 2, .part = {{fault_object}, {unmap_page}})
PLAN(link_upper, .cpus = 2, .prepare = upper, .part = {{touch_object}, {unmap_page}})
PLAN(link_link, .cpus = 2, .part = {{fault_object}, {fault_object_2}})
PLAN(fault_unmap, .cpus = 2, .prepare = tables, .part = {{fault_object}, {unmap_page}})
PLAN(fault_withdraw, .cpus = 2, .prepare = tables, .part = {{fault_object}, {withdraw}})
PLAN(write_unmap, .cpus = 2, .prepare = warm, .part = {{write_object}, {unmap_page}})
PLAN(write_discard, .cpus = 2, .prepare = clean, .part = {{write_anon}, {discard_one}})
PLAN(write_withdraw, .cpus = 2, .prepare = clean, .part = {{write_object}, {withdraw}})
PLAN(write_ask, .cpus = 2, .prepare = clean, .part = {{write_object}, {ask}})
PLAN(write_copy, .cpus = 2, .prepare = warm, .part = {{write_anon}, {copy}})
PLAN(write_again, .cpus = 2, .prepare = clean, .part = {{write_anon}, {fault_anon}})
PLAN(write_insist, .cpus = 2, .prepare = clean_read, .part = {{insist}, {insist}})
PLAN(write_protect, .cpus = 2, .prepare = clean_10, .part = {{write_anon_10}, {protect_anon}})
PLAN(ask_again, .cpus = 2, .prepare = clean, .part = {{ask, fault_object, ask}, {write_object}})
PLAN(ask_spurious, .cpus = 2, .prepare = clean, .part = {{ask, spurious_object, ask}, {write_object}})
PLAN(exec_unmap, .cpus = 2, .prepare = shared_clean, .part = {{exec_object}, {unmap_other}})
PLAN(exec_exec, .cpus = 2, .prepare = shared_clean, .part = {{exec_object}, {exec_other}})
PLAN(write_clear, .cpus = 2, .prepare = warm, .part = {{write_object, write_object}, {ask_clear, ask}})
PLAN(clear_map, .cpus = 2, .prepare = noted, .part = {{ask_clear}, {fault_object}})
PLAN(chunk_reuse, .cpus = 2, .prepare = chunks_owned, .part = {{fault_object_2}, {unmap_other}})
PLAN(chunk_last, .cpus = 2, .prepare = chunk_lone, .part = {{fault_object_2, fault_object_3}, {unmap_other}})
PLAN(chunk_drain, .cpus = 2, .prepare = chunk_lone, .part = {{fault_object_2, fault_object_3}, {unmap_other, drain}})
PLAN(chunk_given, .cpus = 2, .prepare = chunk_given_up, .part = {{take_empty}, {take_empty}})
PLAN(chunk_full, .cpus = 3, .prepare = chunks_full,
     .part = {{fault_object_2, free_first, fault_object_3}, {unmap_other, free_most, drain}, {drain, free_last, drain, poll}})
PLAN(owed, .cpus = 2, .prepare = shared, .part = {{unmap_page}, {withdraw}})
PLAN(table_walk, .cpus = 3, .prepare = warm_more,
     .part = {{unmap_object, poll, touch_object},
	      {write_object, touch_object_2, poll},
	      {touch_object_2, poll, write_object}})
PLAN(table_twice, .cpus = 3, .prepare = warm,
     .part = {{unmap_object, poll}, {unmap_object, poll}, {touch_object, poll, touch_object}})
PLAN(neighbours, .cpus = 3, .prepare = warm_more,
     .part = {{discard_two, unmap_down}, {write_anon_2, write_anon_3}, {touch_object_2, write_anon_3, touch_object_2}})
PLAN(unmap_range, .cpus = 2, .prepare = warm_more,
     .part = {{unmap_two, touch_object_2}, {write_object, touch_object_2}})
PLAN(protect_push, .cpus = 3, .prepare = warm_more,
     .part = {{protect_window, write_anon}, {write_anon, write_anon_2}, {write_anon_2, write_anon}})
PLAN(protect_clean, .cpus = 2, .prepare = clean, .part = {{protect_window, write_anon}, {write_anon, write_anon}})
PLAN(exec_write, .cpus = 2, .prepare = clean_exec, .part = {{exec_push}, {write_anon, write_anon_2}})
PLAN(exec_fetch, .cpus = 2, .prepare = clean_exec, .part = {{exec_push}, {fetch_anon, fetch_anon}})
PLAN(protect_part, .cpus = 2, .prepare = warm_more,
     .part = {{protect_anon, write_anon_10}, {write_anon_10, touch_anon}})
PLAN(protect_discard, .cpus = 3, .prepare = warm_more,
     .part = {{protect_window, write_anon}, {discard, write_anon}, {copy, write_anon}})
PLAN(copy_discard, .cpus = 3, .prepare = warm, .part = {{copy}, {discard_one}, {write_anon, touch_anon}})
PLAN(copy_clean, .cpus = 3, .prepare = clean, .part = {{copy}, {discard_one}, {write_anon}})
PLAN(break_withdraw, .cpus = 3, .prepare = warm,
     .part = {{break_object}, {withdraw}, {write_object, write_object}})
PLAN(read_withdraw, .cpus = 3, .prepare = read_object,
     .part = {{break_object}, {withdraw}, {read_object, read_object}})
PLAN(copy_unmap, .cpus = 2, .prepare = warm, .part = {{copy, write_anon}, {unmap_anon}})
PLAN(copy_copy, .cpus = 3, .prepare = warm, .part = {{copy}, {copy}, {write_anon}})
PLAN(withdraw_three, .cpus = 3, .prepare = shared,
     .part = {{withdraw, withdraw}, {touch_object, unmap_page}, {touch_other, write_object}})
PLAN(clear_owed, .cpus = 3, .prepare = warm, .part = {{unmap_page}, {ask_clear, ask}, {write_object}})
PLAN(owed_three, .cpus = 3, .prepare = shared, .part = {{unmap_object}, {withdraw}, {write_object}})
PLAN(exit_withdraw, .cpus = 3, .prepare = shared, .part = {{leave, poll}, {withdraw, poll}, {write_object, poll}})
PLAN(chunks, .cpus = 4, .prepare = shared,
     .part = {{leave_two, touch_object_2}, {leave_two, withdraw}, {touch_other, withdraw_2}, {write_object, unmap_two}})
PLAN(at_random, .cpus = 4, .prepare = shared,
     .part = {{any, any, any}, {any, any, any}, {any, any, any}, {any, any, any}})
PLAN(at_random_three, .cpus = 3, .prepare = warm_more, .part = {{any, any}, {any, any}, {any, any}})

const struct scenario scenario_pmap_page[] = {
	SMALL("pmap-link-unmap", "the first fault of a space against an unmap: no table is there yet", link_unmap),
	SMALL("pmap-link-leaf", "the same with the upper tables there", link_upper),
	SMALL("pmap-link-link", "two first faults in a window", link_link),
	SMALL("pmap-fault-unmap", "a fault against an unmap, with the leaf table", fault_unmap),
	SMALL("pmap-fault-withdraw", "a fault against the withdrawal of its frame", fault_withdraw),
	SMALL("pmap-write-unmap", "writes through a TLB against an unmap", write_unmap),
	SMALL("pmap-write-discard", "the first write of a clean page against a discard", write_discard),
	SMALL("pmap-write-withdraw", "the first write of a clean page against the frame's withdrawal", write_withdraw),
	SMALL("pmap-write-ask", "the first write of a clean page against the question for it", write_ask),
	SMALL("pmap-ask-again", "a page that is not accessed any more is mapped again while it is written", ask_again),
	SMALL("pmap-ask-spurious", "the same by a spurious fault", ask_spurious),
	SMALL("pmap-exec-unmap", "a frame becomes executable while another mapping of it goes", exec_unmap),
	SMALL("pmap-exec-exec", "a frame becomes executable in two spaces", exec_exec),
	SMALL("pmap-write-clear", "writes while the page is made clean", write_clear),
	SMALL("pmap-clear-map", "the note of a write is cleared while the frame is mapped a second time", clear_map),
	SMALL("pmap-chunk-reuse", "a chunk of a reverse map is freed by one CPU and taken by its owner", chunk_reuse),
	SMALL("pmap-chunk-last", "the last chunk of a frame is freed while its owner takes others", chunk_last),
	SMALL("pmap-chunk-drain", "a CPU's frame of chunks is asked for while it takes some", chunk_drain),
	SMALL("pmap-chunk-given", "two CPUs take frames of chunks that nobody needs", chunk_given),
	LARGE("pmap-chunk-full", "a full frame of chunks is given up while chunks of it are freed", 3, chunk_full),
	SMALL("pmap-write-copy", "writes against copy-on-write", write_copy),
	SMALL("pmap-write-again", "the first write of a clean page against a fault that finds it mapped", write_again),
	SMALL("pmap-write-insist", "two that do not give up write a clean page: TLBs still say that they may not",
	      write_insist),
	SMALL("pmap-write-protect", "the first write of a clean page against mprotect", write_protect),
	SMALL("pmap-flush-owed", "a frame is withdrawn while its unmapper has yet to flush", owed),
	LARGE("pmap-table-walk", "a table is unlinked and freed while others walk and fault", 3, table_walk),
	LARGE("pmap-table-twice", "two unmaps of a window and a fault", 3, table_twice),
	LARGE("pmap-neighbours", "neighbouring pages are discarded and unmapped, upwards and downwards", 3, neighbours),
	LARGE("pmap-unmap-range", "two pages are unmapped at once", 2, unmap_range),
	LARGE("pmap-protect-push-down", "a window is write-protected by its table, writes push that down", 3,
	      protect_push),
	LARGE("pmap-protect-clean", "the same with clean pages", 2, protect_clean),
	LARGE("pmap-exec-push-down", "the limit of execution is pushed down while clean pages are written", 2,
	      exec_write),
	LARGE("pmap-exec-push-fetch", "the same while a page that lost it is executed", 2, exec_fetch),
	LARGE("pmap-protect-part", "part of a window is write-protected", 2, protect_part),
	LARGE("pmap-protect-discard", "protect, discard and copy in a window", 3, protect_discard),
	LARGE("pmap-copy-discard", "copy-on-write against a discard and a write", 3, copy_discard),
	LARGE("pmap-copy-clean", "copy-on-write of a clean page against a discard and the first write", 3, copy_clean),
	LARGE("pmap-break-withdraw", "a broken mapping of a page that is withdrawn before the flush", 3, break_withdraw),
	LARGE("pmap-read-withdraw", "the same with a page that nobody writes", 3, read_withdraw),
	LARGE("pmap-copy-unmap", "copy-on-write against an unmap", 2, copy_unmap),
	LARGE("pmap-copy-copy", "two copies and a write", 3, copy_copy),
	LARGE("pmap-withdraw", "withdrawal against faults and unmap in two spaces", 3, withdraw_three),
	LARGE("pmap-flush-owed-window", "a withdrawal while a window's unmapper has yet to flush, and a writer", 3,
	      owed_three),
	LARGE("pmap-clear-owed", "a page is made clean while its unmapper has yet to flush, and a writer", 3, clear_owed),
	LARGE("pmap-exit-withdraw", "an exit against a withdrawal", 3, exit_withdraw),
	LARGE("pmap-chunks", "chunks of reverse maps come and go on four CPUs", 4, chunks),
	LARGE("pmap-random", "three random steps on each of four CPUs", 4, at_random),
	LARGE("pmap-random-three", "two random steps on each of three CPUs", 3, at_random_three),
};
const unsigned scenario_pmap_page_count = ARRAY_SIZE(scenario_pmap_page);
