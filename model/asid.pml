/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * asid.pml: ASIDs, generations, rollover, and unmap by ASID.
 *
 * Models kernel/hal/armv8/asid.c: pmap_activate (its fast path step by step),
 * pmap_deactivate, asid_renew, new_asid_locked, renew_reserved_locked,
 * roll_over_locked; and the part of gather_flush (gather.c) that reads the ASID:
 * descriptor cleared, DSB ISH, asid_to_flush, TLBI by ASID, DSB ISH.
 *
 * Hardware. A TLB for each CPU, tagged by number, that loses nothing by itself and
 * fills at any moment from the tables that TTBR0 holds. Store buffers: a cleared
 * descriptor reaches the walkers, and pm->asid reaches others, some time after the
 * store, at the latest at the storing CPU's DSB ISH. The release of the asid
 * lock stands behind pm->asid in the same buffer.
 *
 * Abstracted. A space has one page. The flusher is a CPU of its own that runs no
 * space and unmaps in space 1 (spaces are alike, and TLBIs of others only help). find_free_locked takes any free number. TLBI is instantaneous (its delay
 * is shootdown.pml's subject). A generation is a symbol: the code only asks whether
 * two are equal, so a rollover names them anew (the current one is 1), and the number of
 * rollovers has no bound. That is exact as long as the real counter (48 bits) does
 * not wrap; BUG_GENERATION_WRAPS shows what wrapping would do.
 *
 * Bounds. 2 CPUs, 2 spaces, numbers 1 to 3 (2 bits: the fewest that asid_init
 * allows), 1 flusher; activations, unmaps and rollovers without limit. Spaces are
 * destroyed and made anew, so that numbers run out. One TLB entry is watched, CPU 0's
 * under number 1, of space 1: CPUs, numbers and spaces are alike. Two halves: with
 * DESTROY, both spaces are destroyed and CPUs leave them (pmap_deactivate), nothing is
 * unmapped; else space 1 is unmapped from, space 2 is destroyed, and only CPU 1 leaves.
 *
 * Properties (assertions).
 *  A1 A CPU that loads TTBR0 has no TLB entry under its number but of that space.
 *  A2 No two CPUs run different spaces under one number, nor one space under two.
 *  A3 After an unmap has returned, no CPU that runs the space, then or later, has
 *     the translation (entries left where nobody can use them turn to DEAD, A1).
 *  A4 A rollover leaves a number free.
 *
 * run: correct                   -DDESTROY                        holds
 * run: unmap                                                      holds
 * run: reserved-not-used         -DBUG_RESERVED_NOT_USED -DDESTROY assertion
 * run: reserved-lost             -DBUG_RESERVED_LOST -DDESTROY -DDEEP assertion
 * run: reserved-not-renewed      -DBUG_RESERVED_NOT_RENEWED -DDESTROY -DDEEP assertion
 * run: no-owed-flush             -DBUG_NO_OWED_FLUSH -DDESTROY assertion
 * run: active-stored-not-swapped -DBUG_STORE_ACTIVE -DDESTROY assertion
 * run: ttbr0-not-cleared         -DBUG_TTBR0_NOT_CLEARED -DNSPACE=3 -DDEEP assertion
 * run: deactivate-before-clear   -DBUG_DEACTIVATE_BEFORE_CLEAR -DDESTROY assertion
 * run: flush-without-dsb         -DBUG_FLUSH_WITHOUT_DSB          assertion
 * run: renew-without-dsb         -DBUG_RENEW_WITHOUT_DSB          assertion
 * run: generation-wraps          -DBUG_GENERATION_WRAPS -DDEEP assertion
 */
#define NCPU 2
#ifndef NSPACE
#define NSPACE 2
#endif                    /* spaces 1 to NSPACE; 0: none */
#define NUM 4             /* numbers 0 to 3; 0 is the empty table's */
#define DEAD 2            /* a TLB entry of a page that was unmapped since */
#define FREE 9
#define RELEASED 4        /* plus the CPU: the asid lock's release is in its store buffer */
#define asid_of(g, n) ((g) * NUM + (n))
#define gen_of(a) ((a) / NUM)
#define num_of(a) ((a) % NUM)

/* struct pmap_asids (active is a keyword of Promela); values are asid_of(generation, number) */
byte generation = 1;
bool used[NUM];
byte lock = FREE;
byte active_[NCPU], reserved[NCPU];
bool flush_pending[NCPU];
byte current[NCPU];
byte pm_asid[NSPACE + 1];
byte wanted[NCPU];        /* which space a CPU is about to activate: it has a reference */

/* locals of pmap_activate, global so that a rollover sees which generations are held */
byte l_active[NCPU], l_asid[NCPU], l_gen[NCPU];

/* store buffers */
byte late_space[NCPU], late_asid[NCPU];   /* pm->asid, and behind it the lock's release */
bool late_clear;                          /* the flusher's cleared descriptor */

/* hardware */
bool mapped = true;                       /* space 1's page, as the walkers see it */
byte ttbr_space[NCPU], ttbr_num[NCPU];
byte tlb;                                 /* CPU 0's entry under number 1: 0, of space 1, or DEAD */

#define drain(c) \
	if \
	:: late_space[c] != 0 -> \
		pm_asid[late_space[c]] = late_asid[c]; \
		late_space[c] = 0; late_asid[c] = 0; \
		if \
		:: lock == RELEASED + c -> lock = FREE \
		:: else \
		fi \
	:: else \
	fi
#define drain_clear() \
	if \
	:: late_clear -> mapped = false; late_clear = false \
	:: else \
	fi

/* TTBR0: A1, A2 */
inline load_user(c, space, number) {
	d_step {
		ttbr_space[c] = space;
		current[c] = space;
		ttbr_num[c] = number;
		assert(number != 0);
		assert(c != 0 || number != 1 || tlb == 0 || (tlb == 1 && space == 1));
		assert(ttbr_space[1 - c] == 0 || (ttbr_space[1 - c] == space) == (ttbr_num[1 - c] == number))
	}
}

/*
 * A rollover names the generations anew: 1 the new one; 2 the one that ends; of what
 * is older, 3 what is equal to some CPU's reserved, 4 the rest of pm_asid and 5 the
 * rest of reserved, which are equal to nothing any more.
 */
#define with_gen(g, x) asid_of(g, num_of(x))
#define is_reserved(x) (x == reserved[0] || x == reserved[1])
#define is_some_space(x) (x == pm_asid[1] || x == pm_asid[2] || x == pm_asid[NSPACE])
#define FORGET_RESERVED(k) \
	if \
	:: active_[k] != 0 && !is_some_space(reserved[k]) -> reserved[k] = 0 /* the next rollover overwrites it */ \
	:: else \
	fi
#define renamed(x, old) \
	if \
	:: gen_of(x) == 1 -> x = with_gen(2, x) \
	:: gen_of(x) > 1 -> x = with_gen(old, x) \
	:: else \
	fi

inline next_generation() {
	d_step {
#ifdef BUG_GENERATION_WRAPS
		generation = 3 - generation;
#else
		v = is_some_space(reserved[0]);
		n = is_some_space(reserved[1]);
		renamed(pm_asid[1], (is_reserved(pm_asid[1]) -> 3 : 4));
		renamed(pm_asid[2], (is_reserved(pm_asid[2]) -> 3 : 4));
#if NSPACE == 3
		renamed(pm_asid[3], (is_reserved(pm_asid[3]) -> 3 : 4));
#endif
		renamed(reserved[0], (v -> 3 : 5));
		renamed(reserved[1], (n -> 3 : 5));
		v = 0; n = 0;
		renamed(active_[0], 2);
		renamed(active_[1], 2);
		l_asid[me] = 0; /* it is about to get a new one */
		renamed(l_active[0], 3);
		renamed(l_active[1], 3);
		renamed(l_asid[0], 4);
		renamed(l_asid[1], 4);
		if
		:: l_gen[1 - me] != 0 -> l_gen[1 - me] = (l_gen[1 - me] == 1 -> 2 : 3)
		:: else
		fi;
#endif
		used[1] = false; used[2] = false; used[3] = false
	}
}

/* atomic_swap of a CPU's active, and what follows from it */
inline roll_over_cpu(k) {
	v = active_[k];
	active_[k] = 0;
	if
	:: v != 0 && num_of(v) != 0 -> reserved[k] = v
	:: v != 0 && num_of(v) == 0 -> reserved[k] = 0
#ifdef BUG_RESERVED_LOST
	:: v == 0 -> reserved[k] = 0
#else
	:: v == 0 /* still runs what is reserved */
#endif
	fi;
	v = 0;
#ifndef BUG_RESERVED_NOT_USED
	used[num_of(reserved[k])] = true;
	used[0] = false; /* not looked at */
#endif
#ifndef BUG_NO_OWED_FLUSH
	flush_pending[k] = true
#endif
}

inline renew_reserved(k, old, new) {
	if
	:: reserved[k] == old ->
		n = num_of(old);
#ifndef BUG_RESERVED_NOT_RENEWED
		reserved[k] = new
#endif
	:: else
	fi
}

/* The first half of new_asid_locked: l_asid[c]'s own number again, if it may have it; else n = 0. */
inline old_number_locked(c) {
	n = 0;
	if
	:: l_asid[c] != 0 ->
		v = asid_of(generation, num_of(l_asid[c]));
		renew_reserved(0, l_asid[c], v);
		renew_reserved(1, l_asid[c], v);
		v = 0;
		if
		:: n == 0 && !used[num_of(l_asid[c])] -> n = num_of(l_asid[c])
		:: else
		fi
	:: else
	fi
}

/* Any free number, or 0. */
inline find_free_locked() {
	if
	:: !used[1] -> n = 1
	:: !used[2] -> n = 2
	:: !used[3] -> n = 3
	:: used[1] && used[2] && used[3] -> n = 0
	fi
}

/*
 * asid_renew. Under the lock others see the new generation, each swap, and the
 * stores of pm->asid and of the lock's release; the own swap nobody can tell from
 * the other one's.
 */
inline asid_renew(c) {
	atomic {
		lock == FREE -> lock = c;
		l_active[c] = 0;
		l_gen[c] = 0;
		l_asid[c] = pm_asid[wanted[c]];
		if
		:: gen_of(l_asid[c]) != generation ->
			old_number_locked(c);
			if
			:: n == 0 -> find_free_locked()
			:: else
			fi;
			if
			:: n == 0 -> next_generation(); goto roll_over
			:: else
			fi;
chosen:
			used[n] = true;
			l_asid[c] = asid_of(generation, n);
			n = 0;
			late_space[c] = wanted[c]; /* the seq_cst store of pm->asid, on its way */
			late_asid[c] = l_asid[c];
			lock = RELEASED + c  /* visible after pm->asid */
		:: else -> lock = FREE
		fi;
		if
		:: flush_pending[c] -> /* mmu_tlbi_local_all */
			flush_pending[c] = false;
			if
			:: c == 0 -> tlb = 0
			:: else
			fi
		:: else
		fi;
		active_[c] = l_asid[c];
		FORGET_RESERVED(0);
		FORGET_RESERVED(1)
	};
#ifndef BUG_RENEW_WITHOUT_DSB
	d_step { drain(c) }; /* mmu_dsb_ish */
#endif
	goto renewed;
roll_over:
	atomic {
		roll_over_cpu(0);
		roll_over_cpu(1);
		find_free_locked();
		assert(n != 0); /* A4 */
		goto chosen
	}
renewed:
	skip
}

/*
 * pmap_activate of wanted[c]. Its loads are one step: a rollover between them, as
 * one after them, leads to the slow path.
 */
inline activate(c) {
	if
	:: l_active[c] == 0 || l_asid[c] == 0 || gen_of(l_asid[c]) != l_gen[c] -> asid_renew(c)
	:: else ->
		atomic {
#ifdef BUG_STORE_ACTIVE
			active_[c] = l_asid[c];
#else
			if /* cas */
			:: active_[c] == l_active[c] -> active_[c] = l_asid[c]
			:: else -> l_asid[c] = 0
			fi;
#endif
			l_active[c] = 0;
			l_gen[c] = 0
		};
		if
		:: l_asid[c] == 0 -> asid_renew(c)
		:: else
		fi
	fi;
	d_step { /* mmu_load_user: A1, A2 */
		ttbr_space[c] = wanted[c];
		ttbr_num[c] = num_of(l_asid[c]);
		current[c] = wanted[c];
		assert(ttbr_num[c] != 0);
		assert(c != 0 || ttbr_num[0] != 1 || tlb == 0 || (tlb == 1 && wanted[0] == 1));
		assert(ttbr_space[1 - c] == 0 || (ttbr_space[1 - c] == wanted[c]) == (ttbr_num[1 - c] == ttbr_num[c]));
		l_asid[c] = 0;
		wanted[c] = 0
	}
}

/* The load of active and its cas are one step: a swap between them is as one before. */
inline deactivate(c) {
#ifndef BUG_DEACTIVATE_BEFORE_CLEAR
	atomic { ttbr_space[c] = 0; ttbr_num[c] = 0; current[c] = 0 }; /* mmu_clear_user */
#endif
	if
	:: active_[c] != 0 -> active_[c] = asid_of(gen_of(active_[c]), 0)
	:: else
	fi;
#ifdef BUG_DEACTIVATE_BEFORE_CLEAR
	atomic { ttbr_space[c] = 0; ttbr_num[c] = 0; current[c] = 0 }
#endif
}

#define starts(c, pm) !(current[c] == pm && active_[c] != 0) -> /* else pmap_activate returns at once */ \
	wanted[c] = pm; \
	l_active[c] = active_[c]; \
	CLEAR_USER(c, pm); \
	l_asid[c] = (late_space[c] == pm -> late_asid[c] : pm_asid[pm]); /* the own store buffer is seen */ \
	l_gen[c] = generation

#ifdef BUG_TTBR0_NOT_CLEARED
#define CLEAR_USER(c, pm) skip
#else
#define CLEAR_USER(c, pm) \
	if \
	:: current[c] != pm -> ttbr_space[c] = 0; ttbr_num[c] = 0 \
	:: else \
	fi
#endif

#ifdef DESTROY
#define LEAVES(c) true
#else
#define LEAVES(c) (c == 1)
#endif

proctype cpu(byte me)
{
	byte v, n;
end:
	do
	:: d_step { wanted[me] == 0 && starts(me, 1) }
	:: d_step { wanted[me] == 0 && starts(me, 2) }
#if NSPACE == 3
	:: d_step { wanted[me] == 0 && starts(me, 3) }
#endif
	:: wanted[me] != 0 -> activate(me)
	:: wanted[me] == 0 && current[me] != 0 && LEAVES(me) -> deactivate(me)
	od
}

/* No page of space 1 is mapped any more: what is left in the TLB must be out of reach (A3). */
inline unmapped() {
	if
	:: tlb == 1 ->
		assert(ttbr_space[0] != 1 || ttbr_num[0] != 1);
		tlb = DEAD
	:: else
	fi
}

#define unknown(pm) (current[0] != pm && wanted[0] != pm && current[1] != pm && wanted[1] != pm)

proctype flusher()
{
	bool ours;
end:
	do
#ifndef DESTROY
#ifdef BUG_FLUSH_WITHOUT_DSB
	:: late_clear = true; /* the descriptor's store, on its way */
#else
	:: atomic { late_clear = true; drain_clear() }; /* the descriptor's store, mmu_dsb_ish */
#endif
		ours = (num_of(pm_asid[1]) == 1); /* asid_to_flush */
		atomic { /* mmu_tlbi_asid, mmu_dsb_ish; the frame is free, and another one mapped */
			if
			:: ours -> tlb = 0; ours = false
			:: else
			fi;
#ifdef BUG_FLUSH_WITHOUT_DSB
			drain_clear();
#endif
			unmapped();
			mapped = true
		}
#else
	:: d_step { unknown(1) && pm_asid[1] != 0 -> /* pmap_destroy, and pmap_init of another */
		if
		:: num_of(pm_asid[1]) == 1 -> tlb = 0
		:: else
		fi;
		unmapped();
		pm_asid[1] = 0;
		FORGET_RESERVED(0);
		FORGET_RESERVED(1)
	   }
#endif
	:: d_step { unknown(2) && pm_asid[2] != 0 -> pm_asid[2] = 0; FORGET_RESERVED(0); FORGET_RESERVED(1) }
	od
}

/* Walkers, and store buffers that drain by themselves. */
proctype hardware()
{
end:
	do
	:: d_step { ttbr_space[0] == 1 && ttbr_num[0] == 1 && mapped && tlb == 0 -> tlb = 1 }
	:: d_step { late_space[0] != 0 -> drain(0) }
	:: d_step { late_space[1] != 0 -> drain(1) }
#ifdef BUG_FLUSH_WITHOUT_DSB
	:: d_step { late_clear -> drain_clear() }
#endif
	od
}

init {
	atomic {
		run cpu(0);
		run cpu(1);
		run flusher();
		run hardware()
	}
}
