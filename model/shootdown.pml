/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shootdown.pml: a PTE is cleared, TLBs are flushed, its frame is freed and used again.
 *
 * Models kernel/hal/armv8: remove_locked (pmap_range.c, not exclusive) with gather_open
 * and rmap_drop, gather_flush, gather_close, release_busy (gather.c);
 * pmap_page_remove_all with gather_flush_others and empty_broken (pmap_page.c);
 * set_new with rmap_add's last check (pmap_leaf.c, rmap.c); and vm_map_discard, which
 * frees what it took out of the slot after the flush.
 *
 * Hardware. Each CPU has a TLB entry for the page, and a walker that fills it at any
 * moment from the PTE as this walker sees it. A PTE store reaches each walker at any
 * later moment, at the latest at a DSB of a CPU that made it or found it. A broadcast
 * TLBI reaches each CPU at any later moment, at the latest at the issuer's DSB.
 *
 * Abstracted. One address space, one page, one ASID (asid.pml). The PTE's values are
 * numbered in the order of their stores; a walker's view is such a number. The slot
 * stands for the amap's and for the object's. A freed frame is somebody else's at
 * once and does not come back. What is done under a frame's lock is one step.
 *
 * Bounds. 2 CPUs with TLBs; one that removes the page twice, each time freeing the
 * frame (MADV_DONTNEED of an anon) or not (of an object's page); one that withdraws
 * the page by its reverse map, once; one that faults again and again; 3 frames.
 *
 * Properties (assertions).
 *  S1 No TLB entry that a CPU can use leads to a frame that is free or another's.
 *  S2 Break before make: a PTE becomes valid only when no TLB holds another frame for
 *     the page and no walker sees one.
 *
 * run: correct                                                     holds
 * run: no-dsb-before-tlbi        -DBUG_NO_DSB_BEFORE               assertion
 * run: no-dsb-after-tlbi         -DBUG_NO_DSB_AFTER                assertion
 * run: freed-before-flush        -DBUG_FREE_BEFORE_FLUSH           assertion
 * run: cleared-not-busy          -DBUG_NOT_BUSY                    assertion
 * run: busy-emptied-early        -DBUG_BUSY_EMPTIED_EARLY          assertion
 * run: fault-ignores-busy        -DBUG_FAULT_IGNORES_BUSY          assertion
 * run: others-not-flushed        -DBUG_OTHERS_NOT_FLUSHED          assertion
 * run: opened-after-rmap-drop    -DBUG_OPEN_LATE                   assertion
 * run: closed-before-flush       -DBUG_CLOSED_EARLY                assertion
 * run: check-before-rmap         -DBUG_CHECK_BEFORE_RMAP           assertion
 */
#define NCPU 2
#define STORES 16          /* stores to the PTE; more than the actors make (pan checks the index) */
#define FRAMES 3
#define BUSY 9             /* of the gather */
#define BUSY_PAGE 8        /* of the withdrawal */
#define REMOVER 0
#define WITHDRAWER 1
#define FAULTER 2

byte value[STORES];        /* the PTE's history: 0, a frame, or BUSY */
byte last;                 /* its newest value's index */
byte view[NCPU];           /* which one a CPU's walker sees */
byte seen[3];              /* the newest one that a process stored or found */
byte tlb[NCPU];            /* 0 or a frame */
bool tlbi[2 * NCPU];       /* on its way from REMOVER or WITHDRAWER to a CPU */

bool leaf_lock;
byte slot;                 /* the frame that belongs at the page, or 0 */
byte mapped;               /* reverse map: whose frame's lock would show the page */
bool unflushed;            /* the remover's gather is open */
bool owned[FRAMES + 1];    /* the frame is the page's; else it is free, or used by another */
byte fresh = 1;            /* the next free frame */

#define pte value[last]
#define is_frame(v) (v != 0 && v <= FRAMES)
#define set_pte(who, v) last++; value[last] = v; seen[who] = last
#define take_leaf() atomic { !leaf_lock -> leaf_lock = true }
#define use_ok(c) (tlb[c] == 0 || owned[tlb[c]])
#define made(c, f) ((tlb[c] == 0 || tlb[c] == f) && (!is_frame(value[view[c]]) || value[view[c]] == f))

/* mmu_dsb_ish: what it does for stores, and after a TLBI */
#define dsb_stores(who) \
		if \
		:: view[0] < seen[who] -> view[0] = seen[who] \
		:: else \
		fi; \
		if \
		:: view[1] < seen[who] -> view[1] = seen[who] \
		:: else \
		fi
#define dsb(who) \
	atomic { \
		dsb_stores(who); \
		if \
		:: tlbi[2 * who] -> tlbi[2 * who] = false; tlb[0] = 0 \
		:: else \
		fi; \
		if \
		:: tlbi[2 * who + 1] -> tlbi[2 * who + 1] = false; tlb[1] = 0 \
		:: else \
		fi \
	}

#ifdef BUG_NO_DSB_BEFORE
#define DSB_BEFORE(who) skip
#else
#define DSB_BEFORE(who) atomic { dsb_stores(who) }
#endif
#ifdef BUG_NO_DSB_AFTER
#define DSB_AFTER(who) skip
#else
#define DSB_AFTER(who) dsb(who)
#endif
#define flush(who) \
	DSB_BEFORE(who); \
	atomic { tlbi[2 * who] = true; tlbi[2 * who + 1] = true }; \
	DSB_AFTER(who)

/* S1 */
#define free_frame(f) atomic { owned[f] = false; assert(use_ok(0) && use_ok(1)) }

proctype remover()
{
	byte f, n;
	bool hit;

	do
	:: n < 2 ->
		if
		:: atomic { f = slot; slot = 0 } /* amap_trim */
		:: f = 0
		fi;
		take_leaf();
		if
		:: is_frame(pte) ->
#ifndef BUG_OPEN_LATE
			unflushed = true; /* gather_open */
#endif
			hit = true;
#ifdef BUG_NOT_BUSY
			atomic { set_pte(REMOVER, 0) };
#else
			atomic { set_pte(REMOVER, BUSY) };
#endif
			mapped = 0; /* rmap_drop */
#ifdef BUG_OPEN_LATE
			unflushed = true;
#endif
		:: else -> hit = (pte != 0); seen[REMOVER] = last /* BUSY_PAGE: gather_add */
		fi;
#ifdef BUG_BUSY_EMPTIED_EARLY
		if
		:: pte == BUSY -> atomic { set_pte(REMOVER, 0) }
		:: else
		fi;
#endif
		leaf_lock = false;
#ifdef BUG_FREE_BEFORE_FLUSH
		free_frame(f);
		f = 0;
#endif
#ifdef BUG_CLOSED_EARLY
		unflushed = false;
#endif
		if
		:: hit -> flush(REMOVER); hit = false
		:: else
		fi;
		unflushed = false; /* gather_close */
		take_leaf(); /* release_busy */
		if
		:: pte == BUSY -> atomic { set_pte(REMOVER, 0) }
		:: else
		fi;
		leaf_lock = false;
		if
		:: f != 0 -> free_frame(f)
		:: else
		fi;
		n++
	:: else -> break
	od
}

proctype withdrawer()
{
	byte f;

	atomic { slot != 0 -> f = slot; slot = 0 };
	/* pmap_page_remove_all */
	do
	:: mapped == f ->
		take_leaf();
		if
		:: pte == f ->
			atomic { set_pte(WITHDRAWER, BUSY_PAGE) };
			mapped = 0;
			leaf_lock = false;
			flush(WITHDRAWER);
			take_leaf(); /* empty_broken */
			atomic { assert(pte == BUSY_PAGE); set_pte(WITHDRAWER, 0) };
			leaf_lock = false
		:: else -> leaf_lock = false
		fi
	:: mapped != f ->
#ifndef BUG_OTHERS_NOT_FLUSHED
		if
		:: unflushed -> seen[WITHDRAWER] = last; flush(WITHDRAWER) /* gather_flush_others */
		:: else
		fi;
#endif
		break
	od;
	free_frame(f)
}

proctype faulter()
{
	byte f;
end:
	do
	:: take_leaf();
		if
#ifdef BUG_FAULT_IGNORES_BUSY
		:: !is_frame(pte) ->
#else
		:: pte == 0 ->
#endif
			atomic {
				if
				:: slot == 0 && fresh <= FRAMES -> slot = fresh; owned[fresh] = true; fresh++
				:: else
				fi;
				f = slot
			};
			atomic { /* rmap_add */
#ifdef BUG_CHECK_BEFORE_RMAP
				mapped = f
#else
				if
				:: slot == f -> mapped = f
				:: else -> f = 0 /* ERR_STALE */
				fi
#endif
			};
			if
			:: f != 0 -> atomic { assert(made(0, f) && made(1, f)); set_pte(FAULTER, f) } /* S2 */
			:: else
			fi;
			f = 0
		:: else
		fi;
		leaf_lock = false
	od
}

/* Walkers, and what arrives late. */
proctype hardware(byte c)
{
end:
	do
	:: atomic { view[c] < last -> view[c] = view[c] + 1 }
	:: atomic { tlb[c] == 0 && is_frame(value[view[c]]) -> tlb[c] = value[view[c]]; assert(use_ok(c)) }
	:: atomic { tlbi[c] -> tlbi[c] = false; tlb[c] = 0 }
	:: atomic { tlbi[NCPU + c] -> tlbi[NCPU + c] = false; tlb[c] = 0 }
	od
}

init {
	atomic {
		run remover();
		run withdrawer();
		run faulter();
		run hardware(0);
		run hardware(1)
	}
}
